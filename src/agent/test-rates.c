#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/rates.h"

static void sliding(void **state) {
    BP_CLEANUP(bp_rates_freep) struct bp_rates *r = bp_rates_new();
    struct bp_recorder_topic t[200] = { 0 };
    double hz = -1, bytes = -1;

    (void) state;
    assert_false(bp_rates_get(r, 0, &hz, &bytes));
    for (int64_t s = 1; s <= 20; s++) {
        t[0].messages += s <= 10 ? 100 : 0; /* it falls silent */
        t[0].bytes += s <= 10 ? 1000 : 0;
        t[199].messages += 7;
        bp_rates_tick(r, t, s < 3 ? 1 : 200, s * BP_SEC);
        bp_rates_tick(r, t, 200, s * BP_SEC + 500 * BP_MS); /* too early */
        if (s == 2 || s == 10) {
            assert_true(bp_rates_get(r, 0, &hz, &bytes));
            assert_true(hz == 100 && bytes == 1000);
        }
        if (s == 3)
            assert_false(bp_rates_get(r, 199, &hz, &bytes)); /* seen once */
        if (s == 12) {
            assert_true(bp_rates_get(r, 0, &hz, &bytes));
            assert_true(hz == 60);
        }
    }
    assert_true(bp_rates_get(r, 0, &hz, &bytes) && hz == 0 && bytes == 0);
    assert_true(bp_rates_get(r, 199, &hz, &bytes) && hz == 7);
    assert_false(bp_rates_get(r, 200, &hz, &bytes));
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(sliding) };

    return cmocka_run_group_tests_name("agent/rates", tests, NULL, NULL);
}
