/* The server's API as OpenAPI: of each part its routes and the rows about them. */
#include <errno.h>
#include <stdlib.h>

#include "server/server-priv.h"

#define JSON(...) #__VA_ARGS__

/* clang-format off */
static const struct bp_api_schema schemas[] = {
    { "Status", JSON({
        "type": "object",
        "description": "who has a scope is told the first five keys only",
        "required": ["version", "name", "state", "uptime_s"],
        "properties": {
          "version": {"type": "string"},
          "name": {"type": "string"},
          "state": {"enum": ["ready", "not_ready"]},
          "reason": {"type": "string"},
          "uptime_s": {"type": "number"},
          "storage": {
            "type": "object",
            "required": ["dir"],
            "properties": {
              "dir": {"type": "string"},
              "free": {"type": "integer", "minimum": 0},
              "size": {"type": "integer", "minimum": 0}
            }
          },
          "alerts": {"type": "integer", "minimum": 0},
          "jobs": {"type": "integer", "minimum": 0}
        }
      }) },
};

/* method, pattern, query, request, status, reply, others */
static const struct bp_api_doc docs[] = {
    { "GET", "/api/v1/status", NULL, NULL, 200, "Status", NULL },
};
/* clang-format on */

const struct bp_api_part bp_server_api_docs = { docs, BP_COUNT(docs), NULL,
                                                0,    schemas,        BP_COUNT(schemas) };

int bp_server_describe(struct bp_api *ret, const struct bp_api_part **parts,
                       struct bp_http_route **ret_routes, size_t *ret_n) {
    size_t n = 0, nparts = 0;

    for (const struct bp_server_part *const *p = bp_server_parts; *p; p++)
        n += (*p)->routes ? *(*p)->nroutes : 0;
    *ret_routes = calloc(n + 1, sizeof **ret_routes);
    if (!*ret_routes)
        return -ENOMEM;
    n = 0;
    parts[nparts++] = &bp_api_common;
    for (const struct bp_server_part *const *p = bp_server_parts; *p; p++) {
        for (size_t i = 0; (*p)->routes && i < *(*p)->nroutes; i++)
            (*ret_routes)[n++] = (*p)->routes[i];
        if ((*p)->docs && nparts < BP_SERVER_PARTS_MAX)
            parts[nparts++] = (*p)->docs;
    }
    parts[nparts] = NULL;
    *ret = (struct bp_api){
        .title = "bagpipe server",
        .description = "Times are texts of nanoseconds since 1970. Errors are problem+json whose "
                       "detail names what is wrong. This machine needs no token unless users are "
                       "configured; devices have tokens of their own.",
        .parts = parts,
    };
    *ret_n = n;
    return 0;
}

json_t *bp_server_openapi(void) {
    const struct bp_api_part *parts[BP_SERVER_PARTS_MAX + 1];
    BP_AUTO_FREE struct bp_http_route *routes = NULL;
    struct bp_api api;
    size_t n;

    if (bp_server_describe(&api, parts, &routes, &n) < 0)
        return NULL;
    return bp_api_describe(&api, routes, n);
}
