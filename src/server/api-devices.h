#pragma once

#include "server/server-priv.h"

/* Routes of devices: docs/api/server.md. */
extern const struct bp_server_part bp_server_part_devices;
extern const struct bp_api_part bp_server_devices_docs; /* openapi-devices.c */
