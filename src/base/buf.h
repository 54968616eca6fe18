#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/macro.h"

/* A view of bytes or text inside something else: borrowed, not terminated. */
struct bp_str {
    const char *p;
    size_t n;
};

#define BP_STR(lit) ((struct bp_str){ (lit), sizeof(lit) - 1 })

static inline struct bp_str bp_str_of(const char *s) {
    return (struct bp_str){ s, s ? strlen(s) : 0 };
}

static inline bool bp_str_eq(struct bp_str a, struct bp_str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool bp_streq(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

static inline bool bp_starts_with(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Growing bytes. Zero-initialise to start. The first failed growth is remembered in `failed` and
 * later puts do nothing, so a long build is checked once, at its end. Not for several threads. */
struct bp_buf {
    uint8_t *p; /* owned */
    size_t n;   /* bytes in use */
    size_t cap;
    bool failed; /* out of memory happened; p[0..n) is what came before */
};

/** Frees the bytes and zeroes the struct. Takes NULL. */
void bp_buf_done(struct bp_buf *b);
/** Empties, keeps the memory, forgets a failure. */
void bp_buf_clear(struct bp_buf *b);
/** Room for n more bytes behind b->n; returns where they start, or NULL (and sets failed). */
uint8_t *bp_buf_reserve(struct bp_buf *b, size_t n);
/** Appends n bytes, uninitialised; returns where they start, or NULL. */
uint8_t *bp_buf_grow(struct bp_buf *b, size_t n);
void bp_buf_put(struct bp_buf *b, const void *p, size_t n);
void bp_buf_put_str(struct bp_buf *b, const char *s);
void bp_buf_put_u8(struct bp_buf *b, uint8_t v);
/* Little-endian. */
void bp_buf_put_le16(struct bp_buf *b, uint16_t v);
void bp_buf_put_le32(struct bp_buf *b, uint32_t v);
void bp_buf_put_le64(struct bp_buf *b, uint64_t v);
/** Appends formatted text without its terminating NUL. */
void bp_buf_printf(struct bp_buf *b, const char *fmt, ...) BP_PRINTF(2, 3);
void bp_buf_vprintf(struct bp_buf *b, const char *fmt, va_list ap) BP_PRINTF(2, 0);
/** Text of the buffer, NUL-terminated, borrowed until the next change; NULL when it failed. */
const char *bp_buf_cstr(struct bp_buf *b);
/** Hands over the bytes as a NUL-terminated heap string and empties the buffer; NULL when failed.
 */
char *bp_buf_take_cstr(struct bp_buf *b);

#define BP_AUTO_BUF BP_CLEANUP(bp_buf_done) struct bp_buf

/* Unaligned little-endian stores and loads. */
static inline void bp_st_le16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t) v;
    p[1] = (uint8_t) (v >> 8);
}

static inline void bp_st_le32(uint8_t *p, uint32_t v) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(p, &v, 4);
#else
    v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
#endif
}

static inline void bp_st_le64(uint8_t *p, uint64_t v) {
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, 8);
}

static inline uint16_t bp_ld_le16(const uint8_t *p) {
    return (uint16_t) (p[0] | p[1] << 8);
}

static inline uint32_t bp_ld_le32(const uint8_t *p) {
    uint32_t v;

    memcpy(&v, p, 4);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

static inline uint64_t bp_ld_le64(const uint8_t *p) {
    uint64_t v;

    memcpy(&v, p, 8);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}
