/* PNG by libpng's simplified interface. */
#include "media/media-priv.h"

#include <errno.h>

#include <png.h>

static int begin(png_image *image, struct bp_str png, struct bp_error *err) {
    *image = (png_image){ .version = PNG_IMAGE_VERSION };
    if (!png_image_begin_read_from_memory(image, png.p, png.n))
        return bp_fail(err, BP_EFORMAT, "PNG: %.60s", image->message);
    return bp_media_check_size(image->width, image->height, err);
}

int bp_media_png_size(struct bp_str png, uint32_t *ret_w, uint32_t *ret_h, struct bp_error *err) {
    png_image image;
    int r = begin(&image, png, err);

    if (r == 0) {
        *ret_w = image.width;
        *ret_h = image.height;
    }
    png_image_free(&image);
    return r;
}

int bp_media_png_read(struct bp_str png, uint32_t width, struct bp_shrink *ret,
                      struct bp_error *err) {
    BP_AUTO_FREE uint8_t *pixels = NULL;
    unsigned channels;
    png_image image;
    uint32_t w, h;
    int r = begin(&image, png, err);

    *ret = (struct bp_shrink){ 0 };
    if (r < 0) {
        png_image_free(&image);
        return r;
    }
    image.format = image.format & PNG_FORMAT_FLAG_COLOR ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    channels = image.format == PNG_FORMAT_RGB ? 3 : 1;
    pixels = calloc((size_t) image.width * image.height, channels); /* black shines through */
    bp_shrink_fit(image.width, image.height, width, &w, &h);
    if (!pixels || bp_shrink_begin(ret, channels, image.width, image.height, w, h) < 0)
        r = bp_fail(err, -ENOMEM, "out of memory");
    else if (!png_image_finish_read(&image, NULL, pixels, 0, NULL))
        r = bp_fail(err, BP_EFORMAT, "PNG: %.60s", image.message);
    for (uint32_t y = 0; r == 0 && y < image.height; y++)
        bp_shrink_row(ret, pixels + (size_t) y * image.width * channels);
    png_image_free(&image);
    return r;
}
