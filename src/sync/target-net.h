#pragma once

#include "net/fetch.h"
#include "sync/target.h"

/* What targets behind a network share. */

/** Says what a failed bp_fetch() means. @param r  what it returned; @return as bp_sync_fail() */
int bp_sync_net_failed(struct bp_sync_failure *f, int r, const struct bp_error *err);
