/* The history in memory: what goes in comes out, in order and once; what was let go or refused is
 * told, and nothing else is missing. */
#include <pthread.h>
#include <stdatomic.h>

#include "bag/test-history.h"

static uint32_t size_of(uint64_t i) {
    return (uint32_t) (12 + i * 7919 % 3000);
}

/* What is held is the newest, to the message, and as much as fits. */
static void evicts_the_oldest(void **state) {
    struct bp_history_store *h = open_with((struct bp_history_opts){ .max_bytes = MIB });
    uint32_t source = source_of(h, 1, 0);
    uint64_t bytes = 0, i;

    (void) state;
    for (i = 1; i <= 5000; i++) {
        BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = NULL;
        struct bp_history_stats st;
        struct seen s;

        assert_int_equal(put(h, source, i, size_of(i)), 0);
        if (i % 499)
            continue;
        r = read_from(h, 0);
        s = read_all(r, source);
        bp_history_stats(h, &st);
        assert_int_equal(s.last, i);
        assert_int_equal(s.messages, i - s.first + 1);
        assert_int_equal(s.messages, st.held);
        assert_int_equal(st.evicted, s.first - 1);
        assert_int_equal(s.missed, 0);
        assert_true(st.memory_used <= MIB && st.dropped == 0);
        bytes = 0;
        for (uint64_t k = s.first; k <= i; k++)
            bytes += size_of(k);
        if (s.first > 1) /* some blocks of 16 KiB are kept free */
            assert_true(bytes > MIB * 85 / 100);
    }
    bp_history_close(h);
}

/* A reader that is too slow is told how many it has missed. */
static void slow_reader(void **state) {
    struct bp_history_store *h = open_with((struct bp_history_opts){ .max_bytes = MIB });
    uint32_t source = source_of(h, 1, 0);
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = NULL;
    struct bp_history_entry e;
    struct seen s;

    (void) state;
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(put(h, source, i, 1000), 0);
    r = read_from(h, 0);
    assert_int_equal(bp_history_next(r, &e), 1);
    assert_int_equal(e.seq, 1);
    for (uint64_t i = 11; i <= 5000; i++)
        assert_int_equal(put(h, source, i, 1000), 0);
    s = read_all(r, source);
    assert_int_equal(s.last, 5000);
    assert_true(s.missed > 3000);
    assert_int_equal(1 + s.missed + s.messages, 5000);
    assert_int_equal(bp_history_next(r, &e), 0);
    bp_history_reader_close(BP_TAKE_PTR(r));
    bp_history_close(h);
}

static void losses_are_told(void **state) {
    struct bp_history_store *h = open_with((struct bp_history_opts){ .max_bytes = MIB });
    uint32_t source = source_of(h, 1, 0);
    static const struct {
        enum bp_history_kind kind;
        enum bp_loss why;
        uint64_t seq, last;
    } want[] = {
        { BP_HISTORY_MESSAGE, 0, 1, 1 },
        { BP_HISTORY_LOSS, BP_LOSS_RATE, 2, 10 }, /* noted one by one */
        { BP_HISTORY_LOSS, BP_LOSS_TRANSPORT, 11, 12 },
        { BP_HISTORY_MESSAGE, 0, 13, 13 },
        { BP_HISTORY_LOSS, BP_LOSS_BAD, 14, 14 }, /* larger than a quarter of all */
        { BP_HISTORY_MESSAGE, 0, 15, 15 },
        { BP_HISTORY_LOSS, BP_LOSS_PAUSED, 16, 20 }, /* waits, until it is flushed */
    };
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = read_from(h, 0);
    struct bp_history_entry e;

    (void) state;
    assert_int_equal(put(h, source, 1, 100), 0);
    for (uint64_t i = 2; i <= 10; i++)
        bp_history_note_loss(h, source, BP_LOSS_RATE, i, i);
    bp_history_note_loss(h, source, BP_LOSS_TRANSPORT, 11, 12);
    assert_int_equal(put(h, source, 13, 0), 0);
    assert_int_equal(put(h, source, 14, MIB / 4), -EMSGSIZE);
    assert_int_equal(put(h, source, 15, MIB / 8), 0);
    bp_history_note_loss(h, source, BP_LOSS_PAUSED, 16, 20);
    bp_history_note_loss(h, source, BP_LOSS_PAUSED, 20, 16); /* nonsense */
    bp_history_note_loss(h, 99, BP_LOSS_PAUSED, 1, 2);
    assert_int_equal(put(h, 99, 1, 1), -EINVAL);
    for (size_t i = 0; i < BP_COUNT(want); i++) {
        if (i == BP_COUNT(want) - 1) {
            assert_int_equal(bp_history_next(r, &e), 0);
            bp_history_flush(h);
        }
        assert_int_equal(bp_history_next(r, &e), 1);
        assert_int_equal(e.kind, want[i].kind);
        assert_int_equal(e.seq, want[i].seq);
        assert_int_equal(e.last, want[i].last);
        if (e.kind == BP_HISTORY_LOSS)
            assert_int_equal(e.why, want[i].why);
    }
    assert_int_equal(bp_history_next(r, &e), 0);
    bp_history_reader_close(BP_TAKE_PTR(r));
    bp_history_close(h);
}

/* The state at any moment the history reaches back to, and at the moments before: what is let go is
 * remembered as long as it is the latest. */
static void latched_state(void **state) {
    struct bp_history_store *h = open_with((struct bp_history_opts){ .max_bytes = MIB });
    uint32_t map = source_of(h, 1, 1), tf = source_of(h, 2, 2), load = source_of(h, 3, 0);
    bp_ns_t t0 = bp_wall_ns() - 100 * BP_SEC, m0 = bp_history_mono(h, t0);
    struct bp_history_stats st;

    (void) state;
    assert_int_equal(put_at(h, map, 7, 5000, t0 + 1 * BP_SEC), 0);
    assert_int_equal(put_at(h, tf, 1, 50, t0 + 2 * BP_SEC), 0);
    assert_int_equal(put_at(h, tf, 2, 50, t0 + 3 * BP_SEC), 0);
    assert_int_equal(put_at(h, tf, 3, 50, t0 + 4 * BP_SEC), 0);
    assert_string_equal(latched_at(h, m0), "");
    assert_string_equal(latched_at(h, m0 + 2 * BP_SEC), "7");
    assert_string_equal(latched_at(h, m0 + 4 * BP_SEC), "7 1 2");
    assert_string_equal(latched_at(h, m0 + 5 * BP_SEC), "7 2 3");
    for (uint64_t i = 1; i <= 2000; i++)
        assert_int_equal(put_at(h, load, i, 1000, t0 + 5 * BP_SEC + (bp_ns_t) i), 0);
    bp_history_stats(h, &st);
    assert_int_equal(st.latched, 3); /* all of them were let go */
    assert_string_equal(latched_at(h, m0 + 6 * BP_SEC), "7 2 3");
    assert_int_equal(put_at(h, map, 8, 20000, t0 + 10 * BP_SEC), 0);
    assert_string_equal(latched_at(h, m0 + 9 * BP_SEC), "7 2 3");
    assert_string_equal(latched_at(h, m0 + 11 * BP_SEC), "2 3 8");
    for (uint64_t i = 2001; i <= 4000; i++)
        assert_int_equal(put_at(h, load, i, 1000, t0 + 20 * BP_SEC + (bp_ns_t) i), 0);
    assert_string_equal(latched_at(h, m0 + 30 * BP_SEC), "2 3 8");
    bp_history_stats(h, &st);
    assert_int_equal(st.latched, 3);
    assert_int_equal(st.latched_bytes, 20100);
    bp_history_close(h);
}

/* Old ones go by themselves, and a reader begins where it was told. */
static void by_age(void **state) {
    struct bp_history_store *h =
        open_with((struct bp_history_opts){ .max_bytes = MIB, .max_ns = 400 * BP_MS });
    uint32_t source = source_of(h, 1, 0);
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = NULL;
    struct bp_history_stats st;
    bp_ns_t from = 0;
    struct seen s;

    (void) state;
    for (uint64_t i = 1; i <= 20; i++) {
        if (i == 11)
            from = bp_history_mono(h, bp_wall_ns());
        assert_int_equal(put(h, source, i, 100), 0);
        if (i % 10 == 0)
            bp_sleep(150 * BP_MS);
    }
    r = read_from(h, from);
    s = read_all(r, source);
    assert_int_equal(s.last, 20);
    assert_true(s.first <= 11 && s.first > 1);
    bp_sleep(500 * BP_MS);
    bp_history_tick(h);
    bp_sleep(500 * BP_MS);
    bp_history_tick(h);
    bp_history_stats(h, &st);
    assert_int_equal(st.held, 0);
    assert_int_equal(st.evicted, 20);
    assert_true(st.oldest_ns == 0 && st.memory_used == 0);
    assert_int_equal(put(h, source, 21, 100), 0);
    bp_history_reader_close(BP_TAKE_PTR(r));
    bp_history_close(h);
}

/* ---- several threads ---- */

enum { THREADS = 4, EACH = 20000 };

struct talker {
    struct bp_history_store *h;
    uint32_t source;
    _Atomic unsigned *done;
};

static void *talk(void *arg) {
    struct talker *t = arg;

    for (uint64_t i = 1; i <= EACH; i++)
        (void) put(t->h, t->source, i, size_of(i)); /* refusals are told to the reader */
    atomic_fetch_add(t->done, 1);
    return NULL;
}

static void threads(void **state) {
    struct bp_history_store *h = open_with((struct bp_history_opts){ .max_bytes = 4 * MIB });
    struct talker t[THREADS];
    pthread_t ids[THREADS];
    uint64_t last[THREADS] = { 0 }, got = 0, missed = 0, lost = 0;
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = read_from(h, 0);
    _Atomic unsigned done = 0;
    bool last_look = false;

    (void) state;
    for (unsigned i = 0; i < THREADS; i++) {
        t[i] = (struct talker){ .h = h, .source = source_of(h, i, 0), .done = &done };
        assert_int_equal(pthread_create(&ids[i], NULL, talk, &t[i]), 0);
    }
    for (;;) {
        bool through = atomic_load(&done) == THREADS;
        struct bp_history_entry e;

        if (bp_history_next(r, &e) == 0) {
            if (last_look)
                break;
            if (through)
                bp_history_flush(h);
            last_look = through;
            bp_sleep(100 * BP_US);
            continue;
        }
        if (e.kind == BP_HISTORY_MISSED) {
            missed += e.last;
            continue;
        }
        assert_true(e.source < THREADS && e.seq > last[e.source]);
        last[e.source] = e.last;
        if (e.kind == BP_HISTORY_LOSS) {
            lost += e.last - e.seq + 1;
            continue;
        }
        same_payload(&e, e.source);
        got++;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        if (missed == 0) /* else its last ones may be among those */
            assert_int_equal(last[i], EACH);
    }
    assert_true(missed > 0 || got + lost == (uint64_t) THREADS * EACH);
    bp_history_reader_close(BP_TAKE_PTR(r));
    bp_history_close(h);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(evicts_the_oldest),
                                        cmocka_unit_test(slow_reader),
                                        cmocka_unit_test(losses_are_told),
                                        cmocka_unit_test(latched_state),
                                        cmocka_unit_test(by_age),
                                        cmocka_unit_test(threads) };

    return cmocka_run_group_tests_name("bag/history", tests, NULL, NULL);
}
