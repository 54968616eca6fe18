#include "access/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct bp_throttle_rule rule = { 3, BP_SEC, 10 * BP_SEC, 100 * BP_SEC };

static void doubles(void **state) {
    static const int waits_s[] = { 0, 0, 0, 1, 2, 4, 8, 10, 10 };
    BP_CLEANUP(bp_throttle_freep) struct bp_throttle *t = bp_throttle_new(4);
    bp_ns_t now = 5 * BP_SEC;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(waits_s); i++) {
        bp_ns_t wait = bp_throttle_wait(t, &rule, "a", now);

        assert_int_equal(wait, waits_s[i] * BP_SEC);
        assert_int_equal(bp_throttle_wait(t, &rule, "b", now), 0);
        now += wait;
        assert_int_equal(bp_throttle_wait(t, &rule, "a", now), 0);
        bp_throttle_count(t, &rule, "a", now);
    }
    assert_int_equal(bp_throttle_wait(t, &rule, "a", now + 4 * BP_SEC), 6 * BP_SEC);
    now += rule.forgive; /* a quiet while forgives all */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bp_throttle_wait(t, &rule, "a", now), 0);
        bp_throttle_count(t, &rule, "a", now);
    }
    assert_int_equal(bp_throttle_wait(t, &rule, "a", now), BP_SEC);
}

static void forgives(void **state) {
    BP_CLEANUP(bp_throttle_freep) struct bp_throttle *t = bp_throttle_new(4);

    (void) state;
    for (int i = 0; i < 5; i++)
        bp_throttle_count(t, &rule, "a", 0);
    assert_int_equal(bp_throttle_wait(t, &rule, "a", 0), 4 * BP_SEC);
    bp_throttle_forgive(t, "a", false);
    assert_int_equal(bp_throttle_wait(t, &rule, "a", 0), 2 * BP_SEC);
    bp_throttle_forgive(t, "a", true);
    assert_int_equal(bp_throttle_wait(t, &rule, "a", 0), 0);
    bp_throttle_forgive(t, "a", true);
    bp_throttle_forgive(t, "nobody", false);
}

/* However many keys are tried, it stays as large as it was made, and forgets the quietest. */
static void bounded(void **state) {
    BP_CLEANUP(bp_throttle_freep) struct bp_throttle *t = bp_throttle_new(8);
    char key[BP_THROTTLE_KEY + 30];

    (void) state;
    for (int i = 0; i < 4; i++)
        bp_throttle_count(t, &rule, "kept", i);
    for (int i = 0; i < 1000; i++) {
        (void) snprintf(key, sizeof key, "key %d", i);
        bp_throttle_count(t, &rule, key, 10 + i);
        bp_throttle_count(t, &rule, "kept", 10 + i);
    }
    assert_int_equal(bp_throttle_wait(t, &rule, "kept", 1009), 10 * BP_SEC);
    memset(key, 'x', sizeof key); /* longer than is kept */
    key[sizeof key - 1] = '\0';
    for (int i = 0; i < 4; i++)
        bp_throttle_count(t, &rule, key, 2000);
    assert_int_equal(bp_throttle_wait(t, &rule, key, 2000), 2 * BP_SEC);
    bp_throttle_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles),
        cmocka_unit_test(forgives),
        cmocka_unit_test(bounded),
    };

    return cmocka_run_group_tests_name("access/throttle", tests, NULL, NULL);
}
