/* wp-check DIR LOG [cut_mono_ns [durable_wall_ns]]: the judge. Reads every .mcap of the folder with
 * a parser of its own, checks chunk CRCs by zlib's polynomial bit by bit tables, payload CRCs,
 * doubles, and compares with what the producer noted. Prints one JSON line; exit 1 on damage, a
 * double, or a message missing that had to be there:
 *   cut_mono_ns       accepted up to then must be in the files (0: no such promise)
 *   durable_wall_ns   accepted up to then was promised durable */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include "wp-log.h"

static uint8_t *seen[WP_SOURCES];
static uint64_t total, doubles, bad, repeated;

static uint32_t le32(const uint8_t *p) {
    return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static uint64_t le64(const uint8_t *p) {
    return le32(p) | (uint64_t) le32(p + 4) << 32;
}

static void message(const uint8_t *p, uint64_t n) {
    struct wp_payload h;

    if (n < 22 + sizeof h) {
        bad++;
        return;
    }
    memcpy(&h, p + 22, sizeof h);
    if (h.size != n - 22 || h.source >= WP_SOURCES || h.seq >= WP_ENTRIES ||
        (uint32_t) h.seq != le32(p + 2) ||
        h.crc != (uint32_t) crc32(0, p + 22 + sizeof h, (uInt) (h.size - sizeof h))) {
        bad++;
        return;
    }
    total++;
    doubles += seen[h.source][h.seq];
    seen[h.source][h.seq] = 1;
}

static void records(const uint8_t *p, uint64_t n) {
    for (uint64_t o = 0; o < n;) {
        uint64_t len = n - o >= 9 ? le64(p + o + 1) : UINT64_MAX;

        if (len > n - o - 9) {
            bad++;
            return;
        }
        if (p[o] == 5)
            message(p + o + 9, len);
        o += 9 + len;
    }
}

static uint8_t *unpack(const uint8_t *c, uint64_t stored, const char *codec, uint32_t codec_n,
                       uint64_t raw) {
    uint8_t *out = malloc(raw + 1);
    size_t got = 0;

    if (codec_n == 4 && memcmp(codec, "zstd", 4) == 0)
        got = ZSTD_decompress(out, raw, c, stored);
    if (codec_n == 3 && memcmp(codec, "lz4", 3) == 0) {
        LZ4F_dctx *x = NULL;

        (void) LZ4F_createDecompressionContext(&x, LZ4F_VERSION);
        for (size_t in = 0; in < stored;) {
            size_t from = stored - in, to = raw - got;

            if (LZ4F_isError(LZ4F_decompress(x, out + got, &to, c + in, &from, NULL)) ||
                (!from && !to))
                break;
            in += from;
            got += to;
        }
        (void) LZ4F_freeDecompressionContext(x);
    }
    if (got == raw)
        return out;
    free(out);
    return NULL;
}

static void chunk(const uint8_t *c, uint64_t len) {
    uint64_t raw = le64(c + 16), stored;
    uint32_t name = le32(c + 28);
    uint8_t *open = NULL;
    const uint8_t *p;

    if (len < 40 || name > 8 || (stored = le64(c + 32 + name)) != len - 40 - name) {
        bad++;
        return;
    }
    p = c + 40 + name;
    if (name)
        p = open = unpack(p, stored, (const char *) c + 32, name, raw);
    if (!p || (!name && raw != stored) || (uint32_t) crc32_z(0, p, raw) != le32(c + 24))
        bad++;
    else
        records(p, raw);
    free(open);
}

/* @return 0, or 1 when the file has no proper end */
static int file(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC), footer = 0, skip = 0;
    struct stat st;
    uint8_t *f;
    uint64_t n, o = 8;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < 16)
        return 1;
    n = (uint64_t) st.st_size;
    f = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    (void) close(fd);
    while (f != MAP_FAILED && n - o >= 9 && !footer) {
        uint64_t len = le64(f + o + 1);

        if (f[o] == 0 || len > n - o - 9)
            break;
        /* a chunk right behind this announcement repeats latched messages */
        if (f[o] == 0x0c)
            skip = len > 20 && memcmp(f + o + 13, "bagpipe.repeated", 16) == 0;
        if (f[o] == 6 && !skip)
            chunk(f + o + 9, len);
        if (f[o] == 6) {
            repeated += (uint64_t) skip;
            skip = 0;
        }
        footer = f[o] == 2;
        o += 9 + len;
    }
    (void) munmap(f, n);
    if (!footer || o + 8 != n)
        (void) fprintf(stderr, "%s: %s\n", path, footer ? "bytes behind the footer" : "no footer");
    return !footer || o + 8 != n;
}

int main(int argc, char **argv) {
    int64_t cut = argc > 3 ? strtoll(argv[3], NULL, 10) : 0;
    int64_t durable = argc > 4 ? strtoll(argv[4], NULL, 10) : 0, worst = 0;
    uint64_t accepted = 0, offered = 0, missing = 0, broken = 0, phantoms = 0;
    const struct wp_source *log;
    struct dirent *e;
    int fd, rc = 0;
    DIR *d;

    if (argc < 3 || !(d = opendir(argv[1])) || (fd = open(argv[2], O_RDONLY | O_CLOEXEC)) < 0)
        return 2;
    log = mmap(NULL, WP_SOURCES * sizeof *log, PROT_READ, MAP_SHARED, fd, 0);
    for (int i = 0; i < WP_SOURCES; i++)
        seen[i] = calloc(WP_ENTRIES, 1);
    while ((e = readdir(d))) {
        char path[4400];

        if (!strstr(e->d_name, ".mcap") || e->d_name[0] == '.')
            continue;
        (void) snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
        rc |= file(path);
    }
    for (int i = 0; i < WP_SOURCES; i++)
        for (uint64_t s = 1; s < WP_ENTRIES && s <= log[i].n + 1; s++) {
            const struct wp_entry *x = &log[i].e[s];

            offered += s <= log[i].n;
            accepted += x->mono_ns != 0;
            if (seen[i][s] && !x->mono_ns && s <= log[i].n)
                phantoms++; /* refused, and yet there */
            if (!x->mono_ns || seen[i][s])
                continue;
            if (cut == 0 || x->mono_ns <= cut)
                missing++;
            if (durable && x->wall_ns <= durable)
                broken++;
            if (cut && cut - x->mono_ns > worst)
                worst = cut - x->mono_ns;
        }
    (void) printf(
        "{\"offered\":%llu,\"accepted\":%llu,\"found\":%llu,\"doubles\":%llu,\"bad\":%llu,"
        "\"missing\":%llu,\"broken\":%llu,\"phantoms\":%llu,\"repeated\":%llu,"
        "\"worst_ms\":%.1f,\"unended\":%d}\n",
        (unsigned long long) offered, (unsigned long long) accepted, (unsigned long long) total,
        (unsigned long long) doubles, (unsigned long long) bad, (unsigned long long) missing,
        (unsigned long long) broken, (unsigned long long) phantoms, (unsigned long long) repeated,
        (double) worst / 1e6, rc);
    return rc || doubles || bad || broken || phantoms;
}
