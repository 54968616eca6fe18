#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "base/buf.h"
#include "catalog/keep.h"

static char dir[] = "/tmp/bp-keep-XXXXXX";
static char path[64];

static int set_up(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-keep-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/catalog.db", dir);
    return 0;
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw) {
    (void) st;
    (void) type;
    (void) ftw;
    return remove(name);
}

static int tear_down(void **state) {
    (void) state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct bp_catalog *open_it(void) {
    struct bp_catalog *c = NULL;
    struct bp_error err = { 0 };

    if (bp_catalog_open(path, &c, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static const char ID[] = "01HZZZZZZZZZZZZZZZZZ000001", OTHER[] = "01HZZZZZZZZZZZZZZZZZ000002";

static void put(struct bp_catalog *c, const char *id, enum bp_session_status status) {
    struct bp_catalog_session s = { .status = status,
                                    .name = (char[]){ "run" },
                                    .dir = (char[]){ "/d/run" },
                                    .started_ns = 5,
                                    .bytes = 7 };
    struct bp_error err = { 0 };

    memcpy(s.id, id, sizeof s.id);
    if (bp_catalog_put(c, &s, &err) < 0)
        fail_msg("%s", err.text);
}

static int count(void *ctx, const struct bp_catalog_keep *k) {
    assert_true(*k->id && *k->class_);
    ++*(unsigned *) ctx;
    return 0;
}

static unsigned listed(struct bp_catalog *c) {
    struct bp_error err = { 0 };
    unsigned n = 0;

    assert_int_equal(bp_catalog_each_keep(c, count, &n, &err), 0);
    return n;
}

/* A later put, as every start and stop makes, leaves what is told here; so does a restart. */
static void columns_of_their_own(void **state) {
    struct bp_catalog *c = open_it();
    struct bp_catalog_mark m = { .wall_ns = 6,
                                 .text = (char[]){ "x" },
                                 .values = (char[]){ "{}" } };
    BP_AUTO_CATALOG_KEEP k = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    put(c, ID, BP_STATUS_RECORDING);
    assert_int_equal(bp_catalog_get_keep(c, ID, &k, &err), 0);
    assert_true(!k.keep && k.uploaded_ns == 0 && k.marks == 0 && k.bytes == 7);
    assert_string_equal(k.class_, "session");
    assert_int_equal(bp_catalog_set_keep(c, ID, true, &err), 0);
    assert_int_equal(bp_catalog_set_uploaded(c, ID, 1234567890123456789, &err), 0);
    assert_int_equal(bp_catalog_add_mark(c, ID, &m, &err), 0);
    put(c, ID, BP_STATUS_FINISHED);
    bp_catalog_close(c);
    c = open_it();
    bp_catalog_keep_done(&k);
    assert_int_equal(bp_catalog_get_keep(c, ID, &k, &err), 0);
    assert_true(k.keep && k.uploaded_ns == 1234567890123456789 && k.marks == 1);
    assert_int_equal(k.status, BP_STATUS_FINISHED);
    assert_string_equal(k.dir, "/d/run");
    assert_int_equal(bp_catalog_set_keep(c, ID, false, &err), 0);
    bp_catalog_keep_done(&k);
    assert_int_equal(bp_catalog_get_keep(c, ID, &k, &err), 0);
    assert_true(!k.keep);
    bp_catalog_close(c);
}

static void tombstones(void **state) {
    struct bp_catalog *c = open_it();
    BP_AUTO_CATALOG_KEEP k = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    put(c, ID, BP_STATUS_FINISHED);
    put(c, OTHER, BP_STATUS_RECORDING);
    assert_int_equal(listed(c), 2);
    assert_int_equal(bp_catalog_bury(c, ID, 99, "older than max_age", &err), 0);
    assert_int_equal(listed(c), 1);
    assert_int_equal(bp_catalog_get_keep(c, ID, &k, &err), 0);
    assert_true(k.status == BP_STATUS_DELETED && k.deleted_ns == 99);
    assert_string_equal(k.deleted_why, "older than max_age");
    bp_catalog_close(c);
}

static void nobody(void **state) {
    struct bp_catalog *c = open_it();
    struct bp_catalog_keep k = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(bp_catalog_get_keep(c, ID, &k, &err), -ENOENT);
    assert_int_equal(bp_catalog_set_keep(c, ID, true, &err), -ENOENT);
    assert_int_equal(bp_catalog_set_uploaded(c, ID, 1, &err), -ENOENT);
    assert_int_equal(bp_catalog_bury(c, ID, 1, "x", &err), -ENOENT);
    bp_catalog_close(c);
}

/* One made by the first version: its sessions are plain ones that nobody has uploaded. */
static void from_the_first_version(void **state) {
    struct bp_catalog *c = open_it();
    BP_AUTO_CATALOG_KEEP k = { 0 };
    struct bp_error err = { 0 };
    sqlite3 *db = NULL;

    (void) state;
    put(c, ID, BP_STATUS_FINISHED);
    bp_catalog_close(c);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "ALTER TABLE sessions DROP COLUMN class;"
                                  "ALTER TABLE sessions DROP COLUMN uploaded_ns;"
                                  "ALTER TABLE sessions DROP COLUMN keep;"
                                  "ALTER TABLE sessions DROP COLUMN deleted_ns;"
                                  "ALTER TABLE sessions DROP COLUMN deleted_why;"
                                  "DROP TABLE logins; DROP TABLE users; DROP TABLE tokens;"
                                  "DROP TABLE jobs; DROP TABLE IF EXISTS enrolments;"
                                  "ALTER TABLE sessions DROP COLUMN sync;"
                                  "PRAGMA user_version = 1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    c = open_it();
    assert_int_equal(bp_catalog_get_keep(c, ID, &k, &err), 0);
    assert_string_equal(k.class_, "session");
    assert_true(k.uploaded_ns == 0 && !k.keep);
    bp_catalog_close(c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(columns_of_their_own),
        CASE(tombstones),
        CASE(nobody),
        CASE(from_the_first_version),
    };

    return cmocka_run_group_tests_name("catalog/keep", tests, NULL, NULL);
}
