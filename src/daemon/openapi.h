#pragma once

#include <jansson.h>

#include "net/http.h"

/* What the API's routes take and give, as OpenAPI 3.1. Method, path, access and summary come from
 * the route table; a row here adds what that does not say. */
struct bp_api_doc {
    const char *method, *pattern; /* of the route */
    const char *query;            /* names of rows of bp_api_params, parted by blanks; or NULL */
    const char *request; /* schema of its JSON body, or a media type ("text/plain"), NULL */
    int status;          /* of success */
    const char *reply;   /* schema, media types with a space between, or NULL: no body */
    const char *others;  /* statuses besides those every route may answer: "404 409" */
};

struct bp_api_param {
    const char *name, *schema; /* JSON text */
    const char *help;
};

struct bp_api_schema {
    const char *name, *json;
};

/* What a part of an API brings; names of parameters and schemas are common to all parts. */
struct bp_api_part {
    const struct bp_api_doc *docs;
    size_t ndocs;
    const struct bp_api_param *params;
    size_t nparams;
    const struct bp_api_schema *schemas;
    size_t nschemas;
};

/* What both daemons have. */
extern const struct bp_api_part bp_api_common;

struct bp_api {
    const char *title, *description;
    const struct bp_api_part *const *parts; /* up to a NULL */
};

/**
 * The description. A route without a row is described by what the table says of it.
 *
 * @return owned by the caller; NULL when out of memory or a schema is no JSON
 */
json_t *bp_api_describe(const struct bp_api *api, const struct bp_http_route *routes, size_t n);
