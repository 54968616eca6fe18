#include "sync/digests.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/io.h"

enum { PART = 4096, MOST = 10 * PART };

static char path[] = "/tmp/bp-digests-XXXXXX";
static uint8_t bytes[MOST];

static int set_up(void **state) {
    int fd = mkstemp(path);

    (void) state;
    for (size_t i = 0; i < MOST; i++)
        bytes[i] = (uint8_t) (i * i >> 5);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state) {
    (void) state;
    return unlink(path);
}

static void write_file(size_t n) {
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    assert_int_equal(close(fd), 0);
}

/* Of every part, and of the file, as from hashing each alone. */
static void parts(void **state) {
    static const size_t sizes[] = { 0, 1, PART - 1, PART, PART + 1, 2 * PART, MOST - 7, MOST };
    struct bp_sync_digests d = { 0 };
    bool cancel = false;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(sizes); i++) {
        size_t n = sizes[i], nparts = (n + PART - 1) / PART;
        uint8_t want[BP_SHA256_LEN];
        char hex[BP_SHA256_HEX];

        write_file(n);
        assert_int_equal(bp_sync_digests_of(path, PART, &cancel, &d, NULL), 0);
        assert_int_equal(d.bytes, n);
        assert_int_equal(d.n, nparts);
        bp_sha256_of(bytes, n, want);
        assert_string_equal(d.hex, bp_sha256_hex(want, hex));
        for (size_t k = 0; k < nparts; k++) {
            bp_sha256_of(bytes + k * PART, BP_MIN((size_t) PART, n - k * PART), want);
            assert_memory_equal(bp_sync_digests_part(&d, PART, (uint32_t) k), want, sizeof want);
        }
        assert_null(bp_sync_digests_part(&d, PART, (uint32_t) nparts));
        assert_null(bp_sync_digests_part(&d, 2 * PART, 0)); /* the other side wants other parts */
    }
    bp_sync_digests_done(&d);
    assert_null(bp_sync_digests_part(&d, PART, 0));
}

static void failures(void **state) {
    struct bp_sync_digests d = { 0 };
    struct bp_error err = { 0 };
    bool cancel = true;

    (void) state;
    write_file(MOST);
    assert_int_equal(bp_sync_digests_of(path, PART, &cancel, &d, &err), -ECANCELED);
    assert_null(bp_sync_digests_part(&d, PART, 0));
    cancel = false;
    assert_int_equal(bp_sync_digests_of("/nowhere", PART, &cancel, &d, &err), -ENOENT);
    assert_non_null(strstr(err.text, "'/nowhere'"));
    assert_int_equal(bp_sync_digests_of("/", PART, &cancel, &d, &err), -EISDIR);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(parts), cmocka_unit_test(failures) };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
