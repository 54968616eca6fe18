/* What the words of S3 mean for whoever has to try again, wait, or give up. */
#include <errno.h>
#include <stdio.h>

#include "net/s3-priv.h"

/* Beyond this a signature's time is worth a second look; Amazon refuses from 15 minutes on. */
#define SKEW (BP_SEC * 4 * 60)

static const struct {
    const char *word;
    enum bp_s3_class class;
    int remedy;
} words[] = {
    { "AccessDenied", BP_S3_AUTH, 0 },
    { "AccountProblem", BP_S3_AUTH, 0 },
    { "AllAccessDisabled", BP_S3_AUTH, 0 },
    { "AuthorizationHeaderMalformed", BP_S3_AUTH, BP_S3_REMEDY_REGION },
    { "BadDigest", BP_S3_DAMAGED, 0 },
    { "BandwidthLimitExceeded", BP_S3_THROTTLED, 0 },
    { "ConditionalRequestConflict", BP_S3_SERVER, 0 },
    { "ExpiredToken", BP_S3_AUTH, BP_S3_REMEDY_KEYS },
    { "ExpiredTokenException", BP_S3_AUTH, BP_S3_REMEDY_KEYS },
    { "IllegalLocationConstraintException", BP_S3_PERMANENT, BP_S3_REMEDY_REGION },
    { "IncompleteBody", BP_S3_NETWORK, 0 },
    { "InternalError", BP_S3_SERVER, 0 },
    { "InvalidAccessKeyId", BP_S3_AUTH, BP_S3_REMEDY_KEYS },
    { "InvalidDigest", BP_S3_DAMAGED, 0 },
    { "InvalidPart", BP_S3_DAMAGED, 0 },
    { "InvalidRange", BP_S3_PERMANENT, 0 },
    { "InvalidToken", BP_S3_AUTH, BP_S3_REMEDY_KEYS },
    { "NoSuchKey", BP_S3_MISSING, 0 },
    { "NoSuchUpload", BP_S3_MISSING, 0 },
    { "OperationAborted", BP_S3_SERVER, 0 },
    { "PermanentRedirect", BP_S3_PERMANENT, BP_S3_REMEDY_REGION },
    { "QuotaExceeded", BP_S3_QUOTA, 0 },
    { "RequestLimitExceeded", BP_S3_THROTTLED, 0 },
    { "RequestTimeTooSkewed", BP_S3_CLOCK, BP_S3_REMEDY_CLOCK },
    { "RequestTimeout", BP_S3_NETWORK, 0 },
    { "ServiceUnavailable", BP_S3_THROTTLED, 0 },
    { "SignatureDoesNotMatch", BP_S3_AUTH, BP_S3_REMEDY_AGAIN },
    { "SlowDown", BP_S3_THROTTLED, 0 },
    { "StorageFull", BP_S3_QUOTA, 0 },
    { "TemporaryRedirect", BP_S3_SERVER, BP_S3_REMEDY_REGION },
    { "Throttling", BP_S3_THROTTLED, 0 },
    { "ThrottlingException", BP_S3_THROTTLED, 0 },
    { "TokenRefreshRequired", BP_S3_AUTH, BP_S3_REMEDY_KEYS },
    { "TooManyRequests", BP_S3_THROTTLED, 0 },
    { "XAmzContentChecksumMismatch", BP_S3_DAMAGED, 0 },
    { "XAmzContentSHA256Mismatch", BP_S3_DAMAGED, 0 },
    { "XMinioAdminBucketQuotaExceeded", BP_S3_QUOTA, 0 },
    { "XMinioStorageFull", BP_S3_QUOTA, 0 },
};

static const struct {
    const char *text;
    int code;
} classes[] = {
    [BP_S3_OK] = { "ok", 0 },
    [BP_S3_NETWORK] = { "network", -EIO },
    [BP_S3_SERVER] = { "server", -EIO },
    [BP_S3_THROTTLED] = { "throttled", -EAGAIN },
    [BP_S3_AUTH] = { "auth", -EACCES },
    [BP_S3_QUOTA] = { "quota", -EDQUOT },
    [BP_S3_CLOCK] = { "clock", -EACCES },
    [BP_S3_MISSING] = { "missing", -ENOENT },
    [BP_S3_EXISTS] = { "exists", -EEXIST },
    [BP_S3_DAMAGED] = { "damaged", BP_EMISMATCH },
    [BP_S3_LOCAL] = { "local", -EIO },
    [BP_S3_PERMANENT] = { "permanent", -EINVAL },
};

const char *bp_s3_class_text(enum bp_s3_class class) {
    return classes[class].text;
}

/* By status alone: HEAD has no body, and a proxy speaks no XML. */
static enum bp_s3_class class_of_status(const struct bp_fetch_reply *reply, bool precondition) {
    switch (reply->status) {
    case 401:
    case 403:
    case 407:
        return BP_S3_AUTH;
    case 404:
        return BP_S3_MISSING;
    case 412:
        return precondition ? BP_S3_EXISTS : BP_S3_DAMAGED;
    case 408:
        return BP_S3_NETWORK;
    case 409:
        return BP_S3_SERVER;
    case 429:
        return BP_S3_THROTTLED;
    case 501:
    case 505:
        return BP_S3_PERMANENT;
    case 507:
        return BP_S3_QUOTA;
    case 503:
        return reply->retry_after ? BP_S3_THROTTLED : BP_S3_SERVER;
    default: /* 200 with an error that has no word we know is the server's, too */
        return reply->status >= 500 || reply->status / 100 == 2 ? BP_S3_SERVER : BP_S3_PERMANENT;
    }
}

/* The class, and what may be tried. */
static enum bp_s3_class judge(const struct bp_fetch_reply *reply, const char *word,
                              bool precondition, int *ret_remedy) {
    *ret_remedy = reply->status == 301 || reply->status == 400 || reply->status == 307
                      ? BP_S3_REMEDY_REGION
                      : 0;
    if (reply->status != 412)
        for (size_t i = 0; i < BP_COUNT(words); i++)
            if (bp_streq(words[i].word, word)) {
                *ret_remedy |= words[i].remedy;
                return words[i].class;
            }
    return bp_streq(word, "NoSuchBucket") ? BP_S3_PERMANENT : class_of_status(reply, precondition);
}

static void fill_failure(const struct bp_fetch_reply *reply, const struct bp_s3_xml_error *e,
                         enum bp_s3_class class, struct bp_s3_failure *f) {
    const char *id = bp_fetch_header(reply, "x-amz-request-id");

    if (!f)
        return;
    *f = (struct bp_s3_failure){ .class = class,
                                 .status = reply->status,
                                 .retry_after = reply->retry_after,
                                 .date_ns = reply->date_ns };
    (void) snprintf(f->code, sizeof f->code, "%s", e->code);
    (void) snprintf(f->request_id, sizeof f->request_id, "%s",
                    e->request_id[0] ? e->request_id
                    : id             ? id
                                     : "");
}

static int say(const struct bp_fetch_reply *reply, const struct bp_s3_xml_error *e,
               enum bp_s3_class class, bp_ns_t apart, struct bp_error *err) {
    int code = reply->status == 416 ? -ERANGE : classes[class].code;

    if (class == BP_S3_CLOCK)
        return bp_fail(err, code, "the server's clock and ours are %lld s apart",
                       (long long) (apart / BP_SEC));
    if (e->code[0])
        return bp_fail(err, code, "%d %s%s%s", reply->status, e->code, e->message[0] ? ": " : "",
                       e->message);
    return bp_fail(err, code, "the server answers %d", reply->status);
}

struct bp_s3_verdict bp_s3_judge(const struct bp_fetch_reply *reply, bool precondition,
                                 bp_ns_t wall, struct bp_s3_failure *failure,
                                 struct bp_error *err) {
    struct bp_s3_verdict v = { 0 };
    struct bp_s3_xml_error e = { 0 };
    const char *region = bp_fetch_header(reply, "x-amz-bucket-region");
    bp_ns_t apart = reply->date_ns ? reply->date_ns - wall : 0;
    enum bp_s3_class class;
    int remedy;

    if (bp_s3_xml_error_read((struct bp_str){ (const char *) reply->body.p, reply->body.n }, &e) <
        0)
        e = (struct bp_s3_xml_error){ 0 };
    class = judge(reply, e.code, precondition, &remedy);
    /* an answer without a word, or with a vague one, from somebody whose clock differs much */
    if (class == BP_S3_AUTH && (apart > SKEW || apart < -SKEW)) {
        class = BP_S3_CLOCK;
        remedy |= BP_S3_REMEDY_CLOCK;
    }
    if (!reply->date_ns)
        remedy &= ~BP_S3_REMEDY_CLOCK;
    (void) snprintf(v.region, sizeof v.region, "%s", region ? region : e.region);
    if (!v.region[0])
        remedy &= ~BP_S3_REMEDY_REGION;
    v.remedy = (enum bp_s3_remedy) remedy;
    v.code = say(reply, &e, class, apart, err);
    fill_failure(reply, &e, class, failure);
    return v;
}

void bp_s3_judge_fetch(int r, const struct bp_fetch_reply *reply, struct bp_s3_failure *failure) {
    static const int network[] = { -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -EIO,
                                   BP_ETRUNCATED, BP_ETLS,       BP_ELIMIT };

    if (!failure)
        return;
    *failure = (struct bp_s3_failure){ .class = BP_S3_LOCAL,
                                       .status = reply->status,
                                       .date_ns = reply->date_ns };
    for (size_t i = 0; !reply->local && i < BP_COUNT(network); i++)
        if (r == network[i])
            failure->class = BP_S3_NETWORK;
}

int bp_s3_fail(struct bp_s3_failure *f, enum bp_s3_class class, int code) {
    if (f)
        *f = (struct bp_s3_failure){ .class = class };
    return code;
}
