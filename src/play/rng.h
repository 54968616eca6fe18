#pragma once

#include <math.h>
#include <stdint.h>

/* A small random generator with a seed, so that noise can be repeated (splitmix64, Steele, Lea and
 * Flood 2014). Not for several threads, not for secrets. */
struct bp_rng {
    uint64_t state;
};

static inline struct bp_rng bp_rng_of(uint64_t seed) {
    return (struct bp_rng){ seed * 0x9e3779b97f4a7c15U + 0x2545f4914f6cdd1dU };
}

static inline uint64_t bp_rng_u64(struct bp_rng *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15U;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/** Evenly spread over [0, 1). */
static inline double bp_rng_real(struct bp_rng *r) {
    return (double) (bp_rng_u64(r) >> 11) * 0x1p-53;
}

/** Bell-shaped around 0 with standard deviation 1: twelve of the above, less their mean. Never
 *  beyond 6. */
static inline double bp_rng_normal(struct bp_rng *r) {
    double sum = -6;

    for (int i = 0; i < 12; i++)
        sum += bp_rng_real(r);
    return sum;
}
