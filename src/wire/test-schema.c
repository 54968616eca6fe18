#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/io.h"
#include "wire/plan.h"
#include "wire/schema.h"

#define LINE "================================================================================\n"

static struct bp_schema *parse(const char *type, const char *encoding, const char *text) {
    struct bp_schema *s = NULL;
    struct bp_error err = { 0 };

    if (bp_schema_parse(type, encoding, bp_str_of(text), &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

/* The type as one line: constants, then fields, "prim[kind bound](string bound) name=default;". */
static void describe(const struct bp_type *t, struct bp_buf *b) {
    for (size_t i = 0; i < t->nconsts; i++)
        bp_buf_printf(b, "%s=%.*s; ", t->consts[i].name, (int) t->consts[i].value.n,
                      t->consts[i].value.p);
    for (size_t i = 0; i < t->n; i++) {
        const struct bp_op *op = &t->ops[i];
        bp_buf_printf(b, "%d", (int) op->prim);
        if (op->type)
            bp_buf_printf(b, "(%s)", op->type->name);
        if (op->string_bound)
            bp_buf_printf(b, "<=%u", op->string_bound);
        if (op->array == BP_ARRAY_FIXED || op->array == BP_ARRAY_BOUNDED)
            bp_buf_printf(b, op->array == BP_ARRAY_FIXED ? "[%u]" : "[<=%u]", op->bound);
        bp_buf_printf(b, "%s %s", op->array == BP_ARRAY_SEQ ? "[]" : "", op->name);
        if (op->def.n)
            bp_buf_printf(b, " %.*s", (int) op->def.n, op->def.p);
        bp_buf_put_str(b, "; ");
    }
    if (t->empty)
        bp_buf_put_str(b, "empty");
}

static const struct {
    const char *encoding, *text, *want;
} legal[] = {
    { "ros2msg", "", "empty" },
    { "ros2msg", "# only a comment\n\n   \n\t# another", "empty" },
    { "ros2msg", "int32 a", "7 a; " },
    { "ros2msg", "\xef\xbb\xbfint32 a\r\n\tuint8   b\t# c\r\n", "7 a; 4 b; " },
    { "ros2msg",
      "bool a\nbyte b\nchar c\nint8 d\nuint8 e\nint16 f\nuint16 g\nint32 h\nuint32 i\n"
      "int64 j\nuint64 k\nfloat32 l\nfloat64 m\nstring n\nwstring o",
      "0 a; 1 b; 4 c; 3 d; 4 e; 5 f; 6 g; 7 h; 8 i; 9 j; 10 k; 11 l; 12 m; 14 n; 15 o; " },
    { "ros2msg",
      "uint8[] a\nuint8[3] b\nuint8[<=4] c\nstring<=5 d\nstring<=6[<=7] e\nwstring<=1[] f",
      "4[] a; 4[3] b; 4[<=4] c; 14<=5 d; 14<=6[<=7] e; 15<=1[] f; " },
    { "ros2msg",
      "int32 A=1\nint32 B = -2 # c\nstring S=\"a # b\" # c\nstring T=don't # c\nstring U=\n"
      "float32 F= 1e-3\nbool G=true\nuint8 x",
      "A=1; B=-2; S=\"a # b\"; T=don't; U=; F=1e-3; G=true; 4 x; " },
    { "ros2msg",
      "int32 a 5\nint32[] b [1, 2] # c\nstring c \"x=y # \\\" z\"\nstring d 'it''s'\n"
      "string[<=2] e [\"#\", \"b\"]\nfloat64 f -.5",
      "7 a 5; 7[] b [1, 2]; 14 c \"x=y # \\\" z\"; 14 d 'it''s'; 14[<=2] e [\"#\", \"b\"]; 12 f -.5; " },
    { "ros2msg", "time t\nduration[] d",
      "16(builtin_interfaces/msg/Time) t; 16(builtin_interfaces/msg/Duration)[] d; " },
    { "ros2msg", "builtin_interfaces/Time t\nbuiltin_interfaces/msg/Time u",
      "16(builtin_interfaces/msg/Time) t; 16(builtin_interfaces/msg/Time) u; " },
    { "ros2msg",
      "Header h\nB b\np/B c\np/msg/B[2] d\nq/C e\n" LINE "MSG: std_msgs/Header\nuint8 x\n" LINE
      "MSG: p/B\nq/C c\n" LINE "MSG: q/msg/C # comment\nint8 y\n",
      "16(std_msgs/msg/Header) h; 16(p/msg/B) b; 16(p/msg/B) c; 16(p/msg/B)[2] d; 16(q/msg/C) e; " },
    { "ros2msg", "Header h\n" LINE "MSG: p/Header\nint8 y\n", "16(p/msg/Header) h; " },
    { "ros2msg", "Point h\n" LINE "MSG: geometry_msgs/Point\nint8 y\n",
      "16(geometry_msgs/msg/Point) h; " }, /* ROS 1 tools shorten names */
    { "ros2msg", "p/B b\n" LINE "MSG: p/B\nint8 y\n" LINE "MSG: p/B\nint8 y\n", /* twice */
      "16(p/msg/B) b; " },
    { "ros2msg", "int8 _a\nint8 Upper_Case9\n", "3 _a; 3 Upper_Case9; " },
    { "ros2idl", LINE "IDL: p/msg/T\nmodule p { module msg { struct T { long a; }; }; };",
      "7 a; " },
    { "ros2idl",
      "// c\n#include \"x\"\n/* c\n * d */ module p { module msg { struct T { short a, b[2]; "
      "unsigned short c; long d; unsigned long e; long long f; unsigned long long g; float h; "
      "double i; char j; wchar k; octet l; boolean m; string n; wstring<3> o; }; }; };",
      "5 a; 5[2] b; 6 c; 7 d; 8 e; 9 f; 10 g; 11 h; 12 i; 2 j; 13 k; 1 l; 0 m; 14 n; 15<=3 o; " },
    { "ros2idl",
      "module p { module msg { module T_Constants { const uint8 N = 0x10; const string S = "
      "\"a;b\" \"c\"; const octet O = 010; @verbatim (language=\"comment\", text=\"(;\" \"}\") "
      "const float F = -1.5e+3; };"
      "typedef double d3[3]; typedef sequence<string<2>, 5> ss; enum E { @a X, Y };"
      "@verbatim (language=\"comment\", text=\"x\") struct T { @default (value=5) @unit (value=\"m\") "
      "int32 a; d3 b; ss c; E d; sequence<E> e; uint8 f[T_Constants::N]; sequence<p::msg::T_Constants_, 2> g; ::q::msg::B h; "
      "msg::d3 i; octet j[T_Constants::O]; }; struct T_Constants_ { int8 x; }; }; };"
      "module q { module msg { struct B { uint8 structure_needs_at_least_one_member; }; }; };",
      "N=0x10; S=\"a;b\" \"c\"; O=010; F=-1.5e+3; 7 a 5; 12[3] b; 14<=2[<=5] c; 8 d; 8[] e; 4[16] f; "
      "16(p/msg/T_Constants_)[<=2] g; 16(q/msg/B) h; 12[3] i; 1[8] j; " },
};

static void test_legal(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(legal); i++) {
        struct bp_schema *s = parse("p/msg/T", legal[i].encoding, legal[i].text);
        BP_AUTO_BUF b = { 0 };

        describe(bp_schema_type(s), &b);
        assert_string_equal(bp_buf_cstr(&b), legal[i].want);
        bp_schema_free(s);
    }
}

static const struct {
    const char *encoding, *text;
    int code;
    const char *want; /* part of the error */
} illegal[] = {
    { "ros2msg", "int32", BP_EFORMAT, "line 1, column 6: a field name expected, the line ends" },
    { "ros2msg", "\n int32 9a", BP_EFORMAT, "line 2, column 8: a field name expected, found '9a'" },
    { "ros2msg", "int32 a b\nint32[ a", BP_EFORMAT, "line 2, column 7: a number" },
    { "ros2msg", "int32[] a\nint32[0] b", BP_EFORMAT, "line 2, column 7: a number" },
    { "ros2msg", "int32[<=0] b", BP_EFORMAT, "a number from 1" },
    { "ros2msg", "int32[2147483648] b", BP_EFORMAT, "a number from 1" },
    { "ros2msg", "int32[99999999999999999999999] b", BP_EFORMAT, "a number from 1" },
    { "ros2msg", "int32[3 b", BP_EFORMAT, "column 8: ']' expected" },
    { "ros2msg", "int32[3][4] b", BP_EFORMAT, "a blank before the name" },
    { "ros2msg", "int32<=3 b", BP_EFORMAT, "only strings have a bound" },
    { "ros2msg", "string<=x b", BP_EFORMAT, "a number" },
    { "ros2msg", "string<=3", BP_EFORMAT, "a field name" },
    { "ros2msg", "string< 3 b", BP_EFORMAT, "a blank before" },
    { "ros2msg", "$ a", BP_EFORMAT, "line 1, column 1: a type expected, found '$ a'" },
    { "ros2msg", "a/b/c/ d", BP_EFORMAT, "a type expected" },
    { "ros2msg", "int32 a-b", BP_EFORMAT, "a blank, '=' or the end" },
    { "ros2msg", "int32 A=", BP_EFORMAT, "a value expected" },
    { "ros2msg", "int32[] A=1", BP_EFORMAT, "a primitive type (of a constant)" },
    { "ros2msg", "p/B A=1", BP_EFORMAT, "a primitive type (of a constant)" },
    { "ros2msg", "p/B a 1", BP_EFORMAT, "only primitives have defaults" },
    { "ros2msg", "string a \"x # y", BP_EFORMAT, "column 10: a closing quote" },
    { "ros2msg", "int32 a\nint8 a", BP_EFORMAT, "line 2: field 'a' appears twice" },
    { "ros2msg", "B b", BP_EFORMAT, "the type p/msg/B of field 'b' is not defined" },
    { "ros2msg", "T t", BP_EFORMAT, "type p/msg/T contains itself" },
    { "ros2msg", "B t\n" LINE "MSG: p/B\nC[] c\n" LINE "MSG: p/C\nB[] b", BP_EFORMAT,
      "contains itself" },
    { "ros2msg", "x/Point a\n" LINE "MSG: a/Point\nint8 x\n" LINE "MSG: b/Point\nint8 x",
      BP_EFORMAT, "is not defined" },
    { "ros2msg", "int8 a\n" LINE "int8 b", BP_EFORMAT, "line 3: \"MSG: package/Type\" expected" },
    { "ros2msg", "int8 a\n" LINE "MSG: $\nint8 b", BP_EFORMAT, "line 3: '$' is not the name" },
    { "ros2msg", "int8 a\n" LINE "MSG: p/B\nint8 b\n" LINE "MSG: p/C\n\nint8 ?", BP_EFORMAT,
      "p/msg/C, line 8, column 6" },
    { "ros2msg", "int8 a\n---\nint8 b", BP_EFORMAT, "line 2: '---' in a message" },
    { "ros2msg", "int8 a\x01", BP_EFORMAT, "column 7" },
    { "ros1msg", "int8 a", BP_EUNSUPPORTED, "'ros1msg' are not understood" },
    { "ros2idl", "", BP_EFORMAT, "does not define p/msg/T" },
    { "ros2idl", "module p {", BP_EFORMAT, "line 1, column 11: '}' expected, the text ends" },
    { "ros2idl", "}", BP_EFORMAT, "a declaration expected, found '}'" },
    { "ros2idl", "module 9 {", BP_EFORMAT, "a module's name" },
    { "ros2idl", "foo", BP_EFORMAT, "module, struct, typedef" },
    { "ros2idl", "module p { module msg { struct T { int32 a };", BP_EFORMAT,
      "';' expected, found '}'" },
    { "ros2idl", "module p {\nmodule msg {\nstruct T {\n int32 a; int8 a; }; }; };", BP_EFORMAT,
      "line 4: field 'a' appears twice" },
    { "ros2idl", "module p { struct T { @optional int32 a; }; };", BP_EUNSUPPORTED, "optional" },
    { "ros2idl", "module p { struct T : U { int32 a; }; };", BP_EUNSUPPORTED, "inheritance" },
    { "ros2idl", "module p { union U switch(long) {}; };", BP_EUNSUPPORTED, "'union'" },
    { "ros2idl", "module p { struct T { long double a; }; };", BP_EUNSUPPORTED, "long double" },
    { "ros2idl", "module p { struct T { long a[2][3]; }; };", BP_EFORMAT, "one dimension" },
    { "ros2idl", "module p { struct T { sequence<sequence<long> > a; }; };", BP_EFORMAT,
      "one dimension" },
    { "ros2idl", "module p { typedef long x[2]; struct T { x a[3]; }; };", BP_EFORMAT,
      "one dimension" },
    { "ros2idl", "module p { typedef long x[2]; struct T { sequence<x> a; }; };", BP_EFORMAT,
      "one dimension" },
    { "ros2idl", "module p { struct T { long a[0]; }; };", BP_EFORMAT, "a number from 1" },
    { "ros2idl", "module p { struct T { long a[x::Y]; }; };", BP_EFORMAT, "a number from 1" },
    { "ros2idl", "module p { struct T { string<a b; }; };", BP_EFORMAT, "a number from 1" },
    { "ros2idl", "module p { struct T { unsigned float a; }; };", BP_EFORMAT, "'short' expected" },
    { "ros2idl", "module p { const long A = ; };", BP_EFORMAT, "a value" },
    { "ros2idl", "module p { const string A = \"x", BP_EFORMAT, "a closing quote" },
    { "ros2idl", "@verbatim (text=\"x\"", BP_EFORMAT, "')' expected" },
    { "ros2idl", "module p { enum E { A, }; };", BP_EFORMAT, "an enumerator" },
    { "ros2idl", "/* never ends", BP_EFORMAT, "does not define" },
};

static void test_illegal(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(illegal); i++) {
        struct bp_schema *s = NULL;
        struct bp_error err = { 0 };
        int r =
            bp_schema_parse("p/msg/T", illegal[i].encoding, bp_str_of(illegal[i].text), &s, &err);

        if (r != illegal[i].code || !strstr(err.text, illegal[i].want))
            fail_msg("'%s': %d, %s", illegal[i].text, r, err.text);
        assert_null(s);
    }
}

static void test_names(void **state) {
    static const char *const bad[] = { "", "T", "/T", "p/", "p//T", "p/T ", "9/T", "p/msg/a-b" };
    struct bp_schema *s = parse("p/T", "ros2msg", "int8 a");

    (void) state;
    assert_string_equal(bp_schema_type(s)->name, "p/msg/T");
    bp_schema_free(s);
    for (size_t i = 0; i < BP_COUNT(bad); i++)
        assert_int_equal(bp_schema_parse(bad[i], "ros2msg", BP_STR("int8 a"), &s, NULL),
                         BP_EFORMAT);
}

static void test_limits(void **state) {
    struct bp_schema *s = NULL;
    BP_AUTO_BUF b = { 0 };

    (void) state;
    for (unsigned i = 0; i < 64; i++) { /* p/T → p/T1 → … 65 levels */
        if (i > 0)
            bp_buf_printf(&b, LINE "MSG: p/T%u\n", i);
        bp_buf_printf(&b, "T%u t\n", i + 1);
    }
    bp_buf_printf(&b, LINE "MSG: p/T64\n");
    assert_int_equal(
        bp_schema_parse("p/T", "ros2msg", (struct bp_str){ (char *) b.p, b.n }, &s, NULL),
        BP_ELIMIT);
    /* one level less is fine */
    assert_int_equal(bp_schema_parse("p/T1", "ros2msg", (struct bp_str){ "T2 t\n", 5 }, &s, NULL),
                     BP_EFORMAT);
    bp_buf_clear(&b);
    for (unsigned i = 0; i < 5000; i++)
        bp_buf_printf(&b, "int8 a%u\n", i);
    assert_int_equal(
        bp_schema_parse("p/T", "ros2msg", (struct bp_str){ (char *) b.p, b.n }, &s, NULL),
        BP_ELIMIT);
    bp_buf_clear(&b);
    for (unsigned i = 0; i < 5000; i++)
        bp_buf_printf(&b, LINE "MSG: p/T%u\n", i);
    assert_int_equal(
        bp_schema_parse("p/T", "ros2msg", (struct bp_str){ (char *) b.p, b.n }, &s, NULL),
        BP_ELIMIT);
    bp_buf_clear(&b);
    memset(bp_buf_grow(&b, (size_t) 5 << 20), '#', (size_t) 5 << 20);
    assert_int_equal(
        bp_schema_parse("p/T", "ros2msg", (struct bp_str){ (char *) b.p, b.n }, &s, NULL),
        BP_ELIMIT);
}

static void test_sizes(void **state) {
    struct bp_schema *s = parse(
        "p/T", "ros2msg", "int8 a\nfloat64[3] b\nstring c\nB[] d\nB[2] e\n" LINE "MSG: p/B\n");

    (void) state;
    assert_int_equal(bp_schema_type(s)->min_size, 1 + 24 + 4 + 4 + 2);
    assert_int_equal(bp_schema_type(s)->depth, 2);
    bp_schema_free(s);
}

/* ---- type hashes, by those real Jazzy systems have ---- */

static void test_hashes(void **state) {
    BP_AUTO_FREE char *text = NULL;
    size_t n, rows = 0;

    (void) state;
    assert_int_equal(
        bp_io_read_file(&bp_io_posix, BP_TEST_SOURCE "/test-rihs.txt", 1 << 20, &text, &n, NULL),
        0);
    for (char *p = text; *p; rows++) {
        char type[256], want[80], found[72];
        struct bp_error err = { 0 };

        assert_int_equal(sscanf(p, "%255s %79s", type, want), 2);
        if (bp_typedb_hash(type, found, &err) < 0)
            fail_msg("%s", err.text);
        if (!bp_streq(found, want))
            fail_msg("%s: %s, not %s", type, found, want);
        p = strchr(p, '\n') + 1;
    }
    assert_int_equal(rows, 122);
    assert_int_equal(bp_typedb_hash("no_such/msg/Type", (char[72]){ 0 }, NULL), -2);
}

/* ---- what nodes tell; the answers were made with rosbags' serialize_cdr ---- */

static const struct {
    const char *file; /* in corpus/typedesc */
    const char *type, *hash;
    int code;
    const char *want; /* the text, or part of the error */
} answers[] = {
    { "whole", "p/msg/T", "", 0,
      "# mine\nint32 X=5 # five\nint32 a\nB b\nstring[] c\nstring<=9[<=3] d\nuint8[4] e "
      "[1,2,3,4]\nfloat64 f 1.5\n" LINE "MSG: p/B\n" },
    { "big-endian", "p/msg/T", "", 0,
      "# mine\nint32 X=5 # five\nint32 a\nB b\nstring[] c\nstring<=9[<=3] d\nuint8[4] e "
      "[1,2,3,4]\nfloat64 f 1.5\n" LINE "MSG: p/B\n" },
    { "no-sources", "p/msg/T", "", 0,
      "int32 a\np/msg/B b\nstring[] c\nstring<=9[<=3] d\nuint8[4] e\nfloat64 f\n" LINE
      "MSG: p/B\n" },
    { "lying-source", "p/msg/T", "", 0, /* the source gives another hash: not used */
      "int32 a\np/msg/B b\nstring[] c\nstring<=9[<=3] d\nuint8[4] e\nfloat64 f\n" LINE
      "MSG: p/B\n" },
    { "whole", "p/msg/T", "RIHS01_00", BP_EMISMATCH, "has the hash RIHS01_" },
    { "whole", "p/msg/U", "", BP_EMISMATCH, "the node describes p/msg/T" },
    { "refused", "p/msg/T", "", -2, "unknown type" },
    { "wchar", "p/msg/T", "", BP_EUNSUPPORTED, "field 'a'" },
};

static void test_type_descriptions(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(answers); i++) {
        BP_AUTO_FREE char *cdr = NULL;
        BP_AUTO_BUF out = { 0 };
        struct bp_error err = { 0 };
        char path[512];
        size_t n;
        int r;

        (void) snprintf(path, sizeof path, "%s/corpus/typedesc/%s", BP_TEST_SOURCE,
                        answers[i].file);
        assert_int_equal(bp_io_read_file(&bp_io_posix, path, 1 << 20, &cdr, &n, NULL), 0);
        r = bp_schema_from_type_description(cdr, n, answers[i].type, answers[i].hash, &out, &err);
        if (r != answers[i].code)
            fail_msg("%s: %d, %s", answers[i].file, r, err.text);
        if (r == 0)
            assert_string_equal(bp_buf_cstr(&out), answers[i].want);
        else if (!strstr(err.text, answers[i].want))
            fail_msg("%s: %s", answers[i].file, err.text);
        for (size_t cut = 0; cut < n && answers[i].code == 0; cut++)
            (void) !bp_schema_from_type_description(cdr, cut, answers[i].type, "", &out, NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_legal),
        cmocka_unit_test(test_illegal),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_type_descriptions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
