#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

/* What people say of a session, edited here and there while nobody could reach the other.
 *
 * A document is a set of fields, each with the stamp of its last change, and a version: how far the
 * changes of each device are in it. A change by D gets the stamp (n, D) where n is one more than
 * the highest number in the version, and the version says D: n from then on. So a change made by
 * somebody who knew another one always has a higher number; of two made without knowledge of each
 * other the higher (number, device) is taken, and that there was a choice is told: those are
 * conflicts. Merging is the maximum of each field: commutative, associative, idempotent.
 *
 * Fields: "mission", "operator", "notes", "keep", and "tag:NAME" with "1" (there) or "" (taken
 * away), so that two who add different tags keep both. As JSON:
 *
 *   {"version": {"robot7": 3, "server": 4},
 *    "fields": {"mission": {"value": "hall", "n": 3, "by": "robot7"}, …}} */

struct bp_merge_conflict {
    const char *field;
    const char *ours, *theirs; /* values; borrowed for the call */
    bool took_theirs;
};

/**
 * Merges two documents. Pure; any thread.
 *
 * @param conflict  called for each field that both changed without knowing of the other, to
 *                  different values; may be NULL
 * @return a new document, owned by the caller, or NULL when out of memory. What is malformed in one
 *         is left out
 */
json_t *bp_merge(const json_t *ours, const json_t *theirs,
                 void (*conflict)(void *ctx, const struct bp_merge_conflict *c), void *ctx);

/** Changes a field by `who`; nothing happens when it has that value. @return 0, -ENOMEM */
int bp_merge_set(json_t *doc, const char *field, const char *value, const char *who);
/** Value of a field, or NULL. Borrowed. */
const char *bp_merge_get(const json_t *doc, const char *field);
/** Whether every change in `b` is known to `a`. */
bool bp_merge_knows(const json_t *a, const json_t *b);
