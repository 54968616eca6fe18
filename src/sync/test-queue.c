#include <sqlite3.h>

#include "sync/test-sync.h"

static struct bp_sync_queue *q;
static struct bp_error err;

static int set_up(void **state) {
    int r = set_up_dir(state);

    return r < 0 ? r : bp_sync_queue_open(in_dir("q.db"), &q, NULL, &err);
}

static int tear_down(void **state) {
    bp_sync_queue_close(BP_TAKE_PTR(q));
    return tear_down_dir(state);
}

static const char *const ids[] = { "01M8HYWJ1QBMYJA52151VZKTA2", "01M8HYWHQ91XG5TA5FD9CRKGZH",
                                   "01M8HYWHCE1P6PZ5122MME1FV7" };

static void put_session(int i, bp_ns_t started, bool marked, const char *json) {
    const struct bp_sync_session x = { .id = ids[i],
                                       .dir = "/d",
                                       .name = "n",
                                       .json = json,
                                       .started_ns = started,
                                       .marked = marked };

    must(bp_sync_queue_put_session(q, &x, NULL, &err), &err);
}

static void put_file(int i, const char *name, enum bp_sync_kind kind, uint64_t bytes) {
    must(bp_sync_queue_put_file(q, ids[i], name, kind, bytes, 1, "", &err), &err);
}

static void want(int i, const char *target, bool manifest_last) {
    must(bp_sync_queue_want(q, ids[i], target, manifest_last, &err), &err);
    must(bp_sync_queue_told(q, ids[i], target, 1, &err), &err);
}

/* Takes them as they come, each done at once; names parted by blanks. */
static void drain(const char *target, const char *want_order) {
    BP_AUTO_BUF order = { 0 };

    for (;;) {
        BP_AUTO_SYNC_JOB j = { 0 };
        struct bp_sync_outcome o = { .state = BP_SYNC_ROW_DONE, .confirmed_ns = 1 };
        int r = bp_sync_queue_next(q, target, 1, false, NULL, NULL, &j, &err);

        must(r, &err);
        if (r == 0)
            break;
        bp_buf_printf(&order, "%s%s", order.n ? " " : "", j.name);
        must(bp_sync_queue_set_outcome(q, j.upload, &o, &err), &err);
    }
    assert_string_equal(bp_buf_cstr(&order), want_order);
}

static void put_three(void) {
    uint64_t large = 17 << 20;

    put_session(0, 100, false, "{}");
    put_session(1, 200, false, "{}");
    put_session(2, 50, true, "{}");
    put_file(0, "old_0", BP_SYNC_SEGMENT, large);
    put_file(0, "old_1", BP_SYNC_SEGMENT, 10);
    put_file(0, "old_m", BP_SYNC_MANIFEST, 10);
    put_file(1, "new_0", BP_SYNC_SEGMENT, large);
    put_file(1, "new_1", BP_SYNC_SEGMENT, large);
    put_file(1, "new_p", BP_SYNC_PREVIEW, 10);
    put_file(1, "new_m", BP_SYNC_MANIFEST, 10);
    put_file(2, "marked_0", BP_SYNC_SEGMENT, large);
    put_file(2, "marked_m", BP_SYNC_MANIFEST, 10);
}

/* A robot that is known later must not move what is still to be sent into another folder. */
static void keep_the_robot_that_folders_are_named_by(void **state) {
    struct bp_sync_session x = { .id = ids[0], .dir = "/d", .name = "n", .json = "{}" };
    BP_AUTO_SYNC_JOB j = { 0 };

    (void) state;
    must(bp_sync_queue_put_session(q, &x, NULL, &err), &err);
    put_file(0, "n_0.mcap", BP_SYNC_SEGMENT, 10);
    want(0, "t", true);
    x.robots = (const char *const[]){ "r1", NULL };
    must(bp_sync_queue_put_session(q, &x, NULL, &err), &err);
    assert_int_equal(bp_sync_queue_next(q, "t", 1, false, NULL, NULL, &j, &err), 1);
    assert_string_equal(j.robot, "");
}

static void keep_the_order(void **state) {
    (void) state;
    put_three();
    for (int i = 0; i < 3; i++) {
        want(i, "server", false);
        want(i, "s3", true);
    }
    put_file(0, "old_y", BP_SYNC_METADATA, 10); /* comes later */
    drain("server", "marked_m marked_0 new_p new_m old_m old_y old_1 new_0 new_1 old_0");
    /* nothing is closed: manifests that tell of the end wait */
    drain("s3", "marked_0 new_p old_y old_1 new_0 new_1 old_0");
    must(bp_sync_queue_close_session(q, ids[0], &err), &err);
    drain("s3", "old_m");
    must(bp_sync_queue_close_session(q, ids[2], &err), &err);
    put_file(2, "marked_1", BP_SYNC_SEGMENT, 5);
    drain("s3", "marked_1 marked_m");
}

static void put_what_goes_by_hand_first(void **state) {
    BP_AUTO_SYNC_JOB j = { 0 };

    (void) state;
    put_three();
    for (int i = 0; i < 3; i++)
        want(i, "server", false);
    assert_int_equal(bp_sync_queue_next(q, "server", 1, true, NULL, NULL, &j, &err), 0);
    must(bp_sync_queue_now(q, NULL, ids[0], &err), &err);
    assert_int_equal(bp_sync_queue_next(q, "server", 1, true, NULL, NULL, &j, &err), 1);
    assert_string_equal(j.name, "old_m");
    assert_true(j.now);
    drain("server", "old_m old_1 old_0 marked_m marked_0 new_p new_m new_0 new_1");
}

static void tell_before_files_go(void **state) {
    BP_AUTO_SYNC_JOB j = { 0 };
    BP_AUTO_SYNC_DUE d = { 0 }, e = { 0 };

    (void) state;
    put_session(0, 1, false, "{}");
    put_file(0, "a", BP_SYNC_SEGMENT, 1);
    must(bp_sync_queue_want(q, ids[0], "t", false, &err), &err);
    assert_int_equal(bp_sync_queue_next(q, "t", 1, false, NULL, NULL, &j, &err), 0);
    assert_int_equal(bp_sync_queue_due(q, "t", 1, false, &d, &err), 1);
    assert_false(d.finish);
    must(bp_sync_queue_told(q, ids[0], "t", d.revision, &err), &err);
    assert_int_equal(bp_sync_queue_due(q, "t", 1, false, &e, &err), 0);
    put_session(0, 1, false, "{\"a\":1}"); /* edited: to be told again */
    assert_int_equal(bp_sync_queue_due(q, "t", 1, false, &e, &err), 1);
    must(bp_sync_queue_told(q, ids[0], "t", e.revision, &err), &err);
    drain("t", "a");
    bp_sync_due_done(&e);
    assert_int_equal(bp_sync_queue_due(q, "t", 1, false, &e, &err), 0); /* not closed */
    must(bp_sync_queue_close_session(q, ids[0], &err), &err);
    assert_int_equal(bp_sync_queue_due(q, "t", 1, false, &e, &err), 1);
    assert_true(e.finish);
}

static void remember_parts(void **state) {
    struct bp_sync_session_ref ref = { .id = ids[0] };
    struct bp_sync_file file = { .session = &ref, .bytes = 1000 };
    struct bp_sync_upload u = { .file = &file };
    BP_AUTO_SYNC_JOB j = { 0 };
    struct bp_sync_counts c;

    (void) state;
    put_session(0, 1, false, "{}");
    put_file(0, "a", BP_SYNC_SEGMENT, 1000);
    want(0, "t", false);
    assert_int_equal(bp_sync_queue_next(q, "t", 1, false, NULL, NULL, &j, &err), 1);
    must(bp_sync_queue_begun(q, j.upload, "tok", 100, &err), &err);
    must(bp_sync_queue_put_part(q, j.upload, 3, "\"e3\"", 100, &err), &err);
    must(bp_sync_queue_put_part(q, j.upload, 9, "e9", 100, &err), &err);
    must(bp_sync_queue_put_part(q, j.upload, 9, "e9b", 100, &err), &err); /* counts once */
    must(bp_sync_queue_begun(q, j.upload, "tok", 100, &err), &err);       /* the same */
    must(bp_sync_queue_counts(q, "t", &c, &err), &err);
    assert_int_equal(c.waiting.bytes, 800);

    bp_sync_queue_close(q);
    must(bp_sync_queue_open(in_dir("q.db"), &q, NULL, &err), &err);
    assert_int_equal(bp_sync_upload_layout(&u, 100), 0);
    must(bp_sync_queue_get_parts(q, j.upload, &u, &err), &err);
    for (uint32_t n = 0; n < 10; n++)
        assert_int_equal(u.parts[n].there, n == 3 || n == 9);
    assert_string_equal(u.parts[3].etag, "\"e3\"");
    assert_string_equal(u.parts[9].etag, "e9b");
    must(bp_sync_queue_begun(q, j.upload, "other", 100, &err), &err);
    must(bp_sync_queue_counts(q, "t", &c, &err), &err);
    assert_int_equal(c.waiting.bytes, 1000);
    free(u.parts);
}

/* What is said of an upload whose file has changed meanwhile means nothing. */
static void begin_a_changed_file_anew(void **state) {
    BP_AUTO_SYNC_JOB j = { 0 }, k = { 0 };
    struct bp_sync_outcome o = { .state = BP_SYNC_ROW_DONE, .confirmed_ns = 1 };

    (void) state;
    put_session(0, 1, false, "{}");
    must(bp_sync_queue_put_file(q, ids[0], "a", BP_SYNC_SEGMENT, 10, 1, "aa", &err), &err);
    want(0, "t", false);
    assert_int_equal(bp_sync_queue_next(q, "t", 1, false, NULL, NULL, &j, &err), 1);
    must(bp_sync_queue_put_file(q, ids[0], "a", BP_SYNC_SEGMENT, 10, 2, "aa", &err), &err);
    must(bp_sync_queue_put_file(q, ids[0], "a", BP_SYNC_SEGMENT, 10, 2, "bb", &err), &err);
    must(bp_sync_queue_put_part(q, j.upload, 0, "e", 10, &err), &err);
    must(bp_sync_queue_set_outcome(q, j.upload, &o, &err), &err);
    assert_int_equal(bp_sync_queue_next(q, "t", 1, false, NULL, NULL, &k, &err), 1);
    assert_true(k.upload != j.upload);
    assert_string_equal(k.sha256, "bb");
    assert_int_equal(k.done, 0);
    assert_int_equal(bp_sync_queue_set_digest(q, &k, 10, 7, "bb", &err), 0);
    assert_int_equal(bp_sync_queue_set_digest(q, &k, 11, 8, "cc", &err), 1);
}

/* Which token is to be aborted at `t`; "" when there is none. */
static const char *next_abort(bp_ns_t now, struct bp_sync_abort *a) {
    int r;

    bp_sync_abort_done(a);
    r = bp_sync_queue_next_abort(q, "t", now, NULL, NULL, a, &err);
    must(r, &err);
    return r > 0 ? a->token : "";
}

/* File 'a' of session 0 has this content now, and its upload is begun. */
static void begin_as(const char *sha256, const char *token, struct bp_sync_job *j) {
    must(bp_sync_queue_put_file(q, ids[0], "a", BP_SYNC_SEGMENT, 10, 1, sha256, &err), &err);
    bp_sync_job_done(j);
    assert_int_equal(bp_sync_queue_next(q, "t", 1, false, NULL, NULL, j, &err), 1);
    assert_int_equal(bp_sync_queue_begun(q, j->upload, token, 100, &err), 0);
}

static void list_what_is_given_up(void **state) {
    BP_AUTO_SYNC_JOB j = { 0 };
    BP_AUTO_SYNC_ABORT a = { 0 };
    struct bp_sync_outcome kept = { .state = BP_SYNC_ROW_KEPT };
    int64_t former;
    bp_ns_t next = 0;

    (void) state;
    put_session(0, 7, false, "{}");
    want(0, "t", false);
    begin_as("aa", "tok", &j);
    former = j.upload;
    assert_string_equal(next_abort(1, &a), "");
    begin_as("bb", "tok2", &j);
    assert_int_equal(bp_sync_queue_begun(q, former, "late", 100, &err), 1);
    assert_string_equal(next_abort(1, &a), "tok");
    assert_string_equal(a.session, ids[0]);
    assert_string_equal(a.session_name, "n");
    assert_string_equal(a.remote, "a");
    assert_string_equal(a.sha256, "aa");
    assert_int_equal(a.started_ns, 7);
    must(bp_sync_queue_abort_later(q, a.number, 1000, &err), &err);
    assert_string_equal(next_abort(999, &a), "");
    must(bp_sync_queue_next_mono(q, "t", 1, &next, &err), &err);
    assert_int_equal(next, 1000);
    bp_sync_queue_close(q);
    must(bp_sync_queue_open(in_dir("q.db"), &q, NULL, &err), &err);
    assert_string_equal(next_abort(1, &a), "tok");
    assert_int_equal(a.tries, 1);

    /* the first content again: it goes on under its token, and the second one is given up */
    must(bp_sync_queue_put_file(q, ids[0], "a", BP_SYNC_SEGMENT, 10, 1, "aa", &err), &err);
    assert_string_equal(next_abort(1, &a), "tok2");
    must(bp_sync_queue_abort_over(q, a.number, &err), &err);
    assert_string_equal(next_abort(1, &a), "");
    begin_as("aa", "tok", &j);
    must(bp_sync_queue_set_outcome(q, j.upload, &kept, &err), &err);
    assert_string_equal(next_abort(1, &a), "tok"); /* theirs stays: ours is of no use */
    must(bp_sync_queue_aborted(q, "t", &j, "aa", "tok", &err), &err);
    assert_string_equal(next_abort(1, &a), "");
}

static void list_what_goes_with_its_session(void **state) {
    BP_AUTO_SYNC_JOB j = { 0 };
    BP_AUTO_SYNC_ABORT a = { 0 };
    struct bp_sync_outcome done = { .state = BP_SYNC_ROW_DONE, .confirmed_ns = 1 };

    (void) state;
    put_session(0, 7, false, "{}");
    want(0, "t", false);
    begin_as("aa", "tok", &j);
    must(bp_sync_queue_set_outcome(q, j.upload, &done, &err), &err);
    must(bp_sync_queue_forget(q, ids[0], &err), &err);
    assert_string_equal(next_abort(1, &a), ""); /* what is done is done */
    put_session(0, 7, false, "{}");
    want(0, "t", false);
    begin_as("aa", "tok", &j);
    must(bp_sync_queue_forget(q, ids[0], &err), &err);
    assert_string_equal(next_abort(1, &a), "tok");
    assert_string_equal(a.session_name, "n");
}

/* A queue of the first version has its rows afterwards, and what came with the second. */
static void take_over_the_first_version(void **state) {
    BP_AUTO_SYNC_JOB j = { 0 };
    BP_AUTO_SYNC_ABORT a = { 0 };
    sqlite3 *db = NULL;

    (void) state;
    put_session(0, 1, false, "{}");
    want(0, "t", false);
    begin_as("aa", "tok", &j);
    bp_sync_queue_close(q);
    assert_int_equal(sqlite3_open(in_dir("q.db"), &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "DROP TABLE aborts; PRAGMA user_version = 1", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    must(bp_sync_queue_open(in_dir("q.db"), &q, NULL, &err), &err);
    begin_as("bb", "tok2", &j);
    assert_string_equal(next_abort(1, &a), "tok");
}

static void pause_between_tries(void **state) {
    BP_AUTO_SYNC_JOB j = { 0 }, k = { 0 };
    struct bp_sync_outcome o = { .class = BP_SYNC_SERVER, .tries = 3, .next_mono = 1000 };
    bp_ns_t next = 0;

    (void) state;
    put_session(0, 1, false, "{}");
    put_file(0, "a", BP_SYNC_SEGMENT, 10);
    want(0, "t", false);
    assert_int_equal(bp_sync_queue_next(q, "t", 1, false, NULL, NULL, &j, &err), 1);
    must(bp_sync_queue_set_outcome(q, j.upload, &o, &err), &err);
    assert_int_equal(bp_sync_queue_next(q, "t", 999, false, NULL, NULL, &k, &err), 0);
    must(bp_sync_queue_next_mono(q, "t", 999, &next, &err), &err);
    assert_int_equal(next, 1000);
    assert_int_equal(bp_sync_queue_next(q, "t", 1000, false, NULL, NULL, &k, &err), 1);
    assert_int_equal(k.tries, 3);

    o.state = BP_SYNC_ROW_PARKED;
    must(bp_sync_queue_set_outcome(q, j.upload, &o, &err), &err);
    assert_int_equal(bp_sync_queue_retry(q, NULL, NULL, false, &err), 1);
    o.state = BP_SYNC_ROW_FAILED;
    must(bp_sync_queue_set_outcome(q, j.upload, &o, &err), &err);
    assert_int_equal(bp_sync_queue_retry(q, NULL, NULL, false, &err), 0);
    assert_int_equal(bp_sync_queue_retry(q, "other", NULL, true, &err), 0);
    assert_int_equal(bp_sync_queue_retry(q, "t", ids[0], true, &err), 1);
    /* times are of this process */
    o.state = BP_SYNC_ROW_WAITING;
    o.next_mono = INT64_MAX;
    must(bp_sync_queue_set_outcome(q, j.upload, &o, &err), &err);
    bp_sync_queue_close(q);
    must(bp_sync_queue_open(in_dir("q.db"), &q, NULL, &err), &err);
    bp_sync_job_done(&k);
    assert_int_equal(bp_sync_queue_next(q, "t", 1, false, NULL, NULL, &k, &err), 1);
}

static void undo_what_fails_in_the_middle(void **state) {
    struct bp_sync_counts c;

    (void) state;
    put_session(0, 1, false, "{}");
    want(0, "t", false);
    must(bp_sync_queue_begin(q, &err), &err);
    put_file(0, "a", BP_SYNC_SEGMENT, 10);
    assert_int_equal(bp_sync_queue_end(q, -EIO, &err), -EIO);
    must(bp_sync_queue_counts(q, "t", &c, &err), &err);
    assert_int_equal(c.waiting.files, 0);
}

static void refuse_what_is_no_queue(void **state) {
    struct bp_sync_queue *other = NULL;
    bool renewed = false;
    FILE *f;

    (void) state;
    f = fopen(in_dir("text.db"), "we");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        (void) fputs("this is no database at all\n", f);
    assert_int_equal(fclose(f), 0);
    must(bp_sync_queue_open(in_dir("text.db"), &other, &renewed, &err), &err);
    assert_true(renewed); /* set aside */
    bp_sync_queue_close(other);
    assert_int_equal(bp_sync_queue_open(in_dir("none/q.db"), &other, &renewed, &err), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(keep_the_robot_that_folders_are_named_by),
        T(keep_the_order),
        T(put_what_goes_by_hand_first),
        T(tell_before_files_go),
        T(remember_parts),
        T(begin_a_changed_file_anew),
        T(list_what_is_given_up),
        T(list_what_goes_with_its_session),
        T(take_over_the_first_version),
        T(pause_between_tries),
        T(undo_what_fails_in_the_middle),
        T(refuse_what_is_no_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
