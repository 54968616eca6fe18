/* What the threads of a line do, one thing at a time, whatever is next:
 *
 *   conclude   a transfer has ended and nothing of it is in flight
 *   probe      the target's state is not known, or something failed that looks like the link
 *   part       of a transfer at work, those by hand first
 *   complete   all its parts are there
 *   pick       a session to tell of, else an upload to give up, else the next file in the queue,
 *              which is prepared at once
 *
 * A thread sends parts of one transfer as long as there are any, and picks the next file only when
 * all of them are handed out: so files end in the order they began, and no more than `parallel`
 * are begun. Failures end a transfer: no more parts are handed out, those in flight may arrive, the
 * row in the queue says when it is tried again, and begin() asks the other side what it has. */
#include "sync/engine-priv.h"

#include <errno.h>
#include <stdio.h>

#define RECHECK     (3600 * BP_SEC)
#define PROBE_FIRST (2 * BP_SEC)
#define PROBE_MAX   (120 * BP_SEC)
#define TROUBLE     (10 * BP_SEC)

enum work_kind { WORK_NONE, WORK_CONCLUDE, WORK_PROBE, WORK_PART, WORK_COMPLETE, WORK_PICK };

struct work {
    enum work_kind kind;
    struct bp_sync_transfer *t;
    uint32_t part;
    bp_ns_t until; /* of none */
};

/* ---- the line ---- */

void bp_sync_suspend_locked(struct bp_sync_line *l, const char *why) {
    for (struct bp_sync_transfer *t = l->transfers; t; t = t->next) {
        if (!t->ended) {
            t->ended = true;
            t->end = BP_SYNC_END_FAILED;
            t->failure = (struct bp_sync_failure){ .class = BP_SYNC_CANCELED };
            (void) snprintf(t->failure.text, sizeof t->failure.text, "%s", why);
        }
        __atomic_store_n(&t->cancel, true, __ATOMIC_RELAXED);
    }
}

static void wait_locked(struct bp_sync_line *l, const struct bp_sync_failure *f,
                        bp_ns_t pause) BP_NO_THREAD_SAFETY {
    l->wait_until = bp_sync_mono(l->s) + BP_MAX(pause, f->retry_after);
    bp_sync_set_state_locked(l, BP_SYNC_WAITING, f->class, f->text);
}

static void correct_clock(struct bp_sync_line *l, bp_ns_t date_ns, bool refused) {
    struct bp_sync *s = l->s;
    bp_ns_t offset = date_ns - bp_sync_wall(s), change;
    char text[200], amount[BP_TIME_TEXT + 8];

    bp_mutex_lock(&s->lock);
    change = offset - l->clock_offset;
    change = change < 0 ? -change : change;
    if (change > 2 * BP_SEC || refused)
        l->clock_offset = offset;
    bp_mutex_unlock(&s->lock);
    bp_gauge_set(&bp_sync_stats.clock_offset_ns, offset);
    if (change <= 2 * BP_SEC && !refused) /* Date has seconds, and the way takes its time */
        return;

    if (l->t.ops->clock)
        l->t.ops->clock(l->t.self, offset);
    if (change < 60 * BP_SEC && !refused)
        return;
    (void) snprintf(amount, sizeof amount, "%lld s",
                    (long long) ((offset < 0 ? -offset : offset) / BP_SEC));
    (void) snprintf(text, sizeof text,
                    "our clock is %s %s that of '%s': requests are dated by theirs, the "
                    "machine's clock stays as it is",
                    amount, offset > 0 ? "behind" : "ahead of", l->name);
    bp_sync_emit(s, (struct bp_sync_event){ .kind = BP_SYNC_EV_NOTICE,
                                            .target = l->name,
                                            .text = text,
                                            .class = BP_SYNC_CLOCK });
}

/* 2 s, 4 s, 8 s, … up to an hour. */
static bp_ns_t refused_pause(unsigned n) {
    return n > 11 ? RECHECK : BP_MIN(RECHECK, BP_SEC << n);
}

void bp_sync_line_failed(struct bp_sync_line *l, const struct bp_sync_failure *f) {
    struct bp_sync *s = l->s;

    bp_counter_add(&bp_sync_stats.failures[f->class], 1);
    if (f->class == BP_SYNC_CLOCK && f->date_ns)
        correct_clock(l, f->date_ns, true);
    bp_mutex_lock(&s->lock);
    switch (f->class) {
    case BP_SYNC_NETWORK: /* is it the file or the link? */
        if (!l->want_probe && l->state == BP_SYNC_ONLINE) {
            l->want_probe = true;
            l->next_probe = bp_sync_mono(s);
        }
        break;
    case BP_SYNC_THROTTLED:
        l->throttled++;
        wait_locked(l, f, bp_sync_backoff(l->throttled, &s->rng));
        break;
    case BP_SYNC_AUTH: /* of the answer to HEAD nobody tells why: the probe's has a body */
        if (l->refused++ == 0 && l->state == BP_SYNC_ONLINE) {
            l->want_probe = true;
            l->next_probe = bp_sync_mono(s);
            break;
        }
        /* Several at once are one refusal, and a server that begins anew refuses all: what is
         * wrong for good is known after a few more. */
        wait_locked(l, f, f->retry_after > 0 ? 0 : refused_pause(l->refused));
        break;
    case BP_SYNC_QUOTA:
        wait_locked(l, f, f->retry_after > 0 ? 0 : RECHECK);
        break;
    case BP_SYNC_SERVER:
        if (f->retry_after > 0)
            wait_locked(l, f, 0);
        break;
    default:
        break;
    }
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
}

/* ---- probing ---- */

static void online_locked(struct bp_sync_line *l, bool *ret_returned) BP_NO_THREAD_SAFETY {
    *ret_returned = l->state != BP_SYNC_ONLINE;
    l->want_probe = false;
    l->probe_pause = PROBE_FIRST;
    bp_sync_set_state_locked(l, BP_SYNC_ONLINE, BP_SYNC_OK, "");
}

static void offline_locked(struct bp_sync_line *l,
                           const struct bp_sync_failure *f) BP_NO_THREAD_SAFETY {
    struct bp_sync *s = l->s;
    bp_ns_t pause = l->probe_pause;

    l->probe_pause = BP_MIN(pause * 2, PROBE_MAX);
    l->want_probe = false;
    l->next_probe =
        bp_sync_mono(s) + (bp_ns_t) ((double) pause * (0.75 + 0.5 * bp_sync_random(&s->rng)));
    bp_sync_set_state_locked(l, BP_SYNC_OFFLINE, f->class, f->text);
    bp_sync_suspend_locked(l, "the target cannot be reached");
}

static void probe(struct bp_sync_line *l) {
    struct bp_sync *s = l->s;
    struct bp_sync_failure f = { 0 };
    struct bp_error err = { 0 };
    bp_ns_t date = 0;
    bool returned = false, stopped;
    int r = l->t.ops->probe(l->t.self, &date, &f);

    bp_counter_add(&bp_sync_stats.probes, 1);
    if (r >= 0 && date)
        correct_clock(l, date, false);
    if (r < 0 && f.class == BP_SYNC_CLOCK && f.date_ns)
        correct_clock(l, f.date_ns, true);
    bp_mutex_lock(&s->lock);
    l->last_probe = bp_sync_mono(s);
    stopped = s->stopping;
    if (r >= 0)
        online_locked(l, &returned);
    else if (f.class == BP_SYNC_AUTH || f.class == BP_SYNC_QUOTA || f.class == BP_SYNC_THROTTLED) {
        l->want_probe = false;
        if (f.class == BP_SYNC_AUTH)
            l->refused++;
        wait_locked(l, &f,
                    f.class == BP_SYNC_THROTTLED ? PROBE_MAX
                    : f.retry_after > 0          ? 0
                    : f.class == BP_SYNC_AUTH    ? refused_pause(l->refused)
                                                 : RECHECK);
    } else
        offline_locked(l, &f);
    bp_mutex_unlock(&s->lock);
    if (returned && !stopped && bp_sync_queue_retry(s->queue, l->name, NULL, false, &err) < 0)
        bp_sync_complain(s, "cannot take up what was parked", &err);

    bp_mutex_lock(&s->lock);
    l->probing = false;
    l->dry = false;
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
}

/* ---- picking ---- */

/* Files at work are not picked again: one that has changed has a new upload, which must not race
 * with that of its former content for the same name. Nor is what has the content of one of them:
 * the second one is there as soon as the first one is. */
static bool is_at_work(void *ctx, int64_t file, const char *sha256) {
    struct bp_sync_line *l = ctx;
    bool found = false;

    bp_mutex_lock(&l->s->lock);
    for (const struct bp_sync_transfer *t = l->transfers; t && !found; t = t->next)
        found = t->job.file == file || (sha256[0] && bp_streq(t->job.sha256, sha256));
    bp_mutex_unlock(&l->s->lock);
    return found;
}

static void picked(struct bp_sync_line *l, bp_ns_t dry_until, uint64_t kicks) {
    bp_mutex_lock(&l->s->lock);
    l->picking = false;
    if (dry_until && l->kicks == kicks) {
        l->dry = true;
        l->dry_until = dry_until;
    }
    bp_sync_wake_locked(l->s);
    bp_mutex_unlock(&l->s->lock);
}

static void start_transfer(struct bp_sync_line *l, struct bp_sync_job *job) {
    struct bp_sync_transfer *t = bp_sync_transfer_new(l, job);

    if (!t) {
        bp_sync_complain(l->s, "no memory for a transfer", NULL);
        picked(l, bp_sync_mono(l->s) + TROUBLE, l->kicks);
        return;
    }
    bp_mutex_lock(&l->s->lock);
    t->taken = true;
    t->next = l->transfers;
    l->transfers = t;
    l->now_pending = l->now_pending || t->job.now;
    l->picking = false;
    bp_sync_wake_locked(l->s);
    bp_mutex_unlock(&l->s->lock);
    bp_gauge_add(&bp_sync_stats.active, 1);
    bp_sync_prepare(t);
}

static void tell(struct bp_sync_line *l, const struct bp_sync_due *due) {
    bp_mutex_lock(&l->s->lock);
    l->telling = true;
    l->picking = false;
    bp_sync_wake_locked(l->s);
    bp_mutex_unlock(&l->s->lock);

    bp_sync_tell(l, due);

    bp_mutex_lock(&l->s->lock);
    l->telling = false;
    l->dry = false;
    l->kicks++;
    bp_sync_wake_locked(l->s);
    bp_mutex_unlock(&l->s->lock);
}

static void pick(struct bp_sync_line *l) {
    struct bp_sync *s = l->s;
    BP_AUTO_SYNC_JOB job = { 0 };
    BP_AUTO_SYNC_DUE due = { 0 };
    struct bp_error err = { 0 };
    bp_ns_t now = bp_sync_mono(s), next = INT64_MAX;
    bool only_now, may_tell;
    uint64_t kicks;
    int r = 0;

    bp_mutex_lock(&s->lock);
    kicks = l->kicks;
    only_now = s->closed_window;
    may_tell = !l->telling;
    l->now_pending = false;
    bp_mutex_unlock(&s->lock);
    if (may_tell)
        r = bp_sync_queue_due(s->queue, l->name, now, only_now, &due, &err);
    if (r > 0) {
        tell(l, &due);
        return;
    }
    if (r == 0)
        r = bp_sync_abort_next(l, &err);
    if (r > 0) {
        picked(l, 0, kicks);
        return;
    }
    if (r == 0)
        r = bp_sync_queue_next(s->queue, l->name, now, only_now, is_at_work, l, &job, &err);
    if (r > 0) {
        start_transfer(l, &job);
        return;
    }
    if (r == 0 && !only_now)
        r = bp_sync_queue_next_mono(s->queue, l->name, now, &next, &err);
    if (r < 0)
        bp_sync_complain(s, "cannot read the upload queue", &err);
    picked(l, r < 0 ? now + TROUBLE : next, kicks);
}

/* ---- what is next ---- */

static struct work of_transfer_locked(struct bp_sync_line *l, bool by_hand) BP_NO_THREAD_SAFETY {
    for (struct bp_sync_transfer *t = l->transfers; t; t = t->next) {
        if (t->ended || t->taken || t->job.now != by_hand)
            continue;
        if (t->phase == BP_SYNC_COMPLETE) {
            t->taken = true;
            return (struct work){ .kind = WORK_COMPLETE, .t = t };
        }
        if (t->phase != BP_SYNC_PARTS)
            continue;
        while (t->next_part < t->up.nparts && t->up.parts[t->next_part].there)
            t->next_part++;
        if (t->next_part < t->up.nparts) {
            t->inflight++;
            return (struct work){ .kind = WORK_PART, .t = t, .part = t->next_part++ };
        }
    }
    return (struct work){ .kind = WORK_NONE };
}

/* The wait that a target imposed is over. */
static void wait_over_locked(struct bp_sync_line *l) BP_NO_THREAD_SAFETY {
    if (l->class == BP_SYNC_THROTTLED || l->class == BP_SYNC_SERVER) {
        bp_sync_set_state_locked(l, BP_SYNC_ONLINE, BP_SYNC_OK, "");
        return;
    }
    l->want_probe = true;
    l->next_probe = bp_sync_mono(l->s);
}

static struct work conclude_locked(struct bp_sync_line *l) BP_NO_THREAD_SAFETY {
    for (struct bp_sync_transfer *t = l->transfers; t; t = t->next) {
        if (t->ended && !t->taken && t->inflight == 0) {
            t->taken = true;
            return (struct work){ .kind = WORK_CONCLUDE, .t = t };
        }
    }
    return (struct work){ .kind = WORK_NONE };
}

static struct work next_locked(struct bp_sync_line *l) BP_NO_THREAD_SAFETY {
    struct bp_sync *s = l->s;
    struct work w = conclude_locked(l);
    bp_ns_t now = bp_sync_mono(s);

    if (w.kind != WORK_NONE)
        return w;
    if (s->paused || l->paused)
        return (struct work){ .until = INT64_MAX };
    if (l->state == BP_SYNC_WAITING && !l->want_probe) {
        if (now < l->wait_until)
            return (struct work){ .until = l->wait_until };
        wait_over_locked(l);
    }
    if (l->probing)
        return (struct work){ .until = INT64_MAX };
    if (l->want_probe || l->state == BP_SYNC_UNKNOWN || l->state == BP_SYNC_OFFLINE) {
        if (now < l->next_probe)
            return (struct work){ .until = l->next_probe };
        l->probing = true;
        return (struct work){ .kind = WORK_PROBE };
    }
    w = of_transfer_locked(l, true);
    if (w.kind == WORK_NONE && l->now_pending && !l->picking) {
        l->picking = true;
        return (struct work){ .kind = WORK_PICK };
    }
    if (w.kind == WORK_NONE && !s->closed_window)
        w = of_transfer_locked(l, false);
    if (w.kind != WORK_NONE)
        return w;
    if (!l->picking && !(l->dry && now < l->dry_until)) {
        l->picking = true;
        return (struct work){ .kind = WORK_PICK };
    }
    return (struct work){ .until = l->picking ? INT64_MAX : l->dry_until };
}

/* ---- threads ---- */

static void tell_change(struct bp_sync_line *l) {
    struct bp_sync_event e = { .kind = BP_SYNC_EV_TARGET, .target = l->name };
    char text[480];
    bool changed;

    bp_mutex_lock(&l->s->lock);
    changed = l->changed;
    l->changed = false;
    e.class = l->class;
    (void) snprintf(text, sizeof text, "%s%s%s", bp_sync_state_name(l->state),
                    l->text[0] ? ": " : "", l->text);
    bp_mutex_unlock(&l->s->lock);
    e.text = text;
    if (changed)
        bp_sync_emit(l->s, e);
}

static void do_work(struct bp_sync_line *l, const struct work *w, uint8_t *buf) {
    switch (w->kind) {
    case WORK_CONCLUDE:
        bp_sync_conclude(w->t);
        break;
    case WORK_PROBE:
        probe(l);
        break;
    case WORK_PART:
        bp_sync_put_part(w->t, w->part, buf);
        break;
    case WORK_COMPLETE:
        bp_sync_complete(w->t);
        break;
    case WORK_PICK:
        pick(l);
        break;
    case WORK_NONE:
        break;
    }
    tell_change(l);
}

void *bp_sync_work(void *arg) BP_NO_THREAD_SAFETY {
    struct bp_sync_line *l = arg;
    struct bp_sync *s = l->s;
    BP_AUTO_FREE uint8_t *buf = malloc(BP_SYNC_READ);
    struct work w;

    if (!s->no_priority)
        bp_sync_low_priority();
    bp_mutex_lock(&s->lock);
    for (;;) {
        if (s->stopping) /* nothing but what is left of transfers */
            w = conclude_locked(l);
        else
            w = next_locked(l);
        if (w.kind == WORK_NONE && (s->stopping || !buf))
            break;
        if (w.kind == WORK_NONE) {
            bp_sync_wait_locked(s, w.until);
            continue;
        }
        bp_mutex_unlock(&s->lock);
        do_work(l, &w, buf);
        bp_mutex_lock(&s->lock);
    }
    bp_mutex_unlock(&s->lock);
    return NULL;
}
