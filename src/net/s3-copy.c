/* Copies that the server makes by itself: at once up to 5 GiB, else part by part. */
#include <errno.h>
#include <stdio.h>

#include "crypt/digest.h"
#include "net/s3-priv.h"

#define REQUEST BP_CLEANUP(bp_s3_request_done) struct bp_s3_request
#define REPLY   BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply

#define LONG    (BP_SEC * 10 * 60)

static void source_header(struct bp_s3 *s, struct bp_s3_request *rq, const char *from,
                          const char *etag) {
    BP_AUTO_BUF path = { 0 };

    bp_buf_printf(&path, "%s/", s->bucket);
    bp_sigv4_put_path(&path, s->prefix, strlen(s->prefix));
    bp_sigv4_put_path(&path, from, strlen(from));
    bp_s3_header(rq, "x-amz-copy-source", "%.*s", (int) path.n, (const char *) path.p);
    if (etag[0])
        bp_s3_header(rq, "x-amz-copy-source-if-match", "%s", etag);
    if (s->sse_key) {
        bp_s3_header(rq, "x-amz-copy-source-server-side-encryption-customer-algorithm", "AES256");
        bp_s3_header(rq, "x-amz-copy-source-server-side-encryption-customer-key", "%s", s->sse_key);
        bp_s3_header(rq, "x-amz-copy-source-server-side-encryption-customer-key-MD5", "%s",
                     s->sse_key_md5);
    }
}

static int etag_leaf(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    return bp_streq(path, "ETag") ? bp_s3_etag_set(ctx, text, err) : 0;
}

static int copy_at_once(struct bp_s3 *s, const char *from, const char *to,
                        struct bp_s3_failure *failure, struct bp_error *err) {
    REQUEST rq = { .method = "PUT", .key = to, .timeout = LONG, .error_in_200 = true };
    REPLY reply = { 0 };

    source_header(s, &rq, from, "");
    if (s->storage_class)
        bp_s3_header(&rq, "x-amz-storage-class", "%s", s->storage_class);
    if (s->sse)
        bp_s3_header(&rq, "x-amz-server-side-encryption", "%s", s->sse);
    bp_s3_customer_headers(s, &rq);
    return bp_s3_send(s, &rq, &reply, failure, err);
}

static int copy_part(struct bp_s3 *s, const char *from, const char *to, const char *id,
                     const struct bp_s3_object *source, uint64_t offset, struct bp_s3_part *part,
                     struct bp_s3_failure *failure, struct bp_error *err) {
    REQUEST rq = { .method = "PUT", .key = to, .timeout = LONG, .error_in_200 = true };
    REPLY reply = { 0 };
    int r;

    bp_s3_query(&rq, "partNumber", "%u", part->number);
    bp_s3_query(&rq, "uploadId", "%s", id);
    source_header(s, &rq, from, source->etag);
    bp_s3_header(&rq, "x-amz-copy-source-range", "bytes=%llu-%llu", (unsigned long long) offset,
                 (unsigned long long) (offset + part->size - 1));
    bp_s3_customer_headers(s, &rq);
    r = bp_s3_send(s, &rq, &reply, failure, err);
    if (r < 0)
        return r;
    r = bp_s3_answer(&reply, "CopyPartResult", etag_leaf, part->etag, failure, err);
    if (r == 0 && !part->etag[0])
        r = bp_s3_unreadable(
            failure, bp_fail(err, BP_EFORMAT, "part %u was copied without an ETag", part->number));
    return r;
}

static int copy_all(struct bp_s3 *s, const char *from, const char *to, const char *id,
                    const struct bp_s3_object *source, struct bp_s3_failure *failure,
                    struct bp_error *err) {
    uint64_t step = s->copy_part_bytes;
    size_t n = (size_t) ((source->size + step - 1) / step);
    BP_AUTO_FREE struct bp_s3_part *parts = calloc(n, sizeof parts[0]);
    int r = parts ? 0 : bp_fail(err, -ENOMEM, "out of memory");

    for (size_t i = 0; r == 0 && i < n; i++) {
        parts[i].number = (unsigned) i + 1;
        parts[i].size = BP_MIN(step, source->size - i * step);
        r = copy_part(s, from, to, id, source, i * step, &parts[i], failure, err);
    }
    return r < 0 ? r : bp_s3_upload_complete(s, to, id, parts, n, false, NULL, failure, err);
}

int bp_s3_copy(struct bp_s3 *s, const char *from, const char *to, struct bp_s3_failure *failure,
               struct bp_error *err) {
    struct bp_s3_object source;
    struct bp_s3_put_options options = { 0 };
    BP_AUTO_FREE char *id = NULL;
    int r = bp_s3_head(s, from, &source, failure, err);

    if (r < 0)
        return r;
    if (source.size <= s->copy_part_bytes)
        return copy_at_once(s, from, to, failure, err);
    if (source.size / s->copy_part_bytes >= BP_S3_MAX_PARTS)
        return bp_s3_fail(failure, BP_S3_PERMANENT,
                          bp_fail(err, BP_ELIMIT, "more than %d parts", BP_S3_MAX_PARTS));
    options.digest = source.has_digest ? source.digest : NULL;
    r = bp_s3_upload_create(s, to, &options, &id, failure, err);
    if (r < 0)
        return r;
    r = copy_all(s, from, to, id, &source, failure, err);
    if (r < 0)
        (void) !bp_s3_upload_abort(s, to, id, NULL, NULL);
    return r;
}
