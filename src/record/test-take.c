#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "record/recorder-priv.h"

/* Between the end of a session's writer and that of its take nobody may tell it of anything: here
 * the one that ends has no writer any more, and the other one is not told of what it never had. */
static void gone_while_ending(void **state) {
    struct bp_take ending = { .stopped = true }, other = { .slot = 1 };
    struct bp_recorder r = { .takes = { &ending, &other } };
    struct topic topic = { 0 };
    struct source *s = calloc(1, sizeof *s);

    (void) state;
    assert_non_null(s);
    s->topic = &topic;
    s->node = strdup("/node");
    s->ids[0] = 3;
    for (unsigned i = 1; i < BP_TAKES; i++)
        s->ids[i] = -1;
    HASH_ADD(hh, r.sources, guid, BP_GUID_LEN, s);
    bp_recorder_forget_locked(&r, s);
    assert_null(r.sources);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(gone_while_ending) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
