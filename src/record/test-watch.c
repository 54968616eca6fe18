/* Watches on a real recorder with a publisher beside it over lo, and the queue behind them. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dds/dds.h"
#include "record/recorder.h"
#include "record/watch.h"

enum { DOMAIN = 61, WAIT_S = 20 };

#define WAIT_FOR(cond)                                 \
    do {                                               \
        bp_ns_t end_ = bp_mono_ns() + WAIT_S * BP_SEC; \
        while (!(cond) && bp_mono_ns() < end_)         \
            bp_sleep(2 * BP_MS);                       \
        assert_true(cond);                             \
    } while (0)

static const uint8_t HELLO[] = { 0, 1, 0, 0, 4, 0, 0, 0, 'h', 'i', '!', 0 };

struct heard {
    atomic_uint n, latched, wrong;
    char topic[64], type[64];
};

static void on_message(void *ctx, const struct bp_watch_sample *s) {
    struct heard *h = ctx;
    uint8_t cdr[64];

    if (s->size != sizeof HELLO) {
        atomic_fetch_add(&h->wrong, 1);
        return;
    }
    bp_watch_copy(s, cdr);
    if (memcmp(cdr, HELLO, sizeof HELLO) != 0 || s->domain != DOMAIN || !s->recv_ns || !*s->robot)
        atomic_fetch_add(&h->wrong, 1);
    (void) snprintf(h->topic, sizeof h->topic, "%s", s->topic);
    (void) snprintf(h->type, sizeof h->type, "%s", s->type);
    if (s->latched)
        atomic_fetch_add(&h->latched, 1);
    atomic_fetch_add(&h->n, 1);
}

static struct bp_pub *advertise(struct bp_dds *d, const char *topic, bool latched) {
    struct bp_pub_opts o = { .topic = topic, .type = "std_msgs/msg/String", .qos = bp_qos_default };
    struct bp_pub *p = NULL;

    o.qos.durability = latched ? BP_DURABILITY_TRANSIENT_LOCAL : BP_DURABILITY_VOLATILE;
    assert_int_equal(bp_dds_advertise(d, &o, &p, NULL), 0);
    return p;
}

static struct bp_watch *watch(struct bp_recorder *r, const char *topic, double max_hz,
                              struct heard *h) {
    struct bp_watch_opts o = { .topic = topic, .max_hz = max_hz, .fn = on_message, .ctx = h };
    struct bp_watch *w = NULL;

    assert_int_equal(bp_watch_open(r, &o, &w, NULL), 0);
    return w;
}

static uint32_t readers(struct bp_recorder *r) {
    struct bp_recorder_stats st;

    bp_recorder_stats(r, &st);
    return st.readers;
}

static void say(struct bp_pub *p, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        assert_true(bp_pub_write(p, HELLO, sizeof HELLO, 0) > 0);
}

static void test_watch(void **state) {
    uint32_t domain = DOMAIN;
    struct bp_recorder_opts ro = { .domains = &domain, .ndomains = 1, .keep_latched = true };
    struct bp_dds_opts o = { .domain = DOMAIN, .localhost_only = true, .sender_tuned = true };
    struct bp_recorder *r = NULL;
    struct bp_dds *d = NULL;
    struct bp_error err = { 0 };
    struct heard one = { 0 }, all = { 0 }, slow = { 0 }, late = { 0 }, none = { 0 };
    struct bp_watch *w[4], *last;
    struct bp_watch_stats st;
    struct bp_pub *a, *b;

    (void) state;
    if (bp_recorder_open(&ro, &r, &err) < 0 || bp_dds_open(&o, NULL, &d, &err) < 0)
        fail_msg("%s", err.text);
    w[0] = watch(r, "/wa", 0, &one); /* before the topic is there */
    a = advertise(d, "/wa", false);
    b = advertise(d, "/wb", true);
    say(b, 1);
    WAIT_FOR(readers(r) == 1 && bp_pub_matched(a) == 1);
    assert_int_equal(bp_pub_matched(b), 0);
    w[1] = watch(r, "/w*", 0, &all);
    w[2] = watch(r, "/wa", 1, &slow);
    w[3] = watch(r, "/other", 0, &none);
    WAIT_FOR(readers(r) == 2 && atomic_load(&all.n) == 1 && bp_pub_matched(b) == 1);
    assert_int_equal(atomic_load(&all.latched), 1);

    say(a, 5);
    WAIT_FOR(atomic_load(&one.n) == 5 && atomic_load(&all.n) == 6);
    bp_watch_stats(w[2], &st);
    assert_int_equal(st.messages, 1);
    assert_int_equal(st.skipped, 4);
    assert_int_equal(st.topics, 1);
    assert_string_equal(one.topic, "/wa");
    assert_string_equal(one.type, "std_msgs/msg/String");

    last = watch(r, "/wb", 0, &late); /* a topic that is heard already repeats what is latched */
    assert_int_equal(atomic_load(&late.n), 1);
    assert_int_equal(atomic_load(&late.latched), 1);
    assert_int_equal(bp_pub_matched(b), 1);

    bp_watch_close(w[1]);
    assert_int_equal(readers(r), 2);
    bp_watch_close(last);
    bp_watch_close(w[2]);
    assert_int_equal(readers(r), 1);
    bp_watch_close(w[0]);
    assert_int_equal(readers(r), 0); /* nobody watches, nobody is subscribed */
    WAIT_FOR(bp_pub_matched(a) == 0);
    say(a, 3);
    bp_watch_close(w[3]);
    assert_int_equal(atomic_load(&one.n), 5);
    assert_int_equal(atomic_load(&none.n), 0);
    assert_int_equal(one.wrong + all.wrong + slow.wrong + late.wrong, 0);
    bp_pub_close(a);
    bp_pub_close(b);
    bp_dds_close(d);
    bp_recorder_close(r);
}

/* ---- the queue ---- */

struct sink {
    pthread_mutex_t hold; /* the drain waits here */
    atomic_uint n, wrong, ticks;
    uint64_t last;
};

static void copy_number(const void *from, uint8_t *dst, size_t n) {
    memcpy(dst, from, n);
}

static void on_drain(void *ctx, const struct bp_watch_sample *s, const uint8_t *cdr, void *tag) {
    struct sink *k = ctx;
    uint64_t v;

    pthread_mutex_lock(&k->hold);
    memcpy(&v, cdr, sizeof v);
    if (tag != k || s->size != sizeof v || v <= k->last || s->seq != v)
        atomic_fetch_add(&k->wrong, 1);
    k->last = v;
    atomic_fetch_add(&k->n, 1);
    pthread_mutex_unlock(&k->hold);
}

static void on_tick(void *ctx) {
    struct sink *k = ctx;

    atomic_fetch_add(&k->ticks, 1);
}

static void put(struct bp_watch_queue *q, struct sink *k, uint64_t v) {
    struct bp_watch_sample s = { .seq = v, .size = sizeof v, .copy = copy_number, .from = &v };

    bp_watch_queue_put(q, &s, k);
}

static void test_queue(void **state) {
    struct sink k = { .hold = PTHREAD_MUTEX_INITIALIZER };
    struct bp_watch_queue_opts o = { .name = "drain",
                                     .slots = 4,
                                     .max_message = 8,
                                     .fn = on_drain,
                                     .idle = on_tick,
                                     .tick = 5 * BP_MS,
                                     .ctx = &k };
    struct bp_watch_sample big = { .size = 9 };
    struct bp_watch_queue *q = NULL;

    (void) state;
    assert_int_equal(bp_watch_queue_open(&o, &q, NULL), 0);
    for (uint64_t v = 1; v <= 100; v++) {
        put(q, &k, v);
        bp_watch_queue_flush(q);
    }
    assert_int_equal(k.n, 100);
    assert_int_equal(bp_watch_queue_dropped(q), 0);

    pthread_mutex_lock(&k.hold);
    put(q, &k, 101);
    bp_sleep(50 * BP_MS); /* it is in the drain's hands */
    for (uint64_t v = 102; v <= 110; v++)
        put(q, &k, v);
    pthread_mutex_unlock(&k.hold);
    bp_watch_queue_flush(q);
    assert_int_equal(k.last, 110); /* the newest stay */
    assert_int_equal(k.n + bp_watch_queue_dropped(q), 110);
    assert_in_range(k.n, 104, 105);
    bp_watch_queue_put(q, &big, &k);
    assert_int_equal(k.n + bp_watch_queue_dropped(q), 111);
    WAIT_FOR(atomic_load(&k.ticks) >= 2);
    bp_watch_queue_close(q);
    assert_int_equal(k.wrong, 0);
}

static void on_cut(void *ctx, const struct bp_watch_sample *s, const uint8_t *cdr, void *tag) {
    uint64_t *got = tag;

    (void) ctx;
    memcpy(got, cdr, s->size);
    got[1] = s->size;
}

/* Who looks at the beginning of a message copies no more. */
static void test_queue_cut(void **state) {
    struct bp_watch_queue_opts o = { .cut = 3, .max_message = 3, .fn = on_cut };
    uint64_t v = 0x1122334455667788, got[2] = { 0 };
    struct bp_watch_sample s = { .size = sizeof v, .copy = copy_number, .from = &v };
    struct bp_watch_queue *q = NULL;

    (void) state;
    assert_int_equal(bp_watch_queue_open(&o, &q, NULL), 0);
    bp_watch_queue_put(q, &s, got);
    bp_watch_queue_flush(q);
    assert_int_equal(got[1], 3);
    assert_int_equal(bp_watch_queue_dropped(q), 0);
    assert_memory_equal(got, &v, 3);
    assert_int_equal(((uint8_t *) got)[3], 0);
    bp_watch_queue_close(q);
}

/* Several receive threads at once: each message comes once or is counted as dropped. */
struct producer {
    struct bp_watch_queue *q;
    unsigned n;
};

static atomic_uint_fast64_t drained;

static void on_any(void *ctx, const struct bp_watch_sample *s, const uint8_t *cdr, void *tag) {
    (void) ctx, (void) s, (void) cdr, (void) tag;
    atomic_fetch_add(&drained, 1);
}

static void *produce(void *arg) {
    struct producer *p = arg;

    for (uint64_t v = 0; v < p->n; v++)
        put(p->q, NULL, v);
    return NULL;
}

static void test_queue_threads(void **state) {
    struct bp_watch_queue_opts o = { .fn = on_any };
    struct bp_watch_queue *q = NULL;
    struct producer p = { .n = 20000 };
    pthread_t t[4];

    (void) state;
    assert_int_equal(bp_watch_queue_open(&o, &q, NULL), 0);
    p.q = q;
    for (unsigned i = 0; i < BP_COUNT(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, produce, &p), 0);
    for (unsigned i = 0; i < BP_COUNT(t); i++)
        (void) pthread_join(t[i], NULL);
    bp_watch_queue_flush(q);
    assert_int_equal(atomic_load(&drained) + bp_watch_queue_dropped(q), 4 * p.n);
    bp_watch_queue_close(q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_queue_cut),
        cmocka_unit_test(test_queue_threads),
        cmocka_unit_test(test_watch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
