#pragma once

#include "daemon/openapi.h"
#include "net/http.h"

/* Each route of the agent has a row: a unit test fails otherwise, and docs/api/openapi.json is
 * compared with what comes out. */
extern const struct bp_api_doc bp_api_docs[];
extern const size_t bp_api_docs_count;
extern const struct bp_api_param bp_api_params[];
extern const size_t bp_api_params_count;
extern const struct bp_api_schema bp_api_schemas[];
extern const size_t bp_api_schemas_count;

/** GET /api/v1/openapi.json */
int bp_agent_get_openapi(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
