#include "net/ws-read.h"

#include <assert.h>
#include <stdlib.h>

#include <wslay/wslay.h>

#include "base/json.h"

/* wslay decodes frames; the rules of messages are ours, and so is a look at each head before wslay
 * gets it: what is not allowed or too long is refused by its head alone, before a byte of it has
 * come, and since we know where a frame ends, wslay's decoder (4 KiB) is needed only while one is
 * on its way. An idle connection has none. */

struct bp_ws_frames {
    wslay_frame_context_ptr ctx;
    const uint8_t *p; /* what it may read */
    size_t n;
};

static ssize_t give(uint8_t *buf, size_t len, int flags, void *user_data) {
    struct bp_ws_frames *f = user_data;
    size_t n = BP_MIN(len, f->n);

    (void) flags;
    if (n == 0)
        return -1;
    memcpy(buf, f->p, n);
    f->p += n;
    f->n -= n;
    return (ssize_t) n;
}

static void frames_free(struct bp_ws_frames *f) {
    if (!f)
        return;
    wslay_frame_context_free(f->ctx);
    free(f);
}

static struct bp_ws_frames *frames_new(void) {
    static const struct wslay_frame_callbacks callbacks = { .recv_callback = give };
    struct bp_ws_frames *f = calloc(1, sizeof *f);

    if (f && wslay_frame_context_init(&f->ctx, &callbacks, f) != 0) {
        free(f);
        f = NULL;
    }
    return f;
}

void bp_ws_spare_done(struct bp_ws_spare *s) {
    frames_free(s->frames);
    s->frames = NULL;
}

void bp_ws_reader_done(struct bp_ws_reader *r) {
    frames_free(r->frames);
    bp_buf_done(&r->message);
    bp_buf_done(&r->control);
    *r = (struct bp_ws_reader){ 0 };
}

bool bp_ws_reader_is_busy(const struct bp_ws_reader *r) {
    return r->nhead > 0 || r->opcode != 0;
}

/* Bytes of a head that begins with these two: up to the length, the mask follows. */
static size_t head_size(const uint8_t *head) {
    unsigned len = head[1] & 0x7f;

    return len == 127 ? 10 : len == 126 ? 4 : 2;
}

static uint64_t length_of(const uint8_t *head) {
    uint64_t n = head[1] & 0x7f;

    if (n < 126)
        return n;
    n = 0;
    for (size_t i = 2; i < head_size(head); i++)
        n = n << 8 | head[i];
    return n;
}

/* The first two bytes of a frame. @return 0 or the code to close with */
static unsigned check_start(const struct bp_ws_reader *r, const struct bp_ws_limits *limits) {
    unsigned opcode = r->head[0] & 0x0f;
    bool control = opcode >= 8, fin = (r->head[0] & 0x80) != 0;
    bool masked = (r->head[1] & 0x80) != 0;

    /* no extensions; clients mask, servers must not (RFC 6455 §5.1) */
    if ((r->head[0] & 0x70) != 0 || masked == limits->from_server)
        return 1002;
    if (control ? opcode > BP_WS_PONG || !fin || (r->head[1] & 0x7f) > 125
                : opcode > BP_WS_BINARY || (opcode == 0) != (r->opcode != 0))
        return 1002;
    return 0;
}

/* The length is known. */
static unsigned begin_frame(struct bp_ws_reader *r, struct bp_ws_spare *spare,
                            const struct bp_ws_limits *limits) {
    unsigned opcode = r->head[0] & 0x0f;
    uint64_t n = length_of(r->head);

    r->fin = (r->head[0] & 0x80) != 0;
    if (opcode < 8) {
        if (n > limits->max_message_bytes - r->message.n ||
            (opcode == 0 && ++r->fragments > limits->max_fragments))
            return 1009;
        if (opcode != 0) {
            r->opcode = (uint8_t) opcode;
            r->fragments = 1;
        }
    }
    r->left = n + (limits->from_server ? 0 : 4); /* the mask */
    r->frames = spare->frames ? BP_TAKE_PTR(spare->frames) : frames_new();
    if (!r->frames)
        return 1011;
    return 0;
}

/* Takes bytes of the head. @return how many; *ret_code as bp_ws_read() */
static size_t read_head(struct bp_ws_reader *r, struct bp_ws_spare *spare,
                        const struct bp_ws_limits *limits, const uint8_t *p, size_t n,
                        unsigned *ret_code) {
    size_t used = 0;

    *ret_code = 0;
    while (used < n && !r->frames && *ret_code == 0) {
        r->head[r->nhead++] = p[used++];
        if (r->nhead == 2)
            *ret_code = check_start(r, limits);
        if (*ret_code == 0 && r->nhead >= 2 && r->nhead == head_size(r->head))
            *ret_code = begin_frame(r, spare, limits);
    }
    return used;
}

/* Has wslay decode what it has been given. */
static unsigned decode(struct bp_ws_reader *r) {
    struct bp_buf *to = (r->head[0] & 0x0f) >= 8 ? &r->control : &r->message;

    for (;;) {
        struct wslay_frame_iocb io = { 0 };
        ssize_t n = wslay_frame_recv(r->frames->ctx, &io);

        if (n == WSLAY_ERR_WANT_READ)
            return 0;
        if (n < 0) /* a length written longer than it need be */
            return 1002;
        bp_buf_put(to, io.data, io.data_length);
        if (to->failed)
            return 1011;
    }
}

static unsigned end_frame(struct bp_ws_reader *r, struct bp_ws_spare *spare,
                          bool (*on)(void *ctx, enum bp_ws_opcode opcode, struct bp_str body),
                          void *ctx, bool *ret_more) {
    unsigned opcode = r->head[0] & 0x0f;
    bool control = opcode >= 8;
    struct bp_buf *b = control ? &r->control : &r->message;
    struct bp_str body = { (const char *) b->p, b->n };

    if (spare->frames)
        frames_free(BP_TAKE_PTR(r->frames));
    else
        spare->frames = BP_TAKE_PTR(r->frames);
    r->nhead = 0;
    if (!r->fin)
        return 0;
    if (!control) {
        opcode = BP_TAKE(r->opcode, 0);
        if (opcode == BP_WS_TEXT && !bp_ws_is_text(body))
            return 1007;
    }
    *ret_more = on(ctx, (enum bp_ws_opcode) opcode, body);
    bp_buf_done(b);
    return 0;
}

unsigned bp_ws_read(struct bp_ws_reader *r, struct bp_ws_spare *spare,
                    const struct bp_ws_limits *limits, const uint8_t *p, size_t n,
                    bool (*on)(void *ctx, enum bp_ws_opcode opcode, struct bp_str body),
                    void *ctx) {
    bool more = true;

    while (n > 0 && more) {
        unsigned code = 0;
        size_t used;

        if (!r->frames) {
            used = read_head(r, spare, limits, p, n, &code);
            p += used;
            n -= used;
            if (code != 0)
                return code;
            if (!r->frames)
                return 0;
            r->frames->p = r->head;
            r->frames->n = r->nhead;
            code = decode(r);
        }
        used = (size_t) BP_MIN(r->left, (uint64_t) n);
        if (code == 0) {
            r->left -= used;
            r->frames->p = p;
            r->frames->n = used;
            code = decode(r);
        }
        p += used;
        n -= used;
        if (code == 0 && r->left == 0)
            code = end_frame(r, spare, on, ctx, &more);
        if (code != 0)
            return code;
    }
    return 0;
}

bool bp_ws_is_text(struct bp_str s) {
    for (size_t i = 0, len; i < s.n; i += len) {
        len = bp_utf8_char(s.p + i, s.n - i);
        if (len == 0)
            return false;
    }
    return true;
}

unsigned bp_ws_close_code(struct bp_str body, bool *ret_bad) {
    unsigned code;

    *ret_bad = false;
    if (body.n == 0)
        return 1005;
    code = body.n >= 2 ? (unsigned) (uint8_t) body.p[0] << 8 | (uint8_t) body.p[1] : 0;
    /* RFC 6455 §7.4: those that may stand in a frame */
    if (!((code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
          (code >= 3000 && code <= 4999))) {
        *ret_bad = true;
        return 1002;
    }
    if (!bp_ws_is_text((struct bp_str){ body.p + 2, body.n - 2 })) {
        *ret_bad = true;
        return 1007;
    }
    return code;
}
