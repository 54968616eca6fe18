/* Who may come in: the rules of access/, with the agent's configuration; and their routes. */
#include <errno.h>
#include <stdlib.h>

#include "agent/agent-priv.h"

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
    return bp_api_accounts(access_of(req), req, reply, err);
}
