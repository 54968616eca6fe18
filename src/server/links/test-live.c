#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"
#include "base/ulid.h"
#include "media/media.h"
#include "net/pieces.h"
#include "net/ws-client.h"
#include "server/links/links.h"

/* An agent in this process, and viewers on a fan-out as the events have one: made to be run with a
 * sanitizer of threads. The agent sends a frame for each credit, at once. */

enum { WAIT_S = 30, VIEWERS = 6, ENOUGH = 200 };

static const char name[] = "device:a/image:/x?width=64";

static char dir[64], ulid[BP_ULID_TEXT];
static struct bp_links *links;
static struct bp_loop *loop; /* the agent's */
static struct bp_ws_client *ws;
static unsigned asked, left, credits, ended, welcomes; /* [atomic] what the agent was told */
static uint64_t sent, acked;                           /* [atomic] bytes of pieces */
static struct bp_fanout *fanout;

struct viewer {
    struct bp_peer peer;
    struct bp_feed *feed;
    bool gives; /* credit for each frame */
    uint32_t stream;
    uint64_t seq;
    unsigned frames, whys, wrong; /* [atomic] */
};

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *f) {
    (void) st;
    (void) flag;
    (void) f;
    return remove(path);
}

static void add(unsigned *n) { /* NOLINT(readability-non-const-parameter) */
    (void) __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

static unsigned get(const unsigned *n) {
    return __atomic_load_n(n, __ATOMIC_RELAXED);
}

/* ---- the agent: its loop's thread ---- */

static void say(struct bp_ws_client *c, json_t *o) {
    char *text = json_dumps(o, JSON_COMPACT);

    (void) !bp_ws_client_send(c, BP_WS_TEXT, text, strlen(text));
    free(text);
    json_decref(o);
}

static void send_whole(struct bp_ws_client *c, unsigned kind, const void *p, size_t n) {
    uint8_t piece[BP_PIECE_HEAD + 512];

    bp_piece_head(piece, kind, (uint32_t) n, 0);
    memcpy(piece + BP_PIECE_HEAD, p, n);
    if (bp_ws_client_send(c, BP_WS_BINARY, piece, BP_PIECE_HEAD + n) == 0)
        (void) __atomic_add_fetch(&sent, BP_PIECE_HEAD + n, __ATOMIC_RELAXED);
}

static void send_frame(struct bp_ws_client *c) {
    uint8_t frame[BP_MEDIA_HEAD + 4] = "BPM1";

    add(&credits);
    bp_st_le16(frame + 4, BP_MEDIA_JPEG);
    bp_st_le16(frame + 6, BP_MEDIA_HEAD);
    bp_st_le32(frame + 8, 5); /* as it has said in its answer */
    bp_st_le32(frame + 12, 4);
    send_whole(c, BP_PIECE_BINARY, frame, sizeof frame);
}

static void on_ask(struct bp_ws_client *c, const json_t *ask) {
    const json_t *wish = json_array_get(json_object_get(ask, "subscribe"), 0);
    char answer[200];

    if (json_object_get(ask, "unsubscribe"))
        add(&left);
    if (json_object_get(ask, "credit"))
        send_frame(c);
    if (!wish)
        return;
    add(&asked);
    (void) snprintf(answer, sizeof answer, "{\"id\":%d,\"subscribed\":[{\"stream\":5}]}",
                    (int) json_integer_value(json_object_get(ask, "id")));
    send_whole(c, BP_PIECE_TEXT, answer, strlen(answer));
    if (json_integer_value(json_object_get(wish, "credit")) > 0)
        send_frame(c);
}

static void on_open(void *ctx, struct bp_ws_client *c) {
    (void) ctx;
    say(c, json_pack("{s:{s:s, s:s, s:s, s:s, s:i, s:[], s:{}, s:s, s:b}}", "hello", "version", "1",
                     "device", "a", "name", "x", "log", ulid, "resume", 0, "robots", "dropped",
                     "time_ns", "1", "live", 1));
}

static void on_message(void *ctx, struct bp_ws_client *c, enum bp_ws_opcode opcode,
                       struct bp_str body) {
    json_t *m = json_loadb(body.p, body.n, 0, NULL);
    const json_t *live = json_object_get(m, "live"), *v;

    (void) ctx;
    (void) opcode;
    if (json_object_get(m, "welcome"))
        add(&welcomes);
    if ((v = json_object_get(live, "ack")) != NULL)
        __atomic_store_n(&acked, (uint64_t) json_integer_value(v), __ATOMIC_RELAXED);
    if ((v = json_object_get(live, "ask")) != NULL)
        on_ask(c, v);
    json_decref(m);
}

static void on_end(void *ctx, const struct bp_ws_client_end *why) {
    (void) ctx;
    (void) why;
    add(&ended);
}

/* ---- viewers: the fan-out's thread ---- */

static void look_at(struct viewer *v, struct bp_frame *f) {
    struct bp_str body = bp_frame_body(f);

    if (f->opcode == BP_WS_TEXT) {
        add(&v->whys);
        return;
    }
    if (bp_media_stream((const uint8_t *) body.p, body.n) != v->stream ||
        bp_ld_le64((const uint8_t *) body.p + 16) != f->seq || f->seq <= v->seq)
        add(&v->wrong);
    v->seq = f->seq;
    add(&v->frames);
}

static void on_ready(struct bp_peer *p) {
    struct viewer *v = BP_CONTAINER_OF(p, struct viewer, peer);
    struct bp_frame *f[8];
    size_t n;

    while ((n = bp_peer_take(p, f, BP_COUNT(f), SIZE_MAX)) > 0)
        for (size_t i = 0; i < n; i++) {
            look_at(v, f[i]);
            bp_frame_unref(f[i]);
            if (v->gives && v->feed)
                bp_feed_credit(v->feed, 1);
        }
}

static size_t stamp(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]) {
    return (size_t) snprintf(out, BP_STAMP_MAX,
                             "{\"topic\":\"%s\",\"seq\":%llu,\"data\":", bp_channel_name(ch),
                             (unsigned long long) seq);
}

static void do_come(void *a, void *b) {
    struct viewer *v = a;
    struct bp_channel *ch = b;

    assert_int_equal(bp_feed_open(&v->peer, ch,
                                  &(struct bp_feed_options){ .policy = BP_FEED_LATEST,
                                                             .credit = v->gives ? 2 : 0 },
                                  NULL, &v->feed),
                     0);
    bp_links_want(links, ch, 0);
}

static void come(struct viewer *v, bool gives) {
    static const struct bp_peer_ops ops = { .ready = on_ready };
    struct bp_error err = { 0 };
    struct bp_channel *ch =
        bp_links_channel(links, &(struct bp_links_ask){ fanout, stamp, name }, &err);

    if (!ch)
        fail_msg("%s", err.text);
    *v = (struct viewer){ .gives = gives, .stream = bp_links_stream(links, ch) };
    assert_int_not_equal(v->stream, 0);
    bp_peer_init(&v->peer, fanout, &ops, 0);
    bp_loop_call(v->peer.loop, do_come, v, ch);
    bp_channel_unref(ch);
}

static void do_go(void *a, void *b) {
    struct viewer *v = a;

    (void) b;
    v->feed = NULL;
    bp_peer_done(&v->peer);
}

static void go(struct viewer *v) {
    bp_loop_call(v->peer.loop, do_go, v, NULL);
    assert_int_equal(v->wrong, 0);
}

/* ---- */

static void until(const unsigned *n, unsigned least, const char *what) {
    bp_ns_t end = bp_mono_ns() + WAIT_S * BP_SEC;

    while (get(n) < least)
        if (bp_mono_ns() > end)
            fail_msg("not within %d s: %s", WAIT_S, what);
        else
            bp_sleep(2 * BP_MS);
}

static void link_up(const char *address) {
    static const struct bp_ws_client_ops ops = { .open = on_open,
                                                 .message = on_message,
                                                 .end = on_end };
    struct bp_error err = { 0 };
    unsigned before = get(&welcomes);
    char url[128];

    (void) snprintf(url, sizeof url, "ws://%s/api/v1/link", address);
    if (bp_ws_client_open(
            &(struct bp_ws_client_options){
                .loop = loop, .ops = &ops, .url = url, .proxy = "", .protocol = "bagpipe-link.1" },
            &ws, &err) < 0)
        fail_msg("%s", err.text);
    until(&welcomes, before + 1, "the link");
}

static int get_link(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_links_accept(links, NULL, req, reply, err);
}

static void watched(const char *address) {
    struct viewer v[VIEWERS], idle;
    unsigned n;

    link_up(address);
    for (size_t i = 0; i < VIEWERS; i++)
        come(&v[i], true);
    come(&idle, false);
    for (size_t i = 0; i < VIEWERS; i++)
        until(&v[i].frames, ENOUGH, "frames for everybody");
    assert_int_equal(get(&asked), 1); /* of all of them once */
    for (size_t i = 0; i < VIEWERS; i++)
        go(&v[i]);
    bp_sleep(200 * BP_MS);
    n = get(&credits);
    bp_sleep(1500 * BP_MS);
    assert_int_equal(get(&credits), n); /* who gives no credit costs nothing */
    assert_int_equal(get(&idle.frames), 0);
    assert_int_equal(__atomic_load_n(&acked, __ATOMIC_RELAXED),
                     __atomic_load_n(&sent, __ATOMIC_RELAXED));
    go(&idle);
    until(&left, 1, "it need not send any more");
}

static void comes_back(const char *address) {
    unsigned before = get(&asked), n;
    struct viewer v;

    come(&v, true);
    until(&v.frames, 5, "frames");
    bp_ws_client_close(ws);
    until(&v.whys, 1, "it is said that the device is gone");
    n = get(&v.frames);
    link_up(address);
    until(&v.frames, n + 5, "frames of the next link");
    assert_int_equal(get(&asked), before + 2);
    go(&v);
}

static void refused(void) {
    static const char *const names[] = { "device:b/image:/x",         "device:a/image:x",
                                         "device:a/image:/x?width=1", "device:a/sample:/x y",
                                         "device:a/weather",          "device:a" };
    struct bp_error err;

    for (size_t i = 0; i < BP_COUNT(names); i++) {
        err = (struct bp_error){ 0 };
        assert_null(
            bp_links_channel(links, &(struct bp_links_ask){ fanout, stamp, names[i] }, &err));
        assert_true(*err.text);
    }
}

static void live(void **state) {
    static const struct bp_http_route routes[] = {
        { "GET", "/api/v1/link", get_link, BP_HTTP_PUBLIC, "An agent's link." },
    };
    const char *listen[] = { "127.0.0.1:0", NULL };
    struct bp_http *http = NULL;
    struct bp_error err = { 0 };

    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-live-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void) bp_ulid_new(ulid);
    assert_int_equal(bp_loop_open("agent", &loop), 0);
    assert_int_equal(bp_fanout_open(NULL, &fanout, NULL), 0);
    if (bp_links_open(&(struct bp_links_options){ .dir = dir }, &links, &err) < 0)
        fail_msg("%s", err.text);
    if (bp_http_open(&(struct bp_http_options){ .listen = listen,
                                                .routes = routes,
                                                .nroutes = BP_COUNT(routes) },
                     &http, &err) < 0)
        fail_msg("%s", err.text);
    watched(bp_http_address(http, 0));
    comes_back(bp_http_address(http, 0));
    refused();
    bp_links_stop(links, 0);
    until(&ended, 1, "the server goes");
    bp_http_close(http);
    bp_fanout_close(fanout);
    bp_links_close(links);
    bp_ws_client_close(ws);
    bp_loop_close(loop);
    (void) nftw(dir, rm_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(live) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
