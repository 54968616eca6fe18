#include "base/crc64.h"

#include <pthread.h>

/* Eight bytes at a time by eight tables ("slicing by 8"): 1.5 GB/s, more than any upload. */

enum { SLICES = 8 };
static const uint64_t poly = 0x9a6c9329ac4bc9b5u; /* bits reversed */

static uint64_t table[SLICES][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_table(void) {
    for (unsigned i = 0; i < 256; i++) {
        uint64_t c = i;

        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ poly : c >> 1;
        table[0][i] = c;
    }
    for (unsigned s = 1; s < SLICES; s++)
        for (unsigned i = 0; i < 256; i++)
            table[s][i] = table[0][table[s - 1][i] & 255] ^ table[s - 1][i] >> 8;
}

uint64_t bp_crc64nvme(uint64_t seed, const void *p, size_t n) {
    const uint8_t *b = p;
    uint64_t crc = ~seed;

    (void) pthread_once(&once, make_table);
    for (; n >= SLICES; n -= SLICES, b += SLICES) {
        uint64_t next = 0;

        for (unsigned i = 0; i < SLICES; i++)
            next ^= table[SLICES - 1 - i][(crc >> (8 * i) ^ b[i]) & 255];
        crc = next;
    }
    for (; n > 0; n--, b++)
        crc = table[0][(crc ^ *b) & 255] ^ crc >> 8;
    return ~crc;
}

/* Product of two polynomials modulo ours; bits reversed, so the top bit is x^0. */
static uint64_t multiply(uint64_t a, uint64_t b) {
    uint64_t product = 0;

    for (uint64_t bit = (uint64_t) 1 << 63; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ poly : b >> 1;
    }
    return product;
}

uint64_t bp_crc64nvme_join(uint64_t a, uint64_t b, uint64_t nb) {
    uint64_t power = (uint64_t) 1 << (63 - 8), shift = (uint64_t) 1 << 63; /* x^8; 1 */

    for (; nb; nb >>= 1) { /* x^(8 nb) by squaring */
        if (nb & 1)
            shift = multiply(shift, power);
        power = multiply(power, power);
    }
    return multiply(a, shift) ^ b;
}
