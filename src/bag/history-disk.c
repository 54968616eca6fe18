/* The history's files: a thread takes from memory what is new and writes it as frames into the
 * newest of a row of files; the oldest are removed when they are too many or too old.
 *
 * What is durable when: a frame is written with one call, so it is there whole or its sum does not
 * fit. kill -9 loses what was received since the last write (write_interval); a power cut what was
 * written since the last sync (sync_interval), and nothing before it. A file is synced whole before
 * the next one begins, so only the last file of a run (one life of a process) can be torn, and only
 * at its end.
 *
 * Every file begins with all definitions and with the latched messages of that moment, so any of
 * them can be removed, and each can be read by itself. Files of an earlier run stay part of the
 * history: their sources are found again by GUID and topic, their entries have lower numbers. */
#include "bag/history-disk-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <utlist.h>

#include "bag/session.h"
#include "base/crc.h"
#include "base/thread.h"

enum {
    FILES = 8, /* at least so many files share the space */
    DISK_LEAST = 16 << 20,
};

void bp_hdisk_path(const struct disk *d, uint32_t number, char *ret, size_t cap) {
    (void) snprintf(ret, cap, "%s/history-%010u.bph", d->dir, number);
}

/* ---- one place where frames are written, one where they are read ---- */

/* Bytes in front of a payload of this run. */
static size_t room_of(const struct disk *d) {
    return BP_HFRAME_HEAD + (d->header ? BP_SEALED_BOX : 0);
}

/* The payload lies in d->frame behind room for the head. What is sealed vouches for its head. */
static int close_frame(struct disk *d, struct bp_hframe *f) {
    struct bp_buf *b = &d->frame;
    struct bp_sealed *seal = d->runs[d->nruns - 1].seal;
    static const uint8_t zeros[8];
    int r;

    memcpy(f->run, d->runs[d->nruns - 1].id, sizeof f->run);
    f->number = d->frames;
    f->bytes = b->n - BP_HFRAME_HEAD;
    f->sealed = seal != NULL;
    if (seal) {
        bp_hframe_encode(f, b->p);
        r = bp_sealed_box(seal, b->p + BP_HFRAME_BOUND_AT, BP_HFRAME_BOUND, b->p + BP_HFRAME_HEAD,
                          b->n - room_of(d));
        if (r < 0)
            return r;
    }
    f->crc = bp_crc32c(0, b->p + BP_HFRAME_HEAD, (size_t) f->bytes);
    bp_hframe_encode(f, b->p);
    bp_buf_put(b, zeros, -b->n & 7);
    return b->failed ? -ENOMEM : 0;
}

int bp_hdisk_write_frame(struct disk *d, struct bp_hframe *f) {
    struct bp_buf *b = &d->frame;
    int r = b->failed ? -ENOMEM : close_frame(d, f);

    if (r == 0)
        r = d->io->pwrite(d->io->ctx, d->fd, b->p, b->n, d->off);
    if (r < 0)
        return r;
    d->off += b->n;
    d->frames++;
    d->unsynced = true;
    bp_mutex_lock(&d->lock);
    d->files[d->n - 1].bytes = d->off;
    d->written += b->n;
    bp_mutex_unlock(&d->lock);
    return 0;
}

/* The head at `off`. @return 0, BP_ETRUNCATED at the end, BP_ECORRUPT, or an errno */
int bp_hdisk_read_head(const struct disk *d, int fd, uint64_t off, struct bp_hframe *ret) {
    uint8_t head[BP_HFRAME_HEAD];
    ssize_t n = d->io->pread(d->io->ctx, fd, head, sizeof head, off);

    return n < 0 ? (int) n : bp_hframe_decode(head, (size_t) n, ret);
}

static int unseal(struct bp_hframe *f, struct bp_sealed *seal, uint8_t *p) {
    uint8_t head[BP_HFRAME_HEAD];
    int r;

    f->plain = f->bytes;
    if (!f->sealed)
        return seal ? BP_ECORRUPT : 0; /* nobody vouches for it */
    if (!seal)
        return BP_EKEY;
    if (f->bytes < BP_SEALED_BOX)
        return BP_ECORRUPT;
    f->plain = f->bytes - BP_SEALED_BOX;
    bp_hframe_encode(f, head);
    r = bp_sealed_unbox(seal, head + BP_HFRAME_BOUND_AT, BP_HFRAME_BOUND, p, (size_t) f->plain);
    if (r == 0)
        memmove(p, p + BP_SEALED_BOX, (size_t) f->plain);
    return r;
}

int bp_hdisk_read_payload(const struct disk *d, int fd, uint64_t off, struct bp_hframe *f,
                          struct bp_sealed *seal, uint8_t **p, size_t *cap) {
    ssize_t n;

    if (f->bytes > *cap) {
        uint8_t *grown;
        int64_t size = d->io->size(d->io->ctx, fd);

        if (size < 0 || off + BP_HFRAME_HEAD + f->bytes > (uint64_t) size)
            return BP_ETRUNCATED; /* before memory is taken for it */
        grown = realloc(*p, (size_t) f->bytes);
        if (!grown)
            return -ENOMEM;
        *p = grown;
        *cap = (size_t) f->bytes;
    }
    n = d->io->pread(d->io->ctx, fd, *p, (size_t) f->bytes, off + BP_HFRAME_HEAD);
    if (n < 0)
        return (int) n;
    if ((uint64_t) n < f->bytes)
        return BP_ETRUNCATED;
    return bp_hframe_fits(f, *p) ? unseal(f, seal, *p) : BP_ECORRUPT;
}

void bp_hdisk_begin_frame(struct disk *d) {
    size_t n = room_of(d);

    bp_buf_clear(&d->frame);
    (void) bp_buf_grow(&d->frame, n);
    if (!d->frame.failed)
        memset(d->frame.p, 0, n);
}

/* ---- files ---- */

int bp_hdisk_add_file(struct disk *d, const struct dfile *f) {
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 64;
        struct dfile *v = realloc(d->files, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        d->files = v;
        d->cap = cap;
    }
    d->files[d->n++] = *f;
    return 0;
}

/* wall minus mono of a run's entries: an earlier run has ended before this one began, whatever a
 * clock that was put says. */
bp_ns_t bp_hdisk_offset(struct disk *d, uint32_t run, bp_ns_t offset) {
    bp_ns_t now;

    if (run == d->nruns - 1)
        return offset;
    bp_mutex_lock(&d->h->lock);
    now = d->h->offset;
    bp_mutex_unlock(&d->h->lock);
    return BP_MAX(now, d->runs[run].max_log - d->started_mono);
}

/* The state that the earlier life had in the end goes on to be kept. */
static void keep_latched(struct disk *d) {
    struct kept *list = NULL, *k;

    if (d->n == 0 || bp_history_disk_latched(d, INT64_MAX, &list) <= 0)
        return;
    for (k = list; k; k = k->next)
        bp_history_keep(d->h, k->source,
                        &(struct bp_history_entry){ .seq = k->seq,
                                                    .log_ns = k->log_ns,
                                                    .publish_ns = k->publish_ns,
                                                    .mono_ns = k->log_ns - k->offset,
                                                    .size = k->size,
                                                    .data = k->data });
    bp_history_kept_free(list);
}

/* ---- begin and end ---- */

/* One key for all files of a run. */
static int make_key(struct disk *d, struct drun *run) {
    uint8_t *header;
    int r;

    if (!d->h->o.seal)
        return 0;
    header = malloc(BP_SEALED_HEADER);
    r = header ? bp_sealed_key_new(d->h->o.seal, header, &run->seal) : -ENOMEM;
    if (r < 0)
        free(header);
    else
        d->header = header;
    return r;
}

/* What becomes of files that this life would not have written so. */
static void tell_left(struct disk *d) {
    unsigned locked = 0, clear = 0;
    char text[300];

    for (size_t i = 0; i < d->n; i++) {
        locked += d->files[i].locked;
        clear += !d->files[i].sealed;
    }
    if (locked && d->h->o.notice) {
        (void) snprintf(text, sizeof text,
                        "the history of an earlier life is sealed and no key here opens it: %u "
                        "files stay for whoever has the key, until newer ones need their room; "
                        "snapshots reach back to this start",
                        locked);
        d->h->o.notice(d->h->o.ctx, text);
    }
    if (clear && d->header && d->h->o.notice) {
        (void) snprintf(text, sizeof text,
                        "%u files of the history are in the clear, from before it was sealed: "
                        "remove '%s' if nobody may read them; else they go as new ones come",
                        clear, d->dir);
        d->h->o.notice(d->h->o.ctx, text);
    }
}

static int prepare(struct disk *d, struct bp_error *err) {
    uint8_t id[16];
    uint32_t run;
    int r = d->io->mkdir(d->io->ctx, d->dir, 0700);

    if (r < 0 && r != -EEXIST)
        return bp_fail(err, r, "cannot make '%s': %s", d->dir, bp_strerror(r));
    d->lock_fd = bp_session_lock(d->dir, err);
    if (d->lock_fd < 0)
        return d->lock_fd;
    r = bp_hdisk_take_up(d, err);
    if (r < 0)
        return r;
    if (getrandom(id, sizeof id, 0) != sizeof id || bp_hdisk_run(d, id, &run) < 0)
        return bp_fail(err, -ENOMEM, "cannot begin a history in '%s'", d->dir);
    r = make_key(d, &d->runs[run]);
    if (r < 0)
        return bp_fail(err, r, "cannot seal the history in '%s': %s", d->dir, bp_strerror(r));
    tell_left(d);
    if (d->n)
        d->h->next = d->files[d->n - 1].end + d->files[d->n - 1].torn;
    d->at = d->h->next;
    keep_latched(d);
    return 0;
}

int bp_history_disk_open(struct bp_history_store *h, struct disk **ret, struct bp_error *err) {
    struct disk *d;
    int r;

    if (h->o.disk_max_bytes < DISK_LEAST)
        return bp_fail(err, -EINVAL, "files of %llu bytes for a history: 16 MiB is the least",
                       (unsigned long long) h->o.disk_max_bytes);
    if (!h->o.write_interval)
        h->o.write_interval = 100 * BP_MS;
    if (!h->o.sync_interval)
        h->o.sync_interval = BP_SEC;
    d = calloc(1, sizeof *d);
    if (!d)
        return bp_fail(err, -ENOMEM, "no memory for a history");
    d->h = h;
    d->io = h->io;
    d->fd = d->lock_fd = -1;
    d->started_mono = bp_mono_ns();
    d->file_bytes = BP_MIN(BP_MAX(h->o.disk_max_bytes / FILES, (uint64_t) HISTORY_FILE_LEAST),
                           BP_MIN((uint64_t) HISTORY_FILE_MOST, h->o.disk_max_bytes / 4));
    (void) snprintf(d->dir, sizeof d->dir, "%s", h->o.dir);
    bp_mutex_init(&d->lock);
    *ret = d; /* its close copes with what is half made */
    r = prepare(d, err);
    if (r == 0) {
        r = bp_thread_start("history", bp_hdisk_thread, d, &d->thread);
        d->has_thread = r == 0;
        if (r < 0)
            return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    }
    return r;
}

void bp_history_disk_close(struct disk *d) {
    if (!d)
        return;
    if (d->has_thread) {
        atomic_store(&d->stop, true);
        (void) pthread_join(d->thread, NULL);
        bp_history_flush(d->h);
        bp_hdisk_write_new(d);
        (void) bp_hdisk_finish_file(d);
    }
    if (d->lock_fd >= 0)
        (void) close(d->lock_fd);
    for (size_t i = 0; i < d->nruns; i++) {
        free(d->runs[i].channels);
        free(d->runs[i].sources);
        bp_sealed_free(d->runs[i].seal);
    }
    free(d->runs);
    free(d->files);
    free(d->header);
    free(d->copy.p);
    bp_buf_done(&d->frame);
    bp_mutex_done(&d->lock);
    free(d);
}

void bp_history_disk_stats(struct disk *d, struct bp_history_stats *st) {
    bp_mutex_lock(&d->lock);
    st->on_disk = true;
    st->disk_files = d->n;
    for (size_t i = d->n; i-- > 0;) {
        st->disk_bytes += d->files[i].bytes;
        st->disk_locked += d->files[i].locked;
        if (!d->files[i].locked)
            st->disk_oldest_ns = d->files[i].began;
    }
    st->disk_written = d->written;
    st->disk_removed = d->removed;
    st->disk_missed = d->missed;
    st->disk_error = d->error;
    bp_mutex_unlock(&d->lock);
}

/* ---- reading ---- */

void bp_history_disk_cursor_done(struct disk *d, struct disk_cursor *c) {
    if (c->fd)
        (void) d->io->close(d->io->ctx, c->fd - 1);
    free(c->p);
    *c = (struct disk_cursor){ 0 };
}

/* The file that begins last before `from_mono`, else the oldest. @return false: there is none */
static bool file_at(struct disk *d, bp_ns_t from_mono, struct dfile *ret) {
    bool found;

    bp_mutex_lock(&d->lock);
    found = false;
    for (size_t i = 0; i < d->n; i++) {
        struct dfile f = d->files[i];

        if (f.locked)
            continue;
        if (found && f.began - bp_hdisk_offset(d, f.run, f.offset) > from_mono)
            break;
        *ret = f;
        found = true;
    }
    bp_mutex_unlock(&d->lock);
    return found;
}

uint64_t bp_history_disk_find(struct disk *d, bp_ns_t from_mono) {
    struct dfile f;

    return file_at(d, from_mono, &f) ? f.first : 0;
}

/* The file that holds entry `at`, else the first behind it. */
static bool file_of(struct disk *d, uint64_t at, struct dfile *ret) {
    bool found = false;

    bp_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n && !found; i++)
        if (at < d->files[i].end && !d->files[i].locked) {
            *ret = d->files[i];
            found = true;
        }
    bp_mutex_unlock(&d->lock);
    return found;
}

static int open_file(struct disk *d, struct disk_cursor *c, const struct dfile *f) {
    char path[1100];
    int fd;

    if (c->fd)
        (void) d->io->close(d->io->ctx, c->fd - 1);
    c->fd = 0;
    c->file = 0;
    bp_hdisk_path(d, f->number, path, sizeof path);
    fd = d->io->open(d->io->ctx, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    c->fd = fd + 1;
    c->file = f->number;
    c->run = f->run;
    c->off = bp_hdisk_start(f);
    return 0;
}

/* What is known of the cursor's file now; one that was removed is read as long as it goes on. */
static uint64_t bytes_of(struct disk *d, uint32_t number, bool *ret_is_last) {
    uint64_t bytes = UINT64_MAX;

    bp_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n; i++)
        if (d->files[i].number == number)
            bytes = d->files[i].bytes;
    *ret_is_last = d->n > 0 && d->files[d->n - 1].number == number;
    bp_mutex_unlock(&d->lock);
    return bytes;
}

static bool file_behind(struct disk *d, uint32_t number, struct dfile *ret) {
    bool found = false;

    bp_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n && !found; i++)
        if (d->files[i].number > number && !d->files[i].locked) {
            *ret = d->files[i];
            found = true;
        }
    bp_mutex_unlock(&d->lock);
    return found;
}

/* @return 1 and a frame with entries behind `at`; 0 at the end of the file */
static int next_in_file(struct disk *d, struct disk_cursor *c, uint64_t bytes, uint64_t at,
                        struct bp_hframe *ret) {
    while (c->off < bytes) {
        uint64_t off = c->off;
        int r = bp_hdisk_read_head(d, c->fd - 1, off, ret);

        if (r < 0) { /* nothing tells where the next one would begin */
            c->off = bytes;
            return 0;
        }
        c->off += bp_hframe_size(ret);
        if (off + BP_HFRAME_HEAD + ret->bytes > bytes)
            return 0; /* half of a write that failed: it was written again elsewhere */
        if (ret->kind != BP_HFRAME_ENTRIES || ret->first + ret->count <= at)
            continue;
        r = bp_hdisk_read_payload(d, c->fd - 1, off, ret, d->runs[c->run].seal, &c->p, &c->cap);
        return r == 0 ? 1 : r == -ENOMEM ? r : BP_ECORRUPT; /* what is behind it can be read */
    }
    return 0;
}

int bp_history_disk_next(struct disk *d, struct disk_cursor *c, uint64_t at,
                         struct bp_hframe *ret) {
    struct dfile f = { 0 };
    bool is_last;

    if (!c->file && !file_of(d, at, &f))
        return 0;
    for (;;) {
        int r = c->file ? 0 : open_file(d, c, &f);

        if (r == 0) {
            r = next_in_file(d, c, bytes_of(d, c->file, &is_last), at, ret);
            if (r != 0 || is_last)
                return r;
        } else if (r == -ENOMEM || r == -EMFILE) {
            return r;
        } /* else it was removed just now, or cannot be read: the one behind it, then */
        if (!file_behind(d, c->file ? c->file : f.number, &f))
            return 0;
        c->file = 0;
    }
}

int64_t bp_history_disk_source(struct disk *d, const struct disk_cursor *c, uint32_t source) {
    const struct drun *run = &d->runs[c->run];

    if (c->run == d->nruns - 1)
        return source < atomic_load(&d->h->nsources) ? (int64_t) source : -ENOENT;
    return source < run->nsources && run->sources[source] ? (int64_t) run->sources[source] - 1
                                                          : -ENOENT;
}

bp_ns_t bp_history_disk_offset(struct disk *d, const struct disk_cursor *c,
                               const struct bp_hframe *f) {
    return bp_hdisk_offset(d, (uint32_t) c->run, f->offset);
}

/* ---- latched messages as files know them ---- */

static uint32_t depth_of(const struct bp_history_store *h, uint32_t source) {
    uint32_t depth = atomic_load(&h->sources[source]->channel->depth);

    return BP_MAX(BP_MIN(depth, (uint32_t) HISTORY_LATCHED_DEPTH), 1u);
}

static int replace(struct disk *d, struct kept **list, const struct bp_history_entry *e,
                   uint32_t source, bp_ns_t offset) {
    struct kept *k, *oldest = NULL, *made;
    uint32_t n = 0;

    DL_FOREACH(*list, k) {
        if (k->source != source)
            continue;
        if (k->seq == e->seq)
            return 0; /* the file's first state, and the entry itself */
        oldest = oldest ? oldest : k;
        n++;
    }
    made = malloc(sizeof *made + e->size);
    if (!made)
        return -ENOMEM;
    *made = (struct kept){ .source = source,
                           .size = e->size,
                           .seq = e->seq,
                           .log_ns = e->log_ns,
                           .publish_ns = e->publish_ns,
                           .offset = offset };
    memcpy(made->data, e->data, e->size);
    if (oldest && n >= depth_of(d->h, source)) {
        DL_DELETE(*list, oldest);
        free(oldest);
    }
    DL_APPEND(*list, made);
    return 0;
}

static int gather(struct disk *d, const struct disk_cursor *c, const struct bp_hframe *f,
                  bp_ns_t from_mono, struct kept **list) {
    struct bp_cur cur = bp_cur_of(c->p, (size_t) f->plain);
    bp_ns_t offset = bp_history_disk_offset(d, c, f);
    struct bp_history_entry e;
    bool latched;
    int r = 0;

    while (r == 0 && bp_hentry_next(&cur, &e, &latched) > 0) {
        int64_t source = bp_history_disk_source(d, c, e.source);

        if (latched && source >= 0 &&
            (f->kind == BP_HFRAME_LATCHED || e.log_ns - offset < from_mono))
            r = replace(d, list, &e, (uint32_t) source, offset);
    }
    return r;
}

/* Frames of one file; of those behind `from_mono` only the heads. */
static int gather_file(struct disk *d, struct disk_cursor *c, const struct dfile *f,
                       bp_ns_t from_mono, struct kept **list) {
    struct bp_hframe frame;
    int r = 0;

    while (r == 0 && c->off < f->bytes && bp_hdisk_read_head(d, c->fd - 1, c->off, &frame) == 0) {
        uint64_t off = c->off;

        c->off += bp_hframe_size(&frame);
        if (frame.kind == BP_HFRAME_DEFINITIONS ||
            (frame.kind == BP_HFRAME_ENTRIES &&
             frame.min_log - bp_history_disk_offset(d, c, &frame) >= from_mono))
            continue;
        r = bp_hdisk_read_payload(d, c->fd - 1, off, &frame, d->runs[c->run].seal, &c->p, &c->cap);
        if (r == 0)
            r = gather(d, c, &frame, from_mono, list);
        else if (r != -ENOMEM)
            r = 0; /* damage costs this frame */
    }
    return r;
}

int bp_history_disk_latched(struct disk *d, bp_ns_t from_mono, struct kept **ret) {
    struct disk_cursor c = { 0 };
    struct kept *list = NULL;
    struct dfile f;
    int r;

    if (!file_at(d, from_mono, &f))
        return 0;
    r = open_file(d, &c, &f);
    if (r == 0)
        r = gather_file(d, &c, &f, from_mono, &list);
    bp_history_disk_cursor_done(d, &c);
    if (r < 0) {
        bp_history_kept_free(list);
        return r == -ENOMEM ? r : 0;
    }
    *ret = list;
    return 1;
}
