#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/schedule.h"

static void read_rates(void **state) {
    static const struct {
        const char *text;
        unsigned weekday, minute;
        double want;
    } cases[] = {
        { NULL, 0, 0, BP_RATE_UNLIMITED },
        { "", 3, 700, BP_RATE_UNLIMITED },
        { "2Mbit", 3, 700, 250e3 },
        { "2Mbit/s", 3, 700, 250e3 },
        { "1.5kbit", 3, 700, 187.5 },
        { "1GBIT", 3, 700, 125e6 },
        { "500kB", 3, 700, 500e3 },
        { "1MiB/s", 3, 700, 1048576 },
        { "off", 3, 700, BP_RATE_OFF },
        { "08:00-18:00=2Mbit, else=unlimited", 1, 479, BP_RATE_UNLIMITED },
        { "08:00-18:00=2Mbit, else=unlimited", 1, 480, 250e3 },
        { "08:00-18:00=2Mbit, else=unlimited", 1, 1079, 250e3 },
        { "08:00-18:00=2Mbit, else=unlimited", 1, 1080, BP_RATE_UNLIMITED },
        { "08:00-18:00=2Mbit,else=off", 1, 1080, BP_RATE_OFF },
        { "Mon-Fri 08:00-18:00=off", 5, 600, BP_RATE_OFF },
        { "Mon-Fri 08:00-18:00=off", 6, 600, BP_RATE_UNLIMITED },
        { "Mon-Fri 08:00-18:00=off", 0, 600, BP_RATE_UNLIMITED },
        { "sat-mon 00:00-24:00=1MB", 0, 1439, 1e6 },
        { "sat-mon 00:00-24:00=1MB", 1, 0, 1e6 },
        { "sat-mon 00:00-24:00=1MB", 2, 0, BP_RATE_UNLIMITED },
        { "Fri 22:00-06:00=off", 5, 1320, BP_RATE_OFF }, /* over midnight: of the day it begins */
        { "Fri 22:00-06:00=off", 6, 359, BP_RATE_OFF },
        { "Fri 22:00-06:00=off", 6, 360, BP_RATE_UNLIMITED },
        { "Fri 22:00-06:00=off", 5, 100, BP_RATE_UNLIMITED },
        { "Sat 22:00-06:00=off", 0, 100, BP_RATE_OFF },
        { "10:00-12:00=1MB, 09:00-13:00=2MB", 2, 660, 1e6 }, /* the first counts */
        { "10:00-12:00=1MB, 09:00-13:00=2MB", 2, 540, 2e6 },
    };

    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bp_sync_schedule s;
        struct bp_error err = { 0 };
        double got;

        if (bp_sync_rates_parse(cases[i].text, &s, &err) < 0)
            fail_msg("%s", err.text);
        got = bp_sync_schedule_at(&s, cases[i].weekday, cases[i].minute);
        if (got != cases[i].want)
            fail_msg("%s at %u %u: %g instead of %g", cases[i].text ? cases[i].text : "",
                     cases[i].weekday, cases[i].minute, got, cases[i].want);
    }
}

static void read_windows(void **state) {
    struct bp_sync_schedule s;
    struct bp_error err;

    (void) state;
    assert_int_equal(bp_sync_windows_parse(NULL, &s, &err), 0);
    assert_true(bp_sync_schedule_at(&s, 0, 0) == BP_RATE_UNLIMITED);
    assert_int_equal(bp_sync_windows_parse("22:00-06:00, Sat-Sun 00:00-24:00", &s, &err), 0);
    assert_true(bp_sync_schedule_at(&s, 3, 1320) == BP_RATE_UNLIMITED);
    assert_true(bp_sync_schedule_at(&s, 3, 1319) == BP_RATE_OFF);
    assert_true(bp_sync_schedule_at(&s, 6, 720) == BP_RATE_UNLIMITED);
}

static void refuse_nonsense(void **state) {
    static const char *const rates[] = {
        "fast",
        "2Xbit",
        "-2Mbit",
        "0",
        "08:00=2Mbit",
        "08:00-18:00",
        "8:00-18:00=1MB",
        "08:00-25:00=1MB",
        "08:60-09:00=1MB",
        "Mon-Foo 08:00-09:00=1MB",
        "Mon08:00-09:00=1MB",
        "08:00-18:00=",
        "else=",
        ",",
        "24:00-08:00=1MB",
        "08:00-18:00=1MB 2MB",
        "nannannannannannannannannannannannannannannannannannannannan"
    };
    static const char *const windows[] = { "22:00-06:00=1MB", "2Mbit", "else=off", "Mon",
                                           "22:00-06:00 x" };
    struct bp_sync_schedule s;
    struct bp_error err;

    (void) state;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (bp_sync_rates_parse(rates[i], &s, &err) != BP_EUSAGE)
            fail_msg("'%s' is taken", rates[i]);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        if (bp_sync_windows_parse(windows[i], &s, &err) != BP_EUSAGE)
            fail_msg("'%s' is taken", windows[i]);
}

/* Anything up to 2, 4, 8 … 120 s, half of it on average. */
static void back_off(void **state) {
    static const double cap[] = { 2, 4, 8, 16, 32, 64, 120, 120, 120 };
    uint64_t rng = 12345;

    (void) state;
    for (unsigned n = 1; n <= sizeof cap / sizeof *cap; n++) {
        double sum = 0, most = 0;

        for (int i = 0; i < 20000; i++) {
            double v = (double) bp_sync_backoff(n, &rng) * 1e-9;

            assert_true(v > 0 && v <= cap[n - 1]);
            sum += v;
            most = v > most ? v : most;
        }
        assert_true(sum / 20000 > cap[n - 1] * 0.47 && sum / 20000 < cap[n - 1] * 0.53);
        assert_true(most > cap[n - 1] * 0.99);
    }
    assert_true(bp_sync_backoff(4000000000U, &rng) <= BP_SYNC_BACKOFF_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_rates),
        cmocka_unit_test(read_windows),
        cmocka_unit_test(refuse_nonsense),
        cmocka_unit_test(back_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
