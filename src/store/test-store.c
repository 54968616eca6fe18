#include "store/test-spool.h"

static char dir[] = "/tmp/bp-test-store-XXXXXX";

static int make_dir(void **state) {
    (void) state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    (void) state;
    remove_tree(dir);
    return 0;
}

static void write_file(const char *path, const void *p, size_t n) {
    assert_int_equal(bp_io_replace_file(&bp_io_posix, path, p, n, NULL), 0);
}

static struct bp_store *open_store(void) {
    struct bp_store *s = NULL;

    assert_int_equal(bp_store_open_fs(&bp_io_posix, dir, &s, NULL), 0);
    return s;
}

static int count(void *ctx, const uint8_t *sha256, uint64_t bytes, int64_t wall_ns) {
    uint64_t *sums = ctx;

    assert_true(wall_ns > 0);
    sums[0]++;
    sums[1] += bytes;
    sums[2] += sha256[0];
    return sums[0] == sums[3] ? 7 : 0;
}

static void objects_by_digest(void **state) {
    BP_CLEANUP(bp_store_closep) struct bp_store *s = open_store();
    struct test_file f = make_file(100000, "a", 1), empty = make_file(0, "b", 2);
    uint64_t size, sums[4] = { 0 };
    char path[100], hex[BP_SHA256_HEX], object[200];
    struct bp_error err = { 0 };

    (void) state;
    (void) snprintf(path, sizeof path, "%s/in", dir);
    assert_int_equal(bp_store_head(s, f.meta.sha256, &size, &err), -ENOENT);
    for (int i = 0; i < 2; i++) { /* the second time it is there */
        write_file(path, f.p, f.n);
        assert_int_equal(bp_store_put(s, f.meta.sha256, path, f.n, &err), i);
        assert_int_equal(access(path, F_OK), -1);
        check_object(s, &f);
    }
    write_file(path, empty.p, 0);
    assert_int_equal(bp_store_put(s, empty.meta.sha256, path, 0, &err), 0);
    check_object(s, &empty);
    assert_int_equal(bp_store_head(s, f.meta.sha256, &size, &err), 0);
    assert_int_equal(size, f.n);

    (void) bp_sha256_hex(f.meta.sha256, hex);
    (void) snprintf(object, sizeof object, "%s/objects/%.2s/%s", dir, hex, hex + 2);
    assert_int_equal(access(object, R_OK), 0);
    (void) snprintf(object, sizeof object, "%s/objects/%.2s/stranger", dir, hex);
    write_file(object, "x", 1); /* told of nobody */

    assert_int_equal(bp_store_each(s, count, sums, &err), 0);
    assert_int_equal(sums[0], 2);
    assert_int_equal(sums[1], f.n);
    assert_int_equal(sums[2], f.meta.sha256[0] + empty.meta.sha256[0]);
    sums[0] = 0;
    sums[3] = 1;
    assert_int_equal(bp_store_each(s, count, sums, &err), 7);

    for (int i = 0; i < 2; i++)
        assert_int_equal(bp_store_delete(s, f.meta.sha256, &err), 0);
    assert_int_equal(bp_store_head(s, f.meta.sha256, &size, &err), -ENOENT);
    free(f.p);
    free(empty.p);
}

/* What lies there in part, such as after a copy by hand that broke, is replaced. */
static void a_short_object_is_replaced(void **state) {
    BP_CLEANUP(bp_store_closep) struct bp_store *s = open_store();
    struct test_file f = make_file(5000, "a", 3);
    char path[100], hex[BP_SHA256_HEX], object[200];

    (void) state;
    (void) bp_sha256_hex(f.meta.sha256, hex);
    (void) snprintf(object, sizeof object, "%s/objects/%.2s", dir, hex);
    (void) bp_io_posix.mkdir(NULL, object, 0755);
    (void) snprintf(object, sizeof object, "%s/objects/%.2s/%s", dir, hex, hex + 2);
    write_file(object, f.p, 100);
    (void) snprintf(path, sizeof path, "%s/in", dir);
    write_file(path, f.p, f.n);
    assert_int_equal(bp_store_put(s, f.meta.sha256, path, f.n, NULL), 0);
    check_object(s, &f);
    free(f.p);
}

static void who_has_it_open_keeps_it(void **state) {
    BP_CLEANUP(bp_store_closep) struct bp_store *s = open_store();
    struct test_file f = make_file(5000, "a", 4);
    struct bp_store_object *o = NULL;
    uint8_t p[64];
    char path[100];
    int fd;

    (void) state;
    (void) snprintf(path, sizeof path, "%s/in", dir);
    write_file(path, f.p, f.n);
    assert_int_equal(bp_store_put(s, f.meta.sha256, path, f.n, NULL), 0);
    assert_int_equal(bp_store_get(s, f.meta.sha256, &o, NULL), 0);
    assert_int_equal(bp_store_delete(s, f.meta.sha256, NULL), 0);
    assert_int_equal(bp_store_object_read(o, p, 64, 4990, NULL), 10);
    assert_memory_equal(p, f.p + 4990, 10);
    assert_int_equal(bp_store_object_read(o, p, 64, 5000, NULL), 0);
    assert_int_equal(bp_store_object_read(o, p, 64, UINT64_MAX, NULL), 0);
    fd = bp_store_object_fd(o);
    bp_store_object_close(o);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, p, 10, 0), 10);
    assert_memory_equal(p, f.p, 10);
    (void) close(fd);
    free(f.p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_by_digest),
        cmocka_unit_test(a_short_object_is_replaced),
        cmocka_unit_test(who_has_it_open_keeps_it),
    };

    return cmocka_run_group_tests_name("store/store", tests, make_dir, remove_dir);
}
