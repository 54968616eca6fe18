/* What somebody watches through the server: pictures, points, samples, lines of the log. The server
 * says what a viewer of our events would (docs/api/events.md), and gets what a viewer would get, in
 * pieces, so that nothing else has to wait long for the link:
 *
 * - pieces that are not acknowledged are bounded by a window, which shrinks while they take long;
 * - few bytes of them wait in the connection's own queue, where the others wait, too;
 * - a frame is taken when there is room for it to go, and is the newest there is then.
 *
 * All of it runs on the loop: no disk is waited for. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "agent/link-priv.h"
#include "base/log.h"
#include "daemon/events.h"
#include "net/pieces.h"

enum {
    PIECE = 32 * 1024,
    WINDOW_FIRST = 128 * 1024,
    WINDOW_MIN = 2 * PIECE,
    WINDOW_MAX = 1024 * 1024,
    QUEUED_MAX = 2 * PIECE, /* in the queue of the connection */
    AGAIN_MS = 20,
    QUICK_MS = 150, /* until a piece is acknowledged */
    SLOW_MS = 350,
    MESSAGE_MAX = 4 << 20,
    TEXT_MAX = 1 << 20,
};

bool bp_link_live_is_on(const struct bp_link *l) {
    return l->agent->config->link.live_rate > 0 && l->agent->config->link.role > 0;
}

/* ---- sending ---- */

static void wake_in(struct bp_link_live *v, bp_ns_t wait) {
    struct itimerspec t = { .it_value = { wait / BP_SEC, BP_MAX(wait % BP_SEC, 1) } };

    (void) timerfd_settime(v->timer.fd, 0, &t, NULL);
}

static void drop_frame(struct bp_link_live *v) {
    bp_frame_unref(BP_TAKE_PTR(v->frame));
    v->frame_sent = 0;
}

/* The topic of an event as text; what it is made of needs no escape. */
static json_t *topic_of(struct bp_str event) {
    static const char head[] = "{\"topic\":\"";
    size_t n = sizeof head - 1;
    const char *end =
        event.n > n && memcmp(event.p, head, n) == 0 ? memchr(event.p + n, '"', event.n - n) : NULL;

    return end ? json_stringn(event.p + n, (size_t) (end - event.p) - n) : NULL;
}

/* One that is too long is told of instead. */
static void replace_long(struct bp_link_live *v) {
    struct bp_str body = bp_frame_body(v->frame);
    bool text = v->frame->opcode == BP_WS_TEXT;
    char *note = NULL;
    json_t *o;

    if (body.n <= (text ? v->max_text : v->max_message))
        return;
    o = text ? json_pack("{s:{s:o?, s:I}}", "too_long", "topic", topic_of(body), "bytes",
                         (json_int_t) body.n)
             : json_pack("{s:{s:I, s:I}}", "too_long", "stream",
                         (json_int_t) bp_ld_le32((const uint8_t *) body.p + 8), "bytes",
                         (json_int_t) body.n);
    note = o ? json_dumps(o, JSON_COMPACT) : NULL;
    drop_frame(v);
    v->frame = note ? bp_frame_of(BP_WS_TEXT, note, strlen(note)) : NULL;
    free(note);
    json_decref(o);
}

/* @return false: there is none */
static bool next_frame(struct bp_link_live *v) {
    struct bp_frame *got[2];

    while (!v->frame) {
        if (bp_events_tap_take(v->tap, got, BP_COUNT(got), 1) == 0) /* one: it has a byte */
            return false;
        v->frame = got[0];
        replace_long(v);
    }
    return true;
}

/* @return false: not now */
static bool send_piece(struct bp_link *l) {
    struct bp_link_live *v = &l->live;
    struct bp_str body = bp_frame_body(v->frame);
    size_t n = BP_MIN(body.n - v->frame_sent, (size_t) PIECE);
    uint8_t head[BP_PIECE_HEAD];
    bp_ns_t now = bp_mono_ns();

    bp_piece_head(head, v->frame->opcode == BP_WS_TEXT ? BP_PIECE_TEXT : BP_PIECE_BINARY,
                  (uint32_t) body.n, (uint32_t) v->frame_sent);
    bp_buf_clear(&v->piece);
    bp_buf_put(&v->piece, head, sizeof head);
    bp_buf_put(&v->piece, body.p + v->frame_sent, n);
    if (v->piece.failed || bp_ws_client_send(v->ws, BP_WS_BINARY, v->piece.p, v->piece.n) < 0) {
        wake_in(v, AGAIN_MS * BP_MS);
        return false;
    }
    v->sent += v->piece.n;
    v->frame_sent += n;
    v->mono_next = now + bp_bucket_take(&v->bucket, (double) v->piece.n, now);
    if (v->probe == 0) {
        v->probe = v->sent;
        v->mono_probe = now;
    }
    bp_counter_add(&v->bytes, n);
    if (v->frame_sent == body.n) {
        bp_counter_add(&v->frames, 1);
        drop_frame(v);
    }
    return true;
}

/* Sends what may go now. */
static void pump(struct bp_link *l) {
    struct bp_link_live *v = &l->live;

    while (v->ws && v->tap) {
        bp_ns_t now = bp_mono_ns();

        if (v->sent > v->acked && v->sent - v->acked + PIECE > v->window)
            return; /* an acknowledgement comes */
        if (now < v->mono_next) {
            wake_in(v, v->mono_next - now);
            return;
        }
        if (bp_ws_client_queued(v->ws) > QUEUED_MAX) {
            wake_in(v, AGAIN_MS * BP_MS);
            return;
        }
        if (!next_frame(v) || !send_piece(l))
            return;
    }
}

static void on_timer(struct bp_loop_fd *f, uint32_t events) {
    struct bp_link *l = BP_CONTAINER_OF(f, struct bp_link, live.timer);
    uint64_t n;

    (void) events;
    (void) !read(f->fd, &n, sizeof n);
    pump(l);
}

static void do_pump(void *a, void *b) {
    (void) b;
    pump(a);
}

/* The events' loop. */
static void on_ready(void *ctx) {
    struct bp_link *l = ctx;

    bp_loop_post_surely(l->loop, do_pump, l, NULL);
}

/* ---- what the server says ---- */

static void on_ack(struct bp_link *l, const json_t *ack) {
    struct bp_link_live *v = &l->live;
    json_int_t n = json_integer_value(ack);

    if (n < 0 || (uint64_t) n <= v->acked || (uint64_t) n > v->sent)
        return;
    v->acked = (uint64_t) n;
    if (v->probe > 0 && v->acked >= v->probe) {
        bp_ns_t took = bp_mono_ns() - v->mono_probe;

        if (took > SLOW_MS * BP_MS)
            v->window = BP_MAX(v->window / 2, (size_t) WINDOW_MIN);
        else if (took < QUICK_MS * BP_MS)
            v->window = BP_MIN(v->window + PIECE, (size_t) WINDOW_MAX);
        v->probe = 0;
    }
    pump(l);
}

/* @param ask  taken over */
static void on_ask(struct bp_link *l, json_t *ask) {
    struct bp_link_live *v = &l->live;

    if (!v->tap && bp_link_live_is_on(l))
        v->tap = bp_events_tap_open(l->agent->events, on_ready, l);
    if (!v->tap)
        json_decref(ask);
    else if (!bp_events_tap_say(v->tap, ask))
        bp_ws_client_shut(v->ws, 1008, "too many messages");
}

static uint32_t limit_of(const json_t *limits, const char *key, uint32_t most) {
    json_int_t n = json_integer_value(json_object_get(limits, key));

    return n > 0 && n < most ? (uint32_t) n : most;
}

static void on_limits(struct bp_link *l, const json_t *limits) {
    struct bp_link_live *v = &l->live;
    double rate = (double) l->agent->config->link.live_rate;
    double most = json_number_value(json_object_get(limits, "bytes_s"));

    if (most > 0)
        rate = BP_MIN(rate, most * 0.9); /* clocks differ */
    v->max_message = limit_of(limits, "max_message", MESSAGE_MAX);
    v->max_text = limit_of(limits, "max_text", TEXT_MAX);
    bp_bucket_set(&v->bucket, rate, 0, bp_mono_ns());
}

bool bp_link_live_message(struct bp_link *l, json_t *message) {
    json_t *live = json_object_get(message, "live"), *ask;
    const json_t *welcome = json_object_get(message, "welcome");

    if (welcome)
        on_limits(l, json_object_get(welcome, "live"));
    if (!live || welcome)
        return false;
    if (!l->live.ws)
        return true;
    on_ack(l, json_object_get(live, "ack"));
    ask = json_object_get(live, "ask");
    if (ask) {
        json_incref(ask);
        (void) json_object_del(live, "ask"); /* it is the events' alone from here on */
        on_ask(l, ask);
    }
    return true;
}

/* ---- its life ---- */

void bp_link_live_begin(struct bp_link *l, struct bp_ws_client *ws) {
    struct bp_link_live *v = &l->live;

    v->ws = ws;
    v->sent = v->acked = v->probe = 0;
    v->window = WINDOW_FIRST;
    v->mono_next = 0;
    on_limits(l, NULL);
}

/* What it watched is let go of. @return the tap, still open */
static struct bp_events_tap *leave(struct bp_link_live *v) {
    v->ws = NULL;
    if (v->frame)
        drop_frame(v);
    return BP_TAKE_PTR(v->tap);
}

void bp_link_live_end(struct bp_link *l) {
    bp_events_tap_close(leave(&l->live), false);
}

static void do_leave(void *a, void *b) {
    struct bp_link *l = a;

    *(struct bp_events_tap **) b = leave(&l->live);
}

void bp_link_live_stop(struct bp_link *l) {
    struct bp_events_tap *tap = NULL;

    bp_loop_call(l->loop, do_leave, l, (void *) &tap);
    bp_events_tap_close(tap, true);
}

static void do_watch(void *a, void *b) {
    struct bp_link *l = a;

    *(int *) b = bp_loop_watch(l->loop, &l->live.timer, EPOLLIN);
}

static void do_unwatch(void *a, void *b) {
    struct bp_link *l = a;

    (void) b;
    bp_loop_unwatch(l->loop, &l->live.timer);
}

int bp_link_live_open(struct bp_link *l) {
    int r = -EINVAL;

    l->live.timer.on = on_timer;
    l->live.timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->live.timer.fd < 0)
        return -errno;
    bp_loop_call(l->loop, do_watch, l, &r);
    return r;
}

void bp_link_live_close(struct bp_link *l) {
    if (!l->loop || l->live.timer.fd < 0)
        return;
    bp_link_live_stop(l);
    bp_loop_call(l->loop, do_unwatch, l, NULL);
    (void) close(l->live.timer.fd);
    bp_buf_done(&l->live.piece);
}
