#pragma once

#include "base/buf.h"
#include "base/error.h"

/* A message type made ready for decoding, and one pass over a CDR message along it. This is what
 * JSON, `echo`, and later export and triggers are built on: they see each field once, in the order
 * of the definition, as a view into the message's own bytes; nothing is copied or allocated. */

enum bp_prim {
    BP_PRIM_BOOL,
    BP_PRIM_BYTE, /* "byte", IDL octet */
    BP_PRIM_CHAR, /* IDL char; the "char" of a .msg is BP_PRIM_UINT8, as rosidl has it */
    BP_PRIM_INT8,
    BP_PRIM_UINT8,
    BP_PRIM_INT16,
    BP_PRIM_UINT16,
    BP_PRIM_INT32,
    BP_PRIM_UINT32,
    BP_PRIM_INT64,
    BP_PRIM_UINT64,
    BP_PRIM_FLOAT32,
    BP_PRIM_FLOAT64,
    BP_PRIM_WCHAR,  /* UTF-16 unit */
    BP_PRIM_STRING, /* UTF-8, not checked */
    BP_PRIM_WSTRING,
    BP_PRIM_STRUCT,
    BP_PRIM_N_,
};

enum bp_array {
    BP_ARRAY_NONE,
    BP_ARRAY_FIXED,   /* T[3] */
    BP_ARRAY_BOUNDED, /* T[<=3] */
    BP_ARRAY_SEQ,     /* T[] */
};

/* One field: what to read and what to call it. */
struct bp_op {
    const char *name;
    struct bp_str key; /* the name as it stands in JSON: quoted, with its colon */
    enum bp_prim prim;
    enum bp_array array;
    uint8_t size;          /* bytes of one item on the wire and its alignment; 0 = it varies */
    uint32_t bound;        /* items of BP_ARRAY_FIXED, most items of BP_ARRAY_BOUNDED, else 0 */
    uint32_t string_bound; /* most characters, 0 = no limit; not enforced when decoding */
    const struct bp_type *type; /* of BP_PRIM_STRUCT */
    const char *type_name;      /* of BP_PRIM_STRUCT: "pkg/msg/Name" */
    struct bp_str def;          /* default as written in the definition, or empty */
};

struct bp_const {
    const char *name;
    enum bp_prim prim;
    struct bp_str value; /* as written, with quotes if it had them */
};

struct bp_type {
    const char *name; /* "pkg/msg/Name" */
    const struct bp_op *ops;
    size_t n;
    const struct bp_const *consts;
    size_t nconsts;
    /* True for a message without a field: rosidl gives it one byte on the wire and in its hash
     * (structure_needs_at_least_one_member), which no reader shows. `n` is 0 then. */
    bool empty;
    uint64_t min_size; /* fewest bytes a message of this type has, without alignment; at least 1 */
    unsigned depth;    /* 1 = no struct inside */
};

struct bp_schema;
/** The type the schema was parsed for; lives as long as the schema. */
const struct bp_type *bp_schema_type(const struct bp_schema *s);

/* Items of a field as they stand in the message. */
struct bp_value {
    const uint8_t *p; /* borrowed from the message; not aligned */
    size_t n;         /* items; for strings: bytes (string) or units (wstring) without the NUL */
    uint8_t unit;     /* bytes of an item; of a wstring's unit: 2, or 4 with some writers */
    bool swap;        /* bytes are in the other order than this machine's */
};

/** Item i as an integer, sign-extended where the type has a sign. Not for floats. */
uint64_t bp_value_u64(const struct bp_value *v, enum bp_prim prim, size_t i);
/** Item i as a double, whatever primitive it is. */
double bp_value_f64(const struct bp_value *v, enum bp_prim prim, size_t i);
/** Appends a wstring as UTF-8; what is not UTF-16 becomes U+FFFD. */
void bp_value_utf8(const struct bp_value *v, struct bp_buf *out);

/** Of `enter`: nothing inside is wanted. It is checked like the rest, without a call, `leave`
 * neither. */
#define BP_WALK_SKIP 0x5cffff

/* What the walk calls; each may be NULL. A result other than 0 ends the walk and is returned by it.
 * The op tells name and type; `array` of the op tells whether a value is one item or many.
 *
 *   value  a primitive, an array of primitives (all items at once), or one string
 *   enter  a struct (count 1), or an array of structs or strings with `count` items
 *   item   before item i of such an array; `string` is NULL for structs
 *   leave  the counterpart of enter
 */
struct bp_visitor {
    int (*value)(void *ctx, const struct bp_op *op, const struct bp_value *v);
    int (*enter)(void *ctx, const struct bp_op *op, uint32_t count);
    int (*item)(void *ctx, const struct bp_op *op, uint32_t i, const struct bp_value *string);
    int (*leave)(void *ctx, const struct bp_op *op, uint32_t count);
};

/**
 * Walks one message: XCDR1 or XCDR2, plain, delimited or with member headers, either byte order, as
 * its encapsulation header says (ids 0x00-0x0b and the XTypes numbers 0x10-0x15). Never reads
 * beyond `n`, checks every length before it believes it, uses no heap and a stack bounded by the
 * type's depth (at most 64). Bytes behind the last field are ignored, as other readers do.
 *
 * Delimited encapsulation is taken to mean that every nested struct is appendable, member headers
 * that every struct is mutable with ids counted from 0: the definition texts of ROS do not say.
 *
 * @param cdr  message with its 4-byte encapsulation header
 * @return 0, BP_ETRUNCATED or BP_EFORMAT naming field and offset, BP_EUNSUPPORTED for another
 *         encapsulation, or what a callback returned
 */
int bp_schema_walk(const struct bp_schema *s, const void *cdr, size_t n,
                   const struct bp_visitor *visitor, void *ctx, struct bp_error *err);
