#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Long messages in pieces, so that short ones of the same connection need not wait for all of one.
 * A piece, little-endian:
 *
 *    0  4 bytes  "BPL1"
 *    4  u16      what the whole message is: 1 text, 2 binary
 *    6  u16      bytes of this head: 16; what it carries stands behind
 *    8  u32      bytes of the whole message
 *   12  u32      how many of them came before
 *
 * Messages do not mix: the next one begins when the last is whole. Pure functions of bytes. */

enum { BP_PIECE_HEAD = 16, BP_PIECE_TEXT = 1, BP_PIECE_BINARY = 2 };

/** @param kind   BP_PIECE_TEXT or BP_PIECE_BINARY
 *  @param total  bytes of the message; @param before  of them that went before */
void bp_piece_head(uint8_t head[BP_PIECE_HEAD], unsigned kind, uint32_t total, uint32_t before);

/* A message that is not whole yet. Zero is a good beginning; release with bp_pieces_done(). */
struct bp_pieces {
    struct bp_buf got;
    unsigned kind; /* 0: none has begun */
    uint32_t total;
};

/**
 * Takes a piece. When it is the last one, `got` holds the message until the next call.
 *
 * @param max        bytes of a message
 * @param ret_whole  its kind when it is whole, else 0
 * @return NULL, or why it is none or does not go on where the last one ended: then nothing can
 */
const char *bp_pieces_take(struct bp_pieces *p, const uint8_t *piece, size_t n, uint32_t max,
                           unsigned *ret_whole);
void bp_pieces_done(struct bp_pieces *p);
