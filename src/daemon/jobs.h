#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "catalog/catalog.h"
#include "daemon/bus.h"

/* Long work on workers of its own: an id, progress, a log, cancelling, a result that stays. A job
 * is known to the catalogue from its first moment; what the agent's end cut short is found
 * "interrupted" by the next one. Any thread. */
struct bp_jobs;
struct bp_job;

enum { BP_JOBS_WORKERS = 2, BP_JOBS_LIVE = 64, BP_JOBS_KEPT = 500 };

/** @param catalog, bus  borrowed, outlive it; the bus hears "jobs": {event: queued, started, ended;
 *                       job: as bp_jobs_get() tells it} */
BP_MUST_CHECK int bp_jobs_open(struct bp_catalog *catalog, struct bp_bus *bus, struct bp_jobs **ret,
                               struct bp_error *err);
/** Cancels what runs and waits for it. Takes NULL. */
void bp_jobs_close(struct bp_jobs *j);
BP_DEFINE_CLEANUP(struct bp_jobs, bp_jobs_close)

struct bp_job_opts {
    const char *kind;    /* "verify"; constant for ever */
    const char *subject; /* id of what it is about, or ""; copied */
    /**
     * Does it, on a worker.
     *
     * @param ret  its result, taken over; or NULL
     * @return 0, -ECANCELED as bp_job_progress() said, or why it failed
     */
    int (*run)(struct bp_job *job, void *arg, json_t **ret, struct bp_error *err);
    void (*done)(void *arg); /* frees arg; called once, also when it could not be started */
    void *arg;
};

/** @return 0; -EAGAIN when BP_JOBS_LIVE wait or run; -ENOMEM; or why it cannot be written down */
BP_MUST_CHECK int bp_jobs_start(struct bp_jobs *j, const struct bp_job_opts *o,
                                char ret_id[static 27], struct bp_error *err);

/* ---- for `run` ---- */

/** How far it is. @return 0, or -ECANCELED: it is to end soon */
int bp_job_progress(struct bp_job *job, uint64_t done, uint64_t total);
bool bp_job_cancelled(const struct bp_job *job);
/** Adds a line to its log, which holds the first 64 KiB. */
void bp_job_log(struct bp_job *job, const char *text);

/* ---- for whoever asks ---- */

/** Owned by the caller. @return 0, -ENOENT, … */
BP_MUST_CHECK int bp_jobs_get(struct bp_jobs *j, const char *id, json_t **ret,
                              struct bp_error *err);
/** {"jobs": […], "next": id or null}, newest first, without their logs. */
BP_MUST_CHECK int bp_jobs_list(struct bp_jobs *j, const char *before, uint32_t limit, json_t **ret,
                               struct bp_error *err);
/** Cancels what waits or runs (it ends soon, not at once); forgets what has ended.
 *  @return 1 cancelled, 0 forgotten, -ENOENT, … */
BP_MUST_CHECK int bp_jobs_cancel(struct bp_jobs *j, const char *id, struct bp_error *err);
/** Waiting or running now. */
size_t bp_jobs_live(struct bp_jobs *j);
