/* One request: signed, sent, judged; and sent once more where the answer says how to. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "crypt/secret.h"
#include "net/s3-priv.h"

void bp_s3_request_done(struct bp_s3_request *rq) {
    for (size_t i = 0; i < rq->nheaders; i++) { /* one may be a key: SSE-C */
        char *value;

        memcpy(&value, &rq->headers[i].value, sizeof value);
        bp_wipe(value, strlen(value));
    }
    bp_arena_done(&rq->arena);
}

static void add_pair(struct bp_s3_request *rq, struct bp_sigv4_pair *pairs, size_t *n, size_t max,
                     const char *name, const char *fmt, va_list ap) {
    BP_AUTO_BUF b = { 0 };

    if (*n == max) {
        rq->overflow = true;
        return;
    }
    bp_buf_vprintf(&b, fmt, ap);
    pairs[*n].name = name;
    pairs[*n].value =
        b.failed ? NULL : bp_arena_text(&rq->arena, (struct bp_str){ (const char *) b.p, b.n });
    if (pairs[*n].value)
        ++*n;
    else
        rq->arena.failed = true;
}

void bp_s3_header(struct bp_s3_request *rq, const char *name, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    add_pair(rq, rq->headers, &rq->nheaders, BP_S3_MAX_HEADERS, name, fmt, ap);
    va_end(ap);
}

void bp_s3_query(struct bp_s3_request *rq, const char *name, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    add_pair(rq, rq->query, &rq->nquery, BP_S3_MAX_QUERY, name, fmt, ap);
    va_end(ap);
}

/* ---- what a body's digest is ---- */

static int digest_file(const struct bp_fetch_file *file, uint8_t ret[static BP_SHA256_LEN]) {
    const struct bp_io *io = file->io ? file->io : &bp_io_posix;
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *sha = bp_sha256_new();
    enum { PIECE = 256 << 10 };
    BP_AUTO_FREE uint8_t *piece = malloc(PIECE);

    if (!sha || !piece)
        return -ENOMEM;
    for (uint64_t at = 0; at < file->size;) {
        ssize_t k = io->pread(io->ctx, file->fd, piece, BP_MIN(file->size - at, (uint64_t) PIECE),
                              file->offset + at);

        if (k <= 0)
            return k < 0 ? (int) k : -ENODATA;
        bp_sha256_add(sha, piece, (size_t) k);
        at += (uint64_t) k;
    }
    bp_sha256_end(sha, ret);
    return 0;
}

/* X-Amz-Content-Sha256: by https a body may be left unsigned, for TLS protects it as well. */
static int payload_of(const struct bp_s3 *s, const struct bp_s3_body *body,
                      char ret[static BP_SIGV4_PAYLOAD], struct bp_error *err) {
    uint8_t digest[BP_SHA256_LEN];
    int r = 0;

    if (body && body->sha256) {
        (void) bp_sha256_hex(body->sha256, ret);
        return 0;
    }
    if (body && body->file && body->file->size > 0) {
        if (s->https) {
            (void) snprintf(ret, BP_SIGV4_PAYLOAD, "%s", BP_SIGV4_UNSIGNED);
            return 0;
        }
        r = digest_file(body->file, digest);
    } else {
        bp_sha256_of(body && !body->file ? body->bytes.p : NULL,
                     body && !body->file ? body->bytes.n : 0, digest);
    }
    if (r < 0)
        return bp_fail(err, r, "cannot read what is to be sent: %s", bp_strerror(r));
    (void) bp_sha256_hex(digest, ret);
    return 0;
}

/* ---- one try ---- */

/* What one try is made of. */
struct try {
    struct bp_s3 *s;
    struct bp_s3_request *rq;
    struct bp_s3_keys keys;
    char region[64], payload[BP_SIGV4_PAYLOAD];
    struct bp_buf authority, path, url, authorization;
    struct bp_sigv4_pair headers[BP_S3_MAX_HEADERS + 4];
    size_t nheaders;
    struct bp_buf lines[BP_S3_MAX_HEADERS + 5]; /* "Name: value" */
    const char *list[BP_S3_MAX_HEADERS + 6];
    bp_ns_t wall; /* by which it is signed */
};

static void try_done(struct try *t) {
    bp_s3_keys_done(&t->keys);
    bp_buf_done(&t->authority);
    bp_buf_done(&t->path);
    bp_buf_done(&t->url);
    bp_buf_done(&t->authorization);
    for (size_t i = 0; i < BP_COUNT(t->lines); i++) {
        if (t->lines[i].p)
            bp_wipe(t->lines[i].p, t->lines[i].n); /* tokens */
        bp_buf_done(&t->lines[i]);
    }
}

static int make_url(struct try *t, struct bp_error *err) {
    int r = bp_s3_where(t->s, t->rq->key, t->region, &t->authority, &t->path, err);

    if (r < 0)
        return r;
    bp_buf_printf(&t->url, "http%s://%s%s", t->s->https ? "s" : "", bp_buf_cstr(&t->authority),
                  bp_buf_cstr(&t->path));
    if (t->rq->nquery > 0) {
        bp_buf_put_u8(&t->url, '?');
        r = bp_sigv4_put_query(&t->url, t->rq->query, t->rq->nquery);
    }
    return r < 0 || !bp_buf_cstr(&t->url) ? bp_fail(err, -ENOMEM, "out of memory") : 0;
}

/* The headers of the request and those of every request. */
static void gather_headers(struct try *t, char time[static BP_SIGV4_TIME]) {
    struct bp_sigv4_pair *h = t->headers;
    size_t n = 0;

    h[n++] = (struct bp_sigv4_pair){ "Host", bp_buf_cstr(&t->authority) };
    h[n++] = (struct bp_sigv4_pair){ "x-amz-content-sha256", t->payload };
    if (t->keys.access)
        h[n++] = (struct bp_sigv4_pair){ "x-amz-date", bp_sigv4_time(t->wall, time) };
    if (t->keys.token)
        h[n++] = (struct bp_sigv4_pair){ "x-amz-security-token", t->keys.token };
    if (t->rq->nheaders > 0)
        memcpy(h + n, t->rq->headers, t->rq->nheaders * sizeof h[0]);
    t->nheaders = n + t->rq->nheaders;
}

static int sign(struct try *t, struct bp_error *err) {
    struct bp_sigv4_key key = { .access_key = t->keys.access,
                                .secret_key = t->keys.secret,
                                .region = t->region,
                                .service = "s3" };
    struct bp_sigv4_request rq = { .method = t->rq->method,
                                   .path = bp_buf_cstr(&t->path),
                                   .query = t->rq->query,
                                   .nquery = t->rq->nquery,
                                   .headers = t->headers,
                                   .nheaders = t->nheaders,
                                   .payload = t->payload,
                                   .wall = t->wall };
    int r;

    bp_buf_put_str(&t->authorization, "Authorization: ");
    r = bp_sigv4_authorize(&key, &rq, &t->authorization);
    if (r < 0 || !bp_buf_cstr(&t->authorization))
        return bp_fail(err, r < 0 ? r : -ENOMEM, "cannot sign: %s",
                       bp_strerror(r < 0 ? r : -ENOMEM));
    return 0;
}

static int make_list(struct try *t, struct bp_error *err) {
    size_t n = 0;

    for (; n < t->nheaders; n++) {
        bp_buf_printf(&t->lines[n], "%s: %s", t->headers[n].name, t->headers[n].value);
        t->list[n] = bp_buf_cstr(&t->lines[n]);
        if (!t->list[n])
            return bp_fail(err, -ENOMEM, "out of memory");
    }
    if (t->keys.access)
        t->list[n++] = bp_buf_cstr(&t->authorization);
    t->list[n] = NULL;
    return 0;
}

static int prepare(struct try *t, struct bp_error *err) {
    char time[BP_SIGV4_TIME];
    int r;

    bp_s3_region(t->s, t->region);
    t->wall = bp_wall_ns() + bp_s3_clock_offset(t->s);
    r = make_url(t, err);
    if (r < 0)
        return r;
    gather_headers(t, time);
    if (t->keys.access)
        r = sign(t, err);
    return r < 0 ? r : make_list(t, err);
}

static int transfer(struct try *t, struct bp_fetch_reply *reply, struct bp_error *err) {
    const struct bp_s3_request *rq = t->rq;
    const struct bp_s3_body *body = rq->body;
    struct bp_fetch_request f = { .method = rq->method,
                                  .url = bp_buf_cstr(&t->url),
                                  .headers = t->list,
                                  .expect = !t->s->quirks->no_expect,
                                  .sink = rq->sink,
                                  .sink_ctx = rq->sink_ctx,
                                  .max_body_bytes = rq->max_body_bytes,
                                  .timeout = rq->timeout,
                                  .stall_timeout = rq->timeout };

    if (body && body->file)
        f.file = body->file;
    else if (body)
        f.body = body->bytes;
    if (rq->flow) {
        f.pace = rq->flow->pace;
        f.pace_ctx = rq->flow->pace_ctx;
        f.cancel = rq->flow->cancel;
    }
    if (f.timeout == 0 && !f.file && !f.sink && f.body.n < 1 << 20)
        f.timeout = t->s->timeout;
    return bp_fetch(t->s->fetch, &f, reply, err);
}

/* ---- trying again ---- */

static void correct_clock(struct bp_s3 *s, const struct bp_fetch_reply *reply) {
    int64_t offset = reply->date_ns - bp_wall_ns(),
            old = __atomic_exchange_n(&s->offset_ns, offset, __ATOMIC_RELAXED);

    if (llabs(offset - old) > 60 * BP_SEC)
        bp_log(BP_LOG_NOTICE, "the clock of S3 differs from ours, requests are signed by theirs",
               BP_F_INT("seconds", offset / BP_SEC), BP_F_TEXT("bucket", s->bucket));
}

/* @return true when another try makes sense */
static bool put_right(struct try *t, const struct bp_s3_verdict *v, unsigned *done,
                      const struct bp_fetch_reply *reply) {
    struct bp_s3 *s = t->s;
    unsigned remedy = (unsigned) v->remedy & ~*done;

    if (remedy & BP_S3_REMEDY_REGION && !bp_streq(v->region, t->region)) {
        *done |= BP_S3_REMEDY_REGION;
        bp_mutex_lock(&s->lock);
        memcpy(s->region, v->region, sizeof s->region);
        bp_mutex_unlock(&s->lock);
        bp_log(BP_LOG_NOTICE, "the bucket lies in another region", BP_F_TEXT("bucket", s->bucket),
               BP_F_TEXT("region", v->region));
        return true;
    }
    if (remedy & BP_S3_REMEDY_CLOCK) {
        *done |= BP_S3_REMEDY_CLOCK;
        correct_clock(s, reply);
        return true;
    }
    if (remedy & BP_S3_REMEDY_KEYS && t->keys.access) {
        *done |= BP_S3_REMEDY_KEYS;
        return bp_s3_creds_expired(s->creds, t->keys.access);
    }
    if (remedy & BP_S3_REMEDY_AGAIN) {
        *done |= BP_S3_REMEDY_AGAIN;
        return true;
    }
    return false;
}

static bool is_error(const struct bp_s3_request *rq, const struct bp_fetch_reply *reply) {
    if (reply->status / 100 != 2)
        return true;
    return rq->error_in_200 &&
           bp_str_eq(bp_s3_xml_root((struct bp_str){ (const char *) reply->body.p, reply->body.n }),
                     BP_STR("Error"));
}

static int name_it(const struct bp_s3 *s, const struct bp_s3_request *rq, int r,
                   struct bp_error *err) {
    return bp_prefix(err, r, "s3://%s/%s%.200s", s->bucket, s->prefix, rq->key ? rq->key : "");
}

/* One try. @return true when another makes sense; else *ret is what came of it */
static bool try_once(struct try *t, unsigned *done, struct bp_fetch_reply *reply, int *ret,
                     struct bp_s3_failure *failure, struct bp_error *err) {
    struct bp_s3_verdict v;

    *ret = bp_s3_creds_get(t->s->creds, &t->keys, err);
    if (*ret < 0) {
        bp_s3_judge_fetch(*ret, reply, failure);
        if (failure && failure->class == BP_S3_LOCAL && *ret != -ENOMEM)
            failure->class = *ret == -EAGAIN ? BP_S3_SERVER : BP_S3_AUTH;
        return false;
    }
    *ret = prepare(t, err);
    if (*ret < 0) {
        (void) bp_s3_fail(failure, *ret == -EINVAL ? BP_S3_PERMANENT : BP_S3_LOCAL, 0);
        return false;
    }
    *ret = transfer(t, reply, err);
    if (*ret < 0) {
        bp_s3_judge_fetch(*ret, reply, failure);
        return false;
    }
    if (!is_error(t->rq, reply)) {
        if (failure)
            *failure = (struct bp_s3_failure){ .status = reply->status, .date_ns = reply->date_ns };
        return false;
    }
    v = bp_s3_judge(reply, t->rq->precondition, bp_wall_ns() + bp_s3_clock_offset(t->s), failure,
                    err);
    *ret = v.code;
    return put_right(t, &v, done, reply);
}

int bp_s3_send(struct bp_s3 *s, struct bp_s3_request *rq, struct bp_fetch_reply *reply,
               struct bp_s3_failure *failure, struct bp_error *err) {
    char payload[BP_SIGV4_PAYLOAD];
    unsigned done = 0;
    bool again = true;
    int r;

    if (rq->arena.failed || rq->overflow)
        return bp_s3_fail(failure, BP_S3_LOCAL, bp_fail(err, -ENOMEM, "out of memory"));
    r = payload_of(s, rq->body, payload, err);
    if (r < 0)
        return bp_s3_fail(failure, BP_S3_LOCAL, name_it(s, rq, r, err));
    while (again) {
        BP_CLEANUP(try_done) struct try t = { .s = s, .rq = rq };

        memcpy(t.payload, payload, sizeof payload);
        again = try_once(&t, &done, reply, &r, failure, err);
    }
    return r < 0 ? name_it(s, rq, r, err) : 0;
}

int bp_s3_unreadable(struct bp_s3_failure *f, int r) {
    if (r < 0 && f)
        f->class = r == -ENOMEM ? BP_S3_LOCAL : BP_S3_SERVER;
    return r;
}

int bp_s3_answer(const struct bp_fetch_reply *reply, const char *root, bp_s3_xml_leaf leaf,
                 void *ctx, struct bp_s3_failure *failure, struct bp_error *err) {
    struct bp_str xml = { (const char *) reply->body.p, reply->body.n };

    return bp_s3_unreadable(failure, bp_s3_xml_read(xml, root, leaf, ctx, err));
}
