#pragma once

#include "base/config.h"
#include "sync/sync.h"

/* Targets as a configuration names them: `sync.upstream`, one URL, and `sync.targets`, a list of
 *
 *     - name: cloud
 *       url: s3://robots/fleet1
 *       optional: true            # a session is safe without it
 *       conflicts: merge          # local, remote, merge, keep-both
 *       token: secret:site_token  # or file:/PATH; of a server
 *       ca_file: /etc/ssl/site-ca.pem
 *       proxy: http://proxy:3128
 *       tags: [ship]              # only sessions with one of them; robots and topics the same
 *       endpoint: https://minio:9000     # of a bucket: region, profile, template, …
 *
 * for agents and servers alike. */
struct bp_sync_targets {
    struct bp_sync_target_config *v; /* owned, with all they point to */
    size_t n;
    char **texts; /* what they point to */
    size_t ntexts;
};

enum { BP_SYNC_TARGETS_MAX = 16, BP_SYNC_UPSTREAM_NAME_MAX = 32 };

/* What targets have in common unless they say otherwise; texts may be NULL or "". */
struct bp_sync_targets_defaults {
    const char *upstream; /* URL of a target named "upstream", or "" */
    const char *token, *ca_file, *proxy;
    enum bp_sync_policy policy;
};

/**
 * Reads and checks, without a network. `token` is as written: resolve it before it is used.
 *
 * @param list  objects as base/config.h describes them
 * @param ret   release with bp_sync_targets_done(), also after a failure
 * @return 0, -ENOMEM, BP_ECONFIG naming place, target and key
 */
BP_MUST_CHECK int bp_sync_targets_parse(const struct bp_config_list *list,
                                        const struct bp_sync_targets_defaults *d,
                                        struct bp_sync_targets *ret, struct bp_error *err);
void bp_sync_targets_done(struct bp_sync_targets *t);
