#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/trigger-rule.h"

static const struct {
    const char *json;
    const char *says; /* NULL: accepted */
} cases[] = {
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"mark\", \"_at\": \"x.yaml, line 3\"}",
      NULL },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1 for 2s\", \"do\": [\"mark hit it\", \"alert critical\", "
      "\"snapshot\", \"start_session n\", \"stop_session\", \"webhook http://h/x\"], \"cooldown\": "
      "\"1min\", \"debounce\": \"100ms\", \"for\": \"3s\", \"on_clear\": \"mark\", \"enabled\": \"no\", "
      "\"text\": \"{value}\", \"severity\": \"info\"}",
      NULL },
    { "{\"name\": \"a b\", \"when\": \"/a.b < 1\", \"do\": \"mark\"}",
      "triggers: trigger 'a b': name: " },
    { "{\"when\": \"/a.b < 1\", \"do\": \"mark\"}", "name: expected" },
    { "{\"name\": \"test\", \"when\": \"/a.b < 1\", \"do\": \"mark\"}", "take another" },
    { "{\"name\": \"a\", \"do\": \"mark\", \"_at\": \"x.yaml, line 3\"}",
      "x.yaml, line 3: trigger 'a': when: is missing" },
    { "{\"name\": \"a\", \"when\": [], \"do\": \"mark\"}", "when: expected one value" },
    { "{\"name\": \"a\", \"when\": \"/a.b <\", \"do\": \"mark\"}", "when: something is missing" },
    { "{\"name\": \"a\", \"when\": \"'x' < 3\", \"do\": \"mark\"}",
      "expected a number, this is a text" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\"}", "do: say what to do" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"dance\"}", "unknown action 'dance'" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"alert loud\"}",
      "expected info, warning" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"snapshot now\"}", "takes no words" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook file:///x\"}", "expected http" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook $BP_TEST_NONE\"}",
      "expected http" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook $BP_TEST_HOOK\"}", NULL },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook ${BP_TEST_HOOK}\"}", NULL },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": [\"mark\", \"mark\", \"mark\", \"mark\", \"mark\", "
      "\"mark\", \"mark\", \"mark\", \"mark\"]}",
      "at most 8 actions" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"mark\", \"coldown\": \"1s\"}",
      "did you mean 'cooldown'" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"mark\", \"for\": \"8d\"}",
      "from 0 to 7d" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"mark\", \"enabled\": \"maybe\"}",
      "is not true or false" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"mark\", \"severity\": \"awful\"}",
      "is not one of" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook secret:hook bearer=secret:t "
      "header:X-Key=$BP_TEST_HOOK header:X-Site=b\"}",
      NULL },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook secret:a/b\"}",
      "expected http" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook secret:\"}", "expected http" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook http://h bearer=x\"}",
      "in the clear" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook http://h token=x\"}",
      "header:NAME=VALUE" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook http://h header:X Y=z\"}",
      "header:NAME=VALUE" },
    { "{\"name\": \"a\", \"when\": \"/a.b < 1\", \"do\": \"webhook http://h header:A=1 header:B=2 "
      "header:C=3 header:D=4 header:E=5\"}",
      "at most 4 headers" },
    { "{", "is no JSON object" },
    { "[]", "is no JSON object" },
};

static void test_rules(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_CLEANUP(bp_trigger_rules_done) struct bp_trigger_rules rules = { 0 };
        char *one[] = { (char *) (uintptr_t) cases[i].json };
        struct bp_config_list list = { one, 1 };
        struct bp_error err = { 0 };
        int r = bp_trigger_rules_parse(&list, &rules, &err);

        if (!cases[i].says && r != 0)
            fail_msg("%s: %s", cases[i].json, err.text);
        if (cases[i].says && (r != BP_ECONFIG || !strstr(err.text, cases[i].says)))
            fail_msg("%s: %d %s", cases[i].json, r, err.text);
    }
}

static void test_values(void **state) {
    BP_CLEANUP(bp_trigger_rules_done) struct bp_trigger_rules rules = { 0 };
    char *two[] = { (char *) (uintptr_t) cases[1].json, (char *) (uintptr_t) cases[1].json };
    struct bp_config_list list = { two, 1 };
    const struct bp_trigger_rule *r;
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(bp_trigger_rules_parse(&list, &rules, &err), 0);
    r = &rules.v[0];
    assert_int_equal(r->hold, 3 * BP_SEC); /* the longest of them */
    assert_int_equal(r->debounce, 100 * BP_MS);
    assert_int_equal(r->cooldown, 60 * BP_SEC);
    assert_int_equal(r->severity, BP_SEVERITY_CRITICAL); /* of the action itself */
    assert_false(r->enabled);
    assert_int_equal(r->nactions, 6);
    assert_int_equal(r->nend, 1);
    assert_string_equal(r->actions[0].arg, "hit it");
    bp_trigger_rules_done(&rules);
    list.n = 2;
    assert_int_equal(bp_trigger_rules_parse(&list, &rules, &err), BP_ECONFIG);
    assert_non_null(strstr(err.text, "two named 'a'"));
}

static const struct {
    const char *url, *shown;
} hooks[] = {
    { "http://h:80/a/b?c=d", "http://h:80/…" },
    { "https://user:word@h", "https://h" },
    { "https://user:word@h/x@y", "https://h/…" },
    { "https://h?token=1", "https://h/…" },
    { "https://h#x", "https://h/…" },
};

static void test_shown(void **state) {
    char text[64];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(hooks); i++)
        assert_string_equal(bp_trigger_webhook_shown(hooks[i].url, text, sizeof text),
                            hooks[i].shown);
}

static const struct {
    const char *text, *shown;
} texts[] = {
    { "mark", "mark" },
    { "webhook", "webhook" },
    { "/a.b < 1 and contains(/c.d, \"http://h/x\")",
      "/a.b < 1 and contains(/c.d, \"http://h/x\")" },
    { "webhook https://user:word@h/x?y=z", "webhook https://h/…" },
    { "webhook secret:hook", "webhook secret:hook" },
    { "webhook $HOOK", "webhook $HOOK" },
    { "webhook http://h/x bearer=secret:t header:X-Key=abc header:Y=$Z nonsense",
      "webhook http://h/… bearer=secret:t header:X-Key=******** header:Y=$Z ********" },
    { "webhook http://h header:X=secret:a/b", "webhook http://h header:X=********" },
};

static void test_texts(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(texts); i++) {
        BP_AUTO_FREE char *got = bp_trigger_shown(texts[i].text);

        assert_string_equal(got, texts[i].shown);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_shown),
        cmocka_unit_test(test_texts),
    };

    (void) setenv("BP_TEST_HOOK", "http://h/secret", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
