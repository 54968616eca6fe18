#pragma once

#include "server/server-priv.h"

/* Agents' links (server/links/) as a part of the server: docs/api/link.md. */
extern const struct bp_server_part bp_server_part_link;
/** Topics of the events about one device. */
extern const struct bp_events_more bp_server_link_topics;
