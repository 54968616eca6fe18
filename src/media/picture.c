/* sensor_msgs/Image and CompressedImage. */
#include "media/media-priv.h"

#include <errno.h>
#include <math.h>

enum { PNG_AS_IT_IS = 512 * 1024 }; /* bytes; a longer one is cheaper as JPEG */

struct image {
    uint32_t w, h;
    size_t step;
    const uint8_t *p;
    bool big;         /* numbers of 16 and 32 bits have their highest byte first */
    double low, high; /* of what is measured: depths */
};

typedef void (*row_fn)(const struct image *m, uint32_t y, uint8_t *out);

static const uint8_t *row_of(const struct image *m, uint32_t y) {
    return m->p + (size_t) y * m->step;
}

/* --- colours --- */

static void put_rgb(uint8_t *out, unsigned r, unsigned g, unsigned b) {
    out[0] = (uint8_t) r;
    out[1] = (uint8_t) g;
    out[2] = (uint8_t) b;
}

static void row_grey(const struct image *m, uint32_t y, uint8_t *out) {
    memcpy(out, row_of(m, y), m->w);
}

static void row_rgb(const struct image *m, uint32_t y, uint8_t *out) {
    memcpy(out, row_of(m, y), (size_t) m->w * 3);
}

static void row_bgr(const struct image *m, uint32_t y, uint8_t *out) {
    const uint8_t *p = row_of(m, y);

    for (uint32_t x = 0; x < m->w; x++, p += 3, out += 3)
        put_rgb(out, p[2], p[1], p[0]);
}

static void row_rgba(const struct image *m, uint32_t y, uint8_t *out) {
    const uint8_t *p = row_of(m, y);

    for (uint32_t x = 0; x < m->w; x++, p += 4, out += 3)
        put_rgb(out, p[0], p[1], p[2]);
}

static void row_bgra(const struct image *m, uint32_t y, uint8_t *out) {
    const uint8_t *p = row_of(m, y);

    for (uint32_t x = 0; x < m->w; x++, p += 4, out += 3)
        put_rgb(out, p[2], p[1], p[0]);
}

static void row_mono16(const struct image *m, uint32_t y, uint8_t *out) {
    const uint8_t *p = row_of(m, y) + (m->big ? 0 : 1);

    for (uint32_t x = 0; x < m->w; x++)
        out[x] = p[(size_t) x * 2];
}

/* --- what is measured: the lowest value is dark, the highest bright, none black --- */

static double value_u16(const struct image *m, const uint8_t *p) {
    unsigned v = m->big ? (unsigned) (p[0] << 8 | p[1]) : bp_ld_le16(p);

    return v ? (double) v : (double) NAN; /* 0 says that nothing was measured */
}

static double value_f32(const struct image *m, const uint8_t *p) {
    uint32_t bits = m->big ? __builtin_bswap32(bp_ld_le32(p)) : bp_ld_le32(p);
    float v;

    memcpy(&v, &bits, sizeof v);
    return isfinite(v) ? (double) v : (double) NAN;
}

static void find_range(struct image *m, size_t bytes,
                       double (*value)(const struct image *m, const uint8_t *p)) {
    m->low = INFINITY;
    m->high = -INFINITY;
    for (uint32_t y = 0; y < m->h; y++)
        for (uint32_t x = 0; x < m->w; x++) {
            double v = value(m, row_of(m, y) + x * bytes);

            if (v < m->low)
                m->low = v;
            if (v > m->high)
                m->high = v;
        }
}

static uint8_t shade(const struct image *m, double v) {
    double range = m->high - m->low;

    if (isnan(v))
        return 0;
    return (uint8_t) (range > 0 ? 1 + (v - m->low) / range * 254 : 255);
}

static void row_depth16(const struct image *m, uint32_t y, uint8_t *out) {
    const uint8_t *p = row_of(m, y);

    for (uint32_t x = 0; x < m->w; x++)
        out[x] = shade(m, value_u16(m, p + (size_t) x * 2));
}

static void row_depth32(const struct image *m, uint32_t y, uint8_t *out) {
    const uint8_t *p = row_of(m, y);

    for (uint32_t x = 0; x < m->w; x++)
        out[x] = shade(m, value_f32(m, p + (size_t) x * 4));
}

/* --- a mosaic of colours: each square of 2 x 2 has red, blue and twice green --- */

/* @param red  which of the square's four, rows first, is red; blue is across */
static void mosaic(const struct image *m, uint32_t y, uint8_t *out, unsigned red) {
    uint32_t top = m->h > 1 ? BP_MIN(y & ~1u, m->h - 2) & ~1u : 0;
    const uint8_t *a = row_of(m, top), *b = row_of(m, BP_MIN(top + 1, m->h - 1));

    for (uint32_t x = 0; x < m->w; x++, out += 3) {
        uint32_t left = x & ~1u, right = BP_MIN(left + 1, m->w - 1);
        const unsigned v[4] = { a[left], a[right], b[left], b[right] };

        put_rgb(out, v[red], (v[red ^ 1] + v[red ^ 2] + 1) / 2, v[red ^ 3]);
    }
}

static void row_rggb(const struct image *m, uint32_t y, uint8_t *out) {
    mosaic(m, y, out, 0);
}

static void row_grbg(const struct image *m, uint32_t y, uint8_t *out) {
    mosaic(m, y, out, 1);
}

static void row_gbrg(const struct image *m, uint32_t y, uint8_t *out) {
    mosaic(m, y, out, 2);
}

static void row_bggr(const struct image *m, uint32_t y, uint8_t *out) {
    mosaic(m, y, out, 3);
}

/* --- brightness and colour apart (ITU-R BT.601, 16 to 235), colour for two pixels at once --- */

static uint8_t clamp(int v) {
    return (uint8_t) (v < 0 ? 0 : v > 255 ? 255 : v);
}

/* @param luma, u, v  where they stand in four bytes */
static void yuv(const struct image *m, uint32_t y, uint8_t *out, int luma, int u, int v) {
    const uint8_t *p = row_of(m, y);

    for (uint32_t x = 0; x < m->w; x++, out += 3) {
        const uint8_t *q = p + (size_t) (x & ~1u) * 2;
        int c = (q[luma + (x & 1 ? 2 : 0)] - 16) * 298, d = q[u] - 128, e = q[v] - 128;

        out[0] = clamp((c + 409 * e + 128) >> 8);
        out[1] = clamp((c - 100 * d - 208 * e + 128) >> 8);
        out[2] = clamp((c + 516 * d + 128) >> 8);
    }
}

static void row_uyvy(const struct image *m, uint32_t y, uint8_t *out) {
    yuv(m, y, out, 1, 0, 2);
}

static void row_yuyv(const struct image *m, uint32_t y, uint8_t *out) {
    yuv(m, y, out, 0, 1, 3);
}

static const struct encoding {
    const char *name;
    unsigned bytes;    /* of a pixel */
    unsigned channels; /* that come out */
    row_fn row;
} encodings[] = {
    { "rgb8", 3, 3, row_rgb },         { "bgr8", 3, 3, row_bgr },
    { "8UC3", 3, 3, row_bgr },         { "rgba8", 4, 3, row_rgba },
    { "bgra8", 4, 3, row_bgra },       { "8UC4", 4, 3, row_bgra },
    { "mono8", 1, 1, row_grey },       { "8UC1", 1, 1, row_grey },
    { "mono16", 2, 1, row_mono16 },    { "16UC1", 2, 1, row_depth16 },
    { "32FC1", 4, 1, row_depth32 },    { "bayer_rggb8", 1, 3, row_rggb },
    { "bayer_bggr8", 1, 3, row_bggr }, { "bayer_gbrg8", 1, 3, row_gbrg },
    { "bayer_grbg8", 1, 3, row_grbg }, { "yuv422", 2, 3, row_uyvy },
    { "uyvy", 2, 3, row_uyvy },        { "yuv422_yuy2", 2, 3, row_yuyv },
    { "yuyv", 2, 3, row_yuyv },
};

static const struct encoding *find(struct bp_str name) {
    for (size_t i = 0; i < BP_COUNT(encodings); i++)
        if (bp_str_eq(name, bp_str_of(encodings[i].name)))
            return &encodings[i];
    return NULL;
}

/* --- messages --- */

static int write_jpeg(const struct bp_media_want *w, const struct bp_shrink *s, uint32_t from_w,
                      uint32_t from_h, struct bp_media_head *h, struct bp_buf *out,
                      struct bp_error *err) {
    h->kind = BP_MEDIA_JPEG;
    h->a = s->w;
    h->b = s->h;
    h->c = from_w;
    h->d = from_h;
    return bp_media_jpeg_write(out, s->out, s->w, s->h, s->channels, w->quality, err);
}

static int shrink(const struct image *m, const struct encoding *e, uint32_t width,
                  struct bp_shrink *s) {
    /* one pixel more: what comes two by two may write half a pair */
    BP_AUTO_FREE uint8_t *row = malloc(((size_t) m->w + 1) * e->channels);
    uint32_t w, h;

    bp_shrink_fit(m->w, m->h, width, &w, &h);
    if (!row || bp_shrink_begin(s, e->channels, m->w, m->h, w, h) < 0)
        return -ENOMEM;
    for (uint32_t y = 0; y < m->h; y++) {
        e->row(m, y, row);
        bp_shrink_row(s, row);
    }
    return 0;
}

int bp_media_image(const struct bp_media_want *w, struct bp_cdrr *r, struct bp_media_head *h,
                   struct bp_buf *out, struct bp_error *err) {
    struct image m = { .h = bp_cdrr_u32(r) };
    struct bp_str name, data;
    const struct encoding *e;
    struct bp_shrink s = { 0 };
    uint64_t need;
    int code;

    m.w = bp_cdrr_u32(r);
    name = bp_cdrr_str(r);
    m.big = bp_cdrr_u8(r) != 0;
    m.step = bp_cdrr_u32(r);
    data = bp_media_read_bytes(r);
    m.p = (const uint8_t *) data.p;
    if (r->bad)
        return bp_fail(err, BP_EFORMAT, "the message ends too early");
    code = bp_media_check_size(m.w, m.h, err);
    e = find(name);
    if (code == 0 && !e)
        code = bp_fail(err, BP_EUNSUPPORTED, "encoding '%.*s' is not shown",
                       (int) BP_MIN(name.n, (size_t) 60), name.p);
    if (code < 0)
        return code;
    need = (uint64_t) (e->row == row_uyvy || e->row == row_yuyv ? (m.w + 1) & ~1u : m.w) * e->bytes;
    if (m.step < need || (uint64_t) m.step * (m.h - 1) + need > data.n)
        return bp_fail(err, BP_EFORMAT, "%zu bytes are too few for %u x %u pixels of %s", data.n,
                       m.w, m.h, e->name);
    if (e->row == row_depth16)
        find_range(&m, 2, value_u16);
    else if (e->row == row_depth32)
        find_range(&m, 4, value_f32);
    code = shrink(&m, e, w->width, &s);
    if (code < 0)
        (void) bp_fail(err, code, "out of memory");
    else
        code = write_jpeg(w, &s, m.w, m.h, h, out, err);
    bp_shrink_done(&s);
    return code;
}

static bool begins(struct bp_str s, const char *magic, size_t n) {
    return s.n >= n && memcmp(s.p, magic, n) == 0;
}

int bp_media_compressed(const struct bp_media_want *w, struct bp_cdrr *r, struct bp_media_head *h,
                        struct bp_buf *out, struct bp_error *err) {
    struct bp_str format = bp_cdrr_str(r), data = bp_media_read_bytes(r);
    bool jpeg = begins(data, "\xff\xd8\xff", 3), png = begins(data, "\x89PNG\r\n\x1a\n", 8);
    struct bp_shrink s = { 0 };
    uint32_t width, height;
    int code;

    if (r->bad)
        return bp_fail(err, BP_EFORMAT, "the message ends too early");
    if (!jpeg && !png)
        return bp_fail(err, BP_EUNSUPPORTED, "format '%.*s' is not shown",
                       (int) BP_MIN(format.n, (size_t) 60), format.p);
    code = jpeg ? bp_media_jpeg_size(data, &width, &height, err)
                : bp_media_png_size(data, &width, &height, err);
    if (code < 0)
        return code;
    if (width <= w->width && (jpeg || data.n <= PNG_AS_IT_IS)) {
        h->kind = jpeg ? BP_MEDIA_JPEG : BP_MEDIA_PNG;
        h->a = h->c = width;
        h->b = h->d = height;
        bp_buf_put(out, data.p, data.n);
        return 0;
    }
    code = jpeg ? bp_media_jpeg_read(data, w->width, &s, err)
                : bp_media_png_read(data, w->width, &s, err);
    if (code == 0)
        code = write_jpeg(w, &s, width, height, h, out, err);
    bp_shrink_done(&s);
    return code;
}
