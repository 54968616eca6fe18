#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pool.h"
#include "base/time.h"

struct count {
    int order[64];
    int n;     /* [atomic] jobs that began */
    int ended; /* [atomic] */
};

struct job {
    struct count *count;
    int number;
    bp_ns_t length;
};

static void note(void *arg) {
    struct job *j = arg;

    j->count->order[__atomic_fetch_add(&j->count->n, 1, __ATOMIC_RELAXED)] = j->number;
    bp_sleep(j->length);
    __atomic_add_fetch(&j->count->ended, 1, __ATOMIC_RELEASE);
}

static int ended(struct count *c) {
    return __atomic_load_n(&c->ended, __ATOMIC_ACQUIRE);
}

static void one_thread_keeps_order(void **state) {
    BP_CLEANUP(bp_pool_freep) struct bp_pool *p = bp_pool_new("test", 1, 4);
    struct count c = { 0 };
    struct job jobs[64];

    (void) state;
    for (int i = 0; i < 64; i++) {
        jobs[i] = (struct job){ &c, i, 0 };
        bp_pool_run(p, note, &jobs[i]);
    }
    bp_pool_wait(p);
    assert_int_equal(ended(&c), 64);
    for (int i = 0; i < 64; i++)
        assert_int_equal(c.order[i], i);
}

static void wait_does_not_wait_for_later_jobs(void **state) {
    BP_CLEANUP(bp_pool_freep) struct bp_pool *p = bp_pool_new("test", 3, 64);
    struct count c = { 0 };
    struct job jobs[20];

    (void) state;
    bp_pool_wait(p); /* nothing was handed in */
    for (int i = 0; i < 20; i++) {
        jobs[i] = (struct job){ &c, i, i % 3 == 0 ? 5 * BP_MS : 0 };
        bp_pool_run(p, note, &jobs[i]);
    }
    bp_pool_wait(p);
    assert_int_equal(ended(&c), 20);
}

static void a_full_queue_makes_the_giver_wait(void **state) {
    BP_CLEANUP(bp_pool_freep) struct bp_pool *p = bp_pool_new("test", 1, 2);
    struct count c = { 0 };
    struct job jobs[5];

    (void) state;
    for (int i = 0; i < 5; i++) {
        jobs[i] = (struct job){ &c, i, 10 * BP_MS };
        bp_pool_run(p, note, &jobs[i]);
        assert_true(i + 1 - ended(&c) <= 4); /* 2 queued, 1 at work, 1 that just ended */
    }
    assert_true(ended(&c) >= 2);
}

static void free_runs_what_is_queued(void **state) {
    struct bp_pool *p = bp_pool_new("test", 2, 64);
    struct count c = { 0 };
    struct job jobs[40];

    (void) state;
    for (int i = 0; i < 40; i++) {
        jobs[i] = (struct job){ &c, i, BP_MS / 4 };
        bp_pool_run(p, note, &jobs[i]);
    }
    bp_pool_free(p);
    assert_int_equal(ended(&c), 40);
    bp_pool_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_keeps_order),
        cmocka_unit_test(wait_does_not_wait_for_later_jobs),
        cmocka_unit_test(a_full_queue_makes_the_giver_wait),
        cmocka_unit_test(free_runs_what_is_queued),
    };

    return cmocka_run_group_tests_name("base/pool", tests, NULL, NULL);
}
