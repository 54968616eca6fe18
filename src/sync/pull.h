#pragma once

#include "base/error.h"
#include "sync/target.h"

/* The way back: a session from a server, an agent, a bucket or a disk into a folder. What is there
 * already, whole by its digest, is not fetched again; what was begun goes on where it ended, from
 * `.NAME.part` beside it. The manifest comes last, so that a folder with one is whole; afterwards
 * every segment it lists is as it says. A session that lies in several folders of a bucket is one;
 * on a disk somebody has to say which folder is meant. */

struct bp_sync_pull {
    struct bp_sync_target_opts from; /* url: without the session */
    const char *session;             /* id or name */
    const char *dir;                 /* the session's folder is made in it */
    bp_ns_t patience; /* gives up when nothing has come for so long; 0 = at the first failure */
    /* About five times a second; `why` tells what it waits for, or is "". May be NULL. */
    void (*progress)(void *ctx, const char *file, uint64_t done, uint64_t total, double rate,
                     const char *why);
    void *ctx;
    const bool *cancel; /* [atomic] or NULL */
};

struct bp_sync_pulled {
    char id[27];
    char dir[1200]; /* where it is now */
    unsigned files;
    uint64_t bytes;    /* of all files */
    uint64_t fetched;  /* that came now */
    unsigned unproven; /* files whose digest nobody told */
};

/** Fetches one session. Blocks. @return 0; -ENOENT: no such session over there; -EEXIST: another
 *  session has its folder; BP_EMISMATCH: what came is not what it should be; -ECANCELED; -EACCES;
 *  BP_EUSAGE; as bp_fetch() */
BP_MUST_CHECK int bp_sync_pull(const struct bp_sync_pull *o, struct bp_sync_pulled *ret,
                               struct bp_error *err);
