#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "agent/degrade.h"

/* One value a second as a letter: '.' good (behind leave), '-' between, '#' beyond enter, '?' not
 * known. Hold is 3 s, recover 5 s. After each second the step as a digit. */
static const struct {
    const char *name;
    enum bp_degrade_why why;
    enum bp_degrade_step most;
    const char *values, *steps;
} cases[] = {
    { "good", BP_DEGRADE_CPU, BP_DEGRADE_HIGH_ONLY, "..........", "0000000000" },
    { "a peak is no reason", BP_DEGRADE_CPU, BP_DEGRADE_HIGH_ONLY, "##..##..###-", "000000000000" },
    { "up, step by step", BP_DEGRADE_CPU, BP_DEGRADE_HIGH_ONLY,
      "####"
      "###"
      "###"
      "###"
      "######",
      "0001112223334444444" },
    { "no further than told", BP_DEGRADE_CPU, BP_DEGRADE_THIN_LOW, "###############",
      "000111222222222" },
    { "stays in between", BP_DEGRADE_TEMPERATURE, BP_DEGRADE_HIGH_ONLY, "####----------",
      "00011111111111" },
    { "down, step by step", BP_DEGRADE_TEMPERATURE, BP_DEGRADE_HIGH_ONLY,
      "#######"
      "......"
      "......",
      "0001112"
      "2222211"
      "11100" },
    { "not down for a moment", BP_DEGRADE_TEMPERATURE, BP_DEGRADE_HIGH_ONLY, "####....-....-....",
      "000111111111111111" },
    { "a full disk begins at thinning", BP_DEGRADE_DISK, BP_DEGRADE_HIGH_ONLY,
      "####"
      "###",
      "0002223" },
    { "and ends there", BP_DEGRADE_DISK, BP_DEGRADE_HIGH_ONLY,
      "####"
      "......",
      "0002"
      "222220" },
    { "a full disk, but no more than compression", BP_DEGRADE_DISK, BP_DEGRADE_PLAIN, "########",
      "00000000" },
    { "a sensor that is gone counts as good", BP_DEGRADE_BATTERY, BP_DEGRADE_HIGH_ONLY,
      "####"
      "??????",
      "0001"
      "111110" },
    { "up again from half way", BP_DEGRADE_RING, BP_DEGRADE_HIGH_ONLY,
      "#######"
      "......"
      "####",
      "0001112"
      "222221"
      "1112" },
};

/* Beyond, between and behind: numbers for every reason. */
static double value_of(char c, const struct bp_degrade_limit *l) {
    double middle = (l->enter + l->leave) / 2;

    return c == '?'   ? NAN
           : c == '-' ? middle
           : c == '#' ? (l->below ? l->enter * 0.5 : l->enter * 1.1)
                      : (l->below ? l->leave * 2 : l->leave * 0.5);
}

static void policy(struct bp_degrade_policy *p, enum bp_degrade_why why,
                   enum bp_degrade_step most) {
    struct bp_agent_config c = { 0 };

    c.degrade.cpu.enter = c.degrade.battery.enter = c.degrade.ring.enter = 50;
    c.degrade.temperature.enter = 80;
    c.degrade.disk_free.enter = 1000;
    bp_degrade_policy_of(&c, p);
    for (int i = 0; i < BP_DEGRADE_WHYS_N_; i++)
        if (i != (int) why)
            p->limits[i].enter = 0;
    p->hold = 3 * BP_SEC;
    p->recover = 5 * BP_SEC;
    p->most = most;
}

static void by_table(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_degrade_policy p;
        struct bp_degrade d = { 0 };
        size_t n = strlen(cases[i].values);
        char got[64] = "";

        policy(&p, cases[i].why, cases[i].most);
        assert_int_equal(strlen(cases[i].steps), n);
        for (size_t s = 0; s < n; s++) {
            double values[BP_DEGRADE_WHYS_N_] = { NAN, NAN, NAN, NAN, NAN };
            enum bp_degrade_step was = bp_degrade_step_of(&d);
            bool changed;

            values[cases[i].why] = value_of(cases[i].values[s], &p.limits[cases[i].why]);
            changed = bp_degrade_update(&d, &p, values, (bp_ns_t) (s + 1) * BP_SEC,
                                        (bp_ns_t) (s + 100) * BP_SEC);
            assert_true(changed == (bp_degrade_step_of(&d) != was));
            got[s] = (char) ('0' + bp_degrade_step_of(&d));
        }
        if (!bp_streq(got, cases[i].steps))
            fail_msg("%s: %s, expected %s", cases[i].name, got, cases[i].steps);
    }
}

/* The worst counts; compression goes off for whatever needs the processor. */
static void several_reasons(void **state) {
    double values[BP_DEGRADE_WHYS_N_] = { 99, 0, 10, 100, 0 };
    struct bp_degrade_policy p;
    struct bp_degrade d = { 0 };
    char text[200];
    json_t *o;

    (void) state;
    policy(&p, BP_DEGRADE_CPU, BP_DEGRADE_HIGH_ONLY);
    p.limits[BP_DEGRADE_DISK].enter = 1000;
    p.hold = 0;
    bp_degrade_text(&d, text, sizeof text);
    assert_string_equal(text, "");
    values[BP_DEGRADE_CPU] = 0;
    assert_true(bp_degrade_update(&d, &p, values, BP_SEC, 7));
    assert_true(bp_degrade_step_of(&d) == BP_DEGRADE_THIN_LOW && !bp_degrade_is_plain(&d));
    values[BP_DEGRADE_CPU] = 99;
    assert_true(bp_degrade_update(&d, &p, values, 2 * BP_SEC, 8));
    assert_true(bp_degrade_step_of(&d) == BP_DEGRADE_NO_LOW && bp_degrade_is_plain(&d));
    bp_degrade_text(&d, text, sizeof text);
    assert_string_equal(text, "disk_free is 10 B: topics of low priority are left out");
    bp_degrade_why_text(&d, &p, BP_DEGRADE_CPU, text, sizeof text);
    assert_string_equal(text, "processor load is above 50 %: nothing is compressed");
    o = bp_degrade_json(&d);
    assert_int_equal(json_array_size(o), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(o, 0), "why")),
                        "disk_free");
    assert_string_equal(json_string_value(json_object_get(json_array_get(o, 0), "since_ns")), "7");
    assert_string_equal(json_string_value(json_object_get(json_array_get(o, 1), "step")),
                        "no_compression");
    json_decref(o);
}

/* The limits change while it is at work. */
static void changed(void **state) {
    double values[BP_DEGRADE_WHYS_N_] = { 99, NAN, NAN, NAN, NAN };
    struct bp_degrade_policy p;
    struct bp_degrade d = { 0 };

    (void) state;
    policy(&p, BP_DEGRADE_CPU, BP_DEGRADE_HIGH_ONLY);
    p.hold = 0;
    for (bp_ns_t t = BP_SEC; t <= 4 * BP_SEC; t += BP_SEC)
        assert_true(bp_degrade_update(&d, &p, values, t, 7));
    assert_int_equal(bp_degrade_step_of(&d), BP_DEGRADE_HIGH_ONLY);
    p.most = BP_DEGRADE_THIN_LOW;
    assert_true(bp_degrade_update(&d, &p, values, 5 * BP_SEC, 8));
    assert_int_equal(bp_degrade_step_of(&d), BP_DEGRADE_THIN_LOW);
    p.limits[BP_DEGRADE_CPU].enter = 0;
    assert_true(bp_degrade_update(&d, &p, values, 6 * BP_SEC, 9));
    assert_int_equal(bp_degrade_step_of(&d), BP_DEGRADE_NONE);
    assert_false(bp_degrade_update(&d, &p, values, 7 * BP_SEC, 10));
}

static void limits_that_make_no_sense(void **state) {
    struct bp_agent_config c = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(bp_degrade_check(&c, &err), 0);
    c.degrade.temperature.enter = 80;
    assert_int_equal(bp_degrade_check(&c, &err), 0);
    c.degrade.temperature.leave = 85;
    assert_int_equal(bp_degrade_check(&c, &err), BP_ECONFIG);
    assert_string_equal(err.text,
                        "degrade.temperature.leave: must be less than degrade.temperature.enter");
    c.degrade.temperature.leave = 0;
    c.degrade.disk_free.enter = 1000;
    c.degrade.disk_free.leave = 999;
    assert_int_equal(bp_degrade_check(&c, &err), BP_ECONFIG);
    assert_string_equal(err.text,
                        "degrade.disk_free.leave: must be more than degrade.disk_free.enter");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_table),
        cmocka_unit_test(several_reasons),
        cmocka_unit_test(changed),
        cmocka_unit_test(limits_that_make_no_sense),
    };

    return cmocka_run_group_tests_name("agent/degrade", tests, NULL, NULL);
}
