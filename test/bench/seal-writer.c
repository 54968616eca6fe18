/* One side of `./run bench seal`: messages through the whole write path as fast as its ring takes
 * them, in the clear or sealed.
 *     seal-writer DIR none|lz4|zstd SIZE TOTAL_MB KEYFILE|-
 * Prints JSON as the other benches do. */
#include <inttypes.h>
#include <stdio.h>

#include "bag/writer.h"
#include "base/macro.h"
#include "crypt/key.h"

enum { PATTERN = 8 << 20 };

static uint8_t *pattern;

struct message {
    uint64_t seq;
    uint32_t size;
};

static void copy(const void *ctx, uint8_t *dst) {
    const struct message *m = ctx;

    memcpy(dst, pattern + m->seq * 4096 % PATTERN, m->size);
}

/* A third noise, the rest repeats: shrinks about as much as sensor data does. */
static void make_pattern(size_t n) {
    unsigned seed = 1;

    pattern = malloc(n);
    for (size_t i = 0; i < n; i++)
        pattern[i] = i % 64 < 24 ? (uint8_t) rand_r(&seed) : (uint8_t) (i % 64);
}

static uint64_t pump(struct bp_writer *w, uint32_t source, uint32_t size, uint64_t total) {
    struct message m = { .size = size };
    uint64_t bytes = 0;

    for (m.seq = 1; bytes < total; m.seq++, bytes += size) {
        struct bp_accept a = { .source = source,
                               .seq = m.seq,
                               .log_ns = bp_wall_ns(),
                               .publish_ns = bp_wall_ns(),
                               .size = size,
                               .copy = copy,
                               .ctx = &m };

        while (bp_writer_accept(w, &a) <
               0) { /* the ring is full: the disk or a core is the limit */
            bp_sleep(200 * 1000);
            a.seq = ++m.seq; /* a refused number is spent */
        }
    }
    return bytes;
}

static int fail(const struct bp_error *err) {
    (void) fprintf(stderr, "%s\n", err->text);
    return 1;
}

int main(int argc, char **argv) {
    struct bp_channel_def c = { .topic = "/t",
                                .type = "test_msgs/msg/Blob",
                                .schema_encoding = "",
                                .priority = BP_PRIORITY_HIGH };
    struct bp_source_def s = { .guid = { 1 }, .node = "" };
    struct bp_writer_opts o = { .ring_bytes = 256 << 20, .min_free = 64 << 20 };
    struct bp_writer_stats st;
    struct bp_error err = { 0 };
    struct bp_writer *w = NULL;
    bp_ns_t t, cpu;
    uint64_t bytes;

    if (argc != 6)
        return 2;
    o.dir = argv[1];
    o.compression = argv[2][0] == 'z'   ? BP_COMPRESS_ZSTD
                    : argv[2][0] == 'l' ? BP_COMPRESS_LZ4
                                        : BP_COMPRESS_NONE;
    if (strcmp(argv[5], "-") != 0) {
        o.seal = bp_keyring_new();
        if (!o.seal || bp_keyring_add_file(o.seal, argv[5], &err) < 0)
            return fail(&err);
    }
    make_pattern(2 * (size_t) PATTERN);
    if (bp_writer_open(&o, &w, &err) < 0)
        return fail(&err);
    s.channel = (uint16_t) bp_writer_channel(w, &c, NULL);
    t = bp_mono_ns();
    cpu = bp_cpu_ns();
    bytes = pump(w, (uint32_t) bp_writer_source(w, &s, NULL), (uint32_t) strtoul(argv[3], NULL, 10),
                 strtoull(argv[4], NULL, 10) << 20);
    bp_writer_stats(w, &st);
    if (bp_writer_close(w, &err) < 0)
        return fail(&err);
    (void) printf("{\"bytes\":%" PRIu64 ",\"stored_chunks\":%" PRIu64
                  ",\"seconds\":%.6f,\"cpu\":%.6f}\n",
                  bytes, st.plain_chunks, (double) (bp_mono_ns() - t) / 1e9,
                  (double) (bp_cpu_ns() - cpu) / 1e9);
    bp_keyring_free(o.seal);
    free(pattern);
    return 0;
}
