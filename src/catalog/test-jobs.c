#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "catalog/jobs.h"

static char dir[32], path[64];

static int set_up(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-jobs-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/catalog.db", dir);
    return 0;
}

static int tear_down(void **state) {
    char log[80];

    (void) state;
    (void) unlink(path);
    (void) snprintf(log, sizeof log, "%s-wal", path);
    (void) unlink(log);
    (void) snprintf(log, sizeof log, "%s-shm", path);
    (void) unlink(log);
    return rmdir(dir);
}

static struct bp_catalog *open_it(void) {
    struct bp_catalog *c = NULL;
    struct bp_error err = { 0 };

    if (bp_catalog_open(path, &c, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static void put(struct bp_catalog *c, int i, const char *state) {
    struct bp_catalog_job j = { .kind = (char *) (uintptr_t) "verify",
                                .subject = (char *) (uintptr_t) "s",
                                .state = (char *) (uintptr_t) state,
                                .created_ns = i,
                                .done = 7 };
    struct bp_error err = { 0 };

    (void) snprintf(j.id, sizeof j.id, "%026d", i);
    if (bp_catalog_put_job(c, &j, &err) < 0)
        fail_msg("%s", err.text);
}

static int count(void *ctx, const struct bp_catalog_job *j) {
    *(int *) ctx = *(int *) ctx * 10 + (j->id[25] - '0');
    return 0;
}

static void stays(void **state) {
    struct bp_catalog *c = open_it();
    BP_AUTO_CATALOG_JOB j = { 0 };
    struct bp_error err = { 0 };
    int ids = 0;

    (void) state;
    put(c, 1, "done");
    put(c, 2, "running");
    put(c, 3, "queued");
    put(c, 3, "failed"); /* replaced */
    put(c, 4, "queued");
    bp_catalog_close(c);
    c = open_it();
    assert_int_equal(bp_catalog_settle_jobs(c, 99, 3, &err), 0);
    assert_int_equal(bp_catalog_each_job(c, NULL, 10, count, &ids, &err), 0);
    assert_int_equal(ids, 432);
    ids = 0;
    assert_int_equal(bp_catalog_each_job(c, "00000000000000000000000004", 1, count, &ids, &err), 0);
    assert_int_equal(ids, 3);
    assert_int_equal(bp_catalog_get_job(c, "00000000000000000000000002", &j, &err), 0);
    assert_string_equal(j.state, "interrupted");
    assert_true(j.ended_ns == 99 && j.done == 7 && j.created_ns == 2);
    assert_true(*j.error && !*j.log && strcmp(j.subject, "s") == 0);
    assert_int_equal(bp_catalog_drop_job(c, j.id, &err), 0);
    assert_int_equal(bp_catalog_drop_job(c, j.id, &err), -ENOENT);
    bp_catalog_job_done(&j);
    assert_int_equal(bp_catalog_get_job(c, "00000000000000000000000002", &j, &err), -ENOENT);
    assert_int_equal(bp_catalog_get_job(c, "00000000000000000000000003", &j, &err), 0);
    assert_string_equal(j.state, "failed");
    bp_catalog_job_done(&j);
    assert_int_equal(bp_catalog_put_job(c, &j, &err), -EINVAL);
    bp_catalog_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stays, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("catalog/jobs", tests, NULL, NULL);
}
