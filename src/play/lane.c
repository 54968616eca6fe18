#include "play/lane.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "base/macro.h"
#include "base/thread.h"

/* So long after its end a lane still works off what was due before it. */
#define GRACE_NS (100 * BP_MS)
/* A sleeping lane looks this often whether it should stop. */
#define NAP_NS (50 * BP_MS)

struct bp_lane {
    char name[16];
    struct bp_timer **heap; /* by due_mono, earliest first */
    size_t n, cap;
    bp_ns_t start_mono, end_mono;
    pthread_t thread;
    bool running;
    atomic_bool stop, over;
};

struct bp_lane *bp_lane_new(const char *name) {
    struct bp_lane *l = calloc(1, sizeof *l);

    if (l)
        (void) snprintf(l->name, sizeof l->name, "%s", name);
    return l;
}

int bp_lane_add(struct bp_lane *l, struct bp_timer *t) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        struct bp_timer **v = realloc(l->heap, cap * sizeof(struct bp_timer *));

        if (!v)
            return -ENOMEM;
        l->heap = v;
        l->cap = cap;
    }
    l->heap[l->n++] = t;
    return 0;
}

static void sift_down(struct bp_lane *l, size_t i) {
    struct bp_timer *t = l->heap[i];

    for (;;) {
        size_t k = 2 * i + 1;

        if (k >= l->n)
            break;
        if (k + 1 < l->n && l->heap[k + 1]->due_mono < l->heap[k]->due_mono)
            k++;
        if (l->heap[k]->due_mono >= t->due_mono)
            break;
        l->heap[i] = l->heap[k];
        i = k;
    }
    l->heap[i] = t;
}

/* True when `due` has come, false when the lane should end before it. */
static bool wait_for(struct bp_lane *l, bp_ns_t due) {
    for (;;) {
        bp_ns_t now;

        if (atomic_load_explicit(&l->stop, memory_order_relaxed))
            return false;
        now = bp_mono_ns();
        if (now >= due)
            return due < l->end_mono && now < l->end_mono + GRACE_NS;
        if (due >= l->end_mono)
            return false;
        bp_sleep_until(BP_MIN(due, now + NAP_NS));
    }
}

/* Sets the next deadline; false when there is none. */
static bool advance(struct bp_timer *t) {
    bp_ns_t now;

    if (t->period_ns == 0)
        return false;
    if (t->period_ns == BP_LANE_UNPACED) {
        t->due_mono = bp_mono_ns();
        return true;
    }
    t->due_mono += t->period_ns;
    if (t->catch_up)
        return true;

    now = bp_mono_ns();
    if (now - t->due_mono > t->period_ns) {
        bp_ns_t missed = (now - t->due_mono) / t->period_ns;

        t->skipped += (uint64_t) missed;
        t->due_mono += missed * t->period_ns;
    }
    return true;
}

static void *lane_run(void *arg) {
    struct bp_lane *l = arg;

    /* The default slack of 50 us would be added to every sleep. */
    (void) prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    for (size_t i = 0; i < l->n; i++)
        l->heap[i]->due_mono = l->start_mono + l->heap[i]->offset_ns;
    for (size_t i = l->n / 2; i-- > 0;)
        sift_down(l, i);

    while (l->n > 0) {
        struct bp_timer *t = l->heap[0];
        bp_ns_t behind;

        if (!wait_for(l, t->due_mono))
            break;
        behind = bp_mono_ns() - t->due_mono;
        t->late += behind > BP_MS;
        t->worst_late_ns = BP_MAX(t->worst_late_ns, behind);
        t->fired++;
        t->fire(t->ctx, t->due_mono);
        if (!advance(t))
            l->heap[0] = l->heap[--l->n];
        if (l->n > 0)
            sift_down(l, 0);
    }
    atomic_store(&l->over, true);
    return NULL;
}

int bp_lane_start(struct bp_lane *l, bp_ns_t start_mono, bp_ns_t end_mono) {
    int r;

    l->start_mono = start_mono;
    l->end_mono = BP_MIN(end_mono, INT64_MAX - GRACE_NS);
    r = bp_thread_start(l->name, lane_run, l, &l->thread);
    l->running = r == 0;
    return r;
}

void bp_lane_stop(struct bp_lane *l) {
    atomic_store(&l->stop, true);
}

bool bp_lane_over(const struct bp_lane *l) {
    return atomic_load(&l->over);
}

void bp_lane_join(struct bp_lane *l) {
    if (!l->running)
        return;
    (void) pthread_join(l->thread, NULL);
    l->running = false;
}

void bp_lane_free(struct bp_lane *l) {
    if (!l)
        return;
    bp_lane_stop(l);
    bp_lane_join(l);
    free(l->heap);
    free(l);
}

uint64_t bp_timer_wanted(const struct bp_timer *t, bp_ns_t start_mono, bp_ns_t end_mono) {
    bp_ns_t first = start_mono + t->offset_ns;

    if (t->period_ns == BP_LANE_UNPACED)
        return t->fired;
    if (first >= end_mono)
        return 0;
    return t->period_ns == 0 ? 1 : (uint64_t) ((end_mono - 1 - first) / t->period_ns) + 1;
}
