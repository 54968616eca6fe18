#pragma once

#include "server/server-priv.h"

/* The archive, the log of changes, the objects; and whether there is room for more. */
extern const struct bp_server_part bp_server_part_state;
