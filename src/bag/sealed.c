#include "bag/sealed.h"

#include <errno.h>

#include "bag/sealed-priv.h"
#include "base/crc.h"

/* Invariants:
 *   - frames before `stored` are never written again, except by a write that replaces them all;
 *   - a failed write leaves `size` and `stored` as they were, so it can be repeated: what it left
 *     behind `stored` is garbage that no index names and that the repetition overwrites;
 *   - every write draws new nonces. */

static const char tail_magic[8] = { 'B', 'P', 'S', 'E', 'A', 'L', 'N', 'D' };

uint8_t *sealed_room(uint8_t **p, size_t *cap, size_t want) {
    void *fresh;

    if (*cap >= want)
        return *p;
    if (posix_memalign(&fresh, SEALED_BLOCK, BP_ALIGN(want, (size_t) SEALED_BLOCK)))
        return NULL;
    free(*p);
    *p = fresh;
    *cap = BP_ALIGN(want, (size_t) SEALED_BLOCK);
    return *p;
}

static struct bp_sealed *sealed_new(const struct bp_io *io, int fd) {
    struct bp_sealed *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->io = io;
    s->fd = fd;
    bp_mutex_init(&s->lock);
    return s;
}

void bp_sealed_free(struct bp_sealed *s) {
    if (!s)
        return;
    bp_aead_free(s->aead);
    bp_aead_free(s->placer);
    for (size_t i = 0; i < SEALED_CACHE; i++)
        free(s->cache[i].p);
    free(s->frame);
    free(s->out);
    free(s->v);
    bp_mutex_done(&s->lock);
    free(s);
}

int bp_sealed_create(const struct bp_io *io, int fd, struct bp_keyring *keys, const char *session,
                     struct bp_sealed **ret) {
    BP_CLEANUP(bp_sealed_freep) struct bp_sealed *s = sealed_new(io, fd);
    uint8_t *out;
    int r;

    if (!s)
        return -ENOMEM;
    s->frame_max = BP_SEALED_FRAME;
    s->stored = BP_SEALED_HEADER;
    r = sealed_header_make(s, keys, session);
    out = sealed_room(&s->out, &s->out_cap, BP_SEALED_HEADER);
    if (r == 0 && !out)
        r = -ENOMEM;
    if (r < 0)
        return r;
    memcpy(out, s->header, BP_SEALED_HEADER);
    r = io->pwrite(io->ctx, fd, out, BP_SEALED_HEADER, 0);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(s);
    return 0;
}

static int open_with(const struct bp_io *io, int fd, struct bp_keyring *keys,
                     int (*look)(struct bp_sealed *), struct bp_sealed **ret) {
    BP_CLEANUP(bp_sealed_freep) struct bp_sealed *s = sealed_new(io, fd);
    uint8_t *p;
    ssize_t n;
    int r;

    if (!s)
        return -ENOMEM;
    p = sealed_room(&s->out, &s->out_cap, BP_SEALED_HEADER); /* aligned, should fd want that */
    n = p ? io->pread(io->ctx, fd, p, BP_SEALED_HEADER, 0) : -ENOMEM;
    if (n < 0)
        return (int) n;
    if (n < BP_SEALED_HEADER)
        return bp_sealed_probe(p, (size_t) n) ? BP_ETRUNCATED : BP_EFORMAT;
    memcpy(s->header, p, BP_SEALED_HEADER);
    r = sealed_header_read(s, keys);
    if (r == 0)
        r = look(s);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(s);
    return 0;
}

int bp_sealed_open(const struct bp_io *io, int fd, struct bp_keyring *keys,
                   struct bp_sealed **ret) {
    return open_with(io, fd, keys, sealed_scan, ret);
}

int bp_sealed_peek(const struct bp_io *io, int fd, struct bp_keyring *keys,
                   struct bp_sealed **ret) {
    return open_with(io, fd, keys, sealed_peek, ret);
}

int bp_sealed_key_new(struct bp_keyring *keys, uint8_t ret_header[static BP_SEALED_HEADER],
                      struct bp_sealed **ret) {
    BP_CLEANUP(bp_sealed_freep) struct bp_sealed *s = sealed_new(NULL, -1);
    int r;

    if (!s)
        return -ENOMEM;
    s->frame_max = BP_SEALED_FRAME;
    r = sealed_header_make(s, keys, NULL);
    if (r < 0)
        return r;
    memcpy(ret_header, s->header, BP_SEALED_HEADER);
    *ret = BP_TAKE_PTR(s);
    return 0;
}

int bp_sealed_from_header(const uint8_t *p, size_t n, struct bp_keyring *keys,
                          struct bp_sealed **ret) {
    BP_CLEANUP(bp_sealed_freep) struct bp_sealed *s = sealed_new(NULL, -1);
    int r;

    if (!s)
        return -ENOMEM;
    if (n < BP_SEALED_HEADER)
        return BP_ETRUNCATED;
    memcpy(s->header, p, BP_SEALED_HEADER);
    r = sealed_header_read(s, keys);
    if (r == 0)
        *ret = BP_TAKE_PTR(s);
    return r;
}

bool bp_sealed_readable(const struct bp_sealed *s) {
    return s->readable;
}

enum bp_sealed_state bp_sealed_state(const struct bp_sealed *s) {
    return s->state;
}

uint64_t bp_sealed_size(const struct bp_sealed *s) {
    return __atomic_load_n(&s->size, __ATOMIC_RELAXED);
}

uint64_t bp_sealed_frames(const struct bp_sealed *s) {
    return s->n;
}

size_t bp_sealed_frame_most(const struct bp_sealed *s) {
    return (size_t) BP_MIN((uint64_t) s->frame_max, s->size + 1);
}

uint64_t bp_sealed_stored(const struct bp_sealed *s) {
    return __atomic_load_n(&s->stored, __ATOMIC_RELAXED);
}

uint64_t bp_sealed_holes(const struct bp_sealed *s) {
    return s->holes + (s->forged ? 1 : 0);
}

uint64_t sealed_plain(const struct bp_sealed *s, uint64_t i) {
    return (i + 1 < s->n ? s->v[i + 1].off : s->size) - s->v[i].off;
}

/* ---- one frame ---- */

int bp_sealed_put(struct bp_sealed *s, enum bp_sealed_type type, uint64_t number, uint64_t off,
                  const struct bp_sealed_label *label, const void *p, size_t n, uint8_t *out) {
    struct bp_sealed_frame f = { .type = type, .n = (uint32_t) n, .number = number, .off = off };
    uint8_t nonce[BP_NONCE_LEN] = { 0 };
    bool clear = type == BP_SEALED_CLOSED;
    int r = clear ? 0 : !s->aead ? BP_EKEY : bp_random(nonce, sizeof nonce);

    if (r < 0)
        return r;
    f.label = label ? *label : (struct bp_sealed_label){ .lane = UINT32_MAX };
    sealed_head_encode(out, &f, s->file_id, nonce);
    if (clear) {
        memcpy(out + BP_SEALED_HEAD, p, n);
        bp_st_le32(out + SEALED_CRC_AT, bp_crc32c(0, p, n));
        memset(out + BP_SEALED_HEAD + n, 0,
               (size_t) (bp_sealed_frame_bytes(n) - BP_SEALED_HEAD - n));
    } else {
        r = sealed_body(s->aead, out, p, n);
    }
    return r == 0 ? sealed_head_finish(s, out, clear) : r;
}

/* Genuine, and written for the place it names. */
static int open_frame(struct bp_sealed *s, const uint8_t *p, const struct bp_sealed_frame *f,
                      uint8_t *out) {
    const uint8_t *nonce = p + SEALED_NONCE_AT;
    int r = !s->aead ? BP_EKEY
                     : bp_aead_open(s->placer, nonce, p, SEALED_PLACE_AT, NULL, 0, NULL,
                                    p + SEALED_PLACE_AT);

    return r == 0 ? bp_aead_open(s->aead, nonce, p + SEALED_ID_AT, BP_FILE_ID, p + BP_SEALED_HEAD,
                                 f->n, out, p + SEALED_TAG_AT)
                  : r;
}

int bp_sealed_take(struct bp_sealed *s, const uint8_t *p, size_t n, uint8_t *out,
                   struct bp_sealed_frame *ret) {
    struct bp_sealed_frame f;
    int r = n < BP_SEALED_HEAD ? BP_ECORRUPT : sealed_head_decode(s, p, &f);

    if (r == 0 && f.n > n - BP_SEALED_HEAD)
        r = BP_ECORRUPT;
    if (r < 0)
        return r;
    if (out)
        r = open_frame(s, p, &f, out);
    else if (f.crc != bp_crc32c(0, p + BP_SEALED_HEAD, f.n))
        r = BP_ECORRUPT;
    if (r == 0)
        *ret = f;
    return r;
}

int bp_sealed_check(struct bp_sealed *s, uint64_t i, struct bp_sealed_frame *ret) {
    uint64_t n = sealed_plain(s, i);
    ssize_t got;
    int r = 0;

    if (s->v[i].hole)
        return BP_ECORRUPT;
    bp_mutex_lock(&s->lock);
    if (!sealed_room(&s->frame, &s->frame_cap, (size_t) bp_sealed_frame_bytes(n)))
        r = -ENOMEM;
    got = r < 0 ? r
                : s->io->pread(s->io->ctx, s->fd, s->frame, (size_t) bp_sealed_frame_bytes(n),
                               s->v[i].at);
    if (got < 0)
        r = (int) got;
    if (r == 0)
        r = bp_sealed_take(s, s->frame, (size_t) got, NULL, ret);
    if (r == 0 && (ret->type != BP_SEALED_DATA || ret->number != i || ret->off != s->v[i].off ||
                   ret->n != n || (uint64_t) got < bp_sealed_frame_bytes(n) ||
                   !sealed_zeros(s->frame + BP_SEALED_HEAD + n,
                                 (size_t) (bp_sealed_frame_bytes(n) - BP_SEALED_HEAD - n))))
        r = BP_ECORRUPT;
    bp_mutex_unlock(&s->lock);
    return r;
}

int bp_sealed_look(struct bp_sealed *s, uint64_t i, struct bp_sealed_frame *ret) {
    uint8_t head[BP_SEALED_HEAD];
    ssize_t n = s->v[i].hole ? 0 : s->io->pread(s->io->ctx, s->fd, head, sizeof head, s->v[i].at);
    int r = n < 0 ? (int) n : n < (ssize_t) sizeof head ? BP_ECORRUPT : 0;

    if (r == 0)
        r = sealed_head_decode(s, head, ret);
    return r == 0 && (ret->type != BP_SEALED_DATA || ret->number != i) ? BP_ECORRUPT : r;
}

/* ---- reading ---- */

/* [lock] Plain bytes of frame i into `out`. */
static int read_frame(struct bp_sealed *s, uint64_t i, uint8_t *out) {
    size_t n = (size_t) sealed_plain(s, i);
    struct bp_sealed_frame f;
    ssize_t got;
    int r;

    if (s->v[i].hole)
        return BP_ECORRUPT;
    /* whole blocks, in case the descriptor is O_DIRECT */
    if (!sealed_room(&s->frame, &s->frame_cap, (size_t) bp_sealed_frame_bytes(n)))
        return -ENOMEM;
    got = s->io->pread(s->io->ctx, s->fd, s->frame, (size_t) bp_sealed_frame_bytes(n), s->v[i].at);
    if (got < 0)
        return (int) got;
    if ((size_t) got < BP_SEALED_HEAD + n)
        return BP_ETRUNCATED;
    r = sealed_head_decode(s, s->frame, &f);
    if (r == 0 && (f.type != BP_SEALED_DATA || f.number != i || f.off != s->v[i].off || f.n != n))
        r = BP_ECORRUPT; /* a good frame, of another place */
    return r == 0 ? bp_sealed_take(s, s->frame, (size_t) got, out, &f) : r;
}

/* [lock] The frame that holds plain byte `off` < size. */
static uint64_t frame_of(const struct bp_sealed *s, uint64_t off) {
    uint64_t lo = 0, hi = s->n;

    while (hi - lo > 1) {
        uint64_t mid = lo + (hi - lo) / 2;

        if (s->v[mid].off <= off)
            lo = mid;
        else
            hi = mid;
    }
    /* of a hole's frames the first one stands for all bytes */
    while (lo > 0 && s->v[lo].hole && sealed_plain(s, lo) == 0)
        lo--;
    return lo;
}

/* [lock] @return the frame's plain bytes, cached; NULL and *ret_code */
static const uint8_t *cached(struct bp_sealed *s, uint64_t i, int *ret_code) {
    struct sealed_cached *c = &s->cache[0];

    for (size_t k = 0; k < SEALED_CACHE; k++) {
        if (s->cache[k].frame == i + 1) {
            s->cache[k].used = ++s->uses;
            return s->cache[k].p;
        }
        if (s->cache[k].used < c->used)
            c = &s->cache[k];
    }
    c->frame = 0;
    c->used = ++s->uses;
    if (!c->p)
        c->p = malloc(s->frame_max);
    *ret_code = c->p ? read_frame(s, i, c->p) : -ENOMEM;
    if (*ret_code < 0)
        return NULL;
    c->frame = i + 1;
    return c->p;
}

/* [lock] Up to n bytes from `off`, not past the frame's end. @return how many */
static ssize_t read_part(struct bp_sealed *s, uint8_t *buf, uint64_t n, uint64_t off,
                         bool lenient) {
    uint64_t i = frame_of(s, off), at = off - s->v[i].off, have = sealed_plain(s, i);
    uint64_t k = BP_MIN(n, have - at);
    const uint8_t *p;
    int r = 0;

    if (!s->v[i].hole && at == 0 && k == have) {
        r = read_frame(s, i, buf);
    } else if (s->v[i].hole) {
        r = BP_ECORRUPT;
    } else {
        p = cached(s, i, &r);
        if (p)
            memcpy(buf, p + at, (size_t) k);
    }
    if (r == BP_ECORRUPT && lenient) {
        memset(buf, 0, (size_t) k);
        r = 0;
    }
    return r < 0 ? r : (ssize_t) k;
}

ssize_t bp_sealed_pread(struct bp_sealed *s, void *buf, size_t n, uint64_t off, bool lenient) {
    uint64_t done = 0;
    ssize_t r = s->readable ? 0 : BP_EKEY;

    bp_mutex_lock(&s->lock);
    n = off >= s->size ? 0 : (size_t) BP_MIN((uint64_t) n, s->size - off);
    while (r >= 0 && done < n) {
        r = read_part(s, (uint8_t *) buf + done, n - done, off + done, lenient);
        done += r > 0 ? (uint64_t) r : 0;
    }
    bp_mutex_unlock(&s->lock);
    return r < 0 ? r : (ssize_t) done;
}

void bp_sealed_relax(struct bp_sealed *s) {
    if (!s)
        return;
    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < SEALED_CACHE; i++) {
        free(s->cache[i].p);
        s->cache[i] = (struct sealed_cached){ 0 };
    }
    free(BP_TAKE_PTR(s->frame));
    s->frame_cap = 0;
    bp_mutex_unlock(&s->lock);
}

ssize_t bp_sealed_or_pread(struct bp_sealed *s, int fd, void *buf, size_t n, uint64_t off,
                           bool lenient) {
    return s ? bp_sealed_pread(s, buf, n, off, lenient)
             : bp_io_posix.pread(bp_io_posix.ctx, fd, buf, n, off);
}

/* ---- writing ---- */

/* Forgets frames from the one that begins at plain `off` on. @return 0, -EINVAL inside a frame */
static int forget_from(struct bp_sealed *s, uint64_t off) {
    uint64_t i;
    int r = 0;

    bp_mutex_lock(&s->lock);
    if (off < s->size) {
        i = frame_of(s, off);
        if (s->v[i].off != off || s->v[i].hole) {
            r = -EINVAL;
        } else {
            __atomic_store_n(&s->stored, s->v[i].at, __ATOMIC_RELAXED);
            __atomic_store_n(&s->size, off, __ATOMIC_RELAXED);
            s->n = i;
            for (size_t k = 0; k < SEALED_CACHE; k++)
                s->cache[k].frame = s->cache[k].frame > i ? 0 : s->cache[k].frame;
        }
    } else if (off > s->size) {
        r = -EINVAL;
    }
    if (r == 0)
        s->state = BP_SEALED_OPEN;
    bp_mutex_unlock(&s->lock);
    return r;
}

size_t sealed_step(size_t n, size_t most) {
    size_t parts = (n + most - 1) / most;

    return n ? BP_MIN(BP_ALIGN((n + parts - 1) / parts, (size_t) SEALED_BLOCK), most) : 0;
}

/* Where the next frame goes, while frames of one write are on their way. */
struct ahead {
    uint64_t n, size, stored;
    uint32_t *lens; /* owned */
    size_t count;
};

static int write_frame(struct bp_sealed *s, struct ahead *a, const uint8_t *p, uint32_t n,
                       const struct bp_sealed_label *label) {
    uint64_t all = bp_sealed_frame_bytes(n);
    uint8_t *out = sealed_room(&s->out, &s->out_cap, (size_t) all);
    int r = out ? bp_sealed_put(s, BP_SEALED_DATA, a->n, a->size, label, p, n, out) : -ENOMEM;

    if (r == 0)
        r = s->io->pwrite(s->io->ctx, s->fd, out, (size_t) all, a->stored);
    if (r < 0)
        return r;
    a->lens[a->count++] = n;
    a->n++;
    a->size += n;
    a->stored += all;
    return 0;
}

static int publish(struct bp_sealed *s, const struct ahead *a) {
    int r = 0;

    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < a->count && r == 0; i++) {
        r = sealed_add_place(s, (struct sealed_place){ .at = s->stored, .off = s->size });
        if (r < 0)
            break;
        __atomic_store_n(&s->stored, s->stored + bp_sealed_frame_bytes(a->lens[i]),
                         __ATOMIC_RELAXED);
        __atomic_store_n(&s->size, s->size + a->lens[i], __ATOMIC_RELAXED);
    }
    bp_mutex_unlock(&s->lock);
    return r;
}

int bp_sealed_append(struct bp_sealed *s, const void *p, size_t n, uint64_t off,
                     const struct bp_sealed_label *label) {
    size_t step = sealed_step(n, s->frame_max);
    struct ahead a;
    int r = !s->readable ? BP_EKEY : forget_from(s, off);

    if (r < 0 || !n)
        return r;
    a = (struct ahead){ .n = s->n, .size = s->size, .stored = s->stored };
    a.lens = calloc(n / step + 1, sizeof *a.lens);
    if (!a.lens)
        return -ENOMEM;
    for (size_t done = 0; done < n && r == 0;) {
        size_t k = BP_MIN(step, n - done);

        r = write_frame(s, &a, (const uint8_t *) p + done, (uint32_t) k,
                        done + k == n ? label : NULL);
        done += k;
    }
    if (r == 0)
        r = publish(s, &a);
    free(a.lens);
    return r;
}

int bp_sealed_append_ahead(struct bp_sealed *s, struct bp_sealed_ahead *x, const void *rest,
                           size_t n, uint64_t off, const struct bp_sealed_label *label) {
    struct ahead a;
    uint64_t at = 0;
    int r = memcmp(x->file_id, s->file_id, BP_FILE_ID) != 0 ? -ESTALE : forget_from(s, off);

    if (r < 0)
        return r;
    a = (struct ahead){ .n = s->n, .size = s->size, .stored = s->stored };
    a.lens = calloc((size_t) (x->n / SEALED_BLOCK) + 2, sizeof *a.lens);
    if (!a.lens)
        return -ENOMEM;
    while (at < x->len && r == 0) {
        uint8_t *head = x->p + at;
        uint32_t k = bp_ld_le32(head + 12);

        bp_st_le64(head + 16, a.n++);
        bp_st_le64(head + 24, a.size);
        r = sealed_head_finish(s, head, false);
        a.lens[a.count++] = k;
        a.size += k;
        at += bp_sealed_frame_bytes(k);
    }
    if (r == 0)
        r = bp_sealed_put(s, BP_SEALED_DATA, a.n, a.size, label, rest, n, x->p + at);
    a.lens[a.count++] = (uint32_t) n;
    if (r == 0)
        r = s->io->pwrite(s->io->ctx, s->fd, x->p, (size_t) (at + bp_sealed_frame_bytes(n)),
                          s->stored);
    if (r == 0)
        r = publish(s, &a);
    free(a.lens);
    return r;
}

/* Type END or CLOSED behind everything. */
static int write_end(struct bp_sealed *s, enum bp_sealed_type type) {
    uint64_t n = 16 + 4 * s->n, all;
    BP_AUTO_FREE uint8_t *index = malloc((size_t) n), *out = NULL;
    size_t cap = 0;
    uint8_t *tail;
    int r;

    all = BP_ALIGN(BP_SEALED_HEAD + n + SEALED_TAIL, (uint64_t) SEALED_BLOCK);
    if (!index || !sealed_room(&out, &cap, (size_t) all))
        return -ENOMEM;
    bp_st_le64(index, s->size);
    bp_st_le64(index + 8, s->n);
    for (uint64_t i = 0; i < s->n; i++)
        bp_st_le32(index + 16 + 4 * i, (uint32_t) sealed_plain(s, i));
    memset(out, 0, (size_t) all);
    r = bp_sealed_put(s, type, s->n, s->size, NULL, index, (size_t) n, out);
    if (r < 0)
        return r;
    tail = out + all - SEALED_TAIL;
    memcpy(tail, tail_magic, sizeof tail_magic);
    bp_st_le64(tail + 8, s->stored);
    bp_st_le32(tail + 16, bp_crc32c(0, tail, 16));
    r = s->io->pwrite(s->io->ctx, s->fd, out, (size_t) all, s->stored);
    if (r == 0) /* what was allocated ahead, or a failed write left, goes */
        r = s->io->truncate(s->io->ctx, s->fd, s->stored + all);
    if (r == 0)
        s->state = type == BP_SEALED_END ? BP_SEALED_COMPLETE : BP_SEALED_CUT;
    return r;
}

int bp_sealed_end(struct bp_sealed *s) {
    return s->state == BP_SEALED_COMPLETE ? 0 : write_end(s, BP_SEALED_END);
}

int bp_sealed_close_blind(struct bp_sealed *s) {
    /* A hole has no place that the index could name: such a file stays as it is. */
    return s->state != BP_SEALED_OPEN ? 0 : s->holes ? BP_ECORRUPT : write_end(s, BP_SEALED_CLOSED);
}

int bp_sealed_truncate(struct bp_sealed *s, uint64_t size) {
    BP_AUTO_FREE uint8_t *part = NULL;
    uint64_t keep;
    ssize_t n = 0;
    int r;

    if (size > s->size)
        return -EINVAL;
    if (size == s->size && s->state != BP_SEALED_OPEN)
        return 0;
    keep = size;
    if (size < s->size) {
        bp_mutex_lock(&s->lock);
        keep = s->v[frame_of(s, size)].off;
        bp_mutex_unlock(&s->lock);
    }
    if (keep < size) { /* inside a frame: what stays of it is sealed anew */
        part = malloc((size_t) (size - keep));
        n = part ? bp_sealed_pread(s, part, (size_t) (size - keep), keep, true) : -ENOMEM;
    }
    r = n < 0 ? (int) n : forget_from(s, keep);
    if (r == 0)
        r = s->io->truncate(s->io->ctx, s->fd, s->stored);
    if (r == 0 && part)
        r = bp_sealed_append(s, part, (size_t) n, keep, NULL);
    return r;
}
