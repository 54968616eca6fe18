/* A WebSocket server on the rooms of net/ alone, for tests and benches from outside. ws-probe
 * ADDRESS… prints the addresses it listens on and answers until SIGTERM.
 *
 *   /ws                                     echoes
 *   /feed?policy=bounded|latest|close       what is published; a message "N" gives N credits
 *   /events                                 the same as server-sent events
 *   POST /start?rate=&size=&seconds=        publishes, and answers when it is done
 *
 * A message of the feed begins with its number and the moment it was due, in nanoseconds of
 * CLOCK_MONOTONIC, 8 bytes each, little-endian. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "net/sse.h"
#include "net/ws.h"

static struct bp_fanout *fanout;
static struct bp_ws_server *echo_server, *feed_server;
static struct bp_channel *channel;

static void on_open(struct bp_ws *ws, void *data) {
    (void) ws;
    (void) data;
}

static void on_end(void *data, unsigned code) {
    (void) data;
    (void) code;
}

static void echo(struct bp_ws *ws, void *data, enum bp_ws_opcode opcode, struct bp_str body) {
    (void) data;
    bp_peer_put(bp_ws_peer(ws), bp_frame_of(opcode, body.p, body.n));
}

/* `data` is the policy, a constant text. */
static void feed_open(struct bp_ws *ws, void *data) {
    struct bp_feed_options o = { .max_frames = 4096, .max_bytes = (size_t) 4 << 20 };
    struct bp_feed *f;

    while (o.policy + 1 < BP_FEED_POLICY_COUNT_ &&
           !bp_streq(bp_feed_policy_text(o.policy), (const char *) data))
        o.policy++;
    if (bp_feed_open(bp_ws_peer(ws), channel, &o, NULL, &f) < 0)
        bp_ws_shut(ws, 1011, "out of memory");
}

static void feed_message(struct bp_ws *ws, void *data, enum bp_ws_opcode opcode,
                         struct bp_str body) {
    struct bp_feed *f = bp_peer_feed(bp_ws_peer(ws), channel);

    (void) data;
    (void) opcode;
    if (f && body.n == 1)
        bp_feed_credit(f, (unsigned) (body.p[0] - '0'));
}

static int get_echo(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    return bp_ws_accept(echo_server, req, reply, NULL);
}

static int get_feed(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    static char policies[][8] = { "bounded", "latest", "close" };
    const char *policy = bp_http_query(req, "policy");
    void *data = policies[0];

    (void) err;
    for (size_t i = 0; policy && i < BP_COUNT(policies); i++)
        if (bp_streq(policy, policies[i]))
            data = policies[i];
    return bp_ws_accept(feed_server, req, reply, data);
}

static int sse_begin(struct bp_peer *p, void *data) {
    struct bp_feed *f;

    (void) data;
    return bp_feed_open(p, channel, &(struct bp_feed_options){ .max_frames = 4096 }, NULL, &f);
}

static void sse_put(struct bp_buf *out, const struct bp_frame *f, void *data) {
    (void) data;
    bp_buf_printf(out, "data: %llu\n\n", (unsigned long long) f->seq);
}

static void sse_end(void *data) {
    (void) data;
}

static int get_events(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    static const struct bp_sse_ops ops = { .begin = sse_begin, .put = sse_put, .end = sse_end };

    (void) req;
    return bp_sse_reply(fanout, &ops, reply, NULL, err);
}

static int64_t number_of(const struct bp_http_req *req, const char *name, int64_t otherwise) {
    const char *text = bp_http_query(req, name);

    return text ? strtoll(text, NULL, 10) : otherwise;
}

static int start(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    int64_t rate = number_of(req, "rate", 1000), size = number_of(req, "size", 200);
    int64_t n = rate * number_of(req, "seconds", 1);
    bp_ns_t begin = bp_mono_ns();

    if (rate <= 0 || size < 16 || size > 1 << 24)
        return bp_fail(err, BP_EUSAGE, "rate, size, seconds");
    for (int64_t i = 0; i < n; i++) {
        bp_ns_t due = begin + i * BP_SEC / rate;
        struct bp_frame *f = bp_frame_new(BP_WS_BINARY, 0, (size_t) size);

        if (!f)
            return bp_fail(err, -ENOMEM, "out of memory");
        memset(bp_frame_payload(f), 'x', (size_t) size);
        bp_st_le64(bp_frame_payload(f), (uint64_t) i);
        bp_st_le64(bp_frame_payload(f) + 8, (uint64_t) due);
        bp_sleep_until(due);
        (void) bp_channel_publish(channel, f);
    }
    bp_http_reply_json(reply, 200, json_pack("{s:I}", "published", (json_int_t) n));
    return 0;
}

static int metrics(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    BP_AUTO_BUF body = { 0 };

    (void) req;
    (void) err;
    bp_metrics_render(&body, bp_fanout_metrics, bp_fanout_metrics_count);
    bp_http_reply_buf(reply, 200, "text/plain; version=0.0.4", &body);
    return 0;
}

static const struct bp_http_route routes[] = {
    { "GET", "/ws", get_echo, BP_HTTP_PUBLIC, "echoes" },
    { "GET", "/feed", get_feed, BP_HTTP_PUBLIC, "what is published" },
    { "GET", "/events", get_events, BP_HTTP_PUBLIC, "the same as server-sent events" },
    { "POST", "/start", start, BP_HTTP_PUBLIC, "publishes" },
    { "GET", "/metrics", metrics, BP_HTTP_PUBLIC, "what the fan-out did" },
};

int main(int argc, char *argv[]) {
    static const struct bp_ws_ops echo_ops = { .open = on_open, .message = echo, .end = on_end };
    static const struct bp_ws_ops feed_ops = { .open = feed_open,
                                               .message = feed_message,
                                               .end = on_end };
    struct bp_http_options o = { .routes = routes,
                                 .nroutes = BP_COUNT(routes),
                                 .max_connections = 12000 };
    struct bp_http *h = NULL;
    struct bp_error err;
    sigset_t set;
    unsigned cut;
    int got, r;

    (void) argc;
    (void) signal(SIGPIPE, SIG_IGN);
    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGTERM);
    (void) pthread_sigmask(SIG_BLOCK, &set, NULL);

    o.listen = (const char *const *) argv + 1; /* NULL at its end */
    r = bp_fanout_open(NULL, &fanout, &err);
    if (r == 0)
        r = bp_ws_server_open(&(struct bp_ws_options){ .fanout = fanout,
                                                       .ops = &echo_ops,
                                                       .max_message_bytes = 1 << 20,
                                                       .max_connections = 12000 },
                              &echo_server, &err);
    if (r == 0)
        r = bp_ws_server_open(
            &(struct bp_ws_options){ .fanout = fanout, .ops = &feed_ops, .max_connections = 12000 },
            &feed_server, &err);
    channel =
        r == 0 ? bp_channel_new(fanout, &(struct bp_channel_options){ .name = "feed" }) : NULL;
    if (!channel || bp_http_open(&o, &h, &err) < 0) {
        (void) fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (size_t i = 0; bp_http_address(h, i); i++)
        (void) printf("%s\n", bp_http_address(h, i));
    (void) fflush(stdout);

    (void) sigwait(&set, &got);
    bp_ws_server_stop(echo_server, BP_SEC);
    bp_ws_server_stop(feed_server, BP_SEC);
    cut = bp_http_drain(h, 5 * BP_SEC);
    bp_http_close(h);
    bp_ws_server_close(echo_server);
    bp_ws_server_close(feed_server);
    bp_channel_unref(channel);
    bp_fanout_close(fanout);
    return cut == 0 ? 0 : 1;
}
