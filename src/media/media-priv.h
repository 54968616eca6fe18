#pragma once

#include "media/media.h"
#include "wire/cdr.h"

/* Inside media/ only. */

/* What the head of a frame tells. */
struct bp_media_head {
    uint16_t kind; /* enum bp_media_kind */
    bp_ns_t recv_ns, stamp_ns;
    struct bp_str frame_id; /* borrowed from the message */
    uint32_t a, b, c, d;    /* the words at 40, 44, 48, 52 */
};

enum { BP_CLOUD_RGBA = 1, BP_CLOUD_INTENSITY = 2 }; /* flags of a cloud */

/** Reads std_msgs/Header. */
void bp_media_read_header(struct bp_cdrr *r, struct bp_media_head *h);
/** The bytes of a uint8[], borrowed. */
struct bp_str bp_media_read_bytes(struct bp_cdrr *r);

/** The makers append the payload and fill in what they know of the head. */
BP_MUST_CHECK int bp_media_image(const struct bp_media_want *w, struct bp_cdrr *r,
                                 struct bp_media_head *h, struct bp_buf *out, struct bp_error *err);
BP_MUST_CHECK int bp_media_compressed(const struct bp_media_want *w, struct bp_cdrr *r,
                                      struct bp_media_head *h, struct bp_buf *out,
                                      struct bp_error *err);
BP_MUST_CHECK int bp_media_cloud(const struct bp_media_want *w, struct bp_cdrr *r,
                                 struct bp_media_head *h, struct bp_buf *out, struct bp_error *err);
BP_MUST_CHECK int bp_media_scan(const struct bp_media_want *w, struct bp_cdrr *r,
                                struct bp_media_head *h, struct bp_buf *out, struct bp_error *err);

/** @return 0, BP_ELIMIT when a picture has no pixel or too many */
BP_MUST_CHECK int bp_media_check_size(uint32_t width, uint32_t height, struct bp_error *err);

/* --- shrink.c: rows go in from the top, a smaller picture comes out --- */

struct bp_shrink {
    unsigned channels; /* bytes of a pixel: 1 grey, 3 red green blue */
    uint32_t from_w, from_h, w, h;
    uint32_t y;     /* rows that came */
    uint32_t row;   /* of the result, being summed */
    uint32_t *sums; /* owned; of `row` */
    uint32_t *ends; /* owned; where the columns of each pixel end */
    uint8_t *out;   /* owned; w * h * channels */
};

/** The size that is not wider than `width`, of the same shape. */
void bp_shrink_fit(uint32_t from_w, uint32_t from_h, uint32_t width, uint32_t *ret_w,
                   uint32_t *ret_h);
/** @param w, h  at most from_w, from_h; @return 0, -ENOMEM */
BP_MUST_CHECK int bp_shrink_begin(struct bp_shrink *s, unsigned channels, uint32_t from_w,
                                  uint32_t from_h, uint32_t w, uint32_t h);
/** The next row: from_w * channels bytes. At most from_h of them. */
void bp_shrink_row(struct bp_shrink *s, const uint8_t *row);
void bp_shrink_done(struct bp_shrink *s);

/* --- jpeg.c, png.c --- */

/** Appends a picture as JPEG. @param channels  1 or 3; @return 0, -ENOMEM, BP_EFORMAT */
BP_MUST_CHECK int bp_media_jpeg_write(struct bp_buf *out, const uint8_t *pixels, uint32_t width,
                                      uint32_t height, unsigned channels, int quality,
                                      struct bp_error *err);
/** Its size, as its header says. @return 0, BP_EFORMAT, BP_ELIMIT */
BP_MUST_CHECK int bp_media_jpeg_size(struct bp_str jpeg, uint32_t *ret_w, uint32_t *ret_h,
                                     struct bp_error *err);
/** Decodes to `w` columns. @param ret  of bp_shrink_done(), also on failure
 *  @return 0, BP_EFORMAT, BP_ELIMIT, BP_EUNSUPPORTED, -ENOMEM */
BP_MUST_CHECK int bp_media_jpeg_read(struct bp_str jpeg, uint32_t width, struct bp_shrink *ret,
                                     struct bp_error *err);
BP_MUST_CHECK int bp_media_png_size(struct bp_str png, uint32_t *ret_w, uint32_t *ret_h,
                                    struct bp_error *err);
BP_MUST_CHECK int bp_media_png_read(struct bp_str png, uint32_t width, struct bp_shrink *ret,
                                    struct bp_error *err);
