#pragma once

#include "base/error.h"
#include "base/io.h"

/* Which ring belongs to a session: the file `ring` in its folder says so, which goes along when the
 * folder is moved or renamed. One line: the ring's file name, the run, the folder's device and
 * inode. The ring's folder is not told: it is /dev/shm, or what --ring-dir says. */

struct bp_ring_ref {
    char path[600];
    uint8_t run[16];
    bool
        copied; /* the folder is a copy of the one the ring was made for, which may still need it */
};

/**
 * A path for the ring of a new recording. It is made of the folder's path; when a ring lies there
 * that belongs to an earlier recording, whose folder was moved or removed, a number is added.
 *
 * @param ring_dir  NULL = /dev/shm
 * @return 0; 1 when there was such a ring: `ret_left` is its path; -EEXIST when there are too many
 */
int bp_ring_ref_choose(const char *ring_dir, const char *dir, char *ret, char *ret_left,
                       size_t cap);

/** Writes the file. It need not be durable: a power cut takes the ring as well. @return 0, -errno
 */
BP_MUST_CHECK int bp_ring_ref_write(const struct bp_io *io, const char *dir, const char *path,
                                    const uint8_t run[16], struct bp_error *err);
/** @return 0, -ENOENT when there is none, BP_EFORMAT when it is not one of ours, -errno */
BP_MUST_CHECK int bp_ring_ref_read(const struct bp_io *io, const char *dir, const char *ring_dir,
                                   struct bp_ring_ref *ret);
/** Removes the file; there may be none. */
void bp_ring_ref_remove(const struct bp_io *io, const char *dir);
