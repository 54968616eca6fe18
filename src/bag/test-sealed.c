#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "bag/journal.h"
#include "bag/sealed-file.h"
#include "bag/sealed-walk.h"
#include "bag/writer.h"
#include "base/crc.h"
#include "base/cursor.h"

/* The container against itself changed: cut, flipped, reordered, mixed. What the format means is
 * proven by a foreign reader in test/system/sealed.py. */

#define SECRET "bagpipe-key:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PUBLIC \
    "bagpipe-x25519-public:b2821265437ac2bdd2ff8875bf4b823948c8032d32685e8ad8e50c49dc1a694f"
#define PRIVATE \
    "bagpipe-x25519-private:77076d0a7318a57d3c16c17251b26645df4c2e0fb0bc6d2c6e3f9a3c5c8f0f2a"

static struct bp_keyring *ring_of(const char *text) {
    struct bp_keyring *k = bp_keyring_new();

    assert_non_null(k);
    if (text)
        assert_int_equal(bp_keyring_add_text(k, bp_str_of(text), "test", NULL), 0);
    return k;
}

/* A container in memory. */
struct box {
    int fd;
    uint8_t *p; /* all of it; owned */
    size_t n;
    uint64_t at[64]; /* where frames begin; the last one is the end frame */
    unsigned frames;
    uint8_t *plain; /* owned */
    size_t plain_n;
};

static const size_t sizes[] = { 5000, 4096, 1, 8192, 3936, 12000 };

static uint64_t take_in(struct box *b) {
    b->n = (size_t) lseek(b->fd, 0, SEEK_END);
    free(b->p);
    b->p = malloc(b->n);
    assert_int_equal(pread(b->fd, b->p, b->n, 0), b->n);
    return b->n;
}

static void make(struct box *b, struct bp_keyring *keys, bool end) {
    struct bp_sealed *s = NULL;
    size_t off = 0, total = 0;

    *b = (struct box){ .fd = memfd_create("sealed", MFD_CLOEXEC) };
    for (size_t i = 0; i < BP_COUNT(sizes); i++)
        total += sizes[i];
    b->plain = malloc(total);
    for (size_t i = 0; i < total; i++)
        b->plain[i] = (uint8_t) (i * 7 + i / 256);
    b->plain_n = total;
    assert_int_equal(bp_sealed_create(&bp_io_posix, b->fd, keys, NULL, &s), 0);
    for (size_t i = 0; i < BP_COUNT(sizes); i++) {
        struct bp_sealed_label l = {
            .lane = 0, .run = { 9 }, .first = i * 10 + 1, .last = i * 10 + 10
        };

        b->at[b->frames++] = bp_sealed_stored(s);
        assert_int_equal(bp_sealed_append(s, b->plain + off, sizes[i], off, i % 2 ? &l : NULL), 0);
        off += sizes[i];
    }
    b->at[b->frames++] = bp_sealed_stored(s);
    if (end)
        assert_int_equal(bp_sealed_end(s), 0);
    bp_sealed_free(s);
    (void) take_in(b);
}

static void box_done(struct box *b) {
    (void) close(b->fd);
    free(b->p);
    free(b->plain);
}

static int fd_of(const void *p, size_t n) {
    int fd = memfd_create("changed", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    return fd;
}

/* What a reader gets of n changed bytes: never anything but a prefix of the truth, unless it is
 * told that something is wrong. @return faults, or a negative code of the opening */
static int judge(const struct box *b, const void *p, size_t n, struct bp_keyring *keys,
                 uint64_t *ret_size) {
    int fd = fd_of(p, n), r;
    struct bp_sealed *s = NULL;
    uint8_t *got = malloc(b->plain_n + 1);

    r = bp_sealed_open(&bp_io_posix, fd, keys, &s);
    if (r == 0) {
        ssize_t k;

        *ret_size = bp_sealed_size(s);
        r = bp_sealed_verify(s, NULL, NULL, NULL);
        assert_true(bp_sealed_size(s) <= b->plain_n);
        if (bp_sealed_readable(s)) {
            k = bp_sealed_pread(s, got, b->plain_n, 0, false);
            assert_true(k < 0 || memcmp(got, b->plain, (size_t) k) == 0);
            assert_true(k >= 0 || r > 0); /* what fails to be read was found before */
        }
    }
    bp_sealed_free(s);
    (void) close(fd);
    free(got);
    return r;
}

static void test_round_trip(void **state) {
    static const struct {
        const char *seal, *open;
        bool readable;
    } cases[] = {
        { SECRET, SECRET, true },
        { PRIVATE, PRIVATE, true },
        { "correct horse", "correct horse", true },
        { PUBLIC, PRIVATE, true },
        { PRIVATE "\n" SECRET, SECRET, true },
        { SECRET, PRIVATE, false },
        { SECRET, NULL, false },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_keyring *seal = ring_of(cases[i].seal), *open = ring_of(cases[i].open);
        struct bp_sealed *s = NULL;
        uint8_t got[40000];
        struct box b;

        make(&b, seal, true);
        assert_int_equal(bp_sealed_open(&bp_io_posix, b.fd, open, &s), 0);
        assert_int_equal(bp_sealed_readable(s), cases[i].readable);
        assert_int_equal(bp_sealed_state(s), BP_SEALED_COMPLETE);
        assert_int_equal(bp_sealed_size(s), b.plain_n);
        assert_int_equal(bp_sealed_verify(s, NULL, NULL, NULL), 0);
        for (size_t off = 0; off < b.plain_n && cases[i].readable; off += 997)
            for (size_t n = 1; n < 20000; n = n * 3 + 11) {
                ssize_t want = (ssize_t) BP_MIN(n, b.plain_n - off);

                assert_int_equal(bp_sealed_pread(s, got, n, off, false), want);
                assert_memory_equal(got, b.plain + off, (size_t) want);
            }
        if (!cases[i].readable)
            assert_int_equal(bp_sealed_pread(s, got, 10, 0, true), BP_EKEY);
        bp_sealed_free(s);
        box_done(&b);
        bp_keyring_free(seal);
        bp_keyring_free(open);
    }
}

/* Every length: with and without a key a cut file is never taken for a whole one. */
static void test_cut(void **state) {
    struct bp_keyring *k = ring_of(SECRET), *none = ring_of(NULL);
    struct box b;

    (void) state;
    make(&b, k, true);
    for (size_t n = 0; n < b.n; n += n < 4200 || n % 4096 < 300 || n % 4096 > 4060 ? 1 : 61) {
        for (int blind = 0; blind < 2; blind++) {
            uint64_t size = UINT64_MAX, whole = 0;
            int r = judge(&b, b.p, n, blind ? none : k, &size);

            if (r == 0)
                fail_msg("cut at %zu of %zu was not found", n, b.n);
            for (unsigned i = 0; i + 1 < b.frames && r > 0; i++)
                if (n >= b.at[i] + BP_SEALED_HEAD + sizes[i])
                    whole += sizes[i];
            if (r > 0 && size != whole)
                fail_msg("cut at %zu: %llu plain bytes instead of %llu", n,
                         (unsigned long long) size, (unsigned long long) whole);
        }
    }
    box_done(&b);
    bp_keyring_free(k);
    bp_keyring_free(none);
}

/* A flipped bit is found, wherever it is; without the key too, because no CRC is made anew. */
static void test_flip(void **state) {
    struct bp_keyring *k = ring_of(SECRET), *none = ring_of(NULL);
    struct box b;

    (void) state;
    make(&b, k, true);
    for (size_t at = 0; at < b.n; at += at % 4096 < 200 ? 1 : 37) {
        uint64_t size;

        b.p[at] = (uint8_t) (b.p[at] ^ 1u << (at % 8));
        if (judge(&b, b.p, b.n, k, &size) == 0 || judge(&b, b.p, b.n, none, &size) == 0)
            fail_msg("a flip at byte %zu was not found", at);
        b.p[at] = (uint8_t) (b.p[at] ^ 1u << (at % 8));
    }
    box_done(&b);
    bp_keyring_free(k);
    bp_keyring_free(none);
}

/* Frames of equal size in another order, doubled, left out, or of another file with the same key.
 */
static void test_moved(void **state) {
    struct bp_keyring *k = ring_of(SECRET), *none = ring_of(NULL);
    struct box b, other;
    uint64_t size;
    uint8_t *p;

    (void) state;
    make(&b, k, true);
    make(&other, k, true);
    p = malloc(b.n);
    for (unsigned x = 0; x + 1 < b.frames; x++)
        for (unsigned y = 0; y + 1 < b.frames; y++) {
            uint64_t nx = bp_sealed_frame_bytes(sizes[x]), ny = bp_sealed_frame_bytes(sizes[y]);

            if (x == y || nx != ny)
                continue;
            memcpy(p, b.p, b.n);
            memcpy(p + b.at[x], b.p + b.at[y], nx); /* doubled */
            assert_true(judge(&b, p, b.n, k, &size) != 0);
            assert_true(judge(&b, p, b.n, none, &size) != 0);
            memcpy(p + b.at[y], b.p + b.at[x], nx); /* swapped */
            assert_true(judge(&b, p, b.n, k, &size) != 0);
            assert_true(judge(&b, p, b.n, none, &size) != 0);
        }
    for (unsigned x = 0; x + 1 < b.frames; x++) {
        uint64_t n = bp_sealed_frame_bytes(sizes[x]);

        memcpy(p, b.p, b.at[x]); /* left out */
        memcpy(p + b.at[x], b.p + b.at[x] + n, b.n - b.at[x] - n);
        assert_true(judge(&b, p, b.n - n, k, &size) != 0);
        assert_true(judge(&b, p, b.n - n, none, &size) != 0);
        memcpy(p, b.p, b.n); /* of another file */
        memcpy(p + b.at[x], other.p + b.at[x], n);
        assert_true(judge(&b, p, b.n, k, &size) != 0);
        assert_true(judge(&b, p, b.n, none, &size) != 0);
    }
    memcpy(p, other.p, BP_SEALED_HEADER); /* the other's header */
    memcpy(p + BP_SEALED_HEADER, b.p + BP_SEALED_HEADER, b.n - BP_SEALED_HEADER);
    assert_true(judge(&b, p, b.n, k, &size) != 0);
    free(p);
    box_done(&b);
    box_done(&other);
    bp_keyring_free(k);
    bp_keyring_free(none);
}

/* Who has no key can make heads with good CRCs; the tags are what he cannot make. */
static void test_forged(void **state) {
    static const size_t fields[] = { 12, 16, 24, 48, 60, 64, 80, 88, 96, 112 };
    struct bp_keyring *k = ring_of(SECRET);
    struct box b;
    uint64_t size;

    (void) state;
    make(&b, k, true);
    for (unsigned f = 0; f < b.frames; f++)
        for (size_t i = 0; i < BP_COUNT(fields); i++) {
            uint8_t *head = b.p + b.at[f], was[BP_SEALED_HEAD];

            memcpy(was, head, sizeof was);
            head[fields[i]] ^= 1;
            bp_st_le32(head + 132, bp_crc32c(0, head, 132));
            if (judge(&b, b.p, b.n, k, &size) == 0)
                fail_msg("frame %u, byte %zu of its head was forged unseen", f, fields[i]);
            memcpy(head, was, sizeof was);
        }
    box_done(&b);
    bp_keyring_free(k);
}

/* An end written without key is no end for who has one. */
static void test_blind_close(void **state) {
    struct bp_keyring *k = ring_of(SECRET), *none = ring_of(NULL);
    struct bp_sealed *s = NULL;
    struct box b;
    uint8_t junk[6000] = { 1, 2, 3 };
    uint8_t got[40000];

    (void) state;
    make(&b, k, false);
    assert_int_equal(pwrite(b.fd, junk, sizeof junk, (off_t) b.n), sizeof junk); /* torn */
    assert_int_equal(bp_sealed_open(&bp_io_posix, b.fd, none, &s), 0);
    assert_int_equal(bp_sealed_state(s), BP_SEALED_OPEN);
    assert_int_equal(bp_sealed_close_blind(s), 0);
    bp_sealed_free(s);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bp_sealed_open(&bp_io_posix, b.fd, i ? k : none, &s), 0);
        assert_int_equal(bp_sealed_state(s), BP_SEALED_CUT);
        assert_int_equal(bp_sealed_size(s), b.plain_n);
        assert_int_equal(bp_sealed_verify(s, NULL, NULL, NULL), 1);
        if (i) {
            assert_int_equal(bp_sealed_pread(s, got, sizeof got, 0, false), b.plain_n);
            assert_memory_equal(got, b.plain, b.plain_n);
            /* and goes on behind it, with a genuine end */
            assert_int_equal(bp_sealed_append(s, "more", 4, b.plain_n, NULL), 0);
            assert_int_equal(bp_sealed_end(s), 0);
        }
        bp_sealed_free(s);
    }
    assert_int_equal(bp_sealed_open(&bp_io_posix, b.fd, k, &s), 0);
    assert_int_equal(bp_sealed_state(s), BP_SEALED_COMPLETE);
    assert_int_equal(bp_sealed_size(s), b.plain_n + 4);
    bp_sealed_free(s);
    box_done(&b);
    bp_keyring_free(k);
    bp_keyring_free(none);
}

static void test_truncate(void **state) {
    static const size_t cuts[] = { 0, 1, 4999, 5000, 5001, 9096, 9097, 20000, 33224, 33225 };
    struct bp_keyring *k = ring_of(SECRET);
    uint8_t got[40000];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cuts); i++)
        for (int end = 0; end < 2; end++) {
            struct bp_sealed *s = NULL;
            struct box b;

            make(&b, k, end);
            assert_int_equal(b.plain_n, 33225);
            assert_int_equal(bp_sealed_open(&bp_io_posix, b.fd, k, &s), 0);
            assert_int_equal(bp_sealed_truncate(s, b.plain_n + 1), -EINVAL);
            assert_int_equal(bp_sealed_truncate(s, cuts[i]), 0);
            assert_int_equal(bp_sealed_size(s), cuts[i]);
            assert_int_equal(bp_sealed_append(s, "tail", 4, cuts[i] + 5, NULL), -EINVAL);
            assert_int_equal(bp_sealed_append(s, "tail", 4, cuts[i], NULL), 0);
            bp_sealed_free(s);
            assert_int_equal(bp_sealed_open(&bp_io_posix, b.fd, k, &s), 0);
            assert_int_equal(bp_sealed_pread(s, got, sizeof got, 0, false), cuts[i] + 4);
            assert_memory_equal(got, b.plain, cuts[i]);
            assert_memory_equal(got + cuts[i], "tail", 4);
            bp_sealed_free(s);
            box_done(&b);
        }
    bp_keyring_free(k);
}

/* The same places written again: never the same nonce. */
static void test_nonces(void **state) {
    struct bp_keyring *k = ring_of(SECRET);
    uint8_t seen[64][BP_NONCE_LEN], head[BP_SEALED_HEAD], data[8192] = { 0 };
    struct bp_sealed *s = NULL;
    struct box b;
    unsigned n = 0;

    (void) state;
    b = (struct box){ .fd = memfd_create("sealed", MFD_CLOEXEC) };
    assert_int_equal(bp_sealed_create(&bp_io_posix, b.fd, k, NULL, &s), 0);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(bp_sealed_append(s, data, sizeof data, 0, NULL), 0);
        assert_int_equal(pread(b.fd, head, sizeof head, BP_SEALED_HEADER), sizeof head);
        for (unsigned j = 0; j < n; j++)
            assert_memory_not_equal(seen[j], head + 48, BP_NONCE_LEN);
        memcpy(seen[n++], head + 48, BP_NONCE_LEN);
    }
    bp_sealed_free(s);
    box_done(&b);
    bp_keyring_free(k);
}

/* Made ahead or not: the same plain file. */
static void test_ahead(void **state) {
    enum { N = 9 << 20 };
    struct bp_keyring *k = ring_of(SECRET);
    struct bp_sealed_ahead a = { 0 };
    struct bp_sealer sealer = { 0 };
    struct bp_sealed *s = NULL, *other = NULL;
    struct bp_seal_key *key;
    uint8_t *plain = malloc(N + 5000), *got = malloc(N + 6000);
    int fd = memfd_create("a", MFD_CLOEXEC), fd2 = memfd_create("b", MFD_CLOEXEC);
    void *p = NULL;

    (void) state;
    for (size_t i = 0; i < N + 5000; i++)
        plain[i] = (uint8_t) (i ^ i >> 9);
    assert_int_equal(bp_sealed_create(&bp_io_posix, fd, k, NULL, &s), 0);
    assert_int_equal(bp_sealed_create(&bp_io_posix, fd2, k, NULL, &other), 0);
    key = bp_sealed_key(s);
    assert_int_equal(posix_memalign(&p, 4096, bp_sealed_ahead_bound(N, 5000)), 0);
    a.p = p;
    assert_int_equal(bp_sealer_seal(&sealer, key, plain, N, &a), 0);
    assert_int_equal(bp_sealed_append_ahead(other, &a, plain + N, 5000, 0, NULL), -ESTALE);
    assert_int_equal(bp_sealed_append_ahead(s, &a, plain + N, 5000, 0, NULL), 0);
    assert_int_equal(bp_sealed_end(s), 0);
    bp_seal_key_unref(key);
    bp_sealer_done(&sealer);
    bp_sealed_free(s);
    bp_sealed_free(other);
    assert_int_equal(bp_sealed_open(&bp_io_posix, fd, k, &s), 0);
    assert_int_equal(bp_sealed_verify(s, NULL, NULL, NULL), 0);
    assert_int_equal(bp_sealed_pread(s, got, N + 6000, 0, false), N + 5000);
    assert_memory_equal(got, plain, N + 5000);
    bp_sealed_free(s);
    (void) close(fd);
    (void) close(fd2);
    free(p);
    free(plain);
    free(got);
    bp_keyring_free(k);
}

/* ---- the write path ---- */

struct written {
    char dir[64];
    struct bp_keyring *keys;
};

static int open_sealed_writer(struct written *x, const struct bp_io *io, struct bp_writer **w) {
    struct bp_writer_opts o = { .io = io,
                                .dir = x->dir,
                                .ring_bytes = 4 << 20,
                                .seal = x->keys,
                                .min_free = 0,
                                .resume = true };

    return bp_writer_open(&o, w, NULL);
}

/* No byte of the payload may be on the disk in the clear: not in segments, not in the journal. */
static void assert_nothing_in_clear(const char *dir, const char *needle) {
    char command[300];

    (void) snprintf(command, sizeof command, "grep -rqF '%s' %s", needle, dir);
    assert_int_not_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
}

static void copy_text(const void *ctx, uint8_t *dst) {
    memcpy(dst, ctx, strlen(ctx));
}

static void feed(struct bp_writer *w, const char *text, unsigned n) {
    struct bp_channel_def c = { .topic = "/secret/topic",
                                .type = "std_msgs/msg/String",
                                .schema_encoding = "",
                                .priority = BP_PRIORITY_HIGH };
    struct bp_source_def s = { .guid = { 1 }, .node = "/secret/node" };

    s.channel = (uint16_t) bp_writer_channel(w, &c, NULL);
    for (unsigned i = 1; i <= n; i++) {
        struct bp_accept m = { .source = (uint32_t) bp_writer_source(w, &s, NULL),
                               .seq = i,
                               .log_ns = i,
                               .publish_ns = i,
                               .size = (uint32_t) strlen(text),
                               .copy = copy_text,
                               .ctx = text };

        assert_int_equal(bp_writer_accept(w, &m), 0);
    }
}

static void test_writer(void **state) {
    struct written x = { .dir = "/tmp/bp-sealed-XXXXXX", .keys = ring_of(PRIVATE) };
    struct bp_writer *w = NULL;
    struct bp_sealed *s = NULL;
    struct bp_error err = { 0 };
    char path[200], command[200];
    int fd = -1;

    (void) state;
    assert_non_null(mkdtemp(x.dir));
    assert_int_equal(open_sealed_writer(&x, NULL, &w), 0);
    feed(w, "a message that nobody shall read", 1000);
    bp_sleep(300 * BP_MS); /* a tick or two: the journal has it */
    assert_nothing_in_clear(x.dir, "nobody shall read");
    assert_nothing_in_clear(x.dir, "/secret/node");
    assert_int_equal(bp_writer_close(w, &err), 0);
    assert_nothing_in_clear(x.dir, "nobody shall read");
    (void) snprintf(path, sizeof path, "%s/%s_0.mcap.sealed", x.dir, x.dir + 5);
    assert_int_equal(bp_sealed_open_path(&bp_io_posix, path, x.keys, &fd, &s, &err), 0);
    assert_int_equal(bp_sealed_verify(s, NULL, NULL, NULL), 0);
    bp_sealed_free(s);
    (void) close(fd);
    bp_keyring_free(x.keys);
    (void) snprintf(command, sizeof command, "rm -rf %s", x.dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
}

static void test_journal(void **state) {
    struct bp_keyring *k = ring_of(PRIVATE), *none = ring_of(NULL);
    char path[] = "/tmp/bp-journal-XXXXXX";
    int fd = mkstemp(path);
    struct bp_journal j = { 0 };
    uint8_t run[16] = { 7 };
    struct bp_frame f = {
        .first_rseq = 1, .count = 1, .records = (const uint8_t *) "0123456789", .records_bytes = 10
    };
    struct bp_error err = { 0 };
    char *p = NULL;
    size_t n = 0;

    (void) state;
    (void) close(fd);
    assert_int_equal(bp_journal_open(&j, &bp_io_posix, path, run, 1 << 20, false, false, k, &err),
                     0);
    for (f.slot = 1; f.slot <= 5; f.slot++)
        assert_int_equal(bp_journal_append(&j, &f), 0);
    bp_journal_done(&j, false);
    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 2 << 20, &p, &n, &err), 0);
    assert_null(memmem(p, n, "0123456789", 10));
    assert_int_equal(bp_journal_unseal(&p, &n, none), BP_EKEY);
    p[bp_sealed_frame_bytes(96 + 10) + BP_SEALED_HEADER + 200] ^= 4; /* the second frame rots */
    assert_int_equal(bp_journal_unseal(&p, &n, k), 0);
    assert_int_equal(n, 4 * 4096);
    assert_non_null(memmem(p, n, "0123456789", 10));
    free(p);
    (void) unlink(path);
    bp_keyring_free(k);
    bp_keyring_free(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_flip),       cmocka_unit_test(test_moved),
        cmocka_unit_test(test_forged),     cmocka_unit_test(test_blind_close),
        cmocka_unit_test(test_truncate),   cmocka_unit_test(test_nonces),
        cmocka_unit_test(test_ahead),      cmocka_unit_test(test_journal),
        cmocka_unit_test(test_writer),
    };

    return cmocka_run_group_tests_name("bag/sealed", tests, NULL, NULL);
}
