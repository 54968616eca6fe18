#include "sync/test-scripted.h"

/* Sessions edited on both sides, names taken by another content: what each policy does, and that it
 * can be taken back. */

enum { PART = 64 << 10 };

static struct mem mem;
static struct bp_sync *engine;
static char changed[2000];
static pthread_mutex_t changed_lock = PTHREAD_MUTEX_INITIALIZER;
static char id[BP_ULID_TEXT];

static void on_event(void *ctx, const struct bp_sync_event *e) {
    (void) ctx;
    (void) pthread_mutex_lock(&changed_lock);
    if (e->kind == BP_SYNC_EV_SESSION_CHANGED)
        (void) snprintf(changed, sizeof changed, "%s", e->text);
    (void) pthread_mutex_unlock(&changed_lock);
}

static int set_up(void **state) {
    mem_init(&mem);
    mem.ops.have = NULL; /* names matter here */
    changed[0] = 0;
    return set_up_dir(state);
}

static int tear_down(void **state) {
    bp_sync_close(BP_TAKE_PTR(engine));
    return tear_down_dir(state);
}

static void open_engine(enum bp_sync_policy policy, const char *json) {
    struct bp_sync_target_config c = { .name = "site",
                                       .open = { &mem.ops, &mem },
                                       .policy = policy };
    struct bp_sync_opts o = { .path = in_dir("queue.db"),
                              .targets = &c,
                              .ntargets = 1,
                              .device = "r7",
                              .part_bytes = PART,
                              .no_hints = true,
                              .no_priority = true,
                              .on_event = on_event };
    struct bp_sync_session x = { .json = json };
    struct bp_error err = { 0 };

    must(bp_sync_open(&o, &engine, NULL, &err), &err);
    make_session(in_dir("rec"), "a", 2, 100, 1000, id);
    must(bp_sync_add_folder(engine, in_dir("rec/a"), &x, NULL, &err), &err);
    must(bp_sync_start(engine, &err), &err);
}

static void wait_for(int want) {
    struct bp_error err = { 0 };
    int r = bp_sync_wait(engine, 60 * BP_SEC, NULL, &err);

    if (r != want)
        fail_msg("%s (%s)", err.text, bp_strerror(r));
}

/* ---- sessions ---- */

/* As a server: what it has wins unless it is told by force; m->json is what it has. */
static int stored_session(struct mem *m, const struct bp_sync_session_ref *s,
                          struct bp_sync_theirs *theirs, struct bp_sync_failure *f) {
    if (m->json && !s->force && !bp_streq(m->json, s->json)) {
        theirs->json = strdup(m->json);
        return bp_sync_fail(f, BP_SYNC_CONFLICT, "edited there, too");
    }
    free(m->json);
    m->json = strdup(s->json);
    return 0;
}

#define OURS   "{\"mission\":\"dig\",\"tags\":[\"a\"],\"version\":{\"r7\":2}}"
#define THEIRS "{\"mission\":\"fill\",\"tags\":[\"b\"],\"version\":{\"r7\":1,\"site\":1}}"

static const struct {
    enum bp_sync_policy policy;
    const char *ours, *want; /* want: a part of what they have then */
    const char *undone;      /* … after it was taken back; NULL = there was nothing to decide */
    bool we_changed;
} sessions[] = {
    { BP_SYNC_POLICY_LOCAL, OURS, "\"mission\":\"dig\",\"tags\":[\"a\"]", "\"mission\":\"fill\"",
      true },
    { BP_SYNC_POLICY_REMOTE, OURS, "\"mission\":\"fill\"", "\"mission\":\"dig\"", true },
    { BP_SYNC_POLICY_MERGE, OURS, "\"tags\":[\"b\",\"a\"]", "\"mission\":\"dig\",\"tags\":[\"a\"]",
      true },
    { BP_SYNC_POLICY_KEEP_BOTH, OURS, "mission (r7): dig", "\"mission\":\"dig\",\"tags\":[\"a\"]",
      true },
    /* one has seen the other */
    { BP_SYNC_POLICY_REMOTE, "{\"mission\":\"dig\",\"version\":{\"r7\":2,\"site\":1}}",
      "\"mission\":\"dig\"", NULL, false },
    { BP_SYNC_POLICY_LOCAL, "{\"mission\":\"dig\",\"version\":{\"r7\":1}}", "\"mission\":\"fill\"",
      NULL, true },
};

static void decide_on_sessions(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(sessions); i++) {
        struct bp_error err = { 0 };
        int r;

        assert_int_equal(set_up(NULL), 0);
        mem.on_session = stored_session;
        mem.json = strdup(THEIRS);
        open_engine(sessions[i].policy, sessions[i].ours);
        wait_for(0);
        if (!strstr(mem.json, sessions[i].want))
            fail_msg("%zu: %s", i, mem.json);
        if (sessions[i].we_changed != (changed[0] != 0) ||
            (changed[0] && !strstr(changed, sessions[i].want)))
            fail_msg("%zu: we have %s", i, changed);
        assert_int_equal(mem.nfinished, 1);
        r = bp_sync_undo(engine, 1, &err);
        assert_int_equal(r, sessions[i].undone ? 0 : -ENOENT);
        if (sessions[i].undone) {
            wait_for(0);
            if (!strstr(mem.json, sessions[i].undone) || !strstr(changed, sessions[i].undone))
                fail_msg("%zu: %s", i, mem.json);
            assert_int_equal(bp_sync_undo(engine, 1, &err), -EALREADY);
        }
        (void) tear_down(NULL);
    }
    assert_int_equal(set_up(NULL), 0);
}

/* ---- files ---- */

static int taken_name(struct mem *m, const struct bp_sync_file *file, struct bp_sync_theirs *theirs,
                      struct bp_sync_failure *f) {
    (void) m;
    if (file->force || !bp_streq(file->name, "a_1.mcap"))
        return 0;
    memset(theirs->sha256, 'e', 64);
    return bp_sync_fail(f, BP_SYNC_CONFLICT, "there is another one");
}

static int count_decisions(void *ctx, const struct bp_sync_decision *d) {
    (*(int *) ctx)++;
    assert_string_equal(d->target, "site");
    assert_string_equal(d->file, "a_1.mcap");
    assert_int_equal(strlen(d->ours), 64);
    assert_int_equal(d->theirs[0], 'e');
    return 0;
}

static void decide_on_files(void **state) {
    static const struct {
        enum bp_sync_policy policy;
        int wait, undo;
        const char *name;
        bool is_safe;
    } cases[] = {
        { BP_SYNC_POLICY_LOCAL, 0, -EOPNOTSUPP, "a_1.mcap", true },
        { BP_SYNC_POLICY_REMOTE, BP_EMISMATCH, 0, NULL, false },
        { BP_SYNC_POLICY_MERGE, 0, 0, "a_1~r7.mcap", true },
        { BP_SYNC_POLICY_KEEP_BOTH, 0, 0, "a_1~r7.mcap", true },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_error err = { 0 };
        const struct mem_file *x;
        int n = 0;

        assert_int_equal(set_up(NULL), 0);
        mem.on_begin = taken_name;
        open_engine(cases[i].policy, NULL);
        wait_for(cases[i].wait);
        x = cases[i].name ? mem_find(&mem, id, cases[i].name) : NULL;
        if (cases[i].name)
            assert_true(x && x->stored);
        else
            assert_null(mem_find(&mem, id, "a_1.mcap"));
        assert_int_equal(bp_sync_is_safe(engine, id, &err), cases[i].is_safe);
        must(bp_sync_decisions(engine, count_decisions, &n, &err), &err);
        assert_int_equal(n, 1);
        assert_int_equal(bp_sync_undo(engine, 1, &err), cases[i].undo);
        if (cases[i].undo == 0) {
            wait_for(0);
            x = mem_find(&mem, id, "a_1.mcap");
            assert_true(x && x->stored);
            assert_int_equal(bp_sync_is_safe(engine, id, &err), 1);
        }
        (void) tear_down(NULL);
    }
    assert_int_equal(set_up(NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(decide_on_sessions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(decide_on_files, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
