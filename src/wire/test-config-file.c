#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/config-file.h"

struct settings {
    int64_t count;
    uint64_t ring;
    struct bp_config_list topics, rules;
};

#define AT(m) offsetof(struct settings, m)

static const struct bp_config_row rows[] = {
    { "record.count", BP_CONFIG_INT, AT(count), "3", .min = 1, .max = 9, .help = "how many" },
    { "record.ring.size", BP_CONFIG_SIZE, AT(ring), "256MiB", .help = "memory" },
    { "record.topics", BP_CONFIG_LIST, AT(topics), NULL, .help = "these" },
    { "rules", BP_CONFIG_MAPS, AT(rules), NULL, .help = "what to do" },
};

static const struct bp_config_table table = { .rows = rows,
                                              .nrows = BP_COUNT(rows),
                                              .size = sizeof(struct settings) };

static int read_text(struct settings *s, const char *text, struct bp_error *err) {
    assert_int_equal(bp_config_init(&table, s, err), 0);
    return bp_config_read(&table, s, "site.yaml", bp_str_of(text), err);
}

static void reads(void **state) {
    static const char *const texts[] = {
        "record:\n  count: 5\n  ring:\n    size: 1M\n  topics: [/a, '/b c']\n",
        "record.ring.size: 1M # dotted\nrecord:\n  topics:\n  - /a\n  - /b c\n  count: '5'\n",
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(texts); i++) {
        struct bp_error err = { 0 };
        struct settings s;

        if (read_text(&s, texts[i], &err) < 0)
            fail_msg("%s", err.text);
        assert_true(s.count == 5 && s.ring == 1048576);
        assert_int_equal(s.topics.n, 2);
        assert_string_equal(s.topics.v[1], "/b c");
        bp_config_done(&table, &s);
    }
}

/* Sections of a list become objects that say where they stand. */
static void reads_maps(void **state) {
    struct bp_error err = { 0 };
    struct settings s;

    (void) state;
    assert_int_equal(
        read_text(&s, "rules:\n- name: a\n  do: [x, \"y \\\"z\"]\n- {name: 'ü'}\n", &err), 0);
    assert_int_equal(s.rules.n, 2);
    assert_string_equal(s.rules.v[0], "{\"name\": \"a\", \"do\": [\"x\", \"y \\\"z\"], "
                                      "\"_at\": \"site.yaml, line 2\"}");
    assert_string_equal(s.rules.v[1], "{\"name\": \"ü\", \"_at\": \"site.yaml, line 4\"}");
    assert_int_equal(bp_config_set_arg(&table, &s, "rules={\"name\": \"b\"}", &err), 0);
    assert_int_equal(s.rules.n, 1);
    assert_string_equal(s.rules.v[0], "{\"name\": \"b\"}");
    assert_int_equal(bp_config_set_arg(&table, &s, "rules=", &err), 0);
    assert_int_equal(s.rules.n, 0);
    bp_config_done(&table, &s);
    assert_int_equal(read_text(&s, "rules: []\n", &err), 0);
    assert_int_equal(s.rules.n, 0);
    bp_config_done(&table, &s);
}

static void empty_sections_are_fine(void **state) {
    static const char *const texts[] = { "", "# nothing\n", "record:\n", "record:\n  ring:\n" };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(texts); i++) {
        struct bp_error err = { 0 };
        struct settings s;

        assert_int_equal(read_text(&s, texts[i], &err), 0);
        assert_int_equal(s.count, 3);
        bp_config_done(&table, &s);
    }
}

static void refuses(void **state) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "record:\n  count: 50\n",
          "site.yaml, line 2: record.count: '50' is not a whole number, 1 to 9" },
        { "record:\n  ring:\n    sise: 1\n",
          "site.yaml, line 3: unknown key 'record.ring.sise', did you mean 'record.ring.size'?" },
        { "record:\n  count:\n    a: 1\n",
          "site.yaml, line 3: record.count: 'a section' is not a whole number, 1 to 9" },
        { "record:\n  count: [1, 2]\n",
          "site.yaml, line 2: record.count: 'a list' is not a whole number, 1 to 9" },
        { "record:\n  topics: [[1]]\n",
          "site.yaml, line 2: record.topics: a list holds plain values" },
        { "rules: [a]\n", "site.yaml, line 1: rules: each begins with '- name: …'" },
        { "rules:\n- a: 1\n- b: {c: 1}\n",
          "site.yaml, line 3: rules: b: expected a value or a list" },
        { "rules:\n- a: [[1]]\n", "site.yaml, line 2: rules: a: a list holds plain values" },
        { "rules: 5\n", "site.yaml, line 1: rules: '5' is not a list of sections" },
        { "rules:\n  a: 5\n", "site.yaml, line 2: rules: 'a section' is not a list of sections" },
        { "record: 5\n", "site.yaml, line 1: 'record' is a section, expected keys below it" },
        { "- a\n", "site.yaml, line 1: expected keys and values" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_error err = { 0 };
        struct settings s;

        assert_int_equal(read_text(&s, cases[i].text, &err), BP_ECONFIG);
        assert_string_equal(err.text, cases[i].want);
        bp_config_done(&table, &s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(reads), cmocka_unit_test(reads_maps),
                                        cmocka_unit_test(empty_sections_are_fine),
                                        cmocka_unit_test(refuses) };

    return cmocka_run_group_tests_name("wire/config-file", tests, NULL, NULL);
}
