#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "wire/field.h"
#include "wire/schema.h"

#define LINE "================================================================================\n"

static const char definition[] =
    "uint8 a\nint64 b\nstring s\nuint16[3] arr\nIn[] ins\nstring[] strs\nIn one\nfloat64[] d\n"
    "int32 e\nIn[] none\nNothing nothing\nIn[<=2] two\n" LINE
    "MSG: p/In\nuint8 x\nfloat64 y\nPoint at\nPoint[] track\n" LINE
    "MSG: p/Point\nint32 px\nint32 py\nbyte[2] pair\n" LINE "MSG: p/Nothing\n";

/* Written field by field; alignment is that of XCDR1. */
struct out {
    struct bp_buf b;
};

static void put(struct out *o, const void *p, size_t n) {
    while ((o->b.n - 4) % BP_MIN(n, (size_t) 8))
        bp_buf_put_u8(&o->b, 0);
    bp_buf_put(&o->b, p, n);
}

static void put_u8(struct out *o, uint8_t v) {
    put(o, &v, 1);
}

static void put_u32(struct out *o, uint32_t v) {
    uint8_t p[4];

    bp_st_le32(p, v);
    put(o, p, 4);
}

static void put_u64(struct out *o, uint64_t v) {
    uint8_t p[8];

    bp_st_le64(p, v);
    put(o, p, 8);
}

static void put_f64(struct out *o, double v) {
    uint64_t u;

    memcpy(&u, &v, 8);
    put_u64(o, u);
}

static void put_text(struct out *o, const char *s) {
    put_u32(o, (uint32_t) strlen(s) + 1);
    bp_buf_put(&o->b, s, strlen(s) + 1);
}

static void put_point(struct out *o, uint32_t x) {
    put_u32(o, x);
    put_u32(o, x + 1);
    put_u8(o, (uint8_t) x);
    put_u8(o, 255);
}

static void put_in(struct out *o, uint8_t x, uint32_t track) {
    put_u8(o, x);
    put_f64(o, x / 2.0);
    put_point(o, 100U * x);
    put_u32(o, track);
    for (uint32_t i = 0; i < track; i++)
        put_point(o, 10U * x + i);
}

static void message(struct out *o) {
    bp_buf_put(&o->b, "\0\1\0\0", 4);
    put_u8(o, 1);
    put_u64(o, (uint64_t) -2);
    put_text(o, "hi: there");
    for (uint8_t i = 1; i <= 3; i++) {
        put(o, (uint8_t[]){ i, 0 }, 2);
    }
    put_u32(o, 2);
    put_in(o, 4, 0);
    put_in(o, 5, 2);
    put_u32(o, 2);
    put_text(o, "a");
    put_text(o, "bcd");
    put_in(o, 7, 1);
    put_u32(o, 2);
    put_f64(o, 1);
    put_f64(o, 2.5);
    put_u32(o, 99);
    put_u32(o, 0);
    put_u8(o, 0);
    put_u32(o, 1);
    put_in(o, 9, 0);
}

static struct bp_schema *parse(void) {
    struct bp_schema *s = NULL;
    struct bp_error err = { 0 };

    if (bp_schema_parse("p/msg/T", "ros2msg", bp_str_of(definition), &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static const struct {
    const char *path, *json, *text;
} values[] = {
    { "a", "1", "1\n" },
    { "b", "-2", "-2\n" },
    { "s", "\"hi: there\"", "'hi: there'\n" },
    { "arr", "[1,2,3]", "- 1\n- 2\n- 3\n" },
    { "arr[1]", "2", "2\n" },
    { "ins[0].x", "4", "4\n" },
    { "ins[1].y", "2.5", "2.5\n" },
    { "ins[1].at.py", "501", "501\n" },
    { "ins[1].track[1].px", "51", "51\n" },
    { "ins[1].track[1].pair[1]", "255", "255\n" },
    { "ins[0].track", "[]", "[]\n" },
    { "ins[0].track[0]", "null", "null\n" },
    { "ins[2]", "null", "null\n" },
    { "ins[2].at.px", "null", "null\n" },
    { "ins[1].track",
      "[{\"px\":50,\"py\":51,\"pair\":[50,255]},{\"px\":51,\"py\":52,\"pair\":[51,255]}]",
      "- px: 50\n  py: 51\n  pair:\n  - 50\n  - 255\n"
      "- px: 51\n  py: 52\n  pair:\n  - 51\n  - 255\n" },
    { "ins[1].track[0]", "{\"px\":50,\"py\":51,\"pair\":[50,255]}",
      "px: 50\npy: 51\npair:\n- 50\n- 255\n" },
    { "strs", "[\"a\",\"bcd\"]", "- a\n- bcd\n" },
    { "strs[1]", "\"bcd\"", "bcd\n" },
    { "one",
      "{\"x\":7,\"y\":3.5,\"at\":{\"px\":700,\"py\":701,\"pair\":[188,255]},"
      "\"track\":[{\"px\":70,\"py\":71,\"pair\":[70,255]}]}",
      "x: 7\ny: 3.5\nat:\n  px: 700\n  py: 701\n  pair:\n  - 188\n  - 255\n"
      "track:\n- px: 70\n  py: 71\n  pair:\n  - 70\n  - 255\n" },
    { "one.at.pair", "[188,255]", "- 188\n- 255\n" },
    { "one.track[0].py", "71", "71\n" },
    { "d", "[1,2.5]", "- 1.0\n- 2.5\n" },
    { "d[1]", "2.5", "2.5\n" },
    { "d[2]", "null", "null\n" },
    { "e", "99", "99\n" },
    { "none", "[]", "[]\n" },
    { "nothing", "{}", "{}\n" },
    { "two[0].x", "9", "9\n" },
    { "two[1]", "null", "null\n" },
};

static void test_values(void **state) {
    struct bp_schema *s = parse();
    struct out o = { 0 };

    (void) state;
    message(&o);
    for (size_t i = 0; i < BP_COUNT(values); i++) {
        BP_AUTO_BUF json = { 0 };
        BP_AUTO_BUF text = { 0 };
        struct bp_error err = { 0 };
        struct bp_field *f = NULL;

        if (bp_field_find(s, values[i].path, &f, &err) < 0 ||
            bp_field_to_json(f, o.b.p, o.b.n, false, &json, &err) < 0 ||
            bp_field_to_text(f, o.b.p, o.b.n, 0, &text, &err) < 0)
            fail_msg("%s: %s", values[i].path, err.text);
        assert_string_equal(bp_buf_cstr(&json), values[i].json);
        assert_string_equal(bp_buf_cstr(&text), values[i].text);
        bp_field_free(f);
    }
    bp_buf_done(&o.b);
    bp_schema_free(s);
}

static void test_cut(void **state) {
    struct bp_schema *s = parse();
    struct bp_field *f = NULL;
    BP_AUTO_BUF text = { 0 };
    struct out o = { 0 };

    (void) state;
    message(&o);
    assert_int_equal(bp_field_find(s, "ins[1].track", &f, NULL), 0);
    assert_int_equal(bp_field_to_text(f, o.b.p, o.b.n, 1, &text, NULL), 0);
    assert_string_equal(bp_buf_cstr(&text),
                        "- px: 50\n  py: 51\n  pair:\n  - 50\n  - '...'\n- '...'\n");
    bp_field_free(f);
    bp_buf_done(&o.b);
    bp_schema_free(s);
}

/* A cut message is an error as long as the field is not whole; what lies behind it is not read. */
static void test_short_messages(void **state) {
    struct bp_schema *s = parse();
    struct bp_field *f = NULL;
    size_t good = 0;
    struct out o = { 0 };

    (void) state;
    message(&o);
    assert_int_equal(bp_field_find(s, "ins[1].x", &f, NULL), 0);
    for (size_t n = 0; n <= o.b.n; n++) {
        BP_AUTO_BUF json = { 0 };
        struct bp_error err = { 0 };
        int r = bp_field_to_json(f, o.b.p, n, false, &json, &err);

        if (r < 0) {
            assert_int_equal(r, BP_ETRUNCATED);
            assert_int_equal(good, 0);
            continue;
        }
        assert_string_equal(bp_buf_cstr(&json), "5");
        good++;
    }
    assert_true(good > 0 && good < o.b.n);
    bp_field_free(f);
    bp_buf_done(&o.b);
    bp_schema_free(s);
}

static void test_refusals(void **state) {
    static const struct {
        const char *path, *want;
    } cases[] = {
        { "", "'' is not a field's path, such as 'a.b[2].c'" },
        { ".a", "'.a' is not a field's path, such as 'a.b[2].c'" },
        { "one.", "'one.' is not a field's path, such as 'a.b[2].c'" },
        { "one..x", "'one..x' is not a field's path, such as 'a.b[2].c'" },
        { "arr[1]x", "'arr[1]x' is not a field's path, such as 'a.b[2].c'" },
        { "arr[]", "'arr[]': expected a number in brackets behind 'arr'" },
        { "arr[-1]", "'arr[-1]': expected a number in brackets behind 'arr'" },
        { "arr[1", "'arr[1': expected a number in brackets behind 'arr'" },
        { "arr[99999999999999999999]",
          "'arr[99999999999999999999]': expected a number in brackets behind 'arr'" },
        { "arr[3]", "'arr[3]' is beyond the array: it has 3 items" },
        { "two[2].x", "'two[2]' is beyond the array: it has at most 2 items" },
        { "a[0]", "'a' is not an array" },
        { "a.b", "'a' has no fields" },
        { "d[0].x", "'d[0]' has no fields" },
        { "ins.x", "'ins' is an array, say which item: 'ins[0].x'" },
        { "onne", "p/msg/T has no field 'onne', did you mean 'one'? It has a, b, s, arr, ins, "
                  "strs, one, d, e, none, nothing, two" },
        { "one.att.px", "p/msg/In has no field 'att', did you mean 'one.at'? It has x, y, at, "
                        "track" },
        { "py", "p/msg/T has no field 'py', did you mean 'ins[0].at.py'? It has a, b, s, arr, "
                "ins, strs, one, d, e, none, nothing, two" },
        { "one.pair", "p/msg/In has no field 'pair', did you mean 'one.at.pair'? It has x, y, at, "
                      "track" },
        { "nothing.to_see", "p/msg/Nothing has no field 'to_see'; it has none" },
        { "zzzzzz", "p/msg/T has no field 'zzzzzz'; it has a, b, s, arr, ins, strs, one, d, e, "
                    "none, nothing, two" },
    };
    struct bp_schema *s = parse();

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_error err = { 0 };
        struct bp_field *f = NULL;

        assert_int_equal(bp_field_find(s, cases[i].path, &f, &err), BP_EUSAGE);
        assert_string_equal(err.text, cases[i].want);
        assert_int_equal(bp_field_find(s, cases[i].path, &f, NULL), BP_EUSAGE);
        assert_null(f);
    }
    bp_schema_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_short_messages),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
