#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "alert/alert.h"

static char events[1024]; /* "raised a=one;" */

static void note(void *ctx, const char *event, const json_t *alert) {
    size_t n = strlen(events);

    (void) ctx;
    (void) snprintf(events + n, sizeof events - n, "%s %s=%s;", event,
                    json_string_value(json_object_get(alert, "key")),
                    json_string_value(json_object_get(alert, "text")));
}

static json_t *at(const json_t *list, size_t i) {
    return json_array_get(json_object_get(list, "alerts"), i);
}

static void told_once(void **state) {
    BP_CLEANUP(bp_alerts_freep) struct bp_alerts *a = bp_alerts_new(note, NULL);
    json_t *all;

    (void) state;
    *events = '\0';
    bp_alerts_raise(a, "a", BP_SEVERITY_WARNING, "one");
    bp_alerts_raise(a, "a", BP_SEVERITY_WARNING, "one");
    bp_alerts_raise(a, "a", BP_SEVERITY_CRITICAL, "one");
    bp_alerts_raise(a, "b", BP_SEVERITY_INFO, "two");
    bp_alerts_clear(a, "a");
    bp_alerts_clear(a, "a");
    bp_alerts_clear(a, "never");
    assert_string_equal(events, "raised a=one;changed a=one;raised b=two;cleared a=one;");
    assert_int_equal(bp_alerts_active(a), 1);

    all = bp_alerts_json(a, true);
    assert_string_equal(json_string_value(json_object_get(at(all, 0), "key")), "b");
    assert_string_equal(json_string_value(json_object_get(at(all, 1), "state")), "cleared");
    assert_int_equal(json_integer_value(json_object_get(at(all, 1), "count")), 3);
    assert_true(json_is_string(json_object_get(at(all, 1), "cleared_ns")));
    assert_null(at(all, 2));
    json_decref(all);
    all = bp_alerts_json(a, false);
    assert_null(at(all, 1));
    json_decref(all);
}

/* A key that changes for ever costs no memory, and what is not kept is counted. */
static void bounded(void **state) {
    BP_CLEANUP(bp_alerts_freep) struct bp_alerts *a = bp_alerts_new(NULL, NULL);
    BP_AUTO_BUF out = { 0 };
    char key[300];
    json_t *all;

    (void) state;
    for (int i = 0; i < BP_ALERTS_ACTIVE + 10; i++) {
        (void) snprintf(key, sizeof key, "k%d", i);
        bp_alerts_raise(a, key, BP_SEVERITY_INFO, "x");
    }
    assert_int_equal(bp_alerts_active(a), BP_ALERTS_ACTIVE);
    bp_alerts_metrics(a, &out);
    assert_non_null(memmem(out.p, out.n, "refused_total 10\n", 17));
    assert_non_null(memmem(out.p, out.n, "active{severity=\"info\"} 256\n", 28));

    for (int i = 0; i < BP_ALERTS_ACTIVE; i++) {
        (void) snprintf(key, sizeof key, "k%d", i);
        bp_alerts_clear(a, key);
    }
    for (int i = 0; i < 3; i++) {
        bp_alerts_raise(a, "again", BP_SEVERITY_INFO, "x");
        bp_alerts_clear(a, "again");
    }
    all = bp_alerts_json(a, true);
    assert_int_equal(json_array_size(json_object_get(all, "alerts")), BP_ALERTS_PAST);
    assert_string_equal(json_string_value(json_object_get(at(all, 2), "key")), "again");
    assert_string_equal(json_string_value(json_object_get(at(all, 3), "key")), "k255");
    json_decref(all);

    memset(key, 'x', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    bp_alerts_raise(a, key, BP_SEVERITY_INFO, key);
    bp_alerts_raise(a, key, BP_SEVERITY_INFO, key);
    assert_int_equal(bp_alerts_active(a), 1);
    bp_alerts_clear(a, key);
    assert_int_equal(bp_alerts_active(a), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told_once),
        cmocka_unit_test(bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
