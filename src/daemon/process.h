#pragma once

#include <stdint.h>

#include "base/config.h"
#include "base/error.h"

/* What every daemon does as a process. */

/** Blocks SIGINT, SIGTERM and SIGHUP in the calling thread, before others start, and ignores
 *  SIGPIPE. @return a descriptor to poll and for bp_daemon_signal(), owned; or a negative errno */
BP_MUST_CHECK int bp_daemon_block_signals(void);
/** The signal that came, or 0. */
uint32_t bp_daemon_signal(int signals);

/** As many connections as the configuration allows need as many descriptors: 1,024, the usual soft
 *  limit, is for programs that use select(). */
void bp_daemon_raise_file_limit(int64_t max_connections);
