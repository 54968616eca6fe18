#pragma once

#include <jansson.h>

#include "access/access.h"
#include "agent/config.h"
#include "base/error.h"

/* The daemon on a robot: watches the graph, records sessions as it is told, and says how it is. One
 * per process; it lives until SIGINT or SIGTERM. */

/**
 * Runs the agent. Signals are blocked by it in the calling thread before other threads start.
 *
 * @param config  borrowed
 * @return 0 after a clean end, or why it could not start or had to end
 */
BP_MUST_CHECK int bp_agent_run(const struct bp_agent_config *config, struct bp_error *err);

/**
 * The accounts of an agent with this configuration, also for verbs while none runs.
 *
 * @param dir      its data folder
 * @param catalog  must outlive it
 * @return as bp_access_open()
 */
BP_MUST_CHECK int bp_agent_access_open(const struct bp_agent_config *c, const char *dir,
                                       struct bp_catalog *catalog, struct bp_access **ret,
                                       struct bp_error *err);
/** The description of its HTTP API, OpenAPI 3.1; owned by the caller, NULL when out of memory. */
json_t *bp_agent_openapi(void);
