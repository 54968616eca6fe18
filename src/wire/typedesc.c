/* The reverse of rosidl's TypeDescription: from what a node tells about a type to the text of its
 * definition. The description alone has no constants; the sources that come with it do, but are
 * not covered by the hash. So the description is checked by the hash, and a source is used where
 * the text made with it gives the same hash. */
#include "wire/cdr.h"
#include "wire/schema-priv.h"

#include <errno.h>
#include <stdio.h>

enum { MAX_SOURCES = 4096, PER_ARRAY_KIND = 48 };

struct source {
    struct bp_str type, encoding, text;
};

struct answer {
    struct bp_defs defs;
    char top[BP_MAX_NAME + 1];
    struct source *sources; /* owned */
    uint32_t nsources;
    struct bp_error *err;
};

static void answer_done(struct answer *a) {
    bp_msgdefs_done(&a->defs);
    free(a->sources);
}

/* type_description_interfaces/msg/FieldType; 0 for what a .msg cannot say. */
static const struct {
    enum bp_prim prim;
    bool known, bounded;
} type_ids[PER_ARRAY_KIND] = {
    [1] = { BP_PRIM_STRUCT, true, false },   [2] = { BP_PRIM_INT8, true, false },
    [3] = { BP_PRIM_UINT8, true, false },    [4] = { BP_PRIM_INT16, true, false },
    [5] = { BP_PRIM_UINT16, true, false },   [6] = { BP_PRIM_INT32, true, false },
    [7] = { BP_PRIM_UINT32, true, false },   [8] = { BP_PRIM_INT64, true, false },
    [9] = { BP_PRIM_UINT64, true, false },   [10] = { BP_PRIM_FLOAT32, true, false },
    [11] = { BP_PRIM_FLOAT64, true, false }, [15] = { BP_PRIM_BOOL, true, false },
    [16] = { BP_PRIM_BYTE, true, false },    [17] = { BP_PRIM_STRING, true, false },
    [18] = { BP_PRIM_WSTRING, true, false }, [21] = { BP_PRIM_STRING, true, true },
    [22] = { BP_PRIM_WSTRING, true, true },
};

static int bad_field(const struct answer *a, struct bp_str name, const char *what) {
    return bp_fail(a->err, BP_EUNSUPPORTED, "%s of field '%.*s'", what,
                   (int) BP_MIN(name.n, (size_t) 80), name.p);
}

static int read_field(struct answer *a, struct bp_cdrr *r, struct bp_draft *t) {
    struct bp_str name = bp_cdrr_str(r);
    unsigned id = bp_cdrr_u8(r);
    uint64_t capacity = bp_cdrr_u64(r), string_capacity = bp_cdrr_u64(r);
    struct bp_str nested = bp_cdrr_str(r), def = bp_cdrr_str(r);
    char full[BP_MAX_NAME + 1];
    struct bp_op op = { 0 };

    if (r->bad)
        return bp_fail(a->err, BP_ETRUNCATED, "the type description ends inside a field");
    if (id >= 4 * PER_ARRAY_KIND || !type_ids[id % PER_ARRAY_KIND].known)
        return bad_field(a, name, "unsupported type");
    if (!bp_is_identifier(name) || capacity > BP_MAX_ITEMS || string_capacity > BP_MAX_ITEMS)
        return bad_field(a, name, "unusable name or capacity");

    op.prim = type_ids[id % PER_ARRAY_KIND].prim;
    op.array = (enum bp_array)(id / PER_ARRAY_KIND);
    op.size = bp_prim_size(op.prim);
    op.bound = (uint32_t) capacity;
    op.string_bound = (uint32_t) string_capacity;
    if ((op.array == BP_ARRAY_FIXED || op.array == BP_ARRAY_BOUNDED) != (capacity > 0) ||
        type_ids[id % PER_ARRAY_KIND].bounded != (string_capacity > 0))
        return bad_field(a, name, "capacity that does not fit the type");
    op.name = bp_arena_text(&a->defs.a, name);
    op.def = (struct bp_str){ bp_arena_text(&a->defs.a, def), def.n };
    if (op.prim == BP_PRIM_STRUCT) {
        if (bp_type_name(nested, full) < 0)
            return bad_field(a, name, "unusable type name");
        op.type_name = bp_arena_text(&a->defs.a, bp_str_of(full));
    }
    if (a->defs.a.failed)
        return bp_fail(a->err, -ENOMEM, "out of memory");
    return bp_draft_field(&a->defs, t, &op, a->err);
}

static int read_type(struct answer *a, struct bp_cdrr *r, struct bp_draft **ret) {
    struct bp_str name = bp_cdrr_str(r);
    uint32_t n = bp_cdrr_count(r, 4);
    int k;

    if (r->bad)
        return bp_fail(a->err, BP_ETRUNCATED, "the type description ends inside a type");
    k = bp_defs_add(&a->defs, name, ret, a->err);
    for (uint32_t i = 0; k == 0 && i < n; i++)
        k = read_field(a, r, *ret);
    if (k == 0)
        bp_draft_drop_filler(*ret);
    return k;
}

static int read_sources(struct answer *a, struct bp_cdrr *r) {
    uint32_t n = bp_cdrr_count(r, 4);

    if (r->bad || n > MAX_SOURCES)
        return bp_fail(a->err, BP_ETRUNCATED, "the type description ends before its sources");
    a->sources = calloc(n + 1, sizeof *a->sources);
    if (!a->sources)
        return bp_fail(a->err, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        a->sources[i].type = bp_cdrr_str(r);
        a->sources[i].encoding = bp_cdrr_str(r);
        a->sources[i].text = bp_cdrr_str(r);
    }
    a->nsources = r->bad ? 0 : n;
    return 0;
}

static int read_answer(struct answer *a, const void *cdr, size_t n) {
    struct bp_cdrr r = bp_cdrr_begin(cdr, n);
    bool successful = bp_cdrr_u8(&r);
    struct bp_str reason = bp_cdrr_str(&r);
    struct bp_draft *t;
    uint32_t refs;
    int k;

    if (r.bad)
        return bp_fail(a->err, BP_EFORMAT, "not the answer to get_type_description");
    if (!successful)
        return bp_fail(a->err, -ENOENT, "the node does not tell: %.*s",
                       (int) BP_MIN(reason.n, (size_t) 200), reason.n ? reason.p : "");
    k = read_type(a, &r, &t);
    if (k < 0)
        return k;
    (void) snprintf(a->top, sizeof a->top, "%s", t->t.name);
    refs = bp_cdrr_count(&r, 4);
    for (uint32_t i = 0; k == 0 && i < refs; i++)
        k = read_type(a, &r, &t);
    return k < 0 ? k : read_sources(a, &r);
}

/* ---- as text ---- */

static const struct source *source_of(const struct answer *a, const char *type) {
    for (uint32_t i = 0; i < a->nsources; i++)
        if (bp_str_eq(a->sources[i].type, bp_str_of(type)) && a->sources[i].text.n > 0 &&
            bp_str_eq(a->sources[i].encoding, BP_STR("msg")))
            return &a->sources[i];
    return NULL;
}

static void put_type(struct bp_buf *b, const struct answer *a, const struct bp_type *t,
                     bool with_sources) {
    const struct source *s = with_sources ? source_of(a, t->name) : NULL;

    if (s) {
        bp_buf_put(b, s->text.p, s->text.n);
        bp_buf_put_str(b, s->text.p[s->text.n - 1] == '\n' ? "" : "\n");
        return;
    }
    for (size_t i = 0; i < t->n; i++)
        bp_msg_put_field(b, &t->ops[i]);
}

static int put_all(struct bp_buf *b, const struct answer *a, const struct bp_type *top,
                   bool with_sources) {
    BP_AUTO_FREE const struct bp_type **refs = NULL;
    size_t n;

    if (bp_type_references(top, &refs, &n) < 0)
        return -ENOMEM;
    put_type(b, a, top, with_sources);
    for (size_t i = 0; i < n; i++) {
        const char *msg = strstr(refs[i]->name, "/msg/");

        for (unsigned k = 0; k < 80; k++)
            bp_buf_put_u8(b, '=');
        if (msg)
            bp_buf_printf(b, "\nMSG: %.*s%s\n", (int) (msg - refs[i]->name), refs[i]->name,
                          msg + 4);
        else
            bp_buf_printf(b, "\nMSG: %s\n", refs[i]->name);
        put_type(b, a, refs[i], with_sources);
    }
    return b->failed ? -ENOMEM : 0;
}

/* Whether the text, read again, gives the same hash. */
static bool says(const char *type, const struct bp_buf *text, const char *hash) {
    BP_CLEANUP(bp_schema_freep) struct bp_schema *s = NULL;
    char again[72];

    return bp_schema_parse(type, "ros2msg", (struct bp_str){ (const char *) text->p, text->n }, &s,
                           NULL) == 0 &&
           bp_schema_hash(s, again, NULL) == 0 && bp_streq(hash, again);
}

int bp_schema_from_type_description(const void *cdr, size_t n, const char *type, const char *hash,
                                    struct bp_buf *out, struct bp_error *err) {
    BP_CLEANUP(answer_done) struct answer a = { .err = err };
    BP_CLEANUP(bp_schema_freep) struct bp_schema *s = NULL;
    BP_AUTO_BUF text = { 0 };
    char found[72];
    int r = read_answer(&a, cdr, n);

    if (r < 0)
        return bp_prefix(err, r, "description of %s", type);
    if (!bp_streq(a.top, type))
        return bp_fail(err, BP_EMISMATCH, "asked for %s, the node describes %s", type, a.top);
    r = bp_schema_link(&a.defs, type, &s, err);
    if (r == 0)
        r = bp_schema_hash(s, found, err);
    if (r < 0)
        return bp_prefix(err, r, "description of %s", type);
    if (*hash && !bp_streq(hash, found))
        return bp_fail(err, BP_EMISMATCH, "the node's description of %s has the hash %s, not %s",
                       type, found, hash);

    for (int with_sources = 1; with_sources >= 0; with_sources--) {
        bp_buf_clear(&text);
        if (put_all(&text, &a, bp_schema_type(s), with_sources) < 0)
            return bp_fail(err, -ENOMEM, "out of memory");
        if (says(type, &text, found)) {
            bp_buf_put(out, text.p, text.n);
            return out->failed ? bp_fail(err, -ENOMEM, "out of memory") : 0;
        }
    }
    return bp_fail(err, BP_EUNSUPPORTED, "%s cannot be written as a .msg", type);
}
