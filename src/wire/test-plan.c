#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "wire/cdr.h"
#include "wire/plan.h"
#include "wire/schema.h"

#define LINE "================================================================================\n"

static struct bp_schema *parse(const char *text) {
    struct bp_schema *s = NULL;
    struct bp_error err = { 0 };

    if (bp_schema_parse("p/msg/T", "ros2msg", bp_str_of(text), &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static void unhex(const char *hex, struct bp_buf *b) {
    unsigned v;

    bp_buf_clear(b);
    /* NOLINTNEXTLINE(cert-err34-c): two digits always fit */
    for (; sscanf(hex, "%2x", &v) == 1; hex += 2)
        bp_buf_put_u8(b, (uint8_t) v);
}

static void check_json(const struct bp_schema *s, const struct bp_buf *cdr, const char *want) {
    BP_AUTO_BUF out = { 0 };
    struct bp_error err = { 0 };

    if (bp_schema_to_json(s, cdr->p, cdr->n, true, &out, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(bp_buf_cstr(&out), want);
}

/* ---- encapsulations ---- */

static const char top[] = "uint8 a\nint64 b\nstring s\nuint16[3] arr\nIn[] ins\nstring[] strs\n"
                          "In one\nfloat64[] d\nint32 e\n" LINE "MSG: p/In\nuint8 x\nfloat64 y\n";
static const char top_json[] =
    "{\"a\":1,\"b\":\"-2\",\"s\":\"hi\",\"arr\":[1,2,3],\"ins\":[{\"x\":4,\"y\":0.5},"
    "{\"x\":5,\"y\":-1.5}],\"strs\":[\"a\",\"bcd\"],\"one\":{\"x\":7,\"y\":2.25},\"d\":[1,2],"
    "\"e\":99}";

/* The same message as Cyclone DDS' Python binding (cyclonedds 0.10.5) serializes it, by the
 * extensibility of its types. */
static const struct {
    const char *name, *hex;
} vectors[] = {
    { "final, XCDR1, little",
      "000100000100000000000000feffffffffffffff0300000068690000010002000300000002000000"
      "04000000000000000000e03f0500000000000000000000000000f8bf020000000200000061000000"
      "04000000626364000700000000000000000002400200000000000000000000000000f03f00000000"
      "0000004063000000" },
    { "final, XCDR1, big",
      "000000000100000000000000fffffffffffffffe0000000368690000000100020003000000000002"
      "040000003fe00000000000000500000000000000bff8000000000000000000020000000261000000"
      "000000046263640007000000400200000000000000000002000000003ff000000000000040000000"
      "0000000000000063" },
    { "final, XCDR2, little",
      "0007000001000000feffffffffffffff030000006869000001000200030000001c00000002000000"
      "04000000000000000000e03f05000000000000000000f8bf14000000020000000200000061000000"
      "040000006263640007000000000000000000024002000000000000000000f03f0000000000000040"
      "63000000" },
    { "final, XCDR2, big",
      "0006000001000000fffffffffffffffe000000036869000000010002000300000000001c00000002"
      "040000003fe000000000000005000000bff800000000000000000014000000020000000261000000"
      "0000000462636400070000004002000000000000000000023ff00000000000004000000000000000"
      "00000063" },
    { "appendable, XCDR2, little",
      "000900008400000001000000feffffffffffffff0300000068690000010002000300000024000000"
      "020000000c00000004000000000000000000e03f0c00000005000000000000000000f8bf14000000"
      "02000000020000006100000004000000626364000c00000007000000000000000000024002000000"
      "000000000000f03f000000000000004063000000" },
    { "appendable, XCDR2, big",
      "000800000000008401000000fffffffffffffffe0000000368690000000100020003000000000024"
      "000000020000000c040000003fe00000000000000000000c05000000bff800000000000000000014"
      "00000002000000026100000000000004626364000000000c07000000400200000000000000000002"
      "3ff0000000000000400000000000000000000063" },
    { "mutable, XCDR1, little",
      "00030000017f0800000000000400000001000000017f08000100000008000000feffffffffffffff"
      "017f080002000000080000000300000068690000017f080003000000080000000100020003000000"
      "017f0800040000005400000002000000017f0800000000000400000004000000017f080001000000"
      "08000000000000000000e03f027f0000017f0800000000000400000005000000017f080001000000"
      "08000000000000000000f8bf027f0000017f08000500000014000000020000000200000061000000"
      "0400000062636400017f08000600000028000000017f0800000000000400000007000000017f0800"
      "01000000080000000000000000000240027f0000017f080007000000180000000200000000000000"
      "000000000000f03f0000000000000040017f0800080000000400000063000000027f0000" },
    { "mutable, XCDR1, big",
      "000200007f0100080000000000000004010000007f0100080000000100000008fffffffffffffffe"
      "7f010008000000020000000800000003686900007f01000800000003000000080001000200030000"
      "7f0100080000000400000054000000027f0100080000000000000004040000007f01000800000001"
      "000000083fe00000000000007f0200007f0100080000000000000004050000007f01000800000001"
      "00000008bff80000000000007f0200007f0100080000000500000014000000020000000261000000"
      "00000004626364007f01000800000006000000287f0100080000000000000004070000007f010008"
      "000000010000000840020000000000007f0200007f01000800000007000000180000000200000000"
      "3ff000000000000040000000000000007f0100080000000800000004000000637f020000" },
    { "mutable, XCDR2, little",
      "000b0000c8000000000000000100000001000030feffffffffffffff020000500300000068690000"
      "03000040060000000100020003000000040000503400000002000000140000000000000004000000"
      "01000030000000000000e03f14000000000000000500000001000030000000000000f8bf05000050"
      "14000000020000000200000061000000040000006263640006000040180000001400000000000000"
      "070000000100003000000000000002400700007002000000000000000000f03f0000000000000040"
      "0800002063000000" },
    { "mutable, XCDR2, big",
      "000a0000000000c8000000000100000030000001fffffffffffffffe500000020000000368690000"
      "40000003000000060001000200030000500000040000003400000002000000140000000004000000"
      "300000013fe000000000000000000014000000000500000030000001bff800000000000050000005"
      "00000014000000020000000261000000000000046263640040000006000000180000001400000000"
      "0700000030000001400200000000000070000007000000023ff00000000000004000000000000000"
      "2000000800000063" },
};

static void test_encapsulations(void **state) {
    struct bp_schema *s = parse(top);
    BP_AUTO_BUF cdr = { 0 }, out = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(vectors); i++) {
        unhex(vectors[i].hex, &cdr);
        check_json(s, &cdr, top_json);
        for (size_t n = 0; n < cdr.n; n++) { /* cut anywhere: an error, and no byte beyond */
            uint8_t *cut = malloc(n ? n : 1);
            struct bp_error err = { 0 };
            int r;

            memcpy(cut, cdr.p, n);
            bp_buf_clear(&out);
            r = bp_schema_to_json(s, cut, n, true, &out, &err);
            if (r >= 0 && cdr.n - n >= 4)
                fail_msg("%s is whole with %zu of %zu bytes", vectors[i].name, n, cdr.n);
            if (r < 0)
                assert_non_null(strstr(err.text, "p/msg/T"));
            free(cut);
        }
    }
    bp_schema_free(s);
}

/* The XTypes numbers of the same encapsulations. */
static void test_other_numbers(void **state) {
    static const uint8_t number[][2] = { { 0x06, 0x10 }, { 0x07, 0x11 }, { 0x08, 0x14 },
                                         { 0x09, 0x15 }, { 0x0a, 0x12 }, { 0x0b, 0x13 } };
    struct bp_schema *s = parse(top);
    BP_AUTO_BUF cdr = { 0 }, out = { 0 };
    unsigned seen = 0;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(vectors); i++) {
        unhex(vectors[i].hex, &cdr);
        for (size_t k = 0; k < BP_COUNT(number); k++)
            if (cdr.p[1] == number[k][0]) {
                cdr.p[1] = number[k][1];
                check_json(s, &cdr, top_json);
                seen++;
                break;
            }
    }
    assert_int_equal(seen, 6);
    cdr.p[1] = 0x04;
    assert_int_equal(bp_schema_to_json(s, cdr.p, cdr.n, true, &out, NULL), BP_EUNSUPPORTED);
    cdr.p[0] = 0x80;
    assert_int_equal(bp_schema_to_json(s, cdr.p, cdr.n, true, &out, NULL), BP_EUNSUPPORTED);
    bp_schema_free(s);
}

/* A writer may put members in any order, and ones we do not know between them. */
static void test_members_in_any_order(void **state) {
    struct bp_schema *s = parse("uint8 a\nuint8 b\n");
    BP_AUTO_BUF cdr = { 0 }, out = { 0 };
    struct bp_error err;

    (void) state;
    unhex("000b0000"
          "19000000"
          "01000000"
          "02000000"
          "07000040"
          "03000000"
          "aabbcc00"
          "00000000"
          "01",
          &cdr);
    check_json(s, &cdr, "{\"a\":1,\"b\":2}");
    unhex("000b0000"
          "05000000"
          "01000000"
          "02",
          &cdr);
    assert_int_equal(bp_schema_to_json(s, cdr.p, cdr.n, true, &out, &err), BP_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "leaves out 'a'"));
    bp_schema_free(s);
}

/* ---- lengths that lie ---- */

static void test_lying_lengths(void **state) {
    static const char *const texts[] = {
        "uint8[] a", "float64[] a", "string a", "string[] a", ("B[] a\n" LINE "MSG: p/B\n"),
        "wstring a", "uint8[<=9] a"
    };
    static const char *const lengths[] = { "ffffffff", "00000080", "10000000", "ffffff7f" };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(texts); i++) {
        struct bp_schema *s = parse(texts[i]);

        for (size_t k = 0; k < BP_COUNT(lengths); k++) {
            BP_AUTO_BUF cdr = { 0 }, out = { 0 };
            char hex[64];
            int r;

            (void) snprintf(hex, sizeof hex, "00010000%s0102030405060708090a", lengths[k]);
            unhex(hex, &cdr);
            r = bp_schema_to_json(s, cdr.p, cdr.n, true, &out, NULL);
            assert_true(r == BP_ETRUNCATED || r == BP_EFORMAT);
            assert_true(out.cap < 4096); /* refused before room was made */
        }
        bp_schema_free(s);
    }
}

/* ---- JSON ---- */

/* Bytes of a string, and what JSON.stringify(new TextDecoder().decode(bytes)) gives in node 20. */
static const struct {
    const char *hex, *json_hex;
} strings[] = {
    { "", "2222" },
    { "00", "225c753030303022" },
    { "616200", "2261625c753030303022" },
    { "e282", "22efbfbd22" },
    { "e28261", "22efbfbd6122" },
    { "f09f98", "22efbfbd22" },
    { "f09f9880", "22f09f988022" },
    { "eda080", "22efbfbdefbfbdefbfbd22" },
    { "c3", "22efbfbd22" },
    { "c328", "22efbfbd2822" },
    { "ff", "22efbfbd22" },
    { "fe80", "22efbfbdefbfbd22" },
    { "efbbbf61", "226122" },
    { "61efbbbf", "2261efbbbf22" },
    { "225c2f", "225c225c5c2f22" },
    { "080c0a0d09", "225c625c665c6e5c725c7422" },
    { "1b7f", "225c75303031627f22" },
    { "c080", "22efbfbdefbfbd22" },
    { "f4908080", "22efbfbdefbfbdefbfbdefbfbd22" },
    { "f48fbfbf", "22f48fbfbf22" },
    { "e2808061", "22e280806122" },
    { "c2a0", "22c2a022" },
    { "e280a8", "22e280a822" },
    { "f0808080", "22efbfbdefbfbdefbfbdefbfbd22" },
    { "e08080", "22efbfbdefbfbdefbfbd22" },
    { "f09f9861", "22efbfbd6122" },
};

static void test_json_strings(void **state) {
    struct bp_schema *s = parse("string a");
    BP_AUTO_BUF text = { 0 }, cdr = { 0 }, want = { 0 }, out = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(strings); i++) {
        struct bp_cdrw w;

        unhex(strings[i].hex, &text);
        unhex(strings[i].json_hex, &want);
        bp_buf_clear(&cdr);
        w = bp_cdrw_begin(&cdr);
        bp_cdrw_text(&w, (struct bp_str){ (char *) text.p, text.n });
        bp_buf_clear(&out);
        assert_int_equal(bp_schema_to_json(s, cdr.p, cdr.n, true, &out, NULL), 0);
        assert_int_equal(out.n, want.n + 6);
        assert_memory_equal(out.p + 5, want.p, want.n);
    }
    bp_schema_free(s);
}

/* The wanted text is JSON.stringify's of what @foxglove/rosmsg2-serialization decodes, with
 * bigints as strings. */
static void test_json_values(void **state) {
    struct bp_schema *s =
        parse("bool a\nint8 b\nuint8 c\nbyte d\nint16 e\nuint16 f\nint32 g\nuint32 h\nint64 i\n"
              "uint64 j\nfloat32 k\nfloat64 l\nfloat32[3] m\nint64[] n\nbool[<=2] o\nE p\n"
              "E[] q\nstring[] r\nint8[] t\nfloat64[] u\n" LINE "MSG: p/E\n");
    static const float m[] = { NAN, INFINITY, -0.0F };
    BP_AUTO_BUF b = { 0 }, out = { 0 };
    struct bp_cdrw w = bp_cdrw_begin(&b);

    (void) state;
    bp_cdrw_u8(&w, 2); /* true */
    bp_cdrw_u8(&w, 0x80);
    bp_cdrw_u8(&w, 255);
    bp_cdrw_u8(&w, 254);
    bp_cdrw_i16(&w, INT16_MIN);
    bp_cdrw_u16(&w, UINT16_MAX);
    bp_cdrw_i32(&w, INT32_MIN);
    bp_cdrw_u32(&w, UINT32_MAX);
    bp_cdrw_i64(&w, INT64_MIN);
    bp_cdrw_u64(&w, UINT64_MAX);
    bp_cdrw_f32(&w, 0.1F);
    bp_cdrw_f64(&w, 1e21);
    bp_cdrw_f32s(&w, m, 3);
    bp_cdrw_u32(&w, 1);
    bp_cdrw_i64(&w, -5);
    bp_cdrw_u32(&w, 2);
    bp_cdrw_u8(&w, 0);
    bp_cdrw_u8(&w, 1);
    bp_cdrw_u8(&w, 0); /* an empty message is one byte */
    bp_cdrw_u32(&w, 2);
    bp_cdrw_u8(&w, 0);
    bp_cdrw_u8(&w, 0);
    bp_cdrw_u32(&w, 2);
    bp_cdrw_str(&w, "");
    bp_cdrw_str(&w, "x");
    bp_cdrw_u32(&w, 0);
    bp_cdrw_u32(&w, 0);
    check_json(s, &b,
               "{\"a\":true,\"b\":-128,\"c\":255,\"d\":254,\"e\":-32768,\"f\":65535,"
               "\"g\":-2147483648,\"h\":4294967295,\"i\":\"-9223372036854775808\","
               "\"j\":\"18446744073709551615\",\"k\":0.10000000149011612,\"l\":1e+21,"
               "\"m\":[null,null,0],\"n\":[\"-5\"],\"o\":[false,true],\"p\":{},\"q\":[{},{}],"
               "\"r\":[\"\",\"x\"],\"t\":[],\"u\":[]}");
    assert_int_equal(bp_schema_to_json(s, b.p, b.n, false, &out, NULL), 0);
    assert_non_null(strstr(bp_buf_cstr(&out), "\"i\":-9223372036854775808,"));
    assert_non_null(strstr(bp_buf_cstr(&out), "\"n\":[-5]"));
    bp_schema_free(s);

    s = parse("");
    bp_buf_clear(&b);
    w = bp_cdrw_begin(&b);
    bp_cdrw_end(&w);
    check_json(s, &b, "{}");
    bp_schema_free(s);
}

/* Blocks of the number writer meet without a seam. */
static void test_json_long_arrays(void **state) {
    struct bp_schema *s = parse("uint16[] a");
    BP_AUTO_BUF b = { 0 }, want = { 0 };

    (void) state;
    for (size_t n = 250; n < 1030; n += 3) {
        struct bp_cdrw w;

        bp_buf_clear(&b);
        bp_buf_clear(&want);
        w = bp_cdrw_begin(&b);
        bp_cdrw_u32(&w, (uint32_t) n);
        bp_buf_put_str(&want, "{\"a\":[");
        for (size_t i = 0; i < n; i++) {
            bp_cdrw_u16(&w, (uint16_t) (i * 77));
            bp_buf_printf(&want, "%s%u", i ? "," : "", (unsigned) (uint16_t) (i * 77));
        }
        bp_buf_put_str(&want, "]}");
        check_json(s, &b, bp_buf_cstr(&want));
    }
    bp_schema_free(s);
}

/* wstrings have 2-byte units from some writers, 4-byte ones from others; surrogate pairs. */
static void test_wide_strings(void **state) {
    struct bp_schema *s = parse("wstring a\nwstring[] b\nint32 c");
    BP_AUTO_BUF b = { 0 };

    (void) state;
    unhex("00010000"
          "03000000"
          "3dd800dee900"
          "0000"
          "01000000"
          "01000000"
          "6100"
          "0000"
          "05000000",
          &b);
    check_json(s, &b, "{\"a\":\"\xf0\x9f\x98\x80\xc3\xa9\",\"b\":[\"a\"],\"c\":5}");
    unhex("00010000"
          "02000000"
          "00f60100"
          "e9000000"
          "01000000"
          "01000000"
          "61000000"
          "05000000",
          &b);
    check_json(s, &b, "{\"a\":\"\xf0\x9f\x98\x80\xc3\xa9\",\"b\":[\"a\"],\"c\":5}");
    unhex("00000000"
          "00000001"
          "d800"
          "0000"
          "00000000"
          "00000005",
          &b); /* a lone surrogate */
    check_json(s, &b, "{\"a\":\"\xef\xbf\xbd\",\"b\":[],\"c\":5}");
    bp_schema_free(s);
}

/* A message of tiny structs with long names must not grow without limit. */
static void test_json_limit(void **state) {
    struct bp_schema *s;
    BP_AUTO_BUF text = { 0 }, b = { 0 }, out = { 0 };
    struct bp_cdrw w = bp_cdrw_begin(&b);
    uint8_t *p;

    (void) state;
    bp_buf_put_str(&text, "B[] a\n" LINE "MSG: p/B\nuint8 ");
    memset(bp_buf_grow(&text, 240), 'x', 240);
    s = parse(bp_buf_cstr(&text));
    bp_cdrw_u32(&w, 1 << 20);
    p = bp_cdrw_room(&w, 1 << 20);
    assert_non_null(p);
    memset(p, 0, 1 << 20);
    assert_int_equal(bp_schema_to_json(s, b.p, b.n, true, &out, NULL), BP_ELIMIT);
    assert_true(out.n < (size_t) 160 << 20);
    bp_schema_free(s);
}

/* ---- text, judged by what PyYAML 6 dumps (block style, allow_unicode, no width limit) ---- */

static const struct {
    const char *s, *yaml;
} yaml_strings[] = {
    { "", "''" },
    { "base_link", "base_link" },
    { "a b", "a b" },
    { "/x/y", "/x/y" },
    { " a", "' a'" },
    { "a ", "'a '" },
    { "it's", "it's" },
    { "'a", "'''a'" },
    { "a: b", "'a: b'" },
    { "a:b", "a:b" },
    { "a:", "'a:'" },
    { "a #b", "'a #b'" },
    { "a#b", "a#b" },
    { "- a", "'- a'" },
    { "-a", "-a" },
    { "[a]", "'[a]'" },
    { "a[0]", "a[0]" },
    { "true", "'true'" },
    { "No", "'No'" },
    { "null", "'null'" },
    { "~", "'~'" },
    { "1", "'1'" },
    { "1.5", "'1.5'" },
    { "0x1f", "'0x1f'" },
    { "2026-11-21", "'2026-11-21'" },
    { "Hello World: 1", "'Hello World: 1'" },
    { "a\nb", "'a\n\n  b'" },
    { "a\n\nb", "'a\n\n\n  b'" },
    { "a\n", "'a\n\n  '" },
    { "a\x09"
      "b",
      "\"a\\tb\"" },
    { "a \nb", "\"a \\nb\"" },
    { "\x1b[0m", "\"\\e[0m\"" },
    { "q\"\x07\\", "\"q\\\"\\a\\\\\"" },
    { "\xc3\xa9", "\xc3\xa9" },
    { "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
    { "\xc2\x80", "\"\\x80\"" },
    { "\xef\xbb\xbf", "\"\\uFEFF\"" },
    { "---", "'---'" },
    { "@a", "'@a'" },
    { "?", "'?'" },
    { "=", "'='" },
    { " ", "' '" },
    { "a'b: c", "'a''b: c'" },
    { "\xc3\xa9: \xc3\xbc\n", "'\xc3\xa9: \xc3\xbc\n\n  '" },
    { "\xc2\xa0", "\xc2\xa0" },
    { ".5", "'.5'" },
    { "off", "'off'" },
};

static void test_text_strings(void **state) {
    struct bp_schema *s = parse("string a");

    (void) state;
    for (size_t i = 0; i < BP_COUNT(yaml_strings); i++) {
        BP_AUTO_BUF b = { 0 }, out = { 0 }, want = { 0 };
        struct bp_cdrw w = bp_cdrw_begin(&b);

        bp_cdrw_str(&w, yaml_strings[i].s);
        bp_buf_printf(&want, "a: %s\n", yaml_strings[i].yaml);
        assert_int_equal(bp_schema_to_text(s, b.p, b.n, 0, &out, NULL), 0);
        assert_string_equal(bp_buf_cstr(&out), bp_buf_cstr(&want));
    }
    bp_schema_free(s);
}

static void test_text(void **state) {
    struct bp_schema *s = parse("int32 a\nIn in\nIn[] ins\nE e\nE[] es\nstring[] s\nuint8[] d\n"
                                "float32 f\nbool g\nfloat64[2] h\n" LINE
                                "MSG: p/In\nint8 x\nuint16[] y\n" LINE "MSG: p/E\n");
    BP_AUTO_BUF b = { 0 }, out = { 0 };
    struct bp_cdrw w = bp_cdrw_begin(&b);
    static const double h[] = { 1e100, -0.5 };

    (void) state;
    bp_cdrw_i32(&w, -7);
    for (unsigned i = 0; i < 4; i++) {
        if (i == 1)
            bp_cdrw_u32(&w, 3); /* ins */
        bp_cdrw_u8(&w, (uint8_t) i);
        bp_cdrw_u32(&w, i);
        for (unsigned k = 0; k < i; k++)
            bp_cdrw_u16(&w, (uint16_t) k);
    }
    bp_cdrw_u8(&w, 0);
    bp_cdrw_u32(&w, 1);
    bp_cdrw_u8(&w, 0);
    bp_cdrw_u32(&w, 3);
    bp_cdrw_str(&w, "a");
    bp_cdrw_str(&w, "");
    bp_cdrw_str(&w, "long text");
    bp_cdrw_u32(&w, 0);
    bp_cdrw_f32(&w, 0.1F);
    bp_cdrw_u8(&w, 1);
    bp_cdrw_f64s(&w, h, 2);
    assert_int_equal(bp_schema_to_text(s, b.p, b.n, 0, &out, NULL), 0);
    assert_string_equal(bp_buf_cstr(&out),
                        "a: -7\nin:\n  x: 0\n  y: []\nins:\n- x: 1\n  y:\n  - 0\n- x: 2\n  y:\n"
                        "  - 0\n  - 1\n- x: 3\n  y:\n  - 0\n  - 1\n  - 2\ne: {}\nes:\n- {}\n"
                        "s:\n- a\n- ''\n- long text\nd: []\nf: 0.1\ng: true\nh:\n- 1.0e+100\n"
                        "- -0.5\n");
    bp_buf_clear(&out);
    assert_int_equal(bp_schema_to_text(s, b.p, b.n, 2, &out, NULL), 0);
    assert_string_equal(bp_buf_cstr(&out),
                        "a: -7\nin:\n  x: 0\n  y: []\nins:\n- x: 1\n  y:\n  - 0\n- x: 2\n  y:\n"
                        "  - 0\n  - 1\n- '...'\ne: {}\nes:\n- {}\ns:\n- a\n- ''\n- '...'\n"
                        "d: []\nf: 0.1\ng: true\nh:\n- 1.0e+100\n- -0.5\n");
    bp_schema_free(s);

    s = parse("string a");
    bp_buf_clear(&b);
    bp_buf_clear(&out);
    w = bp_cdrw_begin(&b);
    bp_cdrw_str(&w, "\xc3\xa9\xc3\xa9\xc3\xa9");
    assert_int_equal(bp_schema_to_text(s, b.p, b.n, 2, &out, NULL), 0);
    assert_string_equal(bp_buf_cstr(&out), "a: \xc3\xa9\xc3\xa9...\n");
    bp_schema_free(s);
}

/* ---- callbacks ---- */

static int stop(void *ctx, const struct bp_op *op, const struct bp_value *v) {
    (void) v;
    *(const char **) ctx = op->name;
    return bp_streq(op->name, "b") ? -77 : 0;
}

static void test_walk_ends_on_demand(void **state) {
    static const struct bp_visitor v = { .value = stop };
    struct bp_schema *s = parse("int8 a\nint8 b\nint8 c");
    const char *last = NULL;

    (void) state;
    assert_int_equal(bp_schema_walk(s,
                                    "\0\1\0\0"
                                    "abc",
                                    7, &v, &last, NULL),
                     -77);
    assert_string_equal(last, "b");
    bp_schema_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encapsulations),
        cmocka_unit_test(test_other_numbers),
        cmocka_unit_test(test_members_in_any_order),
        cmocka_unit_test(test_lying_lengths),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_json_values),
        cmocka_unit_test(test_json_long_arrays),
        cmocka_unit_test(test_wide_strings),
        cmocka_unit_test(test_json_limit),
        cmocka_unit_test(test_text_strings),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_walk_ends_on_demand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
