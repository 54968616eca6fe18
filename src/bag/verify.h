#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Checks recordings against themselves: every byte that a checksum, an index or a count covers.
 * Nothing is changed. How: verify-mcap.c; what covers which byte of our own files:
 * docs/formats/session.md. */

enum bp_finding_level {
    BP_FINDING_NOTE,     /* worth knowing; the recording is whole */
    BP_FINDING_DAMAGE,   /* something is wrong or missing, the rest can be used */
    BP_FINDING_UNUSABLE, /* nothing of this file can be used */
    BP_FINDING_LEVELS_
};

struct bp_finding {
    enum bp_finding_level level;
    const char *path; /* file or folder; borrowed for the call */
    bool at_byte;     /* `offset` says where in the file */
    uint64_t offset;
    const char *text;   /* a sentence fragment */
    const char *remedy; /* what to do, or NULL */
};

enum bp_verdict { BP_VERDICT_WHOLE, BP_VERDICT_DAMAGED, BP_VERDICT_UNUSABLE };

struct bp_verify_opts {
    unsigned threads; /* 0 = by cores */
    /* Both on the calling thread; may be NULL. Progress is in bytes. */
    void (*finding)(void *ctx, const struct bp_finding *f);
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    /** True: end between two files with -ECANCELED. May be NULL. */
    bool (*cancelled)(void *ctx);
    void *ctx;
};

struct bp_verify_result {
    enum bp_verdict verdict;
    uint64_t files, bytes;
    uint64_t messages, repeated; /* seen; of them latched ones repeated at segment heads */
    uint64_t chunks, groups;     /* checked; groups: commits of our own files */
    uint64_t unchecked_chunks;   /* their writer stored no CRC */
    uint64_t findings[BP_FINDING_LEVELS_]; /* by level */
    uint64_t lost; /* messages, by the ledgers (not those left out on request) */
    uint64_t recoveries, lost_in_recovery; /* by the manifests */
};

/**
 * Verifies files, session folders and folders of sessions.
 *
 * @return 0 when the check could be made (see ret->verdict), or -ENOENT, -ENOMEM, … when not
 */
BP_MUST_CHECK int bp_verify(const char *const *paths, size_t n, const struct bp_verify_opts *o,
                            struct bp_verify_result *ret, struct bp_error *err);
