#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "server/links/store.h"

/* links.db by itself: what of it may be acknowledged. */

static char dir[] = "/tmp/bp-test-links-XXXXXX", path[64];
static const char log_id[] = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

enum { RESULTS = 8 };

struct results {
    int r[RESULTS]; /* in order */
    size_t n;
};

static void on_stored(void *ctx, struct bp_links_batch *b, int r) {
    struct results *res = ctx;

    if (b->events)
        res->r[res->n++] = r;
    bp_links_batch_free(b);
}

static void on_device(void *ctx, const char *device, const char *log, uint64_t last,
                      bp_ns_t wall_seen, const char *about) {
    (void) device, (void) log, (void) wall_seen, (void) about;
    *(uint64_t *) ctx = last;
}

static struct bp_links_store *open_store(struct results *res, uint64_t *ret_last) {
    struct bp_links_store *s = NULL;
    struct bp_error err = { 0 };

    if (bp_links_store_open(&(struct bp_links_store_opts){ .path = path,
                                                           .max_events = 100,
                                                           .max_bytes = 1 << 20,
                                                           .stored = on_stored,
                                                           .ctx = res },
                            &s, &err) < 0 ||
        bp_links_store_each(s, on_device, ret_last, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

/* An event `seq`, told behind `after` at a time. */
static void put_at(struct bp_links_store *s, const char *device, uint64_t after, uint64_t seq,
                   bp_ns_t wall_ns) {
    struct bp_links_batch *b = calloc(1, sizeof *b);

    assert_non_null(b);
    (void) snprintf(b->device, sizeof b->device, "%s", device);
    (void) snprintf(b->log, sizeof b->log, "%s", log_id);
    b->after = after;
    b->last = seq;
    b->wall_ns = wall_ns;
    b->events = json_pack("[{s:I, s:s, s:s, s:{}}]", "seq", (json_int_t) seq, "time_ns", "7",
                          "topic", "log", "data");
    assert_non_null(b->events);
    assert_int_equal(bp_links_store_put(s, b), 0);
}

static void put(struct bp_links_store *s, const char *device, uint64_t after, uint64_t seq) {
    put_at(s, device, after, seq, 1);
}

/* @param device  or "": those seen before then */
static void forget(struct bp_links_store *s, const char *device, bp_ns_t before) {
    struct bp_links_batch *b = calloc(1, sizeof *b);

    assert_non_null(b);
    (void) snprintf(b->device, sizeof b->device, "%s", device);
    b->wall_ns = before;
    b->forget = true;
    assert_int_equal(bp_links_store_put(s, b), 0);
}

static size_t count(struct bp_links_store *s, const char *device) {
    json_t *o = NULL;
    size_t n;

    assert_int_equal(bp_links_store_events(s, device, 0, 100, &o, NULL), 0);
    n = json_array_size(json_object_get(o, "events"));
    json_decref(o);
    return n;
}

/* The first of two that were on their way was not written: the second must not be either, or its
 * acknowledgement had the agent throw away both. Another device's are not held up. */
static void test_torn(void **state) {
    struct results res = { 0 };
    uint64_t last = 0;
    struct bp_links_store *s = open_store(&res, &last);

    (void) state;
    put(s, "a", 0, 1);
    put(s, "a", 128, 200);
    put(s, "a", 200, 201);
    put(s, "b", 0, 5);
    put(s, "a", 1, 2);
    bp_links_store_close(s);
    assert_int_equal(res.n, 5);
    assert_int_equal(res.r[0], 0);
    assert_int_equal(res.r[1], -EAGAIN);
    assert_int_equal(res.r[2], -EAGAIN);
    assert_int_equal(res.r[3], 0);
    assert_int_equal(res.r[4], 0);
    s = open_store(&res, &last);
    assert_int_equal(count(s, "a"), 2);
    assert_int_equal(count(s, "b"), 1);
    bp_links_store_close(s);
}

/* One that was removed, and those that are silent, go with all they told; others stay, and one that
 * comes back begins where it says. */
static void test_forget(void **state) {
    struct results res = { 0 };
    uint64_t last = 0;
    struct bp_links_store *s = open_store(&res, &last);

    (void) state;
    put_at(s, "gone", 0, 1, 900);
    put_at(s, "old", 0, 7, 100);
    put_at(s, "new", 0, 9, 800);
    forget(s, "gone", 0);
    forget(s, "", 500);
    put_at(s, "gone", 1, 2, 950); /* was on its way: what it follows is not there any more */
    bp_links_store_close(s);
    assert_int_equal(res.n, 4);
    assert_int_equal(res.r[3], -EAGAIN);
    s = open_store(&res, &last);
    assert_int_equal(count(s, "gone"), 0);
    assert_int_equal(count(s, "old"), 0);
    assert_int_equal(count(s, "new"), 1);
    put_at(s, "old", 0, 8, 1000);
    bp_links_store_close(s);
    s = open_store(&res, &last);
    assert_int_equal(last, 9); /* the last of the list is the one seen longest ago */
    assert_int_equal(count(s, "old"), 1);
    bp_links_store_close(s);
}

static void overwrite(const char *name, const char *text) {
    FILE *f = fopen(name, "we");

    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        (void) fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* A damaged one is set aside, and all begins anew. */
static void test_damaged(void **state) {
    struct results res = { 0 };
    uint64_t last = 0;
    struct bp_links_store *s;
    char text[80];

    (void) state;
    overwrite(path, "no database");
    s = open_store(&res, &last);
    assert_int_equal(last, 0);
    put(s, "a", 0, 3);
    bp_links_store_close(s);
    assert_int_equal(res.r[0], 0);
    s = open_store(&res, &last);
    assert_int_equal(last, 3);
    bp_links_store_close(s);
    (void) snprintf(text, sizeof text, "ls %s/links.db.damaged-* >/dev/null", dir);
    assert_int_equal(system(text), 0); /* NOLINT(cert-env33-c): of a path of ours */
}

static int make_dir(void **state) {
    (void) state;
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/links.db", dir);
    return 0;
}

static int remove_dir(void **state) {
    char text[64];

    (void) state;
    (void) snprintf(text, sizeof text, "rm -rf %s", dir);
    return system(text); /* NOLINT(cert-env33-c): of a path of ours */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
