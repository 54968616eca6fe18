#pragma once

/* What the tests of the spool share: a folder, a file to be uploaded, and its parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>

#include "store/spool.h"
#include "store/store.h"

#define SESSION "01J8ZQ4K5T7Y9N3M2B6C8D0E1F"

enum { PART = BP_SPOOL_PART_MIN };

struct test_file {
    uint8_t *p; /* owned */
    size_t n;
    struct bp_spool_meta meta;
};

static inline struct test_file make_file(size_t n, const char *name, unsigned seed) {
    struct test_file f = { malloc(n + 1), n, { .bytes = n, .part_bytes = PART } };
    uint64_t x = seed + 1;

    assert_non_null(f.p);
    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        f.p[i] = (uint8_t) (x >> 56);
    }
    bp_sha256_of(f.p, n, f.meta.sha256);
    (void) snprintf(f.meta.session, sizeof f.meta.session, SESSION);
    (void) snprintf(f.meta.file, sizeof f.meta.file, "%s", name);
    (void) snprintf(f.meta.kind, sizeof f.meta.kind, "segment");
    (void) snprintf(f.meta.device, sizeof f.meta.device, "robot7");
    return f;
}

static inline size_t part_n(const struct test_file *f, uint32_t n) {
    return BP_MIN((size_t) PART, f->n - (size_t) n * PART);
}

/* Sends a part in pieces. */
static inline int send_part(struct bp_spool *s, const char *id, const struct test_file *f,
                            uint32_t n, struct bp_error *err) {
    const uint8_t *p = f->p + (size_t) n * PART;
    size_t size = part_n(f, n);
    uint8_t digest[BP_SHA256_LEN];
    struct bp_spool_part *part;
    int r;

    bp_sha256_of(p, size, digest);
    r = bp_spool_part_begin(s, id, n, size, digest, &part, err);
    for (size_t at = 0; r == 0 && at < size;) {
        size_t k = BP_MIN(size - at, (size_t) 30000);

        r = bp_spool_part_write(part, p + at, k, err);
        at += k;
        if (r < 0) {
            bp_spool_part_abort(part);
            return r;
        }
    }
    return r < 0 ? r : bp_spool_part_commit(part, err);
}

static inline struct bp_spool *open_spool(const struct bp_io *io, const char *dir) {
    char path[100];
    struct bp_spool_options o = { .io = io, .dir = path };
    struct bp_spool *s = NULL;
    struct bp_error err = { 0 };

    (void) snprintf(path, sizeof path, "%s/uploads", dir);
    if (bp_spool_open(&o, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static inline void check_parts(struct bp_spool *s, const char *id, const char *want) {
    BP_AUTO_BUF b = { 0 };

    assert_int_equal(bp_spool_put_parts(s, id, &b, NULL), 0);
    assert_string_equal(b.n ? bp_buf_cstr(&b) : "", want);
}

/* Is the object what the file is? */
static inline void check_object(struct bp_store *store, const struct test_file *f) {
    BP_CLEANUP(bp_store_object_closep) struct bp_store_object *o = NULL;
    BP_AUTO_FREE uint8_t *p = malloc(f->n + 1);

    assert_int_equal(bp_store_get(store, f->meta.sha256, &o, NULL), 0);
    assert_int_equal(o->bytes, f->n);
    assert_int_equal(bp_store_object_read(o, p, f->n, 0, NULL), f->n);
    assert_memory_equal(p, f->p, f->n);
}

static inline void remove_tree(const char *dir) {
    char command[128];

    (void) snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
        perror("rm");
}
