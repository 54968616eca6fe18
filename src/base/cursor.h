#pragma once

#include "base/buf.h"

/* Reads bytes that came from disk or network: bounded, with a sticky error. After the first read
 * beyond the end every read returns zero or an empty view, so a parser checks bp_cur_ok() once per
 * record. Little-endian unless the name says otherwise. Not for several threads. */
struct bp_cur {
    const uint8_t *p;   /* next byte */
    const uint8_t *end; /* first byte that is not ours */
    bool bad;           /* something was read beyond the end */
};

static inline struct bp_cur bp_cur_of(const void *p, size_t n) {
    return (struct bp_cur){ .p = p, .end = n ? (const uint8_t *) p + n : p };
}

static inline bool bp_cur_ok(const struct bp_cur *c) {
    return !c->bad;
}

static inline size_t bp_cur_left(const struct bp_cur *c) {
    return c->bad ? 0 : (size_t) (c->end - c->p);
}

/** The next n bytes, or NULL (sticky) when fewer are left. n may be 0. */
static inline const uint8_t *bp_rd_bytes(struct bp_cur *c, uint64_t n) {
    const uint8_t *p = c->p;

    if (c->bad || n > (uint64_t) (c->end - c->p)) {
        c->bad = true;
        return NULL;
    }
    c->p += n;
    return p;
}

static inline uint8_t bp_rd_u8(struct bp_cur *c) {
    const uint8_t *p = bp_rd_bytes(c, 1);

    return p ? *p : 0;
}

static inline uint16_t bp_rd_le16(struct bp_cur *c) {
    const uint8_t *p = bp_rd_bytes(c, 2);

    return p ? bp_ld_le16(p) : 0;
}

static inline uint32_t bp_rd_le32(struct bp_cur *c) {
    const uint8_t *p = bp_rd_bytes(c, 4);

    return p ? bp_ld_le32(p) : 0;
}

static inline uint64_t bp_rd_le64(struct bp_cur *c) {
    const uint8_t *p = bp_rd_bytes(c, 8);

    return p ? bp_ld_le64(p) : 0;
}

/** A view of n bytes; empty and sticky when fewer are left. */
static inline struct bp_str bp_rd_view(struct bp_cur *c, uint64_t n) {
    const uint8_t *p = bp_rd_bytes(c, n);

    return (struct bp_str){ (const char *) p, p ? (size_t) n : 0 };
}

/** u32 length, then that many bytes. */
static inline struct bp_str bp_rd_str32(struct bp_cur *c) {
    return bp_rd_view(c, bp_rd_le32(c));
}
