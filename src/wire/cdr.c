#include "wire/cdr.h"

struct bp_cdrw bp_cdrw_begin(struct bp_buf *b) {
    static const uint8_t header[4] = { 0, BP_ENCAPS_CDR | 1, 0, 0 };

    bp_buf_put(b, header, sizeof header);
    return (struct bp_cdrw){ .b = b, .origin = b->n };
}

void bp_cdrw_end(struct bp_cdrw *w) {
    if (w->b->n == w->origin)
        bp_buf_put_u8(w->b, 0);
}

void bp_cdrw_align(struct bp_cdrw *w, size_t a) {
    static const uint8_t zeros[8];

    bp_buf_put(w->b, zeros, (0 - (w->b->n - w->origin)) & (a - 1));
}

void bp_cdrw_u8(struct bp_cdrw *w, uint8_t v) {
    bp_buf_put_u8(w->b, v);
}

void bp_cdrw_u16(struct bp_cdrw *w, uint16_t v) {
    bp_cdrw_align(w, 2);
    bp_buf_put_le16(w->b, v);
}

void bp_cdrw_u32(struct bp_cdrw *w, uint32_t v) {
    bp_cdrw_align(w, 4);
    bp_buf_put_le32(w->b, v);
}

void bp_cdrw_u64(struct bp_cdrw *w, uint64_t v) {
    bp_cdrw_align(w, 8);
    bp_buf_put_le64(w->b, v);
}

void bp_cdrw_f32(struct bp_cdrw *w, float v) {
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    bp_cdrw_u32(w, bits);
}

void bp_cdrw_f64(struct bp_cdrw *w, double v) {
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    bp_cdrw_u64(w, bits);
}

void bp_cdrw_time(struct bp_cdrw *w, int64_t ns) {
    int64_t sec = ns / 1000000000, rest = ns % 1000000000;

    if (rest < 0) {
        sec--;
        rest += 1000000000;
    }
    bp_cdrw_i32(w, (int32_t) sec);
    bp_cdrw_u32(w, (uint32_t) rest);
}

void bp_cdrw_text(struct bp_cdrw *w, struct bp_str s) {
    bp_cdrw_u32(w, (uint32_t) s.n + 1);
    bp_buf_put(w->b, s.p, s.n);
    bp_buf_put_u8(w->b, 0);
}

void bp_cdrw_str(struct bp_cdrw *w, const char *s) {
    bp_cdrw_text(w, bp_str_of(s));
}

void bp_cdrw_raw(struct bp_cdrw *w, const void *p, size_t n) {
    bp_buf_put(w->b, p, n);
}

uint8_t *bp_cdrw_room(struct bp_cdrw *w, size_t n) {
    return bp_buf_grow(w->b, n);
}

void bp_cdrw_f32s(struct bp_cdrw *w, const float *v, size_t n) {
    if (n > 0)
        bp_cdrw_align(w, 4);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    bp_buf_put(w->b, v, n * sizeof *v);
#else
    for (size_t i = 0; i < n; i++)
        bp_cdrw_f32(w, v[i]);
#endif
}

void bp_cdrw_f64s(struct bp_cdrw *w, const double *v, size_t n) {
    if (n > 0)
        bp_cdrw_align(w, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    bp_buf_put(w->b, v, n * sizeof *v);
#else
    for (size_t i = 0; i < n; i++)
        bp_cdrw_f64(w, v[i]);
#endif
}

/* ---- reading ---- */

struct bp_cdrr bp_cdrr_begin(const void *cdr, size_t n) {
    const uint8_t *p = cdr;
    struct bp_cdrr r = { 0 };

    if (n < 4 || p[0] != 0 || p[1] > 1) {
        r.bad = true;
        return r;
    }
    r.swap = (p[1] == 0) == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    r.base = r.p = p + 4;
    r.end = p + n;
    return r;
}

/* n bytes at their alignment, or NULL. */
static const uint8_t *take(struct bp_cdrr *r, size_t align, uint64_t n) {
    size_t pad;
    const uint8_t *p;

    if (r->bad)
        return NULL;
    pad = (0 - (size_t) (r->p - r->base)) & (align - 1);
    if (pad > (size_t) (r->end - r->p) || n > (uint64_t) (r->end - r->p) - pad) {
        r->bad = true;
        return NULL;
    }
    p = r->p + pad;
    r->p = p + n;
    return p;
}

uint8_t bp_cdrr_u8(struct bp_cdrr *r) {
    const uint8_t *p = take(r, 1, 1);

    return p ? *p : 0;
}

uint32_t bp_cdrr_u32(struct bp_cdrr *r) {
    const uint8_t *p = take(r, 4, 4);
    uint32_t v = 0;

    if (p)
        memcpy(&v, p, sizeof v);
    return r->swap ? __builtin_bswap32(v) : v;
}

uint64_t bp_cdrr_u64(struct bp_cdrr *r) {
    const uint8_t *p = take(r, 8, 8);
    uint64_t v = 0;

    if (p)
        memcpy(&v, p, sizeof v);
    return r->swap ? __builtin_bswap64(v) : v;
}

struct bp_str bp_cdrr_str(struct bp_cdrr *r) {
    uint32_t n = bp_cdrr_u32(r);
    const uint8_t *p = take(r, 1, n);

    return (struct bp_str){ (const char *) p, p && n > 0 ? n - 1 : 0 };
}

uint32_t bp_cdrr_count(struct bp_cdrr *r, size_t least) {
    uint32_t n = bp_cdrr_u32(r);

    if (r->bad || n > (size_t) (r->end - r->p) / least) {
        r->bad = true;
        return 0;
    }
    return n;
}
