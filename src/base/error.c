#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
    int code, http, exit;
    const char *text;
} table[] = {
#define X(c, h, x, t) { .code = BP_E##c, .http = (h), .exit = (x), .text = (t) },
    BP_ERRORS(X)
#undef X
};

/* The errnos a user meets, with the status of sysexits.h that fits and what HTTP would say. */
static const struct {
    int err, http, exit;
} errnos[] = {
    { ENOENT, 404, 66 },       { EACCES, 403, 77 }, { EPERM, 403, 77 },   { EEXIST, 409, 73 },
    { ENOSPC, 507, 74 },       { EDQUOT, 507, 74 }, { EIO, 500, 74 },     { EROFS, 507, 73 },
    { ENOMEM, 503, 71 },       { EINVAL, 400, 65 }, { ENOTDIR, 404, 66 }, { EISDIR, 400, 66 },
    { ETIMEDOUT, 504, 75 },    { EAGAIN, 503, 75 }, { ENOTSUP, 501, 69 }, { ECONNREFUSED, 502, 69 },
    { EADDRINUSE, 409, 69 },   { EBUSY, 409, 75 },  { EINTR, 503, 75 },   { ECANCELED, 503, 75 },
    { EHOSTUNREACH, 502, 69 },
};

const char *bp_strerror(int code) {
    for (size_t i = 0; i < BP_COUNT(table); i++)
        if (table[i].code == code)
            return table[i].text;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): per thread in glibc >= 2.32 */
    return strerror(code < 0 ? -code : code);
}

int bp_exit_status(int code) {
    if (code >= 0)
        return EXIT_SUCCESS;
    for (size_t i = 0; i < BP_COUNT(table); i++)
        if (table[i].code == code)
            return table[i].exit;
    for (size_t i = 0; i < BP_COUNT(errnos); i++)
        if (errnos[i].err == -code)
            return errnos[i].exit;

    return 70;
}

int bp_http_status(int code) {
    if (code >= 0)
        return 200;
    for (size_t i = 0; i < BP_COUNT(table); i++)
        if (table[i].code == code)
            return table[i].http;
    for (size_t i = 0; i < BP_COUNT(errnos); i++)
        if (errnos[i].err == -code)
            return errnos[i].http;

    return 500;
}

#undef bp_fail /* what error.h tells the analyzer */
#undef bp_prefix

int bp_fail(struct bp_error *e, int code, const char *fmt, ...) {
    va_list ap;

    if (!e)
        return code;

    e->code = code;
    va_start(ap, fmt);
    (void) vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return code;
}

int bp_prefix(struct bp_error *e, int code, const char *fmt, ...) {
    char what[sizeof e->text / 2];
    char rest[sizeof e->text];
    va_list ap;

    if (!e)
        return code;

    (void) snprintf(rest, sizeof rest, "%s", e->text);
    va_start(ap, fmt);
    (void) vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return bp_fail(e, code, "%s: %s", what, rest);
}
