#pragma once

#include "catalog/archive-priv.h"

/* What the files that write to the archive share: within a transaction of the writer. */

/** Sums, duration and state of a session, made of its rows. */
BP_MUST_CHECK int bp_archive_refresh(struct bp_archive_conn *c, int64_t num, bp_ns_t wall_ns,
                                     bool *ret_complete, struct bp_error *err);
BP_MUST_CHECK int bp_archive_count_marks(struct bp_archive_conn *c, int64_t num,
                                         struct bp_error *err);

/* ---- archive-edit.c ---- */

/** Merges what a device says into the document, writes texts, records decisions. */
BP_MUST_CHECK int bp_archive_merge_about(struct bp_archive_conn *c, int64_t num,
                                         const struct bp_archive_about *s,
                                         enum bp_archive_policy policy, bp_ns_t wall_ns,
                                         uint32_t *conflicts, struct bp_error *err);

/* A second content under a name. */
struct bp_archive_second {
    const char *id, *file;
    const uint8_t *theirs; /* digest */
    enum bp_archive_policy policy;
    bp_ns_t wall_ns;
    char device[129]; /* out: of the session */
};
/** Records what the policy makes of it. */
BP_MUST_CHECK int bp_archive_decide_file(struct bp_archive_conn *c, int64_t num,
                                         struct bp_archive_second *s, struct bp_error *err);
