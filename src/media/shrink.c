/* Each pixel of the result is the mean of the pixels of the original that lie in it. */
#include "media/media-priv.h"

#include <errno.h>

void bp_shrink_fit(uint32_t from_w, uint32_t from_h, uint32_t width, uint32_t *ret_w,
                   uint32_t *ret_h) {
    uint64_t h;

    *ret_w = BP_MIN(from_w, width);
    h = ((uint64_t) from_h * *ret_w + from_w / 2) / from_w;
    *ret_h = (uint32_t) BP_MIN(BP_MAX(h, 1u), from_h);
}

int bp_shrink_begin(struct bp_shrink *s, unsigned channels, uint32_t from_w, uint32_t from_h,
                    uint32_t w, uint32_t h) {
    *s = (struct bp_shrink){
        .channels = channels, .from_w = from_w, .from_h = from_h, .w = w, .h = h
    };
    s->sums = calloc((size_t) w * channels, sizeof *s->sums);
    s->ends = calloc(w, sizeof *s->ends);
    s->out = calloc((size_t) w * h, channels); /* rows that never come are black */
    if (!s->sums || !s->ends || !s->out)
        return -ENOMEM;
    for (uint32_t x = 0; x < w; x++)
        s->ends[x] = (uint32_t) ((uint64_t) (x + 1) * from_w / w);
    return 0;
}

void bp_shrink_done(struct bp_shrink *s) {
    free(s->sums);
    free(s->ends);
    free(s->out);
    *s = (struct bp_shrink){ 0 };
}

static void add_grey(struct bp_shrink *s, const uint8_t *p) {
    for (uint32_t x = 0, i = 0; x < s->w; x++) {
        uint32_t sum = 0;

        for (; i < s->ends[x]; i++)
            sum += p[i];
        s->sums[x] += sum;
    }
}

static void add_color(struct bp_shrink *s, const uint8_t *p) {
    uint32_t *to = s->sums;

    for (uint32_t x = 0, i = 0; x < s->w; x++, to += 3) {
        uint32_t r = 0, g = 0, b = 0;

        for (; i < s->ends[x]; i++, p += 3) {
            r += p[0];
            g += p[1];
            b += p[2];
        }
        to[0] += r;
        to[1] += g;
        to[2] += b;
    }
}

/* The row is complete: `rows` of the original are in it. */
static void finish_row(struct bp_shrink *s, uint32_t rows) {
    uint8_t *to = s->out + (size_t) s->row * s->w * s->channels;

    for (uint32_t x = 0, i = 0; x < s->w; x++) {
        uint32_t n = BP_MAX((s->ends[x] - (x ? s->ends[x - 1] : 0)) * rows, 1u);

        for (unsigned k = 0; k < s->channels; k++, i++) {
            to[i] = (uint8_t) ((s->sums[i] + n / 2) / n);
            s->sums[i] = 0;
        }
    }
}

static uint32_t first_of(const struct bp_shrink *s, uint32_t row) {
    return (uint32_t) ((uint64_t) row * s->from_h / s->h);
}

void bp_shrink_row(struct bp_shrink *s, const uint8_t *row) {
    size_t bytes = (size_t) s->w * s->channels;

    if (s->row >= s->h)
        return;
    if (s->w == s->from_w && s->h == s->from_h) {
        memcpy(s->out + s->row++ * bytes, row, bytes);
        return;
    }
    if (s->channels == 1)
        add_grey(s, row);
    else
        add_color(s, row);
    if (++s->y < first_of(s, s->row + 1))
        return;
    finish_row(s, s->y - first_of(s, s->row));
    s->row++;
}
