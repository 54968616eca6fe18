/* The engine's ends and what is asked of it by hand. How it works: docs/design/sync.md, work.c. */
#include "sync/engine-priv.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "crypt/digest.h"

enum { PARALLEL = 4, PARALLEL_MAX = 64, PART_BYTES = 16 << 20, PART_LEAST = 64 << 10 };

static const char *const event_names[] = {
    [BP_SYNC_EV_TARGET] = "target", [BP_SYNC_EV_NOTICE] = "notice",
    [BP_SYNC_EV_BEGUN] = "begun",   [BP_SYNC_EV_PROGRESS] = "progress",
    [BP_SYNC_EV_FILE] = "file",     [BP_SYNC_EV_PARKED] = "parked",
    [BP_SYNC_EV_FAILED] = "failed", [BP_SYNC_EV_SESSION] = "session",
    [BP_SYNC_EV_SAFE] = "safe",     [BP_SYNC_EV_SESSION_CHANGED] = "session_changed",
};
static_assert(BP_COUNT(event_names) == BP_SYNC_EVENTS_N_, "every event has a name");

const char *bp_sync_event_name(enum bp_sync_event_kind k) {
    return (unsigned) k < BP_SYNC_EVENTS_N_ ? event_names[k] : "unknown";
}

/* ---- the real clock ---- */

static bp_ns_t real_mono(void *ctx) {
    (void) ctx;
    return bp_mono_ns();
}

static bp_ns_t real_wall(void *ctx) {
    (void) ctx;
    return bp_wall_ns();
}

static void real_wait(void *ctx, struct bp_mutex *lock, void *cond, bp_ns_t mono_until) {
    struct timespec t = { .tv_sec = (time_t) (mono_until / BP_SEC),
                          .tv_nsec = (long) (mono_until % BP_SEC) };

    (void) ctx;
    if (mono_until == INT64_MAX)
        (void) pthread_cond_wait(cond, &lock->m);
    else
        (void) pthread_cond_timedwait(cond, &lock->m, &t);
}

static void real_wake(void *ctx, void *cond) {
    (void) ctx;
    (void) pthread_cond_broadcast(cond);
}

const struct bp_sync_clock bp_sync_real_clock = {
    .mono = real_mono,
    .wall = real_wall,
    .wait = real_wait,
    .wake = real_wake,
};

/* ---- what others use ---- */

void bp_sync_kick(struct bp_sync *s) {
    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->nlines; i++) {
        s->lines[i].dry = false;
        s->lines[i].kicks++;
    }
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
}

void bp_sync_emit(struct bp_sync *s, struct bp_sync_event e) {
    e.wall_ns = bp_sync_wall(s);
    if (s->on_event)
        s->on_event(s->ctx, &e);
}

void bp_sync_complain(struct bp_sync *s, const char *what, const struct bp_error *err) {
    static struct bp_log_limit limit;
    uint64_t held;
    char text[500];

    if (!bp_log_allowed(&limit, 10 * BP_SEC, &held))
        return;
    (void) snprintf(text, sizeof text, "%s%s%s", what, err ? ": " : "", err ? err->text : "");
    bp_sync_emit(s, (struct bp_sync_event){
                        .kind = BP_SYNC_EV_NOTICE, .text = text, .class = BP_SYNC_LOCAL });
}

void bp_sync_set_state_locked(struct bp_sync_line *l, enum bp_sync_state state,
                              enum bp_sync_class class, const char *text) {
    if (l->state != state || l->class != class) {
        l->changed = true;
        l->since_wall = bp_sync_wall(l->s);
    }
    l->state = state;
    l->class = class;
    (void) snprintf(l->text, sizeof l->text, "%s", text);
}

bool bp_sync_words_copy(struct bp_sync_words *to, const char *const *from) {
    size_t n = 0;

    while (from && from[n])
        n++;
    if (n == 0)
        return true;
    to->v = calloc(n + 1, sizeof *to->v);
    for (size_t i = 0; to->v && i < n; i++) {
        to->v[i] = strdup(from[i]);
        if (!to->v[i])
            return false;
    }
    return to->v != NULL;
}

void bp_sync_words_done(struct bp_sync_words *w) {
    for (size_t i = 0; w->v && w->v[i]; i++)
        free(w->v[i]);
    free(w->v);
    w->v = NULL;
}

static bool have_one(const struct bp_sync_words *patterns, const char *const *words) {
    if (!patterns->v)
        return true;
    for (size_t i = 0; patterns->v[i]; i++)
        for (size_t k = 0; words && words[k]; k++)
            if (fnmatch(patterns->v[i], words[k], 0) == 0)
                return true;
    return false;
}

bool bp_sync_matches(const struct bp_sync_line *l, const struct bp_sync_session *x) {
    return have_one(&l->tags, x->tags) && have_one(&l->robots, x->robots) &&
           have_one(&l->topics, x->topics);
}

/* ---- opening ---- */

static int open_line(struct bp_sync *s, struct bp_sync_line *l,
                     const struct bp_sync_target_config *c, struct bp_error *err) {
    struct bp_sync_target_opts o = c->opts;

    l->s = s;
    l->t = c->open; /* ours from here on, whatever happens */
    l->optional = c->optional;
    l->policy = c->policy;
    l->probe_pause = 2 * BP_SEC;
    l->name = strdup(c->name ? c->name : "");
    l->url = strdup(o.url ? o.url : "");
    l->threads = calloc(s->parallel, sizeof *l->threads);
    if (!l->name || !l->url || !l->threads || !bp_sync_words_copy(&l->tags, c->filter.tags) ||
        !bp_sync_words_copy(&l->robots, c->filter.robots) ||
        !bp_sync_words_copy(&l->topics, c->filter.topics))
        return bp_fail(err, -ENOMEM, "no memory for a target");
    if (!l->name[0])
        return bp_fail(err, BP_EUSAGE, "a target has no name");
    for (const struct bp_sync_line *o2 = s->lines; o2 < l; o2++)
        if (bp_streq(o2->name, l->name))
            return bp_fail(err, BP_EUSAGE, "two targets are called '%s'", l->name);
    if (!o.device)
        o.device = s->device;
    if (l->t.ops)
        return 0;
    return bp_prefix(err, bp_sync_target_open(&o, &l->t, err), "target '%s'", l->name);
}

static int take_options(struct bp_sync *s, const struct bp_sync_opts *o, struct bp_error *err) {
    s->parallel = o->parallel ? o->parallel : PARALLEL;
    s->part_bytes = o->part_bytes ? o->part_bytes : PART_BYTES;
    s->clock = o->clock ? *o->clock : bp_sync_real_clock;
    s->no_hints = o->no_hints;
    s->no_priority = o->no_priority;
    s->selective = o->selective;
    s->own = o->own;
    s->on_event = o->on_event;
    s->ctx = o->ctx;
    s->rng = o->seed;
    while (s->rng == 0)
        if (getrandom(&s->rng, sizeof s->rng, 0) < 0)
            s->rng = (uint64_t) bp_wall_ns();
    if (s->parallel > PARALLEL_MAX)
        return bp_fail(err, BP_EUSAGE, "at most %d parts at once", PARALLEL_MAX);
    if (s->part_bytes < PART_LEAST || (s->part_bytes & (s->part_bytes - 1)))
        return bp_fail(err, BP_EUSAGE, "the size of parts is a power of two from 64 KiB on");
    s->device = strdup(o->device ? o->device : "");
    if (!s->device || !bp_sync_words_copy(&s->metered_links, o->metered_links) ||
        !bp_sync_words_copy(&s->roots, o->roots))
        return bp_fail(err, -ENOMEM, "no memory for options");
    return bp_sync_set_limits(s, o->rates, o->metered_rates, o->windows, err);
}

static struct bp_sync *new_engine(void) {
    struct bp_sync *s = calloc(1, sizeof *s);
    pthread_condattr_t a;

    if (!s)
        return NULL;
    bp_mutex_init(&s->lock);
    (void) pthread_condattr_init(&a);
    (void) pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&s->cond, &a);
    (void) pthread_condattr_destroy(&a);
    s->clock = bp_sync_real_clock;
    s->stop_fd = -1;
    s->metered_set = -1;
    return s;
}

struct wanting {
    struct bp_sync *s;
    struct bp_error *err;
};

/* Targets that are new, or whose filter is another. What was deleted here, having arrived
 * elsewhere, cannot go there. */
static int want(void *ctx, const struct bp_sync_session *x) {
    struct wanting *w = ctx;
    int r = 0;

    if (access(x->dir, F_OK) < 0 && errno == ENOENT)
        return 0;

    for (size_t i = 0; r >= 0 && i < w->s->nlines; i++) {
        struct bp_sync_line *l = &w->s->lines[i];

        if (bp_sync_matches(l, x))
            r = bp_sync_queue_want(w->s->queue, x->id, l->name,
                                   l->t.ops->flags & BP_SYNC_MANIFEST_LAST, w->err);
    }
    return r;
}

/* Where a URL leads, as a number of the queue's settings; never 0. */
static int64_t place_of(const char *url) {
    uint8_t digest[BP_SHA256_LEN];

    bp_sha256_of(url, strlen(url), digest);
    return (int64_t) (bp_ld_le64(digest) >> 1 | 1);
}

/* What a target has confirmed was confirmed by whoever was there: under another URL it has nothing,
 * and nothing may be deleted here because somebody else had it. */
static int check_place(struct bp_sync *s, const struct bp_sync_line *l, struct bp_error *err) {
    int64_t now = place_of(l->url), known = 0;
    char key[300];
    int r;

    (void) snprintf(key, sizeof key, "place/%s", l->name);
    r = bp_sync_queue_get(s->queue, key, &known, err);
    if (r < 0 || known == now)
        return r;
    if (known) { /* 0: of a queue that did not note it yet */
        bp_log(BP_LOG_NOTICE, "a target has another URL, everything is offered to it anew",
               BP_F_TEXT("target", l->name));
        r = bp_sync_queue_forget_target(s->queue, l->name, err);
    }
    return r < 0 ? r : bp_sync_queue_set(s->queue, key, now, err);
}

static int want_all(struct bp_sync *s, struct bp_error *err) {
    struct wanting w = { s, err };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < s->nlines; i++)
        r = check_place(s, &s->lines[i], err);
    return r < 0 ? r : bp_sync_queue_sessions(s->queue, want, &w, err);
}

static int open_queue(struct bp_sync *s, const char *path, bool *renewed, struct bp_error *err) {
    char key[300];
    int64_t v = 0;
    int r = bp_sync_queue_open(path, &s->queue, renewed, err);

    if (r >= 0)
        r = bp_sync_queue_begin(s->queue, err);
    if (r < 0)
        return r;
    r = bp_sync_queue_end(s->queue, want_all(s, err), err);
    if (r >= 0)
        r = bp_sync_queue_get(s->queue, "paused", &v, err);
    s->paused = v != 0;
    for (size_t i = 0; r >= 0 && i < s->nlines; i++) {
        (void) snprintf(key, sizeof key, "paused/%s", s->lines[i].name);
        r = bp_sync_queue_get(s->queue, key, &v, err);
        s->lines[i].paused = v != 0;
    }
    return r;
}

int bp_sync_open(const struct bp_sync_opts *o, struct bp_sync **ret, bool *ret_renewed,
                 struct bp_error *err) {
    BP_CLEANUP(bp_sync_closep) struct bp_sync *s = new_engine();
    bool renewed = false;
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "no memory for the sync engine");
    r = take_options(s, o, err);
    s->lines = r < 0 ? NULL : calloc(o->ntargets + 1, sizeof *s->lines);
    for (size_t i = 0; r >= 0 && s->lines && i < o->ntargets; i++) {
        s->nlines++;
        r = open_line(s, &s->lines[i], &o->targets[i], err);
    }
    if (r < 0)
        return r;
    if (!s->lines)
        return bp_fail(err, -ENOMEM, "no memory for targets");
    r = open_queue(s, o->path, &renewed, err);
    if (r >= 0 && renewed)
        r = bp_sync_rebuild(s, err);
    if (r < 0)
        return r;
    if (ret_renewed)
        *ret_renewed = renewed;
    *ret = BP_TAKE_PTR(s);
    return 0;
}

static void close_line(struct bp_sync_line *l) {
    bp_sync_target_done(&l->t);
    bp_sync_words_done(&l->tags);
    bp_sync_words_done(&l->robots);
    bp_sync_words_done(&l->topics);
    free(l->threads);
    free(l->name);
    free(l->url);
}

void bp_sync_close(struct bp_sync *s) {
    if (!s)
        return;
    bp_sync_stop(s);
    for (size_t i = 0; i < s->nlines; i++)
        close_line(&s->lines[i]);
    free(s->lines);
    bp_sync_queue_close(s->queue);
    bp_sync_words_done(&s->metered_links);
    bp_sync_words_done(&s->roots);
    (void) pthread_cond_destroy(&s->cond);
    bp_mutex_done(&s->lock);
    free(s->device);
    free(s);
}

/* ---- running ---- */

static int start_threads(struct bp_sync *s) {
    int r = bp_thread_start("sync-keep", bp_sync_keep, s, &s->keeper);

    if (r < 0)
        return r;
    s->started = true;
    for (size_t i = 0; i < s->nlines; i++) {
        for (unsigned k = 0; k < s->parallel; k++) {
            char name[16];

            (void) snprintf(name, sizeof name, "sync-%.10s", s->lines[i].name);
            r = bp_thread_start(name, bp_sync_work, &s->lines[i], &s->lines[i].threads[k]);
            if (r < 0)
                return r;
            s->lines[i].nthreads++;
        }
    }
    if (s->no_hints)
        return 0;
    s->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (s->stop_fd >= 0 && bp_thread_start("sync-link", bp_sync_listen, s, &s->listener) >= 0)
        s->listening = true; /* without it probes find out, later */
    return 0;
}

int bp_sync_start(struct bp_sync *s, struct bp_error *err) {
    bool metered = bp_sync_link_is_metered(&s->metered_links);
    int r;

    if (s->started)
        return 0;
    bp_mutex_lock(&s->lock);
    s->stopping = false;
    s->next_hour = bp_sync_mono(s) + 3600 * BP_SEC;
    bp_sync_apply_limits_locked(s, metered);
    for (size_t i = 0; i < s->nlines; i++) {
        struct bp_sync_line *l = &s->lines[i];

        bp_sync_set_state_locked(l, BP_SYNC_UNKNOWN, BP_SYNC_OK, "");
        l->next_probe = 0;
        l->probe_pause = 2 * BP_SEC;
        l->dry = l->want_probe = l->changed = false;
    }
    bp_mutex_unlock(&s->lock);
    r = start_threads(s);
    if (r < 0) {
        bp_sync_stop(s);
        return bp_fail(err, r, "cannot start threads to sync: %s", bp_strerror(r));
    }
    return 0;
}

void bp_sync_stop(struct bp_sync *s) {
    uint64_t one = 1;

    if (!s->started)
        return;
    bp_mutex_lock(&s->lock);
    s->stopping = true;
    for (size_t i = 0; i < s->nlines; i++)
        bp_sync_suspend_locked(&s->lines[i], "stopped");
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->nlines; i++) {
        for (unsigned k = 0; k < s->lines[i].nthreads; k++)
            (void) pthread_join(s->lines[i].threads[k], NULL);
        s->lines[i].nthreads = 0;
    }
    (void) pthread_join(s->keeper, NULL);
    if (s->listening) {
        if (write(s->stop_fd, &one, sizeof one) == (ssize_t) sizeof one)
            (void) pthread_join(s->listener, NULL);
        s->listening = false;
    }
    if (s->stop_fd >= 0)
        (void) close(s->stop_fd);
    s->stop_fd = -1;
    s->started = false;
}

/* ---- by hand ---- */

static int find_line(const struct bp_sync *s, const char *target, struct bp_error *err) {
    for (size_t i = 0; target && i < s->nlines; i++)
        if (bp_streq(s->lines[i].name, target))
            return 0;
    return target ? bp_fail(err, -ENOENT, "there is no target '%s'", target) : 0;
}

static bool is_meant(const struct bp_sync_line *l, const char *target) {
    return !target || bp_streq(l->name, target);
}

void bp_sync_revive(struct bp_sync *s, const char *target, bool by_hand) {
    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->nlines; i++) {
        struct bp_sync_line *l = &s->lines[i];
        bp_ns_t now = bp_sync_mono(s);

        if (!is_meant(l, target))
            continue;
        if (l->state == BP_SYNC_OFFLINE || by_hand)
            l->next_probe =
                by_hand ? now : BP_MIN(l->next_probe, BP_MAX(now, l->last_probe + BP_SEC));
        if (by_hand)
            l->wait_until = now;
        l->probe_pause = 2 * BP_SEC;
        l->now_pending = l->now_pending || by_hand;
        l->dry = false;
        l->kicks++;
    }
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
}

void bp_sync_hint(struct bp_sync *s) {
    bp_sync_revive(s, NULL, false);
}

int bp_sync_now(struct bp_sync *s, const char *target, const char *session, struct bp_error *err) {
    int r = find_line(s, target, err);

    if (r >= 0)
        r = bp_sync_queue_now(s->queue, target, session, err);
    if (r < 0)
        return r;
    bp_mutex_lock(&s->lock); /* those at work, too */
    for (size_t i = 0; i < s->nlines; i++)
        for (struct bp_sync_transfer *t = s->lines[i].transfers; t; t = t->next)
            if (is_meant(&s->lines[i], target) && (!session || bp_streq(t->job.session, session)))
                t->job.now = true;
    bp_mutex_unlock(&s->lock);
    bp_sync_revive(s, target, true);
    return 0;
}

static int set_paused(struct bp_sync *s, const char *target, bool paused, struct bp_error *err) {
    char key[300];
    int r = find_line(s, target, err);

    (void) snprintf(key, sizeof key, "paused%s%s", target ? "/" : "", target ? target : "");
    if (r >= 0)
        r = bp_sync_queue_set(s->queue, key, paused, err);
    if (r < 0)
        return r;
    bp_mutex_lock(&s->lock);
    if (!target)
        s->paused = paused;
    for (size_t i = 0; i < s->nlines; i++) {
        struct bp_sync_line *l = &s->lines[i];

        if (!is_meant(l, target))
            continue;
        if (target)
            l->paused = paused;
        l->changed = true;
        if (paused)
            bp_sync_suspend_locked(l, "paused");
    }
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
    return 0;
}

int bp_sync_pause(struct bp_sync *s, const char *target, struct bp_error *err) {
    return set_paused(s, target, true, err);
}

int bp_sync_resume(struct bp_sync *s, const char *target, struct bp_error *err) {
    return set_paused(s, target, false, err);
}

int64_t bp_sync_retry(struct bp_sync *s, const char *target, const char *session,
                      struct bp_error *err) {
    int64_t n = find_line(s, target, err);

    if (n >= 0)
        n = bp_sync_queue_retry(s->queue, target, session, true, err);
    if (n >= 0)
        bp_sync_revive(s, target, true);
    return n;
}

int bp_sync_set_limits(struct bp_sync *s, const char *rates, const char *metered_rates,
                       const char *windows, struct bp_error *err) {
    struct bp_sync_schedule r = { 0 }, m = { 0 }, w = { 0 };
    int e = bp_sync_rates_parse(rates, &r, err);

    if (e >= 0)
        e = bp_sync_rates_parse(metered_rates ? metered_rates : rates, &m, err);
    if (e >= 0)
        e = bp_sync_windows_parse(windows, &w, err);
    if (e < 0)
        return e;
    bp_mutex_lock(&s->lock);
    s->rates = r;
    s->metered_rates = m;
    s->windows = w;
    if (s->started)
        bp_sync_apply_limits_locked(s, s->metered);
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
    return 0;
}

void bp_sync_set_metered(struct bp_sync *s, int metered) {
    bp_mutex_lock(&s->lock);
    s->metered_set = metered < 0 ? -1 : metered > 0;
    bp_sync_apply_limits_locked(s, s->metered);
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
}
