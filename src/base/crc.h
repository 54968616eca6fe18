#pragma once

#include <stddef.h>
#include <stdint.h>

/** CRC-32 as zlib and MCAP compute it (ISO-HDLC); start with seed 0, chain by passing the result.
 */
uint32_t bp_crc32(uint32_t seed, const void *p, size_t n);

/** CRC-32C (Castagnoli), init and xorout ~0; start with seed 0, chain by passing the result. */
uint32_t bp_crc32c(uint32_t seed, const void *p, size_t n);
