#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "crypt/secretmem.h"

/* Credentials (of object stores, webhooks, clouds) in one encrypted file. Whoever needs one asks by
 * name and clears it when it is used; none is ever shown or logged. Format: docs/formats/vault.md.
 *
 * Each call reads the file anew, so what `bagpipe secret` has changed counts at once. Any thread,
 * any number of processes: writers take turns by a lock file. */
struct bp_vault;

enum {
    BP_VAULT_FILE_MAX = BP_SECRET_MAX,
    BP_VAULT_NAME_MAX = 64, /* of A-Z a-z 0-9 . _ - */
    BP_VAULT_VALUE_MAX = 64 << 10,
};

/* Where the key may come from, first to last: $BAGPIPE_VAULT_KEY, `key_file`, the systemd
 * credential bagpipe.vault_key, the kernel's keyring (a "user" key named bagpipe:vault), `own_key`.
 * A key is 32 bytes as hex or base64, else a passphrase. */
struct bp_vault_opts {
    const char *path;     /* the vault */
    const char *key_file; /* configured: must be there; NULL or "" = none */
    const char *own_key; /* file where a key is made, for its owner alone, when there is no other */
};

/**
 * Takes the secrets out of the environment (BAGPIPE_VAULT_KEY, CLOUD_AUTH_TOKEN), so call it before
 * threads start. Neither vault nor key need be there yet.
 *
 * @return 0, -ENOMEM, or why the key cannot be read
 */
BP_MUST_CHECK int bp_vault_open(const struct bp_vault_opts *o, struct bp_vault **ret,
                                struct bp_error *err);
/** Clears and frees. Takes NULL. */
void bp_vault_close(struct bp_vault *v);
BP_DEFINE_CLEANUP(struct bp_vault, bp_vault_close)

/** Where the key came from, for people: "$BAGPIPE_VAULT_KEY", a path, …; "" when there is none. */
const char *bp_vault_key_source(const struct bp_vault *v);

/**
 * A secret: from the environment (`cloud_auth_token`: CLOUD_AUTH_TOKEN), from a systemd credential
 * named `bagpipe.NAME`, else from the vault.
 *
 * @param ret  release with bp_secret_done()
 * @return 0; -ENOENT when there is none of that name; -EACCES when the key does not open the vault
 *         (or it was changed); BP_EFORMAT; other errnos of the file
 */
BP_MUST_CHECK int bp_vault_get(struct bp_vault *v, const char *name, struct bp_secret *ret,
                               struct bp_error *err);
/** A value of the configuration: "secret:NAME" stands for the secret, anything else for itself.
 *  @return as bp_vault_get() */
BP_MUST_CHECK int bp_vault_resolve(struct bp_vault *v, const char *text, struct bp_secret *ret,
                                   struct bp_error *err);

/** Adds or replaces. @return 0; BP_EUSAGE for a name or value that is not allowed; as above */
BP_MUST_CHECK int bp_vault_set(struct bp_vault *v, const char *name, const struct bp_secret *value,
                               struct bp_error *err);
/** @return 0, -ENOENT, or as above */
BP_MUST_CHECK int bp_vault_remove(struct bp_vault *v, const char *name, struct bp_error *err);

/** One secret without its value. @param set_ns  wall time when it was set */
typedef void bp_vault_fn(void *ctx, const char *name, int64_t set_ns);
/** Names in the vault, sorted. A vault that is not there has none. @return 0, or as above */
BP_MUST_CHECK int bp_vault_list(struct bp_vault *v, bp_vault_fn *fn, void *ctx,
                                struct bp_error *err);
