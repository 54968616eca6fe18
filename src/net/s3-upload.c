/* Objects in parts. */
#include <errno.h>
#include <stdio.h>

#include "base/crc64.h"
#include "crypt/base64.h"
#include "crypt/digest.h"
#include "net/s3-priv.h"

#define REQUEST BP_CLEANUP(bp_s3_request_done) struct bp_s3_request
#define REPLY   BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply

/* Completing tens of gigabytes takes some servers minutes. */
#define LONG (BP_SEC * 10 * 60)

/* ---- create ---- */

static int id_leaf(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    char **id = ctx;

    if (!bp_streq(path, "UploadId") || *id)
        return 0;
    *id = strndup(text.p, text.n);
    return *id ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

int bp_s3_upload_create(struct bp_s3 *s, const char *key, const struct bp_s3_put_options *options,
                        char **ret_id, struct bp_s3_failure *failure, struct bp_error *err) {
    REQUEST rq = { .method = "POST", .key = key };
    REPLY reply = { 0 };
    BP_AUTO_FREE char *id = NULL;
    int r = 0;

    if (options && options->new_only) /* early: completing asks again */
        r = bp_s3_absent(s, key, failure, err);
    if (r < 0)
        return r;
    bp_s3_query(&rq, "uploads", "%s", "");
    bp_s3_put_headers(s, &rq, options);
    if (s->checksum == BP_S3_CHECKSUM_SHA256) {
        bp_s3_header(&rq, "x-amz-checksum-algorithm", "SHA256");
    } else if (s->checksum == BP_S3_CHECKSUM_CRC64NVME) {
        bp_s3_header(&rq, "x-amz-checksum-algorithm", "CRC64NVME");
        bp_s3_header(&rq, "x-amz-checksum-type", "FULL_OBJECT");
    }
    r = bp_s3_send(s, &rq, &reply, failure, err);
    if (r == 0)
        r = bp_s3_answer(&reply, "InitiateMultipartUploadResult", id_leaf, &id, failure, err);
    if (r < 0)
        return r;
    if (!id || !id[0])
        return bp_s3_unreadable(
            failure, bp_fail(err, BP_EFORMAT, "the server opened an upload without a name"));
    *ret_id = BP_TAKE_PTR(id);
    return 0;
}

/* ---- parts ---- */

int bp_s3_upload_part(struct bp_s3 *s, const char *key, const char *id, unsigned number,
                      const struct bp_s3_body *body, const struct bp_s3_flow *flow,
                      struct bp_s3_part *ret, struct bp_s3_failure *failure, struct bp_error *err) {
    REQUEST rq = { .method = "PUT", .key = key, .body = body, .flow = flow };
    REPLY reply = { 0 };
    struct bp_s3_part part = { .number = number };
    const char *etag;
    int r;

    if (number < 1 || number > BP_S3_MAX_PARTS)
        return bp_s3_fail(
            failure, BP_S3_PERMANENT,
            bp_fail(err, -EINVAL, "part %u: there are 1 to %d", number, BP_S3_MAX_PARTS));
    bp_s3_query(&rq, "partNumber", "%u", number);
    bp_s3_query(&rq, "uploadId", "%s", id);
    bp_s3_customer_headers(s, &rq);
    r = bp_s3_checksum_headers(s, &rq, body, &part, err);
    if (r < 0)
        return bp_s3_fail(failure, BP_S3_LOCAL, r);
    r = bp_s3_send(s, &rq, &reply, failure, err);
    if (r < 0)
        return r;
    part.size = body->file ? body->file->size : body->bytes.n;
    etag = bp_fetch_header(&reply, "ETag");
    if (!etag || !etag[0])
        return bp_s3_fail(failure, BP_S3_SERVER,
                          bp_fail(err, BP_EFORMAT, "part %u came without an ETag", number));
    r = bp_s3_unreadable(failure, bp_s3_etag_set(part.etag, bp_str_of(etag), err));
    if (r == 0 && ret)
        *ret = part;
    return r;
}

void bp_s3_parts_done(struct bp_s3_parts *parts) {
    if (!parts)
        return;
    free(parts->v);
    *parts = (struct bp_s3_parts){ 0 };
}

struct part_list {
    struct bp_s3_parts *parts;
    struct bp_s3_part part; /* that is read */
    size_t cap;
    uint64_t next; /* marker of the next page */
    bool truncated;
};

static int add_part(struct part_list *l, struct bp_error *err) {
    struct bp_s3_parts *p = l->parts;

    if (l->part.number < 1 || l->part.number > BP_S3_MAX_PARTS)
        return bp_fail(err, BP_EFORMAT, "the server lists part %u", l->part.number);
    if (p->n > 0 && l->part.number <= p->v[p->n - 1].number)
        return bp_fail(err, BP_EFORMAT, "the server lists parts out of order");
    if (p->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct bp_s3_part *v = reallocarray(p->v, cap, sizeof v[0]);

        if (!v)
            return bp_fail(err, -ENOMEM, "out of memory");
        p->v = v;
        l->cap = cap;
    }
    p->v[p->n++] = l->part;
    l->part = (struct bp_s3_part){ 0 };
    return 0;
}

static void read_checksum(struct part_list *l, const char *name, struct bp_str text) {
    uint8_t bytes[BP_SHA256_LEN];
    ssize_t n = bp_base64_std_read(text, bytes, sizeof bytes);

    if (bp_streq(name, "ChecksumSHA256") && n == BP_SHA256_LEN) {
        l->part.has_sha256 = true;
        memcpy(l->part.sha256, bytes, sizeof bytes);
    } else if (bp_streq(name, "ChecksumCRC64NVME") && n == 8) {
        l->part.has_crc64 = true;
        l->part.crc64 = 0;
        for (size_t i = 0; i < 8; i++)
            l->part.crc64 = l->part.crc64 << 8 | bytes[i];
    }
}

static int part_leaf(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    struct part_list *l = ctx;
    uint64_t n = 0;
    int r = 0;

    if (bp_streq(path, "IsTruncated")) {
        l->truncated = bp_str_eq(text, BP_STR("true"));
    } else if (bp_streq(path, "NextPartNumberMarker") && text.n > 0) {
        r = bp_s3_xml_number(text, &l->next);
    } else if (bp_streq(path, "Part/PartNumber")) {
        r = bp_s3_xml_number(text, &n);
        l->part.number = (unsigned) BP_MIN(n, (uint64_t) BP_S3_MAX_PARTS + 1);
    } else if (bp_streq(path, "Part/Size")) {
        r = bp_s3_xml_number(text, &l->part.size);
    } else if (bp_streq(path, "Part/ETag")) {
        return bp_s3_etag_set(l->part.etag, text, err);
    } else if (bp_starts_with(path, "Part/Checksum")) {
        read_checksum(l, path + 5, text);
    } else if (bp_streq(path, "Part")) {
        return add_part(l, err);
    }
    return r < 0 ? bp_fail(err, BP_EFORMAT, "'%s' is no number", path) : 0;
}

int bp_s3_upload_list(struct bp_s3 *s, const char *key, const char *id, struct bp_s3_parts *ret,
                      struct bp_s3_failure *failure, struct bp_error *err) {
    BP_CLEANUP(bp_s3_parts_done) struct bp_s3_parts parts = { 0 };
    struct part_list l = { .parts = &parts };
    uint64_t marker = 0;
    int r;

    do {
        REQUEST rq = { .method = "GET", .key = key, .max_body_bytes = BP_S3_XML_SIZE };
        REPLY reply = { 0 };

        marker = l.next;
        l.truncated = false;
        bp_s3_query(&rq, "uploadId", "%s", id);
        bp_s3_query(&rq, "max-parts", "1000");
        if (marker > 0)
            bp_s3_query(&rq, "part-number-marker", "%llu", (unsigned long long) marker);
        r = bp_s3_send(s, &rq, &reply, failure, err);
        if (r == 0)
            r = bp_s3_answer(&reply, "ListPartsResult", part_leaf, &l, failure, err);
        if (r == 0 && l.truncated && l.next <= marker)
            r = bp_s3_unreadable(
                failure,
                bp_fail(err, BP_EFORMAT, "a list of parts that goes on, without a word where"));
    } while (r == 0 && l.truncated);
    if (r < 0)
        return r;
    *ret = parts;
    parts = (struct bp_s3_parts){ 0 };
    return 0;
}

/* ---- complete ---- */

/* An upload with checksums wants those of all parts. What the caller does not know, after a
 * restart, the server lists. */
static int know_checksums(struct bp_s3 *s, const char *key, const char *id,
                          const struct bp_s3_part *parts, size_t n, struct bp_s3_parts *ret,
                          struct bp_s3_failure *failure, struct bp_error *err) {
    bool missing = false;

    for (size_t i = 0; i < n; i++)
        missing |= (s->checksum == BP_S3_CHECKSUM_SHA256 && !parts[i].has_sha256) ||
                   (s->checksum == BP_S3_CHECKSUM_CRC64NVME && !parts[i].has_crc64);
    return missing ? bp_s3_upload_list(s, key, id, ret, failure, err) : 0;
}

static const struct bp_s3_part *listed(const struct bp_s3_parts *list,
                                       const struct bp_s3_part *part) {
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].number == part->number && bp_streq(list->v[i].etag, part->etag))
            return &list->v[i];
    return part;
}

static void put_crc64(struct bp_buf *b, uint64_t crc) {
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t) (crc >> (56 - 8 * i));
    bp_base64_std_put(b, bytes, sizeof bytes);
}

static void put_part(const struct bp_s3 *s, struct bp_buf *xml, const struct bp_s3_part *part) {
    bp_buf_printf(xml, "<Part><PartNumber>%u</PartNumber><ETag>", part->number);
    bp_s3_xml_put(xml, part->etag, strlen(part->etag));
    bp_buf_put_str(xml, "</ETag>");
    if (s->checksum == BP_S3_CHECKSUM_SHA256 && part->has_sha256) {
        bp_buf_put_str(xml, "<ChecksumSHA256>");
        bp_base64_std_put(xml, part->sha256, sizeof part->sha256);
        bp_buf_put_str(xml, "</ChecksumSHA256>");
    } else if (s->checksum == BP_S3_CHECKSUM_CRC64NVME && part->has_crc64) {
        bp_buf_put_str(xml, "<ChecksumCRC64NVME>");
        put_crc64(xml, part->crc64);
        bp_buf_put_str(xml, "</ChecksumCRC64NVME>");
    }
    bp_buf_put_str(xml, "</Part>");
}

/* The list of parts; the sum of the whole, when it can be told from theirs, as a header. */
static int complete_body(struct bp_s3 *s, struct bp_s3_request *rq, const struct bp_s3_parts *list,
                         const struct bp_s3_part *parts, size_t n, struct bp_buf *xml,
                         uint64_t *ret_size) {
    BP_AUTO_BUF text = { 0 };
    bool whole = s->checksum == BP_S3_CHECKSUM_CRC64NVME;
    uint64_t crc = 0, size = 0;

    bp_buf_put_str(xml, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/"
                        "\">");
    for (size_t i = 0; i < n; i++) {
        const struct bp_s3_part *p = listed(list, &parts[i]);

        put_part(s, xml, p);
        whole &= p->has_crc64 && parts[i].size > 0;
        crc = i == 0 ? p->crc64 : bp_crc64nvme_join(crc, p->crc64, parts[i].size);
        size += parts[i].size;
    }
    bp_buf_put_str(xml, "</CompleteMultipartUpload>");
    if (whole) {
        put_crc64(&text, crc);
        bp_s3_header(rq, "x-amz-checksum-crc64nvme", "%.*s", (int) text.n, (const char *) text.p);
        bp_s3_header(rq, "x-amz-checksum-type", "FULL_OBJECT");
    }
    *ret_size = size;
    return xml->failed ? -ENOMEM : 0;
}

static int etag_leaf(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    return bp_streq(path, "ETag") ? bp_s3_etag_set(ctx, text, err) : 0;
}

int bp_s3_upload_complete(struct bp_s3 *s, const char *key, const char *id,
                          const struct bp_s3_part *parts, size_t n, bool new_only,
                          struct bp_s3_object *ret, struct bp_s3_failure *failure,
                          struct bp_error *err) {
    REQUEST rq = { .method = "POST", .key = key, .timeout = LONG, .error_in_200 = true };
    REPLY reply = { 0 };
    BP_CLEANUP(bp_s3_parts_done) struct bp_s3_parts list = { 0 };
    BP_AUTO_BUF xml = { 0 };
    struct bp_s3_body body = { 0 };
    struct bp_s3_object made = { 0 };
    int r;

    bp_s3_query(&rq, "uploadId", "%s", id);
    bp_s3_header(&rq, "Content-Type", "application/xml");
    r = know_checksums(s, key, id, parts, n, &list, failure, err);
    if (r == 0 && new_only && !s->quirks->conditional_complete)
        r = bp_s3_absent(s, key, failure, err);
    if (r < 0)
        return r;
    if (new_only && s->quirks->conditional_complete) {
        bp_s3_header(&rq, "If-None-Match", "*");
        rq.precondition = true;
    }
    bp_s3_customer_headers(s, &rq);
    r = complete_body(s, &rq, &list, parts, n, &xml, &made.size);
    if (r < 0)
        return bp_s3_fail(failure, BP_S3_LOCAL, bp_fail(err, r, "out of memory"));
    body.bytes = (struct bp_str){ (const char *) xml.p, xml.n };
    rq.body = &body;
    r = bp_s3_send(s, &rq, &reply, failure, err);
    if (r == 0)
        r = bp_s3_answer(&reply, "CompleteMultipartUploadResult", etag_leaf, made.etag, failure,
                         err);
    if (r == 0 && ret)
        *ret = made;
    return r;
}

int bp_s3_upload_abort(struct bp_s3 *s, const char *key, const char *id,
                       struct bp_s3_failure *failure, struct bp_error *err) {
    REQUEST rq = { .method = "DELETE", .key = key };
    REPLY reply = { 0 };
    int r;

    bp_s3_query(&rq, "uploadId", "%s", id);
    r = bp_s3_send(s, &rq, &reply, failure, err);
    return r == -ENOENT ? bp_s3_fail(failure, BP_S3_OK, 0) : r;
}

/* ---- what is open ---- */

struct upload_list {
    struct bp_s3 *s;
    int (*each)(void *ctx, const struct bp_s3_upload *upload);
    void *ctx;
    struct bp_buf key, id, next_key, next_id; /* of the one that is read; of the next page */
    bp_ns_t begun;
    bool truncated, encoded, listing;
    int ended;
};

static int give_upload(struct upload_list *l, struct bp_error *err) {
    struct bp_s3_upload u = { .id = bp_buf_cstr(&l->id), .begun = l->begun };

    if (!u.id || !bp_buf_cstr(&l->key))
        return bp_fail(err, -ENOMEM, "out of memory");
    u.key = bp_s3_listed_key(l->s, (char *) l->key.p, l->encoded);
    if (u.key && l->ended == 0)
        l->ended = l->each(l->ctx, &u);
    bp_buf_clear(&l->key);
    bp_buf_clear(&l->id);
    l->begun = 0;
    return l->ended;
}

static int upload_leaf(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    struct upload_list *l = ctx;
    struct bp_buf *to = NULL;

    if (!l->listing) {
        if (bp_streq(path, "EncodingType"))
            l->encoded = bp_str_eq(text, BP_STR("url"));
        else if (bp_streq(path, "IsTruncated"))
            l->truncated = bp_str_eq(text, BP_STR("true"));
        to = bp_streq(path, "NextKeyMarker")        ? &l->next_key
             : bp_streq(path, "NextUploadIdMarker") ? &l->next_id
                                                    : NULL;
    } else {
        if (bp_streq(path, "Upload"))
            return give_upload(l, err);
        if (bp_streq(path, "Upload/Initiated") && bp_s3_xml_time(text, &l->begun) < 0)
            l->begun = 0;
        to = bp_streq(path, "Upload/Key")        ? &l->key
             : bp_streq(path, "Upload/UploadId") ? &l->id
                                                 : NULL;
    }
    if (to) {
        bp_buf_clear(to);
        bp_buf_put(to, text.p, text.n);
    }
    return 0;
}

static int upload_page(struct upload_list *l, const char *under, struct bp_s3_failure *failure,
                       struct bp_error *err) {
    REQUEST rq = { .method = "GET", .max_body_bytes = BP_S3_XML_SIZE };
    REPLY reply = { 0 };
    int r;

    bp_s3_query(&rq, "uploads", "%s", "");
    /* no encoding-type: radosgw encodes then, and does not say so; our reader takes odd characters
     */
    bp_s3_query(&rq, "prefix", "%s%s", l->s->prefix, under);
    if (l->next_key.n > 0) {
        bp_s3_query(&rq, "key-marker", "%.*s", (int) l->next_key.n, (const char *) l->next_key.p);
        bp_s3_query(&rq, "upload-id-marker", "%.*s", (int) l->next_id.n,
                    (const char *) l->next_id.p);
    }
    r = bp_s3_send(l->s, &rq, &reply, failure, err);
    if (r < 0)
        return r;
    bp_buf_clear(&l->next_key);
    bp_buf_clear(&l->next_id);
    l->truncated = l->encoded = l->listing = false;
    r = bp_s3_answer(&reply, "ListMultipartUploadsResult", upload_leaf, l, failure, err);
    l->listing = true;
    if (r == 0)
        r = bp_s3_answer(&reply, "ListMultipartUploadsResult", upload_leaf, l, failure, err);
    if (r == 0 && l->encoded && l->next_key.n > 0 &&
        bp_s3_xml_unescape((char *) l->next_key.p, l->next_key.n, &l->next_key.n) < 0)
        r = bp_s3_unreadable(failure, bp_fail(err, BP_EFORMAT, "a marker that cannot be read"));
    if (r == 0 && l->truncated && l->next_key.n == 0)
        r = bp_s3_unreadable(
            failure,
            bp_fail(err, BP_EFORMAT, "a list of uploads that goes on, without a word where"));
    return r;
}

int bp_s3_uploads(struct bp_s3 *s, const char *under,
                  int (*each)(void *ctx, const struct bp_s3_upload *upload), void *ctx,
                  struct bp_s3_failure *failure, struct bp_error *err) {
    struct upload_list l = { .s = s, .each = each, .ctx = ctx };
    int r;

    do
        r = upload_page(&l, under, failure, err);
    while (r == 0 && l.ended == 0 && l.truncated);
    bp_buf_done(&l.key);
    bp_buf_done(&l.id);
    bp_buf_done(&l.next_key);
    bp_buf_done(&l.next_id);
    return l.ended ? bp_s3_fail(failure, BP_S3_OK, l.ended) : r;
}

/* Ours that are old: gathered first, so that aborting does not disturb the pages. */
struct old {
    bp_ns_t older_than;
    bool (*wanted)(void *ctx, const struct bp_s3_upload *upload);
    void *ctx;
    struct bp_buf names; /* key, NUL, id, NUL */
    size_t n;
};

static int gather_old(void *ctx, const struct bp_s3_upload *u) {
    struct old *o = ctx;

    if (u->begun == 0 || u->begun >= o->older_than || (o->wanted && o->wanted(o->ctx, u)))
        return 0;
    bp_buf_put(&o->names, u->key, strlen(u->key) + 1);
    bp_buf_put(&o->names, u->id, strlen(u->id) + 1);
    o->n++;
    return o->names.failed ? -ENOMEM : 0;
}

int bp_s3_uploads_clean(struct bp_s3 *s, const char *under, bp_ns_t older_than,
                        bool (*wanted)(void *ctx, const struct bp_s3_upload *upload), void *ctx,
                        bool dry, size_t *ret_n, struct bp_s3_failure *failure,
                        struct bp_error *err) {
    struct old o = { .older_than = older_than, .wanted = wanted, .ctx = ctx };
    const char *p;
    int r = bp_s3_uploads(s, under, gather_old, &o, failure, err);

    p = (const char *) o.names.p;
    for (size_t i = 0; r == 0 && !dry && i < o.n; i++) {
        const char *id = p + strlen(p) + 1;

        r = bp_s3_upload_abort(s, p, id, failure, err);
        p = id + strlen(id) + 1;
    }
    bp_buf_done(&o.names);
    if (r == 0)
        *ret_n = o.n;
    return r;
}
