#pragma once

#include "agent/bus.h"
#include "net/http.h"

struct bp_agent;

/* The agent's news for those outside: GET /api/v1/events as a WebSocket or as server-sent events.
 * What goes over the wire: docs/api/events.md. */
struct bp_events;

/** Begins to listen to the bus of `agent`, which outlives it.
 *  @return 0, -ENOMEM, -EAGAIN, -EBUSY */
BP_MUST_CHECK int bp_events_open(struct bp_agent *agent, struct bp_events **ret,
                                 struct bp_error *err);
/** Ends the connections (1001). Before bp_http_drain(). Takes NULL. */
void bp_events_stop(struct bp_events *e);
/** After bp_http_close(). Takes NULL. */
void bp_events_close(struct bp_events *e);

/** Once a second: publishes "status" and "topics" when somebody has subscribed to them. */
void bp_events_tick(struct bp_events *e);

/** The route. */
int bp_events_get(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
