#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"

/* Which devices somebody may see, and with them their sessions, uploads and objects: words with a
 * blank between, of which one must fit.
 *
 *     hall-*        devices by id, `*` is anything
 *     group:lab     devices in this group
 *
 * Ids and groups are compared as they are: "Hall-1" is another device than "hall-1". The empty text
 * is no limit. Pure functions; the same in SQL: catalog/archive-query.c. */
enum { BP_SCOPE = 512, BP_SCOPE_WORDS = 16 };

#define BP_SCOPE_GROUP "group:"

/**
 * Reads what somebody wrote; blanks and commas are between words.
 *
 * @param ret  with one blank between words
 * @return 0, BP_EUSAGE
 */
BP_MUST_CHECK int bp_scope_read(const char *text, char ret[static BP_SCOPE], struct bp_error *err);

/** Goes from word to word of a text that bp_scope_read() gave: a pattern or, with `group`, a name.
 *  @param io  where it is in it; @return false at the end */
bool bp_scope_next(const char **io, struct bp_str *ret, bool *ret_group);

/** @param groups  of the device: JSON array of names, or "" */
bool bp_scope_has(const char *scope, const char *device, const char *groups);
