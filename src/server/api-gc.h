#pragma once

#include "server/server-priv.h"

/* Part "gc": objects that nobody wants. Needs parts "archive" and "uploads". */
extern const struct bp_server_part bp_server_part_gc;
