#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cursor.h"

static void grows(void **state) {
    BP_AUTO_BUF b = { 0 };

    (void) state;
    for (int i = 0; i < 10000; i++)
        bp_buf_put_u8(&b, (uint8_t) i);
    assert_int_equal(b.n, 10000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(b.p[i], i & 255);
    bp_buf_clear(&b);
    assert_int_equal(b.n, 0);
    assert_true(b.cap >= 10000);
    bp_buf_printf(&b, "%d-%s", 7, "seven");
    assert_string_equal(bp_buf_cstr(&b), "7-seven");
    assert_int_equal(b.n, 7);
}

static void takes(void **state) {
    BP_AUTO_BUF b = { 0 };
    BP_AUTO_FREE char *s = NULL;

    (void) state;
    bp_buf_put_str(&b, "abc");
    s = bp_buf_take_cstr(&b);
    assert_string_equal(s, "abc");
    assert_null(b.p);
    assert_int_equal(b.n, 0);
}

static void remembers_failure(void **state) {
    BP_AUTO_BUF b = { 0 };

    (void) state;
    bp_buf_put_str(&b, "abc");
    assert_null(bp_buf_grow(&b, SIZE_MAX - 1));
    assert_true(b.failed);
    bp_buf_put_str(&b, "def");
    assert_int_equal(b.n, 3);
    assert_null(bp_buf_cstr(&b));
    bp_buf_clear(&b);
    assert_false(b.failed);
}

/* The bytes are written out by hand: no encoder of ours stands on the other side. */
static void reads_little_endian(void **state) {
    static const uint8_t bytes[] = { 1,  2,  3,  4, 5, 6, 7, 8,   9,   10,  11, 12,
                                     13, 14, 15, 3, 0, 0, 0, 'a', 'b', 'c', 255 };
    struct bp_cur c = bp_cur_of(bytes, sizeof bytes);

    (void) state;
    assert_int_equal(bp_rd_u8(&c), 1);
    assert_int_equal(bp_rd_le16(&c), 0x0302);
    assert_int_equal(bp_rd_le32(&c), 0x07060504);
    assert_true(bp_rd_le64(&c) == 0x0f0e0d0c0b0a0908);
    assert_true(bp_str_eq(bp_rd_str32(&c), BP_STR("abc")));
    assert_int_equal(bp_cur_left(&c), 1);
    assert_true(bp_cur_ok(&c));
}

static void writes_little_endian(void **state) {
    static const uint8_t want[] = { 2, 1, 6, 5, 4, 3, 14, 13, 12, 11, 10, 9, 8, 7 };
    BP_AUTO_BUF b = { 0 };

    (void) state;
    bp_buf_put_le16(&b, 0x0102);
    bp_buf_put_le32(&b, 0x03040506);
    bp_buf_put_le64(&b, 0x0708090a0b0c0d0e);
    assert_int_equal(b.n, sizeof want);
    assert_memory_equal(b.p, want, sizeof want);
}

static void end_is_sticky(void **state) {
    static const uint8_t bytes[] = { 9, 0, 0, 0, 'a', 'b' }; /* promises nine bytes */
    struct bp_cur c = bp_cur_of(bytes, sizeof bytes);
    struct bp_cur none = bp_cur_of(bytes, 0);

    (void) state;
    assert_int_equal(bp_rd_str32(&c).n, 0);
    assert_false(bp_cur_ok(&c));
    assert_int_equal(bp_rd_u8(&c), 0); /* although bytes are left */
    assert_int_equal(bp_cur_left(&c), 0);
    assert_null(bp_rd_bytes(&c, UINT64_MAX));
    assert_non_null(bp_rd_bytes(&none, 0));
    assert_true(bp_cur_ok(&none));
    assert_int_equal(bp_rd_le64(&none), 0);
    assert_false(bp_cur_ok(&none));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),
        cmocka_unit_test(takes),
        cmocka_unit_test(remembers_failure),
        cmocka_unit_test(reads_little_endian),
        cmocka_unit_test(writes_little_endian),
        cmocka_unit_test(end_is_sticky),
    };

    return cmocka_run_group_tests_name("base/buf", tests, NULL, NULL);
}
