#include <assert.h>
#include <stdio.h>

#include "net/http-priv.h"

static const char *const access_texts[] = { "public", "viewer", "operator", "admin" };
static_assert(BP_COUNT(access_texts) == BP_HTTP_ACCESS_COUNT_, "a name for each");

const char *bp_http_access_text(enum bp_http_access access) {
    return access_texts[access];
}

void *bp_http_ctx(const struct bp_http_req *req) {
    return req->http->o.ctx;
}

const struct bp_http_route *bp_http_route(const struct bp_http_req *req) {
    return req->route;
}

const char *bp_http_method(const struct bp_http_req *req) {
    return req->method;
}

const char *bp_http_version(const struct bp_http_req *req) {
    return req->version;
}

const char *bp_http_path(const struct bp_http_req *req) {
    return req->target.path;
}

const char *bp_http_param(const struct bp_http_req *req, const char *name) {
    for (size_t i = 0; i < req->nparams; i++)
        if (bp_str_eq(req->params[i].name, bp_str_of(name)))
            return req->params[i].value;
    return NULL;
}

const char *bp_http_query(const struct bp_http_req *req, const char *name) {
    for (size_t i = 0; i < req->target.nquery; i++)
        if (bp_streq(req->target.query[i].name, name))
            return req->target.query[i].value;
    return NULL;
}

bool bp_http_query_at(const struct bp_http_req *req, size_t i, const char **ret_name,
                      const char **ret_value) {
    if (i >= req->target.nquery)
        return false;
    *ret_name = req->target.query[i].name;
    *ret_value = req->target.query[i].value;
    return true;
}

const char *bp_http_header(const struct bp_http_req *req, const char *name) {
    return MHD_lookup_connection_value(req->mhd, MHD_HEADER_KIND, name);
}

const char *bp_http_cookie(struct bp_http_req *req, const char *name) {
    const char *header = bp_http_header(req, "Cookie");
    struct bp_str v = header ? bp_http_cookie_find(header, name) : (struct bp_str){ 0 };

    if (!v.p)
        return NULL;
    free(req->cookie);
    req->cookie = strndup(v.p, v.n);
    return req->cookie;
}

struct bp_str bp_http_body(const struct bp_http_req *req) {
    return (struct bp_str){ (const char *) req->body.p, req->body.n };
}

void *bp_http_body_ctx(const struct bp_http_req *req) {
    return req->sink;
}

uint64_t bp_http_body_length(const struct bp_http_req *req) {
    return req->length;
}

int bp_http_json(const struct bp_http_req *req, json_t **ret, struct bp_error *err) {
    json_error_t e;
    json_t *j;

    if (req->body.n == 0) {
        *ret = NULL;
        return 0;
    }
    j = json_loadb((const char *) req->body.p, req->body.n, JSON_REJECT_DUPLICATES, &e);
    if (!j)
        return bp_fail(err, BP_EUSAGE, "the body is not JSON: line %d, column %d: %s", e.line,
                       e.column, e.text);
    *ret = j;
    return 0;
}

const char *bp_http_peer(const struct bp_http_req *req) {
    return req->conn ? req->conn->peer_text : "unknown";
}

bool bp_http_by_unix(const struct bp_http_req *req) {
    return req->conn && req->conn->by_unix;
}

bool bp_http_is_local(const struct bp_http_req *req) {
    return req->conn && bp_addr_is_local((const struct sockaddr *) &req->conn->peer) &&
           req->authority && bp_http_host_ok(req->authority, NULL, NULL);
}

bool bp_http_draining(const struct bp_http_req *req) {
    return bp_http_is_draining(req->http);
}

void bp_http_set_user(struct bp_http_req *req, const char *user) {
    (void) snprintf(req->user, sizeof req->user, "%s", user);
}

const char *bp_http_user(const struct bp_http_req *req) {
    return req->user;
}
