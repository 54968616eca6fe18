#include "store/test-spool.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include "base/io-fault.h"

/* The process dies, or the disk fails, at every file operation of an upload. Whatever happens:
 * parts that were acknowledged are there in the next life, what the catalogue knows of is an
 * object, an object is whole, and the upload can go on to its end. The catalogue here is one file.
 */

enum { PARTS = 4, UPLOADS = 2 };

/* What a life got told, in memory that outlives it. */
struct told {
    bool acked[UPLOADS][PARTS];
    bool finished[UPLOADS];
};

struct world {
    char dir[64];
    struct test_file files[UPLOADS]; /* the second has the content of the first: stored once */
};

struct taking {
    const struct bp_io *io;
    struct bp_store *store;
    const char *dir;
};

static void catalog_path(char path[static 200], const char *dir, const char *file) {
    (void) snprintf(path, 200, "%s/catalog-%s", dir, file);
}

static int take(void *ctx, const struct bp_spool_info *info, const char *path,
                struct bp_error *err) {
    const struct taking *t = ctx;
    char row[200];
    int r = bp_store_put(t->store, info->meta.sha256, path, info->meta.bytes, err);

    catalog_path(row, t->dir, info->meta.file);
    return r < 0 ? r : bp_io_replace_file(t->io, row, info->meta.sha256, BP_SHA256_LEN, err);
}

/* One upload from wherever it is. @return 0 when it is at its end */
static int upload_one(struct bp_spool *s, struct taking *t, const struct test_file *f,
                      bool *ret_acked, bool *ret_finished) {
    struct bp_spool_info info;
    int r = bp_spool_create(s, &f->meta, &info, NULL);

    for (uint32_t i = 0; r >= 0 && i < PARTS; i++) {
        uint32_t n = (i + 2) % PARTS; /* not in order */

        if (info.moved)
            break;
        r = send_part(s, info.id, f, n, NULL);
        if (r == 0)
            ret_acked[n] = true;
    }
    if (r < 0)
        return r;
    r = bp_spool_finish(s, info.id, take, t, NULL);
    if (r == 0)
        *ret_finished = true;
    return r;
}

/* What is whole is finished at the start, as whoever owns a spool does. */
static int finish_whole(struct bp_spool *s, struct taking *t) {
    BP_AUTO_FREE struct bp_spool_info *list = NULL;
    size_t n;
    int r = bp_spool_list(s, &list, &n);

    for (size_t i = 0; r == 0 && i < n; i++)
        if (list[i].parts_there == list[i].parts)
            r = bp_spool_finish(s, list[i].id, take, t, NULL);
    return r;
}

/* A life. @return the first failure */
static int live(const struct world *w, const struct bp_io *io, struct told *told) {
    BP_CLEANUP(bp_store_closep) struct bp_store *store = NULL;
    BP_CLEANUP(bp_spool_closep) struct bp_spool *s = NULL;
    char path[100];
    struct bp_spool_options o = { .io = io, .dir = path };
    struct taking t = { io, NULL, w->dir };
    int r = bp_store_open_fs(io, w->dir, &store, NULL);

    (void) snprintf(path, sizeof path, "%s/uploads", w->dir);
    if (r == 0)
        r = bp_spool_open(&o, &s, NULL);
    t.store = store;
    if (r == 0)
        r = finish_whole(s, &t);
    for (size_t i = 0; r == 0 && i < UPLOADS; i++)
        if (!told->finished[i])
            r = upload_one(s, &t, &w->files[i], told->acked[i], &told->finished[i]);
    return r;
}

static bool row_is_there(const struct world *w, size_t i) {
    char row[200];

    catalog_path(row, w->dir, w->files[i].meta.file);
    return access(row, R_OK) == 0;
}

static const char *now; /* what is being tried */

/* What a new life finds is what the last one was told. */
static void check_found(const struct world *w, const struct told *told) {
    BP_CLEANUP(bp_store_closep) struct bp_store *store = NULL;
    BP_CLEANUP(bp_spool_closep) struct bp_spool *s = open_spool(&bp_io_posix, w->dir);

    assert_int_equal(bp_store_open_fs(&bp_io_posix, w->dir, &store, NULL), 0);
    for (size_t i = 0; i < UPLOADS; i++) {
        const struct test_file *f = &w->files[i];
        char id[BP_SPOOL_ID];
        struct bp_spool_info info = { 0 };
        BP_AUTO_BUF b = { 0 };
        const char *parts;

        (void) bp_spool_id(f->meta.session, f->meta.file, f->meta.sha256, id);
        if (row_is_there(w, i) || told->finished[i])
            check_object(store, f);
        if (told->finished[i] && !row_is_there(w, i))
            fail_msg("%s: finished, and the catalogue does not know", now);
        if (bp_spool_get(s, id, &info, NULL) < 0) {
            for (uint32_t n = 0; n < PARTS; n++)
                if (told->acked[i][n] && !row_is_there(w, i))
                    fail_msg("%s: upload %zu is gone, part %u was acknowledged", now, i, n);
            continue;
        }
        if (info.moved) {
            check_object(store, f);
            continue;
        }
        assert_int_equal(bp_spool_put_parts(s, id, &b, NULL), 0);
        parts = b.n ? bp_buf_cstr(&b) : "";
        for (uint32_t n = 0; n < PARTS; n++) {
            char digit[2] = { (char) ('0' + n), 0 };
            bool in_range = strchr(parts, digit[0]) || bp_streq(parts, "0-3") ||
                            (n == 1 && bp_starts_with(parts, "0-2")) ||
                            (n == 2 && strstr(parts, "1-3"));

            if (told->acked[i][n] && !in_range)
                fail_msg("%s: part %u was acknowledged and is not in '%s'", now, n, parts);
        }
    }
}

static unsigned files_in(const char *dir, const char *sub) {
    char command[200];
    unsigned n = 0;
    FILE *p;

    (void) snprintf(command, sizeof command, "find '%s/%s' -type f | wc -l", dir, sub);
    p = popen(command, "r"); /* NOLINT(cert-env33-c) */
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%u", &n), 1); /* NOLINT(cert-err34-c) */
    (void) pclose(p);
    return n;
}

static void world_new(struct world *w) {
    (void) snprintf(w->dir, sizeof w->dir, "/dev/shm/bp-test-spool-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
}

/* A life under `spec`, in a process of its own when that may kill it; what is found afterwards; a
 * life on a disk that works. @return false when the rule was never met */
static bool try_one(struct world *w, const char *spec, bool dies) {
    struct told *told =
        mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *fault = NULL;
    int status = 0;
    bool hit;

    now = spec;
    assert_true(told != MAP_FAILED);
    world_new(w);
    assert_int_equal(bp_io_fault_new(&bp_io_posix, spec, &fault, NULL), 0);
    if (dies) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
            _exit(live(w, bp_io_fault_io(fault), told) == 0 ? 0 : 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        hit = WIFSIGNALED(status);
    } else {
        (void) live(w, bp_io_fault_io(fault), told);
        hit = bp_io_fault_hits(fault) > 0;
    }
    check_found(w, told);
    if (live(w, &bp_io_posix, told) != 0)
        fail_msg("%s: the next life does not come to the end", spec);
    check_found(w, told);
    if (files_in(w->dir, "uploads") != 0 || files_in(w->dir, "objects") != 1)
        fail_msg("%s: something is left behind", spec);
    remove_tree(w->dir);
    (void) munmap(told, sizeof *told);
    return hit;
}

static struct world make_world(void) {
    struct world w = { .files = { make_file(3 * PART + 77, "one", 20),
                                  make_file(3 * PART + 77, "two", 20) } };

    return w;
}

static void world_done(struct world *w) {
    free(w->files[0].p);
    free(w->files[1].p);
}

static void every_call(const char *op, const char *what, bool dies, unsigned least) {
    struct world w = make_world();
    unsigned k = 0;
    char spec[80];

    do
        (void) snprintf(spec, sizeof spec, "op=%s,at=%u,%s", op, ++k, what);
    while (try_one(&w, spec, dies));
    print_message("%s, %s: %u calls\n", op, what, k - 1);
    assert_true(k > least);
    world_done(&w);
}

static void killed_at_every_call(void **state) {
    (void) state;
    every_call("*", "kill", true, 100);
}

static void eio_at_every_call(void **state) {
    (void) state;
    every_call("*", "errno=EIO", false, 100);
}

static void enospc_at_every_call(void **state) {
    (void) state;
    every_call("*", "errno=ENOSPC", false, 100);
}

static void torn_at_every_write(void **state) {
    (void) state;
    every_call("pwrite", "errno=EIO,half", false, 20);
}

static void failing_for_good(void **state) {
    static const char *const specs[] = {
        "op=datasync,from=3,errno=EIO", "op=sync,from=2,errno=EIO", "op=sync_dir,from=2,errno=EIO",
        "op=rename,from=2,errno=EIO",   "op=unlink,errno=EIO",      "op=pwrite,every=3,errno=EIO",
        "op=open,from=9,errno=EMFILE",  "op=pread,errno=EIO",
    };
    struct world w = make_world();

    (void) state;
    for (size_t i = 0; i < BP_COUNT(specs); i++)
        assert_true(try_one(&w, specs[i], false));
    world_done(&w);
}

/* The sweep can fail: what is acknowledged without having been written is missed. */
static void a_lying_disk_is_noticed(void **state) {
    struct world w = make_world();
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *fault = NULL;
    struct bp_spool_info info;
    struct bp_spool *s;

    (void) state;
    world_new(&w);
    assert_int_equal(bp_io_fault_new(&bp_io_posix, "op=pwrite,path=*.map,skip", &fault, NULL), 0);
    s = open_spool(bp_io_fault_io(fault), w.dir);
    assert_int_equal(bp_spool_create(s, &w.files[0].meta, &info, NULL), 0);
    assert_int_equal(send_part(s, info.id, &w.files[0], 2, NULL), 0);
    bp_spool_close(s);
    s = open_spool(&bp_io_posix, w.dir);
    check_parts(s, info.id, "");
    bp_spool_close(s);
    remove_tree(w.dir);
    world_done(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_every_call), cmocka_unit_test(eio_at_every_call),
        cmocka_unit_test(enospc_at_every_call), cmocka_unit_test(torn_at_every_write),
        cmocka_unit_test(failing_for_good),     cmocka_unit_test(a_lying_disk_is_noticed),
    };

    return cmocka_run_group_tests_name("store/spool-failures", tests, NULL, NULL);
}
