#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "crypt/digest.h"

/* What a file is, and what its parts are, from one reading: at the rates of a radio link reading
 * costs as much as hashing. */
struct bp_sync_digests {
    uint8_t (*v)[BP_SHA256_LEN]; /* of each part; owned */
    uint32_t n, cap;
    uint64_t part_bytes; /* of those parts, the last one may be shorter */
    uint64_t bytes;      /* of the file */
    char hex[BP_SHA256_HEX];
};

void bp_sync_digests_done(struct bp_sync_digests *d);

/**
 * Reads a whole file, at the speed of the disk. Any thread.
 *
 * @param part    bytes of a part, > 0
 * @param cancel  [atomic] asked with every piece that is read
 * @param ret     replaced; without parts when they cannot be kept
 * @return 0; -ECANCELED; -errno when it cannot be read
 */
BP_MUST_CHECK int bp_sync_digests_of(const char *path, uint64_t part, const bool *cancel,
                                     struct bp_sync_digests *ret, struct bp_error *err);

/** That of part n, when it is known for parts of that size; else NULL. */
const uint8_t *bp_sync_digests_part(const struct bp_sync_digests *d, uint64_t part_bytes,
                                    uint32_t n);
