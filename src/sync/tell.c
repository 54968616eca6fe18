/* Sessions: telling a target of them and of their ends, and conflicts of sessions and names. */
#include "sync/engine-priv.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "bag/manifest.h"
#include "sync/merge.h"

static void note(struct bp_sync_line *l, const char *session, const char *file, const char *text,
                 enum bp_sync_class class) {
    bp_sync_emit(l->s, (struct bp_sync_event){ .kind = BP_SYNC_EV_NOTICE,
                                               .target = l->name,
                                               .session = session,
                                               .file = file,
                                               .text = text,
                                               .class = class });
}

static struct bp_sync_session_ref ref_of(struct bp_sync_line *l, const struct bp_sync_due *d) {
    return (struct bp_sync_session_ref){ .id = d->session,
                                         .name = d->name,
                                         .device = l->s->device,
                                         .robot = d->robot,
                                         .json = d->json,
                                         .started_ns = d->started_ns,
                                         .closed = d->closed,
                                         .force = d->force,
                                         .policy = l->policy };
}

/* ---- failures ---- */

static void tell_later(struct bp_sync_line *l, const struct bp_sync_due *d,
                       const struct bp_sync_failure *f) {
    struct bp_sync *s = l->s;
    struct bp_error err = { 0 };
    bool for_good = f->class == BP_SYNC_PERMANENT || f->class == BP_SYNC_LOCAL;
    bp_ns_t pause = 3600 * BP_SEC;
    unsigned tries = 0;
    int r;

    if (f->class != BP_SYNC_CANCELED)
        bp_sync_line_failed(l, f);
    r = bp_sync_queue_tell_later(s->queue, d->session, l->name, &tries, 0, f->text, &err);
    if (r >= 0 && !for_good && tries < BP_SYNC_TRIES) {
        bp_mutex_lock(&s->lock);
        pause = bp_sync_backoff(tries, &s->rng);
        bp_mutex_unlock(&s->lock);
    }
    if (r >= 0) /* counted above: the time alone */
        r = bp_sync_queue_tell_later(s->queue, d->session, l->name, NULL,
                                     bp_sync_mono(s) + BP_MAX(pause, f->retry_after), f->text,
                                     &err);
    if (r < 0)
        bp_sync_complain(s, "cannot note that a session was refused", &err);
    if (for_good || tries == BP_SYNC_TRIES)
        bp_sync_emit(
            s, (struct bp_sync_event){ .kind = for_good ? BP_SYNC_EV_FAILED : BP_SYNC_EV_PARKED,
                                       .target = l->name,
                                       .session = d->session,
                                       .text = f->text,
                                       .class = f->class });
}

/* ---- a session that was edited on both sides ---- */

static int decide(struct bp_sync_line *l, const struct bp_sync_due *d, const char *theirs,
                  const char *result) {
    struct bp_sync_decision x = { .wall_ns = bp_sync_wall(l->s),
                                  .target = l->name,
                                  .session = d->session,
                                  .file = "",
                                  .policy = l->policy,
                                  .ours = d->json,
                                  .theirs = theirs,
                                  .result = result };
    struct bp_error err = { 0 };
    char text[200];

    bp_counter_add(&bp_sync_stats.conflicts, 1);
    if (bp_sync_queue_decide(l->s->queue, &x, &err) < 0) {
        bp_sync_complain(l->s, "cannot record a decision", &err);
        return -EIO; /* what is not recorded cannot be taken back: not done */
    }
    (void) snprintf(text, sizeof text, "session was edited here and on '%s': decided by '%s'",
                    l->name, bp_sync_policy_name(l->policy));
    note(l, d->session, NULL, text, BP_SYNC_CONFLICT);
    return 0;
}

/* Ours is `json` from now on. @param force  they have to take it */
static int adopt(struct bp_sync_line *l, const struct bp_sync_due *d, const char *json, bool force,
                 struct bp_error *err) {
    struct bp_sync_queue *q = l->s->queue;
    int r = bp_sync_queue_begin(q, err);

    if (r < 0)
        return r;
    r = bp_sync_queue_set_json(q, d->session, json, force ? l->name : NULL, err);
    if (r >= 0 && !force) /* they have it */
        r = bp_sync_queue_told(q, d->session, l->name, d->revision + 1, err);
    r = bp_sync_queue_end(q, r, err);
    if (r >= 0 && !bp_streq(json, d->json))
        bp_sync_emit(l->s, (struct bp_sync_event){ .kind = BP_SYNC_EV_SESSION_CHANGED,
                                                   .target = l->name,
                                                   .session = d->session,
                                                   .text = json });
    return r;
}

static int by_policy(struct bp_sync_line *l, const char *ours, const char *theirs, char **ret) {
    switch (l->policy) {
    case BP_SYNC_POLICY_REMOTE:
        *ret = strdup(theirs);
        return *ret ? 0 : -ENOMEM;
    case BP_SYNC_POLICY_MERGE:
        return bp_sync_merge(ours, theirs, l->s->device, false, ret);
    case BP_SYNC_POLICY_KEEP_BOTH:
        return bp_sync_merge(ours, theirs, l->s->device, true, ret);
    default:
        return bp_sync_supersede(ours, theirs, l->s->device, ret);
    }
}

static int solve(struct bp_sync_line *l, const struct bp_sync_due *d, const char *theirs,
                 struct bp_error *err) {
    BP_AUTO_FREE char *result = NULL;
    int order = theirs ? bp_sync_compare(d->json, theirs) : BP_SYNC_OURS_NEWER, r;

    switch (order) {
    case BP_SYNC_SAME:
        return bp_sync_queue_told(l->s->queue, d->session, l->name, d->revision, err);
    case BP_SYNC_OURS_NEWER: /* no conflict: they have not seen it yet */
        return adopt(l, d, d->json, true, err);
    case BP_SYNC_THEIRS_NEWER:
        return adopt(l, d, theirs, false, err);
    case BP_SYNC_CONCURRENT:
        r = by_policy(l, d->json, theirs, &result);
        if (r >= 0)
            r = decide(l, d, theirs, result);
        return r < 0 ? r : adopt(l, d, result, l->policy != BP_SYNC_POLICY_REMOTE, err);
    default:
        return bp_fail(err, order, "'%s' has a session '%s' that is no JSON object", l->name,
                       d->session);
    }
}

/* ---- telling ---- */

static void tell(struct bp_sync_line *l, const struct bp_sync_due *d) {
    struct bp_sync_session_ref ref = ref_of(l, d);
    struct bp_sync_theirs theirs = { 0 };
    struct bp_sync_failure f = { 0 };
    struct bp_error err = { 0 };
    int r = l->t.ops->session ? l->t.ops->session(l->t.self, &ref, &theirs, &f) : 0;

    if (r >= 0)
        r = bp_sync_queue_told(l->s->queue, d->session, l->name, d->revision, &err);
    else if (f.class == BP_SYNC_CONFLICT && !d->force)
        r = solve(l, d, theirs.json, &err);
    else {
        if (f.class == BP_SYNC_CONFLICT)
            f.class = BP_SYNC_SERVER; /* it was told to take ours */
        tell_later(l, d, &f);
        r = 0;
    }
    if (r < 0) {
        (void) bp_sync_fail(&f, BP_SYNC_LOCAL, "%.390s", err.text[0] ? err.text : bp_strerror(r));
        tell_later(l, d, &f);
    }
    free(theirs.json);
}

static void is_safe_now(struct bp_sync_line *l, const char *session) {
    const char *required[64];
    struct bp_error err = { 0 };
    size_t n = 0;
    int r;

    for (size_t i = 0; i < l->s->nlines && n < BP_COUNT(required); i++)
        if (!l->s->lines[i].optional)
            required[n++] = l->s->lines[i].name;
    r = bp_sync_queue_is_safe(l->s->queue, session, required, n, &err);
    if (r < 0)
        bp_sync_complain(l->s, "cannot tell whether a session is safe", &err);
    if (r > 0)
        bp_sync_emit(l->s, (struct bp_sync_event){ .kind = BP_SYNC_EV_SAFE, .session = session });
}

/* ---- the manifest against what was confirmed ---- */

static int keep_digest(void *ctx, const struct bp_sync_row *r) {
    json_t *confirmed = ctx;

    if (r->state != BP_SYNC_ROW_DONE && r->state != BP_SYNC_ROW_KEPT)
        return 0;
    return json_object_set_new(confirmed, r->sha256, json_true()) < 0 ? -ENOMEM : 0;
}

int bp_sync_check_manifest(struct bp_sync_line *l, const char *session, const char *dir,
                           struct bp_sync_failure *f) {
    BP_AUTO_MANIFEST m = { 0 };
    struct bp_sync_query q = {
        .target = l->name, .session = session, .state = -1, .limit = UINT32_MAX
    };
    struct bp_error err = { 0 };
    json_t *confirmed;
    int r = 0;

    if (bp_manifest_read(&bp_io_posix, dir, &m, &err) < 0)
        return 0; /* a folder of something else: it promises nothing */
    confirmed = json_object();
    r = confirmed ? bp_sync_queue_list(l->s->queue, &q, keep_digest, confirmed, &err) : -ENOMEM;
    if (r < 0)
        r = bp_sync_fail(f, BP_SYNC_LOCAL, "cannot list a session: %s",
                         err.text[0] ? err.text : bp_strerror(r));
    for (size_t i = 0; r >= 0 && i < m.nsegments; i++)
        if (m.segments[i].sha256[0] && !json_object_get(confirmed, m.segments[i].sha256))
            r = bp_sync_fail(f, BP_SYNC_MISMATCH,
                             "the manifest waits: '%.200s' is not there as it says",
                             m.segments[i].file);
    json_decref(confirmed);
    return r < 0 ? r : 0;
}

struct listing {
    struct bp_sync_listed *v; /* texts owned */
    size_t n;
};

static void listing_done(struct listing *x) {
    for (size_t i = 0; i < x->n; i++) {
        free((char *) (uintptr_t) x->v[i].name);
        free((char *) (uintptr_t) x->v[i].hex);
    }
    free(x->v);
}

static int list_one(void *ctx, const struct bp_sync_row *r) {
    struct listing *x = ctx;
    struct bp_sync_listed own = {
        .name = strdup(r->file), .hex = strdup(r->sha256), .bytes = r->bytes, .kind = r->kind
    };
    struct bp_sync_listed *v =
        (x->n & (x->n - 1)) == 0 ? reallocarray(x->v, x->n ? 2 * x->n : 1, sizeof *v) : x->v;

    if (v)
        x->v = v;
    if (!v || !own.name || !own.hex) {
        free((char *) (uintptr_t) own.name);
        free((char *) (uintptr_t) own.hex);
        return -ENOMEM;
    }
    x->v[x->n++] = own;
    return 0;
}

static int tell_finish(struct bp_sync_line *l, const struct bp_sync_due *d,
                       struct bp_sync_failure *f) {
    BP_CLEANUP(listing_done) struct listing files = { 0 };
    struct bp_sync_session_ref ref = ref_of(l, d);
    struct bp_sync_query q = {
        .target = l->name, .session = d->session, .state = -1, .limit = UINT32_MAX
    };
    struct bp_error err = { 0 };
    int r = bp_sync_check_manifest(l, d->session, d->dir, f);

    if (r < 0 || !l->t.ops->finish)
        return r;
    r = bp_sync_queue_list(l->s->queue, &q, list_one, &files, &err);
    if (r < 0)
        return bp_sync_fail(f, BP_SYNC_LOCAL, "cannot list a session: %s",
                            err.text[0] ? err.text : bp_strerror(r));
    ref.files = files.v;
    ref.nfiles = files.n;
    return l->t.ops->finish(l->t.self, &ref, f);
}

static void finish(struct bp_sync_line *l, const struct bp_sync_due *d) {
    struct bp_sync_failure f = { 0 };
    struct bp_error err = { 0 };
    int r = tell_finish(l, d, &f);

    if (r < 0) {
        tell_later(l, d, &f);
        return;
    }
    r = bp_sync_queue_finished(l->s->queue, d->session, l->name, bp_sync_wall(l->s), &err);
    if (r < 0) {
        (void) bp_sync_fail(&f, BP_SYNC_LOCAL, "%.390s", err.text);
        tell_later(l, d, &f);
        return;
    }
    bp_counter_add(&bp_sync_stats.sessions, 1);
    bp_sync_emit(l->s, (struct bp_sync_event){
                           .kind = BP_SYNC_EV_SESSION, .target = l->name, .session = d->session });
    is_safe_now(l, d->session);
}

void bp_sync_tell(struct bp_sync_line *l, const struct bp_sync_due *d) {
    if (d->finish)
        finish(l, d);
    else
        tell(l, d);
}

/* ---- names ---- */

/* "run_0.mcap" to "run_0~robot7.mcap"; a name that was changed before gets a number more. */
static void rename_with_device(const char *name, const char *device, char *ret, size_t cap) {
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    const char *dot = strchr(base, '.');
    int stem = (int) ((dot && dot != base ? (size_t) (dot - name) : strlen(name)));

    (void) snprintf(ret, cap, "%.*s~%s%s", stem, name, device, name + stem);
}

static bool takes_another_name(const struct bp_sync_transfer *t) {
    enum bp_sync_kind k = t->job.kind;

    if (t->line->policy == BP_SYNC_POLICY_KEEP_BOTH)
        return true;
    return t->line->policy == BP_SYNC_POLICY_MERGE && k != BP_SYNC_MANIFEST &&
           k != BP_SYNC_METADATA && k != BP_SYNC_SIGNATURE; /* descriptions: the newest, ours */
}

static void end_with(struct bp_sync_transfer *t, enum bp_sync_end end, const struct bp_error *err) {
    struct bp_sync *s = t->line->s;

    bp_mutex_lock(&s->lock);
    if (!t->ended) {
        t->ended = true;
        t->end = end;
        t->failure.class = BP_SYNC_LOCAL;
        (void) snprintf(t->failure.text, sizeof t->failure.text, "%s", err->text);
    }
    bp_mutex_unlock(&s->lock);
}

void bp_sync_file_conflict(struct bp_sync_transfer *t, const char *their_sha256) {
    struct bp_sync_line *l = t->line;
    bool keep = l->policy == BP_SYNC_POLICY_REMOTE, other = takes_another_name(t);
    char remote[2048], text[300];
    struct bp_sync_decision d = { .wall_ns = bp_sync_wall(l->s),
                                  .target = l->name,
                                  .session = t->job.session,
                                  .file = t->job.remote,
                                  .policy = l->policy,
                                  .ours = t->job.sha256,
                                  .theirs = their_sha256,
                                  .result = keep ? their_sha256 : t->job.sha256 };
    struct bp_error err = { 0 };
    int r;

    if (l->s->own && !t->job.force) { /* what we sent before the file changed: nothing to decide */
        r = bp_sync_queue_redirect(l->s->queue, t->job.upload, NULL, true, &err);
        end_with(t, r < 0 ? BP_SYNC_END_FAILED : BP_SYNC_END_MOOT, &err);
        return;
    }
    rename_with_device(t->job.remote, l->s->device, remote, sizeof remote);
    if (other)
        d.result = remote;
    r = bp_sync_queue_decide(l->s->queue, &d, &err);
    if (r >= 0 && !keep)
        r = bp_sync_queue_redirect(l->s->queue, t->job.upload, other ? remote : NULL, !other, &err);
    bp_counter_add(&bp_sync_stats.conflicts, 1);
    end_with(t, r < 0 ? BP_SYNC_END_FAILED : keep ? BP_SYNC_END_KEPT : BP_SYNC_END_MOOT, &err);
    (void) snprintf(text, sizeof text, "'%s' has another content of this name: %s", l->name,
                    keep    ? "theirs stays"
                    : other ? "ours is sent under another"
                            : "ours replaces it");
    note(l, t->job.session, t->job.remote, text, BP_SYNC_CONFLICT);
}
