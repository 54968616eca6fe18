#pragma once

#include "server/server-priv.h"

/* Part "data": parts of recordings, cut by topics and time. */
extern const struct bp_server_part bp_server_part_data;
