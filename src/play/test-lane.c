#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "play/lane.h"

struct note {
    bp_ns_t due[2000];
    size_t n;
    bp_ns_t block; /* each call takes that long */
    bool early;
};

static void fire(void *ctx, bp_ns_t due_mono) {
    struct note *n = ctx;

    n->early = n->early || bp_mono_ns() < due_mono;
    if (n->n < BP_COUNT(n->due))
        n->due[n->n++] = due_mono;
    if (n->block)
        bp_sleep(n->block);
}

static bp_ns_t run(struct bp_timer *v, size_t n, bp_ns_t duration) {
    struct bp_lane *l = bp_lane_new("test");
    bp_ns_t start = bp_mono_ns() + BP_MS;

    assert_non_null(l);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(bp_lane_add(l, &v[i]), 0);
    assert_int_equal(bp_lane_start(l, start, start + duration), 0);
    bp_lane_join(l);
    assert_true(bp_lane_over(l));
    bp_lane_free(l);
    return start;
}

static void every_deadline_once_and_in_order(void **state) {
    static struct note a, b;
    struct bp_timer v[] = {
        { .period_ns = BP_MS, .catch_up = true, .fire = fire, .ctx = &a },
        { .period_ns = 7 * BP_MS,
          .offset_ns = 3 * BP_MS,
          .catch_up = true,
          .fire = fire,
          .ctx = &b },
    };
    bp_ns_t start = run(v, 2, 300 * BP_MS);

    (void) state;
    assert_int_equal(a.n, 300);
    assert_int_equal(b.n, 43);
    assert_false(a.early || b.early);
    for (size_t i = 0; i < a.n; i++)
        assert_int_equal(a.due[i], start + (bp_ns_t) i * BP_MS);
    assert_int_equal(b.due[42], start + (3 + 42 * 7) * BP_MS);
    assert_int_equal(bp_timer_wanted(&v[0], start, start + 300 * BP_MS), 300);
    assert_int_equal(bp_timer_wanted(&v[1], start, start + 300 * BP_MS), 43);
}

static void a_sensor_skips_what_it_missed(void **state) {
    static struct note a;
    struct bp_timer t = { .period_ns = 2 * BP_MS, .fire = fire, .ctx = &a };

    (void) state;
    a.block = 11 * BP_MS;
    (void) run(&t, 1, 100 * BP_MS);
    assert_in_range(a.n, 4, 10);
    assert_in_range(t.skipped, 50 - a.n - 6, 50 - a.n + 6);
    for (size_t i = 1; i < a.n;
         i++) /* never closer than the period, never catching up in a burst */
        assert_true(a.due[i] - a.due[i - 1] >= 2 * BP_MS);
    assert_true(t.late > 0 && t.worst_late_ns > BP_MS);
}

static void once_is_once(void **state) {
    static struct note a;
    struct bp_timer t = { .fire = fire, .ctx = &a };

    (void) state;
    (void) run(&t, 1, 30 * BP_MS);
    assert_int_equal(a.n, 1);
    assert_int_equal(bp_timer_wanted(&t, 0, 1), 1);
}

static void stop_ends_an_unpaced_lane(void **state) {
    static struct note a;
    struct bp_timer t = { .period_ns = BP_LANE_UNPACED, .fire = fire, .ctx = &a };
    struct bp_lane *l = bp_lane_new("test");

    (void) state;
    assert_int_equal(bp_lane_add(l, &t), 0);
    assert_int_equal(bp_lane_start(l, bp_mono_ns(), INT64_MAX), 0);
    bp_sleep(10 * BP_MS);
    bp_lane_stop(l);
    bp_lane_join(l);
    assert_true(t.fired > 1000);
    bp_lane_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_deadline_once_and_in_order),
        cmocka_unit_test(a_sensor_skips_what_it_missed),
        cmocka_unit_test(once_is_once),
        cmocka_unit_test(stop_ends_an_unpaced_lane),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
