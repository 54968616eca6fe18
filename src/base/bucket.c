#include "base/bucket.h"

#include "base/macro.h"

static void refill(struct bp_bucket *b, bp_ns_t now) {
    if (now > b->at)
        b->tokens = BP_MIN(b->burst, b->tokens + (double) (now - b->at) * 1e-9 * b->rate);
    b->at = now;
}

void bp_bucket_set(struct bp_bucket *b, double rate, double burst, bp_ns_t now_mono) {
    double owed;

    refill(b, now_mono);
    owed = b->rate > 0 ? BP_MIN(b->tokens, 0) : 0;
    b->rate = rate;
    b->burst = burst > 0 ? burst : rate / 4;
    b->tokens = owed;
}

bp_ns_t bp_bucket_take(struct bp_bucket *b, double n, bp_ns_t now_mono) {
    if (b->rate <= 0)
        return 0;
    refill(b, now_mono);
    b->tokens -= n;
    return b->tokens >= 0 ? 0 : (bp_ns_t) (-b->tokens / b->rate * 1e9);
}
