#pragma once

#include "bag/sealed.h"
#include "bag/walk.h"

/* A sealed segment as recovery sees it without the key: by what its frames say in the clear. */

/** Is `fd` of a sealing table a sealed file that no key opens? */
bool bp_sealed_is_blind(const struct bp_io *io, int fd);

/**
 * As bp_walk(): ret->s knows run, numbers and count of its messages, no topics, no times.
 *
 * @param taken  as there
 * @return 0, or -errno
 */
BP_MUST_CHECK int bp_sealed_walk(const struct bp_io *io, const char *path,
                                 const struct bp_spans *taken, struct bp_walk *ret,
                                 struct bp_error *err);

/** Cuts what was walked behind its good part and closes it, without key. */
BP_MUST_CHECK int bp_sealed_walk_close(struct bp_segment *s, struct bp_error *err);
