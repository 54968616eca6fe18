#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "crypt/digest.h"
#include "net/fetch.h"
#include "net/test-server.h"

static int gate; /* [atomic] handlers of /slow wait until it is open */

static int echo(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_str body = bp_http_body(req);
    uint8_t digest[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX];

    (void) err;
    bp_sha256_of(body.p, body.n, digest);
    bp_http_reply_header(reply, "X-Sha", bp_sha256_hex(digest, hex));
    bp_http_reply_header(reply, "X-Peer", bp_http_peer(req));
    bp_http_reply_json(reply, 200,
                       json_pack("{s:s, s:I, s:s?}", "method", bp_http_method(req), "n",
                                 (json_int_t) body.n, "x", bp_http_header(req, "X-Test")));
    return 0;
}

static int slow(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    while (!__atomic_load_n(&gate, __ATOMIC_ACQUIRE) && !bp_http_draining(req))
        bp_sleep(2 * BP_MS);
    bp_http_reply_json(reply, 200, json_pack("{}"));
    return 0;
}

static int missing(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req;
    (void) reply;
    return bp_fail(err, -ENOENT, "nothing here");
}

static int digits(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    int fd = memfd_create("file", MFD_CLOEXEC);

    (void) req;
    if (fd < 0 || pwrite(fd, "0123456789", 10, 0) != 10)
        return bp_fail(err, -EIO, "no file");
    bp_http_reply_file(reply, fd, 10, "text/plain", "\"v1\"");
    return 0;
}

static const struct bp_http_route routes[] = {
    { "GET", "/echo", echo, BP_HTTP_VIEWER, "echoes" },
    { "PUT", "/echo", echo, BP_HTTP_VIEWER, "echoes" },
    { "POST", "/echo", echo, BP_HTTP_VIEWER, "echoes" },
    { "GET", "/slow", slow, BP_HTTP_VIEWER, "waits" },
    { "GET", "/missing", missing, BP_HTTP_VIEWER, "fails" },
    { "GET", "/digits", digits, BP_HTTP_VIEWER, "sends a file" },
};

static struct bp_http *serve(void) {
    return open_server((struct bp_http_options){
        .routes = routes, .nroutes = BP_COUNT(routes), .max_body_bytes = (size_t) 8 << 20 });
}

static struct bp_fetch *open_fetch(struct bp_fetch_options o) {
    struct bp_error err = { 0 };
    struct bp_fetch *f = NULL;

    o.proxy = o.proxy ? o.proxy : "";
    if (bp_fetch_open(&o, &f, &err) < 0)
        fail_msg("%s", err.text);
    return f;
}

/* "http://127.0.0.1:PORT" and a path; the address is that of the server. */
static const char *url_of(const char *address, const char *path, char url[static 200]) {
    (void) snprintf(url, 200, "http://%s%s", address, path);
    return url;
}

#define FETCH   BP_CLEANUP(bp_fetch_closep) struct bp_fetch
#define REPLY   BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply
#define SERVER  BP_CLEANUP(bp_http_closep) struct bp_http
#define TEXT(r) ((struct bp_str){ (const char *) (r).body.p, (r).body.n })

static void ok(int r, const struct bp_error *err) {
    if (r < 0)
        fail_msg("%s", err->text);
}

static void answers(void **state) {
    SERVER *h = serve();
    FETCH *f = open_fetch((struct bp_fetch_options){ 0 });
    REPLY reply = { 0 };
    struct bp_error err = { 0 };
    char url[200], peer[64];
    const char *const headers[] = { "X-Test: a b", NULL };

    (void) state;
    url_of(bp_http_address(h, 0), "/echo", url);
    ok(bp_fetch(f, &(struct bp_fetch_request){ .method = "GET", .url = url, .headers = headers },
                &reply, &err),
       &err);
    assert_int_equal(reply.status, 200);
    assert_false(reply.reused);
    assert_true(llabs(reply.date_ns - bp_wall_ns()) < 10 * BP_SEC);
    assert_int_equal(reply.retry_after, 0);
    assert_int_equal(reply.received, reply.body.n);
    assert_non_null(memmem(reply.body.p, reply.body.n, "\"a b\"", 5));
    assert_string_equal(bp_fetch_header(&reply, "content-type"), "application/json");
    assert_null(bp_fetch_header(&reply, "X-None"));
    (void) snprintf(peer, sizeof peer, "%s", bp_fetch_header(&reply, "x-peer"));

    /* an empty body is one, and the connection is used again */
    ok(bp_fetch(f, &(struct bp_fetch_request){ .method = "POST", .url = url }, &reply, &err), &err);
    assert_int_equal(reply.status, 200);
    assert_true(reply.reused);
    assert_string_equal(bp_fetch_header(&reply, "X-Peer"), peer);

    ok(bp_fetch(f, &(struct bp_fetch_request){ .method = "HEAD", .url = url }, &reply, &err), &err);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body.n, 0);
    assert_string_equal(bp_fetch_header(&reply, "X-Peer"), peer);

    (void) snprintf(url, sizeof url, "%s:/echo?q=1", unix_text);
    ok(bp_fetch(f, &(struct bp_fetch_request){ .method = "GET", .url = url }, &reply, &err), &err);
    assert_string_equal(bp_fetch_header(&reply, "X-Peer"), "unix");
}

static void count(void *ctx, size_t n) {
    assert_true(n > 0 && n <= 65536);
    *(size_t *) ctx += n;
}

/* What arrived is told by the server's digest of it. */
static void arrived(const struct bp_fetch_reply *reply, const uint8_t *p, size_t n) {
    uint8_t digest[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX];

    assert_int_equal(reply->status, 200);
    assert_int_equal(reply->sent, n);
    bp_sha256_of(p, n, digest);
    assert_string_equal(bp_fetch_header(reply, "X-Sha"), bp_sha256_hex(digest, hex));
}

static void sends_ranges(void **state) {
    enum { N = 3 << 20, OFF = 12345, PART = 2222222 };
    SERVER *h = serve();
    FETCH *f = open_fetch((struct bp_fetch_options){ 0 });
    REPLY reply = { 0 };
    BP_AUTO_FD int fd = memfd_create("body", MFD_CLOEXEC);
    BP_AUTO_FREE uint8_t *bytes = malloc(N);
    struct bp_fetch_file file = { .fd = fd, .offset = OFF, .size = PART };
    struct bp_error err = { 0 };
    size_t paced = 0;
    char url[200];
    struct bp_fetch_request rq = {
        .method = "PUT", .file = &file, .pace = count, .pace_ctx = &paced
    };

    (void) state;
    for (size_t i = 0; i < N; i++)
        bytes[i] = (uint8_t) (i * 2654435761u >> 13);
    assert_int_equal(write(fd, bytes, N), N);
    rq.url = url_of(bp_http_address(h, 0), "/echo", url);
    ok(bp_fetch(f, &rq, &reply, &err), &err);
    arrived(&reply, bytes + OFF, PART);
    assert_int_equal(paced, PART);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), N); /* not moved */

    rq.expect = true;
    ok(bp_fetch(f, &rq, &reply, &err), &err);
    arrived(&reply, bytes + OFF, PART);

    rq.file = NULL;
    rq.body = (struct bp_str){ (const char *) bytes, 100000 };
    ok(bp_fetch(f, &rq, &reply, &err), &err);
    arrived(&reply, bytes, 100000);

    rq.file = &file;
    file.offset = N - PART + 1;
    assert_int_equal(bp_fetch(f, &rq, &reply, &err), -ENODATA);
    assert_non_null(strstr(err.text, "shorter"));
    file.fd = -1;
    assert_int_equal(bp_fetch(f, &rq, &reply, &err), -EBADF);
    assert_true(reply.local);
}

static int take(void *ctx, const void *p, size_t n) {
    bp_buf_put(ctx, p, n);
    return 0;
}

static int refuse(void *ctx, const void *p, size_t n) {
    (void) ctx;
    (void) p;
    (void) n;
    return -ENOSPC;
}

static void into_sinks(void **state) {
    SERVER *h = serve();
    FETCH *f = open_fetch((struct bp_fetch_options){ 0 });
    REPLY reply = { 0 };
    BP_AUTO_BUF got = { 0 };
    struct bp_error err = { 0 };
    const char *const range[] = { "Range: bytes=2-5", NULL };
    char url[200];
    struct bp_fetch_request rq = {
        .method = "GET", .headers = range, .sink = take, .sink_ctx = &got
    };

    (void) state;
    rq.url = url_of(bp_http_address(h, 0), "/digits", url);
    ok(bp_fetch(f, &rq, &reply, &err), &err);
    assert_int_equal(reply.status, 206);
    assert_string_equal(bp_buf_cstr(&got), "2345");
    assert_int_equal(reply.body.n, 0);
    assert_string_equal(bp_fetch_header(&reply, "ETag"), "\"v1\"");

    rq.sink = refuse;
    assert_int_equal(bp_fetch(f, &rq, &reply, &err), -ENOSPC);
    assert_true(reply.local);
    rq.sink = take;
    bp_buf_clear(&got);
    rq.url = url_of(bp_http_address(h, 0), "/missing", url);
    ok(bp_fetch(f, &rq, &reply, &err), &err);
    assert_int_equal(reply.status, 404);
    assert_int_equal(got.n, 0); /* what went wrong is no content */
    assert_non_null(memmem(reply.body.p, reply.body.n, "nothing here", 12));

    rq = (struct bp_fetch_request){ .method = "GET", .url = url, .max_body_bytes = 9 };
    assert_int_equal(bp_fetch(f, &rq, &reply, &err), BP_ELIMIT);
    url_of(bp_http_address(h, 0), "/digits", url);
    assert_int_equal(bp_fetch(f, &rq, &reply, &err), BP_ELIMIT);
    rq.max_body_bytes = 10;
    ok(bp_fetch(f, &rq, &reply, &err), &err);
}

/* ---- a server that says what it is told to, once ---- */

struct canned {
    const char *text;
    int fd;
    char url[64];
    char request[4096];
    pthread_t thread;
};

static void *serve_canned(void *arg) {
    struct canned *c = arg;
    BP_AUTO_FD int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);

    (void) get(fd, c->request, sizeof c->request, "\r\n\r\n");
    put(fd, c->text);
    return NULL;
}

static void start_canned(struct canned *c, const char *text) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;

    *c = (struct canned){ .text = text, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    assert_int_equal(bind(c->fd, (struct sockaddr *) &a, sizeof a), 0);
    assert_int_equal(listen(c->fd, 1), 0);
    assert_int_equal(getsockname(c->fd, (struct sockaddr *) &a, &n), 0);
    (void) snprintf(c->url, sizeof c->url, "http://127.0.0.1:%d/x", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&c->thread, NULL, serve_canned, c), 0);
}

static void end_canned(struct canned *c) {
    (void) pthread_join(c->thread, NULL);
    (void) close(c->fd);
}

static void reads_odd_answers(void **state) {
    static const struct {
        const char *text;
        int want, status;
        bp_ns_t retry_after;
    } cases[] = {
        { "HTTP/1.1 503 Slow Down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 0, 503,
          7 * BP_SEC },
        { "HTTP/1.1 503 x\r\nDate: Sun, 06 Nov 2044 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 2044 "
          "08:50:07 GMT\r\nContent-Length: 0\r\n\r\n",
          0, 503, 30 * BP_SEC },
        { "HTTP/1.1 503 x\r\nDate: Sun, 06 Nov 2044 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 2044 "
          "08:40:07 GMT\r\nContent-Length: 0\r\n\r\n",
          0, 503, 0 },
        { "HTTP/1.1 503 x\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n", 0,
          503, 365 * 86400 * BP_SEC },
        { "HTTP/1.1 429 x\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n", 0, 429, 0 },
        { "HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 0, 307,
          0 },
        { "HTTP/1.1 100 Continue\r\nX: 1\r\n\r\nHTTP/1.1 201 x\r\nContent-Length: 0\r\n\r\n", 0,
          201, 0 },
        { "HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nabc", BP_ETRUNCATED, 200, 0 },
        { "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", BP_ETRUNCATED, 200, 0 },
        { "", -EIO, 0, 0 },
        { "SSH-2.0-x\r\n", -EIO, 0, 0 },
    };
    FETCH *f = open_fetch((struct bp_fetch_options){ 0 });
    REPLY reply = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_error err = { 0 };
        struct canned c;
        int r;

        start_canned(&c, cases[i].text);
        r = bp_fetch(f, &(struct bp_fetch_request){ .method = "GET", .url = c.url }, &reply, &err);
        end_canned(&c);
        if (r != cases[i].want || reply.status != cases[i].status ||
            reply.retry_after != cases[i].retry_after)
            fail_msg("case %zu: %d, status %d, retry %lld: %s", i, r, reply.status,
                     (long long) reply.retry_after, err.text);
    }
}

static void bounds_heads(void **state) {
    FETCH *f = open_fetch((struct bp_fetch_options){ 0 });
    REPLY reply = { 0 };
    BP_AUTO_BUF text = { 0 };
    struct bp_error err = { 0 };
    struct canned c;

    (void) state;
    bp_buf_put_str(&text, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100; i++)
        bp_buf_printf(&text, "X-%d: %01000d\r\n", i, i);
    bp_buf_put_str(&text, "Content-Length: 0\r\n\r\n");
    start_canned(&c, bp_buf_cstr(&text));
    assert_int_equal(
        bp_fetch(f, &(struct bp_fetch_request){ .method = "GET", .url = c.url }, &reply, &err),
        BP_ELIMIT);
    end_canned(&c);
}

/* A kept connection that the server has closed meanwhile is not the caller's business: a body from
 * a file is sent again from its beginning. */
static void connects_anew(void **state) {
    FETCH *f = open_fetch((struct bp_fetch_options){ 0 });
    REPLY reply = { 0 };
    struct bp_error err = { 0 };
    char url[200], address[64];
    BP_AUTO_FD int fd = memfd_create("body", MFD_CLOEXEC);
    struct bp_fetch_file file = { .fd = fd, .size = 1 << 20 };
    const char *listen_at[] = { address, NULL };
    struct bp_http_options o = { .routes = routes,
                                 .nroutes = BP_COUNT(routes),
                                 .max_body_bytes = (size_t) 8 << 20,
                                 .listen = listen_at };
    struct bp_http *h = serve();

    (void) state;
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    (void) snprintf(address, sizeof address, "%s", bp_http_address(h, 0));
    url_of(address, "/echo", url);
    ok(bp_fetch(f, &(struct bp_fetch_request){ .method = "GET", .url = url }, &reply, &err), &err);
    bp_http_close(h);
    h = open_server(o);
    ok(bp_fetch(f, &(struct bp_fetch_request){ .method = "PUT", .url = url, .file = &file }, &reply,
                &err),
       &err);
    assert_int_equal(reply.status, 200);
    assert_false(reply.reused);
    bp_http_close(h);
}

static void *set_true(void *arg) {
    bp_sleep(100 * BP_MS);
    __atomic_store_n((bool *) arg, true, __ATOMIC_RELAXED);
    return NULL;
}

static void gives_up(void **state) {
    SERVER *h = serve();
    FETCH *f = open_fetch(
        (struct bp_fetch_options){ .stall_timeout = 300 * BP_MS, .connect_timeout = BP_SEC });
    REPLY reply = { 0 };
    struct bp_error err = { 0 };
    bool cancel = false;
    pthread_t thread;
    char url[200];
    struct bp_fetch_request rq = { .method = "GET", .timeout = 100 * BP_MS };

    (void) state;
    rq.url = url_of(bp_http_address(h, 0), "/slow", url);
    __atomic_store_n(&gate, 0, __ATOMIC_RELEASE);
    assert_int_equal(bp_fetch(f, &rq, &reply, &err), -ETIMEDOUT);
    rq.timeout = 0;
    assert_int_equal(bp_fetch(f, &rq, &reply, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.text, "nothing moved"));

    bp_fetch_close(f);
    f = open_fetch((struct bp_fetch_options){ 0 });
    rq.cancel = &cancel;
    assert_int_equal(pthread_create(&thread, NULL, set_true, &cancel), 0);
    assert_int_equal(bp_fetch(f, &rq, &reply, &err), -ECANCELED);
    (void) pthread_join(thread, NULL);
    assert_int_equal(bp_fetch(f, &rq, &reply, &err), -ECANCELED);
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
}

static void refuses_nonsense(void **state) {
    static const struct {
        const char *url, *header;
        int want;
    } cases[] = {
        { "http://127.0.0.1:1/", NULL, -ECONNREFUSED },
        { "http://user:geheim@127.0.0.1:1/a?X-Amz-Signature=geheim", NULL, -ECONNREFUSED },
        { "http://nobody.invalid/?geheim", NULL, -EHOSTUNREACH },
        { "unix:/nowhere/x.sock:/a?geheim", NULL, -ECONNREFUSED },
        { "unix:/nowhere/x.sock", NULL, -EINVAL },
        { "unix:x.sock:/a", NULL, -EINVAL },
        { "ftp://127.0.0.1:1/", NULL, -EINVAL },
        { "file:///etc/passwd", NULL, -EINVAL },
        { "", NULL, -EINVAL },
        { "://", NULL, -EINVAL },
        { "http://127.0.0.1:1/a b?geheim", NULL, -EINVAL },
        { "http://127.0.0.1:1/\r\nX: y", NULL, -EINVAL },
        { "http://127.0.0.1:1/", "X: a\r\nY: geheim", -EINVAL },
        { "http://127.0.0.1:1/", "geheim", -EINVAL },
        { "http://127.0.0.1:1/", ": geheim", -EINVAL },
    };
    FETCH *f = open_fetch((struct bp_fetch_options){ 0 });
    REPLY reply = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        const char *const headers[] = { cases[i].header, NULL };
        struct bp_error err = { 0 };
        int r = bp_fetch(
            f,
            &(struct bp_fetch_request){ .method = "GET", .url = cases[i].url, .headers = headers },
            &reply, &err);

        if (r != cases[i].want || strstr(err.text, "geheim"))
            fail_msg("case %zu: %d: %s", i, r, err.text);
    }
}

static void by_proxy(void **state) {
    struct canned c;
    struct bp_error err = { 0 };
    REPLY reply = { 0 };

    (void) state;
    start_canned(&c, "HTTP/1.1 204 x\r\n\r\n");
    {
        FETCH *f = open_fetch((struct bp_fetch_options){ .proxy = c.url });

        ok(bp_fetch(f, &(struct bp_fetch_request){ .method = "GET", .url = "http://far.invalid/a" },
                    &reply, &err),
           &err);
    }
    end_canned(&c);
    assert_int_equal(reply.status, 204);
    assert_true(bp_starts_with(c.request, "GET http://far.invalid/a HTTP/1.1\r\n"));
}

/* What a proxy's URL holds is in no error. */
static void hides_proxy_passwords(void **state) {
    static const char *const proxies[] = {
        "http://user:geheim@127.0.0.1:1",
        "http://user:geheim@nobody.invalid:1",
        "http://user:geheim@[nonsense",
        "http://user:geheim@127.0.0.1:port",
        "odd://user:geheim@127.0.0.1:1",
        "user:geheim@127.0.0.1:1",
        "http://user:geheim@",
        "https://user:geheim@127.0.0.1:1",
        "socks5h://user:geheim@[::1:1",
        "user:geheim@a b",
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(proxies); i++) {
        FETCH *f = open_fetch((struct bp_fetch_options){ .proxy = proxies[i] });
        REPLY reply = { 0 };
        struct bp_error err = { 0 };
        int r = bp_fetch(
            f, &(struct bp_fetch_request){ .method = "GET", .url = "http://far.invalid/a" }, &reply,
            &err);

        if (r >= 0 || strstr(err.text, "geheim"))
            fail_msg("'%s': %d: %s", proxies[i], r, err.text);
    }
}

/* ---- many at once ---- */

struct worker {
    struct bp_fetch *f;
    const char *url;
    pthread_t thread;
    int failed;
};

static void *work(void *arg) {
    struct worker *w = arg;
    REPLY reply = { 0 };
    uint8_t bytes[5000];

    memset(bytes, (int) (uintptr_t) w & 0xff, sizeof bytes);
    for (int i = 0; i < 50; i++) {
        struct bp_fetch_request rq = { .method = "PUT", .url = w->url };
        char hex[BP_SHA256_HEX];
        uint8_t digest[BP_SHA256_LEN];

        rq.body = (struct bp_str){ (const char *) bytes, sizeof bytes - (size_t) i };
        bp_sha256_of(rq.body.p, rq.body.n, digest);
        if (bp_fetch(w->f, &rq, &reply, NULL) < 0 || reply.status != 200 ||
            !bp_streq(bp_fetch_header(&reply, "X-Sha"), bp_sha256_hex(digest, hex)))
            w->failed++;
    }
    return NULL;
}

static void from_many_threads(void **state) {
    SERVER *h = serve();
    FETCH *f = open_fetch((struct bp_fetch_options){ 0 });
    struct worker w[8];
    char url[200];

    (void) state;
    url_of(bp_http_address(h, 0), "/echo", url);
    for (size_t i = 0; i < BP_COUNT(w); i++) {
        w[i] = (struct worker){ .f = f, .url = url };
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (size_t i = 0; i < BP_COUNT(w); i++) {
        (void) pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].failed, 0);
    }
}

/* ---- TLS: against openssl's server, with authorities made on the spot ---- */

static char tls[] = "/tmp/bp-test-fetch-XXXXXX";

static void shell(const char *text) {
    BP_AUTO_BUF b = { 0 };

    bp_buf_printf(&b, "cd %s && { %s; } >/dev/null 2>&1", tls, text);
    if (system(bp_buf_cstr(&b)) != 0) // NOLINT(cert-env33-c,concurrency-mt-unsafe): a test
        fail_msg("%s", text);
}

static void make_certificates(void) {
    shell("for ca in ours other; do openssl req -x509 -newkey ec -pkeyopt "
          "ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$ca -keyout $ca.key -out $ca.crt; "
          "done");
    shell("for n in localhost elsewhere; do openssl req -newkey ec -pkeyopt "
          "ec_paramgen_curve:P-256 -nodes -subj /CN=$n -keyout $n.key -out $n.csr; "
          "echo subjectAltName=DNS:$n >ext; openssl x509 -req -in $n.csr -CA ours.crt -CAkey "
          "ours.key -CAcreateserial -days 2 -out $n.crt -extfile ext; done");
}

/* @return its port */
static int start_tls(const char *name, const char *version, pid_t *ret) {
    BP_AUTO_FREE char *key = NULL, *crt = NULL;
    char *argv[] = { (char[]){ "openssl" },
                     (char[]){ "s_server" },
                     (char[]){ "-accept" },
                     (char[]){ "127.0.0.1:0" },
                     (char[]){ "-www" },
                     (char[]){ "-key" },
                     NULL,
                     (char[]){ "-cert" },
                     NULL,
                     strdupa(version),
                     (char[]){ "-cipher" },
                     (char[]){ "DEFAULT@SECLEVEL=0" },
                     NULL };
    int out[2], port = 0;
    posix_spawn_file_actions_t fa;
    char text[512];

    assert_true(asprintf(&key, "%s/%s.key", tls, name) > 0);
    assert_true(asprintf(&crt, "%s/%s.crt", tls, name) > 0);
    argv[6] = key;
    argv[8] = crt;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&fa), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&fa, out[1], 1), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0), 0);
    assert_int_equal(posix_spawnp(ret, "openssl", &fa, NULL, argv, environ), 0);
    (void) posix_spawn_file_actions_destroy(&fa);
    (void) close(out[1]);
    for (size_t n = 0; n + 1 < sizeof text && port == 0;) {
        ssize_t k = read(out[0], text + n, sizeof text - 1 - n);
        const char *at;

        if (k <= 0)
            break;
        n += (size_t) k;
        text[n] = '\0';
        at = strstr(text, "ACCEPT 127.0.0.1:");
        if (at && strchr(at, '\n'))
            port = (int) strtol(at + 17, NULL, 10);
    }
    (void) close(out[0]);
    assert_true(port > 0);
    return port;
}

static void only_trusted_tls(void **state) {
    static const struct {
        const char *cert, *ca, *version; /* of the server; trusted; its TLS */
        int want;
        const char *says;
    } cases[] = {
        { "localhost", "ours.crt", "-tls1_3", 0, "" },
        { "localhost", "ours.crt", "-tls1_2", 0, "" },
        { "localhost", "ours.crt", "-tls1_1", BP_ETLS, "no TLS that we accept" },
        { "localhost", "other.crt", "-tls1_3", BP_ETLS, "prove who it is" },
        { "localhost", NULL, "-tls1_3", BP_ETLS, "prove who it is" },
        { "elsewhere", "ours.crt", "-tls1_3", BP_ETLS, "prove who it is" },
    };

    (void) state;
    assert_non_null(mkdtemp(tls));
    make_certificates();
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_FREE char *ca = NULL;
        struct bp_error err = { 0 };
        REPLY reply = { 0 };
        FETCH *f = NULL;
        char url[200];
        pid_t pid = 0;
        int r, port = start_tls(cases[i].cert, cases[i].version, &pid);

        if (cases[i].ca)
            assert_true(asprintf(&ca, "%s/%s", tls, cases[i].ca) > 0);
        else
            assert_int_equal(unsetenv("CURL_CA_BUNDLE") + unsetenv("SSL_CERT_FILE") +
                                 unsetenv("BAGPIPE_CA_FILE"),
                             0);
        f = open_fetch((struct bp_fetch_options){ .ca_file = ca });
        (void) snprintf(url, sizeof url, "https://localhost:%d/", port);
        r = bp_fetch(f, &(struct bp_fetch_request){ .method = "GET", .url = url }, &reply, &err);
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
        if (r != cases[i].want || !strstr(err.text, cases[i].says))
            fail_msg("case %zu: %d: %s", i, r, err.text);
        assert_int_equal(reply.status, r == 0 ? 200 : 0);
    }
}

/* The option wins over the environment, and what cannot be read is said when opening. */
static void own_authorities(void **state) {
    BP_AUTO_FREE char *ours = NULL, *key = NULL;
    struct bp_error err = { 0 };
    struct bp_fetch *f = NULL;

    (void) state;
    assert_true(asprintf(&ours, "%s/ours.crt", tls) > 0);
    assert_true(asprintf(&key, "%s/ours.key", tls) > 0);
    assert_int_equal(setenv("BAGPIPE_CA_FILE", "/nowhere.pem", 1), 0);
    assert_int_equal(bp_fetch_open(&(struct bp_fetch_options){ 0 }, &f, &err), BP_ECONFIG);
    assert_non_null(strstr(err.text, "/nowhere.pem"));
    assert_int_equal(bp_fetch_open(&(struct bp_fetch_options){ .ca_file = ours }, &f, &err), 0);
    bp_fetch_close(f);
    assert_int_equal(unsetenv("BAGPIPE_CA_FILE"), 0);
    assert_int_equal(bp_fetch_open(&(struct bp_fetch_options){ .ca_file = key }, &f, &err),
                     BP_ECONFIG);
    assert_non_null(strstr(err.text, "holds no certificate"));
    shell("rm -f ours.* other.* localhost.* elsewhere.* ext");
    assert_int_equal(rmdir(tls), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(sends_ranges),
        cmocka_unit_test(into_sinks),
        cmocka_unit_test(reads_odd_answers),
        cmocka_unit_test(bounds_heads),
        cmocka_unit_test(connects_anew),
        cmocka_unit_test(gives_up),
        cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(hides_proxy_passwords),
        cmocka_unit_test(by_proxy),
        cmocka_unit_test(from_many_threads),
        cmocka_unit_test(only_trusted_tls),
        cmocka_unit_test(own_authorities),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
