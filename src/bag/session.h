#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bag/writer.h"

/* The session folder as a whole: `<name>/<name>_0.mcap …`, journal, metadata.yaml, manifest.json.
 * Layout: docs/formats/session.md. */

enum bp_session_state {
    BP_SESSION_NONE,        /* no such folder, or nothing of ours in it */
    BP_SESSION_INTERRUPTED, /* a ring or journal is left, or a segment has no end */
    BP_SESSION_FINISHED,
};

/** Looks at file names and ends only. @return enum bp_session_state or -errno */
int bp_session_state(const struct bp_io *io, const char *dir, struct bp_error *err);

/** Was the folder's recording made by us? It has a ring or journal, or a segment that is ours. */
bool bp_session_is_ours(const struct bp_io *io, const char *dir);
/** A segment of ours, or one that was prepared and never written to. */
bool bp_session_file_is_ours(const struct bp_io *io, const char *path);

/* Numbers of `<name>_<n>.mcap`, or `.mcap.sealed`, in `dir`, sorted. */
struct bp_session_files {
    char name[256];
    uint32_t *numbers; /* owned: free() */
    bool *sealed;      /* in the same memory */
    size_t n;
};
/** Path of the i-th. */
void bp_session_path(const char *dir, const struct bp_session_files *f, size_t i, char *ret,
                     size_t cap);
/** @return 0 (n may be 0), or -errno */
int bp_session_list(const char *dir, struct bp_session_files *ret, struct bp_error *err);

/** What the session's segments are named by: the folder's own name, whatever way `dir` is written,
 *  or, when it was renamed, the one it had. @return 0 or -errno */
int bp_session_name(const char *dir, char *ret, size_t cap);

/** Does the file end as an MCAP file ends? */
bool bp_session_has_footer(const struct bp_io *io, const char *path);

/**
 * Keeps every other recorder and recovery out of the folder, until the descriptor is closed. A
 * dying process is waited for.
 *
 * @return a descriptor, BP_EBUSY, or -errno
 */
int bp_session_lock(const char *dir, struct bp_error *err);

struct bp_folder;
/**
 * Makes and locks the folder for a new session, or brings an interrupted one back so that it goes
 * on.
 *
 * @param folder    set up; with what is in it when the session goes on
 * @param next      number of the next segment
 * @param ret_lock  descriptor that holds the lock; set even on failure when it was taken
 * @return 0; -EEXIST when there is a recording in it already; what bp_recover() says; -errno
 */
int bp_session_claim(const struct bp_writer_opts *o, struct bp_folder *folder, uint32_t *next,
                     int *ret_lock, struct bp_error *err);

/** 16 random bytes that name one start of a recorder. */
void bp_session_new_run(uint8_t ret[16]);
