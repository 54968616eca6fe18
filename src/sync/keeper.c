/* The thread that looks at the clock for all lines: limits by time of day and link, what is parked
 * each hour, progress once a second. It sleeps until the next of these. */
#include "sync/engine-priv.h"

#include <stdio.h>

#define HOUR   (3600 * BP_SEC)
#define MINUTE (60 * BP_SEC)

void bp_sync_meter_add(struct bp_sync_meter *m, uint64_t n, bp_ns_t now_mono) {
    bp_ns_t sec = now_mono / BP_SEC;

    if (sec - m->sec >= (bp_ns_t) BP_COUNT(m->v)) {
        *m = (struct bp_sync_meter){ .sec = sec, .from = sec };
    } else {
        while (m->sec < sec)
            m->v[(size_t) ++m->sec % BP_COUNT(m->v)] = 0;
    }
    m->v[(size_t) sec % BP_COUNT(m->v)] += n;
}

double bp_sync_meter_rate(struct bp_sync_meter *m, bp_ns_t now_mono) {
    bp_ns_t sec = now_mono / BP_SEC, span;
    uint64_t sum = 0;

    bp_sync_meter_add(m, 0, now_mono);
    for (size_t i = 0; i < BP_COUNT(m->v); i++)
        sum += m->v[i];
    span = now_mono - BP_MAX(sec - (bp_ns_t) BP_COUNT(m->v) + 1, m->from) * BP_SEC;
    return (double) sum / ((double) BP_MAX(span, BP_SEC) * 1e-9);
}

void bp_sync_apply_limits_locked(struct bp_sync *s, bool metered) BP_NO_THREAD_SAFETY {
    bp_ns_t wall = bp_sync_wall(s), now = bp_sync_mono(s);
    double rate;
    bool closed;

    s->metered = s->metered_set < 0 ? metered : s->metered_set > 0;
    rate = bp_sync_schedule_now(s->metered ? &s->metered_rates : &s->rates, wall);
    closed = rate < 0 || bp_sync_schedule_now(&s->windows, wall) < 0;
    if (rate < 0)
        rate = 0; /* what goes by hand goes unlimited */
    if (rate != s->bucket.rate)
        bp_bucket_set(&s->bucket, rate, 0, now);
    if (closed != s->closed_window) {
        s->closed_window = closed;
        for (size_t i = 0; i < s->nlines; i++) {
            s->lines[i].dry = false;
            s->lines[i].kicks++;
        }
        bp_sync_wake_locked(s);
    }
}

/* @return does anything move? */
static bool tell_progress(struct bp_sync_line *l) {
    struct bp_sync_event e = { .kind = BP_SYNC_EV_PROGRESS, .target = l->name };
    bool moved, active;

    bp_mutex_lock(&l->s->lock);
    moved = l->sent != l->told_sent;
    active = l->transfers != NULL;
    e.bytes = l->told_sent = l->sent;
    bp_mutex_unlock(&l->s->lock);
    if (moved)
        bp_sync_emit(l->s, e);
    return active;
}

static void each_hour(struct bp_sync *s) {
    struct bp_error err = { 0 };
    int64_t n = bp_sync_queue_retry(s->queue, NULL, NULL, false, &err);

    if (n < 0)
        bp_sync_complain(s, "cannot take up what was parked", &err);
    if (n > 0)
        bp_sync_kick(s);
}

static bool has_schedule(const struct bp_sync *s) {
    return s->rates.n || s->metered_rates.n || s->windows.n;
}

static void count_online(struct bp_sync *s) BP_NO_THREAD_SAFETY {
    int64_t n = 0;

    for (size_t i = 0; i < s->nlines; i++)
        n += s->lines[i].state == BP_SYNC_ONLINE;
    bp_gauge_set(&bp_sync_stats.online, n);
}

static bool is_hour_over(struct bp_sync *s, bp_ns_t now) {
    bool over;

    bp_mutex_lock(&s->lock);
    over = now >= s->next_hour;
    if (over)
        s->next_hour = now + HOUR;
    bp_mutex_unlock(&s->lock);
    return over;
}

/* When the keeper has to look again. */
static bp_ns_t next_look_locked(struct bp_sync *s, bool active) BP_NO_THREAD_SAFETY {
    bp_ns_t now = bp_sync_mono(s), next = s->next_hour;

    if (has_schedule(s)) /* windows begin and end with a minute */
        next = BP_MIN(next, now + MINUTE - bp_sync_wall(s) % MINUTE);
    else if (s->metered_set < 0 && s->metered_rates.otherwise != s->rates.otherwise)
        next = BP_MIN(next, now + MINUTE);
    if (active)
        next = BP_MIN(next, now + BP_SEC);
    return next;
}

void *bp_sync_keep(void *arg) BP_NO_THREAD_SAFETY {
    struct bp_sync *s = arg;

    if (!s->no_priority)
        bp_sync_low_priority();
    for (;;) {
        bool active = false, metered = bp_sync_link_is_metered(&s->metered_links);
        bp_ns_t next;

        for (size_t i = 0; i < s->nlines; i++)
            active = tell_progress(&s->lines[i]) || active;
        if (is_hour_over(s, bp_sync_mono(s)))
            each_hour(s);
        bp_mutex_lock(&s->lock);
        bp_sync_apply_limits_locked(s, metered);
        count_online(s);
        next = next_look_locked(s, active);
        /* not before its time, but at once when the first transfer begins */
        for (bool was = active; !s->stopping && bp_sync_mono(s) < next;) {
            bool now_active = false;

            bp_sync_wait_locked(s, next);
            for (size_t i = 0; i < s->nlines; i++)
                now_active = now_active || s->lines[i].transfers;
            if (now_active && !was)
                break;
        }
        if (s->stopping)
            break;
        bp_mutex_unlock(&s->lock);
    }
    bp_mutex_unlock(&s->lock);
    return NULL;
}
