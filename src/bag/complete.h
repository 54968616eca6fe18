#pragma once

#include <stdint.h>

#include "bag/recover.h"

/**
 * Gives the finished segments of a session of ours the definitions they were recorded without, as
 * far as they are known now. Messages stay as they lie, byte for byte; each changed file is written
 * beside and swapped, the former one goes to `.damaged/` unless discarded. The caller holds the
 * session's lock.
 *
 * @return number of files changed, or an errno; nothing half done is left
 */
BP_MUST_CHECK int bp_complete_definitions(const char *dir, const struct bp_recover_opts *o,
                                          struct bp_recovery *ret, struct bp_error *err);
