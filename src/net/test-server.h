#pragma once

/* What the tests of the server share: it, a folder for its unix socket, and clients that send
 * whatever they like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "net/addr.h"
#include "net/client.h"
#include "net/http.h"

static char dir[] = "/tmp/bp-test-http-XXXXXX", unix_text[64];

static inline int make_dir(void **state) {
    (void) state;
    (void) signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(unix_text, sizeof unix_text, "unix:%s/http.sock", dir);
    return 0;
}

static inline int remove_dir(void **state) {
    (void) state;
    return rmdir(dir); /* the server has removed its socket */
}

/* Listens on a free port of 127.0.0.1 and a unix socket unless told otherwise. */
static inline struct bp_http *open_server(struct bp_http_options o) {
    const char *const listen[] = { "127.0.0.1:0", unix_text, NULL };
    struct bp_error err = { 0 };
    struct bp_http *h = NULL;

    o.listen = o.listen ? o.listen : listen;
    if (bp_http_open(&o, &h, &err) < 0)
        fail_msg("%s", err.text);
    return h;
}

static inline struct bp_client *open_client(const char *url) {
    struct bp_client *c = NULL;
    struct bp_error err = { 0 };

    if (bp_client_open(&(struct bp_client_options){ .url = url, .timeout = 5 * BP_SEC }, &c, &err))
        fail_msg("%s", err.text);
    return c;
}

static inline int connect_to(const char *text) {
    struct bp_addr a;
    int fd;

    assert_int_equal(bp_addr_parse(text, &a, NULL), 0);
    fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &a.sa, a.len), 0);
    return fd;
}

static inline void put(int fd, const char *text) {
    size_t n = strlen(text);

    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
}

/* Reads until the other side closes, or until `until` was seen. @return true when it closed */
static inline bool get(int fd, char *out, size_t size, const char *until) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    size_t n = 0;

    out[0] = '\0';
    while (n + 1 < size && poll(&p, 1, 5000) == 1) {
        ssize_t k = recv(fd, out + n, size - 1 - n, 0);

        if (k <= 0)
            return true;
        n += (size_t) k;
        out[n] = '\0';
        if (until && strstr(out, until))
            return false;
    }
    return false;
}

static inline int status_of(const char *text) {
    return bp_starts_with(text, "HTTP/1.1 ") ? (int) strtol(text + 9, NULL, 10) : 0;
}

/* One request on a connection of its own, which it asks to be closed. */
static inline int ask(const struct bp_http *h, const char *request, char *out, size_t size) {
    BP_AUTO_FD int fd = connect_to(bp_http_address(h, 0));

    put(fd, request);
    if (!get(fd, out, size, NULL))
        fail_msg("the connection stays open:\n%s\n%s", request, out);
    return status_of(out);
}

#define H "Host: localhost\r\n"
#define C "Connection: close\r\n"
