#pragma once

#include <jansson.h>

#include "base/error.h"
#include "net/http.h"

/* The files of a session's folder, for those who want to have them. Names come from the network:
 * only plain names of regular files in that very folder are opened, and never through a link. */

/**
 * What is there.
 *
 * @param live  the session is being recorded: segments without an end are told as not complete
 * @return {"segments": [{name, bytes, complete, sha256, messages, first_ns, last_ns}], "files":
 *         [{name, bytes}]}, owned by the caller; NULL when out of memory
 */
json_t *bp_files_json(const char *dir, bool live);

/**
 * Answers with one file, ranges and all; a segment that is being written is refused.
 *
 * @return 0, -ENOENT, BP_EBUSY
 */
BP_MUST_CHECK int bp_files_reply(struct bp_http_reply *reply, const char *dir, const char *name,
                                 bool live, struct bp_error *err);

/** Answers with the whole folder as a tar stream (POSIX pax), read file by file while it is sent;
 *  what goes away meanwhile cuts it. @return 0, -ENOENT, -ENOMEM */
BP_MUST_CHECK int bp_files_reply_tar(struct bp_http_reply *reply, const char *dir,
                                     struct bp_error *err);
