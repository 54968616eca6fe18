#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* From what a user names to files of recordings. */
struct bp_paths {
    char **files;   /* owned: existing files, in the order they are read */
    size_t *folder; /* owned: which of `folders` each belongs to, or SIZE_MAX */
    size_t n;
    char **folders; /* owned: session folders met */
    size_t nfolders;
};

/**
 * Expands a file, a session folder (its metadata.yaml names the files; what lies beside them and is
 * not named, as after a crash, is taken too), or a folder of such folders. `.damaged` and other
 * hidden folders are passed over.
 *
 * @param p  zero-initialised, or holding earlier paths: more are added
 * @return 0; -ENOENT, BP_EFORMAT (a folder without recordings), an errno
 */
BP_MUST_CHECK int bp_paths_add(struct bp_paths *p, const char *path, struct bp_error *err);
void bp_paths_done(struct bp_paths *p);

/** True for names that could be recordings: .mcap, .db3, .zstd of either, .mcap.sealed. */
bool bp_is_recording_name(const char *name);

/** strcmp() that puts "x_2" before "x_10". */
int bp_natural_cmp(const char *a, const char *b);
