#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/io-fault.h"

static char dir[64], path[128], tmp[140];

static int set_up(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-io-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/file", dir);
    (void) snprintf(tmp, sizeof tmp, "%s.tmp", path);
    return 0;
}

static int tear_down(void **state) {
    (void) state;
    (void) unlink(path);
    return rmdir(dir); /* also fails when a temporary file was left behind */
}

static void assert_content(const char *want) {
    BP_AUTO_FREE char *got = NULL;
    struct bp_error err;
    size_t n = 0;

    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 100, &got, &n, &err), 0);
    assert_string_equal(got, want);
    assert_int_equal(n, strlen(want));
}

static void replaces(void **state) {
    struct bp_error err;

    (void) state;
    assert_int_equal(bp_io_replace_file(&bp_io_posix, path, "old", 3, &err), 0);
    assert_content("old");
    assert_int_equal(bp_io_replace_file(&bp_io_posix, path, "", 0, &err), 0);
    assert_content("");
}

/* Whatever call fails, a reader finds the old or the new content whole, and no temporary file. */
static void every_failing_call(void **state) {
    struct bp_error err = { 0 };
    int k, failures = 0;

    (void) state;
    for (k = 1; k < 50; k++) {
        BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = NULL;
        char spec[64];
        int r;

        assert_int_equal(bp_io_replace_file(&bp_io_posix, path, "old", 3, &err), 0);
        (void) snprintf(spec, sizeof spec, "at=%d,errno=EIO", k);
        assert_int_equal(bp_io_fault_new(&bp_io_posix, spec, &f, &err), 0);
        r = bp_io_replace_file(bp_io_fault_io(f), path, "newer", 5, &err);
        if (bp_io_fault_hits(f) == 0) {
            assert_int_equal(r, 0);
            break;
        }
        failures++;
        assert_int_equal(r, -EIO);
        assert_non_null(strstr(err.text, dir));
        /* only the sync of the folder comes after the rename */
        assert_content(bp_io_fault_calls(f, BP_IO_SYNC_DIR) > 0 ? "newer" : "old");
        assert_int_equal(access(tmp, F_OK), -1);
    }
    assert_int_equal(failures, 6); /* open, pwrite, sync, close, rename, sync_dir */
}

static void limits_and_errors(void **state) {
    BP_AUTO_FREE char *got = NULL;
    struct bp_error err = { 0 };
    size_t n = 77;

    (void) state;
    assert_int_equal(bp_io_replace_file(&bp_io_posix, path, "12345", 5, &err), 0);
    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 4, &got, &n, &err), -EFBIG);
    assert_int_equal(bp_io_read_file(&bp_io_posix, tmp, 4, &got, &n, &err), -ENOENT);
    assert_non_null(strstr(err.text, tmp));
    assert_null(got);
    assert_int_equal(n, 77);
    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 5, &got, &n, &err), 0);
    assert_int_equal(got[5], 0);
}

static void dirnames(void **state) {
    char d[16];

    (void) state;
    bp_io_dirname("a/b/c", d, sizeof d);
    assert_string_equal(d, "a/b");
    bp_io_dirname("c", d, sizeof d);
    assert_string_equal(d, ".");
    bp_io_dirname("/c", d, sizeof d);
    assert_string_equal(d, "/");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces),
        cmocka_unit_test(every_failing_call),
        cmocka_unit_test(limits_and_errors),
        cmocka_unit_test(dirnames),
    };

    return cmocka_run_group_tests_name("base/io", tests, set_up, tear_down);
}
