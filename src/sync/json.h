#pragma once

#include <jansson.h>

#include "sync/sync.h"

/* How it goes, as JSON for APIs: docs/api/agent.md "Sync". Any thread. Documents are owned by the
 * caller. */

/** {"running", "paused", "metered", "limit", "waiting", "parked", "failed", "done", "rate",
 * "eta_s", "targets": […]}: sums of all targets, then each with the files that are under way. */
BP_MUST_CHECK int bp_sync_status_json(struct bp_sync *s, json_t **ret, struct bp_error *err);
/** {"files": […], "next": number or null}. */
BP_MUST_CHECK int bp_sync_files_json(struct bp_sync *s, const struct bp_sync_query *q, json_t **ret,
                                     struct bp_error *err);
/** {"decisions": […]}: what was decided about conflicts. */
BP_MUST_CHECK int bp_sync_decisions_json(struct bp_sync *s, json_t **ret, struct bp_error *err);
/** What happened, without NULLs; NULL when out of memory. */
json_t *bp_sync_event_json(const struct bp_sync_event *e);
