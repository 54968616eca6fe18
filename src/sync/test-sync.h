#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bag/manifest.h"
#include "base/io.h"
#include "base/ulid.h"
#include "crypt/digest.h"
#include "sync/queue.h"
#include "sync/sync.h"

/* What the tests of sync share: folders, sessions in them, comparing. */

static char test_dir[64];

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *f) {
    (void) st;
    (void) flag;
    (void) f;
    return remove(path);
}

static inline void rm_tree(const char *path) {
    (void) nftw(path, rm_one, 32, FTW_DEPTH | FTW_PHYS);
}

static inline int set_up_dir(void **state) {
    (void) state;
    /* in memory: what a power cut leaves is not asked here */
    (void) snprintf(test_dir, sizeof test_dir, "%s/bp-sync-XXXXXX",
                    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(test_dir) ? 0 : -1;
}

static inline int tear_down_dir(void **state) {
    (void) state;
    rm_tree(test_dir);
    return 0;
}

static inline const char *in_dir(const char *name) {
    static char path[8][300];
    static unsigned n;

    (void) snprintf(path[++n % 8], sizeof path[0], "%s/%s", test_dir, name);
    return path[n % 8];
}

static inline uint64_t test_random(uint64_t *x) {
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static inline void must(int r, const struct bp_error *err) {
    if (r < 0)
        fail_msg("%s (%s)", err->text, bp_strerror(r));
}

/* n bytes that depend on the seed alone. */
static inline void write_random(const char *path, uint64_t seed, size_t n) {
    FILE *f = fopen(path, "we");
    uint64_t x = seed * 0x9E3779B97F4A7C15ULL + 1, v;

    assert_non_null(f);
    for (; n >= 8; n -= 8) {
        v = test_random(&x);
        assert_int_equal(fwrite(&v, 8, 1, f), 1);
    }
    v = test_random(&x);
    assert_int_equal(fwrite(&v, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A session folder `dir`/`name` with n segments and a manifest; its id into `id`. */
static inline void make_session(const char *dir, const char *name, unsigned n, size_t bytes,
                                bp_ns_t started, char id[static BP_ULID_TEXT]) {
    BP_AUTO_MANIFEST m = { 0 };
    struct bp_error err = { 0 };
    char folder[300], path[400];
    uint64_t seed = 0;

    for (const char *p = name; *p; p++)
        seed = seed * 31 + (unsigned char) *p;
    (void) snprintf(folder, sizeof folder, "%s/%s", dir, name);
    (void) mkdir(dir, 0755);
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(bp_manifest_init(&m, bp_ulid_new(id), name, started), 0);
    for (unsigned i = 0; i < n; i++) {
        struct bp_manifest_segment s = { .chain = "" };
        char file[80];

        (void) snprintf(file, sizeof file, "%s_%u.mcap", name, i);
        (void) snprintf(path, sizeof path, "%s/%s", folder, file);
        write_random(path, seed + i, bytes + i);
        s.file = file;
        assert_int_equal(
            bp_manifest_hash_file(&bp_io_posix, path, &s.bytes, s.sha256, NULL, NULL, &err), 0);
        assert_int_equal(bp_manifest_add_segment(&m, &s), 0);
    }
    assert_int_equal(bp_manifest_write(&bp_io_posix, folder, &m, NULL, &err), 0);
}

/* The manifest says what the segments are now. */
static inline void tell_in_manifest(const char *name) {
    BP_AUTO_MANIFEST m = { 0 };
    struct bp_error err = { 0 };
    char dir[300], path[400];

    (void) snprintf(dir, sizeof dir, "%s/rec/%s", test_dir, name);
    must(bp_manifest_read(&bp_io_posix, dir, &m, &err), &err);
    for (size_t i = 0; i < m.nsegments; i++) {
        (void) snprintf(path, sizeof path, "%s/%s", dir, m.segments[i].file);
        must(bp_manifest_hash_file(&bp_io_posix, path, &m.segments[i].bytes, m.segments[i].sha256,
                                   NULL, NULL, &err),
             &err);
    }
    must(bp_manifest_write(&bp_io_posix, dir, &m, NULL, &err), &err);
}

/* Are both files the same, byte by byte? */
static inline bool same_files(const char *a, const char *b) {
    char *ta = NULL, *tb = NULL;
    size_t na = 0, nb = 0;
    bool same = bp_io_read_file(&bp_io_posix, a, 1 << 30, &ta, &na, NULL) >= 0 &&
                bp_io_read_file(&bp_io_posix, b, 1 << 30, &tb, &nb, NULL) >= 0 && na == nb &&
                memcmp(ta, tb, na) == 0;

    free(ta);
    free(tb);
    return same;
}
