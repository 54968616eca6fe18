/* A server on the HTTP room alone, for tests from outside: http-probe ADDRESS… prints the addresses
 * it listens on and answers until SIGTERM. Exit status 0: drained within five seconds, nothing cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/thread.h"
#include "net/http.h"

static int hello(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req;
    (void) err;
    bp_http_reply_json(reply, 200, json_pack("{s:s}", "hello", "world"));
    return 0;
}

static int echo(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_str in = bp_http_body(req);
    BP_AUTO_BUF body = { 0 };

    (void) err;
    bp_buf_put(&body, in.p, in.n);
    bp_http_reply_buf(reply, 200, "application/octet-stream", &body);
    return 0;
}

/* 64 MiB, for clients that do not read. */
static int big(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    static const char zeros[64 << 20];

    (void) req;
    (void) err;
    bp_http_reply_static(reply, 200, "application/octet-stream", zeros, sizeof zeros);
    return 0;
}

/* ---- an upgraded connection that sends back what comes ---- */

struct lent {
    int fd;
    struct bp_http_upgrade *u;
};

static void *send_back(void *arg) {
    struct lent *l = arg;
    static _Thread_local char buf[65536];
    ssize_t n;

    (void) fcntl(l->fd, F_SETFL, 0); /* may wait: the thread is ours */
    while ((n = recv(l->fd, buf, sizeof buf, 0)) > 0)
        for (ssize_t at = 0, m; at < n; at += m) {
            m = send(l->fd, buf + at, (size_t) (n - at), MSG_NOSIGNAL);
            if (m <= 0)
                break;
        }
    bp_http_upgrade_close(l->u);
    free(l);
    return NULL;
}

static void take(void *ctx, int fd, struct bp_str early, struct bp_http_upgrade *u) {
    struct lent *l = calloc(1, sizeof *l);
    pthread_t thread;

    (void) ctx;
    (void) early;
    if (l)
        *l = (struct lent){ fd, u };
    if (!l || bp_thread_start("upgraded", send_back, l, &thread) < 0) {
        bp_http_upgrade_close(u);
        free(l);
        return;
    }
    (void) pthread_detach(thread);
}

static int upgrade(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const char *wanted = bp_http_header(req, "Upgrade");

    (void) err;
    if (wanted && bp_streq(wanted, "websocket"))
        bp_http_reply_upgrade(reply, "websocket", take, NULL, NULL);
    else
        bp_http_reply_empty(reply, 426);
    return 0;
}

static int metrics(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    BP_AUTO_BUF body = { 0 };

    (void) req;
    (void) err;
    bp_metrics_render(&body, bp_http_metrics, bp_http_metrics_count);
    bp_http_reply_buf(reply, 200, "text/plain; version=0.0.4", &body);
    return 0;
}

static const struct bp_http_route routes[] = {
    { "GET", "/api/hello", hello, BP_HTTP_PUBLIC, "says hello" },
    { "POST", "/api/echo", echo, BP_HTTP_PUBLIC, "sends back the body" },
    { "GET", "/api/big", big, BP_HTTP_PUBLIC, "sends 64 MiB" },
    { "GET", "/api/upgrade", upgrade, BP_HTTP_PUBLIC, "sends back what comes" },
    { "GET", "/metrics", metrics, BP_HTTP_PUBLIC, "what the server did" },
};

int main(int argc, char *argv[]) {
    struct bp_http_options o = { .hosts = (const char *const[]){ "robot.example.com",
                                                                 NULL }, /* as deploy/nginx says */
                                 .routes = routes,
                                 .nroutes = BP_COUNT(routes),
                                 .loops = 2,
                                 .max_connections = 2048 };
    struct bp_http *h = NULL;
    struct bp_error err;
    sigset_t set;
    unsigned cut;
    int got;

    (void) argc;
    (void) signal(SIGPIPE, SIG_IGN);
    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGTERM);
    (void) pthread_sigmask(SIG_BLOCK, &set, NULL);

    o.listen = (const char *const *) argv + 1; /* NULL at its end */
    if (bp_http_open(&o, &h, &err) < 0) {
        (void) fprintf(stderr, "%s\n", err.text);
        return bp_exit_status(err.code);
    }
    for (size_t i = 0; bp_http_address(h, i); i++)
        (void) printf("%s\n", bp_http_address(h, i));
    (void) fflush(stdout);

    (void) sigwait(&set, &got);
    cut = bp_http_drain(h, 5 * BP_SEC);
    bp_http_close(h);
    return cut == 0 ? 0 : 1;
}
