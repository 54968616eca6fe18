#pragma once

#include <jansson.h>

#include "agent/config.h"
#include "base/buf.h"
#include "sync/config.h"
#include "sync/sync.h"

/* What the agent records goes to its targets: it tells the sync engine of segments as they are
 * closed, of sessions as they end or are edited, and takes what the engine has proven back into the
 * catalogue, where retention reads it. All on a thread of its own, since queue and disk may take
 * long. Without targets there is no engine. */
struct bp_agent;
struct bp_agent_sync;

/** Targets as the configuration names them, without a network. @param ret  release with
 *  bp_sync_targets_done(), also after a failure; @return 0, BP_ECONFIG, -ENOMEM */
BP_MUST_CHECK int bp_agent_sync_targets(const struct bp_agent_config *c,
                                        struct bp_sync_targets *ret, struct bp_error *err);
/** What no row can tell of the other keys. @return 0, BP_ECONFIG */
BP_MUST_CHECK int bp_agent_sync_check(const struct bp_agent_config *c, struct bp_error *err);

/**
 * Opens the queue, `sync.db` in the data folder, and starts. A queue or target that does not open
 * keeps nobody from recording: it is an alert, "sync".
 *
 * @param a    borrowed: sessions, catalogue, bus, alerts, vault and retention outlive it
 * @param ret  NULL without targets; release with bp_agent_sync_close()
 * @return 0, -ENOMEM, -EAGAIN
 */
BP_MUST_CHECK int bp_agent_sync_open(struct bp_agent *a, struct bp_agent_sync **ret,
                                     struct bp_error *err);
/** Ends; what is under way goes on at the next start. Takes NULL. */
void bp_agent_sync_close(struct bp_agent_sync *s);
BP_DEFINE_CLEANUP(struct bp_agent_sync, bp_agent_sync_close)

/** The engine, borrowed; NULL without one. Takes NULL. */
struct bp_sync *bp_agent_sync_engine(struct bp_agent_sync *s);
/** Live keys have other values now. Takes NULL. */
void bp_agent_sync_configure(struct bp_agent_sync *s, const struct bp_agent_config *now);
/** {"state", "waiting_bytes", "waiting_files", "rate", "eta_s", "text"} for the agent's status;
 *  NULL without an engine, or when out of memory. Takes NULL. Any thread. */
json_t *bp_agent_sync_brief(struct bp_agent_sync *s);
/** Families of metrics. Takes NULL. */
void bp_agent_sync_metrics(struct bp_agent_sync *s, struct bp_buf *out);
/** Removes uploads in buckets that nobody goes on with. @param ret_n  how many; @return 0 or the
 *  first failure */
BP_MUST_CHECK int bp_agent_sync_gc(struct bp_agent_sync *s, bp_ns_t min_age, bool dry,
                                   size_t *ret_n, struct bp_error *err);

/* ---- sync-session.c: what is told of a session ---- */

/* Release with bp_agent_sync_told_done(). */
struct bp_agent_sync_told {
    char id[27];
    char *dir, *name, *json; /* owned */
    char **words;            /* owned: what the lists point to */
    size_t nwords;
    const char **tags, **robots, **topics; /* owned; NULL-ended */
    bp_ns_t started_ns, uploaded_ns;
    bool marked, running, finished; /* neither: it failed or is gone */
};
void bp_agent_sync_told_done(struct bp_agent_sync_told *t);

/** Reads all that is known of a session; counts a change of what people say about it. @return 0,
 *  -ENOENT, -ENOMEM, or what the catalogue says */
BP_MUST_CHECK int bp_agent_sync_tell(struct bp_agent *a, const char *id, const char *device,
                                     struct bp_agent_sync_told *ret, struct bp_error *err);
/** The other side had something to say: takes it into the catalogue. @param text  JSON of the
 *  session as it is now over there */
BP_MUST_CHECK int bp_agent_sync_take(struct bp_agent *a, const char *id, const char *text,
                                     struct bp_error *err);
