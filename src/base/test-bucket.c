#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bucket.h"

/* Takes as fast as it may for `seconds`; how many tokens a second that were. */
static double pull(struct bp_bucket *b, double bite, double seconds, bp_ns_t *now) {
    bp_ns_t from = *now, until = from + (bp_ns_t) (seconds * 1e9);
    double taken = 0;

    while (*now < until) {
        *now += bp_bucket_take(b, bite, *now);
        taken += bite;
        *now += 1000; /* nothing takes no time */
    }
    return taken / ((double) (*now - from) * 1e-9);
}

static void keep_the_rate(void **state) {
    static const double rates[] = { 1e3, 250e3, 12.5e6, 1e9 };

    (void) state;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct bp_bucket b = { 0 };
        bp_ns_t now = 5 * BP_SEC;
        double got;

        bp_bucket_set(&b, rates[i], 0, now);
        got = pull(&b, rates[i] / 50, 60, &now);
        if (got < rates[i] * 0.95 || got > rates[i] * 1.05)
            fail_msg("%g instead of %g", got, rates[i]);
    }
}

static void save_up_no_more_than_a_burst(void **state) {
    struct bp_bucket b = { 0 };
    bp_ns_t now = BP_SEC;

    (void) state;
    bp_bucket_set(&b, 1000, 100, now);
    now += 3600 * BP_SEC;
    assert_int_equal(bp_bucket_take(&b, 100, now), 0);
    assert_int_equal(bp_bucket_take(&b, 500, now), BP_SEC / 2);
}

static void be_fair_and_owe(void **state) {
    struct bp_bucket b = { 0 };

    (void) state;
    bp_bucket_set(&b, 1000, 1, 0);
    assert_int_equal(bp_bucket_take(&b, 1000, 0), BP_SEC);
    assert_int_equal(bp_bucket_take(&b, 1000, 0),
                     2 * BP_SEC); /* the second waits behind the first */
    assert_int_equal(bp_bucket_take(&b, 1000, BP_SEC), 2 * BP_SEC);
    bp_bucket_set(&b, 2000, 1, 3 * BP_SEC); /* nothing is owed any more */
    assert_int_equal(bp_bucket_take(&b, 1000, 3 * BP_SEC), BP_SEC / 2);
}

static void have_no_limit(void **state) {
    struct bp_bucket b = { 0 };

    (void) state;
    assert_int_equal(bp_bucket_take(&b, 1e12, 1), 0);
    bp_bucket_set(&b, 1000, 0, 1);
    assert_true(bp_bucket_take(&b, 1e4, 1) > 0);
    bp_bucket_set(&b, 0, 0, 2);
    assert_int_equal(bp_bucket_take(&b, 1e12, 3), 0);
}

static void stand_a_clock_that_stands(void **state) {
    struct bp_bucket b = { 0 };

    (void) state;
    bp_bucket_set(&b, 1000, 10, 10 * BP_SEC);
    assert_true(bp_bucket_take(&b, 1000, 10 * BP_SEC) > 0);
    assert_true(bp_bucket_take(&b, 1, 10 * BP_SEC) > BP_SEC * 9 / 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keep_the_rate),
        cmocka_unit_test(save_up_no_more_than_a_burst),
        cmocka_unit_test(be_fair_and_owe),
        cmocka_unit_test(have_no_limit),
        cmocka_unit_test(stand_a_clock_that_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
