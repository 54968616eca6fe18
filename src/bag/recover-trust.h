#pragma once

#include "bag/ledger.h"
#include "wire/mcap.h"

/* Which bytes of a damaged file can be believed. A chunk has a CRC of its own; what gives its
 * messages their names, Schema and Channel, has none in the data section, but lies in a group whose
 * commit block covers it (our files), and is repeated in the summary, which has a CRC (any file).
 */
struct bp_trust {
    bool ours;            /* at least one good commit block */
    struct bp_spans good; /* bytes of groups and closing records whose CRC is right */
    const uint8_t *defs;  /* Schema and Channel records of the summary, or NULL; borrowed */
    size_t ndefs;         /* bytes */
};

/**
 * @param p    the whole file; borrowed as long as `ret` is used
 * @param ret  release with bp_trust_done()
 * @return 0 or -ENOMEM
 */
BP_MUST_CHECK int bp_trust_find(const uint8_t *p, uint64_t n, struct bp_trust *ret);
void bp_trust_done(struct bp_trust *t);

/** May the record at byte `at` be believed? Always, in a file without commit blocks. */
bool bp_trust_has(const struct bp_trust *t, uint64_t at);

/** Do 8 bytes look like MCAP's magic, but for damage? */
bool bp_mcap_magic_nearly(const uint8_t *p);
