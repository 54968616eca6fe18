#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/sigv4.h"

/* The examples of the Amazon S3 API Reference, "Signature Calculations for the Authorization
 * Header" and "Authenticating Requests: Using Query Parameters". */
static const struct bp_sigv4_key key = {
    .access_key = "AKIAIOSFODNN7EXAMPLE",
    .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    .region = "us-east-1",
    .service = "s3",
};
static const bp_ns_t when = 1369353600 * BP_SEC;
#define HOST \
    { "Host", "examplebucket.s3.amazonaws.com" }
#define DATE \
    { "x-amz-date", "20130524T000000Z" }
#define SCOPE \
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "

static const struct {
    struct bp_sigv4_request rq;
    const char *path;
    const char *want;
} cases[] = {
    { { .method = "GET",
        .headers =
            (const struct bp_sigv4_pair[]){
                HOST, { "Range", "bytes=0-9" }, { "x-amz-content-sha256", BP_SIGV4_EMPTY }, DATE },
        .nheaders = 4,
        .payload = BP_SIGV4_EMPTY },
      "/test.txt",
      "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature="
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
    { { .method = "PUT",
        .headers =
            (const struct bp_sigv4_pair[]){
                { "Date", "Fri, 24 May 2013 00:00:00 GMT" },
                HOST,
                DATE,
                { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
                { "x-amz-content-sha256",
                  "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" } },
        .nheaders = 5,
        .payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" },
      "/test$file.text",
      "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, Signature="
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
    { { .method = "GET",
        .query = (const struct bp_sigv4_pair[]){ { "lifecycle", "" } },
        .nquery = 1,
        .headers = (const struct bp_sigv4_pair[]){ HOST,
                                                   DATE,
                                                   { "x-amz-content-sha256", BP_SIGV4_EMPTY } },
        .nheaders = 3,
        .payload = BP_SIGV4_EMPTY },
      "/",
      "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
    { { .method = "GET",
        .query = (const struct bp_sigv4_pair[]){ { "prefix", "J" }, { "max-keys", "2" } },
        .nquery = 2,
        .headers = (const struct bp_sigv4_pair[]){ HOST,
                                                   DATE,
                                                   { "x-amz-content-sha256", BP_SIGV4_EMPTY } },
        .nheaders = 3,
        .payload = BP_SIGV4_EMPTY },
      "/",
      "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static void documented(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_sigv4_request rq = cases[i].rq;
        BP_AUTO_BUF path = { 0 }, out = { 0 }, want = { 0 };

        bp_sigv4_put_path(&path, cases[i].path, strlen(cases[i].path));
        rq.path = bp_buf_cstr(&path);
        rq.wall = when;
        bp_buf_printf(&want, "%s%s", SCOPE, cases[i].want);
        assert_int_equal(bp_sigv4_authorize(&key, &rq, &out), 0);
        assert_string_equal(bp_buf_cstr(&out), bp_buf_cstr(&want));
    }
}

static void presigned(void **state) {
    const struct bp_sigv4_pair host[] = { HOST };
    struct bp_sigv4_request rq = {
        .method = "GET", .path = "/test.txt", .headers = host, .nheaders = 1, .wall = when
    };
    BP_AUTO_BUF out = { 0 };

    (void) state;
    assert_int_equal(bp_sigv4_presign(&key, &rq, 86400, &out), 0);
    assert_string_equal(
        bp_buf_cstr(&out),
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-"
        "east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-"
        "SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    assert_int_equal(bp_sigv4_presign(&key, &rq, 0, &out), -EINVAL);
    assert_int_equal(bp_sigv4_presign(&key, &rq, 604801, &out), -EINVAL);
}

static void canonical(void **state) {
    const struct bp_sigv4_pair query[] = { { "b", "" },         { "a", "x y+z" }, { "A", "/" },
                                           { "a", "\xc3\xa4" }, { "a-", "%" },    { "a", "x" } };
    BP_AUTO_BUF q = { 0 }, p = { 0 };
    const char path[] = "/a b/../c//d+e%'(*)~\xff";

    (void) state;
    assert_int_equal(bp_sigv4_put_query(&q, query, BP_COUNT(query)), 0);
    assert_string_equal(bp_buf_cstr(&q), "A=%2F&a=%C3%A4&a=x&a=x%20y%2Bz&a-=%25&b=");
    bp_sigv4_put_path(&p, path, sizeof path - 1);
    assert_string_equal(bp_buf_cstr(&p), "/a%20b/../c//d%2Be%25%27%28%2A%29~%FF");
}

static void bounded(void **state) {
    struct bp_sigv4_pair many[BP_SIGV4_MAX_PAIRS + 1];
    struct bp_sigv4_request rq = { .method = "GET", .path = "/", .payload = BP_SIGV4_EMPTY };
    BP_AUTO_BUF out = { 0 };
    char time[BP_SIGV4_TIME];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(many); i++)
        many[i] = (struct bp_sigv4_pair){ "a", "b" };
    rq.query = many;
    rq.nquery = BP_COUNT(many);
    assert_int_equal(bp_sigv4_authorize(&key, &rq, &out), BP_ELIMIT);
    rq.nquery = BP_COUNT(many) - 1;
    assert_int_equal(bp_sigv4_authorize(&key, &rq, &out), 0);
    assert_int_equal(bp_sigv4_presign(&key, &rq, 60, &out), BP_ELIMIT);
    rq.nquery = 0;
    rq.headers = many;
    rq.nheaders = BP_COUNT(many);
    assert_int_equal(bp_sigv4_authorize(&key, &rq, &out), BP_ELIMIT);
    assert_string_equal(bp_sigv4_time(0, time), "19700101T000000Z");
    assert_string_equal(bp_sigv4_time(-1, time), "19691231T235959Z");
    assert_string_equal(bp_sigv4_time(INT64_MAX, time), "22620411T234716Z");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented),
        cmocka_unit_test(presigned),
        cmocka_unit_test(canonical),
        cmocka_unit_test(bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
