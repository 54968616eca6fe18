#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bag/writer.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/io.h"
#include "base/time.h"

/* manifest.json: the list of a session's segments with sizes, counts and SHA-256, and the sums of
 * its ledger. Written when a session is closed or recovered; what verify, sync and a catalogue
 * compare files with. Format: docs/formats/session.md. One owner thread; strings are owned by the
 * struct and never NULL in what a function here made. */

#define BP_MANIFEST_FILE   "manifest.json"
#define BP_MANIFEST_SCHEMA "bagpipe.session/1"

enum { BP_MANIFEST_BYTES_MAX = 64 << 20 };

struct bp_manifest_segment {
    char *file; /* base name in the session folder */
    uint64_t bytes;
    char sha256[65];             /* of the whole file, lower-case hex */
    char chain[65];              /* its link in manifest.sig (proof.h), "" when not signed */
    uint64_t messages, repeated; /* in the file; of them latched ones repeated at its head */
    bp_ns_t first_ns, last_ns;   /* log time; 0, 0 without messages */
};

struct bp_manifest_channel {
    char *topic, *type, *robot;
    uint32_t domain;
    uint64_t received; /* accepted, each counted once */
    uint64_t lost[BP_LOSS_N_];
};

/* One recovery of the session after a crash or power cut. */
struct bp_manifest_recovery {
    bp_ns_t wall_ns;
    bool power_cut; /* no usable ring was left */
    uint64_t kept, from_ring, from_journal, lost, torn_bytes;
    char *report; /* text, may have several lines */
};

struct bp_manifest_step {
    bp_ns_t log_ns;  /* when it was noticed */
    bp_ns_t step_ns; /* positive = the wall clock was put forward */
};

/* Zero-initialise to build one; the zeroed struct is released by bp_manifest_done() too. */
struct bp_manifest {
    char *id, *name; /* ULID; base name of the folder */
    char *tool;      /* "bagpipe 0.1.0"; set by bp_manifest_init() */
    char *signed_by; /* public key of the device as text, "" when not signed */
    bp_ns_t created_ns;
    enum bp_durability_mode durability;
    bp_ns_t commit_interval;
    struct bp_manifest_segment *segments;
    size_t nsegments;
    struct bp_manifest_channel *channels;
    size_t nchannels;
    struct bp_manifest_recovery *recoveries;
    size_t nrecoveries;
    struct bp_manifest_step *steps;
    size_t nsteps;
};

/** Frees what the struct owns and zeroes it. Takes NULL. */
void bp_manifest_done(struct bp_manifest *m);
#define BP_AUTO_MANIFEST BP_CLEANUP(bp_manifest_done) struct bp_manifest

/* ---- building: strings are copied, the rest of the structs too; 0 or -ENOMEM ---- */

BP_MUST_CHECK int bp_manifest_init(struct bp_manifest *m, const char *id, const char *name,
                                   bp_ns_t created_ns);
BP_MUST_CHECK int bp_manifest_add_segment(struct bp_manifest *m,
                                          const struct bp_manifest_segment *s);
BP_MUST_CHECK int bp_manifest_add_channel(struct bp_manifest *m,
                                          const struct bp_manifest_channel *c);
BP_MUST_CHECK int bp_manifest_add_recovery(struct bp_manifest *m,
                                           const struct bp_manifest_recovery *r);
BP_MUST_CHECK int bp_manifest_add_step(struct bp_manifest *m, struct bp_manifest_step s);

/**
 * Reads a whole file for its size and SHA-256.
 *
 * @param progress  called now and then with the bytes read since the last call; may be NULL
 * @return 0 or an errno, -ECANCELED when `progress` returned nonzero
 */
BP_MUST_CHECK int bp_manifest_hash_file(const struct bp_io *io, const char *path,
                                        uint64_t *ret_bytes, char ret_hex[static 65],
                                        int (*progress)(void *ctx, uint64_t bytes), void *ctx,
                                        struct bp_error *err);

/* ---- files ---- */

/** Appends the JSON text. @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_manifest_format(const struct bp_manifest *m, struct bp_buf *out);
/**
 * Replaces `dir`/manifest.json whole, also across a power cut.
 *
 * @param ret_sha256  digest of what was written, 32 bytes; may be NULL
 * @return 0 or an errno
 */
BP_MUST_CHECK int bp_manifest_write(const struct bp_io *io, const char *dir,
                                    const struct bp_manifest *m, uint8_t *ret_sha256,
                                    struct bp_error *err);
/**
 * @param name  of the file, for errors
 * @return 0, BP_EFORMAT naming place and remedy, BP_EUNSUPPORTED for a schema of a later major
 *         version, -ENOMEM
 */
BP_MUST_CHECK int bp_manifest_parse(struct bp_str json, const char *name, struct bp_manifest *ret,
                                    struct bp_error *err);
/** Reads `dir`/manifest.json. @return as above, or -ENOENT and other errnos of the file */
BP_MUST_CHECK int bp_manifest_read(const struct bp_io *io, const char *dir, struct bp_manifest *ret,
                                   struct bp_error *err);
