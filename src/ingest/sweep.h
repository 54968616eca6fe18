#pragma once

#include "ingest/ingest.h"

/* What a sweep found so far. */
struct bp_ingest_swept {
    uint64_t objects;                  /* looked at */
    uint64_t unwanted, unwanted_bytes; /* that no session has */
    uint64_t young;                    /* of them, put too lately, or before `since` */
    uint64_t deleted, deleted_bytes;
    bool more; /* there were so many that not all were dealt with: sweep again */
};

struct bp_ingest_sweep {
    bp_ns_t min_age; /* objects that were put later stay */
    /* wall: what was put before stays, too. An archive that was made anew from the objects knows
     * sessions and segments, not every file that somebody sent with them. 0 = never */
    bp_ns_t since;
    bool dry_run; /* only counts */
    bool force;   /* also what was put before `since`, and more than half of all objects */
    /** Now and then; nonzero ends it. May be NULL. */
    int (*progress)(void *ctx, const struct bp_ingest_swept *so_far);
    void *ctx;
};

/**
 * Deletes objects that no session and no unfinished upload has. Uploads go on meanwhile, and what
 * one takes up before its turn comes stays, whatever its age.
 *
 * @return 0; BP_EBUSY: more than half would go and not `force`; -ECANCELED; as the store or the
 *         archive. `ret` says how far it came in any case
 */
BP_MUST_CHECK int bp_ingest_sweep(struct bp_ingest *g, const struct bp_ingest_sweep *o,
                                  struct bp_ingest_swept *ret, struct bp_error *err);
