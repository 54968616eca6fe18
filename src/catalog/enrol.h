#pragma once

#include "catalog/accounts.h"

/* One-time tokens by which a device that nobody knows gets in, as rows; only their digests are
 * kept. */
enum { BP_ENROLMENT_GROUPS = 1024, BP_ENROLMENTS_MAX = 1000 };

struct bp_catalog_enrolment {
    uint8_t digest[BP_ACCOUNT_DIGEST];
    char name[BP_ACCOUNT_NAME];       /* what it is for */
    char groups[BP_ENROLMENT_GROUPS]; /* JSON array of texts: what its device belongs to */
    bp_ns_t created_ns, expires_ns;   /* wall */
};

/* All fail as the functions of catalog.h. */

/** Adds; what has expired by `created_ns` goes. @return besides, BP_ELIMIT when there are
 *  BP_ENROLMENTS_MAX, -EEXIST when the name is taken */
BP_MUST_CHECK int bp_catalog_put_enrolment(struct bp_catalog *c,
                                           const struct bp_catalog_enrolment *e,
                                           struct bp_error *err);
/** Uses it up: it is gone when this returns 0, for good. @return besides, -ENOENT (unknown or
 * used), BP_EGONE (expired) */
BP_MUST_CHECK int bp_catalog_take_enrolment(struct bp_catalog *c,
                                            const uint8_t digest[static BP_ACCOUNT_DIGEST],
                                            bp_ns_t wall_now, struct bp_catalog_enrolment *ret,
                                            struct bp_error *err);
/** By time. @param fn  under the catalogue's lock: no bp_catalog_* in it */
BP_MUST_CHECK int bp_catalog_each_enrolment(struct bp_catalog *c,
                                            void (*fn)(void *ctx,
                                                       const struct bp_catalog_enrolment *e),
                                            void *ctx, struct bp_error *err);
/** @return besides, -ENOENT */
BP_MUST_CHECK int bp_catalog_remove_enrolment(struct bp_catalog *c, const char *name,
                                              struct bp_error *err);
