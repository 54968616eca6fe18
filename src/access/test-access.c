/* Who may come in, with a real server and clients at work while accounts change. */
#include "access/access.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "net/client.h"

static char dir[64], path[96], sock[128];
static struct bp_catalog *catalog;
static struct bp_access *access_;
static struct bp_http *http;

static int ok(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    bp_http_reply_json(reply, 200, json_pack("{s:s}", "user", bp_http_user(req)));
    return 0;
}

static int whoami(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_access_whoami(bp_http_ctx(req), req, reply, err);
}

static int authorize(void *ctx, struct bp_http_req *req, enum bp_http_access need,
                     struct bp_http_reply *reply, struct bp_error *err) {
    return bp_access_authorize(ctx, req, need, reply, err);
}

static const struct bp_http_route routes[] = {
    { "GET", "/public", ok, BP_HTTP_PUBLIC, "" },     { "GET", "/viewer", ok, BP_HTTP_VIEWER, "" },
    { "GET", "/operator", ok, BP_HTTP_OPERATOR, "" }, { "GET", "/admin", ok, BP_HTTP_ADMIN, "" },
    { "GET", "/whoami", whoami, BP_HTTP_PUBLIC, "" },
};

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw) {
    (void) st;
    (void) type;
    (void) ftw;
    return remove(name);
}

static int tear_down(void **state) {
    (void) state;
    bp_http_close(BP_TAKE_PTR(http));
    bp_access_close(BP_TAKE_PTR(access_));
    bp_catalog_close(BP_TAKE_PTR(catalog));
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void open_access(enum bp_access_mode mode) {
    struct bp_access_options o = { .catalog = catalog,
                                   .mode = mode,
                                   .session_time = 3600 * BP_SEC,
                                   .session_idle = 600 * BP_SEC };
    struct bp_error err = { 0 };

    if (bp_access_open(&o, &access_, &err) < 0)
        fail_msg("%s", err.text);
}

static int set_up(void **state) {
    const char *listen[] = { "127.0.0.1:0", sock, NULL };
    struct bp_error err = { 0 };

    (void) state;
    (void) signal(SIGPIPE, SIG_IGN);
    (void) snprintf(dir, sizeof dir, "/tmp/bp-access-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/catalog.db", dir);
    (void) snprintf(sock, sizeof sock, "unix:%s/http.sock", dir);
    if (bp_catalog_open(path, &catalog, NULL, &err) < 0)
        fail_msg("%s", err.text);
    open_access(BP_ACCESS_AUTO);
    if (bp_http_open(&(struct bp_http_options){ .listen = listen,
                                                .routes = routes,
                                                .nroutes = BP_COUNT(routes),
                                                .ctx = access_,
                                                .authorize = authorize },
                     &http, &err) < 0)
        fail_msg("%s", err.text);
    return 0;
}

/* The status of a GET, by TCP. */
static int get(const char *what, const char *token) {
    BP_CLEANUP(bp_client_reply_done) struct bp_client_reply reply = { 0 };
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;

    if (bp_client_open(
            &(struct bp_client_options){ .url = bp_http_address(http, 0), .token = token }, &c,
            NULL) < 0 ||
        bp_client_call(c, "GET", what, NULL, &reply, NULL) < 0)
        return -1;
    return reply.status;
}

/* Manages with a body in JSON; @return the answer, owned */
static json_t *manage(int want, const char *method, const char *kind, const char *name,
                      const char *body) {
    json_t *in = body ? json_loads(body, 0, NULL) : NULL, *out = NULL;
    struct bp_error err = { 0 };
    int r = bp_access_manage(access_, method, kind, name, in, &out, &err);

    if (r != want)
        fail_msg("%s %s %s: %d (%s), expected %d", method, kind, body ? body : "", r, err.text,
                 want);
    json_decref(in);
    return out;
}

static void new_token(const char *name, const char *role, char ret[static 64]) {
    char body[200];
    json_t *out;

    (void) snprintf(body, sizeof body, "{\"name\": \"%s\", \"role\": \"%s\"}", name, role);
    out = manage(201, "POST", "tokens", NULL, body);
    (void) snprintf(ret, 64, "%s", json_string_value(json_object_get(out, "token")));
    json_decref(out);
}

static void roles(void **state) {
    static const char *const names[] = { "viewer", "operator", "admin" };
    static const char *const paths[] = { "/viewer", "/operator", "/admin" };
    char tokens[3][64];

    (void) state;
    assert_int_equal(get("/admin", NULL), 200); /* nobody has an account */
    for (int i = 0; i < 3; i++)
        new_token(names[i], names[i], tokens[i]);
    for (int role = 0; role < 3; role++)
        for (int i = 0; i < 3; i++)
            assert_int_equal(get(paths[i], tokens[role]), i <= role ? 200 : 403);
    assert_int_equal(get("/viewer", NULL), 401);
    assert_int_equal(get("/viewer", "bp_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 401);
    assert_int_equal(get("/public", NULL), 200);
    json_decref(manage(204, "DELETE", "tokens", "admin", NULL));
    assert_int_equal(get("/viewer", tokens[2]), 401);
    assert_int_equal(get("/operator", tokens[1]), 200);
    for (int i = 0; i < 2; i++)
        json_decref(manage(204, "DELETE", "tokens", names[i], NULL));
    assert_int_equal(get("/admin", NULL), 200); /* as before */
}

/* What was used last is told, and is in the catalogue once asked for. */
static void last_use(void **state) {
    char token[64];
    json_t *list, *one;

    (void) state;
    new_token("t", "viewer", token);
    list = manage(200, "GET", "tokens", NULL, NULL);
    one = json_array_get(json_object_get(list, "tokens"), 0);
    assert_true(json_is_null(json_object_get(one, "used_ns")));
    assert_null(json_object_get(one, "token"));
    json_decref(list);
    assert_int_equal(get("/viewer", token), 200);
    list = manage(200, "GET", "tokens", NULL, NULL);
    one = json_array_get(json_object_get(list, "tokens"), 0);
    assert_true(json_is_string(json_object_get(one, "used_ns")));
    json_decref(list);
}

static char kept[64];
static bool stop; /* [atomic] */

static void *ask(void *arg) {
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    struct bp_client_reply reply = { 0 };
    unsigned *bad = arg;

    if (bp_client_open(
            &(struct bp_client_options){ .url = bp_http_address(http, 0), .token = kept }, &c,
            NULL) < 0)
        ++*bad;
    while (c && !__atomic_load_n(&stop, __ATOMIC_RELAXED))
        *bad +=
            bp_client_call(c, "GET", "/operator", NULL, &reply, NULL) < 0 || reply.status != 200;
    bp_client_reply_done(&reply);
    return NULL;
}

/* Requests are judged rightly while accounts come and go. */
static void meanwhile(void **state) {
    pthread_t threads[3];
    unsigned bad[3] = { 0 };
    char other[64];

    (void) state;
    new_token("kept", "operator", kept);
    __atomic_store_n(&stop, false, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &bad[i]), 0);
    for (int i = 0; i < 30; i++) {
        new_token("other", "admin", other);
        assert_int_equal(get("/admin", other), 200);
        json_decref(manage(200, "GET", "tokens", NULL, NULL));
        bp_access_tick(access_);
        json_decref(manage(204, "DELETE", "tokens", "other", NULL));
        assert_int_equal(get("/admin", other), 401);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++)
        (void) pthread_join(threads[i], NULL);
    assert_int_equal(bad[0] + bad[1] + bad[2], 0);
}

static void limits(void **state) {
    static const char *const bad[] = { "", ".x", "-x", "a b", "a/b", "\\u00e4", "a\\n" };
    char body[200];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(bad); i++) {
        (void) snprintf(body, sizeof body, "{\"name\": \"%s\", \"role\": \"admin\"}", bad[i]);
        (void) manage(BP_EUSAGE, "POST", "tokens", NULL, body);
    }
    json_decref(manage(201, "POST", "tokens", NULL, "{\"name\": \"a\", \"role\": \"admin\"}"));
    (void) manage(-EEXIST, "POST", "tokens", NULL, "{\"name\": \"a\", \"role\": \"admin\"}");
    (void) manage(-ENOENT, "DELETE", "tokens", "b", NULL);
    (void) manage(BP_EUSAGE, "POST", "tokens", NULL, "[]");
    (void) manage(BP_EUSAGE, "POST", "tokens", NULL, NULL);
    (void) manage(BP_EUSAGE, "PATCH", "tokens", "a", "{}");
    (void) manage(BP_EUSAGE, "PUT", "users", "a", "{}");
    (void) manage(BP_EUSAGE, "POST", "tokens", NULL, /* this one keeps to no scope */
                  "{\"name\": \"s\", \"role\": \"viewer\", \"scope\": \"x\"}");
    for (int i = 1; i < 1000; i++) {
        (void) snprintf(body, sizeof body, "{\"name\": \"t%d\", \"role\": \"viewer\"}", i);
        json_decref(manage(201, "POST", "tokens", NULL, body));
    }
    (void) manage(BP_ELIMIT, "POST", "tokens", NULL, "{\"name\": \"z\", \"role\": \"viewer\"}");
    assert_true(bp_access_configured(access_));
    bp_access_close(NULL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = { CASE(roles), CASE(last_use), CASE(meanwhile),
                                        CASE(limits) };

    return cmocka_run_group_tests_name("access/access", tests, NULL, NULL);
}
