#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "daemon/jobs.h"

static struct bp_bus *bus;
static struct bp_catalog *catalog;
static char dir[32], path[64];
static _Atomic int freed;
static _Atomic bool go;

static int set_up(void **state) {
    struct bp_error err = { 0 };

    (void) state;
    freed = 0;
    go = false;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-jobs-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/catalog.db", dir);
    bus = bp_bus_new();
    return bp_catalog_open(path, &catalog, NULL, &err);
}

static int tear_down(void **state) {
    char command[80];

    (void) state;
    bp_catalog_close(catalog);
    bp_bus_free(bus);
    (void) snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command); /* NOLINT(cert-env33-c,concurrency-mt-unsafe): a folder of ours */
}

static struct bp_jobs *open_jobs(void) {
    struct bp_jobs *j = NULL;
    struct bp_error err = { 0 };

    if (bp_jobs_open(catalog, bus, &j, &err) < 0)
        fail_msg("%s", err.text);
    return j;
}

static void count_free(void *arg) {
    (void) arg;
    freed++;
}

/* arg: what to return */
static int quick(struct bp_job *job, void *arg, json_t **ret, struct bp_error *err) {
    bp_job_log(job, "a line");
    (void) bp_job_progress(job, 3, 4);
    *ret = json_string("it");
    return arg ? bp_fail(err, -EIO, "no luck") : 0;
}

static int endless(struct bp_job *job, void *arg, json_t **ret, struct bp_error *err) {
    (void) arg, (void) ret;
    while (!go)
        if (bp_job_progress(job, 1, 0) < 0)
            return bp_fail(err, -ECANCELED, "told to");
        else
            bp_sleep(BP_MS);
    return 0;
}

static int start(struct bp_jobs *j,
                 int (*run)(struct bp_job *, void *, json_t **, struct bp_error *), void *arg,
                 char id[static 27]) {
    struct bp_error err = { 0 };

    return bp_jobs_start(
        j,
        &(struct bp_job_opts){
            .kind = "test", .subject = "x", .run = run, .done = count_free, .arg = arg },
        id, &err);
}

static const char *text_of(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "";
}

static json_t *get(struct bp_jobs *j, const char *id) {
    struct bp_error err = { 0 };
    json_t *o = NULL;

    if (bp_jobs_get(j, id, &o, &err) < 0)
        fail_msg("%s", err.text);
    return o;
}

static void wait_for(struct bp_jobs *j, const char *id, const char *state) {
    for (int i = 0; i < 5000; i++) {
        json_t *o = get(j, id);
        bool there = strcmp(text_of(o, "state"), state) == 0;

        json_decref(o);
        if (there)
            return;
        bp_sleep(BP_MS);
    }
    fail_msg("job %s does not become %s", id, state);
}

static void outcomes(void **state) {
    struct bp_jobs *j = open_jobs();
    struct bp_error err = { 0 };
    char one[27], two[27];
    json_t *o;

    (void) state;
    assert_int_equal(start(j, quick, NULL, one), 0);
    assert_int_equal(start(j, quick, j, two), 0);
    wait_for(j, one, "done");
    wait_for(j, two, "failed");
    o = get(j, one);
    assert_string_equal(text_of(o, "log"), "a line\n");
    assert_string_equal(text_of(o, "result"), "it");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "progress"), "done")),
                     3);
    assert_true(json_is_null(json_object_get(o, "error")));
    json_decref(o);
    o = get(j, two);
    assert_string_equal(text_of(o, "error"), "no luck");
    json_decref(o);
    assert_int_equal(bp_jobs_list(j, NULL, 1, &o, &err), 0);
    assert_int_equal(json_array_size(json_object_get(o, "jobs")), 1);
    assert_string_equal(text_of(o, "next"), two);
    json_decref(o);
    assert_int_equal(bp_jobs_cancel(j, one, &err), 0); /* forgotten */
    assert_int_equal(bp_jobs_get(j, one, &o, &err), -ENOENT);
    assert_int_equal(bp_jobs_cancel(j, one, &err), -ENOENT);
    bp_jobs_close(j);
    assert_int_equal(freed, 2);
}

static void cancelled(void **state) {
    struct bp_jobs *j = open_jobs();
    struct bp_error err = { 0 };
    char ids[4][27];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(ids); i++)
        assert_int_equal(start(j, endless, NULL, ids[i]), 0);
    wait_for(j, ids[0], "running");
    wait_for(j, ids[1], "running");
    wait_for(j, ids[3], "queued"); /* two at a time */
    assert_int_equal(bp_jobs_cancel(j, ids[0], &err), 1);
    assert_int_equal(bp_jobs_cancel(j, ids[3], &err), 1);
    wait_for(j, ids[0], "cancelled");
    wait_for(j, ids[2], "running");
    assert_int_equal(bp_jobs_cancel(j, ids[1], &err), 1);
    wait_for(j, ids[3], "cancelled");
    bp_jobs_close(j); /* what runs is interrupted */
    j = open_jobs();
    wait_for(j, ids[2], "interrupted");
    bp_jobs_close(j);
    assert_int_equal(freed, 4);
}

static void bounded(void **state) {
    struct bp_jobs *j = open_jobs();
    char id[27];

    (void) state;
    for (int i = 0; i < BP_JOBS_LIVE; i++)
        assert_int_equal(start(j, endless, NULL, id), 0);
    assert_int_equal(start(j, endless, NULL, id), -EAGAIN);
    assert_int_equal(freed, 1);
    assert_int_equal(bp_jobs_live(j), BP_JOBS_LIVE);
    go = true;
    bp_jobs_close(j);
    assert_int_equal(freed, BP_JOBS_LIVE + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(outcomes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounded, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("daemon/jobs", tests, NULL, NULL);
}
