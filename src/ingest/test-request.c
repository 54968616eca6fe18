#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ingest/request.h"

#define EMPTY "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static void digests(void **state) {
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        { "sha-256=:" EMPTY ":", true },
        { "  sha-256=:" EMPTY ":  ", true },
        { "md5=:AAAA:, sha-256=:" EMPTY ":", true },
        { "sha-256=:" EMPTY ": , unixsum=::", true },
        { "sha-256=:AAAA:, sha-256=:" EMPTY ":", false }, /* every one has to be one */
        { "sha-256=:" EMPTY "", false },
        { "sha-256=" EMPTY, false },
        { "sha-256=::", false },
        { "sha-256", false },
        { "SHA-256=:" EMPTY ":", false },
        { "sha-512=:AAAA:", false },
        { "sha-256=:" EMPTY ":,", false },
        { "sha-256=:" EMPTY ": x", false },
        { "sha-256=:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=:", false },
        { "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU:", false },
        { "", false },
        { ",", false },
        { "=", false },
    };
    uint8_t empty[BP_SHA256_LEN], got[BP_SHA256_LEN];

    (void) state;
    bp_sha256_of("", 0, empty);
    assert_int_equal(bp_ingest_read_digest(NULL, got, NULL), BP_EUSAGE);
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        int r = bp_ingest_read_digest(cases[i].text, got, NULL);

        if (r != (cases[i].ok ? 0 : (int) BP_EUSAGE))
            fail_msg("'%s': %d", cases[i].text, r);
        if (r == 0)
            assert_memory_equal(got, empty, sizeof empty);
    }
}

static void names(void **state) {
    static const struct {
        const char *name;
        bool ok;
    } cases[] = {
        { "a_0.mcap", true },
        { "\xf0\x9f\xa4\x96 robot.mcap", true },
        { "a..b", true },
        { "~", true },
        { "", false },
        { ".", false },
        { "..", false },
        { ".hidden", false },
        { "../a", false },
        { "a/b", false },
        { "/etc/passwd", false },
        { "a\\b", false },
        { "a\nb", false },
        { "a\x7f", false },
        { "a\x01", false },
        { "a\xff", false },
        { "\xc0\xae\xc0\xae", false },
    };
    char name[5000];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++)
        if (bp_ingest_check_name(cases[i].name, NULL) != (cases[i].ok ? 0 : (int) BP_EUSAGE))
            fail_msg("'%s'", cases[i].name);
    memset(name, 'a', sizeof name);
    name[255] = '\0';
    assert_int_equal(bp_ingest_check_name(name, NULL), 0);
    name[255] = 'a';
    name[256] = '\0';
    assert_int_equal(bp_ingest_check_name(name, NULL), BP_EUSAGE);
    name[256] = 'a';
    name[4096] = '\0';
    assert_int_equal(bp_ingest_check_name(name, NULL), BP_EUSAGE);
}

static void numbers(void **state) {
    static const char *const bad[] = { "",   "-1",  "+1", "01",  "1a",
                                       " 1", "0x1", "1 ", "1.0", "9999999999999999999" };
    uint64_t n;

    (void) state;
    assert_int_equal(bp_ingest_read_part("0", &n, NULL), 0);
    assert_int_equal(n, 0);
    assert_int_equal(bp_ingest_read_part("123456789012345678", &n, NULL), 0);
    assert_int_equal(n, 123456789012345678);
    assert_int_equal(bp_ingest_read_part(NULL, &n, NULL), BP_EUSAGE);
    for (size_t i = 0; i < BP_COUNT(bad); i++)
        if (bp_ingest_read_part(bad[i], &n, NULL) != BP_EUSAGE)
            fail_msg("'%s'", bad[i]);
}

#define SHA "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define ID  "01J8ZQ4K5T7Y9N3M2B6C8D0E1F"

static void uploads(void **state) {
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        { "{'session':'" ID "','file':'a','bytes':5,'sha256':'" SHA "'}", true },
        { "{'session':'01j8zq4k5t7y9n3m2b6c8d0e1f','file':'a','bytes':0,'sha256':'" SHA
          "','kind':'manifest','part_bytes':65536,'more':1}",
          true },
        { "{'session':'" ID "','file':'a','bytes':5,'sha256':'" SHA "','part_bytes':null}", true },
        { "{'session':'" ID "','file':'a','bytes':5,'sha256':'" SHA "','part_bytes':65537}",
          false },
        { "{'session':'" ID "','file':'a','bytes':5,'sha256':'" SHA "','part_bytes':32768}",
          false },
        { "{'session':'" ID "','file':'a','bytes':5,'sha256':'" SHA "','part_bytes':4294967296}",
          false },
        { "{'session':'" ID "','file':'a','bytes':655360001,'sha256':'" SHA "','part_bytes':65536}",
          false },
        { "{'session':'" ID "','file':'a','bytes':-1,'sha256':'" SHA "'}", false },
        { "{'session':'" ID "','file':'a','bytes':5.0,'sha256':'" SHA "'}", false },
        { "{'session':'" ID "','file':'a','bytes':'5','sha256':'" SHA "'}", false },
        { "{'session':'" ID "','file':'a','sha256':'" SHA "'}", false },
        { "{'session':'" ID "','file':'../a','bytes':5,'sha256':'" SHA "'}", false },
        { "{'session':'" ID "','bytes':5,'sha256':'" SHA "'}", false },
        { "{'session':'../../../../../../../x','file':'a','bytes':5,'sha256':'" SHA "'}", false },
        { "{'session':'" ID "x','file':'a','bytes':5,'sha256':'" SHA "'}", false },
        { "{'session':7,'file':'a','bytes':5,'sha256':'" SHA "'}", false },
        { "{'session':'" ID "','file':'a','bytes':5,'sha256':'" SHA "00'}", false },
        { "{'session':'" ID "','file':'a','bytes':5,'sha256':'x'}", false },
        { "{'session':'" ID "','file':'a','bytes':5,'sha256':'" SHA "','kind':'virus'}", false },
        { "[]", false },
        { "null", false },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_FREE char *text = strdup(cases[i].text);
        enum bp_archive_kind kind;
        struct bp_spool_meta m;
        json_t *o;

        for (char *p = text; *p; p++)
            *p = (char) (*p == '\'' ? '"' : *p);
        o = json_loads(text, JSON_DECODE_ANY, NULL);
        assert_non_null(o);
        if (bp_ingest_read_upload(o, &m, &kind, NULL) != (cases[i].ok ? 0 : (int) BP_EUSAGE))
            fail_msg("%s", text);
        if (cases[i].ok)
            assert_string_equal(m.session, ID);
        json_decref(o);
    }
}

static void sessions(void **state) {
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        { "{'name':'a'}", true },
        { "{'name':'a','device':'r','robots':['x'],'started_ns':'1','ended_ns':2,'mission':'m',"
          "'operator':null,'tags':['t'],'notes':'n','version':{'r':1},'stamps':{},"
          "'marks':[{'wall_ns':'5','text':'m','values':{'k':'v'}},{'text':'n'}]}",
          true },
        { "{}", false },
        { "{'name':5}", false },
        { "{'name':'a','tags':'x'}", false },
        { "{'name':'a','version':[]}", false },
        { "{'name':'a','started_ns':'soon'}", false },
        { "{'name':'a','started_ns':'99999999999999999999'}", false },
        { "{'name':'a','started_ns':1.5}", false },
        { "{'name':'a','marks':{}}", false },
        { "{'name':'a','marks':[5]}", false },
        { "{'name':'a','marks':[{'values':{}}]}", false },
        { "{'name':'a','marks':[{'text':'m','values':[]}]}", false },
        { "5", false },
    };
    struct bp_ingest_about a;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_FREE char *text = strdup(cases[i].text);
        json_t *o;

        for (char *p = text; *p; p++)
            *p = (char) (*p == '\'' ? '"' : *p);
        o = json_loads(text, JSON_DECODE_ANY, NULL);
        assert_non_null(o);
        if (bp_ingest_read_about(o, ID, &a, NULL) != (cases[i].ok ? 0 : (int) BP_EUSAGE))
            fail_msg("%s", text);
        if (i == 1) {
            assert_int_equal(a.about.nmarks, 2);
            assert_int_equal(a.about.marks[0].wall_ns, 5);
            assert_string_equal(a.about.marks[0].values, "{\"k\":\"v\"}");
            assert_string_equal(a.about.tags, "[\"t\"]");
            assert_int_equal(a.about.ended_ns, 2);
        }
        bp_ingest_about_done(&a);
        json_decref(o);
    }
    assert_int_equal(bp_ingest_read_about(NULL, ID, &a, NULL), BP_EUSAGE);
    bp_ingest_about_done(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests), cmocka_unit_test(names),    cmocka_unit_test(numbers),
        cmocka_unit_test(uploads), cmocka_unit_test(sessions),
    };

    return cmocka_run_group_tests_name("ingest/request", tests, NULL, NULL);
}
