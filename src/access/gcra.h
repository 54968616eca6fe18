#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

/* How many requests somebody may make: a steady rate with bursts above it, by the generic cell rate
 * algorithm (ITU-T I.371 §A), which needs one number a key. The table is of fixed size: when the
 * place of a key is full of others, the one that owes least is forgotten, so that a flood of keys
 * costs memory nowhere and lets nobody in who owes much. Any thread. */
struct bp_gcra;

struct bp_gcra_rule {
    double rate;  /* a second, for long; 0 = no limit */
    double burst; /* at once, at least 1 */
};

/** @param keys  remembered at least; @return NULL when out of memory or without randomness */
struct bp_gcra *bp_gcra_new(size_t keys);
/** Takes NULL. */
void bp_gcra_free(struct bp_gcra *g);
BP_DEFINE_CLEANUP(struct bp_gcra, bp_gcra_free)

/**
 * Counts one request of a key, if it may be made.
 *
 * @return 0, or how long until it may be
 */
bp_ns_t bp_gcra_take(struct bp_gcra *g, const struct bp_gcra_rule *rule, const char *key,
                     bp_ns_t mono_now);
/** The same without counting. */
bp_ns_t bp_gcra_wait(struct bp_gcra *g, const struct bp_gcra_rule *rule, const char *key,
                     bp_ns_t mono_now);
