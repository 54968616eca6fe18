#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macro.h"

/* One time unit inside the program: nanoseconds. The name of a variable says which clock:
 * wall_ = CLOCK_REALTIME since 1970, mono_ = CLOCK_MONOTONIC. */
typedef int64_t bp_ns_t;

#define BP_US  ((bp_ns_t) 1000)
#define BP_MS  ((bp_ns_t) 1000000)
#define BP_SEC ((bp_ns_t) 1000000000)

bp_ns_t bp_mono_ns(void);
bp_ns_t bp_wall_ns(void);
/** CPU time of this process, all threads. */
bp_ns_t bp_cpu_ns(void);

/** Sleeps until CLOCK_MONOTONIC reaches mono_until; returns at once when it has. Any thread. */
void bp_sleep_until(bp_ns_t mono_until);
void bp_sleep(bp_ns_t duration);

/* "2026-11-21T07:44:41.123456789Z" and its NUL. */
enum { BP_TIME_TEXT = 31 };

/** Writes wall_ns as RFC 3339 in UTC with nanoseconds; returns `text`. */
char *bp_time_format(bp_ns_t wall_ns, char text[static BP_TIME_TEXT]);

/* Notices steps of the wall clock against the monotonic one. One owner thread. */
struct bp_clock_watch {
    bp_ns_t offset; /* wall minus mono when last looked */
    bool primed;
};

/**
 * Compares both clocks with the last look.
 *
 * @return the step in ns (positive = wall clock was put forward), 0 when it is below `tolerance`.
 */
bp_ns_t bp_clock_watch_step(struct bp_clock_watch *w, bp_ns_t tolerance);
