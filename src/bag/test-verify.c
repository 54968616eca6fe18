#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "bag/metadata.h"
#include "bag/recover.h"
#include "bag/verify.h"
#include "base/crc.h"
#include "base/io.h"
#include "wire/mcap.h"

/* A small file with everything in it, made by hand from the specification, so that the checker is
 * not judged by our own writer. Recordings of ours and of others are in test/system. */

static void put_text(struct bp_buf *b, const char *s) {
    bp_buf_put_le32(b, (uint32_t) strlen(s));
    bp_buf_put_str(b, s);
}

/* Starts a record; end_record() fills in its length. */
static size_t begin_record(struct bp_buf *b, uint8_t op) {
    size_t at = b->n;

    bp_buf_put_u8(b, op);
    bp_buf_put_le64(b, 0);
    return at;
}

static void end_record(struct bp_buf *b, size_t at) {
    bp_st_le64(b->p + at + 1, b->n - at - 9);
}

static void put_schema(struct bp_buf *b) {
    size_t r = begin_record(b, BP_MCAP_SCHEMA);

    bp_buf_put_le16(b, 1);
    put_text(b, "a/msg/B");
    put_text(b, "ros2msg");
    put_text(b, "int8 x");
    end_record(b, r);
}

static void put_channel(struct bp_buf *b, uint16_t id, const char *topic) {
    size_t r = begin_record(b, BP_MCAP_CHANNEL);

    bp_buf_put_le16(b, id);
    bp_buf_put_le16(b, 1);
    put_text(b, topic);
    put_text(b, "cdr");
    bp_buf_put_le32(b, 0);
    end_record(b, r);
}

static void put_message(struct bp_buf *b, uint16_t id, uint64_t t, const char *data) {
    size_t r = begin_record(b, BP_MCAP_MESSAGE);

    bp_buf_put_le16(b, id);
    bp_buf_put_le32(b, (uint32_t) t);
    bp_buf_put_le64(b, t);
    bp_buf_put_le64(b, t);
    bp_buf_put_str(b, data);
    end_record(b, r);
}

struct made {
    struct bp_buf b;
    struct place {
        uint64_t chunk, chunk_len, index[2], index_len, raw, start, end;
    } chunks[2];
    uint64_t metadata, metadata_len, attachment, attachment_len;
};

static void put_index(struct bp_buf *b, uint16_t id, const uint64_t (*e)[2], unsigned n) {
    size_t r = begin_record(b, BP_MCAP_MESSAGE_INDEX);

    bp_buf_put_le16(b, id);
    bp_buf_put_le32(b, n * 16);
    for (unsigned i = 0; i < n; i++) {
        bp_buf_put_le64(b, e[i][0]);
        bp_buf_put_le64(b, e[i][1]);
    }
    end_record(b, r);
}

/* Two messages of channel 1 and one of channel 2. */
static void put_chunk(struct made *m, unsigned i, uint64_t t) {
    BP_AUTO_BUF raw = { 0 };
    struct place *p = &m->chunks[i];
    struct bp_buf *b = &m->b;
    uint64_t e[3][2];
    size_t r;

    for (unsigned k = 0; k < 3; k++) {
        e[k][0] = t + k;
        e[k][1] = raw.n;
        put_message(&raw, k == 1 ? 2 : 1, t + k, k == 0 ? "first" : "x");
    }
    *p = (struct place){ .chunk = b->n, .raw = raw.n, .start = t, .end = t + 2 };
    r = begin_record(b, BP_MCAP_CHUNK);
    bp_buf_put_le64(b, t);
    bp_buf_put_le64(b, t + 2);
    bp_buf_put_le64(b, raw.n);
    bp_buf_put_le32(b, bp_crc32(0, raw.p, raw.n));
    put_text(b, "");
    bp_buf_put_le64(b, raw.n);
    bp_buf_put(b, raw.p, raw.n);
    end_record(b, r);
    p->chunk_len = b->n - r;
    p->index[0] = b->n;
    put_index(b, 1, (const uint64_t[][2]){ { e[0][0], e[0][1] }, { e[2][0], e[2][1] } }, 2);
    p->index[1] = b->n;
    put_index(b, 2, (const uint64_t[][2]){ { e[1][0], e[1][1] } }, 1);
    p->index_len = b->n - p->index[0];
}

static void put_metadata(struct made *m) {
    size_t r = begin_record(&m->b, BP_MCAP_METADATA);

    put_text(&m->b, "notes");
    bp_buf_put_le32(&m->b, 10);
    put_text(&m->b, "k");
    put_text(&m->b, "v");
    end_record(&m->b, r);
    m->metadata = r;
    m->metadata_len = m->b.n - r;
}

static void put_attachment(struct made *m) {
    size_t r = begin_record(&m->b, BP_MCAP_ATTACHMENT);

    bp_buf_put_le64(&m->b, 5);
    bp_buf_put_le64(&m->b, 6);
    put_text(&m->b, "map");
    put_text(&m->b, "text/plain");
    bp_buf_put_le64(&m->b, 4);
    bp_buf_put_str(&m->b, "data");
    bp_buf_put_le32(&m->b, bp_crc32(0, m->b.p + r + 9, m->b.n - r - 9));
    end_record(&m->b, r);
    m->attachment = r;
    m->attachment_len = m->b.n - r;
}

static void put_chunk_index(struct bp_buf *b, const struct place *p) {
    size_t r = begin_record(b, BP_MCAP_CHUNK_INDEX);

    bp_buf_put_le64(b, p->start);
    bp_buf_put_le64(b, p->end);
    bp_buf_put_le64(b, p->chunk);
    bp_buf_put_le64(b, p->chunk_len);
    bp_buf_put_le32(b, 20);
    for (uint16_t i = 0; i < 2; i++) {
        bp_buf_put_le16(b, i + 1);
        bp_buf_put_le64(b, p->index[i]);
    }
    bp_buf_put_le64(b, p->index_len);
    put_text(b, "");
    bp_buf_put_le64(b, p->raw);
    bp_buf_put_le64(b, p->raw);
    end_record(b, r);
}

static void put_statistics(struct bp_buf *b) {
    size_t r = begin_record(b, BP_MCAP_STATISTICS);

    bp_buf_put_le64(b, 6);
    bp_buf_put_le16(b, 1);
    bp_buf_put_le32(b, 2);
    bp_buf_put_le32(b, 1);
    bp_buf_put_le32(b, 1);
    bp_buf_put_le32(b, 2);
    bp_buf_put_le64(b, 10);
    bp_buf_put_le64(b, 22);
    bp_buf_put_le32(b, 20);
    bp_buf_put_le16(b, 1);
    bp_buf_put_le64(b, 4);
    bp_buf_put_le16(b, 2);
    bp_buf_put_le64(b, 2);
    end_record(b, r);
}

static void put_other_indexes(struct made *m) {
    size_t r = begin_record(&m->b, BP_MCAP_ATTACHMENT_INDEX);

    bp_buf_put_le64(&m->b, m->attachment);
    bp_buf_put_le64(&m->b, m->attachment_len);
    bp_buf_put_le64(&m->b, 5);
    bp_buf_put_le64(&m->b, 6);
    bp_buf_put_le64(&m->b, 4);
    put_text(&m->b, "map");
    put_text(&m->b, "text/plain");
    end_record(&m->b, r);
    r = begin_record(&m->b, BP_MCAP_METADATA_INDEX);
    bp_buf_put_le64(&m->b, m->metadata);
    bp_buf_put_le64(&m->b, m->metadata_len);
    put_text(&m->b, "notes");
    end_record(&m->b, r);
}

static void put_offset(struct bp_buf *b, uint8_t op, uint64_t start, uint64_t end) {
    size_t r = begin_record(b, BP_MCAP_SUMMARY_OFFSET);

    bp_buf_put_u8(b, op);
    bp_buf_put_le64(b, start);
    bp_buf_put_le64(b, end - start);
    end_record(b, r);
}

static void make(struct made *m, bool data_crc) {
    struct bp_buf *b = &m->b;
    size_t r, summary, indexes, statistics, offsets;

    bp_buf_put(b, BP_MCAP_MAGIC, 8);
    r = begin_record(b, BP_MCAP_HEADER);
    put_text(b, "ros2");
    put_text(b, "by hand");
    end_record(b, r);
    put_schema(b);
    put_channel(b, 1, "/a");
    put_channel(b, 2, "/b");
    put_chunk(m, 0, 10);
    put_metadata(m);
    put_attachment(m);
    put_chunk(m, 1, 20);
    summary = b->n;
    r = begin_record(b, BP_MCAP_DATA_END);
    bp_buf_put_le32(b, data_crc ? bp_crc32(0, b->p, summary) : 0);
    end_record(b, r);

    summary = b->n;
    put_schema(b);
    put_channel(b, 1, "/a");
    put_channel(b, 2, "/b");
    statistics = b->n;
    put_statistics(b);
    indexes = b->n;
    put_chunk_index(b, &m->chunks[0]);
    put_chunk_index(b, &m->chunks[1]);
    r = b->n;
    put_other_indexes(m);
    offsets = b->n;
    put_offset(b, BP_MCAP_STATISTICS, statistics, indexes);
    put_offset(b, BP_MCAP_CHUNK_INDEX, indexes, r);
    r = begin_record(b, BP_MCAP_FOOTER);
    bp_buf_put_le64(b, summary);
    bp_buf_put_le64(b, offsets);
    bp_st_le64(b->p + r + 1, 20);
    bp_buf_put_le32(b, bp_crc32(0, b->p + summary, b->n - summary));
    bp_buf_put(b, BP_MCAP_MAGIC, 8);
    assert_false(b->failed);
}

static char dir[] = "/tmp/bp-verify-XXXXXX", path[64];

static void store(const uint8_t *p, size_t n) {
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

struct heard {
    unsigned n;
    char text[2000];
};

static void hear(void *ctx, const struct bp_finding *f) {
    struct heard *h = ctx;
    size_t at = strlen(h->text);

    h->n++;
    (void) snprintf(h->text + at, sizeof h->text - at, "%s@%llu; ", f->text,
                    (unsigned long long) f->offset);
}

static enum bp_verdict check(const char *what, struct heard *h, struct bp_verify_result *ret) {
    struct bp_verify_opts o = { .threads = 1, .finding = hear, .ctx = h };
    struct bp_error err = { 0 };

    *h = (struct heard){ 0 };
    if (bp_verify(&what, 1, &o, ret, &err) < 0)
        fail_msg("%s", err.text);
    return ret->verdict;
}

static void test_whole(void **state) {
    struct made m = { 0 };
    struct bp_verify_result r;
    struct heard h;

    (void) state;
    for (int crc = 0; crc < 2; crc++) {
        bp_buf_clear(&m.b);
        make(&m, crc);
        store(m.b.p, m.b.n);
        if (check(path, &h, &r) != BP_VERDICT_WHOLE || h.n > 0)
            fail_msg("%s", h.text);
        assert_int_equal(r.messages, 6);
        assert_int_equal(r.chunks, 2);
        assert_int_equal(r.unchecked_chunks, 0);
    }
    bp_buf_done(&m.b);
}

/* Every bit of the file, one after the other (every seventh unless BP_FULL is set, fewer still in
 * slow builds, which set BP_QUICK); every length. */
static void test_every_bit(void **state) {
    size_t step = getenv("BP_FULL") ? 1 : getenv("BP_QUICK") ? 61 : 7;
    struct made m = { 0 };
    struct bp_verify_result r;
    struct heard h;
    unsigned missed = 0;

    (void) state;
    make(&m, true);
    for (size_t i = 0; i < m.b.n * 8; i += step) {
        m.b.p[i / 8] ^= (uint8_t) (1 << i % 8);
        store(m.b.p, m.b.n);
        if (check(path, &h, &r) == BP_VERDICT_WHOLE) {
            missed++;
            print_message("# bit %zu of byte %zu was missed\n", i % 8, i / 8);
        }
        m.b.p[i / 8] ^= (uint8_t) (1 << i % 8);
    }
    for (size_t n = 0; n < m.b.n; n++) {
        store(m.b.p, n);
        if (check(path, &h, &r) == BP_VERDICT_WHOLE)
            missed++;
    }
    assert_int_equal(missed, 0);
    bp_buf_done(&m.b);
}

/* What no CRC tells, because the liar computed it too. */
static const struct lie {
    enum {
        INDEX_TIME,
        INDEX_OFFSET,
        CHUNK_START,
        MESSAGES,
        CHUNK_INDEX_END,
        INDEX_AT,
        CHANNEL
    } what;
    unsigned bytes;
    uint64_t value;
    const char *want;
} lies[] = {
    { INDEX_TIME, 8, 99, "does not point at its messages" },
    { INDEX_OFFSET, 8, 99, "does not point at its messages" },
    { CHUNK_START, 8, 9, "claims times 9 to 12" },
    { MESSAGES, 8, 7, "the statistics say 7 messages, there" },
    { CHUNK_INDEX_END, 8, 1, "has other sizes" },
    { INDEX_AT, 8, 1, "does not point at its message indexes" },
    { CHANNEL, 2, 7, "messages of channel 7 come before its definition" },
};

/* The first record of a kind in the summary. */
static uint64_t in_summary(const uint8_t *p, uint64_t at, uint8_t op) {
    while (p[at] != op)
        at += 9 + bp_ld_le64(p + at + 1);
    return at + 9;
}

static uint64_t place_of(const struct made *m, const struct lie *l, uint64_t summary) {
    switch (l->what) {
    case INDEX_TIME:
        return m->chunks[0].index[0] + 9 + 6;
    case INDEX_OFFSET:
        return m->chunks[0].index[0] + 9 + 6 + 8;
    case CHUNK_START:
        return m->chunks[0].chunk + 9;
    case MESSAGES:
        return in_summary(m->b.p, summary, BP_MCAP_STATISTICS);
    case CHUNK_INDEX_END:
        return in_summary(m->b.p, summary, BP_MCAP_CHUNK_INDEX) + 8;
    case INDEX_AT:
        return in_summary(m->b.p, summary, BP_MCAP_CHUNK_INDEX) + 32 + 4 + 2;
    default:
        return m->chunks[1].chunk + 49 + 9;
    }
}

static void test_what_must_agree(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(lies); i++) {
        struct made m = { 0 };
        struct bp_verify_result r;
        uint64_t at, footer, summary;
        struct heard h;
        uint8_t *p;

        make(&m, false);
        p = m.b.p;
        footer = m.b.n - 8 - 29;
        summary = bp_ld_le64(p + footer + 9);
        at = place_of(&m, &lies[i], summary);
        for (unsigned k = 0; k < lies[i].bytes; k++)
            p[at + k] = (uint8_t) (lies[i].value >> 8 * k);
        bp_st_le32(p + m.chunks[1].chunk + 9 + 24,
                   bp_crc32(0, p + m.chunks[1].chunk + 49, m.chunks[1].raw));
        bp_st_le32(p + footer + 9 + 16, bp_crc32(0, p + summary, footer + 25 - summary));
        store(p, m.b.n);
        assert_int_equal(check(path, &h, &r), BP_VERDICT_DAMAGED);
        if (!strstr(h.text, lies[i].want))
            fail_msg("case %zu: '%s' lacks '%s'", i, h.text, lies[i].want);
        bp_buf_done(&m.b);
    }
}

/* Times a text stands in the file. */
static unsigned count_text(const char *text) {
    BP_AUTO_FREE char *p = NULL;
    const char *at;
    struct bp_error err;
    unsigned times = 0;
    size_t n;

    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 1 << 20, &p, &n, &err), 0);
    for (at = p; (at = memmem(at, (size_t) (p + n - at), text, strlen(text))) != NULL; at++)
        times++;
    return times;
}

/* A file of others whose end is missing, or with a flipped bit in a message: recovery keeps all
 * that is good, attachments and metadata too. */
static void test_recovered_keeps_all(void **state) {
    (void) state;
    for (int flip = 0; flip < 2; flip++) {
        struct made m = { 0 };
        struct bp_recovery rec = { 0 };
        struct bp_verify_result r;
        struct bp_error err = { 0 };
        struct heard h;

        make(&m, true);
        if (flip)
            m.b.p[m.chunks[0].chunk + 49 + 31] ^= 4;
        store(m.b.p, flip ? m.b.n : m.chunks[1].chunk + m.chunks[1].chunk_len + 3);
        if (bp_recover(path, &(struct bp_recover_opts){ .discard = true }, &rec, &err) < 0)
            fail_msg("%s", err.text);
        assert_true(rec.needed);
        bp_recovery_done(&rec);
        if (check(path, &h, &r) != BP_VERDICT_WHOLE)
            fail_msg("%s", h.text);
        assert_int_equal(r.messages, flip ? 3 : 6);
        assert_int_equal(count_text("text/plain"), 2); /* the attachment and its index */
        assert_int_equal(count_text("notes"), 2);
        bp_buf_done(&m.b);
    }
}

static void test_folder(void **state) {
    BP_AUTO_METADATA meta = { 0 };
    struct made m = { 0 };
    struct bp_verify_result r;
    struct bp_error err;
    struct heard h;
    char yaml[80];

    (void) state;
    make(&m, true);
    store(m.b.p, m.b.n);
    assert_int_equal(bp_metadata_init(&meta, "mcap", ""), 0);
    assert_int_equal(bp_metadata_add_file(&meta, "x_0.mcap", 10, 22, 6), 0);
    assert_int_equal(bp_metadata_add_topic(&meta, "/a", "a/msg/B", "cdr", "", "", 4), 0);
    assert_int_equal(bp_metadata_add_topic(&meta, "/b", "a/msg/B", "cdr", "", "", 2), 0);
    bp_metadata_sum_files(&meta);
    assert_int_equal(bp_metadata_write(&bp_io_posix, dir, &meta, &err), 0);
    if (check(dir, &h, &r) != BP_VERDICT_WHOLE || h.n)
        fail_msg("%s", h.text);

    meta.topics[1].messages = 3;
    meta.files[0].messages = 7;
    assert_int_equal(bp_metadata_add_file(&meta, "x_1.mcap", 0, 0, 0), 0);
    assert_int_equal(bp_metadata_write(&bp_io_posix, dir, &meta, &err), 0);
    assert_int_equal(check(dir, &h, &r), BP_VERDICT_DAMAGED);
    assert_non_null(strstr(h.text, "hold 2 messages of '/b', metadata.yaml says 3"));
    assert_non_null(strstr(h.text, "holds 6 messages, metadata.yaml says 7"));
    assert_non_null(strstr(h.text, "'x_1.mcap' of metadata.yaml is missing"));
    (void) snprintf(yaml, sizeof yaml, "%s/metadata.yaml", dir);
    assert_int_equal(unlink(yaml), 0);
    bp_buf_done(&m.b);
}

static int setup(void **state) {
    (void) state;
    assert_non_null(mkdtemp(dir));
    (void) snprintf(path, sizeof path, "%s/x_0.mcap", dir);
    return 0;
}

static int teardown(void **state) {
    (void) state;
    (void) unlink(path);
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),           cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_what_must_agree), cmocka_unit_test(test_recovered_keeps_all),
        cmocka_unit_test(test_folder),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
