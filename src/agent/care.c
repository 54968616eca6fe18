#include "agent/care.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/degrade.h"
#include "agent/watch.h"
#include "bag/ledger.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/thread.h"

#define EVERY BP_SEC

struct bp_care {
    struct bp_care_opts o; /* constant */
    struct bp_host *host;
    struct bp_watch watch; /* [thread] */
    pthread_t thread;
    bool started;
    struct bp_mutex lock;      /* leaf */
    pthread_cond_t wake;       /* with lock; monotonic */
    bool stop;                 /* [lock] */
    struct bp_degrade degrade; /* [lock] written by the thread alone */
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

static void degrade(struct bp_care *c, const struct bp_host_state *h,
                    const struct bp_sessions_stats *s, bp_ns_t mono) {
    struct bp_degrade d = c->degrade; /* nobody else writes */
    struct bp_sessions_limit l = { .gap = (bp_ns_t) (1e9 / c->o.config->degrade.thin_rate) };
    double values[BP_DEGRADE_WHYS_N_];
    struct bp_degrade_policy p;
    bool changed;

    bp_degrade_policy_of(c->o.config, &p);
    values_of(h, s, values);
    changed = bp_degrade_update(&d, &p, values, mono, bp_wall_ns());
    bp_mutex_lock(&c->lock);
    c->degrade = d;
    bp_mutex_unlock(&c->lock);
    if (!changed)
        return;
    l.plain = bp_degrade_is_plain(&d);
    l.limit = limit_of(bp_degrade_step_of(&d));
    bp_degrade_text(&d, l.text, sizeof l.text);
    bp_sessions_set_limit(c->o.sessions, &l);
    tell_degraded(c, &d, &p);
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

static void look(struct bp_care *c) {
    const struct bp_agent_config *config = c->o.config;
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
    degrade(c, &h, &f.sessions, mono);
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
    const char *root = getenv("BAGPIPE_TEST_HOST_ROOT"); /* NOLINT(concurrency-mt-unsafe) */
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
    bp_host_close(c->host);
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
}

void bp_care_metrics(struct bp_care *c, struct bp_buf *out) {
    struct bp_host_state h;
    struct bp_degrade d;

    bp_host_get(c->host, &h);
    copy_degrade(c, &d);
    bp_host_metrics(&h, out);
    bp_degrade_metrics(&d, out);
}
