#include "server/server-priv.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "catalog/catalog.h"
#include "daemon/process.h"
#include "server/api-archive.h"
#include "server/api-data.h"
#include "server/api-devices.h"
#include "server/api-gc.h"
#include "server/api-link.h"
#include "server/api-uploads.h"
#include "server/parts.h"
#include "server/scope.h"

/* Start-up order is the order of need: news, accounts, parts, doors. The end is the same backwards:
 * nobody comes in, long connections are ended, what runs finishes, parts are closed. */

enum { DRAIN_MS = 5000 };

/* In the order of need. */
/* clang-format off */
const struct bp_server_part *const bp_server_parts[] = {
    &bp_server_part_api,
    &bp_server_part_store,
    &bp_server_part_archive,
    &bp_server_part_guard,
    &bp_server_part_devices,
    &bp_server_part_scope,
    &bp_server_part_data,
    &bp_server_part_uploads,
    &bp_server_part_gc,
    &bp_server_part_cloud,
    &bp_server_part_retention,
    &bp_server_part_link,
    &bp_server_part_room,
    NULL,
};
/* clang-format on */

/* ---- tables of tables ---- */

static int collect(struct bp_server *s, struct bp_error *err) {
    size_t nroutes = 0, nbodies = 0;

    for (const struct bp_server_part *const *p = bp_server_parts; *p; p++) {
        nroutes += (*p)->routes ? *(*p)->nroutes : 0;
        nbodies += (*p)->bodies ? *(*p)->nbodies : 0;
    }
    s->routes = calloc(nroutes + 1, sizeof *s->routes);
    s->bodies = calloc(nbodies + 1, sizeof *s->bodies);
    if (!s->routes || !s->bodies)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (const struct bp_server_part *const *p = bp_server_parts; *p; p++) {
        for (size_t i = 0; (*p)->routes && i < *(*p)->nroutes; i++)
            s->routes[s->nroutes++] = (*p)->routes[i];
        for (size_t i = 0; (*p)->bodies && i < *(*p)->nbodies; i++)
            s->bodies[s->nbodies++] = (*p)->bodies[i];
    }
    return 0;
}

/* ---- doors ---- */

static const struct bp_http_route events_routes[] = {
    { "GET", "/", bp_server_get_events, BP_HTTP_VIEWER, "Events." },
    { "GET", "/*path", bp_server_get_events, BP_HTTP_VIEWER, "Events, at any path." },
};

static const struct bp_http_route metrics_routes[] = {
    { "GET", "/metrics", bp_server_get_metrics, BP_HTTP_VIEWER, "Numbers." },
    { "GET", "/healthz", bp_api_get_health, BP_HTTP_PUBLIC, "The process lives." },
    { "GET", "/readyz", bp_server_get_ready, BP_HTTP_PUBLIC, "Robots may come." },
};

/* Where the first door listens. Sockets that were opened for it stand for the configured ones of
 * their kind: a unix socket for its own, others for http.listen. */
static const char **addresses(struct bp_server *s) {
    const struct bp_systemd *m = &s->systemd;
    const struct bp_config_list *l = &s->config->http.listen;
    const char **v = calloc(l->n + m->nsockets + 2, sizeof *v);
    bool has_tcp = false, has_unix = false;
    size_t n = 0;

    for (unsigned i = 0; v && i < m->nsockets; i++) {
        bool is_unix = bp_systemd_is_unix(m->sockets[i]);

        has_unix |= is_unix;
        has_tcp |= !is_unix;
        v[n++] = m->sockets[i];
    }
    for (size_t i = 0; v && !has_tcp && i < l->n; i++)
        v[n++] = l->v[i];
    if (v && !has_unix)
        v[n++] = s->address;
    return v;
}

static int check_doors(struct bp_server *s, struct bp_error *err) {
    enum bp_access_mode mode = (enum bp_access_mode) s->config->auth.mode;
    int r = bp_api_check_listen(s->access, mode, "auth.mode", "http.listen", s->listen, err);

    if (r == 0)
        r = bp_api_check_listen(s->access, mode, "auth.mode", "events.listen", s->listen_events,
                                err);
    if (r == 0 && !s->config->metrics.public_)
        r = bp_api_check_listen(s->access, mode, "auth.mode", "metrics.listen", s->listen_metrics,
                                err);
    return r;
}

static int name_doors(struct bp_server *s, struct bp_error *err) {
    const struct bp_server_config *c = s->config;

    (void) snprintf(s->address, sizeof s->address, "unix:%s", s->socket);
    bp_daemon_raise_file_limit(c->http.max_connections);
    s->listen = addresses(s);
    s->listen_events = bp_values_words(&c->events.listen);
    s->listen_metrics = bp_values_words(&c->metrics.listen);
    s->hosts = bp_values_words(&c->http.hosts);
    s->origins = bp_values_words(&c->http.origins);
    if (!s->listen || !s->listen_events || !s->listen_metrics || !s->hosts || !s->origins)
        return bp_fail(err, -ENOMEM, "out of memory");
    return check_doors(s, err);
}

static int get_web(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const struct bp_server *s = bp_http_ctx(req);

    return bp_web_get(s->web, req, reply, err);
}

static const struct bp_http_route web_route = { "GET", "/*path", get_web, BP_HTTP_PUBLIC,
                                                "The dashboard." };

static int open_web(struct bp_server *s, struct bp_error *err) {
    const struct bp_server_config *c = s->config;

    return bp_web_open(&(struct bp_web_options){ .access = s->access,
                                                 .base_path = c->http.base_path,
                                                 .backend_url = c->dashboard.backend_url,
                                                 .ws_url = c->dashboard.ws_url,
                                                 .map_tiles = c->dashboard.map_tiles },
                       &s->web, err);
}

/* A second door for some routes; none without an address. */
static int open_second(struct bp_server *s, const char **listen, const struct bp_http_route *routes,
                       size_t nroutes, struct bp_http **ret, struct bp_error *err) {
    if (!*listen)
        return 0;
    return bp_http_open(
        &(struct bp_http_options){
            .listen = listen,
            .routes = routes,
            .nroutes = nroutes,
            .ctx = s,
            .hosts = s->hosts,
            .origins = s->origins,
            .authorize = bp_server_authorize,
            .workers = 2,
            .max_connections = (unsigned) s->config->http.max_connections,
        },
        ret, err);
}

static int open_doors(struct bp_server *s, struct bp_error *err) {
    const struct bp_server_config *c = s->config;
    int r = name_doors(s, err);

    if (r == 0)
        r = open_web(s, err);

    if (r == 0)
        r = open_second(s, s->listen_events, events_routes, BP_COUNT(events_routes),
                        &s->http_events, err);
    if (r == 0)
        r = open_second(s, s->listen_metrics, metrics_routes, BP_COUNT(metrics_routes),
                        &s->http_metrics, err);
    if (r < 0)
        return r;
    return bp_http_open(
        &(struct bp_http_options){
            .listen = s->listen,
            .routes = s->routes,
            .nroutes = s->nroutes,
            .fallback = &web_route,
            .base_path = bp_web_base(s->web),
            .bodies = s->bodies,
            .nbodies = s->nbodies,
            .ctx = s,
            .hosts = s->hosts,
            .origins = s->origins,
            .authorize = bp_server_authorize,
            .workers = (unsigned) c->http.workers,
            .body_workers = (unsigned) c->queue.workers,
            .max_connections = (unsigned) c->http.max_connections,
            .max_per_peer = 256, /* robots behind one router */
        },
        &s->http, err);
}

/* ---- news ---- */

static json_t *tick_status(void *ctx) {
    return bp_server_status_json(ctx);
}

static const struct bp_events_topic topics[] = {
    { "status", "once a second: what GET /api/v1/status answers", 60, 128 * 1024, tick_status },
    { "sessions", "sessions as they arrive, become complete, are changed or deleted", 1000,
      512 * 1024, NULL },
    { "robots", "devices' links as they open, end, fall silent", 1000, 512 * 1024, NULL },
    { "devices", "devices as they knock, are let in, come and go", 1000, 512 * 1024, NULL },
    { "alerts", "alerts as they are raised, change and clear", 1000, 512 * 1024, NULL },
    { "ingest", "files as they arrive, are checked, make a session whole", 1000, 512 * 1024, NULL },
    { "jobs", "long work as it is queued, starts, ends", 500, 256 * 1024, NULL },
    { "log", "lines of the server's log", 1000, 256 * 1024, NULL },
};

static int open_events(struct bp_server *s, struct bp_error *err) {
    return bp_events_open(
        &(struct bp_events_opts){
            .bus = s->bus,
            .ctx = s,
            .topics = topics,
            .ntopics = BP_COUNT(topics),
            .nusual = BP_COUNT(topics),
            .access = s->access,
            .sees = bp_server_sees_news,
            .more = &bp_server_link_topics,
            .max_connections = (unsigned) s->config->http.max_connections,
        },
        &s->events, err);
}

/* Alerts are news, and lines in the log for whoever reads that only. */
static void on_alert(void *ctx, const char *event, const json_t *alert) {
    struct bp_server *s = ctx;
    json_t *copy = json_copy((json_t *) (uintptr_t) alert);

    bp_api_log_alert(event, alert);
    bp_bus_publish(s->bus, "alerts", json_pack("{s:s, s:o}", "event", event, "alert", copy));
}

static void on_settings(void *ctx, const void *values) {
    const struct bp_server_config *now = values;

    (void) ctx;
    bp_log_set_level((enum bp_log_level) now->log.level);
}

static int open_news(struct bp_server *s, struct bp_error *err) {
    int r = bp_settings_open(&bp_server_config_kind, s->config, on_settings, s, &s->settings, err);

    if (r < 0)
        return r;
    s->bus = bp_bus_new();
    s->alerts = bp_alerts_new(on_alert, s);
    if (!s->bus || !s->alerts)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_api_log_start(s->bus);
    return 0;
}

/* ---- state ---- */

int bp_server_access_open(const struct bp_server_config *c, const char *dir,
                          struct bp_catalog *catalog, struct bp_access **ret,
                          struct bp_error *err) {
    BP_AUTO_FREE const char **proxies = bp_values_words(&c->auth.trusted_proxies);

    if (!proxies)
        return bp_fail(err, -ENOMEM, "out of memory");
    return bp_access_open(&(struct bp_access_options){ .catalog = catalog,
                                                       .mode = (enum bp_access_mode) c->auth.mode,
                                                       .session_time = c->auth.session_time,
                                                       .session_idle = c->auth.session_idle,
                                                       .jwt_keys = c->auth.jwt_keys,
                                                       .jwt_issuer = c->auth.jwt_issuer,
                                                       .jwt_audience = c->auth.jwt_audience,
                                                       .jwt_role = c->auth.jwt_role,
                                                       .jwt_scope = c->auth.jwt_scope,
                                                       .scopes = true,
                                                       .proxies = proxies,
                                                       .instance = dir },
                          ret, err);
}

static void name_server(struct bp_server *s) {
    const char *configured = s->config->server.name;

    if (*configured)
        (void) snprintf(s->name, sizeof s->name, "%s", configured);
    else if (gethostname(s->name, sizeof s->name - 1) < 0 || !*s->name)
        (void) snprintf(s->name, sizeof s->name, "server");
}

static int open_state(struct bp_server *s, struct bp_error *err) {
    const struct bp_places places = bp_server_places(s->config);
    bool renewed = false;
    char path[1100];
    int r = bp_places_data(&places, s->dir, sizeof s->dir, err);

    if (r == 0)
        r = bp_places_socket(&places, s->socket, sizeof s->socket, err);
    if (r < 0)
        return r;
    name_server(s);
    (void) snprintf(path, sizeof path, "%s/catalog.db", s->dir);
    r = bp_catalog_open(path, &s->catalog, &renewed, err);
    if (renewed)
        bp_log(BP_LOG_WARNING, "accounts and jobs were damaged and have been set aside",
               BP_F_TEXT("path", path));
    if (r == 0)
        r = bp_server_access_open(s->config, s->dir, s->catalog, &s->access, err);
    if (r == 0)
        r = bp_jobs_open(s->catalog, s->bus, &s->jobs, err);
    return r;
}

static int open_parts(struct bp_server *s, struct bp_error *err) {
    for (const struct bp_server_part *const *p = bp_server_parts; *p; p++) {
        int r = (*p)->open ? (*p)->open(s, err) : 0;

        if (r < 0)
            return bp_prefix(err, r, "%s", (*p)->name);
    }
    return collect(s, err);
}

/* ---- life ---- */

static void tick_parts(struct bp_server *s) {
    for (const struct bp_server_part *const *p = bp_server_parts; *p; p++)
        if ((*p)->tick)
            (*p)->tick(s);
}

static bp_ns_t telemetry_interval(struct bp_server *s) {
    BP_AUTO_SETTINGS const struct bp_server_config *c = bp_settings_get(s->settings);

    return c->telemetry.interval;
}

static void reload(struct bp_server *s) {
    bp_systemd_reloading(&s->systemd);
    bp_api_reload(s->settings);
    bp_systemd_ready(&s->systemd);
}

static void live(struct bp_server *s, int signals) {
    struct pollfd p = { .fd = signals, .events = POLLIN };
    bp_ns_t next_mono = 0, second_mono = 0;
    uint32_t sig = 0;

    while (sig != SIGINT && sig != SIGTERM) {
        bp_ns_t interval = telemetry_interval(s), now;

        if (poll(&p, 1, (int) (BP_MIN(interval, BP_SEC) / BP_MS)) > 0)
            sig = bp_daemon_signal(signals);
        if (sig == SIGHUP)
            reload(s);
        sig = sig == SIGHUP ? 0 : sig;
        now = bp_mono_ns() + BP_MS / 2;
        if (now >= second_mono) {
            second_mono = now + BP_SEC - BP_MS;
            bp_access_tick(s->access);
            tick_parts(s);
            bp_server_life(s);
        }
        if (now >= next_mono) {
            next_mono = now + interval;
            bp_events_tick(s->events);
        }
    }
}

static void server_done(struct bp_server *s) {
    size_t n = 0;

    bp_api_log_stop();
    bp_http_close(s->http_events);
    bp_http_close(s->http_metrics);
    bp_http_close(s->http);
    bp_web_close(s->web);
    bp_events_close(s->events);
    while (bp_server_parts[n])
        n++;
    while (n-- > 0)
        if (bp_server_parts[n]->close)
            bp_server_parts[n]->close(s);
    bp_jobs_close(s->jobs);
    bp_access_close(s->access);
    bp_catalog_close(s->catalog);
    bp_alerts_free(s->alerts);
    bp_bus_free(s->bus);
    bp_settings_close(s->settings);
    bp_systemd_done(&s->systemd);
    free(s->routes);
    free(s->bodies);
    free(s->listen);
    free(s->listen_events);
    free(s->listen_metrics);
    free(s->hosts);
    free(s->origins);
}

/* Whoever is served now is served to the end, within a bound. */
static void drain(struct bp_server *s) {
    unsigned cut = 0;

    bp_events_stop(s->events);
    for (const struct bp_server_part *const *p = bp_server_parts; *p; p++)
        if ((*p)->stop)
            (*p)->stop(s);
    cut += bp_http_drain(s->http, DRAIN_MS * BP_MS);
    if (s->http_events)
        cut += bp_http_drain(s->http_events, BP_SEC);
    if (s->http_metrics)
        cut += bp_http_drain(s->http_metrics, BP_SEC);
    if (cut > 0)
        bp_log(BP_LOG_NOTICE, "connections had to be cut", BP_F_UINT("connections", cut));
}

static int start(struct bp_server *s, struct bp_error *err) {
    int r = open_news(s, err);

    if (r == 0)
        r = open_state(s, err);
    if (r == 0)
        r = open_parts(s, err);
    if (r == 0)
        r = open_events(s, err);
    return r < 0 ? r : open_doors(s, err);
}

int bp_server_run(const struct bp_server_config *config, struct bp_error *err) {
    BP_CLEANUP(server_done)
    struct bp_server s = { .config = config,
                           .started_mono = bp_mono_ns(),
                           .started_ns = bp_wall_ns() };
    BP_AUTO_FD int signals = bp_daemon_block_signals();
    int r = bp_systemd_open(&s.systemd, err);

    if (r == 0 && signals < 0)
        r = bp_fail(err, signals, "cannot receive signals: %s", bp_strerror(signals));
    if (r < 0)
        return r;
    bp_systemd_slow(&s.systemd); /* what an earlier life left may take long to take up */
    r = start(&s, err);
    bp_systemd_swift(&s.systemd);
    if (r < 0)
        return r;
    bp_log(BP_LOG_NOTICE, "server is ready", BP_F_TEXT("http", bp_http_address(s.http, 0)),
           BP_F_TEXT("socket", s.socket),
           BP_F_TEXT("events", s.http_events ? bp_http_address(s.http_events, 0) : ""),
           BP_F_TEXT("metrics", s.http_metrics ? bp_http_address(s.http_metrics, 0) : ""),
           BP_F_TEXT("data", s.dir));
    bp_systemd_ready(&s.systemd);
    bp_server_life(&s);
    bp_memory_settle();
    live(&s, signals);
    bp_systemd_stopping(&s.systemd);
    bp_systemd_slow(&s.systemd);
    bp_log(BP_LOG_NOTICE, "server is ending");
    drain(&s);
    bp_systemd_swift(&s.systemd);
    return 0;
}
