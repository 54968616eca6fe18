#pragma once

#include <pthread.h>

#include "base/mutex.h"
#include "ingest/ingest.h"
#include "ingest/request.h"

/* What the room's files share. Threads: handlers, on the server's workers; `ingest-check`, which
 * finishes what an earlier life left whole and then looks into recordings that have arrived. */
enum { BP_INGEST_JUDGES = 16 };

struct bp_ingest {
    struct bp_ingest_options o; /* defaults filled in */
    struct bp_spool *spool;
    /* Shared from finding or putting an object until the archive refers to it; alone while one that
       nobody refers to is deleted. Held over files and the archive: it is no lock of data. */
    pthread_rwlock_t objects;
    /* By session: what manifest and signature say together is judged and noted by one at a time, or
       who saw no signature yet would note that after the one who saw it. Held like `objects`. */
    struct bp_mutex judging[BP_INGEST_JUDGES];
    char *checks;         /* owned: folder of names for files that are being checked */
    struct bp_mutex lock; /* leaf */
    pthread_cond_t news;  /* something to check, or the end */
    bool ending;          /* [lock] */
    uint64_t arrived;     /* [lock] counts what might be checked */
    pthread_t checker;
    bool checking; /* it was started */
};

struct bp_ingest_stats {
    struct bp_counter parts, part_bytes, part_failed, stored, stored_bytes, known, known_bytes;
    struct bp_counter refused, expired, verified, damaged, complete;
};
extern struct bp_ingest_stats bp_ingest_stats;

/** Is what belongs to `device` theirs? */
bool bp_ingest_has(struct bp_ingest *g, const struct bp_ingest_who *who, const char *device);
/** Asks who it is; with `device` NULL for nobody's. @return 0; when what belongs to `device`
 *  is not theirs -EACCES, or -ENOENT for people */
BP_MUST_CHECK int bp_ingest_may(struct bp_ingest *g, struct bp_http_req *req, const char *device,
                                struct bp_ingest_who *ret, struct bp_error *err);
/** Tells of something; takes `data` over. */
void bp_ingest_tell(struct bp_ingest *g, const char *name, json_t *data);

/* --- arrive.c --- */
/**
 * A file of a session is an object: into the archive, and what it says of the session with it. Safe
 * to repeat.
 *
 * @return 0; -EEXIST when the policy refuses it; -ENOENT when there is no such session (any more);
 *         an errno, BP_ECORRUPT: to be repeated
 */
BP_MUST_CHECK int bp_ingest_arrived(struct bp_ingest *g, const struct bp_spool_meta *meta,
                                    struct bp_error *err);
/** An upload that was stored, by its id. @return 0, -ENOENT, or as the archive */
BP_MUST_CHECK int bp_ingest_find_stored(struct bp_ingest *g, const char *id,
                                        struct bp_spool_meta *ret, struct bp_error *err);
/** Finishes an upload. @return as bp_spool_finish() and bp_ingest_arrived() */
BP_MUST_CHECK int bp_ingest_finish(struct bp_ingest *g, const char *id, struct bp_error *err);

/* --- check.c --- */
BP_MUST_CHECK int bp_ingest_checks_start(struct bp_ingest *g, struct bp_error *err);
void bp_ingest_checks_stop(struct bp_ingest *g);
/** There is something to check. */
void bp_ingest_checks_wake(struct bp_ingest *g);
