#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "daemon/bus.h"

struct ear {
    struct bp_bus *bus;
    unsigned heard, answers;
};

static void hear(void *ctx, const char *topic, const json_t *payload) {
    struct ear *e = ctx;

    assert_true(json_is_object(payload));
    e->heard++;
    if (e->answers && strcmp(topic, "question") == 0) {
        e->answers--;
        bp_bus_publish(e->bus, "answer", json_object());
    }
}

static void heard_by_all(void **state) {
    BP_CLEANUP(bp_bus_freep) struct bp_bus *b = bp_bus_new();
    struct ear one = { .bus = b, .answers = 1 }, two = { .bus = b };

    (void) state;
    bp_bus_publish(b, "question", json_object());
    assert_int_equal(bp_bus_listen(b, hear, &one), 0);
    assert_int_equal(bp_bus_listen(b, hear, &two), 0);
    bp_bus_publish(b, "question", json_object());
    assert_int_equal(one.heard, 2); /* its own answer too */
    assert_int_equal(two.heard, 2);
    bp_bus_unlisten(b, hear, &one);
    bp_bus_publish(b, "question", json_object());
    bp_bus_publish(b, "question", NULL);
    assert_int_equal(one.heard, 2);
    assert_int_equal(two.heard, 3);
}

static void bounded(void **state) {
    BP_CLEANUP(bp_bus_freep) struct bp_bus *b = bp_bus_new();
    struct ear ears[BP_BUS_LISTENERS + 1] = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_BUS_LISTENERS; i++)
        assert_int_equal(bp_bus_listen(b, hear, &ears[i]), 0);
    assert_int_equal(bp_bus_listen(b, hear, &ears[BP_BUS_LISTENERS]), -EBUSY);
    bp_bus_unlisten(b, hear, &ears[3]);
    assert_int_equal(bp_bus_listen(b, hear, &ears[BP_BUS_LISTENERS]), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heard_by_all),
        cmocka_unit_test(bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
