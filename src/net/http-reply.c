#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/json.h"
#include "net/http-priv.h"

void bp_http_reply_init(struct bp_http_reply *reply) {
    *reply = (struct bp_http_reply){ .fd = -1 };
}

/* Empties what a reply holds besides its headers. */
static void forget_body(struct bp_http_reply *reply) {
    bp_buf_done(&reply->body);
    if (reply->fd >= 0)
        (void) close(reply->fd);
    reply->fd = -1;
    bp_http_stream_drop(reply->stream);
    reply->stream = NULL;
    free(reply->upgrade);
    reply->upgrade = NULL;
    if (reply->kind == BP_REPLY_UPGRADE && reply->gone)
        reply->gone(reply->ctx);
    reply->kind = BP_REPLY_NONE;
}

static void forget_headers(struct bp_http_reply *reply) {
    for (size_t i = 0; i < reply->nheaders; i++) {
        free(reply->headers[i].name);
        free(reply->headers[i].value);
    }
    reply->nheaders = 0;
}

void bp_http_reply_done(struct bp_http_reply *reply) {
    forget_body(reply);
    forget_headers(reply);
}

static void begin(struct bp_http_reply *reply, enum bp_reply_kind kind, int status,
                  const char *type) {
    forget_body(reply);
    reply->kind = kind;
    reply->status = status;
    (void) snprintf(reply->type, sizeof reply->type, "%s", type);
}

void bp_http_reply_header(struct bp_http_reply *reply, const char *name, const char *value) {
    BP_AUTO_FREE char *n = strdup(name);
    BP_AUTO_FREE char *v = strdup(value);

    if (!n || !v || strpbrk(value, "\r\n") || reply->nheaders == BP_HTTP_MAX_HEADERS) {
        reply->failed = true;
        return;
    }
    reply->headers[reply->nheaders].name = BP_TAKE_PTR(n);
    reply->headers[reply->nheaders++].value = BP_TAKE_PTR(v);
}

static const char *header_of(const struct bp_http_reply *reply, const char *name) {
    for (size_t i = 0; i < reply->nheaders; i++)
        if (strcasecmp(reply->headers[i].name, name) == 0)
            return reply->headers[i].value;
    return NULL;
}

static int put_json(const char *p, size_t n, void *cls) {
    struct bp_buf *b = cls;

    bp_buf_put(b, p, n);
    return b->failed ? -1 : 0;
}

void bp_http_reply_json(struct bp_http_reply *reply, int status, json_t *json) {
    begin(reply, BP_REPLY_BUF, status, "application/json");
    if (!json ||
        json_dump_callback(json, put_json, &reply->body, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
        reply->failed = true;
    bp_buf_put_u8(&reply->body, '\n');
    json_decref(json);
}

void bp_http_reply_buf(struct bp_http_reply *reply, int status, const char *type,
                       struct bp_buf *body) {
    begin(reply, BP_REPLY_BUF, status, type);
    reply->body = *body;
    *body = (struct bp_buf){ 0 };
}

void bp_http_reply_static(struct bp_http_reply *reply, int status, const char *type, const void *p,
                          size_t n) {
    begin(reply, BP_REPLY_STATIC, status, type);
    reply->p = p;
    reply->size = n;
}

void bp_http_reply_empty(struct bp_http_reply *reply, int status) {
    begin(reply, BP_REPLY_EMPTY, status, "");
}

void bp_http_reply_problem(struct bp_http_reply *reply, int status, const struct bp_error *err) {
    const char *title = MHD_get_reason_phrase_for((unsigned) status);

    begin(reply, BP_REPLY_BUF, status, "application/problem+json");
    bp_buf_put_str(&reply->body, "{\"type\":\"about:blank\",\"title\":");
    bp_json_put_text(&reply->body, title, strlen(title));
    bp_buf_printf(&reply->body, ",\"status\":%d,\"detail\":", status);
    bp_json_put_text(&reply->body, err->text, strlen(err->text));
    bp_buf_put_str(&reply->body, "}\n");
}

void bp_http_reply_refuse(struct bp_http_reply *reply, int status, const char *fmt, ...) {
    struct bp_error e = { 0 };
    va_list ap;

    va_start(ap, fmt);
    (void) vsnprintf(e.text, sizeof e.text, fmt, ap);
    va_end(ap);
    bp_http_reply_problem(reply, status, &e);
}

void bp_http_reply_file(struct bp_http_reply *reply, int fd, uint64_t size, const char *type,
                        const char *etag) {
    begin(reply, BP_REPLY_FILE, 200, type);
    reply->fd = fd;
    reply->size = size;
    if (etag)
        bp_http_reply_header(reply, "ETag", etag);
}

void bp_http_reply_upgrade(struct bp_http_reply *reply, const char *protocol,
                           void (*take)(void *ctx, int fd, struct bp_str early,
                                        struct bp_http_upgrade *u),
                           void (*gone)(void *ctx), void *ctx) {
    begin(reply, BP_REPLY_UPGRADE, 101, "");
    reply->take = take;
    reply->gone = gone;
    reply->ctx = ctx;
    bp_http_reply_header(reply, "Upgrade", protocol);
}

/* Not modified? Turns the reply into a 304 with its headers. */
static bool is_known(struct bp_http_req *req) {
    struct bp_http_reply *reply = &req->reply;
    const char *etag = header_of(reply, "ETag"), *list = bp_http_header(req, "If-None-Match");
    bool read = bp_streq(req->method, "GET") || bp_streq(req->method, "HEAD");

    if (!etag || !list || !read || reply->status != 200 || !bp_http_etag_in(list, etag))
        return false;
    begin(reply, BP_REPLY_EMPTY, 304, "");
    return true;
}

/* Which part of the file? 206 with its header, or 416. */
static void pick_range(struct bp_http_req *req, uint64_t *first, uint64_t *n) {
    struct bp_http_reply *reply = &req->reply;
    const char *range = bp_http_header(req, "Range"), *when = bp_http_header(req, "If-Range");
    const char *etag = header_of(reply, "ETag");
    uint64_t size = reply->size;
    char text[80];
    int r;

    *first = 0;
    *n = size;
    bp_http_reply_header(reply, "Accept-Ranges", "bytes");
    if (!range || !bp_streq(req->method, "GET"))
        return;
    if (when && (!etag || !bp_streq(when, etag) || bp_starts_with(etag, "W/")))
        return; /* it has changed: all of it */
    r = bp_http_range_parse(range, size, first, n);
    if (r == 0)
        return;
    if (r < 0) {
        bp_http_reply_refuse(reply, 416, "the range lies outside of the %llu bytes",
                             (unsigned long long) size);
        (void) snprintf(text, sizeof text, "bytes */%llu", (unsigned long long) size);
    } else {
        reply->status = 206;
        (void) snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long) *first,
                        (unsigned long long) (*first + *n - 1), (unsigned long long) size);
    }
    bp_http_reply_header(reply, "Content-Range", text);
}

static struct MHD_Response *static_response(const void *p, size_t n) {
    return MHD_create_response_from_buffer(n, (void *) (uintptr_t) p, MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *buf_response(struct bp_http_req *req) {
    struct bp_buf *b = &req->reply.body;
    struct MHD_Response *r;

    if (b->n == 0)
        return static_response("", 0);
    r = MHD_create_response_from_buffer(b->n, b->p, MHD_RESPMEM_MUST_FREE);
    if (r) {
        req->reply_bytes = b->n;
        *b = (struct bp_buf){ 0 };
    }
    return r;
}

static struct MHD_Response *file_response(struct bp_http_req *req) {
    struct bp_http_reply *reply = &req->reply;
    struct MHD_Response *r;
    uint64_t first, n;

    pick_range(req, &first, &n);
    if (reply->kind != BP_REPLY_FILE) /* 416 */
        return buf_response(req);
    req->reply_bytes = n;
    if (n == 0)
        return static_response("", 0);
    r = MHD_create_response_from_fd_at_offset64(n, reply->fd, first);
    if (r)
        reply->fd = -1;
    return r;
}

static struct MHD_Response *make_response(struct bp_http_req *req) {
    const struct bp_http_reply *reply = &req->reply;

    switch (reply->kind) {
    case BP_REPLY_NONE:
    case BP_REPLY_EMPTY:
        return static_response("", 0);
    case BP_REPLY_BUF:
        return reply->body.failed ? NULL : buf_response(req);
    case BP_REPLY_STATIC:
        req->reply_bytes = reply->size;
        return static_response(reply->p, (size_t) reply->size);
    case BP_REPLY_FILE:
        return file_response(req);
    case BP_REPLY_STREAM:
        return reply->stream ? bp_http_stream_response(req) : NULL;
    case BP_REPLY_UPGRADE:
        return bp_http_upgrade_response(req);
    }
    return NULL;
}

/* Sent with every reply whose handler did not decide otherwise. */
static const struct {
    const char *name, *value;
} defaults[] = {
    { "X-Content-Type-Options", "nosniff" },
    { "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'" },
    { "Cross-Origin-Resource-Policy", "same-origin" },
    { "Referrer-Policy", "no-referrer" },
};

/* Of pages at an origin that is configured: their scripts may read what is answered, and send what
 * a browser asks about before (Fetch standard §3.2). Others get none of this. */
static bool add_origin(const struct bp_http_req *req, struct MHD_Response *r) {
    static const char *const answer[][2] = {
        { "Access-Control-Allow-Credentials", "true" },
        { "Access-Control-Expose-Headers",
          "Content-Disposition, Content-Range, ETag, Location, Repr-Digest, Retry-After, "
          "Bagpipe-Missing-Segments" },
        { "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE" },
        { "Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, Range" },
        { "Access-Control-Max-Age", "600" },
    };
    size_t n = bp_streq(req->method, "OPTIONS") ? BP_COUNT(answer) : 2;
    const char *const *origins = req->http->o.origins;
    const char *origin;
    bool ok;

    if (!origins || !*origins)
        return true;
    ok = MHD_add_response_header(r, "Vary", "Origin") == MHD_YES;
    origin = bp_http_header(req, "Origin");
    if (!origin || !bp_http_origin_ok(origin, NULL, origins))
        return ok;
    ok &= MHD_add_response_header(r, "Access-Control-Allow-Origin", origin) == MHD_YES;
    for (size_t i = 0; i < n; i++)
        ok &= MHD_add_response_header(r, answer[i][0], answer[i][1]) == MHD_YES;
    return ok;
}

static bool add_headers(struct bp_http_req *req, struct MHD_Response *r) {
    const struct bp_http_reply *reply = &req->reply;
    bool ok = true;

    for (size_t i = 0; i < reply->nheaders; i++)
        ok &=
            MHD_add_response_header(r, reply->headers[i].name, reply->headers[i].value) == MHD_YES;
    if (reply->status == 101)
        return ok;
    if (reply->type[0] != '\0')
        ok &= MHD_add_response_header(r, "Content-Type", reply->type) == MHD_YES;
    for (size_t i = 0; i < BP_COUNT(defaults); i++)
        if (!header_of(reply, defaults[i].name))
            ok &= MHD_add_response_header(r, defaults[i].name, defaults[i].value) == MHD_YES;
    if (!header_of(reply, "Cache-Control"))
        ok &=
            MHD_add_response_header(r, "Cache-Control",
                                    header_of(reply, "ETag") ? "no-cache" : "no-store") == MHD_YES;
    if (bp_http_is_draining(req->http))
        ok &= MHD_add_response_header(r, "Connection", "close") == MHD_YES;
    return add_origin(req, r) && ok;
}

/* @return false when there is no such response to be had */
static bool build(struct bp_http_req *req) {
    struct bp_http_reply *reply = &req->reply;

    if (reply->failed)
        return false;
    if (reply->kind == BP_REPLY_NONE)
        bp_http_reply_empty(reply, 204);
    (void) is_known(req);
    req->response = make_response(req);
    if (req->response && !reply->failed && add_headers(req, req->response)) {
        req->status = reply->status;
        return true;
    }
    if (req->response)
        MHD_destroy_response(req->response);
    req->response = NULL;
    return false;
}

void bp_http_reply_build(struct bp_http_req *req) {
    if (build(req))
        return;
    bp_http_reply_done(&req->reply);
    bp_http_reply_init(&req->reply);
    bp_http_reply_refuse(&req->reply, 500, "the answer could not be made");
    (void) build(req);
}
