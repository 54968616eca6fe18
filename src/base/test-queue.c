#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/queue.h"
#include "base/thread.h"

static void keeps_order_and_bound(void **state) {
    BP_CLEANUP(bp_queue_freep) struct bp_queue *q = bp_queue_new(sizeof(int), 3);
    int got = -1;

    (void) state;
    assert_int_equal(bp_queue_take(q, &got, BP_QUEUE_NOW), -EAGAIN);
    for (int round = 0; round < 5; round++) { /* around the ring's end */
        for (int i = 0; i < 3; i++)
            assert_int_equal(bp_queue_put(q, &(int){ 10 * round + i }, BP_QUEUE_NOW), 0);
        assert_int_equal(bp_queue_put(q, &(int){ 9 }, BP_QUEUE_NOW), -EAGAIN);
        assert_int_equal(bp_queue_put(q, &(int){ 9 }, 2 * BP_MS), -EAGAIN);
        assert_int_equal(bp_queue_length(q), 3);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(bp_queue_take(q, &got, BP_QUEUE_FOREVER), 0);
            assert_int_equal(got, 10 * round + i);
        }
    }
}

static void waits_as_long_as_told(void **state) {
    BP_CLEANUP(bp_queue_freep) struct bp_queue *q = bp_queue_new(1, 1);
    bp_ns_t before = bp_mono_ns();
    char got;

    (void) state;
    assert_int_equal(bp_queue_take(q, &got, 20 * BP_MS), -EAGAIN);
    assert_true(bp_mono_ns() - before >= 20 * BP_MS);
}

static void closing_hands_out_the_rest(void **state) {
    BP_CLEANUP(bp_queue_freep) struct bp_queue *q = bp_queue_new(sizeof(int), 4);
    int got = 0;

    (void) state;
    assert_int_equal(bp_queue_put(q, &(int){ 7 }, BP_QUEUE_NOW), 0);
    bp_queue_close(q);
    assert_int_equal(bp_queue_put(q, &(int){ 8 }, BP_QUEUE_FOREVER), -EPIPE);
    assert_int_equal(bp_queue_take(q, &got, BP_QUEUE_FOREVER), 0);
    assert_int_equal(got, 7);
    assert_int_equal(bp_queue_take(q, &got, BP_QUEUE_FOREVER), -EPIPE);
}

struct item {
    int giver, number;
};

struct giver {
    struct bp_queue *q;
    int number;
};

enum { GIVERS = 3, ITEMS = 5000 };

static void *give(void *arg) {
    struct giver *g = arg;

    for (int i = 0; i < ITEMS; i++)
        if (bp_queue_put(g->q, &(struct item){ g->number, i }, BP_QUEUE_FOREVER) < 0)
            return NULL;
    return g;
}

static void each_giver_stays_in_order(void **state) {
    BP_CLEANUP(bp_queue_freep) struct bp_queue *q = bp_queue_new(sizeof(struct item), 16);
    struct giver givers[GIVERS];
    pthread_t threads[GIVERS];
    int next[GIVERS] = { 0 };

    (void) state;
    for (int i = 0; i < GIVERS; i++) {
        givers[i] = (struct giver){ q, i };
        assert_int_equal(bp_thread_start("giver", give, &givers[i], &threads[i]), 0);
    }
    for (int i = 0; i < GIVERS * ITEMS; i++) {
        struct item item;

        assert_int_equal(bp_queue_take(q, &item, BP_QUEUE_FOREVER), 0);
        assert_int_equal(item.number, next[item.giver]++);
    }
    for (int i = 0; i < GIVERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(bp_queue_length(q), 0);
}

static void *close_soon(void *arg) {
    bp_sleep(10 * BP_MS);
    bp_queue_close(arg);
    return NULL;
}

static void closing_wakes_who_waits(void **state) {
    BP_CLEANUP(bp_queue_freep) struct bp_queue *q = bp_queue_new(1, 1);
    pthread_t t;
    char got;

    (void) state;
    assert_int_equal(bp_thread_start("closer", close_soon, q, &t), 0);
    assert_int_equal(bp_queue_take(q, &got, BP_QUEUE_FOREVER), -EPIPE);
    assert_int_equal(pthread_join(t, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_and_bound),      cmocka_unit_test(waits_as_long_as_told),
        cmocka_unit_test(closing_hands_out_the_rest), cmocka_unit_test(each_giver_stays_in_order),
        cmocka_unit_test(closing_wakes_who_waits),
    };

    return cmocka_run_group_tests_name("base/queue", tests, NULL, NULL);
}
