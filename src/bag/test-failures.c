#include <errno.h>
#include <pthread.h>

#include "bag/bag-ledger.h"
#include "bag/manifest.h"
#include "bag/recover.h"
#include "bag/test-writer.h"
#include "bag/verify.h"
#include "base/io-fault.h"
#include "crypt/key.h"
#include "crypt/sign.h"

/* A pair, made once. */
#define PRIVATE \
    "bagpipe-x25519-private:77076d0a7318a57d3c16c17251b26645df4c2f0c8f5a0a2a4a4a2f5d7a2a6a2a"
#define PUBLIC \
    "bagpipe-x25519-public:431e122838398bceb2091624e3af2ea2eca5f26eb672a34df1cdaeb7e6cbff52"

/* The disk fails: at each call once, at every fourth sync, or for good. Whatever happens to the
 * writer, every message it accepted is readable after a recovery on a disk that works again, none
 * twice; and the sweep is proven able to fail by leaving out what it tests (last tests). */

/* With BP_TEST_SEALED all of it is sealed to a public key, and recovered first without the private
 * one.
 */
static struct bp_keyring *sealed; /* NULL = in the clear */

enum { MESSAGES = 400 };

static struct bp_sign_key *signer; /* compressed ones are signed */

struct run {
    struct bp_test_dir dir;
    char ring_dir[64];
    uint64_t accepted[3], refused;
    int open_code, close_code;
    bool signs;
    struct bp_writer_stats stats;
};

static void run_done(const struct run *r) {
    char command[128];

    bp_test_dir_done(&r->dir);
    (void) snprintf(command, sizeof command, "rm -rf '%s'", r->ring_dir);
    if (r->ring_dir[0] && system(command) != 0) /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
        perror("rm");
}

static struct run run_new(void) {
    struct run r = { .dir = bp_test_dir() };

    (void) snprintf(r.ring_dir, sizeof r.ring_dir, "/dev/shm/bagpipe-test-XXXXXX");
    assert_non_null(mkdtemp(r.ring_dir));
    return r;
}

/* Records with small segments and a short interval, so that every kind of call is made soon. */
static void offer(struct run *r, struct bp_writer *w, uint32_t id, uint32_t i, uint64_t seq) {
    struct payload pl = { id, seq, i == 1 ? 12000 : 200, i == 1 };
    struct bp_accept m = {
        .source = id, .seq = seq, .size = pl.size, .log_ns = bp_wall_ns(), .copy = fill, .ctx = &pl
    };

    m.publish_ns = m.log_ns;
    if (bp_writer_accept(w, &m) == 0)
        r->accepted[i]++;
    else
        r->refused++;
}

static void record(struct run *r, const struct bp_io *io, bool compress) {
    struct bp_writer_opts o = { .io = io,
                                .dir = r->dir.session,
                                .seal = sealed,
                                .ring_dir = r->ring_dir,
                                .ring_bytes = 8 << 20,
                                .max_segment_bytes = 1 << 20,
                                .commit_interval = 10 * BP_MS,
                                .compression = compress ? BP_COMPRESS_LZ4 : BP_COMPRESS_NONE,
                                .durability = BP_SYNC_COMMIT,
                                .signer = compress ? signer : NULL,
                                .min_free = 0 };
    struct bp_writer *w = NULL;
    uint32_t id[3];

    r->signs = compress;

    r->open_code = bp_writer_open(&o, &w, NULL);
    if (r->open_code < 0)
        return;
    for (uint8_t i = 0; i < 3; i++) {
        char topic[8];

        (void) snprintf(topic, sizeof topic, "/t%u", i);
        id[i] = add_source(w, topic, i == 2, i);
    }
    for (uint64_t seq = 1; seq <= MESSAGES; seq++) {
        for (uint32_t i = 0; i < 3; i++)
            if (i != 2 || seq % 50 == 1)
                offer(r, w, id[i], i, seq);
        if (seq % 8 == 0)
            bp_sleep(BP_MS);
    }
    /* too little for a chunk: these go into the journal, tick by tick */
    for (uint64_t seq = MESSAGES + 1; seq <= MESSAGES + 5; seq++) {
        offer(r, w, id[0], 0, seq);
        bp_sleep(15 * BP_MS);
    }
    bp_writer_stats(w, &r->stats);
    r->close_code = bp_writer_close(w, NULL);
}

static void recover_with(const struct run *r, struct bp_keyring *keys) {
    struct bp_recover_opts o = { .ring_dir = r->ring_dir,
                                 .keys = keys,
                                 .signer = r->signs ? signer : NULL };
    struct bp_recovery found = { 0 };
    struct bp_error err = { 0 };

    if (bp_recover(r->dir.session, &o, &found, &err) < 0)
        fail_msg("recover: %s", err.text);
    bp_recovery_done(&found);
}

/* A ring that made files remembers their keys: the blind one has to be another. */
static void recover(const struct run *r) {
    BP_CLEANUP(bp_keyring_freep) struct bp_keyring *blind = sealed ? bp_keyring_copy(sealed) : NULL;

    if (blind)
        recover_with(r, blind);
    recover_with(r, NULL);
}

static const char *now; /* what is being tried, for messages */

static void print_finding(void *ctx, const struct bp_finding *f) {
    (void) ctx;
    print_message("%s: %s: %s\n", now, f->path, f->text);
}

/* Whatever became of the segments, what is there now is whole, and what was signed. */
static void check_verified(const struct run *r) {
    struct bp_verify_opts o = { .signed_by = r->signs ? bp_sign_key_public(signer) : NULL,
                                .finding = print_finding };
    const char *path = r->dir.session;
    struct bp_verify_result result;

    assert_int_equal(bp_verify(&path, 1, &o, &result, NULL), 0);
    if (result.proof != (r->signs ? BP_PROOF_SIGNED : BP_PROOF_UNSIGNED))
        fail_msg("%s: proof %d", now, (int) result.proof);
    if (result.findings[BP_FINDING_DAMAGE] || result.findings[BP_FINDING_UNUSABLE])
        fail_msg("%s: verify finds damage", now);
}

/* Nothing at all was left to recover: that is no recording any more. */
static bool holds_nothing(const char *dir) {
    BP_AUTO_MANIFEST m = { 0 };

    assert_true(bp_manifest_read(&bp_io_posix, dir, &m, NULL) >= 0);
    return m.nsegments == 0;
}

static uint64_t lost_after_recovery(const struct run *r) {
    uint64_t found[3] = { 0 }, lost = 0;

    recover(r);
    if (!holds_nothing(r->dir.session))
        (void) check_content(r->dir.session, found, 3);
    for (size_t i = 0; i < 3; i++) {
        if (found[i] > r->accepted[i])
            fail_msg("%s: %llu found, %llu accepted", now, (unsigned long long) found[i],
                     (unsigned long long) r->accepted[i]);
        lost += r->accepted[i] - found[i];
    }
    return lost;
}

static void check_ledger(const struct run *r) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    const char *path = r->dir.session;
    struct bp_ledger l = { 0 };
    struct bp_ledger_totals t;
    struct bp_error err = { 0 };

    assert_int_equal(bp_bag_open(&path, 1, &b, &err), 0);
    assert_true(bp_bag_ledger(b, &l, &err) >= 0);
    bp_ledger_totals(&l, &t);
    assert_int_equal(t.received, r->accepted[0] + r->accepted[1] + r->accepted[2]);
    assert_int_equal(t.received + t.lost_all - t.lost[BP_LOSS_TRANSPORT], t.received + r->refused);
    bp_ledger_done(&l);
}

static uint64_t sweep_one(const char *spec, bool compress, const struct run **ret) {
    static struct run r;
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = NULL;
    uint64_t hits;

    now = spec;
    r = run_new();
    assert_int_equal(bp_io_fault_new(&bp_io_posix, spec, &f, NULL), 0);
    record(&r, bp_io_fault_io(f), compress);
    hits = bp_io_fault_hits(f);
    if (r.open_code == 0 && lost_after_recovery(&r))
        fail_msg("%s: messages are missing", spec);
    if (r.open_code == 0) {
        check_ledger(&r);
        check_verified(&r);
    }
    if (ret)
        *ret = &r;
    else
        run_done(&r);
    return hits;
}

/* One failure at each call. The first calls one by one, then in strides. */
static void sweep(const char *error) {
    bool full = getenv("BP_FULL") != NULL; /* NOLINT(concurrency-mt-unsafe) */
    uint64_t hits = 1;
    char spec[64];

    for (unsigned k = 1; hits && k < 2000; k += full || k < 8 ? 1 : k < 40 ? 8 : 23) {
        (void) snprintf(spec, sizeof spec, "op=*,at=%u,errno=%s", k, error);
        hits = sweep_one(spec, k % 2, NULL);
    }
}

static void test_every_call_eio(void **state) {
    (void) state;
    sweep("EIO");
}

static void test_every_call_enospc(void **state) {
    (void) state;
    sweep("ENOSPC");
}

static void test_repeated(void **state) {
    static const char *const specs[] = {
        "op=datasync,every=3,errno=EIO",
        "op=datasync,from=3,errno=EIO", /* never again */
        "op=pwrite,path=*.mcap*,every=7,errno=EIO",
        "op=pwrite,path=*.mcap*,every=9,errno=EIO,half",
        "op=pwrite,path=journal,from=17,errno=EIO",
        "op=pwrite,path=*.mcap*,from=5,to=30,errno=ENOSPC",
        "op=allocate,from=2,errno=ENOSPC",
        "op=sync,from=5,errno=EIO",
        "op=open,from=9,errno=EMFILE",
        "op=datasync,every=2,delay=30ms;op=pwrite,every=5,delay=10ms",
        "op=truncate,errno=EIO",
        "op=datasync,errno=EIO", /* nothing is ever on disk; signed */
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(specs); i++)
        if (sweep_one(specs[i], i % 2, NULL) == 0)
            fail_msg("%s never happened", specs[i]);
    for (unsigned k = 5; k < 15; k++) { /* which write is which differs from run to run */
        char spec[64];

        (void) snprintf(spec, sizeof spec, "op=pwrite,path=*.mcap*,every=%u,errno=EIO,half", k);
        (void) sweep_one(spec, true, NULL);
    }
}

/* After a failed sync the same segment is never believed again. */
static void test_rewrites(void **state) {
    uint64_t rewrites = 0;

    (void) state;
    /* which sync is a segment's, and how many there are, depends on how busy the machine is */
    for (unsigned k = 1; k <= 6; k++) {
        const struct run *r;
        char spec[64];

        (void) snprintf(spec, sizeof spec, "op=datasync,at=%u,errno=EIO", k);
        (void) sweep_one(spec, false, &r);
        rewrites += r->stats.rewrites;
        run_done(r);
    }
    assert_true(rewrites >= 1);
}

/* Much waits, and every k-th write fails: the writer must come to an end, whether a segment takes
 * more writes than that or fewer. */
static void test_every_few_writes(void **state) {
    (void) state;
    for (unsigned k = 2; k <= 12; k++) {
        char spec[96];

        (void) snprintf(spec, sizeof spec,
                        "op=datasync,to=2,delay=400ms;op=pwrite,path=*.mcap*,every=%u,errno=EIO",
                        k);
        (void) sweep_one(spec, false, NULL);
    }
}

static int count_mark(void *ctx, const char *name, struct bp_str key, struct bp_str value) {
    (void) key;
    (void) value;
    *(unsigned *) ctx += bp_streq(name, "test.mark");
    return 0;
}

static unsigned marks_in(const char *path) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    struct bp_error err = { 0 };
    unsigned n = 0;

    if (bp_bag_open(&path, 1, &b, &err) < 0)
        fail_msg("%s: open: %s", now, err.text);
    assert_int_equal(bp_bag_metadata(b, count_mark, &n, NULL), 0);
    return n;
}

enum { MARKS = 3 };

/* Marks while the disk fails. @return how often it did; 0 the disk never came to that */
static uint64_t marks_one(const char *spec, bp_ns_t interval, bool message) {
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = NULL;
    struct run r = run_new();
    struct bp_writer *w = NULL;
    struct bp_writer_opts o = { .dir = r.dir.session,
                                .seal = sealed,
                                .ring_dir = r.ring_dir,
                                .ring_bytes = 8 << 20,
                                .commit_interval = interval,
                                .durability = BP_SYNC_COMMIT };
    struct bp_writer_stats st;
    uint64_t hits;
    uint32_t id;

    now = spec;
    assert_int_equal(bp_io_fault_new(&bp_io_posix, spec, &f, NULL), 0);
    o.io = bp_io_fault_io(f);
    if (bp_writer_open(&o, &w, NULL) < 0) {
        run_done(&r);
        return 1;
    }
    bp_writer_stats(w, &st);
    id = add_source(w, "/t", 0, 1);
    for (uint64_t i = 0; i < MARKS; i++) {
        if (message && st.segments) /* with no room for the first one, messages are refused */
            assert_int_equal(send_one(w, id, i + 1), 0);
        assert_int_equal(bp_writer_mark(w, "test.mark", (const char *const[]){ "k", "v", NULL }),
                         0);
        if (interval < BP_SEC)
            bp_sleep(3 * interval / 2);
    }
    (void) bp_writer_close(w, NULL);
    hits = bp_io_fault_hits(f);
    recover(&r);
    if (marks_in(r.dir.session) != MARKS)
        fail_msg("%s, %s, every %lld ns: %u marks", spec, message ? "messages" : "none",
                 (long long) interval, marks_in(r.dir.session));
    run_done(&r);
    return hits;
}

/* Every mark is there once, whichever call finds the disk full or broken: in a tick or, when none
 * is due before, at the end; with messages that go to the disk beside it or alone. */
static void test_marks_once(void **state) {
    static const struct {
        const char *op, *error;
    } fails[] = { { "pwrite", "ENOSPC" }, { "pwrite", "EIO" }, { "datasync", "EIO" } };

    (void) state;
    for (size_t i = 0; i < 4 * BP_COUNT(fails); i++) {
        uint64_t hits = 1;

        for (unsigned k = 1; hits; k++) {
            char spec[64];

            (void) snprintf(spec, sizeof spec, "op=%s,path=*.mcap*,at=%u,errno=%s", fails[i / 4].op,
                            k, fails[i / 4].error);
            hits = marks_one(spec, i % 2 ? 5 * BP_MS : 60 * BP_SEC, i & 2);
        }
    }
}

/* Until the writer has seen that there is room again: 10 s at most. */
static void await_room(struct bp_writer *w) {
    struct bp_writer_stats st;

    for (int i = 0; i < 1000; i++) {
        bp_writer_stats(w, &st);
        if (!st.disk_full && st.segments > 0)
            return;
        bp_sleep(10 * BP_MS);
    }
}

/* A write that a full disk refused once, of a mark or of a file being prepared, is in nobody's way
 * once there is room: the next message is taken, and the end is a whole recording. */
static uint64_t hold_up_one(const char *spec) {
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = NULL;
    struct run r = run_new();
    struct bp_writer *w = NULL;
    struct bp_writer_opts o = { .dir = r.dir.session,
                                .seal = sealed,
                                .ring_dir = r.ring_dir,
                                .ring_bytes = 8 << 20,
                                .commit_interval = 5 * BP_MS,
                                .durability = BP_SYNC_COMMIT };
    uint64_t hits;

    now = spec;
    assert_int_equal(bp_io_fault_new(&bp_io_posix, spec, &f, NULL), 0);
    o.io = bp_io_fault_io(f);
    if (bp_writer_open(&o, &w, NULL) < 0) {
        run_done(&r);
        return 1;
    }
    assert_int_equal(bp_writer_mark(w, "test.mark", (const char *const[]){ "k", "v", NULL }), 0);
    bp_sleep(50 * BP_MS);
    await_room(w);
    if (send_one(w, add_source(w, "/t", 0, 1), 1) != 0)
        fail_msg("%s: the message was refused", spec);
    if (bp_writer_close(w, NULL) != 0)
        fail_msg("%s: not whole", spec);
    hits = bp_io_fault_hits(f);
    if (marks_in(r.dir.session) != 1)
        fail_msg("%s: %u marks", spec, marks_in(r.dir.session));
    run_done(&r);
    return hits;
}

static void test_mark_holds_nothing_up(void **state) {
    uint64_t hits = 1;

    (void) state;
    for (unsigned k = 1; hits; k++) {
        char spec[64];

        (void) snprintf(spec, sizeof spec, "op=pwrite,path=*.mcap*,at=%u,errno=ENOSPC", k);
        hits = hold_up_one(spec);
    }
}

struct fullness {
    unsigned opened, full;
};

/* The writer has taken its first segment, and is slow: the preparer looks for the next meanwhile.
 */
static void slow_start(void *ctx, const struct bp_writer_event *e) {
    struct fullness *f = ctx;

    if (e->kind == BP_WRITER_DISK_FULL)
        f->full++;
    else if (e->kind == BP_WRITER_SEGMENT_OPENED && f->opened++ == 0)
        bp_sleep(100 * BP_MS);
}

/* Where there is room for one segment and no other, a recording begins: the disk is not full. */
static void test_room_for_one(void **state) {
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = NULL;
    struct run r = run_new();
    struct fullness seen = { 0 };
    struct bp_writer *w = NULL;
    struct bp_writer_opts o = { .dir = r.dir.session,
                                .seal = sealed,
                                .ring_dir = r.ring_dir,
                                .ring_bytes = 8 << 20,
                                .commit_interval = 10 * BP_MS,
                                .durability = BP_SYNC_COMMIT,
                                .on_full = BP_FULL_STOP,
                                .event = slow_start,
                                .ctx = &seen };

    (void) state;
    now = "op=allocate,path=*.mcap*,from=2,errno=ENOSPC";
    assert_int_equal(bp_io_fault_new(&bp_io_posix, now, &f, NULL), 0);
    o.io = bp_io_fault_io(f);
    assert_int_equal(bp_writer_open(&o, &w, NULL), 0);
    assert_int_equal(seen.opened, 1);
    assert_true(bp_io_fault_hits(f) > 0); /* there was none for the next one */
    if (send_one(w, add_source(w, "/t", 0, 1), 1) != 0)
        fail_msg("the first message was refused");
    assert_int_equal(seen.full, 0);
    assert_int_equal(bp_writer_close(w, NULL), 0);
    run_done(&r);
}

/* ---- negative controls ---- */

/* A ring that is gone and writes that did nothing must be noticed by the same judge. */
static void test_can_fail(void **state) {
    static const char *const specs[] = {
        "op=pwrite,path=*.mcap*,from=8,skip;op=pwrite,path=journal,skip",
        "op=pwrite,path=*.mcap*,from=8,errno=EIO;op=pwrite,path=journal,skip",
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(specs); i++) {
        BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = NULL;
        struct run r = run_new();
        char command[128];

        assert_int_equal(bp_io_fault_new(&bp_io_posix, specs[i], &f, NULL), 0);
        record(&r, bp_io_fault_io(f), false);
        assert_int_equal(r.open_code, 0);
        (void) snprintf(command, sizeof command, "rm -f '%s'/*", r.ring_dir);
        assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
        assert_true(lost_after_recovery(&r) > 0);
        run_done(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call_eio),
        cmocka_unit_test(test_every_call_enospc),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_rewrites),
        cmocka_unit_test(test_every_few_writes),
        cmocka_unit_test(test_marks_once),
        cmocka_unit_test(test_mark_holds_nothing_up),
        cmocka_unit_test(test_room_for_one),
        cmocka_unit_test(test_can_fail),
    };

    if (getenv("BP_TEST_SEALED")) { /* NOLINT(concurrency-mt-unsafe) */
        sealed = bp_keyring_new();
        if (!sealed || bp_keyring_add_text(sealed, BP_STR(PUBLIC), "test", NULL) < 0 ||
            bp_keyring_add_text(bp_keyring_process(), BP_STR(PRIVATE), "test", NULL) < 0)
            return 1;
    }
    if (bp_sign_key_new(&signer, NULL) < 0)
        return 1;
    return cmocka_run_group_tests_name("bag/failures", tests, NULL, NULL);
}
