#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Two versions of one session, as JSON, each with a version vector {"device": counter} in
 * "version": pure functions. */

enum bp_sync_order {
    BP_SYNC_SAME,
    BP_SYNC_OURS_NEWER,
    BP_SYNC_THEIRS_NEWER,
    BP_SYNC_CONCURRENT, /* edited on both sides */
};

/** @return enum bp_sync_order; -EINVAL when one of them is no JSON object; -ENOMEM */
int bp_sync_compare(const char *ours, const char *theirs);

/**
 * What comes of two that were edited on both sides: lists are united; of a field that only one side
 * has, that one; of a field that differs, the one of the side that was edited more often (by name
 * of the device when that is equal). Counts as an edit by `device`.
 *
 * @param both  keep what loses as a line of the notes: "mission (robot7): …"; theirs wins then
 * @param ret   owned by the caller
 * @return 0, -EINVAL, -ENOMEM
 */
BP_MUST_CHECK int bp_sync_merge(const char *ours, const char *theirs, const char *device, bool both,
                                char **ret);
/** Ours as an edit by `device` on top of theirs. */
BP_MUST_CHECK int bp_sync_supersede(const char *ours, const char *theirs, const char *device,
                                    char **ret);
