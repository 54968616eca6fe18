#pragma once

#include "server/server-priv.h"

/* Parts without an interface of their own. */
extern const struct bp_server_part bp_server_part_cloud;     /* sends on what is here */
extern const struct bp_server_part bp_server_part_retention; /* deletes what is old */
extern const struct bp_server_part bp_server_part_room;      /* room on the disk */

/* --- cloud.c --- */
/** Is a session where the configuration wants it besides here, by digest? True without a
 *  cloud.target. Any thread. */
bool bp_cloud_is_safe(struct bp_server *s, const char *session);
/** It was deleted here: nothing of it waits any more. Any thread. */
void bp_cloud_forget(struct bp_server *s, const char *session);
