#pragma once

#include "catalog/catalog.h"

/* What decides how long a session stays: its class, whether it was uploaded or is kept by hand, its
 * marks. Columns of their own, which bp_catalog_put() leaves as they are. Any thread. */
struct bp_catalog_keep {
    char id[27];
    enum bp_session_status status;
    char *name, *dir, *class_, *deleted_why; /* owned, or borrowed for a callback */
    bp_ns_t started_ns, ended_ns;            /* wall */
    bp_ns_t uploaded_ns;                     /* wall; 0 = not */
    bp_ns_t deleted_ns;                      /* wall; of a tombstone */
    uint64_t bytes;
    uint32_t marks;
    bool keep;
};

/** Frees the texts and zeroes. */
void bp_catalog_keep_done(struct bp_catalog_keep *k);
#define BP_AUTO_CATALOG_KEEP BP_CLEANUP(bp_catalog_keep_done) struct bp_catalog_keep

/**
 * Every session that is not deleted, oldest first.
 *
 * @param fn  as that of bp_catalog_list()
 */
int bp_catalog_each_keep(struct bp_catalog *c,
                         int (*fn)(void *ctx, const struct bp_catalog_keep *k), void *ctx,
                         struct bp_error *err);
/** @param id  not a name; @return 0, -ENOENT, or as bp_catalog_get() */
BP_MUST_CHECK int bp_catalog_get_keep(struct bp_catalog *c, const char *id,
                                      struct bp_catalog_keep *ret, struct bp_error *err);

/** Kept by hand: no limit deletes it. @return 0, -ENOENT, or as bp_catalog_put() */
BP_MUST_CHECK int bp_catalog_set_keep(struct bp_catalog *c, const char *id, bool keep,
                                      struct bp_error *err);
/** There is a copy elsewhere. @param wall_ns  since when; 0 = there is none after all */
BP_MUST_CHECK int bp_catalog_set_uploaded(struct bp_catalog *c, const char *id, bp_ns_t wall_ns,
                                          struct bp_error *err);
/**
 * Makes a tombstone of the row: its folder is gone, or about to go. Marks stay.
 *
 * @param why  a sentence fragment: "older than max_age"
 */
BP_MUST_CHECK int bp_catalog_bury(struct bp_catalog *c, const char *id, bp_ns_t wall_ns,
                                  const char *why, struct bp_error *err);

/* What sync remembers of a session: a text of its own, "" at first. */
/** @param ret  heap, owned by the caller; @return 0, -ENOENT, or as bp_catalog_get() */
BP_MUST_CHECK int bp_catalog_get_sync(struct bp_catalog *c, const char *id, char **ret,
                                      struct bp_error *err);
/** @return 0, -ENOENT, or as bp_catalog_put() */
BP_MUST_CHECK int bp_catalog_set_sync(struct bp_catalog *c, const char *id, const char *text,
                                      struct bp_error *err);
