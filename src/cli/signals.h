#pragma once

#include "base/error.h"

/**
 * Blocks SIGINT, SIGTERM and SIGHUP in this thread and those made later, and makes them readable.
 * Before any thread starts.
 *
 * @return a descriptor owned by the caller that becomes readable when one arrives, or an errno
 */
BP_MUST_CHECK int bp_cli_signals(struct bp_error *err);
