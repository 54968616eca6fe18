/* What handlers of both daemons do alike: bodies, numbers, accounts, jobs, configuration. */
#include "daemon/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/units.h"
#include "crypt/digest.h"
#include "net/addr.h"

int bp_api_body(const struct bp_http_req *req, json_t **ret, struct bp_error *err) {
    json_t *o = NULL;
    int r = bp_http_json(req, &o, err);

    if (r < 0)
        return r;
    if (!o)
        o = json_object();
    if (!json_is_object(o)) {
        json_decref(o);
        return bp_fail(err, BP_EUSAGE, "the body must be a JSON object");
    }
    *ret = o;
    return 0;
}

int bp_api_number(const struct bp_http_req *req, const char *name, int64_t otherwise, int64_t min,
                  int64_t max, int64_t *ret, struct bp_error *err) {
    const char *text = bp_http_query(req, name);

    *ret = otherwise;
    if (!text)
        return 0;
    return bp_parse_int(text, ret) < 0 || *ret < min || *ret > max
               ? bp_fail(err, BP_EUSAGE, "%s=%s: expected a whole number, %lld to %lld", name, text,
                         (long long) min, (long long) max)
               : 0;
}

void bp_api_reply_known(struct bp_http_reply *reply, json_t *json) {
    BP_AUTO_FREE char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    uint8_t digest[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX], etag[24];

    bp_http_reply_json(reply, 200, json);
    if (!text)
        return;
    bp_sha256_of(text, strlen(text), digest);
    (void) snprintf(etag, sizeof etag, "\"%.16s\"", bp_sha256_hex(digest, hex));
    bp_http_reply_header(reply, "ETag", etag);
}

int bp_api_get_health(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) req, (void) err;
    bp_http_reply_static(reply, 200, "text/plain", "ok\n", 3);
    return 0;
}

/* ---- who may come in ---- */

/* Everyone on this machine may be trusted; anybody else must be able to say who they are, or nobody
 * could tell them from a thief. */
int bp_api_check_listen(struct bp_access *a, enum bp_access_mode mode, const char *auth_key,
                        const char *key, const char *const *listen, struct bp_error *err) {
    if (bp_access_lost(a))
        bp_log(BP_LOG_WARNING, "users and tokens were lost with the catalogue; until 'bagpipe user "
                               "add' or 'bagpipe token new' has made new ones, only the socket is "
                               "let in");
    for (size_t i = 0; listen[i]; i++) {
        const char *text = listen[i];
        struct bp_addr addr;
        int r = bp_addr_parse(text, &addr, err);

        if (r < 0)
            return bp_prefix(err, r, "%s", key);
        if (addr.local || (addr.kind == BP_ADDR_FD && bp_addr_fd_is_local(addr.fd)))
            continue;
        if (mode == BP_ACCESS_OFF)
            return bp_fail(err, BP_ECONFIG,
                           "%s: '%s' can be reached from other machines, and %s is off: "
                           "with it on, or on 127.0.0.1, this can be",
                           key, text, auth_key);
        if (!bp_access_configured(a))
            return bp_fail(err, BP_ECONFIG,
                           "%s: '%s' can be reached from other machines, and nobody has an "
                           "account yet: 'bagpipe user add NAME --role admin' makes one; or listen "
                           "on 127.0.0.1",
                           key, text);
    }
    return 0;
}

int bp_api_accounts(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                    struct bp_error *err) {
    bool users = bp_starts_with(bp_http_route(req)->pattern, "/api/v1/users");
    const char *name = bp_http_param(req, "name"), *method = bp_http_route(req)->method;
    json_t *body = NULL, *answer = NULL;
    int r = bp_api_body(req, &body, err);

    if (r == 0)
        r = bp_access_manage(a, method, users ? "users" : "tokens", name, body, &answer, err);
    json_decref(body);
    if (r < 0)
        return r;
    if (answer)
        bp_http_reply_json(reply, r, answer);
    else
        bp_http_reply_empty(reply, r);
    if (!bp_streq(method, "GET"))
        bp_log(BP_LOG_NOTICE, "accounts were changed", BP_F_TEXT("by", bp_http_user(req)),
               BP_F_TEXT("request", method), BP_F_TEXT("path", bp_http_path(req)),
               BP_F_TEXT("peer", bp_http_peer(req)));
    return 0;
}

/* ---- jobs ---- */

static int end_job(struct bp_jobs *j, const char *id, struct bp_http_reply *reply,
                   struct bp_error *err) {
    int r = bp_jobs_cancel(j, id, err);

    if (r >= 0)
        bp_http_reply_empty(reply, r > 0 ? 202 : 204);
    return BP_MIN(r, 0);
}

int bp_api_jobs(struct bp_jobs *j, struct bp_http_req *req, struct bp_http_reply *reply,
                struct bp_error *err) {
    const char *id = bp_http_param(req, "id");
    int64_t limit = 0;
    json_t *o = NULL;
    int r;

    if (bp_streq(bp_http_route(req)->method, "DELETE"))
        return end_job(j, id, reply, err);
    r = id ? bp_jobs_get(j, id, &o, err) : bp_api_number(req, "limit", 100, 1, 999, &limit, err);
    if (r == 0 && !id)
        r = bp_jobs_list(j, bp_http_query(req, "before"), (uint32_t) limit, &o, err);
    if (r == 0)
        bp_http_reply_json(reply, 200, o);
    return r;
}

/* ---- configuration ---- */

static int reply_schema(struct bp_settings *s, struct bp_http_reply *reply) {
    BP_AUTO_BUF out = { 0 };

    bp_config_put_schema(&out, bp_settings_kind(s)->table);
    bp_http_reply_buf(reply, 200, "application/schema+json", &out);
    return 0;
}

static int patch_config(struct bp_settings *s, const struct bp_http_req *req,
                        struct bp_http_reply *reply, struct bp_error *err) {
    json_t *patch = NULL, *report = NULL;
    int r = bp_api_body(req, &patch, err);

    if (r < 0)
        return r;
    r = bp_settings_patch(s, patch, &report, err);
    json_decref(patch);
    if (r >= 0)
        bp_http_reply_json(reply, 200, report);
    return r;
}

static int reload_config(struct bp_settings *s, struct bp_http_reply *reply, struct bp_error *err) {
    json_t *report = NULL;
    int r = bp_settings_reload(s, &report, err);

    if (r >= 0)
        bp_http_reply_json(reply, 200, report);
    return r;
}

int bp_api_config(struct bp_settings *s, struct bp_http_req *req, struct bp_http_reply *reply,
                  struct bp_error *err) {
    const struct bp_http_route *route = bp_http_route(req);
    const char *what = strrchr(route->pattern, '/') + 1;

    if (bp_streq(what, "schema"))
        return reply_schema(s, reply);
    if (bp_streq(what, "reload"))
        return reload_config(s, reply, err);
    if (bp_streq(what, "check"))
        bp_http_reply_json(reply, 200, bp_settings_check(s, bp_http_body(req)));
    else if (bp_streq(route->method, "PATCH"))
        return patch_config(s, req, reply, err);
    else
        bp_api_reply_known(reply, bp_settings_json(s));
    return 0;
}

void bp_api_reload(struct bp_settings *s) {
    struct bp_error err = { 0 };
    json_t *report = NULL;
    BP_AUTO_FREE char *text = NULL;

    if (bp_settings_reload(s, &report, &err) < 0) {
        bp_log(BP_LOG_ERROR, "configuration not reloaded, nothing has changed",
               BP_F_TEXT("why", err.text));
        return;
    }
    text = json_dumps(report, JSON_COMPACT);
    bp_log(BP_LOG_NOTICE, "configuration reloaded", BP_F_TEXT("keys", text ? text : ""));
    json_decref(report);
}
