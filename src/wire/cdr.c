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
