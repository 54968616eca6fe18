#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"

static void texts(void **state) {
    static const struct {
        struct bp_str in;
        const char *want;
    } cases[] = {
        { BP_STR(""), "\"\"" },
        { BP_STR("abc"), "\"abc\"" },
        { BP_STR("a\"b\\c/"), "\"a\\\"b\\\\c/\"" },
        { BP_STR("\n\t\x01\x7f"), "\"\\n\\t\\u0001\\u007f\"" },
        { BP_STR("a\0b"), "\"a\\u0000b\"" },
        { BP_STR("äöü€😀"), "\"äöü€😀\"" },
        { BP_STR("x\xff"
                 "y"),
          "\"x\xef\xbf\xbdy\"" },
        { BP_STR("\xc3"), "\"\xef\xbf\xbd\"" },
        { BP_STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        { BP_STR("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
        { BP_STR("\xf4\x90\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_BUF b = { 0 };

        bp_json_put_text(&b, cases[i].in.p, cases[i].in.n);
        assert_string_equal(bp_buf_cstr(&b), cases[i].want);
    }
}

static void reals(void **state) {
    static const struct {
        double in;
        const char *want;
    } cases[] = {
        { 0, "0" },
        { 0.1, "0.1" },
        { -2.5, "-2.5" },
        { 1e300, "1e+300" },
        { 1.0 / 3, "0.3333333333333333" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { (double) NAN, "null" },
        { (double) INFINITY, "null" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_BUF b = { 0 };

        bp_json_put_real(&b, cases[i].in);
        assert_string_equal(bp_buf_cstr(&b), cases[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(texts), cmocka_unit_test(reals) };

    return cmocka_run_group_tests_name("base/json", tests, NULL, NULL);
}
