#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macro.h"

/* What sealing is made of: AES-256-GCM, X25519, HKDF, HMAC, scrypt, random bytes. All over OpenSSL.
 * Any thread, but each bp_aead belongs to one at a time. */

enum { BP_KEY_LEN = 32, BP_TAG_LEN = 16, BP_NONCE_LEN = 12 };

/** Overwrites secrets; is never optimised away. */
void bp_wipe(void *p, size_t n);

/** @return 0, or -EIO when the system has no randomness to give */
BP_MUST_CHECK int bp_random(void *p, size_t n);

/* AES-256-GCM with one key. */
struct bp_aead;

/** @return NULL when out of memory. Release with bp_aead_free(), which wipes the key. */
struct bp_aead *bp_aead_new(const uint8_t key[static BP_KEY_LEN]);
void bp_aead_free(struct bp_aead *a);
/** The same key for another thread. @return NULL when out of memory */
struct bp_aead *bp_aead_dup(const struct bp_aead *a);
BP_DEFINE_CLEANUP(struct bp_aead, bp_aead_free)

/**
 * Encrypts n bytes (below 2 GiB) from `in` to `out`, which may be the same.
 *
 * @param nonce  never twice with one key
 * @param aad    bound to the text, not hidden
 * @return 0 or -EIO
 */
BP_MUST_CHECK int bp_aead_seal(struct bp_aead *a, const uint8_t nonce[static BP_NONCE_LEN],
                               const void *aad, size_t aad_n, const void *in, size_t n, void *out,
                               uint8_t ret_tag[static BP_TAG_LEN]);
/** The way back. @return 0, or BP_ECORRUPT when anything was changed; `out` is worthless then */
BP_MUST_CHECK int bp_aead_open(struct bp_aead *a, const uint8_t nonce[static BP_NONCE_LEN],
                               const void *aad, size_t aad_n, const void *in, size_t n, void *out,
                               const uint8_t tag[static BP_TAG_LEN]);

/** HKDF-SHA256 (RFC 5869), 32 bytes. @return 0 or -EIO */
BP_MUST_CHECK int bp_hkdf(const void *input, size_t input_n, const void *salt, size_t salt_n,
                          const char *info, uint8_t ret[static BP_KEY_LEN]);

/** HMAC-SHA256 (RFC 2104). @return 0 or -EIO */
BP_MUST_CHECK int bp_hmac(const uint8_t key[static BP_KEY_LEN], const void *p, size_t n,
                          uint8_t ret[static 32]);

/** Do n bytes agree? Takes the same time wherever they differ. */
int bp_same_bytes(const void *a, const void *b, size_t n);

/* Cost of a passphrase: N = 2^log_n. */
struct bp_scrypt_cost {
    uint8_t log_n, r, p;
};

/**
 * scrypt (RFC 7914), 32 bytes.
 *
 * @return 0, BP_ELIMIT when the cost is above what docs/formats/sealed.md allows, -ENOMEM
 */
BP_MUST_CHECK int bp_scrypt(const void *pass, size_t pass_n, const void *salt, size_t salt_n,
                            struct bp_scrypt_cost cost, uint8_t ret[static BP_KEY_LEN]);

/** A new X25519 key pair (RFC 7748). @return 0 or -EIO */
BP_MUST_CHECK int bp_x25519_new(uint8_t ret_private[static BP_KEY_LEN],
                                uint8_t ret_public[static BP_KEY_LEN]);
BP_MUST_CHECK int bp_x25519_public(const uint8_t private_key[static BP_KEY_LEN],
                                   uint8_t ret[static BP_KEY_LEN]);
/** @return 0, or BP_ECORRUPT for a peer's key that gives no secret (all zeros) */
BP_MUST_CHECK int bp_x25519_shared(const uint8_t private_key[static BP_KEY_LEN],
                                   const uint8_t peer[static BP_KEY_LEN],
                                   uint8_t ret[static BP_KEY_LEN]);
