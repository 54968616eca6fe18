#pragma once

#include "base/buf.h"

/* Memory that is freed all at once: the parts of something built once and then only read.
 * Zero-initialise to start. The first failure is remembered in `failed`, as in struct bp_buf; the
 * limit makes it fail as well, so that hostile input cannot take more. */
struct bp_arena {
    struct bp_arena_block *blocks; /* owned, newest first */
    size_t used_bytes, limit_bytes /* 0 = none */;
    bool failed;
};

/** Frees everything. Takes NULL. */
void bp_arena_done(struct bp_arena *a);
/** n zeroed bytes aligned for anything, or NULL. */
void *bp_arena_alloc(struct bp_arena *a, size_t n);
/** A NUL-terminated copy, or NULL. */
char *bp_arena_text(struct bp_arena *a, struct bp_str s);
