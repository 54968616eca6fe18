#include <errno.h>
#include <fcntl.h>
#include <utlist.h>

#include "net/http-priv.h"

/* A stream is read by its loop thread until there is nothing: then the connection is parked
 * (suspended), and whoever has news wakes it. A wake between the empty read and the parking must
 * not get lost:
 *
 * RUNNING → WOKEN    woken while not parked: the loop reads once more before it parks
 * WOKEN   → RUNNING  the loop has seen it
 * RUNNING → PARKED   suspended
 * PARKED  → RUNNING  woken: resumed
 * any     → GONE     libmicrohttpd has dropped the response */
struct bp_http_stream {
    struct bp_http_stream *prev, *next; /* [http.streams_lock] */
    struct bp_mutex lock;               /* libmicrohttpd's locks may be taken under it */
    enum stream_state { RUNNING, WOKEN, PARKED, GONE } state; /* [lock] */
    unsigned refs;                                            /* [atomic] */
    bool told;                  /* [http.streams_lock] that the server is draining */
    bool left;                  /* [atomic] the client has hung up */
    struct bp_conn *conn;       /* until GONE */
    struct bp_http *http;       /* outlives the response */
    struct MHD_Connection *mhd; /* until GONE */
    const struct bp_http_stream_ops *ops;
    void *ctx;
};

static struct bp_http_stream *ref(struct bp_http_stream *s) {
    (void) __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void bp_http_stream_unref(struct bp_http_stream *s) {
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    bp_mutex_done(&s->lock);
    free(s);
}

void bp_http_stream_drop(struct bp_http_stream *s) {
    if (!s)
        return;
    bp_mutex_lock(&s->lock);
    s->state = GONE;
    bp_mutex_unlock(&s->lock);
    s->ops->done(s->ctx);
    bp_http_stream_unref(s);
}

void bp_http_reply_stream(struct bp_http_reply *reply, int status, const char *type,
                          const struct bp_http_stream_ops *ops, void *ctx,
                          struct bp_http_stream **ret) {
    struct bp_http_stream *s = calloc(1, sizeof *s);

    bp_http_reply_empty(reply, status);
    reply->kind = BP_REPLY_STREAM;
    (void) snprintf(reply->type, sizeof reply->type, "%s", type);
    if (s) {
        bp_mutex_init(&s->lock);
        s->refs = 1;
        s->ops = ops;
        s->ctx = ctx;
    } else {
        ops->done(ctx);
    }
    reply->stream = s;
    if (ret)
        *ret = s ? ref(s) : NULL;
}

void bp_http_stream_wake(struct bp_http_stream *s) {
    bool parked;

    bp_mutex_lock(&s->lock);
    parked = s->state == PARKED;
    if (parked)
        s->state = RUNNING;
    else if (s->state == RUNNING)
        s->state = WOKEN;
    bp_mutex_unlock(&s->lock);
    if (parked) /* nobody else resumes it, and it cannot go before */
        MHD_resume_connection(s->mhd);
}

/* Parks the connection unless news came meanwhile. @return false: read again */
static bool park(struct bp_http_stream *s) {
    bool woken;

    bp_mutex_lock(&s->lock);
    woken = s->state == WOKEN;
    s->state = woken ? RUNNING : PARKED;
    if (!woken)
        MHD_suspend_connection(s->mhd);
    bp_mutex_unlock(&s->lock);
    return !woken;
}

static ssize_t read_some(void *cls, uint64_t pos, char *p, size_t max) {
    struct bp_http_stream *s = cls;

    (void) pos;
    for (;;) {
        ssize_t n;

        if (__atomic_load_n(&s->left, __ATOMIC_ACQUIRE))
            return MHD_CONTENT_READER_END_WITH_ERROR;
        n = bp_http_is_draining(s->http) ? 0 : s->ops->read(s->ctx, p, max);
        if (n > 0) {
            bp_counter_add(&bp_http_stats.sent_bytes, (uint64_t) n);
            return n;
        }
        if (n == 0)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (n != -EAGAIN)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (park(s))
            return 0;
    }
}

static void ended(void *cls) {
    struct bp_http_stream *s = cls;

    bp_mutex_lock(&s->http->streams_lock);
    DL_DELETE(s->http->streams, s);
    bp_mutex_unlock(&s->http->streams_lock);
    bp_http_stream_drop(s);
}

struct MHD_Response *bp_http_stream_response(struct bp_http_req *req) {
    struct bp_http_stream *s = req->reply.stream;
    struct MHD_Response *r =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_some, s, ended);

    if (!r)
        return NULL;
    req->reply.stream = NULL;
    s->http = req->http;
    s->mhd = req->mhd;
    s->conn = req->conn;
    bp_mutex_lock(&s->http->streams_lock);
    DL_APPEND(s->http->streams, s);
    bp_mutex_unlock(&s->http->streams_lock);
    if (bp_http_conn_hung_up(req->http,
                             req->conn)) /* asked after it is in the list: none is missed */
        __atomic_store_n(&s->left, true, __ATOMIC_RELEASE);
    return r;
}

void bp_http_stream_hung_up(struct bp_http *h, const struct bp_conn *conn) {
    struct bp_http_stream *s;

    bp_mutex_lock(&h->streams_lock);
    DL_FOREACH(h->streams, s) {
        if (s->conn == conn)
            break;
    }
    if (s)
        (void) ref(s);
    bp_mutex_unlock(&h->streams_lock);
    if (!s)
        return;
    __atomic_store_n(&s->left, true, __ATOMIC_RELEASE);
    bp_http_stream_wake(s);
    bp_http_stream_unref(s);
}

/* A stream that was not told yet that the server is draining, as a reference. */
static struct bp_http_stream *next_untold(struct bp_http *h) {
    struct bp_http_stream *s;

    bp_mutex_lock(&h->streams_lock);
    DL_FOREACH(h->streams, s) {
        if (!s->told)
            break;
    }
    if (s) {
        s->told = true;
        (void) ref(s);
    }
    bp_mutex_unlock(&h->streams_lock);
    return s;
}

void bp_http_streams_end(struct bp_http *h) {
    struct bp_http_stream *s;

    while ((s = next_untold(h)) != NULL) {
        bp_http_stream_wake(s);
        bp_http_stream_unref(s);
    }
}

/* libmicrohttpd would keep its memory for a connection (a pool of 16 KiB) as long as that lives. So
 * the descriptor is doubled and libmicrohttpd let go at once; our own entry stays, for the limits
 * and for draining. */
struct bp_http_upgrade {
    struct bp_http *http;
    struct bp_conn *conn;
    struct MHD_UpgradeResponseHandle *urh; /* when the descriptor could not be doubled, else NULL */
};

/* Loop thread: the head of the 101 is sent. */
static void take_over(void *cls, struct MHD_Connection *mhd, void *req_cls, const char *early,
                      size_t n, MHD_socket fd, struct MHD_UpgradeResponseHandle *urh) {
    struct bp_http_req *req = req_cls;
    struct bp_http_upgrade *u = req->reply.upgrade;
    int own = req->conn ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

    (void) cls;
    (void) mhd;
    (void) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    req->reply.upgrade = NULL;
    req->reply.kind = BP_REPLY_NONE; /* nobody is to be told that it is gone */
    bp_http_conn_phase(req->http, req->conn, BP_CONN_UPGRADED);
    *u = (struct bp_http_upgrade){ req->http, req->conn, own < 0 ? urh : NULL };
    if (own >= 0)
        bp_http_conn_detach(req->http, req->conn, own);
    req->reply.take(req->reply.ctx, own >= 0 ? own : fd, (struct bp_str){ early, n }, u);
    if (own >= 0)
        (void) MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
}

struct MHD_Response *bp_http_upgrade_response(struct bp_http_req *req) {
    req->reply.upgrade = calloc(1, sizeof *req->reply.upgrade);
    if (!req->reply.upgrade)
        return NULL;
    return MHD_create_response_for_upgrade(take_over, NULL);
}

void bp_http_upgrade_close(struct bp_http_upgrade *u) {
    if (u->urh)
        (void) MHD_upgrade_action(u->urh, MHD_UPGRADE_ACTION_CLOSE);
    else
        bp_http_conn_leave(u->http, u->conn);
    free(u);
}
