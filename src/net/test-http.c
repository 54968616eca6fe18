#include <errno.h>
#include <sys/mman.h>

#include "net/test-server.h"

static int gate; /* [atomic] handlers of /slow wait until it is open */

static int show(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const char *id = bp_http_param(req, "id");
    struct bp_str body = bp_http_body(req);

    (void) err;
    bp_http_reply_json(reply, 200,
                       json_pack("{s:s, s:s, s:s?, s:s?, s:s, s:s%, s:b}", "method",
                                 bp_http_method(req), "path", bp_http_path(req), "id", id, "q",
                                 bp_http_query(req, "q"), "pattern", bp_http_route(req)->pattern,
                                 "body", body.p ? body.p : "", body.n, "unix",
                                 bp_http_by_unix(req)));
    return 0;
}

static int echo_json(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    json_t *j;
    int r = bp_http_json(req, &j, err);

    if (r < 0)
        return r;
    bp_http_reply_json(reply, 201, j ? j : json_object());
    return 0;
}

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

static int nothing(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req;
    (void) reply;
    (void) err;
    return 0;
}

static int file(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    int fd = memfd_create("file", MFD_CLOEXEC);

    (void) req;
    if (fd < 0 || pwrite(fd, "0123456789", 10, 0) != 10)
        return bp_fail(err, -EIO, "no file");
    bp_http_reply_file(reply, fd, 10, "text/plain", "\"v1\"");
    return 0;
}

static int bad_header(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req;
    (void) err;
    bp_http_reply_header(reply, "X-Split", "a\r\nSet-Cookie: b");
    bp_http_reply_empty(reply, 200);
    return 0;
}

static int cookie(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const char *v = bp_http_cookie(req, "bp");

    (void) err;
    bp_http_reply_header(reply, "Cache-Control", "max-age=60");
    bp_http_reply_json(reply, 200, json_pack("{s:s?, s:s}", "bp", v, "user", bp_http_user(req)));
    return 0;
}

static int upgrade(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req;
    (void) reply;
    return bp_fail(err, BP_EUNSUPPORTED, "never");
}

static const struct bp_http_route routes[] = {
    { "GET", "/", show, BP_HTTP_PUBLIC, "the root" },
    { "GET", "/a/:id", show, BP_HTTP_VIEWER, "shows" },
    { "POST", "/a/:id", show, BP_HTTP_OPERATOR, "changes" },
    { "POST", "/json", echo_json, BP_HTTP_OPERATOR, "echoes" },
    { "GET", "/slow", slow, BP_HTTP_VIEWER, "waits" },
    { "GET", "/missing", missing, BP_HTTP_VIEWER, "fails" },
    { "GET", "/file", file, BP_HTTP_VIEWER, "sends a file" },
    { "GET", "/bad-header", bad_header, BP_HTTP_VIEWER, "would split its header" },
    { "GET", "/cookie", cookie, BP_HTTP_VIEWER, "reads a cookie" },
    { "GET", "/upgrade", upgrade, BP_HTTP_VIEWER, "hands over" },
    { "DELETE", "/nothing", nothing, BP_HTTP_ADMIN, "says nothing" },
};

#define ROUTES .routes = routes, .nroutes = BP_COUNT(routes)

static const struct {
    const char *name, *request;
    int want;
    const char *has, *lacks;
} rows[] = {
    { "root", "GET / HTTP/1.1\r\n" H C "\r\n", 200, "\"pattern\":\"/\"", "Server:" },
    { "parameter", "GET /a/x%20y?q=%41 HTTP/1.1\r\n" H C "\r\n", 200, "\"id\":\"x y\",\"q\":\"A\"",
      NULL },
    { "absolute", "GET http://localhost/a/1 HTTP/1.1\r\n" H C "\r\n", 200, "\"id\":\"1\"", NULL },
    { "HTTP/1.0", "GET /a/1 HTTP/1.0\r\n\r\n", 200, "\"id\":\"1\"", NULL },
    { "no-store", "GET / HTTP/1.1\r\n" H C "\r\n", 200, "Cache-Control: no-store", NULL },
    { "nosniff", "GET / HTTP/1.1\r\n" H C "\r\n", 200, "X-Content-Type-Options: nosniff", NULL },
    { "own caching", "GET /cookie HTTP/1.1\r\n" H C "Cookie: a=1; bp=z\r\n\r\n", 200,
      "Cache-Control: max-age=60", "no-store" },
    { "cookie", "GET /cookie HTTP/1.1\r\n" H C "Cookie: a=1; bp=z\r\n\r\n", 200, "\"bp\":\"z\"",
      NULL },
    { "body", "POST /a/1 HTTP/1.1\r\n" H C "Content-Length: 3\r\n\r\nabc", 200, "\"body\":\"abc\"",
      NULL },
    { "chunks",
      "POST /a/1 HTTP/1.1\r\n" H C "Transfer-Encoding: chunked\r\n\r\n"
      "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
      200, "\"body\":\"abc\"", NULL },
    { "json", "POST /json HTTP/1.1\r\n" H C "Content-Length: 7\r\n\r\n{\"a\":1}", 201, "{\"a\":1}",
      NULL },
    { "no json", "POST /json HTTP/1.1\r\n" H C "Content-Length: 7\r\n\r\n{\"a\":1,", 400,
      "line 1, column", NULL },
    { "key twice", "POST /json HTTP/1.1\r\n" H C "Content-Length: 13\r\n\r\n{\"a\":1,\"a\":2}", 400,
      "duplicate", NULL },
    { "no body", "POST /json HTTP/1.1\r\n" H C "Content-Length: 0\r\n\r\n", 201, "{}", NULL },
    { "error row", "GET /missing HTTP/1.1\r\n" H C "\r\n", 404,
      "\"title\":\"Not Found\",\"status\":404,\"detail\":\"no session is called "
      "'x\\\"y'\"}",
      NULL },
    { "problem type", "GET /missing HTTP/1.1\r\n" H C "\r\n", 404,
      "Content-Type: application/problem+json", NULL },
    { "204", "DELETE /nothing HTTP/1.1\r\n" H C "\r\n", 204, NULL, "\nContent-Type" },
    { "split header", "GET /bad-header HTTP/1.1\r\n" H C "\r\n", 500, "problem+json",
      "Set-Cookie" },
    { "404", "GET /b HTTP/1.1\r\n" H C "\r\n", 404, "nothing at '/b'", NULL },
    { "404 with body", "POST /b HTTP/1.1\r\n" H C "Content-Length: 3\r\n\r\nabc", 404,
      "nothing at '/b'", NULL },
    { "405", "DELETE /a/1 HTTP/1.1\r\n" H C "\r\n", 405, "Allow: GET, HEAD, POST, OPTIONS\r\n",
      NULL },
    { "405 post only", "GET /json HTTP/1.1\r\n" H C "\r\n", 405, "Allow: POST, OPTIONS\r\n", NULL },
    { "odd method", "BREW /a/1 HTTP/1.1\r\n" H C "\r\n", 405, "Allow: GET", NULL },
    { "options", "OPTIONS /a/1 HTTP/1.1\r\n" H C "\r\n", 204, "Allow: GET, HEAD, POST, OPTIONS\r\n",
      NULL },
    { "options of all", "OPTIONS * HTTP/1.1\r\n" H C "\r\n", 204,
      "Allow: GET, HEAD, POST, DELETE, OPTIONS\r\n", NULL },
    { "head", "HEAD /a/1 HTTP/1.1\r\n" H C "\r\n", 200, "Content-Length: ", "{" },
    { "head of 404", "HEAD /b HTTP/1.1\r\n" H C "\r\n", 404, NULL, "{" },
    { "foreign host", "GET / HTTP/1.1\r\nHost: evil.com\r\n" C "\r\n", 421, "evil.com", NULL },
    { "foreign absolute", "GET http://evil.com/ HTTP/1.1\r\n" H C "\r\n", 421, NULL, NULL },
    { "configured host", "GET / HTTP/1.1\r\nHost: robot.local:80\r\n" C "\r\n", 200, NULL, NULL },
    { "own origin",
      "POST /a/1 HTTP/1.1\r\n" H C "Origin: http://localhost\r\nContent-Length: 0\r\n\r\n", 200,
      NULL, NULL },
    { "foreign origin",
      "POST /a/1 HTTP/1.1\r\n" H C "Origin: http://evil.com\r\nContent-Length: 0\r\n\r\n", 403,
      "evil.com", NULL },
    { "null origin", "POST /a/1 HTTP/1.1\r\n" H C "Origin: null\r\nContent-Length: 0\r\n\r\n", 403,
      NULL, NULL },
    { "foreign origin, reading", "GET /a/1 HTTP/1.1\r\n" H C "Origin: http://evil.com\r\n\r\n", 200,
      NULL, "Access-Control" },
    { "configured origin, reading",
      "GET /a/1 HTTP/1.1\r\n" H C "Origin: https://site.example\r\n\r\n", 200,
      "Access-Control-Allow-Origin: https://site.example\r\n", "Access-Control-Allow-Methods" },
    { "configured origin, refused",
      "GET /none HTTP/1.1\r\n" H C "Origin: https://site.example\r\n\r\n", 404,
      "Access-Control-Allow-Credentials: true\r\n", NULL },
    { "configured origin, changing",
      "POST /a/1 HTTP/1.1\r\n" H C "Origin: https://site.example\r\nContent-Length: 0\r\n\r\n", 200,
      "Vary: Origin\r\n", NULL },
    { "configured origin, asking before",
      "OPTIONS /a/1 HTTP/1.1\r\n" H C "Origin: https://site.example\r\n"
      "Access-Control-Request-Method: POST\r\n\r\n",
      204, "Access-Control-Allow-Headers: Authorization, Content-Type", NULL },
    { "foreign origin, asking before",
      "OPTIONS /a/1 HTTP/1.1\r\n" H C "Origin: http://evil.com\r\n"
      "Access-Control-Request-Method: POST\r\n\r\n",
      204, "Vary: Origin\r\n", "Access-Control" },
    { "own origin, reading", "GET /a/1 HTTP/1.1\r\n" H C "Origin: http://localhost\r\n\r\n", 200,
      NULL, "Access-Control" },
    { "foreign origin, upgrading",
      "GET /upgrade HTTP/1.1\r\n" H "Origin: http://evil.com\r\nConnection: Upgrade, close\r\n"
      "Upgrade: shout\r\n\r\n",
      403, NULL, NULL },
    { "cross-site without origin",
      "POST /a/1 HTTP/1.1\r\n" H C "Sec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n", 403,
      NULL, NULL },
    { "file", "GET /file HTTP/1.1\r\n" H C "\r\n", 200, "\r\n\r\n0123456789", "no-store" },
    { "range", "GET /file HTTP/1.1\r\n" H C "Range: bytes=2-4\r\n\r\n", 206, "\r\n\r\n234",
      "2345" },
    { "range header", "GET /file HTTP/1.1\r\n" H C "Range: bytes=-3\r\n\r\n", 206,
      "Content-Range: bytes 7-9/10\r\n", NULL },
    { "range outside", "GET /file HTTP/1.1\r\n" H C "Range: bytes=10-\r\n\r\n", 416,
      "Content-Range: bytes */10\r\n", NULL },
    { "range odd", "GET /file HTTP/1.1\r\n" H C "Range: bytes=x\r\n\r\n", 200, "0123456789", NULL },
    { "if-range same", "GET /file HTTP/1.1\r\n" H C "Range: bytes=2-4\r\nIf-Range: \"v1\"\r\n\r\n",
      206, NULL, NULL },
    { "if-range changed",
      "GET /file HTTP/1.1\r\n" H C "Range: bytes=2-4\r\nIf-Range: \"v0\"\r\n\r\n", 200,
      "0123456789", NULL },
    { "head of file", "HEAD /file HTTP/1.1\r\n" H C "Range: bytes=2-4\r\n\r\n", 200,
      "Content-Length: 10\r\n", "0123" },
    { "known etag", "GET /file HTTP/1.1\r\n" H C "If-None-Match: W/\"v1\"\r\n\r\n", 304,
      "ETag: \"v1\"", "0123" },
    { "other etag", "GET /file HTTP/1.1\r\n" H C "If-None-Match: \"v0\"\r\n\r\n", 200, "0123456789",
      NULL },
    { "two hosts", "GET / HTTP/1.1\r\n" H H C "\r\n", 400, NULL, NULL },
    { "no host", "GET / HTTP/1.1\r\n" C "\r\n", 400, NULL, NULL },
    { "length and chunks",
      "POST /a/1 HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\n\r\nGET /b HTTP/1.1\r\n" H "\r\n",
      400, NULL, "nothing at" },
    { "two lengths",
      "POST /a/1 HTTP/1.1\r\n" H C "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, NULL,
      NULL },
    { "odd coding", "POST /a/1 HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\nabc", 501, NULL,
      NULL },
    { "space before colon", "POST /a/1 HTTP/1.1\r\n" H C "Content-Length : 3\r\n\r\nabc", 400, NULL,
      NULL },
    { "control in header", "GET / HTTP/1.1\r\n" H C "X: a\1b\r\n\r\n", 400, NULL, NULL },
    { "bad percent", "GET /a/%zz HTTP/1.1\r\n" H C "\r\n", 400, "two digits", NULL },
    { "up the tree", "GET /a/../x HTTP/1.1\r\n" H C "\r\n", 400, NULL, NULL },
    { "too long, told", "POST /a/1 HTTP/1.1\r\n" H "Content-Length: 100001\r\n\r\n", 413,
      "1000 bytes", NULL },
    { "far too long", "POST /a/1 HTTP/1.1\r\n" H "Content-Length: 99999999999999999\r\n\r\n", 413,
      NULL, NULL },
};

static void requests(void **state) {
    static const char *const names[] = { "robot.local", NULL };
    static const char *const origins[] = { "https://site.example", NULL };
    BP_CLEANUP(bp_http_closep)
    struct bp_http *h = open_server((struct bp_http_options){
        ROUTES, .hosts = names, .origins = origins, .max_body_bytes = 1000, .loops = 2 });
    char text[4096];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        int got = ask(h, rows[i].request, text, sizeof text);

        if (got != rows[i].want || (rows[i].has && !strstr(text, rows[i].has)) ||
            (rows[i].lacks && strstr(text, rows[i].lacks)))
            fail_msg("%s: wanted %d with '%s' without '%s', got:\n%s", rows[i].name, rows[i].want,
                     rows[i].has, rows[i].lacks, text);
    }
}

static void a_body_without_length_has_a_limit(void **state) {
    BP_CLEANUP(bp_http_closep)
    struct bp_http *h = open_server((struct bp_http_options){ ROUTES, .max_body_bytes = 1000 });
    BP_AUTO_FD int fd = connect_to(bp_http_address(h, 0));
    char text[4096];

    (void) state;
    put(fd, "POST /a/1 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    memset(text, 'x', 100);
    text[100] = '\0';
    for (int i = 0; i < 20; i++) {
        put(fd, "64\r\n");
        put(fd, text);
        put(fd, "\r\n");
    }
    put(fd, "0\r\n\r\n");
    assert_false(get(fd, text, sizeof text, "}\n"));
    assert_int_equal(status_of(text), 413);
    put(fd, "GET / HTTP/1.1\r\n" H "\r\n"); /* the connection lives on */
    assert_false(get(fd, text, sizeof text, "}\n"));
    assert_int_equal(status_of(text), 200);
}

static void a_connection_is_kept(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    BP_AUTO_FD int fd = connect_to(bp_http_address(h, 0));
    static const struct {
        const char *request;
        int want;
    } cases[] = {
        { "GET / HTTP/1.1\r\n" H "\r\n", 200 },
        { "GET /b HTTP/1.1\r\n" H "\r\n", 404 },
        { "POST /b HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", 404 },
        { "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", 405 },
        { "POST /a/1 HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", 200 },
        { "GET /missing HTTP/1.1\r\n" H "\r\n", 404 },
    };
    char text[4096];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        put(fd, cases[i].request);
        assert_false(get(fd, text, sizeof text, "}\n"));
        assert_int_equal(status_of(text), cases[i].want);
    }
    /* two at once */
    put(fd, "GET /a/1 HTTP/1.1\r\n" H "\r\nGET /a/2 HTTP/1.1\r\n" H "\r\n");
    assert_false(get(fd, text, sizeof text, "\"id\":\"2\""));
    assert_non_null(strstr(text, "\"id\":\"1\""));
}

static int judge(void *ctx, struct bp_http_req *req, enum bp_http_access need,
                 struct bp_http_reply *reply, struct bp_error *err) {
    const char *token = bp_http_header(req, "Authorization");

    assert_ptr_equal(ctx, routes);
    if (!token) {
        bp_http_reply_header(reply, "WWW-Authenticate", "Bearer");
        (void) bp_fail(err, -EACCES, "a token is needed");
        return 401;
    }
    bp_http_set_user(req, "jane");
    if (need <= BP_HTTP_OPERATOR)
        return 0;
    (void) bp_fail(err, -EACCES, "you are no %s", bp_http_access_text(need));
    return 403;
}

static void roles(void **state) {
    static const struct {
        const char *request;
        int want;
        const char *has;
    } cases[] = {
        { "GET / HTTP/1.1\r\n" H C "\r\n", 200, "" },
        { "GET /cookie HTTP/1.1\r\n" H C "\r\n", 401, "WWW-Authenticate: Bearer" },
        { "GET /cookie HTTP/1.1\r\n" H C "Authorization: x\r\n\r\n", 200, "\"user\":\"jane\"" },
        { "DELETE /nothing HTTP/1.1\r\n" H C "Authorization: x\r\n\r\n", 403, "you are no admin" },
    };
    BP_CLEANUP(bp_http_closep)
    struct bp_http *h = open_server(
        (struct bp_http_options){ ROUTES, .authorize = judge, .ctx = (void *) (uintptr_t) routes });
    char text[4096];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        assert_int_equal(ask(h, cases[i].request, text, sizeof text), cases[i].want);
        assert_non_null(strstr(text, cases[i].has));
    }
}

static void a_full_queue_answers_503(void **state) {
    BP_CLEANUP(bp_http_closep)
    struct bp_http *h =
        open_server((struct bp_http_options){ ROUTES, .workers = 1, .max_queued = 1 });
    int fds[3];
    char text[4096];
    int busy = 0;

    (void) state;
    __atomic_store_n(&gate, 0, __ATOMIC_RELEASE);
    for (int i = 0; i < 3; i++) {
        fds[i] = connect_to(bp_http_address(h, 0));
        put(fds[i], "GET /slow HTTP/1.1\r\n" H C "\r\n");
        bp_sleep(50 * BP_MS);
    }
    assert_true(get(fds[2], text, sizeof text, NULL));
    assert_int_equal(status_of(text), 503);
    assert_non_null(strstr(text, "Retry-After: 1"));
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 3; i++) {
        if (i < 2) {
            assert_true(get(fds[i], text, sizeof text, NULL));
            busy += status_of(text) != 200;
        }
        (void) close(fds[i]);
    }
    assert_int_equal(busy, 0);
}

static void metrics(void **state) {
    BP_AUTO_BUF b = { 0 };

    (void) state;
    bp_metrics_render(&b, bp_http_metrics, bp_http_metrics_count);
    assert_non_null(strstr(bp_buf_cstr(&b), "bagpipe_http_requests_total{status=\"4xx\"} "));
    assert_non_null(strstr(bp_buf_cstr(&b), "\nbagpipe_http_in_flight 0\n"));
    assert_non_null(strstr(bp_buf_cstr(&b), "\nbagpipe_http_connections 0\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(a_body_without_length_has_a_limit),
        cmocka_unit_test(a_connection_is_kept),
        cmocka_unit_test(roles),
        cmocka_unit_test(a_full_queue_answers_503),
        cmocka_unit_test(metrics),
    };

    return cmocka_run_group_tests_name("net/http", tests, make_dir, remove_dir);
}
