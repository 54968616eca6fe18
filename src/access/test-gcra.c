#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "access/gcra.h"

static const struct bp_gcra_rule rule = { .rate = 10, .burst = 5 };

/* A burst at once, then the rate and no more. */
static void burst_then_rate(void **state) {
    BP_CLEANUP(bp_gcra_freep) struct bp_gcra *g = bp_gcra_new(100);
    bp_ns_t t = 1000 * BP_SEC;
    unsigned taken = 0;

    (void) state;
    for (int i = 0; i < 20; i++)
        taken += bp_gcra_take(g, &rule, "a", t) == 0;
    assert_int_equal(taken, 5);
    assert_int_equal(bp_gcra_take(g, &rule, "a", t), BP_SEC / 10);
    assert_int_equal(bp_gcra_take(g, &rule, "b", t), 0); /* others are not concerned */
    taken = 0;
    for (int ms = 1; ms <= 10000; ms++)
        taken += bp_gcra_take(g, &rule, "a", t + ms * BP_MS) == 0;
    assert_int_equal(taken, 100);
    t += 3600 * BP_SEC; /* a quiet hour gives one burst, not more */
    taken = 0;
    for (int i = 0; i < 20; i++)
        taken += bp_gcra_take(g, &rule, "a", t) == 0;
    assert_int_equal(taken, 5);
}

/* To ask costs nothing; no rate is no limit. */
static void asking(void **state) {
    BP_CLEANUP(bp_gcra_freep) struct bp_gcra *g = bp_gcra_new(100);
    const struct bp_gcra_rule none = { 0, 1 };

    (void) state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(bp_gcra_wait(g, &rule, "a", BP_SEC), 0);
        assert_int_equal(bp_gcra_take(g, &none, "b", BP_SEC), 0);
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(bp_gcra_take(g, &rule, "a", BP_SEC), 0);
    assert_true(bp_gcra_wait(g, &rule, "a", BP_SEC) > 0);
}

/* A flood of keys that ask once each does not free the one that owes most. */
static void flood(void **state) {
    BP_CLEANUP(bp_gcra_freep) struct bp_gcra *g = bp_gcra_new(100);
    char key[24];

    (void) state;
    while (bp_gcra_take(g, &rule, "greedy", BP_SEC) == 0)
        continue;
    for (int i = 0; i < 100000; i++) {
        (void) snprintf(key, sizeof key, "k%d", i);
        (void) bp_gcra_take(g, &rule, key, BP_SEC);
    }
    assert_true(bp_gcra_take(g, &rule, "greedy", BP_SEC) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_then_rate),
        cmocka_unit_test(asking),
        cmocka_unit_test(flood),
    };

    return cmocka_run_group_tests_name("access/gcra", tests, NULL, NULL);
}
