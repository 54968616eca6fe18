#pragma once

#include "server/server-priv.h"

/* The parts "store" and "uploads": docs/api/uploads.md. */
extern const struct bp_server_part bp_server_part_store;
extern const struct bp_server_part bp_server_part_uploads;
