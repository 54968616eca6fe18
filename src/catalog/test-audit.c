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
#include "catalog/audit.h"

static char dir[32], path[64];

static int set_up(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-audit-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/audit.db", dir);
    return 0;
}

static int tear_down(void **state) {
    char command[64];

    (void) state;
    (void) snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command); /* NOLINT(cert-env33-c): a folder of our own */
}

static struct bp_audit *open_it(bool *renewed) {
    struct bp_audit *a = NULL;
    struct bp_error err = { 0 };

    if (bp_audit_open(path, &a, renewed, &err) < 0)
        fail_msg("%s", err.text);
    return a;
}

static void add(struct bp_audit *a, int n) {
    struct bp_error err = { 0 };
    char subject[32];

    for (int i = 0; i < n; i++) {
        struct bp_audit_entry e = { .who = i % 2 ? "admin" : "device:r7",
                                    .from = "192.0.2.7",
                                    .action = i % 3 ? "session.edit" : "device.accept",
                                    .subject = subject,
                                    .details = "{}",
                                    .wall_ns = 1000 + i };

        (void) snprintf(subject, sizeof subject, "S%d", i);
        if (bp_audit_add(a, &e, &err) < 0)
            fail_msg("%s", err.text);
    }
}

/* By somebody who has the file and SQL. */
static void sql(const char *text) {
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "DROP TRIGGER IF EXISTS audit_stays;"
                                  "DROP TRIGGER IF EXISTS audit_keeps;",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void finds_what_was_done(void **state) {
    static const struct {
        const char *what, *sql, *place;
    } cases[] = {
        { "changed", "UPDATE audit SET who = 'nobody' WHERE number = 4", "entry 4 " },
        { "time", "UPDATE audit SET wall_ns = 1 WHERE number = 9", "entry 9 " },
        { "moved between fields",
          "UPDATE audit SET who = who || 'x', peer = substr(peer, 2) WHERE number = 3",
          "entry 3 " },
        { "dropped", "DELETE FROM audit WHERE number = 5", "entry 5 " },
        { "dropped and renumbered",
          "DELETE FROM audit WHERE number = 5; UPDATE audit SET number = number - 1 WHERE number > "
          "5",
          "entry 5 " },
        { "the first dropped", "DELETE FROM audit WHERE number = 1", "entry 1 " },
        { "swapped",
          "UPDATE audit SET number = -1 WHERE number = 6; UPDATE audit SET number = 6 WHERE number "
          "= 7; UPDATE audit SET number = 7 WHERE number = -1",
          "entry 6 " },
        { "hash", "UPDATE audit SET hash = zeroblob(32) WHERE number = 8", "entry 8 " },
        { "inserted",
          "INSERT INTO audit SELECT 11, wall_ns, who, peer, action, subject, details, "
          "hash FROM audit WHERE number = 10",
          "entry 11 " },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_error err = { 0 };
        struct bp_audit *a;
        int64_t n = 0;

        (void) unlink(path);
        a = open_it(NULL);
        add(a, 10);
        assert_int_equal(bp_audit_verify(a, NULL, &n, &err), 0);
        assert_int_equal(n, 10);
        bp_audit_close(a);
        sql(cases[i].sql);
        a = open_it(NULL);
        if (bp_audit_verify(a, NULL, &n, &err) != BP_EMISMATCH || !strstr(err.text, cases[i].place))
            fail_msg("%s: %s", cases[i].what, err.text);
        bp_audit_close(a);
    }
}

/* The newest cut off: nothing in the file tells, a head that was kept does; so it does when
 * somebody writes them anew. */
static void a_kept_head_tells(void **state) {
    struct bp_audit_entry head = { 0 };
    struct bp_error err = { 0 };
    struct bp_audit *a = open_it(NULL);
    int64_t n = 0;

    (void) state;
    add(a, 10);
    assert_int_equal(bp_audit_head(a, &head.number, head.hash, &err), 0);
    assert_int_equal(head.number, 10);
    add(a, 1);
    assert_int_equal(bp_audit_verify(a, &head, &n, &err), 0);
    bp_audit_close(a);
    sql("DELETE FROM audit WHERE number > 8");
    a = open_it(NULL);
    assert_int_equal(bp_audit_verify(a, NULL, &n, &err), 0);
    assert_int_equal(bp_audit_verify(a, &head, &n, &err), BP_EMISMATCH);
    add(a, 3);
    assert_int_equal(bp_audit_verify(a, NULL, &n, &err), 0);
    assert_int_equal(bp_audit_verify(a, &head, &n, &err), BP_EMISMATCH);
    bp_audit_close(a);
}

static int count(void *ctx, const struct bp_audit_entry *e) {
    int64_t *last = ctx;

    assert_true(last[1] == 0 || e->number < last[1]);
    last[1] = e->number;
    last[0]++;
    return 0;
}

static void lists(void **state) {
    struct bp_audit *a = open_it(NULL);
    struct bp_error err = { 0 };
    static const struct {
        struct bp_audit_query q;
        int64_t n;
    } cases[] = {
        { { 0 }, 30 },
        { { .who = "admin" }, 15 },
        { { .action = "session." }, 20 },
        { { .action = "session.edit", .who = "admin" }, 10 },
        { { .action = "session" }, 0 },
        { { .subject = "S7" }, 1 },
        { { .from = 1010, .to = 1020 }, 10 },
        { { .before = 6 }, 5 },
        { { .limit = 7 }, 7 },
    };

    (void) state;
    add(a, 30);
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        int64_t seen[2] = { 0, 0 };

        assert_int_equal(bp_audit_list(a, &cases[i].q, count, seen, &err), 0);
        assert_int_equal(seen[0], cases[i].n);
    }
    bp_audit_close(a);
}

static void triggers_hold(void **state) {
    struct bp_audit *a = open_it(NULL);
    sqlite3 *db = NULL;

    (void) state;
    add(a, 2);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "UPDATE audit SET who = 'x'", NULL, NULL, NULL),
                         SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "DELETE FROM audit", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    bp_audit_close(a);
}

static int first_action(void *ctx, const struct bp_audit_entry *e) {
    (void) snprintf(ctx, 32, "%s", e->action);
    return 1;
}

static void damaged(void **state) {
    struct bp_audit *a = open_it(NULL);
    struct bp_error err = { 0 };
    bool renewed = false;
    char action[32] = "";
    FILE *f;

    (void) state;
    add(a, 100);
    bp_audit_close(a);
    f = fopen(path, "r+");
    assert_non_null(f);
    for (int i = 0; i < 4096; i++)
        (void) fputc(0x5a, f);
    (void) fclose(f);
    a = open_it(&renewed);
    assert_true(renewed);
    assert_int_equal(bp_audit_list(a, &(struct bp_audit_query){ 0 }, first_action, action, &err),
                     1);
    assert_string_equal(action, "audit.renewed");
    bp_audit_close(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_what_was_done, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_kept_head_tells, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(triggers_hold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("catalog/audit", tests, NULL, NULL);
}
