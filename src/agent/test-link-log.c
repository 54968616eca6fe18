#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/link-log.h"
#include "base/macro.h"
#include "base/ulid.h"

static char dir[] = "/tmp/bp-test-link-XXXXXX", path[64];

static struct bp_link_log *open_log(uint64_t max) {
    struct bp_link_log *l = NULL;
    struct bp_error err = { 0 };

    if (bp_link_log_open(path, max, &l, &err) < 0)
        fail_msg("%s", err.text);
    return l;
}

static void add(struct bp_link_log *l, enum bp_link_class c, const char *data) {
    assert_int_equal(
        bp_link_log_add(l, &(struct bp_link_event){ .class = c, .wall_ns = 7, .data = data }, 1,
                        NULL),
        0);
}

static int make_dir(void **state) {
    (void) state;
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/link.db", dir);
    return 0;
}

static int remove_file(void **state) {
    char text[120];

    (void) state;
    for (int i = 0; i < 3; i++) {
        (void) snprintf(text, sizeof text, "%s%s", path, i == 0 ? "" : i == 1 ? "-wal" : "-shm");
        (void) unlink(text);
    }
    return 0;
}

static int remove_dir(void **state) {
    char text[128];

    (void) state;
    (void) snprintf(text, sizeof text, "rm -r %s", dir);
    return system(text); /* NOLINT(cert-env33-c): our own folder */
}

static json_int_t seq_at(const json_t *list, size_t i) {
    return json_integer_value(json_object_get(json_array_get(list, i), "seq"));
}

/* What was added is read in order, also by a later life, until it is acknowledged. */
static void keeps_until_acknowledged(void **state) {
    struct bp_link_log *l = open_log(1 << 20);
    char id[27];
    uint64_t last, n, bytes;
    json_t *list = NULL;

    (void) state;
    (void) snprintf(id, sizeof id, "%s", bp_link_log_id(l));
    add(l, BP_LINK_ALERTS, "{\"a\":1}");
    add(l, BP_LINK_LOG, "{\"b\":2}");
    add(l, BP_LINK_SESSIONS, "{\"c\":3}");
    bp_link_log_close(l);

    l = open_log(1 << 20);
    assert_string_equal(bp_link_log_id(l), id);
    assert_int_equal(bp_link_log_read(l, 0, 10, 1 << 20, &list, &last, NULL), 3);
    assert_int_equal(last, 3);
    assert_int_equal(seq_at(list, 1), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 2), "topic")),
                        "sessions");
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "time_ns")),
                        "7");
    json_decref(list);
    assert_int_equal(bp_link_log_read(l, 0, 10, 1, &list, &last, NULL), 1); /* one, however large */
    json_decref(list);
    assert_int_equal(bp_link_log_ack(l, 2, NULL), 0);
    assert_int_equal(bp_link_log_ack(l, 1, NULL), 0);
    assert_int_equal(bp_link_log_acked(l), 2);
    bp_link_log_size(l, &n, &bytes);
    assert_int_equal(n, 1);
    assert_int_equal(bytes, 7 + 64);
    assert_int_equal(bp_link_log_ack(l, 3, NULL), 0);
    bp_link_log_close(l);

    l = open_log(1 << 20); /* empty, and yet no number comes again */
    add(l, BP_LINK_LOG, "{}");
    assert_int_equal(bp_link_log_acked(l), 3);
    assert_int_equal(bp_link_log_read(l, 3, 10, 1 << 20, &list, &last, NULL), 1);
    assert_int_equal(last, 4);
    json_decref(list);
    bp_link_log_close(l);
}

/* The oldest of the least important go, and are counted; alerts are last. */
static void drops_what_matters_least(void **state) {
    struct bp_link_log *l = open_log(100 * (64 + 2));
    json_t *dropped, *list = NULL;
    uint64_t last, n, bytes;
    size_t i, seen[BP_LINK_CLASSES] = { 0 };
    json_t *e;

    (void) state;
    for (i = 0; i < 60; i++)
        add(l, BP_LINK_ALERTS, "{}");
    for (i = 0; i < 200; i++)
        add(l, BP_LINK_STATUS, "{}");
    for (i = 0; i < 200; i++)
        add(l, BP_LINK_LOG, "{}");
    bp_link_log_size(l, &n, &bytes);
    assert_true(n <= 100 && bytes <= 100 * 66);
    assert_true(bp_link_log_read(l, 0, 1000, 1 << 20, &list, &last, NULL) > 0);
    json_array_foreach(list, i, e) {
        for (int c = 0; c < BP_LINK_CLASSES; c++)
            seen[c] += !strcmp(json_string_value(json_object_get(e, "topic")),
                               bp_link_class_text((enum bp_link_class) c));
    }
    assert_int_equal(last, 460); /* the newest is there */
    assert_int_equal(seen[BP_LINK_ALERTS], 60);
    assert_int_equal(seen[BP_LINK_STATUS], 0);
    json_decref(list);
    for (int life = 0; life < 2; life++) {
        dropped = bp_link_log_dropped(l);
        assert_int_equal(json_integer_value(json_object_get(dropped, "status")), 200);
        assert_int_equal(json_integer_value(json_object_get(dropped, "log")),
                         200 - seen[BP_LINK_LOG]);
        assert_null(json_object_get(dropped, "alerts"));
        json_decref(dropped);
        bp_link_log_close(l);
        l = open_log(100 * 66);
    }
    bp_link_log_close(l);
}

static void count_result(void *ctx, const char *id, const char *result) {
    (void) id;
    assert_string_equal(result, "{\"status\":200}");
    ++*(int *) ctx;
}

/* A command is new once, also for a later life. */
static void commands_are_new_once(void **state) {
    static const char id[] = "01M8HDGVD99BZG2A0J7KVH1JFR", other[] = "01M8HDGVD99BZG2A0J7KVH1JFS";
    struct bp_link_log *l = open_log(1 << 20);
    char *known;
    int n = 0;

    (void) state;
    assert_int_equal(bp_link_log_begin(l, id, &known, NULL), 0);
    assert_int_equal(bp_link_log_begin(l, id, &known, NULL), 1);
    assert_null(known);
    bp_link_log_close(l);
    l = open_log(1 << 20);
    assert_int_equal(bp_link_log_begin(l, id, &known, NULL), 1);
    assert_null(known);
    assert_int_equal(bp_link_log_begin(l, other, &known, NULL), 0);
    assert_int_equal(bp_link_log_result(l, id, "{\"status\":200}", NULL), 0);
    assert_int_equal(bp_link_log_begin(l, id, &known, NULL), 1);
    assert_string_equal(known, "{\"status\":200}");
    free(known);
    assert_int_equal(bp_link_log_each_result(l, count_result, &n, NULL), 0);
    assert_int_equal(bp_link_log_got(l, id, NULL), 0);
    assert_int_equal(bp_link_log_each_result(l, count_result, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(bp_link_log_begin(l, id, &known, NULL), 1);
    assert_string_equal(known, "");
    free(known);
    bp_link_log_close(l);
}

/* A file that is no database: a new log begins, the old file is kept. */
static void damaged_is_set_aside(void **state) {
    struct bp_link_log *l = open_log(1 << 20);
    char id[27], noise[8192];
    FILE *f;

    (void) state;
    (void) snprintf(id, sizeof id, "%s", bp_link_log_id(l));
    bp_link_log_close(l);
    memset(noise, 'x', sizeof noise);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(noise, 1, sizeof noise, f), sizeof noise);
    assert_int_equal(fclose(f), 0);
    l = open_log(1 << 20);
    assert_string_not_equal(bp_link_log_id(l), id);
    assert_int_equal(bp_link_log_acked(l), 0);
    bp_link_log_close(l);
}

/* Put back from an older copy: what is written next has numbers that the server knows already. */
static void older_copy_is_told_anew(void **state) {
    struct bp_link_log *l = open_log(1 << 20);
    char was[BP_ULID_TEXT];
    json_t *list = NULL;
    uint64_t last = 0;

    (void) state;
    (void) snprintf(was, sizeof was, "%s", bp_link_log_id(l));
    add(l, BP_LINK_ALERTS, "1");
    add(l, BP_LINK_ALERTS, "2");
    assert_int_equal(bp_link_log_meet(l, 1, NULL), 0);
    assert_int_equal(bp_link_log_acked(l), 1);
    assert_string_equal(bp_link_log_id(l), was);
    assert_int_equal(bp_link_log_meet(l, 500, NULL), 1);
    assert_string_not_equal(bp_link_log_id(l), was);
    assert_int_equal(bp_link_log_acked(l), 1);
    (void) snprintf(was, sizeof was, "%s", bp_link_log_id(l));
    bp_link_log_close(l);

    l = open_log(1 << 20);
    assert_string_equal(bp_link_log_id(l), was);
    assert_int_equal(bp_link_log_read(l, bp_link_log_acked(l), 9, 9999, &list, &last, NULL), 1);
    json_decref(list);
    assert_int_equal(last, 2);
    assert_int_equal(bp_link_log_meet(l, 2, NULL), 0);
    bp_link_log_close(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(keeps_until_acknowledged, remove_file),
        cmocka_unit_test_teardown(drops_what_matters_least, remove_file),
        cmocka_unit_test_teardown(commands_are_new_once, remove_file),
        cmocka_unit_test_teardown(damaged_is_set_aside, remove_file),
        cmocka_unit_test_teardown(older_copy_is_told_anew, remove_file),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
