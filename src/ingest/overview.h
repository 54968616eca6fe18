#pragma once

#include "ingest/ingest.h"

/**
 * Makes the overview of a segment and adds it to that of each session that has it, once however
 * often it is called. Takes what the store reads of it: summary and indexes, no payload.
 *
 * @return 0; also when the segment has none (sealed, damaged): the session's overview says of how
 *         many. What can be tried again: -EIO, -ENOMEM, -EBUSY, as the archive
 */
BP_MUST_CHECK int bp_ingest_overview(struct bp_archive *a, struct bp_store *store,
                                     const uint8_t sha256[static BP_SHA256_LEN], const char *name,
                                     struct bp_error *err);
