#include "net/test-server.h"

#include "base/thread.h"
#include "net/fanout.h"
#include "net/sse.h"

/* The policies of subscriptions with peers that take when they are told to, threads that publish at
 * once, and server-sent events over a real server. */
struct peer {
    struct bp_peer peer;
    unsigned ready; /* [atomic] how often it was told */
    uint64_t lost;  /* told of */
};

static struct bp_fanout *fanout;

static void on_ready(struct bp_peer *p) {
    (void) __atomic_add_fetch(&BP_CONTAINER_OF(p, struct peer, peer)->ready, 1, __ATOMIC_ACQ_REL);
}

static struct bp_frame *on_lost(struct bp_peer *p, struct bp_channel *ch, uint64_t n) {
    (void) ch;
    BP_CONTAINER_OF(p, struct peer, peer)->lost += n;
    return bp_frame_of(BP_WS_TEXT, "lost", 4);
}

static const struct bp_peer_ops ops = { .ready = on_ready, .lost = on_lost };

struct order {
    struct peer *p;
    struct bp_channel *ch;
    struct bp_feed_options o;
    uint64_t gap;
    struct bp_feed *feed;
    unsigned n;
};

static void do_open(void *a, void *b) {
    struct order *o = a;

    (void) b;
    assert_int_equal(bp_feed_open(&o->p->peer, o->ch, &o->o, &o->gap, &o->feed), 0);
}

static void do_credit(void *a, void *b) {
    struct order *o = a;

    (void) b;
    bp_feed_credit(o->feed, o->n);
}

static void do_close(void *a, void *b) {
    (void) b;
    bp_feed_close(((struct order *) a)->feed);
}

static void do_done(void *a, void *b) {
    (void) b;
    bp_peer_done(a);
}

static void do_nothing(void *a, void *b) {
    (void) a;
    (void) b;
}

/* Everything posted until now has been done. */
static void settle(struct peer *p) {
    bp_loop_call(p->peer.loop, do_nothing, NULL, NULL);
}

static void open_peer(struct peer *p) {
    *p = (struct peer){ 0 };
    bp_peer_init(&p->peer, fanout, &ops, 1000);
}

static struct order subscribe(struct peer *p, struct bp_channel *ch, struct bp_feed_options o) {
    struct order order = { .p = p, .ch = ch, .o = o };

    bp_loop_call(p->peer.loop, do_open, &order, NULL);
    return order;
}

static void publish(struct bp_channel *ch, const char *text) {
    size_t n = strlen(text);
    struct bp_frame *f = bp_frame_new(BP_WS_TEXT, 64, n);

    assert_non_null(f);
    memcpy(bp_frame_payload(f), text, n);
    (void) bp_channel_publish(ch, f);
}

/* Takes all and compares: messages with a space between. */
static void expect(struct peer *p, const char *want) {
    struct bp_frame *v[64];
    char got[4096] = "";
    size_t n, at = 0;

    settle(p);
    while ((n = bp_peer_take(&p->peer, v, 64, SIZE_MAX)) > 0)
        for (size_t i = 0; i < n; i++) {
            struct bp_str s = bp_frame_body(v[i]);

            at += (size_t) snprintf(got + at, sizeof got - at, "%s%.*s", at ? " " : "", (int) s.n,
                                    s.p);
            bp_frame_unref(v[i]);
        }
    assert_string_equal(got, want);
}

static int open_fanout(void **state) {
    (void) state;
    return bp_fanout_open(NULL, &fanout, NULL);
}

static int close_fanout(void **state) {
    (void) state;
    bp_fanout_close(fanout);
    assert_int_equal(bp_gauge_get(&bp_fanout_stats.subscriptions), 0);
    assert_int_equal(bp_gauge_get(&bp_fanout_stats.inbox_bytes), 0);
    return 0;
}

static void end(struct peer *p) {
    bp_loop_call(p->peer.loop, do_done, &p->peer, NULL);
}

/* Heads by RFC 6455 §5.2, at the edges of each form. */
static void test_frames(void **state) {
    static const struct {
        size_t n;
        const char *head;
        size_t len;
    } cases[] = {
        { 0, "\x82\x00", 2 },
        { 125, "\x82\x7d", 2 },
        { 126, "\x82\x7e\x00\x7e", 4 },
        { 65535, "\x82\x7e\xff\xff", 4 },
        { 65536, "\x82\x7f\0\0\0\0\0\x01\0\0", 10 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_frame *f = bp_frame_new(BP_WS_BINARY, 8, cases[i].n);

        memset(bp_frame_payload(f), 'x', cases[i].n);
        bp_frame_seal(f, NULL, 0);
        assert_int_equal(bp_frame_wire(f).n, cases[i].len + cases[i].n);
        assert_memory_equal(bp_frame_wire(f).p, cases[i].head, cases[i].len);
        assert_int_equal(bp_frame_body(f).n, cases[i].n);
        bp_frame_unref(f);
    }
    assert_null(bp_frame_new(BP_WS_TEXT, 0, SIZE_MAX));
    assert_null(bp_frame_new(BP_WS_TEXT, 100, UINT32_MAX - 50));
}

static size_t number(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]) {
    return (size_t) snprintf(out, BP_STAMP_MAX, "%s%llu:", bp_channel_name(ch),
                             (unsigned long long) seq);
}

static void test_bounded(void **state) {
    struct bp_channel *ch =
        bp_channel_new(fanout, &(struct bp_channel_options){ .name = "c", .stamp = number });
    struct peer fast, slow, small;

    (void) state;
    open_peer(&fast);
    open_peer(&slow);
    open_peer(&small);
    publish(ch, "nobody");
    (void) subscribe(&fast, ch, (struct bp_feed_options){ 0 });
    (void) subscribe(&slow, ch, (struct bp_feed_options){ .max_frames = 3 });
    (void) subscribe(&small, ch, (struct bp_feed_options){ .max_bytes = 20 });
    assert_int_equal(bp_channel_subscribers(ch), 3);
    publish(ch, "a");
    publish(ch, "b");
    expect(&fast, "c2:a c3:b");
    publish(ch, "c");
    publish(ch, "d");
    publish(ch, "e");
    expect(&fast, "c4:c c5:d c6:e");
    expect(&slow, "lost c4:c c5:d c6:e"); /* the oldest went, and it is said before the next */
    assert_int_equal(slow.lost, 2);
    expect(&small, "lost c4:c c5:d c6:e"); /* 6 bytes each, with the head */
    publish(ch, "as long as this it is above the limit alone");
    expect(&small, "c7:as long as this it is above the limit alone");
    publish(ch, "f");
    expect(&slow, "c7:as long as this it is above the limit alone c8:f");
    assert_int_equal(slow.lost, 2);
    assert_int_equal(fast.lost, 0);
    end(&fast);
    end(&slow);
    end(&small);
    assert_int_equal(bp_channel_subscribers(ch), 0);
    bp_channel_unref(ch);
}

static void test_latest(void **state) {
    struct bp_channel *ch =
        bp_channel_new(fanout, &(struct bp_channel_options){ .name = "v", .stamp = number });
    struct peer p;
    struct order o;

    (void) state;
    open_peer(&p);
    o = subscribe(&p, ch, (struct bp_feed_options){ .policy = BP_FEED_LATEST, .credit = 1 });
    publish(ch, "a");
    expect(&p, "v1:a");
    publish(ch, "b");
    publish(ch, "c");
    expect(&p, "");
    o.n = 1;
    bp_loop_call(p.peer.loop, do_credit, &o, NULL);
    expect(&p, "v3:c"); /* what waited is the newest */
    o.n = 2;
    bp_loop_call(p.peer.loop, do_credit, &o, NULL);
    publish(ch, "d");
    publish(ch, "e"); /* not taken yet: only the newest waits */
    expect(&p, "v5:e");
    publish(ch, "f");
    expect(&p, "v6:f");
    publish(ch, "g");
    expect(&p, "");
    assert_int_equal(p.lost, 0);
    bp_loop_call(p.peer.loop, do_close, &o, NULL);
    end(&p);
    bp_channel_unref(ch);
}

/* Who would take a message at once: what is costly is made for these alone. */
static void test_wanting(void **state) {
    struct bp_channel *ch = bp_channel_new(fanout, &(struct bp_channel_options){ .name = "w" });
    struct peer p, q;
    struct order o, all;

    (void) state;
    open_peer(&p);
    open_peer(&q);
    o = subscribe(&p, ch, (struct bp_feed_options){ .policy = BP_FEED_LATEST });
    assert_int_equal(bp_channel_wanting(ch), 0);
    o.n = 1;
    bp_loop_call(p.peer.loop, do_credit, &o, NULL);
    assert_int_equal(bp_channel_wanting(ch), 1);
    publish(ch, "a");
    settle(&p);
    assert_int_equal(bp_channel_wanting(ch), 0); /* it waits to be taken */
    expect(&p, "a");
    assert_int_equal(bp_channel_wanting(ch), 0); /* that was the credit */
    publish(ch, "b");
    settle(&p);
    bp_loop_call(p.peer.loop, do_credit, &o, NULL);
    assert_int_equal(bp_channel_wanting(ch), 0); /* it gets the one that waits */
    expect(&p, "b");
    all = subscribe(&q, ch, (struct bp_feed_options){ .policy = BP_FEED_BOUNDED });
    assert_int_equal(bp_channel_wanting(ch), 1); /* always */
    bp_loop_call(q.peer.loop, do_close, &all, NULL);
    bp_loop_call(p.peer.loop, do_credit, &o, NULL);
    assert_int_equal(bp_channel_wanting(ch), 1);
    end(&p); /* with credit left */
    assert_int_equal(bp_channel_wanting(ch), 0);
    end(&q);
    bp_channel_unref(ch);
}

static void count(void *ctx, const struct bp_channel *ch) {
    assert_non_null(bp_channel_name(ch));
    (void) __atomic_add_fetch((unsigned *) ctx, 1, __ATOMIC_RELAXED);
}

/* The channel's owner is told when the first of them wants a message, not of every one. */
static void test_wanted(void **state) {
    unsigned told = 0;
    struct bp_channel *ch = bp_channel_new(
        fanout, &(struct bp_channel_options){ .name = "w", .wanted = count, .ctx = &told });
    struct peer a, b;
    struct order of_a, of_b;

    (void) state;
    open_peer(&a);
    open_peer(&b);
    of_a = subscribe(&a, ch, (struct bp_feed_options){ .policy = BP_FEED_LATEST });
    assert_int_equal(told, 0);
    of_a.n = 2;
    bp_loop_call(a.peer.loop, do_credit, &of_a, NULL);
    assert_int_equal(told, 1);
    of_b = subscribe(&b, ch, (struct bp_feed_options){ .policy = BP_FEED_LATEST, .credit = 1 });
    assert_int_equal(told, 1); /* somebody does already */
    publish(ch, "one");
    expect(&b, "one");
    assert_int_equal(told, 1);
    expect(&a, "one"); /* and has credit for another one */
    assert_int_equal(told, 2);
    bp_loop_call(a.peer.loop, do_close, &of_a, NULL);
    of_b.n = 1;
    bp_loop_call(b.peer.loop, do_credit, &of_b, NULL);
    assert_int_equal(told, 3);
    end(&a);
    end(&b);
    bp_channel_unref(ch);
}

/* What was lost before it came here is told of like what is lost here. */
static void test_skip(void **state) {
    struct bp_channel *ch =
        bp_channel_new(fanout, &(struct bp_channel_options){ .name = "s", .stamp = number });
    struct peer p;

    (void) state;
    open_peer(&p);
    (void) subscribe(&p, ch, (struct bp_feed_options){ 0 });
    publish(ch, "a");
    expect(&p, "s1:a");
    bp_channel_skip(ch, 5);
    publish(ch, "b");
    expect(&p, "lost s7:b");
    assert_int_equal(p.lost, 5);
    end(&p);
    bp_channel_unref(ch);
}

static void test_close(void **state) {
    struct bp_channel *ch = bp_channel_new(fanout, &(struct bp_channel_options){ .name = "k" });
    struct peer p;

    (void) state;
    open_peer(&p);
    (void) subscribe(&p, ch, (struct bp_feed_options){ .policy = BP_FEED_CLOSE, .max_bytes = 20 });
    for (int i = 0; i < 2; i++)
        publish(ch, "12345678"); /* 10 bytes with the head */
    settle(&p);
    assert_false(bp_peer_overflown(&p.peer));
    publish(ch, "x");
    settle(&p);
    assert_true(bp_peer_overflown(&p.peer));
    end(&p);
    open_peer(&p);
    for (int i = 0; i < 2; i++) {
        assert_false(bp_peer_overflown(&p.peer));
        bp_peer_put(&p.peer, bp_frame_new(BP_WS_TEXT, 0, 900));
    }
    assert_true(bp_peer_overflown(&p.peer)); /* of its own */
    end(&p);
    bp_channel_unref(ch);
}

/* One of each in turn; what is for the peer alone goes first. */
static void test_turns(void **state) {
    struct bp_channel *a = bp_channel_new(fanout, &(struct bp_channel_options){ .name = "a" });
    struct bp_channel *b = bp_channel_new(fanout, &(struct bp_channel_options){ .name = "b" });
    struct peer p;

    (void) state;
    open_peer(&p);
    (void) subscribe(&p, a, (struct bp_feed_options){ 0 });
    (void) subscribe(&p, b, (struct bp_feed_options){ 0 });
    for (const char *s = "1234"; *s; s++)
        publish(a, (char[]){ *s, '\0' });
    publish(b, "x");
    publish(b, "y");
    settle(&p);
    bp_peer_put(&p.peer, bp_frame_of(BP_WS_TEXT, "me", 2));
    bp_peer_put(&p.peer, bp_frame_of(BP_WS_TEXT, "too", 3));
    expect(&p, "me too 1 x 2 y 3 4");
    end(&p);
    bp_channel_unref(a);
    bp_channel_unref(b);
}

static void test_replay(void **state) {
    static const struct {
        uint64_t after, gap;
        const char *want;
    } cases[] = {
        { 6, 0, "" },
        { 5, 0, "r6:f" },
        { 2, 0, "r3:c r4:d r5:e r6:f" },
        { 0, 2, "r3:c r4:d r5:e r6:f" },
        { 99, 0, "" },
    };
    struct bp_channel *ch = bp_channel_new(
        fanout, &(struct bp_channel_options){ .name = "r", .stamp = number, .replay_frames = 4 });
    struct bp_channel *small = bp_channel_new(
        fanout, &(struct bp_channel_options){ .name = "s", .replay_frames = 9, .replay_bytes = 8 });

    (void) state;
    for (const char *s = "abcdef"; *s; s++) {
        publish(ch, (char[]){ *s, '\0' });
        publish(small, (char[]){ *s, '\0' }); /* 3 bytes each */
    }
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct peer p;
        struct order o;

        open_peer(&p);
        o = subscribe(
            &p, ch,
            (struct bp_feed_options){ .resume = true, .after = cases[i].after, .max_frames = 1 });
        assert_int_equal(o.gap, cases[i].gap);
        expect(&p, cases[i].want);
        assert_int_equal(p.lost, 0); /* what is remembered does not have to fit */
        end(&p);
    }
    for (int i = 0; i < 1; i++) {
        struct peer p;
        struct order o;

        open_peer(&p);
        o = subscribe(&p, small, (struct bp_feed_options){ .resume = true });
        assert_int_equal(o.gap, 4);
        expect(&p, "e f");
        publish(small, "g");
        expect(&p, "g");
        end(&p);
    }
    bp_channel_unref(ch);
    bp_channel_unref(small);
}

static void test_rate(void **state) {
    struct bp_channel *ch = bp_channel_new(fanout, &(struct bp_channel_options){ .name = "t" });
    struct peer p;

    (void) state;
    open_peer(&p);
    (void) subscribe(&p, ch, (struct bp_feed_options){ .min_interval = BP_SEC / 2 });
    publish(ch, "a");
    publish(ch, "b");
    expect(&p, "a");
    bp_sleep(600 * BP_MS);
    publish(ch, "c");
    publish(ch, "d");
    expect(&p, "c");
    assert_int_equal(p.lost, 0);
    end(&p);
    bp_channel_unref(ch);
}

static void hold_up(void *a, void *b) {
    (void) b;
    while (!__atomic_load_n((bool *) a, __ATOMIC_ACQUIRE))
        bp_sleep(BP_MS);
}

/* A loop that is behind loses what is above its limit, and whoever subscribes is told. */
static void test_inbox(void **state) {
    struct bp_fanout *f = NULL, *usual = fanout;
    struct bp_channel *ch;
    struct peer p;
    bool go_on = false;

    (void) state;
    assert_int_equal(bp_fanout_open(&(struct bp_fanout_options){ .inbox_bytes = 1000 }, &f, NULL),
                     0);
    fanout = f;
    ch = bp_channel_new(f, &(struct bp_channel_options){ .name = "i", .stamp = number });
    open_peer(&p);
    (void) subscribe(&p, ch, (struct bp_feed_options){ 0 });
    assert_int_equal(bp_loop_post(p.peer.loop, hold_up, &go_on, NULL), 0);
    for (int i = 0; i < 500; i++)
        publish(ch, "x");
    __atomic_store_n(&go_on, true, __ATOMIC_RELEASE);
    settle(&p);
    publish(ch, "y");
    {
        struct bp_frame *v[300];
        size_t n;

        settle(&p);
        n = bp_peer_take(&p.peer, v, 300, SIZE_MAX);
        assert_true(n > 100 && n < 300);
        assert_int_equal(p.lost + n - 1, 501); /* one of them is the notice */
        for (size_t i = 0; i < n; i++)
            bp_frame_unref(v[i]);
    }
    end(&p);
    bp_channel_unref(ch);
    bp_fanout_close(f);
    fanout = usual;
}

enum { THREADS = 3, EACH = 3000 };

static void *publish_many(void *arg) {
    for (int i = 0; i < EACH; i++)
        publish(arg, "m");
    return NULL;
}

/* Threads publish, peers on two loops come, take and go: each sees every number once, in order. */
static void test_threads(void **state) {
    struct bp_fanout *f = NULL, *usual = fanout;
    struct bp_channel *ch;
    struct peer stay[4];
    uint64_t seen[4] = { 0 }, all = 0;
    pthread_t t[THREADS];

    (void) state;
    assert_int_equal(bp_fanout_open(&(struct bp_fanout_options){ .loops = 2 }, &f, NULL), 0);
    fanout = f;
    ch = bp_channel_new(f, &(struct bp_channel_options){ .name = "m", .replay_frames = 10 });
    for (size_t i = 0; i < 4; i++) {
        open_peer(&stay[i]);
        (void) subscribe(&stay[i], ch, (struct bp_feed_options){ .max_frames = 100000 });
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(bp_thread_start("publish", publish_many, ch, &t[i]), 0);
    while (all < 4 * THREADS * EACH) {
        struct peer passing;

        open_peer(&passing);
        (void) subscribe(&passing, ch, (struct bp_feed_options){ .resume = true, .max_frames = 5 });
        all = 0;
        for (size_t i = 0; i < 4; i++) {
            struct bp_frame *v[64];
            size_t n = bp_peer_take(&stay[i].peer, v, 64, SIZE_MAX);

            for (size_t k = 0; k < n; k++) {
                assert_int_equal(v[k]->seq, seen[i] + 1);
                seen[i] = v[k]->seq;
                bp_frame_unref(v[k]);
            }
            all += seen[i];
        }
        end(&passing);
    }
    for (size_t i = 0; i < THREADS; i++)
        (void) pthread_join(t[i], NULL);
    for (size_t i = 0; i < 4; i++)
        end(&stay[i]);
    assert_int_equal(bp_channel_seq(ch), THREADS * EACH);
    bp_channel_unref(ch);
    bp_fanout_close(f);
    fanout = usual;
}

/* --- server-sent events --- */

static struct bp_channel *news;
static unsigned sse_ended; /* [atomic] */

static int sse_begin(struct bp_peer *p, void *data) {
    struct bp_feed *f;

    if (data)
        return BP_EUSAGE;
    return bp_feed_open(p, news, &(struct bp_feed_options){ .resume = true }, NULL, &f);
}

static void sse_put(struct bp_buf *out, const struct bp_frame *f, void *data) {
    struct bp_str body = bp_frame_body(f);

    (void) data;
    bp_buf_printf(out, "data: %.*s\n\n", (int) body.n, body.p);
}

static void sse_end(void *data) {
    (void) data;
    (void) __atomic_add_fetch(&sse_ended, 1, __ATOMIC_RELEASE);
}

static int get_events(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    static const struct bp_sse_ops sse_ops = { .begin = sse_begin, .put = sse_put, .end = sse_end };
    static int refuse;

    return bp_sse_reply(fanout, &sse_ops, reply, bp_http_query(req, "no") ? &refuse : NULL, err);
}

static void test_events(void **state) {
    static const struct bp_http_route routes[] = { { "GET", "/events", get_events, BP_HTTP_PUBLIC,
                                                     "events" } };
    struct bp_http *h = open_server((struct bp_http_options){ .routes = routes, .nroutes = 1 });
    char out[4096];
    int fd;

    (void) state;
    (void) signal(SIGPIPE, SIG_IGN);
    news = bp_channel_new(fanout, &(struct bp_channel_options){ .name = "n", .replay_frames = 10 });
    publish(news, "before");
    for (int i = 0; i < 3; i++) {
        fd = connect_to(bp_http_address(h, 0));
        put(fd, "GET /events HTTP/1.1\r\n" H "\r\n");
        assert_false(get(fd, out, sizeof out, "data: before\n\n"));
        assert_non_null(strstr(out, "text/event-stream"));
        publish(news, "now");
        assert_false(get(fd, out, sizeof out, "data: now\n\n"));
        (void) close(fd);
    }
    for (int i = 0; i < 500 && __atomic_load_n(&sse_ended, __ATOMIC_ACQUIRE) < 3; i++)
        bp_sleep(10 * BP_MS);
    assert_int_equal(sse_ended, 3);
    assert_int_equal(ask(h, "GET /events?no HTTP/1.1\r\n" H C "\r\n", out, sizeof out), 400);
    fd = connect_to(bp_http_address(h, 0)); /* still there at the end */
    put(fd, "GET /events HTTP/1.1\r\n" H "\r\n");
    assert_false(get(fd, out, sizeof out, "data: now\n\n"));
    assert_int_equal(bp_http_drain(h, 5 * BP_SEC), 0);
    bp_http_close(h);
    (void) close(fd);
    for (int i = 0; i < 500 && __atomic_load_n(&sse_ended, __ATOMIC_ACQUIRE) < 5; i++)
        bp_sleep(10 * BP_MS);
    assert_int_equal(sse_ended, 5);
    bp_channel_unref(news);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames), cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_latest), cmocka_unit_test(test_wanting),
        cmocka_unit_test(test_wanted), cmocka_unit_test(test_skip),
        cmocka_unit_test(test_close),  cmocka_unit_test(test_turns),
        cmocka_unit_test(test_replay), cmocka_unit_test(test_rate),
        cmocka_unit_test(test_inbox),  cmocka_unit_test(test_threads),
        cmocka_unit_test(test_events),
    };
    void *state = NULL;
    int r;

    if (make_dir(&state) < 0)
        return 1;
    r = cmocka_run_group_tests(tests, open_fanout, close_fanout);
    (void) remove_dir(&state);
    return r;
}
