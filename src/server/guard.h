#pragma once

#include "ingest/ingest.h"
#include "server/devices.h"
#include "server/server-priv.h"

/* What handlers need to know of who asks. Any thread. */

/** The device whose token a request brings; false when it brings none that is good. */
bool bp_server_device(struct bp_server *s, const struct bp_http_req *req,
                      struct bp_device_who *ret);
/** `who` of bp_ingest_options; ctx: the server. */
int bp_server_who(void *ctx, struct bp_http_req *req, struct bp_ingest_who *ret,
                  struct bp_error *err);
/** Counts a request that proves nothing against its peer: for public routes that cost something.
 *  @return 0, or 429 to be answered with `err`; the reply has its Retry-After */
int bp_server_limit_peer(struct bp_server *s, struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
