#include "agent/care.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/autostart.h"
#include "agent/degrade.h"
#include "agent/robots-view.h"
#include "agent/watch.h"
#include "bag/ledger.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/thread.h"

#define EVERY      BP_SEC
#define KICK_EVERY (10 * BP_SEC)
#define OWED_PAUSE (10 * BP_SEC)

struct bp_care {
    struct bp_care_opts o; /* constant */
    struct bp_host *host;
    struct bp_watch watch; /* [thread] */
    pthread_t thread;
    bool started;
    struct bp_mutex lock;                 /* leaf */
    pthread_cond_t wake;                  /* with lock; monotonic */
    bool stop;                            /* [lock] */
    struct bp_degrade degrade;            /* [lock] written by the thread alone */
    struct bp_robots_view *robots;        /* [lock] owned; written by the thread alone */
    struct bp_robots_view *spare;         /* [thread] owned: the next look is taken here */
    struct bp_autostart autostart;        /* [thread] */
    bool owed;                            /* [lock] a session that was to begin did not */
    bp_ns_t owed_mono;                    /* [thread] when it is tried again */
    const struct bp_agent_config *config; /* [thread] a reference: what it looked by last */
    bp_ns_t kicked_mono;                  /* [thread] */
};

/* ---- less load ---- */

static void values_of(const struct bp_host_state *h, const struct bp_sessions_stats *s,
                      double ret[static BP_DEGRADE_WHYS_N_]) {
    char name[2 * BP_HOST_NAME];
    double battery = bp_host_battery(h), heat = bp_host_hottest(h, name);

    ret[BP_DEGRADE_CPU] = h->missing & 1u << BP_HOST_PART_CPU ? NAN : h->cpu * 100;
    ret[BP_DEGRADE_TEMPERATURE] = h->ntemps ? heat : NAN;
    ret[BP_DEGRADE_DISK] = h->disk_size ? (double) h->disk_free : NAN;
    ret[BP_DEGRADE_BATTERY] = battery < 0 ? NAN : battery;
    ret[BP_DEGRADE_RING] = s->running ? s->ring_fullest * 100 : NAN;
}

static enum bp_take_limit limit_of(enum bp_degrade_step step) {
    switch (step) {
    case BP_DEGRADE_THIN_LOW:
        return BP_TAKE_THIN_LOW;
    case BP_DEGRADE_NO_LOW:
        return BP_TAKE_NO_LOW;
    case BP_DEGRADE_HIGH_ONLY:
        return BP_TAKE_HIGH_ONLY;
    default:
        return BP_TAKE_ALL;
    }
}

static void tell_degraded(struct bp_care *c, const struct bp_degrade *d,
                          const struct bp_degrade_policy *p) {
    for (int i = 0; i < BP_DEGRADE_WHYS_N_; i++) {
        char key[64], text[256];

        (void) snprintf(key, sizeof key, "degraded.%s",
                        bp_degrade_why_name((enum bp_degrade_why) i));
        if (d->whys[i].step == BP_DEGRADE_NONE) {
            bp_alerts_clear(c->o.alerts, key);
            continue;
        }
        bp_degrade_why_text(d, p, (enum bp_degrade_why) i, text, sizeof text);
        bp_alerts_raise(c->o.alerts, key, BP_SEVERITY_WARNING, text);
    }
}

/* @param is_new  the configuration has changed since the last look */
static void degrade(struct bp_care *c, bool is_new, const struct bp_host_state *h,
                    const struct bp_sessions_stats *s, bp_ns_t mono) {
    struct bp_degrade d = c->degrade; /* nobody else writes */
    struct bp_sessions_limit l = { .gap = (bp_ns_t) (1e9 / c->config->degrade.thin_rate) };
    double values[BP_DEGRADE_WHYS_N_];
    struct bp_degrade_policy p;
    bool changed;

    bp_degrade_policy_of(c->config, &p);
    values_of(h, s, values);
    changed = bp_degrade_update(&d, &p, values, mono, bp_wall_ns());
    bp_mutex_lock(&c->lock);
    c->degrade = d;
    bp_mutex_unlock(&c->lock);
    if (!changed && !is_new)
        return;
    l.plain = bp_degrade_is_plain(&d);
    l.limit = limit_of(bp_degrade_step_of(&d));
    bp_degrade_text(&d, l.text, sizeof l.text);
    bp_sessions_set_limit(c->o.sessions, &l);
    tell_degraded(c, &d, &p);
}

/* ---- robots, and sessions that begin with them ---- */

static void look_at_robots(struct bp_care *c) {
    struct bp_robots_view *fresh = c->spare;

    if (bp_robots_look(c->o.recorder, c->o.sessions, c->robots, fresh) < 0)
        return;
    bp_mutex_lock(&c->lock);
    c->spare = c->robots;
    c->robots = fresh;
    bp_mutex_unlock(&c->lock);
}

void bp_care_owe_session(struct bp_care *c) {
    bp_mutex_lock(&c->lock);
    c->owed = true;
    bp_mutex_unlock(&c->lock);
}

/* A full disk, for one, is no reason to stay idle for ever. */
static void start_one(struct bp_care *c) {
    json_t *request = json_object();
    struct bp_error err = { 0 };
    char id[27];
    bool failed = !request || bp_sessions_start(c->o.sessions, request, id, &err) < 0;

    if (failed)
        bp_log(BP_LOG_WARNING,
               "no session begins although session.auto_start asks for it; tried again in 10 s",
               BP_F_TEXT("why", err.text));
    json_decref(request);
    c->owed_mono = bp_mono_ns() + OWED_PAUSE;
    bp_mutex_lock(&c->lock);
    c->owed = failed;
    bp_mutex_unlock(&c->lock);
}

/* Whoever starts a session by hand, or asks for none any more, settles it. */
static bool is_owed(struct bp_care *c, int kind, bool running) {
    bool owed;

    bp_mutex_lock(&c->lock);
    c->owed = c->owed && !running && kind != BP_AUTOSTART_NEVER;
    owed = c->owed;
    bp_mutex_unlock(&c->lock);
    return owed;
}

static void start_when_due(struct bp_care *c, const struct bp_sessions_stats *s) {
    const char *word = c->config->session.begin;
    int kind = bp_autostart_kind(word, NULL);
    size_t n;

    if (is_owed(c, kind, s->running > 0)) {
        if (bp_mono_ns() >= c->owed_mono)
            start_one(c);
        return;
    }
    if (kind != BP_AUTOSTART_FIRST_TOPIC && kind != BP_AUTOSTART_PATTERN)
        return;
    n = bp_recorder_topics(c->o.recorder, NULL, 0) + 16;
    BP_AUTO_FREE struct bp_recorder_topic *v = calloc(n, sizeof *v);
    if (!v)
        return;
    n = BP_MIN(n, bp_recorder_topics(c->o.recorder, v, n));
    if (bp_autostart_due(&c->autostart, word, v, n, s->running > 0))
        start_one(c);
}

/* ---- looking ---- */

/* Below this, soon nothing will fit: twice what recording leaves free. */
static uint64_t low_water(const struct bp_agent_config *c, uint64_t disk_size) {
    uint64_t least = (uint64_t) 1 << 30;

    if (c->storage.alert_free)
        return c->storage.alert_free;
    least = BP_MIN(least, disk_size / 20);
    return 2 * (c->storage.min_free ? c->storage.min_free : least);
}

/* A disk fills by gigabytes in the minute between two looks of retention. */
static void hurry(struct bp_care *c, const struct bp_watch_facts *f, bp_ns_t mono) {
    bool needed = f->sessions.disk_full || f->disk_free < c->config->retention.min_free;

    if (!needed || (c->kicked_mono && mono - c->kicked_mono < KICK_EVERY))
        return;
    c->kicked_mono = mono;
    bp_retention_kick(c->o.retention);
}

/* @return true when it is another one */
static bool take_config(struct bp_care *c) {
    const struct bp_agent_config *now = bp_settings_get(c->o.settings);
    bool is_new = now != c->config; /* ours is held, so that its address is not used again */

    bp_settings_put(c->config);
    c->config = now;
    return is_new;
}

static void look(struct bp_care *c) {
    bool is_new = take_config(c);
    const struct bp_agent_config *config = c->config;
    struct bp_watch_limits limits = { .ring = config->buffer.alert_threshold / 100 };
    struct bp_recorder_stats r;
    struct bp_watch_facts f = { .syncs = config->record.durability != BP_SYNC_FAST };
    struct bp_host_state h;
    bp_ns_t mono;

    bp_host_look(c->host);
    bp_host_get(c->host, &h);
    bp_sessions_stats(c->o.sessions, &f.sessions);
    bp_recorder_stats(c->o.recorder, &r);
    mono = bp_mono_ns();
    limits.disk_free = low_water(config, h.disk_size);
    f.disk_free = h.disk_size ? h.disk_free : UINT64_MAX;
    f.udp_drops = r.udp_drops;
    f.clock_steps = h.clock.steps;
    f.clock_step_s = h.clock.last_step_s;
    bp_watch_update(&c->watch, c->o.alerts, &limits, &f, mono);
    hurry(c, &f, mono);
    degrade(c, is_new, &h, &f.sessions, mono);
    look_at_robots(c);
    start_when_due(c, &f.sessions);
}

/* False at the end. */
static bool wait_until(struct bp_care *c, bp_ns_t until) {
    struct timespec ts = { .tv_sec = (time_t) (until / BP_SEC), .tv_nsec = until % BP_SEC };
    bool stop;

    bp_mutex_lock(&c->lock);
    while (!c->stop && pthread_cond_timedwait(&c->wake, &c->lock.m, &ts) != ETIMEDOUT)
        ;
    stop = c->stop;
    bp_mutex_unlock(&c->lock);
    return !stop;
}

static void *care_thread(void *arg) {
    struct bp_care *c = arg;
    bp_ns_t next = bp_mono_ns();

    do {
        look(c);
        next = BP_MAX(next + EVERY, bp_mono_ns()); /* what was missed is not made up for */
    } while (wait_until(c, next));
    return NULL;
}

int bp_care_open(const struct bp_care_opts *o, struct bp_care **ret, struct bp_error *err) {
    BP_CLEANUP(bp_care_closep) struct bp_care *c = calloc(1, sizeof *c);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody calls setenv() */
    const char *root = getenv("BAGPIPE_TEST_HOST_ROOT");
    pthread_condattr_t a;
    int r;

    if (!c)
        return bp_fail(err, -ENOMEM, "out of memory");
    c->o = *o;
    bp_mutex_init(&c->lock);
    (void) pthread_condattr_init(&a);
    (void) pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&c->wake, &a);
    (void) pthread_condattr_destroy(&a);
    c->robots = calloc(1, sizeof *c->robots);
    c->spare = calloc(1, sizeof *c->spare);
    if (!c->robots || !c->spare)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_host_open(&(struct bp_host_opts){ .root = root, .data = o->dir }, &c->host);
    if (r < 0)
        return bp_fail(err, r, "out of memory");
    r = bp_thread_start("care", care_thread, c, &c->thread);
    if (r < 0)
        return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    c->started = true;
    *ret = BP_TAKE_PTR(c);
    return 0;
}

void bp_care_close(struct bp_care *c) {
    if (!c)
        return;
    bp_mutex_lock(&c->lock);
    c->stop = true;
    (void) pthread_cond_signal(&c->wake);
    bp_mutex_unlock(&c->lock);
    if (c->started)
        (void) pthread_join(c->thread, NULL);
    bp_settings_put(c->config);
    bp_host_close(c->host);
    free(c->robots);
    free(c->spare);
    (void) pthread_cond_destroy(&c->wake);
    bp_mutex_done(&c->lock);
    free(c);
}

/* ---- told ---- */

static void copy_degrade(struct bp_care *c, struct bp_degrade *ret) {
    bp_mutex_lock(&c->lock);
    *ret = c->degrade;
    bp_mutex_unlock(&c->lock);
}

json_t *bp_care_host_json(struct bp_care *c) {
    struct bp_host_state h;

    bp_host_get(c->host, &h);
    return bp_host_json(&h);
}

/* A copy is large: it lives on the heap, and only as long as somebody asks. */
static struct bp_robots_view *copy_robots(struct bp_care *c) {
    struct bp_robots_view *v = malloc(sizeof *v);

    if (!v)
        return NULL;
    bp_mutex_lock(&c->lock);
    *v = *c->robots;
    bp_mutex_unlock(&c->lock);
    return v;
}

json_t *bp_care_robots_json(struct bp_care *c, const char *robot) {
    BP_AUTO_FREE struct bp_robots_view *v = copy_robots(c);

    if (!v)
        return NULL;
    return robot ? bp_robot_json(v, robot, c->o.recorder, c->o.sessions)
                 : bp_robots_json(v, c->o.sessions);
}

/* One line a robot: what it sends, and what of it is missing. */
static json_t *robot_sums(struct bp_care *c) {
    BP_AUTO_FREE struct bp_robots_view *v = copy_robots(c);
    json_t *list = json_array();

    for (size_t i = 0; v && i < v->n; i++)
        (void) json_array_append_new(
            list, json_pack("{s:s, s:i, s:f, s:f, s:I}", "robot", v->v[i].robot, "topics",
                            (int) v->v[i].topics, "rate", v->v[i].rate, "byte_rate",
                            v->v[i].byte_rate, "lost", (json_int_t) v->v[i].sums.lost));
    return list;
}

/* Which priorities the fullest ring still takes: the writer's own thresholds. */
static const char *accepts(double fullest) {
    return fullest > 0.9 ? "high" : fullest > 0.7 ? "normal" : "all";
}

void bp_care_status(struct bp_care *c, json_t *status) {
    struct bp_sessions_stats s;
    struct bp_degrade d;
    json_t *lost = json_object();

    bp_sessions_stats(c->o.sessions, &s);
    copy_degrade(c, &d);
    for (int i = 0; i < BP_LOSS_N_; i++)
        (void) json_object_set_new(lost, bp_loss_name((enum bp_loss) i),
                                   json_integer((json_int_t) s.lost_by[i]));
    (void) json_object_set_new(status, "lost_by_cause", lost);
    (void) json_object_set_new(status, "back_pressure",
                               json_pack("{s:f, s:s, s:s?}", "fullest_ring", s.ring_fullest,
                                         "accepts", accepts(s.ring_fullest), "session",
                                         s.running ? s.fullest : NULL));
    (void) json_object_set_new(status, "degraded", bp_degrade_json(&d));
    (void) json_object_set_new(status, "robots", robot_sums(c));
}

void bp_care_metrics(struct bp_care *c, struct bp_buf *out) {
    BP_AUTO_FREE struct bp_robots_view *v = copy_robots(c);
    struct bp_host_state h;
    struct bp_degrade d;

    if (v)
        bp_robots_metrics(v, out);
    bp_host_get(c->host, &h);
    copy_degrade(c, &d);
    bp_host_metrics(&h, out);
    bp_degrade_metrics(&d, out);
}
