#include "bag/defs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* Ids come from files: a damaged one must neither wrap nor take the memory of the machine. */
static void test_source_ids(void **state) {
    static const struct {
        uint32_t id;
        int want;
    } cases[] = {
        { 63, 0 },
        { UINT32_MAX, BP_ECORRUPT },
        { UINT32_MAX - 1, BP_ECORRUPT },
        { BP_MAX_SOURCES, BP_ECORRUPT },
        { 64, 0 },
        { BP_MAX_SOURCES - 1, 0 },
    };
    struct bp_def_source s = { .channel = 1, .node = (char[]){ "/n" } };
    struct bp_defs d = { 0 };
    uint32_t n = 0;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        assert_int_equal(bp_defs_put_source(&d, cases[i].id, &s), cases[i].want);
        if (cases[i].want == 0)
            n = cases[i].id + 1;
        assert_int_equal(d.nsources, n);
    }
    assert_string_equal(d.sources[63]->node, "/n");
    assert_null(d.sources[62]);
    bp_defs_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_source_ids) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
