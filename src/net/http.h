#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"

/* An HTTP/1.1 server: a table of routes and handlers that may take their time.
 *
 * Handlers run on a pool of workers, several at once, never on the threads that move bytes; one
 * request is one call. TLS and public networks are the business of a proxy in front. What a handler
 * gets has been checked: the head is well formed, Host is one of ours, a request that changes
 * something comes from no foreign page, the body is whole and below the limit. HEAD, OPTIONS, 404,
 * 405, conditional requests and ranges are answered here. */
struct bp_http;
struct bp_http_req;
struct bp_http_reply;
struct bp_http_stream;
struct bp_http_upgrade;

/* Who may call a route; `authorize` of the options judges. */
enum bp_http_access {
    BP_HTTP_PUBLIC,
    BP_HTTP_VIEWER,
    BP_HTTP_OPERATOR,
    BP_HTTP_ADMIN,
    BP_HTTP_ACCESS_COUNT_
};

/** "public", "viewer", "operator", "admin". */
const char *bp_http_access_text(enum bp_http_access access);

/**
 * Answers a request. Worker thread.
 *
 * @param req    borrowed for the call
 * @param reply  to be filled by one of bp_http_reply_*(); the last call counts, none = 204
 * @param err    filled on failure
 * @return 0, or a negative code: `err` is then sent as problem+json with the status of the error
 *         table, whatever `reply` holds
 */
typedef int (*bp_http_handler)(struct bp_http_req *req, struct bp_http_reply *reply,
                               struct bp_error *err);

/* One row of the table. Patterns are made of segments: text, ":name" for any one segment that is
 * not empty, and as the last one "*name" for whatever follows. The first row that fits is taken, so
 * text stands before ":name". A GET row answers HEAD too. */
struct bp_http_route {
    const char *method;  /* "GET" */
    const char *pattern; /* "/api/v1/sessions/:id/stop" */
    bp_http_handler handler;
    enum bp_http_access access;
    const char *summary; /* one sentence, for the API's description */
};

/* A body that is too long for memory comes in pieces. What is called here and the handler itself
 * run on threads of their own (`body_workers`), which may wait for a disk without keeping other
 * requests waiting; for one request one call after the other, each seeing what the one before
 * wrote. While a piece is worked on nothing more is read from its connection. */
struct bp_http_body_ops {
    bp_http_handler handler; /* routes with this handler take their body so; it is called at the
                                end, when data() has had all of it. bp_http_body() is empty then */
    uint64_t max_bytes;      /* by Content-Length, else 413; a body without a length gets 411 */
    /**
     * The head is there and the caller was let in; nothing of the body has been read. "100
     * Continue" is sent to who waits for it once this returned 0.
     *
     * @param reply     may get headers; used only on failure
     * @param ret_body  for what follows, and bp_http_body_ctx(); not NULL
     * @return 0, or a negative code as a handler's: the request is refused with it
     *
     * NULL: the body comes whole, below max_body_bytes, as everywhere else; only the handler runs
     * on the threads that may wait long.
     */
    int (*begin)(struct bp_http_req *req, struct bp_http_reply *reply, void **ret_body,
                 struct bp_error *err);
    /** The next n bytes, 1 to 128 KiB. @return 0, or a negative code: abort() is called, the rest
     * of the body is read and forgotten, and the request is refused with it */
    int (*data)(void *body, const void *p, size_t n, struct bp_error *err);
    /** After begin(), instead of the handler: the client broke off, or data() failed. May run on a
     *  thread that must not wait. */
    void (*abort)(void *body);
};

enum { BP_HTTP_MAX_PARAMS = 8, BP_HTTP_MAX_QUERY = 64, BP_HTTP_MAX_SEGMENTS = 32 };

/* Everything is borrowed until bp_http_close(); zero means the default in brackets. */
struct bp_http_options {
    const char *const *listen; /* addresses as net/addr.h reads them; NULL at the end */
    const struct bp_http_route *routes;
    size_t nroutes;
    /* Answers GET and HEAD of paths that no route has; NULL: 404. Its pattern is not looked at. */
    const struct bp_http_route *fallback;
    /* A path below which a proxy shows us, "/robot7", without a slash at its end: cut off from
     * what is asked for. Requests without it are answered as well. NULL or "": none. */
    const char *base_path;
    const struct bp_http_body_ops *bodies; /* bodies in pieces, by handler; may be NULL */
    size_t nbodies;
    void *ctx; /* for bp_http_ctx() */

    /* Names besides the loopback ones by which browsers may reach us: "robot.local",
     * "robot.example.com"; NULL at the end. A name covers every port. An address literal is one of
     * ours when the connection was made to it. */
    const char *const *hosts;
    /* Origins besides our own whose pages may read what is answered, and change something:
     * "https://console.example.com"; NULL at the end. */
    const char *const *origins;

    /**
     * Called before the handler, on its thread, for every route that is not public; NULL lets
     * everybody in. Tells who it is by bp_http_set_user().
     *
     * @return 0, or the status to refuse with (401, 403), `err` saying why; `reply` may get headers
     *         such as WWW-Authenticate
     */
    int (*authorize)(void *ctx, struct bp_http_req *req, enum bp_http_access need,
                     struct bp_http_reply *reply, struct bp_error *err);

    unsigned loops;           /* threads that move bytes, one epoll each [1] */
    unsigned workers;         /* threads that run handlers [4] */
    unsigned max_queued;      /* requests waiting for a worker, then 503 [256] */
    size_t max_body_bytes;    /* of a request, then 413 [1 MiB] */
    unsigned max_connections; /* then the one idle longest makes room, else 503 [1024] */
    unsigned max_per_peer;    /* of one address (/64 of IPv6), then 503 [64] */
    bool limit_loopback;   /* count this machine as a peer too: behind a proxy all come from it */
    bp_ns_t head_timeout;  /* a request's head must be complete so long after connecting [10 s] */
    bp_ns_t idle_timeout;  /* nothing moves: waiting for a request, a body, a reader [30 s] */
    bp_ns_t body_timeout;  /* a request's body must be complete so long after its head; one in
                              pieces:  the next 128 KiB of it [60 s] */
    unsigned body_workers; /* threads for routes with `bodies`, if there are any [8] */
    unsigned max_bodies;   /* bodies in pieces at once, 128 KiB each, then 503 [128] */
};

/**
 * Binds, starts the threads and answers from then on.
 *
 * A unix socket that nobody listens on any more is replaced; it gets mode 0660 and is removed at
 * the end. SIGPIPE must be ignored by the process.
 *
 * @param ret  owned by the caller, release with bp_http_close()
 * @return 0, BP_EBUSY when another program listens there, -EADDRINUSE, -EACCES, -EINVAL for an
 *         address or a route that cannot be read, -ENOMEM, -EAGAIN
 */
BP_MUST_CHECK int bp_http_open(const struct bp_http_options *options, struct bp_http **ret,
                               struct bp_error *err);

/** The i-th address listened on, with the port the system chose; NULL behind the last. */
const char *bp_http_address(const struct bp_http *h, size_t i);

/**
 * Takes no new connections, lets what runs finish, ends streams, and cuts what is still there when
 * `max` has passed. Replies say "Connection: close" from now on.
 *
 * @return connections that had to be cut
 */
unsigned bp_http_drain(struct bp_http *h, bp_ns_t max);

/** Cuts every connection, waits for handlers at work, frees. Upgraded connections must have been
 *  closed by their owner. Takes NULL. */
void bp_http_close(struct bp_http *h);
BP_DEFINE_CLEANUP(struct bp_http, bp_http_close)

/* What all servers of the process did, for bp_metrics_render(). */
extern const struct bp_metric bp_http_metrics[];
extern const size_t bp_http_metrics_count;

/* --- The request. Everything returned is borrowed until the handler returns. --- */

void *bp_http_ctx(const struct bp_http_req *req);
const struct bp_http_route *bp_http_route(const struct bp_http_req *req);
const char *bp_http_method(const struct bp_http_req *req);
/** "HTTP/1.1", "HTTP/1.0". */
const char *bp_http_version(const struct bp_http_req *req);
/** As sent, not decoded, without the query. */
const char *bp_http_path(const struct bp_http_req *req);
/** A parameter of the pattern, decoded; valid UTF-8 without control characters, but it may hold '/'
 *  where the client wrote %2F. NULL when the pattern has no such name. */
const char *bp_http_param(const struct bp_http_req *req, const char *name);
/** The first value of that name in the query, decoded; "" for a name alone; NULL when absent. */
const char *bp_http_query(const struct bp_http_req *req, const char *name);
/** The i-th pair of the query; false behind the last. */
bool bp_http_query_at(const struct bp_http_req *req, size_t i, const char **ret_name,
                      const char **ret_value);
/** A header of the request, or NULL. */
const char *bp_http_header(const struct bp_http_req *req, const char *name);
/** A cookie of the request, or NULL; valid until the next call. */
const char *bp_http_cookie(struct bp_http_req *req, const char *name);
/** The body; empty when there is none. */
struct bp_str bp_http_body(const struct bp_http_req *req);
/** What begin() of bp_http_body_ops returned, in the handler. */
void *bp_http_body_ctx(const struct bp_http_req *req);
/** The Content-Length; 0 without. For begin(). */
uint64_t bp_http_body_length(const struct bp_http_req *req);
/**
 * The body as JSON; duplicate keys are refused, the error names line and column.
 *
 * @param ret  owned by the caller; NULL for an empty body
 * @return 0, BP_EUSAGE when it is no JSON
 */
BP_MUST_CHECK int bp_http_json(const struct bp_http_req *req, json_t **ret, struct bp_error *err);
/** "192.0.2.7:51234", "unix". */
const char *bp_http_peer(const struct bp_http_req *req);
/** It came by a unix socket, so the file's mode has judged the caller already. */
bool bp_http_by_unix(const struct bp_http_req *req);
/** It came from this machine, by a unix socket or from a loopback address, and was meant for it:
 * its Host is a loopback one, too. A proxy here may still have passed it on for somebody else. */
bool bp_http_is_local(const struct bp_http_req *req);
/** The server is draining: handlers that take long should come to an end. */
bool bp_http_draining(const struct bp_http_req *req);
/** Remembers who is asking, at most 63 bytes. For `authorize`. */
void bp_http_set_user(struct bp_http_req *req, const char *user);
/** "" when nobody was told. */
const char *bp_http_user(const struct bp_http_req *req);

/* --- The reply. Headers no-store, nosniff, CSP and so on are added unless the handler set them.
 * --- */

/** Adds a header. A value that cannot be sent (line breaks) turns the reply into a 500. */
void bp_http_reply_header(struct bp_http_reply *reply, const char *name, const char *value);
/** @param json  taken over; NULL (out of memory) becomes a 500 */
void bp_http_reply_json(struct bp_http_reply *reply, int status, json_t *json);
/** @param body  its bytes are taken over and it is empty afterwards */
void bp_http_reply_buf(struct bp_http_reply *reply, int status, const char *type,
                       struct bp_buf *body);
/** @param p  stays as it is for the life of the process */
void bp_http_reply_static(struct bp_http_reply *reply, int status, const char *type, const void *p,
                          size_t n);
/** No body: 204, 304, or a status that says it all. */
void bp_http_reply_empty(struct bp_http_reply *reply, int status);
/** application/problem+json (RFC 9457): title by status, detail = the text of `err`. */
void bp_http_reply_problem(struct bp_http_reply *reply, int status, const struct bp_error *err);
/**
 * The first `size` bytes of a file; ranges (RFC 9110 §14, one range) and If-None-Match are
 * answered.
 *
 * @param fd    taken over; the file must not shrink while it is sent
 * @param etag  with its quotes, or NULL
 */
void bp_http_reply_file(struct bp_http_reply *reply, int fd, uint64_t size, const char *type,
                        const char *etag);

struct bp_http_stream_ops {
    /**
     * Next bytes of a reply whose length is not known. Loop thread: must not wait.
     *
     * @return 1..max bytes written to p; 0 at the end; -EAGAIN: nothing now, ask again after
     *         bp_http_stream_wake(); any other negative code cuts the connection
     */
    ssize_t (*read)(void *ctx, char *p, size_t max);
    /** Called once, when the reply has ended for whatever reason; any thread of the server. */
    void (*done)(void *ctx);
};

/**
 * A reply in pieces, such as server-sent events. A client that closes ends it; one whose machine
 * has gone is noticed by writing only, so send something now and then.
 *
 * @param ctx  the ops'; lives until `done` was called
 * @param ret  may be NULL, else a reference for bp_http_stream_wake(), owned by the caller, release
 *             with bp_http_stream_unref(); NULL when out of memory
 */
void bp_http_reply_stream(struct bp_http_reply *reply, int status, const char *type,
                          const struct bp_http_stream_ops *ops, void *ctx,
                          struct bp_http_stream **ret);
/** There is something to read. Any thread, any time; nothing happens when it has ended. */
void bp_http_stream_wake(struct bp_http_stream *s);
void bp_http_stream_unref(struct bp_http_stream *s);

/**
 * Answers 101 and hands the connection over (WebSocket). Origin was checked.
 *
 * @param protocol  the Upgrade header: "websocket"
 * @param take      called on a loop thread when the head is sent: must not wait. `fd` does not
 * block and is borrowed until bp_http_upgrade_close(u); `early` are bytes the client has sent
 * already, borrowed for the call.
 * @param gone      called instead when the connection broke before; NULL if of no interest
 */
void bp_http_reply_upgrade(struct bp_http_reply *reply, const char *protocol,
                           void (*take)(void *ctx, int fd, struct bp_str early,
                                        struct bp_http_upgrade *u),
                           void (*gone)(void *ctx), void *ctx);
/** Ends an upgraded connection. Any thread, once. While draining `fd` is shut down at the deadline,
 * so that its owner learns of it. */
void bp_http_upgrade_close(struct bp_http_upgrade *u);
