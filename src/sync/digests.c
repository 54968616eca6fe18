#include "sync/digests.h"

#include <errno.h>
#include <fcntl.h>

#include "base/io.h"
#include "sync/engine-priv.h"

/* Beyond that the parts are hashed when they are sent: 3 MB of digests. */
enum { PARTS_KEPT = 100000 };

struct reading {
    struct bp_sync_digests *d;
    struct bp_sha256 *file, *part;
    uint64_t at;
};

void bp_sync_digests_done(struct bp_sync_digests *d) {
    free(d->v);
    *d = (struct bp_sync_digests){ 0 };
}

/* One digest more; when there is no room for it, none is kept. */
static void end_part(struct reading *r) {
    struct bp_sync_digests *d = r->d;

    if (d->n == d->cap && d->cap < PARTS_KEPT) {
        uint32_t cap = d->cap ? 2 * d->cap : 64;
        void *v = realloc(d->v, (size_t) cap * sizeof *d->v);

        if (v) {
            d->v = v;
            d->cap = cap;
        }
    }
    if (d->n < d->cap)
        bp_sha256_end(r->part, d->v[d->n++]);
    bp_sha256_free(r->part);
    r->part = NULL;
}

static int add(struct reading *r, const uint8_t *p, size_t n) {
    if (!r->part)
        r->part = bp_sha256_new();
    if (!r->part)
        return -ENOMEM;
    bp_sha256_add(r->file, p, n);
    bp_sha256_add(r->part, p, n);
    r->at += n;
    if (r->at % r->d->part_bytes == 0)
        end_part(r);
    return 0;
}

static int read_all(struct reading *r, int fd, uint8_t *buf, const bool *cancel) {
    for (;;) {
        uint64_t left = r->d->part_bytes - r->at % r->d->part_bytes;
        ssize_t n =
            bp_io_posix.pread(NULL, fd, buf, (size_t) BP_MIN(left, (uint64_t) BP_SYNC_READ), r->at);
        int e;

        if (n <= 0)
            return (int) n;
        e = add(r, buf, (size_t) n);
        if (e < 0)
            return e;
        if (__atomic_load_n(cancel, __ATOMIC_RELAXED))
            return -ECANCELED;
    }
}

int bp_sync_digests_of(const char *path, uint64_t part, const bool *cancel,
                       struct bp_sync_digests *ret, struct bp_error *err) {
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *file = bp_sha256_new();
    BP_AUTO_FREE uint8_t *buf = malloc(BP_SYNC_READ);
    BP_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct reading r = { .d = ret, .file = file };
    uint8_t digest[BP_SHA256_LEN];
    int e = fd < 0 ? -errno : 0;

    bp_sync_digests_done(ret);
    ret->part_bytes = part;
    if (!file || !buf)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (e == 0)
        e = read_all(&r, fd, buf, cancel);
    if (e == 0 && r.part)
        end_part(&r);
    bp_sha256_free(r.part);
    if (e < 0) {
        bp_sync_digests_done(ret);
        return bp_fail(err, e, "cannot read '%s': %s", path, bp_strerror(e));
    }
    bp_sha256_end(file, digest);
    (void) bp_sha256_hex(digest, ret->hex);
    ret->bytes = r.at;
    return 0;
}

const uint8_t *bp_sync_digests_part(const struct bp_sync_digests *d, uint64_t part_bytes,
                                    uint32_t n) {
    return d->v && d->part_bytes == part_bytes && n < d->n ? d->v[n] : NULL;
}
