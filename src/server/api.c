/* The server's own routes: how it is, accounts, configuration, jobs, the log. What robots and
 * people do with recordings is in api-*.c, one part each. Paths and bodies: docs/api/server.md. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/json-value.h"
#include "base/metrics.h"
#include "net/fanout.h"
#include "server/api-archive.h"
#include "server/guard.h"
#include "server/scope.h"

/* ---- how it is ---- */

static json_t *disk_json(const struct bp_server *s) {
    struct statvfs v;

    if (statvfs(s->dir, &v) < 0)
        return json_pack("{s:s}", "dir", s->dir);
    return json_pack("{s:s, s:o, s:o}", "dir", s->dir, "free",
                     bp_json_count((uint64_t) v.f_bavail * v.f_frsize), "size",
                     bp_json_count((uint64_t) v.f_blocks * v.f_frsize));
}

static int ready(struct bp_server *s, struct bp_error *err) {
    int r = 0;

    for (const struct bp_server_part *const *p = bp_server_parts; r == 0 && *p; p++)
        if ((*p)->ready)
            r = (*p)->ready(s, err);
    return r;
}

json_t *bp_server_status_json(struct bp_server *s) {
    struct bp_error why = { 0 };
    bool is_ready = ready(s, &why) == 0;
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:f, s:o, s:i, s:i}", "version", BP_VERSION, "name", s->name,
                  "state", is_ready ? "ready" : "not_ready", "uptime_s",
                  (double) (bp_mono_ns() - s->started_mono) / 1e9, "storage", disk_json(s),
                  "alerts", (int) bp_alerts_active(s->alerts), "jobs", (int) bp_jobs_live(s->jobs));

    if (o && !is_ready)
        (void) json_object_set_new(o, "reason", json_string(why.text));
    for (const struct bp_server_part *const *p = bp_server_parts; o && *p; p++)
        if ((*p)->status)
            (*p)->status(s, o);
    return o;
}

static int get_status(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    static const char *const everybodys[] = { "version", "name", "state", "reason", "uptime_s" };
    struct bp_server *s = bp_server_of(req);
    json_t *all, *some;
    char scope[BP_SCOPE];
    int r = bp_server_scope(s, req, scope, err);

    if (r < 0)
        return r;
    all = bp_server_status_json(s);
    if (!*scope) {
        bp_http_reply_json(reply, 200, all);
        return 0;
    }
    some = json_object(); /* the rest is counted over all devices */
    for (size_t i = 0; i < BP_COUNT(everybodys); i++)
        if (json_object_get(all, everybodys[i]))
            (void) json_object_set(some, everybodys[i], json_object_get(all, everybodys[i]));
    json_decref(all);
    bp_http_reply_json(reply, 200, some);
    return 0;
}

int bp_server_get_ready(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    int r;

    if (bp_http_draining(req))
        return bp_fail(err, -EAGAIN, "the server is ending");
    r = ready(bp_server_of(req), err);
    if (r < 0)
        return -EAGAIN; /* 503, whatever it is: `err` says it */
    bp_http_reply_static(reply, 200, "text/plain", "ok\n", 3);
    return 0;
}

int bp_server_get_metrics(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_AUTO_BUF out = { 0 };

    (void) err;
    bp_alerts_metrics(s->alerts, &out);
    bp_metrics_render(&out, bp_http_metrics, bp_http_metrics_count);
    bp_metrics_render(&out, bp_access_metrics, bp_access_metrics_count);
    bp_metrics_render(&out, bp_fanout_metrics, bp_fanout_metrics_count);
    for (const struct bp_server_part *const *p = bp_server_parts; *p; p++)
        if ((*p)->metrics)
            (*p)->metrics(s, &out);
    bp_metrics_family(&out, "bagpipe_jobs", BP_METRIC_GAUGE,
                      "Jobs that wait or run: does work pile up?");
    bp_metrics_sample(&out, "bagpipe_jobs", NULL, 0, (double) bp_jobs_live(s->jobs));
    bp_api_put_disk(&out, s->dir);
    bp_api_put_process(&out, s->started_ns);
    bp_api_reply_metrics(req, reply, &out);
    return 0;
}

int bp_server_get_events(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    return bp_events_reply(bp_server_of(req)->events, req, reply, err);
}

static int get_alerts(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    bp_api_get_alerts(bp_server_of(req)->alerts, req, reply);
    return 0;
}

static int acknowledge(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_api_acknowledge(bp_server_of(req)->alerts, req, reply, err);
}

static int get_openapi(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req, (void) err;
    bp_api_reply_known(reply, bp_server_openapi());
    return 0;
}

/* ---- people ---- */

static int on_login(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_access_login(bp_server_of(req)->access, req, reply, err);
}

static int on_logout(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_access_logout(bp_server_of(req)->access, req, reply, err);
}

static int on_whoami(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_device_who who;

    if (bp_server_device(bp_server_of(req), req, &who)) {
        bp_http_reply_json(reply, 200,
                           json_pack("{s:s, s:s, s:s, s:s}", "user", who.id, "role", "device", "by",
                                     "device", "public_key", who.key));
        return 0;
    }
    return bp_access_whoami(bp_server_of(req)->access, req, reply, err);
}

/* What of a body may be written down: no password, and of the rest what says what was done. */
static json_t *harmless(const struct bp_http_req *req) {
    static const char *const keys[] = {
        "name", "role", "disabled", "lifetime_s", "groups", "scope"
    };
    json_t *body = NULL, *o = json_object();

    if (bp_api_body(req, &body, NULL) < 0)
        return o;
    for (size_t i = 0; i < BP_COUNT(keys); i++)
        if (json_object_get(body, keys[i]))
            (void) json_object_set(o, keys[i], json_object_get(body, keys[i]));
    if (json_object_get(body, "password"))
        (void) json_object_set_new(o, "password", json_string("set"));
    json_decref(body);
    return o;
}

static int on_accounts(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    bool users = bp_starts_with(bp_http_route(req)->pattern, "/api/v1/users");
    const char *name = bp_http_param(req, "name");
    struct bp_server *s = bp_server_of(req);
    char action[40];
    int r = 0;

    if (!bp_streq(bp_http_route(req)->method, "GET")) {
        (void) snprintf(action, sizeof action, "%s.%s", users ? "user" : "token",
                        bp_http_route(req)->method);
        r = bp_server_audit(s, req, action, name ? name : "", harmless(req), err);
    }
    return r < 0 ? r : bp_api_accounts(s->access, req, reply, err);
}

static int on_config(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const struct bp_http_route *route = bp_http_route(req);
    struct bp_server *s = bp_server_of(req);
    json_t *body = NULL;
    int r = 0;

    if (bp_streq(route->method, "PATCH")) {
        r = bp_api_body(req, &body, err);
        if (r == 0)
            r = bp_server_audit(s, req, "config.change", "", body, err);
    } else if (bp_streq(route->pattern, "/api/v1/config/reload")) {
        r = bp_server_audit(s, req, "config.reload", "", NULL, err);
    }
    return r < 0 ? r : bp_api_config(s->settings, req, reply, err);
}

/* ---- jobs ---- */

static int jobs(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_api_jobs(bp_server_of(req)->jobs, req, reply, err);
}

/* ---- the table ---- */

static const struct bp_http_route routes[] = {
    { "GET", "/healthz", bp_api_get_health, BP_HTTP_PUBLIC, "Answers while the process lives." },
    { "GET", "/readyz", bp_server_get_ready, BP_HTTP_PUBLIC,
      "Answers 200 while robots may come, else says why not." },
    { "POST", "/api/v1/login", on_login, BP_HTTP_PUBLIC,
      "A cookie for user and password, or for a token." },
    { "POST", "/api/v1/logout", on_logout, BP_HTTP_PUBLIC, "Ends what the cookie stands for." },
    { "GET", "/api/v1/whoami", on_whoami, BP_HTTP_PUBLIC, "Who asks, as what, and by what." },
    { "GET", "/api/v1/users", on_accounts, BP_HTTP_ADMIN, "Users." },
    { "POST", "/api/v1/users", on_accounts, BP_HTTP_ADMIN, "Adds a user." },
    { "PATCH", "/api/v1/users/:name", on_accounts, BP_HTTP_ADMIN,
      "Changes role or password, disables, enables." },
    { "DELETE", "/api/v1/users/:name", on_accounts, BP_HTTP_ADMIN, "Removes a user." },
    { "GET", "/api/v1/tokens", on_accounts, BP_HTTP_ADMIN, "Tokens, without what they are." },
    { "POST", "/api/v1/tokens", on_accounts, BP_HTTP_ADMIN, "Makes a token and tells it, once." },
    { "DELETE", "/api/v1/tokens/:name", on_accounts, BP_HTTP_ADMIN, "Removes a token." },
    { "GET", "/metrics", bp_server_get_metrics, BP_HTTP_VIEWER,
      "Numbers in Prometheus' text format." },
    { "GET", "/api/v1/openapi.json", get_openapi, BP_HTTP_VIEWER,
      "This description, OpenAPI 3.1." },
    { "GET", "/api/v1/status", get_status, BP_HTTP_VIEWER, "How the server is, at a glance." },
    { "GET", "/api/v1/alerts", get_alerts, BP_HTTP_VIEWER,
      "What is wrong now; with past=1 also what was." },
    { "POST", "/api/v1/alerts/:key/acknowledge", acknowledge, BP_HTTP_OPERATOR,
      "Says that somebody has seen an alert that is active, with a note if there is one." },
    { "GET", "/api/v1/logs", bp_api_get_logs, BP_HTTP_VIEWER, "The last lines of the log." },
    { "GET", "/api/v1/jobs", jobs, BP_HTTP_VIEWER, "Long work, newest first." },
    { "GET", "/api/v1/jobs/:id", jobs, BP_HTTP_VIEWER, "One job, with its log." },
    { "DELETE", "/api/v1/jobs/:id", jobs, BP_HTTP_ADMIN,
      "Cancels what waits or runs; forgets what has ended." },
    { "GET", "/api/v1/config", on_config, BP_HTTP_VIEWER,
      "The configuration in effect, and where each value comes from." },
    { "PATCH", "/api/v1/config", on_config, BP_HTTP_ADMIN,
      "Sets live keys until the server ends." },
    { "GET", "/api/v1/config/schema", on_config, BP_HTTP_VIEWER,
      "JSON schema of the configuration file." },
    { "POST", "/api/v1/config/check", on_config, BP_HTTP_ADMIN,
      "Says what is wrong with a configuration file." },
    { "POST", "/api/v1/config/reload", on_config, BP_HTTP_ADMIN,
      "Reads the configuration file anew, all of it or nothing." },
    { "GET", "/api/v1/events", bp_server_get_events, BP_HTTP_VIEWER,
      "Events as they happen: a WebSocket, or server-sent events." },
};
static const size_t nroutes = BP_COUNT(routes);

const struct bp_server_part bp_server_part_api = {
    .name = "api",
    .routes = routes,
    .nroutes = &nroutes,
    .docs = &bp_server_api_docs,
};
