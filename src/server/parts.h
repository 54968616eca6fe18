#pragma once

#include "server/server-priv.h"

/* Parts without an interface of their own. */
extern const struct bp_server_part bp_server_part_room; /* room on the disk */
