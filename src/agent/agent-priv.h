#pragma once

#include "access/access.h"
#include "agent/agent.h"
#include "agent/sessions.h"
#include "agent/snapshot.h"
#include "agent/sync.h"
#include "agent/triggers.h"
#include "alert/alert.h"
#include "daemon/api.h"
#include "daemon/bus.h"
#include "daemon/events.h"
#include "daemon/jobs.h"
#include "daemon/settings.h"
#include "daemon/systemd.h"
#include "net/http.h"
#include "web/web.h"

struct bp_agent {
    const struct bp_agent_config *config; /* as it started: for keys that are not live */
    struct bp_settings *settings;         /* what is in effect now */
    struct bp_qos_overrides *qos;         /* or NULL */
    struct bp_select *seen;               /* or NULL: every topic */
    struct bp_bus *bus;
    struct bp_alerts *alerts;
    struct bp_recorder *recorder;
    struct bp_catalog *catalog;
    struct bp_access *access;
    struct bp_sessions *sessions;
    struct bp_snapshots *snapshots;
    struct bp_jobs *jobs;
    struct bp_pumps *pumps; /* replies that are written by threads */
    struct bp_rates *rates;
    struct bp_retention *retention;
    struct bp_care *care;
    struct bp_agent_sync *sync; /* or NULL: nothing is uploaded */
    struct bp_triggers *triggers;
    struct bp_vault *vault;
    struct bp_web *web;
    struct bp_http *http;
    struct bp_events *events;
    struct bp_link *link;            /* NULL: no server */
    struct bp_device_tokens *tokens; /* of link and sync for that server; NULL: no key or server */
    struct bp_systemd systemd;
    uint64_t told_bytes; /* life.c: what was recorded when its status was made last */
    bp_ns_t told_mono;
    uint64_t rate;                           /* bytes/s */
    const char **listen, **hosts, **origins; /* owned; borrowed by the server */
    char dir[1024], socket[512], address[600];
    bp_ns_t started_mono, started_ns;
};

/* api-data.c: a handler */
int bp_agent_get_data(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);

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
/** What GET /api/v1/status answers; owned, NULL when out of memory. Any thread. */
json_t *bp_agent_status_json(struct bp_agent *a);
/* api-snapshot.c */
int bp_api_post_snapshot(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
int bp_api_get_snapshot(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);

/* snapshot.c */
/** For API and triggers: bp_snapshots_take(). */
BP_MUST_CHECK int bp_agent_snapshot(struct bp_agent *a, const json_t *request,
                                    char ret_id[static 27], struct bp_error *err);

/* The daemon's, by the names used here. */
BP_MUST_CHECK static inline int bp_agent_body(const struct bp_http_req *req, json_t **ret,
                                              struct bp_error *err) {
    return bp_api_body(req, ret, err);
}
BP_MUST_CHECK static inline int bp_agent_number(const struct bp_http_req *req, const char *name,
                                                int64_t otherwise, int64_t min, int64_t max,
                                                int64_t *ret, struct bp_error *err) {
    return bp_api_number(req, name, otherwise, min, max, ret, err);
}
static inline void bp_agent_reply_known(struct bp_http_reply *reply, json_t *json) {
    bp_api_reply_known(reply, json);
}

/* api-sessions.c */
/** Replies 202 with a job and where it is to be found. */
int bp_agent_reply_job(struct bp_agent *a, const char *id, struct bp_http_reply *reply,
                       struct bp_error *err);
int bp_agent_patch_session(struct bp_http_req *req, struct bp_http_reply *reply,
                           struct bp_error *err);
int bp_agent_delete_session(struct bp_http_req *req, struct bp_http_reply *reply,
                            struct bp_error *err);
int bp_agent_verify_session(struct bp_http_req *req, struct bp_http_reply *reply,
                            struct bp_error *err);
int bp_agent_get_ledger(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_agent_get_session_topics(struct bp_http_req *req, struct bp_http_reply *reply,
                                struct bp_error *err);
int bp_agent_get_segments(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);
int bp_agent_get_segment(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
int bp_agent_get_download(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);
int bp_agent_jobs(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);

/* api-topics.c */
/** What GET /api/v1/topics answers; owned, NULL when out of memory. Any thread. */
json_t *bp_agent_topics_json(struct bp_agent *a);
int bp_agent_get_topics(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
/** Samples rates; about once a second, one thread. */
void bp_agent_tick(struct bp_agent *a);

/* metrics.c */
/** Families about sessions together, rings, disk, writers, the process. */
void bp_agent_put_metrics(struct bp_agent *a, struct bp_buf *out);

/* life.c */
/** Once a second, by the main thread: tells the service manager how it is, and that it lives when
 *  everything moves. */
void bp_agent_life(struct bp_agent *a);

/* api-sync.c */
int bp_api_get_sync(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_api_get_sync_files(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);
int bp_api_get_sync_decisions(struct bp_http_req *req, struct bp_http_reply *reply,
                              struct bp_error *err);
/** now, pause, resume, retry */
int bp_api_post_sync(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
/** fetch.c of sync/: a range of a session, when somebody wants it. */
int bp_api_post_sync_fetch(struct bp_http_req *req, struct bp_http_reply *reply,
                           struct bp_error *err);
int bp_api_post_sync_gc(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_api_post_sync_undo(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);

/* device.c */
int bp_api_device(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);

/* vault.c */
int bp_api_secrets(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
/** Puts the keys of configuration and environment into those of the process. */
BP_MUST_CHECK int bp_agent_load_keys(const struct bp_agent_config *c, struct bp_error *err);
/* api-access.c */
/** As `authorize` of net/http.h; ctx: the agent. */
int bp_agent_authorize(void *ctx, struct bp_http_req *req, enum bp_http_access need,
                       struct bp_http_reply *reply, struct bp_error *err);
int bp_agent_login(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_agent_logout(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_agent_whoami(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_agent_accounts(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
