#include "net/ws.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <utlist.h>

#include "net/ws-shake.h"

/* The life of a connection, on its loop:
 *
 * OPEN → CLOSING   we have something against it, or it has sent its close frame: nothing more is
 *                  read or sent but our close frame, and the rest of a frame half sent
 * CLOSING → SHUT   our close frame is sent, the socket shut for writing: the client reads it before
 *                  it sees the end. What it still sends is thrown away, so that the system does not
 *                  answer with a reset, which would take our close frame from it
 * any → gone       the other side has closed, or a deadline has passed */
enum ws_state { OPEN, CLOSING, SHUT };

enum {
    BATCH = 64, /* frames of one system call */
    BATCH_BYTES = 128 * 1024,
    TURN_BYTES = 512 * 1024, /* then it is another's turn */
    READ_BYTES = 16 * 1024,
    READS = 4, /* likewise */
    NOT_SENT_BYTES = 128 * 1024,
};

struct bp_ws {
    struct bp_peer peer;
    struct bp_loop_fd fd;
    struct bp_ws *prev, *next;
    struct bp_ws_server *server;
    struct bp_http_upgrade *upgrade;
    void *data;
    struct bp_ws_reader in;
    enum ws_state state;
    bool writing; /* waits for room in the socket */
    bool pinged;
    unsigned code;          /* to be told to end() */
    struct bp_frame *pong;  /* the answer to the last ping */
    struct bp_frame *close; /* our close frame, until it is sent */
    struct bp_frame **held; /* taken and not wholly sent */
    unsigned nheld;
    size_t held_off;   /* bytes of the first that are sent */
    bp_ns_t mono_seen; /* the client sent something */
    bp_ns_t mono_ping;
    bp_ns_t mono_message; /* a message was begun, or 0 */
    bp_ns_t mono_stuck;   /* it takes nothing since, or 0 */
    bp_ns_t mono_until;   /* CLOSING, SHUT: then cut */
};

struct bp_ws_server {
    struct bp_ws_options o;
    unsigned refs;         /* [atomic] handshakes under way, and the owner */
    struct bp_mutex lock;  /* leaf */
    pthread_cond_t empty;  /* the last connection went */
    unsigned n;            /* [lock] connections and handshakes */
    bool stopping;         /* [lock] */
    struct bp_frame *ping; /* shared */
    unsigned nloops;
    struct at_loop {
        struct bp_ws_server *server;
        struct bp_ws *list;
        struct bp_loop_tick tick;
        struct bp_ws_spare spare;
        uint8_t *buf;
    } at[]; /* each its loop's */
};

static void gone(struct bp_ws *ws);

static struct at_loop *at_of(struct bp_ws *ws) {
    return &ws->server->at[ws->peer.loop_index];
}

static struct bp_ws *ws_of_peer(struct bp_peer *p) {
    return BP_CONTAINER_OF(p, struct bp_ws, peer);
}

struct bp_peer *bp_ws_peer(struct bp_ws *ws) {
    return &ws->peer;
}

/* --- closing --- */

/* Rows of the metric: closed, lost, bad_input, too_slow. */
static void count_end(unsigned code) {
    unsigned why = code == 1006                                   ? 1
                   : code == 1013                                 ? 3
                   : code >= 1002 && code <= 1009 && code != 1005 ? 2
                                                                  : 0;

    bp_counter_add(&bp_fanout_stats.ws_ended[why], 1);
}

void bp_ws_shut(struct bp_ws *ws, unsigned code, const char *reason) {
    uint8_t body[125] = { (uint8_t) (code >> 8), (uint8_t) code };
    size_t n = BP_MIN(reason ? strlen(reason) : 0, sizeof body - 2);

    if (ws->state != OPEN)
        return;
    if (n > 0)
        /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): bytes of a frame, no text */
        memcpy(body + 2, reason, n);
    ws->state = CLOSING;
    ws->code = code;
    ws->close = bp_frame_of(BP_WS_CLOSE, body, code == 1005 ? 0 : n + 2);
    ws->mono_until = bp_mono_ns() + ws->server->o.close_timeout;
    bp_peer_clear(&ws->peer);
    bp_loop_soon(ws->peer.loop, &ws->peer.soon);
}

static void server_unref(struct bp_ws_server *s) {
    if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (unsigned i = 0; i < s->nloops; i++)
        free(s->at[i].buf);
    bp_frame_unref(s->ping);
    (void) pthread_cond_destroy(&s->empty);
    bp_mutex_done(&s->lock);
    free(s);
}

/* A connection or a handshake has ended. */
static void leave(struct bp_ws_server *s, void *data, unsigned code) {
    s->o.ops->end(data, code);
    bp_mutex_lock(&s->lock);
    if (--s->n == 0)
        (void) pthread_cond_broadcast(&s->empty);
    bp_mutex_unlock(&s->lock);
    server_unref(s);
}

static void gone(struct bp_ws *ws) {
    struct bp_ws_server *s = ws->server;

    count_end(ws->code);
    bp_gauge_add(&bp_fanout_stats.ws_open, -1);
    bp_loop_unwatch(ws->peer.loop, &ws->fd);
    DL_DELETE(at_of(ws)->list, ws);
    bp_peer_done(&ws->peer);
    bp_ws_reader_done(&ws->in);
    for (unsigned i = 0; i < ws->nheld; i++)
        bp_frame_unref(ws->held[i]);
    free(ws->held);
    bp_frame_unref(ws->pong);
    bp_frame_unref(ws->close);
    bp_http_upgrade_close(ws->upgrade);
    leave(s, ws->data, ws->code);
    free(ws);
}

/* --- sending --- */

struct batch {
    struct bp_frame *v[BATCH];
    unsigned n;
    size_t off; /* bytes of the first that are sent */
};

/* What goes out next: the answer to a ping, then the peer's frames; in the end the close frame. */
static void fill(struct bp_ws *ws, struct batch *b) {
    if (ws->pong)
        b->v[b->n++] = BP_TAKE_PTR(ws->pong);
    if (ws->state == OPEN)
        b->n += (unsigned) bp_peer_take(&ws->peer, b->v + b->n, BATCH - b->n, BATCH_BYTES);
    else if (ws->close)
        b->v[b->n++] = BP_TAKE_PTR(ws->close);
}

/* Releases what is sent. */
static void sent(struct batch *b, size_t bytes) {
    unsigned whole = 0;

    bytes += b->off;
    while (whole < b->n && bytes >= bp_frame_wire(b->v[whole]).n) {
        bytes -= bp_frame_wire(b->v[whole]).n;
        bp_frame_unref(b->v[whole++]);
    }
    b->off = bytes;
    b->n -= whole;
    memmove(b->v, b->v + whole, b->n * sizeof(struct bp_frame *));
}

/* @return bytes sent, -errno */
static ssize_t send_batch(int fd, const struct batch *b) {
    struct iovec iov[BATCH];
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = b->n };
    ssize_t n;

    for (unsigned i = 0; i < b->n; i++) {
        struct bp_str wire = bp_frame_wire(b->v[i]);
        size_t off = i == 0 ? b->off : 0;

        memcpy(&iov[i].iov_base, &(const char *){ wire.p + off }, sizeof(void *));
        iov[i].iov_len = wire.n - off;
    }
    do
        n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Keeps for later what did not go. @return 0, -ENOMEM */
static int hold(struct bp_ws *ws, struct batch *b) {
    ws->held = malloc(b->n * sizeof(struct bp_frame *));
    if (!ws->held) {
        for (unsigned i = 0; i < b->n; i++)
            bp_frame_unref(b->v[i]);
        return -ENOMEM;
    }
    memcpy(ws->held, b->v, b->n * sizeof(struct bp_frame *));
    ws->nheld = b->n;
    ws->held_off = b->off;
    return 0;
}

static void take_held(struct bp_ws *ws, struct batch *b) {
    if (ws->nheld > 0)
        memcpy(b->v, ws->held, ws->nheld * sizeof(struct bp_frame *));
    b->n = ws->nheld;
    b->off = ws->held_off;
    free(BP_TAKE_PTR(ws->held));
    ws->nheld = 0;
    ws->held_off = 0;
}

/* What is waited for of the descriptor. */
static void want_room(struct bp_ws *ws, bool writing) {
    if (!writing)
        ws->mono_stuck = 0;
    else if (ws->mono_stuck == 0)
        ws->mono_stuck = bp_mono_ns();
    if (writing == ws->writing)
        return;
    ws->writing = writing;
    bp_loop_change(ws->peer.loop, &ws->fd, EPOLLIN | EPOLLRDHUP | (writing ? EPOLLOUT : 0));
}

/* Sends until there is nothing more, no room, or it is another's turn.
 * @return 0; 1: goes on in the next round; -EAGAIN: no room; another: broken */
static int send_some(struct bp_ws *ws) {
    struct batch b;
    size_t total = 0;
    int r = 0;

    take_held(ws, &b);
    for (;;) {
        ssize_t n;

        if (b.n == 0)
            fill(ws, &b);
        if (b.n == 0)
            return 0;
        n = send_batch(ws->fd.fd, &b);
        if (n < 0) {
            r = (int) n;
            break;
        }
        sent(&b, (size_t) n);
        ws->mono_stuck = 0;
        total += (size_t) n;
        if (total >= TURN_BYTES) {
            r = 1;
            break;
        }
    }
    if (b.n > 0 && hold(ws, &b) < 0)
        return -ENOMEM;
    return r;
}

/* May free it. */
static void flush(struct bp_ws *ws) {
    int r;

    if (ws->state == SHUT)
        return;
    if (ws->state == OPEN && bp_peer_overflown(&ws->peer))
        bp_ws_shut(ws, 1013, "too slow");
    r = send_some(ws);
    if (r == 1) {
        bp_loop_soon(ws->peer.loop, &ws->peer.soon);
        r = 0;
    } else if (r == 0 && ws->state == CLOSING) {
        ws->state = SHUT;
        (void) shutdown(ws->fd.fd, SHUT_WR);
    }
    if (r == 0 || r == -EAGAIN) {
        want_room(ws, r == -EAGAIN);
        return;
    }
    if (ws->state == OPEN)
        ws->code = 1006;
    gone(ws);
}

static void on_ready(struct bp_peer *p) {
    flush(ws_of_peer(p));
}

static struct bp_frame *on_lost(struct bp_peer *p, struct bp_channel *ch, uint64_t n) {
    struct bp_ws *ws = ws_of_peer(p);

    return ws->server->o.ops->lost ? ws->server->o.ops->lost(ws, ws->data, ch, n) : NULL;
}

void bp_ws_send(struct bp_ws *ws, const char *text, size_t n) {
    if (ws->state == OPEN)
        bp_peer_put(&ws->peer, bp_frame_of(BP_WS_TEXT, text, n));
}

/* --- receiving --- */

static void on_close_frame(struct bp_ws *ws, struct bp_str body) {
    bool bad;
    unsigned code = bp_ws_close_code(body, &bad);

    bp_ws_shut(ws, code, NULL);
}

static bool on_message(void *ctx, enum bp_ws_opcode opcode, struct bp_str body) {
    struct bp_ws *ws = ctx;

    switch (opcode) {
    case BP_WS_PING: /* only the last one need be answered (RFC 6455 §5.5.3) */
        bp_frame_unref(ws->pong);
        ws->pong = bp_frame_of(BP_WS_PONG, body.p, body.n);
        bp_loop_soon(ws->peer.loop, &ws->peer.soon);
        break;
    case BP_WS_PONG:
        break;
    case BP_WS_CLOSE:
        on_close_frame(ws, body);
        break;
    case BP_WS_TEXT:
    case BP_WS_BINARY:
        bp_counter_add(&bp_fanout_stats.ws_messages, 1);
        ws->server->o.ops->message(ws, ws->data, opcode, body);
        break;
    }
    return ws->state == OPEN;
}

static void received(struct bp_ws *ws, const uint8_t *p, size_t n) {
    const struct bp_ws_options *o = &ws->server->o;
    const struct bp_ws_limits limits = { .max_message_bytes = o->max_message_bytes,
                                         .max_fragments = o->max_fragments };
    unsigned code;

    ws->mono_seen = bp_mono_ns();
    ws->pinged = false;
    if (ws->state != OPEN)
        return;
    code = bp_ws_read(&ws->in, &at_of(ws)->spare, &limits, p, n, on_message, ws);
    if (code != 0)
        bp_ws_shut(ws, code, NULL);
    if (ws->state != OPEN)
        bp_ws_reader_done(&ws->in);
    if (!bp_ws_reader_is_busy(&ws->in))
        ws->mono_message = 0;
    else if (ws->mono_message == 0)
        ws->mono_message = ws->mono_seen;
}

static void on_fd(struct bp_loop_fd *f, uint32_t events) {
    struct bp_ws *ws = BP_CONTAINER_OF(f, struct bp_ws, fd);
    uint8_t *buf = at_of(ws)->buf;

    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        for (unsigned i = 0; i < READS; i++) {
            ssize_t n = recv(f->fd, buf, READ_BYTES, MSG_DONTWAIT);

            if (n > 0) {
                received(ws, buf, (size_t) n);
                if (n < READ_BYTES)
                    break;
                continue;
            }
            if (n < 0 && (errno == EAGAIN || errno == EINTR))
                break;
            if (ws->state == OPEN)
                ws->code = 1006;
            gone(ws);
            return;
        }
    }
    if (events & EPOLLOUT)
        flush(ws);
}

/* --- deadlines --- */

/* @return false: its owner has something against it */
static bool may_stay(struct bp_ws *ws) {
    const struct bp_ws_ops *ops = ws->server->o.ops;
    const char *reason = NULL;
    unsigned code = ops->look ? ops->look(ws, ws->data, &reason) : 0;

    if (code)
        bp_ws_shut(ws, code, reason);
    return code == 0;
}

static void look_after(struct bp_ws *ws, bp_ns_t now) {
    const struct bp_ws_options *o = &ws->server->o;
    bool late = ws->pinged && now - ws->mono_ping > o->pong_timeout;

    if (ws->state != OPEN ? now > ws->mono_until
                          : late || (ws->mono_stuck && now - ws->mono_stuck > o->write_timeout)) {
        ws->code = ws->state == OPEN ? 1006 : ws->code;
        gone(ws);
        return;
    }
    if (ws->state != OPEN || !may_stay(ws))
        return;
    if (ws->mono_message && now - ws->mono_message > o->message_timeout) {
        bp_ws_shut(ws, 1008, "a message took too long");
    } else if (!ws->pinged && now - ws->mono_seen > o->ping_interval) {
        ws->pinged = true;
        ws->mono_ping = now;
        bp_peer_put(&ws->peer, bp_frame_ref(ws->server->ping));
    }
}

static void on_tick(struct bp_loop_tick *t) {
    struct at_loop *at = BP_CONTAINER_OF(t, struct at_loop, tick);
    bp_ns_t now = bp_mono_ns();
    struct bp_ws *ws, *next;

    DL_FOREACH_SAFE(at->list, ws, next) {
        look_after(ws, now);
    }
}

/* --- coming and going --- */

static const struct bp_peer_ops peer_ops = { .ready = on_ready, .lost = on_lost };

/* A handshake under way, then what the HTTP server hands over. */
struct handshake {
    struct bp_ws_server *server; /* a reference */
    void *data;
    struct bp_ws *ws;
    struct bp_buf early; /* sent by the client already */
};

static void handshake_free(struct handshake *h) {
    bp_buf_done(&h->early);
    free(h);
}

/* Loop thread. */
static void begin(void *a, void *b) {
    struct handshake *h = a;
    struct bp_ws *ws = h->ws;

    (void) b;
    DL_APPEND(at_of(ws)->list, ws);
    bp_counter_add(&bp_fanout_stats.ws_opened, 1);
    bp_gauge_add(&bp_fanout_stats.ws_open, 1);
    ws->mono_seen = bp_mono_ns();
    if (bp_loop_watch(ws->peer.loop, &ws->fd, EPOLLIN | EPOLLRDHUP) < 0) {
        gone(ws);
    } else {
        ws->server->o.ops->open(ws, ws->data);
        if (h->early.n > 0)
            received(ws, h->early.p, h->early.n);
    }
    handshake_free(h);
}

static void set_socket(int fd) {
    int one = 1, low = NOT_SENT_BYTES;

    /* what waits in the system cannot be replaced by something newer; no error on a unix socket */
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof low);
}

static void never_came(void *ctx) {
    struct handshake *h = ctx;

    leave(h->server, h->data, 1006);
    handshake_free(h);
}

static bool is_stopping(struct bp_ws_server *s) {
    bool yes;

    bp_mutex_lock(&s->lock);
    yes = s->stopping;
    bp_mutex_unlock(&s->lock);
    return yes;
}

/* Loop thread of the HTTP server: the 101 is sent. */
static void take(void *ctx, int fd, struct bp_str early, struct bp_http_upgrade *u) {
    struct handshake *h = ctx;
    struct bp_ws *ws = calloc(1, sizeof *ws);

    bp_buf_put(&h->early, early.p, early.n);
    if (!ws || h->early.failed || is_stopping(h->server)) {
        free(ws);
        bp_http_upgrade_close(u);
        never_came(h);
        return;
    }
    h->ws = ws;
    ws->server = h->server;
    ws->data = h->data;
    ws->upgrade = u;
    ws->code = 1006;
    ws->fd = (struct bp_loop_fd){ .fd = fd, .on = on_fd };
    bp_peer_init(&ws->peer, ws->server->o.fanout, &peer_ops, ws->server->o.max_own_bytes);
    set_socket(fd);
    if (bp_loop_post(ws->peer.loop, begin, h, NULL) == 0)
        return;
    bp_peer_done(&ws->peer);
    free(ws);
    bp_http_upgrade_close(u);
    never_came(h);
}

/* --- handshake --- */

bool bp_ws_is_asked(const struct bp_http_req *req) {
    const char *upgrade = bp_http_header(req, "Upgrade");

    return upgrade && strcasecmp(upgrade, "websocket") == 0;
}

/* 16 bytes in base64 (RFC 6455 §4.1). */
static bool is_key(const char *key) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    return key && strlen(key) == 24 && strspn(key, digits) == 22 && bp_streq(key + 22, "==");
}

static int refuse(struct bp_ws_server *s, struct bp_http_reply *reply, void *data, int status,
                  const char *why) {
    struct bp_error err;

    bp_counter_add(&bp_fanout_stats.ws_refused, 1);
    (void) bp_fail(&err, BP_EUSAGE, "%s", why);
    bp_http_reply_problem(reply, status, &err);
    s->o.ops->end(data, 1006);
    return 0;
}

/* A place among the connections. */
static bool enter(struct bp_ws_server *s) {
    bool room;

    bp_mutex_lock(&s->lock);
    room = !s->stopping && s->n < s->o.max_connections;
    if (room)
        s->n++;
    bp_mutex_unlock(&s->lock);
    return room;
}

int bp_ws_accept(struct bp_ws_server *s, struct bp_http_req *req, struct bp_http_reply *reply,
                 void *data) {
    const char *key = bp_http_header(req, "Sec-WebSocket-Key");
    const char *version = bp_http_header(req, "Sec-WebSocket-Version");
    struct handshake *h;
    char text[BP_WS_ACCEPT_TEXT];

    if (!version || !bp_streq(version, "13")) {
        bp_http_reply_header(reply, "Sec-WebSocket-Version", "13");
        bp_http_reply_header(reply, "Upgrade", "websocket");
        return refuse(s, reply, data, version ? 426 : 400,
                      "the version of WebSocket known here is 13");
    }
    if (!is_key(key) || !bp_streq(bp_http_method(req), "GET"))
        return refuse(s, reply, data, 400, "Sec-WebSocket-Key must be 16 bytes in base64");
    h = enter(s) ? calloc(1, sizeof *h) : NULL;
    if (!h)
        return refuse(s, reply, data, 503, "too many WebSockets are open");
    h->server = s;
    h->data = data;
    (void) __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    bp_ws_accept_text(key, text);
    bp_http_reply_upgrade(reply, "websocket", take, never_came, h);
    bp_http_reply_header(reply, "Sec-WebSocket-Accept", text);
    return 0;
}

/* --- the server --- */

static void tick_on(void *a, void *b) {
    bp_loop_tick_add(b, a);
}

static void close_all(void *a, void *b) {
    struct at_loop *at = a;
    struct bp_ws *ws, *next;

    DL_FOREACH_SAFE(at->list, ws, next) {
        if (b)
            gone(ws);
        else
            bp_ws_shut(ws, 1001, "the server is ending");
    }
}

static void loop_off(void *a, void *b) {
    struct at_loop *at = a;

    bp_loop_tick_remove(b, &at->tick);
    bp_ws_spare_done(&at->spare);
}

static void set_defaults(struct bp_ws_options *o) {
    o->max_message_bytes = o->max_message_bytes ? o->max_message_bytes : (size_t) 64 * 1024;
    o->max_fragments = o->max_fragments ? o->max_fragments : 64;
    o->max_connections = o->max_connections ? o->max_connections : 1024;
    o->ping_interval = o->ping_interval ? o->ping_interval : 20 * BP_SEC;
    o->pong_timeout = o->pong_timeout ? o->pong_timeout : 20 * BP_SEC;
    o->write_timeout = o->write_timeout ? o->write_timeout : 30 * BP_SEC;
    o->message_timeout = o->message_timeout ? o->message_timeout : 30 * BP_SEC;
    o->close_timeout = o->close_timeout ? o->close_timeout : 2 * BP_SEC;
}

int bp_ws_server_open(const struct bp_ws_options *o, struct bp_ws_server **ret,
                      struct bp_error *err) {
    unsigned n = bp_fanout_loops(o->fanout);
    struct bp_ws_server *s = calloc(1, sizeof *s + n * sizeof s->at[0]);
    pthread_condattr_t attr;
    bool ok;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    s->o = *o;
    set_defaults(&s->o);
    s->refs = 1;
    s->nloops = n;
    bp_mutex_init(&s->lock);
    (void) pthread_condattr_init(&attr);
    (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&s->empty, &attr);
    (void) pthread_condattr_destroy(&attr);
    s->ping = bp_frame_of(BP_WS_PING, NULL, 0);
    ok = s->ping != NULL;
    for (unsigned i = 0; i < n; i++) {
        s->at[i].server = s;
        s->at[i].tick.run = on_tick;
        s->at[i].buf = malloc(READ_BYTES);
        ok = ok && s->at[i].buf;
    }
    if (!ok) {
        server_unref(s);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    for (unsigned i = 0; i < n; i++) {
        struct bp_loop *l = bp_fanout_loop_at(o->fanout, i);

        bp_loop_call(l, tick_on, &s->at[i].tick, l);
    }
    *ret = s;
    return 0;
}

/* Waits until the last one has gone, or mono_until. */
static void wait_empty(struct bp_ws_server *s, bp_ns_t mono_until) {
    struct timespec until = { .tv_sec = mono_until / BP_SEC, .tv_nsec = mono_until % BP_SEC };

    bp_mutex_lock(&s->lock);
    while (s->n > 0 && bp_mono_ns() < mono_until)
        (void) pthread_cond_timedwait(&s->empty, &s->lock.m, &until);
    bp_mutex_unlock(&s->lock);
}

void bp_ws_server_stop(struct bp_ws_server *s, bp_ns_t max) {
    if (!s)
        return;
    bp_mutex_lock(&s->lock);
    s->stopping = true;
    bp_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->nloops; i++)
        bp_loop_call(bp_fanout_loop_at(s->o.fanout, i), close_all, &s->at[i], NULL);
    wait_empty(s, bp_mono_ns() + max);
    for (unsigned i = 0; i < s->nloops; i++)
        bp_loop_call(bp_fanout_loop_at(s->o.fanout, i), close_all, &s->at[i], s);
}

void bp_ws_server_close(struct bp_ws_server *s) {
    if (!s)
        return;
    for (unsigned i = 0; i < s->nloops; i++) {
        struct bp_loop *l = bp_fanout_loop_at(s->o.fanout, i);

        bp_loop_call(l, close_all, &s->at[i], s);
        bp_loop_call(l, loop_off, &s->at[i], l);
    }
    server_unref(s);
}
