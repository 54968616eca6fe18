#include <errno.h>
#include <stdio.h>

#include "bag/walk.h"
#include "bag/writer-priv.h"

/* The preparer keeps one segment ready, extends the current one ahead of the writer, and closes
 * those that were split off, so that none of this ever costs the writer more than a pointer. It is
 * also the one that notices that the disk is full, frees space where it may, and notices that there
 * is room again. */

enum {
    RETRY_MS = 500,
    FORGET_MS = 2000,
    CLOSE_TRIES = 3,
    HASH_BELOW = 32 << 20, /* bytes per second: reading back must not compete with recording */
};

/* Its data is safe, only the end is missing: worth a few tries before `recover` has to do it. */
static void close_later(struct bp_writer *w, struct closing c, int code,
                        const struct bp_error *err) {
    bool again = c.tries < CLOSE_TRIES;

    bp_writer_failed(w, c.s->path, code, err->text[0] ? err->text : "cannot close");
    if (again)
        bp_sleep(100 * BP_MS);
    bp_mutex_lock(&w->lock);
    again = again && w->nclosing < MAX_CLOSING;
    if (again)
        w->closing[w->nclosing++] = c;
    bp_mutex_unlock(&w->lock);
    if (again)
        return;
    w->unclosed++;
    bp_segment_free(c.s);
}

/* The chain so far, signed. It lists every segment, so of many it is not written for each one more.
 * When it cannot be written the recording goes on: the end of it, or recovery, signs. */
static void prove(struct bp_writer *w) {
    uint64_t n = w->folder.gone + w->folder.nfiles;
    struct bp_error err = { 0 };

    if (n <= w->proven + w->folder.nfiles / 100)
        return;
    w->proven = n;
    if (bp_folder_prove(&w->folder, w->io, NULL, &err) < 0)
        bp_writer_event(w, BP_WRITER_NOTICE, w->dir, "cannot sign what is recorded so far: %s",
                        err.text);
}

static void close_segment(struct bp_writer *w, struct closing *c) {
    struct bp_segment *s = c->s;
    struct bp_error err = { 0 };
    int r = 0;

    if (c->abandoned)
        r = bp_walk_rebuild(&s, s->durable, &err); /* what its memory says may not be on disk */
    if (r == 0 && bp_segment_is_empty(s) && (c->abandoned || w->folder.nfiles)) {
        (void) w->io->unlink(w->io->ctx, s->path);
        bp_segment_free(s);
        return;
    }
    if (r == 0)
        r = bp_segment_finish(s, &err);
    if (r < 0) {
        close_later(w, (struct closing){ s, c->tries + 1, c->abandoned }, r, &err);
        return;
    }
    if (bp_folder_add(&w->folder, s) < 0 || bp_folder_fold(&w->folder) < 0 ||
        bp_folder_write_metadata(&w->folder, w->io, &err) < 0)
        bp_writer_event(w, BP_WRITER_IO_ERROR, w->dir, "%s",
                        err.text[0] ? err.text : "out of memory for metadata.yaml");
    w->unhashed |= !w->folder.nfiles || !w->folder.files[w->folder.nfiles - 1].sha256[0];
    prove(w);
    bp_writer_event(w, BP_WRITER_SEGMENT_CLOSED, s->path, "segment '%s' closed", s->path);
    bp_segment_free(s);
}

/* on_full rotate: the oldest finished segment goes. @return true when one did */
static bool drop_oldest(struct bp_writer *w) {
    struct bp_error err = { 0 };
    char path[1400];
    int r;

    if (w->o.on_full != BP_FULL_ROTATE || w->folder.nfiles < 1)
        return false;
    (void) snprintf(path, sizeof path, "%s/%s", w->dir, w->folder.files[0].file);
    r = w->io->unlink(w->io->ctx, path);
    if (r < 0 && r != -ENOENT)
        return false;
    bp_writer_event(w, BP_WRITER_NOTICE, path, "disk full: oldest segment '%s' was deleted",
                    w->folder.files[0].file);
    bp_folder_drop_first(&w->folder);
    (void) bp_folder_write_metadata(&w->folder, w->io, &err);
    return true;
}

static struct bp_segment *make_segment(struct bp_writer *w, int *ret_code) {
    struct bp_segment_opts o = {
        .io = w->io,
        .dir = w->dir,
        .name = w->name,
        .id = w->folder.id,
        .number = w->next_number,
        .direct = w->direct,
        .sealed = w->o.seal != NULL,
        .ahead = w->ahead,
        .min_free = w->min_free,
        .wall_ns = bp_wall_ns(),
        .custom = w->o.custom_data,
        .hash = w->folder.signer != NULL,
    };
    struct bp_segment *s = NULL;
    struct bp_defs defs = { 0 };
    struct bp_error err = { 0 };
    int r;

    bp_mutex_lock(&w->defs_lock);
    r = bp_defs_copy(&defs, &w->defs);
    bp_mutex_unlock(&w->defs_lock);
    if (r == 0)
        r = bp_segment_create(&o, w->session, &defs, &s, &err);
    bp_defs_done(&defs);
    if (r == 0 || r == -EEXIST) /* what could not be removed must not be in the way for ever */
        w->next_number++;
    if (r < 0 && r != -ENOSPC && !w->spare_failed)
        bp_writer_failed(w, NULL, r, err.text);
    *ret_code = r;
    return s;
}

static void set_full(struct bp_writer *w, bool full) {
    bool was;

    bp_mutex_lock(&w->lock);
    was = w->disk_full;
    w->disk_full = full;
    w->st.disk_full = full;
    if (full && w->o.on_full == BP_FULL_STOP)
        w->refuse_all = true;
    bp_mutex_unlock(&w->lock);
    if (full && !was)
        bp_writer_event(w, BP_WRITER_DISK_FULL, w->dir,
                        "the disk of '%s' is full: new messages are refused, none is lost that was "
                        "accepted",
                        w->dir);
    else if (!full && was)
        bp_writer_event(w, BP_WRITER_DISK_BACK, w->dir,
                        "the disk of '%s' has room again: recording goes on", w->dir);
}

/* Full means: what the disk is known to take is no more than what the ring may bring. */
static void judge_space(struct bp_writer *w, bool gained) {
    bool tight;

    bp_mutex_lock(&w->lock);
    tight = w->room < w->used + 3 * w->chunk;
    bp_mutex_unlock(&w->lock);
    if (!gained && tight)
        set_full(w, true);
    else if (!tight)
        set_full(w, false);
}

/* More blocks for the current segment. The writer may hand it over meanwhile, but only this thread
 * frees it. @return bytes gained, 0 none */
static int64_t extend_current(struct bp_writer *w) {
    struct bp_segment *s;
    int64_t got = 0;

    bp_mutex_lock(&w->lock);
    s = w->seg;
    bp_mutex_unlock(&w->lock);
    if (s)
        got = bp_segment_extend(s, w->step, w->min_free);
    return BP_MAX(got, 0);
}

static void serve_extension(struct bp_writer *w) {
    int64_t got = extend_current(w);

    while (got == 0 && drop_oldest(w))
        got = extend_current(w);
    bp_mutex_lock(&w->lock);
    if (got) {
        w->room += (uint64_t) got;
        w->want_extend = false; /* the writer asks again when that is not enough */
    }
    bp_mutex_unlock(&w->lock);
    if (!got)
        w->retry_at = bp_mono_ns() + RETRY_MS * BP_MS;
    judge_space(w, got > 0);
}

static void serve_spare(struct bp_writer *w) {
    int code = 0;
    struct bp_segment *s = make_segment(w, &code);

    while (!s && code == -ENOSPC && drop_oldest(w))
        s = make_segment(w, &code);
    bp_mutex_lock(&w->lock);
    w->spare = s;
    w->spare_failed = !s;
    w->urged = false;
    pthread_cond_broadcast(&w->cv_segment);
    bp_mutex_unlock(&w->lock);
    if (!s) {
        w->retry_at = bp_mono_ns() + RETRY_MS * BP_MS;
        if (code == -ENOSPC)
            judge_space(w, false);
    }
}

enum work {
    WORK_NONE,
    WORK_TELL,
    WORK_CLOSE,
    WORK_SPARE,
    WORK_EXTEND,
    WORK_FORGET,
    WORK_HASH,
    WORK_END
};

/* What is most urgent: a segment the writer may be waiting for, space, then closing. */
static enum work next_work_locked(const struct bp_writer *w, struct closing *c) {
    bp_ns_t now = bp_mono_ns();
    bool may_retry = w->urged || now >= w->retry_at;

    if (!w->spare && !w->finished && may_retry)
        return WORK_SPARE;
    if (w->want_extend && w->seg && !w->finished && may_retry)
        return WORK_EXTEND;
    if (w->told.step == TELL_PREPARER)
        return WORK_TELL;
    if (w->nclosing) {
        *c = w->closing[0];
        return WORK_CLOSE;
    }
    if (w->finished)
        return WORK_END;
    if (w->gone && now >= w->forget_at)
        return WORK_FORGET;
    return w->unhashed && w->write_rate < HASH_BELOW ? WORK_HASH : WORK_NONE;
}

static int stop_hashing(void *ctx, uint64_t bytes) {
    struct bp_writer *w = ctx;
    struct closing c;
    enum work job;

    (void) bytes;
    bp_mutex_lock(&w->lock);
    job = next_work_locked(w, &c);
    bp_mutex_unlock(&w->lock);
    return job != WORK_HASH;
}

/* While there is nothing better to do: SHA-256 of closed segments, so that little is left for the
 * end. Interrupted, it starts that file again later. */
static void hash_segments(struct bp_writer *w) {
    int r = bp_folder_hash(&w->folder, w->io, stop_hashing, w, NULL);

    if (r == -ECANCELED)
        return;
    w->unhashed = false;
    w->proven = 0; /* what was written lacks those */
    prove(w);
}

static void forget(struct bp_writer *w) {
    bp_writer_forget_gone(w);
    bp_mutex_lock(&w->lock);
    w->forget_at = bp_mono_ns() + FORGET_MS * BP_MS;
    bp_mutex_unlock(&w->lock);
}

static enum work wait_for_work(struct bp_writer *w, struct closing *c) {
    enum work job;

    bp_mutex_lock(&w->lock);
    while ((job = next_work_locked(w, c)) == WORK_NONE) {
        struct timespec ts;
        bool retry = (!w->spare || w->want_extend) && !w->finished;
        bp_ns_t nap = w->unhashed ? BP_SEC : w->gone ? FORGET_MS * BP_MS : 10 * BP_SEC;

        bp_writer_until(&ts,
                        retry ? BP_MAX(w->retry_at, bp_mono_ns() + BP_MS) : bp_mono_ns() + nap);
        (void) pthread_cond_timedwait(&w->cv_prep, &w->lock.m, &ts);
    }
    if (job == WORK_CLOSE) {
        w->nclosing--;
        memmove(w->closing, w->closing + 1, w->nclosing * sizeof *w->closing);
        pthread_cond_broadcast(&w->cv_segment);
    }
    bp_mutex_unlock(&w->lock);
    return job;
}

void *bp_writer_preparer(void *arg) {
    struct bp_writer *w = arg;
    struct closing c = { 0 };

    for (;;) {
        switch (wait_for_work(w, &c)) {
        case WORK_TELL:
            bp_writer_tell_closed(w);
            break;
        case WORK_CLOSE:
            close_segment(w, &c);
            break;
        case WORK_SPARE:
            serve_spare(w);
            break;
        case WORK_EXTEND:
            serve_extension(w);
            break;
        case WORK_FORGET:
            forget(w);
            break;
        case WORK_HASH:
            hash_segments(w);
            break;
        default:
            return NULL;
        }
    }
}
