#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "catalog/scope.h"

static void reading(void **state) {
    static const struct {
        const char *text, *want; /* NULL: refused */
    } cases[] = {
        { "", "" },
        { "  ", "" },
        { "hall-*", "hall-*" },
        { " a, b,c\td ", "a b c d" },
        { "group:lab robot_7", "group:lab robot_7" },
        { "*", "*" },
        { "site:3", "site:3" },
        { "group:", NULL },
        { "group:a*", NULL },
        { "a/b", NULL },
        { "a\"b", NULL },
        { "a'b", NULL },
        { "a[b]", NULL },
        { "a?b", NULL },
        { "\xc3\xa4", NULL },
        { "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", NULL },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_error err = { 0 };
        char got[BP_SCOPE] = "untouched";
        int r = bp_scope_read(cases[i].text, got, &err);

        if (cases[i].want) {
            assert_int_equal(r, 0);
            assert_string_equal(got, cases[i].want);
        } else {
            assert_int_equal(r, BP_EUSAGE);
            assert_string_equal(got, "untouched");
            assert_non_null(strstr(err.text, "scope"));
        }
    }
}

static void too_long(void **state) {
    char text[BP_SCOPE + 40], got[BP_SCOPE];

    (void) state;
    memset(text, 'a', sizeof text);
    text[BP_SCOPE - 2] = '\0';
    assert_int_equal(bp_scope_read(text, got, NULL), 0);
    assert_string_equal(got, text);
    text[BP_SCOPE - 2] = 'a';
    text[BP_SCOPE - 1] = '\0';
    assert_int_equal(bp_scope_read(text, got, NULL), BP_EUSAGE);
}

static void having(void **state) {
    static const struct {
        const char *scope, *device, *groups;
        bool want;
    } cases[] = {
        { "", "x", "[]", true },
        { "", "", "", true },
        { "x", "x", "", true },
        { "x", "X", "", false },
        { "x", "xy", "", false },
        { "x", "", "", false },
        { "*", "", "", false },
        { "*", "anything", "", true },
        { "hall-*", "hall-1", "", true },
        { "hall-*", "hall-", "", true },
        { "hall-*", "hall", "", false },
        { "*-7", "hall-7", "", true },
        { "*-7", "hall-7-7", "", true },
        { "*-7", "hall-71", "", false },
        { "a*b*c", "a-b-b-c", "", true },
        { "a*b*c", "a-c-b", "", false },
        { "b a", "a", "", true },
        { "group:lab", "x", "[\"lab\"]", true },
        { "group:lab", "x", "[\"hall\",\"lab\"]", true },
        { "group:lab", "x", "[\"lab2\"]", false },
        { "group:lab", "x", "[\"2lab\"]", false },
        { "group:lab", "x", "[]", false },
        { "group:lab", "group:lab", "", false },
        { "group:lab x", "x", "", true },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++)
        if (bp_scope_has(cases[i].scope, cases[i].device, cases[i].groups) != cases[i].want)
            fail_msg("'%s' and '%s' in %s", cases[i].scope, cases[i].device, cases[i].groups);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading),
        cmocka_unit_test(too_long),
        cmocka_unit_test(having),
    };

    return cmocka_run_group_tests_name("catalog/scope", tests, NULL, NULL);
}
