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

static const struct bp_http_route routes[] = {
    { "GET", "/a/:id", show, BP_HTTP_VIEWER, "shows" },
    { "POST", "/json", echo_json, BP_HTTP_OPERATOR, "echoes" },
    { "GET", "/slow", slow, BP_HTTP_VIEWER, "waits" },
    { "GET", "/missing", missing, BP_HTTP_VIEWER, "fails" },
    { "GET", "/file", file, BP_HTTP_VIEWER, "sends a file" },
    { "DELETE", "/nothing", nothing, BP_HTTP_ADMIN, "says nothing" },
};

#define ROUTES .routes = routes, .nroutes = BP_COUNT(routes)

static void json_by_unix_socket(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    BP_CLEANUP(bp_client_closep) struct bp_client *c = open_client(unix_text);
    struct bp_error err = { 0 };
    json_t *j = NULL, *body = json_pack("{s:i}", "n", 7);
    const char *id;
    int by_unix, n;

    (void) state;
    (void) h;
    assert_int_equal(bp_client_json(c, "GET", "/a/b%2Fc?q=1+2", NULL, &j, &err), 0);
    assert_int_equal(json_unpack(j, "{s:s, s:b}", "id", &id, "unix", &by_unix), 0);
    assert_string_equal(id, "b/c");
    assert_true(by_unix);
    json_decref(j);

    assert_int_equal(bp_client_json(c, "POST", "/json", body, &j, &err), 0);
    assert_int_equal(json_unpack(j, "{s:i}", "n", &n), 0);
    assert_int_equal(n, 7);
    json_decref(j);
    json_decref(body);

    assert_int_equal(bp_client_json(c, "GET", "/missing", NULL, &j, &err), -ENOENT);
    assert_string_equal(err.text, "no session is called 'x\"y'");
    assert_int_equal(bp_client_json(c, "DELETE", "/nothing", NULL, &j, &err), 0);
    assert_null(j);
}

static void what_clients_are_told(void **state) {
    static const struct {
        const char *url;
        int want;
        const char *text;
    } cases[] = {
        { "unix:/nowhere/agent.sock", -ECONNREFUSED,
          "no agent answers at 'unix:/nowhere/agent.sock': is it running?" },
        { "127.0.0.1:1", -ECONNREFUSED, "no agent answers at '127.0.0.1:1': is it running?" },
        { "http://127.0.0.1:x", -EINVAL, "'http://127.0.0.1:x': write http://HOST:PORT" },
    };
    struct bp_client *c = NULL;
    struct bp_error err = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_client_reply reply = { 0 };

        c = open_client(cases[i].url);
        assert_int_equal(bp_client_call(c, "GET", "/", NULL, &reply, &err), cases[i].want);
        if (!strstr(err.text, cases[i].text))
            fail_msg("'%s'", err.text);
        bp_client_close(c);
    }
    assert_int_equal(bp_client_open(&(struct bp_client_options){ .url = "ftp://x" }, &c, &err),
                     -EINVAL);
    assert_int_equal(bp_client_open(&(struct bp_client_options){ .url = "unix:x" }, &c, &err),
                     -EINVAL);
    assert_int_equal(
        bp_client_open(&(struct bp_client_options){ .url = "x", .token = "a\r\nb" }, &c, &err),
        -EINVAL);
}

static void what_clients_will_not_wait_for(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ ROUTES });
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    BP_CLEANUP(bp_client_reply_done) struct bp_client_reply reply = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    (void) h;
    assert_int_equal(bp_client_open(&(struct bp_client_options){ .url = unix_text,
                                                                 .timeout = 200 * BP_MS,
                                                                 .max_body_bytes = 20,
                                                                 .who = "server" },
                                    &c, &err),
                     0);
    __atomic_store_n(&gate, 0, __ATOMIC_RELEASE);
    assert_int_equal(bp_client_call(c, "GET", "/slow", NULL, &reply, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.text, "did not answer within 0.2 s"));
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    assert_int_equal(bp_client_call(c, "GET", "/a/1", NULL, &reply, &err), BP_ELIMIT);
    assert_int_equal(bp_client_call(c, "GET", "/file", NULL, &reply, &err), 0);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.type, "text/plain");
    assert_int_equal(reply.body.n, 10);
    assert_int_equal(bp_client_call(c, "HEAD", "/file", NULL, &reply, &err), 0);
    assert_int_equal(reply.body.n, 0);
    assert_int_equal(bp_client_json(c, "GET", "/file", NULL, NULL, &err), BP_EFORMAT);
}

static void escaping(void **state) {
    BP_AUTO_BUF b = { 0 };

    (void) state;
    bp_client_put_escaped(&b, "/a b\xc3\xa9-~");
    assert_string_equal(bp_buf_cstr(&b), "%2Fa%20b%C3%A9-~");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_by_unix_socket),
        cmocka_unit_test(what_clients_are_told),
        cmocka_unit_test(what_clients_will_not_wait_for),
        cmocka_unit_test(escaping),
    };

    return cmocka_run_group_tests_name("net/client", tests, make_dir, remove_dir);
}
