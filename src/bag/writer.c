/* The write path. How a message becomes bytes that survive:
 *
 *   receive thread   bp_writer_accept(): into the open slot of the ring, which is a file on tmpfs
 *   worker           closed slot -> group (index, CRC, compression)
 *   writer           group -> segment; every interval a commit tick
 *   preparer         next segment ready, blocks allocated ahead, closed segments finished
 *
 * Invariants, on which recovery relies:
 *   I1 A message is accepted when its slot's `committed` has passed it. From then on kill -9 cannot
 *      lose it.
 *   I2 A slot is freed only when its group was written and fdatasync of that segment returned 0.
 *      So the ring holds everything that is not durable in a segment, and a failed write or sync
 *      can be repeated into another one.
 *   I3 When a tick that began at T has ended well, everything accepted before T is in a synced
 *      group or a synced frame of the journal.
 *   I4 A journal frame is overwritten only when its slot is durable in a segment.
 *   I5 No block that was once synced is written again while it is needed.
 *   I6 What may be in the ring fits into blocks that are allocated already: a full disk refuses new
 *      messages at the door and never one that was accepted.
 *
 * A message's way through the files: writer-accept.c, writer-work.c, writer-segment.c,
 * writer-tick.c. docs/design/write-path.md has the reasons and the measurements. */

#include "bag/writer-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bag/bag-metrics.h"
#include "bag/proof.h"
#include "bag/session.h"
#include "base/thread.h"

void bp_writer_until(struct timespec *ts, bp_ns_t mono_until) {
    ts->tv_sec = mono_until / BP_SEC;
    ts->tv_nsec = mono_until % BP_SEC;
}

void bp_writer_event(struct bp_writer *w, enum bp_writer_event_kind kind, const char *path,
                     const char *fmt, ...) {
    struct bp_writer_event e = { .kind = kind, .path = path };
    char text[600];
    va_list ap;

    bp_bag_count_event(kind);
    if (!w->o.event)
        return;
    va_start(ap, fmt);
    (void) vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    e.text = text;
    w->o.event(w->o.ctx, &e);
}

void bp_writer_failed(struct bp_writer *w, const char *path, int code, const char *what) {
    char text[300];

    (void) snprintf(text, sizeof text, "%s%s%s%s: %s", what, path ? " '" : "", path ? path : "",
                    path ? "'" : "", bp_strerror(code));
    bp_mutex_lock(&w->lock);
    if (!w->failed) {
        w->failed = code;
        memcpy(w->failed_text, text, sizeof text);
    }
    bp_mutex_unlock(&w->lock);
    bp_writer_event(w, BP_WRITER_IO_ERROR, path, "%s", text);
}

/* ---- open ---- */

static int init_memory(struct bp_writer *w) {
    struct bp_group_channel *ch = calloc((size_t) BP_RING_SLOTS * SLOT_CHANNELS, sizeof *ch);

    w->slots = calloc(BP_RING_SLOTS, sizeof *w->slots);
    w->channels = calloc(UINT16_MAX + 1, sizeof(struct channel *));
    w->sources = calloc(BP_MAX_SOURCES, sizeof(struct source *));
    w->flush_goal.runs = calloc(GOAL_RUNS, BP_RUN_BYTES);
    for (unsigned i = 0; i < BP_LANES; i++) {
        w->goal[i].runs = calloc(GOAL_RUNS, BP_RUN_BYTES);
        w->lanes[i].next_rseq = 1;
    }
    w->slot_channels = ch;
    w->spare_ch = calloc(BP_RING_SLOTS, sizeof(struct bp_group_channel *));
    if (!ch || !w->spare_ch || !w->slots || !w->channels || !w->sources || !w->flush_goal.runs ||
        !w->goal[0].runs || !w->goal[1].runs)
        return -ENOMEM;
    w->nspare_ch = BP_RING_SLOTS;
    for (size_t i = 0; i < BP_RING_SLOTS; i++) {
        w->spare_ch[i] = ch + (BP_RING_SLOTS - 1 - i) * SLOT_CHANNELS;
        w->slots[i].no = UINT64_MAX;
    }
    return 0;
}

static void init_locks(struct bp_writer *w) {
    pthread_condattr_t mono;

    bp_mutex_init(&w->lock);
    bp_mutex_init(&w->defs_lock);
    bp_mutex_init(&w->journal_lock);
    (void) pthread_condattr_init(&mono);
    (void) pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&w->cv_work, &mono);
    (void) pthread_cond_init(&w->cv_writer, &mono);
    (void) pthread_cond_init(&w->cv_prep, &mono);
    (void) pthread_cond_init(&w->cv_segment, &mono);
    (void) pthread_cond_init(&w->cv_told, &mono);
    (void) pthread_condattr_destroy(&mono);
    w->marks_end = &w->marks;
    w->ring.fd = w->journal.fd = w->durable_log = w->lock_fd = -1;
}

/* A tmpfs with too little room (containers often have 64 MB) gets a smaller ring. */
static int create_ring(struct bp_writer *w, const char *path, struct bp_error *err) {
    int r = bp_ring_create(&w->ring, path, w->session, w->o.ring_bytes, err);

    while (r == -ENOSPC && w->o.ring_bytes >= (uint64_t) 16 << 20) {
        w->o.ring_bytes /= 2;
        r = bp_ring_create(&w->ring, path, w->session, w->o.ring_bytes, err);
        if (r == 0)
            bp_writer_event(w, BP_WRITER_NOTICE, path,
                            "the ring is only %llu MiB, more does not fit into '%s'",
                            (unsigned long long) (w->o.ring_bytes >> 20), path);
    }
    return r;
}

/* What lies in the ring is in the clear; memory forgets it, a disk does not. */
static int check_tmpfs(const char *path, struct bp_error *err) {
    const char *slash = strrchr(path, '/');
    struct statfs fs;
    char dir[600];

    (void) snprintf(dir, sizeof dir, "%.*s", (int) (slash - path), path);
    if (statfs(*dir ? dir : "/", &fs) < 0)
        return bp_fail(err, -errno, "cannot look at '%s': %s", dir, bp_strerror(-errno));
    if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
        return 0;
    return bp_fail(err, BP_ECONFIG,
                   "'%s' is on a disk, and a ring there would keep in the clear what is to be "
                   "sealed: give a folder on tmpfs, such as /dev/shm, or 'none'",
                   dir);
}

static int make_ring(struct bp_writer *w, struct bp_error *err) {
    char path[600], left[600];
    int r;

    if (w->anonymous) {
        bp_writer_event(w, BP_WRITER_NOTICE, NULL,
                        "no tmpfs for the ring: a killed process loses up to 10 ms");
        return bp_ring_create(&w->ring, NULL, w->session, w->o.ring_bytes, err);
    }
    r = bp_ring_ref_choose(w->o.ring_dir, w->dir, path, left, sizeof path);
    if (r < 0)
        return bp_fail(err, r,
                       "'%s' and many more are left from folders that were moved or removed", left);
    if (r > 0)
        bp_writer_event(
            w, BP_WRITER_NOTICE, left,
            "'%s' is left from an interrupted recording that was in this place: where it "
            "was moved to, 'bagpipe recover' takes it up; if it was removed, remove the "
            "ring, too",
            left);
    r = w->o.seal ? check_tmpfs(path, err) : 0;
    if (r < 0)
        return r;
    r = bp_ring_ref_write(w->io, w->dir, path, w->session, err);
    if (r == 0)
        r = create_ring(w, path, err);
    if (r < 0)
        bp_ring_ref_remove(w->io, w->dir);
    w->st.on_tmpfs = r == 0;
    return r;
}

static int make_journal(struct bp_writer *w, struct bp_error *err) {
    uint64_t size = (uint64_t) 16 << 20;
    char path[1200];

    if (w->no_sync) {
        w->journal = (struct bp_journal){ .fd = -1 };
        return 0;
    }
    (void) snprintf(path, sizeof path, "%s/journal", w->dir);
    return bp_journal_open(&w->journal, w->io, path, w->session, size, w->direct && !w->anonymous,
                           !w->anonymous, w->o.seal, err);
}

static int start_threads(struct bp_writer *w, struct bp_error *err) {
    int r = bp_thread_start("bp-preparer", bp_writer_preparer, w, &w->thread_preparer);

    w->preparer_started = r == 0;
    for (unsigned i = 0; i < w->nworkers && r == 0; i++) {
        r = bp_thread_start("bp-worker", bp_writer_worker, w, &w->thread_workers[i]);
        w->nthreads_started += r == 0;
    }
    if (r == 0) {
        bp_writer_take_first(w);
        bp_mutex_lock(&w->lock);
        r = w->failed;
        bp_mutex_unlock(&w->lock);
        /* A full disk is waited for here as it is later: the preparer has said so, and asks again.
         */
        if (!w->seg && r == 0 && w->o.on_full != BP_FULL_WAIT)
            r = -ENOSPC;
        if (!w->seg && r < 0)
            return bp_fail(err, r, "cannot start a segment in '%s': %s", w->dir,
                           w->failed ? w->failed_text : "no space left on the disk");
        r = 0;
        w->st.ticked_mono = bp_mono_ns();
        r = bp_thread_start("bp-writer", bp_writer_thread, w, &w->thread_writer);
        w->writer_started = r == 0;
    }
    if (r == 0 && w->anonymous && !w->no_sync) {
        r = bp_thread_start("bp-flusher", bp_writer_flusher, w, &w->thread_flusher);
        w->flusher_started = r == 0;
    }
    return r < 0 ? bp_fail(err, r, "cannot start threads: %s", bp_strerror(r)) : 0;
}

/* Ends threads that run, in the order in which they depend on each other. */
static void stop_threads(struct bp_writer *w) {
    bp_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->cv_writer);
    bp_mutex_unlock(&w->lock);
    if (w->flusher_started)
        (void) pthread_join(w->thread_flusher, NULL);
    if (w->writer_started)
        (void) pthread_join(w->thread_writer, NULL);

    bp_mutex_lock(&w->lock);
    w->finished = true;
    pthread_cond_broadcast(&w->cv_work);
    pthread_cond_broadcast(&w->cv_prep);
    bp_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->nthreads_started; i++)
        (void) pthread_join(w->thread_workers[i], NULL);
    if (w->preparer_started)
        (void) pthread_join(w->thread_preparer, NULL);
}

static void remove_unused(struct bp_writer *w, struct bp_segment *s) {
    if (!s)
        return;
    (void) w->io->unlink(w->io->ctx, s->path);
    bp_segment_free(s);
}

static void writer_free(struct bp_writer *w, bool remove) {
    bp_ring_done(&w->ring, remove);
    bp_journal_done(&w->journal, remove);
    if (remove && w->st.on_tmpfs)
        bp_ring_ref_remove(w->io, w->dir);
    for (size_t i = 0; w->slots && i < BP_RING_SLOTS; i++)
        free(w->slots[i].out);
    for (size_t i = 0; w->slots && i < BP_RING_SLOTS; i++)
        free(w->slots[i].ahead.p);
    bp_seal_key_unref(w->seal_key);
    for (unsigned i = 0; i < w->nbufs; i++)
        free(w->bufs[i].p);
    for (unsigned i = 0; i < BP_LANES; i++)
        free(w->goal[i].runs);
    bp_writer_latched_done(w);
    bp_writer_relatch_done(w);
    bp_writer_defs_done(w);
    bp_folder_done(&w->folder);
    bp_writer_told_done(w);
    if (w->lock_fd >= 0)
        (void) close(w->lock_fd); /* lets go of the folder */
    free(w->flush_goal.runs);
    free(w->slot_channels);
    free(w->spare_ch);
    free(w->slots);
    if (w->durable_log >= 0)
        (void) close(w->durable_log);
    free(w);
}

/* A recording that could not begin leaves no folder behind: whoever tries again and again, because
 * the disk is full, would make one each time. */
static void undo_open(struct bp_writer *w) {
    BP_AUTO_FREE char *made = w->made_folder ? strdup(w->dir) : NULL;

    stop_threads(w);
    remove_unused(w, BP_TAKE_PTR(w->spare));
    remove_unused(w, BP_TAKE_PTR(w->seg));
    if (w->folder.nfiles == 0) {
        static const char *const names[] = { "metadata.yaml", BP_PROOF_FILE };
        char path[1200];

        for (size_t i = 0; i < BP_COUNT(names); i++) {
            (void) snprintf(path, sizeof path, "%s/%s", w->dir, names[i]);
            (void) w->io->unlink(w->io->ctx, path);
        }
    }
    writer_free(w, true);
    if (made)
        (void) rmdir(made); /* when nothing else is in it */
}

static int prepare_folder(struct bp_writer *w, const struct bp_writer_opts *o,
                          struct bp_error *err) {
    bool made = access(o->dir, F_OK) < 0;
    int r = bp_session_claim(o, &w->folder, &w->next_number, &w->lock_fd, err);

    if (r < 0)
        return r;
    w->made_folder = made;
    bp_session_new_run(w->session);
    r = bp_writer_configure(w, o, err);
    if (r < 0)
        return r;
    w->folder.durability = o->durability;
    w->folder.commit_interval = w->interval;
    w->folder.custom = o->custom_data;
    bp_sealed_io_session(w->io, w->folder.id);
    w->folder.hide_names = o->seal && o->hide_names;
    w->direct = bp_segment_can_direct(w->io, w->dir);
    w->st.o_direct = w->direct;
    if (!w->direct)
        bp_writer_event(w, BP_WRITER_NOTICE, w->dir,
                        "'%s' does not take O_DIRECT: writing through the page cache", w->dir);
    return 0;
}

int bp_writer_open(const struct bp_writer_opts *o, struct bp_writer **ret, struct bp_error *err) {
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody calls setenv() */
    const char *log = getenv("BAGPIPE_TEST_DURABLE_LOG");
    struct bp_writer *w = calloc(1, sizeof *w);
    struct bp_writer_opts sealed;
    int r;

    if (!w)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (o->seal && bp_keyring_empty(o->seal)) {
        free(w);
        return bp_fail(err, BP_EKEY, "sealed to whom? No key was given");
    }
    init_locks(w);
    if (o->seal) {
        bp_sealed_io_init(&w->sealing, o->io ? o->io : &bp_io_posix, o->seal);
        sealed = *o;
        sealed.io = &w->sealing.io;
        o = &sealed;
    }
    r = init_memory(w);
    if (r == 0)
        r = prepare_folder(w, o, err);
    if (r == 0)
        r = bp_writer_remember(w);
    if (r == 0)
        r = bp_writer_remember_files(w);
    if (r == 0)
        r = make_ring(w, err);
    if (r < 0) {
        writer_free(w, false); /* whatever lies there is not ours */
        return r;
    }
    if (log)
        w->durable_log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    r = bp_writer_check_room(w, err);
    if (r == 0)
        r = make_journal(w, err);
    if (r == 0)
        r = bp_folder_write_metadata(&w->folder, w->io, err);
    if (r == 0) /* recovery signs only what says that it was to be signed */
        r = bp_folder_prove(&w->folder, w->io, NULL, err);
    if (r == 0)
        r = start_threads(w, err);
    if (r < 0) {
        undo_open(w);
        return r;
    }
    *ret = w;
    return 0;
}

/* ---- while it runs ---- */

void bp_writer_split(struct bp_writer *w) {
    bp_mutex_lock(&w->lock);
    w->split_now = true;
    bp_mutex_unlock(&w->lock);
}

/* Upper edge of histogram bucket i; see note_duration(). */
static bp_ns_t bucket_ns(unsigned i) {
    unsigned bits = i / 8;

    return bits < 4 ? 8 : (bp_ns_t) ((uint64_t) (8 + i % 8 + 1) << (bits - 4));
}

static bp_ns_t percentile_locked(const struct bp_writer *w, uint64_t percent) {
    uint64_t want = (w->st.commits * percent + 99) / 100, n = 0;

    for (unsigned i = 0; i < HISTOGRAM; i++) {
        n += w->histogram[i];
        if (n >= want && n)
            return BP_MIN(bucket_ns(i), w->st.commit_max);
    }
    return 0;
}

void bp_writer_stats(struct bp_writer *w, struct bp_writer_stats *ret) {
    int64_t left = w->io->free_bytes(w->io->ctx, w->dir);

    bp_mutex_lock(&w->lock);
    *ret = w->st;
    ret->ring_used = w->used;
    ret->ring_size = w->ring.hdr->data_size;
    ret->ring_max = w->used_max;
    ret->commit_p50 = percentile_locked(w, 50);
    ret->commit_p99 = percentile_locked(w, 99);
    bp_mutex_unlock(&w->lock);
    ret->disk_free = left > 0 ? (uint64_t) left : 0;
}

int bp_writer_channel_stats(struct bp_writer *w, uint16_t channel, struct bp_channel_stats *ret) {
    if (channel == 0 || channel >= __atomic_load_n(&w->nchannels, __ATOMIC_ACQUIRE))
        return -ENOENT;
    bp_mutex_lock(&w->lock);
    *ret = w->channels[channel]->stats;
    bp_mutex_unlock(&w->lock);
    return 0;
}

void bp_writer_set_plain(struct bp_writer *w, bool plain) {
    bp_mutex_lock(&w->lock);
    w->plain = plain;
    bp_mutex_unlock(&w->lock);
}

const char *bp_writer_id(const struct bp_writer *w) {
    return w->folder.id; /* constant since it was opened */
}

/* ---- close ---- */

/* Who ends a recording waits for it, and reading a large one back costs as much as recording it:
 * then whoever reads it first (verify, sync) makes the sums. */
enum { HASH_AT_END = 64 << 20 };

static uint64_t unhashed_bytes(const struct bp_folder *f) {
    uint64_t n = 0;

    for (size_t i = 0; i < f->nfiles; i++)
        n += f->files[i].sha256[0] ? 0 : f->files[i].bytes;
    return n;
}

static int finish_folder(struct bp_writer *w, struct bp_error *err) {
    int r = bp_folder_add_channels(&w->folder, &w->defs);

    if (r == 0)
        r = bp_folder_write_metadata(&w->folder, w->io, err);
    if (r == 0 && (w->folder.signer || unhashed_bytes(&w->folder) <= HASH_AT_END))
        r = bp_folder_hash(&w->folder, w->io, NULL, NULL, err);
    return r < 0 ? r : bp_folder_write_manifest(&w->folder, w->io, err);
}

int bp_writer_close(struct bp_writer *w, struct bp_error *err) {
    bool whole;
    int r = 0;

    if (!w)
        return 0;
    stop_threads(w);
    remove_unused(w, BP_TAKE_PTR(w->spare));

    whole = w->tail == w->head && !w->unclosed && (w->ring.hdr->pending_n == 0 || w->pending_noted);
    if (whole)
        whole = finish_folder(w, err) == 0;
    /* A failure on the way that was made good is no failure; what is not on disk is. */
    if (!whole)
        r = bp_fail(err, w->failed ? w->failed : -EIO, "%s; 'bagpipe recover %s' completes it",
                    w->failed ? w->failed_text : "the recording could not be finished", w->dir);
    writer_free(w, whole);
    return r;
}
