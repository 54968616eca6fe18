#include <errno.h>

#include "bag/sealed-priv.h"
#include "base/crc.h"

/* Where the frames of a container are. A whole one says so itself, in its end frame; of any other
 * every frame is looked at, CRC and all, because the last one may be torn. */

enum { END_MOST = 64 << 20, WINDOW = 1 << 20 };

static const char tail_magic[8] = { 'B', 'P', 'S', 'E', 'A', 'L', 'N', 'D' };

int sealed_add_place(struct bp_sealed *s, struct sealed_place p) {
    if (s->n == s->cap) {
        uint64_t cap = s->cap ? 2 * s->cap : 64;
        struct sealed_place *v =
            cap <= SIZE_MAX / sizeof *v ? realloc(s->v, (size_t) cap * sizeof *v) : NULL;

        if (!v)
            return -ENOMEM;
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = p;
    return 0;
}

static int read_exactly(const struct bp_sealed *s, void *p, size_t n, uint64_t at) {
    ssize_t r = s->io->pread(s->io->ctx, s->fd, p, n, at);

    return r < 0 ? (int) r : r == (ssize_t) n ? 0 : BP_ETRUNCATED;
}

/* ---- by the end frame ---- */

static int take_index(struct bp_sealed *s, const uint8_t *p, uint64_t n, uint64_t end_at) {
    uint64_t at = BP_SEALED_HEADER, off = 0, m;
    int r = 0;

    if (n < 16)
        return BP_ECORRUPT;
    m = bp_ld_le64(p + 8);
    if (m != (n - 16) / 4 || n % 4)
        return BP_ECORRUPT;
    for (uint64_t i = 0; i < m && r == 0; i++) {
        uint32_t len = bp_ld_le32(p + 16 + 4 * i);

        if (!len || len > s->frame_max)
            return BP_ECORRUPT;
        r = sealed_add_place(s, (struct sealed_place){ .at = at, .off = off });
        at += bp_sealed_frame_bytes(len);
        off += len;
        if (at > end_at)
            r = BP_ECORRUPT;
    }
    if (r == 0 && (at != end_at || off != bp_ld_le64(p)))
        r = BP_ECORRUPT;
    s->size = off;
    s->stored = at;
    return r;
}

/* The end frame at `at`, whole and, with a key, genuine. */
static int take_end(struct bp_sealed *s, uint64_t at, uint64_t size) {
    BP_AUTO_FREE uint8_t *frame = NULL, *plain = NULL;
    struct bp_sealed_frame f;
    size_t n;
    int r;

    if (at < BP_SEALED_HEADER || at % SEALED_BLOCK || at >= size ||
        size - at > END_MOST + 2 * SEALED_BLOCK)
        return BP_ECORRUPT;
    n = (size_t) (size - at);
    frame = malloc(n);
    plain = malloc(n);
    if (!frame || !plain)
        return -ENOMEM;
    r = read_exactly(s, frame, n, at);
    if (r == 0)
        r = bp_sealed_take(s, frame, n, NULL, &f);
    if (r == 0 &&
        ((f.type != BP_SEALED_END && f.type != BP_SEALED_CLOSED) ||
         n != BP_ALIGN(BP_SEALED_HEAD + (uint64_t) f.n + SEALED_TAIL, (uint64_t) SEALED_BLOCK) ||
         !sealed_zeros(frame + BP_SEALED_HEAD + f.n, n - SEALED_TAIL - BP_SEALED_HEAD - f.n)))
        r = BP_ECORRUPT;
    if (r < 0)
        return r;
    if (f.type == BP_SEALED_CLOSED || !s->readable) {
        /* Of a sealed index nothing can be read without the key: the frames are walked. */
        s->state = f.type == BP_SEALED_CLOSED ? BP_SEALED_CUT : BP_SEALED_COMPLETE;
        s->end_number = f.number;
        s->end_off = f.off;
        return f.type == BP_SEALED_CLOSED ? take_index(s, frame + BP_SEALED_HEAD, f.n, at)
                                          : -EAGAIN;
    }
    r = bp_sealed_take(s, frame, n, plain, &f);
    if (r == 0)
        r = take_index(s, plain, f.n, at);
    if (r == 0 && (f.number != s->n || f.off != s->size))
        r = BP_ECORRUPT;
    s->state = r == 0 ? BP_SEALED_COMPLETE : BP_SEALED_OPEN;
    s->forged = r == BP_ECORRUPT;
    return r;
}

static int by_end(struct bp_sealed *s, uint64_t size) {
    uint8_t tail[SEALED_TAIL];
    int r;

    if (size < BP_SEALED_HEADER + SEALED_BLOCK || size % SEALED_BLOCK)
        return BP_ECORRUPT;
    r = read_exactly(s, tail, sizeof tail, size - sizeof tail);
    if (r < 0)
        return r;
    if (memcmp(tail, tail_magic, sizeof tail_magic) != 0 ||
        bp_ld_le32(tail + 16) != bp_crc32c(0, tail, 16) || bp_ld_le32(tail + 20) != 0)
        return BP_ECORRUPT;
    return take_end(s, bp_ld_le64(tail + 8), size);
}

/* ---- by a walk ---- */

/* CRC over a frame's ciphertext. @return 0, BP_ECORRUPT, BP_ETRUNCATED, an errno */
static int body_is_whole(const struct bp_sealed *s, uint64_t at, const struct bp_sealed_frame *f,
                         uint8_t *window) {
    uint32_t crc = 0;

    for (uint64_t done = 0; done < f->n;) {
        size_t k = (size_t) BP_MIN((uint64_t) WINDOW, f->n - done);
        int r = read_exactly(s, window, k, at + BP_SEALED_HEAD + done);

        if (r < 0)
            return r;
        crc = bp_crc32c(crc, window, k);
        done += k;
    }
    return crc == f->crc ? 0 : BP_ECORRUPT;
}

/* A data frame of this file at `at`. @param window  NULL = its head is enough */
static int frame_at(const struct bp_sealed *s, uint64_t at, struct bp_sealed_frame *ret,
                    uint8_t *window) {
    uint8_t head[BP_SEALED_HEAD];
    int r = read_exactly(s, head, sizeof head, at);

    if (r == 0)
        r = sealed_head_decode(s, head, ret);
    if (r == 0 && (ret->type != BP_SEALED_DATA || !ret->n || ret->n > s->frame_max))
        r = BP_ECORRUPT;
    return r == 0 && window ? body_is_whole(s, at, ret, window) : r;
}

/* The next whole frame behind `from` that can follow what is there: blocks are tried in turn.
 * @return 1 found, 0 none, an errno */
static int find_next(const struct bp_sealed *s, uint64_t from, uint64_t size, uint64_t *ret_at,
                     struct bp_sealed_frame *ret, uint8_t *window) {
    for (uint64_t at = from; at + SEALED_BLOCK <= size; at += SEALED_BLOCK) {
        int r = frame_at(s, at, ret, window);

        if (r == 0 && ret->number >= s->n && ret->off >= s->size &&
            (ret->number > s->n) == (ret->off > s->size)) {
            *ret_at = at;
            return 1;
        }
        if (r < 0 && r != BP_ECORRUPT && r != BP_ETRUNCATED)
            return r;
    }
    return 0;
}

/* Frames that are missing become one hole; their numbers stay counted. How many there can be is
 * bounded by the room they had, and some that were taken out on purpose. */
static int add_hole(struct bp_sealed *s, const struct bp_sealed_frame *next, uint64_t at) {
    uint64_t most = (1 << 16) + (at > s->stored ? at - s->stored : 0) / SEALED_BLOCK;
    int r = 0;

    if (next->number < s->n || next->number - s->n > most || next->off < s->size)
        return BP_ECORRUPT;
    s->holes++;
    while (r == 0 && s->n < next->number) {
        r = sealed_add_place(s, (struct sealed_place){ .off = s->size, .hole = true });
        s->size = next->off; /* the first one stands for all bytes */
    }
    return r;
}

static int by_walk(struct bp_sealed *s, uint64_t size) {
    BP_AUTO_FREE uint8_t *window = malloc(WINDOW);
    uint64_t at = BP_SEALED_HEADER;
    int r = 0;

    if (!window)
        return -ENOMEM;
    s->n = s->size = 0;
    s->stored = at;
    while (at < size) {
        struct bp_sealed_frame f;

        /* of a file that has its end, heads are enough: verify looks at the rest */
        r = frame_at(s, at, &f, s->state == BP_SEALED_COMPLETE ? NULL : window);
        if (r == 0 && (f.number != s->n || f.off != s->size))
            r = BP_ECORRUPT;
        if (r == BP_ECORRUPT || r == BP_ETRUNCATED) {
            r = find_next(s, at, size, &at, &f, window);
            if (r <= 0)
                break;
            r = f.number > s->n ? add_hole(s, &f, at) : 0;
        }
        if (r == 0)
            r = sealed_add_place(s, (struct sealed_place){ .at = at, .off = f.off });
        if (r < 0)
            break;
        s->size = f.off + f.n;
        s->stored = at += bp_sealed_frame_bytes(f.n);
    }
    return r;
}

int sealed_peek(struct bp_sealed *s) {
    int64_t size = s->io->size(s->io->ctx, s->fd);
    int r = size < 0 ? (int) size : by_end(s, (uint64_t) size);

    return r == BP_ECORRUPT || r == BP_ETRUNCATED || r == -EAGAIN ? 0 : r;
}

int sealed_scan(struct bp_sealed *s) {
    int64_t size = s->io->size(s->io->ctx, s->fd);
    int r = size < 0 ? (int) size : by_end(s, (uint64_t) size);
    bool blind = false;

    if (r != BP_ECORRUPT && r != BP_ETRUNCATED && r != -EAGAIN)
        return r;
    if (r != -EAGAIN)
        s->state = BP_SEALED_OPEN;
    else
        blind = true;
    r = by_walk(s, (uint64_t) size);
    if (r == 0 && blind && s->n != s->end_number)
        r = add_hole(s, &(struct bp_sealed_frame){ .number = s->end_number, .off = s->end_off },
                     (uint64_t) size);
    return r;
}
