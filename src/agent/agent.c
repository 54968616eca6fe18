#include "agent/agent-priv.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/autostart.h"
#include "agent/care.h"
#include "agent/events-media.h"
#include "agent/events-sample.h"
#include "agent/link.h"
#include "agent/rates.h"
#include "agent/retention.h"
#include "agent/vault.h"
#include "base/io-fault.h"
#include "base/log.h"
#include "base/thread.h"
#include "daemon/data.h"
#include "daemon/process.h"
#include "net/device-token.h"
#include "record/overrides.h"
#include "record/select.h"

/* Start-up order is the order of need: state, graph, sessions (which go on from here), door. The
 * end is the same backwards: nobody comes in, sessions are finished, the graph is left. */

enum { MAX_DOMAINS = 64, DRAIN_MS = 1000 };

static int take_domains(const struct bp_agent_config *c, uint32_t *ret, size_t *ret_n,
                        struct bp_error *err) {
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts */
    const char *env = getenv("ROS_DOMAIN_ID");
    const char *one[] = { env && *env ? env : "0" };
    const char *const *words =
        c->discovery.domains.n ? (const char *const *) c->discovery.domains.v : one;
    size_t n = c->discovery.domains.n ? c->discovery.domains.n : 1;

    if (n > MAX_DOMAINS)
        return bp_fail(err, BP_ECONFIG, "discovery.domains: at most %d", MAX_DOMAINS);
    for (size_t i = 0; i < n; i++) {
        char *end;
        unsigned long id = strtoul(words[i], &end, 10);

        if (end == words[i] || *end || id > 232)
            return bp_fail(err, BP_ECONFIG, "discovery.domains: '%s' is no number from 0 to 232",
                           words[i]);
        ret[i] = (uint32_t) id;
    }
    *ret_n = n;
    return 0;
}

static void on_notice(void *ctx, const char *text) {
    (void) ctx;
    bp_log(BP_LOG_NOTICE, text);
}

/* Where it listens. Sockets that were opened for it stand for the configured ones of their kind:
 * a unix socket for its own, others for http.listen. */
static const char **addresses(struct bp_agent *a) {
    const struct bp_systemd *s = &a->systemd;
    const char **v = calloc(a->config->http.listen.n + s->nsockets + 2, sizeof *v);
    bool has_tcp = false, has_unix = false;
    size_t n = 0;

    for (unsigned i = 0; v && i < s->nsockets; i++) {
        bool is_unix = bp_systemd_is_unix(s->sockets[i]);

        has_unix |= is_unix;
        has_tcp |= !is_unix;
        v[n++] = s->sockets[i];
    }
    for (size_t i = 0; v && !has_tcp && i < a->config->http.listen.n; i++)
        v[n++] = a->config->http.listen.v[i];
    if (v && !has_unix)
        v[n++] = a->address;
    return v;
}

static int get_web(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const struct bp_agent *a = bp_http_ctx(req);

    return bp_web_get(a->web, req, reply, err);
}

static const struct bp_http_route web_route = { "GET", "/*path", get_web, BP_HTTP_PUBLIC,
                                                "The dashboard." };

static int open_web(struct bp_agent *a, struct bp_error *err) {
    const struct bp_agent_config *c = a->config;

    return bp_web_open(&(struct bp_web_options){ .access = a->access,
                                                 .base_path = c->http.base_path,
                                                 .backend_url = c->dashboard.backend_url,
                                                 .ws_url = c->dashboard.ws_url,
                                                 .map_tiles = c->dashboard.map_tiles },
                       &a->web, err);
}

static int open_door(struct bp_agent *a, struct bp_error *err) {
    const struct bp_agent_config *c = a->config;
    int r;

    (void) snprintf(a->address, sizeof a->address, "unix:%s", a->socket);
    bp_daemon_raise_file_limit(c->http.max_connections);
    a->listen = addresses(a);
    a->hosts = bp_values_words(&c->http.hosts);
    a->origins = bp_values_words(&c->http.origins);
    if (!a->listen || !a->hosts || !a->origins)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_api_check_listen(a->access, (enum bp_access_mode) c->http.auth, "http.auth",
                            "http.listen", a->listen, err);
    if (r == 0)
        r = open_web(a, err);
    if (r < 0)
        return r;
    return bp_http_open(
        &(struct bp_http_options){
            .listen = a->listen,
            .routes = bp_agent_routes,
            .nroutes = bp_agent_routes_count,
            .fallback = &web_route,
            .base_path = bp_web_base(a->web),
            .ctx = a,
            .hosts = a->hosts,
            .origins = a->origins,
            .authorize = bp_agent_authorize,
            .workers = (unsigned) c->http.workers,
            .max_connections = (unsigned) c->http.max_connections,
        },
        &a->http, err);
}

static int start_first(struct bp_agent *a, struct bp_error *err) {
    struct bp_sessions_stats st;
    json_t *request;
    char id[27];
    int r;

    bp_sessions_stats(a->sessions, &st);
    if (bp_autostart_kind(a->config->session.begin, NULL) != BP_AUTOSTART_BOOT || st.running)
        return 0;
    request = json_object();
    r = bp_sessions_start(a->sessions, request, id, err);
    json_decref(request);
    if (r == -ENOSPC) { /* tells everybody so, and begins when there is room */
        bp_log(BP_LOG_WARNING, "no session begins yet", BP_F_TEXT("why", err ? err->text : ""));
        bp_care_owe_session(a->care);
        return 0;
    }
    return r;
}

static bp_ns_t telemetry_interval(struct bp_agent *a) {
    BP_AUTO_SETTINGS const struct bp_agent_config *c = bp_settings_get(a->settings);

    return c->telemetry.interval;
}

static void reload(struct bp_agent *a) {
    bp_systemd_reloading(&a->systemd);
    bp_api_reload(a->settings);
    bp_systemd_ready(&a->systemd);
}

static void live(struct bp_agent *a, int signals) {
    struct pollfd p = { .fd = signals, .events = POLLIN };
    bp_ns_t next_mono = 0; /* when status and topics are told again */
    uint32_t sig = 0;

    while (sig != SIGINT && sig != SIGTERM) {
        bp_ns_t interval = telemetry_interval(a);

        if (poll(&p, 1, (int) (BP_MIN(interval, BP_SEC) / BP_MS)) > 0)
            sig = bp_daemon_signal(signals);
        if (sig == SIGHUP)
            reload(a);
        sig = sig == SIGHUP ? 0 : sig;
        bp_sessions_tick(a->sessions);
        bp_access_tick(a->access);
        bp_agent_tick(a);
        bp_agent_life(a);
        if (bp_mono_ns() + BP_MS / 2 < next_mono)
            continue;
        next_mono = bp_mono_ns() + interval;
        bp_events_tick(a->events);
        bp_snapshots_tick(a->snapshots);
    }
}

static int take_triggers(struct bp_agent *a, const struct bp_agent_config *c,
                         struct bp_error *err) {
    return bp_triggers_configure(a->triggers, &c->triggers, c->session.mark_topic, err);
}

static void on_settings(void *ctx, const void *values) {
    const struct bp_agent_config *now = values;
    struct bp_agent *a = ctx;
    struct bp_error err = { 0 };

    bp_log_set_level((enum bp_log_level) now->log.level);
    if (a->sessions)
        bp_sessions_configure(a->sessions, now);
    if (a->retention)
        bp_retention_kick(a->retention);
    if (a->triggers && take_triggers(a, now, &err) < 0) /* what they say has been checked */
        bp_log(BP_LOG_ERROR, "triggers are not as configured", BP_F_TEXT("why", err.text));
    bp_agent_sync_configure(a->sync, now);
}

static int open_state(struct bp_agent *a, struct bp_error *err) {
    char path[1100];
    bool renewed = false;
    int r = bp_agent_data_dir(a->config, a->dir, sizeof a->dir, err);

    if (r == 0)
        r = bp_agent_socket_path(a->config, a->socket, sizeof a->socket, err);
    if (r < 0)
        return r;
    (void) snprintf(path, sizeof path, "%s/catalog.db", a->dir);
    r = bp_catalog_open(path, &a->catalog, &renewed, err);
    if (renewed)
        bp_log(BP_LOG_WARNING,
               "the catalogue was damaged and has been set aside; it is made anew from the "
               "recordings",
               BP_F_TEXT("path", path));
    return r < 0 ? r : bp_agent_access_open(a->config, a->dir, a->catalog, &a->access, err);
}

/* Alerts are news, and lines in the log for whoever reads that only. */
static void on_alert(void *ctx, const char *event, const json_t *alert) {
    struct bp_agent *a = ctx;
    json_t *copy = json_copy((json_t *) (uintptr_t) alert);

    bp_api_log_alert(event, alert);
    bp_bus_publish(a->bus, "alerts", json_pack("{s:s, s:o}", "event", event, "alert", copy));
}

static int open_news(struct bp_agent *a, struct bp_error *err) {
    a->bus = bp_bus_new();
    a->alerts = bp_alerts_new(on_alert, a);
    a->rates = bp_rates_new();
    if (!a->bus || !a->alerts || !a->rates)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_api_log_start(a->bus);
    return 0;
}

/* Which topics of the graph are there for us; NULL when all are. */
static int choose_seen(const struct bp_agent_config *c, struct bp_select **ret,
                       struct bp_error *err) {
    const struct bp_config_list *topics = &c->discovery.topics, *not = &c->discovery.exclude_topics;

    if (c->discovery.mode == BP_DISCOVERY_AUTO && !topics->n && !not ->n)
        return 0;
    return bp_select_new(
        &(struct bp_select_opts){
            .all = !topics->n,
            .all_services = true,
            .hidden = true,
            .topics = (const char *const *) topics->v,
            .ntopics = topics->n,
            .not_topics = (const char *const *) not ->v,
            .nnot_topics = not ->n,
        },
        ret, err);
}

static int open_graph(struct bp_agent *a, struct bp_error *err) {
    uint32_t domains[MAX_DOMAINS];
    struct bp_recorder_opts o = {
        .domains = domains,
        .keep_latched = true,
        .notice = on_notice,
        .robot_rules = (const char *const *) a->config->robots.rules.v,
        .nrobot_rules = a->config->robots.rules.n,
    };
    int r = take_domains(a->config, domains, &o.ndomains, err);

    if (r >= 0 && *a->config->qos.overrides)
        r = bp_qos_overrides_load(a->config->qos.overrides, &a->qos, err);
    if (r >= 0)
        r = choose_seen(a->config, &a->seen, err);
    o.qos_overrides = a->qos;
    o.seen = a->seen;
    return r < 0 ? r : bp_recorder_open(&o, &a->recorder, err);
}

static int open_care(struct bp_agent *a, struct bp_error *err) {
    int r = bp_retention_open(&(struct bp_retention_opts){ .settings = a->settings,
                                                           .catalog = a->catalog,
                                                           .sessions = a->sessions,
                                                           .bus = a->bus,
                                                           .alerts = a->alerts,
                                                           .dir = a->dir,
                                                           .io = bp_io_from_env() },
                              &a->retention, err);

    return r < 0 ? r
                 : bp_care_open(&(struct bp_care_opts){ .settings = a->settings,
                                                        .recorder = a->recorder,
                                                        .sessions = a->sessions,
                                                        .alerts = a->alerts,
                                                        .retention = a->retention,
                                                        .dir = a->dir },
                                &a->care, err);
}

/* ---- news for those outside ---- */

static json_t *tick_status(void *ctx) {
    return bp_agent_status_json(ctx);
}

static json_t *tick_topics(void *ctx) {
    return bp_agent_topics_json(ctx);
}

static const struct bp_events_topic topics[] = {
    { "status", "once a second: what GET /api/v1/status answers", 60, 128 * 1024, tick_status },
    { "sessions", "sessions as they start, stop, pause, resume, split, get marks", 1000, 512 * 1024,
      NULL },
    { "alerts", "alerts as they are raised, change and clear", 1000, 512 * 1024, NULL },
    { "log", "lines of the agent's log", 1000, 256 * 1024, NULL },
    { "sync", "files on their way to targets, and how these are reached", 1000, 256 * 1024, NULL },
    { "topics", "once a second: what GET /api/v1/topics answers", 2, 512 * 1024, tick_topics },
};

static void *open_samples(void *ctx, struct bp_fanout *fanout,
                          size_t (*stamp)(const struct bp_channel *ch, uint64_t seq,
                                          char out[BP_STAMP_MAX])) {
    const struct bp_agent *a = ctx;

    return bp_samples_new(a->recorder, fanout, stamp);
}

static struct bp_channel *samples_channel(void *more, const char *name, struct bp_error *err) {
    return bp_samples_channel(more, name, err);
}

static int samples_want(void *more, const struct bp_channel *ch, bp_ns_t interval) {
    return bp_samples_want(more, ch, interval);
}

static void close_samples(void *more) {
    bp_samples_free(more);
}

static void *open_pictures(void *ctx, struct bp_fanout *fanout,
                           size_t (*stamp)(const struct bp_channel *ch, uint64_t seq,
                                           char out[BP_STAMP_MAX])) {
    const struct bp_agent *a = ctx;

    return bp_streams_new(a->recorder, fanout, "pictures", stamp);
}

static void *open_points(void *ctx, struct bp_fanout *fanout,
                         size_t (*stamp)(const struct bp_channel *ch, uint64_t seq,
                                         char out[BP_STAMP_MAX])) {
    const struct bp_agent *a = ctx;

    return bp_streams_new(a->recorder, fanout, "points", stamp);
}

static struct bp_channel *streams_channel(void *more, const char *name, struct bp_error *err) {
    return bp_streams_channel(more, name, err);
}

static int streams_want(void *more, const struct bp_channel *ch, bp_ns_t interval) {
    return bp_streams_want(more, ch, interval);
}

static uint32_t streams_id(void *more, const struct bp_channel *ch) {
    return bp_streams_id(more, ch);
}

static void close_streams(void *more) {
    bp_streams_free(more);
}

static const struct bp_events_more points = {
    .form = "points:/TOPIC",
    .about = "clouds of points and laser scans, thinned, as binary messages",
    .prefix = "points:",
    .min_interval = BP_STREAMS_INTERVAL,
    .open = open_points,
    .channel = streams_channel,
    .want = streams_want,
    .close = close_streams,
    .stream = streams_id,
};

static const struct bp_events_more pictures = {
    .next = &points,
    .form = "image:/TOPIC",
    .about = "pictures, made small, as binary messages",
    .prefix = "image:",
    .min_interval = BP_STREAMS_INTERVAL,
    .open = open_pictures,
    .channel = streams_channel,
    .want = streams_want,
    .close = close_streams,
    .stream = streams_id,
};

static const struct bp_events_more samples = {
    .next = &pictures,
    .form = "sample:/TOPIC",
    .about = "messages of a ROS topic, decoded",
    .prefix = "sample:",
    .min_interval = BP_SAMPLES_INTERVAL,
    .open = open_samples,
    .channel = samples_channel,
    .want = samples_want,
    .close = close_samples,
};

static int open_events(struct bp_agent *a, struct bp_error *err) {
    return bp_events_open(
        &(struct bp_events_opts){
            .bus = a->bus,
            .ctx = a,
            .topics = topics,
            .ntopics = BP_COUNT(topics),
            .nusual = BP_COUNT(topics) - 1, /* not those of the graph: they are long */
            .more = &samples,
            .access = a->access,
            .max_connections = (unsigned) a->config->http.max_connections,
        },
        &a->events, err);
}

static int on_snapshot(void *agent, const json_t *request, char ret_id[static 27],
                       struct bp_error *err) {
    return bp_agent_snapshot(agent, request, ret_id, err);
}

static int open_reactions(struct bp_agent *a, struct bp_error *err) {
    int r = bp_triggers_open(
        &(struct bp_triggers_opts){
            .recorder = a->recorder,
            .sessions = a->sessions,
            .alerts = a->alerts,
            .bus = a->bus,
            .dir = a->dir,
            .vault = a->vault,
            .snapshot = on_snapshot,
            .ctx = a,
        },
        &a->triggers, err);

    if (r == 0)
        r = take_triggers(a, a->config, err);
    if (r == 0)
        r = bp_agent_tokens_open(a, &a->tokens, err);
    return r < 0 ? r : bp_agent_sync_open(a, &a->sync, err);
}

/* Whoever waits for a token gives up. */
static void stop_link(struct bp_agent *a) {
    bp_device_tokens_stop(a->tokens);
    bp_link_stop(a->link);
}

static void agent_done(struct bp_agent *a) {
    stop_link(a);
    bp_api_log_stop();
    bp_http_close(a->http);
    bp_pumps_free(a->pumps);
    bp_web_close(a->web);
    bp_events_close(a->events);
    free(a->listen);
    free(a->hosts);
    free(a->origins);
    bp_agent_sync_close(a->sync);
    bp_triggers_close(a->triggers);
    bp_jobs_close(a->jobs);
    bp_care_close(a->care);
    bp_retention_close(a->retention);
    bp_snapshots_close(a->snapshots);
    bp_sessions_close(a->sessions);
    bp_link_close(a->link); /* what sessions told at their end is kept */
    bp_device_tokens_close(a->tokens);
    bp_recorder_close(a->recorder);
    bp_access_close(a->access);
    bp_select_free(a->seen);
    bp_qos_overrides_free(a->qos);
    bp_catalog_close(a->catalog);
    bp_vault_close(a->vault);
    bp_rates_free(a->rates);
    bp_alerts_free(a->alerts);
    bp_bus_free(a->bus);
    bp_settings_close(a->settings);
    bp_systemd_done(&a->systemd);
}

/* What the API does beside answering. */
static int open_work(struct bp_agent *a, struct bp_error *err) {
    int r = bp_jobs_open(a->catalog, a->bus, &a->jobs, err);

    if (r < 0)
        return r;
    a->pumps = bp_pumps_new(BP_DATA_PUMPS);
    return a->pumps ? 0 : bp_fail(err, -ENOMEM, "no memory for slices");
}

int bp_agent_run(const struct bp_agent_config *config, struct bp_error *err) {
    BP_CLEANUP(agent_done)
    struct bp_agent a = { .config = config,
                          .started_mono = bp_mono_ns(),
                          .started_ns = bp_wall_ns() };
    BP_AUTO_FD int signals = bp_daemon_block_signals();
    int r;

    r = bp_systemd_open(&a.systemd, err);
    if (r == 0 && signals < 0)
        r = bp_fail(err, signals, "cannot receive signals: %s", bp_strerror(signals));
    bp_systemd_slow(&a.systemd); /* what an earlier life left may take long to recover */
    if (r == 0)
        r = bp_settings_open(&bp_agent_config_kind, config, on_settings, &a, &a.settings, err);
    if (r == 0)
        r = open_news(&a, err);
    if (r == 0)
        r = bp_agent_load_keys(config, err);
    if (r == 0)
        r = open_state(&a, err);
    if (r == 0)
        r = bp_agent_vault_start(&a, err);
    if (r == 0)
        r = open_graph(&a, err);
    if (r == 0)
        r = bp_sessions_open(a.settings, a.recorder, a.catalog, a.bus, a.dir, &a.sessions, err);
    if (r == 0)
        r = open_work(&a, err);
    if (r == 0)
        r = open_care(&a, err);
    if (r == 0)
        r = open_events(&a, err);
    if (r == 0)
        r = bp_snapshots_open(config, a.recorder, a.sessions, a.alerts, a.dir, &a.snapshots, err);
    if (r == 0)
        r = open_reactions(&a, err);
    if (r == 0)
        r = open_door(&a, err);
    if (r == 0)
        r = bp_link_open(&a, &a.link, err);
    if (r == 0)
        r = start_first(&a, err);
    if (r < 0)
        return r;

    bp_log(BP_LOG_NOTICE, "agent is ready", BP_F_TEXT("http", bp_http_address(a.http, 0)),
           BP_F_TEXT("socket", a.socket), BP_F_TEXT("data", a.dir));
    bp_systemd_swift(&a.systemd);
    bp_systemd_ready(&a.systemd);
    bp_agent_life(&a);
    bp_memory_settle();
    live(&a, signals);
    bp_systemd_stopping(&a.systemd);
    bp_systemd_slow(&a.systemd);
    bp_log(BP_LOG_NOTICE, "agent is ending");
    stop_link(&a);
    bp_events_stop(a.events);
    (void) bp_http_drain(a.http, DRAIN_MS * BP_MS);
    return 0;
}
