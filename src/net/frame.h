#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* A WebSocket message as it goes over the wire (RFC 6455 §5.2, one frame, not masked), made once
 * and shared by everyone it is sent to. Once shared its bytes do not change. */

enum bp_ws_opcode {
    BP_WS_TEXT = 1,
    BP_WS_BINARY = 2,
    BP_WS_CLOSE = 8,
    BP_WS_PING = 9,
    BP_WS_PONG = 10,
};

enum { BP_FRAME_HEAD_MAX = 10 };

struct bp_frame {
    unsigned refs;   /* [atomic] */
    uint8_t opcode;  /* enum bp_ws_opcode */
    uint32_t head;   /* where the frame starts in bytes[]; set by bp_frame_seal() */
    uint32_t start;  /* where the message starts */
    uint32_t end;    /* where it ends */
    uint64_t seq;    /* within its channel, from 1; 0 = of none */
    uint8_t bytes[]; /* room for the head, room for a stamp, the message */
};

/**
 * A message to be filled in.
 *
 * @param stamp  bytes that may be put in front later, by bp_frame_seal()
 * @param n      bytes of the message, below 4 GiB
 * @return owned, one reference; NULL when out of memory or too long
 */
struct bp_frame *bp_frame_new(enum bp_ws_opcode opcode, size_t stamp, size_t n);
/** The same with a copy of `text`. */
struct bp_frame *bp_frame_of(enum bp_ws_opcode opcode, const void *p, size_t n);
/** Puts `stamp` in front of the message and the frame's head in front of both. Once, before it is
 *  shared. */
void bp_frame_seal(struct bp_frame *f, const void *stamp, size_t n);
struct bp_frame *bp_frame_ref(struct bp_frame *f);
/** Takes NULL. */
void bp_frame_unref(struct bp_frame *f);
BP_DEFINE_CLEANUP(struct bp_frame, bp_frame_unref)

/** The message. */
static inline struct bp_str bp_frame_body(const struct bp_frame *f) {
    return (struct bp_str){ (const char *) f->bytes + f->start, f->end - f->start };
}

/** Where its bytes are filled in, before bp_frame_seal(). */
static inline uint8_t *bp_frame_payload(struct bp_frame *f) {
    return f->bytes + f->start;
}

/** All of it, as sent. */
static inline struct bp_str bp_frame_wire(const struct bp_frame *f) {
    return (struct bp_str){ (const char *) f->bytes + f->head, f->end - f->head };
}
