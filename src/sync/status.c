/* How it stands, for whoever asks. */
#include "sync/engine-priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "sync/merge.h"

static const char *const state_names[] = {
    [BP_SYNC_UNKNOWN] = "unknown", [BP_SYNC_ONLINE] = "online",
    [BP_SYNC_OFFLINE] = "offline", [BP_SYNC_WAITING] = "waiting",
    [BP_SYNC_PAUSED] = "paused",   [BP_SYNC_CLOSED_WINDOW] = "closed_window",
};
static_assert(BP_COUNT(state_names) == BP_SYNC_STATES_N_, "every state has a name");

static const char *const row_names[] = {
    [BP_SYNC_ROW_WAITING] = "waiting", [BP_SYNC_ROW_PARKED] = "parked",
    [BP_SYNC_ROW_FAILED] = "failed",   [BP_SYNC_ROW_DONE] = "done",
    [BP_SYNC_ROW_KEPT] = "kept",
};
static_assert(BP_COUNT(row_names) == BP_SYNC_ROWS_N_, "every state has a name");
static_assert(BP_SYNC_ROW_WAITING == 0 && BP_SYNC_ROW_PARKED == 1 && BP_SYNC_ROW_FAILED == 2 &&
                  BP_SYNC_ROW_DONE == 3 && BP_SYNC_ROW_KEPT == 4,
              "as the queue's SQL has them");

const char *bp_sync_state_name(enum bp_sync_state s) {
    return (unsigned) s < BP_SYNC_STATES_N_ ? state_names[s] : "unknown";
}

const char *bp_sync_row_name(enum bp_sync_row_state s) {
    return (unsigned) s < BP_SYNC_ROWS_N_ ? row_names[s] : "unknown";
}

int bp_sync_row_from_name(const char *name) {
    for (int i = 0; i < BP_SYNC_ROWS_N_; i++)
        if (bp_streq(row_names[i], name))
            return i;
    return -EINVAL;
}

/* ---- the snapshot ---- */

void bp_sync_status_done(struct bp_sync_status *st) {
    for (size_t i = 0; i < st->ntargets; i++) {
        struct bp_sync_target_status *t = &st->targets[i];

        for (size_t k = 0; k < t->nactive; k++)
            free(t->active[k].file);
        free(t->active);
        free(t->name);
        free(t->url);
        free(t->kind);
    }
    free(st->targets);
    *st = (struct bp_sync_status){ 0 };
}

static bp_ns_t eta(uint64_t bytes, double rate) {
    double sec = rate > 0 ? (double) bytes / rate : 0;

    return sec > 0 && sec < 1e9 ? (bp_ns_t) (sec * 1e9) : 0;
}

/* Room for `room` transfers; those that came meanwhile are told next time. */
static int copy_active_locked(struct bp_sync_line *l, struct bp_sync_target_status *t,
                              size_t room) BP_NO_THREAD_SAFETY {
    bp_ns_t now = bp_sync_mono(l->s);

    for (struct bp_sync_transfer *x = l->transfers; x && t->nactive < room; x = x->next) {
        struct bp_sync_active *a = &t->active[t->nactive];

        a->file = strdup(x->job.remote);
        if (!a->file)
            return -ENOMEM;
        (void) snprintf(a->session, sizeof a->session, "%s", x->job.session);
        a->bytes = x->job.bytes;
        a->flying = BP_MIN(x->flying, a->bytes - BP_MIN(x->done, a->bytes));
        a->done = BP_MIN(x->done, a->bytes) + a->flying;
        a->rate = bp_sync_meter_rate(&x->meter, now);
        a->eta = eta(a->bytes - BP_MIN(a->done, a->bytes), a->rate);
        t->nactive++;
    }
    return 0;
}

static void copy_state_locked(const struct bp_sync_line *l,
                              struct bp_sync_target_status *t) BP_NO_THREAD_SAFETY {
    struct bp_sync *s = l->s;
    bp_ns_t now = bp_sync_mono(s), next = 0;

    t->state = l->state;
    t->class = l->class;
    t->since_wall_ns = l->since_wall;
    t->clock_offset = l->clock_offset;
    t->sent = l->sent;
    t->resent = l->resent;
    t->have = l->have;
    (void) snprintf(t->text, sizeof t->text, "%s", l->text);
    if (l->state == BP_SYNC_OFFLINE)
        next = l->next_probe;
    if (l->state == BP_SYNC_WAITING)
        next = l->wait_until;
    t->next_wall_ns = next ? bp_sync_wall(s) + BP_MAX(next - now, 0) : 0;
    if (s->paused || l->paused)
        t->state = BP_SYNC_PAUSED;
    else if (s->closed_window && l->state == BP_SYNC_ONLINE)
        t->state = BP_SYNC_CLOSED_WINDOW;
}

static int snapshot_line(struct bp_sync_line *l, struct bp_sync_target_status *t,
                         struct bp_error *err) {
    struct bp_sync *s = l->s;
    struct bp_sync_counts c;
    size_t room = 2 * (size_t) s->parallel;
    int r;

    t->name = strdup(l->name);
    t->url = strdup(l->url);
    t->kind = strdup(l->t.ops->name);
    t->active = calloc(room, sizeof *t->active);
    if (!t->name || !t->url || !t->kind || !t->active)
        return bp_fail(err, -ENOMEM, "no memory for a status");
    r = bp_sync_queue_counts(s->queue, l->name, &c, err);
    if (r < 0)
        return r;
    t->waiting = c.waiting;
    t->parked = c.parked;
    t->failed = c.failed;
    t->done = c.done;
    t->optional = l->optional;
    bp_mutex_lock(&s->lock);
    copy_state_locked(l, t);
    t->rate = bp_sync_meter_rate(&l->meter, bp_sync_mono(s));
    r = copy_active_locked(l, t, room);
    bp_mutex_unlock(&s->lock);
    t->eta = eta(t->waiting.bytes, t->rate);
    return r < 0 ? bp_fail(err, r, "no memory for a status") : 0;
}

int bp_sync_get_status(struct bp_sync *s, struct bp_sync_status *ret, struct bp_error *err) {
    BP_CLEANUP(bp_sync_status_done) struct bp_sync_status st = { .running = s->started };
    int r = 0;

    st.targets = calloc(s->nlines + 1, sizeof *st.targets);
    if (!st.targets)
        return bp_fail(err, -ENOMEM, "no memory for a status");
    for (size_t i = 0; r >= 0 && i < s->nlines; i++) {
        st.ntargets++;
        r = snapshot_line(&s->lines[i], &st.targets[i], err);
    }
    if (r < 0)
        return r;
    bp_mutex_lock(&s->lock);
    st.paused = s->paused;
    st.metered = s->metered;
    st.limit = s->bucket.rate;
    bp_mutex_unlock(&s->lock);
    *ret = BP_TAKE(st, ((struct bp_sync_status){ 0 }));
    return 0;
}

int bp_sync_list(struct bp_sync *s, const struct bp_sync_query *q,
                 int (*fn)(void *ctx, const struct bp_sync_row *r), void *ctx,
                 struct bp_error *err) {
    return bp_sync_queue_list(s->queue, q, fn, ctx, err);
}

int bp_sync_is_safe(struct bp_sync *s, const char *session, struct bp_error *err) {
    const char *required[64];
    size_t n = 0;

    for (size_t i = 0; i < s->nlines && n < BP_COUNT(required); i++)
        if (!s->lines[i].optional)
            required[n++] = s->lines[i].name;
    return bp_sync_queue_is_safe(s->queue, session, required, n, err);
}

/* ---- waiting ---- */

/* Does a line have something that goes, or will within the longest pause? */
static int is_going(struct bp_sync_line *l, struct bp_error *err) {
    struct bp_sync *s = l->s;
    bp_ns_t soon = bp_sync_mono(s) + BP_SYNC_BACKOFF_MAX + BP_SEC;
    BP_AUTO_SYNC_DUE due = { 0 };
    BP_AUTO_SYNC_JOB job = { 0 };
    BP_AUTO_SYNC_ABORT left = { 0 };
    bool busy, refused, going;
    int r = bp_sync_queue_due(s->queue, l->name, soon, false, &due, err);

    if (r == 0)
        r = bp_sync_queue_next(s->queue, l->name, soon, false, NULL, NULL, &job, err);
    going = r > 0;
    if (r == 0)
        r = bp_sync_queue_next_abort(s->queue, l->name, soon, NULL, NULL, &left, err);
    if (r < 0)
        return r;
    going = going || (r > 0 && left.tries == 0); /* they do no harm over there: once is enough */
    bp_mutex_lock(&s->lock);
    busy = l->transfers || l->telling;
    refused = l->state == BP_SYNC_WAITING && !l->want_probe && l->wait_until > soon;
    bp_mutex_unlock(&s->lock);
    return busy || (going && !refused);
}

/* @return 1 when nothing is left that could go; then @param ret_stuck  something is left */
static int look(struct bp_sync *s, bool *ret_stuck, struct bp_error *err) {
    bool going = false;

    for (size_t i = 0; i < s->nlines; i++) {
        struct bp_sync_line *l = &s->lines[i];
        BP_AUTO_SYNC_DUE due = { 0 };
        struct bp_sync_counts c;
        int r = is_going(l, err), late;

        if (r < 0)
            return r;
        going = going || r > 0;
        r = bp_sync_queue_counts(s->queue, l->name, &c, err);
        late = r < 0 ? r : bp_sync_queue_due(s->queue, l->name, INT64_MAX, false, &due, err);
        if (late < 0)
            return late;
        *ret_stuck = *ret_stuck || late || c.waiting.files || c.parked.files || c.failed.files ||
                     c.kept.files;
    }
    return !going;
}

/* Why, as far as a target said it. */
static int stuck(struct bp_sync *s, struct bp_error *err) {
    char text[400] = "";

    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->nlines && !text[0]; i++)
        if (s->lines[i].text[0])
            (void) snprintf(text, sizeof text, "%s", s->lines[i].text);
    bp_mutex_unlock(&s->lock);
    return bp_fail(err, BP_EMISMATCH, "not everything could be sent%s%s", text[0] ? ": " : "",
                   text);
}

int bp_sync_wait(struct bp_sync *s, bp_ns_t timeout, const bool *cancel, struct bp_error *err) {
    bp_ns_t until = bp_mono_ns() + timeout;

    for (;;) {
        bool is_left = false;
        int r = look(s, &is_left, err);

        if (r < 0)
            return r;
        if (r > 0)
            return is_left ? stuck(s, err) : 0;
        if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED))
            return bp_fail(err, -ECANCELED, "not everything is sent yet");
        if (bp_mono_ns() >= until)
            return bp_fail(err, -ETIMEDOUT, "not everything is sent yet");
        bp_sleep(50 * BP_MS);
    }
}

/* ---- decisions ---- */

int bp_sync_decisions(struct bp_sync *s, int (*fn)(void *ctx, const struct bp_sync_decision *d),
                      void *ctx, struct bp_error *err) {
    return bp_sync_queue_decisions(s->queue, fn, ctx, err);
}

struct undo {
    int64_t number;
    bool found;
    char *target, *session, *file, *ours, *theirs, *result;
    char *changed; /* the session's JSON, to be told */
    enum bp_sync_policy policy;
};

static int find_decision(void *ctx, const struct bp_sync_decision *d) {
    struct undo *u = ctx;

    if (d->number != u->number)
        return 0;
    u->found = true;
    u->policy = d->policy;
    u->target = strdup(d->target);
    u->session = strdup(d->session);
    u->file = strdup(d->file);
    u->ours = strdup(d->ours);
    u->theirs = strdup(d->theirs);
    u->result = strdup(d->result);
    return u->target && u->session && u->file && u->ours && u->theirs && u->result ? 1 : -ENOMEM;
}

static void undo_done(struct undo *u) {
    free(u->target);
    free(u->session);
    free(u->file);
    free(u->ours);
    free(u->theirs);
    free(u->result);
    free(u->changed);
}

/* What lost, as an edit on top of what won. */
static int undo_session(struct bp_sync *s, struct undo *u, struct bp_error *err) {
    const char *lost = u->policy == BP_SYNC_POLICY_LOCAL ? u->theirs : u->ours;
    BP_AUTO_FREE char *json = NULL;
    int r = bp_sync_supersede(lost, u->result, s->device, &json);

    if (r >= 0)
        r = bp_sync_queue_set_json(s->queue, u->session, json, u->target, err);
    if (r >= 0)
        u->changed = BP_TAKE_PTR(json);
    return r;
}

struct find_upload {
    const struct undo *u;
    int64_t upload;
};

static int match_upload(void *ctx, const struct bp_sync_row *r) {
    struct find_upload *f = ctx;
    bool renamed = bp_streq(r->file, f->u->result);

    if (!renamed && !bp_streq(r->file, f->u->file))
        return 0;
    f->upload = r->number;
    return renamed;
}

/* Ours takes the name. Theirs is not ours to bring back once it was replaced. */
static int undo_file(struct bp_sync *s, const struct undo *u, struct bp_error *err) {
    struct find_upload f = { .u = u };
    struct bp_sync_query q = {
        .target = u->target, .session = u->session, .state = -1, .limit = UINT32_MAX
    };
    int r;

    if (u->policy != BP_SYNC_POLICY_REMOTE && bp_streq(u->result, u->ours))
        return bp_fail(err, -EOPNOTSUPP, "'%s' was replaced on '%s': it has to be restored there",
                       u->file, u->target);
    r = bp_sync_queue_list(s->queue, &q, match_upload, &f, err);
    if (r >= 0 && f.upload == 0)
        return bp_fail(err, -ENOENT, "the upload queue knows '%s' no more", u->file);
    return r < 0 ? r : bp_sync_queue_redirect(s->queue, f.upload, u->file, true, err);
}

int bp_sync_undo(struct bp_sync *s, int64_t number, struct bp_error *err) {
    BP_CLEANUP(undo_done) struct undo u = { .number = number };
    int r = bp_sync_queue_begin(s->queue, err);

    if (r < 0)
        return r;
    r = bp_sync_queue_decisions(s->queue, find_decision, &u, err);
    if (r >= 0)
        r = bp_sync_queue_undone(s->queue, number, err); /* says when there is none */
    if (r >= 0)
        r = u.file[0] ? undo_file(s, &u, err) : undo_session(s, &u, err);
    r = bp_sync_queue_end(s->queue, r, err);
    if (r < 0)
        return r;
    if (u.changed)
        bp_sync_emit(s, (struct bp_sync_event){ .kind = BP_SYNC_EV_SESSION_CHANGED,
                                                .target = u.target,
                                                .session = u.session,
                                                .text = u.changed });
    bp_sync_kick(s);
    return 0;
}
