#include "catalog/accounts.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/buf.h"

static char dir[64], path[96], marker[128];
static struct bp_catalog *c;

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw) {
    (void) st;
    (void) type;
    (void) ftw;
    return remove(name);
}

static void open_it(bool *renewed) {
    struct bp_error err = { 0 };

    bp_catalog_close(BP_TAKE_PTR(c));
    if (bp_catalog_open(path, &c, renewed, &err) < 0)
        fail_msg("%s", err.text);
}

static int set_up(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-accounts-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/catalog.db", dir);
    (void) snprintf(marker, sizeof marker, "%s.accounts", path);
    open_it(NULL);
    return 0;
}

static int tear_down(void **state) {
    (void) state;
    bp_catalog_close(BP_TAKE_PTR(c));
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const struct bp_catalog_user alice = { "alice", "admin", "$scrypt$x", false, 10, 0, "" };
static const struct bp_catalog_user bob = { "bob'; --", "viewer", "$scrypt$y",       true,
                                            20,         30,       "hall-* group:lab" };
static const struct bp_catalog_token token = {
    { 1, 2, 3 }, "grafana", "viewer", 5, 6, 0, "hall-1"
};

static void put_all(void) {
    struct bp_catalog_login login = { { 9 }, "alice", 40, 40 };

    assert_int_equal(bp_catalog_put_user(c, &alice, false, NULL), 0);
    assert_int_equal(bp_catalog_put_user(c, &bob, false, NULL), 0);
    assert_int_equal(bp_catalog_put_token(c, &token, NULL), 0);
    assert_int_equal(bp_catalog_put_login(c, &login, NULL), 0);
    login.digest[0] = 8;
    assert_int_equal(bp_catalog_put_login(c, &login, NULL), 0);
}

static struct bp_catalog_accounts get(void) {
    struct bp_catalog_accounts a = { 0 };
    struct bp_error err = { 0 };

    if (bp_catalog_accounts(c, &a, &err) < 0)
        fail_msg("%s", err.text);
    return a;
}

static void in_and_out(void **state) {
    struct bp_catalog_accounts a;

    (void) state;
    put_all();
    open_it(NULL);
    a = get();
    assert_int_equal(a.nusers, 2);
    assert_int_equal(a.ntokens, 1);
    assert_int_equal(a.nlogins, 2);
    assert_memory_equal(&a.users[0], &alice, sizeof alice);
    assert_memory_equal(&a.users[1], &bob, sizeof bob);
    assert_memory_equal(&a.tokens[0], &token, sizeof token);
    assert_string_equal(a.logins[0].user, "alice");
    assert_false(a.lost);
    bp_catalog_accounts_done(&a);
}

static void changes(void **state) {
    struct bp_catalog_login nobodys = { { 7 }, "carol", 1, 1 };
    struct bp_catalog_user u = alice;
    struct bp_catalog_accounts a, used = { 0 };

    (void) state;
    put_all();
    assert_int_equal(bp_catalog_put_login(c, &nobodys, NULL), -ENOENT);
    (void) snprintf(u.role, sizeof u.role, "operator");
    assert_int_equal(bp_catalog_put_user(c, &u, false, NULL), 0);
    a = get();
    assert_int_equal(a.nlogins, 2); /* they stay when not told otherwise */
    a.users[0].used_ns = 77;
    a.tokens[0].used_ns = 78;
    a.logins[0].used_ns = 79;
    used = a;
    used.nlogins = 1;
    assert_int_equal(bp_catalog_used(c, &used, NULL), 0);
    bp_catalog_accounts_done(&a);
    a = get();
    assert_string_equal(a.users[0].role, "operator");
    assert_true(a.users[0].used_ns == 77 && a.tokens[0].used_ns == 78 && a.logins[0].used_ns == 79);
    bp_catalog_accounts_done(&a);

    assert_int_equal(bp_catalog_remove_login(c, (uint8_t[32]){ 9 }, NULL), 0);
    a = get();
    assert_int_equal(a.nlogins, 1);
    bp_catalog_accounts_done(&a);
    assert_int_equal(bp_catalog_put_user(c, &u, true, NULL), 0);
    a = get();
    assert_true(a.nlogins == 0 && a.nusers == 2);
    bp_catalog_accounts_done(&a);
}

/* A user's logins go with the user; the marker goes with the last account. */
static void removed(void **state) {
    struct bp_catalog_accounts a;

    (void) state;
    assert_int_not_equal(access(marker, F_OK), 0);
    put_all();
    assert_int_equal(access(marker, F_OK), 0);
    assert_int_equal(bp_catalog_remove_user(c, "alice", NULL), 0);
    assert_int_equal(bp_catalog_remove_user(c, "alice", NULL), 0);
    a = get();
    assert_true(a.nusers == 1 && a.nlogins == 0);
    bp_catalog_accounts_done(&a);
    assert_int_equal(bp_catalog_remove_user(c, bob.name, NULL), 0);
    assert_int_equal(access(marker, F_OK), 0);
    assert_int_equal(bp_catalog_remove_token(c, token.digest, NULL), 0);
    assert_int_not_equal(access(marker, F_OK), 0);
    a = get();
    assert_true(a.nusers + a.ntokens == 0 && !a.lost);
    bp_catalog_accounts_done(&a);
}

/* A database that is damaged or gone says that accounts were lost, until there are some again. */
static void lost(void **state) {
    struct bp_catalog_accounts a;
    bool renewed = false;
    int fd;

    (void) state;
    put_all();
    bp_catalog_close(BP_TAKE_PTR(c));
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "rubbish rubbish ", 16, 0), 16);
    (void) close(fd);
    open_it(&renewed);
    assert_true(renewed);
    a = get();
    assert_true(a.lost && a.nusers == 0);
    bp_catalog_accounts_done(&a);
    assert_int_equal(bp_catalog_put_user(c, &alice, false, NULL), 0);
    a = get();
    assert_false(a.lost);
    bp_catalog_accounts_done(&a);
}

/* Catalogues from before there were accounts get the tables and keep the rest. */
static void earlier_version(void **state) {
    struct bp_catalog_session s = { .id = "01HZZZZZZZZZZZZZZZZZ000001", .name = (char[]){ "old" } };
    BP_AUTO_CATALOG_SESSION back = { 0 };
    sqlite3 *db = NULL;

    (void) state;
    assert_int_equal(bp_catalog_put(c, &s, NULL), 0);
    bp_catalog_close(BP_TAKE_PTR(c));
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "DROP TABLE logins; DROP TABLE users; DROP TABLE tokens;"
                                  "DROP TABLE jobs; DROP TABLE enrolments;"
                                  "ALTER TABLE sessions DROP COLUMN sync;"
                                  "PRAGMA user_version = 3",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    open_it(NULL);
    put_all();
    assert_int_equal(bp_catalog_get(c, "old", &back, NULL), 0);
}

static void outside(void **state) {
    struct bp_catalog *other = NULL;
    int64_t before = 0, after = 0;

    (void) state;
    put_all();
    assert_int_equal(bp_catalog_outside_writes(c, &before, NULL), 0);
    put_all();
    assert_int_equal(bp_catalog_outside_writes(c, &after, NULL), 0);
    assert_int_equal(before, after); /* our own do not count */
    assert_int_equal(bp_catalog_open(path, &other, NULL, NULL), 0);
    assert_int_equal(bp_catalog_remove_user(other, "alice", NULL), 0);
    bp_catalog_close(other);
    assert_int_equal(bp_catalog_outside_writes(c, &after, NULL), 0);
    assert_int_not_equal(before, after);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = { CASE(in_and_out), CASE(changes),         CASE(removed),
                                        CASE(lost),       CASE(earlier_version), CASE(outside) };

    return cmocka_run_group_tests_name("catalog/accounts", tests, NULL, NULL);
}
