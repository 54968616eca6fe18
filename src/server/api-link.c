/* Agents' links as a part of the server: who may link, what is written down, news on the bus. */
#include "server/api-link.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "server/api-archive.h"
#include "server/api-fetch.h"
#include "server/guard.h"
#include "server/links/routes.h"
#include "server/scope.h"

#define JSON(...) #__VA_ARGS__

static struct bp_links *links_of(void *ctx) {
    return ((struct bp_server *) ctx)->links;
}

/* A device is who its token says. Whoever comes in without one is an admin (the route's access), as
 * everybody is on an open loopback: he may say who he is. */
static int get_link(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    struct bp_ingest_who who;
    int r = bp_server_who(s, req, &who, err);

    return r < 0 ? r : bp_links_accept(s->links, who.any ? NULL : who.device, req, reply, err);
}

/* What somebody has a device do is written down before. */
static int audit(struct bp_http_req *req, struct bp_error *err) {
    const char *method = bp_http_route(req)->method;
    json_t *body = NULL, *details;
    int r;

    if (bp_streq(method, "GET"))
        return 0;
    r = bp_http_json(req, &body, err);
    if (r < 0)
        return r;
    details = bp_streq(method, "POST")
                  ? json_pack("{s:O?, s:O?}", "name", json_object_get(body, "name"), "args",
                              json_object_get(body, "args"))
                  : json_pack("{s:O?}", "set", body);
    json_decref(body);
    return bp_server_audit(bp_server_of(req), req,
                           bp_streq(method, "POST") ? "device.command" : "device.config",
                           bp_http_param(req, "device"), details, err);
}

static int post_command(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    int r = audit(req, err);

    return r < 0 ? r : bp_links_post_command(req, reply, err);
}

static int config(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    int r = audit(req, err);

    return r < 0 ? r : bp_links_config(req, reply, err);
}

static int get_robots(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    json_t *o = bp_links_robots(s->links);
    int r = bp_server_cut_list(s, req, json_object_get(o, "robots"), "device", err);

    if (r < 0)
        json_decref(o);
    else
        bp_http_reply_json(reply, 200, o);
    return r;
}

static const struct bp_http_route routes[] = {
    { "GET", "/api/v1/link", get_link, BP_HTTP_ADMIN, "An agent's link: a WebSocket." },
    { "GET", "/api/v1/robots", get_robots, BP_HTTP_VIEWER,
      "Robots of all devices: online, stale or offline, and for how long." },
    { "GET", "/api/v1/devices/:device/status", bp_links_get_status, BP_HTTP_VIEWER,
      "What a device told last, and how its link is." },
    { "GET", "/api/v1/devices/:device/topics", bp_links_get_topics, BP_HTTP_VIEWER,
      "Topics of its graph, asked for now." },
    { "GET", "/api/v1/devices/:device/events", bp_links_get_events, BP_HTTP_VIEWER,
      "Its sessions, alerts and warnings as they were, also those of times without a link." },
    { "POST", "/api/v1/devices/:device/commands", post_command, BP_HTTP_OPERATOR,
      "Has the device do something: {name, args, within_s, wait}." },
    { "GET", "/api/v1/devices/:device/commands/:id", bp_links_get_command, BP_HTTP_VIEWER,
      "What became of a command." },
    { "GET", "/api/v1/devices/:device/config", config, BP_HTTP_VIEWER,
      "The device's configuration in effect." },
    { "PATCH", "/api/v1/devices/:device/config", config, BP_HTTP_ADMIN,
      "Sets live keys of the device until its agent ends." },
    { "POST", "/api/v1/sessions/:id/fetch", bp_server_post_fetch, BP_HTTP_OPERATOR,
      "Has the device send a range of a session when it is online: {from_ns, to_ns, topics, "
      "within_s}." },
    { "GET", "/api/v1/sessions/:id/fetch", bp_server_get_fetch, BP_HTTP_VIEWER,
      "How much of a range has come." },
};
static const size_t nroutes = BP_COUNT(routes);

/* clang-format off */
static const struct bp_api_schema schemas[] = {
    { "DeviceCommand", JSON({
        "type": "object",
        "required": ["name"],
        "properties": {
          "name": {"type": "string", "minLength": 1, "maxLength": 64},
          "args": {"type": "object"},
          "within_s": {"type": "number", "minimum": 0.1, "maximum": 3600},
          "wait": {"type": "boolean"}
        }
      }) },
    { "SessionFetch", JSON({
        "type": "object",
        "properties": {
          "from_ns": {"type": ["string", "integer", "null"]},
          "to_ns": {"type": ["string", "integer", "null"]},
          "topics": {"type": "array", "items": {"type": "string"}},
          "within_s": {"type": "number", "minimum": 0.1, "maximum": 3600}
        }
      }) },
    { "SessionFetched", JSON({
        "type": "object",
        "required": ["session", "device", "complete", "missing", "segments"],
        "properties": {
          "session": {"type": "string"},
          "device": {"type": "string"},
          "from_ns": {"type": ["string", "null"]},
          "to_ns": {"type": ["string", "null"]},
          "complete": {"type": "boolean"},
          "missing": {"type": "integer", "minimum": 0},
          "missing_bytes": {"type": "integer", "minimum": 0},
          "segments": {"type": "array", "items": {}},
          "command": {}
        }
      }) },
    { "DeviceCommandReport", JSON({
        "type": "object",
        "required": ["id", "state", "status", "body"],
        "properties": {
          "id": {"type": "string"},
          "state": {"enum": ["waiting", "sent", "done", "expired", "lost"]},
          "status": {"type": "integer"},
          "body": {}
        }
      }) },
};

/* method, pattern, query, request, status, reply, others */
static const struct bp_api_doc docs[] = {
    { "GET", "/api/v1/link", NULL, NULL, 101, NULL, "426" },
    { "GET", "/api/v1/robots", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/devices/:device/status", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/devices/:device/topics", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/devices/:device/events", "after limit", NULL, 200, "Any", NULL },
    { "POST", "/api/v1/devices/:device/commands", NULL, "DeviceCommand", 200, "DeviceCommandReport", "202 504" },
    { "GET", "/api/v1/devices/:device/commands/:id", NULL, NULL, 200, "DeviceCommandReport", NULL },
    { "GET", "/api/v1/devices/:device/config", NULL, NULL, 200, "Any", "202 504" },
    { "PATCH", "/api/v1/devices/:device/config", NULL, "Any", 200, "Any", "202 403 504" },
    { "POST", "/api/v1/sessions/:id/fetch", NULL, "SessionFetch", 202, "SessionFetched", "404" },
    { "GET", "/api/v1/sessions/:id/fetch", "from_ns to_ns command", NULL, 200, "SessionFetched", "404" },
};

static const struct bp_api_param params[] = {
    { "after", JSON({"type": "integer", "minimum": 0}), "only what is behind this number" },
    { "command", JSON({"type": "string"}), "its report, too" },
};
/* clang-format on */

static const struct bp_api_part api = { docs,    BP_COUNT(docs),   params, BP_COUNT(params),
                                        schemas, BP_COUNT(schemas) };

/* ---- news ---- */

static void on_news(void *ctx, const char *topic, json_t *payload) {
    bp_bus_publish(((struct bp_server *) ctx)->bus, topic, payload);
}

/* A device that is not let in any more loses its link, too. */
static void on_device(void *ctx, const char *topic, const json_t *payload) {
    const json_t *device = json_object_get(payload, "device");
    const char *id = json_string_value(json_object_get(device, "device"));
    const char *state = json_string_value(json_object_get(device, "state"));
    const char *event = json_string_value(json_object_get(payload, "event"));

    if (!bp_streq(topic, "devices") || !id || !state || !event)
        return;
    if (bp_streq(event, "removed"))
        bp_links_remove(((struct bp_server *) ctx)->links, id);
    else if (!bp_streq(state, "accepted"))
        bp_links_drop(((struct bp_server *) ctx)->links, id);
}

/* What a topic needs; the events are there before the links are. */
struct more {
    struct bp_server *server;
    struct bp_fanout *fanout;
    size_t (*stamp)(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]);
};

static void *more_open(void *ctx, struct bp_fanout *fanout,
                       size_t (*stamp)(const struct bp_channel *ch, uint64_t seq,
                                       char out[BP_STAMP_MAX])) {
    struct more *m = calloc(1, sizeof *m);

    if (m)
        *m = (struct more){ ctx, fanout, stamp };
    return m;
}

static struct bp_channel *more_channel(void *more, const char *name, struct bp_error *err) {
    const struct more *m = more;

    return bp_links_channel(m->server->links, &(struct bp_links_ask){ m->fanout, m->stamp, name },
                            err);
}

static int more_want(void *more, const struct bp_channel *ch, bp_ns_t interval) {
    bp_links_want(((struct more *) more)->server->links, ch, interval);
    return 0;
}

static uint32_t more_stream(void *more, const struct bp_channel *ch) {
    return bp_links_stream(((struct more *) more)->server->links, ch);
}

const struct bp_events_more bp_server_link_topics = {
    .form = "device:ID/…",
    .about = "of a device: /status, /topics, /sync; /sample:/TOPIC, /image:/TOPIC, /points:/TOPIC, "
             "/log, /sessions, /alerts as its agent has them",
    .prefix = "device:",
    .open = more_open,
    .channel = more_channel,
    .want = more_want,
    .close = free,
    .stream = more_stream,
};

/* ---- its life ---- */

enum { SPREAD_S = 5 };

static struct {
    bp_ns_t next_mono; /* main thread */
    bp_ns_t clock;     /* wall less monotonic, when the server began */
} forgetting;

static int link_open(struct bp_server *s, struct bp_error *err) {
    int r = bp_links_open(
        &(struct bp_links_options){ .dir = s->dir,
                                    .news = on_news,
                                    .ctx = s,
                                    .max_connections = (unsigned) s->config->http.max_connections },
        &s->links, err);

    if (r == 0)
        r = bp_bus_listen(s->bus, on_device, s);
    forgetting.next_mono = 0;
    forgetting.clock = bp_wall_ns() - bp_mono_ns();
    bp_links_routes_setup(links_of, (unsigned) BP_MAX(s->config->http.workers / 2, 1));
    return r;
}

/* Once an hour. Not by a clock that has been set since we began: a year too far, it would forget
 * everybody who is not connected. */
static void link_tick(struct bp_server *s) {
    BP_AUTO_SETTINGS const struct bp_server_config *c = bp_settings_get(s->settings);
    bp_ns_t mono = bp_mono_ns(), wall = bp_wall_ns(), silence = c->retention.silent_devices;
    int n;

    if (mono < forgetting.next_mono || silence == 0)
        return;
    forgetting.next_mono = mono + BP_MIN(silence, 3600 * BP_SEC);
    if (llabs(wall - mono - forgetting.clock) > silence / 2)
        return;
    n = bp_links_forget_silent(s->links, wall - silence);
    if (n > 0)
        bp_log(BP_LOG_NOTICE, "devices were silent for too long and are forgotten",
               BP_F_UINT("devices", (unsigned) n));
}

static void link_stop(struct bp_server *s) {
    bp_links_stop(s->links, SPREAD_S * BP_SEC);
}

static void link_close(struct bp_server *s) {
    bp_bus_unlisten(s->bus, on_device, s);
    bp_links_close(s->links);
}

static void link_status(struct bp_server *s, json_t *to) {
    (void) json_object_set_new(to, "agents", json_integer(bp_links_online(s->links)));
}

static void link_metrics(struct bp_server *s, struct bp_buf *out) {
    (void) s;
    bp_metrics_render(out, bp_links_metrics, bp_links_metrics_count);
}

const struct bp_server_part bp_server_part_link = {
    .name = "link",
    .routes = routes,
    .nroutes = &nroutes,
    .docs = &api,
    .open = link_open,
    .stop = link_stop,
    .close = link_close,
    .tick = link_tick,
    .status = link_status,
    .metrics = link_metrics,
};
