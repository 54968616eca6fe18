#pragma once

#include "base/time.h"

/* Numbers as people write them: on the command line, in configuration files, in reports. The C
 * locale is assumed (the program never calls setlocale). All functions: any thread. */

/** Whole decimal number. @return 0, -EINVAL when it is none, -ERANGE when it does not fit. */
int bp_parse_int(const char *text, int64_t *ret);
/** Finite real number. @return 0, -EINVAL, -ERANGE */
int bp_parse_real(const char *text, double *ret);
/**
 * Bytes: "1048576", "16MiB", "1G", "1.5k", "200MB". K, M, G, T with or without "iB" are powers of
 * 1024; kB, MB, GB, TB (written with a B) are powers of 1000. @return 0, -EINVAL, -ERANGE
 */
int bp_parse_size(const char *text, uint64_t *ret);
/**
 * A span of time: "100ms", "10s", "2min", "1.5h", "1h30min"; units ns, us, ms, s, min (m), h, d; a
 * bare number is seconds; a leading minus is allowed. @return 0, -EINVAL, -ERANGE
 */
int bp_parse_duration(const char *text, bp_ns_t *ret);

enum { BP_UNITS_TEXT = 32 };

/** "512 B", "16.0 MiB"; returns `text`. */
char *bp_size_format(uint64_t bytes, char text[static BP_UNITS_TEXT]);
/** "12 ms", "3.5 s", "2 min 05 s", "1 h 30 min"; returns `text`. */
char *bp_duration_format(bp_ns_t ns, char text[static BP_UNITS_TEXT]);

/**
 * How many letters must be inserted, removed, replaced or swapped with their neighbour to make b of
 * a. Words longer than 63 bytes are compared by their first 63.
 */
unsigned bp_edit_distance(const char *a, const char *b);
/** True when `guess` is near enough to `typed` to be offered as "did you mean". */
bool bp_is_likely_typo(const char *typed, const char *guess);
