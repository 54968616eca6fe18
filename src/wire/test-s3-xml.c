#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/s3-xml.h"

/* "path=text;" for each leaf. */
static int collect(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    (void) err;
    bp_buf_printf(ctx, "%s=%.*s;", path, (int) text.n, text.p);
    return 0;
}

static void reads(void **state) {
    static const struct {
        const char *xml, *root;
        int want;
        const char *leaves;
    } cases[] = {
        { "<R/>", "R", 0, "" },
        { "<R></R>", "R", 0, "" },
        { " \n<?xml version=\"1.0\"?><!-- <x> -->\n<R a='>' b = \"/>\">x<A>1</A>y</R>\n", "R", 0,
          "A=1;" },
        { "<n:R xmlns:n='x'><n:A><n:B>&lt;&#65;&#x42;&amp;lt;</n:B><n:C/></n:A></n:R>", "R", 0,
          "A/B=<AB&lt;;A/C=;A=;" },
        { "<R><A>a<![CDATA[<b>&amp;]]>c</A></R>", "R", 0, "A=a<b>&amp;c;" },
        { "<R><A>&#xe4;&#x20ac;&#x1f600;&#10;</A></R>", "R", 0,
          "A=\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n;" },
        { "<R><P><N>1</N></P><P><N>2</N></P></R>", "R", 0, "P/N=1;P=;P/N=2;P=;" },
        { "<R><A>1</A>", "R", BP_ETRUNCATED, "A=1;" },
        { "<R><A>1</A></R", "R", BP_ETRUNCATED, "A=1;" },
        { "", "R", BP_ETRUNCATED, "" },
        { "  ", "R", BP_ETRUNCATED, "" },
        { "<!--", "R", BP_ETRUNCATED, "" },
        { "<R><A>&am", "R", BP_ETRUNCATED, "" },
        { "<Q/>", "R", BP_EFORMAT, "" },
        { "<R><A></B></R>", "R", BP_EFORMAT, "" },
        { "<R><n:A></A></R>", "R", BP_EFORMAT, "" },
        { "</R>", "R", BP_EFORMAT, "" },
        { "<R/><R/>", "R", BP_EFORMAT, "" },
        { "<R/>x", "R", BP_EFORMAT, "" },
        { "x<R/>", "R", BP_EFORMAT, "" },
        { "<R>&nbsp;</R>", "R", BP_EFORMAT, "" },
        { "<R>&#0;</R>", "R", BP_EFORMAT, "" },
        { "<R>&#xd800;</R>", "R", BP_EFORMAT, "" },
        { "<R>&#x110000;</R>", "R", BP_EFORMAT, "" },
        { "<R>&#1a;</R>", "R", BP_EFORMAT, "" },
        { "<R>a & b and so on and on</R>", "R", BP_EFORMAT, "" },
        { "<R a=b/>", "R", BP_EFORMAT, "" },
        { "<R a/>", "R", BP_EFORMAT, "" },
        { "< R/>", "R", BP_EFORMAT, "" },
        { "<!DOCTYPE R [<!ENTITY a 'b'>]><R>&a;</R>", "R", BP_EFORMAT, "" },
        { "<html><body>Bad Gateway</body></html>", "R", BP_EFORMAT, "" },
        { "{\"a\": 1}", "R", BP_EFORMAT, "" },
        { "<R><a><a><a><a><a><a><a><a><a><a><a><a></a></a></a></a>", "R", BP_ELIMIT, "" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_BUF b = { 0 };
        struct bp_error err = { 0 };
        int r = bp_s3_xml_read(bp_str_of(cases[i].xml), cases[i].root, collect, &b, &err);

        if (r != cases[i].want || !bp_streq(bp_buf_cstr(&b), cases[i].leaves) ||
            (r < 0) != !!*err.text)
            fail_msg("%s: %d '%s' %s", cases[i].xml, r, bp_buf_cstr(&b), err.text);
    }
}

static int stop(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    (void) text;
    ++*(int *) ctx;
    return bp_streq(path, "B") ? bp_fail(err, -ERANGE, "enough") : 0;
}

static void ends_and_bounds(void **state) {
    BP_AUTO_BUF b = { 0 };
    int n = 0;

    (void) state;
    assert_int_equal(bp_s3_xml_read(BP_STR("<R><A/><B/><C/></R>"), "R", stop, &n, NULL), -ERANGE);
    assert_int_equal(n, 2);
    bp_buf_put_str(&b, "<R><A>");
    for (int i = 0; i < BP_S3_XML_TEXT + 1; i++)
        bp_buf_put_u8(&b, 'x');
    bp_buf_put_str(&b, "</A></R>");
    assert_int_equal(bp_s3_xml_read((struct bp_str){ (const char *) b.p, b.n }, "R", collect,
                                    &(struct bp_buf){ 0 }, NULL),
                     BP_ELIMIT);
}

static void errors(void **state) {
    struct bp_s3_xml_error e;

    (void) state;
    assert_int_equal(
        bp_s3_xml_error_read(BP_STR("<Error><Code>SlowDown</Code><Message>a &amp; b</Message>"
                                    "<RequestId>r1</RequestId><Region>eu-west-1</Region></Error>"),
                             &e),
        0);
    assert_string_equal(e.code, "SlowDown");
    assert_string_equal(e.message, "a & b");
    assert_string_equal(e.request_id, "r1");
    assert_string_equal(e.region, "eu-west-1");
    assert_int_equal(bp_s3_xml_error_read(BP_STR("<ErrorResponse xmlns='x'><Error><Type>Sender"
                                                 "</Type><Code>ExpiredTokenException</Code>"
                                                 "</Error><RequestId>2</RequestId>"
                                                 "</ErrorResponse>"),
                                          &e),
                     0);
    assert_string_equal(e.code, "ExpiredTokenException");
    assert_string_equal(e.request_id, "2");
    assert_int_equal(bp_s3_xml_error_read(BP_STR("<html>"), &e), BP_EFORMAT);
    assert_string_equal(e.code, "");
    assert_true(
        bp_str_eq(bp_s3_xml_root(BP_STR("\xef\xbb\xbf<?xml?> <n:Error>")), BP_STR("Error")));
    assert_int_equal(bp_s3_xml_root(BP_STR("nothing")).n, 0);
}

static void values(void **state) {
    static const struct {
        const char *text;
        int want;
        bp_ns_t wall;
    } times[] = {
        { "2013-05-24T00:00:00.000Z", 0, 1369353600 * BP_SEC },
        { "2013-05-24T00:00:00Z", 0, 1369353600 * BP_SEC },
        { "2013-05-24T00:00:00.123456+00:00", 0, 1369353600 * BP_SEC },
        { "2013-05-24", -EINVAL, 0 },
        { "2013-05-24T00:00:00.000Zx", -EINVAL, 0 },
        { "1900-05-24T00:00:00Z", -EINVAL, 0 },
        { "", -EINVAL, 0 },
    };
    char text[] = "a%2Fb+c%c3%a4%25", bad[] = "%4", zero[] = "a%00", hex[] = "%zz";
    BP_AUTO_BUF b = { 0 };
    uint64_t v;
    size_t n;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(times); i++) {
        bp_ns_t wall = 0;

        assert_int_equal(bp_s3_xml_time(bp_str_of(times[i].text), &wall), times[i].want);
        assert_int_equal(wall, times[i].wall);
    }
    assert_int_equal(bp_s3_xml_number(BP_STR("18446744073709551615"), &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(bp_s3_xml_number(BP_STR("18446744073709551616"), &v), -ERANGE);
    assert_int_equal(bp_s3_xml_number(BP_STR("-1"), &v), -EINVAL);
    assert_int_equal(bp_s3_xml_number(BP_STR(""), &v), -EINVAL);
    assert_int_equal(bp_s3_xml_unescape(text, strlen(text), &n), 0);
    assert_int_equal(n, 8);
    assert_memory_equal(text, "a/b c\xc3\xa4%", 8);
    assert_int_equal(bp_s3_xml_unescape(bad, strlen(bad), &n), -EINVAL);
    assert_int_equal(bp_s3_xml_unescape(zero, strlen(zero), &n), -EINVAL);
    assert_int_equal(bp_s3_xml_unescape(hex, strlen(hex), &n), -EINVAL);
    bp_s3_xml_put(&b, "<a>&\"\xff\x01\xc3\xa4", 9);
    assert_string_equal(bp_buf_cstr(&b), "&#60;a&#62;&#38;&#34;\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(ends_and_bounds),
        cmocka_unit_test(errors),
        cmocka_unit_test(values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
