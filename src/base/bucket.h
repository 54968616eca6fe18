#pragma once

#include "base/time.h"

/* A token bucket that gives tokens on credit: whoever takes some waits until his debt is paid. So
 * several threads share one rate fairly, each in small bites. The caller brings time and lock. */
struct bp_bucket {
    double rate;   /* a second; 0 = no limit */
    double burst;  /* most that is saved up while nobody takes */
    double tokens; /* negative = owed */
    bp_ns_t at;    /* mono, of `tokens` */
};

/** A new rate from now on; what is owed stays owed. @param burst  0 = a quarter of a second's */
void bp_bucket_set(struct bp_bucket *b, double rate, double burst, bp_ns_t now_mono);
/** Takes n tokens. @return how long to wait before using them */
bp_ns_t bp_bucket_take(struct bp_bucket *b, double n, bp_ns_t now_mono);
