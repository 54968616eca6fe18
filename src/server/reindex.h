#pragma once

#include "server/config.h"

struct bp_reindexed {
    uint64_t objects, sessions, segments, missing; /* looked at; put; of them not stored */
};

/** In the server's folder; empty: its time is that of the last bp_server_reindex(). */
#define BP_REINDEXED_FILE "reindexed"

/**
 * Makes the archive anew from what is stored: every manifest, and the segments it lists. What
 * people wrote stays where the archive still knows it. No server may run on that folder.
 *
 * A session whose device nobody knows any more belongs to the one whose key has signed its
 * manifest, else to "unknown".
 *
 * @param config  borrowed; server.dir as bp_server_run() takes it
 * @return 0, BP_EBUSY when a server runs there, or what went wrong
 */
BP_MUST_CHECK int bp_server_reindex(const struct bp_server_config *config, struct bp_reindexed *ret,
                                    struct bp_error *err);
