#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "sync/target-s3-priv.h"
#include "sync/target-s3.h"

/* A bucket as an URL and settings name it. */

static const struct {
    const char *name;
    size_t offset;
} known[] = {
#define ROW(word, member) \
    { word, offsetof(struct bp_sync_s3_settings, member) }
    ROW("endpoint", endpoint),
    ROW("region", region),
    ROW("profile", profile),
    ROW("provider", provider),
    ROW("style", style),
    ROW("checksum", checksum),
    ROW("sse", sse),
    ROW("sse_kms_key", sse_kms_key),
    ROW("storage_class", storage_class),
    ROW("template", layout),
    ROW("dedup", dedup),
    ROW("anonymous", anonymous),
#undef ROW
};

int bp_sync_s3_settings_read(const char *const *v, struct bp_sync_s3_settings *ret,
                             struct bp_error *err) {
    for (size_t i = 0; v && v[i]; i++) {
        size_t n = strcspn(v[i], "="), k = 0;
        const char *value = v[i] + n + 1;

        while (k < BP_COUNT(known) &&
               (strlen(known[k].name) != n || memcmp(known[k].name, v[i], n) != 0))
            k++;
        if (k == BP_COUNT(known) || v[i][n] != '=')
            return bp_fail(
                err, BP_EUSAGE,
                "'%s': of a bucket there are endpoint, region, profile, provider, style, "
                "checksum, sse, sse_kms_key, storage_class, template, dedup, anonymous",
                v[i]);
        memcpy((char *) ret + known[k].offset, &value, sizeof value);
    }
    return 0;
}

int bp_sync_s3_choice(const char *key, const char *text, const char *const *words, size_t n,
                      int *ret, struct bp_error *err) {
    BP_AUTO_BUF all = { 0 };
    const char *list;

    *ret = 0;
    for (size_t i = 0; text && i < n; i++) {
        if (bp_streq(text, words[i])) {
            *ret = (int) i;
            return 0;
        }
        bp_buf_printf(&all, "%s%s", i ? ", " : "", words[i]);
    }
    if (!text)
        return 0;
    list = bp_buf_cstr(&all);
    return bp_fail(err, BP_EUSAGE, "%s=%s: expected %s", key, text, list ? list : "");
}

/* "s3://bucket/prefix" @param ret_prefix  ends in '/', or is "" */
static int split_url(const char *url, char **ret_bucket, char **ret_prefix, struct bp_error *err) {
    const char *p = url + strlen("s3://");
    size_t n = strcspn(p, "/"), end = strlen(p);

    if (!bp_starts_with(url, "s3://") || !n || memchr(p, '@', n))
        return bp_fail(err, BP_EUSAGE, "'%s': expected s3://BUCKET/PREFIX", url);
    *ret_bucket = strndup(p, n);
    p += n;
    end -= n;
    while (end && *p == '/') {
        p++;
        end--;
    }
    while (end && p[end - 1] == '/')
        end--;
    if (asprintf(ret_prefix, "%.*s%s", (int) end, p, end ? "/" : "") < 0)
        *ret_prefix = NULL;
    return *ret_bucket && *ret_prefix ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

int bp_sync_s3_client(const struct bp_sync_target_opts *o, struct bp_fetch *fetch,
                      struct bp_s3_creds **ret_creds, struct bp_s3 **ret, struct bp_error *err) {
    static const char *const styles[] = { "auto", "path", "virtual" };
    static const char *const sums[] = { "auto", "none", "sha256", "crc64nvme" };
    static const char *const yes[] = { "false", "true" };
    BP_AUTO_FREE char *bucket = NULL, *prefix = NULL;
    struct bp_sync_s3_settings x = { 0 };
    int style, sum, anonymous, r;

    r = bp_sync_s3_settings_read(o->settings, &x, err);
    if (r == 0)
        r = bp_sync_s3_choice("style", x.style, styles, BP_COUNT(styles), &style, err);
    if (r == 0)
        r = bp_sync_s3_choice("checksum", x.checksum, sums, BP_COUNT(sums), &sum, err);
    if (r == 0)
        r = bp_sync_s3_choice("anonymous", x.anonymous, yes, BP_COUNT(yes), &anonymous, err);
    if (r == 0)
        r = split_url(o->url, &bucket, &prefix, err);
    if (r == 0)
        r = bp_s3_creds_open(
            &(struct bp_s3_creds_options){ .profile = x.profile, .anonymous = anonymous != 0 },
            fetch, ret_creds, err);
    if (r < 0)
        return r;
    return bp_s3_open(&(struct bp_s3_options){ .fetch = fetch,
                                               .creds = *ret_creds,
                                               .endpoint = x.endpoint,
                                               .region = x.region,
                                               .bucket = bucket,
                                               .prefix = prefix,
                                               .provider = x.provider,
                                               .style = (enum bp_s3_style) style,
                                               .checksum = (enum bp_s3_checksum) sum,
                                               .sse = x.sse,
                                               .sse_kms_key = x.sse_kms_key,
                                               .storage_class = x.storage_class },
                      ret, err);
}
