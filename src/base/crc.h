#pragma once

#include <stddef.h>
#include <stdint.h>

/** CRC-32 as zlib and MCAP compute it (ISO-HDLC); start with seed 0, chain by passing the result.
 */
uint32_t bp_crc32(uint32_t seed, const void *p, size_t n);

/** CRC-32C (Castagnoli), init and xorout ~0; start with seed 0, chain by passing the result. */
uint32_t bp_crc32c(uint32_t seed, const void *p, size_t n);

/** CRC-32C of two stretches one behind the other, from the sums of each; nb = bytes of the second.
 */
uint32_t bp_crc32c_join(uint32_t a, uint32_t b, uint64_t nb);
