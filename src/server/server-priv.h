#pragma once

#include "access/access.h"
#include "alert/alert.h"
#include "base/mutex.h"
#include "daemon/api.h"
#include "daemon/bus.h"
#include "daemon/events.h"
#include "daemon/jobs.h"
#include "daemon/openapi.h"
#include "daemon/settings.h"
#include "daemon/systemd.h"
#include "net/http.h"
#include "server/server.h"
#include "web/web.h"

struct bp_archive;
struct bp_audit;
struct bp_cloud;
struct bp_devices;
struct bp_gcra;
struct bp_ingest;
struct bp_links;
struct bp_pumps;
struct bp_retention;
struct bp_scopes;
struct bp_store;

/* What the files of server/ share. Who opens a member is said by the table of parts, in whose order
 * they are opened; they are closed in the other one, after the doors. Constant while doors are
 * open. */
struct bp_server {
    const struct bp_server_config *config; /* as it started: for keys that are not live */
    struct bp_settings *settings;          /* what is in effect now */
    struct bp_bus *bus;
    struct bp_alerts *alerts;
    struct bp_catalog *catalog; /* accounts and jobs: catalog.db */
    struct bp_access *access;
    struct bp_jobs *jobs;
    struct bp_events *events;

    struct bp_store *store;     /* part "store" */
    struct bp_archive *archive; /* part "archive": archive.db */
    struct bp_audit *audit;     /* part "archive": audit.db */
    struct bp_gcra *limits;     /* part "guard" */
    struct bp_devices *devices; /* part "devices" */
    /* part "devices": held over a change of devices, database included; before locks of these */
    struct bp_mutex devices_turn;
    struct bp_scopes *scopes;       /* part "scope" */
    struct bp_pumps *pumps;         /* part "data": replies that are written by threads */
    struct bp_ingest *ingest;       /* part "uploads" */
    struct bp_links *links;         /* part "link" */
    struct bp_cloud *cloud;         /* part "cloud"; NULL without a target */
    struct bp_retention *retention; /* part "retention" */

    struct bp_web *web;
    struct bp_http *http;         /* API, UI, events; the socket */
    struct bp_http *http_events;  /* or NULL */
    struct bp_http *http_metrics; /* or NULL */
    struct bp_http_route *routes; /* owned: of all parts, one after the other */
    size_t nroutes;
    struct bp_http_body_ops *bodies; /* owned, the same way */
    size_t nbodies;
    const char **listen, **listen_events, **listen_metrics, **hosts, **origins; /* owned */

    struct bp_systemd systemd;
    char dir[1024], socket[512], address[600], name[128];
    bp_ns_t started_mono, started_ns;
};

/* A part of the server: one row in the table in server.c. NULL where there is nothing to do. */
struct bp_server_part {
    const char *name;
    const struct bp_http_route *routes;
    const size_t *nroutes;
    const struct bp_http_body_ops *bodies; /* of net/http.h: routes whose body comes in pieces */
    const size_t *nbodies;
    const struct bp_api_part *docs; /* its rows of openapi.json */
    int (*open)(struct bp_server *s, struct bp_error *err);
    /** Before doors are drained: ends what would keep a connection for ever. */
    void (*stop)(struct bp_server *s);
    /** Also when open() failed or was not called. */
    void (*close)(struct bp_server *s);
    /** About once a second, main thread: must not take long. */
    void (*tick)(struct bp_server *s);
    /** Is something not as it should be, so that robots had better wait? `err` says what. */
    int (*ready)(struct bp_server *s, struct bp_error *err);
    /** Adds a key to GET /api/v1/status. Any thread. */
    void (*status)(struct bp_server *s, json_t *to);
    /** Appends families to /metrics. Any thread. */
    void (*metrics)(struct bp_server *s, struct bp_buf *out);
};

extern const struct bp_server_part *const bp_server_parts[]; /* up to a NULL */

static inline struct bp_server *bp_server_of(const struct bp_http_req *req) {
    return bp_http_ctx(req);
}

/* --- api.c --- */
extern const struct bp_server_part bp_server_part_api;
/** What GET /api/v1/status answers; owned, NULL when out of memory. Any thread. */
json_t *bp_server_status_json(struct bp_server *s);
/** Handlers of the second doors. */
int bp_server_get_metrics(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);
int bp_server_get_ready(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_server_get_events(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);

/* --- openapi.c --- */
enum { BP_SERVER_PARTS_MAX = 32 };
extern const struct bp_api_part bp_server_api_docs;
/** What bp_api_describe() needs. @param parts  room for BP_SERVER_PARTS_MAX + 1, borrowed by `ret`;
 *  @param ret_routes  owned by the caller; @return 0, -ENOMEM */
BP_MUST_CHECK int bp_server_describe(struct bp_api *ret, const struct bp_api_part **parts,
                                     struct bp_http_route **ret_routes, size_t *ret_n);

/* --- guard.c: who may come in, and how often; more in guard.h --- */
extern const struct bp_server_part bp_server_part_guard;
/** As `authorize` of net/http.h; ctx: the server. */
int bp_server_authorize(void *ctx, struct bp_http_req *req, enum bp_http_access need,
                        struct bp_http_reply *reply, struct bp_error *err);

/* --- life.c --- */
/** Once a second, by the main thread: tells the service manager how it is, and that it lives when
 *  everything moves. */
void bp_server_life(struct bp_server *s);
