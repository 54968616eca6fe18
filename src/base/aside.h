#pragma once

#include "base/error.h"

/**
 * Sets a damaged database aside: PATH becomes PATH.damaged-20260102T030405Z, its "-wal" and
 * "-journal" go with it under that name, and its "-shm" goes. It must not be open. Any thread.
 *
 * @return 0; negative errno when it is where it was, or its journal is
 */
BP_MUST_CHECK int bp_set_aside(const char *path, struct bp_error *err);
