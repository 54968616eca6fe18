#pragma once

#include "server/server-priv.h"

/* "Fetch this range of a session when its robot is online": what a device keeps to itself
 * (`sync.selective` of its agent) is asked for by a command, docs/api/link.md, and how much of it
 * has come is read from the archive, so that it needs no memory of what was asked. */

/** POST /api/v1/sessions/:id/fetch {from_ns, to_ns, topics, within_s}: asks the device. */
int bp_server_post_fetch(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
/** GET /api/v1/sessions/:id/fetch?from_ns&to_ns&command: what of it is here. */
int bp_server_get_fetch(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
