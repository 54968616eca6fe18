#pragma once

#include "base/error.h"

/* Files of our own beside a recording that must not be touched: made in TMPDIR, else /var/tmp
 * (which holds more than a /tmp in memory), and removed as soon as they are open. */

/** Makes a folder of our own; `ret` gets its path. @return 0 or an errno with a sentence */
BP_MUST_CHECK int bp_temp_dir(char *ret, size_t cap, struct bp_error *err);

/** Copies a file; the blocks are shared where the file system can. @return 0 or an errno */
BP_MUST_CHECK int bp_temp_copy(const char *from, const char *to, struct bp_error *err);

/** Decompresses a zstd file (one or more frames). @return 0, BP_ECORRUPT, BP_ETRUNCATED, errno */
BP_MUST_CHECK int bp_temp_unzstd(const char *from, const char *to, struct bp_error *err);
