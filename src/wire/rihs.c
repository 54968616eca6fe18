/* RIHS01, the type hash of ROS 2 (REP 2016; rosidl_generator_type_description): SHA-256 over the
 * TypeDescription of a type as the JSON that Python's json.dumps() makes of it, fields in order of
 * definition, referenced types sorted by name. Defaults and constants are no part of it. */
#include "crypt/digest.h"
#include "wire/schema-priv.h"

#include <errno.h>
#include <stdio.h>

/* type_description_interfaces/msg/FieldType */
static const uint8_t type_ids[] = {
    [BP_PRIM_STRUCT] = 1,   [BP_PRIM_INT8] = 2,     [BP_PRIM_UINT8] = 3,    [BP_PRIM_INT16] = 4,
    [BP_PRIM_UINT16] = 5,   [BP_PRIM_INT32] = 6,    [BP_PRIM_UINT32] = 7,   [BP_PRIM_INT64] = 8,
    [BP_PRIM_UINT64] = 9,   [BP_PRIM_FLOAT32] = 10, [BP_PRIM_FLOAT64] = 11, [BP_PRIM_CHAR] = 13,
    [BP_PRIM_WCHAR] = 14,   [BP_PRIM_BOOL] = 15,    [BP_PRIM_BYTE] = 16,    [BP_PRIM_STRING] = 17,
    [BP_PRIM_WSTRING] = 18,
};

enum { BOUNDED_STRING = 4 /* added to the ids of strings */, PER_ARRAY_KIND = 48 };

static unsigned type_id(const struct bp_op *op) {
    unsigned id = type_ids[op->prim];

    return id + (op->string_bound ? BOUNDED_STRING : 0) + PER_ARRAY_KIND * (unsigned) op->array;
}

static void put_field(struct bp_buf *b, const struct bp_op *op, bool first) {
    bp_buf_printf(b,
                  "%s{\"name\": \"%s\", \"type\": {\"type_id\": %u, \"capacity\": %u, "
                  "\"string_capacity\": %u, \"nested_type_name\": \"%s\"}}",
                  first ? "" : ", ", op->name, type_id(op), op->bound, op->string_bound,
                  op->type ? op->type->name : "");
}

static void put_type(struct bp_buf *b, const struct bp_type *t) {
    static const struct bp_op filler = { .name = "structure_needs_at_least_one_member",
                                         .prim = BP_PRIM_UINT8 };

    bp_buf_printf(b, "{\"type_name\": \"%s\", \"fields\": [", t->name);
    for (size_t i = 0; i < t->n; i++)
        put_field(b, &t->ops[i], i == 0);
    if (t->empty)
        put_field(b, &filler, true);
    bp_buf_put_str(b, "]}");
}

struct types {
    const struct bp_type **v; /* owned */
    size_t n, cap;
};

static int by_name(const void *a, const void *b) {
    const struct bp_type *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

/* Types below t go to `into`, each once. */
static int collect(const struct bp_type *t, struct types *into) {
    for (size_t i = 0; i < t->n; i++) {
        const struct bp_type *in = t->ops[i].type;
        bool known = false;
        int r;

        for (size_t k = 0; in && k < into->n && !known; k++)
            known = into->v[k] == in;
        if (!in || known)
            continue;
        if (into->n == into->cap) {
            size_t cap = into->cap ? 2 * into->cap : 16;
            const struct bp_type **v = realloc(into->v, cap * sizeof(struct bp_type *));

            if (!v)
                return -ENOMEM;
            into->v = v;
            into->cap = cap;
        }
        into->v[into->n++] = in;
        r = collect(in, into);
        if (r < 0)
            return r;
    }
    return 0;
}

int bp_type_references(const struct bp_type *t, const struct bp_type ***ret, size_t *ret_n) {
    struct types all = { 0 };
    int r = collect(t, &all);

    if (r < 0) {
        free(all.v);
        return r;
    }
    if (all.n > 1)
        qsort(all.v, all.n, sizeof(struct bp_type *), by_name);
    *ret = all.v;
    *ret_n = all.n;
    return 0;
}

int bp_schema_hash(const struct bp_schema *s, char ret[static 72], struct bp_error *err) {
    BP_AUTO_FREE const struct bp_type **refs = NULL;
    uint8_t digest[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX];
    BP_AUTO_BUF b = { 0 };
    size_t n;

    if (bp_type_references(s->top, &refs, &n) < 0)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_buf_put_str(&b, "{\"type_description\": ");
    put_type(&b, s->top);
    bp_buf_put_str(&b, ", \"referenced_type_descriptions\": [");
    for (size_t i = 0; i < n; i++) {
        bp_buf_put_str(&b, i ? ", " : "");
        put_type(&b, refs[i]);
    }
    bp_buf_put_str(&b, "]}");
    if (b.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_sha256_of(b.p, b.n, digest);
    (void) snprintf(ret, 72, "RIHS01_%s", bp_sha256_hex(digest, hex));
    return 0;
}
