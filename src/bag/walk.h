#pragma once

#include "bag/segment.h"

/* Reads a segment of ours group by group, believing only what its commit blocks vouch for: each
 * group's bytes by CRC-32C, its place in the file, and the recording it belongs to. */
struct bp_walk {
    struct bp_segment *s; /* as if it had just been written: off = durable = end of the good part;
                             owned */
    uint64_t size;        /* of the file */
    uint64_t messages;    /* in good groups, without repeated ones */
    uint64_t bad_at;      /* where the first bad group starts, 0 = none */
    uint64_t resumes_at;  /* a good group behind a bad one: the file rotted, it did not tear; 0 */
    bool ended;           /* the closing part follows the last good group */
};

void bp_walk_done(struct bp_walk *w);

/**
 * @param defs  definitions found are added here
 * @param taken  by lane, message numbers that a later segment holds too (an abandoned one was not
 *               cut yet): the walk ends before the first group with one of them; or NULL
 * @return 0 (also when nothing in it is good: ret->s->off is 0 then), -ENOENT, -EIO, -ENOMEM
 */
BP_MUST_CHECK int bp_walk(const struct bp_io *io, const char *path, const struct bp_spans *taken,
                          struct bp_defs *defs, struct bp_walk *ret, struct bp_error *err);

/**
 * Cuts a segment at `durable` and builds what its summary needs from what the file holds. For one
 * whose write or sync failed: what memory says of it cannot be trusted.
 *
 * @param s  replaced; owned by the caller as before
 */
BP_MUST_CHECK int bp_walk_rebuild(struct bp_segment **s, uint64_t durable, struct bp_error *err);
