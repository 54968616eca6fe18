/* Who may come in: the rules of access/, with the agent's configuration; and their routes. */
#include <errno.h>
#include <stdlib.h>

#include "agent/agent-priv.h"
#include "base/log.h"
#include "net/addr.h"

static struct bp_access *access_of(const struct bp_http_req *req) {
    const struct bp_agent *a = bp_http_ctx(req);

    return a->access;
}

int bp_agent_access_open(const struct bp_agent_config *c, const char *dir,
                         struct bp_catalog *catalog, struct bp_access **ret, struct bp_error *err) {
    BP_AUTO_FREE const char **proxies = calloc(c->http.trusted_proxies.n + 1, sizeof *proxies);

    if (!proxies)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < c->http.trusted_proxies.n; i++)
        proxies[i] = c->http.trusted_proxies.v[i];
    return bp_access_open(&(struct bp_access_options){ .catalog = catalog,
                                                       .mode = (enum bp_access_mode) c->http.auth,
                                                       .session_time = c->http.session_time,
                                                       .session_idle = c->http.session_idle,
                                                       .jwt_keys = c->http.jwt_keys,
                                                       .jwt_issuer = c->http.jwt_issuer,
                                                       .jwt_audience = c->http.jwt_audience,
                                                       .jwt_role = c->http.jwt_role,
                                                       .proxies = proxies,
                                                       .instance = dir },
                          ret, err);
}

/* Everyone on this machine may be trusted; anybody else must be able to say who they are, or nobody
 * could tell them from a thief. */
int bp_agent_check_listen(struct bp_agent *a, struct bp_error *err) {
    const struct bp_agent_config *c = a->config;

    if (bp_access_lost(a->access))
        bp_log(BP_LOG_WARNING, "users and tokens were lost with the catalogue; until 'bagpipe user "
                               "add' or 'bagpipe token new' has made new ones, only the socket is "
                               "let in");
    for (size_t i = 0; a->listen[i]; i++) {
        const char *text = a->listen[i];
        struct bp_addr addr;
        int r = bp_addr_parse(text, &addr, err);

        if (r < 0)
            return bp_prefix(err, r, "http.listen");
        if (addr.local || (addr.kind == BP_ADDR_FD && bp_addr_fd_is_local(addr.fd)))
            continue;
        if (c->http.auth == BP_ACCESS_OFF)
            return bp_fail(err, BP_ECONFIG,
                           "http.listen: '%s' can be reached from other machines, and http.auth is "
                           "off: with it on, or on 127.0.0.1, this can be",
                           text);
        if (!bp_access_configured(a->access))
            return bp_fail(
                err, BP_ECONFIG,
                "http.listen: '%s' can be reached from other machines, and nobody has an "
                "account yet: 'bagpipe user add NAME --role admin' makes one; or listen "
                "on 127.0.0.1",
                text);
    }
    return 0;
}

int bp_agent_authorize(void *ctx, struct bp_http_req *req, enum bp_http_access need,
                       struct bp_http_reply *reply, struct bp_error *err) {
    const struct bp_agent *a = ctx;

    if (a->config->http.public_metrics && bp_streq(bp_http_route(req)->pattern, "/metrics"))
        return 0;
    return bp_access_authorize(a->access, req, need, reply, err);
}

int bp_agent_login(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_access_login(access_of(req), req, reply, err);
}

int bp_agent_logout(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_access_logout(access_of(req), req, reply, err);
}

int bp_agent_whoami(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_access_whoami(access_of(req), req, reply, err);
}

int bp_agent_accounts(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    bool users = bp_starts_with(bp_http_route(req)->pattern, "/api/v1/users");
    const char *name = bp_http_param(req, "name"), *method = bp_http_route(req)->method;
    json_t *body = NULL, *answer = NULL;
    int r = bp_agent_body(req, &body, err);

    if (r == 0)
        r = bp_access_manage(access_of(req), method, users ? "users" : "tokens", name, body,
                             &answer, err);
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
