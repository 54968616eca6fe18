#pragma once

#include "catalog/archive.h"
#include "server/server-priv.h"

/* Part "archive": the routes of sessions. Archive, audit log and store are of part "state". */
extern const struct bp_server_part bp_server_part_archive;
extern const struct bp_api_part bp_server_archive_docs;

/** Answers with an object of the store; ranges, and its digest as ETag. */
BP_MUST_CHECK int bp_server_reply_object(struct bp_server *s, struct bp_http_reply *reply,
                                         const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                                         const char *type, struct bp_error *err);
