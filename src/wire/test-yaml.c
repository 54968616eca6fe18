#include "wire/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void test_tree(void **state) {
    BP_CLEANUP(bp_yaml_freep) struct bp_yaml *y = NULL;
    static const char text[] = "a: 1\nb:\n  - x: ~\n    y: \"~\"\n  - []\n\"c\\n\": {d: e}\n";
    const struct bp_yaml_node *n;
    int64_t i;

    (void) state;
    assert_int_equal(bp_yaml_parse(bp_str_of(text), &y, NULL), 0);
    n = bp_yaml_root(y);
    assert_int_equal(n->kind, BP_YAML_MAPPING);
    assert_int_equal(n->count, 3);
    assert_int_equal(bp_yaml_int(bp_yaml_get(y, n, "a"), 0, 9, &i, NULL), 0);
    assert_int_equal(i, 1);
    assert_string_equal(bp_yaml_get(y, bp_yaml_get(y, n, "c\n"), "d")->text.p, "e");

    n = bp_yaml_get(y, n, "b");
    assert_int_equal(n->kind, BP_YAML_SEQUENCE);
    assert_int_equal(n->count, 2);
    n = bp_yaml_first(y, n);
    assert_int_equal(n->line, 3);
    assert_true(bp_yaml_is_null(bp_yaml_get(y, n, "x")));
    assert_false(bp_yaml_is_null(bp_yaml_get(y, n, "y")));
    n = bp_yaml_next(y, n);
    assert_int_equal(n->count, 0);
    assert_null(bp_yaml_first(y, n));
    assert_null(bp_yaml_next(y, n));
}

static void test_empty(void **state) {
    BP_CLEANUP(bp_yaml_freep) struct bp_yaml *y = NULL;

    (void) state;
    assert_int_equal(bp_yaml_parse(BP_STR(""), &y, NULL), 0);
    assert_null(bp_yaml_root(y));
}

static void test_refusals(void **state) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "a: &x 1\nb: *x\n", "line 1: anchors" },
        { "a: 1\nb: !!int 2\n", "line 2: anchors" },
        { "a: 1\n---\nb: 2\n", "line 2: a second document" },
        { "a: [1\nb: 2\n", "line " },
        { "a: 'b\n", "a string in ' does not end" },
        { "? [a, b]\n: c\n", "line 1: keys behind '? '" },
        { "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "nested more than 32 deep" },
    };
    struct bp_error err;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_yaml *y = NULL;

        err.text[0] = 0;
        assert_true(bp_yaml_parse(bp_str_of(cases[i].text), &y, &err) < 0);
        assert_null(y);
        if (!strstr(err.text, cases[i].want))
            fail_msg("case %zu: '%s' lacks '%s'", i, err.text, cases[i].want);
    }
}

static void test_numbers(void **state) {
    static const struct {
        const char *text;
        int ok;
        int64_t want;
    } cases[] = {
        { "k: 0", 1, 0 },
        { "k: -1", 1, -1 },
        { "k: 9223372036854775807", 1, INT64_MAX },
        { "k: -9223372036854775808", 1, INT64_MIN },
        { "k: 9223372036854775808", 0, 0 },
        { "k: 99999999999999999999999", 0, 0 },
        { "k: 1.5", 0, 0 },
        { "k: -x", 0, 0 },
        { "k: ''", 0, 0 },
        { "k: [1]", 0, 0 },
        { "k: '12'", 1, 12 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_CLEANUP(bp_yaml_freep) struct bp_yaml *y = NULL;
        struct bp_error err = { 0 };
        int64_t v = 0;
        int r;

        assert_int_equal(bp_yaml_parse(bp_str_of(cases[i].text), &y, NULL), 0);
        r = bp_yaml_int(bp_yaml_get(y, bp_yaml_root(y), "k"), INT64_MIN, INT64_MAX, &v, &err);
        if ((r == 0) != cases[i].ok || v != cases[i].want)
            fail_msg("'%s': %d, %lld", cases[i].text, r, (long long) v);
        if (r < 0)
            assert_non_null(strstr(err.text, "line 1, key 'k': expected a whole number"));
    }
}

/* The quoting is judged by PyYAML, ruamel and rosbags in test/system; here only the bytes. */
static void test_put_string(void **state) {
    static const struct {
        struct bp_str in;
        const char *want;
    } cases[] = {
        { BP_STR("/robot1/imu"), "/robot1/imu" },
        { BP_STR("sensor_msgs/msg/Imu"), "sensor_msgs/msg/Imu" },
        { BP_STR("rosbag2_2025_05_09-18_01_02_0.mcap"), "rosbag2_2025_05_09-18_01_02_0.mcap" },
        { BP_STR("2026-11-21"), "\"2026-11-21\"" },
        { BP_STR("2026-11-21_0.mcap"), "2026-11-21_0.mcap" },
        { BP_STR(""), "\"\"" },
        { BP_STR("~"), "\"~\"" },
        { BP_STR("123"), "\"123\"" },
        { BP_STR("1e5"), "\"1e5\"" },
        { BP_STR("0x1F"), "\"0x1F\"" },
        { BP_STR("1_000"), "\"1_000\"" },
        { BP_STR("No"), "\"No\"" },
        { BP_STR("NULL"), "\"NULL\"" },
        { BP_STR(".inf"), "\".inf\"" },
        { BP_STR("a: b"), "\"a: b\"" },
        { BP_STR("a #b"), "\"a #b\"" },
        { BP_STR("say \"hi\"\\\n\t"), "\"say \\\"hi\\\"\\\\\\n\\t\"" },
        { BP_STR("Grüße 机器"), "\"Grüße 机器\"" },
        { BP_STR("a\0b\x7F"), "\"a\\x00b\\x7F\"" },
        { BP_STR("\xE2\x80\xA8\xEF\xBB\xBF"), "\"\\u2028\\uFEFF\"" },
        { BP_STR("bad\xFF\xC0\x80"), "\"bad\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
        { BP_STR("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_BUF out = { 0 };

        bp_yaml_put_string(&out, cases[i].in);
        assert_string_equal(bp_buf_cstr(&out), cases[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),       cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_put_string),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
