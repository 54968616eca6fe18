#pragma once

#include "store/spool.h"

/* The map of an upload as bytes; docs/formats/spool.md. Pure functions. */

enum {
    BP_SPOOL_HEAD = 1024, /* bytes of the head; slots follow, one a part */
    BP_SPOOL_SLOT = 40,
    BP_SPOOL_MAP_MAX = BP_SPOOL_HEAD + BP_SPOOL_SLOT * BP_SPOOL_PARTS_MAX,
};

/** How many parts an upload has; one of 0 bytes has one of 0 bytes. */
uint32_t bp_spool_parts_of(uint64_t bytes, uint32_t part_bytes);
/** Bytes of part n. */
uint64_t bp_spool_part_size(const struct bp_spool_meta *meta, uint32_t n);
/** The size of parts that fits a file, 16 MiB or more. @return 0 when it is too long for any */
uint32_t bp_spool_choose(uint64_t bytes);
/** May a file of that size have parts of that size? */
bool bp_spool_part_ok(uint64_t bytes, uint32_t part_bytes);

/** The head; the texts fit (BP_SPOOL_NAME_MAX and so on). */
void bp_spool_map_head(const struct bp_spool_meta *meta, bp_ns_t created_wall,
                       uint8_t ret[static BP_SPOOL_HEAD]);
/** The slot of part n, which ties it to the upload that `head` describes. */
void bp_spool_map_slot(const uint8_t head[static BP_SPOOL_HEAD], uint32_t n,
                       const uint8_t sha256[static BP_SHA256_LEN],
                       uint8_t ret[static BP_SPOOL_SLOT]);
/** Is it the slot of part n, whole? Then ret is the part's digest. */
bool bp_spool_map_slot_read(const uint8_t head[static BP_SPOOL_HEAD], uint32_t n,
                            const uint8_t slot[static BP_SPOOL_SLOT],
                            uint8_t ret[static BP_SHA256_LEN]);
/**
 * Reads the head of a map.
 *
 * @return 0; BP_EFORMAT when it is none; BP_ECORRUPT when its checksum is wrong
 */
BP_MUST_CHECK int bp_spool_map_parse(struct bp_str map, struct bp_spool_meta *ret,
                                     bp_ns_t *ret_created_wall);

/** Appends the parts whose bits are set as "0-3,7". */
void bp_spool_ranges_put(struct bp_buf *out, const uint8_t *bits, uint32_t parts);
/**
 * Reads such a list, which is in order and without overlap.
 *
 * @param bits  room for `parts` bits, cleared first
 * @return how many are set, BP_EFORMAT
 */
BP_MUST_CHECK int bp_spool_ranges_parse(struct bp_str text, uint8_t *bits, uint32_t parts);
