#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "catalog/archive.h"
#include "store/spool.h"

/* What clients send, read. Pure functions. */

/**
 * Reads Content-Digest or Repr-Digest (RFC 9530): a dictionary of RFC 8941 in which `sha-256` is
 * looked for; others are passed over.
 *
 * @param header  NULL = none
 * @return 0, BP_EUSAGE
 */
BP_MUST_CHECK int bp_ingest_read_digest(const char *header, uint8_t ret[static BP_SHA256_LEN],
                                        struct bp_error *err);

/** 64 hex digits, as in "sha256" of JSON and in paths. @return 0, BP_EUSAGE */
BP_MUST_CHECK int bp_ingest_read_sha256(const char *hex, uint8_t ret[static BP_SHA256_LEN],
                                        struct bp_error *err);

/** May a file be called so? One part of a path, valid UTF-8, at most 255 bytes, no control
 *  characters, not hidden. @return 0, BP_EUSAGE */
BP_MUST_CHECK int bp_ingest_check_name(const char *name, struct bp_error *err);

/** The number of a part, as the path has it: digits without more. @return 0, BP_EUSAGE */
BP_MUST_CHECK int bp_ingest_read_part(const char *text, uint64_t *ret, struct bp_error *err);

/**
 * Reads the JSON of POST /uploads. `device` is left empty.
 *
 * @param ret_kind  of the archive
 * @return 0, BP_EUSAGE
 */
BP_MUST_CHECK int bp_ingest_read_upload(const json_t *o, struct bp_spool_meta *ret,
                                        enum bp_archive_kind *ret_kind, struct bp_error *err);

/* What PUT /ingest/sessions/ULID says. The texts and marks are owned by it. */
struct bp_ingest_about {
    struct bp_archive_about about; /* borrows from the rest */
    char id[BP_ULID_TEXT];
    char *tags, *robots, *version, *stamps;
    struct bp_archive_mark *marks;
    char **values; /* of the marks */
    size_t nmarks;
};

void bp_ingest_about_done(struct bp_ingest_about *a);
/**
 * @param o    borrowed as long as `ret`
 * @param id   of the path
 * @return 0, BP_EUSAGE, -ENOMEM; `ret` is to be released in any case
 */
BP_MUST_CHECK int bp_ingest_read_about(const json_t *o, const char *id, struct bp_ingest_about *ret,
                                       struct bp_error *err);
