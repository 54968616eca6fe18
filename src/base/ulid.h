#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

/* ULIDs (github.com/ulid/spec): 48 bits of wall-clock milliseconds and 80 random bits, written as
 * 26 characters of Crockford's base 32. Texts sort by time. Ids of one process always rise: within
 * a millisecond, or when the clock went back, the random part of the last one is counted up. */
enum { BP_ULID_TEXT = 27 }; /* with its NUL */

/** Writes a new id; returns `text`. Any thread. */
char *bp_ulid_new(char text[static BP_ULID_TEXT]);
/** The id of a time, not negative, and 80 bits of the caller's: the same of the same. */
char *bp_ulid_of(bp_ns_t wall_ns, const uint8_t bits[static 10], char text[static BP_ULID_TEXT]);

/**
 * Reads an id as people may type it: small letters, and I, L for 1, O for 0.
 *
 * @param ret_wall_ns  when it was made, to the millisecond; may be NULL
 * @return 0, or -EINVAL
 */
int bp_ulid_parse(const char *text, size_t n, bp_ns_t *ret_wall_ns);
