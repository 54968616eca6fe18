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

enum { BP_HTTP_MAX_LISTENERS = 8, BP_HTTP_MAX_HEADERS = 16, BP_HTTP_POOL_BYTES = 16 * 1024 };

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
 * response waits for the loop. SENT: handed to libmicrohttpd. */
enum bp_req_state { BP_REQ_NEW, BP_REQ_BODY, BP_REQ_QUEUED, BP_REQ_READY, BP_REQ_SENT };

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
    const char *authority; /* of Host or the target */
    const struct bp_http_route *route;
    struct bp_http_param params[BP_HTTP_MAX_PARAMS];
    size_t nparams;
    struct bp_buf body;
    uint64_t discarded; /* bytes of a body that is too long */
    char *cookie;       /* the last one asked for */
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
