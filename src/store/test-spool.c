#include "store/test-spool.h"

#include <pthread.h>
#include <sys/stat.h>
#include <utime.h>

#include "base/io-fault.h"
#include "store/spool-map.h"

static char dir[] = "/tmp/bp-test-spool-XXXXXX";

static int make_dir(void **state) {
    (void) state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    (void) state;
    remove_tree(dir);
    return 0;
}

static int into_store(void *ctx, const struct bp_spool_info *info, const char *path,
                      struct bp_error *err) {
    int r = bp_store_put(ctx, info->meta.sha256, path, info->meta.bytes, err);

    return r < 0 ? r : 0;
}

static struct bp_store *open_store(void) {
    struct bp_store *s = NULL;

    assert_int_equal(bp_store_open_fs(&bp_io_posix, dir, &s, NULL), 0);
    return s;
}

static void create(struct bp_spool *s, const struct test_file *f, struct bp_spool_info *info) {
    struct bp_error err = { 0 };

    if (bp_spool_create(s, &f->meta, info, &err) != 0)
        fail_msg("%s", err.text);
}

static void parts_in_any_order(void **state) {
    static const uint32_t order[] = { 3, 0, 1, 4, 2 };
    BP_CLEANUP(bp_store_closep) struct bp_store *store = open_store();
    struct bp_spool *s = open_spool(&bp_io_posix, dir);
    struct test_file f = make_file(4 * PART + 1, "a.mcap", 1);
    struct bp_spool_info info, again;
    struct bp_error err = { 0 };

    (void) state;
    create(s, &f, &info);
    assert_int_equal(info.parts, 5);
    assert_int_equal(bp_spool_create(s, &f.meta, &again, &err), 1);
    assert_string_equal(again.id, info.id);
    for (size_t i = 0; i < BP_COUNT(order); i++) {
        assert_int_equal(bp_spool_finish(s, info.id, into_store, store, &err), BP_EMISMATCH);
        assert_int_equal(send_part(s, info.id, &f, order[i], &err), 0);
        if (i == 2)
            check_parts(s, info.id, "0-1,3");
        bp_spool_close(s); /* a new life takes up where the last one was */
        s = open_spool(&bp_io_posix, dir);
        assert_int_equal(bp_spool_get(s, info.id, &again, &err), 0);
        assert_int_equal(again.parts_there, i + 1);
        assert_string_equal(again.meta.file, "a.mcap");
        assert_string_equal(again.meta.device, "robot7");
    }
    check_parts(s, info.id, "0-4");
    assert_int_equal(bp_spool_finish(s, info.id, into_store, store, &err), 0);
    check_object(store, &f);
    assert_int_equal(bp_spool_finish(s, info.id, into_store, store, &err), -ENOENT);
    assert_int_equal(bp_spool_get(s, info.id, &again, &err), -ENOENT);
    bp_spool_close(s);
    free(f.p);
}

static void wrong_parts(void **state) {
    BP_CLEANUP(bp_spool_closep) struct bp_spool *s = open_spool(&bp_io_posix, dir);
    struct test_file f = make_file(2 * PART + 5, "b.mcap", 2), other = make_file(f.n, "b", 3);
    struct bp_spool_info info;
    struct bp_spool_part *p;
    uint8_t digest[BP_SHA256_LEN];
    struct bp_error err = { 0 };

    (void) state;
    create(s, &f, &info);
    bp_sha256_of(f.p, PART, digest);
    assert_int_equal(bp_spool_part_begin(s, "x", 0, PART, digest, &p, &err), -ENOENT);
    assert_int_equal(bp_spool_part_begin(s, info.id, 3, PART, digest, &p, &err), -EINVAL);
    assert_int_equal(bp_spool_part_begin(s, info.id, UINT64_MAX, 0, digest, &p, &err), -EINVAL);
    assert_int_equal(bp_spool_part_begin(s, info.id, 0, PART - 1, digest, &p, &err), -EINVAL);
    assert_int_equal(bp_spool_part_begin(s, info.id, 2, PART, digest, &p, &err), -EINVAL);

    /* too little, too much, something else */
    assert_int_equal(bp_spool_part_begin(s, info.id, 0, PART, digest, &p, &err), 0);
    assert_int_equal(bp_spool_part_write(p, f.p, PART - 1, &err), 0);
    assert_int_equal(bp_spool_part_commit(p, &err), -EINVAL);
    assert_int_equal(bp_spool_part_begin(s, info.id, 0, PART, digest, &p, &err), 0);
    assert_int_equal(bp_spool_part_write(p, f.p, PART, &err), 0);
    assert_int_equal(bp_spool_part_write(p, f.p, 1, &err), -EINVAL);
    bp_spool_part_abort(p);
    assert_int_equal(bp_spool_part_begin(s, info.id, 0, PART, digest, &p, &err), 0);
    assert_int_equal(bp_spool_part_write(p, other.p, PART, &err), 0);
    assert_int_equal(bp_spool_part_commit(p, &err), BP_EDIGEST);
    check_parts(s, info.id, "");

    /* one that is there stays: the same again is checked, another is refused */
    assert_int_equal(send_part(s, info.id, &f, 0, &err), 0);
    assert_int_equal(send_part(s, info.id, &f, 0, &err), 0);
    assert_int_equal(send_part(s, info.id, &other, 0, &err), BP_EMISMATCH);
    assert_int_equal(bp_spool_part_begin(s, info.id, 0, PART, digest, &p, &err), 0);
    assert_int_equal(bp_spool_part_write(p, other.p, PART, &err), 0); /* goes nowhere */
    assert_int_equal(bp_spool_part_commit(p, &err), BP_EDIGEST);
    assert_int_equal(send_part(s, info.id, &f, 0, &err), 0);
    check_parts(s, info.id, "0");
    assert_int_equal(bp_spool_drop(s, info.id, &err), 0);
    assert_int_equal(bp_spool_drop(s, info.id, &err), -ENOENT);
    free(f.p);
    free(other.p);
}

/* Each part is what it said it is, but they are not of the file. */
static void a_wrong_whole(void **state) {
    BP_CLEANUP(bp_store_closep) struct bp_store *store = open_store();
    BP_CLEANUP(bp_spool_closep) struct bp_spool *s = open_spool(&bp_io_posix, dir);
    struct test_file f = make_file(2 * PART, "c.mcap", 4);
    struct bp_spool_info info;
    struct bp_error err = { 0 };
    uint64_t size;

    (void) state;
    for (int i = 0; i < 2; i++) { /* in order, and not */
        create(s, &f, &info);
        f.p[PART + 7] ^= 1;
        assert_int_equal(send_part(s, info.id, &f, i ? 1 : 0, &err), 0);
        assert_int_equal(send_part(s, info.id, &f, i ? 0 : 1, &err), 0);
        assert_int_equal(bp_spool_finish(s, info.id, into_store, store, &err), BP_EDIGEST);
        assert_int_equal(bp_store_head(store, f.meta.sha256, &size, &err), -ENOENT);
        assert_int_equal(bp_spool_get(s, info.id, &info, &err), -ENOENT);
        f.p[PART + 7] ^= 1;
    }
    free(f.p);
}

/* A request that hangs must not keep its successor out. */
static void the_newest_request_wins(void **state) {
    BP_CLEANUP(bp_store_closep) struct bp_store *store = open_store();
    BP_CLEANUP(bp_spool_closep) struct bp_spool *s = open_spool(&bp_io_posix, dir);
    struct test_file f = make_file(PART + 9, "d.mcap", 5);
    struct bp_spool_info info;
    struct bp_spool_part *old, *late;
    uint8_t digest[BP_SHA256_LEN];
    struct bp_error err = { 0 };

    (void) state;
    create(s, &f, &info);
    bp_sha256_of(f.p, PART, digest);
    assert_int_equal(bp_spool_part_begin(s, info.id, 0, PART, digest, &old, &err), 0);
    assert_int_equal(bp_spool_part_write(old, f.p, 1000, &err), 0);
    assert_int_equal(bp_spool_part_begin(s, info.id, 0, PART, digest, &late, &err), 0);
    assert_int_equal(bp_spool_part_write(old, f.p + 1000, 1000, &err), -EBUSY);
    assert_int_equal(bp_spool_part_write(late, f.p, PART, &err), 0);
    assert_int_equal(bp_spool_part_commit(late, &err), 0);
    assert_int_equal(send_part(s, info.id, &f, 1, &err), 0);
    /* the old one is still there, and holds up nothing */
    assert_int_equal(bp_spool_finish(s, info.id, into_store, store, &err), 0);
    check_object(store, &f);
    assert_int_equal(bp_spool_part_write(old, f.p, 1, &err), -ENOENT);
    bp_spool_part_abort(old);
    free(f.p);
}

struct job {
    struct bp_spool *s;
    const char *id;
    const struct test_file *f;
    unsigned seed;
    int failed;
};

/* Every part, in an order of its own; others do the same. */
static void *send_all(void *arg) {
    struct job *j = arg;
    uint32_t parts = (uint32_t) (j->f->n / PART);

    for (uint32_t i = 0; i < parts; i++) {
        struct bp_error err = { 0 };
        uint32_t n = (i * (2 * j->seed + 1) + j->seed * 5) % parts;
        int r;

        do
            r = send_part(j->s, j->id, j->f, n, &err);
        while (r == -EBUSY); /* somebody else was later with the same */
        j->failed += r < 0;
    }
    return NULL;
}

static void many_at_once(void **state) {
    enum { THREADS = 6 };
    BP_CLEANUP(bp_store_closep) struct bp_store *store = open_store();
    BP_CLEANUP(bp_spool_closep) struct bp_spool *s = open_spool(&bp_io_posix, dir);
    struct test_file f = make_file(16 * PART, "e.mcap", 6);
    struct bp_spool_info info;
    struct job jobs[THREADS];
    pthread_t t[THREADS];
    struct bp_error err = { 0 };

    (void) state;
    create(s, &f, &info);
    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){ s, info.id, &f, i, 0 };
        assert_int_equal(pthread_create(&t[i], NULL, send_all, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        (void) pthread_join(t[i], NULL);
        assert_int_equal(jobs[i].failed, 0);
    }
    check_parts(s, info.id, "0-15");
    assert_int_equal(bp_spool_finish(s, info.id, into_store, store, &err), 0);
    check_object(store, &f);
    free(f.p);
}

static void limits(void **state) {
    char path[100];
    struct bp_spool_options o = {
        .io = &bp_io_posix, .dir = path, .max_bytes = 200000, .max_uploads = 2
    };
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *fault = NULL;
    struct test_file f = make_file(100001, "f", 7), g = make_file(100000, "g", 8),
                     none = make_file(0, "h", 9);
    struct bp_spool_info info;
    struct bp_error err = { 0 };
    struct bp_spool *s = NULL;

    (void) state;
    (void) snprintf(path, sizeof path, "%s/limits", dir);
    assert_int_equal(bp_spool_open(&o, &s, &err), 0);
    create(s, &f, &info);
    assert_int_equal(bp_spool_create(s, &g.meta, &info, &err), -EDQUOT);
    create(s, &none, &info); /* an empty file is one empty part */
    assert_int_equal(info.parts, 1);
    assert_int_equal(send_part(s, info.id, &none, 0, &err), 0);
    none.meta.file[0] = 'i';
    assert_int_equal(bp_spool_create(s, &none.meta, &info, &err), -EDQUOT);
    f.meta.bytes--;
    assert_int_equal(bp_spool_create(s, &f.meta, &info, &err), -EINVAL);
    f.meta.bytes++;
    bp_spool_close(s);

    assert_int_equal(bp_io_fault_new(&bp_io_posix, "op=free_bytes,value=150000", &fault, &err), 0);
    o = (struct bp_spool_options){ .io = bp_io_fault_io(fault), .dir = path, .min_free = 50001 };
    assert_int_equal(bp_spool_open(&o, &s, &err), 0);
    assert_int_equal(bp_spool_create(s, &g.meta, &info, &err), -ENOSPC);
    assert_int_equal(bp_io_fault_set(fault, "op=allocate,errno=ENOSPC", &err), 0);
    assert_int_equal(bp_spool_create(s, &g.meta, &info, &err), -ENOSPC);
    assert_int_equal(bp_io_fault_set(fault, "op=allocate,errno=EOPNOTSUPP", &err), 0);
    assert_int_equal(bp_spool_create(s, &g.meta, &info, &err), 0);
    assert_int_equal(bp_io_fault_set(fault, "op=pwrite,errno=ENOSPC", &err), 0);
    assert_int_equal(send_part(s, info.id, &g, 0, &err), -ENOSPC);
    assert_int_equal(bp_io_fault_set(fault, "", &err), 0);
    assert_int_equal(send_part(s, info.id, &g, 0, &err), 0);
    bp_spool_close(s);

    assert_int_equal(bp_spool_choose(0), BP_SPOOL_PART_DEFAULT);
    assert_int_equal(bp_spool_choose(UINT64_C(160) << 30), 32 << 20);
    assert_int_equal(bp_spool_choose(UINT64_C(10000) << 24), 32 << 20);
    assert_int_equal(bp_spool_choose((UINT64_C(10000) << 24) - 1), 16 << 20);
    assert_int_equal(bp_spool_choose(UINT64_C(10000) << 30), 1 << 30);
    assert_int_equal(bp_spool_choose((UINT64_C(10000) << 30) + 1), 0);
    assert_int_equal(bp_spool_choose(UINT64_MAX), 0);
    free(f.p);
    free(g.p);
    free(none.p);
}

/* The wall clock may be a year off after a restart: an upload still has time to go on. */
static void expiry(void **state) {
    char path[100], map[200];
    struct bp_spool_options o = { .io = &bp_io_posix, .dir = path, .expiry = 10 * 3600 * BP_SEC };
    struct utimbuf long_ago = { 0 };
    struct test_file f = make_file(2 * PART, "j", 10);
    uint8_t digest[BP_SHA256_LEN];
    struct bp_spool_part *p;
    struct bp_spool_info info;
    struct bp_error err = { 0 };
    struct bp_spool *s = NULL;
    bp_ns_t now;

    (void) state;
    (void) snprintf(path, sizeof path, "%s/expiry", dir);
    assert_int_equal(bp_spool_open(&o, &s, &err), 0);
    create(s, &f, &info);
    (void) snprintf(map, sizeof map, "%s/%s.map", path, info.id);
    bp_spool_close(s);
    assert_int_equal(utime(map, &long_ago), 0);
    assert_int_equal(bp_spool_open(&o, &s, &err), 0);
    now = bp_mono_ns();
    assert_int_equal(bp_spool_expire(s, now), 0);
    assert_int_equal(bp_spool_expire(s, now + 4 * 3600 * BP_SEC), 0);
    assert_int_equal(bp_spool_expire(s, now + 7 * 3600 * BP_SEC), 1);
    create(s, &f, &info);
    bp_sha256_of(f.p, PART, digest);
    assert_int_equal(bp_spool_part_begin(s, info.id, 0, PART, digest, &p, &err), 0);
    assert_int_equal(bp_spool_expire(s, now + 100 * 3600 * BP_SEC), 0); /* one is coming */
    bp_spool_part_abort(p);
    assert_int_equal(bp_spool_expire(s, now + 100 * 3600 * BP_SEC), 1);
    bp_spool_close(s);

    o.expiry = 1;
    assert_int_equal(bp_spool_open(&o, &s, &err), 0);
    create(s, &f, &info);
    bp_sleep(BP_MS);
    assert_int_equal(bp_spool_part_begin(s, info.id, 0, PART, digest, &p, &err), BP_EGONE);
    bp_spool_close(s);
    free(f.p);
}

/* Whoever begins another content of a name has given up what nothing came of. */
static void former_contents(void **state) {
    char path[100];
    struct bp_spool_options o = { .io = &bp_io_posix, .dir = path };
    struct test_file f[5] = { make_file(2 * PART, "k", 1), make_file(2 * PART, "k", 2),
                              make_file(2 * PART, "k", 3), make_file(2 * PART, "l", 4),
                              make_file(2 * PART, "k", 5) };
    struct bp_spool_info info[5];
    struct bp_spool_part *p;
    uint8_t digest[BP_SHA256_LEN];
    struct bp_error err = { 0 };
    struct bp_spool *s = NULL;
    uint64_t n, bytes;

    (void) state;
    (void) snprintf(path, sizeof path, "%s/former", dir);
    (void) snprintf(f[4].meta.device, sizeof f[4].meta.device, "robot8");
    assert_int_equal(bp_spool_open(&o, &s, &err), 0);
    for (size_t i = 0; i < BP_COUNT(f); i++)
        create(s, &f[i], &info[i]);
    assert_int_equal(send_part(s, info[1].id, &f[1], 0, &err), 0);
    bp_spool_supersede(s, &f[2].meta);
    assert_int_equal(bp_spool_get(s, info[0].id, &info[0], NULL), -ENOENT);
    for (size_t i = 1; i < BP_COUNT(f); i++) /* has a part; is it; another name; another device */
        assert_int_equal(bp_spool_get(s, info[i].id, &info[i], NULL), 0);
    bp_sha256_of(f[2].p, PART, digest);
    assert_int_equal(bp_spool_part_begin(s, info[2].id, 0, PART, digest, &p, &err), 0);
    bp_spool_supersede(s, &f[0].meta);
    assert_int_equal(bp_spool_get(s, info[2].id, &info[2], NULL), 0); /* one is coming */
    bp_spool_part_abort(p);
    bp_spool_supersede(s, &f[0].meta);
    bp_spool_sums(s, &n, &bytes);
    assert_int_equal(n, 3);
    assert_int_equal(bytes, 3 * 2 * PART);
    bp_spool_close(s);
    for (size_t i = 0; i < BP_COUNT(f); i++)
        free(f[i].p);
}

static void flip(const char *path, size_t at) {
    BP_AUTO_FD int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t c;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, (off_t) at), 1);
    c ^= 4;
    assert_int_equal(pwrite(fd, &c, 1, (off_t) at), 1);
}

/* A slot that is torn is a part that is not there; a head that is, an upload left alone. */
static void damaged_maps(void **state) {
    BP_CLEANUP(bp_spool_closep) struct bp_spool *s = open_spool(&bp_io_posix, dir);
    struct test_file f = make_file(3 * PART, "k", 11);
    struct bp_spool_info info;
    struct bp_error err = { 0 };
    char map[200];

    (void) state;
    create(s, &f, &info);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(send_part(s, info.id, &f, i, &err), 0);
    bp_spool_close(s);
    (void) snprintf(map, sizeof map, "%s/uploads/%s.map", dir, info.id);
    flip(map, BP_SPOOL_HEAD + BP_SPOOL_SLOT + 3);
    s = open_spool(&bp_io_posix, dir);
    check_parts(s, info.id, "0,2");
    assert_int_equal(send_part(s, info.id, &f, 1, &err), 0);
    check_parts(s, info.id, "0-2");
    bp_spool_close(s);
    flip(map, 300);
    s = open_spool(&bp_io_posix, dir);
    assert_int_equal(bp_spool_get(s, info.id, &info, &err), -ENOENT);
    assert_int_equal(access(map, R_OK), 0);
    flip(map, 300);
    bp_spool_close(s);
    s = open_spool(&bp_io_posix, dir);
    assert_int_equal(bp_spool_get(s, info.id, &info, &err), 0);
    assert_int_equal(bp_spool_drop(s, info.id, &err), 0);
    free(f.p);
}

static void ranges(void **state) {
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        { "", 0 },      { "0", 1 },     { "0-9", 10 },  { "0-3,7", 5 },
        { "1,3,5", 3 }, { "3,1", -1 },  { "1,1", -1 },  { "2-2", -1 },
        { "3-2", -1 },  { "10", -1 },   { "0-10", -1 }, { ",", -1 },
        { "0,", -1 },   { "-3", -1 },   { "01", -1 },   { "0 ,1", -1 },
        { "0-", -1 },   { "0--1", -1 }, { "a", -1 },    { "99999999999999999999", -1 },
    };
    uint8_t bits[2];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        int r = bp_spool_ranges_parse(bp_str_of(cases[i].text), bits, 10);
        BP_AUTO_BUF b = { 0 };

        if (r != (cases[i].want < 0 ? (int) BP_EFORMAT : cases[i].want))
            fail_msg("'%s': %d", cases[i].text, r);
        if (r < 0)
            continue;
        bp_spool_ranges_put(&b, bits, 10);
        assert_string_equal(b.n ? bp_buf_cstr(&b) : "", cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_in_any_order),
        cmocka_unit_test(wrong_parts),
        cmocka_unit_test(a_wrong_whole),
        cmocka_unit_test(the_newest_request_wins),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(limits),
        cmocka_unit_test(expiry),
        cmocka_unit_test(former_contents),
        cmocka_unit_test(damaged_maps),
        cmocka_unit_test(ranges),
    };

    return cmocka_run_group_tests_name("store/spool", tests, make_dir, remove_dir);
}
