#include <stdint.h>
#include <stdlib.h>

#include "net/ws-read.h"
#include "net/ws-shake.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void require(bool ok) {
    if (!ok)
        abort();
}

static const struct bp_ws_limits limits = { .max_message_bytes = 1000,
                                            .max_fragments = 5,
                                            .from_server = true };

struct seen {
    unsigned messages, code;
    uint64_t sum;
};

static bool on(void *ctx, enum bp_ws_opcode opcode, struct bp_str body) {
    struct seen *s = ctx;

    s->messages++;
    s->sum = s->sum * 31 + (unsigned) opcode;
    for (size_t i = 0; i < body.n; i++)
        s->sum = s->sum * 31 + (uint8_t) body.p[i];
    require(body.n <= limits.max_message_bytes);
    return true;
}

static struct seen read_all(const uint8_t *p, size_t n, size_t step) {
    struct bp_ws_reader r = { 0 };
    struct bp_ws_spare spare = { 0 };
    struct seen s = { 0 };

    for (size_t i = 0; i < n && s.code == 0; i += step) {
        /* a copy of just these bytes: reading beyond them is found */
        size_t k = BP_MIN(n - i, step);
        uint8_t *piece = malloc(k);

        require(piece != NULL);
        memcpy(piece, p + i, k);
        s.code = bp_ws_read(&r, &spare, &limits, piece, k, on, &s);
        free(piece);
    }
    bp_ws_reader_done(&r);
    bp_ws_spare_done(&spare);
    return s;
}

/* What a server may send: the answer to a handshake, then frames. However it is cut into pieces,
 * the same comes of it. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static const char *const protocols[] = { NULL, "bagpipe-link.1" };

    for (size_t i = 0; i < BP_COUNT(protocols); i++) {
        struct bp_ws_answer a = { 0 };
        char *text = malloc(n ? n : 1);
        ssize_t head;

        require(text != NULL);
        if (n > 0)
            memcpy(text, p, n);
        head = bp_ws_answer_read((struct bp_str){ text, n },
                                 "dGhlIHNhbXBsZSBub25jZQ==", protocols[i], &a, NULL);
        require(head <= (ssize_t) n);
        require(head <= 0 || (a.status >= 100 && a.status <= 999));
        if (head > 0 && a.status == 101) {
            struct seen whole = read_all(p + head, n - (size_t) head, n);

            for (size_t step = 1; step < 8; step += 6) {
                struct seen s = read_all(p + head, n - (size_t) head, step);

                require(s.messages == whole.messages && s.sum == whole.sum && s.code == whole.code);
            }
        }
        free(text);
    }
    return 0;
}
