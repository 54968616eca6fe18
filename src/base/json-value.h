#pragma once

#include <jansson.h>

#include "base/time.h"

/* Numbers as all our JSON tells them. Owned by the caller; NULL when out of memory. */

/** A text of nanoseconds, since JavaScript's numbers would round them; 0 (never, none) is null. */
static inline json_t *bp_json_time(bp_ns_t ns) {
    return ns ? json_sprintf("%lld", (long long) ns) : json_null();
}

static inline json_t *bp_json_count(uint64_t n) {
    return json_integer((json_int_t) BP_MIN(n, (uint64_t) INT64_MAX));
}
