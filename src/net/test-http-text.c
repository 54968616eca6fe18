#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include "net/addr.h"
#include "net/http-text.h"

static const char *row = NULL; /* which row failed */

#define ROW(text) (row = (text))

static int say_row(void **state) {
    (void) state;
    if (row)
        print_message("# last row: '%s'\n", row);
    row = NULL;
    return 0;
}

/* Segments joined by '|', then pairs as name=value joined by '&'. */
static void show(const struct bp_http_target *t, char *out, size_t size) {
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < t->nsegments; i++)
        n += (size_t) snprintf(out + n, size - n, "|%s", t->segments[i]);
    for (size_t i = 0; i < t->nquery; i++)
        n += (size_t) snprintf(out + n, size - n, "&%s=%s", t->query[i].name, t->query[i].value);
}

static void targets(void **state) {
    static const struct {
        const char *raw;
        int want;
        const char *parts, *path, *authority;
    } cases[] = {
        { "/", 0, "", "/", NULL },
        { "/a", 0, "|a", "/a", NULL },
        { "/a/", 0, "|a|", "/a/", NULL },
        { "//a", 0, "||a", "//a", NULL },
        { "/a/b%2Fc/d", 0, "|a|b/c|d", "/a/b%2Fc/d", NULL },
        { "/%e2%82%ac", 0, "|\xe2\x82\xac", "/%e2%82%ac", NULL },
        { "/a+b", 0, "|a+b", "/a+b", NULL },
        { "/a?x=1&y=b+c%26d&z&=v&&w=", 0, "|a&x=1&y=b c&d&z=&=v&w=", "/a", NULL },
        { "/a?x=1=2", 0, "|a&x=1=2", "/a", NULL },
        { "/?", 0, "", "/", NULL },
        { "/a?b?c", 0, "|a&b?c=", "/a", NULL },
        { "/...", 0, "|...", "/...", NULL },
        { "http://h:1/a?b", 0, "|a&b=", "/a", "h:1" },
        { "HTTPS://h/", 0, "", "/", "h" },
        { "*", 0, "", "*", NULL },
        { "/a?t=a%0Ab", 0, "|a&t=a\nb", "/a", NULL },
        { "", -EINVAL, NULL, NULL, NULL },
        { "a", -EINVAL, NULL, NULL, NULL },
        { "http://", -EINVAL, NULL, NULL, NULL },
        { "http:///a", -EINVAL, NULL, NULL, NULL },
        { "ftp://h/a", -EINVAL, NULL, NULL, NULL },
        { "/%", -EINVAL, NULL, NULL, NULL },
        { "/%4", -EINVAL, NULL, NULL, NULL },
        { "/%4g", -EINVAL, NULL, NULL, NULL },
        { "/%00", -EINVAL, NULL, NULL, NULL },
        { "/a?b=%00", -EINVAL, NULL, NULL, NULL },
        { "/%0d", -EINVAL, NULL, NULL, NULL },
        { "/%ff", -EINVAL, NULL, NULL, NULL },
        { "/a?b=%c3%28", -EINVAL, NULL, NULL, NULL },
        { "/a/../b", -EINVAL, NULL, NULL, NULL },
        { "/a/%2e%2E/b", -EINVAL, NULL, NULL, NULL },
        { "/a/x%2f..%2fy", -EINVAL, NULL, NULL, NULL },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_http_target t = { 0 };
        struct bp_error err = { 0 };
        char text[200];

        ROW(cases[i].raw);
        assert_int_equal(bp_http_target_parse(cases[i].raw, &t, &err), cases[i].want);
        if (cases[i].want < 0) {
            assert_true(err.text[0] != '\0');
            continue;
        }
        show(&t, text, sizeof text);
        assert_string_equal(text, cases[i].parts);
        assert_string_equal(t.path, cases[i].path);
        assert_string_equal(t.authority ? t.authority : "-",
                            cases[i].authority ? cases[i].authority : "-");
        bp_http_target_done(&t);
    }
}

static void too_many_parts(void **state) {
    struct bp_http_target t = { 0 };
    struct bp_error err;
    char text[600];

    (void) state;
    for (int i = 0; i < 33; i++)
        memcpy(text + 2 * i, "/a", 3);
    assert_int_equal(bp_http_target_parse(text, &t, &err), BP_ELIMIT);
    text[64] = '\0';
    assert_int_equal(bp_http_target_parse(text, &t, &err), 0);
    assert_int_equal(t.nsegments, 32);
    bp_http_target_done(&t);

    memcpy(text, "/?", 3);
    for (int i = 0; i < 65; i++)
        memcpy(text + 2 + 2 * i, "a&", 3);
    assert_int_equal(bp_http_target_parse(text, &t, &err), BP_ELIMIT);
    text[2 + 128] = '\0';
    assert_int_equal(bp_http_target_parse(text, &t, &err), 0);
    assert_int_equal(t.nquery, 64);
    bp_http_target_done(&t);
}

static void patterns(void **state) {
    static const struct {
        const char *pattern, *raw, *want; /* parameters, or NULL when it does not fit */
    } cases[] = {
        { "/", "/", "" },
        { "/", "/a", NULL },
        { "/", "//", NULL },
        { "/", "*", NULL },
        { "/a/b", "/a/b", "" },
        { "/a/b", "/a/%62", "" },
        { "/a/b", "/a/b/", NULL },
        { "/a/b", "/a", NULL },
        { "/a/b", "/a/bc", NULL },
        { "/a/b", "/A/b", NULL },
        { "/a/:id", "/a/7", "id=7;" },
        { "/a/:id", "/a/x%2Fy", "id=x/y;" },
        { "/a/:id", "/a/", NULL },
        { "/a/:id", "/a", NULL },
        { "/a/:id", "/a/7/8", NULL },
        { "/:x/b/:y", "/1/b/2", "x=1;y=2;" },
        { "/ui/*rest", "/ui/a/b.js", "rest=a/b.js;" },
        { "/ui/*rest", "/ui/a/b%2Fc/", "rest=a/b/c/;" },
        { "/ui/*rest", "/ui/", "rest=;" },
        { "/ui/*rest", "/ui", "rest=;" },
        { "/*rest", "/", "rest=;" },
        { "/*rest", "*", NULL },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_http_param params[BP_HTTP_MAX_PARAMS];
        struct bp_http_target t = { 0 };
        struct bp_error err;
        char text[100] = "";
        size_t n = 0;

        ROW(cases[i].raw);
        assert_int_equal(bp_http_pattern_check(cases[i].pattern, &err), 0);
        assert_int_equal(bp_http_target_parse(cases[i].raw, &t, &err), 0);
        assert_int_equal(bp_http_pattern_fits(cases[i].pattern, &t), cases[i].want != NULL);
        if (cases[i].want) {
            size_t count = bp_http_pattern_params(cases[i].pattern, &t, params);

            for (size_t k = 0; k < count; k++)
                n += (size_t) snprintf(text + n, sizeof text - n, "%.*s=%s;",
                                       (int) params[k].name.n, params[k].name.p, params[k].value);
            assert_string_equal(text, cases[i].want);
        }
        bp_http_target_done(&t);
    }
}

static void bad_patterns(void **state) {
    static const char *const cases[] = {
        "", "a", "/a/", "//", "/:", "/*", "/*a/b", "/:a/:b/:c/:d/:e/:f/:g/:h/:i", "/a//:id",
    };
    struct bp_error err;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        ROW(cases[i]);
        assert_int_equal(bp_http_pattern_check(cases[i], &err), -EINVAL);
    }
}

static void ranges(void **state) {
    static const struct {
        const char *header;
        uint64_t size;
        int want;
        uint64_t first, n;
    } cases[] = {
        { "bytes=0-9", 100, 1, 0, 10 },
        { "bytes=0-0", 100, 1, 0, 1 },
        { "bytes=90-", 100, 1, 90, 10 },
        { "bytes=90-1000", 100, 1, 90, 10 },
        { "bytes=-5", 100, 1, 95, 5 },
        { "bytes=-500", 100, 1, 0, 100 },
        { "BYTES=1-2", 100, 1, 1, 2 },
        { "bytes=5-18446744073709551615", 10, 1, 5, 5 },
        { "bytes=0-99999999999999999999999", 10, 1, 0, 10 },
        { "bytes=100-", 100, -ERANGE, 0, 0 },
        { "bytes=99999999999999999999999-", 100, -ERANGE, 0, 0 },
        { "bytes=0-", 0, -ERANGE, 0, 0 },
        { "bytes=-0", 100, -ERANGE, 0, 0 },
        { "bytes=-1", 0, -ERANGE, 0, 0 },
        { "bytes=5-4", 100, 0, 0, 0 },
        { "bytes=0-1,3-4", 100, 0, 0, 0 },
        { "bytes=", 100, 0, 0, 0 },
        { "bytes=-", 100, 0, 0, 0 },
        { "bytes=1", 100, 0, 0, 0 },
        { "bytes= 1-2", 100, 0, 0, 0 },
        { "bytes=1-2x", 100, 0, 0, 0 },
        { "bytes=--1", 100, 0, 0, 0 },
        { "lines=1-2", 100, 0, 0, 0 },
        { "", 100, 0, 0, 0 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        uint64_t first = 0, n = 0;

        ROW(cases[i].header);
        assert_int_equal(bp_http_range_parse(cases[i].header, cases[i].size, &first, &n),
                         cases[i].want);
        assert_int_equal(first, cases[i].first);
        assert_int_equal(n, cases[i].n);
    }
}

static void etags(void **state) {
    static const struct {
        const char *list, *etag;
        bool want;
    } cases[] = {
        { "\"a\"", "\"a\"", true },
        { "W/\"a\"", "\"a\"", true },
        { "\"a\"", "W/\"a\"", true },
        { "\"b\", \"a\"", "\"a\"", true },
        { "\"b\",W/\"a\" ", "\"a\"", true },
        { "\"x,y\"", "\"x,y\"", true },
        { "*", "\"a\"", true },
        { " *", "\"a\"", true },
        { "\"ab\"", "\"a\"", false },
        { "a", "\"a\"", false },
        { "\"a", "\"a\"", false },
        { "", "\"a\"", false },
        { ", ,", "\"a\"", false },
        { "W/", "\"a\"", false },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        ROW(cases[i].list);
        assert_int_equal(bp_http_etag_in(cases[i].list, cases[i].etag), cases[i].want);
    }
}

static void hosts(void **state) {
    static const char *const names[] = { "robot.local", "x.example.com", NULL };
    static const struct {
        const char *authority;
        bool want;
    } cases[] = {
        { "localhost", true },
        { "localhost:9090", true },
        { "LocalHost:1", true },
        { "localhost.", true },
        { "127.0.0.1", true },
        { "127.1.2.3:80", true },
        { "[::1]", true },
        { "[::1]:9090", true },
        { "[::ffff:127.0.0.1]:1", true },
        { "robot.local:9090", true },
        { "ROBOT.local", true },
        { "x.example.com", true },
        { "192.0.2.7:9090", true }, /* the address the connection was made to */
        { "192.0.2.8", false },
        { "[2001:db8::1]", false },
        { "example.com", false },
        { "evil-robot.local", false },
        { "localhost.evil.com", false },
        { "127.0.0.1.evil.com", false },
        { "localhost:evil", false },
        { "localhost:123456", false },
        { "[::1", false },
        { "[::1]x", false },
        { "unix", false },
        { "fd", false },
        { ":80", false },
        { "", false },
        { "localhost evil", false },
    };
    struct sockaddr_in own = { .sin_family = AF_INET };

    (void) state;
    assert_int_equal(inet_pton(AF_INET, "192.0.2.7", &own.sin_addr), 1);
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        ROW(cases[i].authority);
        assert_int_equal(bp_http_host_ok(cases[i].authority, names, (const struct sockaddr *) &own),
                         cases[i].want);
    }
    assert_false(bp_http_host_ok("robot.local", NULL, NULL));
    assert_false(bp_http_host_ok("192.0.2.7", NULL, NULL));
}

static void origins(void **state) {
    static const char *const more[] = { "https://console.example.com", NULL };
    static const struct {
        const char *origin, *authority;
        bool want;
    } cases[] = {
        { "http://localhost:9090", "localhost:9090", true },
        { "https://localhost:9090", "localhost:9090", true },
        { "http://LOCALHOST:9090", "localhost:9090", true },
        { "https://console.example.com", "localhost:9090", true },
        { "http://console.example.com", "localhost:9090", false },
        { "http://localhost:9091", "localhost:9090", false },
        { "http://localhost", "localhost:9090", false },
        { "http://evil.com", "localhost:9090", false },
        { "null", "localhost:9090", false },
        { "", "localhost:9090", false },
        { "ftp://localhost:9090", "localhost:9090", false },
        { "http://localhost:9090", NULL, false },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        ROW(cases[i].origin);
        assert_int_equal(bp_http_origin_ok(cases[i].origin, cases[i].authority, more),
                         cases[i].want);
    }
}

static void cookies(void **state) {
    static const struct {
        const char *header, *name, *want;
    } cases[] = {
        { "a=1", "a", "1" },  { "b=2; a=1", "a", "1" },    { "aa=2;a=1 ;c=3", "a", "1" },
        { "a=", "a", "" },    { "a", "a", NULL },          { "", "a", NULL },
        { "A=1", "a", NULL }, { ";;; a=x=y", "a", "x=y" }, { "xa=1", "a", NULL },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_str v = bp_http_cookie_find(cases[i].header, cases[i].name);

        ROW(cases[i].header);
        assert_int_equal(v.p != NULL, cases[i].want != NULL);
        if (cases[i].want)
            assert_true(bp_str_eq(v, bp_str_of(cases[i].want)));
    }
}

static void addresses(void **state) {
    static const struct {
        const char *text;
        int kind; /* or -1 */
        bool local;
    } cases[] = {
        { "127.0.0.1:9090", BP_ADDR_TCP, true },
        { "127.9.9.9:0", BP_ADDR_TCP, true },
        { "0.0.0.0:80", BP_ADDR_TCP, false },
        { "192.0.2.7:65535", BP_ADDR_TCP, false },
        { "[::1]:9090", BP_ADDR_TCP, true },
        { "[::]:9090", BP_ADDR_TCP, false },
        { "[2001:db8::1]:9090", BP_ADDR_TCP, false },
        { "unix:/run/x.sock", BP_ADDR_UNIX, true },
        { "fd:3", BP_ADDR_FD, false },
        { "", -1, false },
        { "9090", -1, false },
        { ":9090", -1, false },
        { "localhost:9090", -1, false },
        { "127.0.0.1", -1, false },
        { "127.0.0.1:", -1, false },
        { "127.0.0.1:65536", -1, false },
        { "127.0.0.1:+1", -1, false },
        { "127.0.0.1:000001", -1, false },
        { "127.0.0.1:1x", -1, false },
        { "127.0.0:1", -1, false },
        { "::1:9090", -1, false },
        { "[::1]9090", -1, false },
        { "[::1]", -1, false },
        { "[]:1", -1, false },
        { "[127.0.0.1]:1", -1, false },
        { "unix:", -1, false },
        { "unix:x.sock", -1, false },
        { "unix:/"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaaaaaaaaaaaaaaaa",
          -1, false },
        { "fd:", -1, false },
        { "fd:x", -1, false },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_addr a;
        struct bp_error err = { 0 };
        char text[BP_ADDR_TEXT];

        ROW(cases[i].text);
        if (cases[i].kind < 0) {
            assert_int_equal(bp_addr_parse(cases[i].text, &a, &err), -EINVAL);
            assert_true(err.text[0] != '\0');
            continue;
        }
        assert_int_equal(bp_addr_parse(cases[i].text, &a, &err), 0);
        assert_int_equal(a.kind, cases[i].kind);
        assert_int_equal(a.local, cases[i].local);
        if (a.kind != BP_ADDR_FD)
            assert_string_equal(bp_addr_format(&a.sa, a.len, text), cases[i].text);
    }
}

static void peers(void **state) {
    static const struct {
        const char *a, *b;
        bool want;
    } cases[] = {
        { "192.0.2.7:1", "192.0.2.7:2", true },
        { "192.0.2.7:1", "192.0.2.8:1", false },
        { "[2001:db8::1]:1", "[2001:db8::ffff]:2", true },
        { "[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false },
        { "[::ffff:192.0.2.7]:1", "192.0.2.7:9", true },
        { "[::ffff:192.0.2.7]:1", "[::ffff:192.0.2.8]:1", false },
        { "unix:/a", "unix:/b", true },
        { "unix:/a", "127.0.0.1:1", false },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_addr a, b;

        ROW(cases[i].a);
        assert_int_equal(bp_addr_parse(cases[i].a, &a, NULL), 0);
        assert_int_equal(bp_addr_parse(cases[i].b, &b, NULL), 0);
        assert_int_equal(bp_addr_same_peer(&a.sa, &b.sa), cases[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(targets, say_row),
        cmocka_unit_test(too_many_parts),
        cmocka_unit_test_teardown(patterns, say_row),
        cmocka_unit_test_teardown(bad_patterns, say_row),
        cmocka_unit_test_teardown(ranges, say_row),
        cmocka_unit_test_teardown(etags, say_row),
        cmocka_unit_test_teardown(hosts, say_row),
        cmocka_unit_test_teardown(origins, say_row),
        cmocka_unit_test_teardown(cookies, say_row),
        cmocka_unit_test_teardown(addresses, say_row),
        cmocka_unit_test_teardown(peers, say_row),
    };

    return cmocka_run_group_tests_name("net/http-text", tests, NULL, NULL);
}
