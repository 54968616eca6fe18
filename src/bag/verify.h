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
    bool proof;       /* no damage to the data: it is not what the device has signed */
    const char *path; /* file or folder; borrowed for the call */
    bool at_byte;     /* `offset` says where in the file */
    uint64_t offset;
    const char *text;   /* a sentence fragment */
    const char *remedy; /* what to do, or NULL */
};

/* Of the data alone: a recording that is not as it was signed may be whole. */
enum bp_verdict { BP_VERDICT_WHOLE, BP_VERDICT_DAMAGED, BP_VERDICT_UNUSABLE };

/* What is known of who recorded it; the worst of several folders. */
enum bp_proof_state {
    BP_PROOF_NONE,     /* nothing in it can be signed: files given alone */
    BP_PROOF_SIGNED,   /* as it was signed; by the right key, if one was given */
    BP_PROOF_UNSIGNED, /* nobody says that it was signed */
    BP_PROOF_OTHER,    /* as it was signed, but by another key */
    BP_PROOF_BROKEN,   /* not as it was signed */
};

struct bp_verify_opts {
    const uint8_t *signed_by; /* public key (crypt/sign.h) that must have signed; NULL = any */
    unsigned threads;         /* 0 = by cores */
    /* Both on the calling thread; may be NULL. */
    void (*finding)(void *ctx, const struct bp_finding *f);
    /** In bytes; several times a second, also where no byte is added. @return not 0: the check ends
     *  soon, with -ECANCELED */
    int (*progress)(void *ctx, uint64_t done, uint64_t total);
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
    enum bp_proof_state proof;
    uint64_t unproven; /* findings of proof; not among `findings` */
    char key[80];      /* the key that signed, as text; "" when nothing is signed or several have */
    uint64_t recoveries, lost_in_recovery; /* by the manifests */
};

/**
 * Verifies files, session folders and folders of sessions.
 *
 * @return 0 when the check could be made (see ret->verdict), or -ENOENT, -ENOMEM, … when not;
 *         -ECANCELED
 */
BP_MUST_CHECK int bp_verify(const char *const *paths, size_t n, const struct bp_verify_opts *o,
                            struct bp_verify_result *ret, struct bp_error *err);
