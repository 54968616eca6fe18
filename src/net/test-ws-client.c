#include "net/test-server.h"

#include <errno.h>
#include <netinet/in.h>

#include "base/thread.h"
#include "net/ws-client.h"
#include "net/ws-shake.h"
#include "net/ws.h"

/* The WebSocket client against our own server; beside another implementation: test/system/link.py.
 */
static struct bp_fanout *fanout;
static struct bp_ws_server *server;
static struct bp_loop *loop;
static struct bp_http *http;
static char url[128];

static void srv_open(struct bp_ws *ws, void *data) {
    (void) ws;
    (void) data;
}

/* Echoes; some words are orders. */
static void srv_message(struct bp_ws *ws, void *data, enum bp_ws_opcode opcode,
                        struct bp_str body) {
    (void) data;
    if (bp_str_eq(body, BP_STR("bye")))
        bp_ws_shut(ws, 4000, "as you wish");
    else
        bp_peer_put(bp_ws_peer(ws), bp_frame_of(opcode, body.p, body.n));
}

static void srv_end(void *data, unsigned code) {
    (void) data;
    (void) code;
}

static const struct bp_ws_ops srv_ops = { .open = srv_open,
                                          .message = srv_message,
                                          .end = srv_end };

static int get_ws(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const char *protocol = bp_http_header(req, "Sec-WebSocket-Protocol");
    const char *authorization = bp_http_header(req, "Authorization");
    int r;

    if (!authorization || !bp_streq(authorization, "Bearer x")) {
        bp_http_reply_header(reply, "Retry-After", "7");
        return bp_fail(err, -EACCES, "who are you?");
    }
    r = bp_ws_accept(server, req, reply, NULL);
    if (protocol && bp_streq(protocol, "echo.1"))
        bp_http_reply_header(reply, "Sec-WebSocket-Protocol", protocol);
    return r;
}

static const struct bp_http_route routes[] = { { "GET", "/ws", get_ws, BP_HTTP_PUBLIC, "ws" } };

/* ---- the client's side ---- */

static struct {
    struct bp_mutex lock;
    pthread_cond_t changed;
    unsigned opened, ended, messages, code; /* [lock] */
    int failure, status;
    bp_ns_t retry_after;
    char text[200], last[64];
    size_t bytes;
} seen = { .lock = BP_MUTEX_INIT, .changed = PTHREAD_COND_INITIALIZER };

static void cl_open(void *ctx, struct bp_ws_client *c) {
    (void) ctx;
    (void) c;
    bp_mutex_lock(&seen.lock);
    seen.opened++;
    (void) pthread_cond_broadcast(&seen.changed);
    bp_mutex_unlock(&seen.lock);
}

static void cl_message(void *ctx, struct bp_ws_client *c, enum bp_ws_opcode opcode,
                       struct bp_str body) {
    (void) ctx;
    (void) c;
    (void) opcode;
    bp_mutex_lock(&seen.lock);
    seen.messages++;
    seen.bytes += body.n;
    (void) snprintf(seen.last, sizeof seen.last, "%.*s", (int) BP_MIN(body.n, (size_t) 60), body.p);
    (void) pthread_cond_broadcast(&seen.changed);
    bp_mutex_unlock(&seen.lock);
}

static void cl_end(void *ctx, const struct bp_ws_client_end *why) {
    (void) ctx;
    bp_mutex_lock(&seen.lock);
    seen.ended++;
    seen.code = why->code;
    seen.failure = why->failure;
    seen.status = why->status;
    seen.retry_after = why->retry_after;
    (void) snprintf(seen.text, sizeof seen.text, "%s", why->text);
    (void) pthread_cond_broadcast(&seen.changed);
    bp_mutex_unlock(&seen.lock);
}

static const struct bp_ws_client_ops ops = { .open = cl_open,
                                             .message = cl_message,
                                             .end = cl_end };

static void await(const unsigned *counter, unsigned want) {
    bp_mutex_lock(&seen.lock);
    while (*counter < want)
        bp_mutex_wait(&seen.lock, &seen.changed);
    bp_mutex_unlock(&seen.lock);
}

static struct bp_ws_client *open_ws(struct bp_ws_client_options o) {
    static const char *const headers[] = { "Authorization: Bearer x", NULL };
    struct bp_ws_client *c = NULL;
    struct bp_error err = { 0 };

    seen.opened = seen.ended = seen.messages = 0;
    seen.bytes = 0;
    o.loop = loop;
    o.ops = &ops;
    o.url = o.url ? o.url : url;
    o.headers = o.headers ? o.headers : headers;
    if (bp_ws_client_open(&o, &c, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static int set_up(void **state) {
    const char *address;

    if (make_dir(state) < 0 || bp_loop_open("loop", &loop) < 0)
        return -1;
    assert_int_equal(bp_fanout_open(NULL, &fanout, NULL), 0);
    assert_int_equal(bp_ws_server_open(&(struct bp_ws_options){ .fanout = fanout,
                                                                .ops = &srv_ops,
                                                                .max_message_bytes = 2 << 20,
                                                                .max_own_bytes = 64 << 20 },
                                       &server, NULL),
                     0);
    http = open_server((struct bp_http_options){ .routes = routes, .nroutes = 1 });
    address = bp_http_address(http, 0);
    (void) snprintf(url, sizeof url, "ws://%s/ws", address);
    return 0;
}

static int tear_down(void **state) {
    bp_ws_server_stop(server, BP_SEC);
    (void) bp_http_drain(http, BP_SEC);
    bp_http_close(http);
    bp_ws_server_close(server);
    bp_fanout_close(fanout);
    bp_loop_close(loop);
    return remove_dir(state);
}

static void echoes(void **state) {
    struct bp_ws_client *c = open_ws((struct bp_ws_client_options){ .protocol = "echo.1" });
    static char big[300000];

    (void) state;
    await(&seen.opened, 1);
    assert_int_equal(bp_ws_client_send(c, BP_WS_TEXT, "hello", 5), 0);
    await(&seen.messages, 1);
    assert_string_equal(seen.last, "hello");
    memset(big, 'x', sizeof big);
    for (size_t n = 0; n < sizeof big; n += 65000) /* each form of the length */
        assert_int_equal(bp_ws_client_send(c, BP_WS_BINARY, big, n), 0);
    await(&seen.messages, 6);
    assert_int_equal(seen.bytes, 5 + 65000 * (1 + 2 + 3 + 4));
    assert_int_equal(bp_ws_client_queued(c), 0);
    bp_ws_client_shut(c, 1000, "done");
    assert_int_equal(bp_ws_client_send(c, BP_WS_TEXT, "late", 4), -ENOTCONN);
    await(&seen.ended, 1);
    assert_int_equal(seen.code, 1000);
    assert_int_equal(seen.failure, 0);
    bp_ws_client_close(c);
}

static void is_told_why(void **state) {
    struct bp_ws_client *c = open_ws((struct bp_ws_client_options){ 0 });

    (void) state;
    await(&seen.opened, 1);
    assert_int_equal(bp_ws_client_send(c, BP_WS_TEXT, "bye", 3), 0);
    await(&seen.ended, 1);
    assert_int_equal(seen.code, 4000);
    assert_string_equal(seen.text, "as you wish");
    bp_ws_client_close(c);
}

static void refusals(void **state) {
    static const char *const nobody[] = { "Authorization: Bearer y", NULL };
    char other[160];
    const struct {
        struct bp_ws_client_options o;
        int failure, status;
        const char *text;
    } cases[] = {
        { { .headers = nobody }, -EACCES, 403, "who are you?" },
        { { .url = other }, -EACCES, 404, "status 404" },
        { { .protocol = "else.1" }, BP_EFORMAT, 0, "another protocol than 'else.1'" },
        { { .url = "ws://127.0.0.1:1/" }, -ECONNREFUSED, 0, "" },
        { { .url = "wss://127.0.0.1:1/" }, -ECONNREFUSED, 0, "" },
        { { .proxy = "http://127.0.0.1:1" }, -ECONNREFUSED, 0, "" },
    };

    (void) state;
    (void) snprintf(other, sizeof other, "ws://%s/nothing", bp_http_address(http, 0));
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_ws_client *c = open_ws(cases[i].o);

        await(&seen.ended, 1);
        assert_int_equal(seen.failure, cases[i].failure);
        assert_int_equal(seen.status, cases[i].status);
        assert_non_null(strstr(seen.text, cases[i].text));
        assert_int_equal(seen.opened, 0);
        assert_int_equal(seen.retry_after, i == 0 ? 7 * BP_SEC : 0);
        bp_ws_client_close(c);
    }
}

static void bad_options(void **state) {
    static const char *const lines[] = { "A: b\r\nC: d", NULL };
    const struct bp_ws_client_options cases[] = {
        { .url = "ftp://x/" },
        { .url = "ws://" },
        { .url = "ws://a b/" },
        { .url = "ws://u@h/" },
        { .url = "ws://h/\r\nX: y" },
        { .url = "ws://h/#f" },
        { .url = "ws://h/", .headers = lines },
        { .url = "ws://h/", .ca_file = "/does/not/exist" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_ws_client_options o = cases[i];
        struct bp_ws_client *c = NULL;
        struct bp_error err = { 0 };

        o.loop = loop;
        o.ops = &ops;
        assert_true(bp_ws_client_open(&o, &c, &err) < 0);
        assert_true(*err.text);
    }
}

/* One that listens and never answers: closing does not wait for it. */
static void closed_while_connecting(void **state) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    char text[64];
    struct bp_ws_client *c;
    bp_ns_t begin = bp_mono_ns();

    (void) state;
    assert_int_equal(bind(fd, (struct sockaddr *) &a, sizeof a), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &a, &len), 0);
    (void) snprintf(text, sizeof text, "ws://127.0.0.1:%u/", ntohs(a.sin_port));
    c = open_ws((struct bp_ws_client_options){ .url = text });
    bp_sleep(50 * BP_MS);
    bp_ws_client_close(c);
    assert_true(bp_mono_ns() - begin < 5 * BP_SEC);
    assert_int_equal(seen.ended, 0); /* nobody is told what it did itself */

    c = open_ws((struct bp_ws_client_options){ .url = text, .connect_timeout = 300 * BP_MS });
    await(&seen.ended, 1);
    assert_int_equal(seen.failure, -ETIMEDOUT);
    bp_ws_client_close(c);
    (void) close(fd);
}

/* A server that takes nothing: what waits is bounded, and in the end it is cut. */
static void never_reading(void **state) {
    static const char head[] = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    static char big[100000];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;
    char text[64], out[2048], key[BP_WS_KEY_TEXT], accept_text[BP_WS_ACCEPT_TEXT], *at;
    struct bp_ws_client *c;
    unsigned refused = 0;

    (void) state;
    assert_int_equal(bind(fd, (struct sockaddr *) &a, sizeof a), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &a, &len), 0);
    (void) snprintf(text, sizeof text, "ws://127.0.0.1:%u/", ntohs(a.sin_port));
    c = open_ws((struct bp_ws_client_options){
        .url = text, .max_queue_bytes = 1 << 20, .write_timeout = BP_SEC });
    peer = accept(fd, NULL, NULL);
    assert_false(get(peer, out, sizeof out, "\r\n\r\n"));
    at = strstr(out, "Sec-WebSocket-Key: ");
    assert_non_null(at);
    (void) snprintf(key, sizeof key, "%.24s", at + 19);
    put(peer, head);
    (void) snprintf(out, sizeof out, "Sec-WebSocket-Accept: %s\r\n\r\n",
                    bp_ws_accept_text(key, accept_text));
    put(peer, out);
    await(&seen.opened, 1);
    for (unsigned i = 0; i < 1000 && refused == 0; i++)
        refused += bp_ws_client_send(c, BP_WS_BINARY, big, sizeof big) == -ENOBUFS;
    assert_int_equal(refused, 1);
    assert_true(bp_ws_client_queued(c) <= 1 << 20);
    await(&seen.ended, 1);
    assert_int_equal(seen.failure, -ETIMEDOUT);
    bp_ws_client_close(c);
    (void) close(peer);
    (void) close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes),
        cmocka_unit_test(is_told_why),
        cmocka_unit_test(refusals),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(closed_while_connecting),
        cmocka_unit_test(never_reading),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
