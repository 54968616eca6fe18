/* Giving up uploads at their targets, so that nothing of them lies there: a server's spool, a
 * bucket's parts. Whoever ends a transfer for good tries at once; what cannot be reached then is in
 * the queue's list, and so is what a kill came between. One of them is taken before each new file,
 * by the thread that picks: so none is begun meanwhile that could be the same one over there. */
#include "sync/engine-priv.h"

#include <stdio.h>

/* Is there nothing left to abort? It has expired or was aborted, became a file, or never was. */
static bool is_over(int r, const struct bp_sync_failure *f) {
    return r >= 0 || f->class == BP_SYNC_LOST || f->class == BP_SYNC_CONFLICT ||
           f->class == BP_SYNC_PERMANENT;
}

void bp_sync_give_up(struct bp_sync_transfer *t) {
    struct bp_sync_line *l = t->line;
    struct bp_sync_queue *q = l->s->queue;
    struct bp_sync_failure f = { 0 };
    struct bp_error err = { 0 };
    int r = l->t.ops->abort(l->t.self, &t->up, &f);

    if (!t->up.token[0])
        return;
    r = is_over(r, &f) ? bp_sync_queue_aborted(q, l->name, &t->job, t->file.hex, t->up.token, &err)
                       : bp_sync_queue_abandon(q, l->name, &t->job, t->file.hex, t->up.token, &err);
    if (r < 0)
        bp_sync_complain(l->s, "cannot note that an upload is given up", &err);
}

/* Who sends a file of this name may go on with the same upload. */
static bool is_at_work(void *ctx, const char *session, const char *remote) {
    struct bp_sync_line *l = ctx;
    bool found = false;

    bp_mutex_lock(&l->s->lock);
    for (const struct bp_sync_transfer *t = l->transfers; t && !found; t = t->next)
        found = bp_streq(t->job.session, session) && bp_streq(t->job.remote, remote);
    bp_mutex_unlock(&l->s->lock);
    return found;
}

static int abort_one(struct bp_sync_line *l, const struct bp_sync_abort *a,
                     struct bp_sync_failure *f) {
    struct bp_sync_session_ref ref = { .id = a->session,
                                       .name = a->session_name,
                                       .device = l->s->device,
                                       .robot = a->robot,
                                       .json = "",
                                       .started_ns = a->started_ns,
                                       .policy = l->policy };
    struct bp_sync_file file = { .session = &ref, .name = a->remote, .path = "" };
    struct bp_sync_upload u = { .file = &file };

    (void) snprintf(file.hex, sizeof file.hex, "%s", a->sha256);
    (void) snprintf(u.token, sizeof u.token, "%s", a->token);
    return l->t.ops->abort(l->t.self, &u, f);
}

int bp_sync_abort_next(struct bp_sync_line *l, struct bp_error *err) {
    struct bp_sync *s = l->s;
    BP_AUTO_SYNC_ABORT a = { 0 };
    struct bp_sync_failure f = { 0 };
    bp_ns_t now = bp_sync_mono(s), pause;
    int r = bp_sync_queue_next_abort(s->queue, l->name, now, is_at_work, l, &a, err);

    if (r <= 0)
        return r;
    r = abort_one(l, &a, &f);
    if (is_over(r, &f)) {
        r = bp_sync_queue_abort_over(s->queue, a.number, err);
        return r < 0 ? r : 1;
    }
    if (f.class == BP_SYNC_NETWORK || f.class == BP_SYNC_THROTTLED) /* it is the line's, too */
        bp_sync_line_failed(l, &f);
    bp_mutex_lock(&s->lock);
    pause = bp_sync_backoff(a.tries + 1, &s->rng);
    bp_mutex_unlock(&s->lock);
    r = bp_sync_queue_abort_later(s->queue, a.number, now + BP_MAX(pause, f.retry_after), err);
    return r < 0 ? r : 1;
}
