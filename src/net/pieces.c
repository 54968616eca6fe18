#include "net/pieces.h"

#include <string.h>

enum { KEEP_BYTES = 64 * 1024 };

static const char magic[4] = { 'B', 'P', 'L', '1' };

void bp_piece_head(uint8_t head[BP_PIECE_HEAD], unsigned kind, uint32_t total, uint32_t before) {
    memcpy(head, magic, sizeof magic);
    bp_st_le16(head + 4, (uint16_t) kind);
    bp_st_le16(head + 6, BP_PIECE_HEAD);
    bp_st_le32(head + 8, total);
    bp_st_le32(head + 12, before);
}

/* The one that was whole is gone; a large one leaves no memory behind. */
static void begin(struct bp_pieces *p, unsigned kind, uint32_t total) {
    if (p->got.cap > KEEP_BYTES)
        bp_buf_done(&p->got);
    bp_buf_clear(&p->got);
    p->kind = kind;
    p->total = total;
}

const char *bp_pieces_take(struct bp_pieces *p, const uint8_t *piece, size_t n, uint32_t max,
                           unsigned *ret_whole) {
    unsigned kind;
    uint32_t total, before;

    *ret_whole = 0;
    if (n <= BP_PIECE_HEAD || memcmp(piece, magic, sizeof magic) != 0 ||
        bp_ld_le16(piece + 6) != BP_PIECE_HEAD)
        return "it is no piece of a message";
    kind = bp_ld_le16(piece + 4);
    total = bp_ld_le32(piece + 8);
    before = bp_ld_le32(piece + 12);
    n -= BP_PIECE_HEAD;
    if (kind != BP_PIECE_TEXT && kind != BP_PIECE_BINARY)
        return "a piece is of a text or of a binary message";
    if (total > max)
        return "a message in pieces is too long";
    if (p->kind == 0 && before == 0)
        begin(p, kind, total);
    if (kind != p->kind || total != p->total || before != p->got.n || n > total - before)
        return "a piece does not go on where the last one ended";
    bp_buf_put(&p->got, piece + BP_PIECE_HEAD, n);
    if (p->got.failed)
        return "out of memory";
    if (p->got.n == total) {
        *ret_whole = kind;
        p->kind = 0;
    }
    return NULL;
}

void bp_pieces_done(struct bp_pieces *p) {
    bp_buf_done(&p->got);
    p->kind = 0;
}
