#include "sync/test-sync.h"

/* Payload on demand: what goes by itself, what when somebody wants a range. */

enum { N = 5, BYTES = 1000 };

/* Segment i holds times 100 i to 100 i + 99; the last one holds none. */
static void give_times(const char *dir) {
    BP_AUTO_MANIFEST m = { 0 };
    struct bp_error err = { 0 };
    struct bp_manifest_channel c = { .topic = (char[]){ "/lidar" },
                                     .type = (char[]){ "t" },
                                     .robot = (char[]){ "" } };

    must(bp_manifest_read(&bp_io_posix, dir, &m, &err), &err);
    for (size_t i = 0; i + 1 < m.nsegments; i++) {
        m.segments[i].messages = 1;
        m.segments[i].first_ns = (bp_ns_t) i * 100 + 1000;
        m.segments[i].last_ns = (bp_ns_t) i * 100 + 1099;
    }
    assert_int_equal(bp_manifest_add_channel(&m, &c), 0);
    must(bp_manifest_write(&bp_io_posix, dir, &m, NULL, &err), &err);
}

static struct bp_sync *open_engine(bool selective) {
    char url[400];
    struct bp_sync_target_config c = { .name = "usb", .opts = { .url = url, .device = "robot7" } };
    struct bp_sync_opts o = { .path = in_dir("queue.db"),
                              .targets = &c,
                              .ntargets = 1,
                              .device = "robot7",
                              .selective = selective,
                              .no_hints = true };
    struct bp_sync *s = NULL;
    struct bp_error err = { 0 };

    (void) snprintf(url, sizeof url, "file://%s", in_dir("usb"));
    must(bp_sync_open(&o, &s, NULL, &err), &err);
    must(bp_sync_start(s, &err), &err);
    return s;
}

static int count_done(void *ctx, const struct bp_sync_row *r) {
    unsigned *n = ctx;

    n[r->kind == BP_SYNC_SEGMENT] += r->state == BP_SYNC_ROW_DONE;
    return 0;
}

/* How many segments are there: once they are `want`, and a while later, or after 30 s. */
static unsigned segments_there(struct bp_sync *s, unsigned want) {
    unsigned n[2] = { 0 };
    struct bp_error err = { 0 };

    for (unsigned i = 0, seen = 0; seen < 30 && i < 3000; i++) {
        n[0] = n[1] = 0;
        must(bp_sync_list(s, &(struct bp_sync_query){ .state = BP_SYNC_ROW_DONE }, count_done, n,
                          &err),
             &err);
        seen += n[1] >= want;
        bp_sleep(10 * BP_MS);
    }
    return n[1];
}

static unsigned fetch(struct bp_sync *s, const char *id, bp_ns_t from, bp_ns_t to,
                      const char *topic) {
    const char *topics[] = { topic, NULL };
    struct bp_sync_fetched got = { 0 };
    struct bp_error err = { 0 };

    must(bp_sync_fetch(
             s,
             &(struct bp_sync_fetch){
                 .session = id, .from_ns = from, .to_ns = to, .topics = topic ? topics : NULL },
             &got, &err),
         &err);
    return got.segments;
}

static void send_what_is_wanted(void **state) {
    BP_CLEANUP(bp_sync_closep) struct bp_sync *s = NULL;
    struct bp_error err = { 0 };
    struct bp_sync_fetched got;
    char id[BP_ULID_TEXT];

    (void) state;
    make_session(in_dir("rec"), "one", N, BYTES, 1000, id);
    give_times(in_dir("rec/one"));
    (void) mkdir(in_dir("usb"), 0755);
    s = open_engine(true);
    must(bp_sync_add_folder(s, in_dir("rec/one"), NULL, NULL, &err), &err);
    assert_int_equal(segments_there(s, 0), 0);
    assert_int_equal(fetch(s, id, 1150, 1250, "/camera*"), 0);
    assert_int_equal(fetch(s, id, 2000, 3000, NULL), 0);
    assert_int_equal(fetch(s, id, 1099, 1100, "/lid*"), 2); /* ends are in it */
    assert_int_equal(segments_there(s, 2), 2);
    assert_int_equal(fetch(s, id, 1150, 1250, NULL), 2);
    assert_int_equal(segments_there(s, 3), 3);                              /* one was there */
    must(bp_sync_add_folder(s, in_dir("rec/one"), NULL, NULL, &err), &err); /* looked at again */
    assert_int_equal(segments_there(s, 3), 3);
    assert_int_equal(bp_sync_is_safe(s, id, &err), 0);

    bp_sync_close(s); /* what was fetched outlives a restart */
    s = open_engine(true);
    assert_int_equal(segments_there(s, 3), 3);
    assert_int_equal(fetch(s, id, 0, 0, NULL), N);
    must(bp_sync_wait(s, 60 * BP_SEC, NULL, &err), &err);
    assert_int_equal(segments_there(s, N), N);
    for (unsigned i = 0; i < 3000 && bp_sync_is_safe(s, id, &err) == 0; i++)
        bp_sleep(10 * BP_MS);
    assert_int_equal(bp_sync_is_safe(s, id, &err), 1); /* all of it: it counts */

    assert_int_equal(
        bp_sync_fetch(s, &(struct bp_sync_fetch){ .session = "01KC0000000000000000000009" }, &got,
                      &err),
        -ENOENT);
}

/* Where everything goes anyhow, what is wanted goes, too, and once. */
static void hurry_what_is_wanted(void **state) {
    BP_CLEANUP(bp_sync_closep) struct bp_sync *s = NULL;
    struct bp_error err = { 0 };
    char id[BP_ULID_TEXT];

    (void) state;
    make_session(in_dir("rec"), "one", N, BYTES, 1000, id);
    give_times(in_dir("rec/one"));
    (void) mkdir(in_dir("usb"), 0755);
    s = open_engine(false);
    must(bp_sync_add_folder(s, in_dir("rec/one"), NULL, NULL, &err), &err);
    assert_int_equal(fetch(s, id, 1000, 1000, NULL), 1);
    must(bp_sync_wait(s, 60 * BP_SEC, NULL, &err), &err);
    assert_int_equal(segments_there(s, N), N);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(send_what_is_wanted, set_up_dir, tear_down_dir),
        cmocka_unit_test_setup_teardown(hurry_what_is_wanted, set_up_dir, tear_down_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
