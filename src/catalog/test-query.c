#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "catalog/query.h"

#define NOW (1796083200 * BP_SEC) /* 2026-12-01T00:00:00Z */
#define DAY (86400 * BP_SEC)
#define NOV (1793491200 * BP_SEC) /* 2026-11-01 */

static void numbers(void **state) {
    static const struct {
        const char *text;
        int64_t min, max;
    } cases[] = {
        { "date:2026-11", NOV, NOV + 30 * DAY - 1 },
        { "date:2026-11-01", NOV, NOV + DAY - 1 },
        { "date:>2026-11-01", NOV + DAY, INT64_MAX },
        { "date:>=2026-11-01", NOV, INT64_MAX },
        { "date:<2026-11-01", 0, NOV - 1 },
        { "date:<=2026-11-01", 0, NOV + DAY - 1 },
        { "date:2026-11-01..2026-11-02", NOV, NOV + 2 * DAY - 1 },
        { "date:2026-11-01..", NOV, INT64_MAX },
        { "date:2026-11-01T12:30", NOV + 45000 * BP_SEC, NOV + 45060 * BP_SEC - 1 },
        { "date:2026-11-01T12:30:05Z", NOV + 45005 * BP_SEC, NOV + 45006 * BP_SEC - 1 },
        { "date:2026", 1767225600 * BP_SEC, 1798761600 * BP_SEC - 1 },
        { "date:2024-02-29", 1709164800 * BP_SEC, 1709251200 * BP_SEC - 1 },
        { "date:today", NOW, NOW + DAY - 1 },
        { "date:yesterday", NOW - DAY, NOW - 1 },
        { "date:7d", NOW - 7 * DAY, INT64_MAX },
        { "date:<7d", 0, NOW - 7 * DAY - 1 },
        { "date:@1000..@2000", 1000, 2000 },
        { "size:>1GiB", (1LL << 30) + 1, INT64_MAX },
        { "size:1kB..2kB", 1000, 2000 },
        { "duration:>=10min", 600 * BP_SEC, INT64_MAX },
        { "lost:>0", 1, INT64_MAX },
        { "lost:0", 0, 0 },
        { "LOST:=3", 3, 3 },
        { "lost:<0", 0, -1 },
        { "messages:..5", 0, 5 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_QUERY q = { 0 };
        struct bp_error err = { 0 };

        if (bp_query_parse(bp_str_of(cases[i].text), NOW, &q, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_int_equal(q.nterms, 1);
        if (q.values[0].min != cases[i].min || q.values[0].max != cases[i].max)
            fail_msg("%s: %lld..%lld", cases[i].text, (long long) q.values[0].min,
                     (long long) q.values[0].max);
    }
}

static void words(void **state) {
    BP_AUTO_QUERY q = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(
        bp_query_parse(BP_STR("robot:7,\"a b\"  -tag:x front \"left \\\"wheel\" 10:30"), NOW, &q,
                       &err),
        0);
    assert_int_equal(q.nterms, 5);
    assert_int_equal(q.terms[0].key, BP_QUERY_ROBOT);
    assert_int_equal(q.terms[0].n, 2);
    assert_string_equal(q.values[1].text, "a b");
    assert_true(q.values[1].quoted && !q.values[0].quoted);
    assert_true(q.terms[1].negated && q.terms[1].key == BP_QUERY_TAG);
    assert_string_equal(q.values[3].text, "front");
    assert_string_equal(q.values[4].text, "left \"wheel");
    assert_string_equal(q.values[5].text, "10:30");
}

static void mistakes(void **state) {
    static const struct {
        const char *text, *why;
        int caret;
    } cases[] = {
        { "rbot:7", "did you mean 'robot'", 0 },
        { "robot:7 colour:red", "no key 'colour'", 8 },
        { "robot:7 tag:", "expected a value", 12 },
        { "tag:a,,b", "expected a value", 6 },
        { "x \"open", "quote that is not closed", 2 },
        { "x \"a\"b", "expected a blank", 5 },
        { "date:2026-02-29", "expected a date", 5 },
        { "date:soon", "expected a date", 5 },
        { "size:big", "expected a size", 5 },
        { "lost:>", "expected a whole number", 5 },
        { "lost:..", "expected a whole number", 5 },
        { "lost:-1", "expected a whole number", 5 },
        { "\xc3\xa4\xc3\xa4 state:gone", "expected receiving", 9 },
        { "keep:maybe", "expected yes or no", 5 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_QUERY q = { 0 };
        struct bp_error err = { 0 };
        const char *caret;

        assert_int_equal(bp_query_parse(bp_str_of(cases[i].text), NOW, &q, &err), BP_EUSAGE);
        if (!strstr(err.text, cases[i].why))
            fail_msg("%s: %s", cases[i].text, err.text);
        caret = strrchr(err.text, '\n');
        assert_non_null(caret);
        if (strspn(caret + 1, " ") != (size_t) cases[i].caret + 2)
            fail_msg("%s: %s", cases[i].text, err.text);
    }
}

static void bounds(void **state) {
    BP_AUTO_QUERY q = { 0 };
    BP_AUTO_BUF text = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    for (int i = 0; i < BP_QUERY_TERMS_MAX; i++)
        bp_buf_put_str(&text, "a ");
    assert_int_equal(bp_query_parse((struct bp_str){ (char *) text.p, text.n }, NOW, &q, &err), 0);
    bp_query_done(&q);
    bp_buf_put_str(&text, "a");
    assert_int_equal(bp_query_parse((struct bp_str){ (char *) text.p, text.n }, NOW, &q, &err),
                     BP_EUSAGE);
    bp_buf_clear(&text);
    bp_buf_put_str(&text, "tag:a");
    for (int i = 0; i < BP_QUERY_VALUES_MAX; i++)
        bp_buf_put_str(&text, ",a");
    assert_int_equal(bp_query_parse((struct bp_str){ (char *) text.p, text.n }, NOW, &q, &err),
                     BP_EUSAGE);
    while (text.n <= BP_QUERY_BYTES_MAX)
        bp_buf_put_str(&text, "x");
    assert_int_equal(bp_query_parse((struct bp_str){ (char *) text.p, text.n }, NOW, &q, &err),
                     BP_EUSAGE);
    assert_int_equal(bp_query_parse(BP_STR("a\tb"), NOW, &q, &err), BP_EUSAGE);
    assert_int_equal(bp_query_parse(BP_STR("a\xff"), NOW, &q, &err), BP_EUSAGE);
    assert_int_equal(q.nterms, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(words),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(bounds),
    };

    return cmocka_run_group_tests_name("catalog/query", tests, NULL, NULL);
}
