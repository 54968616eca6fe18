#include "net/ws-client.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <sys/epoll.h>
#include <utlist.h>
#include <wslay/wslay.h>

#include "base/thread.h"
#include "crypt/secret.h"
#include "net/ws-client-priv.h"

/* The life of a connection:
 *
 * CONNECTING → OPEN     the connector (ws-connect.c) has done name, TCP, TLS and handshake
 * CONNECTING → ENDED    it could not
 * OPEN → CLOSING        a close frame stands at the end of the queue; nothing is queued any more
 * CLOSING → ENDED       the other side has closed, or close_timeout has passed
 * OPEN → ENDED          it broke
 *
 * Frames are made, masked, by whoever sends; the loop moves bytes. OpenSSL wants to be called again
 * with the very bytes it could not take: a frame stays where it is until it is sent. */

enum { READ_BYTES = 16 * 1024, READS = 8, TURN_FRAMES = 64 };

static void flush(struct bp_ws_client *c);

/* ---- frames out: any thread ---- */

static ssize_t take_bytes(const uint8_t *p, size_t n, int flags, void *ctx) {
    struct bp_buf *b = ctx;

    (void) flags;
    bp_buf_put(b, p, n);
    return b->failed ? -1 : (ssize_t) n;
}

static int make_mask(uint8_t *p, size_t n, void *ctx) {
    (void) ctx;
    return bp_random(p, n) < 0 ? -1 : 0;
}

/* A message as one masked frame. @return 0, -ENOMEM, -EIO */
static int encode(enum bp_ws_opcode opcode, const void *p, size_t n, struct bp_buf *ret) {
    static const struct wslay_frame_callbacks callbacks = { .send_callback = take_bytes,
                                                            .genmask_callback = make_mask };
    struct wslay_frame_iocb io = { .fin = 1,
                                   .opcode = (uint8_t) opcode,
                                   .mask = 1,
                                   .payload_length = n,
                                   .data = p,
                                   .data_length = n };
    wslay_frame_context_ptr ctx;
    ssize_t sent;

    if (wslay_frame_context_init(&ctx, &callbacks, ret) != 0)
        return -ENOMEM;
    sent = wslay_frame_send(ctx, &io);
    wslay_frame_context_free(ctx);
    if (sent == (ssize_t) n && !ret->failed)
        return 0;
    return ret->failed ? -ENOMEM : -EIO;
}

static void unref(struct bp_ws_client *c) {
    if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) == 0)
        bp_ws_client_free(c);
}

static void on_wake(void *a, void *b) {
    struct bp_ws_client *c = a;

    (void) b;
    bp_mutex_lock(&c->lock);
    c->woken = false;
    bp_mutex_unlock(&c->lock);
    if (!c->dead && c->state != BP_WSC_ENDED && c->state != BP_WSC_CONNECTING)
        flush(c);
    unref(c);
}

/* Puts a frame in the queue. @param last  nothing comes behind it */
static int enqueue(struct bp_ws_client *c, enum bp_ws_opcode opcode, const void *p, size_t n,
                   bool last) {
    struct bp_ws_out *out = calloc(1, sizeof *out);
    bool wake = false;
    int r = out ? encode(opcode, p, n, &out->bytes) : -ENOMEM;

    bp_mutex_lock(&c->lock);
    if (r == 0 && (!c->sending || c->last))
        r = -ENOTCONN;
    if (r == 0 && !last && c->queue && c->queued + out->bytes.n > c->o.max_queue_bytes)
        r = -ENOBUFS;
    if (r == 0) {
        c->queued += out->bytes.n;
        c->last = last;
        DL_APPEND(c->queue, out);
        wake = !c->woken;
        c->woken = true;
    }
    bp_mutex_unlock(&c->lock);
    if (r < 0) {
        bp_ws_out_free(out);
        return r;
    }
    if (wake) {
        (void) __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
        bp_loop_post_surely(c->o.loop, on_wake, c, NULL);
    }
    return 0;
}

int bp_ws_client_send(struct bp_ws_client *c, enum bp_ws_opcode opcode, const void *p, size_t n) {
    return enqueue(c, opcode, p, n, false);
}

size_t bp_ws_client_queued(struct bp_ws_client *c) {
    size_t n;

    bp_mutex_lock(&c->lock);
    n = c->queued;
    bp_mutex_unlock(&c->lock);
    return n;
}

void bp_ws_client_shut(struct bp_ws_client *c, unsigned code, const char *reason) {
    uint8_t body[125] = { (uint8_t) (code >> 8), (uint8_t) code };
    size_t n = BP_MIN(reason ? strlen(reason) : 0, sizeof body - 2);

    if (n > 0)
        /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): bytes of a frame, no text */
        memcpy(body + 2, reason, n);
    (void) enqueue(c, BP_WS_CLOSE, body, n + 2, true);
}

/* ---- the end: loop thread ---- */

static void end(struct bp_ws_client *c, unsigned code, int failure, const char *text) {
    if (c->state == BP_WSC_ENDED)
        return;
    if (c->state != BP_WSC_CONNECTING) {
        bp_loop_unwatch(c->o.loop, &c->fd);
        bp_loop_forget(c->o.loop, &c->more);
        bp_loop_tick_remove(c->o.loop, &c->tick);
    }
    c->state = BP_WSC_ENDED;
    bp_mutex_lock(&c->lock);
    c->sending = false;
    bp_mutex_unlock(&c->lock);
    if (!c->dead)
        c->o.ops->end(c->o.ctx, &(struct bp_ws_client_end){ .code = code,
                                                            .failure = failure,
                                                            .status = c->status,
                                                            .retry_after = c->retry_after,
                                                            .text = text });
}

/* Something is against it: tells the other side when it can, and goes. */
static void refuse(struct bp_ws_client *c, unsigned code, const char *text) {
    bp_ws_client_shut(c, code, NULL);
    flush(c);
    end(c, code, BP_EFORMAT, text);
}

/* ---- sending: loop thread ---- */

static struct bp_ws_out *first_of(struct bp_ws_client *c) {
    struct bp_ws_out *out;

    bp_mutex_lock(&c->lock);
    out = c->queue;
    bp_mutex_unlock(&c->lock);
    return out;
}

static void pop(struct bp_ws_client *c, struct bp_ws_out *out) {
    bool last;

    bp_mutex_lock(&c->lock);
    DL_DELETE(c->queue, out);
    c->queued -= out->bytes.n;
    last = c->last && !c->queue;
    bp_mutex_unlock(&c->lock);
    bp_ws_out_free(out);
    if (last && c->state == BP_WSC_OPEN) {
        c->state = BP_WSC_CLOSING;
        c->mono_until = bp_mono_ns() + c->o.close_timeout;
    }
}

static void want_room(struct bp_ws_client *c, bool writing) {
    if (!writing)
        c->mono_stuck = 0;
    else if (c->mono_stuck == 0)
        c->mono_stuck = bp_mono_ns();
    if (writing == c->writing)
        return;
    c->writing = writing;
    bp_loop_change(c->o.loop, &c->fd, EPOLLIN | EPOLLRDHUP | (writing ? EPOLLOUT : 0));
}

static void flush(struct bp_ws_client *c) {
    struct bp_ws_out *out;

    for (unsigned i = 0; (out = first_of(c)) != NULL; i++) {
        size_t n = 0;
        CURLcode r;

        if (i >= TURN_FRAMES) { /* reading must not wait for ever */
            bp_loop_soon(c->o.loop, &c->more);
            return;
        }
        r = curl_easy_send(c->curl, out->bytes.p + out->off, out->bytes.n - out->off, &n);
        if (r != CURLE_OK && r != CURLE_AGAIN) {
            end(c, 1006, -EIO, "the connection broke");
            return;
        }
        out->off += r == CURLE_OK ? n : 0;
        if (n > 0)
            c->mono_stuck = 0;
        if (r == CURLE_AGAIN) {
            want_room(c, true);
            return;
        }
        if (out->off == out->bytes.n)
            pop(c, out);
    }
    want_room(c, false);
}

/* ---- receiving: loop thread ---- */

static void on_close_frame(struct bp_ws_client *c, struct bp_str body) {
    char reason[124] = "";
    bool bad;
    unsigned code = bp_ws_close_code(body, &bad);

    if (!bad && body.n > 2)
        (void) snprintf(reason, sizeof reason, "%.*s", (int) (body.n - 2), body.p + 2);
    bp_ws_client_shut(c, code == 1005 ? 1000 : code, NULL); /* answers, unless we began */
    flush(c);
    end(c, code, 0, *reason ? reason : "the other side has closed the connection");
}

static bool on_message(void *ctx, enum bp_ws_opcode opcode, struct bp_str body) {
    struct bp_ws_client *c = ctx;

    switch (opcode) {
    case BP_WS_PING: /* one that floods gets no answer when its own are not taken */
        (void) enqueue(c, BP_WS_PONG, body.p, body.n, false);
        break;
    case BP_WS_PONG:
        break;
    case BP_WS_CLOSE:
        on_close_frame(c, body);
        break;
    case BP_WS_TEXT:
    case BP_WS_BINARY:
        if (c->state == BP_WSC_OPEN)
            c->o.ops->message(c->o.ctx, c, opcode, body);
        break;
    }
    return !c->dead && c->state != BP_WSC_ENDED;
}

static void received(struct bp_ws_client *c, const uint8_t *p, size_t n) {
    const struct bp_ws_limits limits = { .max_message_bytes = c->o.max_message_bytes,
                                         .max_fragments = c->o.max_fragments,
                                         .from_server = true };
    unsigned code;

    c->mono_seen = bp_mono_ns();
    c->pinged = false;
    code = bp_ws_read(&c->in, &c->spare, &limits, p, n, on_message, c);
    if (c->dead || c->state == BP_WSC_ENDED)
        return;
    if (code != 0) {
        refuse(c, code,
               code == 1009 ? "a message is too long" : "it does not keep to the protocol");
        return;
    }
    if (!bp_ws_reader_is_busy(&c->in))
        c->mono_message = 0;
    else if (c->mono_message == 0)
        c->mono_message = c->mono_seen;
}

static void receive(struct bp_ws_client *c) {
    uint8_t buf[READ_BYTES];

    for (unsigned i = 0; i < READS && !c->dead && c->state != BP_WSC_ENDED; i++) {
        size_t n = 0;
        CURLcode r = curl_easy_recv(c->curl, buf, sizeof buf, &n);

        if (r == CURLE_AGAIN)
            return;
        if (r != CURLE_OK || n == 0) {
            end(c, 1006, -EIO, "the connection broke");
            return;
        }
        received(c, buf, n);
    }
    /* what TLS has taken from the socket already does not make the descriptor ready */
    if (!c->dead && c->state != BP_WSC_ENDED)
        bp_loop_soon(c->o.loop, &c->more);
}

/* Keeps it while its ops run, which may close it. */
static void move_bytes(struct bp_ws_client *c) {
    (void) __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    receive(c);
    if (!c->dead && c->state != BP_WSC_ENDED)
        flush(c);
    unref(c);
}

static void on_fd(struct bp_loop_fd *f, uint32_t events) {
    (void) events;
    move_bytes(BP_CONTAINER_OF(f, struct bp_ws_client, fd));
}

static void on_more(struct bp_loop_task *t) {
    move_bytes(BP_CONTAINER_OF(t, struct bp_ws_client, more));
}

/* ---- deadlines ---- */

static void on_tick(struct bp_loop_tick *t) {
    struct bp_ws_client *c = BP_CONTAINER_OF(t, struct bp_ws_client, tick);
    const struct bp_ws_client_options *o = &c->o;
    bp_ns_t now = bp_mono_ns();

    if (c->state == BP_WSC_CLOSING) {
        if (now > c->mono_until)
            end(c, 1006, 0, "the other side did not close in time");
    } else if (c->pinged && now - c->mono_ping > o->pong_timeout) {
        end(c, 1006, -ETIMEDOUT, "a ping was not answered");
    } else if (c->mono_stuck && now - c->mono_stuck > o->write_timeout) {
        end(c, 1006, -ETIMEDOUT, "the other side takes nothing");
    } else if (c->mono_message && now - c->mono_message > o->message_timeout) {
        refuse(c, 1008, "a message took too long");
    } else if (!c->pinged && now - c->mono_seen > o->ping_interval) {
        c->pinged = true;
        c->mono_ping = now;
        (void) enqueue(c, BP_WS_PING, "", 0, false);
    }
}

/* ---- coming and going ---- */

static void begin(struct bp_ws_client *c) {
    c->fd.on = on_fd;
    c->more.run = on_more;
    c->tick.run = on_tick;
    c->mono_seen = bp_mono_ns();
    if (bp_loop_watch(c->o.loop, &c->fd, EPOLLIN | EPOLLRDHUP) < 0) {
        end(c, 1006, -ENOMEM, "out of memory");
        return;
    }
    bp_loop_tick_add(c->o.loop, &c->tick);
    c->state = BP_WSC_OPEN;
    bp_mutex_lock(&c->lock);
    c->sending = true;
    bp_mutex_unlock(&c->lock);
    c->o.ops->open(c->o.ctx, c);
    if (!c->dead && c->state == BP_WSC_OPEN && c->early.n > 0)
        received(c, c->early.p, c->early.n);
    bp_buf_done(&c->early);
    if (!c->dead && c->state == BP_WSC_OPEN)
        bp_loop_soon(c->o.loop, &c->more); /* TLS may hold more */
}

/* Loop thread: the connector is done. */
static void on_connected(void *a, void *b) {
    struct bp_ws_client *c = a;

    (void) b;
    if (!c->dead) {
        if (c->failure < 0)
            end(c, 1006, c->failure, c->err.text);
        else
            begin(c);
    }
    unref(c);
}

static void *connector(void *arg) {
    struct bp_ws_client *c = arg;

    c->failure = bp_ws_client_connect(c, &c->err);
    bp_loop_post_surely(c->o.loop, on_connected, c, NULL); /* its reference goes with it */
    return NULL;
}

int bp_ws_client_open(const struct bp_ws_client_options *o, struct bp_ws_client **ret,
                      struct bp_error *err) {
    struct bp_ws_client *c = NULL;
    int r = bp_ws_client_new(o, &c, err);

    if (r < 0)
        return r;
    c->refs = 2; /* the caller's and the connector's */
    r = bp_thread_start("ws-connect", connector, c, &c->thread);
    if (r < 0) {
        bp_ws_client_free(c);
        return bp_fail(err, r, "there is no thread to connect with");
    }
    *ret = c;
    return 0;
}

static void detach(void *a, void *b) {
    struct bp_ws_client *c = a;

    (void) b;
    c->dead = true;
    end(c, 1006, 0, "");
}

void bp_ws_client_close(struct bp_ws_client *c) {
    if (!c)
        return;
    __atomic_store_n(&c->cancel, true, __ATOMIC_RELAXED);
    bp_loop_call(c->o.loop, detach, c, NULL);
    (void) pthread_join(c->thread, NULL);
    unref(c);
}
