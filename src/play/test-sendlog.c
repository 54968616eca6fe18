#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/io.h"
#include "play/sendlog.h"

static char path[64];

static void lines_arrive_while_it_runs(void **state) {
    static const uint8_t guid[16] = { 1, 0x10, [15] = 0xff };
    BP_AUTO_FREE char *key = bp_sendlog_key("/a/b", guid);
    BP_AUTO_FREE char *text = NULL;
    struct bp_sendlog *l = NULL;
    size_t n = 0;

    (void) state;
    assert_int_equal(bp_sendlog_open(path, &l, NULL), 0);
    bp_sendlog_put(l, 5, 1795251515231917410, bp_str_of(key), 1, 100);
    bp_sendlog_put(l, INT64_MAX, 0, bp_str_of(key), UINT64_MAX, 0);
    for (int i = 0; i < 200 && n == 0; i++) { /* 20 ms; more on a busy machine */
        bp_sleep(5 * BP_MS);
        free(text);
        text = NULL;
        assert_int_equal(bp_io_read_file(&bp_io_posix, path, 4096, &text, &n, NULL), 0);
    }
    assert_string_equal(text, "5 1795251515231917410 /a/b 011000000000000000000000000000ff 1 100\n"
                              "9223372036854775807 0 /a/b 011000000000000000000000000000ff "
                              "18446744073709551615 0\n");
    bp_sendlog_put(l, 6, 7, bp_str_of(key), 2, 3);
    assert_int_equal(bp_sendlog_close(l, NULL), 0);
    free(text);
    text = NULL;
    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 4096, &text, &n, NULL), 0);
    assert_non_null(strstr(text, "\n6 7 /a/b 011000000000000000000000000000ff 2 3\n"));
}

static void nothing_is_lost_at_speed(void **state) {
    static const uint8_t guid[16];
    BP_AUTO_FREE char *key = bp_sendlog_key("/t", guid);
    BP_AUTO_FREE char *text = NULL;
    struct bp_sendlog *l = NULL;
    unsigned long long mono = 0, want = 0;
    size_t n = 0;

    (void) state;
    assert_int_equal(bp_sendlog_open(path, &l, NULL), 0);
    for (int i = 0; i < 200000; i++)
        bp_sendlog_put(l, i, 0, bp_str_of(key), (uint64_t) i, 0);
    assert_int_equal(bp_sendlog_close(l, NULL), 0);
    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 64 << 20, &text, &n, NULL), 0);
    for (const char *p = text; *p; p = strchr(p, '\n') + 1) {
        mono = strtoull(p, NULL, 10);
        assert_int_equal(mono, want++);
    }
    assert_int_equal(want, 200000);
}

static void failures_are_told(void **state) {
    static const uint8_t guid[16];
    BP_AUTO_FREE char *key = bp_sendlog_key("/t", guid);
    struct bp_sendlog *l = NULL;
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(bp_sendlog_open("/no/such/place", &l, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no/such/place"));
    assert_int_equal(bp_sendlog_open("/dev/full", &l, NULL), 0);
    bp_sendlog_put(l, 1, 1, bp_str_of(key), 1, 1);
    assert_int_equal(bp_sendlog_close(l, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "/dev/full"));
}

static int make_path(void **state) {
    int fd;

    (void) state;
    (void) snprintf(path, sizeof path, "/tmp/bp-sendlog-XXXXXX");
    fd = mkstemp(path);
    return fd < 0 || close(fd) < 0;
}

static int remove_path(void **state) {
    (void) state;
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_arrive_while_it_runs),
        cmocka_unit_test(nothing_is_lost_at_speed),
        cmocka_unit_test(failures_are_told),
    };

    return cmocka_run_group_tests(tests, make_path, remove_path);
}
