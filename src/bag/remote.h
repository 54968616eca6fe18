#pragma once

#include "bag/reads.h"

/* Recordings that lie behind a network, by URL: this room has no network, so whoever has one says
 * how. Only programs that read what their own user names should: a path that comes from elsewhere
 * would become a request. */
struct bp_remote_ops {
    /** Calls add() with the URL of each MCAP file that a URL stands for, in the order of time. */
    int (*list)(const char *url, int (*add)(void *ctx, const char *file), void *ctx,
                struct bp_error *err);
    /** @param ret  valid for the rest of the process. Any thread */
    int (*open)(const char *file, struct bp_reads *ret, struct bp_error *err);
};

/** For all that is opened from now on; before threads are started. */
void bp_remote_set(const struct bp_remote_ops *ops);
/** What was set, for a path that is a URL; else NULL. */
const struct bp_remote_ops *bp_remote_for(const char *path);
