#include "agent/openapi.h"

#include "agent/agent-priv.h"

static const struct bp_api_part *const parts[] = { &bp_api_common, &bp_agent_api_docs, NULL };

const struct bp_api bp_agent_api = {
    .title = "bagpipe agent",
    .description = "Times are texts of nanoseconds since 1970. Errors are problem+json whose "
                   "detail names what is wrong. This machine needs no token unless users are "
                   "configured.",
    .parts = parts,
};

json_t *bp_agent_openapi(void) {
    return bp_api_describe(&bp_agent_api, bp_agent_routes, bp_agent_routes_count);
}

int bp_agent_get_openapi(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    (void) req, (void) err;
    bp_api_reply_known(reply, bp_agent_openapi());
    return 0;
}
