#pragma once

#include "base/macro.h"

/* One row per failure that errno cannot name.
 *   code        enum suffix; the value is negative and below every -errno
 *   http, exit  what the server answers and the command line returns
 *   text        plain sentence fragment, no full stop */
#define BP_ERRORS(X)                                             \
    X(CORRUPT, 500, 65, "stored data fails its checksum")        \
    X(FORMAT, 422, 65, "data is not in a format we understand")  \
    X(TRUNCATED, 422, 65, "data ends in the middle of a record") \
    X(LIMIT, 413, 65, "data exceeds a limit")                    \
    X(UNSUPPORTED, 501, 69, "not supported")                     \
    X(CLOCK, 409, 70, "clock went backwards beyond the limit")   \
    X(DDS, 503, 69, "the DDS layer refused")                     \
    X(MISMATCH, 409, 65, "two things that must agree do not")    \
    X(BUSY, 409, 75, "in use by another process")                \
    X(CONFIG, 400, 78, "configuration is not valid")             \
    X(KEY, 403, 77, "sealed, and no key given opens it")         \
    X(USAGE, 400, 2, "not used as intended")                     \
    X(TLS, 502, 69, "the other side's TLS is not to be trusted") \
    X(DIGEST, 422, 65, "its digest is not what was announced")   \
    X(GONE, 410, 65, "it has expired")

enum bp_code {
    BP_E_BASE_ = -5000,
#define X(code, http, exit, text) BP_E##code,
    BP_ERRORS(X)
#undef X
};

/* Exit statuses of the program besides those of the table. */
enum bp_exit {
    BP_EXIT_DONE = 0,
    BP_EXIT_FINDINGS = 1, /* verify, diff, doctor found something */
    BP_EXIT_INPUT = 2,    /* input not usable, or wrong usage */
    BP_EXIT_LOSSES = 3,   /* done, but something was lost */
};

/* What went wrong, for people. The return code stays the thing to branch on.
 * No heap: safe to fill when memory is short. */
struct bp_error {
    int code;
    char text[400];
};

/** Fills `e` (may be NULL) and returns `code`, so that a failure is one statement. */
int bp_fail(struct bp_error *e, int code, const char *fmt, ...) BP_PRINTF(3, 4);

/** Puts "context: " in front of what is already in `e` (may be NULL) and returns `code`. */
int bp_prefix(struct bp_error *e, int code, const char *fmt, ...) BP_PRINTF(3, 4);

#ifdef __clang_analyzer__
/* It sees one file at a time: told that a failure is negative, it does not follow a path on which a
 * function has failed and its caller goes on with results that were never written. */
static inline int bp_negative_(int code) {
    return code < 0 ? code : -1;
}
#define bp_fail(...)   bp_negative_(bp_fail(__VA_ARGS__))
#define bp_prefix(...) bp_negative_(bp_prefix(__VA_ARGS__))
#endif

/** Text of a negative errno or a row of the table; static or per thread, never NULL. */
const char *bp_strerror(int code);

/** Exit status for a code: 0 for >= 0, the row's for table codes, else one of sysexits by errno. */
int bp_exit_status(int code);

/** HTTP status for a code: 200 for >= 0, the row's for table codes, else by errno, 500 if unknown.
 */
int bp_http_status(int code);
