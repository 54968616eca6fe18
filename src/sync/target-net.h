#pragma once

#include "crypt/secretmem.h"
#include "net/fetch.h"
#include "sync/target.h"

/* What targets behind a network share. */

/** Says what a failed bp_fetch() means. @param r  what it returned; @return as bp_sync_fail() */
int bp_sync_net_failed(struct bp_sync_failure *f, int r, const struct bp_error *err);

/** What requests to a server begin with: "http://host:port/prefix" without a last '/', "unix:/path"
 *  with a last ':'. @param ret  heap, owned by the caller; @return 0, BP_EUSAGE, -ENOMEM */
BP_MUST_CHECK int bp_sync_net_base(const char *url, char **ret, struct bp_error *err);
/** The header that proves who we are. @param token  NULL or "": none, `ret` stays empty; @param ret
 *  release with bp_secret_done(); @return 0, BP_EUSAGE, -ENOMEM */
BP_MUST_CHECK int bp_sync_net_auth(const char *token, struct bp_secret *ret, struct bp_error *err);
