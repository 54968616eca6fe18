#pragma once

#include "server/server-priv.h"

/* Routes of devices: docs/api/server.md. */
extern const struct bp_server_part bp_server_part_devices;
