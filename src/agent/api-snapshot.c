/* Snapshots in the API. */
#include <errno.h>

#include "agent/agent-priv.h"

int bp_api_post_snapshot(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    struct bp_agent *a = bp_http_ctx(req);
    json_t *request = NULL, *o;
    char id[27];
    int r = bp_agent_body(req, &request, err);

    if (r < 0)
        return r;
    r = bp_agent_snapshot(a, request, id, err);
    json_decref(request);
    if (r < 0)
        return r;
    o = bp_sessions_get(a->sessions, id);
    if (!o)
        return bp_fail(err, -ENOENT, "there is no session '%s' any more", id);
    (void) json_object_set_new(o, "merged", json_boolean(r == 1));
    bp_http_reply_json(reply, r == 1 ? 200 : 201, o);
    return 0;
}

int bp_api_get_snapshot(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    struct bp_agent *a = bp_http_ctx(req);
    json_t *o = bp_snapshots_get(a->snapshots);

    if (!o)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_http_reply_json(reply, 200, o);
    return 0;
}
