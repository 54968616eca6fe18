/* Credentials that a service hands out for a while: the instance's metadata (version 2), a
 * container's, Amazon's STS for a web identity. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "crypt/secret.h"
#include "net/client.h"
#include "net/s3-priv.h"

enum { MAX_TOKEN = 64 << 10 };

static void decrefp(json_t **j) {
    json_decref(*j);
}

static int refused(const struct bp_fetch_reply *reply, struct bp_error *err) {
    struct bp_s3_xml_error e;
    int r =
        bp_s3_xml_error_read((struct bp_str){ (const char *) reply->body.p, reply->body.n }, &e);
    bool again = reply->status >= 500 || reply->status == 429;

    if (r == 0 && e.code[0])
        return bp_fail(err, again ? -EAGAIN : -EACCES, "%d %s: %s", reply->status, e.code,
                       e.message);
    return bp_fail(err, again ? -EAGAIN : -EACCES, "the service answers %d", reply->status);
}

/* When something ends, by our clock: it may differ from the one of those who said it. */
static bp_ns_t by_our_clock(const struct bp_fetch_reply *reply, bp_ns_t expires) {
    return expires && reply->date_ns ? expires + bp_wall_ns() - reply->date_ns : expires;
}

/* {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"} of metadata and containers. */
static int read_json(struct bp_fetch_reply *reply, struct bp_s3_keys *ret, struct bp_error *err) {
    BP_CLEANUP(decrefp)
    json_t *j = json_loadb((const char *) reply->body.p, reply->body.n, 0, NULL);
    const char *access = NULL, *secret = NULL, *token = NULL, *until = NULL;
    bp_ns_t expires = 0;
    int r;

    bp_wipe(reply->body.p, reply->body.n);
    if (json_unpack(j, "{s:s, s:s, s?s, s?s}", "AccessKeyId", &access, "SecretAccessKey", &secret,
                    "Token", &token, "Expiration", &until) < 0 ||
        (until && bp_s3_xml_time(bp_str_of(until), &expires) < 0))
        return bp_fail(err, BP_EFORMAT, "the service's answer holds no credentials");
    r = bp_s3_keys_set(ret, access, secret, token, by_our_clock(reply, expires));
    return r < 0 ? bp_fail(err, r, "they cannot be used: %s", bp_strerror(r)) : 1;
}

/* ---- instance metadata ---- */

/* Its own connections: never by a proxy, and quick, for where it is not it does not answer. */
static int open_near(struct bp_fetch **ret, struct bp_error *err) {
    const struct bp_fetch_options o = { .proxy = "",
                                        .connect_timeout = BP_SEC,
                                        .stall_timeout = 2 * BP_SEC };

    return bp_fetch_open(&o, ret, err);
}

static int ask_metadata(struct bp_fetch *f, const char *method, const char *path,
                        const char *header, struct bp_fetch_reply *reply, struct bp_error *err) {
    const char *base = bp_s3_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *const headers[] = { header, NULL };
    BP_AUTO_BUF url = { 0 };
    struct bp_fetch_request rq = { .method = method, .headers = headers, .timeout = 5 * BP_SEC };
    int r;

    base = base ? base : "http://169.254.169.254";
    bp_buf_printf(&url, "%.*s%s", (int) (strlen(base) - (base[strlen(base) - 1] == '/')), base,
                  path);
    rq.url = bp_buf_cstr(&url);
    if (!rq.url)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_fetch(f, &rq, reply, err);
    if (r < 0)
        return r;
    if (!bp_buf_cstr(&reply->body))
        return bp_fail(err, -ENOMEM, "out of memory");
    return reply->status == 200 ? 0 : refused(reply, err);
}

/* With the session's token in hand: the role's name, then its keys. */
static int ask_role(struct bp_fetch *f, const char *header, struct bp_s3_keys *ret,
                    struct bp_error *err) {
    static const char where[] = "/latest/meta-data/iam/security-credentials/";
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    BP_AUTO_BUF path = { 0 };
    int r = ask_metadata(f, "GET", where, header, &reply, err);

    if (r < 0)
        return reply.status == 404 ? 0 : r; /* an instance without a role */
    bp_buf_put_str(&path, where);
    bp_sigv4_put_path(&path, (const char *) reply.body.p,
                      strcspn((const char *) reply.body.p, "\r\n"));
    if (!bp_buf_cstr(&path))
        return bp_fail(err, -ENOMEM, "out of memory");
    r = ask_metadata(f, "GET", bp_buf_cstr(&path), header, &reply, err);
    return r < 0 ? r : read_json(&reply, ret, err);
}

int bp_s3_from_instance(const char *profile, struct bp_fetch *fetch, struct bp_s3_keys *ret,
                        struct bp_error *err) {
    BP_CLEANUP(bp_fetch_closep) struct bp_fetch *f = NULL;
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    BP_AUTO_BUF header = { 0 };
    const char *off = bp_s3_env("AWS_EC2_METADATA_DISABLED");
    int r;

    (void) profile;
    (void) fetch;
    if (off && (bp_streq(off, "true") || bp_streq(off, "TRUE") || bp_streq(off, "True")))
        return 0;
    r = open_near(&f, err);
    if (r < 0)
        return r;
    r = ask_metadata(f, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600",
                     &reply, err);
    if (r < 0 && reply.status != 200)
        return 0; /* nobody there, or somebody else */
    bp_buf_printf(&header, "X-aws-ec2-metadata-token: %s", (const char *) reply.body.p);
    return bp_buf_cstr(&header) ? ask_role(f, bp_buf_cstr(&header), ret, err)
                                : bp_fail(err, -ENOMEM, "out of memory");
}

/* ---- containers ---- */

/* A key is sent there: by https, or to this machine and the two addresses of Amazon's agents. */
static bool may_ask(const char *url) {
    static const char *const near[] = { "127.0.0.1",     "localhost",      "[::1]",
                                        "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]" };

    if (bp_starts_with(url, "https://"))
        return true;
    for (size_t i = 0; bp_starts_with(url, "http://") && i < BP_COUNT(near); i++) {
        size_t n = strlen(near[i]);

        if (strncmp(url + 7, near[i], n) == 0 && strchr(":/", url[7 + n]))
            return true;
    }
    return false;
}

/* "Authorization: …" into `header`, which stays empty when none is wanted. */
static int container_token(struct bp_buf *header, struct bp_error *err) {
    const char *file = bp_s3_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
               *token = bp_s3_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    BP_AUTO_FREE char *text = NULL;
    size_t n = token ? strlen(token) : 0;
    int r = 0;

    if (file) {
        r = bp_io_read_file(&bp_io_posix, file, MAX_TOKEN, &text, &n, err);
        token = text;
    }
    if (r < 0 || !token)
        return r;
    while (n > 0 && strchr("\r\n ", token[n - 1]))
        n--;
    bp_buf_printf(header, "Authorization: %.*s", (int) n, token);
    if (text)
        bp_wipe(text, strlen(text));
    return bp_buf_cstr(header) ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

int bp_s3_from_container(const char *profile, struct bp_fetch *fetch, struct bp_s3_keys *ret,
                         struct bp_error *err) {
    const char *relative = bp_s3_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
               *full = bp_s3_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    BP_CLEANUP(bp_fetch_closep) struct bp_fetch *near = NULL;
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    BP_AUTO_BUF url = { 0 }, header = { 0 };
    const char *headers[2] = { NULL };
    int r;

    (void) profile;
    if (!relative && !full)
        return 0;
    bp_buf_printf(&url, "%s%s", relative ? "http://169.254.170.2" : "", relative ? relative : full);
    if (!bp_buf_cstr(&url))
        return bp_fail(err, -ENOMEM, "out of memory");
    if (!may_ask(bp_buf_cstr(&url)))
        return bp_fail(err, -EACCES, "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or near");
    r = container_token(&header, err);
    if (r == 0 && bp_starts_with(bp_buf_cstr(&url), "http://"))
        r = open_near(&near, err);
    if (r < 0)
        return r;
    headers[0] = header.n > 0 ? bp_buf_cstr(&header) : NULL;
    r = bp_fetch(
        near ? near : fetch,
        &(struct bp_fetch_request){
            .method = "GET", .url = bp_buf_cstr(&url), .headers = headers, .timeout = 10 * BP_SEC },
        &reply, err);
    if (r < 0)
        return r;
    return reply.status == 200 ? read_json(&reply, ret, err) : refused(&reply, err);
}

/* ---- web identity ---- */

struct sts {
    struct bp_buf access, secret, token;
    bp_ns_t expires;
};

static int sts_leaf(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    static const char in[] = "AssumeRoleWithWebIdentityResult/Credentials/";
    struct sts *s = ctx;
    struct bp_buf *to = NULL;

    if (!bp_starts_with(path, in))
        return 0;
    path += sizeof in - 1;
    if (bp_streq(path, "AccessKeyId"))
        to = &s->access;
    else if (bp_streq(path, "SecretAccessKey"))
        to = &s->secret;
    else if (bp_streq(path, "SessionToken"))
        to = &s->token;
    else if (bp_streq(path, "Expiration") && bp_s3_xml_time(text, &s->expires) < 0)
        return bp_fail(err, BP_EFORMAT, "'Expiration' is no time");
    if (to) {
        bp_buf_clear(to);
        bp_buf_reserve(to, text.n + 1);
        bp_buf_put(to, text.p, text.n);
    }
    return 0;
}

static int read_sts(struct bp_fetch_reply *reply, struct bp_s3_keys *ret, struct bp_error *err) {
    struct sts s = { 0 };
    struct bp_buf *all[] = { &s.access, &s.secret, &s.token };
    int r = bp_s3_xml_read((struct bp_str){ (const char *) reply->body.p, reply->body.n },
                           "AssumeRoleWithWebIdentityResponse", sts_leaf, &s, err);

    bp_wipe(reply->body.p, reply->body.n);
    if (r == 0 && (s.access.n == 0 || s.secret.n == 0 || s.expires == 0))
        r = bp_fail(err, BP_EFORMAT, "the answer of STS holds no credentials");
    if (r == 0 && (!bp_buf_cstr(&s.access) || !bp_buf_cstr(&s.secret) || !bp_buf_cstr(&s.token)))
        r = bp_fail(err, -ENOMEM, "out of memory");
    if (r == 0) {
        r = bp_s3_keys_set(ret, bp_buf_cstr(&s.access), bp_buf_cstr(&s.secret),
                           bp_buf_cstr(&s.token), by_our_clock(reply, s.expires));
        r = r < 0 ? bp_fail(err, r, "they cannot be used: %s", bp_strerror(r)) : 1;
    }
    for (size_t i = 0; i < BP_COUNT(all); i++) {
        if (all[i]->p)
            bp_wipe(all[i]->p, all[i]->n);
        bp_buf_done(all[i]);
    }
    return r;
}

/* The role and the file with the token: environment, then the profile. @return 1, 0, a failure */
static int find_role(const char *profile, char **arn, char **file, char **session,
                     struct bp_error *err) {
    const char *role = bp_s3_env("AWS_ROLE_ARN"), *token = bp_s3_env("AWS_WEB_IDENTITY_TOKEN_FILE"),
               *name = bp_s3_env("AWS_ROLE_SESSION_NAME");
    int r;

    if (role && token) {
        *arn = strdup(role);
        *file = strdup(token);
        *session = strdup(name ? name : "bagpipe");
        return *arn && *file && *session ? 1 : bp_fail(err, -ENOMEM, "out of memory");
    }
    r = bp_s3_profile_value(true, profile, "web_identity_token_file", file, err);
    if (r > 0)
        r = bp_s3_profile_value(true, profile, "role_arn", arn, err);
    if (r <= 0)
        return r;
    r = bp_s3_profile_value(true, profile, "role_session_name", session, err);
    if (r == 0)
        *session = strdup("bagpipe");
    return *session ? 1 : bp_fail(err, r < 0 ? r : -ENOMEM, "out of memory");
}

/* The token goes in the body, which nobody logs. */
static int sts_body(const char *arn, const char *file, const char *session, struct bp_buf *body,
                    struct bp_error *err) {
    BP_AUTO_FREE char *token = NULL;
    size_t n;
    int r = bp_io_read_file(&bp_io_posix, file, MAX_TOKEN, &token, &n, err);

    if (r < 0)
        return r;
    while (n > 0 && strchr("\r\n ", token[n - 1]))
        token[--n] = '\0';
    bp_buf_put_str(body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=");
    bp_client_put_escaped(body, arn);
    bp_buf_put_str(body, "&RoleSessionName=");
    bp_client_put_escaped(body, session);
    bp_buf_put_str(body, "&WebIdentityToken=");
    bp_client_put_escaped(body, token);
    bp_wipe(token, n);
    return body->failed ? bp_fail(err, -ENOMEM, "out of memory") : 0;
}

static int sts_url(const char *profile, struct bp_buf *url, struct bp_error *err) {
    const char *given = bp_s3_env("AWS_ENDPOINT_URL_STS"), *region = bp_s3_env("AWS_REGION");
    BP_AUTO_FREE char *of_profile = NULL;

    if (!region)
        region = bp_s3_env("AWS_DEFAULT_REGION");
    if (!region && bp_s3_profile_value(true, profile, "region", &of_profile, NULL) > 0)
        region = of_profile;
    if (given)
        bp_buf_put_str(url, given);
    else if (region)
        bp_buf_printf(url, "https://sts.%s.amazonaws.com%s/", region,
                      bp_starts_with(region, "cn-") ? ".cn" : "");
    else
        bp_buf_put_str(url, "https://sts.amazonaws.com/");
    return bp_buf_cstr(url) ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

int bp_s3_from_web_identity(const char *profile, struct bp_fetch *fetch, struct bp_s3_keys *ret,
                            struct bp_error *err) {
    static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded",
                                           NULL };
    BP_AUTO_FREE char *arn = NULL, *file = NULL, *session = NULL;
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    BP_AUTO_BUF url = { 0 }, body = { 0 };
    struct bp_fetch_request rq = { .method = "POST", .headers = headers, .timeout = 20 * BP_SEC };
    int r = find_role(profile, &arn, &file, &session, err);

    if (r <= 0)
        return r;
    r = sts_body(arn, file, session, &body, err);
    if (r == 0)
        r = sts_url(profile, &url, err);
    if (r == 0) {
        rq.url = bp_buf_cstr(&url);
        rq.body = (struct bp_str){ (const char *) body.p, body.n };
        r = bp_fetch(fetch, &rq, &reply, err);
    }
    if (body.p)
        bp_wipe(body.p, body.n);
    if (r < 0)
        return r;
    return reply.status == 200 ? read_sts(&reply, ret, err) : refused(&reply, err);
}
