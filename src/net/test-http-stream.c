#include <errno.h>
#include <pthread.h>

#include "net/test-server.h"

static int gate; /* [atomic] handlers of /slow wait until it is open */

static int slow(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    while (!__atomic_load_n(&gate, __ATOMIC_ACQUIRE) && !bp_http_draining(req))
        bp_sleep(2 * BP_MS);
    bp_sleep(50 * BP_MS);
    bp_http_reply_json(reply, 200, json_pack("{s:s}", "slow", "done"));
    return 0;
}

static int missing(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req;
    (void) reply;
    return bp_fail(err, -ENOENT, "no session is called '%s'", "x\"y");
}

/* Three pieces, a pause before each; woken by `waker`. */
struct pieces {
    struct bp_http_stream *stream;
    pthread_t waker;
    int given, allowed; /* [atomic] */
    int forever;
};

static int streams_done; /* [atomic] */

static ssize_t read_piece(void *ctx, char *p, size_t max) {
    struct pieces *s = ctx;

    if (s->given == 3 && !s->forever)
        return 0;
    if (s->given == __atomic_load_n(&s->allowed, __ATOMIC_ACQUIRE))
        return -EAGAIN;
    s->given++;
    return snprintf(p, max, "data: %d\n", s->given);
}

static void pieces_done(void *ctx) {
    struct pieces *s = ctx;

    (void) s;
    __atomic_add_fetch(&streams_done, 1, __ATOMIC_RELEASE);
}

static void *wake_pieces(void *arg) {
    struct pieces *s = arg;

    for (int i = 0; i < 3; i++) {
        bp_sleep(10 * BP_MS);
        __atomic_add_fetch(&s->allowed, 1, __ATOMIC_RELEASE);
        bp_http_stream_wake(s->stream);
        bp_http_stream_wake(s->stream); /* once too often */
    }
    bp_http_stream_unref(s->stream);
    return NULL;
}

static struct pieces pieces;

static int stream(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    static const struct bp_http_stream_ops ops = { read_piece, pieces_done };

    (void) err;
    pieces = (struct pieces){ .forever = bp_http_query(req, "forever") != NULL };
    bp_http_reply_stream(reply, 200, "text/event-stream", &ops, &pieces, &pieces.stream);
    return pthread_create(&pieces.waker, NULL, wake_pieces, &pieces);
}

/* Sends back in capitals what it was sent first. */
static void shout(void *ctx, int fd, struct bp_str early, struct bp_http_upgrade *u) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char text[100];
    ssize_t n = (ssize_t) early.n;

    (void) ctx;
    if (n > 0)
        memcpy(text, early.p, early.n);
    else if (poll(&p, 1, 2000) == 1) /* a test may wait here */
        n = read(fd, text, sizeof text);
    for (ssize_t i = 0; i < n; i++)
        text[i] = (char) (text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
    if (n > 0)
        assert_int_equal(write(fd, text, (size_t) n), n);
    bp_http_upgrade_close(u);
}

/* News come just behind the look that found none. */
static ssize_t read_raced(void *ctx, char *p, size_t max) {
    struct pieces *s = ctx;

    if (s->given == 3)
        return 0;
    if (s->given == s->allowed) {
        s->allowed++;
        bp_http_stream_wake(s->stream);
        return -EAGAIN;
    }
    s->given++;
    return snprintf(p, max, "data: %d\n", s->given);
}

static int raced(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    static const struct bp_http_stream_ops ops = { read_raced, pieces_done };

    (void) req;
    (void) err;
    pieces = (struct pieces){ 0 };
    bp_http_reply_stream(reply, 200, "text/event-stream", &ops, &pieces, &pieces.stream);
    return 0;
}

static ssize_t read_never(void *ctx, char *p, size_t max) {
    (void) ctx;
    if (max > 0)
        p[0] = '!'; /* not to be sent */
    return -EAGAIN;
}

static int endless(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    static const struct bp_http_stream_ops ops = { read_never, pieces_done };

    (void) req;
    (void) err;
    bp_http_reply_stream(reply, 200, "text/event-stream", &ops, &pieces, NULL);
    return 0;
}

static int upgrade(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req;
    (void) err;
    bp_http_reply_upgrade(reply, "shout", shout, NULL, NULL);
    return 0;
}

static const struct bp_http_route routes[] = {
    { "GET", "/slow", slow, BP_HTTP_VIEWER, "waits" },
    { "GET", "/missing", missing, BP_HTTP_VIEWER, "fails" },
    { "GET", "/stream", stream, BP_HTTP_VIEWER, "in pieces" },
    { "GET", "/endless", endless, BP_HTTP_VIEWER, "never says anything" },
    { "GET", "/raced", raced, BP_HTTP_VIEWER, "in pieces, at the wrong moment" },
    { "GET", "/upgrade", upgrade, BP_HTTP_VIEWER, "hands over" },
};

#define ROUTES .routes = routes, .nroutes = BP_COUNT(routes)

static void streams(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    char text[4096];

    (void) state;
    streams_done = 0;
    assert_int_equal(ask(h, "GET /stream HTTP/1.1\r\n" H C "\r\n", text, sizeof text), 200);
    assert_non_null(strstr(text, "data: 1\n"));
    assert_non_null(strstr(text, "data: 3\n"));
    (void) pthread_join(pieces.waker, NULL);
    for (int i = 0; i < 100 && !__atomic_load_n(&streams_done, __ATOMIC_ACQUIRE); i++)
        bp_sleep(10 * BP_MS);
    assert_int_equal(__atomic_load_n(&streams_done, __ATOMIC_ACQUIRE), 1);

    assert_int_equal(ask(h, "HEAD /stream HTTP/1.1\r\n" H C "\r\n", text, sizeof text), 200);
    (void) pthread_join(pieces.waker, NULL);
    assert_null(strstr(text, "data"));
}

static void no_wake_is_lost(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    char text[4096];

    (void) state;
    assert_int_equal(ask(h, "GET /raced HTTP/1.1\r\n" H C "\r\n", text, sizeof text), 200);
    assert_non_null(strstr(text, "data: 3\n"));
    bp_http_stream_unref(pieces.stream);
}

struct lines {
    char text[100];
    size_t n;
};

static int note_line(void *ctx, const char *text, size_t n) {
    struct lines *l = ctx;

    l->n += (size_t) snprintf(l->text + l->n, sizeof l->text - l->n, "[%.*s]", (int) n, text);
    return l->n > 30 ? 7 : 0;
}

static void lines_of_a_stream(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    BP_CLEANUP(bp_client_closep) struct bp_client *c = open_client(unix_text);
    struct lines l = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    (void) h;
    assert_int_equal(bp_client_lines(c, "/stream", note_line, &l, &err), 0);
    assert_string_equal(l.text, "[data: 1][data: 2][data: 3]");
    (void) pthread_join(pieces.waker, NULL);
    assert_int_equal(bp_client_lines(c, "/stream", note_line, &l, &err), 7); /* it has enough */
    (void) pthread_join(pieces.waker, NULL);
    assert_int_equal(bp_client_lines(c, "/missing", note_line, &l, &err), -ENOENT);
    assert_string_equal(err.text, "no session is called 'x\"y'");
}

static void connections_are_handed_over(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    BP_AUTO_FD int fd = connect_to(bp_http_address(h, 0));
    char text[1000];

    (void) state;
    put(fd, "GET /upgrade HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: shout\r\n\r\n");
    assert_false(get(fd, text, sizeof text, "\r\n\r\n"));
    assert_int_equal(status_of(text), 101);
    assert_non_null(strstr(text, "Upgrade: shout\r\n"));
    put(fd, "hello");
    assert_true(get(fd, text, sizeof text, NULL));
    assert_string_equal(text, "HELLO");
}

static void a_stream_ends_with_its_client(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    int fd = connect_to(bp_http_address(h, 0));
    char text[1000];

    (void) state;
    streams_done = 0;
    put(fd, "GET /endless HTTP/1.1\r\n" H "\r\n");
    bp_sleep(100 * BP_MS);
    (void) get(fd, text, 1, NULL);
    (void) close(fd);
    for (int i = 0; i < 100 && !__atomic_load_n(&streams_done, __ATOMIC_ACQUIRE); i++)
        bp_sleep(10 * BP_MS);
    assert_int_equal(__atomic_load_n(&streams_done, __ATOMIC_ACQUIRE), 1);
}

static void *drain(void *arg) {
    return (void *) (uintptr_t) bp_http_drain(arg, 3 * BP_SEC);
}

static void draining_lets_finish_what_runs(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    BP_AUTO_FD int idle = connect_to(bp_http_address(h, 0));
    BP_AUTO_FD int busy = connect_to(bp_http_address(h, 0));
    BP_AUTO_FD int endless = connect_to(bp_http_address(h, 0));
    struct bp_addr a;
    pthread_t thread;
    void *cut;
    char text[4096];
    bp_ns_t start;
    int fd;

    (void) state;
    __atomic_store_n(&gate, 0, __ATOMIC_RELEASE);
    put(busy, "GET /slow HTTP/1.1\r\n" H "\r\n");
    put(endless, "GET /stream?forever HTTP/1.1\r\n" H "\r\n");
    assert_false(get(endless, text, sizeof text, "data: 3"));
    bp_sleep(50 * BP_MS);
    start = bp_mono_ns();
    assert_int_equal(pthread_create(&thread, NULL, drain, h), 0);

    assert_true(get(busy, text, sizeof text, NULL));
    assert_int_equal(status_of(text), 200);
    assert_non_null(strstr(text, "Connection: close"));
    assert_true(get(idle, text, sizeof text, NULL));
    assert_true(get(endless, text, sizeof text, NULL));
    assert_non_null(strstr(text, "0\r\n\r\n")); /* ended, not cut */
    assert_int_equal(pthread_join(thread, &cut), 0);
    assert_int_equal((uintptr_t) cut, 0);
    assert_true(bp_mono_ns() - start < 2 * BP_SEC);
    (void) pthread_join(pieces.waker, NULL);

    assert_int_equal(bp_addr_parse(bp_http_address(h, 0), &a, NULL), 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &a.sa, a.len), -1);
    (void) close(fd);
}

/* Sends requests, streams among them, until told to stop, whatever becomes of them. */
struct crowd {
    char address[BP_ADDR_TEXT];
    int stop; /* [atomic] */
};

static void *press(void *arg) {
    struct crowd *c = arg;
    struct bp_addr a;
    char text[500];

    assert_int_equal(bp_addr_parse(c->address, &a, NULL), 0);
    for (unsigned i = 0; !__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE); i++) {
        static const char *const requests[] = {
            "GET /missing HTTP/1.1\r\n" H "\r\n",
            "GET /endless HTTP/1.1\r\n" H "\r\n",
            "GET /missing HTTP/1.1\r\n" H "\r\nGET /endless HTTP/1.1\r\n" H "\r\n",
            "GET /endl",
        };
        BP_AUTO_FD int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (connect(fd, &a.sa, a.len) < 0)
            continue;
        (void) send(fd, requests[i % 4], strlen(requests[i % 4]), MSG_NOSIGNAL);
        if (i % 3)
            (void) recv(fd, text, sizeof text, MSG_DONTWAIT);
    }
    return NULL;
}

/* libmicrohttpd aborts the program when it is stopped while a connection is suspended. */
static void closing_in_the_midst(void **state) {
    (void) state;
    for (int i = 0; i < 20; i++) {
        struct bp_http *h = open_server((struct bp_http_options){ ROUTES, .loops = 2 });
        struct crowd c = { 0 };
        pthread_t threads[3];

        (void) snprintf(c.address, sizeof c.address, "%s", bp_http_address(h, 0));
        for (size_t k = 0; k < BP_COUNT(threads); k++)
            assert_int_equal(pthread_create(&threads[k], NULL, press, &c), 0);
        bp_sleep(30 * BP_MS);
        if (i % 2)
            (void) bp_http_drain(h, (i % 3) * 5 * BP_MS);
        bp_http_close(h);
        __atomic_store_n(&c.stop, 1, __ATOMIC_RELEASE);
        for (size_t k = 0; k < BP_COUNT(threads); k++)
            (void) pthread_join(threads[k], NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams),
        cmocka_unit_test(no_wake_is_lost),
        cmocka_unit_test(lines_of_a_stream),
        cmocka_unit_test(connections_are_handed_over),
        cmocka_unit_test(draining_lets_finish_what_runs),
        cmocka_unit_test(a_stream_ends_with_its_client),
        cmocka_unit_test(closing_in_the_midst),
    };

    return cmocka_run_group_tests_name("net/http-stream", tests, make_dir, remove_dir);
}
