#pragma once

#include "bag/sealed.h"

/* Whole files into the sealed container and back. Any thread. */

struct bp_seal_opts {
    const struct bp_io *io; /* borrowed; the files as they are on disk */
    struct bp_keyring *keys;
    const char *session; /* id that headers tell, or NULL */
    /* Called now and then; nonzero stops with -ECANCELED. May be NULL. */
    int (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};

/**
 * Seals `from` into `to`, which is there whole and synced or not at all.
 *
 * @return 0; BP_EKEY without recipients; -EEXIST; an errno
 */
BP_MUST_CHECK int bp_seal_file(const struct bp_seal_opts *o, const char *from, const char *to,
                               struct bp_error *err);
/**
 * The way back.
 *
 * @return 0; BP_EKEY naming whom it is sealed to; BP_ECORRUPT, BP_ETRUNCATED: tampered with,
 * damaged or cut, and nothing written; -EEXIST; an errno
 */
BP_MUST_CHECK int bp_unseal_file(const struct bp_seal_opts *o, const char *from, const char *to,
                                 struct bp_error *err);

/**
 * Seals, or unseals, every MCAP file of a finished session folder, and tells metadata.yaml and
 * manifest.json; a signature, which was for the files as they were, becomes manifest.sig.old. The
 * files as they were go when all that stands for them is on disk; interrupted, it is done again by
 * calling again.
 *
 * @return 0; BP_EBUSY while it is recorded or was interrupted; as the above
 */
BP_MUST_CHECK int bp_seal_session(const struct bp_seal_opts *o, bool seal, const char *dir,
                                  struct bp_error *err);

/** Opens the container at `path` to be read. @param ret_fd  the caller's to close */
BP_MUST_CHECK int bp_sealed_open_path(const struct bp_io *io, const char *path,
                                      struct bp_keyring *keys, int *ret_fd, struct bp_sealed **ret,
                                      struct bp_error *err);
/** "sealed to key id …: give --key FILE" as an error of `path`; returns BP_EKEY. */
int bp_sealed_no_key(const struct bp_sealed *s, const char *path, struct bp_error *err);

/* How the fault of one that was closed without its key begins. */
#define BP_SEALED_CLOSED_TEXT "sealed container closed without key"

/**
 * Looks at every frame of a container: with a key, that each is genuine and in its place; without,
 * at CRCs.
 *
 * @param fn    called per fault with what is wrong; may be NULL
 * @param step  called per frame; not 0: ends with -ECANCELED; may be NULL
 * @return number of faults, or an errno
 */
BP_MUST_CHECK int bp_sealed_verify(struct bp_sealed *s, void (*fn)(void *ctx, const char *fault),
                                   int (*step)(void *ctx), void *ctx);
