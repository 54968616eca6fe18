#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <glob.h>

#include "base/aside.h"

static char dir[] = "/tmp/bp-test-aside-XXXXXX";

static void put(const char *name) {
    char path[80];
    FILE *f;

    (void) snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

static size_t count(const char *pattern) {
    char text[96];
    glob_t g = { 0 };
    size_t n;

    (void) snprintf(text, sizeof text, "%s/%s", dir, pattern);
    n = glob(text, 0, NULL, &g) == 0 ? g.gl_pathc : 0;
    globfree(&g);
    return n;
}

/* The journal goes with its database: a new one under the name would take it for its own. */
static void journal_goes_too(void **state) {
    char path[80];

    (void) state;
    (void) snprintf(path, sizeof path, "%s/x.db", dir);
    assert_int_equal(bp_set_aside(path, NULL), -ENOENT);
    put("x.db");
    put("x.db-wal");
    put("x.db-shm");
    put("x.db.open");
    assert_int_equal(bp_set_aside(path, NULL), 0);
    assert_int_equal(count("x.db.damaged-*Z"), 1);
    assert_int_equal(count("x.db.damaged-*Z-wal"), 1);
    assert_int_equal(count("x.db.open"), 1);
    assert_int_equal(count("*"), 3);
}

static int make_dir(void **state) {
    (void) state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    char text[64];

    (void) state;
    (void) snprintf(text, sizeof text, "rm -rf %s", dir);
    return system(text); /* NOLINT(cert-env33-c): of a path of ours */
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(journal_goes_too) };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
