#include "bag/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/crc.h"
#include "base/cursor.h"

enum {
    FRAME_MAGIC = 0x324a5042, /* "BPJ2" */
    FRAME_HEAD = 96,
    ZERO_STEP = 1 << 20,
};

static void encode_head(uint8_t out[static FRAME_HEAD], const struct bp_frame *f, uint32_t crc) {
    uint8_t *p = out + 8;

    memcpy(p, f->session, 16);
    p = bp_put64(p + 16, f->number);
    p = bp_put64(p, f->first_rseq);
    p = bp_put32(p, f->count);
    p = bp_put32(p, f->lane);
    p = bp_put64(p, f->records_bytes);
    p = bp_put32(p, f->runs_bytes);
    p = bp_put32(p, crc);
    p = bp_put64(p, f->slot);
    p = bp_put64(p, (uint64_t) f->wall_ns);
    memset(p, 0, (size_t) (out + FRAME_HEAD - p));
    (void) bp_put32(bp_put32(out, FRAME_MAGIC), bp_crc32c(0, out + 8, FRAME_HEAD - 8));
}

static int decode(const uint8_t *p, size_t n, struct bp_frame *ret) {
    struct bp_cur c = bp_cur_of(p, n);
    struct bp_frame f;
    uint32_t crc;

    if (n < FRAME_HEAD || bp_rd_le32(&c) != FRAME_MAGIC ||
        bp_rd_le32(&c) != bp_crc32c(0, p + 8, FRAME_HEAD - 8))
        return BP_ECORRUPT;
    memcpy(f.session, bp_rd_bytes(&c, 16), 16);
    f.number = bp_rd_le64(&c);
    f.first_rseq = bp_rd_le64(&c);
    f.count = bp_rd_le32(&c);
    f.lane = bp_rd_le32(&c);
    f.records_bytes = bp_rd_le64(&c);
    f.runs_bytes = bp_rd_le32(&c);
    crc = bp_rd_le32(&c);
    f.slot = bp_rd_le64(&c);
    f.wall_ns = (bp_ns_t) bp_rd_le64(&c);

    c = bp_cur_of(p + FRAME_HEAD, n - FRAME_HEAD);
    f.records = bp_rd_bytes(&c, f.records_bytes);
    f.runs = bp_rd_bytes(&c, f.runs_bytes);
    if (!bp_cur_ok(&c) || f.lane >= BP_LANES || f.runs_bytes % BP_RUN_BYTES ||
        crc != bp_crc32c(0, p + FRAME_HEAD, (size_t) (f.records_bytes + f.runs_bytes)))
        return BP_ECORRUPT;
    *ret = f;
    return 0;
}

static int fill_with_zeros(struct bp_journal *j, int fd) {
    BP_AUTO_FREE uint8_t *zeros = calloc(1, ZERO_STEP);
    int64_t have = j->io->size(j->io->ctx, fd);
    int r = 0;

    if (!zeros)
        return -ENOMEM;
    if (have < 0)
        return (int) have;
    for (uint64_t at = 0; at < j->size && (uint64_t) have < j->size && r == 0; at += ZERO_STEP)
        r = j->io->pwrite(j->io->ctx, fd, zeros, ZERO_STEP, at);
    return r < 0 ? r : j->io->sync(j->io->ctx, fd); /* size and blocks are settled from here on */
}

int bp_journal_open(struct bp_journal *j, const struct bp_io *io, const char *path,
                    const uint8_t session[16], uint64_t size, bool direct, bool sync_each,
                    struct bp_keyring *seal, struct bp_error *err) {
    int flags = O_RDWR | (sync_each ? O_DSYNC : 0), fd, r;
    char dir[1024];

    *j = (struct bp_journal){ .io = io, .fd = -1, .size = BP_ALIGN(size, (uint64_t) ZERO_STEP) };
    j->direct = direct;
    j->sync_each = sync_each;
    j->number = 1;
    memcpy(j->session, session, 16);
    (void) snprintf(j->path, sizeof j->path, "%s", path);

    fd = io->open(io->ctx, path, O_RDWR | O_CREAT, 0644);
    r = fd < 0 ? fd : fill_with_zeros(j, fd);
    if (r >= 0 && seal) {
        r = bp_sealed_create(io, fd, seal, NULL, &j->sealed);
        j->pos = j->first = BP_SEALED_HEADER;
    }
    if (r >= 0 && seal)
        r = io->sync(io->ctx, fd);
    if (fd >= 0)
        (void) io->close(io->ctx, fd);
    bp_io_dirname(path, dir, sizeof dir);
    if (r >= 0)
        r = io->sync_dir(io->ctx, dir);
    if (r >= 0)
        r = j->fd = io->open(io->ctx, path, flags | (direct ? O_DIRECT : 0), 0);
    if (r < 0)
        return bp_fail(err, r, "cannot make journal '%s': %s", path, bp_strerror(r));
    return 0;
}

void bp_journal_done(struct bp_journal *j, bool remove) {
    if (j->io && j->fd >= 0)
        (void) j->io->close(j->io->ctx, j->fd);
    if (j->io && remove)
        (void) j->io->unlink(j->io->ctx, j->path);
    free(j->live);
    free(j->buf);
    free(j->out);
    bp_sealed_free(j->sealed);
    *j = (struct bp_journal){ .fd = -1 };
}

static bool is_free(const struct bp_journal *j, uint64_t at, uint64_t len) {
    for (size_t i = 0; i < j->nlive; i++)
        if (j->live[i].at < at + len && at < j->live[i].at + j->live[i].len)
            return false;
    return true;
}

/* Room for `len` bytes from j->pos on, or from the file's start. */
static bool find_room(struct bp_journal *j, uint64_t len) {
    if (len > j->size / 2)
        return false;
    if (j->pos + len > j->size)
        j->pos = j->first;
    return is_free(j, j->pos, len);
}

static int room_for(uint8_t **p, size_t *cap, uint64_t len) {
    void *fresh;

    if (*cap >= len)
        return 0;
    if (posix_memalign(&fresh, BP_BLOCK, (size_t) len))
        return -ENOMEM;
    free(*p);
    *p = fresh;
    *cap = (size_t) len;
    return 0;
}

static int room_in_memory(struct bp_journal *j, uint64_t len) {
    int r;

    if (j->nlive == j->cap) {
        size_t cap = j->cap ? 2 * j->cap : 64;
        struct bp_journal_entry *v = realloc(j->live, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        j->live = v;
        j->cap = cap;
    }
    r = room_for(&j->buf, &j->buf_cap, len);
    return r == 0 && j->sealed ? room_for(&j->out, &j->out_cap, len) : r;
}

/* The frame in j->buf, sealed: any number of bytes, since a slot may be larger than a file's
 * frames. */
static int seal_frame(struct bp_journal *j, const struct bp_frame *f, uint64_t n,
                      const uint8_t **ret) {
    struct bp_sealed_label label = { .lane = f->lane, .first = f->first_rseq };

    label.last = f->count ? f->first_rseq + f->count - 1 : f->first_rseq;
    memcpy(label.run, f->session, sizeof label.run);
    *ret = j->out;
    return bp_sealed_put(j->sealed, BP_SEALED_JOURNAL, f->number, j->pos, &label, j->buf,
                         (size_t) n, j->out);
}

int bp_journal_append(struct bp_journal *j, const struct bp_frame *f) {
    struct bp_frame head = *f;
    uint64_t body = f->records_bytes + f->runs_bytes;
    uint64_t plain = BP_ALIGN(FRAME_HEAD + body, (uint64_t) BP_BLOCK);
    uint64_t len = j->sealed ? bp_sealed_frame_bytes(FRAME_HEAD + body) : plain;
    const uint8_t *frame;
    uint8_t *p;
    int r;

    if (bp_journal_is_dead(j))
        return -EIO;
    if (!find_room(j, len))
        return -ENOSPC;
    r = room_in_memory(j, BP_MAX(len, plain));
    if (r < 0)
        return r;

    frame = j->buf;
    p = j->buf + FRAME_HEAD;
    if (f->records_bytes)
        memcpy(p, f->records, (size_t) f->records_bytes);
    if (f->runs_bytes)
        memcpy(p + f->records_bytes, f->runs, f->runs_bytes);
    memset(p + body, 0, (size_t) (plain - FRAME_HEAD - body));
    memcpy(head.session, j->session, 16);
    head.number = j->number;
    encode_head(j->buf, &head, bp_crc32c(0, p, (size_t) body));

    r = j->sealed ? seal_frame(j, &head, FRAME_HEAD + body, &frame) : 0;
    if (r == 0)
        r = j->io->pwrite(j->io->ctx, j->fd, frame, (size_t) len, j->pos);
    if (r < 0) {
        __atomic_store_n(&j->dead, true, __ATOMIC_RELAXED);
        return r;
    }
    j->live[j->nlive++] = (struct bp_journal_entry){ j->pos, len, f->slot };
    j->pos += len;
    j->number++;
    j->frames++;
    j->bytes += len;
    __atomic_store_n(&j->unsynced, !j->sync_each, __ATOMIC_RELAXED);
    return 0;
}

int bp_journal_sync(struct bp_journal *j) {
    int r;

    if (!__atomic_exchange_n(&j->unsynced, false, __ATOMIC_RELAXED))
        return 0;
    r = j->io->datasync(j->io->ctx, j->fd);
    if (r < 0)
        __atomic_store_n(&j->dead, true, __ATOMIC_RELAXED);
    return r;
}

void bp_journal_release(struct bp_journal *j, bool (*dead)(void *ctx, uint64_t slot), void *ctx) {
    size_t k = 0;

    for (size_t i = 0; i < j->nlive; i++)
        if (!dead(ctx, j->live[i].slot))
            j->live[k++] = j->live[i];
    j->nlive = k;
}

int bp_journal_unseal(char **p, size_t *n, struct bp_keyring *keys) {
    BP_CLEANUP(bp_sealed_freep) struct bp_sealed *s = NULL;
    BP_AUTO_FREE uint8_t *plain = NULL;
    size_t to = 0;
    int r;

    if (!bp_sealed_probe((const uint8_t *) *p, *n))
        return 0;
    r = bp_sealed_from_header((const uint8_t *) *p, *n, keys, &s);
    if (r < 0)
        return r;
    if (!bp_sealed_readable(s))
        return BP_EKEY;
    plain = calloc(1, *n + BP_BLOCK);
    if (!plain)
        return -ENOMEM;
    for (size_t at = BP_SEALED_HEADER; at + BP_SEALED_HEAD <= *n;) {
        struct bp_sealed_frame f;

        /* what was torn or overwritten in part is no frame, as in a journal in the clear */
        if (bp_sealed_take(s, (const uint8_t *) *p + at, *n - at, NULL, &f) < 0 ||
            f.type != BP_SEALED_JOURNAL || f.off != at ||
            bp_sealed_take(s, (const uint8_t *) *p + at, *n - at, plain + to, &f) < 0) {
            at += BP_BLOCK;
            continue;
        }
        to += BP_ALIGN((size_t) f.n, (size_t) BP_BLOCK);
        at += (size_t) bp_sealed_frame_bytes(f.n);
    }
    free(*p);
    *p = (char *) BP_TAKE_PTR(plain);
    *n = to;
    return 0;
}

int bp_journal_scan(const uint8_t *p, size_t n, const uint8_t *session,
                    int (*fn)(void *ctx, const struct bp_frame *f), void *ctx) {
    for (size_t at = 0; at + FRAME_HEAD <= n;) {
        struct bp_frame f;
        int r;

        if (decode(p + at, n - at, &f) < 0 || (session && memcmp(session, f.session, 16) != 0)) {
            at += BP_BLOCK;
            continue;
        }
        r = fn(ctx, &f);
        if (r)
            return r;
        at += BP_ALIGN(FRAME_HEAD + (size_t) f.records_bytes + f.runs_bytes, (size_t) BP_BLOCK);
    }
    return 0;
}
