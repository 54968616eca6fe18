#include "sync/test-scripted.h"

/* Files that change after they were queued, while they are sent, and after they have arrived. */

enum { PART = 64 << 10, PARALLEL = 4 };

static struct mem mem;
static struct bp_sync *engine;
static bool waits; /* somebody was told that the manifest does */

static void on_event(void *ctx, const struct bp_sync_event *e) {
    (void) ctx;
    if (e->text && strstr(e->text, "the manifest waits: 'a_1.mcap'"))
        __atomic_store_n(&waits, true, __ATOMIC_SEQ_CST);
}

static int set_up(void **state) {
    mem_init(&mem);
    waits = false;
    return set_up_dir(state);
}

static int tear_down(void **state) {
    bp_sync_close(BP_TAKE_PTR(engine));
    return tear_down_dir(state);
}

static struct sim sim;

struct with {
    enum bp_sync_policy policy;
    bool own, simulated;
};

static void open_engine(const struct with *w) {
    struct bp_sync_target_config c = { .name = "site",
                                       .open = { &mem.ops, &mem },
                                       .policy = w->policy };
    struct bp_sync_opts o = { .path = in_dir("queue.db"),
                              .targets = &c,
                              .ntargets = 1,
                              .device = "robot7",
                              .own = w->own,
                              .parallel = PARALLEL,
                              .part_bytes = PART,
                              .no_hints = true,
                              .no_priority = true,
                              .on_event = on_event,
                              .seed = 42 };
    struct bp_error err = { 0 };

    if (w->simulated) {
        sim_init(&sim, 1 + PARALLEL);
        o.clock = &sim.clock;
        mem.sim = &sim;
    }
    must(bp_sync_open(&o, &engine, NULL, &err), &err);
}

static void add(const char *name, unsigned n, size_t bytes, char id[static BP_ULID_TEXT]) {
    struct bp_error err = { 0 };
    char path[400];

    make_session(in_dir("rec"), name, n, bytes, 1000, id);
    (void) snprintf(path, sizeof path, "%s/rec/%s", test_dir, name);
    must(bp_sync_add_folder(engine, path, NULL, NULL, &err), &err);
}

static void run(int want) {
    struct bp_error err = { 0 };
    int r;

    must(bp_sync_start(engine, &err), &err);
    r = bp_sync_wait(engine, 60 * BP_SEC, NULL, &err);
    if (r != want)
        fail_msg("%s (%s)", err.text, bp_strerror(r));
}

static void all_stored(struct mem *m, unsigned n) {
    unsigned there = 0, wrong = 0;

    (void) pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < m->nfiles; i++) {
        there += m->files[i].stored;
        wrong += m->files[i].stored && !bp_streq(m->files[i].hex, m->files[i].got_hex);
    }
    (void) pthread_mutex_unlock(&m->lock);
    assert_int_equal(there, n);
    assert_int_equal(wrong, 0);
}

static int fail_if_taken(struct mem *m, const struct bp_sync_file *file,
                         struct bp_sync_theirs *theirs, struct bp_sync_failure *f) {
    const struct mem_file *x = mem_find(m, file->session->id, file->name);

    if (!x || !x->stored || file->force || bp_streq(x->hex, file->hex))
        return 0;
    memcpy(theirs->sha256, x->hex, sizeof theirs->sha256);
    return bp_sync_fail(f, BP_SYNC_CONFLICT, "there is another one");
}

/* Recovery completes segments that have been sent already: ours replaces ours, under its name. */
static void replace_what_is_our_own(void **state) {
    char id[BP_ULID_TEXT], path[400];
    struct bp_error err = { 0 };

    (void) state;
    mem.ops.have = NULL;
    mem.on_begin = fail_if_taken;
    open_engine(&(struct with){ .policy = BP_SYNC_POLICY_MERGE, .own = true });
    add("a", 2, 2 * PART, id);
    run(0);
    (void) snprintf(path, sizeof path, "%s/rec/a/a_1.mcap", test_dir);
    write_random(path, 99, 2 * PART + 1);
    tell_in_manifest("a");
    (void) snprintf(path, sizeof path, "%s/rec/a", test_dir);
    must(bp_sync_add_folder(engine, path, NULL, NULL, &err), &err);
    must(bp_sync_wait(engine, 60 * BP_SEC, NULL, &err), &err);
    all_stored(&mem, 3);
    assert_int_equal(mem.nfiles, 3);
}

static unsigned at_work, most_at_work, changes; /* under the lock of the target */

static int count_at_work(struct mem *m, const struct bp_sync_file *file,
                         struct bp_sync_theirs *theirs, struct bp_sync_failure *f) {
    const struct mem_file *x = mem_find(m, file->session->id, file->name);
    int r = fail_if_taken(m, file, theirs, f);

    if (r == 0 && bp_streq(file->name, "a_0.mcap") && !(x && x->stored && !file->force))
        at_work++;
    most_at_work = BP_MAX(most_at_work, at_work);
    return r;
}

static int less_at_work(struct mem *m, struct mem_file *x, struct bp_sync_failure *f) {
    (void) m;
    (void) f;
    if (bp_streq(x->name, "a_0.mcap"))
        at_work--;
    return 0;
}

/* Swapped for another content of the same size, once, while it is sent. */
static int swap_while_sent(struct mem *m, struct mem_file *x, uint32_t n,
                           struct bp_sync_failure *f) {
    char path[400], beside[400];
    struct bp_error err = { 0 };

    (void) m;
    (void) n;
    (void) f;
    if (!bp_streq(x->name, "a_0.mcap"))
        return 0;
    bp_sleep(5 * BP_MS);
    if (changes++)
        return 0;
    (void) snprintf(path, sizeof path, "%s/rec/a/a_0.mcap", test_dir);
    (void) snprintf(beside, sizeof beside, "%s/rec/beside", test_dir);
    write_random(beside, 99, 20 * PART);
    assert_int_equal(rename(beside, path), 0);
    tell_in_manifest("a");
    (void) snprintf(path, sizeof path, "%s/rec/a", test_dir);
    must(bp_sync_add_folder(engine, path, NULL, NULL, &err), &err);
    return 0;
}

/* Two contents of one name never race. */
static void send_one_content_of_a_name_at_once(void **state) {
    char id[BP_ULID_TEXT], path[400], hex[65];
    struct bp_error err = { 0 };
    uint64_t bytes;

    (void) state;
    at_work = most_at_work = changes = 0;
    mem.ops.have = NULL;
    mem.ops.flags = BP_SYNC_MANIFEST_LAST;
    mem.on_begin = count_at_work;
    mem.on_put = swap_while_sent;
    mem.on_complete = less_at_work;
    open_engine(&(struct with){ .own = true });
    add("a", 2, 20 * PART, id);
    run(0);
    all_stored(&mem, 3);
    assert_int_equal(most_at_work, 1);
    (void) snprintf(path, sizeof path, "%s/rec/a/a_0.mcap", test_dir);
    must(bp_manifest_hash_file(&bp_io_posix, path, &bytes, hex, NULL, NULL, &err), &err);
    assert_string_equal(mem_find(&mem, id, "a_0.mcap")->got_hex, hex);
    assert_int_equal(mem.nopen, 0);
}

static int fail_some(struct mem *m, const char *token, struct bp_sync_failure *f) {
    (void) token;
    return m->script-- > 0 ? bp_sync_fail(f, BP_SYNC_SERVER, "not now") : 0;
}

/* The former content's upload ends in the middle. */
static int swap_and_fail(struct mem *m, struct mem_file *x, uint32_t n, struct bp_sync_failure *f) {
    unsigned before = changes;
    int r = swap_while_sent(m, x, n, f);

    return changes != before && before == 0 ? bp_sync_fail(f, BP_SYNC_SERVER, "not now") : r;
}

static unsigned open_uploads(void) {
    unsigned n;

    (void) pthread_mutex_lock(&mem.lock);
    n = mem.nopen;
    (void) pthread_mutex_unlock(&mem.lock);
    return n;
}

static void send_what_changes(void) {
    char id[BP_ULID_TEXT];

    changes = 0;
    mem.ops.have = NULL;
    mem.ops.flags = BP_SYNC_MANIFEST_LAST;
    mem.on_put = swap_and_fail;
    mem.on_abort = fail_some;
    open_engine(&(struct with){ .own = true });
    add("a", 2, 20 * PART, id);
    run(0);
    all_stored(&mem, 3);
    assert_int_equal(changes > 0, 1);
}

static void give_up_what_a_former_content_began(void **state) {
    (void) state;
    send_what_changes();
    assert_int_equal(mem.aborts, 1);
    assert_int_equal(mem.nopen, 0);
}

/* What cannot be aborted now is so in another life. */
static void remember_what_is_to_be_given_up(void **state) {
    unsigned before;

    (void) state;
    mem.script = 1000;
    send_what_changes();
    assert_true(mem.aborts > 0); /* it is waited for once */
    assert_int_equal(mem.nopen, 1);
    bp_sync_close(BP_TAKE_PTR(engine));
    before = mem.aborts;
    mem.script = 0;
    open_engine(&(struct with){ .own = true });
    run(0);
    for (bp_ns_t until = bp_mono_ns() + 20 * BP_SEC; bp_mono_ns() < until && open_uploads() > 0;)
        bp_sleep(5 * BP_MS);
    assert_int_equal(open_uploads(), 0);
    assert_int_equal(mem.aborts, before + 1);
}

/* There is no such upload any more: that is not asked again. */
static int is_lost(struct mem *m, const char *token, struct bp_sync_failure *f) {
    mem_open_ends(m, token);
    return bp_sync_fail(f, BP_SYNC_LOST, "NoSuchUpload");
}

static int fail_from_the_third(struct mem *m, struct mem_file *x, uint32_t n,
                               struct bp_sync_failure *f) {
    (void) m;
    return bp_streq(x->name, "a_0.mcap") && n > 1 ? bp_sync_fail(f, BP_SYNC_LOCAL, "no more") : 0;
}

static void give_up_what_is_forgotten(void **state) {
    char id[BP_ULID_TEXT];
    struct bp_error err = { 0 };

    (void) state;
    mem.on_put = fail_from_the_third;
    mem.on_abort = is_lost;
    open_engine(&(struct with){ 0 });
    add("a", 2, 20 * PART, id);
    run(BP_EMISMATCH);
    assert_int_equal(mem.nopen, 1); /* it may go on */
    assert_int_equal(mem.aborts, 0);
    must(bp_sync_forget(engine, id, &err), &err);
    must(bp_sync_wait(engine, 60 * BP_SEC, NULL, &err), &err);
    assert_int_equal(mem.nopen, 0);
    assert_int_equal(mem.aborts, 1);
}

/* A segment is not what the manifest says: nothing tells that the session is whole. */
static void keep_back_a_manifest_that_lies(void **state) {
    char id[BP_ULID_TEXT], path[400];

    (void) state;
    mem.ops.flags = BP_SYNC_MANIFEST_LAST;
    open_engine(&(struct with){ .simulated = true });
    add("a", 2, 2 * PART, id);
    (void) snprintf(path, sizeof path, "%s/rec/a/a_1.mcap", test_dir);
    write_random(path, 99, 2 * PART + 1);
    run(BP_EMISMATCH);
    all_stored(&mem, 2);
    assert_null(mem_find(&mem, id, "manifest.json"));
    assert_int_equal(mem.nfinished, 0);
    assert_true(waits);
}

static void notice_a_changed_file(void **state) {
    char id[BP_ULID_TEXT], path[400];
    struct bp_error err = { 0 };

    (void) state;
    open_engine(&(struct with){ 0 });
    add("a", 2, 2 * PART, id);
    /* as long as before, of another content than the queue was told */
    (void) snprintf(path, sizeof path, "%s/rec/a/a_1.mcap", test_dir);
    write_random(path, 99, 2 * PART + 1);
    tell_in_manifest("a");
    run(0);
    all_stored(&mem, 3);
    assert_int_equal(bp_sync_is_safe(engine, id, &err), 1);
    must(bp_sync_pause(engine, "site", &err), &err);
    write_random(path, 100, 17);
    tell_in_manifest("a");
    must(bp_sync_add_file(engine, id, "a_1.mcap", BP_SYNC_SEGMENT, NULL, &err), &err);
    assert_int_equal(bp_sync_is_safe(engine, id, &err), 0);
    must(bp_sync_resume(engine, "site", &err), &err);
    must(bp_sync_wait(engine, 60 * BP_SEC, NULL, &err), &err);
    assert_int_equal(bp_sync_is_safe(engine, id, &err), 1);
    all_stored(&mem, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(replace_what_is_our_own),
        T(send_one_content_of_a_name_at_once),
        T(give_up_what_a_former_content_began),
        T(remember_what_is_to_be_given_up),
        T(give_up_what_is_forgotten),
        T(keep_back_a_manifest_that_lies),
        T(notice_a_changed_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
