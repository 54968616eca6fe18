#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/units.h"
#include "cli/help.h"
#include "cli/opt.h"

struct opts {
    bool all, verbose;
    const char *output;
    struct bp_opt_list topics;
    int64_t count;
    double rate;
    uint64_t size;
    bp_ns_t duration;
    int format;
};

#define AT(field) .offset = offsetof(struct opts, field)

static const struct bp_opt rows[] = {
    { "all-topics", 'a', BP_OPT_FLAG, AT(all), .help = "record every topic" },
    { "verbose", 'v', BP_OPT_FLAG, AT(verbose), .help = "say more" },
    { "output", 'o', BP_OPT_TEXT, AT(output), .arg = "DIR", .help = "where the session goes" },
    { "topics", 't', BP_OPT_LIST, AT(topics), .arg = "TOPIC…", .help = "these topics" },
    { "count", 'n', BP_OPT_INT, AT(count), .arg = "N", .help = "how many", .def = "7", .min = -5,
      .max = 100 },
    { "rate", 0, BP_OPT_NUMBER, AT(rate), .arg = "HZ", .help = "how fast", .def = "1", .min = 0.1,
      .max = 100 },
    { "max-bag-size", 'b', BP_OPT_SIZE, AT(size), .arg = "BYTES",
      .help = "a sentence that is long enough to be broken on a page of a hundred columns, which "
              "is what this test wants to see happen to it at least once" },
    { "duration", 'd', BP_OPT_DURATION, AT(duration), .arg = "TIME", .help = "how long", .max = 60,
      .min = -60 },
    { "an-option-with-a-name-of-great-length", 0, BP_OPT_CHOICE, AT(format), .help = "which one",
      .choices = "none|lz4|zstd", .def = "lz4" },
};

static const struct bp_verb verb = {
    .name = "record",
    .args = "[TOPIC…]",
    .summary = "record the graph",
    .description =
        "First paragraph.\n\nSecond one, with äöü and a lot of words so that it does not "
        "fit into one line of a page of a hundred columns.",
    .examples = "bagpipe record -a   everything",
    .opts = rows,
    .nopts = BP_COUNT(rows),
    .opts_size = sizeof(struct opts),
    .max_args = 2,
};

static const struct bp_verb hidden = { .name = "secret", .summary = "not shown", .hidden = true };
static const struct bp_verb play = { .name = "play", .summary = "replay it", .max_args = -1 };
const struct bp_verb *const bp_verbs[] = { &verb, &play, &hidden };
const size_t bp_verbs_count = BP_COUNT(bp_verbs);

/* Renders what was parsed, so that a case is one line. */
static void render(const struct opts *o, int argc, char *argv[], struct bp_buf *out) {
    static const char *const formats[] = { "none", "lz4", "zstd" };

    bp_buf_printf(out, "%s%s", o->all ? "all " : "", o->verbose ? "verbose " : "");
    if (o->output)
        bp_buf_printf(out, "output=%s ", o->output);
    for (size_t i = 0; i < o->topics.n; i++)
        bp_buf_printf(out, "topic=%s ", o->topics.v[i]);
    if (o->count != 7)
        bp_buf_printf(out, "count=%lld ", (long long) o->count);
    if (o->rate != 1)
        bp_buf_printf(out, "rate=%g ", o->rate);
    if (o->size)
        bp_buf_printf(out, "size=%llu ", (unsigned long long) o->size);
    if (o->duration)
        bp_buf_printf(out, "duration=%lld ", (long long) o->duration);
    if (o->format != 1)
        bp_buf_printf(out, "format=%s ", formats[o->format]);
    for (int i = 0; i < argc; i++)
        bp_buf_printf(out, "[%s]", argv[i]);
}

/* Splits at blanks; words[] point into `line`. */
static int split(char *line, char *words[], int max) {
    char *save = NULL;
    int n = 0;

    for (char *w = strtok_r(line, " ", &save); w && n < max; w = strtok_r(NULL, " ", &save))
        words[n++] = w;
    return n;
}

static void parses(void **state) {
    static const struct {
        const char *line, *want;
    } cases[] = {
        { "", "" },
        { "-a", "all " },
        { "-av x y", "all verbose [x][y]" },
        { "--all-topics x --verbose", "all verbose [x]" },
        { "-o dir", "output=dir " },
        { "-odir", "output=dir " },
        { "-o=dir", "output=dir " },
        { "-aodir", "all output=dir " },
        { "--output dir x", "output=dir [x]" },
        { "--output=dir x", "output=dir [x]" },
        { "--output=", "output= " },
        { "--output=--odd", "output=--odd " },
        { "-o -", "output=- " },
        { "--topics /a /b -a", "all topic=/a topic=/b " },
        { "--topics /a /b -- x", "topic=/a topic=/b [x]" },
        { "--topics=/a x --topics /b", "topic=/a topic=/b [x]" },
        { "-t /a -t /b /c", "topic=/a topic=/b topic=/c " },
        { "-- -a --all", "[-a][--all]" },
        { "--count -3", "count=-3 " },
        { "-n100", "count=100 " },
        { "--rate 2.5", "rate=2.5 " },
        { "-b 16MiB", "size=16777216 " },
        { "-b 1G", "size=1073741824 " },
        { "-b 1048576", "size=1048576 " },
        { "-d 100ms", "duration=100000000 " },
        { "-d 10s", "duration=10000000000 " },
        { "-d 10", "duration=10000000000 " },
        { "-d 1min", "duration=60000000000 " },
        { "--an-option-with-a-name-of-great-length zstd", "format=zstd " },
        { "--an-option-with-a-name-of-great-length=none", "format=none " },
        { "-o a -o b", "output=b " },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_FREE char *line = strdup(cases[i].line);
        BP_AUTO_BUF got = { 0 };
        struct opts o;
        struct bp_error err = { 0 };
        char *words[16];
        int argc = split(line, words, 16), left = -1;

        if (bp_opt_parse(&verb, argc, words, &o, &left, &err) != 0)
            fail_msg("'%s' fails: %s", cases[i].line, err.text);
        render(&o, left, words, &got);
        assert_string_equal(bp_buf_cstr(&got), cases[i].want);
        bp_opt_done(&verb, &o);
        assert_int_equal(o.topics.n, 0);
    }
}

static void refuses(void **state) {
    static const struct {
        const char *line, *want;
    } cases[] = {
        { "--all-topic", "unknown option '--all-topic', did you mean '--all-topics'?" },
        { "--outptu x", "unknown option '--outptu', did you mean '--output'?" },
        { "--dur 3", "unknown option '--dur', did you mean '--duration'?" },
        { "--nothing-like-it=3", "unknown option '--nothing-like-it'" },
        { "-az", "unknown option '-z'" },
        { "--all-topics=yes", "option '--all-topics' takes no value" },
        { "--output", "option '--output' needs a value (DIR)" },
        { "-o -a", "option '--output' needs a value (DIR)" },
        { "--topics -a", "option '--topics' needs a value (TOPIC…)" },
        { "--count 101", "option '--count': '101' is outside of -5 to 100" },
        { "--count x", "option '--count': 'x' is not a whole number" },
        { "--count 1.5", "option '--count': '1.5' is not a whole number" },
        { "--count 99999999999999999999",
          "option '--count': '99999999999999999999' is too large for a whole number" },
        { "--rate 0", "option '--rate': '0' is outside of 0.1 to 100" },
        { "--rate 1x", "option '--rate': '1x' is not a number" },
        { "-b 1X", "option '--max-bag-size': '1X' is not a size such as 16MiB, 1G or 1048576" },
        { "-d 61", "option '--duration': '61' is outside of -60 to 60 s" },
        { "-d soon", "option '--duration': 'soon' is not a duration such as 100ms, 10s or 2min" },
        { "--an-option-with-a-name-of-great-length lz",
          "option '--an-option-with-a-name-of-great-length': 'lz' is none of none|lz4|zstd" },
        { "a b c", "unexpected word 'c'" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_FREE char *line = strdup(cases[i].line);
        struct opts o;
        struct bp_error err = { 0 };
        char *words[16];
        int argc = split(line, words, 16), left = -1;

        assert_int_equal(bp_opt_parse(&verb, argc, words, &o, &left, &err), BP_EUSAGE);
        assert_string_equal(err.text, cases[i].want);
        assert_int_equal(left, -1);
        bp_opt_done(&verb, &o);
    }
}

static void help_wins_over_what_follows(void **state) {
    struct opts o;
    struct bp_error err = { 0 };
    char *words[] = { (char[]){ "-a" }, (char[]){ "--help" }, (char[]){ "--bogus" } };
    char *letter[] = { (char[]){ "-ah" } };
    int left = -1;

    (void) state;
    assert_int_equal(bp_opt_parse(&verb, 3, words, &o, &left, &err), BP_OPT_HELP);
    bp_opt_done(&verb, &o);
    assert_int_equal(bp_opt_parse(&verb, 1, letter, &o, &left, &err), BP_OPT_HELP);
    bp_opt_done(&verb, &o);
}

static void too_few_words(void **state) {
    static const struct bp_verb v = {
        .name = "info", .args = "PATH", .min_args = 1, .max_args = 1
    };
    struct bp_error err = { 0 };
    int left = -1;

    (void) state;
    assert_int_equal(bp_opt_parse(&v, 0, NULL, NULL, &left, &err), BP_EUSAGE);
    assert_string_equal(err.text, "needs PATH");
}

static void pages_fit(void **state) {
    (void) state;
    for (int page = 0; page < 3; page++) {
        BP_AUTO_BUF out = { 0 };
        const char *text;

        if (page == 0)
            bp_help_program(&out);
        else
            bp_help_verb(&out, bp_verbs[page - 1]);
        text = bp_buf_cstr(&out);
        assert_non_null(text);
        while (*text) {
            size_t n = strcspn(text, "\n");

            assert_true(bp_help_columns(text, n) <= BP_HELP_WIDTH);
            assert_true(n == 0 || text[n - 1] != ' ');
            text += n + 1;
        }
    }
}

static void pages_name_everything(void **state) {
    BP_AUTO_BUF page = { 0 };
    BP_AUTO_BUF man = { 0 };
    BP_AUTO_BUF bash = { 0 };

    (void) state;
    bp_help_verb(&page, &verb);
    bp_help_man(&man, &verb);
    bp_help_completion(&bash, "bash");
    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        BP_AUTO_BUF name = { 0 };

        bp_buf_printf(&name, "--%s", rows[i].name);
        assert_non_null(strstr(bp_buf_cstr(&page), bp_buf_cstr(&name)));
        assert_non_null(strstr(bp_buf_cstr(&bash), bp_buf_cstr(&name)));
        assert_non_null(strstr(bp_buf_cstr(&man), rows[i].help));
    }
    assert_null(strstr(bp_buf_cstr(&bash), "secret"));
    assert_non_null(strstr(bp_buf_cstr(&page), "(default lz4)"));
}

static void verbs_are_found(void **state) {
    (void) state;
    assert_ptr_equal(bp_verb_find("record"), &verb);
    assert_ptr_equal(bp_verb_find("secret"), &hidden);
    assert_null(bp_verb_find("rec"));
    assert_string_equal(bp_verb_nearest("rec"), "record");
    assert_string_equal(bp_verb_nearest("paly"), "play");
    assert_null(bp_verb_nearest("secre"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(refuses),
        cmocka_unit_test(help_wins_over_what_follows),
        cmocka_unit_test(too_few_words),
        cmocka_unit_test(pages_fit),
        cmocka_unit_test(pages_name_everything),
        cmocka_unit_test(verbs_are_found),
    };

    return cmocka_run_group_tests_name("cli/opt", tests, NULL, NULL);
}
