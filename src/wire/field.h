#pragma once

#include "wire/plan.h"

/* One place inside a message, as people write it: "pose.pose.position.x", "transforms[0].header",
 * "ranges", "ranges[3]". Found once in a type, then shown of each message. */
struct bp_field;

/**
 * Looks `path` up in the schema's type. A field of an array's items needs the index.
 *
 * @param s    must outlive the field
 * @param ret  owned by the caller, release with bp_field_free()
 * @return 0; BP_EUSAGE with what is wrong and, for a name that is not there, the nearest one that
 *         is; -ENOMEM
 */
BP_MUST_CHECK int bp_field_find(const struct bp_schema *s, const char *path, struct bp_field **ret,
                                struct bp_error *err);
void bp_field_free(struct bp_field *f);

/** What is shown: one item has its array's op without the array. Lives as long as the field. */
const struct bp_op *bp_field_op(const struct bp_field *f);

/** The schema it was looked up in. */
const struct bp_schema *bp_field_schema(const struct bp_field *f);

/**
 * As bp_schema_walk(), but the visitor sees the field alone, as if it were all that the message
 * has, and the walk ends behind it.
 *
 * @return 1; 0 when the message has no item of that index (the visitor then saw nothing); or what
 *         bp_schema_walk() says
 */
int bp_field_walk(const struct bp_field *f, const void *cdr, size_t n,
                  const struct bp_visitor *visitor, void *ctx, struct bp_error *err);

/** Appends the field's value as bp_schema_to_json() writes it, null when there is no such item. */
int bp_field_to_json(const struct bp_field *f, const void *cdr, size_t n, bool quote64,
                     struct bp_buf *out, struct bp_error *err);

/** Appends the field's value as bp_schema_to_text() writes it, without its name; a line's end
 *  follows. "null" when there is no such item. */
int bp_field_to_text(const struct bp_field *f, const void *cdr, size_t n, size_t max_items,
                     struct bp_buf *out, struct bp_error *err);
