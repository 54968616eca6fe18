#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/time.h"

static char text[1024]; /* what went to stderr */

/* stderr goes to a pipe while `write_lines` runs. */
static void capture(void (*write_lines)(void)) {
    int pipes[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(pipes), 0);
    assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
    (void) close(pipes[1]);
    write_lines();
    assert_true(dup2(saved, STDERR_FILENO) >= 0); /* the pipe's last writer is gone */
    (void) close(saved);
    n = read(pipes[0], text, sizeof text - 1);
    text[BP_MAX(n, 0)] = 0;
    (void) close(pipes[0]);
}

static void log_all(void) {
    bp_log(BP_LOG_WARNING, "segment is torn, tail dropped", BP_F_TEXT("path", "a\"\x1b[2J"),
           BP_F_UINT("bytes", 12), BP_F_INT("delta", -3), BP_F_REAL("share", 0.5),
           BP_F_TEXT("none", NULL));
    bp_log(BP_LOG_INFO, "not shown");
}

static void plain(void **state) {
    (void) state;
    bp_log_setup(BP_LOG_NOTICE, BP_LOG_PLAIN);
    capture(log_all);
    assert_string_equal(text + 13, "warning: segment is torn, tail dropped  path='a\"\\x1b[2J'  "
                                   "bytes=12  delta=-3  share=0.5  none=''\n");
    assert_true(text[2] == ':' && text[5] == ':' && text[8] == '.');
}

static void json(void **state) {
    const char *rest;

    (void) state;
    bp_log_setup(BP_LOG_NOTICE, BP_LOG_JSON);
    capture(log_all);
    assert_true(bp_starts_with(text, "{\"time\":\"20"));
    rest = strstr(text, ",\"level\"");
    assert_non_null(rest);
    assert_string_equal(rest,
                        ",\"level\":\"warning\",\"message\":\"segment is torn, tail dropped\","
                        "\"path\":\"a\\\"\\u001b[2J\",\"bytes\":12,\"delta\":-3,\"share\":0.5,"
                        "\"none\":\"\"}\n");
}

static void levels(void **state) {
    (void) state;
    assert_int_equal(bp_log_level_from_text("debug"), BP_LOG_DEBUG);
    assert_int_equal(bp_log_level_from_text("error"), BP_LOG_ERROR);
    assert_int_equal(bp_log_level_from_text("loud"), -EINVAL);
}

static void limit(void **state) {
    struct bp_log_limit l = { 0 };
    uint64_t held = 99;

    (void) state;
    assert_true(bp_log_allowed(&l, 20 * BP_MS, &held));
    assert_int_equal(held, 0);
    assert_false(bp_log_allowed(&l, 20 * BP_MS, &held));
    assert_false(bp_log_allowed(&l, 20 * BP_MS, &held));
    bp_sleep(25 * BP_MS);
    assert_true(bp_log_allowed(&l, 20 * BP_MS, &held));
    assert_int_equal(held, 2);
}

struct seen {
    unsigned n;
    uint64_t first, last;
    char text[BP_LOG_TEXT];
    bool cut;
};

static int see(void *ctx, const struct bp_log_line *l) {
    struct seen *s = ctx;

    s->first = s->n++ == 0 ? l->number : s->first;
    s->last = l->number;
    s->cut = l->cut;
    (void) snprintf(s->text, sizeof s->text, "%s", l->text);
    return 0;
}

static void tap_and_log(void *ctx, const struct bp_log_line *l) {
    (void) see(ctx, l);
    bp_log(BP_LOG_NOTICE, "said by the tap"); /* kept, but not told again */
}

/* The newest lines are kept, and told to whoever listens. */
static void recent(void **state) {
    struct seen s = { 0 }, t = { 0 };
    uint64_t last = bp_log_recent(0, NULL, NULL);
    char longer[2 * BP_LOG_TEXT];
    int quiet = open("/dev/null", O_WRONLY), err = dup(STDERR_FILENO);

    (void) state;
    assert_true(quiet >= 0 && err >= 0 && dup2(quiet, STDERR_FILENO) >= 0);
    bp_log_setup(BP_LOG_NOTICE, BP_LOG_PLAIN);
    bp_log(BP_LOG_DEBUG, "not written, not kept");
    bp_log(BP_LOG_NOTICE, "one", BP_F_TEXT("path", "/a\nb"), BP_F_INT("n", -3));
    assert_int_equal(bp_log_recent(last, see, &s), last + 1);
    assert_true(s.n == 1 && !s.cut);
    assert_string_equal(s.text, "one  path=/a b  n=-3");

    bp_log_tap(tap_and_log, &t);
    bp_log(BP_LOG_WARNING, "two");
    bp_log_tap(NULL, NULL);
    bp_log(BP_LOG_WARNING, "three");
    assert_true(t.n == 1 && strcmp(t.text, "two") == 0);

    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    for (int i = 0; i < BP_LOG_LINES + 7; i++)
        bp_log(BP_LOG_NOTICE, longer);
    s.n = 0;
    last = bp_log_recent(0, see, &s);
    assert_true(s.n == BP_LOG_LINES && s.last == last && s.first == last - BP_LOG_LINES + 1);
    assert_true(s.cut && strlen(s.text) == BP_LOG_TEXT - 1);
    bp_log_set_level(BP_LOG_ERROR);
    bp_log(BP_LOG_NOTICE, "no more");
    assert_int_equal(bp_log_recent(0, NULL, NULL), last);
    assert_true(dup2(err, STDERR_FILENO) >= 0);
    (void) close(err);
    (void) close(quiet);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain), cmocka_unit_test(json),   cmocka_unit_test(levels),
        cmocka_unit_test(limit), cmocka_unit_test(recent),
    };

    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
