#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/s3-priv.h"

#define NOW  (1795898967 * BP_SEC)
#define XML1 "<?xml version=\"1.0\"?>\n<Error><Code>"
#define XML2 "</Code><Message>why</Message><RequestId>r1</RequestId></Error>"

/* What an answer is made into. */
enum { CLOCK = 1, REGION = 2, KEYS = 4, AGAIN = 8 };
static const struct {
    int status;
    const char *body;
    bool precondition;
    bp_ns_t apart; /* server's clock minus ours; -1 = it tells none */
    bp_ns_t retry_after;
    const char *region;
    enum bp_s3_class class;
    int code, remedy;
} verdicts[] = {
    { 403, XML1 "RequestTimeTooSkewed" XML2, false, 1200, 0, "", BP_S3_CLOCK, -EACCES, CLOCK },
    { 403, XML1 "RequestTimeTooSkewed" XML2, false, -1, 0, "", BP_S3_CLOCK, -EACCES, 0 },
    { 403, "", false, -1200, 0, "", BP_S3_CLOCK, -EACCES, CLOCK }, /* HEAD */
    { 403, "", false, 30, 0, "", BP_S3_AUTH, -EACCES, 0 },
    { 403, XML1 "AccessDenied" XML2, false, 0, 0, "", BP_S3_AUTH, -EACCES, 0 },
    { 403, XML1 "SignatureDoesNotMatch" XML2, false, 0, 0, "", BP_S3_AUTH, -EACCES, AGAIN },
    { 400, XML1 "ExpiredToken" XML2, false, 0, 0, "", BP_S3_AUTH, -EACCES, KEYS },
    { 403, XML1 "InvalidAccessKeyId" XML2, false, 0, 0, "", BP_S3_AUTH, -EACCES, KEYS },
    { 401, "<html>", false, 0, 0, "", BP_S3_AUTH, -EACCES, 0 },
    { 407, "", false, 0, 0, "", BP_S3_AUTH, -EACCES, 0 },
    { 503, XML1 "SlowDown" XML2, false, 0, 0, "", BP_S3_THROTTLED, -EAGAIN, 0 },
    { 503, "", false, 0, 7, "", BP_S3_THROTTLED, -EAGAIN, 0 },
    { 503, "<html>busy</html>", false, 0, 0, "", BP_S3_SERVER, -EIO, 0 },
    { 429, "", false, 0, 0, "", BP_S3_THROTTLED, -EAGAIN, 0 },
    { 500, XML1 "InternalError" XML2, false, 0, 0, "", BP_S3_SERVER, -EIO, 0 },
    { 200, XML1 "InternalError" XML2, false, 0, 0, "", BP_S3_SERVER, -EIO, 0 },
    { 200, XML1 "NoSuchUpload" XML2, false, 0, 0, "", BP_S3_MISSING, -ENOENT, 0 },
    { 200, XML1 "SomethingNew" XML2, false, 0, 0, "", BP_S3_SERVER, -EIO, 0 },
    { 502, "", false, 0, 0, "", BP_S3_SERVER, -EIO, 0 },
    { 404, XML1 "NoSuchUpload" XML2, false, 0, 0, "", BP_S3_MISSING, -ENOENT, 0 },
    { 404, XML1 "NoSuchBucket" XML2, false, 0, 0, "", BP_S3_PERMANENT, -EINVAL, 0 },
    { 404, "", false, 0, 0, "", BP_S3_MISSING, -ENOENT, 0 },
    { 412, XML1 "PreconditionFailed" XML2, true, 0, 0, "", BP_S3_EXISTS, -EEXIST, 0 },
    { 412, "", false, 0, 0, "", BP_S3_DAMAGED, BP_EMISMATCH, 0 },
    { 409, XML1 "ConditionalRequestConflict" XML2, true, 0, 0, "", BP_S3_SERVER, -EIO, 0 },
    { 400, XML1 "XAmzContentSHA256Mismatch" XML2, false, 0, 0, "", BP_S3_DAMAGED, BP_EMISMATCH, 0 },
    { 400, XML1 "IncompleteBody" XML2, false, 0, 0, "", BP_S3_NETWORK, -EIO, 0 },
    { 400, XML1 "EntityTooSmall" XML2, false, 0, 0, "", BP_S3_PERMANENT, -EINVAL, 0 },
    { 403, XML1 "QuotaExceeded" XML2, false, 0, 0, "", BP_S3_QUOTA, -EDQUOT, 0 },
    { 507, "", false, 0, 0, "", BP_S3_QUOTA, -EDQUOT, 0 },
    { 416, XML1 "InvalidRange" XML2, false, 0, 0, "", BP_S3_PERMANENT, -ERANGE, 0 },
    { 301, XML1 "PermanentRedirect" XML2, false, 0, 0, "eu-west-1", BP_S3_PERMANENT, -EINVAL,
      REGION },
    { 400, XML1 "AuthorizationHeaderMalformed</Code><Region>eu-west-2</Region></Error>", false, 0,
      0, "", BP_S3_AUTH, -EACCES, REGION },
    { 301, "", false, 0, 0, "", BP_S3_PERMANENT, -EINVAL, 0 },
    { 400, "", false, 0, 0, "eu-west-1", BP_S3_PERMANENT, -EINVAL, REGION }, /* HEAD */
    { 501, XML1 "NotImplemented" XML2, false, 0, 0, "", BP_S3_PERMANENT, -EINVAL, 0 },
};

static void judges(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(verdicts); i++) {
        BP_CLEANUP(bp_fetch_reply_done)
        struct bp_fetch_reply reply = { .status = verdicts[i].status,
                                        .retry_after = verdicts[i].retry_after * BP_SEC };
        struct bp_s3_failure f = { 0 };
        struct bp_error err = { 0 };
        struct bp_s3_verdict v;

        reply.date_ns = verdicts[i].apart == -1 ? 0 : NOW + verdicts[i].apart * BP_SEC;
        bp_buf_put_str(&reply.body, verdicts[i].body);
        if (verdicts[i].region[0]) {
            bp_buf_put(&reply.head, "X-Amz-Bucket-Region", 20);
            bp_buf_put(&reply.head, verdicts[i].region, strlen(verdicts[i].region) + 1);
        }
        v = bp_s3_judge(&reply, verdicts[i].precondition, NOW, &f, &err);
        if (f.class != verdicts[i].class || v.code != verdicts[i].code ||
            (int) v.remedy != verdicts[i].remedy || !err.text[0] || f.status != verdicts[i].status)
            fail_msg("verdict %zu: class %s, code %d, remedy %d: %s", i, bp_s3_class_text(f.class),
                     v.code, (int) v.remedy, err.text);
        if (strstr(verdicts[i].body, "RequestId"))
            assert_string_equal(f.request_id, "r1");
    }
}

/* ---- opening ---- */

static struct bp_s3_creds *keys(void) {
    struct bp_s3_creds *c = NULL;

    assert_int_equal(
        bp_s3_creds_open(&(struct bp_s3_creds_options){ .access_key = "AK", .secret_key = "SK" },
                         NULL, &c, NULL),
        0);
    return c;
}

static void finds_its_place(void **state) {
    static const struct {
        const char *endpoint, *region, *bucket, *prefix;
        enum bp_s3_style style;
        const char *provider, *authority, *path;
        bool https;
    } cases[] = {
        { NULL, "eu-central-1", "robots", "a/", 0, "aws", "robots.s3.eu-central-1.amazonaws.com",
          "/a/k%20%2B", true },
        { NULL, "cn-north-1", "robots", NULL, 0, "aws", "robots.s3.cn-north-1.amazonaws.com.cn",
          "/k%20%2B", true },
        { NULL, "eu-central-1", "robots.x", NULL, 0, "aws", "s3.eu-central-1.amazonaws.com",
          "/robots.x/k%20%2B", true },
        { "http://minio.lan:9000", NULL, "robots", NULL, 0, "generic", "minio.lan:9000",
          "/robots/k%20%2B", false },
        { "http://minio.lan:9000/", NULL, "robots", NULL, BP_S3_STYLE_VIRTUAL, "generic",
          "robots.minio.lan:9000", "/k%20%2B", false },
        { "https://a.supabase.co/storage/v1/s3", NULL, "robots", NULL, 0, "supabase",
          "a.supabase.co", "/storage/v1/s3/robots/k%20%2B", true },
        { "https://x.r2.cloudflarestorage.com:443", "auto", "robots", NULL, 0, "r2",
          "x.r2.cloudflarestorage.com", "/robots/k%20%2B", true },
        { "https://storage.googleapis.com", NULL, "robots", NULL, 0, "gcs",
          "storage.googleapis.com", "/robots/k%20%2B", true },
        { "https://s3.eu-central-1.wasabisys.com", NULL, "robots", NULL, 0, "wasabi",
          "s3.eu-central-1.wasabisys.com", "/robots/k%20%2B", true },
        { "http://[::1]:80", NULL, "robots", NULL, 0, "generic", "[::1]", "/robots/k%20%2B",
          false },
    };
    BP_CLEANUP(bp_s3_creds_closep) struct bp_s3_creds *c = keys();

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_CLEANUP(bp_s3_closep) struct bp_s3 *s = NULL;
        BP_AUTO_BUF authority = { 0 }, path = { 0 };
        struct bp_error err = { 0 };
        char region[64];

        if (bp_s3_open(&(struct bp_s3_options){ .creds = c,
                                                .endpoint = cases[i].endpoint,
                                                .region = cases[i].region,
                                                .bucket = cases[i].bucket,
                                                .prefix = cases[i].prefix,
                                                .style = cases[i].style },
                       &s, &err) < 0)
            fail_msg("case %zu: %s", i, err.text);
        bp_s3_region(s, region);
        assert_int_equal(bp_s3_where(s, "k +", region, &authority, &path, &err), 0);
        assert_string_equal(bp_buf_cstr(&authority), cases[i].authority);
        assert_string_equal(bp_buf_cstr(&path), cases[i].path);
        assert_string_equal(bp_s3_provider(s), cases[i].provider);
        assert_int_equal(s->https, cases[i].https);
        assert_int_equal(bp_s3_equal_parts(s), bp_streq(cases[i].provider, "r2"));
    }
}

static void refuses_what_cannot_be(void **state) {
    static const struct bp_s3_options cases[] = {
        { .bucket = NULL },
        { .bucket = "ab" },
        { .bucket = "a/b" },
        { .bucket = "../etc" },
        { .bucket = "bucket", .endpoint = "minio.lan" },
        { .bucket = "bucket", .endpoint = "ftp://minio.lan" },
        { .bucket = "bucket", .endpoint = "https://" },
        { .bucket = "bucket", .endpoint = "https://user:geheim@minio.lan" },
        { .bucket = "bucket", .endpoint = "https://minio.lan/?a" },
        { .bucket = "bucket", .region = "eu west" },
        { .bucket = "bucket", .provider = "nobody" },
        { .bucket = "bucket", .sse = "rot13" },
        { .bucket = "bucket",
          .endpoint = "http://minio.lan",
          .sse_customer = (const uint8_t *) "0123456789abcdef0123456789abcdef" },
    };
    BP_CLEANUP(bp_s3_creds_closep) struct bp_s3_creds *c = keys();
    struct bp_s3_creds *half = NULL;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_s3_options o = cases[i];
        struct bp_s3 *s = NULL;
        struct bp_error err = { 0 };

        o.creds = c;
        if (bp_s3_open(&o, &s, &err) != -EINVAL || !err.text[0] || strstr(err.text, "geheim"))
            fail_msg("case %zu: %s", i, err.text);
    }
    assert_int_equal(
        bp_s3_creds_open(&(struct bp_s3_creds_options){ .access_key = "AK" }, NULL, &half, NULL),
        -EINVAL);
}

static void bounds_keys(void **state) {
    BP_CLEANUP(bp_s3_creds_closep) struct bp_s3_creds *c = keys();
    BP_CLEANUP(bp_s3_closep) struct bp_s3 *s = NULL;
    struct bp_s3_object o;
    struct bp_s3_failure f;
    char key[BP_S3_KEY_MAX + 2];

    (void) state;
    assert_int_equal(bp_s3_open(&(struct bp_s3_options){ .creds = c,
                                                         .endpoint = "http://127.0.0.1:1",
                                                         .bucket = "bucket",
                                                         .prefix = "p" },
                                &s, NULL),
                     0);
    memset(key, 'x', sizeof key - 1);
    key[BP_S3_KEY_MAX] = '\0';
    assert_int_equal(bp_s3_head(s, key, &o, &f, NULL), -EINVAL); /* with the prefix too long */
    assert_int_equal(f.class, BP_S3_PERMANENT);
    assert_string_equal(bp_s3_listed_key(s, (char[]){ "pa%2Fb+c" }, true), "a/b c");
    assert_string_equal(bp_s3_listed_key(s, (char[]){ "pa%2Fb+c" }, false), "a%2Fb+c");
    assert_null(bp_s3_listed_key(s, (char[]){ "other" }, false));
    assert_null(bp_s3_listed_key(s, (char[]){ "p%zz" }, true));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges),
        cmocka_unit_test(finds_its_place),
        cmocka_unit_test(refuses_what_cannot_be),
        cmocka_unit_test(bounds_keys),
    };

    /* nothing of whoever runs this */
    (void) setenv("HOME", "/nonexistent", 1);
    (void) unsetenv("AWS_REGION");
    (void) unsetenv("AWS_DEFAULT_REGION");
    (void) unsetenv("AWS_ENDPOINT_URL");
    (void) unsetenv("AWS_ENDPOINT_URL_S3");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
