#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macro.h"

/* zstd and lz4 (frame format) as MCAP names them. One context per thread. */
enum bp_codec { BP_CODEC_NONE, BP_CODEC_LZ4, BP_CODEC_ZSTD, BP_CODEC_N_ };

/** "", "lz4", "zstd". */
const char *bp_codec_name(enum bp_codec c);
/** By MCAP name; -ENOTSUP for others. */
int bp_codec_from_name(const char *name, size_t n);

struct bp_compressor;

/**
 * @param level  0 = default (zstd 1, lz4 0); lz4 > 2 selects the slow high-compression mode
 * @param fast   zstd only: targetLength 2, minMatch 5 (reference: 1.5x CPU, a little larger)
 * @return NULL when out of memory
 */
struct bp_compressor *bp_compressor_new(enum bp_codec c, int level, int fast);
void bp_compressor_free(struct bp_compressor *z);
BP_DEFINE_CLEANUP(struct bp_compressor, bp_compressor_free)
/** Upper bound of the compressed size of n bytes. */
size_t bp_compress_bound(enum bp_codec c, size_t n);
/** @return compressed size, -ENOBUFS when it does not fit `cap`, -EIO when the library fails */
int64_t bp_compress(struct bp_compressor *z, const void *src, size_t n, void *dst, size_t cap);

struct bp_decompressor;
struct bp_decompressor *bp_decompressor_new(void);
void bp_decompressor_free(struct bp_decompressor *z);
BP_DEFINE_CLEANUP(struct bp_decompressor, bp_decompressor_free)
/**
 * Decompresses exactly `raw` bytes into dst.
 *
 * @return 0, or BP_ECORRUPT when the data is damaged or its size is not `raw`
 */
int bp_decompress(struct bp_decompressor *z, enum bp_codec c, const void *src, size_t n, void *dst,
                  size_t raw);

struct bp_buf;
/**
 * Decompresses one zstd frame of unknown size into `out` (cleared before), at most `limit` bytes.
 *
 * @return 0, BP_ECORRUPT, BP_ELIMIT, -ENOMEM
 */
int bp_decompress_frame(struct bp_decompressor *z, const void *src, size_t n, size_t limit,
                        struct bp_buf *out);
