#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "net/test-server.h"

/* What a body in pieces came to. */
struct sink {
    uint64_t n, sum;
    size_t largest;
    bool fails, slow;
};

static int gate; /* [atomic] begin() of "/sink/gate" and data() of slow ones wait */
static int begun, aborted, ended; /* [atomic] */

static void wait_for(const int *what, int value) {
    for (int i = 0; i < 2500 && __atomic_load_n(what, __ATOMIC_ACQUIRE) < value; i++)
        bp_sleep(2 * BP_MS);
}

static int begin(struct bp_http_req *req, struct bp_http_reply *reply, void **ret,
                 struct bp_error *err) {
    const char *id = bp_http_param(req, "id");
    struct sink *s;

    (void) __atomic_add_fetch(&begun, 1, __ATOMIC_ACQ_REL);
    if (bp_streq(id, "refuse")) {
        bp_http_reply_header(reply, "X-Why", "told");
        return bp_fail(err, -EBUSY, "not now");
    }
    if (bp_streq(id, "gate"))
        wait_for(&gate, 1);
    s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->fails = bp_streq(id, "fail");
    s->slow = bp_streq(id, "slow");
    *ret = s;
    return 0;
}

static int data(void *body, const void *p, size_t n, struct bp_error *err) {
    struct sink *s = body;
    char name[16];

    (void) prctl(PR_GET_NAME, name);
    assert_string_equal(name, "http-body"); /* no thread that others wait for */
    if (s->slow)
        wait_for(&gate, 1);
    for (size_t i = 0; i < n; i++)
        s->sum += ((const uint8_t *) p)[i] * (s->n + i);
    s->n += n;
    s->largest = BP_MAX(s->largest, n);
    if (s->fails && s->n > 200000)
        return bp_fail(err, -ENOSPC, "the disk is full");
    return 0;
}

static void aborts(void *body) {
    (void) __atomic_add_fetch(&aborted, 1, __ATOMIC_ACQ_REL);
    free(body);
}

static int end(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    BP_AUTO_FREE struct sink *s = bp_http_body_ctx(req);

    (void) __atomic_add_fetch(&ended, 1, __ATOMIC_ACQ_REL);
    (void) err;
    assert_int_equal(bp_http_body(req).n, 0);
    assert_int_equal(bp_http_body_length(req), s->n);
    bp_http_reply_json(reply, 201,
                       json_pack("{s:I, s:I, s:I}", "n", (json_int_t) s->n, "sum",
                                 (json_int_t) s->sum, "largest", (json_int_t) s->largest));
    return 0;
}

static int show(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req, (void) err;
    bp_http_reply_static(reply, 200, "text/plain", "ok\n", 3);
    return 0;
}

static int echo(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_str body = bp_http_body(req);
    BP_AUTO_BUF out = { 0 };
    char name[16];

    (void) err;
    (void) prctl(PR_GET_NAME, name);
    bp_buf_printf(&out, "%s:%.*s", name, (int) body.n, body.n ? body.p : "");
    bp_http_reply_buf(reply, 200, "text/plain", &out);
    return 0;
}

static int judge(void *ctx, struct bp_http_req *req, enum bp_http_access need,
                 struct bp_http_reply *reply, struct bp_error *err) {
    (void) ctx, (void) need, (void) reply;
    if (bp_http_header(req, "X-Key"))
        return 0;
    (void) bp_fail(err, -EACCES, "who are you?");
    return 401;
}

static const struct bp_http_route routes[] = {
    { "GET", "/", show, BP_HTTP_PUBLIC, "the root" },
    { "PUT", "/sink/:id", end, BP_HTTP_PUBLIC, "takes a body" },
    { "PUT", "/closed/:id", end, BP_HTTP_OPERATOR, "takes a body from some" },
    { "POST", "/long", echo, BP_HTTP_PUBLIC, "may take long" },
    { "POST", "/small", show, BP_HTTP_PUBLIC, "takes a small body" },
};
enum { MAX = 256 << 20 };
static const struct bp_http_body_ops bodies[] = {
    { .handler = end, .max_bytes = MAX, .begin = begin, .data = data, .abort = aborts },
    { .handler = echo },
};

static struct bp_http *open_bodies(struct bp_http_options o) {
    begun = aborted = ended = gate = 0;
    o.routes = routes;
    o.nroutes = BP_COUNT(routes);
    o.bodies = bodies;
    o.nbodies = BP_COUNT(bodies);
    o.authorize = judge;
    return open_server(o);
}

static void head(int fd, const char *path, uint64_t n, const char *more) {
    char text[300];

    (void) snprintf(text, sizeof text, "PUT %s HTTP/1.1\r\n" H "Content-Length: %llu\r\n%s\r\n",
                    path, (unsigned long long) n, more);
    put(fd, text);
}

static uint8_t pattern(uint64_t at) {
    return (uint8_t) (at * 7 + at / 256);
}

/* Sends n bytes of a pattern. @return false when the other side does not take them */
static bool pour(int fd, uint64_t n, uint64_t *sum) {
    uint8_t block[16384];

    for (uint64_t at = 0; at < n;) {
        size_t k = (size_t) BP_MIN(n - at, sizeof block);
        ssize_t r;

        for (size_t i = 0; i < k; i++)
            block[i] = pattern(at + i);
        r = send(fd, block, k, MSG_NOSIGNAL);
        if (r < 0)
            return false;
        for (ssize_t i = 0; sum && i < r; i++)
            *sum += block[i] * (at + (uint64_t) i);
        at += (uint64_t) r;
    }
    return true;
}

/* The status of the next answer on a connection that stays open. */
static int next_status(int fd, char *out, size_t size) {
    assert_false(get(fd, out, size, "}\n"));
    return status_of(out);
}

static void comes_whole_in_pieces(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_bodies((struct bp_http_options){ 0 });
    static const uint64_t sizes[] = { 0, 1, 131071, 131072, 131073, 262144, 10 << 20 };
    BP_AUTO_FD int fd = connect_to(bp_http_address(h, 0));

    (void) state;
    for (size_t i = 0; i < BP_COUNT(sizes); i++) { /* one connection: it is kept */
        uint64_t sum = 0;
        char text[1000], want[100];

        head(fd, "/sink/x", sizes[i], "");
        assert_true(pour(fd, sizes[i], &sum));
        assert_int_equal(next_status(fd, text, sizeof text), 201);
        (void) snprintf(want, sizeof want, "{\"n\":%llu,\"sum\":%llu,",
                        (unsigned long long) sizes[i], (unsigned long long) sum);
        assert_non_null(strstr(text, want));
    }
    assert_int_equal(ended, BP_COUNT(sizes));
    assert_int_equal(aborted, 0);
}

static void needs_a_length(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_bodies((struct bp_http_options){ 0 });
    char text[1000];

    (void) state;
    assert_int_equal(ask(h,
                         "PUT /sink/x HTTP/1.1\r\n" H C "Transfer-Encoding: chunked\r\n\r\n"
                         "3\r\nabc\r\n0\r\n\r\n",
                         text, sizeof text),
                     411);
    assert_int_equal(ask(h, "PUT /sink/x HTTP/1.1\r\n" H C "\r\n", text, sizeof text), 411);
    assert_int_equal(ask(h, "PUT /sink/x HTTP/1.1\r\n" H C "Content-Length: 6442450944\r\n\r\n",
                         text, sizeof text),
                     413);
    assert_non_null(strstr(text, "268435456"));
    assert_int_equal(
        ask(h, "PUT /sink/x HTTP/1.1\r\n" H C "Content-Length: 99999999999999999999999999\r\n\r\n",
            text, sizeof text),
        413);
    assert_int_equal(
        ask(h, "POST /small HTTP/1.1\r\n" H C "Content-Length: 1048577\r\n\r\n", text, sizeof text),
        413); /* the limit of the others stays */
    assert_int_equal(begun, 0);
}

static void continues_after_begin(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_bodies((struct bp_http_options){ 0 });
    BP_AUTO_FD int fd = connect_to(bp_http_address(h, 0));
    BP_AUTO_FD int refused = connect_to(bp_http_address(h, 0));
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char text[1000];

    (void) state;
    head(fd, "/sink/gate", 3, "Expect: 100-continue\r\n");
    wait_for(&begun, 1);
    assert_int_equal(poll(&p, 1, 100), 0); /* not before begin() has said so */
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    assert_false(get(fd, text, sizeof text, "\r\n\r\n"));
    assert_int_equal(status_of(text), 100);
    put(fd, "abc");
    assert_int_equal(next_status(fd, text, sizeof text), 201);

    head(refused, "/sink/refuse", 1 << 20, "Expect: 100-continue\r\n");
    assert_true(get(refused, text, sizeof text, NULL)); /* it has sent nothing of it */
    assert_int_equal(status_of(text), 409);
    assert_non_null(strstr(text, "X-Why: told"));
    assert_null(strstr(text, "100 Continue"));
}

static void refusals_are_read(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_bodies((struct bp_http_options){ 0 });
    BP_AUTO_FD int fd = connect_to(bp_http_address(h, 0));
    BP_AUTO_FD int unknown = connect_to(bp_http_address(h, 0));
    char text[1000];

    (void) state;
    for (int i = 0; i < 3; i++) { /* all of the body is sent before the client looks */
        head(fd, i == 1 ? "/sink/fail" : "/sink/refuse", 8 << 20, "");
        assert_true(pour(fd, 8 << 20, NULL));
        assert_int_equal(next_status(fd, text, sizeof text), i == 1 ? 507 : 409);
    }
    assert_int_equal(aborted, 1);
    assert_int_equal(ended, 0);

    head(unknown, "/closed/x", 8 << 20, ""); /* no patience with strangers */
    assert_true(get(unknown, text, sizeof text, NULL));
    assert_int_equal(status_of(text), 401);
    assert_int_equal(begun, 3);
    head(fd, "/closed/x", 3, "X-Key: 1\r\n");
    put(fd, "abc");
    assert_int_equal(next_status(fd, text, sizeof text), 201);
}

static void breaks_abort(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_bodies((struct bp_http_options){ 0 });

    (void) state;
    for (int i = 0; i < 8; i++) {
        int fd = connect_to(bp_http_address(h, 0));

        head(fd, "/sink/x", 1 << 20, "");
        assert_true(pour(fd, (uint64_t) i * 100000, NULL));
        wait_for(&begun, i + 1);
        (void) close(fd);
    }
    wait_for(&aborted, 8);
    assert_int_equal(aborted, 8);
    assert_int_equal(ended, 0);
}

static void slow_disks_hold_nobody_up(void **state) {
    BP_CLEANUP(bp_http_closep)
    struct bp_http *h = open_bodies((struct bp_http_options){ .max_bodies = 40 });
    int fds[41];
    char text[1000];

    (void) state;
    for (int i = 0; i < 40; i++) { /* five for each worker; each waits in data() */
        fds[i] = connect_to(bp_http_address(h, 0));
        head(fds[i], "/sink/slow", 150000, "");
        (void) pour(fds[i], 150000, NULL);
    }
    wait_for(&begun, 8);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask(h, "GET / HTTP/1.1\r\n" H C "\r\n", text, sizeof text), 200);
    fds[40] = connect_to(bp_http_address(h, 0));
    head(fds[40], "/sink/slow", 3, "");
    put(fds[40], "abc");
    assert_int_equal(next_status(fds[40], text, sizeof text), 503);
    assert_non_null(strstr(text, "Retry-After"));
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 40; i++)
        assert_int_equal(next_status(fds[i], text, sizeof text), 201);
    for (int i = 0; i < 41; i++)
        (void) close(fds[i]);
}

static void deadlines_are_by_piece(void **state) {
    BP_CLEANUP(bp_http_closep)
    struct bp_http *h = open_bodies((struct bp_http_options){ .body_timeout = BP_SEC });
    BP_AUTO_FD int fd = connect_to(bp_http_address(h, 0));
    BP_AUTO_FD int stalled = connect_to(bp_http_address(h, 0));
    char text[1000];

    (void) state;
    head(fd, "/sink/x", 5 * 131072, "");
    head(stalled, "/sink/x", 5 * 131072, "");
    for (int i = 0; i < 5; i++) { /* three times as long as one piece may take */
        assert_true(pour(fd, 131072, NULL));
        bp_sleep(600 * BP_MS);
    }
    assert_int_equal(next_status(fd, text, sizeof text), 201);
    assert_true(get(stalled, text, sizeof text, NULL));
    assert_string_equal(text, "");
    wait_for(&aborted, 1);
    assert_int_equal(aborted, 1);
}

static void closing_ends_them(void **state) {
    struct bp_http *h = open_bodies((struct bp_http_options){ 0 });
    int fds[12];

    (void) state;
    for (int i = 0; i < 12; i++) {
        fds[i] = connect_to(bp_http_address(h, 0));
        head(fds[i], i % 2 ? "/sink/x" : "/sink/gate", 1 << 20, "");
        (void) send(fds[i], fds, sizeof fds, MSG_NOSIGNAL);
    }
    wait_for(&begun, 8);
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    bp_http_close(h);
    assert_int_equal(ended, 0);
    assert_int_equal(aborted, begun); /* each once */
    for (int i = 0; i < 12; i++)
        (void) close(fds[i]);
}

static void long_handlers_run_apart(void **state) {
    BP_CLEANUP(bp_http_closep) struct bp_http *h = open_bodies((struct bp_http_options){ 0 });
    char text[1000];

    (void) state;
    assert_int_equal(ask(h, "POST /long HTTP/1.1\r\n" H C "\r\n", text, sizeof text), 200);
    assert_non_null(strstr(text, "http-body:"));
    assert_int_equal(
        ask(h, "POST /long HTTP/1.1\r\n" H C "Content-Length: 3\r\n\r\nabc", text, sizeof text),
        200);
    assert_non_null(strstr(text, "http-body:abc"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_whole_in_pieces),
        cmocka_unit_test(needs_a_length),
        cmocka_unit_test(continues_after_begin),
        cmocka_unit_test(refusals_are_read),
        cmocka_unit_test(breaks_abort),
        cmocka_unit_test(slow_disks_hold_nobody_up),
        cmocka_unit_test(deadlines_are_by_piece),
        cmocka_unit_test(closing_ends_them),
        cmocka_unit_test(long_handlers_run_apart),
    };

    return cmocka_run_group_tests_name("net/http-body", tests, make_dir, remove_dir);
}
