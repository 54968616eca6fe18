#pragma once

#include <stddef.h>
#include <stdint.h>

/** CRC-64/NVME (polynomial 0xad93d23594c93659 reflected, init and xorout ~0), as S3 knows it; start
 *  with seed 0, chain by passing the result. */
uint64_t bp_crc64nvme(uint64_t seed, const void *p, size_t n);

/** That of two stretches one behind the other, from the sums of each; nb = bytes of the second. */
uint64_t bp_crc64nvme_join(uint64_t a, uint64_t b, uint64_t nb);
