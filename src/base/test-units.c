#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/units.h"

static void sizes(void **state) {
    static const struct {
        const char *text;
        int r;
        uint64_t want;
    } cases[] = {
        { "0", 0, 0 },
        { "1048576", 0, 1048576 },
        { "16MiB", 0, 16777216 },
        { "16M", 0, 16777216 },
        { "1G", 0, 1073741824 },
        { "1.5k", 0, 1536 },
        { "200MB", 0, 200000000 },
        { "1 kB", 0, 1000 },
        { "12B", 0, 12 },
        { "2T", 0, 2199023255552 },
        { "9007199254740993", 0, 9007199254740993 }, /* not a double */
        { "", -EINVAL, 0 },
        { "-1", -EINVAL, 0 },
        { " 1", -EINVAL, 0 },
        { "k", -EINVAL, 0 },
        { "1kk", -EINVAL, 0 },
        { "1 M x", -EINVAL, 0 },
        { "0x10", -EINVAL, 0 },
        { "inf", -EINVAL, 0 },
        { "nan", -EINVAL, 0 },
        { ".", -EINVAL, 0 },
        { "1.2.3", -EINVAL, 0 },
        { "9999999999T", -ERANGE, 0 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        uint64_t got = 0;

        assert_int_equal(bp_parse_size(cases[i].text, &got), cases[i].r);
        assert_int_equal(got, cases[i].want);
    }
}

static void durations(void **state) {
    static const struct {
        const char *text;
        int r;
        bp_ns_t want;
    } cases[] = {
        { "10", 0, 10 * BP_SEC },
        { "0.25", 0, 250 * BP_MS },
        { "100ms", 0, 100 * BP_MS },
        { "7us", 0, 7000 },
        { "7µs", 0, 7000 },
        { "5ns", 0, 5 },
        { "10s", 0, 10 * BP_SEC },
        { "2min", 0, 120 * BP_SEC },
        { "2m", 0, 120 * BP_SEC },
        { "1.5h", 0, 5400 * BP_SEC },
        { "1h30min", 0, 5400 * BP_SEC },
        { "1 h 30 min", 0, 5400 * BP_SEC },
        { "1d", 0, 86400 * BP_SEC },
        { "-3s", 0, -3 * BP_SEC },
        { "0", 0, 0 },
        { "", -EINVAL, 0 },
        { "-", -EINVAL, 0 },
        { "s", -EINVAL, 0 },
        { "10 parsecs", -EINVAL, 0 },
        { "1h30", -EINVAL, 0 },
        { "1h-30min", -EINVAL, 0 },
        { "--1s", -EINVAL, 0 },
        { "999999999d", -ERANGE, 0 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        bp_ns_t got = 0;

        assert_int_equal(bp_parse_duration(cases[i].text, &got), cases[i].r);
        assert_int_equal(got, cases[i].want);
    }
}

static void numbers(void **state) {
    int64_t i = 0;
    double d = 0;

    (void) state;
    assert_int_equal(bp_parse_int("-12", &i), 0);
    assert_int_equal(i, -12);
    assert_int_equal(bp_parse_int("9223372036854775808", &i), -ERANGE);
    assert_int_equal(bp_parse_int(" 1", &i), -EINVAL);
    assert_int_equal(bp_parse_int("1 ", &i), -EINVAL);
    assert_int_equal(bp_parse_int("", &i), -EINVAL);
    assert_int_equal(i, -12);
    assert_int_equal(bp_parse_real("-2.5e1", &d), 0);
    assert_true(d == -25);
    assert_int_equal(bp_parse_real("1e999", &d), -ERANGE);
    assert_int_equal(bp_parse_real("infinity", &d), -EINVAL);
}

static void formats(void **state) {
    char t[BP_UNITS_TEXT];

    (void) state;
    assert_string_equal(bp_size_format(0, t), "0 B");
    assert_string_equal(bp_size_format(1023, t), "1023 B");
    assert_string_equal(bp_size_format(1536, t), "1.5 KiB");
    assert_string_equal(bp_size_format(16777216, t), "16.0 MiB");
    assert_string_equal(bp_size_format(1073741823, t), "1.0 GiB");
    assert_string_equal(bp_size_format(UINT64_MAX, t), "16.0 EiB");
    assert_string_equal(bp_duration_format(12, t), "12 ns");
    assert_string_equal(bp_duration_format(3500 * BP_US, t), "3.5 ms");
    assert_string_equal(bp_duration_format(12340 * BP_MS, t), "12.34 s");
    assert_string_equal(bp_duration_format(125 * BP_SEC, t), "2 min 05 s");
    assert_string_equal(bp_duration_format(-9000 * BP_SEC, t), "-2 h 30 min");
}

static void nearness(void **state) {
    (void) state;
    assert_int_equal(bp_edit_distance("", "abc"), 3);
    assert_int_equal(bp_edit_distance("record", "record"), 0);
    assert_int_equal(bp_edit_distance("recrod", "record"), 1);
    assert_int_equal(bp_edit_distance("kitten", "sitting"), 3);
    assert_true(bp_is_likely_typo("outptu", "output"));
    assert_true(bp_is_likely_typo("comp", "compression-format"));
    assert_false(bp_is_likely_typo("a", "b-long-one"));
    assert_false(bp_is_likely_typo("echo", "hz"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),   cmocka_unit_test(durations), cmocka_unit_test(numbers),
        cmocka_unit_test(formats), cmocka_unit_test(nearness),
    };

    return cmocka_run_group_tests_name("base/units", tests, NULL, NULL);
}
