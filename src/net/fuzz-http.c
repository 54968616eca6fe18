#include <stdint.h>

#include "net/addr.h"
#include "net/http-text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void require(bool ok) {
    if (!ok)
        abort();
}

/* Whatever a target is, its parts hold no way up the tree and every pattern can be tried on it. */
static void target(const char *text) {
    static const char *const patterns[] = { "/", "/a", "/a/:id", "/:a/:b/:c", "/a/*rest", "/*all" };
    struct bp_http_param params[BP_HTTP_MAX_PARAMS];
    struct bp_http_target t = { 0 };
    struct bp_error err;

    if (bp_http_target_parse(text, &t, &err) < 0)
        return;
    for (size_t i = 0; i < t.nsegments; i++)
        require(!bp_streq(t.segments[i], "..") && !strstr(t.segments[i], "/../"));
    for (size_t i = 0; i < t.nquery; i++)
        require(strlen(t.query[i].name) + strlen(t.query[i].value) <= strlen(text));
    for (size_t i = 0; i < BP_COUNT(patterns); i++)
        if (bp_http_pattern_fits(patterns[i], &t))
            for (size_t k = bp_http_pattern_params(patterns[i], &t, params); k > 0; k--)
                require(strlen(params[k - 1].value) <= strlen(text));
    bp_http_target_done(&t);
}

/* A pattern that passes the check can be tried. */
static void pattern(const char *text) {
    struct bp_http_param params[BP_HTTP_MAX_PARAMS];
    struct bp_http_target t = { 0 };
    struct bp_error err;

    if (bp_http_pattern_check(text, &err) < 0 ||
        bp_http_target_parse("/a/b/c/d/e/f/g/h", &t, &err) < 0)
        return;
    if (bp_http_pattern_fits(text, &t))
        require(bp_http_pattern_params(text, &t, params) <= BP_HTTP_MAX_PARAMS);
    bp_http_target_done(&t);
}

static void range(const char *text) {
    static const uint64_t sizes[] = { 0, 1, 10, UINT64_MAX };

    for (size_t i = 0; i < BP_COUNT(sizes); i++) {
        uint64_t first, count;

        if (bp_http_range_parse(text, sizes[i], &first, &count) == 1)
            require(count > 0 && first < sizes[i] && count <= sizes[i] - first);
    }
}

/* What an address is written as is read as the same. */
static void address(const char *text) {
    struct bp_addr a, again;
    char out[BP_ADDR_TEXT];
    struct bp_error err;

    if (bp_addr_parse(text, &a, &err) < 0 || a.kind == BP_ADDR_FD)
        return;
    require(bp_addr_parse(bp_addr_format(&a.sa, a.len, out), &again, &err) == 0);
    require(a.kind == again.kind && a.local == again.local && a.len == again.len);
    require(bp_addr_same_peer(&a.sa, &again.sa));
}

static void names(const char *text) {
    static const char *const own[] = { "robot.local", NULL };
    struct bp_str v;

    if (bp_http_host_ok(text, own, NULL))
        require(bp_http_authority_split(text, &v, &(struct bp_str){ 0 }));
    (void) bp_http_origin_ok(text, "localhost:9090", own);
    (void) bp_http_etag_in(text, "\"a\"");
    v = bp_http_cookie_find(text, "a");
    require(v.n <= strlen(text));
}

/* The first byte says what the rest is. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static void (*const kinds[])(const char *) = { target, pattern, range, address, names };
    char *text = n > 0 ? strndup((const char *) p + 1, n - 1) : NULL;

    if (text && p[0] >= '0' && p[0] < '0' + BP_COUNT(kinds))
        kinds[p[0] - '0'](text);
    free(text);
    return 0;
}
