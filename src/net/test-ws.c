#include "net/test-server.h"

#include <errno.h>

#include "base/thread.h"
#include "net/ws.h"

/* WebSockets from outside, over a real server: handshakes, the rows of what clients may not send,
 * closing, deadlines, limits. The same rows beside another implementation: test/system/ws-rows.py.
 */
static struct bp_fanout *fanout;
static struct bp_ws_server *server;
static struct bp_channel *channel;
static unsigned opened, ended, last_code; /* [atomic] */

static void on_open(struct bp_ws *ws, void *data) {
    (void) ws;
    (void) data;
    (void) __atomic_add_fetch(&opened, 1, __ATOMIC_RELAXED);
}

/* Echoes; some words are orders. */
static void on_message(struct bp_ws *ws, void *data, enum bp_ws_opcode opcode, struct bp_str body) {
    struct bp_feed *s;

    (void) data;
    if (bp_str_eq(body, BP_STR("subscribe")))
        assert_int_equal(bp_feed_open(bp_ws_peer(ws), channel,
                                      &(struct bp_feed_options){ .policy = BP_FEED_BOUNDED }, NULL,
                                      &s),
                         0);
    else if (bp_str_eq(body, BP_STR("bye")))
        bp_ws_shut(ws, 4000, "as you wish");
    else
        bp_peer_put(bp_ws_peer(ws), bp_frame_of(opcode, body.p, body.n));
}

static void on_end(void *data, unsigned code) {
    (void) data;
    __atomic_store_n(&last_code, code, __ATOMIC_RELAXED);
    (void) __atomic_add_fetch(&ended, 1, __ATOMIC_RELEASE);
}

static const struct bp_ws_ops ops = { .open = on_open, .message = on_message, .end = on_end };

static int get_ws(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    return bp_ws_accept(server, req, reply, NULL);
}

static const struct bp_http_route routes[] = { { "GET", "/ws", get_ws, BP_HTTP_PUBLIC, "ws" } };

static struct bp_http *open_all(struct bp_ws_options o) {
    struct bp_error err = { 0 };

    assert_int_equal(bp_fanout_open(NULL, &fanout, &err), 0);
    channel = bp_channel_new(fanout, &(struct bp_channel_options){ .name = "news" });
    assert_non_null(channel);
    o.fanout = fanout;
    o.ops = &ops;
    assert_int_equal(bp_ws_server_open(&o, &server, &err), 0);
    opened = ended = last_code = 0;
    return open_server((struct bp_http_options){ .routes = routes, .nroutes = 1 });
}

static void close_all(struct bp_http *h) {
    bp_ws_server_stop(server, BP_SEC);
    assert_int_equal(bp_http_drain(h, BP_SEC), 0);
    bp_http_close(h);
    bp_ws_server_close(server);
    bp_channel_unref(channel);
    bp_fanout_close(fanout);
    assert_int_equal(bp_gauge_get(&bp_fanout_stats.ws_open), 0);
    assert_int_equal(bp_gauge_get(&bp_fanout_stats.subscriptions), 0);
}

#define UPGRADE "GET /ws HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"

static int connect_ws(const struct bp_http *h, size_t listener) {
    int fd = connect_to(bp_http_address(h, listener));
    char out[1024];

    put(fd, UPGRADE KEY VERSION "\r\n");
    assert_false(get(fd, out, sizeof out, "\r\n\r\n"));
    assert_int_equal(status_of(out), 101);
    assert_non_null(strstr(out, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    return fd;
}

/* Sends a masked frame. */
static void put_frame(int fd, uint8_t first, const char *text, size_t n) {
    uint8_t v[4096];
    size_t len = 2;

    assert_true(n < 4000);
    v[0] = first;
    if (n > 125) {
        v[1] = 0x80 | 126;
        v[2] = (uint8_t) (n >> 8);
        v[3] = (uint8_t) n;
        len = 4;
    } else {
        v[1] = (uint8_t) (0x80 | n);
    }
    for (size_t i = 0; i < 4; i++)
        v[len + i] = (uint8_t) (0x11 * (i + 1));
    for (size_t i = 0; i < n; i++)
        v[len + 4 + i] = (uint8_t) (text[i] ^ 0x11 * (i % 4 + 1));
    assert_int_equal(send(fd, v, len + 4 + n, MSG_NOSIGNAL), len + 4 + n);
}

/* Reads all that comes until the end or `want` bytes. */
static size_t read_bytes(int fd, uint8_t *v, size_t want, bool *ret_closed) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    size_t n = 0;

    *ret_closed = false;
    while (n < want && poll(&p, 1, 5000) == 1) {
        ssize_t k = recv(fd, v + n, want - n, 0);

        if (k <= 0) {
            *ret_closed = true;
            break;
        }
        n += (size_t) k;
    }
    return n;
}

static void expect_text(int fd, const char *text) {
    uint8_t v[300];
    size_t n = strlen(text);
    bool closed;

    assert_int_equal(read_bytes(fd, v, n + 2, &closed), n + 2);
    assert_int_equal(v[0], 0x81);
    assert_int_equal(v[1], n);
    assert_memory_equal(v + 2, text, n);
}

/* A close frame with that code (0: without), then the end. */
static void expect_close(int fd, unsigned code) {
    uint8_t v[300];
    bool closed;
    size_t n = read_bytes(fd, v, sizeof v, &closed);

    assert_true(closed);
    assert_true(n >= 2);
    assert_int_equal(v[0], 0x88);
    assert_int_equal(v[1], n - 2);
    assert_int_equal(n < 4 ? 0 : v[2] << 8 | v[3], code);
}

static void test_handshake(void **state) {
    static const struct {
        const char *request;
        int status;
        const char *holds;
    } cases[] = {
        { UPGRADE KEY C "\r\n", 400, "Sec-WebSocket-Version: 13\r\n" },
        { UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426, "Sec-WebSocket-Version: 13\r\n" },
        { UPGRADE VERSION "\r\n", 400, "Sec-WebSocket-Key" },
        { UPGRADE VERSION "Sec-WebSocket-Key: short\r\n\r\n", 400, "Sec-WebSocket-Key" },
        { UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j=Q==\r\n\r\n", 400, "base64" },
        { UPGRADE KEY VERSION "Origin: http://evil.example\r\n\r\n", 403, "evil" },
        { "GET /ws HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: "
          "websocket\r\n" KEY VERSION "\r\n",
          421, "evil" },
        { UPGRADE KEY VERSION "Origin: http://localhost\r\n\r\n", 101, "websocket" },
    };
    struct bp_http *h = open_all((struct bp_ws_options){ 0 });

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        int fd = connect_to(bp_http_address(h, 0));
        char out[2048];

        put(fd, cases[i].request);
        (void) get(fd, out, sizeof out, cases[i].holds);
        if (status_of(out) != cases[i].status || !strstr(out, cases[i].holds))
            fail_msg("case %zu: %s", i, out);
        (void) close(fd);
    }
    close_all(h);
}

/* One row: bytes a client sends, and what it gets. */
static void test_rows(void **state) {
    static const struct {
        const char *name;
        struct bp_str bytes;
        unsigned close; /* 0: stays open */
    } rows[] = {
        { "unmasked", BP_STR("\x81\x02hi"), 1002 },
        { "rsv1", BP_STR("\xc1\x82\0\0\0\0hi"), 1002 },
        { "rsv3", BP_STR("\x91\x82\0\0\0\0hi"), 1002 },
        { "bad opcode", BP_STR("\x83\x82\0\0\0\0hi"), 1002 },
        { "bad control opcode", BP_STR("\x8b\x80\0\0\0\0"), 1002 },
        { "fragmented ping", BP_STR("\x09\x82\0\0\0\0hi"), 1002 },
        { "ping of 200 bytes", BP_STR("\x89\xfe\x00\xc8\0\0\0\0"), 1002 },
        { "bad UTF-8", BP_STR("\x81\x84\0\0\0\0\xff\xfe\xfd\xfc"), 1007 },
        { "surrogate", BP_STR("\x81\x83\0\0\0\0\xed\xa0\x80"), 1007 },
        { "bad UTF-8 in pieces", BP_STR("\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0\x28"), 1007 },
        { "huge", BP_STR("\x82\xff\0\0\x01\0\0\0\0\0\0\0\0\0"), 1009 },
        { "huge, head only", BP_STR("\x82\xff\0\0\x01\0\0\0\0\0"), 1009 },
        { "longer than a message may be", BP_STR("\x82\xfe\x10\x01"), 1009 },
        { "too long in two pieces", BP_STR("\x02\x84\0\0\0\0abcd\x80\xfe\x0f\xfd"), 1009 },
        { "length longer than need be", BP_STR("\x81\xfe\0\x02\0\0\0\0hi"), 1002 },
        { "length with its top bit", BP_STR("\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0"), 1009 },
        { "continuation first", BP_STR("\x80\x82\0\0\0\0hi"), 1002 },
        { "begins anew in the middle", BP_STR("\x01\x82\0\0\0\0hi\x81\x82\0\0\0\0hi"), 1002 },
        { "close 1000", BP_STR("\x88\x82\0\0\0\0\x03\xe8"), 1000 },
        { "close without a code", BP_STR("\x88\x80\0\0\0\0"), 0 },
        { "close with half a code", BP_STR("\x88\x81\0\0\0\0\x03"), 1002 },
        { "close 1006", BP_STR("\x88\x82\0\0\0\0\x03\xee"), 1002 },
        { "close 2999", BP_STR("\x88\x82\0\0\0\0\x0b\xb7"), 1002 },
        { "close 4999", BP_STR("\x88\x82\0\0\0\0\x13\x87"), 4999 },
        { "close with a reason that is no text", BP_STR("\x88\x83\0\0\0\0\x03\xe8\xff"), 1007 },
    };
    struct bp_http *h = open_all((struct bp_ws_options){ .max_message_bytes = 4096 });

    (void) state;
    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        /* all at once, and byte by byte */
        for (int slow = 0; slow < 2; slow++) {
            int fd = connect_ws(h, 0);

            print_message("# %s\n", rows[i].name);
            for (size_t k = 0; slow && k < rows[i].bytes.n; k++) {
                if (send(fd, rows[i].bytes.p + k, 1, MSG_NOSIGNAL) != 1)
                    break; /* it has heard enough */
                bp_sleep(BP_MS / 5);
            }
            if (!slow)
                assert_int_equal(send(fd, rows[i].bytes.p, rows[i].bytes.n, MSG_NOSIGNAL),
                                 rows[i].bytes.n);
            expect_close(fd, rows[i].close);
            (void) close(fd);
        }
    }
    close_all(h);
}

static void test_messages(void **state) {
    struct bp_http *h = open_all((struct bp_ws_options){ .max_fragments = 4 });

    (void) state;
    for (size_t listener = 0; listener < 2; listener++) { /* TCP and unix */
        int fd = connect_ws(h, listener);
        char text[2000];
        uint8_t v[2100];
        bool closed;

        put_frame(fd, 0x81, "hello", 5);
        expect_text(fd, "hello");
        put_frame(fd, 0x81, "", 0);
        expect_text(fd, "");
        put_frame(fd, 0x01, "in ", 3); /* pieces, a ping between them */
        put_frame(fd, 0x00, "three ", 6);
        put_frame(fd, 0x89, "beat", 4);
        put_frame(fd, 0x80, "pieces", 6);
        assert_int_equal(read_bytes(fd, v, 6, &closed), 6);
        assert_memory_equal(v,
                            "\x8a\x04"
                            "beat",
                            6);
        expect_text(fd, "in three pieces");
        memset(text, 'x', sizeof text);
        put_frame(fd, 0x82, text, sizeof text);
        assert_int_equal(read_bytes(fd, v, sizeof text + 4, &closed), sizeof text + 4);
        assert_memory_equal(v, "\x82\x7e\x07\xd0xxx", 7);
        for (int i = 0; i < 4; i++)
            put_frame(fd, i ? 0x00 : 0x01, "x", 1);
        put_frame(fd, 0x00, "one too many", 12);
        expect_close(fd, 1009);
        (void) close(fd);

        fd = connect_ws(h, listener);
        put_frame(fd, 0x81, "bye", 3);
        expect_close(fd, 4000);
        (void) close(fd);
    }
    close_all(h);
    assert_int_equal(opened, 4);
    assert_int_equal(ended, 4);
}

/* A message that came with the handshake is not lost. */
static void test_early(void **state) {
    struct bp_http *h = open_all((struct bp_ws_options){ 0 });
    static const char request[] = UPGRADE KEY VERSION "\r\n\x81\x85\0\0\0\0early";
    int fd = connect_to(bp_http_address(h, 0));
    char out[2048];

    (void) state;
    assert_int_equal(send(fd, request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
    (void) get(fd, out, sizeof out, "early");
    assert_int_equal(status_of(out), 101);
    assert_non_null(strstr(out, "\x81\x05"
                                "early"));
    (void) close(fd);
    close_all(h);
}

/* Waits until `n` connections have ended. */
static bool until_ended(unsigned n) {
    for (int i = 0; i < 1000; i++, bp_sleep(10 * BP_MS))
        if (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) >= n)
            return true;
    return false;
}

static void test_deadlines(void **state) {
    struct bp_http *h = open_all((struct bp_ws_options){
        .ping_interval = BP_SEC / 2, .pong_timeout = BP_SEC / 2, .message_timeout = 3 * BP_SEC });
    int silent = connect_ws(h, 0), alive = connect_ws(h, 0), slow = connect_ws(h, 0);
    uint8_t v[2];
    bool closed;

    (void) state;
    assert_int_equal(send(slow, "\x81", 1, MSG_NOSIGNAL), 1);
    for (int i = 0; i < 50 && __atomic_load_n(&ended, __ATOMIC_ACQUIRE) < 2; i++) {
        put_frame(alive, 0x8a, "", 0);
        if (i % 2)
            (void) recv(slow, v, 0, MSG_DONTWAIT);
        bp_sleep(100 * BP_MS);
    }
    assert_int_equal(read_bytes(silent, v, 2, &closed), 2);
    assert_memory_equal(v, "\x89\x00", 2); /* asked whether it lives, it said nothing */
    assert_true(until_ended(2));
    assert_int_equal(bp_gauge_get(&bp_fanout_stats.ws_open), 1);
    (void) close(silent);
    (void) close(slow);
    put_frame(alive, 0x81, "still here", 10);
    (void) close(alive);
    assert_true(until_ended(3));
    assert_int_equal(__atomic_load_n(&last_code, __ATOMIC_RELAXED), 1006);
    close_all(h);
}

/* Who does not read what it asked for is told to go and cut, others are served meanwhile. */
static void test_not_reading(void **state) {
    struct bp_http *h =
        open_all((struct bp_ws_options){ .max_own_bytes = 64 * 1024, .close_timeout = BP_SEC });
    int fd = connect_ws(h, 0), other = connect_ws(h, 0);
    char text[3900];

    (void) state;
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 20000 && __atomic_load_n(&ended, __ATOMIC_ACQUIRE) == 0; i++) {
        uint8_t head[8] = { 0x82, 0x80 | 126, sizeof text >> 8, sizeof text & 255 };

        if (send(fd, head, 8, MSG_NOSIGNAL | MSG_MORE) != 8 ||
            send(fd, text, sizeof text, MSG_NOSIGNAL) != sizeof text)
            break;
    }
    assert_true(until_ended(1));
    assert_int_equal(__atomic_load_n(&last_code, __ATOMIC_RELAXED), 1013);
    put_frame(other, 0x81, "hello", 5);
    expect_text(other, "hello");
    (void) close(fd);
    (void) close(other);
    close_all(h);
}

static void test_limit_and_stop(void **state) {
    struct bp_http *h = open_all((struct bp_ws_options){ .max_connections = 2 });
    int a = connect_ws(h, 0), b = connect_ws(h, 0), c = connect_to(bp_http_address(h, 0));
    char out[1024];

    (void) state;
    put(c, UPGRADE KEY VERSION "\r\n");
    (void) get(c, out, sizeof out, "\r\n\r\n");
    assert_int_equal(status_of(out), 503);
    (void) close(c);
    (void) close(b);
    assert_true(until_ended(2)); /* the refused one and b */
    b = connect_ws(h, 0);
    put_frame(b, 0x81, "subscribe", 9);
    put_frame(b, 0x81, "and", 3);
    expect_text(b, "and");
    (void) bp_channel_publish(channel, bp_frame_new(BP_WS_TEXT, 0, 0));
    expect_text(b, "");
    close_all(h);
    expect_close(a, 1001);
    expect_close(b, 1001);
    (void) close(a);
    (void) close(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),      cmocka_unit_test(test_rows),
        cmocka_unit_test(test_messages),       cmocka_unit_test(test_early),
        cmocka_unit_test(test_deadlines),      cmocka_unit_test(test_not_reading),
        cmocka_unit_test(test_limit_and_stop),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
