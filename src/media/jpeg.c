/* JPEG by libjpeg-turbo. Its errors come by longjmp; what lives across one lies in a struct. */
#include "media/media-priv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

/* A progressive picture may have thousands of scans, each as much work as all of it. */
enum { MAX_SCANS = 64 };

struct trap {
    struct jpeg_error_mgr mgr; /* first: libjpeg knows this one */
    jmp_buf jump;
    int code;
    char text[JMSG_LENGTH_MAX];
};

static void on_error(j_common_ptr c) {
    struct trap *t = (struct trap *) c->err;

    t->mgr.format_message(c, t->text);
    t->code = BP_EFORMAT;
    longjmp(t->jump, 1);
}

static void be_silent(j_common_ptr c, int level) {
    if (level < 0)
        c->err->num_warnings++; /* what is broken is shown as far as it goes */
}

static void set_trap(struct trap *t) {
    (void) jpeg_std_error(&t->mgr);
    t->mgr.error_exit = on_error;
    t->mgr.emit_message = be_silent;
}

/* --- writing --- */

struct writer {
    struct jpeg_compress_struct c;
    struct trap trap;
    unsigned char *p; /* libjpeg's, of malloc() */
    unsigned long n;
};

static void write_rows(struct writer *w, const uint8_t *pixels, uint32_t width, uint32_t height,
                       unsigned channels, int quality) {
    struct jpeg_compress_struct *c = &w->c;

    jpeg_create_compress(c);
    jpeg_mem_dest(c, &w->p, &w->n);
    c->image_width = width;
    c->image_height = height;
    c->input_components = (int) channels;
    c->in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, quality, TRUE);
    c->dct_method = JDCT_IFAST;
    jpeg_start_compress(c, TRUE);
    while (c->next_scanline < height) {
        const uint8_t *row = pixels + (size_t) c->next_scanline * width * channels;
        JSAMPROW rows[1];

        memcpy(rows, &row, sizeof row); /* it takes no const */
        (void) jpeg_write_scanlines(c, rows, 1);
    }
    jpeg_finish_compress(c);
}

/* @return false: trapped */
static bool try_write(struct writer *w, const uint8_t *pixels, uint32_t width, uint32_t height,
                      unsigned channels, int quality) {
    if (setjmp(w->trap.jump) != 0)
        return false;
    write_rows(w, pixels, width, height, channels, quality);
    return true;
}

int bp_media_jpeg_write(struct bp_buf *out, const uint8_t *pixels, uint32_t width, uint32_t height,
                        unsigned channels, int quality, struct bp_error *err) {
    struct writer *w = calloc(1, sizeof *w);
    int r = 0;

    if (!w)
        return bp_fail(err, -ENOMEM, "out of memory");
    w->c.err = &w->trap.mgr;
    set_trap(&w->trap);
    if (try_write(w, pixels, width, height, channels, quality))
        bp_buf_put(out, w->p, w->n);
    else
        r = bp_fail(err, w->trap.code, "JPEG: %s", w->trap.text);
    jpeg_destroy_compress(&w->c);
    free(w->p);
    free(w);
    return r;
}

/* --- reading --- */

struct reader {
    struct jpeg_decompress_struct c;
    struct trap trap;
    struct jpeg_progress_mgr progress;
    uint8_t *row; /* owned */
};

static void give_up(struct reader *r, int code, const char *why) {
    r->trap.code = code;
    (void) snprintf(r->trap.text, sizeof r->trap.text, "%s", why);
    longjmp(r->trap.jump, 1);
}

static void on_progress(j_common_ptr c) {
    struct jpeg_decompress_struct *d = (struct jpeg_decompress_struct *) c;

    if (d->input_scan_number > MAX_SCANS)
        give_up(BP_CONTAINER_OF(d, struct reader, c), BP_ELIMIT, "too many scans");
}

static void read_head(struct reader *r, struct bp_str jpeg) {
    jpeg_create_decompress(&r->c);
    r->progress.progress_monitor = on_progress;
    r->c.progress = &r->progress;
    jpeg_mem_src(&r->c, (const unsigned char *) jpeg.p, jpeg.n);
    (void) jpeg_read_header(&r->c, TRUE);
    if (bp_media_check_size(r->c.image_width, r->c.image_height, NULL) < 0)
        give_up(r, BP_ELIMIT, "so large a picture is not shown");
}

static void read_rows(struct reader *r, uint32_t width, struct bp_shrink *s) {
    struct jpeg_decompress_struct *c = &r->c;
    unsigned channels = c->num_components == 1 ? 1 : 3;
    uint32_t w, h;

    if (c->jpeg_color_space == JCS_CMYK || c->jpeg_color_space == JCS_YCCK)
        give_up(r, BP_EUNSUPPORTED, "four colours are not shown");
    c->out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    c->dct_method = JDCT_IFAST;
    bp_shrink_fit(c->image_width, c->image_height, width, &w, &h);
    c->scale_denom = 8; /* the decoder itself makes it smaller by eighths, which is cheaper */
    for (c->scale_num = 1; c->scale_num < 8; c->scale_num++) {
        jpeg_calc_output_dimensions(c);
        if (c->output_width >= w && c->output_height >= h)
            break;
    }
    (void) jpeg_start_decompress(c);
    r->row = malloc((size_t) c->output_width * channels);
    if (!r->row || bp_shrink_begin(s, channels, c->output_width, c->output_height, w, h) < 0)
        give_up(r, -ENOMEM, "out of memory");
    while (c->output_scanline < c->output_height) {
        JSAMPROW rows[1] = { r->row };

        if (jpeg_read_scanlines(c, rows, 1) == 1)
            bp_shrink_row(s, r->row);
    }
}

/* @param s  NULL: only its head; @return false: trapped */
static bool try_read(struct reader *r, struct bp_str jpeg, uint32_t width, struct bp_shrink *s) {
    if (setjmp(r->trap.jump) != 0)
        return false;
    read_head(r, jpeg);
    if (s)
        read_rows(r, width, s);
    return true;
}

static int run(struct bp_str jpeg, uint32_t width, struct bp_shrink *s, uint32_t *ret_w,
               uint32_t *ret_h, struct bp_error *err) {
    struct reader *r = calloc(1, sizeof *r);
    int code = 0;

    if (!r)
        return bp_fail(err, -ENOMEM, "out of memory");
    r->c.err = &r->trap.mgr;
    set_trap(&r->trap);
    if (!try_read(r, jpeg, width, s))
        code = bp_fail(err, r->trap.code, "JPEG: %s", r->trap.text);
    *ret_w = r->c.image_width;
    *ret_h = r->c.image_height;
    jpeg_destroy_decompress(&r->c);
    free(r->row);
    free(r);
    return code;
}

int bp_media_jpeg_size(struct bp_str jpeg, uint32_t *ret_w, uint32_t *ret_h, struct bp_error *err) {
    return run(jpeg, 0, NULL, ret_w, ret_h, err);
}

int bp_media_jpeg_read(struct bp_str jpeg, uint32_t width, struct bp_shrink *ret,
                       struct bp_error *err) {
    uint32_t w, h;

    *ret = (struct bp_shrink){ 0 };
    return run(jpeg, width, ret, &w, &h, err);
}
