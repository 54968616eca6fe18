/* Who may come in, and how often: people by the rules of access/, devices by tokens of their own.
 *
 * Each identity has its rate. Requests that prove nothing are counted against the peer they come
 * from, so that many robots behind one router do not take each other's share, and whoever guesses
 * is slowed down. The socket and an open loopback have no limit: nobody is to be told apart there.
 */
#include "server/guard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "access/gcra.h"
#include "base/metrics.h"
#include "server/scope.h"

static struct { struct bp_counter identity, peer, device_bad, device_route; } stats;

#define LIMITED(value, field)                                                                     \
    {                                                                                             \
        .name = "bagpipe_requests_limited_total",                                                 \
        .help = "Requests refused with 429, by whose rate: does somebody run wild or guess?",     \
        .type = BP_METRIC_COUNTER, .label = "of", .label_value = (value), .counter = &stats.field \
    }
#define DEVICE(value, field)                                                          \
    {                                                                                 \
        .name = "bagpipe_device_requests_refused_total",                              \
        .help = "Requests of devices refused: token no good, or route not for them.", \
        .type = BP_METRIC_COUNTER, .label = "reason", .label_value = (value),         \
        .counter = &stats.field                                                       \
    }

static const struct bp_metric metrics[] = {
    LIMITED("identity", identity),
    LIMITED("peer", peer),
    DEVICE("token", device_bad),
    DEVICE("route", device_route),
};

/* What devices may call: these patterns, and what lies below them. */
static const char *const for_devices[] = {
    "/api/v1/ingest", "/api/v1/uploads", "/api/v1/objects",
    "/api/v1/link",   "/api/v1/whoami",  "/api/v1/status",
};

static int limited(bp_ns_t wait, const char *whose, struct bp_counter *counter,
                   struct bp_http_reply *reply, struct bp_error *err) {
    char seconds[24];

    bp_counter_add(counter, 1);
    (void) snprintf(seconds, sizeof seconds, "%lld", (long long) ((wait + BP_SEC - 1) / BP_SEC));
    bp_http_reply_header(reply, "Retry-After", seconds);
    (void) bp_fail(err, BP_ELIMIT, "too many requests by %.64s: again in %s s", whose, seconds);
    return 429;
}

static struct bp_gcra_rule people_rule(const struct bp_server *s) {
    return (struct bp_gcra_rule){ s->config->auth.rate, s->config->auth.burst };
}

int bp_server_limit_peer(struct bp_server *s, struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    const struct bp_gcra_rule rule = people_rule(s);
    char peer[BP_ACCESS_PEER];
    bp_ns_t wait;

    if (bp_http_by_unix(req))
        return 0;
    bp_access_peer(s->access, req, peer);
    wait = bp_gcra_take(s->limits, &rule, peer, bp_mono_ns());
    return wait ? limited(wait, peer, &stats.peer, reply, err) : 0;
}

/* ---- devices ---- */

/* The text of a device's token in the request, or NULL. */
static const char *device_token(const struct bp_http_req *req) {
    const char *header = bp_http_header(req, "Authorization");

    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return NULL;
    header += 7;
    header += strspn(header, " ");
    return bp_device_is_token(header) ? header : NULL;
}

bool bp_server_device(struct bp_server *s, const struct bp_http_req *req,
                      struct bp_device_who *ret) {
    const char *token = device_token(req);

    return token && bp_devices_find(s->devices, token, ret, NULL) == 0;
}

static bool is_for_devices(const char *pattern) {
    for (size_t i = 0; i < BP_COUNT(for_devices); i++)
        if (bp_starts_with(pattern, for_devices[i]) &&
            strchr("/", pattern[strlen(for_devices[i])])) /* its end, or what is below */
            return true;
    return false;
}

static int authorize_device(struct bp_server *s, struct bp_http_req *req, const char *token,
                            struct bp_http_reply *reply, struct bp_error *err) {
    const struct bp_gcra_rule rule = { s->config->auth.device_rate, s->config->auth.device_burst };
    struct bp_device_who who;
    char user[8 + BP_DEVICE_ID];
    bp_ns_t wait;

    if (bp_devices_find(s->devices, token, &who, err) < 0) {
        int r = bp_server_limit_peer(s, req, reply, NULL);

        bp_counter_add(&stats.device_bad, 1);
        bp_http_reply_header(reply, "WWW-Authenticate",
                             "Bearer realm=\"bagpipe\", error=\"invalid_token\"");
        return r ? r : 401;
    }
    (void) snprintf(user, sizeof user, "device:%s", who.id);
    bp_http_set_user(req, user);
    wait = bp_gcra_take(s->limits, &rule, user, bp_mono_ns());
    if (wait)
        return limited(wait, user, &stats.identity, reply, err);
    if (is_for_devices(bp_http_route(req)->pattern))
        return 0;
    bp_counter_add(&stats.device_route, 1);
    (void) bp_fail(err, -EACCES, "this is for people, and '%s' is a device", who.id);
    return 403;
}

int bp_server_who(void *ctx, struct bp_http_req *req, struct bp_ingest_who *ret,
                  struct bp_error *err) {
    struct bp_server *s = ctx;
    struct bp_device_who who;

    *ret = (struct bp_ingest_who){ .any = true };
    if (!device_token(req)) /* the route's role was judged */
        return bp_server_scope(s, req, ret->scope, err);
    if (!bp_server_device(s, req, &who)) /* it has just expired */
        return bp_fail(err, -EACCES, "the device's token has expired: sign for another");
    ret->any = false;
    (void) snprintf(ret->device, sizeof ret->device, "%s", who.id);
    (void) snprintf(ret->key, sizeof ret->key, "%s", who.key);
    return 0;
}

/* ---- everybody ---- */

static int authorize_person(struct bp_server *s, struct bp_http_req *req, enum bp_http_access need,
                            struct bp_http_reply *reply, struct bp_error *err) {
    const struct bp_gcra_rule rule = people_rule(s);
    char peer[BP_ACCESS_PEER], key[80];
    bp_ns_t wait;
    int r;

    bp_access_peer(s->access, req, peer);
    wait = bp_http_by_unix(req) ? 0 : bp_gcra_wait(s->limits, &rule, peer, bp_mono_ns());
    if (wait)
        return limited(wait, peer, &stats.peer, reply, err);
    r = bp_access_authorize(s->access, req, need, reply, err);
    if (r == 401 && !bp_http_by_unix(req))
        (void) bp_gcra_take(s->limits, &rule, peer, bp_mono_ns());
    if (r != 0 || bp_http_by_unix(req) || bp_access_is_open(s->access))
        return r;
    (void) snprintf(key, sizeof key, "user:%s", bp_http_user(req));
    wait = bp_gcra_take(s->limits, &rule, key, bp_mono_ns());
    return wait ? limited(wait, bp_http_user(req), &stats.identity, reply, err)
                : bp_server_judge_scope(s, req, err);
}

int bp_server_authorize(void *ctx, struct bp_http_req *req, enum bp_http_access need,
                        struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = ctx;
    const char *token = device_token(req);

    if (s->config->metrics.public_ && bp_streq(bp_http_route(req)->pattern, "/metrics"))
        return 0;
    return token ? authorize_device(s, req, token, reply, err)
                 : authorize_person(s, req, need, reply, err);
}

/* ---- life ---- */

enum { KEYS = 20000 };

static int guard_open(struct bp_server *s, struct bp_error *err) {
    s->limits = bp_gcra_new(KEYS);
    return s->limits ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

static void guard_close(struct bp_server *s) {
    bp_gcra_free(s->limits);
}

static void guard_metrics(struct bp_server *s, struct bp_buf *out) {
    (void) s;
    bp_metrics_render(out, metrics, BP_COUNT(metrics));
}

const struct bp_server_part bp_server_part_guard = {
    .name = "guard",
    .open = guard_open,
    .close = guard_close,
    .metrics = guard_metrics,
};
