#include "play/jpeg.h"

#include <math.h>
#include <stdbool.h>

/* Annex K.1: what the eye notices, by frequency (natural order). */
static const uint8_t base_tables[2][64] = {
    { 16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
      14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
      18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
      49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99 },
    { 17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99,
      99, 99, 47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
      99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99 },
};

static const uint8_t zigzag[64] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
};

/* Annex K.3: codes per length 1..16, then the values in order of their codes. */
static const uint8_t dc_counts[2][16] = {
    { 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0 },
    { 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0 },
};
static const uint8_t dc_values[12] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
static const uint8_t ac_counts[2][16] = {
    { 0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125 },
    { 0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119 },
};
static const uint8_t ac_values[2][162] = {
    { 0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61,
      0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52,
      0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25,
      0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45,
      0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64,
      0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
      0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
      0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6,
      0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3,
      0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8,
      0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa },
    { 0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61,
      0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33,
      0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18,
      0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44,
      0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63,
      0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
      0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,
      0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4,
      0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca,
      0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7,
      0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa },
};

struct codes {
    uint16_t code[256];
    uint8_t bits[256];
};

struct jpeg {
    struct bp_buf *out;
    const uint8_t *rgb;
    unsigned width, height;
    uint8_t table[2][64];
    float scale[2][64]; /* divides a coefficient; holds the DCT's own factors */
    struct codes dc[2], ac[2];
    uint64_t pending; /* bits not yet written, at the low end */
    unsigned npending;
    int last_dc[3];
    float cosine[8][8];
};

static void make_codes(struct codes *c, const uint8_t counts[16], const uint8_t *values) {
    uint16_t code = 0;

    for (unsigned len = 1; len <= 16; len++, code = (uint16_t) (code << 1))
        for (unsigned i = 0; i < counts[len - 1]; i++, values++) {
            c->code[*values] = code++;
            c->bits[*values] = (uint8_t) len;
        }
}

static void put_bits(struct jpeg *j, uint32_t v, unsigned n) {
    j->pending = j->pending << n | v;
    j->npending += n;
    while (j->npending >= 8) {
        uint8_t byte = (uint8_t) (j->pending >> (j->npending - 8));

        bp_buf_put_u8(j->out, byte);
        if (byte == 0xff)
            bp_buf_put_u8(j->out, 0);
        j->npending -= 8;
    }
    j->pending &= (1U << j->npending) - 1;
}

static void put_be16(struct jpeg *j, unsigned v) {
    bp_buf_put_u8(j->out, (uint8_t) (v >> 8));
    bp_buf_put_u8(j->out, (uint8_t) v);
}

/* A value as its number of bits (in the low half of `symbol`) and those bits. */
static void put_value(struct jpeg *j, const struct codes *c, unsigned symbol, int v) {
    unsigned magnitude = (unsigned) (v < 0 ? -v : v), bits = 0;

    while (magnitude >> bits)
        bits++;
    symbol |= bits;
    put_bits(j, c->code[symbol], c->bits[symbol]);
    if (bits)
        put_bits(j, (uint32_t) (v < 0 ? v - 1 : v) & ((1U << bits) - 1), bits);
}

/* The plain separable transform; rows then columns, 1024 products a block. */
static void transform(const struct jpeg *j, float b[64]) {
    float t[64];

    for (int y = 0; y < 8; y++)
        for (int u = 0; u < 8; u++) {
            float sum = 0;

            for (int x = 0; x < 8; x++)
                sum += b[8 * y + x] * j->cosine[u][x];
            t[8 * y + u] = sum;
        }
    for (int v = 0; v < 8; v++)
        for (int u = 0; u < 8; u++) {
            float sum = 0;

            for (int y = 0; y < 8; y++)
                sum += t[8 * y + u] * j->cosine[v][y];
            b[8 * v + u] = sum;
        }
}

static void put_block(struct jpeg *j, int component, float b[64]) {
    int chroma = component > 0, run = 0, q[64];

    transform(j, b);
    for (int i = 0; i < 64; i++)
        q[i] = (int) lrintf(b[zigzag[i]] * j->scale[chroma][zigzag[i]]);
    put_value(j, &j->dc[chroma], 0, q[0] - j->last_dc[component]);
    j->last_dc[component] = q[0];

    for (int i = 1; i < 64; i++) {
        if (q[i] == 0) {
            run++;
            continue;
        }
        for (; run > 15; run -= 16)
            put_bits(j, j->ac[chroma].code[0xf0], j->ac[chroma].bits[0xf0]);
        put_value(j, &j->ac[chroma], (unsigned) run << 4, q[i]);
        run = 0;
    }
    if (run)
        put_bits(j, j->ac[chroma].code[0], j->ac[chroma].bits[0]);
}

/* 16 x 16 pixels from (left, top): four blocks of brightness, one each of both colours. Beyond the
 * edge the last pixel goes on. */
static void put_square(struct jpeg *j, unsigned left, unsigned top) {
    float luma[4][64], blue[64] = { 0 }, red[64] = { 0 };

    for (unsigned y = 0; y < 16; y++)
        for (unsigned x = 0; x < 16; x++) {
            unsigned px = BP_MIN(left + x, j->width - 1), py = BP_MIN(top + y, j->height - 1);
            const uint8_t *p = j->rgb + 3 * ((size_t) py * j->width + px);
            float r = p[0], g = p[1], b = p[2];
            unsigned half = 8 * (y / 2) + x / 2;

            luma[y / 8 * 2 + x / 8][8 * (y % 8) + x % 8] =
                0.299F * r + 0.587F * g + 0.114F * b - 128;
            blue[half] += 0.25F * (-0.168736F * r - 0.331264F * g + 0.5F * b);
            red[half] += 0.25F * (0.5F * r - 0.418688F * g - 0.081312F * b);
        }
    for (int i = 0; i < 4; i++)
        put_block(j, 0, luma[i]);
    put_block(j, 1, blue);
    put_block(j, 2, red);
}

/* ---- headers ---- */

static void set_up(struct jpeg *j, int quality) {
    int percent = quality < 50 ? 5000 / quality : 200 - 2 * quality;

    for (int t = 0; t < 2; t++) {
        make_codes(&j->dc[t], dc_counts[t], dc_values);
        make_codes(&j->ac[t], ac_counts[t], ac_values[t]);
        for (int i = 0; i < 64; i++) {
            int q = (base_tables[t][i] * percent + 50) / 100;

            j->table[t][i] = (uint8_t) BP_MAX(1, BP_MIN(q, 255));
            j->scale[t][i] = 1.0F / j->table[t][i];
        }
    }
    for (int u = 0; u < 8; u++)
        for (int x = 0; x < 8; x++)
            j->cosine[u][x] = (float) ((u ? 0.5 : sqrt(0.125)) * cos((2 * x + 1) * u * M_PI / 16));
}

static void put_huffman(struct jpeg *j, unsigned id, const uint8_t counts[16],
                        const uint8_t *values, size_t n) {
    bp_buf_put_u8(j->out, (uint8_t) id);
    bp_buf_put(j->out, counts, 16);
    bp_buf_put(j->out, values, n);
}

static void put_headers(struct jpeg *j) {
    static const uint8_t start[] = { 0xff, 0xd8, 0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F',
                                     0,    1,    1,    0,    0, 1,  0,   1,   0,   0 };
    static const uint8_t components[] = { 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1 };
    static const uint8_t scan[] = { 0xff, 0xda, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0 };

    bp_buf_put(j->out, start, sizeof start);
    put_be16(j, 0xffdb); /* quantisation */
    put_be16(j, 2 + 2 * 65);
    for (unsigned t = 0; t < 2; t++) {
        bp_buf_put_u8(j->out, (uint8_t) t);
        for (int i = 0; i < 64; i++)
            bp_buf_put_u8(j->out, j->table[t][zigzag[i]]);
    }
    put_be16(j, 0xffc0); /* baseline frame */
    put_be16(j, 7 + sizeof components);
    bp_buf_put_u8(j->out, 8);
    put_be16(j, j->height);
    put_be16(j, j->width);
    bp_buf_put(j->out, components, sizeof components);
    put_be16(j, 0xffc4); /* Huffman codes */
    put_be16(j, 2 + 2 * (17 + 12) + 2 * (17 + 162));
    for (unsigned t = 0; t < 2; t++) {
        put_huffman(j, t, dc_counts[t], dc_values, sizeof dc_values);
        put_huffman(j, 0x10 | t, ac_counts[t], ac_values[t], sizeof ac_values[t]);
    }
    bp_buf_put(j->out, scan, sizeof scan);
}

void bp_jpeg_encode(struct bp_buf *out, const uint8_t *rgb, unsigned width, unsigned height,
                    int quality) {
    struct jpeg j = { .out = out, .rgb = rgb, .width = width, .height = height };

    set_up(&j, BP_MAX(1, BP_MIN(quality, 100)));
    put_headers(&j);
    for (unsigned y = 0; y < height; y += 16)
        for (unsigned x = 0; x < width; x += 16)
            put_square(&j, x, y);
    if (j.npending)
        put_bits(&j, 0x7f, 7); /* fills the last byte with ones; what is beyond it stays behind */
    put_be16(&j, 0xffd9);
}
