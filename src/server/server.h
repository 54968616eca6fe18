#pragma once

#include <jansson.h>

#include "base/error.h"
#include "server/config.h"

/* The daemon at a site or in the cloud: takes in what robots recorded, knows it, serves it, and
 * sends it on. One per process; it lives until SIGINT or SIGTERM. */

/**
 * Runs the server. Signals are blocked by it in the calling thread before other threads start.
 *
 * @param config  borrowed
 * @return 0 after a clean end, or why it could not start or had to end
 */
BP_MUST_CHECK int bp_server_run(const struct bp_server_config *config, struct bp_error *err);

struct bp_catalog;
/**
 * The accounts of a server with this configuration, also for verbs while none runs.
 *
 * @param dir      its data folder
 * @param catalog  must outlive it
 * @return as bp_access_open()
 */
BP_MUST_CHECK int bp_server_access_open(const struct bp_server_config *c, const char *dir,
                                        struct bp_catalog *catalog, struct bp_access **ret,
                                        struct bp_error *err);
/** The description of its HTTP API, OpenAPI 3.1; owned by the caller, NULL when out of memory. */
json_t *bp_server_openapi(void);
