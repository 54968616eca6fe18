#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/config.h"
#include "base/buf.h"
#include "catalog/catalog.h"
#include "crypt/sign.h"
#include "daemon/bus.h"
#include "daemon/settings.h"
#include "record/recorder.h"

struct bp_writer_ledger; /* bag/bag-ledger.h */

/* Sessions under management: several at once on one recorder, each with a writer and ring of its
 * own, known to the catalogue from their first moment, and taken up again after a crash. Any
 * thread; starting and stopping take turns. */
struct bp_sessions;

/**
 * Interrupted sessions in the data folder are recovered; those that were being recorded go on as
 * the same session, with the outage marked.
 *
 * @param settings, recorder, catalog, bus  borrowed, outlive it; the bus hears "sessions":
 *                                        {event: started, stopped, paused, resumed, split, mark;
 *                                        session: as bp_sessions_brief() tells it;
 *                                        mark: {time_ns, text, values}}
 * @param dir                             where session folders are made
 */
BP_MUST_CHECK int bp_sessions_open(struct bp_settings *settings, struct bp_recorder *recorder,
                                   struct bp_catalog *catalog, struct bp_bus *bus, const char *dir,
                                   struct bp_sessions **ret, struct bp_error *err);
/** What sessions that start from now on go by. @param now  a snapshot, referenced here */
void bp_sessions_configure(struct bp_sessions *s, const struct bp_agent_config *now);
/** The key that signs recordings; NULL when they are not signed. Borrowed. */
const struct bp_sign_key *bp_sessions_device(const struct bp_sessions *s);
/** Finishes what is being recorded. Takes NULL. */
void bp_sessions_close(struct bp_sessions *s);
BP_DEFINE_CLEANUP(struct bp_sessions, bp_sessions_close)

/**
 * Starts a session.
 *
 * @param request  JSON object, borrowed; every key is optional and stands for what the
 * configuration says otherwise: name, topics, exclude_topics, types, regex, compression, mission,
 *                 operator, notes, tags, paused, max_time_s, max_size, segment_size,
 *                 segment_time_s
 * @param ret_id   of the session
 * @return 0, BP_EUSAGE for a request that is wrong (naming the key), -EEXIST, -EBUSY, -ENOSPC, …
 */
BP_MUST_CHECK int bp_sessions_start(struct bp_sessions *s, const json_t *request,
                                    char ret_id[static 27], struct bp_error *err);

enum bp_session_action { BP_SESSION_STOP, BP_SESSION_PAUSE, BP_SESSION_RESUME, BP_SESSION_SPLIT };
/**
 * @param key  id or name of a session that is being recorded; NULL: the only one
 * @return 0, -ENOENT, BP_EUSAGE when NULL and there are none or several, or what kept it from disk
 */
BP_MUST_CHECK int bp_sessions_act(struct bp_sessions *s, const char *key,
                                  enum bp_session_action action, char ret_id[static 27],
                                  struct bp_error *err);
/** Writes a mark into the recording and the catalogue. `values`: JSON object of texts, or NULL. */
BP_MUST_CHECK int bp_sessions_mark(struct bp_sessions *s, const char *key, const char *text,
                                   const json_t *values, struct bp_error *err);

/** The same into every session that runs. @return how many, or the last failure */
BP_MUST_CHECK int bp_sessions_mark_all(struct bp_sessions *s, const char *text,
                                       const json_t *values, struct bp_error *err);
struct bp_save;
struct bp_save_opts;
/**
 * Starts a session that is filled from the history. bp_save_run() fills it, then
 * bp_sessions_end_snapshot() finishes it; stopped by others before, bp_save_run() returns early.
 *
 * @param request     name, topics, exclude_topics, mission, operator, notes, tags, compression
 * @param custom      "key=value" for its metadata.yaml, ending with NULL; borrowed for the call
 * @param ring_bytes  of its writer
 * @param window      history, from and until; writer and selection are the session's
 * @param ret         owned by the caller; close it after bp_sessions_end_snapshot()
 */
BP_MUST_CHECK int bp_sessions_start_snapshot(struct bp_sessions *s, const json_t *request,
                                             const char *const *custom, uint64_t ring_bytes,
                                             const struct bp_save_opts *window,
                                             char ret_id[static 27], struct bp_save **ret,
                                             struct bp_error *err);
/** Finishes it, unless somebody has. */
int bp_sessions_end_snapshot(struct bp_sessions *s, const char *id, struct bp_error *err);
/**
 * Changes what people say about a session, running or not: mission, operator, notes (texts), tags
 * (list of texts). Its name is that of its folder and stays. All of it or nothing.
 *
 * @return 0, -ENOENT, BP_EUSAGE naming the key, or why it could not be written down
 */
BP_MUST_CHECK int bp_sessions_edit(struct bp_sessions *s, const char *key, const json_t *patch,
                                   struct bp_error *err);

/** One session as JSON (live counters when it runs), or NULL: not there. Owned by the caller. */
json_t *bp_sessions_get(struct bp_sessions *s, const char *key);
/** The same without its marks. */
json_t *bp_sessions_brief(struct bp_sessions *s, const char *key);
/** {"sessions": […], "next": id or null}. */
int bp_sessions_list(struct bp_sessions *s, const struct bp_catalog_query *q, json_t **ret,
                     struct bp_error *err);
/** Its topics with counts and losses: {"topics": […]}; for sessions that run. */
json_t *bp_sessions_topics(struct bp_sessions *s, const char *key);

/* What is recorded while the host is at a limit. */
struct bp_sessions_limit {
    bool plain;               /* nothing is compressed */
    enum bp_take_limit limit; /* by priority */
    bp_ns_t gap;              /* of BP_TAKE_THIN_LOW */
    char text[200]; /* for the mark: "temperature: low priorities thinned out"; "" = none */
};
/** For all sessions, those that run (with a mark in each) and those that begin later. Any thread.
 */
void bp_sessions_set_limit(struct bp_sessions *s, const struct bp_sessions_limit *l);

/* What the sessions that run have of one robot, together. */
struct bp_robot_sums {
    uint64_t messages, bytes, lost, lost_by[BP_LOSS_N_];
};
void bp_sessions_robot_sums(struct bp_sessions *s, const char *robot, struct bp_robot_sums *ret);
/** Names of the running sessions that have topics of a robot: a JSON array, owned by the caller. */
json_t *bp_sessions_of_robot(struct bp_sessions *s, const char *robot);

struct bp_sessions_stats {
    unsigned running, paused;
    uint64_t messages, bytes, lost, disk_free, ring_used, ring_size;
    uint64_t lost_by[BP_LOSS_N_];
    double ring_fullest; /* of the fullest ring, 0 to 1 */
    char fullest[256];   /* its session */
    bool disk_full;
    bp_ns_t durable_wall_ns; /* the oldest of the running ones, 0 = none runs */
    bp_ns_t ticked_mono;     /* the same of when their writers came around their loops */
};
void bp_sessions_stats(struct bp_sessions *s, struct bp_sessions_stats *ret);
/** Families of metrics about all sessions of this life together. */
void bp_sessions_totals(struct bp_sessions *s, struct bp_buf *out);
/** Families of metrics about running sessions. */
void bp_sessions_metrics(struct bp_sessions *s, struct bp_buf *out);

/** What running sessions have lost: {topic: {cause: count}}, without what is zero. Owned by the
 *  caller. */
json_t *bp_sessions_losses(struct bp_sessions *s);
/** Has a request only these keys? @return 0, or BP_EUSAGE naming one that it has, too */
BP_MUST_CHECK int bp_request_keys(const json_t *request, const char *const *known, size_t n,
                                  struct bp_error *err);
/** The ledger of a session that runs, as bp_writer_ledger(). @return as there, or -ENOENT */
BP_MUST_CHECK int bp_sessions_ledger(struct bp_sessions *s, const char *id,
                                     struct bp_writer_ledger *ret, struct bp_error *err);

/** Stops sessions whose time is over or that are as large as they may be; where the configuration
 *  says so the next one begins, with the same request. Called about once a second. */
void bp_sessions_tick(struct bp_sessions *s);
