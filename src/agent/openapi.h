#pragma once

#include <jansson.h>

#include "net/http.h"

/* What the API's routes take and give, as OpenAPI 3.1. Method, path, access and summary come from
 * the route table; a row here adds what that does not say. Each route has one: a unit test fails
 * otherwise, and docs/api/openapi.json is compared with what comes out. */
struct bp_api_doc {
    const char *method, *pattern; /* of the route */
    const char *query;            /* names of rows of bp_api_params, parted by blanks; or NULL */
    const char *request; /* schema of its JSON body, or a media type ("text/plain"), NULL */
    int status;          /* of success */
    const char *reply;   /* schema, media type, or NULL: no body */
    const char *others;  /* statuses besides those every route may answer: "404 409" */
};

extern const struct bp_api_doc bp_api_docs[];
extern const size_t bp_api_docs_count;

struct bp_api_param {
    const char *name, *schema; /* JSON text */
    const char *help;
};

extern const struct bp_api_param bp_api_params[];
extern const size_t bp_api_params_count;

struct bp_api_schema {
    const char *name, *json;
};

extern const struct bp_api_schema bp_api_schemas[];
extern const size_t bp_api_schemas_count;

/**
 * The description. A route without a row is described by what the table says of it.
 *
 * @return owned by the caller; NULL when out of memory or a schema is no JSON
 */
json_t *bp_api_describe(const struct bp_http_route *routes, size_t n);

/** GET /api/v1/openapi.json */
int bp_agent_get_openapi(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
