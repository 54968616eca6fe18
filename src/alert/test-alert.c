#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
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

static const char *text_at(const json_t *alert, const char *key) {
    const char *s = json_string_value(json_object_get(alert, key));

    return s ? s : "-";
}

/* Who has seen it stays with it, until it is graver or another one. */
static void acknowledged(void **state) {
    BP_CLEANUP(bp_alerts_freep) struct bp_alerts *a = bp_alerts_new(note, NULL);
    struct bp_error err;
    json_t *one = NULL, *all;

    (void) state;
    *events = '\0';
    assert_int_equal(bp_alerts_acknowledge(a, "a", "jane", NULL, &one, &err), -ENOENT);
    bp_alerts_raise(a, "a", BP_SEVERITY_WARNING, "one");
    assert_int_equal(bp_alerts_acknowledge(a, "a", "jane", NULL, &one, &err), 0);
    assert_string_equal(text_at(one, "acknowledged_by"), "jane");
    assert_string_equal(text_at(one, "note"), "-");
    assert_true(json_is_string(json_object_get(one, "acknowledged_ns")));
    json_decref(one);
    assert_int_equal(bp_alerts_acknowledge(a, "a", "joe", "on my way", &one, &err), 0);
    json_decref(one);
    bp_alerts_raise(a, "a", BP_SEVERITY_INFO, "two");

    all = bp_alerts_json(a, true);
    assert_string_equal(text_at(at(all, 0), "acknowledged_by"), "joe");
    assert_string_equal(text_at(at(all, 0), "note"), "on my way");
    json_decref(all);

    bp_alerts_clear(a, "a");
    assert_int_equal(bp_alerts_acknowledge(a, "a", "jane", NULL, &one, &err), -ENOENT);
    bp_alerts_raise(a, "a", BP_SEVERITY_WARNING, "one");
    all = bp_alerts_json(a, true);
    assert_true(json_is_null(json_object_get(at(all, 0), "acknowledged_ns")));
    assert_string_equal(text_at(at(all, 1), "note"), "on my way");
    json_decref(all);

    assert_int_equal(bp_alerts_acknowledge(a, "a", "jane", "x", &one, &err), 0);
    json_decref(one);
    bp_alerts_raise(a, "a", BP_SEVERITY_CRITICAL, "one");
    all = bp_alerts_json(a, false);
    assert_string_equal(text_at(at(all, 0), "acknowledged_by"), "-");
    assert_string_equal(text_at(at(all, 0), "note"), "-");
    json_decref(all);
    assert_string_equal(events, "raised a=one;acknowledged a=one;acknowledged a=one;changed a=two;"
                                "cleared a=two;raised a=one;acknowledged a=one;changed a=one;");
}

/* What is too long is cut between characters: it must stay text. */
static void long_texts(void **state) {
    BP_CLEANUP(bp_alerts_freep) struct bp_alerts *a = bp_alerts_new(NULL, NULL);
    struct bp_error err;
    char text[401];
    json_t *one = NULL;

    (void) state;
    for (size_t i = 0; i < 80; i++)
        memcpy(text + 5 * i, "\xc3\xbc\xe2\x82\xac", 5); /* "ü€" */
    text[400] = '\0';
    for (size_t from = 0; from < 6; from++) {
        const char *s = text;

        for (size_t i = 0; i < from; i++) /* the cut falls elsewhere in a character */
            s += (*s & 0xf0) == 0xe0 ? 3 : 2;
        bp_alerts_raise(a, s, BP_SEVERITY_INFO, s);
        bp_alerts_raise(a, s, BP_SEVERITY_INFO, s);
        assert_int_equal(bp_alerts_active(a), 1);
        assert_int_equal(bp_alerts_acknowledge(a, s, s, s, &one, &err), 0);
        assert_non_null(one);
        assert_int_equal(json_integer_value(json_object_get(one, "count")), 2);
        assert_in_range(strlen(text_at(one, "key")), 125, 127);
        assert_in_range(strlen(text_at(one, "text")), 253, 255);
        assert_in_range(strlen(text_at(one, "acknowledged_by")), 61, 63);
        json_decref(one);
        bp_alerts_clear(a, s);
    }
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
        cmocka_unit_test(acknowledged),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
