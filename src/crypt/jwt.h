#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* JSON Web Tokens (RFC 7519) that somebody else signs: verified only, and never by the token's own
 * choice. Each key is of one kind and so has one algorithm (RFC 8725 §3.1): a token that names
 * another is refused, "none" is unknown, a public key cannot become the secret of an HMAC. */
struct bp_jwt_keys;

enum { BP_JWT_MAX = 8192, BP_JWT_MAX_KEYS = 32 };

/**
 * Reads a JSON Web Key Set (RFC 7517): {"keys": [{"kty": "oct", "k": …} for HS256, {"kty": "EC",
 * "crv": "P-256", "x": …, "y": …} for ES256, {"kty": "OKP", "crv": "Ed25519", "x": …} for EdDSA]},
 * each with "kid", "alg" and "use" if it likes; an "alg" must be that of the kind.
 *
 * @param ret  owned by the caller, release with bp_jwt_keys_free(); constant, any thread
 * @return 0; BP_ECONFIG naming the key and what is wrong with it; -ENOMEM
 */
BP_MUST_CHECK int bp_jwt_keys_read(struct bp_str json, struct bp_jwt_keys **ret,
                                   struct bp_error *err);
/** Takes NULL; secrets are wiped. */
void bp_jwt_keys_free(struct bp_jwt_keys *keys);
BP_DEFINE_CLEANUP(struct bp_jwt_keys, bp_jwt_keys_free)
/** Is there one that whoever reads it could sign with? */
bool bp_jwt_keys_secret(const struct bp_jwt_keys *keys);

/* What a token must say besides being signed and in time; NULL or "" = anything. */
struct bp_jwt_rules {
    const char *issuer;   /* `iss` is this */
    const char *audience; /* `aud` is or holds this */
    bp_ns_t leeway;       /* how far clocks may be apart */
};

/**
 * Verifies signature, `exp` (required), `nbf`, and the rules.
 *
 * @param token       "HEADER.PAYLOAD.SIGNATURE", at most BP_JWT_MAX bytes
 * @param ret_claims  the payload, owned by the caller
 * @return 0; BP_EFORMAT when it is not a token; -EACCES when it is not a good one, `err` telling
 *         why; -ENOMEM
 */
BP_MUST_CHECK int bp_jwt_verify(const struct bp_jwt_keys *keys, const struct bp_jwt_rules *rules,
                                bp_ns_t wall_now, struct bp_str token, json_t **ret_claims,
                                struct bp_error *err);
