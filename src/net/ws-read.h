#pragma once

#include "base/buf.h"
#include "net/frame.h"

/* What the other side of a WebSocket sends, as whole messages (RFC 6455). Pure: bytes in, calls
 * out. One thread. A reader between two messages holds no memory. */
struct bp_ws_frames;

/* Decoders for readers in the middle of a frame; shared by the readers of a thread. */
struct bp_ws_spare {
    struct bp_ws_frames *frames; /* owned, or NULL */
};

void bp_ws_spare_done(struct bp_ws_spare *s);

struct bp_ws_limits {
    size_t max_message_bytes;
    unsigned max_fragments; /* frames of one message */
    bool from_server;       /* it sends without masks; else it must mask */
};

struct bp_ws_reader {
    struct bp_ws_frames *frames; /* owned; NULL between frames */
    uint8_t head[10];            /* of the frame, as far as it came */
    uint8_t nhead;
    uint8_t opcode; /* of the message begun; 0 = none */
    bool fin;       /* the frame ends its message */
    unsigned fragments;
    uint64_t left; /* bytes of the frame that come after head[] */
    struct bp_buf message, control;
};

void bp_ws_reader_done(struct bp_ws_reader *r);
/** In the middle of a message or frame? */
bool bp_ws_reader_is_busy(const struct bp_ws_reader *r);

/**
 * Reads on.
 *
 * @param on   called with each whole message and control frame; `body` is borrowed for the call.
 *             Returns false when nothing more is wanted.
 * @return 0, or the code the connection is to be closed with: 1002 against the protocol, 1007 text
 *         that is not UTF-8, 1009 too long or in too many pieces, 1011 out of memory
 */
unsigned bp_ws_read(struct bp_ws_reader *r, struct bp_ws_spare *spare,
                    const struct bp_ws_limits *limits, const uint8_t *p, size_t n,
                    bool (*on)(void *ctx, enum bp_ws_opcode opcode, struct bp_str body), void *ctx);

/**
 * The code in the body of a close frame.
 *
 * @return it, 1005 when there is none, 1002 or 1007 when it is not valid: then `*ret_bad` is true
 */
unsigned bp_ws_close_code(struct bp_str body, bool *ret_bad);
/** Is it UTF-8 (RFC 3629)? */
bool bp_ws_is_text(struct bp_str s);
