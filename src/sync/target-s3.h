#pragma once

#include "net/s3.h"
#include "sync/target.h"

/* What others of our kind must know of a bucket's layout, and care for it. */

#define BP_SYNC_S3_INDEX   "index/sha256/"
#define BP_SYNC_S3_REF     ".ref" /* behind the name of a file whose content lies elsewhere */
#define BP_SYNC_S3_SESSION "session.json"

/**
 * The client for a bucket as a target's options name it.
 *
 * @param ret_creds  owned by the caller, also after a failure
 */
BP_MUST_CHECK int bp_sync_s3_client(const struct bp_sync_target_opts *o, struct bp_fetch *fetch,
                                    struct bp_s3_creds **ret_creds, struct bp_s3 **ret,
                                    struct bp_error *err);

/**
 * Aborts uploads in a bucket that nobody goes on with.
 *
 * @param min_age  younger ones stay
 * @param wanted   true for keys that are waiting in a queue; or NULL
 * @param dry      count only
 */
BP_MUST_CHECK int bp_sync_s3_gc(const struct bp_sync_target_opts *o, bp_ns_t min_age,
                                bool (*wanted)(void *ctx, const char *key), void *ctx, bool dry,
                                size_t *ret_n, struct bp_error *err);
