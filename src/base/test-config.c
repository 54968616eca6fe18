#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/config.h"

struct settings {
    bool on;
    int64_t count;
    double share;
    char *listen;
    uint64_t ring;
    bp_ns_t interval;
    int codec;
    struct bp_config_list topics;
    struct bp_config_origins origins;
};

#define AT(m) offsetof(struct settings, m)

static const struct bp_config_row rows[] = {
    { "enabled", BP_CONFIG_BOOL, AT(on), "yes", .help = "whether to" },
    { "record.count", BP_CONFIG_INT, AT(count), "3", .min = 1, .max = 9, .help = "how many" },
    { "record.share", BP_CONFIG_REAL, AT(share), "0.5", .min = 0, .max = 1, .help = "how much" },
    { "record.ring.size", BP_CONFIG_SIZE, AT(ring), "256MiB", .min = 1048576, .max = 1e12,
      .help = "memory" },
    { "record.ring.interval", BP_CONFIG_DURATION, AT(interval), "100ms", .min = 0.001, .max = 10,
      .help = "time", .live = true },
    { "record.codec", BP_CONFIG_CHOICE, AT(codec), "none", .choices = "none|lz4|zstd",
      .help = "which" },
    { "record.topics", BP_CONFIG_LIST, AT(topics), "/a, /b", .help = "these" },
    { "http.listen", BP_CONFIG_TEXT, AT(listen), NULL, .help = "where" },
};

static const struct bp_config_table table = { rows, BP_COUNT(rows), sizeof(struct settings),
                                              AT(origins), NULL };

static void defaults(void **state) {
    struct settings s;
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(bp_config_init(&table, &s, &err), 0);
    assert_true(s.on && s.count == 3 && s.share == 0.5 && s.ring == 256 << 20);
    assert_true(s.interval == 100 * BP_MS && s.codec == 0 && s.listen == NULL);
    assert_int_equal(s.topics.n, 2);
    assert_string_equal(s.topics.v[1], "/b");
    bp_config_done(&table, &s);
}

static void sources(void **state) {
    struct settings s;
    struct bp_error err = { 0 };
    char *env[] = { (char[]){ "HOME=/x" }, (char[]){ "BAGPIPE_RECORD__COUNT=7" },
                    (char[]){ "BAGPIPE_FAULT=nothing of ours" },
                    (char[]){ "BAGPIPE_RECORD__RING__SIZE=2G" }, NULL };

    (void) state;
    assert_int_equal(bp_config_init(&table, &s, &err), 0);
    assert_int_equal(bp_config_set_env(&table, &s, env, &err), 0);
    assert_int_equal(bp_config_set_arg(&table, &s, "http.listen=127.0.0.1:80=x", &err), 0);
    assert_int_equal(bp_config_set_arg(&table, &s, "http.listen=other", &err), 0);
    assert_int_equal(bp_config_set_arg(&table, &s, "record.topics=", &err), 0);
    assert_int_equal(bp_config_set_arg(&table, &s, "enabled=off", &err), 0);
    assert_int_equal(bp_config_set_arg(&table, &s, "record.codec=zstd", &err), 0);
    assert_true(s.count == 7 && s.ring == UINT64_C(2) << 30 && !s.on && s.codec == 2);
    assert_string_equal(s.listen, "other");
    assert_int_equal(s.topics.n, 0);
    bp_config_done(&table, &s);
    assert_null(s.listen);
}

static void refusals(void **state) {
    static const struct {
        const char *arg, *want;
    } cases[] = {
        { "record.count=10", "--set: record.count: '10' is not a whole number, 1 to 9" },
        { "record.count=x", "--set: record.count: 'x' is not a whole number, 1 to 9" },
        { "record.share=2", "--set: record.share: '2' is not a number, 0 to 1" },
        { "record.ring.size=1", "--set: record.ring.size: '1' is not a size, 1.0 MiB to 931 GiB" },
        { "record.ring.interval=1h",
          "--set: record.ring.interval: '1h' is not a duration, 1 ms to 10 s" },
        { "record.codec=gzip", "--set: record.codec: 'gzip' is not one of none|lz4|zstd" },
        { "enabled=maybe", "--set: enabled: 'maybe' is not true or false" },
        { "record.conut=1", "--set: unknown key 'record.conut', did you mean 'record.count'?" },
        { "x=1", "--set: unknown key 'x'" },
        { "x", "--set: 'x' is not of the form key=value" },
    };
    struct settings s;
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(bp_config_init(&table, &s, &err), 0);
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        assert_int_equal(bp_config_set_arg(&table, &s, cases[i].arg, &err), BP_ECONFIG);
        assert_string_equal(err.text, cases[i].want);
    }
    assert_true(s.count == 3 && s.ring == 256 << 20); /* as before */
    bp_config_done(&table, &s);
}

static void pages(void **state) {
    BP_AUTO_BUF sample = { 0 };
    BP_AUTO_BUF reference = { 0 };

    (void) state;
    bp_config_put_sample(&sample, &table);
    assert_string_equal(bp_buf_cstr(&sample), "# whether to (true or false; restart)\n"
                                              "# enabled: yes\n"
                                              "record:\n"
                                              "  # how many (a whole number, 1 to 9; restart)\n"
                                              "  # count: 3\n"
                                              "  # how much (a number, 0 to 1; restart)\n"
                                              "  # share: 0.5\n"
                                              "  ring:\n"
                                              "    # memory (a size, 1.0 MiB to 931 GiB; restart)\n"
                                              "    # size: 256MiB\n"
                                              "    # time (a duration, 1 ms to 10 s)\n"
                                              "    # interval: 100ms\n"
                                              "  # which (one of none|lz4|zstd; restart)\n"
                                              "  # codec: none\n"
                                              "  # these (a list; restart)\n"
                                              "  # topics: [/a, /b]\n"
                                              "http:\n"
                                              "  # where (text; restart)\n"
                                              "  # listen:\n");
    bp_config_put_reference(&reference, &table);
    assert_non_null(strstr(bp_buf_cstr(&reference),
                           "| `record.codec` | one of none \\|lz4 \\|zstd | `none` | which | after "
                           "a restart |\n"));
}

/* Who set it, and what a copy of one value leaves alone. */
static void origins_and_copies(void **state) {
    struct settings a, b;
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(bp_config_init(&table, &a, &err), 0);
    assert_int_equal(bp_config_init(&table, &b, &err), 0);
    for (size_t i = 0; i < BP_COUNT(rows); i++)
        assert_true(bp_config_same(&rows[i], &a, &b));
    a.origins.now = BP_CONFIG_FILE;
    assert_int_equal(bp_config_set(&table, &a, "", "record.topics", "/x", &err), 0);
    assert_int_equal(bp_config_set(&table, &a, "", "http.listen", "here", &err), 0);
    assert_int_equal(bp_config_set(&table, &a, "", "record.count", "10", &err), BP_ECONFIG);
    a.origins.now = BP_CONFIG_LIVE;
    assert_int_equal(bp_config_set(&table, &a, "", "record.codec", "zstd", &err), 0);
    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        bool list = i == 6, text = i == 7, codec = i == 5;

        assert_int_equal(bp_config_same(&rows[i], &a, &b), !(list || text || codec));
        assert_int_equal(bp_config_origin(&table, &a, &rows[i]), codec ? BP_CONFIG_LIVE
                                                                 : list || text
                                                                     ? BP_CONFIG_FILE
                                                                     : BP_CONFIG_DEFAULT);
    }
    assert_string_equal(bp_config_source_text(BP_CONFIG_ARGUMENT), "--set");
    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        assert_int_equal(bp_config_copy(&table, &rows[i], &a, &b), 0);
        assert_true(bp_config_same(&rows[i], &a, &b));
        assert_int_equal(bp_config_origin(&table, &b, &rows[i]),
                         bp_config_origin(&table, &a, &rows[i]));
    }
    bp_config_done(&table, &a);
    assert_string_equal(b.listen, "here");
    assert_string_equal(b.topics.v[0], "/x");
    bp_config_done(&table, &b);
}

static void urls(void **state) {
    static const struct {
        const char *text, *shown;
    } cases[] = {
        { "", "" },
        { "http://proxy:3128", "http://proxy:3128" },
        { "http://me:pass@proxy:3128", "http://********@proxy:3128" },
        { "socks5h://me:p@ss@[::1]:1/x@y", "socks5h://********@[::1]:1/x@y" },
        { "http://me@proxy", "http://********@proxy" },
        { "me:pass@proxy:3128", "********@proxy:3128" },
        { "me@home", "me@home" },
        { "https://site/a@b?c:d@e", "https://site/a@b?c:d@e" },
        { "s3://bucket/prefix", "s3://bucket/prefix" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_FREE char *s = bp_config_url_shown(cases[i].text);

        assert_string_equal(s, cases[i].shown);
    }
}

/* Each key once, nested and dotted. What it allows is tried on real files by the system tests. */
static void schema(void **state) {
    BP_AUTO_BUF out = { 0 };

    (void) state;
    bp_config_put_schema(&out, &table);
    assert_non_null(
        strstr(bp_buf_cstr(&out),
               "\"record\":{\"type\":[\"object\",\"null\"],\"additionalProperties\":false,"
               "\"properties\":{\"count\":{\"$ref\":\"#/$defs/record.count\"}"));
    assert_non_null(strstr(bp_buf_cstr(&out), "\"ring\":{\"type\":[\"object\",\"null\"],"
                                              "\"additionalProperties\":false,\"properties\":{"
                                              "\"size\":{\"$ref\":\"#/$defs/record.ring.size\"}"));
    assert_non_null(strstr(bp_buf_cstr(&out),
                           "\"record.codec\":{\"enum\":[\"none\",\"lz4\",\"zstd\"],"
                           "\"description\":\"which\",\"x-default\":\"none\",\"x-live\":false}"));
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(defaults),
                                        cmocka_unit_test(sources),
                                        cmocka_unit_test(refusals),
                                        cmocka_unit_test(pages),
                                        cmocka_unit_test(origins_and_copies),
                                        cmocka_unit_test(urls),
                                        cmocka_unit_test(schema) };

    return cmocka_run_group_tests_name("base/config", tests, NULL, NULL);
}
