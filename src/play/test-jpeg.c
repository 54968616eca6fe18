/* Judged by libjpeg. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include <jpeglib.h>

#include "play/jpeg.h"
#include "play/rng.h"

/* Soft colours, as photographs have them; or noise, the worst case for the entropy coder. */
static void paint(uint8_t *rgb, unsigned width, unsigned height, bool noise) {
    struct bp_rng r = bp_rng_of(7);

    for (unsigned y = 0; y < height; y++)
        for (unsigned x = 0; x < width; x++, rgb += 3) {
            rgb[0] = (uint8_t) (128 + 100 * sin(x / 9.0));
            rgb[1] = (uint8_t) (128 + 100 * cos(y / 11.0));
            rgb[2] = (uint8_t) (128 + 60 * sin((x + y) / 17.0));
            for (int i = 0; noise && i < 3; i++)
                rgb[i] = bp_rng_u64(&r) & 1 ? 255 : 0;
        }
}

/* Decodes with libjpeg; @return root mean square difference */
static double difference(const struct bp_buf *jpeg, const uint8_t *rgb, unsigned width,
                         unsigned height) {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    uint8_t row[3 * 700];
    double sum = 0;

    d.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, jpeg->p, jpeg->n);
    assert_int_equal(jpeg_read_header(&d, TRUE), JPEG_HEADER_OK);
    assert_int_equal(d.image_width, width);
    assert_int_equal(d.image_height, height);
    assert_true(jpeg_start_decompress(&d));
    while (d.output_scanline < height) {
        uint8_t *rows[] = { row };

        assert_int_equal(jpeg_read_scanlines(&d, rows, 1), 1);
        for (unsigned i = 0; i < 3 * width; i++, rgb++)
            sum += (double) (row[i] - *rgb) * (row[i] - *rgb);
    }
    assert_true(jpeg_finish_decompress(&d));
    assert_int_equal(d.err->num_warnings, 0);
    jpeg_destroy_decompress(&d);
    return sqrt(sum / (3.0 * width * height));
}

static void libjpeg_sees_the_picture(void **state) {
    static const struct {
        unsigned width, height;
        int quality;
        bool noise;
        double most; /* difference allowed */
    } cases[] = {
        { 640, 480, 90, false, 2.5 }, { 640, 480, 10, false, 14 }, { 17, 9, 95, false, 6 },
        { 1, 1, 100, false, 3 },      { 16, 16, 100, false, 6 },   { 33, 64, 1, false, 60 },
        { 64, 48, 100, true, 140 },   { 64, 48, 1, true, 140 },
    };
    static uint8_t rgb[3 * 640 * 480];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_BUF jpeg = { 0 };
        double d;

        paint(rgb, cases[i].width, cases[i].height, cases[i].noise);
        bp_jpeg_encode(&jpeg, rgb, cases[i].width, cases[i].height, cases[i].quality);
        assert_false(jpeg.failed);
        d = difference(&jpeg, rgb, cases[i].width, cases[i].height);
        if (d > cases[i].most)
            fail_msg("case %zu: difference %.2f", i, d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(libjpeg_sees_the_picture) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
