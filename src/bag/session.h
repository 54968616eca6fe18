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
int bp_session_state(const struct bp_io *io, const char *dir, const char *ring_dir,
                     struct bp_error *err);

/* Numbers of `<name>_<n>.mcap` in `dir`, sorted. */
struct bp_session_files {
    char name[256];
    uint32_t *numbers; /* owned: free() */
    size_t n;
};
/** @return 0 (n may be 0), or -errno */
int bp_session_list(const char *dir, struct bp_session_files *ret, struct bp_error *err);

/** The folder's own name, whatever way `dir` is written. @return 0 or -errno */
int bp_session_name(const char *dir, char *ret, size_t cap);

/** Does the file end as an MCAP file ends? */
bool bp_session_has_footer(const struct bp_io *io, const char *path);

/**
 * Makes the folder for a new session, or brings an interrupted one back so that it goes on.
 *
 * @param session  its id
 * @param next     number of the next segment
 * @return 0; -EEXIST when there is a recording in it already; what bp_recover() says; -errno
 */
int bp_session_claim(const struct bp_writer_opts *o, uint8_t session[16], uint32_t *next,
                     struct bp_error *err);

/** Session ids are ULIDs: 48 bits of milliseconds, 80 random bits. */
void bp_session_new_id(uint8_t ret[16]);
/** The id in the ULID's 26 characters and NUL. */
char *bp_session_id_text(const uint8_t id[16], char ret[static 27]);
