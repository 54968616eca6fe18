#pragma once

#include "base/arena.h"
#include "wire/plan.h"
#include "wire/schema.h"

/* Shared by the files that make and read schemas. */

enum {
    BP_MAX_DEFINITION = 4 << 20, /* bytes of text */
    BP_MAX_TYPES = 4096,
    BP_MAX_FIELDS = 4096, /* of one type */
    BP_MAX_ALL_FIELDS = 32768,
    BP_MAX_NAME = 255,
    BP_MAX_DEPTH = 64,
    BP_MAX_ITEMS = INT32_MAX, /* of an array's bound */
};

/* A type while its definition is read; the arena owns all of it. */
struct bp_draft {
    struct bp_type t; /* first, so that linked types are found from it */
    struct bp_op *ops;
    size_t cap;
    struct bp_const *consts;
    size_t consts_cap;
    enum { BP_DRAFT_NEW, BP_DRAFT_BUSY, BP_DRAFT_LINKED } state;
    unsigned order; /* of appearance */
};

/* Definitions read so far, names not resolved yet. */
struct bp_defs {
    struct bp_arena a;
    struct bp_draft **v; /* heap, owned; sorted by name once linking begins */
    size_t n, cap;
    size_t nfields; /* of all types */
};

struct bp_schema {
    struct bp_defs defs;
    const struct bp_type *top;
    bool has_wide; /* a wstring is inside: its unit must be found out per message */
};

void bp_msgdefs_done(struct bp_defs *d);

/** Starts a type named `name` (copied). Returns 0 or -ENOMEM, BP_ELIMIT, BP_EFORMAT for a name that
 *  is none. */
int bp_defs_add(struct bp_defs *d, struct bp_str name, struct bp_draft **ret, struct bp_error *err);
/** Appends a field; op->name is taken as it is, from the arena. BP_EFORMAT when the name is taken.
 */
int bp_draft_field(struct bp_defs *d, struct bp_draft *t, const struct bp_op *op,
                   struct bp_error *err);
int bp_draft_const(struct bp_defs *d, struct bp_draft *t, const struct bp_const *c,
                   struct bp_error *err);

/** Makes a type whose only field is rosidl's filler one without fields. */
void bp_draft_drop_filler(struct bp_draft *t);

/** "pkg/Name" → "pkg/msg/Name", others as they are; -EINVAL when it is no type name. */
int bp_type_name(struct bp_str name, char ret[static BP_MAX_NAME + 1]);
bool bp_is_identifier(struct bp_str s);
/** Item size of a primitive, 0 for strings and structs. */
uint8_t bp_prim_size(enum bp_prim p);
/** By its name in a .msg; BP_PRIM_STRUCT when it is none. */
enum bp_prim bp_prim_from_msg(struct bp_str name);
/** Its name in a .msg. */
const char *bp_prim_name(enum bp_prim p);

/**
 * Reads one `.msg` text, or the text of a `.srv` or `.action` when it has the lines of three dashes
 * (`---`) and `name` is "pkg/srv/X…" or "pkg/action/X…": then the types made from its sections are
 * added, and those which rosidl derives (X_Event and so on).
 *
 * @param first_line  number of the text's first line, for errors
 */
int bp_msgdef_parse(struct bp_defs *d, const char *name, struct bp_str text, unsigned first_line,
                    struct bp_error *err);

/** Adds what rosidl derives from a service ("pkg/srv/X") or action whose parts are there. */
int bp_msgdef_derive(struct bp_defs *d, const char *base, bool action, struct bp_error *err);

/** Reads one IDL file as rosidl makes them and adds its structs. */
int bp_idl_parse(struct bp_defs *d, struct bp_str text, unsigned first_line, struct bp_error *err);

/** Appends a field as a line of a .msg: type with bounds, name. */
void bp_msg_put_field(struct bp_buf *b, const struct bp_op *op);

/**
 * Appends what an IDL file defines as `name` ("pkg/msg/X", "pkg/srv/X", "pkg/action/X") as the text
 * of a .msg, .srv or .action; constants that are no literals, defaults and comments are left out.
 *
 * @return 0; BP_EFORMAT with line and column, or when `name` is not in it; BP_EUNSUPPORTED for what
 *         such a text cannot say; -ENOMEM
 */
BP_MUST_CHECK int bp_idl_to_msg(struct bp_str idl, const char *name, struct bp_buf *out,
                                struct bp_error *err);

/** Finds the type a field of `context` means by `name`; NULL when nobody defines it. Only after
 *  bp_defs_sort(). */
struct bp_draft *bp_defs_find(const struct bp_defs *d, const char *name);
/** Sorts for bp_defs_find() and adds what every ROS system has (builtin_interfaces/msg/Time,
 *  Duration; what services and actions need) when a field wants it and the text lacks it. */
int bp_defs_sort(struct bp_defs *d, struct bp_error *err);
/** Resolves names from `top` down, sizes, checks depth and recursion; moves *d into the schema. */
int bp_schema_link(struct bp_defs *d, const char *top, struct bp_schema **ret,
                   struct bp_error *err);

/** All types below t, each once, sorted by name; a heap array owned by the caller. -ENOMEM. */
int bp_type_references(const struct bp_type *t, const struct bp_type ***ret, size_t *ret_n);
