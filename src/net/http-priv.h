#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/mutex.h"
#include "base/queue.h"
#include "net/addr.h"
#include "net/http-text.h"
#include "net/http.h"

/* What the server's files share.
 *
 * Threads: `http-accept` takes connections and cuts those past their deadline; libmicrohttpd's
 * loops move bytes; `http-work` run handlers. A request is touched by one of them at a time: its
 * loop suspends the connection and queues the request, a worker answers into it and resumes the
 * connection, the loop sends.
 *
 * Lock order: stream.lock and conns.lock are leaves of ours; libmicrohttpd's own locks may be taken
 * under stream.lock, and conns.lock under libmicrohttpd's. So nothing of libmicrohttpd is called
 * under conns.lock. */

enum {
    BP_HTTP_MAX_LISTENERS = 8,
    BP_HTTP_MAX_HEADERS = 16,
    BP_HTTP_POOL_BYTES = 16 * 1024,
    /* With long bodies: half of it is what one recv() may bring. From 32 KiB on the pool is mapped,
       so that a connection takes what it has used. */
    BP_HTTP_LONG_POOL_BYTES = 64 * 1024,
};

struct bp_http_listener {
    int fd;
    struct bp_addr addr;
    char text[BP_ADDR_TEXT];
    dev_t dev; /* of a unix socket we made, to remove no other's */
    ino_t ino;
};

/** Opens all addresses of a list. @return as bp_http_open() */
BP_MUST_CHECK int bp_http_listen(const char *text, struct bp_http_listener *ret,
                                 struct bp_error *err);
/** Closes it; removes our unix socket. */
void bp_http_unlisten(struct bp_http_listener *l);

/* HEAD: waits for a request or is in its head. BODY: reads a body. BUSY: at a worker, or replying.
 * UPGRADED: lent to somebody.
 * HEAD → BODY | BUSY, BODY → BUSY, BUSY → HEAD | UPGRADED; any → gone. Set by the loop thread. */
enum bp_conn_phase { BP_CONN_HEAD, BP_CONN_BODY, BP_CONN_BUSY, BP_CONN_UPGRADED };

struct bp_conn {
    struct bp_conn *prev, *next; /* [conns.lock] */
    uint64_t id;                 /* constant */
    int fd;                      /* constant; open while in the list and `started` */
    enum bp_conn_phase phase;    /* [conns.lock] */
    bool started;                /* [conns.lock] libmicrohttpd has taken it */
    bool cut;                    /* [conns.lock] shut down by us */
    bool detached;               /* [conns.lock] UPGRADED: libmicrohttpd has let go of it */
    bool released;               /* [conns.lock] detached, and one of both sides is done with it */
    bp_ns_t hung_up;             /* [conns.lock] when the client sent its last, mono, or 0 */
    bp_ns_t since;               /* [conns.lock] when the phase began, mono */
    bp_ns_t deadline;            /* [conns.lock] mono, 0 = none */
    bool by_unix;                /* constant, as all below */
    socklen_t peer_len;
    struct sockaddr_storage peer;
    char peer_text[BP_ADDR_TEXT];
};

struct bp_conns {
    struct bp_mutex lock; /* leaf */
    pthread_cond_t empty; /* the last connection went */
    struct bp_conn *list; /* [lock] */
    unsigned n;           /* [lock] */
};

enum bp_reply_kind {
    BP_REPLY_NONE,
    BP_REPLY_EMPTY,
    BP_REPLY_BUF,
    BP_REPLY_STATIC,
    BP_REPLY_FILE,
    BP_REPLY_STREAM,
    BP_REPLY_UPGRADE,
};

struct bp_http_reply {
    enum bp_reply_kind kind;
    int status;
    char type[96];
    struct {
        char *name, *value; /* owned */
    } headers[BP_HTTP_MAX_HEADERS];
    size_t nheaders;
    bool failed;                   /* out of memory or a bad header: becomes a 500 */
    struct bp_buf body;            /* BUF */
    const void *p;                 /* STATIC */
    uint64_t size;                 /* STATIC, FILE */
    int fd;                        /* FILE, owned */
    struct bp_http_stream *stream; /* STREAM, a reference */
    void (*take)(void *ctx, int fd, struct bp_str early, struct bp_http_upgrade *u); /* UPGRADE */
    void (*gone)(void *ctx);
    void *ctx;
    struct bp_http_upgrade *upgrade; /* owned until taken */
};

/* NEW: the head is being read. BODY: accepted, its body comes in. QUEUED: at a worker. READY: its
 * response waits for the loop. SENT: handed to libmicrohttpd. With a body in pieces: BEGIN at a
 * worker with its head, BEGUN back from there, PIECE at a worker with a piece.
 * NEW → BODY | BEGIN | SENT, BEGIN → BEGUN → BODY | SENT, BODY → PIECE | QUEUED | SENT, PIECE →
 * BODY, QUEUED → READY → SENT. */
enum bp_req_state {
    BP_REQ_NEW,
    BP_REQ_BEGIN,
    BP_REQ_BEGUN,
    BP_REQ_BODY,
    BP_REQ_PIECE,
    BP_REQ_QUEUED,
    BP_REQ_READY,
    BP_REQ_SENT
};

struct bp_http_req {
    struct bp_http *http;
    struct MHD_Connection *mhd;
    struct bp_conn *conn;
    enum bp_req_state state;
    bp_ns_t mono_start;
    struct bp_http_target target;
    int target_code; /* of reading the target */
    struct bp_error target_err;
    const char *method;    /* borrowed from libmicrohttpd, lives as long */
    const char *version;   /* as method */
    const char *authority; /* of Host or the target */
    const struct bp_http_route *route;
    struct bp_http_param params[BP_HTTP_MAX_PARAMS];
    size_t nparams;
    struct bp_buf body;                 /* all of it, or the piece that is being gathered */
    uint64_t length;                    /* Content-Length */
    uint64_t received;                  /* bytes of its body so far */
    uint64_t discarded;                 /* bytes of a body that is too long */
    const struct bp_http_body_ops *ops; /* of the route, or NULL */
    void *sink;                         /* what ops->begin() returned, until its end */
    bool counted;                       /* in http.bodies */
    bool broken;                        /* no worker for a piece: the connection must go */
    char *cookie;                       /* the last one asked for */
    char user[64];
    struct bp_http_reply reply;
    struct MHD_Response *response; /* owned */
    int status;
    uint64_t reply_bytes;
};

struct bp_http {
    struct bp_http_options o; /* defaults filled in */
    struct MHD_Daemon *mhd;
    struct bp_http_listener listeners[BP_HTTP_MAX_LISTENERS];
    size_t nlisteners; /* constant; their fds are closed by the accept thread */
    struct bp_conns conns;
    struct bp_queue *work; /* struct bp_http_req * */
    pthread_t *workers;
    unsigned nworkers;
    struct bp_queue *body_work; /* as work, for routes with `bodies`; NULL without */
    pthread_t *body_workers;
    unsigned nbody_workers;
    unsigned bodies; /* [atomic] in pieces, now */
    pthread_t acceptor;
    bool accepting;                 /* the thread was started */
    int epoll_fd;                   /* of the accept thread */
    int wake_fd;                    /* tells the accept thread to look at `stop` */
    bp_ns_t next_sweep;             /* [accept thread] mono */
    uint64_t next_id;               /* [atomic] of connections */
    bool stop;                      /* [atomic] */
    bool draining;                  /* [atomic] */
    struct bp_mutex streams_lock;   /* leaf */
    struct bp_http_stream *streams; /* [streams_lock] */
};

static inline bool bp_http_is_draining(const struct bp_http *h) {
    return __atomic_load_n(&h->draining, __ATOMIC_ACQUIRE);
}

/* --- http-conn.c --- */

/** Starts the accept thread. */
BP_MUST_CHECK int bp_http_accept_start(struct bp_http *h);
/** Ends it, which closes the listeners. May be called again. */
void bp_http_accept_stop(struct bp_http *h);
/** MHD_OPTION_NOTIFY_CONNECTION. */
void bp_http_conn_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                         enum MHD_ConnectionNotificationCode code);
/** Enters a phase, with the deadline that goes with it. Loop thread. */
void bp_http_conn_phase(struct bp_http *h, struct bp_conn *c, enum bp_conn_phase phase);
/** It lives on with a descriptor of its own, `fd`, when libmicrohttpd closes it: until
 *  bp_http_conn_leave(). Loop thread. */
void bp_http_conn_detach(struct bp_http *h, struct bp_conn *c, int fd);
/** The end of a detached one; closes its descriptor. Any thread. */
void bp_http_conn_leave(struct bp_http *h, struct bp_conn *c);
/** Has the client sent its last? */
bool bp_http_conn_hung_up(struct bp_http *h, const struct bp_conn *c);
/** Tells connections that wait for a request that there is no more to come. */
void bp_http_conns_no_more(struct bp_http *h);
/** Waits until all have gone or mono_until. @return how many are left */
unsigned bp_http_conns_wait(struct bp_http *h, bp_ns_t mono_until);
/** Shuts down what is left. @return how many */
unsigned bp_http_conns_cut(struct bp_http *h);

/** Forgets what libmicrohttpd never began with; it has been stopped. */
void bp_http_conns_done(struct bp_http *h);

/* --- http-reply.c --- */

void bp_http_reply_init(struct bp_http_reply *reply);
void bp_http_reply_done(struct bp_http_reply *reply);
/** Answers with a problem+json of `status` and one sentence. */
void bp_http_reply_refuse(struct bp_http_reply *reply, int status, const char *fmt, ...)
    BP_PRINTF(3, 4);
/** Makes req->response of req->reply: conditions, ranges, headers. Never fails: what cannot be made
 *  becomes a 500, or no response when even that cannot be had. Any thread. */
void bp_http_reply_build(struct bp_http_req *req);

/* --- http-stream.c --- */

/** A reply's reference goes: `done` is called. Takes NULL. */
void bp_http_stream_drop(struct bp_http_stream *s);
/** @return NULL when out of memory, as the next */
struct MHD_Response *bp_http_stream_response(struct bp_http_req *req);
struct MHD_Response *bp_http_upgrade_response(struct bp_http_req *req);
/** The client of a connection has hung up: its stream, if it has one, is broken off. `conn` is
 * compared only. */
void bp_http_stream_hung_up(struct bp_http *h, const struct bp_conn *conn);
/** Ends every stream. */
void bp_http_streams_end(struct bp_http *h);

/* --- http-head.c --- */

/**
 * Judges a request by its head.
 *
 * @param ret_framed  false: where the request ends is in doubt, the connection must go
 * @return 0, or the status to refuse with, the reply filled
 */
int bp_http_head_check(struct bp_http_req *req, bool *ret_framed);
/** Finds the route. @return as above; 204 and an Allow header for OPTIONS */
int bp_http_head_route(struct bp_http_req *req);
/** Does the head announce a body? */
bool bp_http_has_body(const struct bp_http_req *req);

/* --- http-body.c: bodies in pieces --- */

/** The row of `bodies` for a handler, or NULL. */
const struct bp_http_body_ops *bp_http_body_find(const struct bp_http_options *o,
                                                 bp_http_handler handler);
/** The longest body that any route takes. */
uint64_t bp_http_body_max(const struct bp_http_options *o);
/** May a request with a route come in with a body of its length? @return as bp_http_head_check() */
int bp_http_body_check(struct bp_http_req *req);
/** The head goes to a worker. Loop thread, as the next three. */
enum MHD_Result bp_http_body_begin(struct bp_http_req *req);
/** It is back: on with the body, or with the refusal. */
enum MHD_Result bp_http_body_begun(struct bp_http_req *req);
/** The next n bytes; *n = those not taken. */
enum MHD_Result bp_http_body_gather(struct bp_http_req *req, const char *p, size_t *n);
/** It has ended, perhaps early. */
void bp_http_body_done(struct bp_http_req *req);
/** Worker thread: begin(), or data() with a piece. */
void bp_http_body_work(struct bp_http_req *req);
/** Worker thread, before the handler: the last piece. @return 0, or the refusal's code */
int bp_http_body_last(struct bp_http_req *req, struct bp_error *err);

/* --- http.c --- */

/** Hands the response to libmicrohttpd. Loop thread. */
enum MHD_Result bp_http_send_response(struct bp_http_req *req);
/** Is it worth reading a body that nobody will look at, to keep the connection? */
bool bp_http_is_small_body(const struct bp_http_req *req);
/** Asks `authorize`. @return 0, or the status to refuse with */
int bp_http_authorize(struct bp_http_req *req, struct bp_error *err);
/** Answers with a problem: of `status`, or when that is 0 of the code r. */
void bp_http_refuse_with(struct bp_http_req *req, int status, int r, struct bp_error *err);

/* --- http-metrics.c --- */

struct bp_http_stats {
    struct bp_counter requests[5]; /* by class of status */
    struct bp_gauge in_flight;
    struct bp_gauge connections;
    struct bp_counter received_bytes, sent_bytes;
    struct bp_counter refused_full, refused_peer, refused_busy, refused_head;
    struct bp_counter cut_head, cut_body, cut_room;
    struct bp_histogram seconds;
};

extern struct bp_http_stats bp_http_stats;
/** Counts a request that ended. */
void bp_http_count(int status, bp_ns_t took, uint64_t received, uint64_t sent);
