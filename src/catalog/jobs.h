#pragma once

#include "catalog/catalog.h"

/* Long work and what came of it. Rows outlive the process that did the work. Any thread. */

/* Texts are never NULL in what a function here returned; NULL is read as "". */
struct bp_catalog_job {
    char id[27];          /* ULID */
    char *kind, *subject; /* owned: "verify"; what it is about, an id or "" */
    char *state;          /* owned: queued, running, done, failed, cancelled, interrupted */
    char *log, *error;    /* owned: lines */
    char *result;         /* owned: JSON, or "" */
    bp_ns_t created_ns, started_ns, ended_ns; /* wall, 0 = not yet */
    uint64_t done, total;                     /* in what the kind counts; total 0 = not known */
};

/** Frees the texts and zeroes. */
void bp_catalog_job_done(struct bp_catalog_job *j);
#define BP_AUTO_CATALOG_JOB BP_CLEANUP(bp_catalog_job_done) struct bp_catalog_job

/** Adds or replaces by id. @return as bp_catalog_put() */
BP_MUST_CHECK int bp_catalog_put_job(struct bp_catalog *c, const struct bp_catalog_job *j,
                                     struct bp_error *err);
/** @return 0, -ENOENT, or as bp_catalog_get() */
BP_MUST_CHECK int bp_catalog_get_job(struct bp_catalog *c, const char *id,
                                     struct bp_catalog_job *ret, struct bp_error *err);
/** @return 0, -ENOENT, … */
BP_MUST_CHECK int bp_catalog_drop_job(struct bp_catalog *c, const char *id, struct bp_error *err);
/**
 * Newest first; as bp_catalog_list().
 *
 * @param before  id: only older ones, or NULL
 * @param limit   at most so many
 */
int bp_catalog_each_job(struct bp_catalog *c, const char *before, uint32_t limit,
                        int (*fn)(void *ctx, const struct bp_catalog_job *j), void *ctx,
                        struct bp_error *err);
/** What an earlier life left queued or running is interrupted; of others only the newest `keep`
 *  stay. @return 0 or as above */
BP_MUST_CHECK int bp_catalog_settle_jobs(struct bp_catalog *c, bp_ns_t wall_ns, uint32_t keep,
                                         struct bp_error *err);
