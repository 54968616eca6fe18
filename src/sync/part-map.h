#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Texts of a server's answers about uploads (docs/api/uploads.md): outside bytes, so each is read
 * bounded and refused when it is not what it must be. Pure functions. */

/**
 * Reads ranges of part numbers: "", "0-3,7". Numbers go up and lie below `nparts`.
 *
 * @param mark  called for each part that is named, in order
 * @return how many are named, or -EINVAL; some may have been marked then
 */
int64_t bp_sync_part_map_read(struct bp_str text, uint32_t nparts,
                              void (*mark)(void *ctx, uint32_t n), void *ctx);

/**
 * The SHA-256 of a digest field (RFC 9530): "sha-256=:BASE64:", among others parted by commas.
 *
 * @return 0; -ENOENT when there is none; -EINVAL when it cannot be read
 */
int bp_sync_digest_read(const char *field, uint8_t ret[static 32]);

/* "sha-256=:", 44 characters, ":" and a NUL. */
enum { BP_SYNC_DIGEST_TEXT = 9 + 44 + 2 };

/** Writes such a field's value; returns `ret`. */
char *bp_sync_digest_text(const uint8_t sha256[static 32], char ret[static BP_SYNC_DIGEST_TEXT]);
