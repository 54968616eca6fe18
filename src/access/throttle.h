#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/time.h"

/* How often somebody may guess. Each key (a user's name, a client's address) has some attempts
 * free; from then on each attempt doubles the time until the next one, up to a limit, and a quiet
 * while forgives all. The table is bounded: when it is full the key that was quiet longest is
 * forgotten. Not for several threads. */
struct bp_throttle;

struct bp_throttle_rule {
    unsigned free;       /* attempts that cost nothing */
    bp_ns_t first, most; /* the wait after them, and where doubling ends */
    bp_ns_t forgive;     /* without an attempt */
};

enum { BP_THROTTLE_KEY = 72 };

/** @param max  keys remembered; @return NULL when out of memory */
struct bp_throttle *bp_throttle_new(size_t max);
/** Takes NULL. */
void bp_throttle_free(struct bp_throttle *t);
BP_DEFINE_CLEANUP(struct bp_throttle, bp_throttle_free)

/** How long until the next attempt is allowed; 0 = now. */
bp_ns_t bp_throttle_wait(const struct bp_throttle *t, const struct bp_throttle_rule *rule,
                         const char *key, bp_ns_t mono_now);
/** Counts an attempt, before its outcome is known: several at once gain nothing. */
void bp_throttle_count(struct bp_throttle *t, const struct bp_throttle_rule *rule, const char *key,
                       bp_ns_t mono_now);
/** Takes back one attempt that was none, or all of them. */
void bp_throttle_forgive(struct bp_throttle *t, const char *key, bool all);
