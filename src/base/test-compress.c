#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/compress.h"
#include "base/error.h"

enum { RAW = 20000 };

static uint8_t raw[RAW], packed[2 * RAW], back[RAW + 1];

static int fill(void **state) {
    (void) state;
    for (int i = 0; i < RAW; i++)
        raw[i] = (uint8_t) ((i / 100) ^ (i % 7));
    return 0;
}

/* Written by hand from RFC 8878: a single segment with one byte of content size, one raw block. */
static void reads_foreign_frames(void **state) {
    static const uint8_t frame[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 7,   0x39, 0,
                                     0,    'b',  'a',  'g',  'p',  'i', 'p',  'e' };
    BP_CLEANUP(bp_decompressor_freep) struct bp_decompressor *d = bp_decompressor_new();

    (void) state;
    assert_int_equal(bp_decompress(d, BP_CODEC_ZSTD, frame, sizeof frame, back, 7), 0);
    assert_memory_equal(back, "bagpipe", 7);
}

static void there_and_back(void **state) {
    BP_CLEANUP(bp_decompressor_freep) struct bp_decompressor *d = bp_decompressor_new();

    (void) state;
    for (int codec = BP_CODEC_LZ4; codec < BP_CODEC_N_; codec++)
        for (int level = 0; level < 6; level += 5)
            for (int fast = 0; fast < 2; fast++) {
                enum bp_codec c = (enum bp_codec) codec;
                BP_CLEANUP(bp_compressor_freep)
                struct bp_compressor *z = bp_compressor_new(c, level, fast);
                int64_t n = bp_compress(z, raw, RAW, packed, sizeof packed);

                assert_true(n > 0 && n < RAW / 4);
                assert_true((size_t) n <= bp_compress_bound(c, RAW));
                assert_int_equal(bp_decompress(d, c, packed, (size_t) n, back, RAW), 0);
                assert_memory_equal(back, raw, RAW);
                /* the context is used again */
                assert_true(bp_compress(z, raw, RAW, packed, sizeof packed) == n);
                assert_true(bp_compress(z, raw, RAW, packed, 10) == -ENOBUFS);
            }
}

static void notices_damage(void **state) {
    BP_CLEANUP(bp_decompressor_freep) struct bp_decompressor *d = bp_decompressor_new();

    (void) state;
    for (int codec = BP_CODEC_LZ4; codec < BP_CODEC_N_; codec++) {
        enum bp_codec c = (enum bp_codec) codec;
        BP_CLEANUP(bp_compressor_freep) struct bp_compressor *z = bp_compressor_new(c, 0, 0);
        size_t n = (size_t) bp_compress(z, raw, RAW, packed, sizeof packed);

        assert_int_equal(bp_decompress(d, c, packed, n - 1, back, RAW), BP_ECORRUPT);
        assert_int_equal(bp_decompress(d, c, packed, n, back, RAW - 1), BP_ECORRUPT);
        assert_int_equal(bp_decompress(d, c, packed, n, back, RAW + 1), BP_ECORRUPT);
        assert_int_equal(bp_decompress(d, c, "rubbish", 7, back, RAW), BP_ECORRUPT);
        packed[0] ^= 1;
        assert_int_equal(bp_decompress(d, c, packed, n, back, RAW), BP_ECORRUPT);
        packed[0] ^= 1; /* and it still works afterwards */
        assert_int_equal(bp_decompress(d, c, packed, n, back, RAW), 0);
    }
}

static void names(void **state) {
    (void) state;
    assert_string_equal(bp_codec_name(BP_CODEC_NONE), "");
    assert_int_equal(bp_codec_from_name("lz4", 3), BP_CODEC_LZ4);
    assert_int_equal(bp_codec_from_name("zstd", 4), BP_CODEC_ZSTD);
    assert_int_equal(bp_codec_from_name("", 0), BP_CODEC_NONE);
    assert_int_equal(bp_codec_from_name("zst", 3), -ENOTSUP);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_foreign_frames),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(notices_damage),
        cmocka_unit_test(names),
    };

    return cmocka_run_group_tests_name("base/compress", tests, fill, NULL);
}
