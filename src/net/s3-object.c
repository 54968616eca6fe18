/* Whole objects. */
#include <errno.h>
#include <stdio.h>

#include "base/crc64.h"
#include "crypt/base64.h"
#include "crypt/digest.h"
#include "net/s3-priv.h"

#define REQUEST BP_CLEANUP(bp_s3_request_done) struct bp_s3_request
#define REPLY   BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply

static const char digest_name[] = "x-amz-meta-bagpipe-sha256";

/* ---- headers of what is written ---- */

void bp_s3_customer_headers(struct bp_s3 *s, struct bp_s3_request *rq) {
    if (!s->sse_key)
        return;
    bp_s3_header(rq, "x-amz-server-side-encryption-customer-algorithm", "AES256");
    bp_s3_header(rq, "x-amz-server-side-encryption-customer-key", "%s", s->sse_key);
    bp_s3_header(rq, "x-amz-server-side-encryption-customer-key-MD5", "%s", s->sse_key_md5);
}

/* "name: value" into "x-amz-meta-name". Values beyond ASCII are for whoever wrote them to encode.
 */
static void meta_header(struct bp_s3_request *rq, const char *text) {
    const char *colon = strchr(text, ':');
    BP_AUTO_BUF name = { 0 };
    const char *kept;

    if (!colon) {
        rq->overflow = true;
        return;
    }
    bp_buf_printf(&name, "x-amz-meta-%.*s", (int) (colon - text), text);
    kept = bp_arena_text(&rq->arena, (struct bp_str){ (const char *) name.p, name.n });
    if (kept)
        bp_s3_header(rq, kept, "%s", colon + 1 + strspn(colon + 1, " "));
}

void bp_s3_put_headers(struct bp_s3 *s, struct bp_s3_request *rq,
                       const struct bp_s3_put_options *options) {
    char hex[BP_SHA256_HEX];

    bp_s3_header(rq, "Content-Type", "%s",
                 options && options->content_type ? options->content_type
                                                  : "application/octet-stream");
    if (options && options->digest)
        bp_s3_header(rq, digest_name, "%s", bp_sha256_hex(options->digest, hex));
    for (size_t i = 0; options && options->meta && options->meta[i]; i++)
        meta_header(rq, options->meta[i]);
    if (s->storage_class)
        bp_s3_header(rq, "x-amz-storage-class", "%s", s->storage_class);
    if (s->sse)
        bp_s3_header(rq, "x-amz-server-side-encryption", "%s", s->sse);
    if (s->sse && s->sse_kms_key)
        bp_s3_header(rq, "x-amz-server-side-encryption-aws-kms-key-id", "%s", s->sse_kms_key);
    bp_s3_customer_headers(s, rq);
}

/* Both sums of a body, as far as they are wanted and not known. */
static int sum_body(const struct bp_s3_body *body, uint64_t *crc, struct bp_sha256 *sha) {
    const struct bp_fetch_file *file = body->file;
    const struct bp_io *io = file && file->io ? file->io : &bp_io_posix;
    enum { PIECE = 256 << 10 };
    BP_AUTO_FREE uint8_t *piece = file ? malloc(PIECE) : NULL;

    *crc = 0;
    if (!file) {
        *crc = bp_crc64nvme(0, body->bytes.p, body->bytes.n);
        if (sha)
            bp_sha256_add(sha, body->bytes.p, body->bytes.n);
        return 0;
    }
    for (uint64_t at = 0; piece && at < file->size;) {
        ssize_t k = io->pread(io->ctx, file->fd, piece, BP_MIN(file->size - at, (uint64_t) PIECE),
                              file->offset + at);

        if (k <= 0)
            return k < 0 ? (int) k : -ENODATA;
        *crc = bp_crc64nvme(*crc, piece, (size_t) k);
        if (sha)
            bp_sha256_add(sha, piece, (size_t) k);
        at += (uint64_t) k;
    }
    return piece ? 0 : -ENOMEM;
}

static int sha256_header(struct bp_s3_request *rq, const struct bp_s3_body *body,
                         uint8_t digest[static BP_SHA256_LEN]) {
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *sha = body->sha256 ? NULL : bp_sha256_new();
    BP_AUTO_BUF text = { 0 };
    uint64_t crc;
    int r = 0;

    if (body->sha256) {
        memcpy(digest, body->sha256, BP_SHA256_LEN);
    } else if (!sha) {
        r = -ENOMEM;
    } else {
        r = sum_body(body, &crc, sha);
        bp_sha256_end(sha, digest);
    }
    bp_base64_std_put(&text, digest, BP_SHA256_LEN);
    if (r == 0)
        bp_s3_header(rq, "x-amz-checksum-sha256", "%.*s", (int) text.n, (const char *) text.p);
    return r;
}

static int crc64_header(struct bp_s3_request *rq, const struct bp_s3_body *body, uint64_t *crc) {
    BP_AUTO_BUF text = { 0 };
    uint8_t bytes[8];
    int r = sum_body(body, crc, NULL);

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t) (*crc >> (56 - 8 * i));
    bp_base64_std_put(&text, bytes, sizeof bytes);
    if (r == 0)
        bp_s3_header(rq, "x-amz-checksum-crc64nvme", "%.*s", (int) text.n, (const char *) text.p);
    return r;
}

int bp_s3_checksum_headers(struct bp_s3 *s, struct bp_s3_request *rq, const struct bp_s3_body *body,
                           struct bp_s3_part *part, struct bp_error *err) {
    uint8_t digest[BP_SHA256_LEN];
    uint64_t crc = 0;
    int r = 0;

    if (s->checksum == BP_S3_CHECKSUM_SHA256) {
        r = sha256_header(rq, body, digest);
        if (r == 0 && part) {
            part->has_sha256 = true;
            memcpy(part->sha256, digest, sizeof part->sha256);
        }
    } else if (s->checksum == BP_S3_CHECKSUM_CRC64NVME) {
        r = crc64_header(rq, body, &crc);
        if (part) {
            part->has_crc64 = r == 0;
            part->crc64 = crc;
        }
    }
    return r < 0 ? bp_fail(err, r, "cannot read what is to be sent: %s", bp_strerror(r)) : 0;
}

/* ---- what answers say ---- */

int bp_s3_etag_set(char etag[static BP_S3_ETAG], struct bp_str text, struct bp_error *err) {
    if (text.n >= BP_S3_ETAG)
        return bp_fail(err, BP_ELIMIT, "an ETag of %zu bytes", text.n);
    memcpy(etag, text.p, text.n);
    etag[text.n] = '\0';
    return 0;
}

static bool read_hex(const char *hex, uint8_t *ret, size_t n) {
    static const char digits[] = "0123456789abcdef";

    if (strlen(hex) != 2 * n || strspn(hex, digits) != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++)
        ret[i] = (uint8_t) ((strchr(digits, hex[2 * i]) - digits) << 4 |
                            (strchr(digits, hex[2 * i + 1]) - digits));
    return true;
}

/* Size: of Content-Range for a part of an object, else of Content-Length. */
static int read_object(const struct bp_fetch_reply *reply, struct bp_s3_object *ret,
                       struct bp_error *err) {
    const char *etag = bp_fetch_header(reply, "ETag"),
               *range = bp_fetch_header(reply, "Content-Range"),
               *digest = bp_fetch_header(reply, digest_name);
    const char *slash = range ? strrchr(range, '/') : NULL,
               *size = slash ? slash + 1 : bp_fetch_header(reply, "Content-Length");

    *ret = (struct bp_s3_object){ 0 };
    if (size && bp_s3_xml_number(bp_str_of(size), &ret->size) < 0)
        return bp_fail(err, BP_EFORMAT, "the answer's size is no number");
    ret->modified = bp_fetch_http_date(bp_fetch_header(reply, "Last-Modified"));
    ret->has_digest = digest && read_hex(digest, ret->digest, sizeof ret->digest);
    return etag ? bp_s3_etag_set(ret->etag, bp_str_of(etag), err) : 0;
}

const char *bp_s3_listed_key(const struct bp_s3 *s, char *text, bool encoded) {
    size_t n = strlen(text), prefix = strlen(s->prefix);

    if (encoded) {
        if (bp_s3_xml_unescape(text, n, &n) < 0)
            return NULL;
        text[n] = '\0';
    }
    return strncmp(text, s->prefix, prefix) == 0 ? text + prefix : NULL;
}

/* ---- put ---- */

int bp_s3_absent(struct bp_s3 *s, const char *key, struct bp_s3_failure *failure,
                 struct bp_error *err) {
    struct bp_s3_object there;
    int r = bp_s3_head(s, key, &there, failure, err);

    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    return bp_s3_fail(
        failure, BP_S3_EXISTS,
        bp_fail(err, -EEXIST, "s3://%s/%s%.200s is there already", s->bucket, s->prefix, key));
}

int bp_s3_put(struct bp_s3 *s, const char *key, const struct bp_s3_body *body,
              const struct bp_s3_put_options *options, const struct bp_s3_flow *flow,
              struct bp_s3_object *ret, struct bp_s3_failure *failure, struct bp_error *err) {
    REQUEST rq = { .method = "PUT", .key = key, .body = body, .flow = flow };
    REPLY reply = { 0 };
    bool new_only = options && options->new_only;
    struct bp_s3_object made = { 0 };
    int r = 0;

    if (new_only && !s->quirks->conditional)
        r = bp_s3_absent(s, key, failure, err);
    if (r < 0)
        return r;
    bp_s3_put_headers(s, &rq, options);
    if (new_only && s->quirks->conditional) {
        bp_s3_header(&rq, "If-None-Match", "*");
        rq.precondition = true;
    }
    r = bp_s3_checksum_headers(s, &rq, body, NULL, err);
    if (r < 0)
        return bp_s3_fail(failure, BP_S3_LOCAL, r);
    r = bp_s3_send(s, &rq, &reply, failure, err);
    if (r < 0)
        return r;
    r = bp_s3_unreadable(failure, read_object(&reply, &made, err));
    made.size = body->file ? body->file->size : body->bytes.n;
    made.has_digest = options && options->digest;
    if (made.has_digest)
        memcpy(made.digest, options->digest, sizeof made.digest);
    if (r == 0 && ret)
        *ret = made;
    return r;
}

/* ---- get, head, delete ---- */

/* A range that is read: what comes is checked to be it before the first byte is given on. */
struct range {
    const struct bp_fetch_reply *reply;
    int (*sink)(void *ctx, const void *p, size_t n);
    void *ctx;
    uint64_t offset, size; /* 0: to the end */
    uint64_t got;
};

static bool is_range(const struct range *g, size_t n) {
    const char *text = bp_fetch_header(g->reply, "Content-Range");

    return g->reply->status == 206 && text && bp_starts_with(text, "bytes ") &&
           strtoull(text + 6, NULL, 10) == g->offset && (g->size == 0 || n <= g->size - g->got);
}

static int take_range(void *ctx, const void *p, size_t n) {
    struct range *g = ctx;

    if ((g->offset > 0 || g->size > 0) && !is_range(g, n))
        return BP_EUNSUPPORTED;
    g->got += n;
    return g->sink(g->ctx, p, n);
}

/* NOLINTNEXTLINE(readability-function-size): a range of one version, and the usual four */
int bp_s3_get(struct bp_s3 *s, const char *key, uint64_t offset, uint64_t size, const char *etag,
              int (*sink)(void *ctx, const void *p, size_t n), void *ctx,
              const struct bp_s3_flow *flow, struct bp_s3_object *ret,
              struct bp_s3_failure *failure, struct bp_error *err) {
    REQUEST rq = { .method = "GET", .key = key, .flow = flow, .sink = take_range };
    REPLY reply = { 0 };
    struct range range = { &reply, sink, ctx, offset, size, 0 };
    struct bp_s3_object got;
    int r;

    if (size > 0)
        bp_s3_header(&rq, "Range", "bytes=%llu-%llu", (unsigned long long) offset,
                     (unsigned long long) (offset + size - 1));
    else if (offset > 0)
        bp_s3_header(&rq, "Range", "bytes=%llu-", (unsigned long long) offset);
    if (etag && etag[0])
        bp_s3_header(&rq, "If-Match", "%s", etag);
    bp_s3_customer_headers(s, &rq);
    rq.sink_ctx = &range;
    r = bp_s3_send(s, &rq, &reply, failure, err);
    if (r == BP_EUNSUPPORTED)
        return bp_s3_fail(failure, BP_S3_PERMANENT,
                          bp_fail(err, r, "the server gives another range than it was asked for"));
    if (r < 0)
        return r;
    r = bp_s3_unreadable(failure, read_object(&reply, &got, err));
    if (r == 0 && ret)
        *ret = got;
    return r;
}

int bp_s3_head(struct bp_s3 *s, const char *key, struct bp_s3_object *ret,
               struct bp_s3_failure *failure, struct bp_error *err) {
    REQUEST rq = { .method = "HEAD", .key = key };
    REPLY reply = { 0 };
    int r;

    bp_s3_customer_headers(s, &rq);
    r = bp_s3_send(s, &rq, &reply, failure, err);
    return r < 0 ? r : bp_s3_unreadable(failure, read_object(&reply, ret, err));
}

int bp_s3_delete(struct bp_s3 *s, const char *key, struct bp_s3_failure *failure,
                 struct bp_error *err) {
    REQUEST rq = { .method = "DELETE", .key = key };
    REPLY reply = { 0 };
    int r = bp_s3_send(s, &rq, &reply, failure, err);

    return r == -ENOENT ? bp_s3_fail(failure, BP_S3_OK, 0) : r;
}

int bp_s3_probe(struct bp_s3 *s, bp_ns_t *ret_date_ns, struct bp_s3_failure *failure,
                struct bp_error *err) {
    REQUEST rq = { .method = "HEAD" };
    REPLY reply = { 0 };
    int r = bp_s3_send(s, &rq, &reply, failure, err);

    if (r == -ENOENT) /* HEAD tells no more than the status */
        return bp_s3_fail(failure, BP_S3_PERMANENT,
                          bp_fail(err, -EINVAL, "there is no bucket '%s'", s->bucket));
    if (r == 0 && ret_date_ns)
        *ret_date_ns = reply.date_ns;
    return r;
}

/* ---- list ---- */

enum { MAX_LIST = BP_S3_XML_SIZE };

struct list {
    struct bp_s3 *s;
    int (*each)(void *ctx, const struct bp_s3_entry *entry);
    void *ctx;
    struct bp_buf key, next; /* of the entry that is read; where the next page begins */
    struct bp_s3_object object;
    bool truncated, encoded, listing; /* second pass: entries are given on */
    int ended;
};

static int give_entry(struct list *l, bool is_prefix, struct bp_error *err) {
    struct bp_s3_entry e = { .is_prefix = is_prefix, .object = l->object };

    if (!bp_buf_cstr(&l->key))
        return bp_fail(err, -ENOMEM, "out of memory");
    e.key = bp_s3_listed_key(l->s, (char *) l->key.p, l->encoded);
    l->object = (struct bp_s3_object){ 0 };
    if (e.key && l->ended == 0)
        l->ended = l->each(l->ctx, &e);
    bp_buf_clear(&l->key);
    return l->ended;
}

static int list_leaf(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    struct list *l = ctx;

    if (!l->listing) { /* how the page is to be read stands behind the entries */
        if (bp_streq(path, "EncodingType"))
            l->encoded = bp_str_eq(text, BP_STR("url"));
        else if (bp_streq(path, "IsTruncated"))
            l->truncated = bp_str_eq(text, BP_STR("true"));
        else if (bp_streq(path, "NextContinuationToken"))
            bp_buf_put(&l->next, text.p, text.n);
        return 0;
    }
    if (bp_streq(path, "Contents/Key") || bp_streq(path, "CommonPrefixes/Prefix")) {
        bp_buf_clear(&l->key);
        bp_buf_put(&l->key, text.p, text.n);
    } else if (bp_streq(path, "Contents/Size")) {
        if (bp_s3_xml_number(text, &l->object.size) < 0)
            return bp_fail(err, BP_EFORMAT, "a size that is no number");
    } else if (bp_streq(path, "Contents/ETag")) {
        return bp_s3_etag_set(l->object.etag, text, err);
    } else if (bp_streq(path, "Contents/LastModified")) {
        if (bp_s3_xml_time(text, &l->object.modified) < 0)
            l->object.modified = 0;
    } else if (bp_streq(path, "Contents") || bp_streq(path, "CommonPrefixes")) {
        return give_entry(l, bp_starts_with(path, "Common"), err);
    }
    return 0;
}

/* One page. */
static int list_page(struct list *l, const char *under, const char *delimiter, const char *after,
                     struct bp_s3_failure *failure, struct bp_error *err) {
    REQUEST rq = { .method = "GET", .max_body_bytes = MAX_LIST };
    REPLY reply = { 0 };
    int r;

    bp_s3_query(&rq, "list-type", "2");
    bp_s3_query(&rq, "encoding-type", "url"); /* XML cannot hold every key */
    bp_s3_query(&rq, "prefix", "%s%s", l->s->prefix, under);
    if (delimiter && delimiter[0])
        bp_s3_query(&rq, "delimiter", "%s", delimiter);
    if (l->next.n > 0)
        bp_s3_query(&rq, "continuation-token", "%.*s", (int) l->next.n, (const char *) l->next.p);
    else if (after && after[0])
        bp_s3_query(&rq, "start-after", "%s%s", l->s->prefix, after);
    r = bp_s3_send(l->s, &rq, &reply, failure, err);
    if (r < 0)
        return r;
    bp_buf_clear(&l->next);
    l->truncated = l->encoded = l->listing = false;
    r = bp_s3_answer(&reply, "ListBucketResult", list_leaf, l, failure, err);
    l->listing = true;
    if (r == 0)
        r = bp_s3_answer(&reply, "ListBucketResult", list_leaf, l, failure, err);
    return r;
}

int bp_s3_list(struct bp_s3 *s, const char *under, const char *delimiter, const char *after,
               int (*each)(void *ctx, const struct bp_s3_entry *entry), void *ctx,
               struct bp_s3_failure *failure, struct bp_error *err) {
    struct list l = { .s = s, .each = each, .ctx = ctx };
    int r;

    do {
        r = list_page(&l, under, delimiter, after, failure, err);
        if (r == 0 && l.ended == 0 && l.truncated && l.next.n == 0)
            r = bp_s3_unreadable(
                failure, bp_fail(err, BP_EFORMAT, "a list that goes on, without a word where"));
    } while (r == 0 && l.ended == 0 && l.truncated);
    bp_buf_done(&l.key);
    bp_buf_done(&l.next);
    return l.ended ? bp_s3_fail(failure, BP_S3_OK, l.ended) : r;
}

/* ---- presigned URLs ---- */

int bp_s3_presign(struct bp_s3 *s, const char *method, const char *key, const char *id,
                  unsigned number, bp_ns_t expires, char **ret, struct bp_error *err) {
    BP_CLEANUP(bp_s3_keys_done) struct bp_s3_keys keys = { 0 };
    BP_AUTO_BUF authority = { 0 }, path = { 0 }, url = { 0 };
    char region[64], text[16];
    struct bp_sigv4_pair host = { "Host", NULL },
                         query[] = { { "partNumber", text }, { "uploadId", id } };
    struct bp_sigv4_request rq = { .method = method, .headers = &host, .nheaders = 1 };
    struct bp_sigv4_key key_of = { .service = "s3", .region = region };
    int r = bp_s3_creds_get(s->creds, &keys, err);

    if (r == 0 && !keys.access)
        r = bp_fail(err, -EACCES, "nobody can sign for somebody anonymous");
    if (r < 0)
        return r;
    bp_s3_region(s, region);
    r = bp_s3_where(s, key, region, &authority, &path, err);
    if (r < 0)
        return r;
    key_of.access_key = keys.access;
    key_of.secret_key = keys.secret;
    key_of.session_token = keys.token;
    host.value = bp_buf_cstr(&authority);
    rq.path = bp_buf_cstr(&path);
    rq.wall = bp_wall_ns() + bp_s3_clock_offset(s);
    (void) snprintf(text, sizeof text, "%u", number);
    if (id) {
        rq.query = query;
        rq.nquery = 2;
    }
    bp_buf_printf(&url, "http%s://%s%s?", s->https ? "s" : "", host.value, rq.path);
    r = bp_sigv4_presign(&key_of, &rq, (unsigned) BP_MIN(BP_MAX(expires / BP_SEC, 0), UINT32_MAX),
                         &url);
    if (r < 0)
        return bp_fail(err, r, "cannot sign the URL: %s", bp_strerror(r));
    *ret = bp_buf_take_cstr(&url);
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}
