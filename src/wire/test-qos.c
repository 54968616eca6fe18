#include "wire/qos.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* As rosbag2 (Jazzy, Cyclone) wrote it into the channel metadata of a tf_static topic and of an
 * Imu topic: two profiles joined. */
#define INFINITE "\n    sec: 9223372036\n    nsec: 854775807\n"
static const char jazzy[] =
    "- history: keep_last\n  depth: 1\n  reliability: reliable\n"
    "  durability: transient_local\n  deadline:" INFINITE "  lifespan:" INFINITE
    "  liveliness: automatic\n"
    "  liveliness_lease_duration:" INFINITE "  avoid_ros_namespace_conventions: false\n"
    "- history: unknown\n  depth: 0\n  reliability: best_effort\n"
    "  durability: volatile\n  deadline:\n    sec: 0\n    nsec: 5000000\n"
    "  lifespan:" INFINITE "  liveliness: manual_by_topic\n"
    "  liveliness_lease_duration:\n    sec: 2\n    nsec: 1\n"
    "  avoid_ros_namespace_conventions: true";

static void test_names_round_trip(void **state) {
    struct bp_qos q[3];
    BP_AUTO_BUF out = { 0 };

    (void) state;
    assert_int_equal(bp_qos_from_yaml(BP_STR(jazzy), q, BP_COUNT(q), NULL), 2);
    assert_int_equal(q[0].history, BP_HISTORY_KEEP_LAST);
    assert_int_equal(q[0].depth, 1);
    assert_int_equal(q[0].reliability, BP_RELIABILITY_RELIABLE);
    assert_int_equal(q[0].durability, BP_DURABILITY_TRANSIENT_LOCAL);
    assert_true(q[0].deadline == BP_QOS_INFINITE && q[0].lifespan == BP_QOS_INFINITE);
    assert_true(q[0].lease == BP_QOS_INFINITE);
    assert_int_equal(q[1].history, BP_HISTORY_UNKNOWN);
    assert_int_equal(q[1].liveliness, BP_LIVELINESS_MANUAL);
    assert_int_equal(q[1].deadline, 5 * BP_MS);
    assert_int_equal(q[1].lease, 2 * BP_SEC + 1);
    assert_true(q[1].avoid_ros_namespace_conventions);

    bp_qos_to_yaml(q, 2, 0, &out);
    assert_string_equal(bp_buf_cstr(&out), jazzy);
}

static void test_cap(void **state) {
    struct bp_qos q[1];

    (void) state;
    assert_int_equal(bp_qos_from_yaml(BP_STR(jazzy), q, 1, NULL), 1);
    assert_int_equal(bp_qos_from_yaml(BP_STR(jazzy), NULL, 0, NULL), 0);
}

static void test_indent_and_none(void **state) {
    BP_AUTO_BUF out = { 0 };

    (void) state;
    bp_qos_to_yaml(NULL, 0, 4, &out);
    assert_string_equal(bp_buf_cstr(&out), "    []");
    bp_buf_clear(&out);
    bp_qos_to_yaml(&bp_qos_default, 1, 4, &out);
    assert_memory_equal(bp_buf_cstr(&out), "    - history: keep_last\n      depth: 10\n", 41);
}

/* What bags of other ages hold. */
static void test_old_spellings(void **state) {
    static const struct {
        const char *history, *duration;
        enum bp_history want_history;
        bp_ns_t want;
    } cases[] = {
        { "1", "{sec: 9223372036, nsec: 854775807}", BP_HISTORY_KEEP_LAST, BP_QOS_INFINITE },
        { "2", "{sec: 2147483647, nsec: 4294967295}", BP_HISTORY_KEEP_ALL, BP_QOS_INFINITE },
        { "3", "{sec: 2147483647, nsec: 2147483647}", BP_HISTORY_UNKNOWN, BP_QOS_INFINITE },
        { "0", "{sec: 9223372036854775807, nsec: 0}", BP_HISTORY_DEFAULT, BP_QOS_INFINITE },
        { "keep_all", "{sec: 2147483647, nsec: 0}", BP_HISTORY_KEEP_ALL, 2147483647 * BP_SEC },
        { "keep_last", "{sec: 0, nsec: 0}", BP_HISTORY_KEEP_LAST, 0 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_BUF in = { 0 };
        struct bp_qos q;

        bp_buf_printf(&in, "- {history: %s, depth: 3, reliability: 2, durability: 1, lifespan: %s}",
                      cases[i].history, cases[i].duration);
        assert_int_equal(bp_qos_from_yaml(bp_str_of(bp_buf_cstr(&in)), &q, 1, NULL), 1);
        assert_int_equal(q.history, cases[i].want_history);
        assert_int_equal(q.reliability, BP_RELIABILITY_BEST_EFFORT);
        assert_int_equal(q.durability, BP_DURABILITY_TRANSIENT_LOCAL);
        assert_true(q.lifespan == cases[i].want);
    }
}

static void test_errors_name_the_place(void **state) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "- history: 9\n", "line 1, key 'history': expected system_default, keep_last" },
        { "- depth: 1\n  reliability: maybe\n", "line 2, key 'reliability': expected" },
        { "- depth: -1\n", "line 1, key 'depth': expected a whole number" },
        { "- deadline:\n    sec: 1\n", "key 'deadline': expected sec and nsec, found a mapping" },
        { "- deadline: 5\n", "key 'deadline': expected sec and nsec, found '5'" },
        { "- lifespan: {sec: x, nsec: 0}\n", "key 'sec': expected a whole number" },
        { "history: keep_last\n", "line 1: expected a list of QoS profiles, found a mapping" },
        { "- keep_last\n", "line 1: expected a QoS profile, found 'keep_last'" },
        { "- avoid_ros_namespace_conventions: 7\n", "expected true or false, found '7'" },
    };
    struct bp_error err;
    struct bp_qos q;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        assert_int_equal(bp_qos_from_yaml(bp_str_of(cases[i].text), &q, 1, &err), BP_EFORMAT);
        if (!strstr(err.text, cases[i].want))
            fail_msg("case %zu: '%s' lacks '%s'", i, err.text, cases[i].want);
    }
}

/* What lies in the holes between the fields does not count. */
static void test_equal(void **state) {
    struct bp_qos a, b;

    (void) state;
    memset(&a, 0, sizeof a);
    memset(&b, 0xff, sizeof b);
    assert_false(bp_qos_equal(&a, &b));
    a.history = b.history = BP_HISTORY_KEEP_LAST;
    a.depth = b.depth = 5;
    a.reliability = b.reliability = BP_RELIABILITY_RELIABLE;
    a.durability = b.durability = BP_DURABILITY_VOLATILE;
    a.deadline = b.deadline = a.lifespan = b.lifespan = BP_QOS_INFINITE;
    a.liveliness = b.liveliness = BP_LIVELINESS_AUTOMATIC;
    a.lease = b.lease = BP_SEC;
    a.avoid_ros_namespace_conventions = b.avoid_ros_namespace_conventions = true;
    assert_true(bp_qos_equal(&a, &b));
    b.lease++;
    assert_false(bp_qos_equal(&a, &b));
}

static void test_text(void **state) {
    char text[96];
    struct bp_qos q = { .history = BP_HISTORY_KEEP_ALL, .reliability = (enum bp_reliability) 99 };

    (void) state;
    assert_string_equal(bp_qos_text(&bp_qos_default, text, sizeof text),
                        "reliable keep_last(10) volatile");
    assert_string_equal(bp_qos_text(&q, text, sizeof text), "unknown keep_all system_default");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_round_trip),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_indent_and_none),
        cmocka_unit_test(test_old_spellings),
        cmocka_unit_test(test_errors_name_the_place),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
