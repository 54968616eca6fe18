#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "bag/index.h"
#include "bag/paths.h"
#include "bag/reader.h"
#include "base/crc.h"
#include "base/macro.h"
#include "wire/mcap.h"

/* Files are put together by hand here; real ones by foreign writers are read in test/system. */

static void put_text(struct bp_buf *b, const char *s) {
    bp_buf_put_le32(b, (uint32_t) strlen(s));
    bp_buf_put_str(b, s);
}

static void put_record(struct bp_buf *b, uint8_t op, const struct bp_buf *content) {
    bp_buf_put_u8(b, op);
    bp_buf_put_le64(b, content->n);
    bp_buf_put(b, content->p, content->n);
}

static void put_channel(struct bp_buf *b, uint16_t id, const char *topic) {
    BP_AUTO_BUF c = { 0 };

    bp_buf_put_le16(&c, id);
    bp_buf_put_le16(&c, 0);
    put_text(&c, topic);
    put_text(&c, "cdr");
    bp_buf_put_le32(&c, 0);
    put_record(b, BP_MCAP_CHANNEL, &c);
}

static void put_message(struct bp_buf *b, uint16_t id, uint64_t t, const char *data) {
    BP_AUTO_BUF c = { 0 };

    bp_buf_put_le16(&c, id);
    bp_buf_put_le32(&c, (uint32_t) t);
    bp_buf_put_le64(&c, t);
    bp_buf_put_le64(&c, t);
    bp_buf_put_str(&c, data);
    put_record(b, BP_MCAP_MESSAGE, &c);
}

static void put_chunk(struct bp_buf *b, uint64_t start, uint64_t end,
                      const struct bp_buf *records) {
    BP_AUTO_BUF c = { 0 };

    bp_buf_put_le64(&c, start);
    bp_buf_put_le64(&c, end);
    bp_buf_put_le64(&c, records->n);
    bp_buf_put_le32(&c, bp_crc32(0, records->p, records->n));
    put_text(&c, "");
    bp_buf_put_le64(&c, records->n);
    bp_buf_put(&c, records->p, records->n);
    put_record(b, BP_MCAP_CHUNK, &c);
}

static void put_head(struct bp_buf *b) {
    BP_AUTO_BUF c = { 0 };

    bp_buf_put(b, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN);
    put_text(&c, "");
    put_text(&c, "");
    put_record(b, BP_MCAP_HEADER, &c);
}

/* Two chunks that overlap in time, two channels. */
static void two_chunks(struct bp_buf *b, size_t *ret_second) {
    BP_AUTO_BUF r = { 0 };

    put_head(b);
    put_channel(b, 1, "/a");
    put_channel(b, 2, "/b");
    put_message(&r, 1, 10, "a10");
    put_message(&r, 1, 30, "a30");
    put_chunk(b, 10, 30, &r);
    *ret_second = b->n;
    bp_buf_clear(&r);
    put_message(&r, 2, 25, "b25");
    put_message(&r, 2, 20, "b20");
    put_message(&r, 2, 40, "b40");
    put_chunk(b, 20, 40, &r);
}

struct file {
    int fd;
    char path[64];
};

static struct file in_memory(const struct bp_buf *b) {
    struct file f = { .fd = memfd_create("mcap", MFD_CLOEXEC) };

    assert_true(f.fd >= 0);
    assert_int_equal(write(f.fd, b->p, b->n), b->n);
    (void) snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

/* Reads all into one text: "a10 b20 …". */
static int read_all(const char *path, const struct bp_bag_filter *f, char *text, size_t cap) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    struct bp_bag_msg m;
    size_t n = 0;
    int r = bp_bag_open(&path, 1, &b, NULL);

    text[0] = 0;
    if (r < 0)
        return r;
    r = bp_bag_iterate(b, f, &it, NULL);
    while (r >= 0 && (r = bp_bag_next(it, &m, NULL)) > 0)
        n += (size_t) snprintf(text + n, cap - n, "%.*s ", (int) m.size, (const char *) m.data);
    return r;
}

static void test_merges_by_time(void **state) {
    BP_AUTO_BUF b = { 0 };
    char text[256];
    size_t second;

    (void) state;
    two_chunks(&b, &second);
    struct file f = in_memory(&b);
    assert_int_equal(read_all(f.path, NULL, text, sizeof text), 0);
    assert_string_equal(text, "a10 b20 b25 a30 b40 ");
    assert_int_equal(
        read_all(f.path, &(struct bp_bag_filter){ .file_order = true }, text, sizeof text), 0);
    assert_string_equal(text, "a10 a30 b25 b20 b40 ");
    assert_int_equal(
        read_all(f.path, &(struct bp_bag_filter){ .from_ns = 20, .to_ns = 30 }, text, sizeof text),
        0);
    assert_string_equal(text, "b20 b25 ");
    (void) close(f.fd);
}

static void test_gets_past_damage(void **state) {
    BP_AUTO_BUF b = { 0 };
    char text[256];
    size_t second;

    (void) state;
    two_chunks(&b, &second);
    b.p[second - 3] ^= 1; /* payload of the first chunk */
    struct file f = in_memory(&b);
    assert_int_equal(read_all(f.path, NULL, text, sizeof text), 0);
    assert_string_equal(text, "b20 b25 b40 ");
    (void) close(f.fd);
}

/* However short it is cut, what was whole is read and nothing else. */
static void test_truncated_anywhere(void **state) {
    BP_AUTO_BUF b = { 0 };
    char text[256];
    size_t second, whole;

    (void) state;
    two_chunks(&b, &second);
    whole = b.n;
    for (size_t n = BP_MCAP_MAGIC_LEN; n <= whole; n++) {
        b.n = n;
        struct file f = in_memory(&b);

        assert_int_equal(read_all(f.path, NULL, text, sizeof text), 0);
        assert_string_equal(text, n == whole    ? "a10 b20 b25 a30 b40 "
                                  : n >= second ? "a10 a30 "
                                                : "");
        (void) close(f.fd);
    }
}

/* libmcap puts definitions that outgrow a chunk into one of their own, with times 0: it must
 * neither cost a walk over the file nor make the recording start in 1970. */
static void test_chunk_of_definitions(void **state) {
    BP_AUTO_BUF b = { 0 }, r = { 0 };
    struct bp_index x = { 0 };
    struct bp_group_channel ch = { .id = 1, .count = 1 };
    struct bp_chunk_info c = { .codec = BP_STR("") };
    size_t mark;

    (void) state;
    put_head(&b);
    c.at = b.n;
    put_channel(&r, 1, "/a");
    bp_index_add_channel(&x, 1, r.p, r.n);
    put_chunk(&b, 0, 0, &r);
    c.len = b.n - c.at;
    c.raw = c.stored = r.n;
    bp_index_add_chunk(&x, &c);

    c = (struct bp_chunk_info){ .at = b.n, .t_first = 7000, .t_last = 7000, .codec = c.codec };
    bp_buf_clear(&r);
    put_message(&r, 1, 7000, "a7000");
    put_chunk(&b, 7000, 7000, &r);
    c.len = b.n - c.at;
    c.raw = c.stored = r.n;
    c.ch = &ch;
    c.nch = 1;
    ch.index_at = b.n;
    bp_index_add_chunk(&x, &c);
    mark = b.n;
    assert_int_equal(bp_index_summary(&x, b.n, &b), 0);
    bp_index_done(&x);

    for (int summary = 1; summary >= 0; summary--) {
        BP_CLEANUP(bp_bag_closep) struct bp_bag *bag = NULL;
        struct file f;
        const char *path = f.path;
        char text[32];

        b.n = summary ? b.n : mark;
        f = in_memory(&b);
        assert_int_equal(bp_bag_open(&path, 1, &bag, NULL), 0);
        assert_int_equal(bp_bag_file(bag, 0)->indexed, summary);
        assert_int_equal(bp_bag_get_info(bag)->start_ns, 7000);
        assert_int_equal(bp_bag_get_info(bag)->end_ns, 7000);
        assert_int_equal(read_all(path, NULL, text, sizeof text), 0);
        assert_string_equal(text, "a7000 ");
        (void) close(f.fd);
    }
}

/* What a chunk claims is not allocated before it is believed. */
static void test_claims_too_much(void **state) {
    BP_AUTO_BUF b = { 0 }, c = { 0 };
    char text[32];

    (void) state;
    put_head(&b);
    put_channel(&b, 1, "/a");
    bp_buf_put_le64(&c, 5);
    bp_buf_put_le64(&c, 5);
    bp_buf_put_le64(&c, (uint64_t) 1 << 40);
    bp_buf_put_le32(&c, 0);
    put_text(&c, "zstd");
    bp_buf_put_le64(&c, 4);
    bp_buf_put_str(&c, "zstd");
    put_record(&b, BP_MCAP_CHUNK, &c);
    struct file f = in_memory(&b);
    assert_int_equal(read_all(f.path, NULL, text, sizeof text), 0);
    assert_string_equal(text, "");
    (void) close(f.fd);
}

static void test_not_a_recording(void **state) {
    BP_AUTO_BUF b = { 0 };
    char text[16];

    (void) state;
    bp_buf_put_str(&b, "hello, world");
    struct file f = in_memory(&b);
    assert_int_equal(read_all(f.path, NULL, text, sizeof text), BP_EFORMAT);
    assert_int_equal(read_all("/nonexistent", NULL, text, sizeof text), -2);
    (void) close(f.fd);
}

static void test_natural_order(void **state) {
    (void) state;
    assert_true(bp_natural_cmp("x_2.mcap", "x_10.mcap") < 0);
    assert_true(bp_natural_cmp("x_010", "x_9") > 0);
    assert_int_equal(bp_natural_cmp("a", "a"), 0);
    assert_true(bp_natural_cmp("a", "ab") < 0);
    assert_true(bp_is_recording_name("a.mcap") && bp_is_recording_name("a.db3.zstd"));
    assert_false(bp_is_recording_name(".mcap") || bp_is_recording_name("a.mcap.tmp"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges_by_time),       cmocka_unit_test(test_gets_past_damage),
        cmocka_unit_test(test_truncated_anywhere),   cmocka_unit_test(test_not_a_recording),
        cmocka_unit_test(test_chunk_of_definitions), cmocka_unit_test(test_claims_too_much),
        cmocka_unit_test(test_natural_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
