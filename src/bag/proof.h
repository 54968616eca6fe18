#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/io.h"
#include "base/time.h"
#include "crypt/digest.h"
#include "crypt/sign.h"

/* manifest.sig: what the device that recorded a session signs. It lists the segments, each with its
 * size, SHA-256 and a link of a chain that binds order, count and session, and the SHA-256 of
 * manifest.json. While a session is recorded it is written whenever a segment was closed, without
 * the manifest, so that what is there can be proven even when the end never comes.
 * Format, and how to check it without us: docs/formats/signature.md. One owner thread. */

#define BP_PROOF_FILE   "manifest.sig"
#define BP_PROOF_SCHEMA "bagpipe.proof/1"

enum { BP_PROOF_BYTES_MAX = 64 << 20 };

struct bp_proof_segment {
    char *file; /* owned; base name in the session folder */
    uint64_t bytes;
    uint8_t sha256[BP_SHA256_LEN];
    uint8_t chain[BP_SHA256_LEN]; /* over this one and all before */
};

/* Zero-initialise to build one. */
struct bp_proof {
    char session[27]; /* ULID */
    bool closed;      /* the recording has ended; `manifest` is set */
    bp_ns_t time_ns;  /* when it was signed, by the device's clock */
    uint64_t from; /* number of the first listed segment; those before were deleted to make room */
    uint8_t before[BP_SHA256_LEN]; /* chain in front of it; zeros at 0 */
    struct bp_proof_segment *v;    /* owned */
    size_t n;
    uint8_t manifest[BP_SHA256_LEN]; /* SHA-256 of manifest.json */
    uint8_t key[BP_PUBLIC_KEY_LEN];
    uint8_t sig[BP_SIGNATURE_LEN];
    size_t signed_bytes; /* parsed ones: how much of the text the signature is over */
};

/** Frees what the struct owns and zeroes it. Takes NULL. */
void bp_proof_done(struct bp_proof *p);
#define BP_AUTO_PROOF BP_CLEANUP(bp_proof_done) struct bp_proof

/** The link of segment `number` behind `before`. */
void bp_proof_link(const char *session, const uint8_t before[static BP_SHA256_LEN], uint64_t number,
                   const char *file, uint64_t bytes, const uint8_t sha256[static BP_SHA256_LEN],
                   uint8_t ret[static BP_SHA256_LEN]);
/** Appends a segment and makes its link; `session`, `from` and `before` must be set. The name is
 *  copied. @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_proof_add(struct bp_proof *p, const char *file, uint64_t bytes,
                               const uint8_t sha256[static BP_SHA256_LEN]);

/** Appends the text with p->key and p->sig as they are. @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_proof_format(const struct bp_proof *p, struct bp_buf *out);
/** Sets key and signature. @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_proof_sign(struct bp_proof *p, const struct bp_sign_key *key);
/** Signs, and replaces `dir`/manifest.sig whole. @return 0 or an errno */
BP_MUST_CHECK int bp_proof_write(const struct bp_io *io, const char *dir, struct bp_proof *p,
                                 const struct bp_sign_key *key, struct bp_error *err);

/** Reads the text; nothing is checked beyond its form. @return 0, BP_EFORMAT naming the line,
 *  -ENOMEM */
BP_MUST_CHECK int bp_proof_parse(struct bp_str text, struct bp_proof *ret, struct bp_error *err);
/**
 * Reads `dir`/manifest.sig and checks that its signature is that of the key it names and that its
 * chain holds. Whether that key is to be trusted is up to the caller.
 *
 * @return 0; -ENOENT when there is none; BP_EFORMAT; BP_EMISMATCH when signature or chain do not
 *         hold, `ret` is then set all the same; other errnos of the file
 */
BP_MUST_CHECK int bp_proof_read(const struct bp_io *io, const char *dir, struct bp_proof *ret,
                                struct bp_error *err);
