/* sensor_msgs/PointCloud2 and LaserScan. Thinned evenly: of the points that are anywhere at all,
 * every so-and-so-many-th is sent, the same ones of the same message. */
#include "media/media-priv.h"

#include <errno.h>
#include <math.h>

/* sensor_msgs/PointField */
enum { I8 = 1, U8, I16, U16, I32, U32, F32, F64 };

struct field {
    uint32_t offset;
    uint8_t type; /* 0: there is none */
};

struct cloud {
    uint32_t w, h;
    size_t step, row_step;
    const uint8_t *p;
    bool big;
    struct field x, y, z, color, intensity;
    bool alpha; /* the colour has one */
};

static size_t size_of(uint8_t type) {
    static const uint8_t sizes[] = { 0, 1, 1, 2, 2, 4, 4, 4, 8 };

    return type < BP_COUNT(sizes) ? sizes[type] : 0;
}

static uint64_t bits_of(const struct cloud *c, const uint8_t *p, size_t n) {
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[c->big ? i : n - 1 - i];
    return v;
}

static double value(const struct cloud *c, const struct field *f, const uint8_t *point) {
    uint64_t bits = bits_of(c, point + f->offset, size_of(f->type));
    uint32_t low = (uint32_t) bits;
    float f32;
    double f64;

    switch (f->type) {
    case I8:
        return (int8_t) low;
    case I16:
        return (int16_t) low;
    case I32:
        return (int32_t) low;
    case F32:
        memcpy(&f32, &low, sizeof f32);
        return (double) f32;
    case F64:
        memcpy(&f64, &bits, sizeof f64);
        return f64;
    default:
        return low;
    }
}

static void put_f32(uint8_t *p, double v) {
    float f = (float) v;
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    bp_st_le32(p, bits);
}

/* --- the layout --- */

static void know_field(struct cloud *c, struct bp_str name, struct field f) {
    static const char *const names[] = { "x", "y", "z", "rgb", "rgba", "intensity" };
    struct field *const to[] = { &c->x, &c->y, &c->z, &c->color, &c->color, &c->intensity };

    for (size_t i = 0; i < BP_COUNT(names); i++)
        if (bp_str_eq(name, bp_str_of(names[i])) && !to[i]->type) {
            *to[i] = f;
            if (to[i] == &c->color)
                c->alpha = i == 4;
        }
}

static void read_fields(struct cloud *c, struct bp_cdrr *r) {
    uint32_t n = bp_cdrr_count(r, 13);

    for (uint32_t i = 0; i < n && !r->bad; i++) {
        struct bp_str name = bp_cdrr_str(r);
        struct field f = { .offset = bp_cdrr_u32(r) };

        f.type = bp_cdrr_u8(r);
        (void) bp_cdrr_u32(r); /* how many of them */
        know_field(c, name, f);
    }
}

static bool fits(const struct cloud *c, const struct field *f) {
    return size_of(f->type) > 0 && f->offset <= c->step && c->step - f->offset >= size_of(f->type);
}

static int check(struct cloud *c, size_t have, struct bp_error *err) {
    uint64_t need = (uint64_t) c->w * c->step;

    if (!fits(c, &c->x) || !fits(c, &c->y) || !fits(c, &c->z))
        return bp_fail(err, BP_EFORMAT, "the cloud has no x, y and z");
    if (!fits(c, &c->color) || size_of(c->color.type) != 4)
        c->color.type = 0;
    if (!fits(c, &c->intensity))
        c->intensity.type = 0;
    if (c->h <= 1)
        c->row_step = (size_t) need;
    if (c->row_step < need || (c->h > 0 && c->row_step * (uint64_t) (c->h - 1) + need > have))
        return bp_fail(err, BP_EFORMAT, "%zu bytes are too few for %u x %u points", have, c->w,
                       c->h);
    return 0;
}

/* --- the points --- */

static const uint8_t *point_of(const struct cloud *c, uint32_t row, uint32_t i) {
    return c->p + row * c->row_step + i * c->step;
}

static bool position(const struct cloud *c, const uint8_t *p, double ret[3]) {
    ret[0] = value(c, &c->x, p);
    ret[1] = value(c, &c->y, p);
    ret[2] = value(c, &c->z, p);
    return isfinite(ret[0]) && isfinite(ret[1]) && isfinite(ret[2]);
}

static uint64_t count_valid(const struct cloud *c) {
    uint64_t n = 0;
    double v[3];

    for (uint32_t row = 0; row < c->h; row++)
        for (uint32_t i = 0; i < c->w; i++)
            n += position(c, point_of(c, row, i), v);
    return n;
}

/* Where the parts of the payload begin. */
struct parts {
    uint8_t *xyz, *rgba, *intensity;
};

static void put_point(const struct cloud *c, const uint8_t *p, const double v[3], uint64_t k,
                      const struct parts *to) {
    for (size_t i = 0; i < 3; i++)
        put_f32(to->xyz + k * 12 + i * 4, v[i]);
    if (c->color.type) {
        uint32_t argb = (uint32_t) bits_of(c, p + c->color.offset, 4);
        uint8_t *out = to->rgba + k * 4;

        out[0] = (uint8_t) (argb >> 16);
        out[1] = (uint8_t) (argb >> 8);
        out[2] = (uint8_t) argb;
        out[3] = c->alpha ? (uint8_t) (argb >> 24) : 255;
    }
    if (c->intensity.type)
        put_f32(to->intensity + k * 4, value(c, &c->intensity, p));
}

/* Sends `n` of the `valid` ones. */
static void thin(const struct cloud *c, uint64_t n, uint64_t valid, const struct parts *to) {
    uint64_t seen = 0, sent = 0;
    double v[3];

    for (uint32_t row = 0; row < c->h && sent < n; row++)
        for (uint32_t i = 0; i < c->w && sent < n; i++) {
            const uint8_t *p = point_of(c, row, i);

            if (!position(c, p, v))
                continue;
            if (++seen * n / valid > sent)
                put_point(c, p, v, sent++, to);
        }
}

/* Room for n points. @return false: no memory */
static bool make_room(struct bp_buf *out, uint32_t n, bool color, bool intensity,
                      struct bp_media_head *h, struct parts *ret) {
    size_t each = 12u + (color ? 4 : 0) + (intensity ? 4 : 0);

    h->kind = BP_MEDIA_CLOUD;
    h->a = n;
    h->c = (color ? BP_CLOUD_RGBA : 0u) | (intensity ? BP_CLOUD_INTENSITY : 0u);
    ret->xyz = bp_buf_grow(out, n * each);
    if (!ret->xyz)
        return false;
    ret->rgba = ret->xyz + (size_t) n * 12;
    ret->intensity = ret->rgba + (color ? (size_t) n * 4 : 0);
    return true;
}

int bp_media_cloud(const struct bp_media_want *w, struct bp_cdrr *r, struct bp_media_head *h,
                   struct bp_buf *out, struct bp_error *err) {
    struct cloud c = { .h = bp_cdrr_u32(r) };
    struct bp_str data;
    struct parts to;
    uint64_t valid;
    uint32_t n;
    int code;

    c.w = bp_cdrr_u32(r);
    read_fields(&c, r);
    c.big = bp_cdrr_u8(r) != 0;
    c.step = bp_cdrr_u32(r);
    c.row_step = bp_cdrr_u32(r);
    data = bp_media_read_bytes(r);
    c.p = (const uint8_t *) data.p;
    if (r->bad)
        return bp_fail(err, BP_EFORMAT, "the message ends too early");
    code = check(&c, data.n, err);
    if (code < 0)
        return code;
    if (c.w == 0)
        c.h = 0; /* rows of nothing would cost time all the same */
    valid = count_valid(&c);
    n = (uint32_t) BP_MIN(valid, w->max_points);
    h->b = (uint32_t) BP_MIN((uint64_t) c.w * c.h, UINT32_MAX);
    if (make_room(out, n, c.color.type != 0, c.intensity.type != 0, h, &to))
        thin(&c, n, valid, &to);
    return 0; /* without memory `out` remembers it */
}

/* --- a scan lies in one plane --- */

struct scan {
    double angle, step, nearest, farthest;
    const uint8_t *ranges;
    uint32_t n;
    bool swap;
};

static double f32_at(const struct scan *s, const uint8_t *p, uint32_t i) {
    uint32_t bits;
    float v;

    memcpy(&bits, p + (size_t) i * 4, sizeof bits);
    bits = s->swap ? __builtin_bswap32(bits) : bits;
    memcpy(&v, &bits, sizeof v);
    return (double) v;
}

static double read_f32(struct bp_cdrr *r) {
    uint32_t bits = bp_cdrr_u32(r);
    float v;

    memcpy(&v, &bits, sizeof v);
    return (double) v;
}

static const uint8_t *read_f32s(struct bp_cdrr *r, uint32_t *ret_n) {
    const uint8_t *p;

    *ret_n = bp_cdrr_count(r, 4);
    p = r->p;
    if (!r->bad)
        r->p += (size_t) *ret_n * 4;
    return p;
}

static bool hits(const struct scan *s, uint32_t i, double *ret) {
    *ret = f32_at(s, s->ranges, i);
    return isfinite(*ret) && *ret >= s->nearest && *ret <= s->farthest;
}

int bp_media_scan(const struct bp_media_want *w, struct bp_cdrr *r, struct bp_media_head *h,
                  struct bp_buf *out, struct bp_error *err) {
    struct scan s = { .angle = read_f32(r), .swap = r->swap };
    const uint8_t *intensities;
    uint64_t valid = 0, seen = 0;
    uint32_t nintensities, n, sent = 0;
    struct parts to;
    double range;

    (void) read_f32(r); /* the last angle follows from the others */
    s.step = read_f32(r);
    (void) read_f32(r); /* time between rays, and between scans */
    (void) read_f32(r);
    s.nearest = read_f32(r);
    s.farthest = read_f32(r);
    s.ranges = read_f32s(r, &s.n);
    intensities = read_f32s(r, &nintensities);
    if (r->bad)
        return bp_fail(err, BP_EFORMAT, "the message ends too early");
    if (!isfinite(s.angle) || !isfinite(s.step))
        return bp_fail(err, BP_EFORMAT, "the angles of the scan are no numbers");
    for (uint32_t i = 0; i < s.n; i++)
        valid += hits(&s, i, &range);
    n = (uint32_t) BP_MIN(valid, w->max_points);
    h->b = s.n;
    if (!make_room(out, n, false, nintensities == s.n && s.n > 0, h, &to))
        return 0; /* `out` remembers it */
    for (uint32_t i = 0; i < s.n && sent < n; i++) {
        double angle = s.angle + s.step * i;

        if (!hits(&s, i, &range) || ++seen * n / valid <= sent)
            continue;
        put_f32(to.xyz + (size_t) sent * 12, range * cos(angle));
        put_f32(to.xyz + (size_t) sent * 12 + 4, range * sin(angle));
        put_f32(to.xyz + (size_t) sent * 12 + 8, 0);
        if (h->c & BP_CLOUD_INTENSITY)
            put_f32(to.intensity + (size_t) sent * 4, f32_at(&s, intensities, i));
        sent++;
    }
    return 0;
}
