#include "media/media-priv.h"

#include <errno.h>
#include <stdio.h>

void bp_media_want_init(struct bp_media_want *w) {
    *w = (struct bp_media_want){ .width = 1280, .quality = 75, .max_points = 20000 };
}

/* A ROS name: what it is made of needs no escape in JSON and is no pattern. */
static bool is_topic(struct bp_str t) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/";

    if (t.n < 2 || t.n >= BP_MEDIA_TOPIC || t.p[0] != '/')
        return false;
    for (size_t i = 0; i < t.n; i++)
        if (!strchr(letters, t.p[i]))
            return false;
    return true;
}

/* "width=640", up to the next '&' or the end. */
static int read_option(const char *p, size_t n, struct bp_media_want *w, struct bp_error *err) {
    static const struct {
        const char *name;
        bool points;
        unsigned long min, max;
    } rows[] = {
        { "width=", false, 16, BP_MEDIA_WIDTH },
        { "quality=", false, 1, 100 },
        { "max=", true, 1, BP_MEDIA_POINTS },
    };

    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        size_t k = strlen(rows[i].name), digits = strspn(p + BP_MIN(k, n), "0123456789");
        unsigned long v;

        if (w->points != rows[i].points || n < k || memcmp(p, rows[i].name, k) != 0)
            continue;
        v = digits == n - k && digits > 0 && digits < 9 ? strtoul(p + k, NULL, 10) : 0;
        if (v < rows[i].min || v > rows[i].max)
            return bp_fail(err, BP_EUSAGE, "%s expected a whole number from %lu to %lu",
                           rows[i].name, rows[i].min, rows[i].max);
        if (i == 0)
            w->width = (unsigned) v;
        else if (i == 1)
            w->quality = (int) v;
        else
            w->max_points = (unsigned) v;
        return 0;
    }
    return bp_fail(err, BP_EUSAGE, "'%.*s': expected %s", (int) BP_MIN(n, (size_t) 60), p,
                   w->points ? "max=N" : "width=N or quality=N");
}

int bp_media_want_parse(const char *name, struct bp_media_want *ret, struct bp_error *err) {
    bool image = bp_starts_with(name, "image:");
    const char *topic = name + strlen(image ? "image:" : "points:");
    const char *p;
    size_t n;
    int r = 0;

    if (!image && !bp_starts_with(name, "points:"))
        return bp_fail(err, BP_EUSAGE, "'%.100s' is neither image: nor points:", name);
    bp_media_want_init(ret);
    ret->points = !image;
    n = strcspn(topic, "?");
    if (!is_topic((struct bp_str){ topic, n }))
        return bp_fail(err, BP_EUSAGE, "'%.*s' is no name of a topic",
                       (int) BP_MIN(n, (size_t) 100), topic);
    (void) snprintf(ret->topic, sizeof ret->topic, "%.*s", (int) n, topic);
    for (p = topic + n; *p && r == 0; p += n) {
        n = strcspn(++p, "&");
        r = read_option(p, n, ret, err);
    }
    return r;
}

/* --- messages --- */

static const struct {
    const char *type;
    bool points;
    int (*make)(const struct bp_media_want *w, struct bp_cdrr *r, struct bp_media_head *h,
                struct bp_buf *out, struct bp_error *err);
} types[] = {
    { "sensor_msgs/msg/Image", false, bp_media_image },
    { "sensor_msgs/msg/CompressedImage", false, bp_media_compressed },
    { "sensor_msgs/msg/PointCloud2", true, bp_media_cloud },
    { "sensor_msgs/msg/LaserScan", true, bp_media_scan },
};

bool bp_media_shows(const char *type, bool points) {
    for (size_t i = 0; i < BP_COUNT(types); i++)
        if (bp_streq(type, types[i].type))
            return types[i].points == points;
    return false;
}

void bp_media_read_header(struct bp_cdrr *r, struct bp_media_head *h) {
    int32_t sec = (int32_t) bp_cdrr_u32(r);
    uint32_t ns = bp_cdrr_u32(r);

    h->stamp_ns = (bp_ns_t) sec * BP_SEC + ns;
    h->frame_id = bp_cdrr_str(r);
    h->frame_id.n = BP_MIN(h->frame_id.n, (size_t) UINT16_MAX);
}

struct bp_str bp_media_read_bytes(struct bp_cdrr *r) {
    uint32_t n = bp_cdrr_count(r, 1);
    struct bp_str s = { (const char *) r->p, r->bad ? 0 : n };

    if (!r->bad)
        r->p += n;
    return s;
}

int bp_media_check_size(uint32_t width, uint32_t height, struct bp_error *err) {
    if (width == 0 || height == 0 || width > BP_MEDIA_SIDE || height > BP_MEDIA_SIDE ||
        (uint64_t) width * height > BP_MEDIA_PIXELS)
        return bp_fail(err, BP_ELIMIT, "a picture of %u x %u pixels is not shown", width, height);
    return 0;
}

static void put_head(uint8_t *p, const struct bp_media_head *h, size_t payload) {
    memset(p, 0, BP_MEDIA_HEAD);
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): bytes of a frame, no text */
    memcpy(p, "BPM1", 4);
    bp_st_le16(p + 4, h->kind);
    bp_st_le16(p + 6, BP_MEDIA_HEAD);
    bp_st_le32(p + 12, (uint32_t) payload);
    bp_st_le64(p + 24, (uint64_t) h->recv_ns);
    bp_st_le64(p + 32, (uint64_t) h->stamp_ns);
    bp_st_le32(p + 40, h->a);
    bp_st_le32(p + 44, h->b);
    bp_st_le32(p + 48, h->c);
    bp_st_le32(p + 52, h->d);
    bp_st_le16(p + 56, (uint16_t) h->frame_id.n);
}

/* What a picture or a cloud of that size has to be. */
static bool is_payload(unsigned kind, const uint8_t *head, uint64_t bytes) {
    uint32_t points = bp_ld_le32(head + 40), flags = bp_ld_le32(head + 48);

    if (kind != BP_MEDIA_CLOUD)
        return bytes > 0;
    return flags <= 3 && points <= BP_MEDIA_POINTS &&
           bytes == (uint64_t) points * (12 + (flags & 1 ? 4 : 0) + (flags & 2 ? 4 : 0));
}

uint32_t bp_media_stream(const uint8_t *p, size_t n) {
    unsigned kind;
    uint32_t payload;

    if (n < BP_MEDIA_HEAD || memcmp(p, "BPM1", 4) != 0 || bp_ld_le16(p + 6) != BP_MEDIA_HEAD)
        return 0;
    kind = bp_ld_le16(p + 4);
    payload = bp_ld_le32(p + 12);
    if (kind < BP_MEDIA_JPEG || kind > BP_MEDIA_CLOUD || !is_payload(kind, p, payload) ||
        (uint64_t) payload + bp_ld_le16(p + 56) != n - BP_MEDIA_HEAD)
        return 0;
    return bp_ld_le32(p + 8);
}

void bp_media_number(uint8_t frame[BP_MEDIA_HEAD], uint32_t stream, uint64_t seq) {
    bp_st_le32(frame + 8, stream);
    bp_st_le64(frame + 16, seq);
}

int bp_media_make(const struct bp_media_want *w, const char *type, const uint8_t *cdr, size_t n,
                  bp_ns_t recv_ns, struct bp_buf *out, struct bp_error *err) {
    struct bp_media_head h = { .recv_ns = recv_ns };
    struct bp_cdrr reader = bp_cdrr_begin(cdr, n);
    size_t before = out->n, i = 0;
    int r;

    while (i < BP_COUNT(types) && !bp_streq(type, types[i].type))
        i++;
    if (i == BP_COUNT(types) || types[i].points != w->points)
        return bp_fail(err, BP_EUNSUPPORTED, "'%.100s' is not shown as %s", type,
                       w->points ? "points" : "a picture");
    (void) bp_buf_grow(out, BP_MEDIA_HEAD);
    bp_media_read_header(&reader, &h);
    r = types[i].make(w, &reader, &h, out, err);
    if (r == 0 && out->n - before - BP_MEDIA_HEAD > UINT32_MAX)
        r = bp_fail(err, BP_ELIMIT, "the frame is too long");
    if (r == 0 && !out->failed) {
        size_t payload = out->n - before - BP_MEDIA_HEAD;

        bp_buf_put(out, h.frame_id.p, h.frame_id.n);
        if (!out->failed)
            put_head(out->p + before, &h, payload);
    }
    if (r == 0 && out->failed)
        r = bp_fail(err, -ENOMEM, "out of memory");
    if (r < 0)
        out->n = before;
    return r;
}
