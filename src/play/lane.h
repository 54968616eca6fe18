#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"

/* A lane is one thread that fires timers at absolute deadlines: a sensor, a group of telemetry
 * topics, a load. What must not delay another gets a lane of its own. */
struct bp_lane;

struct bp_timer {
    bp_ns_t period_ns; /* 0 = once; BP_LANE_UNPACED = again as soon as the last call is over */
    bp_ns_t offset_ns; /* first deadline after the start */
    bool catch_up;     /* fire for every missed deadline; otherwise those are skipped, counted */
    /* The lane's thread. @param due_mono  the deadline, CLOCK_MONOTONIC */
    void (*fire)(void *ctx, bp_ns_t due_mono);
    void *ctx;

    /* Kept by the lane; for others after bp_lane_join(). */
    uint64_t fired;
    uint64_t late; /* of them, begun more than 1 ms behind the deadline */
    uint64_t skipped;
    bp_ns_t due_mono;
    bp_ns_t worst_late_ns;
};

#define BP_LANE_UNPACED ((bp_ns_t) -1)

/** @param name  of the thread, at most 15 characters; @return NULL when out of memory */
struct bp_lane *bp_lane_new(const char *name);
/** Adds a timer, borrowed until bp_lane_free(). Before the start only. @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_lane_add(struct bp_lane *l, struct bp_timer *t);
/**
 * Starts the thread. Deadlines lie in [start_mono, end_mono); one missed by more than 100 ms at the
 * end is not made up for.
 *
 * @param end_mono  INT64_MAX = until bp_lane_stop()
 * @return 0 or -EAGAIN
 */
BP_MUST_CHECK int bp_lane_start(struct bp_lane *l, bp_ns_t start_mono, bp_ns_t end_mono);
/** Asks it to end after the current call. Any thread, signal-safe. */
void bp_lane_stop(struct bp_lane *l);
/** True when its thread has nothing left to do. Any thread. */
bool bp_lane_over(const struct bp_lane *l);
/** Waits for its end. */
void bp_lane_join(struct bp_lane *l);
void bp_lane_free(struct bp_lane *l);

/** Deadlines of `t` in [start, end), however many of them were met. */
uint64_t bp_timer_wanted(const struct bp_timer *t, bp_ns_t start_mono, bp_ns_t end_mono);
