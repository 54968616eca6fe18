#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/io.h"

struct bp_sign_key;
struct bp_keyring;

/* What recovery found and did, for people and for --json. */
struct bp_recovery {
    uint32_t segments, segments_closed, segments_removed;
    uint64_t groups, messages_kept, from_ring, from_journal;
    uint64_t torn_bytes, lost_messages; /* lost: known from sequence numbers or damaged chunks */
    bool needed;                        /* false: the folder was whole */
    bool after_power_cut;               /* no usable ring was left */
    char *report;                       /* heap text, one line per topic that lost something */
};
void bp_recovery_done(struct bp_recovery *r);

struct bp_recover_opts {
    const struct bp_io *io;  /* NULL = bp_io_posix */
    struct bp_keyring *keys; /* borrowed: opens sealed segments, and seals what is recovered; NULL =
                                those of the process */
    bool hide_names;         /* as in bp_writer_opts */
    bool recipients_given;   /* seal for `keys` alone, not for those the session names */
    const char *ring_dir;    /* as in bp_writer_opts */
    bool discard;            /* do not keep damaged originals in .damaged/ */
    const char *definitions; /* folder with .msg files to complete unknown schemas, or NULL */
    bool dry_run;
    const struct bp_sign_key *signer; /* borrowed: signs what was recovered; NULL = unsigned */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};

/**
 * Brings an interrupted session folder, or any damaged MCAP file (also foreign, also an
 * interrupted rosbag2 recording), back to a whole one. Idempotent; never worsens a file.
 *
 * @return 0 (see ret->needed), BP_EBUSY while a recorder is alive, -ENOSPC with what is missing and
 *         nothing changed, BP_EFORMAT when nothing in it is usable, or an errno.
 */
BP_MUST_CHECK int bp_recover(const char *path, const struct bp_recover_opts *o,
                             struct bp_recovery *ret, struct bp_error *err);

/**
 * Lists session folders directly below `dir` (or `dir` itself) that were interrupted.
 *
 * @param ret  heap array of heap paths, owned by the caller
 */
BP_MUST_CHECK int bp_recover_find(const char *dir, char ***ret, size_t *ret_n);
