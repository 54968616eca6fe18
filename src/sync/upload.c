/* One file to one target: read, offered, begun, sent part by part, completed, proven, concluded. */
#include "sync/engine-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "crypt/digest.h"
#include "crypt/sign.h"

/* ---- making and freeing ---- */

struct bp_sync_transfer *bp_sync_transfer_new(struct bp_sync_line *l, struct bp_sync_job *taken) {
    struct bp_sync_transfer *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->line = l;
    t->fd = -1;
    t->job = BP_TAKE(*taken, ((struct bp_sync_job){ 0 }));
    t->ref = (struct bp_sync_session_ref){
        .id = t->job.session,
        .name = t->job.session_name,
        .device = l->s->device,
        .robot = t->job.robot,
        .json = t->job.json,
        .started_ns = t->job.started_ns,
        .closed = t->job.closed,
        .policy = l->policy,
    };
    t->file = (struct bp_sync_file){
        .session = &t->ref,
        .name = t->job.remote,
        .path = t->path,
        .kind = t->job.kind,
        .bytes = t->job.bytes,
        .force = t->job.force,
    };
    t->up.file = &t->file;
    (void) snprintf(t->path, sizeof t->path, "%s/%s", t->job.dir, t->job.name);
    (void) snprintf(t->up.token, sizeof t->up.token, "%s", t->job.token);
    return t;
}

void bp_sync_transfer_free(struct bp_sync_transfer *t) {
    if (!t)
        return;
    if (t->fd >= 0)
        (void) close(t->fd);
    free(t->up.parts);
    bp_sync_digests_done(&t->digests);
    bp_sync_job_done(&t->job);
    free(t);
}

/* ---- ends ---- */

static void end_as(struct bp_sync_transfer *t, enum bp_sync_end end) {
    bp_mutex_lock(&t->line->s->lock);
    if (!t->ended) {
        t->ended = true;
        t->end = end;
    }
    bp_mutex_unlock(&t->line->s->lock);
}

/* The first failure counts; it ends the transfer. */
static void fail_as(struct bp_sync_transfer *t, const struct bp_sync_failure *f) {
    bool first;

    bp_mutex_lock(&t->line->s->lock);
    first = !t->ended;
    if (first) {
        t->ended = true;
        t->end = BP_SYNC_END_FAILED;
        t->failure = *f;
    }
    bp_mutex_unlock(&t->line->s->lock);
    if (first && f->class != BP_SYNC_CANCELED)
        bp_sync_line_failed(t->line, f);
}

static void fail_local(struct bp_sync_transfer *t, int code, const char *what) {
    struct bp_sync_failure f = { .class = BP_SYNC_LOCAL };

    (void) snprintf(f.text, sizeof f.text, "%s '%s': %s", what, t->path, bp_strerror(code));
    fail_as(t, &f);
}

static void fail_queue(struct bp_sync_transfer *t, const struct bp_error *err) {
    struct bp_sync_failure f = { .class = BP_SYNC_LOCAL };

    (void) snprintf(f.text, sizeof f.text, "%s", err->text);
    fail_as(t, &f);
}

/* Lets go of it; the next who looks concludes it, sends its parts or completes it. */
static void release(struct bp_sync_transfer *t, enum bp_sync_phase phase) {
    struct bp_sync *s = t->line->s;

    bp_mutex_lock(&s->lock);
    t->phase = phase;
    t->taken = false;
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
}

/* ---- reading ---- */

static bp_ns_t mtime_of(const struct stat *st) {
    return st->st_mtim.tv_sec * BP_SEC + st->st_mtim.tv_nsec;
}

/* Is what was opened still what has this name? A recording's files are written beside and swapped,
 * or, by somebody else, in place. */
static bool is_as_opened(const struct bp_sync_transfer *t) {
    struct stat mine, now;

    if (fstat(t->fd, &mine) < 0 || mtime_of(&mine) != t->mtime_ns ||
        (uint64_t) mine.st_size != t->file.bytes)
        return false;
    if (stat(t->path, &now) < 0)
        return errno == ENOENT; /* deleted is not changed */
    return mine.st_dev == now.st_dev && mine.st_ino == now.st_ino;
}

/* Grown until the number of parts fits. */
static uint64_t wished_part(const struct bp_sync_transfer *t, uint64_t bytes) {
    uint64_t part =
        t->job.token[0] && t->job.part_bytes ? t->job.part_bytes : t->line->s->part_bytes;

    while (bytes / part >= BP_SYNC_PARTS_MAX - 1)
        part *= 2;
    return part;
}

/* Reads the whole file; the digest goes into queue and file. @return false when it has ended */
static bool hash_file(struct bp_sync_transfer *t) {
    struct bp_error err = { 0 };
    struct stat st = { 0 };
    int r = stat(t->path, &st) < 0 ? -errno : 0; /* before: a change while reading is one, too */

    if (r == 0)
        r = bp_sync_digests_of(t->path, wished_part(t, (uint64_t) st.st_size), &t->cancel,
                               &t->digests, &err);

    if (r == -ECANCELED) {
        fail_as(t, &(struct bp_sync_failure){ .class = BP_SYNC_CANCELED });
        return false;
    }
    if (r < 0) {
        fail_local(t, r, "cannot read");
        return false;
    }
    r = bp_sync_queue_set_digest(t->line->s->queue, &t->job, t->digests.bytes, mtime_of(&st),
                                 t->digests.hex, &err);
    if (r < 0)
        fail_queue(t, &err);
    if (r > 0)
        end_as(t, BP_SYNC_END_MOOT);
    bp_mutex_lock(&t->line->s->lock); /* is_at_work() looks at it */
    memcpy(t->job.sha256, t->digests.hex, sizeof t->job.sha256);
    bp_mutex_unlock(&t->line->s->lock);
    return r == 0;
}

/* Opens the file and makes sure that size and digest are known. */
static bool open_file(struct bp_sync_transfer *t) {
    struct stat st;

    t->fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (t->fd < 0 || fstat(t->fd, &st) < 0) {
        fail_local(t, -errno, "cannot open");
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        fail_local(t, -EINVAL, "is no file:");
        return false;
    }
    t->mtime_ns = mtime_of(&st);
    if ((!t->job.sha256[0] || (uint64_t) st.st_size != t->job.bytes ||
         t->mtime_ns != t->job.mtime_ns) &&
        !hash_file(t))
        return false;
    if (!is_as_opened(t)) { /* it was swapped between: the next try has one file for both */
        fail_as(t, &(struct bp_sync_failure){ .class = BP_SYNC_CANCELED });
        return false;
    }
    memcpy(t->file.hex, t->job.sha256, sizeof t->file.hex);
    if (bp_key_digits(bp_str_of(t->file.hex), t->file.sha256, sizeof t->file.sha256) < 0) {
        fail_local(t, -EINVAL, "has no digest:");
        return false;
    }
    return true;
}

static bool hash_part(struct bp_sync_transfer *t, uint32_t n, struct bp_sync_body *body,
                      uint8_t *buf) {
    const uint8_t *known = bp_sync_digests_part(&t->digests, t->up.part_bytes, n);
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *h = known ? NULL : bp_sha256_new();
    uint64_t at = 0;

    if (known) {
        memcpy(body->sha256, known, sizeof body->sha256);
        return true;
    }
    if (!h) {
        fail_local(t, -ENOMEM, "cannot read");
        return false;
    }
    while (at < body->size) {
        ssize_t k = bp_io_posix.pread(NULL, t->fd, buf, BP_MIN(BP_SYNC_READ, body->size - at),
                                      body->offset + at);

        if (k <= 0) { /* it became shorter */
            fail_local(t, k < 0 ? (int) k : -EIO, "cannot read");
            return false;
        }
        bp_sha256_add(h, buf, (size_t) k);
        at += (uint64_t) k;
    }
    bp_sha256_end(h, body->sha256);
    return true;
}

/* ---- beginning ---- */

static int begin(struct bp_sync_transfer *t) {
    struct bp_sync_line *l = t->line;
    struct bp_sync_theirs theirs = { 0 };
    struct bp_sync_failure f = { 0 };
    struct bp_error err = { 0 };
    int r = bp_sync_upload_layout(&t->up, wished_part(t, t->file.bytes));

    if (r < 0) {
        fail_local(t, r, "cannot send");
        return r;
    }
    if (t->job.token[0] && bp_sync_queue_get_parts(l->s->queue, t->job.upload, &t->up, &err) < 0) {
        fail_queue(t, &err);
        return -EIO;
    }
    r = l->t.ops->begin(l->t.self, &t->up, &theirs, &f);
    t->begun = r == 0;
    if (r < 0 && f.class == BP_SYNC_CONFLICT)
        bp_sync_file_conflict(t, theirs.sha256);
    else if (r < 0)
        fail_as(t, &f);
    free(theirs.json);
    return r;
}

/* A queue that cannot be written (the disk is full) does not stop what may free it: without a note
 * begin() asks the other side. */
static void save_begun(struct bp_sync_transfer *t) {
    struct bp_sync_queue *q = t->line->s->queue;
    struct bp_error err = { 0 };
    int r = bp_sync_queue_begin(q, &err);

    if (r >= 0) {
        r = bp_sync_queue_begun(q, t->job.upload, t->up.token, t->up.part_bytes, &err);
        if (r == 0)
            r = bp_sync_queue_set_parts(q, t->job.upload, &t->up, &err);
        else if (r > 0) /* the file has changed meanwhile */
            r = bp_sync_queue_abandon(q, t->line->name, &t->job, t->file.hex, t->up.token, &err);
        r = bp_sync_queue_end(q, r, &err);
    }
    if (r < 0)
        bp_sync_complain(t->line->s, "cannot note that an upload has begun", &err);
}

static void count_there(struct bp_sync_transfer *t, bool *ret_all) {
    struct bp_sync *s = t->line->s;

    *ret_all = true;
    bp_mutex_lock(&s->lock);
    for (uint32_t n = 0; n < t->up.nparts; n++) {
        if (t->up.parts[n].there)
            t->done += bp_sync_part_size(&t->up, n);
        else
            *ret_all = false;
    }
    t->line->have += t->done;
    bp_mutex_unlock(&s->lock);
    bp_counter_add(&bp_sync_stats.have, t->done);
}

static void had_it(struct bp_sync_transfer *t) {
    bp_mutex_lock(&t->line->s->lock);
    t->line->have += t->file.bytes;
    t->done = t->file.bytes;
    bp_mutex_unlock(&t->line->s->lock);
    bp_counter_add(&bp_sync_stats.have, t->file.bytes);
    end_as(t, BP_SYNC_END_DONE);
}

static bool prepare(struct bp_sync_transfer *t) {
    struct bp_sync_line *l = t->line;
    struct bp_sync_failure f = { 0 };
    bool all = false;
    int r;

    if (!open_file(t))
        return false;
    if (t->job.kind == BP_SYNC_MANIFEST && (l->t.ops->flags & BP_SYNC_MANIFEST_LAST) &&
        bp_sync_check_manifest(l, t->job.session, t->job.dir, &f) < 0) {
        fail_as(t, &f);
        return false;
    }
    r = l->t.ops->have && !t->job.token[0] ? l->t.ops->have(l->t.self, &t->file, &f) : 0;
    if (r < 0)
        fail_as(t, &f);
    if (r > 0)
        had_it(t);
    if (r != 0)
        return false;
    r = begin(t);
    if (r > 0)
        had_it(t);
    if (r != 0)
        return false;
    save_begun(t);
    count_there(t, &all);
    bp_sync_emit(l->s, (struct bp_sync_event){ .kind = BP_SYNC_EV_BEGUN,
                                               .target = l->name,
                                               .session = t->job.session,
                                               .file = t->job.remote,
                                               .bytes = t->file.bytes });
    return all;
}

void bp_sync_prepare(struct bp_sync_transfer *t) {
    release(t, prepare(t) ? BP_SYNC_COMPLETE : BP_SYNC_PARTS);
}

/* ---- parts ---- */

/* Waking for each piece of 64 KiB costs more than sending it. */
#define PACE_LEAST (50 * BP_MS)

struct pacing {
    struct bp_sync_transfer *t;
    uint64_t sent;
};

static void pace(void *ctx, size_t n) BP_NO_THREAD_SAFETY {
    struct pacing *p = ctx;
    struct bp_sync_transfer *t = p->t;
    struct bp_sync *s = t->line->s;
    bp_ns_t now, until;

    bp_mutex_lock(&s->lock);
    now = bp_sync_mono(s);
    until = now + bp_bucket_take(&s->bucket, (double) n, now);
    if (until - now < PACE_LEAST) /* owed, and waited for with what comes next */
        until = now;
    while (now < until && !t->cancel) {
        bp_sync_wait_locked(s, until);
        now = bp_sync_mono(s);
    }
    bp_sync_meter_add(&t->line->meter, n, now);
    bp_sync_meter_add(&t->meter, n, now);
    t->line->sent += n;
    t->flying += n;
    bp_mutex_unlock(&s->lock);
    p->sent += n;
    bp_counter_add(&bp_sync_stats.sent, n);
}

static void wasted(struct bp_sync_transfer *t, uint64_t bytes) {
    bp_mutex_lock(&t->line->s->lock);
    t->line->resent += bytes;
    bp_mutex_unlock(&t->line->s->lock);
    bp_counter_add(&bp_sync_stats.resent, bytes);
}

static void arrived(struct bp_sync_transfer *t, uint32_t n, const char *etag, uint64_t bytes) {
    struct bp_sync *s = t->line->s;
    struct bp_error err = { 0 };

    if (bp_sync_queue_put_part(s->queue, t->job.upload, n, etag, bytes, &err) < 0)
        bp_sync_complain(s, "cannot note a part", &err); /* begin() will find out */
    bp_counter_add(&bp_sync_stats.parts, 1);
    bp_mutex_lock(&s->lock);
    t->up.parts[n].there = true;
    (void) snprintf(t->up.parts[n].etag, sizeof t->up.parts[n].etag, "%s", etag);
    t->done += bytes;
    t->progressed = true;
    t->line->throttled = 0;
    t->line->clock_tries = 0;
    t->line->refused = 0;
    bp_mutex_unlock(&s->lock);
}

/* Was it the last one? @param sent  of it, arrived or not */
static void part_over(struct bp_sync_transfer *t, uint64_t sent) {
    struct bp_sync *s = t->line->s;
    bool all = true;

    bp_mutex_lock(&s->lock);
    t->inflight--;
    t->flying -= sent;
    for (uint32_t n = 0; all && n < t->up.nparts; n++)
        all = t->up.parts[n].there;
    if (all && t->inflight == 0)
        t->phase = BP_SYNC_COMPLETE;
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
}

void bp_sync_put_part(struct bp_sync_transfer *t, uint32_t n, uint8_t *buf) {
    struct bp_sync_line *l = t->line;
    struct pacing p = { .t = t };
    struct bp_sync_body body = { .fd = t->fd,
                                 .offset = n * t->up.part_bytes,
                                 .size = bp_sync_part_size(&t->up, n),
                                 .pace = pace,
                                 .pace_ctx = &p,
                                 .cancel = &t->cancel };
    struct bp_sync_failure f = { 0 };
    char etag[BP_SYNC_ETAG] = "";

    if (hash_part(t, n, &body, buf)) {
        if (l->t.ops->put(l->t.self, &t->up, n, &body, etag, &f) >= 0) {
            arrived(t, n, etag, body.size);
        } else {
            wasted(t, p.sent);
            fail_as(t, &f);
        }
        /* sent is sent: the cache is for others */
        (void) posix_fadvise(t->fd, (off_t) body.offset, (off_t) body.size, POSIX_FADV_DONTNEED);
    }
    part_over(t, p.sent);
}

/* ---- completing ---- */

/* They say it is another content than ours. Is it ours that has changed? */
static void judge_mismatch(struct bp_sync_transfer *t, struct bp_sync_failure *f) {
    if (!hash_file(t)) /* it has; it is begun anew, or cannot be read */
        return;
    fail_as(t, f);
}

void bp_sync_complete(struct bp_sync_transfer *t) {
    struct bp_sync_line *l = t->line;
    struct bp_sync_failure f = { 0 };
    struct bp_error err = { 0 };
    int r = l->t.ops->complete(l->t.self, &t->up, &f);

    if (r >= 0)
        r = l->t.ops->verify(l->t.self, &t->file, &f);
    if (r == 0)
        r = bp_sync_fail(&f, BP_SYNC_MISMATCH,
                         "'%s' says it has another content, or none, after all parts arrived",
                         l->name);
    if (r > 0 && (is_as_opened(t) || hash_file(t))) /* changed and told: a new upload has it */
        end_as(t, bp_streq(t->job.sha256, t->file.hex) ? BP_SYNC_END_DONE : BP_SYNC_END_MOOT);
    else if (r <= 0 && f.class == BP_SYNC_MISMATCH) {
        wasted(t, t->file.bytes);
        t->spoiled = true;
        if (bp_sync_queue_reset(l->s->queue, t->job.upload, &err) < 0)
            bp_sync_complain(l->s, "cannot begin an upload anew", &err);
        judge_mismatch(t, &f);
    } else if (r <= 0)
        fail_as(t, &f);
    release(t, BP_SYNC_COMPLETE);
}

/* ---- the end ---- */

static bp_ns_t backoff(struct bp_sync *s, unsigned tries) {
    bp_ns_t pause;

    bp_mutex_lock(&s->lock);
    pause = bp_sync_backoff(tries, &s->rng);
    bp_mutex_unlock(&s->lock);
    return pause;
}

static struct bp_sync_outcome outcome_of(struct bp_sync_transfer *t) {
    struct bp_sync *s = t->line->s;
    const struct bp_sync_failure *f = &t->failure;
    struct bp_sync_outcome o = { .class = f->class,
                                 .error = f->text,
                                 .tries = t->progressed ? 1 : t->job.tries + 1 };

    switch (f->class) {
    case BP_SYNC_CANCELED: /* nothing of it is the file's fault */
        o.class = BP_SYNC_OK;
        o.error = NULL;
        o.tries = t->job.tries;
        break;
    case BP_SYNC_THROTTLED:
    case BP_SYNC_AUTH:
    case BP_SYNC_QUOTA:
        o.tries = t->job.tries; /* the line waits */
        break;
    case BP_SYNC_PERMANENT:
        o.state = BP_SYNC_ROW_FAILED;
        break;
    case BP_SYNC_LOCAL:
        o.state = BP_SYNC_ROW_PARKED;
        break;
    case BP_SYNC_CLOCK:
    case BP_SYNC_LOST:
        if (o.tries == 1) /* put right by now */
            break;
        /* fall through */
    default:
        o.next_mono = bp_sync_mono(s) + BP_MAX(backoff(s, o.tries), f->retry_after);
        break;
    }
    if (o.state == BP_SYNC_ROW_WAITING && o.tries >= BP_SYNC_TRIES)
        o.state = BP_SYNC_ROW_PARKED;
    return o;
}

static void tell_outcome(struct bp_sync_transfer *t, const struct bp_sync_outcome *o) {
    struct bp_sync_event e = { .target = t->line->name,
                               .session = t->job.session,
                               .file = t->job.remote,
                               .text = o->error,
                               .class = o->class,
                               .bytes = t->file.bytes };

    switch (o->state) {
    case BP_SYNC_ROW_DONE:
        bp_counter_add(&bp_sync_stats.files, 1);
        e.kind = BP_SYNC_EV_FILE;
        break;
    case BP_SYNC_ROW_PARKED:
        bp_counter_add(&bp_sync_stats.parked, 1);
        e.kind = BP_SYNC_EV_PARKED;
        break;
    case BP_SYNC_ROW_FAILED:
        e.kind = BP_SYNC_EV_FAILED;
        break;
    default:
        return;
    }
    bp_sync_emit(t->line->s, e);
}

static void unlist(struct bp_sync_transfer *t, bool noted) {
    struct bp_sync_line *l = t->line;

    bp_mutex_lock(&l->s->lock);
    for (struct bp_sync_transfer **p = &l->transfers; *p; p = &(*p)->next) {
        if (*p == t) {
            *p = t->next;
            break;
        }
    }
    l->dry = !noted; /* not the same one again at once */
    l->dry_until = bp_sync_mono(l->s) + 10 * BP_SEC;
    l->kicks++;
    bp_sync_wake_locked(l->s);
    bp_mutex_unlock(&l->s->lock);
    bp_gauge_add(&bp_sync_stats.active, -1);
}

/* The target lets go of it: for good when nobody comes back to this token. */
static void let_go(struct bp_sync_transfer *t) {
    const struct bp_sync_target *target = &t->line->t;

    if (!t->begun || t->end == BP_SYNC_END_DONE)
        return; /* complete() has released it, or there is nothing */
    if (t->end != BP_SYNC_END_FAILED || t->failure.class == BP_SYNC_PERMANENT || t->spoiled)
        bp_sync_give_up(t);
    else if (target->ops->park)
        target->ops->park(target->self, &t->up);
}

void bp_sync_conclude(struct bp_sync_transfer *t) {
    struct bp_sync *s = t->line->s;
    struct bp_sync_outcome o = { 0 };
    struct bp_error err = { 0 };
    int r = 0;

    let_go(t);
    if (t->end == BP_SYNC_END_DONE)
        o = (struct bp_sync_outcome){ .state = BP_SYNC_ROW_DONE, .confirmed_ns = bp_sync_wall(s) };
    else if (t->end == BP_SYNC_END_KEPT)
        o = (struct bp_sync_outcome){ .state = BP_SYNC_ROW_KEPT, .class = BP_SYNC_CONFLICT };
    else if (t->end == BP_SYNC_END_FAILED)
        o = outcome_of(t);
    if ((t->end == BP_SYNC_END_FAILED && t->failure.class == BP_SYNC_LOST) ||
        (t->end == BP_SYNC_END_DONE && !t->begun && t->job.token[0])) /* it was there otherwise */
        r = bp_sync_queue_reset(s->queue, t->job.upload, &err);
    if (r >= 0 && t->end != BP_SYNC_END_MOOT)
        r = bp_sync_queue_set_outcome(s->queue, t->job.upload, &o, &err);
    if (r < 0)
        bp_sync_complain(s, "cannot note what became of an upload", &err);
    else if (t->end != BP_SYNC_END_MOOT)
        tell_outcome(t, &o);
    unlist(t, r >= 0);
    bp_sync_transfer_free(t);
}
