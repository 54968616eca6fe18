#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"
#include "crypt/digest.h"
#include "crypt/sign.h"

/* shuttle/<device>.shuttle of a disk that carries sessions: what a device has put on it, whole, and
 * its signature. Format: docs/formats/shuttle.md. One owner thread. */

#define BP_SHUTTLE_SCHEMA "bagpipe.shuttle/1"

enum { BP_SHUTTLE_BYTES_MAX = 64 << 20 };

struct bp_shuttle_file {
    char *name, *kind; /* owned; relative to the session's folder */
    uint64_t bytes;
    uint8_t sha256[BP_SHA256_LEN];
};

struct bp_shuttle_session {
    char id[27];
    char *dir;                          /* owned; base name below sessions/ */
    uint8_t json_sha256[BP_SHA256_LEN]; /* of shuttle/<id>.json */
    struct bp_shuttle_file *v;          /* owned */
    size_t n;
};

struct bp_shuttle {
    char *device; /* owned */
    bp_ns_t time_ns;
    struct bp_shuttle_session *v; /* owned */
    size_t n;
    bool is_signed;
    uint8_t key[BP_PUBLIC_KEY_LEN];
    uint8_t sig[BP_SIGNATURE_LEN];
};

/** Frees what the struct owns and zeroes it. */
void bp_shuttle_done(struct bp_shuttle *s);
#define BP_AUTO_SHUTTLE BP_CLEANUP(bp_shuttle_done) struct bp_shuttle

/** Adds an empty session, or empties the one there is. @return it, borrowed until the next one is
 *  added; NULL when out of memory */
struct bp_shuttle_session *bp_shuttle_add(struct bp_shuttle *s, const char *id, const char *dir);
/** @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_shuttle_add_file(struct bp_shuttle_session *s, const char *name,
                                      const char *kind, uint64_t bytes,
                                      const uint8_t sha256[static BP_SHA256_LEN]);

/** Appends the text, signed by `key`, unsigned with NULL. @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_shuttle_format(struct bp_shuttle *s, const struct bp_sign_key *key,
                                    struct bp_buf *out);
/** Reads the text; its signature is checked, whether the key is to be trusted is up to the caller.
 *  Names in it lead nowhere but down. @return 0, BP_EFORMAT naming the line, BP_EMISMATCH when the
 *  signature does not hold, -ENOMEM */
BP_MUST_CHECK int bp_shuttle_parse(struct bp_str text, struct bp_shuttle *ret,
                                   struct bp_error *err);

/** A relative path of up to 1 KiB without empty parts, ".", "..", control characters and '\\'. */
bool bp_sync_is_inside(const char *name);
