#pragma once

#include "net/http.h"

/* Routes of uploads and objects (docs/api/uploads.md), and which of them take their body in pieces:
 * for `bodies` of bp_http_options. */
extern const struct bp_http_route bp_server_uploads_routes[];
extern const size_t bp_server_uploads_nroutes;
extern const struct bp_http_body_ops bp_server_uploads_bodies[];
extern const size_t bp_server_uploads_nbodies;

/** What the routes stand on, from bp_http_ctx(): of the server's process, and of tests. */
struct bp_ingest *bp_server_ingest_of(const struct bp_http_req *req);
