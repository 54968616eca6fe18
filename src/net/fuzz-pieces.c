#include <stdint.h>
#include <stdlib.h>

#include "net/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { MAX = 300 };

static void require(bool ok) {
    if (!ok)
        abort();
}

/* What is taken never holds more than it may, and a message that was cut comes out as it was. */
static void cut_and_join(const uint8_t *p, size_t n) {
    size_t step = 1 + p[0] % 40, at = 0;
    struct bp_pieces in = { 0 };
    unsigned whole = 0;

    n = n > MAX ? MAX : n;
    while (at < n) {
        size_t k = n - at < step ? n - at : step;
        uint8_t piece[BP_PIECE_HEAD + 40];

        require(whole == 0);
        bp_piece_head(piece, BP_PIECE_BINARY, (uint32_t) n, (uint32_t) at);
        memcpy(piece + BP_PIECE_HEAD, p + at, k);
        require(!bp_pieces_take(&in, piece, BP_PIECE_HEAD + k, MAX, &whole));
        at += k;
    }
    require(whole == BP_PIECE_BINARY && in.got.n == n && memcmp(in.got.p, p, n) == 0);
    bp_pieces_done(&in);
}

/* Pieces from outside: a length of one byte before each. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_pieces in = { 0 };
    size_t at = 0;

    if (n > 0)
        cut_and_join(p, n);
    while (at < n) {
        size_t k = p[at++];
        unsigned whole;
        uint8_t *piece;
        const char *why;

        k = k > n - at ? n - at : k;
        piece = malloc(k + 1); /* a copy of just these bytes: reading beyond them is found */
        require(piece != NULL);
        memcpy(piece, p + at, k);
        why = bp_pieces_take(&in, piece, k, MAX, &whole);
        free(piece);
        at += k;
        require(in.got.n <= MAX && (!whole || (!why && in.got.n == in.total)));
        if (why)
            break;
    }
    bp_pieces_done(&in);
    return 0;
}
