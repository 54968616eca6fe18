#include "web/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/macro.h"

static void codings(void **state) {
    static const struct {
        const char *accept;
        enum bp_web_coding want;
    } cases[] = {
        { NULL, BP_WEB_IDENTITY },
        { "", BP_WEB_IDENTITY },
        { "gzip, deflate", BP_WEB_GZIP },
        { "gzip, deflate, br, zstd", BP_WEB_BROTLI },
        { "br;q=0.5, gzip", BP_WEB_GZIP },
        { "br ; q=0.5 , gzip;q=0.501", BP_WEB_GZIP },
        { "GZIP", BP_WEB_GZIP },
        { "*", BP_WEB_BROTLI },
        { "*;q=0", BP_WEB_IDENTITY },
        { "br;q=0, *", BP_WEB_GZIP },
        { "identity, gzip;q=0.2", BP_WEB_IDENTITY },
        { "gzip;q=0", BP_WEB_IDENTITY },
        { "gzip;q=0.0001", BP_WEB_IDENTITY },
        { "gzip;q=2", BP_WEB_IDENTITY },
        { "gzip;q=1.5", BP_WEB_IDENTITY },
        { "gzip;q=", BP_WEB_IDENTITY },
        { "gzip;", BP_WEB_IDENTITY },
        { "gzipped, bro", BP_WEB_IDENTITY },
        { ",,;,", BP_WEB_IDENTITY },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++)
        if (bp_web_pick(cases[i].accept) != cases[i].want)
            fail_msg("'%s'", cases[i].accept ? cases[i].accept : "(none)");
}

static void pages(void **state) {
    (void) state;
    assert_true(bp_web_wants_page("text/html,application/xhtml+xml,*/*;q=0.8"));
    assert_true(bp_web_wants_page("text/plain, text/html;q=0.1"));
    assert_false(bp_web_wants_page(NULL));
    assert_false(bp_web_wants_page("*/*"));
    assert_false(bp_web_wants_page("text/html;q=0"));
    assert_false(bp_web_wants_page("application/json"));
}

static void prefixes(void **state) {
    static const char *const bad[] = { "robot",     "/a//b",    "/a/../b",    "/a\"b",
                                       "/<script>", "/a b",     "//evil.com", "/a?b",
                                       "/a#b",      "http://x", "/%2e%2e/",   "/ä" };
    char ret[BP_WEB_PREFIX], big[BP_WEB_PREFIX + 2];

    (void) state;
    assert_true(bp_web_prefix("", ret));
    assert_string_equal(ret, "");
    assert_true(bp_web_prefix("/", ret));
    assert_string_equal(ret, "");
    assert_true(bp_web_prefix("/robot7/ui/", ret));
    assert_string_equal(ret, "/robot7/ui");
    for (size_t i = 0; i < BP_COUNT(bad); i++) {
        if (bp_web_prefix(bad[i], ret))
            fail_msg("'%s'", bad[i]);
        assert_string_equal(ret, "");
    }
    memset(big, 'a', sizeof big - 1);
    big[0] = '/';
    big[sizeof big - 1] = '\0';
    assert_false(bp_web_prefix(big, ret));
}

static void origins(void **state) {
    static const char *const bad[] = { "",
                                       "/x",
                                       "ftp://host",
                                       "https://",
                                       "https:///x",
                                       "https://a b/",
                                       "https://a;b",
                                       "https://u@h/",
                                       "javascript:alert(1)" };
    char ret[BP_WEB_ORIGIN];

    (void) state;
    assert_true(bp_web_origin("https://t.example/{z}/{x}", ret));
    assert_string_equal(ret, "https://t.example");
    assert_true(bp_web_origin("ws://[::1]:8765", ret));
    assert_string_equal(ret, "ws://[::1]:8765");
    for (size_t i = 0; i < BP_COUNT(bad); i++)
        if (bp_web_origin(bad[i], ret))
            fail_msg("'%s'", bad[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codings),
        cmocka_unit_test(pages),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(origins),
    };

    return cmocka_run_group_tests_name("web/text", tests, NULL, NULL);
}
