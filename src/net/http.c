#include "net/http.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "base/thread.h"
#include "net/http-priv.h"

/* How a request goes through libmicrohttpd: on_uri() when its first line is read, on_access() when
 * its head is, then once per piece of body, then once when it is whole. A response queued on the
 * first of these calls closes the connection afterwards, so it is queued on the last, unless a long
 * body is not wanted. A connection that is suspended in the first call gets that call once more,
 * and sends "100 Continue" only then: bodies in pieces (http-body.c) stand on it. */

enum { SMALL_BODY_BYTES = 64 * 1024 };

/* Behind the path below which a proxy shows us. */
static const char *below_base(const char *uri, const char *base) {
    size_t n = base ? strlen(base) : 0;

    return n > 0 && strncmp(uri, base, n) == 0 && uri[n] == '/' ? uri + n : uri;
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct bp_http_req *req = calloc(1, sizeof *req);

    if (!req)
        return NULL;
    req->http = cls;
    req->mhd = mhd;
    req->conn = info ? info->socket_context : NULL;
    req->mono_start = bp_mono_ns();
    bp_http_reply_init(&req->reply);
    req->target_code = bp_http_target_parse(below_base(uri ? uri : "", req->http->o.base_path),
                                            &req->target, &req->target_err);
    bp_gauge_add(&bp_http_stats.in_flight, 1);
    return req;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **req_cls,
                         enum MHD_RequestTerminationCode code) {
    struct bp_http_req *req = *req_cls;

    (void) cls;
    (void) mhd;
    (void) code;
    if (!req)
        return;
    if (req->state == BP_REQ_NEW) /* libmicrohttpd has refused the head */
        bp_counter_add(&bp_http_stats.refused_head, 1);
    bp_http_body_done(req);
    bp_http_count(req->status ? req->status : 400, bp_mono_ns() - req->mono_start, req->received,
                  req->reply_bytes);
    bp_gauge_add(&bp_http_stats.in_flight, -1);
    bp_http_conn_phase(req->http, req->conn, BP_CONN_HEAD);

    if (req->response)
        MHD_destroy_response(req->response);
    bp_http_reply_done(&req->reply);
    bp_http_target_done(&req->target);
    bp_buf_done(&req->body);
    free(req->cookie);
    free(req);
    *req_cls = NULL;
}

enum MHD_Result bp_http_send_response(struct bp_http_req *req) {
    struct MHD_Response *r = BP_TAKE_PTR(req->response);
    enum MHD_Result result;

    req->state = BP_REQ_SENT;
    if (!r)
        return MHD_NO;
    bp_http_conn_phase(req->http, req->conn, BP_CONN_BUSY);
    result = MHD_queue_response(req->mhd, (unsigned) req->status, r);
    MHD_destroy_response(r);
    return result;
}

bool bp_http_is_small_body(const struct bp_http_req *req) {
    const char *length = bp_http_header(req, "Content-Length");

    return !bp_http_has_body(req) ||
           (length && req->length <= SMALL_BODY_BYTES &&
            !bp_http_header(req, "Transfer-Encoding") && !bp_http_header(req, "Expect"));
}

static enum MHD_Result on_head(struct bp_http_req *req, const char *method, const char *version) {
    bool framed;
    int status;

    req->method = method;
    req->version = version;
    req->state = BP_REQ_BODY;
    status = bp_http_head_check(req, &framed);
    if (status != 0)
        bp_counter_add(&bp_http_stats.refused_head, 1);
    else
        status = bp_http_head_route(req);
    if (status == 0)
        status = bp_http_body_check(req);
    if (status == 0 && req->ops && req->ops->begin)
        return bp_http_body_begin(req);
    if (bp_http_has_body(req))
        bp_http_conn_phase(req->http, req->conn, BP_CONN_BODY);
    if (status == 0)
        return MHD_YES;
    bp_http_reply_build(req);
    return framed && bp_http_is_small_body(req) ? MHD_YES : bp_http_send_response(req);
}

static enum MHD_Result on_body(struct bp_http_req *req, const char *p, size_t *n) {
    size_t max = req->http->o.max_body_bytes;

    if (req->ops && req->ops->begin)
        return bp_http_body_gather(req, p, n);
    req->received += *n;
    if (!req->response && *n > max - req->body.n) {
        bp_http_reply_refuse(&req->reply, 413, "a body may have %zu bytes", max);
        bp_http_reply_build(req);
        bp_buf_done(&req->body);
    }
    if (req->response) {
        /* a body without a length: some patience, so that the client reads why */
        req->discarded += *n;
        if (req->discarded > max + 16 * (uint64_t) SMALL_BODY_BYTES)
            return MHD_NO;
    } else {
        bp_buf_put(&req->body, p, *n);
    }
    *n = 0;
    return MHD_YES;
}

/* The request is whole: to the workers. */
static enum MHD_Result dispatch(struct bp_http_req *req) {
    if (req->body.failed) {
        bp_http_reply_refuse(&req->reply, 503, "out of memory");
        bp_http_reply_build(req);
    }
    if (req->response)
        return bp_http_send_response(req);

    req->state = BP_REQ_QUEUED;
    bp_http_conn_phase(req->http, req->conn, BP_CONN_BUSY);
    MHD_suspend_connection(req->mhd);
    if (bp_queue_put(req->ops ? req->http->body_work : req->http->work, &req, BP_QUEUE_NOW) == 0)
        return MHD_YES;

    bp_counter_add(&bp_http_stats.refused_busy, 1);
    bp_http_reply_refuse(&req->reply, 503, "too many requests are waiting");
    bp_http_reply_header(&req->reply, "Retry-After", "1");
    bp_http_reply_build(req);
    req->state = BP_REQ_READY;
    MHD_resume_connection(req->mhd);
    return MHD_YES;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version, const char *body,
                                 size_t *n, void **req_cls) {
    struct bp_http_req *req = *req_cls;

    (void) cls;
    (void) mhd;
    (void) url;
    if (!req)
        return MHD_NO;
    switch (req->state) {
    case BP_REQ_NEW:
        return on_head(req, method, version);
    case BP_REQ_BEGUN:
        return bp_http_body_begun(req);
    case BP_REQ_BODY:
        if (req->broken)
            return MHD_NO;
        return *n > 0 ? on_body(req, body, n) : dispatch(req);
    case BP_REQ_READY:
        return bp_http_send_response(req);
    case BP_REQ_BEGIN:
    case BP_REQ_PIECE:
    case BP_REQ_QUEUED:
    case BP_REQ_SENT:
        return MHD_YES;
    }
    return MHD_NO;
}

int bp_http_authorize(struct bp_http_req *req, struct bp_error *err) {
    const struct bp_http_options *o = &req->http->o;

    if (!o->authorize || req->route->access == BP_HTTP_PUBLIC)
        return 0;
    return o->authorize(o->ctx, req, req->route->access, &req->reply, err);
}

void bp_http_refuse_with(struct bp_http_req *req, int status, int r, struct bp_error *err) {
    if (status == 0 && err->text[0] == '\0')
        (void) bp_fail(err, r, "%s", bp_strerror(r));
    bp_http_reply_problem(&req->reply, status ? status : bp_http_status(r), err);
}

/* Worker thread. */
static void answer(struct bp_http_req *req) {
    bool begun = req->ops && req->ops->begin; /* it was let in then */
    struct bp_error err = { 0 };
    int status = 0, r = 0;

    if (begun)
        r = bp_http_body_last(req, &err);
    else
        status = bp_http_authorize(req, &err);
    if (status == 0 && r == 0)
        r = req->route->handler(req, &req->reply, &err);
    if (status != 0 || r < 0)
        bp_http_refuse_with(req, status, r, &err);
    req->sink = NULL; /* the handler has ended it, or it was aborted */
    bp_http_reply_build(req);
    req->state = BP_REQ_READY;
}

static void work(struct bp_queue *queue) {
    struct bp_http_req *req;

    while (bp_queue_take(queue, &req, BP_QUEUE_FOREVER) == 0) {
        struct MHD_Connection *mhd = req->mhd;

        if (req->state == BP_REQ_QUEUED)
            answer(req);
        else
            bp_http_body_work(req);
        MHD_resume_connection(mhd); /* from here on it is the loop's */
    }
}

static void *work_short(void *arg) {
    work(((struct bp_http *) arg)->work);
    return NULL;
}

static void *work_long(void *arg) {
    work(((struct bp_http *) arg)->body_work);
    return NULL;
}

static void on_log(void *cls, const char *fmt, va_list ap) BP_PRINTF(2, 0);
static void on_log(void *cls, const char *fmt, va_list ap) {
    char text[300];
    int n;

    (void) cls;
    n = vsnprintf(text, sizeof text, fmt, ap);
    if (n > 0 && n < (int) sizeof text && text[n - 1] == '\n')
        text[n - 1] = '\0';
    bp_log(BP_LOG_DEBUG, "libmicrohttpd says", BP_F_TEXT("text", text));
}

/* Targets are decoded by us. */
static size_t on_unescape(void *cls, struct MHD_Connection *mhd, char *s) {
    (void) cls;
    (void) mhd;
    return strlen(s);
}

static int start_loops(struct bp_http *h, struct bp_error *err) {
    const struct bp_http_options *o = &h->o;
    unsigned limit = (o->max_connections + o->max_connections / 8 + 8) * o->loops;
    size_t pool = o->nbodies > 0 ? BP_HTTP_LONG_POOL_BYTES : BP_HTTP_POOL_BYTES;
    sigset_t all, old;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the main thread */
    h->mhd = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_USE_ERROR_LOG |
            MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE,
        0, NULL, NULL, on_access, h,                                              /**/
        MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,                                 /**/
        MHD_OPTION_STRICT_FOR_CLIENT, 1,                                          /**/
        MHD_OPTION_THREAD_POOL_SIZE, o->loops > 1 ? o->loops : 0,                 /**/
        MHD_OPTION_CONNECTION_LIMIT, limit,                                       /**/
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) (o->idle_timeout / BP_SEC) + 1, /**/
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool,                                 /**/
        MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL,                          /**/
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, h,                                   /**/
        MHD_OPTION_NOTIFY_CONNECTION, bp_http_conn_notify, h,                     /**/
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,                          /**/
        MHD_OPTION_END);
    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
    return h->mhd ? 0
                  : bp_fail(err, -EAGAIN, "cannot start the HTTP server: %s", bp_strerror(errno));
}

static int start_threads(const char *name, void *(*fn)(void *), struct bp_http *h, unsigned n,
                         pthread_t **ret, unsigned *ret_n, struct bp_error *err) {
    *ret = calloc(n, sizeof **ret);
    if (!*ret)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (; *ret_n < n; (*ret_n)++) {
        int r = bp_thread_start(name, fn, h, &(*ret)[*ret_n]);

        if (r < 0)
            return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    }
    return 0;
}

static int start_workers(struct bp_http *h, struct bp_error *err) {
    const struct bp_http_options *o = &h->o;
    int r;

    h->work = bp_queue_new(sizeof(struct bp_http_req *), o->max_queued);
    if (o->nbodies > 0) /* room for every connection: a piece is never refused */
        h->body_work =
            bp_queue_new(sizeof(struct bp_http_req *), 2 * (size_t) o->max_connections + 64);
    if (!h->work || (o->nbodies > 0 && !h->body_work))
        return bp_fail(err, -ENOMEM, "out of memory");
    r = start_threads("http-work", work_short, h, o->workers, &h->workers, &h->nworkers, err);
    if (r == 0 && h->body_work)
        r = start_threads("http-body", work_long, h, o->body_workers, &h->body_workers,
                          &h->nbody_workers, err);
    return r;
}

static void set_defaults(struct bp_http_options *o) {
    o->loops = o->loops ? o->loops : 1;
    o->workers = o->workers ? o->workers : 4;
    o->max_queued = o->max_queued ? o->max_queued : 256;
    o->max_body_bytes = o->max_body_bytes ? o->max_body_bytes : (size_t) 1 << 20;
    o->max_connections = o->max_connections ? o->max_connections : 1024;
    o->max_per_peer = o->max_per_peer ? o->max_per_peer : 64;
    o->head_timeout = o->head_timeout ? o->head_timeout : 10 * BP_SEC;
    o->idle_timeout = o->idle_timeout ? o->idle_timeout : 30 * BP_SEC;
    o->body_timeout = o->body_timeout ? o->body_timeout : 60 * BP_SEC;
    o->body_workers = o->body_workers ? o->body_workers : 8;
    o->max_bodies = o->max_bodies ? o->max_bodies : 128;
}

static int listen_all(struct bp_http *h, struct bp_error *err) {
    for (const char *const *text = h->o.listen; text && *text; text++) {
        int r;

        if (h->nlisteners == BP_HTTP_MAX_LISTENERS)
            return bp_fail(err, -EINVAL, "more than %d addresses to listen on",
                           BP_HTTP_MAX_LISTENERS);
        r = bp_http_listen(*text, &h->listeners[h->nlisteners], err);
        if (r < 0)
            return r;
        h->nlisteners++;
    }
    return h->nlisteners > 0 ? 0 : bp_fail(err, -EINVAL, "no address to listen on");
}

int bp_http_open(const struct bp_http_options *options, struct bp_http **ret,
                 struct bp_error *err) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = calloc(1, sizeof *h);
    pthread_condattr_t attr;
    int r = 0;

    if (!h)
        return bp_fail(err, -ENOMEM, "out of memory");
    h->o = *options;
    set_defaults(&h->o);
    bp_mutex_init(&h->conns.lock);
    bp_mutex_init(&h->streams_lock);
    (void) pthread_condattr_init(&attr);
    (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&h->conns.empty, &attr);
    (void) pthread_condattr_destroy(&attr);
    h->epoll_fd = h->wake_fd = -1;

    for (size_t i = 0; i < h->o.nroutes && r == 0; i++)
        r = bp_http_pattern_check(h->o.routes[i].pattern, err);
    if (r == 0)
        r = listen_all(h, err);
    if (r == 0)
        r = start_workers(h, err);
    if (r == 0)
        r = start_loops(h, err);
    if (r < 0)
        return r;
    r = bp_http_accept_start(h);
    if (r < 0)
        return bp_fail(err, r, "cannot start to take connections: %s", bp_strerror(r));

    *ret = BP_TAKE_PTR(h);
    return 0;
}

const char *bp_http_address(const struct bp_http *h, size_t i) {
    return i < h->nlisteners ? h->listeners[i].text : NULL;
}

unsigned bp_http_drain(struct bp_http *h, bp_ns_t max) {
    __atomic_store_n(&h->draining, true, __ATOMIC_RELEASE);
    (void) eventfd_write(h->wake_fd, 1);
    bp_http_conns_no_more(h);
    bp_http_streams_end(h);
    if (bp_http_conns_wait(h, bp_mono_ns() + max) == 0)
        return 0;
    return bp_http_conns_cut(h);
}

void bp_http_close(struct bp_http *h) {
    if (!h)
        return;
    bp_http_accept_stop(h);
    if (h->mhd) {
        __atomic_store_n(&h->draining, true, __ATOMIC_RELEASE);
        (void) bp_http_conns_cut(h);
        bp_http_streams_end(h);
    }
    /* a suspended connection must not meet the end of its loop: workers first */
    if (h->work)
        bp_queue_close(h->work);
    if (h->body_work)
        bp_queue_close(h->body_work);
    for (unsigned i = 0; i < h->nworkers; i++)
        (void) pthread_join(h->workers[i], NULL);
    for (unsigned i = 0; i < h->nbody_workers; i++)
        (void) pthread_join(h->body_workers[i], NULL);
    if (h->mhd)
        MHD_stop_daemon(h->mhd);
    bp_http_conns_done(h);
    free(h->workers);
    free(h->body_workers);
    bp_queue_free(h->work);
    bp_queue_free(h->body_work);
    (void) pthread_cond_destroy(&h->conns.empty);
    bp_mutex_done(&h->streams_lock);
    bp_mutex_done(&h->conns.lock);
    free(h);
}
