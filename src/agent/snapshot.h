#pragma once

#include <jansson.h>

#include "agent/config.h"
#include "agent/sessions.h"

/* Snapshots: a history of what came lately, and sessions that are filled from it when something
 * happens: what came before, and for a while what comes after. Triggers that fall into a snapshot
 * that is being saved make it longer instead of starting another. Any thread. */
struct bp_alerts;
struct bp_snapshots;

/**
 * Begins to keep a history, if the configuration says so.
 *
 * @param config, recorder, sessions, alerts  borrowed, outlive it
 * @param dir                                 the agent's folder: `history` in it holds the files
 */
BP_MUST_CHECK int bp_snapshots_open(const struct bp_agent_config *config,
                                    struct bp_recorder *recorder, struct bp_sessions *sessions,
                                    struct bp_alerts *alerts, const char *dir,
                                    struct bp_snapshots **ret, struct bp_error *err);
/** Ends those being saved with what they have; takes NULL. */
void bp_snapshots_close(struct bp_snapshots *s);
BP_DEFINE_CLEANUP(struct bp_snapshots, bp_snapshots_close)

/**
 * Saves what came before and what comes after now.
 *
 * @param request  JSON object, borrowed; every key is optional: reason, before_s, after_s, topics,
 *                 exclude_topics, values (object of texts), mission, operator, notes, tags, name,
 *                 compression
 * @param ret_id   of the session that holds it
 * @return 0 a session of its own, 1 merged into one that is being saved; BP_EUSAGE for a request
 *         that is wrong; BP_EMISMATCH when snapshots are not enabled; -EAGAIN within the cool-down,
 *         beyond the number an hour or when too many are being saved; -ENOSPC, …
 */
BP_MUST_CHECK int bp_snapshots_take(struct bp_snapshots *s, const json_t *request,
                                    char ret_id[static 27], struct bp_error *err);

/** How it is: what is held, what is being saved. Owned by the caller; NULL: no memory. */
json_t *bp_snapshots_get(struct bp_snapshots *s);
/** Families of metrics. */
void bp_snapshots_metrics(struct bp_snapshots *s, struct bp_buf *out);
/** Lets go of what is too old, raises and clears alerts; called about once a second. */
void bp_snapshots_tick(struct bp_snapshots *s);
