#pragma once

#include "access/access.h"
#include "agent/agent.h"
#include "agent/bus.h"
#include "agent/events.h"
#include "agent/sessions.h"
#include "agent/systemd.h"
#include "agent/triggers.h"
#include "alert/alert.h"
#include "net/http.h"

struct bp_agent {
    const struct bp_agent_config *config;
    struct bp_bus *bus;
    struct bp_alerts *alerts;
    struct bp_recorder *recorder;
    struct bp_catalog *catalog;
    struct bp_access *access;
    struct bp_sessions *sessions;
    struct bp_retention *retention;
    struct bp_care *care;
    struct bp_triggers *triggers;
    struct bp_vault *vault;
    struct bp_http *http;
    struct bp_events *events;
    struct bp_systemd systemd;
    uint64_t told_bytes; /* life.c: what was recorded when its status was made last */
    bp_ns_t told_mono;
    uint64_t rate;                           /* bytes/s */
    const char **listen, **hosts, **origins; /* owned; borrowed by the server */
    char dir[1024], socket[512], address[600];
    bp_ns_t started_mono, started_ns;
};

/* api-triggers.c: handlers */
int bp_agent_get_triggers(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);
int bp_agent_get_trigger(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
int bp_agent_post_trigger(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);
int bp_agent_fire_trigger(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);
int bp_agent_test_trigger(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);

/* api.c */
extern const struct bp_http_route bp_agent_routes[];
extern const size_t bp_agent_routes_count;
/** What GET /api/v1/status and /topics answer; owned, NULL when out of memory. Any thread. */
json_t *bp_agent_status_json(struct bp_agent *a);
json_t *bp_agent_topics_json(struct bp_agent *a);
/** The body of a request as a JSON object, owned by the caller; an empty body is an empty one.
 *  @return 0, or BP_EUSAGE when it is something else */
BP_MUST_CHECK int bp_agent_body(const struct bp_http_req *req, json_t **ret, struct bp_error *err);

/* life.c */
/** Once a second, by the main thread: tells the service manager how it is, and that it lives when
 *  everything moves. */
void bp_agent_life(struct bp_agent *a);

/* device.c */
int bp_api_device(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);

/* vault.c */
int bp_api_secrets(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
/** Puts the keys of configuration and environment into those of the process. */
BP_MUST_CHECK int bp_agent_load_keys(const struct bp_agent_config *c, struct bp_error *err);
/* api-access.c */
/** Addresses that others can reach need accounts, a->listen's. @return 0, BP_ECONFIG */
BP_MUST_CHECK int bp_agent_check_listen(struct bp_agent *a, struct bp_error *err);
/** As `authorize` of net/http.h; ctx: the agent. */
int bp_agent_authorize(void *ctx, struct bp_http_req *req, enum bp_http_access need,
                       struct bp_http_reply *reply, struct bp_error *err);
int bp_agent_login(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_agent_logout(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_agent_whoami(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_agent_accounts(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
