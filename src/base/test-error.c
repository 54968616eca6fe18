#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/time.h"

static void table(void **state) {
    (void) state;
    assert_int_equal(bp_exit_status(0), 0);
    assert_int_equal(bp_exit_status(17), 0);
    assert_int_equal(bp_exit_status(BP_EUSAGE), 2);
    assert_int_equal(bp_exit_status(BP_ECORRUPT), 65);
    assert_int_equal(bp_exit_status(-ENOENT), 66);
    assert_int_equal(bp_exit_status(-ENOSPC), 74);
    assert_int_equal(bp_exit_status(-EHOSTUNREACH), 69);
    assert_int_equal(bp_exit_status(-EINTR), 75);
    assert_int_equal(bp_exit_status(-EXDEV), 70); /* not in the table */
    assert_int_equal(bp_http_status(BP_ELIMIT), 413);
    assert_int_equal(bp_http_status(-EACCES), 403);
    assert_int_equal(bp_http_status(-EXDEV), 500);
    assert_string_equal(bp_strerror(BP_ECORRUPT), "stored data fails its checksum");
    assert_string_equal(bp_strerror(-ENOENT), "No such file or directory");
    for (int code = BP_E_BASE_ + 1; code < BP_E_BASE_ + 13; code++) {
        int status = bp_exit_status(code);

        assert_true(status == 2 || (status >= 64 && status <= 78));
    }
}

static void texts(void **state) {
    struct bp_error e = { 0 };

    (void) state;
    assert_int_equal(bp_fail(&e, -EIO, "cannot read '%s'", "x"), -EIO);
    assert_string_equal(e.text, "cannot read 'x'");
    assert_int_equal(e.code, -EIO);
    assert_int_equal(bp_prefix(&e, BP_ECORRUPT, "session %d", 7), BP_ECORRUPT);
    assert_string_equal(e.text, "session 7: cannot read 'x'");
    assert_int_equal(e.code, BP_ECORRUPT);
    assert_int_equal(bp_fail(NULL, -EIO, "nobody reads this"), -EIO);
    assert_int_equal(bp_prefix(NULL, -EIO, "nor this"), -EIO);
}

static void long_texts_are_cut(void **state) {
    struct bp_error e = { 0 };
    char big[1000];

    (void) state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    bp_fail(&e, -EIO, "%s", big);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    bp_prefix(&e, -EIO, "%s", big);
    assert_true(strlen(e.text) < sizeof e.text);
}

static void times(void **state) {
    char t[BP_TIME_TEXT];

    (void) state;
    assert_string_equal(bp_time_format(0, t), "1970-01-01T00:00:00.000000000Z");
    assert_string_equal(bp_time_format(1795247081123456789, t), "2026-11-21T07:44:41.123456789Z");
    assert_string_equal(bp_time_format(-1, t), "1969-12-31T23:59:59.999999999Z");
}

static void clock_steps(void **state) {
    struct bp_clock_watch w = { 0 };

    (void) state;
    assert_true(bp_clock_watch_step(&w, BP_SEC) == 0);
    assert_true(bp_clock_watch_step(&w, BP_SEC) == 0);
    w.offset -= 10 * BP_SEC; /* as if the wall clock had been put forward since */
    {
        bp_ns_t step = bp_clock_watch_step(&w, BP_SEC);

        assert_true(step > 9 * BP_SEC && step < 11 * BP_SEC);
    }
    assert_true(bp_clock_watch_step(&w, BP_SEC) == 0); /* told once */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(texts),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(times),
        cmocka_unit_test(clock_steps),
    };

    return cmocka_run_group_tests_name("base/error", tests, NULL, NULL);
}
