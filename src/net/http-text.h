#pragma once

#include <sys/socket.h>

#include "net/http.h"

/* The texts of HTTP that the server reads itself. Pure functions over what a client sent. */

/* A request's target, taken apart. */
struct bp_http_target {
    char *text;                                 /* owned: all below points into it */
    const char *path;                           /* as sent, without the query */
    const char *authority;                      /* of "http://authority/path", else NULL */
    const char *segments[BP_HTTP_MAX_SEGMENTS]; /* decoded, without '/', one NUL between them */
    size_t nsegments;                           /* of "/" none */
    struct bp_http_pair {
        const char *name, *value;
    } query[BP_HTTP_MAX_QUERY]; /* decoded */
    size_t nquery;
};

/**
 * Reads "/path?query", "http://host/path?query" or "*".
 *
 * @param ret  release with bp_http_target_done()
 * @return 0, -EINVAL: bad percent code, NUL, no UTF-8, control character or "." and ".." in the
 * path; BP_ELIMIT: too many segments or pairs; -ENOMEM
 */
BP_MUST_CHECK int bp_http_target_parse(const char *raw, struct bp_http_target *ret,
                                       struct bp_error *err);
void bp_http_target_done(struct bp_http_target *t);

struct bp_http_param {
    struct bp_str name; /* in the pattern */
    const char *value;  /* in the target */
};

/** @return 0, -EINVAL for a pattern that says nothing sensible */
BP_MUST_CHECK int bp_http_pattern_check(const char *pattern, struct bp_error *err);
/** Does a (checked) pattern fit? */
bool bp_http_pattern_fits(const char *pattern, const struct bp_http_target *t);
/** The parameters of a pattern that fits; "*rest" joins segments, so the target fits no other
 *  afterwards. @return their number */
size_t bp_http_pattern_params(const char *pattern, struct bp_http_target *t,
                              struct bp_http_param params[static BP_HTTP_MAX_PARAMS]);

/**
 * Reads a Range header against a body of `size` bytes.
 *
 * @return 1 and the range; 0 when the header is to be ignored (several ranges, another unit, no
 *         sense); -ERANGE when it lies outside (416)
 */
int bp_http_range_parse(const char *header, uint64_t size, uint64_t *ret_first, uint64_t *ret_n);

/** Is `etag` in the list of If-None-Match, "*" included? Weak comparison. */
bool bp_http_etag_in(const char *list, const char *etag);

/** Splits "host:port", "[::1]:port", "host"; false when it is neither. Empty port: none given. */
bool bp_http_authority_split(const char *text, struct bp_str *ret_host, struct bp_str *ret_port);

/** Is the host of a Host header loopback, one of `names` (may be NULL) or, as literal, `own`? */
bool bp_http_host_ok(const char *authority, const char *const *names, const struct sockaddr *own);

/** May pages of this Origin change something: is it the page's own host, or one of `more`? */
bool bp_http_origin_ok(const char *origin, const char *authority, const char *const *more);

/** The value of one cookie of a Cookie header, or an empty view with p = NULL. */
struct bp_str bp_http_cookie_find(const char *header, const char *name);
