#pragma once

#include "daemon/openapi.h"
#include "net/http.h"

/* Each route of the agent has a row: a unit test fails otherwise, and docs/api/openapi.json is
 * compared with what comes out. */
extern const struct bp_api_part bp_agent_api_docs;
extern const struct bp_api bp_agent_api;

/** GET /api/v1/openapi.json */
int bp_agent_get_openapi(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
