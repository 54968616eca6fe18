#pragma once

#include "base/buf.h"
#include "wire/mcap.h"

/* Storing MCAP records where they will lie on disk: raw pointers, no growth, no checks. The caller
 * has made room. What has no such hurry uses bp_buf and the functions at the end.
 * Source: MCAP specification, "Records". */

enum {
    BP_BLOCK = 4096,      /* groups, frames and slots start and end on such a boundary */
    BP_REC_HEAD = 9,      /* opcode and length */
    BP_MESSAGE_HEAD = 31, /* record head, channel, sequence, log and publish time */
    BP_CHUNK_HEAD = 49,   /* of a stored chunk; a codec's name makes it longer */
    BP_INDEX_HEAD = 15,   /* MessageIndex before its entries */
    BP_INDEX_ENTRY = 16,  /* log time, offset */
};

static inline uint8_t *bp_put16(uint8_t *p, uint16_t v) {
    bp_st_le16(p, v);
    return p + 2;
}

static inline uint8_t *bp_put32(uint8_t *p, uint32_t v) {
    bp_st_le32(p, v);
    return p + 4;
}

static inline uint8_t *bp_put64(uint8_t *p, uint64_t v) {
    bp_st_le64(p, v);
    return p + 8;
}

static inline uint8_t *bp_put_rec(uint8_t *p, enum bp_mcap_op op, uint64_t length) {
    *p = (uint8_t) op;
    return bp_put64(p + 1, length);
}

/* Into a buffer: length-prefixed text, and a record whose length is known when it ends. */
static inline void bp_put_text(struct bp_buf *b, const void *p, size_t n) {
    bp_buf_put_le32(b, (uint32_t) n);
    bp_buf_put(b, p, n);
}

static inline void bp_put_cstr(struct bp_buf *b, const char *s) {
    bp_put_text(b, s, strlen(s));
}

/** Starts a record; returns where, for bp_rec_end(). */
static inline size_t bp_rec_begin(struct bp_buf *b, enum bp_mcap_op op) {
    size_t at = b->n;

    bp_buf_put_u8(b, (uint8_t) op);
    bp_buf_put_le64(b, 0);
    return at;
}

static inline void bp_rec_end(struct bp_buf *b, size_t at) {
    if (!b->failed)
        bp_st_le64(b->p + at + 1, b->n - at - BP_REC_HEAD);
}

/* A map or array: its byte length is stored when it ends. */
static inline size_t bp_map_begin(struct bp_buf *b) {
    bp_buf_put_le32(b, 0);
    return b->n;
}

static inline void bp_map_end(struct bp_buf *b, size_t at) {
    if (!b->failed)
        bp_st_le32(b->p + at - 4, (uint32_t) (b->n - at));
}
