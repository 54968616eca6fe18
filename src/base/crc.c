/* isa-l folds 512 bits at a time where the CPU can: 30-55 GB/s against 4 of zlib, which was most of
 * the cost of an MCAP writer at large messages. Where it is not packaged (32-bit, big-endian),
 * zlib and a table do. */
#include "base/crc.h"

#if BP_HAVE_ISAL
#include <isa-l/crc.h>

enum { STEP = 1 << 30 }; /* isa-l's CRC-32C takes its length as int */

uint32_t bp_crc32(uint32_t seed, const void *p, size_t n) {
    return crc32_gzip_refl(seed, p, n);
}

uint32_t bp_crc32c(uint32_t seed, const void *p, size_t n) {
    uint32_t crc = ~seed;
    /* isa-l's prototype lacks const; it does not write. */
    unsigned char *b = (unsigned char *) (uintptr_t) p;

    while (n > 0) {
        size_t k = n > STEP ? STEP : n;

        crc = crc32_iscsi(b, (int) k, crc);
        b += k;
        n -= k;
    }
    return ~crc;
}
#else
#include <pthread.h>
#include <zlib.h>

static uint32_t table[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        table[i] = c;
    }
}

uint32_t bp_crc32(uint32_t seed, const void *p, size_t n) {
    return (uint32_t) crc32_z(seed, p, n);
}

uint32_t bp_crc32c(uint32_t seed, const void *p, size_t n) {
    const uint8_t *b = p;
    uint32_t crc = ~seed;

    (void) pthread_once(&once, make_table);
    for (size_t i = 0; i < n; i++)
        crc = table[(crc ^ b[i]) & 255] ^ crc >> 8;
    return ~crc;
}
#endif

/* ---- joining ---- */

/* CRCs are remainders of polynomials over GF(2), bits reversed: bit 31 is x^0. */
#define CASTAGNOLI 0x82f63b78u

/* a * b mod P */
static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;

    for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ CASTAGNOLI : b >> 1;
    }
    return product;
}

uint32_t bp_crc32c_join(uint32_t a, uint32_t b, uint64_t nb) {
    uint32_t shift = 1u << 31;       /* x^0 */
    uint32_t power = 1u << (31 - 8); /* x^8: one byte; then its square, … */

    for (; nb; nb >>= 1) {
        if (nb & 1)
            shift = multiply(shift, power);
        power = multiply(power, power);
    }
    return multiply(shift, a) ^ b;
}
