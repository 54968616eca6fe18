#pragma once

#include "server/server-priv.h"

/* Parts without an interface of their own. */
extern const struct bp_server_part bp_server_part_links; /* agents' links */
extern const struct bp_server_part bp_server_part_room;  /* room on the disk */
/* Topics of the events about one device: what it tells of itself while somebody listens. */
extern const struct bp_events_more bp_server_link_topics;
