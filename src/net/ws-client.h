#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"
#include "net/frame.h"
#include "net/loop.h"

/* A WebSocket from the client's side (RFC 6455): one connection, "ws" or "wss", through a proxy
 * when there is one. A thread of its own connects, which may wait for names, routes and TLS; then
 * the connection belongs to a loop. TLS is always verified and at least 1.2. Whoever wants to come
 * back after the end opens a new one. */
struct bp_ws_client;

/* How it ended. Texts are borrowed for the call. */
struct bp_ws_client_end {
    unsigned code;       /* it was closed with; 1006: it broke or never came to be */
    int failure;         /* negative code when it never came to be, or broke; else 0 */
    int status;          /* of a refused handshake, else 0 */
    bp_ns_t retry_after; /* asked for by a refusal; 0 = no word */
    const char *text;    /* for people */
};

/* Called on the loop's thread: must not wait. */
struct bp_ws_client_ops {
    void (*open)(void *ctx, struct bp_ws_client *c);
    /** A whole message; text is valid UTF-8. `body` is borrowed for the call. */
    void (*message)(void *ctx, struct bp_ws_client *c, enum bp_ws_opcode opcode,
                    struct bp_str body);
    /** Once, the last call. */
    void (*end)(void *ctx, const struct bp_ws_client_end *why);
};

/* Borrowed for bp_ws_client_open() except loop, ops and ctx. Zero means the default in brackets. */
struct bp_ws_client_options {
    struct bp_loop *loop; /* outlives it */
    const struct bp_ws_client_ops *ops;
    void *ctx;
    const char *url;            /* "ws://HOST[:PORT]/PATH", "wss://…", or http, https */
    const char *protocol;       /* subprotocol that must be agreed to; NULL: none */
    const char *const *headers; /* "Name: value", NULL-ended, or NULL */
    /**
     * More of them, each with its line break; called by the thread that connects, before it does:
     * may wait, and ends early when `*cancel` (atomic) is true. Or NULL.
     *
     * @return 0, or why there is nothing to connect with
     */
    int (*prepare)(void *ctx, const bool *cancel, struct bp_buf *headers, struct bp_error *err);
    const char *ca_file;      /* as of struct bp_fetch_options */
    const char *proxy;        /* likewise */
    bp_ns_t connect_timeout;  /* up to the end of the handshake [20 s] */
    size_t max_message_bytes; /* that is received, then 1009 [1 MiB] */
    unsigned max_fragments;   /* [64] */
    size_t max_queue_bytes;   /* that waits to be sent [4 MiB] */
    bp_ns_t ping_interval;    /* silent for so long: pinged [20 s] */
    bp_ns_t pong_timeout;     /* then cut [20 s] */
    bp_ns_t write_timeout;    /* the other side takes nothing for so long: cut [30 s] */
    bp_ns_t message_timeout;  /* a message begun must be whole [60 s] */
    bp_ns_t close_timeout;    /* for the other side to close [2 s] */
};

/**
 * Begins to connect. Any thread; does not wait.
 *
 * @param ret  owned by the caller, release with bp_ws_client_close()
 * @return 0; -EINVAL: not a URL, or a line break in a header; BP_ECONFIG: ca_file cannot be read;
 *         -EAGAIN: no thread; -ENOMEM
 */
BP_MUST_CHECK int bp_ws_client_open(const struct bp_ws_client_options *o, struct bp_ws_client **ret,
                                    struct bp_error *err);
/** Cuts what is open and frees; no op is called any more when it returns. Any thread that the ops
 * do not wait for; may wait up to a second while it is still connecting. Takes NULL. */
void bp_ws_client_close(struct bp_ws_client *c);
BP_DEFINE_CLEANUP(struct bp_ws_client, bp_ws_client_close)

/**
 * Sends a message. Any thread; does not wait.
 *
 * @param opcode  BP_WS_TEXT or BP_WS_BINARY
 * @return 0; -ENOBUFS when more would wait than max_queue_bytes (one message alone may be larger);
 *         -ENOTCONN when it is not open; -ENOMEM; -EIO: no randomness for the mask
 */
BP_MUST_CHECK int bp_ws_client_send(struct bp_ws_client *c, enum bp_ws_opcode opcode, const void *p,
                                    size_t n);
/** Bytes that wait to be sent. Any thread. */
size_t bp_ws_client_queued(struct bp_ws_client *c);
/** Sends what waits, then begins to close. Any thread. @param reason  at most 123 bytes of UTF-8 */
void bp_ws_client_shut(struct bp_ws_client *c, unsigned code, const char *reason);
