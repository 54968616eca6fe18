#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "record/name.h"
#include "record/overrides.h"
#include "record/robots.h"
#include "record/select.h"

#define LIST(...) ((const char *const[]){ __VA_ARGS__ })

static const struct {
    const char *name;
    struct bp_select_opts o;
    const char *topic, *type;
    bool want;
} selections[] = {
    { "all takes a plain topic", { .all = true }, "/a", "t/msg/T", true },
    { "all leaves hidden ones", { .all = true }, "/a/_hidden", "t/msg/T", false },
    { "hidden on request", { .all = true, .hidden = true }, "/a/_hidden", "t/msg/T", true },
    { "a hidden one that is named",
      { .topics = LIST("/a/_hidden"), .ntopics = 1 },
      "/a/_hidden",
      "t/msg/T",
      true },
    { "service events need their own option",
      { .all = true, .hidden = true },
      "/s/_service_event",
      "t/srv/T_Event",
      false },
    { "all services", { .all_services = true }, "/s/_service_event", "t/srv/T_Event", true },
    { "one service",
      { .services = LIST("/s"), .nservices = 1 },
      "/s/_service_event",
      "t/srv/T_Event",
      true },
    { "another service",
      { .services = LIST("/s"), .nservices = 1 },
      "/x/_service_event",
      "t/srv/T_Event",
      false },
    { "name without slash", { .topics = LIST("a"), .ntopics = 1 }, "/a", "t/msg/T", true },
    { "star crosses slashes", { .topics = LIST("/r*"), .ntopics = 1 }, "/r/a/b", "t/msg/T", true },
    { "regex is searched", { .regex = "cam\\d" }, "/x/cam1/image", "t/msg/T", true },
    { "regex that does not fit", { .regex = "^cam" }, "/x/cam1/image", "t/msg/T", false },
    { "exclusion wins", { .all = true, .not_regex = "image$" }, "/cam/image", "t/msg/T", false },
    { "excluded by name",
      { .topics = LIST("/a"), .ntopics = 1, .not_topics = LIST("/a"), .nnot_topics = 1 },
      "/a",
      "t/msg/T",
      false },
    { "by type", { .types = LIST("t/msg/T"), .ntypes = 1 }, "/a", "t/msg/T", true },
    { "by another type", { .types = LIST("t/msg/U"), .ntypes = 1 }, "/a", "t/msg/T", false },
    { "excluded type",
      { .all = true, .not_types = LIST("t/msg/T"), .nnot_types = 1 },
      "/a",
      "t/msg/T",
      false },
};

static void test_select(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(selections); i++) {
        BP_CLEANUP(bp_select_freep) struct bp_select *s = NULL;

        assert_int_equal(bp_select_new(&selections[i].o, &s, NULL), 0);
        if (bp_select_topic(s, selections[i].topic, selections[i].type) != selections[i].want)
            fail_msg("%s", selections[i].name);
    }
}

static void test_select_bad_regex(void **state) {
    struct bp_select_opts o = { .regex = "a(b" };
    struct bp_select *s = NULL;
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(bp_select_new(&o, &s, &err), BP_EUSAGE);
    assert_null(s);
    assert_non_null(strstr(err.text, "--regex 'a(b'"));
    assert_non_null(strstr(err.text, "character 4"));
}

static void test_robots_by_namespace(void **state) {
    BP_CLEANUP(bp_robots_freep) struct bp_robots *r = bp_robots_new(false);
    const char *host = bp_robots_of(r, 0, "/tf");

    (void) state;
    assert_false(bp_robots_see_topic(r, "/robot1/imu/data"));
    assert_string_equal(bp_robots_of(r, 0, "/robot1/scan"), host);
    assert_true(bp_robots_see_node(r, "/robot1/driver"));
    assert_false(bp_robots_see_node(r, "/robot1/driver"));
    assert_string_equal(bp_robots_of(r, 0, "/robot1/scan"), "robot1");
    assert_false(bp_robots_see_node(r, "/tools/viewer")); /* a namespace, but no robot */
    assert_string_equal(bp_robots_of(r, 0, "/tools/x"), host);
    assert_string_equal(bp_robots_of(r, 0, "/robot1"), host);
}

static void test_robots_by_domain(void **state) {
    BP_CLEANUP(bp_robots_freep) struct bp_robots *r = bp_robots_new(true);

    (void) state;
    assert_false(bp_robots_see_topic(r, "/robot1/imu"));
    assert_string_equal(bp_robots_of(r, 7, "/robot1/imu"), "domain7");
    assert_string_equal(bp_robots_of(r, 42, "/tf"), "domain42");
}

static void test_robots_by_rule(void **state) {
    static const char *const rules[] = { "lift=domain:7", "amr1=/warehouse/r1/",
                                         "fleet_$1=~^/fleet/(\\w+)/", "all$1=~scan" };
    static const char *const wrong[] = { "",     "x",  "=domain:1", "x=domain:233", "x=domain:",
                                         "x=~(", "x=", "x=/",       "x=y" };
    BP_CLEANUP(bp_robots_freep) struct bp_robots *r = bp_robots_new(false);
    const char *host = bp_robots_of(r, 0, "/tf");
    struct bp_error err;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(wrong); i++)
        if (bp_robots_add_rule(r, wrong[i], &err) != BP_EUSAGE)
            fail_msg("'%s' was taken", wrong[i]);
    assert_string_equal(bp_robots_of(r, 7, "/tf"), host);
    for (size_t i = 0; i < BP_COUNT(rules); i++)
        assert_int_equal(bp_robots_add_rule(r, rules[i], &err), 0);
    assert_string_equal(bp_robots_of(r, 7, "/fleet/a/tf"), "lift"); /* the first that fits */
    assert_string_equal(bp_robots_of(r, 0, "/warehouse/r1/tf"), "amr1");
    assert_string_equal(bp_robots_of(r, 0, "/warehouse/r12/tf"), host);
    assert_string_equal(bp_robots_of(r, 0, "/warehouse/r1"), host);
    assert_string_equal(bp_robots_of(r, 0, "/fleet/b_2/tf"), "fleet_b_2");
    assert_string_equal(bp_robots_of(r, 0, "/scan"), "all$1"); /* there is no such group */
    assert_string_equal(bp_robots_of(r, 0, "/tf"), host);
}

static const struct {
    const char *pattern, *mission, *want; /* NULL: refused */
} names[] = {
    { "run_{domain}", NULL, "run_3" },
    { "{mission}", "a/b c", "a_b_c" },
    { "x{nonsense}", NULL, NULL },
    { "", NULL, NULL },
    { "..", NULL, "_." },
    { "{open", NULL, "_open" },
    { "{mission}", NULL, NULL },
};

static void test_names(void **state) {
    char text[256];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(names); i++) {
        struct bp_error err = { 0 };
        int k =
            bp_record_name(names[i].pattern, BP_SEC, 3, names[i].mission, text, sizeof text, &err);

        if (!names[i].want) {
            assert_int_equal(k, BP_EUSAGE);
            assert_true(err.text[0]);
            continue;
        }
        assert_int_equal(k, 0);
        assert_string_equal(text, names[i].want);
    }
    assert_int_equal(
        bp_record_name("{date}-{time}", 86400 * 366 * BP_SEC, 0, NULL, text, sizeof text, NULL), 0);
    assert_int_equal(strlen(text), strlen("1971_01_02-00_00_00"));
    assert_int_equal(
        bp_record_name_for("{robot}-{domain}", 0, 5, NULL, "a/b+c", text, sizeof text, NULL), 0);
    assert_string_equal(text, "a_b+c-5");
}

static const struct {
    const char *yaml;
    const char *says; /* NULL: accepted */
} overrides[] = {
    { "/a:\n  reliability: best_effort\n  depth: 3\n  deadline: {sec: 1, nsec: 5}\n", NULL },
    { "/a:\n  reliability: sometimes\n", "line 2, key 'reliability'" },
    { "/a:\n  speed: 3\n", "line 2: unknown QoS key 'speed'" },
    { "/a:\n  depth: 3x\n", "line 2, key 'depth'" },
    { "- a\n", "expected a map of topics" },
    { "/a: 5\n", "QoS keys below the topic" },
    { "{", "line 1" },
};

static void test_overrides(void **state) {
    char path[] = "/tmp/bp-test-qos-XXXXXX";
    BP_AUTO_FD int fd = mkstemp(path);

    (void) state;
    assert_true(fd >= 0);
    for (size_t i = 0; i < BP_COUNT(overrides); i++) {
        BP_CLEANUP(bp_qos_overrides_freep) struct bp_qos_overrides *o = NULL;
        struct bp_error err = { 0 };
        size_t n = strlen(overrides[i].yaml);
        int k;

        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, overrides[i].yaml, n, 0), n);
        k = bp_qos_overrides_load(path, &o, &err);
        if (overrides[i].says) {
            assert_int_equal(k, BP_ECONFIG);
            if (!strstr(err.text, overrides[i].says))
                fail_msg("'%s' does not say '%s'", err.text, overrides[i].says);
            continue;
        }
        assert_int_equal(k, 0);
        assert_null(bp_qos_override(o, "/b"));
        assert_non_null(bp_qos_override(o, "/a"));
        assert_int_equal(bp_qos_override(o, "/a")->depth, 3);
        assert_int_equal(bp_qos_override(o, "/a")->reliability, BP_RELIABILITY_BEST_EFFORT);
        assert_int_equal(bp_qos_override(o, "/a")->deadline, BP_SEC + 5);
    }
    (void) unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_select_bad_regex),
        cmocka_unit_test(test_robots_by_namespace),
        cmocka_unit_test(test_robots_by_domain),
        cmocka_unit_test(test_robots_by_rule),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_overrides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
