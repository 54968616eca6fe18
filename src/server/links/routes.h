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
