#pragma once

#include "net/http.h"
#include "server/links/links.h"

/* Handlers of the server's API about devices and their robots, for one table of routes. Each takes
 * the links from `links_of(ctx)`, which whoever opens the HTTP server sets once before. */

/** @param waiting  handlers that may wait for agents at the same time; the others answer 202 at
 *                  once: fewer than the server has workers */
void bp_links_routes_setup(struct bp_links *(*links_of)(void *ctx), unsigned waiting);

/** POST /api/v1/devices/:device/commands {name, args, within_s, wait}. @param role  of who asks */
int bp_links_post_command(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);
/** GET /api/v1/devices/:device/commands/:id */
int bp_links_get_command(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
/** GET and PATCH /api/v1/devices/:device/config */
int bp_links_config(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_links_get_robots(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_links_get_devices(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
/** GET /api/v1/devices/:device/status */
int bp_links_get_status(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_links_get_topics(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_links_get_events(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);

/* Rows for the server's table, but for GET /api/v1/link, whose handler knows who asks. */
#define BP_LINKS_ROUTES                                                                            \
    { "GET", "/api/v1/robots", bp_links_get_robots, BP_HTTP_VIEWER,                                \
      "Robots of all devices: online, stale or offline, and for how long." },                      \
        { "GET", "/api/v1/devices/:device/status", bp_links_get_status, BP_HTTP_VIEWER,            \
          "What a device told last, and how its link is." },                                       \
        { "GET", "/api/v1/devices/:device/topics", bp_links_get_topics, BP_HTTP_VIEWER,            \
          "Topics of its graph, asked for now." },                                                 \
        { "GET", "/api/v1/devices/:device/events", bp_links_get_events, BP_HTTP_VIEWER,            \
          "Its sessions, alerts and warnings as they were, also those of times without a link." }, \
        { "POST", "/api/v1/devices/:device/commands", bp_links_post_command, BP_HTTP_OPERATOR,     \
          "Has the device do something: {name, args, within_s, wait}." },                          \
        { "GET", "/api/v1/devices/:device/commands/:id", bp_links_get_command, BP_HTTP_VIEWER,     \
          "What became of a command." },                                                           \
        { "GET", "/api/v1/devices/:device/config", bp_links_config, BP_HTTP_VIEWER,                \
          "The device's configuration in effect." },                                               \
    {                                                                                              \
        "PATCH", "/api/v1/devices/:device/config", bp_links_config, BP_HTTP_ADMIN,                 \
            "Sets live keys of the device until its agent ends."                                   \
    }
