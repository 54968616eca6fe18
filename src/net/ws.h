#pragma once

#include "net/fanout.h"
#include "net/http.h"
#include "net/ws-read.h"

/* WebSockets (RFC 6455): taken over from the HTTP server, read by the loop their peer belongs to,
 * written from what the peer has to take. No extensions. */
struct bp_ws_server;
struct bp_ws;

/* Called on the loop of the connection: must not wait. */
struct bp_ws_ops {
    /** It is open; `data` is what bp_ws_accept() was given. */
    void (*open)(struct bp_ws *ws, void *data);
    /** A whole message; text is valid UTF-8. `body` is borrowed for the call. */
    void (*message)(struct bp_ws *ws, void *data, enum bp_ws_opcode opcode, struct bp_str body);
    /** The last call: the connection is gone, or never came to be (then nothing before it).
     *  @param code  it was closed with, 1006 when it broke */
    void (*end)(void *data, unsigned code);
    /** As of struct bp_peer_ops; may be NULL. */
    struct bp_frame *(*lost)(struct bp_ws *ws, void *data, struct bp_channel *ch, uint64_t n);
    /** About once a second: may it stay? May be NULL.
     *  @return 0, or the code it is closed with, *ret_reason as of bp_ws_shut() */
    unsigned (*look)(struct bp_ws *ws, void *data, const char **ret_reason);
};

/* Zero means the default in brackets. */
struct bp_ws_options {
    struct bp_fanout *fanout; /* outlives the server */
    const struct bp_ws_ops *ops;
    size_t max_message_bytes; /* [64 KiB] */
    unsigned max_fragments;   /* [64] */
    unsigned max_connections; /* then 503 [1024] */
    size_t max_own_bytes;     /* waiting of bp_peer_put(), then 1013 [1 MiB] */
    bp_ns_t ping_interval;    /* silent for so long: pinged [20 s] */
    bp_ns_t pong_timeout;     /* then cut [20 s] */
    bp_ns_t write_timeout;    /* takes nothing for so long: cut [30 s] */
    bp_ns_t message_timeout;  /* a message begun must be whole, then 1008 [30 s] */
    bp_ns_t close_timeout;    /* for the other side to close, then cut [2 s] */
};

/** @return 0, -ENOMEM */
BP_MUST_CHECK int bp_ws_server_open(const struct bp_ws_options *o, struct bp_ws_server **ret,
                                    struct bp_error *err);
/** Closes all connections with 1001 and takes no more; returns when they have gone, or `max` later,
 *  when the rest is cut. Before bp_http_drain(). */
void bp_ws_server_stop(struct bp_ws_server *s, bp_ns_t max);
/** After bp_http_close(). Takes NULL. */
void bp_ws_server_close(struct bp_ws_server *s);

/** Does the request ask for a WebSocket? */
bool bp_ws_is_asked(const struct bp_http_req *req);
/**
 * Answers a handshake: 101, or a refusal (400, 426 with the version we know, 503).
 *
 * @param data  handed to the ops; they end with end(data), also when the handshake is refused
 * @return 0
 */
int bp_ws_accept(struct bp_ws_server *s, struct bp_http_req *req, struct bp_http_reply *reply,
                 void *data);

/* --- loop thread of the connection --- */

/** Where it sends from: bp_feed_open(), bp_peer_put() … */
struct bp_peer *bp_ws_peer(struct bp_ws *ws);
/** Sends text to this one alone. */
void bp_ws_send(struct bp_ws *ws, const char *text, size_t n);
/** Begins to close. @param reason  at most 123 bytes of UTF-8 */
void bp_ws_shut(struct bp_ws *ws, unsigned code, const char *reason);
