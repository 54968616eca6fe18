#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <png.h>
#include <stdio.h>

#include "media/media-priv.h"

#define IMAGE "sensor_msgs/msg/Image"
#define SMALL "sensor_msgs/msg/CompressedImage"
#define CLOUD "sensor_msgs/msg/PointCloud2"
#define SCAN  "sensor_msgs/msg/LaserScan"

/* --- messages --- */

static struct bp_cdrw begin(struct bp_buf *b) {
    struct bp_cdrw w = bp_cdrw_begin(b);

    bp_cdrw_time(&w, 7 * BP_SEC + 5);
    bp_cdrw_str(&w, "eye");
    return w;
}

static void image(struct bp_buf *b, const char *encoding, bool big, uint32_t width, uint32_t height,
                  uint32_t step, const void *p, size_t n) {
    struct bp_cdrw w = begin(b);

    bp_cdrw_u32(&w, height);
    bp_cdrw_u32(&w, width);
    bp_cdrw_str(&w, encoding);
    bp_cdrw_u8(&w, big);
    bp_cdrw_u32(&w, step);
    bp_cdrw_u32(&w, (uint32_t) n);
    bp_cdrw_raw(&w, p, n);
    bp_cdrw_end(&w);
}

static void compressed(struct bp_buf *b, const char *format, const void *p, size_t n) {
    struct bp_cdrw w = begin(b);

    bp_cdrw_str(&w, format);
    bp_cdrw_u32(&w, (uint32_t) n);
    bp_cdrw_raw(&w, p, n);
    bp_cdrw_end(&w);
}

static struct bp_media_want want(unsigned width) {
    struct bp_media_want w;

    bp_media_want_init(&w);
    w.width = width;
    w.quality = 95;
    return w;
}

/* Makes a frame of a picture and decodes it again. @return its channels; *s to be done */
static unsigned look(const struct bp_buf *cdr, unsigned width, struct bp_shrink *s) {
    struct bp_media_want w = want(width);
    BP_AUTO_BUF out = { 0 };
    struct bp_error err = { 0 };

    if (bp_media_make(&w, IMAGE, cdr->p, cdr->n, 9, &out, &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(out.p, "BPM1\1\0\100\0", 8);
    assert_int_equal(bp_ld_le64(out.p + 24), 9);
    assert_int_equal(bp_ld_le64(out.p + 32), 7 * BP_SEC + 5);
    assert_int_equal(bp_ld_le16(out.p + 56), 3);
    assert_int_equal(out.n, BP_MEDIA_HEAD + bp_ld_le32(out.p + 12) + 3);
    assert_memory_equal(out.p + out.n - 3, "eye", 3);
    assert_int_equal(bp_media_jpeg_read((struct bp_str){ (const char *) out.p + BP_MEDIA_HEAD,
                                                         bp_ld_le32(out.p + 12) },
                                        4096, s, &err),
                     0);
    assert_int_equal(s->w, bp_ld_le32(out.p + 40));
    assert_int_equal(s->h, bp_ld_le32(out.p + 44));
    return s->channels;
}

static void near(const uint8_t *p, int r, int g, int b) {
    if (abs(p[0] - r) > 6 || abs(p[1] - g) > 6 || abs(p[2] - b) > 6)
        fail_msg("%d %d %d, expected %d %d %d", p[0], p[1], p[2], r, g, b);
}

/* Fills 32 x 32 pixels with the same bytes. */
static void fill(uint8_t *p, const void *pixel, size_t n) {
    for (size_t i = 0; i < 1024; i++)
        memcpy(p + i * n, pixel, n);
}

static void each_encoding(void **state) {
    static const struct {
        const char *name;
        size_t n;
        uint8_t pixel[4];
        unsigned channels;
        int rgb[3];
    } rows[] = {
        { "rgb8", 3, { 200, 100, 50 }, 3, { 200, 100, 50 } },
        { "bgr8", 3, { 50, 100, 200 }, 3, { 200, 100, 50 } },
        { "rgba8", 4, { 200, 100, 50, 9 }, 3, { 200, 100, 50 } },
        { "bgra8", 4, { 50, 100, 200, 9 }, 3, { 200, 100, 50 } },
        { "mono8", 1, { 77 }, 1, { 77 } },
        { "mono16", 2, { 9, 77 }, 1, { 77 } },
        { "yuv422", 2, { 128, 126 }, 3, { 128, 128, 128 } }, /* of two bytes U Y, V Y */
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        uint8_t p[4096];
        BP_AUTO_BUF cdr = { 0 };
        struct bp_shrink s;

        fill(p, rows[i].pixel, rows[i].n);
        image(&cdr, rows[i].name, false, 32, 32, (uint32_t) (32 * rows[i].n), p, 1024 * rows[i].n);
        assert_int_equal(look(&cdr, 4096, &s), rows[i].channels);
        assert_int_equal(s.w, 32);
        if (s.channels == 3)
            near(s.out + 30, rows[i].rgb[0], rows[i].rgb[1], rows[i].rgb[2]);
        else
            assert_in_range(s.out[30], rows[i].rgb[0] - 3, rows[i].rgb[0] + 3);
        bp_shrink_done(&s);
    }
}

static void mosaics(void **state) {
    static const char *const names[] = { "bayer_rggb8", "bayer_grbg8", "bayer_gbrg8",
                                         "bayer_bggr8" };

    (void) state;
    for (unsigned red = 0; red < 4; red++) {
        uint8_t p[1024];
        BP_AUTO_BUF cdr = { 0 };
        struct bp_shrink s;

        for (unsigned i = 0; i < 1024; i++) {
            unsigned at = (i & 1) | (i / 32 & 1) << 1;

            p[i] = at == red ? 220 : at == (red ^ 3) ? 40 : 120;
        }
        image(&cdr, names[red], false, 32, 32, 32, p, sizeof p);
        assert_int_equal(look(&cdr, 4096, &s), 3);
        near(s.out + 300, 220, 120, 40);
        bp_shrink_done(&s);
    }
}

/* Depths: what was measured nearest is dark, farthest bright, nothing black; either byte order. */
static void depths(void **state) {
    (void) state;
    for (int big = 0; big < 2; big++) {
        uint8_t p[64 * 64 * 2], f[64 * 64 * 4];
        BP_AUTO_BUF cdr = { 0 };
        struct bp_shrink s;

        for (size_t i = 0; i < sizeof p / 2; i++) {
            unsigned v = i % 64 < 16 ? 0 : i % 64 < 40 ? 1000 : 3000;
            float m = i % 64 < 16 ? NAN : (float) v / 1000;
            uint32_t bits;

            memcpy(&bits, &m, 4);
            bp_st_le16(p + i * 2, (uint16_t) (big ? __builtin_bswap16((uint16_t) v) : v));
            bp_st_le32(f + i * 4, big ? __builtin_bswap32(bits) : bits);
        }
        for (int real = 0; real < 2; real++) {
            bp_buf_clear(&cdr);
            if (real)
                image(&cdr, "32FC1", big, 64, 64, 64 * 4, f, sizeof f);
            else
                image(&cdr, "16UC1", big, 64, 64, 64 * 2, p, sizeof p);
            assert_int_equal(look(&cdr, 4096, &s), 1);
            assert_in_range(s.out[4], 0, 8);
            assert_in_range(s.out[28], 0, 9);
            assert_in_range(s.out[58], 246, 255);
            bp_shrink_done(&s);
        }
    }
}

static void smaller(void **state) {
    static uint8_t p[480 * 2000];
    BP_AUTO_BUF cdr = { 0 };
    struct bp_shrink s;

    (void) state;
    for (size_t i = 0; i < sizeof p; i++) /* halves: left red, right blue; rows are padded */
        p[i] = i % 2000 < 960 ? (i % 2000 % 3 == 0 ? 255 : 0) : (i % 2000 % 3 == 2 ? 255 : 0);
    image(&cdr, "rgb8", false, 640, 480, 2000, p, sizeof p);
    look(&cdr, 100, &s);
    assert_int_equal(s.w, 100);
    assert_int_equal(s.h, 75);
    near(s.out + 3 * 3710, 254, 0, 0);
    near(s.out + 3 * 3790, 0, 0, 254);
    bp_shrink_done(&s);
}

/* Means are exact where the sizes divide, and rows and columns all count where they do not. */
static void means(void **state) {
    struct bp_shrink s;
    uint8_t row[7] = { 0, 10, 20, 30, 40, 50, 60 };

    (void) state;
    assert_int_equal(bp_shrink_begin(&s, 1, 4, 2, 2, 1), 0);
    bp_shrink_row(&s, row);
    bp_shrink_row(&s, row + 2);
    assert_int_equal(s.out[0], 15);
    assert_int_equal(s.out[1], 35);
    bp_shrink_done(&s);
    assert_int_equal(bp_shrink_begin(&s, 1, 7, 5, 3, 2), 0);
    for (int i = 0; i < 5; i++)
        bp_shrink_row(&s, row);
    assert_int_equal(s.out[0], 5);
    assert_int_equal(s.out[4], 25);
    assert_int_equal(s.out[5], 50);
    bp_shrink_done(&s);
}

static void as_it_is(void **state) {
    uint8_t pixels[3 * 64 * 48];
    BP_AUTO_BUF jpeg = { 0 }, cdr = { 0 }, out = { 0 };
    struct bp_media_want w = want(64);
    struct bp_error err = { 0 };
    struct bp_shrink s;

    (void) state;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = i % 3 == 1 ? 180 : 20;
    assert_int_equal(bp_media_jpeg_write(&jpeg, pixels, 64, 48, 3, 90, &err), 0);
    compressed(&cdr, "jpeg", jpeg.p, jpeg.n);
    assert_int_equal(bp_media_make(&w, SMALL, cdr.p, cdr.n, 9, &out, &err), 0);
    assert_memory_equal(out.p + BP_MEDIA_HEAD, jpeg.p, jpeg.n);
    assert_int_equal(bp_ld_le32(out.p + 12), jpeg.n);
    assert_int_equal(bp_ld_le32(out.p + 44), 48);
    bp_buf_clear(&out);
    w.width = 20; /* between two eighths */
    assert_int_equal(bp_media_make(&w, SMALL, cdr.p, cdr.n, 9, &out, &err), 0);
    assert_int_equal(bp_ld_le32(out.p + 40), 20);
    assert_int_equal(bp_ld_le32(out.p + 44), 15);
    assert_int_equal(bp_ld_le32(out.p + 48), 64);
    assert_int_equal(bp_media_jpeg_read((struct bp_str){ (const char *) out.p + BP_MEDIA_HEAD,
                                                         bp_ld_le32(out.p + 12) },
                                        64, &s, &err),
                     0);
    near(s.out + 150, 20, 180, 20);
    bp_shrink_done(&s);
    for (size_t n = 0; n < cdr.n; n += 7) { /* a message that is cut */
        bp_buf_clear(&out);
        assert_true(bp_media_make(&w, SMALL, cdr.p, n, 9, &out, &err) < 0);
    }
}

static void png(void **state) {
    uint8_t pixels[3 * 64 * 48], file[8192];
    png_image i = {
        .version = PNG_IMAGE_VERSION, .width = 64, .height = 48, .format = PNG_FORMAT_RGB
    };
    png_alloc_size_t n = sizeof file;
    BP_AUTO_BUF cdr = { 0 }, out = { 0 };
    struct bp_media_want w = want(64);
    struct bp_error err = { 0 };

    (void) state;
    memset(pixels, 99, sizeof pixels);
    assert_true(png_image_write_to_memory(&i, file, &n, 0, pixels, 0, NULL));
    compressed(&cdr, "png", file, n);
    assert_int_equal(bp_media_make(&w, SMALL, cdr.p, cdr.n, 9, &out, &err), 0);
    assert_int_equal(bp_ld_le16(out.p + 4), BP_MEDIA_PNG);
    assert_memory_equal(out.p + BP_MEDIA_HEAD, file, n);
    bp_buf_clear(&out);
    w.width = 32;
    assert_int_equal(bp_media_make(&w, SMALL, cdr.p, cdr.n, 9, &out, &err), 0);
    assert_int_equal(bp_ld_le16(out.p + 4), BP_MEDIA_JPEG);
    assert_int_equal(bp_ld_le32(out.p + 44), 24);
}

static void refused(void **state) {
    struct bp_media_want w = want(64);
    BP_AUTO_BUF cdr = { 0 }, out = { 0 };
    uint8_t p[300] = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    image(&cdr, "rgb9", false, 10, 10, 30, p, sizeof p);
    assert_int_equal(bp_media_make(&w, IMAGE, cdr.p, cdr.n, 0, &out, &err), BP_EUNSUPPORTED);
    assert_string_equal(err.text, "encoding 'rgb9' is not shown");
    bp_buf_clear(&cdr);
    image(&cdr, "rgb8", false, 10, 11, 30, p, sizeof p);
    assert_int_equal(bp_media_make(&w, IMAGE, cdr.p, cdr.n, 0, &out, &err), BP_EFORMAT);
    bp_buf_clear(&cdr);
    image(&cdr, "rgb8", false, 0, 0, 0, p, 0);
    assert_int_equal(bp_media_make(&w, IMAGE, cdr.p, cdr.n, 0, &out, &err), BP_ELIMIT);
    bp_buf_clear(&cdr);
    image(&cdr, "rgb8", false, 0x10000, 0x10000, 0, p, 0);
    assert_int_equal(bp_media_make(&w, IMAGE, cdr.p, cdr.n, 0, &out, &err), BP_ELIMIT);
    assert_int_equal(bp_media_make(&w, CLOUD, cdr.p, cdr.n, 0, &out, &err), BP_EUNSUPPORTED);
    assert_int_equal(bp_media_make(&w, IMAGE, cdr.p, 3, 0, &out, &err), BP_EFORMAT);
    bp_buf_clear(&cdr);
    compressed(&cdr, "h264", p, 30);
    assert_int_equal(bp_media_make(&w, SMALL, cdr.p, cdr.n, 0, &out, &err), BP_EUNSUPPORTED);
    assert_int_equal(out.n, 0);
}

/* --- clouds --- */

static void field(struct bp_cdrw *w, const char *name, uint32_t offset, uint8_t type) {
    bp_cdrw_str(w, name);
    bp_cdrw_u32(w, offset);
    bp_cdrw_u8(w, type);
    bp_cdrw_u32(w, 1);
}

/* n points (i, 2i, 3i) as y, x float32, z float64, rgb; every tenth has no z. */
static void cloud(struct bp_buf *b, uint32_t n) {
    struct bp_cdrw w = begin(b);

    bp_cdrw_u32(&w, 1);
    bp_cdrw_u32(&w, n);
    bp_cdrw_u32(&w, 5);
    field(&w, "y", 0, 7);
    field(&w, "x", 4, 7);
    field(&w, "z", 8, 8);
    field(&w, "rgb", 16, 7);
    field(&w, "intensity", 20, 4);
    bp_cdrw_u8(&w, 0);
    bp_cdrw_u32(&w, 24);
    bp_cdrw_u32(&w, 24 * n);
    bp_cdrw_u32(&w, 24 * n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t p[24] = { 0 };
        float x = (float) i, y = (float) i * 2;
        double z = i % 10 == 9 ? NAN : i * 3.0;

        memcpy(p, &y, 4);
        memcpy(p + 4, &x, 4);
        memcpy(p + 8, &z, 8);
        bp_st_le32(p + 16, 0x00112200u + i % 256);
        bp_st_le16(p + 20, (uint16_t) i);
        bp_cdrw_raw(&w, p, sizeof p);
    }
    bp_cdrw_end(&w);
}

static float f32(const uint8_t *p) {
    float v;

    memcpy(&v, p, 4);
    return v;
}

static void points(void **state) {
    struct bp_media_want w;
    BP_AUTO_BUF cdr = { 0 }, out = { 0 };
    struct bp_error err = { 0 };
    const uint8_t *p;
    float last = -1;

    (void) state;
    assert_int_equal(bp_media_want_parse("points:/lidar/points?max=300", &w, &err), 0);
    cloud(&cdr, 1000);
    assert_int_equal(bp_media_make(&w, CLOUD, cdr.p, cdr.n, 9, &out, &err), 0);
    assert_int_equal(bp_ld_le16(out.p + 4), BP_MEDIA_CLOUD);
    assert_int_equal(bp_ld_le32(out.p + 40), 300);
    assert_int_equal(bp_ld_le32(out.p + 44), 1000);
    assert_int_equal(bp_ld_le32(out.p + 48), 3);
    assert_int_equal(bp_ld_le32(out.p + 12), 300 * 20);
    p = out.p + BP_MEDIA_HEAD;
    for (size_t k = 0; k < 300; k++) {
        float x = f32(p + k * 12);
        const uint8_t *color = p + 300 * 12 + k * 4;

        assert_true(x > last && x - last < 6); /* evenly, in order */
        assert_true(f32(p + k * 12 + 4) == 2 * x && f32(p + k * 12 + 8) == 3 * x);
        assert_true(color[0] == 0x11 && color[1] == 0x22 && color[2] == (unsigned) x % 256 &&
                    color[3] == 255);
        assert_true(f32(p + 300 * 16 + k * 4) == x);
        last = x;
    }
    w.max_points = 5000;
    bp_buf_clear(&out);
    assert_int_equal(bp_media_make(&w, CLOUD, cdr.p, cdr.n, 9, &out, &err), 0);
    assert_int_equal(bp_ld_le32(out.p + 40), 900); /* the others are nowhere */
    for (size_t n = 0; n < 200; n++) {
        bp_buf_clear(&out);
        assert_true(bp_media_make(&w, CLOUD, cdr.p, n, 9, &out, &err) < 0);
    }
}

static void scan(void **state) {
    const float head[] = { -1, 1, 0.5F, 0, 0, 0.1F, 10 };
    const float ranges[] = { 1, INFINITY, 2, 11, NAN };
    struct bp_media_want w = want(16);
    BP_AUTO_BUF cdr = { 0 }, out = { 0 };
    struct bp_error err = { 0 };
    struct bp_cdrw m = begin(&cdr);

    (void) state;
    w.points = true;
    for (size_t i = 0; i < BP_COUNT(head); i++)
        bp_cdrw_f32(&m, head[i]);
    bp_cdrw_u32(&m, BP_COUNT(ranges));
    bp_cdrw_f32s(&m, ranges, BP_COUNT(ranges));
    bp_cdrw_u32(&m, 0);
    bp_cdrw_end(&m);
    assert_int_equal(bp_media_make(&w, SCAN, cdr.p, cdr.n, 9, &out, &err), 0);
    assert_int_equal(bp_ld_le32(out.p + 40), 2);
    assert_int_equal(bp_ld_le32(out.p + 44), 5);
    assert_true(fabs((double) f32(out.p + 64) - cos(-1)) < 1e-6);
    assert_true(fabs((double) f32(out.p + 68) - sin(-1)) < 1e-6);
    assert_true(f32(out.p + 76) == 2);
    assert_int_equal(bp_media_stream(out.p, out.n), 0);
    bp_media_number(out.p, 77, 5);
    assert_int_equal(bp_media_stream(out.p, out.n), 77);
    assert_int_equal(bp_media_stream(out.p, out.n - 1), 0);
    bp_st_le32(out.p + 40, 3); /* points that are not there */
    assert_int_equal(bp_media_stream(out.p, out.n), 0);
}

static void names(void **state) {
    static const char *const wrong[] = { "image:",
                                         "image:camera",
                                         "image:/a b",
                                         "image:/a?width=15",
                                         "image:/a?width=5000",
                                         "image:/a?max=3",
                                         "points:/a?width=20",
                                         "points:/a?max=",
                                         "points:/a?max=2x",
                                         "image:/a?width=20&",
                                         "image:/a\"?",
                                         "image:/a?width=-3",
                                         "picture:/a" };
    struct bp_media_want w;
    struct bp_error err;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(wrong); i++)
        if (bp_media_want_parse(wrong[i], &w, &err) != BP_EUSAGE)
            fail_msg("%s", wrong[i]);
    assert_int_equal(bp_media_want_parse("image:/r1/camera?quality=60&width=320", &w, &err), 0);
    assert_string_equal(w.topic, "/r1/camera");
    assert_int_equal(w.width, 320);
    assert_int_equal(w.quality, 60);
    assert_int_equal(bp_media_want_parse("points:/scan", &w, &err), 0);
    assert_true(w.points && w.max_points == 20000);
}

/* What it costs; a number to look at. */
static void cost(void **state) {
    const uint32_t width = 1280, height = 720;
    uint8_t *p = malloc((size_t) width * height * 3);
    BP_AUTO_BUF cdr = { 0 }, out = { 0 };
    struct bp_media_want w = want(640);
    struct bp_error err;
    bp_ns_t t;

    (void) state;
    for (size_t i = 0; p && i < (size_t) width * height * 3; i++)
        p[i] = (uint8_t) (i / 97 + i % 3 * 40);
    image(&cdr, "rgb8", false, width, height, width * 3, p, (size_t) width * height * 3);
    free(p);
    t = bp_mono_ns();
    for (int i = 0; i < 5; i++) {
        bp_buf_clear(&out);
        assert_int_equal(bp_media_make(&w, IMAGE, cdr.p, cdr.n, 9, &out, &err), 0);
    }
    print_message("# 1280 x 720 rgb8 to 640 JPEG: %.1f ms\n", (double) (bp_mono_ns() - t) / 5e6);
    w.points = true;
    bp_buf_clear(&cdr);
    cloud(&cdr, 100000);
    t = bp_mono_ns();
    for (int i = 0; i < 5; i++) {
        bp_buf_clear(&out);
        assert_int_equal(bp_media_make(&w, CLOUD, cdr.p, cdr.n, 9, &out, &err), 0);
    }
    print_message("# 100,000 points to 20,000: %.1f ms\n", (double) (bp_mono_ns() - t) / 5e6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_encoding), cmocka_unit_test(mosaics), cmocka_unit_test(depths),
        cmocka_unit_test(smaller),       cmocka_unit_test(means),   cmocka_unit_test(as_it_is),
        cmocka_unit_test(png),           cmocka_unit_test(refused), cmocka_unit_test(points),
        cmocka_unit_test(scan),          cmocka_unit_test(names),   cmocka_unit_test(cost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
