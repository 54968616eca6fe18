#include "base/compress.h"

#include <errno.h>

#include <lz4frame.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/error.h"

struct bp_compressor {
    enum bp_codec codec;
    int level;
    ZSTD_CCtx *zstd; /* owned, zstd only */
};

struct bp_decompressor {
    ZSTD_DCtx *zstd; /* owned */
    LZ4F_dctx *lz4;  /* owned */
};

static const char *const names[BP_CODEC_N_] = { "", "lz4", "zstd" };

const char *bp_codec_name(enum bp_codec c) {
    return names[c];
}

int bp_codec_from_name(const char *name, size_t n) {
    for (int i = 0; i < BP_CODEC_N_; i++)
        if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0)
            return i;

    return -ENOTSUP;
}

struct bp_compressor *bp_compressor_new(enum bp_codec c, int level, int fast) {
    BP_CLEANUP(bp_compressor_freep) struct bp_compressor *z = calloc(1, sizeof *z);

    if (!z)
        return NULL;

    z->codec = c;
    z->level = level;
    if (c != BP_CODEC_ZSTD)
        return BP_TAKE_PTR(z);

    z->zstd = ZSTD_createCCtx();
    if (!z->zstd)
        return NULL;

    (void) ZSTD_CCtx_setParameter(z->zstd, ZSTD_c_compressionLevel, level ? level : 1);
    if (fast) {
        (void) ZSTD_CCtx_setParameter(z->zstd, ZSTD_c_targetLength, 2);
        (void) ZSTD_CCtx_setParameter(z->zstd, ZSTD_c_minMatch, 5);
    }
    return BP_TAKE_PTR(z);
}

void bp_compressor_free(struct bp_compressor *z) {
    if (!z)
        return;

    (void) ZSTD_freeCCtx(z->zstd);
    free(z);
}

size_t bp_compress_bound(enum bp_codec c, size_t n) {
    switch (c) {
    case BP_CODEC_ZSTD:
        return ZSTD_compressBound(n);
    case BP_CODEC_LZ4:
        return LZ4F_compressFrameBound(n, NULL);
    case BP_CODEC_NONE:
    case BP_CODEC_N_:
        break;
    }
    return n;
}

int64_t bp_compress(struct bp_compressor *z, const void *src, size_t n, void *dst, size_t cap) {
    LZ4F_preferences_t prefs = { .frameInfo.contentSize = n, .compressionLevel = z->level };
    size_t r;

    if (z->codec == BP_CODEC_ZSTD) {
        r = ZSTD_compress2(z->zstd, dst, cap, src, n);
        if (ZSTD_isError(r))
            return cap < ZSTD_compressBound(n) ? -ENOBUFS : -EIO;
        return (int64_t) r;
    }
    if (z->codec == BP_CODEC_LZ4) {
        r = LZ4F_compressFrame(dst, cap, src, n, &prefs);
        if (LZ4F_isError(r))
            return cap < LZ4F_compressFrameBound(n, &prefs) ? -ENOBUFS : -EIO;
        return (int64_t) r;
    }
    if (n > cap)
        return -ENOBUFS;
    memcpy(dst, src, n);
    return (int64_t) n;
}

struct bp_decompressor *bp_decompressor_new(void) {
    BP_CLEANUP(bp_decompressor_freep) struct bp_decompressor *z = calloc(1, sizeof *z);

    if (!z)
        return NULL;

    z->zstd = ZSTD_createDCtx();
    if (!z->zstd || LZ4F_isError(LZ4F_createDecompressionContext(&z->lz4, LZ4F_VERSION)))
        return NULL;

    return BP_TAKE_PTR(z);
}

void bp_decompressor_free(struct bp_decompressor *z) {
    if (!z)
        return;

    (void) ZSTD_freeDCtx(z->zstd);
    (void) LZ4F_freeDecompressionContext(z->lz4);
    free(z);
}

/* Whole lz4 frames only; a frame that ends early or produces more than `raw` is damage. */
static int lz4_frame(struct bp_decompressor *z, const uint8_t *src, size_t n, uint8_t *dst,
                     size_t raw) {
    size_t in = 0, out = 0, hint = 1;

    LZ4F_resetDecompressionContext(z->lz4);
    while (hint != 0) {
        size_t take = n - in, give = raw - out;

        hint = LZ4F_decompress(z->lz4, dst + out, &give, src + in, &take, NULL);
        if (LZ4F_isError(hint) || (take == 0 && give == 0 && hint != 0))
            return BP_ECORRUPT;
        in += take;
        out += give;
    }
    return out == raw ? 0 : BP_ECORRUPT;
}

int bp_decompress(struct bp_decompressor *z, enum bp_codec c, const void *src, size_t n, void *dst,
                  size_t raw) {
    size_t r;

    switch (c) {
    case BP_CODEC_ZSTD:
        r = ZSTD_decompressDCtx(z->zstd, dst, raw, src, n);
        return ZSTD_isError(r) || r != raw ? BP_ECORRUPT : 0;
    case BP_CODEC_LZ4:
        return lz4_frame(z, src, n, dst, raw);
    case BP_CODEC_NONE:
        if (n != raw)
            return BP_ECORRUPT;
        memcpy(dst, src, n);
        return 0;
    case BP_CODEC_N_:
        break;
    }
    return -EINVAL;
}

int bp_decompress_frame(struct bp_decompressor *z, const void *src, size_t n, size_t limit,
                        struct bp_buf *out) {
    ZSTD_inBuffer in = { .src = src, .size = n };
    size_t more = 1;

    bp_buf_clear(out);
    (void) ZSTD_DCtx_reset(z->zstd, ZSTD_reset_session_only);
    while (more != 0) {
        size_t before = in.pos, room = ZSTD_DStreamOutSize();
        ZSTD_outBuffer to = { .size = room };

        if (out->n > limit)
            return BP_ELIMIT;
        to.dst = bp_buf_reserve(out, room);
        if (!to.dst)
            return -ENOMEM;
        more = ZSTD_decompressStream(z->zstd, &to, &in);
        if (ZSTD_isError(more) || (more != 0 && in.pos == before && to.pos == 0))
            return BP_ECORRUPT;
        out->n += to.pos;
    }
    return 0;
}
