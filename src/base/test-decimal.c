#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static const struct {
    double v;
    const char *js, *yaml;
} doubles[] = {
    /* texts printed by node 20 and by PyYAML 6 */
    { 0.0, "0", "0.0" },
    { -0.0, "0", "-0.0" },
    { 1, "1", "1.0" },
    { -1.5, "-1.5", "-1.5" },
    { 0.1, "0.1", "0.1" },
    { 100, "100", "100.0" },
    { 1e-6, "0.000001", "1.0e-06" },
    { 1e-7, "1e-7", "1.0e-07" },
    { 1.5e-7, "1.5e-7", "1.5e-07" },
    { 0.0001, "0.0001", "0.0001" },
    { 1e15, "1000000000000000", "1000000000000000.0" },
    { 1e16, "10000000000000000", "1.0e+16" },
    { 1e20, "100000000000000000000", "1.0e+20" },
    { 1e21, "1e+21", "1.0e+21" },
    { 1.2345e21, "1.2345e+21", "1.2345e+21" },
    { 123456789012345680000.0, "123456789012345680000", "1.2345678901234568e+20" },
    { 9007199254740993.0, "9007199254740992", "9007199254740992.0" },
    { 5e-324, "5e-324", "5.0e-324" },
    { 1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308" },
    { 2.2250738585072014e-308, "2.2250738585072014e-308", "2.2250738585072014e-308" },
    { 1e23, "1e+23", "1.0e+23" },
    { 9.5367431640625e-7, "9.5367431640625e-7", "9.5367431640625e-07" },
    { 0.30000000000000004, "0.30000000000000004", "0.30000000000000004" },
};

static void test_texts(void **state) {
    char text[BP_DECIMAL_TEXT];

    (void) state;
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) {
        text[bp_put_f64_js(doubles[i].v, text)] = '\0';
        assert_string_equal(text, doubles[i].js);
        text[bp_put_f64_yaml(doubles[i].v, text)] = '\0';
        assert_string_equal(text, doubles[i].yaml);
    }
    text[bp_put_f64_yaml((double) NAN, text)] = '\0';
    assert_string_equal(text, ".nan");
    text[bp_put_f32_yaml(-INFINITY, text)] = '\0';
    assert_string_equal(text, "-.inf");
    text[bp_put_f32_yaml(0.1F, text)] = '\0';
    assert_string_equal(text, "0.1");
    text[bp_put_f32_yaml(-1e-5F, text)] = '\0';
    assert_string_equal(text, "-1.0e-05");
}

static double read_back(const char *text, int single) {
    return single ? (double) strtof(text, NULL) : strtod(text, NULL);
}

/* Judged by libc: the text reads back, no text with a digit less does, and of those with as many
 * digits it is the nearest (which is the correctly rounded one whenever that reads back). */
static void check(double v, int single) {
    struct bp_decimal d = single ? bp_decimal_f32((float) v) : bp_decimal_f64(v);
    char digits[64], text[64], libc[64];
    int n;

    while (d.digits % 10 == 0 && d.digits) {
        d.digits /= 10;
        d.exp++;
    }
    n = snprintf(digits, sizeof digits, "%" PRIu64, d.digits);
    (void) snprintf(text, sizeof text, "%se%d", digits, d.exp);
    if (read_back(text, single) != v)
        fail_msg("%a: %s does not read back", v, text);
    if (n > 1) {
        (void) snprintf(libc, sizeof libc, "%.*e", n - 2, v);
        if (read_back(libc, single) == v)
            fail_msg("%a: %s is longer than %s", v, text, libc);
    }
    (void) snprintf(libc, sizeof libc, "%.*e", n - 1, v);
    if (read_back(libc, single) == v && strtod(libc, NULL) != strtod(text, NULL))
        fail_msg("%a: %s is farther than %s", v, text, libc);
}

static void test_random_doubles(void **state) {
    (void) state;
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = next() & INT64_MAX;
        double v;

        if (i % 4 == 1)
            bits &= ~0ULL << 30; /* few digits */
        memcpy(&v, &bits, sizeof v);
        if (i % 4 == 2)
            v = (double) (next() >> 12) / 1000; /* as sensors send them */
        if (isfinite(v) && v != 0)
            check(v, 0);
    }
    for (int e = 1; e < 2047; e++) { /* the uneven gaps below powers of two */
        uint64_t bits = (uint64_t) e << 52;
        double v;

        memcpy(&v, &bits, sizeof v);
        check(v, 0);
        bits--;
        memcpy(&v, &bits, sizeof v);
        check(v, 0);
    }
}

static void test_random_floats(void **state) {
    (void) state;
    for (int i = 0; i < 100000; i++) {
        uint32_t bits = (uint32_t) next() & INT32_MAX;
        float v;

        memcpy(&v, &bits, sizeof v);
        if (isfinite(v) && v != 0)
            check((double) v, 1);
    }
    for (uint32_t e = 1; e < 255; e++) {
        uint32_t bits = e << 23;
        float v;

        memcpy(&v, &bits, sizeof v);
        check((double) v, 1);
        bits--;
        memcpy(&v, &bits, sizeof v);
        check((double) v, 1);
    }
}

static void test_integers(void **state) {
    static const int64_t cases[] = { 0,    1,     9,         10,        99,        100,      -1,
                                     -100, 12345, INT64_MAX, INT64_MIN, INT32_MIN, 999999999 };
    char text[BP_DECIMAL_TEXT], want[32];

    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text[bp_put_i64(cases[i], text)] = '\0';
        (void) snprintf(want, sizeof want, "%" PRId64, cases[i]);
        assert_string_equal(text, want);
    }
    text[bp_put_u64(UINT64_MAX, text)] = '\0';
    assert_string_equal(text, "18446744073709551615");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_random_doubles),
        cmocka_unit_test(test_random_floats),
        cmocka_unit_test(test_integers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
