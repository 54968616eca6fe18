#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>

#include "crypt/sign.h"
#include "sync/test-sync.h"

/* The engine against a disk, and what comes of it at the site. */

enum { PART = 64 << 10 };

static unsigned safe; /* [atomic] events */

static void count_events(void *ctx, const struct bp_sync_event *e) {
    (void) ctx;
    if (getenv("BP_TEST_EVENTS"))
        (void) fprintf(stderr, "# %s %s %s %s: %s\n", bp_sync_event_name(e->kind),
                       e->target ? e->target : "", e->session ? e->session : "",
                       e->file ? e->file : "", e->text ? e->text : "");
    if (e->kind == BP_SYNC_EV_SAFE)
        (void) __atomic_add_fetch(&safe, 1, __ATOMIC_RELAXED);
}

static struct bp_sync *open_engine(const char *root, const struct bp_sign_key *key,
                                   bool *ret_renewed) {
    char url[400];
    const char *roots[] = { in_dir("rec"), NULL };
    struct bp_sync_target_config c = { .name = "usb",
                                       .opts = { .url = url, .device = "robot7", .key = key } };
    struct bp_sync_opts o = { .path = in_dir("queue.db"),
                              .targets = &c,
                              .ntargets = 1,
                              .roots = roots,
                              .nroots = 1,
                              .device = "robot7",
                              .part_bytes = PART,
                              .no_hints = true,
                              .on_event = count_events };
    struct bp_sync *s = NULL;
    struct bp_error err = { 0 };

    (void) snprintf(url, sizeof url, "file://%s", root);
    must(bp_sync_open(&o, &s, ret_renewed, &err), &err);
    return s;
}

static void run(struct bp_sync *s) {
    struct bp_error err = { 0 };

    must(bp_sync_start(s, &err), &err);
    must(bp_sync_wait(s, 60 * BP_SEC, NULL, &err), &err);
    bp_sync_stop(s);
}

static void check_copy(const char *name, const char *id, unsigned n) {
    char a[400], b[400];

    for (unsigned i = 0; i <= n; i++) {
        char file[80];

        (void) snprintf(file, sizeof file, i < n ? "%s_%u.mcap" : "manifest.json", name, i);
        (void) snprintf(a, sizeof a, "%s/rec/%s/%s", test_dir, name, file);
        (void) snprintf(b, sizeof b, "%s/usb/sessions/%s.%s/%s", test_dir, name, id, file);
        if (!same_files(a, b))
            fail_msg("'%s' is not '%s'", b, a);
    }
}

static int told;

static int told_session(void *ctx, const char *device, const char *id, const char *dir,
                        const char *json) {
    (void) ctx;
    (void) dir;
    assert_string_equal(device, "robot7");
    assert_int_equal(strlen(id), 26);
    assert_non_null(strstr(json, "\"device\":\"robot7\""));
    told++;
    return 0;
}

static char why_refused[300];

static void refused(void *ctx, const char *what, const char *why) {
    (void) ctx;
    (void) snprintf(why_refused, sizeof why_refused, "%s: %s", what, why);
}

static int import(bool allow_unsigned) {
    struct bp_sync_import i = { .root = in_dir("usb"),
                                .allow_unsigned = allow_unsigned,
                                .session = told_session,
                                .refused = refused };
    struct bp_error err = { 0 };
    int r;

    told = 0;
    why_refused[0] = 0;
    r = bp_sync_import_shuttle(&i, &err);
    must(r, &err);
    assert_int_equal(r, told);
    return r;
}

static void carry_sessions(void **state) {
    BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *key = NULL;
    BP_CLEANUP(bp_sync_closep) struct bp_sync *s = NULL;
    struct bp_error err = { 0 };
    char a[BP_ULID_TEXT], b[BP_ULID_TEXT], path[400];
    struct bp_sync_status st;

    (void) state;
    safe = 0;
    must(bp_sign_key_new(&key, &err), &err);
    make_session(in_dir("rec"), "one", 5, 3 * PART + 17, 1000, a);
    make_session(in_dir("rec"), "two", 2, 0, 2000, b);
    (void) mkdir(in_dir("usb"), 0755);
    s = open_engine(in_dir("usb"), key, NULL);
    must(bp_sync_add_folder(s, in_dir("rec/one"), NULL, NULL, &err), &err);
    must(bp_sync_add_folder(s, in_dir("rec/two"), NULL, NULL, &err), &err);
    must(bp_sync_add_folder(s, in_dir("rec/two"), NULL, NULL, &err), &err); /* once is twice */
    assert_int_equal(bp_sync_is_safe(s, a, &err), 0);
    run(s);
    check_copy("one", a, 5);
    check_copy("two", b, 2);
    assert_int_equal(bp_sync_is_safe(s, a, &err), 1);
    assert_int_equal(safe, 2);

    must(bp_sync_get_status(s, &st, &err), &err);
    assert_int_equal(st.targets[0].done.files, 9);
    assert_int_equal(st.targets[0].waiting.files + st.targets[0].parked.files, 0);
    assert_int_equal(st.targets[0].resent, 0);
    bp_sync_status_done(&st);

    assert_int_equal(import(false), 2);
    /* one bit less */
    (void) snprintf(path, sizeof path, "%s/usb/sessions/one.%s/one_3.mcap", test_dir, a);
    write_random(path, 1, 3 * PART + 20);
    assert_int_equal(import(false), 1);
    assert_non_null(strstr(why_refused, "one_3.mcap: it is not as its device signed it"));
}

static void sign_nothing_of_others(void **state) {
    BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *key = NULL, *other = NULL;
    struct bp_error err = { 0 };
    char a[BP_ULID_TEXT], b[BP_ULID_TEXT];
    struct bp_sync *s;

    (void) state;
    must(bp_sign_key_new(&key, &err), &err);
    must(bp_sign_key_new(&other, &err), &err);
    (void) mkdir(in_dir("usb"), 0755);
    make_session(in_dir("rec"), "one", 1, 100, 1000, a);
    make_session(in_dir("rec"), "two", 1, 100, 1000, b);
    s = open_engine(in_dir("usb"), other, NULL);
    must(bp_sync_add_folder(s, in_dir("rec/one"), NULL, NULL, &err), &err);
    run(s);
    bp_sync_close(s);
    assert_int_equal(import(false), 1);
    s = open_engine(in_dir("usb"), key, NULL);
    must(bp_sync_add_folder(s, in_dir("rec/two"), NULL, NULL, &err), &err);
    run(s);
    bp_sync_close(s);
    assert_int_equal(import(false), 1); /* two alone: one's list was not ours */

    s = open_engine(in_dir("usb"), NULL, NULL);
    make_session(in_dir("rec"), "three", 1, 100, 1000, b);
    must(bp_sync_add_folder(s, in_dir("rec/three"), NULL, NULL, &err), &err);
    run(s);
    bp_sync_close(s);
    assert_int_equal(import(false), 0);
    assert_non_null(strstr(why_refused, "not signed"));
    assert_int_equal(import(true), 1);
}

/* A queue that is damaged is made anew, and finds that all is there. */
static void rebuild_a_damaged_queue(void **state) {
    struct bp_error err = { 0 };
    char a[BP_ULID_TEXT], junk[4096];
    bool renewed = false;
    struct bp_sync_status st;
    struct bp_sync *s;
    int fd;

    (void) state;
    make_session(in_dir("rec"), "one", 5, 2 * PART, 1000, a);
    (void) mkdir(in_dir("usb"), 0755);
    s = open_engine(in_dir("usb"), NULL, &renewed);
    must(bp_sync_add_folder(s, in_dir("rec/one"), NULL, NULL, &err), &err);
    run(s);
    bp_sync_close(s);
    assert_false(renewed);

    memset(junk, 0xa5, sizeof junk);
    fd = open(in_dir("queue.db"), O_WRONLY | O_CLOEXEC);
    for (off_t at = 2048; at < 40000; at += 8192)
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
    assert_int_equal(close(fd), 0);
    s = open_engine(in_dir("usb"), NULL, &renewed);
    assert_true(renewed);
    run(s);
    must(bp_sync_get_status(s, &st, &err), &err);
    assert_int_equal(st.targets[0].done.files, 6);
    assert_int_equal(st.targets[0].sent, 0);
    assert_true(st.targets[0].have > 10 * PART);
    bp_sync_status_done(&st);
    assert_int_equal(bp_sync_is_safe(s, a, &err), 1);
    bp_sync_close(s);
}

/* What was confirmed elsewhere counts no more. */
static void send_anew_to_another_place(void **state) {
    struct bp_error err = { 0 };
    struct bp_sync_status st;
    char a[BP_ULID_TEXT], b[BP_ULID_TEXT];
    struct bp_sync *s;

    (void) state;
    make_session(in_dir("rec"), "one", 5, 2 * PART, 1000, a);
    make_session(in_dir("rec"), "gone", 1, PART, 1000, b);
    (void) mkdir(in_dir("first"), 0755);
    (void) mkdir(in_dir("usb"), 0755);
    for (int i = 0; i < 2; i++) { /* twice the same place: nothing is sent again */
        s = open_engine(in_dir("first"), NULL, NULL);
        if (i == 0)
            must(bp_sync_add_folder(s, in_dir("rec/one"), NULL, NULL, &err), &err);
        if (i == 0)
            must(bp_sync_add_folder(s, in_dir("rec/gone"), NULL, NULL, &err), &err);
        assert_int_equal(bp_sync_is_safe(s, a, &err), i);
        run(s);
        must(bp_sync_get_status(s, &st, &err), &err);
        assert_int_equal(st.targets[0].sent > 0, i == 0);
        bp_sync_status_done(&st);
        bp_sync_close(s);
    }
    rm_tree(in_dir("rec/gone")); /* is nobody's business there */
    s = open_engine(in_dir("usb"), NULL, NULL);
    assert_int_equal(bp_sync_is_safe(s, a, &err), 0);
    run(s);
    assert_int_equal(bp_sync_is_safe(s, a, &err), 1);
    assert_int_equal(bp_sync_is_safe(s, b, &err), 0);
    check_copy("one", a, 5);
    bp_sync_close(s);
}

static void refuse_a_second_process(void **state) {
    BP_CLEANUP(bp_sync_closep) struct bp_sync *s = NULL;
    struct bp_sync_queue *q = NULL;
    struct bp_error err = { 0 };

    (void) state;
    (void) mkdir(in_dir("usb"), 0755);
    s = open_engine(in_dir("usb"), NULL, NULL);
    assert_int_equal(bp_sync_queue_open(in_dir("queue.db"), &q, NULL, &err), BP_EBUSY);
}

/* Four parts of 16 MiB on their way take no more memory than four small ones. */
static void stay_small(void **state) {
    struct bp_sync_target_config c = { .name = "usb", .opts = { .device = "robot7" } };
    struct bp_sync_opts o = { .targets = &c, .ntargets = 1, .device = "robot7", .no_hints = true };
    BP_CLEANUP(bp_sync_closep) struct bp_sync *s = NULL;
    struct bp_error err = { 0 };
    struct rusage before, after;
    char url[400], path[400];
    int fd;

    (void) state;
    (void) snprintf(url, sizeof url, "file://%s/usb", test_dir);
    (void) snprintf(path, sizeof path, "%s/q.db", test_dir);
    c.opts.url = url;
    o.path = path;
    (void) mkdir(in_dir("usb"), 0755);
    (void) mkdir(in_dir("rec"), 0755);
    (void) mkdir(in_dir("rec/big"), 0755);
    fd = open(in_dir("rec/big/big_0.mcap"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(fd, (128 << 20) + 5), 0);
    assert_int_equal(close(fd), 0);
    must(bp_sync_open(&o, &s, NULL, &err), &err);
    must(bp_sync_add_folder(s, in_dir("rec/big"), NULL, NULL, &err), &err);
    (void) getrusage(RUSAGE_SELF, &before);
    run(s);
    (void) getrusage(RUSAGE_SELF, &after);
    print_message("# %ld KiB more\n", after.ru_maxrss - before.ru_maxrss);
    assert_true(after.ru_maxrss - before.ru_maxrss < 16 << 10);
}

static void know_what_is_no_target(void **state) {
    static const char *const urls[] = {
        "", "mnt", "file:/mnt", "file://mnt/usb", "ftp://x/y", "://"
    };
    struct bp_sync_target t = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(urls); i++) {
        struct bp_sync_target_opts o = { .url = urls[i] };

        assert_int_equal(bp_sync_target_open(&o, &t, &err), BP_EUSAGE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(carry_sessions, set_up_dir, tear_down_dir),
        cmocka_unit_test_setup_teardown(sign_nothing_of_others, set_up_dir, tear_down_dir),
        cmocka_unit_test_setup_teardown(rebuild_a_damaged_queue, set_up_dir, tear_down_dir),
        cmocka_unit_test_setup_teardown(send_anew_to_another_place, set_up_dir, tear_down_dir),
        cmocka_unit_test_setup_teardown(refuse_a_second_process, set_up_dir, tear_down_dir),
        cmocka_unit_test_setup_teardown(stay_small, set_up_dir, tear_down_dir),
        cmocka_unit_test(know_what_is_no_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
