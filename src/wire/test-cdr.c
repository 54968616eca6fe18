#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macro.h"
#include "wire/cdr.h"

/* The wanted bytes are what rosbags' serialize_cdr makes of a type with these fields. */
static void test_alignment(void **state) {
    static const uint8_t want[] = {
        0,    1,    0,    0,                            /* encapsulation */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xc9, 0x9a, 0x3b, /* time -1 ns */
        4,    0,    0,    0,    'a',  'b',  'c',  0,    /* string */
        7,    0,    2,    1,                            /* u8, pad, u16 */
        0,    0,    0x80, 0x3f,                         /* 1.0f */
        9,    0,    0,    0,    0,    0,    0,    0,    /* u8, pad to 8 from the origin */
        0,    0,    0,    0,    0,    0,    0,    0xc0, /* -2.0 */
        2,    0,    0,    0,    0,    0,    0,    0,    /* count 2, pad */
        0,    0,    0,    0,    0,    0,    0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0x40,
    };
    static const double pair[] = { 1, 2 };
    BP_AUTO_BUF b = { 0 };
    struct bp_cdrw w;

    (void) state;
    bp_buf_put_str(&b, "odd"); /* alignment must not count what was there before */
    w = bp_cdrw_begin(&b);
    bp_cdrw_time(&w, -1);
    bp_cdrw_str(&w, "abc");
    bp_cdrw_u8(&w, 7);
    bp_cdrw_u16(&w, 0x0102);
    bp_cdrw_f32(&w, 1.0F);
    bp_cdrw_u8(&w, 9);
    bp_cdrw_f64(&w, -2.0);
    bp_cdrw_u32(&w, 2);
    bp_cdrw_f64s(&w, pair, 2);
    bp_cdrw_end(&w);
    assert_int_equal(b.n, 3 + sizeof want);
    assert_memory_equal(b.p + 3, want, sizeof want);
}

static void test_empty_message(void **state) {
    static const uint8_t want[] = { 0, 1, 0, 0, 0 };
    BP_AUTO_BUF b = { 0 };
    struct bp_cdrw w = bp_cdrw_begin(&b);

    (void) state;
    bp_cdrw_end(&w);
    assert_int_equal(b.n, sizeof want);
    assert_memory_equal(b.p, want, sizeof want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_empty_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
