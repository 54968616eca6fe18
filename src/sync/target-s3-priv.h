#pragma once

#include "base/error.h"

/* Between target-s3.c and target-s3-settings.c. */

/* Values of "key=value" settings; NULL = not given. Borrowed from them. */
struct bp_sync_s3_settings {
    const char *endpoint, *region, *profile, *provider, *style, *checksum, *sse, *sse_kms_key,
        *storage_class, *layout, *dedup, *anonymous;
};

/** @param v  NULL-ended, or NULL; @return 0, BP_EUSAGE for one that is none */
BP_MUST_CHECK int bp_sync_s3_settings_read(const char *const *v, struct bp_sync_s3_settings *ret,
                                           struct bp_error *err);
/** @param text  one of `words`, or NULL for the first; @param ret  its index; @return 0, BP_EUSAGE
 */
BP_MUST_CHECK int bp_sync_s3_choice(const char *key, const char *text, const char *const *words,
                                    size_t n, int *ret, struct bp_error *err);
