/* Agents' links as a part of the server: docs/api/link.md. */
#include <errno.h>

#include "server/guard.h"
#include "server/links/links.h"
#include "server/links/routes.h"
#include "server/parts.h"

/* Agents come back spread over this when we end. */
#define SPREAD (5 * BP_SEC)

static struct bp_links *links_of(void *ctx) {
    const struct bp_server *s = ctx;

    return s->links;
}

/* A device speaks for itself; who may act for all of them says whose link it is. */
static int get_link(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    struct bp_device_who who;
    bool device = bp_server_device(s, req, &who);

    return bp_links_accept(s->links, device ? who.id : NULL, req, reply, err);
}

static const struct bp_http_route routes[] = {
    { "GET", "/api/v1/link", get_link, BP_HTTP_OPERATOR, "An agent's WebSocket." },
    BP_LINKS_ROUTES,
};
static const size_t nroutes = BP_COUNT(routes);

static const struct bp_api_param params[] = {
    { "after", "{\"type\": \"integer\", \"minimum\": 0}", "only those behind this number" },
};

/* method, pattern, query, request, status, reply, others */
static const struct bp_api_doc docs[] = {
    { "GET", "/api/v1/link", NULL, NULL, 101, NULL, "426" },
    { "GET", "/api/v1/robots", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/devices/:device/status", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/devices/:device/topics", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/devices/:device/events", "after limit", NULL, 200, "Any", NULL },
    { "POST", "/api/v1/devices/:device/commands", NULL, "Any", 200, "Any", "202 429" },
    { "GET", "/api/v1/devices/:device/commands/:id", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/devices/:device/config", NULL, NULL, 200, "Any", "504" },
    { "PATCH", "/api/v1/devices/:device/config", NULL, "Any", 200, "Any", "504" },
};

static const struct bp_api_part api = { docs, BP_COUNT(docs), params, BP_COUNT(params), NULL, 0 };

static void news(void *ctx, const char *topic, json_t *payload) {
    const struct bp_server *s = ctx;

    bp_bus_publish(s->bus, topic, payload);
}

static int links_open(struct bp_server *s, struct bp_error *err) {
    bp_links_routes_setup(links_of, (unsigned) (s->config->http.workers + 1) / 2);
    return bp_links_open(
        &(struct bp_links_options){
            .dir = s->dir,
            .news = news,
            .ctx = s,
            .max_connections = (unsigned) s->config->http.max_connections,
        },
        &s->links, err);
}

static void links_stop(struct bp_server *s) {
    bp_links_stop(s->links, SPREAD);
}

static void links_close(struct bp_server *s) {
    bp_links_close(s->links);
    s->links = NULL;
}

static void links_metrics(struct bp_server *s, struct bp_buf *out) {
    (void) s;
    bp_metrics_render(out, bp_links_metrics, bp_links_metrics_count);
}

const struct bp_server_part bp_server_part_links = {
    .name = "link",
    .routes = routes,
    .nroutes = &nroutes,
    .docs = &api,
    .open = links_open,
    .stop = links_stop,
    .close = links_close,
    .metrics = links_metrics,
};
