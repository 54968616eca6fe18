#pragma once

#include "record/recorder.h"

/* How fast each topic of the graph comes in, over the last seconds: a sample of its counters once a
 * second, a few kept. Any thread. */
struct bp_rates;

enum { BP_RATES_WINDOW = 5 }; /* seconds */

/** @return owned, release with bp_rates_free(); NULL when out of memory */
struct bp_rates *bp_rates_new(void);
/** Takes NULL. */
void bp_rates_free(struct bp_rates *r);
BP_DEFINE_CLEANUP(struct bp_rates, bp_rates_free)

/**
 * Takes a sample, unless the last one is less than a second old.
 *
 * @param topics  n of them as bp_recorder_topics() gives them, in whose order topics stay for ever
 * @param mono    now
 */
void bp_rates_tick(struct bp_rates *r, const struct bp_recorder_topic *topics, size_t n,
                   bp_ns_t mono);
/** Rates of the i-th topic since the oldest sample. @return false when there are not two yet */
bool bp_rates_get(struct bp_rates *r, size_t i, double *ret_hz, double *ret_bytes);
