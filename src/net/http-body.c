#include <errno.h>

#include "net/http-priv.h"

/* Bodies in pieces. The loop gathers what arrives in a buffer of the request; when that is full the
 * connection is suspended and a worker gets the piece, so a disk holds up its own upload, never the
 * loop and with it everybody else. Meanwhile the kernel's receive buffer fills, which keeps the
 * sender busy; the copy into the buffer costs a hundredth of the digest that is made of it. */

enum { PIECE = 128 * 1024, DISCARD_MAX = 64 << 20 };

const struct bp_http_body_ops *bp_http_body_find(const struct bp_http_options *o,
                                                 bp_http_handler handler) {
    for (size_t i = 0; i < o->nbodies; i++)
        if (o->bodies[i].handler == handler)
            return &o->bodies[i];
    return NULL;
}

uint64_t bp_http_body_max(const struct bp_http_options *o) {
    uint64_t max = o->max_body_bytes;

    for (size_t i = 0; i < o->nbodies; i++)
        if (o->bodies[i].begin)
            max = BP_MAX(max, o->bodies[i].max_bytes);
    return BP_MIN(max, UINT64_MAX / 16); /* a digit more still fits */
}

int bp_http_body_check(struct bp_http_req *req) {
    uint64_t max = req->http->o.max_body_bytes;

    req->ops = bp_http_body_find(&req->http->o, req->route->handler);
    if (req->ops && req->ops->begin) {
        max = req->ops->max_bytes;
        if (!bp_http_header(req, "Content-Length")) {
            bp_http_reply_refuse(&req->reply, 411, "the body's length must be told in advance");
            return 411;
        }
    }
    if (req->length <= max)
        return 0;
    bp_http_reply_refuse(&req->reply, 413, "a body may have %llu bytes", (unsigned long long) max);
    return 413;
}

/* Suspends and queues. @return 0, or negative: the connection goes on as it is */
static int hand_over(struct bp_http_req *req, enum bp_req_state state) {
    enum bp_req_state before = req->state;
    int r;

    req->state = state;
    bp_http_conn_phase(req->http, req->conn, BP_CONN_BUSY);
    MHD_suspend_connection(req->mhd);
    r = bp_queue_put(req->http->body_work, &req, BP_QUEUE_NOW);
    if (r < 0) {
        req->state = before;
        MHD_resume_connection(req->mhd);
    }
    return r;
}

static enum MHD_Result refuse_busy(struct bp_http_req *req) {
    bp_counter_add(&bp_http_stats.refused_busy, 1);
    bp_http_reply_refuse(&req->reply, 503, "too many bodies are being received");
    bp_http_reply_header(&req->reply, "Retry-After", "1");
    bp_http_reply_build(req);
    return bp_http_is_small_body(req) ? MHD_YES : bp_http_send_response(req);
}

enum MHD_Result bp_http_body_begin(struct bp_http_req *req) {
    unsigned n = __atomic_add_fetch(&req->http->bodies, 1, __ATOMIC_RELAXED);

    req->counted = true;
    if (n > req->http->o.max_bodies) /* state is BODY already */
        return refuse_busy(req);
    if (hand_over(req, BP_REQ_BEGIN) < 0) {
        bp_http_reply_refuse(&req->reply, 503, "the server is ending");
        bp_http_reply_build(req);
        req->state = BP_REQ_BEGUN;
    }
    return MHD_YES;
}

/* Refused: is the rest of the body read, so that the client gets to read why? It may send all of it
 * before it looks. Who asked first (Expect) looks first; who was not let in gets less patience. */
static bool is_read_on(const struct bp_http_req *req) {
    if (bp_http_is_small_body(req))
        return true;
    return req->status != 401 && req->status != 403 && req->length <= DISCARD_MAX &&
           !bp_http_header(req, "Expect");
}

enum MHD_Result bp_http_body_begun(struct bp_http_req *req) {
    if (req->response && !is_read_on(req))
        return bp_http_send_response(req);
    req->state = BP_REQ_BODY;
    bp_http_conn_phase(req->http, req->conn, BP_CONN_BODY);
    return MHD_YES;
}

enum MHD_Result bp_http_body_gather(struct bp_http_req *req, const char *p, size_t *n) {
    size_t take = req->response ? *n : BP_MIN(*n, PIECE - req->body.n);

    req->received += take;
    *n -= take;
    if (req->response) /* refused: read and forgotten, no longer than was announced */
        return MHD_YES;
    bp_buf_put(&req->body, p, take);
    if (req->body.n == PIECE && req->received < req->length && hand_over(req, BP_REQ_PIECE) < 0)
        req->broken = true;
    return MHD_YES;
}

void bp_http_body_done(struct bp_http_req *req) {
    if (req->sink)
        req->ops->abort(req->sink);
    req->sink = NULL;
    if (req->counted)
        (void) __atomic_sub_fetch(&req->http->bodies, 1, __ATOMIC_RELAXED);
    req->counted = false;
}

static void begin(struct bp_http_req *req) {
    struct bp_error err = { 0 };
    int status, r = 0;

    status = bp_http_authorize(req, &err);
    if (status == 0)
        r = req->ops->begin(req, &req->reply, &req->sink, &err);
    if (status == 0 && r == 0 && req->length > 0 && !bp_buf_reserve(&req->body, PIECE)) {
        req->ops->abort(req->sink);
        r = bp_fail(&err, -ENOMEM, "out of memory");
    }
    if (status != 0 || r < 0) {
        req->sink = NULL;
        bp_http_refuse_with(req, status, r, &err);
        bp_http_reply_build(req);
    }
    req->state = BP_REQ_BEGUN;
}

/* Hands on what was gathered; after a failure there is a refusal and no sink. */
static int pass_on(struct bp_http_req *req, struct bp_error *err) {
    int r = 0;

    if (req->body.n > 0)
        r = req->ops->data(req->sink, req->body.p, req->body.n, err);
    bp_buf_clear(&req->body);
    if (r < 0) {
        req->ops->abort(req->sink);
        req->sink = NULL;
    }
    return r;
}

void bp_http_body_work(struct bp_http_req *req) {
    struct bp_error err = { 0 };
    int r;

    if (req->state == BP_REQ_BEGIN) {
        begin(req);
        return;
    }
    r = pass_on(req, &err);
    if (r < 0) {
        bp_buf_done(&req->body);
        bp_http_refuse_with(req, 0, r, &err);
        bp_http_reply_build(req);
    }
    req->state = BP_REQ_BODY;
    bp_http_conn_phase(req->http, req->conn, BP_CONN_BODY); /* a new deadline for the next piece */
}

int bp_http_body_last(struct bp_http_req *req, struct bp_error *err) {
    return pass_on(req, err);
}
