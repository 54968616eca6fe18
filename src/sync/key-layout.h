#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "sync/target.h"

/* Where a session's files lie in a bucket. Words of a template: {date} (2026-11-28, UTC), {year},
 * {month}, {day}, {robot} (the device without one), {device}, {name}, {id}, and {session}, which is
 * "NAME-ID": two sessions of one name never share a folder. Pure functions. */

#define BP_SYNC_KEY_LAYOUT "sessions/{date}/{robot}/{session}/"

/** @return 0 or BP_EUSAGE: an unknown word, or neither {session} nor {id} in it */
BP_MUST_CHECK int bp_sync_key_check(const char *layout, struct bp_error *err);
/** Appends the key of a file; `name` "" for that of the folder. Characters that are trouble in URLs
 *  or shells become '_' in what words stand for, and so do leading dots. */
void bp_sync_key_put(struct bp_buf *out, const char *layout, const struct bp_sync_session_ref *s,
                     const char *name);
