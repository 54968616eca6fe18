/* Who may come in: the rules of access/, with the server's configuration. */
#include <errno.h>

#include "server/server-priv.h"

int bp_server_authorize(void *ctx, struct bp_http_req *req, enum bp_http_access need,
                        struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = ctx;

    if (s->config->metrics.public_ && bp_streq(bp_http_route(req)->pattern, "/metrics"))
        return 0;
    return bp_access_authorize(s->access, req, need, reply, err);
}
