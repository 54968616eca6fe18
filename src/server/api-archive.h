#pragma once

#include "catalog/archive.h"
#include "server/server-priv.h"

/* Part "archive": archive.db, audit.db, and the routes of sessions. Needs part "store" before it to
 * give out files. */
extern const struct bp_server_part bp_server_part_archive;
extern const struct bp_api_part bp_server_archive_docs;

/**
 * Writes down that the asker does something, before it is done.
 *
 * @param details  taken over, or NULL
 * @return 0, or why it could not be written down: then do not do it
 */
BP_MUST_CHECK int bp_server_audit(struct bp_server *s, const struct bp_http_req *req,
                                  const char *action, const char *subject, json_t *details,
                                  struct bp_error *err);

/** Answers with an object of the store; ranges, and its digest as ETag. */
BP_MUST_CHECK int bp_server_reply_object(struct bp_server *s, struct bp_http_reply *reply,
                                         const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                                         const char *type, struct bp_error *err);
