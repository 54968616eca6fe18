#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/time.h"

/* Rates by time of day, and pauses between tries: pure functions of time and numbers. */

enum { BP_SCHEDULE_MAX = 32 };

#define BP_RATE_UNLIMITED 0.0
#define BP_RATE_OFF       (-1.0)

struct bp_sync_schedule {
    struct {
        unsigned days;     /* bit 0 = Sunday; of the day it begins */
        unsigned from, to; /* minutes of the day; to <= from: it ends on the next day */
        double rate;       /* bytes a second */
    } v[BP_SCHEDULE_MAX];
    unsigned n;
    double otherwise;
};

/**
 * Reads rates: "08:00-18:00=2Mbit, else=unlimited", "Mon-Fri 08:00-18:00=off", "500kB". The first
 * window that holds the time counts; without "else" the rest is unlimited. Rates are bits (kbit,
 * Mbit, Gbit) or bytes (as bp_parse_size()) a second, "unlimited", or "off".
 *
 * @param text  NULL or "" = unlimited always
 * @return 0 or BP_EUSAGE naming the word
 */
BP_MUST_CHECK int bp_sync_rates_parse(const char *text, struct bp_sync_schedule *ret,
                                      struct bp_error *err);
/** Reads windows in which something may be sent: "22:00-06:00, Sat-Sun 00:00-24:00". NULL or "" =
 *  always. @return as above */
BP_MUST_CHECK int bp_sync_windows_parse(const char *text, struct bp_sync_schedule *ret,
                                        struct bp_error *err);
/** The rate at a time of the local day. @param weekday  0 = Sunday; @param minute  of the day */
double bp_sync_schedule_at(const struct bp_sync_schedule *s, unsigned weekday, unsigned minute);
/** The same at a wall time, in the local time zone. */
double bp_sync_schedule_now(const struct bp_sync_schedule *s, bp_ns_t wall_ns);

enum { BP_SYNC_TRIES = 7 };
#define BP_SYNC_BACKOFF_MAX (120 * BP_SEC)

/** A pause after the n-th failure (from 1): anything up to 2, 4, 8 … 120 s, so that many who failed
 *  together do not come back together. @param rng  state, not 0 */
bp_ns_t bp_sync_backoff(unsigned n, uint64_t *rng);
/** A number in [0, 1). */
double bp_sync_random(uint64_t *rng);
