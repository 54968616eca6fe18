#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include "net/test-server.h"

static int show(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req;
    (void) reply;
    (void) err;
    return 0;
}

static const struct bp_http_route routes[] = {
    { "GET", "/", show, BP_HTTP_PUBLIC, "the root" },
    { "POST", "/a/:id", show, BP_HTTP_OPERATOR, "changes" },
};

#define ROUTES .routes = routes, .nroutes = BP_COUNT(routes)

static void limits_of_connections(void **state) {
    BP_CLEANUP(bp_http_closep)
    struct bp_http *h = open_server((struct bp_http_options){
        ROUTES, .max_connections = 8, .max_per_peer = 4, .limit_loopback = true });
    char text[1000];
    int fds[5], by_unix[10];

    (void) state;
    for (int i = 0; i < 5; i++)
        fds[i] = connect_to(bp_http_address(h, 0));
    assert_true(get(fds[4], text, sizeof text, NULL));
    assert_int_equal(status_of(text), 503);

    /* in all: those that have waited longest make room */
    for (int i = 0; i < 10; i++) {
        by_unix[i] = connect_to(unix_text);
        bp_sleep(20 * BP_MS);
    }
    put(by_unix[9], "GET / HTTP/1.1\r\n" H C "\r\n");
    assert_true(get(by_unix[9], text, sizeof text, NULL));
    assert_int_equal(status_of(text), 204);
    assert_true(get(fds[0], text, sizeof text, NULL)); /* cut */
    assert_string_equal(text, "");
    for (int i = 0; i < 10; i++)
        (void) close(by_unix[i]);
    for (int i = 0; i < 5; i++)
        (void) close(fds[i]);
}

static void slow_heads_and_bodies_are_cut(void **state) {
    BP_CLEANUP(bp_http_closep)
    struct bp_http *h = open_server(
        (struct bp_http_options){ ROUTES, .head_timeout = BP_SEC, .body_timeout = BP_SEC });
    BP_AUTO_FD int head = connect_to(bp_http_address(h, 0));
    BP_AUTO_FD int body = connect_to(bp_http_address(h, 0));
    bp_ns_t start = bp_mono_ns(), took;
    char text[100];
    int sent;

    (void) state;
    put(head, "GET / HTTP/1.1\r\n");
    put(body, "POST /a/1 HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\n");
    for (sent = 0; sent < 40; sent++) { /* never idle */
        bp_sleep(100 * BP_MS);
        if (send(head, "X: y\r\n", 6, MSG_NOSIGNAL) < 0 && send(body, "x", 1, MSG_NOSIGNAL) < 0)
            break;
    }
    took = bp_mono_ns() - start;
    assert_true(took > 900 * BP_MS && took < 3 * BP_SEC);
    assert_true(get(head, text, sizeof text, NULL));
    assert_true(get(body, text, sizeof text, NULL));
}

static void draining_cuts_at_its_deadline(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    BP_AUTO_FD int fd = connect_to(bp_http_address(h, 0));
    char text[100];

    (void) state;
    put(fd, "POST /a/1 HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\nx");
    bp_sleep(50 * BP_MS);
    assert_int_equal(bp_http_drain(h, 100 * BP_MS), 1);
    assert_true(get(fd, text, sizeof text, NULL));
}

static void unix_sockets_stale_and_in_use(void **state) {
    const char *const listen[] = { unix_text, NULL };
    const struct bp_http_options o = { .listen = listen, ROUTES };
    struct bp_http *h, *other = NULL;
    const char *path = unix_text + 5;
    struct bp_error err = { 0 };
    struct bp_addr a;
    struct stat st;
    int fd;

    (void) state;
    h = open_server(o);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(bp_http_open(&o, &other, &err), BP_EBUSY);
    assert_non_null(strstr(err.text, "another program listens on"));
    bp_http_close(h);
    assert_int_equal(stat(path, &st), -1);

    assert_int_equal(bp_addr_parse(unix_text, &a, &err), 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, &a.sa, a.len), 0);
    (void) close(fd); /* killed: its socket stays */
    h = open_server(o);
    bp_http_close(h);

    fd = open(path, O_CREAT | O_WRONLY, 0600);
    (void) close(fd);
    assert_int_equal(bp_http_open(&o, &other, &err), -EEXIST);
    assert_int_equal(unlink(path), 0);
}

static void servers_that_cannot_start(void **state) {
    static const struct bp_http_route bad = { "GET", "a", show, BP_HTTP_PUBLIC, "" };
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    const char *const used[] = { bp_http_address(h, 0), NULL };
    const char *const odd[] = { "localhost", NULL };
    const char *const nowhere[] = { "unix:/nowhere/x.sock", NULL };
    const char *const fd[] = { "fd:0", NULL };
    const struct {
        struct bp_http_options o;
        int want;
    } cases[] = {
        { { ROUTES, .listen = used }, -EADDRINUSE },
        { { ROUTES, .listen = odd }, -EINVAL },
        { { ROUTES, .listen = nowhere }, -ENOENT },
        { { ROUTES, .listen = fd }, -EINVAL },
        { { 0 }, -EINVAL },
        { { .routes = &bad, .nroutes = 1 }, -EINVAL },
    };
    struct bp_http *other = NULL;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_error err = { 0 };

        assert_int_equal(bp_http_open(&cases[i].o, &other, &err), cases[i].want);
        assert_true(err.text[0] != '\0');
    }
}

static void a_socket_that_was_handed_in(void **state) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char text[4096], name[20];
    const char *const listen_on[] = { name, NULL };
    struct bp_http *h;

    (void) state;
    assert_int_equal(bind(fd, (const struct sockaddr *) &any, sizeof any), 0);
    assert_int_equal(listen(fd, 10), 0);
    (void) snprintf(name, sizeof name, "fd:%d", fd);
    h = open_server((struct bp_http_options){ ROUTES, .listen = listen_on });
    assert_int_equal(ask(h, "GET / HTTP/1.1\r\n" H C "\r\n", text, sizeof text), 204);
    bp_http_close(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_of_connections),
        cmocka_unit_test(slow_heads_and_bodies_are_cut),
        cmocka_unit_test(draining_cuts_at_its_deadline),
        cmocka_unit_test(unix_sockets_stale_and_in_use),
        cmocka_unit_test(servers_that_cannot_start),
        cmocka_unit_test(a_socket_that_was_handed_in),
    };

    return cmocka_run_group_tests_name("net/http-conn", tests, make_dir, remove_dir);
}
