#include "net/sse.h"

#include <errno.h>

/* The HTTP server reads from its own thread when it has room; the peer's loop wakes it. Both meet
 * in bp_peer_take(). */

enum { BEAT_S = 15, FRAMES = 16, BYTES = 32 * 1024 };

struct sse {
    struct bp_peer peer;
    struct bp_loop_tick tick;
    unsigned ticks; /* [loop] since the last beat */
    bool begun;     /* [loop] */
    int code;       /* of begin() */
    bool beat;      /* [atomic] a comment is due */
    bool ended;     /* [atomic] it may not stay */
    struct bp_http_stream *stream;
    const struct bp_sse_ops *ops;
    void *data;
    struct bp_buf out; /* [the server's thread] */
    size_t off;
};

static struct sse *sse_of_peer(struct bp_peer *p) {
    return BP_CONTAINER_OF(p, struct sse, peer);
}

static void on_ready(struct bp_peer *p) {
    bp_http_stream_wake(sse_of_peer(p)->stream);
}

static struct bp_frame *on_lost(struct bp_peer *p, struct bp_channel *ch, uint64_t n) {
    const struct bp_sse_ops *ops = sse_of_peer(p)->ops;

    return ops->lost ? ops->lost(p, ch, n) : NULL;
}

static void on_tick(struct bp_loop_tick *t) {
    struct sse *s = BP_CONTAINER_OF(t, struct sse, tick);

    if (s->ops->look && !s->ops->look(s->data)) {
        __atomic_store_n(&s->ended, true, __ATOMIC_RELAXED);
        bp_http_stream_wake(s->stream);
    }
    if (++s->ticks < BEAT_S)
        return;
    s->ticks = 0;
    __atomic_store_n(&s->beat, true, __ATOMIC_RELAXED);
    bp_http_stream_wake(s->stream);
}

static void begin(void *a, void *b) {
    struct sse *s = a;

    (void) b;
    s->begun = true;
    bp_loop_tick_add(s->peer.loop, &s->tick);
    bp_gauge_add(&bp_fanout_stats.sse_open, 1);
    s->code = s->ops->begin(&s->peer, s->data);
}

static void finish(void *a, void *b) {
    struct sse *s = a;

    (void) b;
    if (s->begun) {
        bp_loop_tick_remove(s->peer.loop, &s->tick);
        bp_gauge_add(&bp_fanout_stats.sse_open, -1);
    }
    bp_peer_done(&s->peer);
    bp_http_stream_unref(s->stream);
    s->ops->end(s->data);
    bp_buf_done(&s->out);
    free(s);
}

static void on_done(void *ctx) {
    struct sse *s = ctx;

    bp_loop_post_surely(s->peer.loop, finish, s, NULL);
}

/* Fills `out` with what there is. @return false: nothing */
static bool fill(struct sse *s) {
    struct bp_frame *v[FRAMES];
    size_t n = bp_peer_take(&s->peer, v, FRAMES, BYTES);

    bp_buf_clear(&s->out);
    s->off = 0;
    for (size_t i = 0; i < n; i++) {
        s->ops->put(&s->out, v[i], s->data);
        bp_frame_unref(v[i]);
    }
    if (__atomic_exchange_n(&s->beat, false, __ATOMIC_RELAXED) && n == 0)
        bp_buf_put_str(&s->out, ":\n\n");
    return s->out.n > 0 || s->out.failed;
}

static ssize_t on_read(void *ctx, char *p, size_t max) {
    struct sse *s = ctx;
    size_t n;

    if (__atomic_load_n(&s->ended, __ATOMIC_RELAXED))
        return 0;
    if (s->off == s->out.n && !fill(s)) {
        bp_buf_done(&s->out);
        return bp_peer_overflown(&s->peer) ? -EPIPE : -EAGAIN;
    }
    if (s->out.failed)
        return -ENOMEM;
    n = BP_MIN(max, s->out.n - s->off);
    memcpy(p, s->out.p + s->off, n);
    s->off += n;
    return (ssize_t) n;
}

int bp_sse_reply(struct bp_fanout *f, const struct bp_sse_ops *ops, struct bp_http_reply *reply,
                 void *data, struct bp_error *err) {
    static const struct bp_http_stream_ops stream_ops = { .read = on_read, .done = on_done };
    static const struct bp_peer_ops peer_ops = { .ready = on_ready, .lost = on_lost };
    struct sse *s = calloc(1, sizeof *s);
    struct bp_http_stream *stream = NULL;

    if (!s) {
        ops->end(data);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    s->ops = ops;
    s->data = data;
    s->tick.run = on_tick;
    bp_peer_init(&s->peer, f, &peer_ops, 0);
    bp_http_reply_stream(reply, 200, "text/event-stream", &stream_ops, s, &stream);
    if (!stream) /* and `s` is on its way out */
        return bp_fail(err, -ENOMEM, "out of memory");
    s->stream = stream;
    bp_loop_call(s->peer.loop, begin, s, NULL);
    return s->code;
}
