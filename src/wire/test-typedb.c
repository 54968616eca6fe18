#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/macro.h"
#include "wire/schema.h"

#define LINE "================================================================================\n"

static const struct {
    const char *type, *text; /* NULL: unknown */
} cases[] = {
    { "std_msgs/msg/Header", "builtin_interfaces/Time stamp\nstring frame_id\n" LINE
                             "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n" },
    { "std_msgs/msg/Empty", "" },
    { "std_srvs/srv/SetBool_Request", "bool data\n" },
    { "std_srvs/srv/SetBool_Response", "bool success\nstring message\n" },
    { "std_srvs/srv/Empty_Request", "" },
    { "example_interfaces/action/Fibonacci_Feedback", "int32[] sequence\n" },
    { "example_interfaces/action/Fibonacci_SendGoal_Request",
      "unique_identifier_msgs/msg/UUID goal_id\nexample_interfaces/action/Fibonacci_Goal goal\n" LINE
      "MSG: unique_identifier_msgs/UUID\nuint8[16] uuid\n" LINE
      "MSG: example_interfaces/action/Fibonacci_Goal\nint32 order\n" },
    { "std_srvs/srv/SetBool_Event",
      "service_msgs/msg/ServiceEventInfo info\nstd_srvs/srv/SetBool_Request[<=1] request\n"
      "std_srvs/srv/SetBool_Response[<=1] response\n" LINE
      "MSG: service_msgs/ServiceEventInfo\nuint8 REQUEST_SENT=0\nuint8 REQUEST_RECEIVED=1\n"
      "uint8 RESPONSE_SENT=2\nuint8 RESPONSE_RECEIVED=3\nuint8 event_type\n"
      "builtin_interfaces/Time stamp\nchar[16] client_gid\nint64 sequence_number\n" LINE
      "MSG: std_srvs/srv/SetBool_Request\nbool data\n" LINE
      "MSG: std_srvs/srv/SetBool_Response\nbool success\nstring message\n" LINE
      "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n" },
    { "std_msgs/msg/Nothing", NULL },
    { "std_msgs/Header", NULL },
    { "../msg/x", NULL },
    { "", NULL },
    { "a/msg/", NULL },
    { "std_srvs/srv/SetBool", NULL }, /* a service is no message */
};

static void test_texts(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_BUF b = { 0 };
        struct bp_error err = { 0 };
        int r = bp_typedb_text(cases[i].type, &b, &err);

        if (!cases[i].text) {
            assert_int_equal(r, -2);
            assert_int_equal(b.n, 0);
            assert_true(err.text[0]);
            continue;
        }
        if (r < 0)
            fail_msg("%s: %s", cases[i].type, err.text);
        assert_string_equal(bp_buf_cstr(&b), cases[i].text);
    }
}

/* No entry may name a type that is not there. */
static void resolve(void *ctx, const char *type) {
    static const char *const implied[] = {
        "_Request",        "_Response",           "_Event",
        "_SendGoal_Event", "_GetResult_Response", "_FeedbackMessage"
    };
    size_t from = strstr(type, "/msg/") ? BP_COUNT(implied) : strstr(type, "/srv/") ? 0 : 3;
    size_t to = strstr(type, "/srv/") ? 3 : BP_COUNT(implied);
    BP_AUTO_BUF b = { 0 };
    struct bp_error err = { 0 };

    ++*(int *) ctx;
    if (strstr(type, "/msg/") && bp_typedb_text(type, &b, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = from; i < to; i++) {
        char name[300];

        (void) snprintf(name, sizeof name, "%s%s", type, implied[i]);
        bp_buf_clear(&b);
        if (bp_typedb_text(name, &b, &err) < 0)
            fail_msg("%s", err.text);
    }
}

static void test_table_is_closed(void **state) {
    int n = 0;

    (void) state;
    bp_typedb_each(resolve, &n);
    assert_true(n > 240);
}

/* ---- .idl files ---- */

static const struct {
    const char *file, *text;
} idl_files[] = {
    { "idl_msgs/msg/Own.idl",
      "// generated from rosidl_adapter/resource/msg.idl.em\n#include \"std_msgs/msg/Header.idl\"\n"
      "module idl_msgs {\n  module msg {\n"
      "    typedef double double__9[9];\n    typedef Part Part__2[2];\n"
      "    module Own_Constants {\n      const uint8 LEFT = 1;\n"
      "      const string WORD = \"a b\";\n      const boolean GOOD = TRUE;\n"
      "      const long SUM = 1 + 2;\n    };\n"
      "    @verbatim (language=\"comment\", text=\"A thing; it has parts\")\n"
      "    struct Own {\n      std_msgs::msg::Header header;\n"
      "      @default (value=7)\n      int32 number;\n      octet raw;\n"
      "      sequence<float, 4> few;\n      sequence<idl_msgs::msg::Part> parts;\n"
      "      Part__2 two;\n      string<16> name;\n      sequence<string> names;\n"
      "      double__9 matrix;\n      @unit(value=\"m\") double length;\n"
      "      wstring wide;\n    };\n  };\n};\n" },
    { "idl_msgs/msg/Part.idl",
      "module idl_msgs { module msg { struct Part { boolean good; unsigned long long n; }; }; };\n" },
    { "idl_msgs/msg/Both.msg", "int8 from_msg\n" },
    { "idl_msgs/msg/Both.idl", "module idl_msgs { module msg { struct Both { int8 x; }; }; };\n" },
    { "idl_msgs/msg/Mixed.msg", "Part part\n" },
    { "idl_msgs/msg/Letter.idl",
      "module idl_msgs { module msg { struct Letter { char c; }; }; };" },
    { "idl_msgs/msg/Bad.idl", "module idl_msgs { module msg {\n  struct Bad { int8 }; }; };\n" },
    { "idl_msgs/msg/Other.idl", "module idl_msgs { module msg { struct One { int8 x; }; }; };\n" },
    { "idl_msgs/srv/Ask.idl", "module idl_msgs { module srv { struct Ask_Request { string q; };\n"
                              "struct Ask_Response { string a; long n; }; }; };\n" },
};

static const struct {
    const char *type;
    int code;
    const char *want; /* text, or error */
} idl_cases[] = {
    { "idl_msgs/msg/Own", 0,
      "uint8 LEFT=1\nstring WORD=\"a b\"\nbool GOOD=true\nstd_msgs/msg/Header header\n"
      "int32 number\nbyte raw\nfloat32[<=4] few\nidl_msgs/msg/Part[] parts\n"
      "idl_msgs/msg/Part[2] two\nstring<=16 name\nstring[] names\nfloat64[9] matrix\n"
      "float64 length\nwstring wide\n" LINE
      "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n" LINE
      "MSG: idl_msgs/Part\nbool good\nuint64 n\n" LINE
      "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n" },
    { "idl_msgs/msg/Both", 0, "int8 from_msg\n" },
    { "idl_msgs/msg/Mixed", 0, "Part part\n" LINE "MSG: idl_msgs/Part\nbool good\nuint64 n\n" },
    { "idl_msgs/srv/Ask_Response", 0, "string a\nint32 n\n" },
    { "idl_msgs/msg/Letter", BP_EUNSUPPORTED,
      "definition of 'idl_msgs/msg/Letter': idl_msgs/msg/Letter.idl: 'c' is a char, which no .msg "
      "has" },
    { "idl_msgs/msg/Bad", BP_EFORMAT,
      "definition of 'idl_msgs/msg/Bad': idl_msgs/msg/Bad.idl: line 2, column 21: a member's name "
      "expected, found '}'" },
    { "idl_msgs/msg/Other", BP_EFORMAT,
      "definition of 'idl_msgs/msg/Other': idl_msgs/msg/Other.idl: struct 'idl_msgs/msg/Other' is "
      "not there" },
    { "idl_msgs/msg/None", -2,
      "no definition of 'idl_msgs/msg/None' in the embedded table, in AMENT_PREFIX_PATH or in "
      "--definitions" },
};

static void check_idl(void) {
    for (size_t i = 0; i < BP_COUNT(idl_cases); i++) {
        struct bp_error err = { 0 };
        BP_AUTO_BUF b = { 0 };
        char hash[72];
        int r = bp_typedb_text(idl_cases[i].type, &b, &err);

        assert_int_equal(r, idl_cases[i].code);
        assert_string_equal(r < 0 ? err.text : bp_buf_cstr(&b), idl_cases[i].want);
        if (r == 0 && bp_typedb_hash(idl_cases[i].type, hash, &err) < 0)
            fail_msg("%s", err.text);
    }
}

static void test_idl_files(void **state) {
    char root[] = "/tmp/bp-test-idl-XXXXXX", path[256], command[300];

    (void) state;
    assert_non_null(mkdtemp(root));
    (void) snprintf(command, sizeof command, "mkdir -p %s/share/idl_msgs/msg %s/share/idl_msgs/srv",
                    root, root);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
    for (size_t i = 0; i < BP_COUNT(idl_files); i++) {
        FILE *f;

        (void) snprintf(path, sizeof path, "%s/share/%s", root, idl_files[i].file);
        f = fopen(path, "w");
        assert_non_null(f);
        (void) fputs(idl_files[i].text, f);
        (void) fclose(f);
    }
    assert_int_equal(setenv("AMENT_PREFIX_PATH", root, 1), 0); /* NOLINT(concurrency-mt-unsafe) */
    check_idl();
    assert_int_equal(unsetenv("AMENT_PREFIX_PATH"), 0); /* NOLINT(concurrency-mt-unsafe) */
    assert_int_equal(bp_typedb_text("idl_msgs/msg/Part", &(struct bp_buf){ 0 }, NULL), -2);
    assert_int_equal(bp_typedb_add_dir(root, NULL), 0);
    check_idl();
    (void) snprintf(command, sizeof command, "rm -rf %s", root);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
}

static void test_folders(void **state) {
    char dir[] = "/tmp/bp-test-types-XXXXXX", path[256];
    BP_AUTO_BUF b = { 0 };
    FILE *f;

    (void) state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(bp_typedb_add_dir("/nonexistent", NULL), -2);
    assert_int_equal(bp_typedb_add_dir(dir, NULL), 0);
    for (int i = 0; i < 3; i++) {
        static const char *const below[] = { "deep", "deep/my_msgs", "deep/my_msgs/msg" };

        (void) snprintf(path, sizeof path, "%s/%s", dir, below[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    (void) snprintf(path, sizeof path, "%s/deep/my_msgs/msg/Own.msg", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    (void) fprintf(f, "# mine\nHeader header # a comment\nOther[] others\nfloat32 x 1.5");
    (void) fclose(f);
    assert_int_equal(bp_typedb_text("my_msgs/msg/Own", &b, NULL), -2); /* Other is missing */

    (void) snprintf(path, sizeof path, "%s/deep/my_msgs/msg/Other.msg", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    (void) fprintf(f, "bool yes\n");
    (void) fclose(f);
    bp_buf_clear(&b);
    assert_int_equal(bp_typedb_text("my_msgs/msg/Own", &b, NULL), 0);
    assert_non_null(strstr(bp_buf_cstr(&b), "MSG: std_msgs/Header\n"));
    assert_non_null(strstr(bp_buf_cstr(&b), "MSG: my_msgs/Other\nbool yes\n"));
    (void) unlink(path);
    (void) snprintf(path, sizeof path, "%s/deep/my_msgs/msg/Own.msg", dir);
    (void) unlink(path);
    for (int i = 2; i >= 0; i--) {
        static const char *const below[] = { "deep", "deep/my_msgs", "deep/my_msgs/msg" };

        (void) snprintf(path, sizeof path, "%s/%s", dir, below[i]);
        (void) rmdir(path);
    }
    (void) rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_table_is_closed),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_idl_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
