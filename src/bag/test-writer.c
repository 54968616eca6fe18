#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bag/bag-ledger.h"
#include "bag/manifest.h"
#include "bag/reader.h"
#include "bag/test-writer.h"
#include "bag/writer.h"
#include "base/io-fault.h"

/* The write path in one process: several receive threads, random sizes, every way of compressing
 * and splitting. Read back by the reader, which shares no code with the writer, and judged by what
 * the producers noted. Foreign readers look at such files in test/system/writer.sh. */

static const size_t sizes[] = { 12, 100, 100, 100, 4096, 65536, 1 << 20 };

struct producer {
    struct bp_writer *w;
    uint32_t source, count, accepted;
    size_t max_size;
    unsigned seed;
    bool random;
};

static void *produce(void *arg) {
    struct producer *p = arg;

    for (uint64_t seq = 1; seq <= p->count; seq++) {
        struct payload pl = { p->source, seq, 0, p->random };
        struct bp_accept m = { .source = p->source, .seq = seq, .copy = fill, .ctx = &pl };
        size_t size = sizes[(size_t) rand_r(&p->seed) % 7];
        int r;

        pl.size = m.size = (uint32_t) (size > p->max_size ? p->max_size : size);
        m.log_ns = m.publish_ns = bp_wall_ns();
        r = bp_writer_accept(p->w, &m);
        if (r == 0)
            p->accepted++;
        else if (r == -ENOBUFS || r == -ENOSPC)
            bp_sleep(BP_MS);
        else
            fail_msg("accept: %d", r);
    }
    return NULL;
}

static void check_ledger(const char *dir, const struct producer *p, size_t n) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    struct bp_ledger l = { 0 };
    struct bp_ledger_totals t;
    struct bp_error err = { 0 };
    uint64_t accepted = 0, sent = 0;

    assert_int_equal(bp_bag_open(&dir, 1, &b, &err), 0);
    assert_true(bp_bag_ledger(b, &l, &err) >= 0);
    bp_ledger_totals(&l, &t);
    for (size_t i = 0; i < n; i++) {
        accepted += p[i].accepted;
        sent += p[i].count;
    }
    assert_int_equal(t.received, accepted);
    assert_int_equal(t.received + t.lost_all, sent);
    bp_ledger_done(&l);
}

struct setup {
    const char *name;
    enum bp_compression comp;
    uint64_t max_segment, ring;
    const char *ring_dir;
    enum bp_durability_mode mode;
    size_t max_size;
    uint32_t count;
};

static const struct setup setups[] = {
    { "stored", BP_COMPRESS_NONE, 0, 64 << 20, NULL, BP_SYNC_COMMIT, 1 << 20, 1000 },
    { "zstd", BP_COMPRESS_ZSTD, 0, 64 << 20, NULL, BP_SYNC_COMMIT, 1 << 20, 500 },
    { "lz4 split", BP_COMPRESS_LZ4, 4 << 20, 64 << 20, NULL, BP_SYNC_COMMIT, 65536, 1000 },
    { "tiny segments", BP_COMPRESS_NONE, 1 << 20, 32 << 20, NULL, BP_SYNC_COMMIT, 65536, 1000 },
    { "no tmpfs", BP_COMPRESS_NONE, 8 << 20, 64 << 20, "", BP_SYNC_COMMIT, 65536, 1000 },
    { "fast", BP_COMPRESS_NONE, 0, 64 << 20, NULL, BP_SYNC_FAST, 65536, 1000 },
    { "strict", BP_COMPRESS_NONE, 0, 64 << 20, NULL, BP_SYNC_STRICT, 4096, 1000 },
};

static void print_event(void *ctx, const struct bp_writer_event *e) {
    (void) ctx;
    if (e->kind == BP_WRITER_IO_ERROR)
        fail_msg("event: %s", e->text);
}

static void test_round(void **state) {
    for (size_t k = 0; k < BP_COUNT(setups); k++) {
        const struct setup *s = &setups[k];
        BP_AUTO_TEST_DIR dir = bp_test_dir();
        struct bp_writer_opts o = { .dir = dir.session,
                                    .ring_bytes = s->ring,
                                    .ring_dir = s->ring_dir,
                                    .compression = s->comp,
                                    .max_segment_bytes = s->max_segment,
                                    .min_free = 1 << 20,
                                    .durability = s->mode,
                                    .event = print_event };
        struct producer p[3] = { 0 };
        uint64_t found[3] = { 0 };
        struct bp_writer *w = NULL;
        struct bp_error err = { 0 };
        pthread_t t[3];

        (void) state;
        if (bp_writer_open(&o, &w, &err) < 0)
            fail_msg("%s: %s", s->name, err.text);
        for (unsigned i = 0; i < 3; i++) {
            char topic[16];

            (void) snprintf(topic, sizeof topic, "/topic%u", i);
            p[i] = (struct producer){ .w = w,
                                      .source = add_source(w, topic, 0, (uint8_t) i),
                                      .count = s->count,
                                      .max_size = s->max_size,
                                      .seed = i + 1,
                                      .random = i % 2 };
            assert_int_equal(p[i].source, i);
            assert_int_equal(pthread_create(&t[i], NULL, produce, &p[i]), 0);
        }
        for (unsigned i = 0; i < 3; i++)
            (void) pthread_join(t[i], NULL);
        if (bp_writer_close(w, &err) < 0)
            fail_msg("%s: close: %s", s->name, err.text);
        assert_int_equal(check_content(dir.session, found, 3),
                         p[0].accepted + p[1].accepted + p[2].accepted);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(found[i], p[i].accepted);
        check_ledger(dir.session, p, 3);
        print_message("%s: %u accepted\n", s->name, p[0].accepted + p[1].accepted + p[2].accepted);
    }
}

/* What the ring and two segments know of the test below. */
static void check_so_far(struct bp_writer *w) {
    BP_CLEANUP(bp_writer_ledger_done) struct bp_writer_ledger l = { 0 };
    struct bp_ledger_totals t;

    assert_int_equal(bp_writer_ledger(w, &l, NULL), 0);
    assert_int_equal(l.ledger.n, 1);
    bp_ledger_source_totals(l.ledger.v[0], &t);
    assert_true(t.first == 10 && t.last == 30 && t.received == 5 && t.late == 2);
    assert_int_equal(t.lost[BP_LOSS_RATE], 5);
    assert_int_equal(t.lost[BP_LOSS_TRANSPORT], 11); /* 12-14, 16-19, 26-29 */
}

/* Gaps, late fills, duplicates, refusals: every number ends in exactly one account. */
static void test_ledger_of_gaps(void **state) {
    BP_AUTO_TEST_DIR dir = bp_test_dir();
    struct bp_writer_opts o = { .dir = dir.session,
                                .ring_bytes = 16 << 20,
                                .min_free = 1 << 20,
                                .durability = BP_SYNC_COMMIT };
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    const char *path = dir.session;
    struct bp_ledger l = { 0 };
    struct bp_ledger_totals t;
    struct bp_error err = { 0 };
    struct bp_writer *w = NULL;
    uint32_t s;

    (void) state;
    assert_int_equal(bp_writer_open(&o, &w, &err), 0);
    s = add_source(w, "/gaps", 0, 7);
    assert_int_equal(send_one(w, s, 10), 0);
    assert_int_equal(send_one(w, s, 20), 0); /* 11-19 missing */
    assert_int_equal(send_one(w, s, 15), 0); /* late */
    assert_int_equal(send_one(w, s, 15), 1); /* twice */
    assert_int_equal(send_one(w, s, 20), 1);
    bp_writer_note_loss(w, s, BP_LOSS_RATE, 21, 25);
    bp_writer_split(w);
    bp_sleep(250 * BP_MS);
    assert_int_equal(send_one(w, s, 30), 0); /* 26-29 missing */
    assert_int_equal(send_one(w, s, 11), 0); /* late, in a later segment than its gap */
    bp_sleep(250 * BP_MS);
    check_so_far(w); /* while it goes on */
    bp_writer_note_loss(w, s, BP_LOSS_PAUSED, 31, 31);
    bp_writer_note_loss(w, s, BP_LOSS_TRANSPORT, 30, 40); /* heard of, not received */
    bp_writer_note_loss(w, s, BP_LOSS_TRANSPORT, 30, 40);
    assert_int_equal(send_one(w, s, 35), 0); /* and then it comes */
    bp_writer_note_loss(w, s, BP_LOSS_CONTROL, 41, 42);
    assert_int_equal(bp_writer_close(w, &err), 0);

    assert_int_equal(bp_bag_open(&path, 1, &b, &err), 0);
    assert_true(bp_bag_ledger(b, &l, &err) > 0);
    assert_int_equal(l.n, 1);
    bp_ledger_source_totals(l.v[0], &t);
    assert_int_equal(t.first, 10);
    assert_int_equal(t.last, 42);
    assert_int_equal(t.received, 6);
    assert_int_equal(t.late, 3);
    assert_int_equal(t.duplicates, 2);
    assert_int_equal(t.lost[BP_LOSS_TRANSPORT], 7 + 4 + 8);
    assert_int_equal(t.lost[BP_LOSS_CONTROL], 2);
    assert_int_equal(t.lost_all, 7 + 4 + 8);
    assert_int_equal(t.lost[BP_LOSS_RATE], 5);
    assert_int_equal(t.lost[BP_LOSS_PAUSED], 1);
    bp_ledger_done(&l);
}

/* Each later segment begins with the latched messages; they are in no ledger. */
static void test_latched(void **state) {
    BP_AUTO_TEST_DIR dir = bp_test_dir();
    struct bp_writer_opts o = { .dir = dir.session,
                                .ring_bytes = 16 << 20,
                                .min_free = 1 << 20,
                                .durability = BP_SYNC_COMMIT };
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    const char *path = dir.session;
    struct bp_error err = { 0 };
    struct bp_writer *w = NULL;
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    uint32_t map, tf, total = 0, repeated = 0;
    struct bp_bag_msg m;

    (void) state;
    assert_int_equal(bp_writer_open(&o, &w, &err), 0);
    map = add_source(w, "/map", 1, 1);
    tf = add_source(w, "/tf", 0, 2);
    assert_int_equal(send_one(w, map, 1), 0);
    assert_int_equal(send_one(w, map, 2), 0);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        assert_int_equal(send_one(w, tf, seq), 0);
        bp_writer_split(w);
        bp_sleep(150 * BP_MS);
    }
    assert_int_equal(bp_writer_close(w, &err), 0);

    assert_int_equal(bp_bag_open(&path, 1, &b, &err), 0);
    assert_int_equal(bp_bag_get_info(b)->nfiles, 3); /* nothing came after the last split */
    assert_int_equal(bp_bag_iterate(b, &(struct bp_bag_filter){ 0 }, &it, &err), 0);
    while (bp_bag_next(it, &m, &err) > 0) {
        total++;
        repeated += m.repeated;
        if (m.repeated)
            assert_int_equal(m.sequence, 2); /* the newest of a topic that keeps one */
    }
    assert_int_equal(total, 5 + 2);
    assert_int_equal(repeated, 2);
}

static uint32_t add_priority(struct bp_writer *w, const char *topic, enum bp_priority prio,
                             uint64_t budget, uint8_t tag) {
    struct bp_channel_def c = { .topic = topic,
                                .type = "test_msgs/msg/Blob",
                                .schema_encoding = "ros2msg",
                                .schema = BP_STR(schema_text),
                                .type_hash = "",
                                .qos_yaml = "",
                                .priority = prio,
                                .budget_bytes = budget };
    struct bp_source_def s = { .guid = { tag, 5 }, .node = "" };
    int r = bp_writer_channel(w, &c, NULL);

    assert_true(r > 0);
    s.channel = (uint16_t) r;
    r = bp_writer_source(w, &s, NULL);
    assert_true(r >= 0);
    return (uint32_t) r;
}

static int send_big(struct bp_writer *w, uint32_t source, uint64_t seq) {
    struct payload pl = { source, seq, 100000, false };
    struct bp_accept m = {
        .source = source, .seq = seq, .size = pl.size, .copy = fill, .ctx = &pl
    };

    m.log_ns = m.publish_ns = bp_wall_ns();
    return bp_writer_accept(w, &m);
}

/* The disk stands still: low priority is refused first, high last, a budget before all; what was
 * refused is ledgered by cause, and nothing that was accepted is lost. */
static void test_overload(void **state) {
    BP_AUTO_TEST_DIR dir = bp_test_dir();
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = NULL;
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    const char *path = dir.session;
    struct bp_writer_opts o = { .dir = dir.session,
                                .ring_bytes = 32 << 20,
                                .min_free = 1 << 20,
                                .durability = BP_SYNC_COMMIT };
    uint64_t first[3] = { 0 }, sent = 0, refused = 0;
    struct bp_writer *w = NULL;
    struct bp_ledger l = { 0 };
    struct bp_ledger_totals t;
    uint32_t id[4];

    (void) state;
    assert_int_equal(bp_io_fault_new(&bp_io_posix, "op=datasync,delay=1500ms", &f, NULL), 0);
    o.io = bp_io_fault_io(f);
    assert_int_equal(bp_writer_open(&o, &w, NULL), 0);
    id[0] = add_priority(w, "/low", BP_PRIORITY_LOW, 0, 1);
    id[1] = add_priority(w, "/normal", BP_PRIORITY_NORMAL, 0, 2);
    id[2] = add_priority(w, "/high", BP_PRIORITY_HIGH, 0, 3);
    id[3] = add_priority(w, "/budget", BP_PRIORITY_HIGH, 1000000, 4);
    for (uint64_t seq = 1; seq <= 11; seq++)
        assert_int_equal(send_big(w, id[3], seq), seq <= 10 ? 0 : -EDQUOT);
    for (uint64_t seq = 1; seq <= 200 && !first[2]; seq++)
        for (size_t p = 0; p < 3; p++) {
            int r = send_big(w, id[p], seq);

            assert_true(r == 0 || r == -ENOBUFS);
            sent++;
            refused += r != 0;
            if (r < 0 && !first[p])
                first[p] = sent;
        }
    assert_true(first[0] && first[0] < first[1] && first[1] < first[2]);
    assert_int_equal(bp_writer_close(w, NULL), 0);

    assert_int_equal(bp_bag_open(&path, 1, &b, NULL), 0);
    assert_true(bp_bag_ledger(b, &l, NULL) > 0);
    bp_ledger_totals(&l, &t);
    assert_int_equal(t.received, 10 + sent - refused);
    assert_int_equal(t.lost[BP_LOSS_RING], refused);
    assert_int_equal(t.lost[BP_LOSS_BUDGET], 1);
    bp_ledger_done(&l);
}

/* A folder that holds a recording is not written into. */
static void test_refuses_finished(void **state) {
    BP_AUTO_TEST_DIR dir = bp_test_dir();
    struct bp_writer_opts o = { .dir = dir.session,
                                .ring_bytes = 16 << 20,
                                .min_free = 1 << 20,
                                .durability = BP_SYNC_COMMIT };
    struct bp_error err = { 0 };
    struct bp_writer *w = NULL;

    (void) state;
    assert_int_equal(bp_writer_open(&o, &w, &err), 0);
    assert_int_equal(bp_writer_close(w, &err), 0);
    assert_int_equal(bp_writer_open(&o, &w, &err), -EEXIST);
}

static uint32_t add_again(struct bp_writer *w, uint8_t tag) {
    struct bp_source_def d = { .channel = 1, .guid = { tag, 0xaa }, .node = "/again" };
    int r = bp_writer_source(w, &d, NULL);

    assert_true(r >= 0);
    return (uint32_t) r;
}

/* Writers that come and go: what is wholly on disk is forgotten, and everything is accounted for in
 * the segments and, summed up, in the manifest. */
static void test_forgets_the_gone(void **state) {
    enum { GENERATIONS = 12 };
    BP_AUTO_TEST_DIR dir = bp_test_dir();
    struct bp_writer_opts o = { .dir = dir.session,
                                .ring_bytes = 16 << 20,
                                .min_free = 1 << 20,
                                .durability = BP_SYNC_COMMIT,
                                .event = print_event };
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    BP_AUTO_MANIFEST m = { 0 };
    const char *path = dir.session;
    struct bp_ledger l = { 0 };
    struct bp_ledger_totals t;
    struct bp_error err = { 0 };
    struct bp_writer *w = NULL;
    uint32_t latched, first, back;

    (void) state;
    assert_int_equal(bp_writer_open(&o, &w, &err), 0);
    first = add_source(w, "/comes", 0, 1);
    latched = add_source(w, "/map", 5, 2);
    assert_int_equal(send_one(w, latched, 1), 0);
    bp_writer_source_gone(w, latched);
    back = add_again(w, 100);
    assert_int_equal(send_one(w, back, 1), 0);
    bp_writer_source_gone(w, back);
    assert_int_equal(add_again(w, 100), back); /* at once: it is not forgotten */
    for (unsigned g = 0; g < GENERATIONS; g++) {
        uint32_t s = g ? add_again(w, (uint8_t) g) : first;

        assert_int_equal(send_one(w, s, 1), 0);
        assert_int_equal(send_one(w, s, 2), 0);
        assert_int_equal(send_one(w, s, 4), 0);
        bp_writer_source_gone(w, s);
        bp_writer_source_gone(w, s);
        assert_int_equal(send_one(w, s, 5), 0); /* was on its way */
        bp_writer_split(w);
        bp_sleep(250 * BP_MS);
    }
    bp_sleep(5 * BP_SEC);
    assert_int_equal(send_one(w, first, 5), -EINVAL);
    bp_writer_note_loss(w, first, BP_LOSS_TRANSPORT, 6, 9); /* nobody there any more */
    assert_int_equal(send_one(w, latched, 1), 1);
    assert_int_equal(send_one(w, back, 2), 0);
    /* back from the dead: a new entry, and what it sent meanwhile is missed */
    assert_int_equal(send_one(w, add_again(w, 1), 8), 0);
    assert_int_equal(bp_writer_close(w, &err), 0);

    assert_int_equal(bp_bag_open(&path, 1, &b, &err), 0);
    assert_true(bp_bag_ledger(b, &l, &err) > 0);
    assert_int_equal(l.n, GENERATIONS + 2);
    bp_ledger_totals(&l, &t);
    assert_int_equal(t.received, GENERATIONS * 4 + 4);
    assert_int_equal(t.lost_all, GENERATIONS + 2);
    bp_ledger_done(&l);
    assert_int_equal(bp_manifest_read(&bp_io_posix, dir.session, &m, &err), 0);
    assert_string_equal(m.channels[0].topic, "/comes");
    assert_int_equal(m.channels[0].received, GENERATIONS * 4 + 3);
    assert_int_equal(m.channels[0].lost[BP_LOSS_TRANSPORT], GENERATIONS + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_ledger_of_gaps),
        cmocka_unit_test(test_latched),
        cmocka_unit_test(test_overload),
        cmocka_unit_test(test_refuses_finished),
        cmocka_unit_test(test_forgets_the_gone),
    };

    return cmocka_run_group_tests_name("bag/writer", tests, NULL, NULL);
}
