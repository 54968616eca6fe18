#pragma once

#include "net/fanout.h"
#include "net/http.h"

/* A peer of the fan-out that is a stream of server-sent events (WHATWG HTML §9.2): for curl and for
 * EventSource in browsers. */
struct bp_sse_ops {
    /** Loop thread of the peer: here it subscribes. @return 0, negative: the stream ends at once */
    int (*begin)(struct bp_peer *p, void *data);
    /** Writes one frame as an event, with the empty line behind it. Thread of the HTTP server. */
    void (*put)(struct bp_buf *out, const struct bp_frame *f, void *data);
    /** The last call. */
    void (*end)(void *data);
    /** As of struct bp_peer_ops; may be NULL. */
    struct bp_frame *(*lost)(struct bp_peer *p, struct bp_channel *ch, uint64_t n);
    /** About once a second, loop thread: may it stay? May be NULL. @return false: the stream ends
     */
    bool (*look)(void *data);
};

/**
 * Answers with a stream. A client that has gone is noticed by a comment sent every 15 seconds.
 *
 * @param data  handed to the ops, which end with end(data), also on failure
 * @return 0, -ENOMEM, or what begin() returned
 */
BP_MUST_CHECK int bp_sse_reply(struct bp_fanout *f, const struct bp_sse_ops *ops,
                               struct bp_http_reply *reply, void *data, struct bp_error *err);
