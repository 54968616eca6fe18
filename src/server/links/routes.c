#include "server/links/routes.h"

#include <errno.h>
#include <stdlib.h>

#include "base/units.h"

enum { WITHIN_S = 10, WAIT_MAX_S = 60 };

static struct {
    struct bp_links *(*links_of)(void *ctx);
    unsigned max;
    unsigned waiting; /* [atomic] */
} setup;

void bp_links_routes_setup(struct bp_links *(*links_of)(void *ctx), unsigned waiting) {
    setup.links_of = links_of;
    setup.max = waiting;
}

static struct bp_links *links_of(const struct bp_http_req *req) {
    return setup.links_of(bp_http_ctx(req));
}

static const char *device_of(const struct bp_http_req *req) {
    return bp_http_param(req, "device");
}

/* ---- what is known ---- */

int bp_links_get_robots(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    (void) err;
    bp_http_reply_json(reply, 200, bp_links_robots(links_of(req)));
    return 0;
}

int bp_links_get_devices(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    (void) err;
    bp_http_reply_json(reply, 200, bp_links_devices(links_of(req)));
    return 0;
}

int bp_links_get_status(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    json_t *o = bp_links_device(links_of(req), device_of(req));

    if (!o)
        return bp_fail(err, -ENOENT, "there is no device '%.100s'", device_of(req));
    bp_http_reply_json(reply, 200, o);
    return 0;
}

int bp_links_get_topics(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    json_t *o = NULL;
    int r = bp_links_topics(links_of(req), device_of(req), &o, err);

    if (r == 0)
        bp_http_reply_json(reply, 200, o);
    return r;
}

static int number(const struct bp_http_req *req, const char *name, int64_t max, int64_t *io,
                  struct bp_error *err) {
    const char *text = bp_http_query(req, name);

    if (text && (bp_parse_int(text, io) < 0 || *io < 0 || *io > max))
        return bp_fail(err, BP_EUSAGE, "%s: expected a whole number, 0 to %lld", name,
                       (long long) max);
    return 0;
}

int bp_links_get_events(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    int64_t after = 0, limit = 100;
    json_t *o = NULL;
    int r = number(req, "after", INT64_MAX, &after, err);

    if (r == 0)
        r = number(req, "limit", 1000, &limit, err);
    if (r == 0)
        r = bp_links_events(links_of(req), device_of(req), (uint64_t) after,
                            (unsigned) BP_MAX(limit, 1), &o, err);
    if (r == 0)
        bp_http_reply_json(reply, 200, o);
    return r;
}

/* ---- commands ---- */

/* Waits when there is room for another one that does. */
static int order(struct bp_http_req *req, const struct bp_links_command *c, bool wait, json_t **ret,
                 struct bp_error *err) {
    bool may = __atomic_add_fetch(&setup.waiting, 1, __ATOMIC_RELAXED) <= setup.max;
    int r = bp_links_do(links_of(req), c,
                        wait && may ? BP_MIN(c->within + 2 * BP_SEC, WAIT_MAX_S * BP_SEC) : 0, ret,
                        err);

    (void) __atomic_sub_fetch(&setup.waiting, 1, __ATOMIC_RELAXED);
    return r;
}

/* The command's own status: 202 while it is not over, 504 when it was too late. */
static void reply_report(struct bp_http_reply *reply, const char *device, json_t *report) {
    int status = (int) json_integer_value(json_object_get(report, "status"));
    const char *state = json_string_value(json_object_get(report, "state"));
    struct bp_error err = { 0 };
    char place[256];

    (void) snprintf(place, sizeof place, "/api/v1/devices/%s/commands/%s", device,
                    json_string_value(json_object_get(report, "id")));
    if (bp_streq(state, "expired") || bp_streq(state, "lost")) {
        (void) bp_fail(
            &err, -ETIMEDOUT, "%s",
            json_string_value(json_object_get(json_object_get(report, "body"), "detail")));
        json_decref(report);
        bp_http_reply_problem(reply, status, &err);
    } else {
        bp_http_reply_json(reply, status == 202 ? 202 : 200, report);
    }
    bp_http_reply_header(reply, "Location", place);
}

static int read_order(const struct bp_http_req *req, json_t **ret, struct bp_links_command *c,
                      struct bp_error *err) {
    json_t *o = NULL, *within;
    int r = bp_http_json(req, &o, err);

    if (r < 0)
        return r;
    within = json_object_get(o, "within_s");
    c->name = json_string_value(json_object_get(o, "name"));
    c->args = json_object_get(o, "args");
    c->within = within ? (bp_ns_t) (BP_MIN(BP_MAX(json_number_value(within), 0.0), 1e6) * 1e9)
                       : WITHIN_S * BP_SEC;
    if (!c->name || (within && !json_is_number(within))) {
        json_decref(o);
        return bp_fail(err, BP_EUSAGE,
                       "expected {\"name\": \"session.start\", \"args\": {}, \"within_s\": 10}");
    }
    *ret = o;
    return 0;
}

int bp_links_post_command(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    struct bp_links_command c = { .device = device_of(req),
                                  .role = "operator",
                                  .by = bp_http_user(req) };
    json_t *body = NULL, *report = NULL;
    int r = read_order(req, &body, &c, err);

    if (r < 0)
        return r;
    r = order(req, &c, !json_is_false(json_object_get(body, "wait")), &report, err);
    json_decref(body);
    if (r == 0)
        reply_report(reply, device_of(req), report);
    return r;
}

int bp_links_get_command(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    json_t *report = NULL;
    int r = bp_links_result(links_of(req), device_of(req), bp_http_param(req, "id"), &report, err);

    if (r == 0)
        bp_http_reply_json(reply, 200, report);
    return r;
}

/* As the device's own API would answer. */
int bp_links_config(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    bool set = bp_streq(bp_http_method(req), "PATCH");
    struct bp_links_command c = { .device = device_of(req),
                                  .name = set ? "config.patch" : "config.get",
                                  .role = set ? "admin" : "viewer",
                                  .by = bp_http_user(req),
                                  .within = WITHIN_S * BP_SEC };
    json_t *body = NULL, *report = NULL;
    int r = set ? bp_http_json(req, &body, err) : 0;

    if (r < 0)
        return r;
    c.args = body;
    r = order(req, &c, true, &report, err);
    json_decref(body);
    if (r < 0)
        return r;
    if (bp_streq(json_string_value(json_object_get(report, "state")), "done")) {
        bp_http_reply_json(reply, (int) json_integer_value(json_object_get(report, "status")),
                           json_incref(json_object_get(report, "body")));
        json_decref(report);
    } else {
        reply_report(reply, device_of(req), report);
    }
    return 0;
}
