#include "base/buf.h"

#include <stdio.h>

void bp_buf_done(struct bp_buf *b) {
    if (!b)
        return;

    free(b->p);
    *b = (struct bp_buf){ 0 };
}

void bp_buf_clear(struct bp_buf *b) {
    b->n = 0;
    b->failed = false;
}

uint8_t *bp_buf_reserve(struct bp_buf *b, size_t n) {
    size_t want, cap;
    uint8_t *p;

    if (b->failed || __builtin_add_overflow(b->n, n, &want)) {
        b->failed = true;
        return NULL;
    }
    if (want <= b->cap && b->p)
        return b->p + b->n;

    cap = b->cap + b->cap / 2;
    cap = BP_MAX(BP_MAX(cap, want), (size_t) 64);
    p = realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    return p + b->n;
}

uint8_t *bp_buf_grow(struct bp_buf *b, size_t n) {
    uint8_t *p = bp_buf_reserve(b, n);

    if (p)
        b->n += n;
    return p;
}

void bp_buf_put(struct bp_buf *b, const void *p, size_t n) {
    uint8_t *to = bp_buf_grow(b, n);

    if (to && n > 0)
        memcpy(to, p, n);
}

void bp_buf_put_str(struct bp_buf *b, const char *s) {
    bp_buf_put(b, s, strlen(s));
}

void bp_buf_put_u8(struct bp_buf *b, uint8_t v) {
    bp_buf_put(b, &v, 1);
}

void bp_buf_put_le16(struct bp_buf *b, uint16_t v) {
    uint8_t *p = bp_buf_grow(b, 2);

    if (p)
        bp_st_le16(p, v);
}

void bp_buf_put_le32(struct bp_buf *b, uint32_t v) {
    uint8_t *p = bp_buf_grow(b, 4);

    if (p)
        bp_st_le32(p, v);
}

void bp_buf_put_le64(struct bp_buf *b, uint64_t v) {
    uint8_t *p = bp_buf_grow(b, 8);

    if (p)
        bp_st_le64(p, v);
}

void bp_buf_vprintf(struct bp_buf *b, const char *fmt, va_list ap) {
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && bp_buf_reserve(b, (size_t) n + 1)) {
        (void) vsnprintf((char *) b->p + b->n, (size_t) n + 1, fmt, again);
        b->n += (size_t) n;
    }
    va_end(again);
}

void bp_buf_printf(struct bp_buf *b, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    bp_buf_vprintf(b, fmt, ap);
    va_end(ap);
}

const char *bp_buf_cstr(struct bp_buf *b) {
    uint8_t *end = bp_buf_reserve(b, 1);

    if (!end)
        return NULL;

    *end = 0;
    return (const char *) b->p;
}

char *bp_buf_take_cstr(struct bp_buf *b) {
    char *s = bp_buf_cstr(b) ? (char *) b->p : NULL;

    if (s)
        *b = (struct bp_buf){ 0 };
    else
        bp_buf_done(b);
    return s;
}
