#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "base/macro.h"
#include "sync/merge.h"

static void compare(void **state) {
    static const struct {
        const char *ours, *theirs;
        int want;
    } cases[] = {
        { "{\"version\":{\"a\":1}}", "{\"version\":{\"a\":1}}", BP_SYNC_SAME },
        { "{}", "{}", BP_SYNC_SAME },
        { "{\"version\":{\"a\":2}}", "{\"version\":{\"a\":1}}", BP_SYNC_OURS_NEWER },
        { "{\"version\":{\"a\":1}}", "{\"version\":{\"a\":1,\"b\":1}}", BP_SYNC_THEIRS_NEWER },
        { "{\"version\":{\"a\":2}}", "{\"version\":{\"a\":1,\"b\":1}}", BP_SYNC_CONCURRENT },
        { "{\"n\":1,\"version\":{\"a\":1}}", "{\"n\":2,\"version\":{\"a\":1}}",
          BP_SYNC_CONCURRENT },
        { "{\"version\":{\"a\":-5}}", "{\"version\":{\"a\":\"x\"}}", BP_SYNC_CONCURRENT },
        { "{\"version\":7}", "{\"version\":{\"a\":1}}", BP_SYNC_THEIRS_NEWER },
        { "[]", "{}", -EINVAL },
        { "{}", "nonsense", -EINVAL },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++)
        if (bp_sync_compare(cases[i].ours, cases[i].theirs) != cases[i].want)
            fail_msg("%s %s", cases[i].ours, cases[i].theirs);
}

static const char ours[] =
    "{\"name\":\"a\",\"mission\":\"dig\",\"operator\":\"\",\"notes\":\"wet\",\"tags\":[\"x\",\"y\"],"
    "\"marks\":[{\"wall_ns\":\"1\",\"text\":\"m\"}],\"version\":{\"r7\":3,\"site\":1}}";
static const char theirs[] =
    "{\"name\":\"a\",\"mission\":\"fill\",\"operator\":\"Eve\",\"notes\":\"wet\",\"tags\":[\"y\",\"z\"],"
    "\"marks\":[{\"wall_ns\":\"2\",\"text\":\"m\"}],\"extra\":5,\"version\":{\"r7\":1,\"site\":2}}";

static void check(char *text, const char *want) {
    json_t *a = json_loads(text, 0, NULL), *b = json_loads(want, 0, NULL);

    assert_non_null(a);
    assert_non_null(b);
    if (!json_equal(a, b))
        fail_msg("%s", text);
    json_decref(a);
    json_decref(b);
    free(text);
}

static void merge(void **state) {
    char *out = NULL;

    (void) state;
    assert_int_equal(bp_sync_merge(ours, theirs, "r7", false, &out), 0);
    check(out,
          "{\"name\":\"a\",\"mission\":\"dig\",\"operator\":\"Eve\",\"notes\":\"wet\","
          "\"tags\":[\"y\",\"z\",\"x\"],\"marks\":[{\"wall_ns\":\"2\",\"text\":\"m\"},"
          "{\"wall_ns\":\"1\",\"text\":\"m\"}],\"extra\":5,\"version\":{\"r7\":4,\"site\":2}}");
    assert_int_equal(bp_sync_merge(ours, theirs, "r7", true, &out), 0);
    check(out, "{\"name\":\"a\",\"mission\":\"fill\",\"operator\":\"Eve\","
               "\"notes\":\"wet\\nmission (r7): dig\",\"tags\":[\"y\",\"z\",\"x\"],"
               "\"marks\":[{\"wall_ns\":\"2\",\"text\":\"m\"},{\"wall_ns\":\"1\",\"text\":\"m\"}],"
               "\"extra\":5,\"version\":{\"r7\":4,\"site\":2}}");
    assert_int_equal(bp_sync_merge("x", theirs, "r7", true, &out), -EINVAL);
}

/* Both sides come to the same content, whoever merges. */
static void agree(void **state) {
    static const char a[] = "{\"m\":\"1\",\"version\":{\"a\":1}}";
    static const char b[] = "{\"m\":\"2\",\"version\":{\"b\":1}}";
    char *x = NULL, *y = NULL;

    (void) state;
    assert_int_equal(bp_sync_merge(a, b, "a", false, &x), 0);
    assert_int_equal(bp_sync_merge(b, a, "b", false, &y), 0);
    check(x, "{\"m\":\"2\",\"version\":{\"a\":2,\"b\":1}}");
    check(y, "{\"m\":\"2\",\"version\":{\"a\":1,\"b\":2}}");
}

static void supersede(void **state) {
    char *out = NULL;

    (void) state;
    assert_int_equal(bp_sync_supersede("{\"n\":1,\"version\":{\"a\":1}}",
                                       "{\"n\":2,\"version\":{\"b\":7}}", "a", &out),
                     0);
    check(out, "{\"n\":1,\"version\":{\"a\":2,\"b\":7}}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare),
        cmocka_unit_test(merge),
        cmocka_unit_test(agree),
        cmocka_unit_test(supersede),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
