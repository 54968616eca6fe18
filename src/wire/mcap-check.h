#pragma once

#include <stdbool.h>

#include "wire/mcap.h"

/* Strict: walks the records of a file in order and objects to whatever the MCAP specification
 * forbids, where the decoder alone is lenient. Keeps no bytes of the input. Zero-initialise. */
struct bp_mcap_check {
    enum bp_mcap_at {
        BP_MCAP_AT_START,
        BP_MCAP_AT_DATA,
        BP_MCAP_AT_SUMMARY,
        BP_MCAP_AT_OFFSETS, /* SummaryOffset records */
        BP_MCAP_AT_END,
    } at;
    uint8_t group;         /* opcode of the group the summary is in; 0 = none yet */
    uint32_t groups;       /* bit per opcode of the groups that began */
    uint8_t schemas[8192]; /* bit per id defined so far */
    uint8_t channels[8192];
};

/**
 * Feeds one record: every one of the file's top level in order, and after a Chunk those inside it.
 *
 * @param inside  the record lies in a chunk
 * @param offset  of the record, for the message only
 * @return 0, or BP_EFORMAT naming record, offset and the broken rule: order of records, opcode 0 or
 *         reserved, a field beyond the content, bytes behind Footer or DataEnd, a map key twice,
 *         channel or schema used before it is defined, index entries of the wrong size
 */
int bp_mcap_check_step(struct bp_mcap_check *k, const struct bp_mcap_record *r, bool inside,
                       uint64_t offset, struct bp_error *err);

/** The file ended: 0, or BP_ETRUNCATED when there was no Footer. */
int bp_mcap_check_end(const struct bp_mcap_check *k, struct bp_error *err);
