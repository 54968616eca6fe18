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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
