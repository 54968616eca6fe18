#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bag/bag-ledger.h"
#include "bag/recover.h"
#include "bag/session.h"
#include "bag/test-writer.h"
#include "base/io-fault.h"

/* Recovery in miniature: a child records and kills itself, the parent recovers. The big counts are
 * in test/system/wp-kill9.py and wp-powercut.py. */

struct shared {
    uint64_t accepted;
};

struct scene {
    struct bp_test_dir dir;
    char ring_dir[64];
    struct shared *sh;
};

static struct scene scene_new(void) {
    struct scene s = { .dir = bp_test_dir() };

    (void) snprintf(s.ring_dir, sizeof s.ring_dir, "/dev/shm/bagpipe-test-XXXXXX");
    assert_non_null(mkdtemp(s.ring_dir));
    s.sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s.sh != MAP_FAILED);
    return s;
}

static void shell(const char *what, const char *a, const char *b) {
    char command[300];

    (void) snprintf(command, sizeof command, "%s '%s' %s", what, a, b);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
}

static void scene_done(struct scene *s) {
    shell("rm -rf", s->ring_dir, "");
    bp_test_dir_done(&s->dir);
    (void) munmap(s->sh, 4096);
}

/* Until the writer says that all accepted so far is durable: 30 s at most. */
static void await_durable(struct bp_writer *w) {
    bp_ns_t now = bp_wall_ns(), end = bp_mono_ns() + 30 * BP_SEC;
    struct bp_writer_stats st = { 0 };

    while (st.durable_wall_ns < now && bp_mono_ns() < end) {
        bp_sleep(BP_MS);
        bp_writer_stats(w, &st);
    }
}

static void record_and_die(const struct scene *s, bool resume, bool durable) {
    struct bp_writer_opts o = { .dir = s->dir.session,
                                .ring_dir = s->ring_dir,
                                .ring_bytes = 16 << 20,
                                .max_segment_bytes = 1 << 20,
                                .commit_interval = 20 * BP_MS,
                                .durability = BP_SYNC_COMMIT,
                                .resume = resume };
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct bp_writer *w = NULL;
        uint32_t id;

        if (bp_writer_open(&o, &w, NULL) < 0)
            _exit(9);
        id = add_source(w, "/t", 0, 1);
        for (uint64_t seq = s->sh->accepted + 1, end = seq + 500; seq < end; seq++) {
            struct payload pl = { id, seq, seq % 7 ? 300 : 40000, false };
            struct bp_accept m = { .source = id,
                                   .seq = seq,
                                   .size = pl.size,
                                   .log_ns = bp_wall_ns(),
                                   .copy = fill,
                                   .ctx = &pl };

            if (bp_writer_accept(w, &m) == 0)
                s->sh->accepted = seq;
            if (seq % 50 == 0)
                bp_sleep(3 * BP_MS);
        }
        if (durable)
            await_durable(w);
        (void) raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static struct bp_recovery recover(const struct scene *s, bool dry_run, const struct bp_io *io) {
    struct bp_recover_opts o = { .io = io, .ring_dir = s->ring_dir, .dry_run = dry_run };
    struct bp_recovery r = { 0 };
    struct bp_error err = { 0 };

    if (bp_recover(s->dir.session, &o, &r, &err) < 0)
        fail_msg("%s", err.text);
    return r;
}

static uint64_t count(const struct scene *s) {
    uint64_t found[1] = { 0 };

    return check_content(s->dir.session, found, 1);
}

/* What a life leaves is a matter of moments: a slow machine may have closed and synced the last
 * slot by its age before the kill. So a scene is played again until it left what it is about.
 * @return whether it did in one of ten */
static bool in_one_of_ten(bool (*scene)(void)) {
    for (int i = 0; i < 10; i++)
        if (scene())
            return true;
    return false;
}

static bool killed(void) {
    struct scene s = scene_new();
    struct bp_recovery r;
    bool from_ring;

    record_and_die(&s, false, false);
    r = recover(&s, true, NULL); /* only looks */
    assert_true(r.needed);
    assert_int_equal(r.messages_kept, s.sh->accepted);
    assert_int_equal(bp_session_state(&bp_io_posix, s.dir.session, NULL), BP_SESSION_INTERRUPTED);
    bp_recovery_done(&r);

    r = recover(&s, false, NULL);
    assert_int_equal(r.messages_kept, s.sh->accepted);
    from_ring = r.from_ring > 0;
    assert_int_equal(r.lost_messages, 0);
    bp_recovery_done(&r);
    assert_int_equal(count(&s), s.sh->accepted);

    r = recover(&s, false, NULL);
    assert_false(r.needed);
    bp_recovery_done(&r);
    scene_done(&s);
    return from_ring;
}

static void test_kill(void **state) {
    (void) state;
    assert_true(in_one_of_ten(killed));
}

/* The ring is gone with the machine: the journal has what no synced chunk holds. */
static bool power_cut(void) {
    struct scene s = scene_new();
    struct bp_recovery r;
    bool from_journal;

    record_and_die(&s, false, true);
    shell("find", s.ring_dir, "-type f -delete");
    r = recover(&s, false, NULL);
    assert_true(r.after_power_cut);
    from_journal = r.from_journal > 0;
    bp_recovery_done(&r);
    assert_int_equal(count(&s), s.sh->accepted);
    scene_done(&s);
    return from_journal;
}

static void test_power_cut(void **state) {
    (void) state;
    assert_true(in_one_of_ten(power_cut));
}

/* Three lives of one session; the ledger of all of them is one. */
static void test_resume(void **state) {
    struct scene s = scene_new();
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    const char *path = s.dir.session;
    struct bp_ledger l = { 0 };
    struct bp_ledger_totals t;
    struct bp_recovery r;

    (void) state;
    record_and_die(&s, false, false);
    record_and_die(&s, true, true);
    record_and_die(&s, true, false);
    r = recover(&s, false, NULL);
    bp_recovery_done(&r);
    assert_int_equal(count(&s), s.sh->accepted);
    assert_int_equal(bp_bag_open(&path, 1, &b, NULL), 0);
    assert_true(bp_bag_ledger(b, &l, NULL) > 0);
    assert_int_equal(l.n, 1);
    bp_ledger_source_totals(l.v[0], &t);
    assert_int_equal(t.received, s.sh->accepted);
    assert_int_equal(t.lost_all, 0);
    bp_ledger_done(&l);
    scene_done(&s);
}

/* Recovery killed at each of its own calls, then run again: the same messages. */
static void test_killed_recovery(void **state) {
    struct scene s = scene_new();
    char ring[100], session[100];

    (void) state;
    record_and_die(&s, false, false);
    (void) snprintf(ring, sizeof ring, "%s/ring", s.dir.root);
    (void) snprintf(session, sizeof session, "%s/copy", s.dir.root);
    shell("cp -a", s.ring_dir, ring);
    shell("cp -a", s.dir.session, session);
    for (unsigned k = 1; k < 80; k += 3) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = NULL;
            char spec[40];

            (void) snprintf(spec, sizeof spec, "op=*,at=%u,kill", k);
            if (bp_io_fault_new(&bp_io_posix, spec, &f, NULL) == 0) {
                struct bp_recovery r = recover(&s, false, bp_io_fault_io(f));

                bp_recovery_done(&r);
            }
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        {
            struct bp_recovery r = recover(&s, false, NULL);

            bp_recovery_done(&r);
        }
        assert_int_equal(count(&s), s.sh->accepted);
        shell("rm -rf", s.dir.session, s.ring_dir);
        shell("cp -a", session, s.dir.session);
        shell("cp -a", ring, s.ring_dir);
    }
    scene_done(&s);
}

/* A latched message of the first life stands at the head of the second's segments, too. */
static void test_resume_latched(void **state) {
    struct scene s = scene_new();
    struct bp_writer_opts o = { .dir = s.dir.session,
                                .ring_dir = s.ring_dir,
                                .ring_bytes = 16 << 20,
                                .durability = BP_SYNC_COMMIT,
                                .resume = true };
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    const char *path = s.dir.session;
    struct bp_bag_msg m;
    unsigned originals = 0, repeated = 0;
    struct bp_writer *w = NULL;
    uint32_t map, tf;
    pid_t pid = fork();

    (void) state;
    if (pid == 0) {
        if (bp_writer_open(&o, &w, NULL) < 0)
            _exit(9);
        map = add_source(w, "/map", 1, 1);
        (void) send_one(w, map, 1);
        (void) raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(bp_writer_open(&o, &w, NULL), 0);
    map = add_source(w, "/map", 1, 1);
    tf = add_source(w, "/tf", 0, 2);
    assert_int_equal(send_one(w, map, 1), 1); /* its sender's history: known */
    assert_int_equal(send_one(w, tf, 1), 0);
    bp_writer_split(w);
    bp_sleep(300 * BP_MS);
    assert_int_equal(send_one(w, tf, 2), 0);
    assert_int_equal(bp_writer_close(w, NULL), 0);

    assert_int_equal(bp_bag_open(&path, 1, &b, NULL), 0);
    assert_int_equal(bp_bag_iterate(b, &(struct bp_bag_filter){ 0 }, &it, NULL), 0);
    while (bp_bag_next(it, &m, NULL) > 0) {
        originals += bp_streq(m.channel->topic, "/map") && !m.repeated;
        repeated += bp_streq(m.channel->topic, "/map") && m.repeated;
    }
    assert_int_equal(originals, 1);
    assert_int_equal(repeated, 2);
    scene_done(&s);
}

static void test_alive(void **state) {
    struct scene s = scene_new();
    struct bp_writer_opts o = { .dir = s.dir.session,
                                .ring_dir = s.ring_dir,
                                .ring_bytes = 16 << 20,
                                .durability = BP_SYNC_COMMIT };
    struct bp_recover_opts ro = { .ring_dir = s.ring_dir };
    struct bp_recovery r = { 0 };
    struct bp_writer *w = NULL;

    (void) state;
    assert_int_equal(bp_writer_open(&o, &w, NULL), 0);
    assert_int_equal(bp_recover(s.dir.session, &ro, &r, NULL), BP_EBUSY);
    assert_int_equal(bp_writer_close(w, NULL), 0);
    scene_done(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),           cmocka_unit_test(test_power_cut),
        cmocka_unit_test(test_resume),         cmocka_unit_test(test_killed_recovery),
        cmocka_unit_test(test_resume_latched), cmocka_unit_test(test_alive),
    };

    return cmocka_run_group_tests_name("bag/recover", tests, NULL, NULL);
}
