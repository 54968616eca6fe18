#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "net/addr.h"
#include "net/client.h"
#include "net/http.h"

/* --- What the server under test does. --- */

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

static const struct bp_http_route routes[] = {
    { "GET", "/", show, BP_HTTP_PUBLIC, "the root" },
    { "GET", "/a/:id", show, BP_HTTP_VIEWER, "shows" },
    { "POST", "/a/:id", show, BP_HTTP_OPERATOR, "changes" },
    { "POST", "/json", echo_json, BP_HTTP_OPERATOR, "echoes" },
    { "GET", "/slow", slow, BP_HTTP_VIEWER, "waits" },
    { "GET", "/missing", missing, BP_HTTP_VIEWER, "fails" },
    { "DELETE", "/nothing", nothing, BP_HTTP_ADMIN, "says nothing" },
};

/* --- The server. --- */

static char dir[] = "/tmp/bp-test-http-XXXXXX", unix_text[64];

static struct bp_http *open_server(struct bp_http_options o) {
    const char *const listen[] = { "127.0.0.1:0", unix_text, NULL };
    struct bp_error err = { 0 };
    struct bp_http *h = NULL;

    o.listen = o.listen ? o.listen : listen;
    o.routes = o.routes ? o.routes : routes;
    o.nroutes = o.nroutes ? o.nroutes : BP_COUNT(routes);
    if (bp_http_open(&o, &h, &err) < 0)
        fail_msg("%s", err.text);
    return h;
}

static struct bp_client *open_client(const char *url) {
    struct bp_client *c = NULL;
    struct bp_error err = { 0 };

    if (bp_client_open(&(struct bp_client_options){ .url = url, .timeout = 5 * BP_SEC }, &c, &err))
        fail_msg("%s", err.text);
    return c;
}

static void json_by_unix_socket(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_server((struct bp_http_options){ 0 });
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

static int make_dir(void **state) {
    (void) state;
    (void) signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(unix_text, sizeof unix_text, "unix:%s/http.sock", dir);
    return 0;
}

static int remove_dir(void **state) {
    (void) state;
    return rmdir(dir); /* the server has removed its socket */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_by_unix_socket),
    };

    return cmocka_run_group_tests_name("net/http", tests, make_dir, remove_dir);
}
