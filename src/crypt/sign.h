#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* Ed25519 signatures (RFC 8032). A device proves with its key that a recording is its own; whoever
 * has the public key checks it. Files are what OpenSSL writes: a private key is PEM, PKCS#8
 * (`openssl genpkey -algorithm ed25519`), a public one PEM, SubjectPublicKeyInfo. */

enum {
    BP_PUBLIC_KEY_LEN = 32,
    BP_SIGNATURE_LEN = 64,
    BP_PUBLIC_KEY_TEXT = 8 + 64 + 1, /* "ed25519:" and hex digits, with NUL */
};

/* A private key; constant after it was made, any thread. Its bytes lie in protected memory. */
struct bp_sign_key;

/** A new one from the kernel's randomness. @return 0, -ENOMEM, or why there is no randomness */
BP_MUST_CHECK int bp_sign_key_new(struct bp_sign_key **ret, struct bp_error *err);
/** Clears and frees. Takes NULL. */
void bp_sign_key_free(struct bp_sign_key *k);
BP_DEFINE_CLEANUP(struct bp_sign_key, bp_sign_key_free)

/**
 * Reads a private key.
 *
 * @return 0; -ENOENT, -EACCES, …; -EPERM when others than the owner may read the file; BP_EFORMAT
 *         when it is no Ed25519 key in PEM
 */
BP_MUST_CHECK int bp_sign_key_load(const char *path, struct bp_sign_key **ret,
                                   struct bp_error *err);
/** The same of text in memory. @return 0, BP_EFORMAT, -ENOMEM */
BP_MUST_CHECK int bp_sign_key_parse(struct bp_str pem, struct bp_sign_key **ret,
                                    struct bp_error *err);
/**
 * Writes the private key to `path`, for its owner alone, and the public one to `path`.pub; both
 * last across a power cut. Never overwrites a private key.
 *
 * @return 0, -EEXIST, or an errno
 */
BP_MUST_CHECK int bp_sign_key_save(const struct bp_sign_key *k, const char *path,
                                   struct bp_error *err);
/** Reads the key at `path`, or makes one when there is no file. @param ret_made  may be NULL */
BP_MUST_CHECK int bp_sign_key_open(const char *path, struct bp_sign_key **ret, bool *ret_made,
                                   struct bp_error *err);

const uint8_t *bp_sign_key_public(const struct bp_sign_key *k);

BP_MUST_CHECK int bp_sign(const struct bp_sign_key *k, const void *p, size_t n,
                          uint8_t ret[static BP_SIGNATURE_LEN]);
/** @return 0; BP_EMISMATCH when the signature is not that key's over these bytes; -ENOMEM */
BP_MUST_CHECK int bp_sign_check(const uint8_t key[static BP_PUBLIC_KEY_LEN], const void *p,
                                size_t n, const uint8_t sig[static BP_SIGNATURE_LEN]);

enum { BP_DEVICE_ID_TEXT = 65 }; /* of a device's id, with its NUL; those of keys are shorter */
/** What a device is called whose key this is: "d-" and the first 20 hex digits of its digest.
 * @return `ret` */
char *bp_device_id_of_key(const uint8_t key[static BP_PUBLIC_KEY_LEN],
                          char ret[static BP_DEVICE_ID_TEXT]);

/** "ed25519:" and 64 hex digits. @return `text` */
char *bp_public_key_text(const uint8_t key[static BP_PUBLIC_KEY_LEN],
                         char text[static BP_PUBLIC_KEY_TEXT]);
/** PEM, or hex or base64 digits, with or without "ed25519:" before. @return 0 or BP_EFORMAT */
BP_MUST_CHECK int bp_public_key_parse(struct bp_str text, uint8_t ret[static BP_PUBLIC_KEY_LEN]);
/** A public key as people name it: the text itself, or a file that holds it (also a private key's:
 *  the public one that belongs to it). @return 0, BP_EUSAGE, or why the file cannot be read */
BP_MUST_CHECK int bp_public_key_read(const char *what, uint8_t ret[static BP_PUBLIC_KEY_LEN],
                                     struct bp_error *err);

/**
 * Exactly n bytes from hex digits or base64 (either alphabet, with or without padding); white space
 * around is skipped.
 *
 * @return 0, or BP_EFORMAT: `ret` may then hold some of it
 */
BP_MUST_CHECK int bp_key_digits(struct bp_str text, uint8_t *ret, size_t n);
