#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/macro.h"
#include "catalog/archive.h"

#define ID1 "01JDZ000000000000000000001"
#define ID2 "01JDZ000000000000000000002"

static char dir[32], path[64];
static struct bp_archive *a;
static struct bp_error err;

static void ok(int r) {
    if (r < 0)
        fail_msg("%s", err.text);
}

static void open_it(bool *renewed) {
    ok(bp_archive_open(path, &a, renewed, &err));
}

static int set_up(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-archive-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/archive.db", dir);
    open_it(NULL);
    return 0;
}

static int tear_down(void **state) {
    char command[64];

    (void) state;
    bp_archive_close(a);
    a = NULL;
    (void) snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command); /* NOLINT(cert-env33-c): a folder of our own */
}

static struct bp_archive_about about(const char *id) {
    return (struct bp_archive_about){ .id = id,
                                      .name = "run",
                                      .device = "robot7",
                                      .mission = "hall",
                                      .tags = "[\"lab\"]",
                                      .robots = "[\"7\"]",
                                      .started_ns = 1796083200 * BP_SEC };
}

static void put_about(const struct bp_archive_about *s, enum bp_archive_policy policy,
                      uint32_t want) {
    uint32_t conflicts = 99;

    ok(bp_archive_put_about(a, s, policy, 5, NULL, &conflicts, &err));
    assert_int_equal(conflicts, want);
}

static struct bp_archive_file file(const char *name, int content) {
    return (struct bp_archive_file){ .file = (char *) (uintptr_t) name,
                                     .sha256 = { (uint8_t) content, 1 },
                                     .state = BP_ARCHIVE_FILE_RECEIVED,
                                     .bytes = 1000,
                                     .messages = 12,
                                     .repeated = 2,
                                     .first_ns = 1796083200 * BP_SEC,
                                     .last_ns = 1796083260 * BP_SEC };
}

static void put_manifest(const char *id, int files, bool *complete) {
    struct bp_archive_file f[3] = { file("run_0.mcap", 1), file("run_1.mcap", 2),
                                    file("run_2.mcap", 3) };
    struct bp_archive_topic t[] = { { .topic = "/lidar/points",
                                      .type = "sensor_msgs/msg/PointCloud2",
                                      .robot = "7",
                                      .messages = 10,
                                      .lost = 3 },
                                    { .topic = "/imu", .type = "sensor_msgs/msg/Imu" } };
    struct bp_archive_manifest m = { .id = id,
                                     .name = "run",
                                     .signature = BP_ARCHIVE_SIGNED,
                                     .segments = f,
                                     .nsegments = (size_t) files,
                                     .topics = t,
                                     .ntopics = 2 };

    ok(bp_archive_put_manifest(a, id, &m, 6, complete, &err));
}

static int put_file(const char *id, const char *name, int content, enum bp_archive_policy policy,
                    bool *complete) {
    struct bp_archive_file f = file(name, content);

    return bp_archive_put_file(a, id, &f, policy, 7, complete, &err);
}

static int names(void *ctx, const struct bp_archive_file *f) {
    char *list = ctx;
    size_t n = strlen(list);

    (void) snprintf(list + n, 256 - n, "%s=%d/%d ", f->file, (int) f->sha256[0], (int) f->state);
    return 0;
}

static void assert_files(const char *id, const char *want) {
    char list[256] = "";

    assert_int_equal(bp_archive_each_file(a, id, names, list, &err), 0);
    assert_string_equal(list, want);
}

static void assert_text(const char *id, const char *mission, const char *tags) {
    BP_AUTO_ARCHIVE_SESSION s = { 0 };

    ok(bp_archive_get(a, id, &s, &err));
    assert_string_equal(s.mission, mission);
    assert_string_equal(s.tags, tags);
}

/* Segments before and after the manifest, a kill (reopening) between. */
static void a_session_comes_in(void **state) {
    struct bp_archive_about s = about(ID1);
    BP_AUTO_ARCHIVE_SESSION got = { 0 };
    bool complete = true, created = false;
    uint64_t n = 0;

    (void) state;
    ok(bp_archive_put_about(a, &s, BP_ARCHIVE_MERGE, 5, &created, NULL, &err));
    assert_true(created);
    ok(bp_archive_put_about(a, &s, BP_ARCHIVE_MERGE, 5, &created, NULL, &err));
    assert_false(created);
    assert_int_equal(put_file(ID1, "run_0.mcap", 1, BP_ARCHIVE_MERGE, &complete), 0);
    assert_false(complete);
    assert_int_equal(put_file(ID1, "run_0.mcap", 1, BP_ARCHIVE_MERGE, &complete), 1);
    put_manifest(ID1, 2, &complete);
    assert_false(complete);
    assert_files(ID1, "run_0.mcap=1/1 run_1.mcap=2/0 ");
    bp_archive_close(a);
    open_it(NULL);
    assert_int_equal(put_file(ID1, "run_1.mcap", 2, BP_ARCHIVE_MERGE, &complete), 0);
    assert_true(complete);

    ok(bp_archive_get(a, "run", &got, &err));
    assert_string_equal(got.id, ID1);
    assert_int_equal(got.state, BP_ARCHIVE_COMPLETE);
    assert_int_equal(got.bytes, 2000);
    assert_int_equal(got.messages, 20);
    assert_int_equal(got.lost, 3);
    assert_int_equal(got.segments, 2);
    assert_int_equal(got.segments_here, 2);
    assert_int_equal(got.topics, 2);
    assert_int_equal(got.ended_ns - got.started_ns, 60 * BP_SEC);
    assert_string_equal(got.robots, "[\"7\"]");
    ok(bp_archive_references(a, file("", 1).sha256, &n, &err));
    assert_int_equal(n, 1);
}

static void damage_is_told(void **state) {
    struct bp_archive_about s = about(ID1), t = about(ID2);
    BP_AUTO_ARCHIVE_SESSION got = { 0 };
    bool complete = false;

    (void) state;
    put_about(&s, BP_ARCHIVE_MERGE, 0);
    put_about(&t, BP_ARCHIVE_MERGE, 0);
    put_manifest(ID1, 1, NULL);
    put_manifest(ID2, 1, NULL);
    ok(put_file(ID1, "run_0.mcap", 1, BP_ARCHIVE_MERGE, &complete));
    assert_true(complete);
    ok(put_file(ID2, "run_0.mcap", 1, BP_ARCHIVE_MERGE, NULL));
    assert_int_equal(bp_archive_set_verified(a, file("", 1).sha256, BP_ARCHIVE_FILE_DAMAGED,
                                             "chunk 3: CRC", 9, &err),
                     2);
    ok(bp_archive_get(a, ID2, &got, &err));
    assert_int_equal(got.state, BP_ARCHIVE_DAMAGED);
    assert_string_equal(got.error, "run_0.mcap: chunk 3: CRC");
    assert_int_equal(
        bp_archive_set_verified(a, file("", 1).sha256, BP_ARCHIVE_FILE_VERIFIED, "", 9, &err), 2);
    bp_archive_session_done(&got);
    ok(bp_archive_get(a, ID2, &got, &err));
    assert_int_equal(got.state, BP_ARCHIVE_COMPLETE);
    assert_string_equal(got.error, "");
}

static int64_t last_decision;
static char decided[256];

static int decision(void *ctx, const struct bp_archive_decision *d) {
    (void) ctx;
    last_decision = d->id;
    (void) snprintf(decided, sizeof decided, "%s %s %s|%s %d", bp_archive_policy_name(d->policy),
                    d->subject, d->ours, d->theirs, d->took_theirs);
    return 1;
}

static void assert_decided(const char *want) {
    assert_int_equal(bp_archive_each_decision(a, ID1, 10, decision, NULL, &err), 1);
    assert_string_equal(decided, want);
}

/* Edited here while the robot, out of reach, was edited, too. */
static void edit_both(const char *version, enum bp_archive_policy policy, uint32_t conflicts) {
    struct bp_archive_about s = about(ID1);

    s.version = "{\"robot7\": 1}";
    put_about(&s, BP_ARCHIVE_MERGE, 0);
    ok(bp_archive_edit(
        a, ID1,
        &(struct bp_archive_edit){ .mission = "yard", .tags = "[\"lab\", \"wet\"]", .keep = -1 },
        "server", 5, &err));
    s.version = version;
    s.mission = "roof";
    s.tags = "[\"lab\", \"dry\"]";
    put_about(&s, policy, conflicts);
    put_about(&s, policy, 0); /* told again */
}

static void both_sides_merge(void **state) {
    (void) state;
    edit_both("{\"robot7\": 5}", BP_ARCHIVE_MERGE, 1);
    assert_text(ID1, "roof", "[\"lab\",\"wet\",\"dry\"]"); /* 5 is later than the server's 2 */
    assert_decided("merge mission yard|roof 1");
    ok(bp_archive_undo(a, last_decision, "server", 9, &err));
    assert_text(ID1, "yard", "[\"lab\",\"wet\",\"dry\"]");
    assert_int_equal(bp_archive_undo(a, last_decision, "server", 9, &err), BP_EBUSY);
    assert_int_equal(bp_archive_undo(a, 77, "server", 9, &err), -ENOENT);
}

static void both_sides_local(void **state) {
    (void) state;
    edit_both("{\"robot7\": 5}", BP_ARCHIVE_LOCAL, 1);
    assert_text(ID1, "yard", "[\"lab\",\"wet\",\"dry\"]");
}

static void both_sides_remote(void **state) {
    (void) state;
    edit_both("{\"robot7\": 2}", BP_ARCHIVE_REMOTE, 1);
    assert_text(ID1, "roof", "[\"lab\",\"wet\",\"dry\"]");
}

/* It has heard of our edit: no conflict, and what it took away is gone. */
static void the_later_one_wins(void **state) {
    (void) state;
    edit_both("{\"robot7\": 1, \"server\": 9}", BP_ARCHIVE_MERGE, 0);
    assert_text(ID1, "roof", "[\"lab\",\"dry\"]");
}

/* A device that does not count cannot undo what people did here. */
static void edits_stay(void **state) {
    struct bp_archive_about s = about(ID1);

    (void) state;
    put_about(&s, BP_ARCHIVE_MERGE, 0);
    s.mission = "corridor";
    put_about(&s, BP_ARCHIVE_MERGE, 0);
    assert_text(ID1, "corridor", "[\"lab\"]");
    ok(bp_archive_edit(a, ID1, &(struct bp_archive_edit){ .mission = "yard", .keep = 1 }, "server",
                       5, &err));
    put_about(&s, BP_ARCHIVE_MERGE, 0);
    assert_text(ID1, "yard", "[\"lab\"]");
    assert_int_equal(bp_archive_edit(a, ID1, &(struct bp_archive_edit){ .tags = "[1]", .keep = -1 },
                                     "server", 5, &err),
                     BP_EUSAGE);
}

static void two_contents(void **state) {
    struct bp_archive_about s = about(ID1);

    (void) state;
    put_about(&s, BP_ARCHIVE_MERGE, 0);
    ok(put_file(ID1, "run_0.mcap", 1, BP_ARCHIVE_MERGE, NULL));
    assert_int_equal(put_file(ID1, "run_0.mcap", 2, BP_ARCHIVE_LOCAL, NULL), -EEXIST);
    assert_files(ID1, "run_0.mcap=1/1 ");
    assert_int_equal(put_file(ID1, "run_0.mcap", 2, BP_ARCHIVE_KEEP_BOTH, NULL), 0);
    assert_files(ID1, "run_0.mcap=1/1 run_0~robot7.mcap=2/1 ");
    (void) bp_archive_each_decision(a, ID1, 10, decision, NULL, &err);
    ok(bp_archive_undo(a, last_decision, "server", 9, &err));
    assert_files(ID1, "run_0.mcap=2/1 run_0~robot7.mcap=1/1 ");
    assert_int_equal(put_file(ID1, "run_0.mcap", 3, BP_ARCHIVE_REMOTE, NULL), 0);
    assert_files(ID1, "run_0.mcap=3/1 run_0.mcap~02010000=2/1 run_0~robot7.mcap=1/1 ");
    put_manifest(ID1, 1, NULL); /* it says that content 1 has the name */
    assert_files(ID1, "run_0.mcap=1/1 run_0.mcap~02010000=2/1 run_0.mcap~03010000=3/1 ");
}

static int orphans;

static void orphan(void *ctx, const uint8_t sha256[static BP_ARCHIVE_DIGEST]) {
    (void) ctx;
    orphans = orphans * 10 + sha256[0];
}

static void deleted(void **state) {
    struct bp_archive_about s = about(ID1), t = about(ID2);
    BP_AUTO_ARCHIVE_SESSION got = { 0 };
    struct bp_archive_sums sums = { 0 };

    (void) state;
    orphans = 0;
    put_about(&s, BP_ARCHIVE_MERGE, 0);
    put_about(&t, BP_ARCHIVE_MERGE, 0);
    ok(put_file(ID1, "a", 1, BP_ARCHIVE_MERGE, NULL));
    ok(put_file(ID1, "b", 2, BP_ARCHIVE_MERGE, NULL));
    ok(put_file(ID2, "a", 1, BP_ARCHIVE_MERGE, NULL));
    ok(bp_archive_sums(a, &sums, &err));
    assert_int_equal(sums.sessions, 2);
    assert_int_equal(sums.bytes, 3000);
    assert_int_equal(sums.receiving, 2);
    ok(bp_archive_edit(a, ID1, &(struct bp_archive_edit){ .keep = 1 }, "server", 5, &err));
    assert_int_equal(bp_archive_delete(a, ID1, "test", false, 8, orphan, NULL, &err), BP_EBUSY);
    ok(bp_archive_delete(a, ID1, "test", true, 8, orphan, NULL, &err));
    assert_int_equal(orphans, 2); /* the other one has 1, too */
    assert_int_equal(bp_archive_delete(a, ID1, "test", true, 8, orphan, NULL, &err), -ENOENT);
    assert_int_equal(bp_archive_put_about(a, &s, BP_ARCHIVE_MERGE, 5, NULL, NULL, &err), -EEXIST);
    assert_int_equal(put_file(ID1, "a", 1, BP_ARCHIVE_MERGE, NULL), -EEXIST);
    ok(bp_archive_get(a, ID1, &got, &err));
    assert_int_equal(got.state, BP_ARCHIVE_DELETED);
    assert_string_equal(got.deleted_why, "test");
    ok(bp_archive_sums(a, &sums, &err));
    assert_int_equal(sums.sessions, 1);
    assert_int_equal(sums.bytes, 1000);
}

static void refused(void **state) {
    struct bp_archive_about s = about("nonsense"), t = about(ID1);

    (void) state;
    assert_int_equal(bp_archive_put_about(a, &s, BP_ARCHIVE_MERGE, 5, NULL, NULL, &err), -EINVAL);
    s = about(ID1);
    s.tags = "{}";
    assert_int_equal(bp_archive_put_about(a, &s, BP_ARCHIVE_MERGE, 5, NULL, NULL, &err), -EINVAL);
    s.tags = NULL;
    s.version = "[]";
    assert_int_equal(bp_archive_put_about(a, &s, BP_ARCHIVE_MERGE, 5, NULL, NULL, &err), -EINVAL);
    s.version = NULL;
    put_about(&s, BP_ARCHIVE_MERGE, 0);
    t.device = "robot8";
    assert_int_equal(bp_archive_put_about(a, &t, BP_ARCHIVE_MERGE, 5, NULL, NULL, &err),
                     BP_EMISMATCH);
    assert_int_equal(put_file(ID2, "a", 1, BP_ARCHIVE_MERGE, NULL), -ENOENT);
    assert_int_equal(put_file(ID1, "", 1, BP_ARCHIVE_MERGE, NULL), -EINVAL);
}

static int again(void *ctx, struct bp_archive *archive, struct bp_error *e) {
    struct bp_archive_about s = about(ID1);

    s.mission = NULL;
    s.tags = NULL;
    assert_int_equal(bp_archive_put_about(archive, &s, BP_ARCHIVE_MERGE, 50, NULL, NULL, e), 0);
    assert_int_equal(put_file(ID1, "run_0.mcap", 1, BP_ARCHIVE_MERGE, NULL), 0);
    put_manifest(ID1, 1, NULL);
    /* a call that fails takes back what it did alone */
    assert_int_equal(put_file(ID2, "run_0.mcap", 1, BP_ARCHIVE_MERGE, NULL), -ENOENT);
    return *(int *) ctx;
}

static void made_anew(void **state) {
    struct bp_archive_about s = about(ID1), t = about(ID2);
    BP_AUTO_ARCHIVE_SESSION got = { 0 };
    int how = -EIO;

    (void) state;
    put_about(&s, BP_ARCHIVE_MERGE, 0);
    put_about(&t, BP_ARCHIVE_MERGE, 0);
    ok(put_file(ID1, "lost", 1, BP_ARCHIVE_MERGE, NULL));
    ok(bp_archive_edit(a, ID1, &(struct bp_archive_edit){ .mission = "yard", .keep = 1 }, "server",
                       5, &err));
    ok(bp_archive_add_mark(a, ID1, &(struct bp_archive_mark){ 3, "hit the shelf", NULL }, 5, &err));
    assert_int_equal(bp_archive_reindex(a, again, &how, &err), -EIO); /* as it was */
    assert_files(ID1, "lost=1/1 ");
    ok(bp_archive_get(a, ID2, &got, &err));
    bp_archive_session_done(&got);

    how = 0;
    ok(bp_archive_reindex(a, again, &how, &err));
    assert_files(ID1, "run_0.mcap=1/1 ");
    assert_text(ID1, "yard", "[\"lab\"]");
    ok(bp_archive_get(a, ID1, &got, &err));
    assert_true(got.keep);
    assert_int_equal(got.marks, 1);
    assert_int_equal(got.received_ns, 5);
    assert_int_equal(got.state, BP_ARCHIVE_COMPLETE);
    assert_int_equal(bp_archive_get(a, ID2, &got, &err), -ENOENT);
}

static void damaged(void **state) {
    struct bp_archive_about s = about(ID1);
    bool renewed = false;
    FILE *f;

    (void) state;
    put_about(&s, BP_ARCHIVE_MERGE, 0);
    bp_archive_close(a);
    a = NULL;
    f = fopen(path, "r+");
    assert_non_null(f);
    for (int i = 0; i < 8192; i++)
        (void) fputc(0x5a, f);
    (void) fclose(f);
    open_it(&renewed);
    assert_true(renewed);
    put_about(&s, BP_ARCHIVE_MERGE, 0);
}

static int device(void *ctx, const struct bp_archive_device *d) {
    (void) snprintf(ctx, 64, "%s %s %lld %s", d->id, bp_archive_device_state_name(d->state),
                    (long long) d->seen_ns, d->info);
    return 0;
}

static void devices(void **state) {
    struct bp_archive_device d = { .id = (char[]){ "robot7" }, .first_ns = 1 };
    char text[64] = "";

    (void) state;
    ok(bp_archive_put_device(a, &d, &err));
    d.state = BP_ARCHIVE_DEVICE_ACCEPTED;
    ok(bp_archive_put_device(a, &d, &err));
    ok(bp_archive_device_seen(a, "robot7", "{\"v\": 1}", 7, &err));
    ok(bp_archive_device_seen(a, "robot9", "{}", 7, &err));
    ok(bp_archive_device_seen(a, "robot7", NULL, 8, &err));
    assert_int_equal(bp_archive_each_device(a, device, text, &err), 0);
    assert_string_equal(text, "robot7 accepted 8 {\"v\": 1}");
    ok(bp_archive_remove_device(a, "robot7", &err));
    assert_int_equal(bp_archive_get_device(a, "robot7", &d, &err), -ENOENT);
    d.id = (char[]){ "" };
    assert_int_equal(bp_archive_put_device(a, &d, &err), -EINVAL);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_session_comes_in),
        T(damage_is_told),
        T(both_sides_merge),
        T(both_sides_local),
        T(both_sides_remote),
        T(the_later_one_wins),
        T(edits_stay),
        T(two_contents),
        T(deleted),
        T(refused),
        T(made_anew),
        T(damaged),
        T(devices),
    };

    return cmocka_run_group_tests_name("catalog/archive", tests, NULL, NULL);
}
