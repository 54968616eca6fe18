/* One bucket at one endpoint: where it is and how it wants to be spoken to. */
#include "net/s3.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "crypt/base64.h"
#include "crypt/digest.h"
#include "crypt/secret.h"
#include "net/s3-priv.h"

static int no_memory(struct bp_error *err) {
    return bp_fail(err, -ENOMEM, "out of memory");
}

/* A copy; NULL for NULL and "". @return 0, -ENOMEM */
static int copy_text(char **to, const char *text) {
    *to = text && text[0] ? strdup(text) : NULL;
    return text && text[0] && !*to ? -ENOMEM : 0;
}

static bool has_only(const char *text, const char *more) {
    for (; *text; text++) {
        char c = *text;

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) &&
            !strchr(more, c))
            return false;
    }
    return true;
}

/* "https://host[:port][/path]"; the port is left out where libcurl leaves it out of Host. */
static int set_endpoint(struct bp_s3 *s, const char *url, struct bp_error *err) {
    const char *host = strstr(url, "://"), *shown = strchr(url, '@') ? "the endpoint" : url, *port;
    size_t n, path;

    if (!bp_starts_with(url, "https://") && !bp_starts_with(url, "http://"))
        return bp_fail(err, -EINVAL, "'%s': write https://HOST or http://HOST:PORT", shown);
    s->https = url[4] == 's';
    host += 3;
    n = strcspn(host, "/?#");
    s->authority = strndup(host, n);
    path = strcspn(host + n, "?#");
    while (path > 0 && host[n + path - 1] == '/')
        path--;
    s->base = strndup(host + n, path);
    if (!s->authority || !s->base)
        return no_memory(err);
    if (n == 0 || host[n + strcspn(host + n, "?#")] || !has_only(s->authority, "-._:[]") ||
        !has_only(s->base, "-._~/%"))
        return bp_fail(err, -EINVAL, "'%s' is not an endpoint: https://HOST[:PORT][/PATH]", shown);
    port = strrchr(s->authority, ':');
    if (port && bp_streq(port, s->https ? ":443" : ":80"))
        s->authority[port - s->authority] = '\0';
    return 0;
}

static int find_endpoint(struct bp_s3 *s, const char *given, struct bp_error *err) {
    const char *url = given                              ? given
                      : bp_s3_env("AWS_ENDPOINT_URL_S3") ? bp_s3_env("AWS_ENDPOINT_URL_S3")
                                                         : bp_s3_env("AWS_ENDPOINT_URL");

    if (url)
        return set_endpoint(s, url, err);
    s->by_region = s->https = true;
    s->base = strdup("");
    return s->base ? 0 : no_memory(err);
}

static int find_region(struct bp_s3 *s, const char *given, struct bp_error *err) {
    BP_AUTO_FREE char *of_profile = NULL;
    const char *region = given;

    if (!region)
        region = bp_s3_env("AWS_REGION");
    if (!region)
        region = bp_s3_env("AWS_DEFAULT_REGION");
    if (!region) {
        of_profile = bp_s3_creds_region(s->creds);
        region = of_profile;
    }
    if (!region)
        region = "us-east-1";
    if (!has_only(region, "-_") || strlen(region) >= sizeof s->region || !region[0])
        return bp_fail(err, -EINVAL, "'%s' is not a region", region);
    (void) snprintf(s->region, sizeof s->region, "%s", region);
    return 0;
}

static int check_bucket(const char *bucket, struct bp_error *err) {
    size_t n = bucket ? strlen(bucket) : 0;

    if (n < 3 || n > 255 || !has_only(bucket, "-._") || bucket[0] == '.' || strstr(bucket, ".."))
        return bp_fail(err, -EINVAL,
                       "'%s' is not the name of a bucket: 3 to 63 of a-z, 0-9, '-' and '.'",
                       bucket ? bucket : "");
    return 0;
}

/* SSE-C: the key goes along with every request, so only where nobody listens. */
static int set_customer_key(struct bp_s3 *s, const uint8_t *key, struct bp_error *err) {
    BP_AUTO_BUF text = { 0 }, md5 = { 0 };
    uint8_t digest[BP_MD5_LEN];

    if (!s->https)
        return bp_fail(err, -EINVAL, "keys of the customer's own (SSE-C) are sent by https only");
    bp_md5_of(key, 32, digest);
    bp_buf_reserve(&text, 64); /* so that no copy is left behind */
    bp_base64_std_put(&text, key, 32);
    bp_base64_std_put(&md5, digest, sizeof digest);
    s->sse_key = bp_buf_take_cstr(&text);
    s->sse_key_md5 = bp_buf_take_cstr(&md5);
    return s->sse_key && s->sse_key_md5 ? 0 : no_memory(err);
}

static int set_encryption(struct bp_s3 *s, const struct bp_s3_options *o, struct bp_error *err) {
    if (o->sse && o->sse[0] && !bp_streq(o->sse, "AES256") && !bp_streq(o->sse, "aws:kms") &&
        !bp_streq(o->sse, "aws:kms:dsse"))
        return bp_fail(err, -EINVAL, "encryption '%s' is not known: AES256 or aws:kms", o->sse);
    if (o->sse_customer && o->sse && o->sse[0])
        return bp_fail(err, -EINVAL, "encryption by a key of one's own excludes '%s'", o->sse);
    if (copy_text(&s->sse, o->sse) < 0 || copy_text(&s->sse_kms_key, o->sse_kms_key) < 0 ||
        copy_text(&s->storage_class, o->storage_class) < 0)
        return no_memory(err);
    return o->sse_customer ? set_customer_key(s, o->sse_customer, err) : 0;
}

static int set_provider(struct bp_s3 *s, const struct bp_s3_options *o, struct bp_error *err) {
    s->quirks = o->provider && o->provider[0] ? bp_s3_quirks_named(o->provider)
                : s->by_region                ? bp_s3_quirks_named("aws")
                                              : bp_s3_quirks_of(s->authority);
    if (!s->quirks)
        return bp_fail(err, -EINVAL, "provider '%s' is not known: see docs/s3-providers.md",
                       o->provider);
    s->virtual_style = o->style == BP_S3_STYLE_AUTO
                           ? s->quirks->virtual_style && !strchr(o->bucket, '.')
                           : o->style == BP_S3_STYLE_VIRTUAL;
    s->checksum = o->checksum;
    if (o->checksum == BP_S3_CHECKSUM_AUTO)
        s->checksum = s->quirks->checksums ? BP_S3_CHECKSUM_SHA256 : BP_S3_CHECKSUM_NONE;
    return 0;
}

int bp_s3_open(const struct bp_s3_options *options, struct bp_s3 **ret, struct bp_error *err) {
    BP_CLEANUP(bp_s3_closep) struct bp_s3 *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return no_memory(err);
    bp_mutex_init(&s->lock);
    s->fetch = options->fetch;
    s->creds = options->creds;
    s->timeout = options->timeout ? options->timeout : 30 * BP_SEC;
    s->copy_part_bytes = options->copy_part_bytes ? options->copy_part_bytes : BP_S3_MAX_PART;
    r = check_bucket(options->bucket, err);
    if (r == 0)
        r = find_endpoint(s, options->endpoint, err);
    if (r == 0)
        r = find_region(s, options->region, err);
    if (r == 0)
        r = set_provider(s, options, err);
    if (r == 0)
        r = set_encryption(s, options, err);
    if (r < 0)
        return r;
    s->bucket = strdup(options->bucket);
    s->prefix = strdup(options->prefix ? options->prefix : "");
    if (!s->bucket || !s->prefix)
        return no_memory(err);
    *ret = BP_TAKE_PTR(s);
    return 0;
}

void bp_s3_close(struct bp_s3 *s) {
    if (!s)
        return;
    bp_mutex_done(&s->lock);
    if (s->sse_key)
        bp_wipe(s->sse_key, strlen(s->sse_key));
    free(s->authority);
    free(s->base);
    free(s->bucket);
    free(s->prefix);
    free(s->sse);
    free(s->sse_kms_key);
    free(s->storage_class);
    free(s->sse_key);
    free(s->sse_key_md5);
    free(s);
}

const char *bp_s3_provider(const struct bp_s3 *s) {
    return s->quirks->name;
}

bool bp_s3_equal_parts(const struct bp_s3 *s) {
    return s->quirks->equal_parts;
}

bp_ns_t bp_s3_clock_offset(const struct bp_s3 *s) {
    return __atomic_load_n(&s->offset_ns, __ATOMIC_RELAXED);
}

void bp_s3_region(struct bp_s3 *s, char region[static 64]) {
    bp_mutex_lock(&s->lock);
    memcpy(region, s->region, sizeof s->region);
    bp_mutex_unlock(&s->lock);
}

int bp_s3_where(struct bp_s3 *s, const char *key, const char *region, struct bp_buf *authority,
                struct bp_buf *path, struct bp_error *err) {
    size_t n = key ? strlen(s->prefix) + strlen(key) : 0;

    if (key && (n == 0 || n > BP_S3_KEY_MAX))
        return bp_fail(err, -EINVAL, "a key has 1 to %d bytes, not %zu", BP_S3_KEY_MAX, n);
    if (s->virtual_style)
        bp_buf_printf(authority, "%s.", s->bucket);
    if (s->by_region)
        bp_buf_printf(authority, "s3.%s.amazonaws.com%s", region,
                      bp_starts_with(region, "cn-") ? ".cn" : "");
    else
        bp_buf_put_str(authority, s->authority);
    bp_buf_put_str(path, s->base);
    bp_buf_put_u8(path, '/');
    if (!s->virtual_style) {
        bp_sigv4_put_path(path, s->bucket, strlen(s->bucket));
        if (key)
            bp_buf_put_u8(path, '/');
    }
    if (key) {
        bp_sigv4_put_path(path, s->prefix, strlen(s->prefix));
        bp_sigv4_put_path(path, key, strlen(key));
    }
    return bp_buf_cstr(authority) && bp_buf_cstr(path) ? 0 : no_memory(err);
}
