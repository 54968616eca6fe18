/* The machine, its disk and what may be deleted from it, and robots. Paths and bodies:
 * docs/api/agent.md. */
#include "agent/api-storage.h"

#include <errno.h>
#include <string.h>

#include "agent/agent-priv.h"
#include "agent/care.h"
#include "agent/retention.h"
#include "catalog/keep.h"

enum { ROWS = 100 };

static struct bp_agent *agent_of(const struct bp_http_req *req) {
    return bp_http_ctx(req);
}

int bp_api_get_storage(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    json_t *o = NULL;
    int r = bp_retention_json(agent_of(req)->retention, ROWS, &o, err);

    if (r == 0)
        bp_http_reply_json(reply, 200, o);
    return r;
}

int bp_api_get_host(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    bp_http_reply_json(reply, 200, bp_care_host_json(agent_of(req)->care));
    return 0;
}

int bp_api_get_robots(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    bp_http_reply_json(reply, 200, bp_care_robots_json(agent_of(req)->care, NULL));
    return 0;
}

int bp_api_get_robot(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const char *name = bp_http_param(req, "robot");
    json_t *o = bp_care_robots_json(agent_of(req)->care, name);

    if (!o)
        return bp_fail(err, -ENOENT, "there is no robot '%s'", name);
    bp_http_reply_json(reply, 200, o);
    return 0;
}

int bp_api_post_clean(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const char *dry = bp_http_query(req, "dry_run");
    bool only_tell = dry && !bp_streq(dry, "0") && !bp_streq(dry, "false");
    struct bp_agent *a = agent_of(req);
    json_t *o = NULL;
    int r = bp_retention_json(a->retention, ROWS, &o, err);

    if (r < 0)
        return r;
    if (!only_tell)
        bp_retention_kick(a->retention);
    bp_http_reply_json(reply, only_tell ? 200 : 202, o);
    return 0;
}

/* The id of a session given by id or name, deleted or not. */
static int id_of(struct bp_agent *a, const char *key, char ret[static 27], struct bp_error *err) {
    BP_AUTO_CATALOG_SESSION s = { 0 };
    int r = bp_catalog_get(a->catalog, key, &s, err);

    if (r == 0)
        memcpy(ret, s.id, sizeof s.id);
    return r;
}

static int reply_session(struct bp_agent *a, const char *id, struct bp_http_reply *reply,
                         struct bp_error *err) {
    json_t *o = bp_sessions_get(a->sessions, id);

    if (!o)
        return bp_fail(err, -ENOENT, "there is no session '%s'", id);
    bp_http_reply_json(reply, 200, o);
    return 0;
}

int bp_api_post_keep(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_agent *a = agent_of(req);
    json_t *body = NULL, *keep;
    char id[27];
    int r = bp_agent_body(req, &body, err);

    if (r < 0)
        return r;
    keep = json_object_get(body, "keep");
    if (keep && !json_is_boolean(keep))
        r = bp_fail(err, BP_EUSAGE, "'keep' must be true or false");
    if (r == 0)
        r = id_of(a, bp_http_param(req, "id"), id, err);
    if (r == 0)
        r = bp_catalog_set_keep(a->catalog, id, !json_is_false(keep), err);
    json_decref(body);
    return r < 0 ? r : reply_session(a, id, reply, err);
}

int bp_api_post_uploaded(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    struct bp_agent *a = agent_of(req);
    BP_AUTO_CATALOG_KEEP k = { 0 };
    json_t *body = NULL, *yes;
    char id[27];
    int r = bp_agent_body(req, &body, err);

    if (r < 0)
        return r;
    yes = json_object_get(body, "uploaded");
    if (yes && !json_is_boolean(yes))
        r = bp_fail(err, BP_EUSAGE, "'uploaded' must be true or false");
    if (r == 0)
        r = id_of(a, bp_http_param(req, "id"), id, err);
    if (r == 0)
        r = bp_catalog_get_keep(a->catalog, id, &k, err);
    if (r == 0 && (k.status == BP_STATUS_RECORDING || k.status == BP_STATUS_PAUSED))
        r = bp_fail(err, BP_EBUSY, "session '%s' is still being recorded", k.name);
    if (r == 0)
        r = bp_catalog_set_uploaded(a->catalog, id, json_is_false(yes) ? 0 : bp_wall_ns(), err);
    json_decref(body);
    return r < 0 ? r : reply_session(a, id, reply, err);
}
