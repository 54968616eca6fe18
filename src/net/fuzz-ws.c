#include <stdint.h>
#include <stdlib.h>

#include "net/ws-read.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void require(bool ok) {
    if (!ok)
        abort();
}

static const struct bp_ws_limits limits = { .max_message_bytes = 1000, .max_fragments = 5 };

/* What was read of a stream, for comparison. */
struct seen {
    unsigned messages;
    uint64_t sum;
    unsigned code;
};

static bool on(void *ctx, enum bp_ws_opcode opcode, struct bp_str body) {
    struct seen *s = ctx;
    bool bad;
    unsigned code;

    s->messages++;
    for (size_t i = 0; i < body.n; i++)
        s->sum = s->sum * 31 + (uint8_t) body.p[i];
    s->sum = s->sum * 31 + (unsigned) opcode;
    require(body.n <= limits.max_message_bytes);
    require(opcode < 8 || body.n <= 125);
    if (opcode == BP_WS_TEXT)
        require(bp_ws_is_text(body));
    if (opcode != BP_WS_CLOSE)
        return true;
    code = bp_ws_close_code(body, &bad);
    require(bad ? code == 1002 || code == 1007 : code >= 1000 && code <= 4999);
    return false;
}

/* Reads the stream in pieces of `step` bytes. */
static struct seen read_all(const uint8_t *p, size_t n, size_t step, struct bp_ws_spare *spare) {
    struct bp_ws_reader r = { 0 };
    struct seen s = { 0 };

    for (size_t i = 0; i < n && s.code == 0; i += step) {
        /* a copy of just these bytes: reading beyond them is found */
        size_t k = n - i < step ? n - i : step;
        uint8_t *piece = malloc(k);

        require(piece != NULL);
        memcpy(piece, p + i, k);
        s.code = bp_ws_read(&r, spare, &limits, piece, k, on, &s);
        free(piece);
    }
    require(s.code == 0 || s.code == 1002 || s.code == 1007 || s.code == 1009);
    bp_ws_reader_done(&r);
    return s;
}

static bool until_close(void *ctx, enum bp_ws_opcode opcode, struct bp_str body) {
    (void) body;
    if (opcode == BP_WS_CLOSE)
        *(bool *) ctx = true;
    return opcode != BP_WS_CLOSE;
}

/* However a stream is cut into pieces, the same messages come of it. Behind a close frame nothing
 * is read any more, which a reader given pieces does not know by itself. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_ws_spare spare = { 0 };
    struct bp_ws_reader r = { 0 };
    bool closed = false;
    struct seen whole = read_all(p, n, n ? n : 1, &spare);

    (void) bp_ws_read(&r, &spare, &limits, p, n, until_close, &closed);
    bp_ws_reader_done(&r);
    for (size_t step = 1; !closed && step < 8; step += 6) {
        struct seen s = read_all(p, n, step, &spare);

        require(s.messages == whole.messages && s.sum == whole.sum && s.code == whole.code);
    }
    bp_ws_spare_done(&spare);
    return 0;
}
