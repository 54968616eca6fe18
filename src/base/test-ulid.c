#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/ulid.h"

static void rise_always(void **state) {
    char a[BP_ULID_TEXT], b[BP_ULID_TEXT] = "";

    (void) state;
    for (int i = 0; i < 20000; i++) {
        bp_ulid_new(a);
        assert_int_equal(strlen(a), 26);
        assert_true(strcmp(a, b) > 0);
        memcpy(b, a, sizeof b);
    }
}

static void tell_their_time(void **state) {
    bp_ns_t before = bp_wall_ns() / BP_MS * BP_MS, when = 0;
    char t[BP_ULID_TEXT];

    (void) state;
    assert_int_equal(bp_ulid_parse(bp_ulid_new(t), 26, &when), 0);
    assert_true(when >= before && when <= before + 5 * BP_SEC);
}

static void parse(void **state) {
    static const struct {
        const char *text;
        int r;
        bp_ns_t wall;
    } cases[] = {
        { "01ARZ3NDEKTSV4RRFFQ69G5FAV", 0,
          1469922850259 * BP_MS }, /* the specification's example */
        { "01arz3ndektsv4rrffq69g5fav", 0, 1469922850259 * BP_MS },
        { "OLARZ3NDEKTSV4RRFFQ69G5FAV", 0, 1469922850259 * BP_MS },
        { "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", 0, INT64_MAX },
        { "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", -EINVAL, 0 },
        { "01ARZ3NDEKTSV4RRFFQ69G5FA", -EINVAL, 0 },
        { "01ARZ3NDEKTSV4RRFFQ69G5FAU", -EINVAL, 0 }, /* U is no digit */
        { "01ARZ3NDEKTSV4RRFFQ69G5FA-", -EINVAL, 0 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        bp_ns_t wall = 0;

        assert_int_equal(bp_ulid_parse(cases[i].text, strlen(cases[i].text), &wall), cases[i].r);
        assert_true(wall == cases[i].wall);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(rise_always),
                                        cmocka_unit_test(tell_their_time),
                                        cmocka_unit_test(parse) };

    return cmocka_run_group_tests_name("base/ulid", tests, NULL, NULL);
}
