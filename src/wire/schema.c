/* From the text of a definition to a linked schema: splits it into files, has each parsed, resolves
 * names, and computes what decoding needs. */
#include "wire/schema-priv.h"

#include <errno.h>

enum { ARENA_LIMIT = 64 << 20 };

void bp_msgdefs_done(struct bp_defs *d) {
    bp_arena_done(&d->a);
    free(d->v);
    *d = (struct bp_defs){ 0 };
}

void bp_schema_free(struct bp_schema *s) {
    if (!s)
        return;
    bp_msgdefs_done(&s->defs);
    free(s);
}

const struct bp_type *bp_schema_type(const struct bp_schema *s) {
    return s->top;
}

/* ---- drafts ---- */

static int too_large(struct bp_error *err, const char *name) {
    return bp_fail(err, -ENOMEM, "%s: out of memory", name);
}

int bp_defs_add(struct bp_defs *d, struct bp_str name, struct bp_draft **ret,
                struct bp_error *err) {
    char full[BP_MAX_NAME + 1];
    struct bp_draft *t;

    d->a.limit_bytes = ARENA_LIMIT;
    if (bp_type_name(name, full) < 0)
        return bp_fail(err, BP_EFORMAT, "'%.*s' is not the name of a type",
                       (int) BP_MIN(name.n, (size_t) 80), name.p);
    if (d->n == BP_MAX_TYPES)
        return bp_fail(err, BP_ELIMIT, "more than %d types in one definition", BP_MAX_TYPES);
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 16;
        struct bp_draft **v = realloc(d->v, cap * sizeof(struct bp_draft *));

        if (!v)
            return too_large(err, full);
        d->v = v;
        d->cap = cap;
    }
    t = bp_arena_alloc(&d->a, sizeof *t);
    if (!t)
        return too_large(err, full);
    t->t.name = bp_arena_text(&d->a, bp_str_of(full));
    t->t.empty = true;
    if (!t->t.name)
        return too_large(err, full);
    t->order = (unsigned) d->n;
    d->v[d->n++] = t;
    *ret = t;
    return 0;
}

/* Makes room for one more item of `size` bytes in an arena array of n; the old array is left to the
 * arena. */
static void *more(struct bp_arena *a, void *items, size_t n, size_t *cap, size_t size) {
    size_t want = *cap ? 2 * *cap : 8;
    void *p;

    if (n < *cap)
        return items;
    p = bp_arena_alloc(a, want * size);
    if (!p)
        return NULL;
    if (n)
        memcpy(p, items, n * size);
    *cap = want;
    return p;
}

int bp_draft_field(struct bp_defs *d, struct bp_draft *t, const struct bp_op *op,
                   struct bp_error *err) {
    size_t length = strlen(op->name);
    struct bp_op *ops;
    char *key;

    if (t->t.n == BP_MAX_FIELDS)
        return bp_fail(err, BP_ELIMIT, "more than %d fields in %s", BP_MAX_FIELDS, t->t.name);
    if (d->nfields++ == BP_MAX_ALL_FIELDS)
        return bp_fail(err, BP_ELIMIT, "more than %d fields in one definition", BP_MAX_ALL_FIELDS);
    for (size_t i = 0; i < t->t.n; i++)
        if (bp_streq(t->ops[i].name, op->name))
            return bp_fail(err, BP_EFORMAT, "field '%s' appears twice in %s", op->name, t->t.name);

    ops = more(&d->a, t->ops, t->t.n, &t->cap, sizeof *ops);
    key = bp_arena_alloc(&d->a, length + 4);
    if (!ops || !key)
        return too_large(err, t->t.name);
    key[0] = '"';
    memcpy(key + 1, op->name, length);
    key[length + 1] = '"';
    key[length + 2] = ':';
    t->ops = ops;
    t->ops[t->t.n] = *op;
    t->ops[t->t.n].key = (struct bp_str){ key, length + 3 };
    t->t.ops = ops;
    t->t.n++;
    t->t.empty = false;
    return 0;
}

int bp_draft_const(struct bp_defs *d, struct bp_draft *t, const struct bp_const *c,
                   struct bp_error *err) {
    struct bp_const *v;

    if (t->t.nconsts == BP_MAX_FIELDS)
        return bp_fail(err, BP_ELIMIT, "more than %d constants in %s", BP_MAX_FIELDS, t->t.name);
    v = more(&d->a, t->consts, t->t.nconsts, &t->consts_cap, sizeof *v);
    if (!v)
        return too_large(err, t->t.name);
    t->consts = v;
    t->consts[t->t.nconsts++] = *c;
    t->t.consts = v;
    return 0;
}

void bp_draft_drop_filler(struct bp_draft *t) {
    if (t->t.n == 1 && t->ops[0].prim == BP_PRIM_UINT8 && t->ops[0].array == BP_ARRAY_NONE &&
        bp_streq(t->ops[0].name, "structure_needs_at_least_one_member")) {
        t->t.n = 0;
        t->t.empty = true;
    }
}

/* ---- linking ---- */

static int by_name(const void *a, const void *b) {
    const struct bp_draft *const *x = a, *const *y = b;
    int r = strcmp((*x)->t.name, (*y)->t.name);

    return r != 0 ? r : (*x)->order < (*y)->order ? -1 : 1;
}

/* The first of that name: some writers repeat definitions. */
struct bp_draft *bp_defs_find(const struct bp_defs *d, const char *name) {
    size_t low = 0, high = d->n;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (strcmp(d->v[mid]->t.name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < d->n && bp_streq(d->v[low]->t.name, name) ? d->v[low] : NULL;
}

/* Known without being told: text from ROS 1 tools leaves the times out, that of a .srv or .action
 * never had what is derived from it. */
static const struct {
    const char *name, *text;
} implicit[] = {
    { "builtin_interfaces/msg/Time", "int32 sec\nuint32 nanosec\n" },
    { "builtin_interfaces/msg/Duration", "int32 sec\nuint32 nanosec\n" },
    { "unique_identifier_msgs/msg/UUID", "uint8[16] uuid\n" },
    { "service_msgs/msg/ServiceEventInfo",
      "uint8 REQUEST_SENT=0\nuint8 REQUEST_RECEIVED=1\nuint8 RESPONSE_SENT=2\n"
      "uint8 RESPONSE_RECEIVED=3\nuint8 event_type\nbuiltin_interfaces/Time stamp\n"
      "char[16] client_gid\nint64 sequence_number\n" },
};

int bp_defs_sort(struct bp_defs *d, struct bp_error *err) {
    if (d->n > 0)
        qsort(d->v, d->n, sizeof(struct bp_draft *), by_name);
    for (size_t i = 0; i < BP_COUNT(implicit); i++) {
        int r;

        if (bp_defs_find(d, implicit[i].name))
            continue;
        r = bp_msgdef_parse(d, implicit[i].name, bp_str_of(implicit[i].text), 1, err);
        if (r < 0)
            return r;
        qsort(d->v, d->n, sizeof(struct bp_draft *), by_name);
    }
    return 0;
}

/* By its full name; else, as ROS 1 texts have it, std_msgs' Header or the only type whose last part
 * is the same. */
static struct bp_draft *resolve(const struct bp_defs *d, const char *name) {
    const char *last = strrchr(name, '/');
    struct bp_draft *t = bp_defs_find(d, name), *found = NULL;

    if (t)
        return t;
    if (bp_streq(last, "/Header"))
        return bp_defs_find(d, "std_msgs/msg/Header");
    for (size_t i = 0; i < d->n; i++) {
        if (!bp_streq(strrchr(d->v[i]->t.name, '/'), last) ||
            (found && bp_streq(found->t.name, d->v[i]->t.name)))
            continue;
        if (found)
            return NULL;
        found = d->v[i];
    }
    return found;
}

static uint64_t add_capped(uint64_t a, uint64_t b) {
    return a > UINT32_MAX || b > UINT32_MAX ? (uint64_t) 1 << 33 : a + b;
}

static uint64_t least_size(const struct bp_op *op) {
    uint64_t item = op->prim == BP_PRIM_STRUCT ? op->type->min_size : op->size ? op->size : 4;

    switch (op->array) {
    case BP_ARRAY_NONE:
        return item;
    case BP_ARRAY_FIXED:
        return item > UINT32_MAX ? item : item * op->bound; /* below 2^63 */
    case BP_ARRAY_BOUNDED:
    case BP_ARRAY_SEQ:
        break;
    }
    return 4;
}

static int link_type(struct bp_schema *s, struct bp_draft *t, unsigned level,
                     struct bp_error *err) {
    uint64_t size = t->t.empty ? 1 : 0;
    unsigned depth = 1;

    if (t->state == BP_DRAFT_LINKED)
        return 0;
    if (t->state == BP_DRAFT_BUSY)
        return bp_fail(err, BP_EFORMAT, "type %s contains itself", t->t.name);
    if (level > BP_MAX_DEPTH)
        return bp_fail(err, BP_ELIMIT, "types are nested deeper than %d at %s", BP_MAX_DEPTH,
                       t->t.name);
    t->state = BP_DRAFT_BUSY;
    for (size_t i = 0; i < t->t.n; i++) {
        struct bp_op *op = &t->ops[i];

        if (op->prim == BP_PRIM_STRUCT) {
            struct bp_draft *in = resolve(&s->defs, op->type_name);
            int r;

            if (!in)
                return bp_fail(err, BP_EFORMAT, "%s: the type %s of field '%s' is not defined",
                               t->t.name, op->type_name, op->name);
            r = link_type(s, in, level + 1, err);
            if (r < 0)
                return r;
            op->type = &in->t;
            op->type_name = in->t.name;
            depth = BP_MAX(depth, in->t.depth + 1);
        }
        s->has_wide |= op->prim == BP_PRIM_WSTRING;
        size = add_capped(size, least_size(op));
    }
    if (depth > BP_MAX_DEPTH)
        return bp_fail(err, BP_ELIMIT, "types are nested deeper than %d at %s", BP_MAX_DEPTH,
                       t->t.name);
    t->t.min_size = size;
    t->t.depth = depth;
    t->state = BP_DRAFT_LINKED;
    return 0;
}

int bp_schema_link(struct bp_defs *d, const char *top, struct bp_schema **ret,
                   struct bp_error *err) {
    BP_CLEANUP(bp_schema_freep) struct bp_schema *s = calloc(1, sizeof *s);
    struct bp_draft *t;
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_defs_sort(d, err);
    if (r < 0)
        return r;
    s->defs = *d;
    *d = (struct bp_defs){ 0 };
    t = bp_defs_find(&s->defs, top);
    if (!t)
        return bp_fail(err, BP_EFORMAT, "the definition does not define %s", top);
    r = link_type(s, t, 1, err);
    if (r < 0)
        return r;
    s->top = &t->t;
    *ret = BP_TAKE_PTR(s);
    return 0;
}

/* ---- the text of several files ---- */

static bool is_separator(struct bp_str line) {
    size_t n = 0;

    while (n < line.n && line.p[n] == '=')
        n++;
    for (size_t i = n; i < line.n; i++)
        if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
            return false;
    return n >= 3;
}

static struct bp_str cut_line(struct bp_str *text) {
    const char *eol = memchr(text->p, '\n', text->n);
    struct bp_str line = { text->p, eol ? (size_t) (eol - text->p) : text->n };
    size_t n = line.n + (eol ? 1 : 0);

    text->p += n;
    text->n -= n;
    return line;
}

/* The text up to the next separator line, which is taken as well; *lines counts on. */
static struct bp_str cut_file(struct bp_str *text, unsigned *lines) {
    struct bp_str file = { text->p, 0 };

    while (text->n > 0) {
        struct bp_str line = cut_line(text);

        ++*lines;
        if (is_separator(line))
            break;
        file.n = (size_t) (text->p - file.p);
    }
    return file;
}

/* "MSG: pkg/Type" */
static int parse_header(struct bp_str line, struct bp_str *ret_name, bool *ret_idl) {
    size_t end;

    if (line.n < 4 || (memcmp(line.p, "MSG:", 4) != 0 && memcmp(line.p, "IDL:", 4) != 0))
        return -EINVAL;
    *ret_idl = line.p[0] == 'I';
    line = (struct bp_str){ line.p + 4, line.n - 4 };
    while (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t'))
        line = (struct bp_str){ line.p + 1, line.n - 1 };
    for (end = 0; end < line.n && !strchr(" \t\r#", line.p[end]); end++)
        ;
    *ret_name = (struct bp_str){ line.p, end };
    return 0;
}

static bool is_blank(struct bp_str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!strchr(" \t\r\n", s.p[i]) || s.p[i] == '\0')
            return false;
    return true;
}

/* A file behind a separator: its name, then its text. */
static int parse_named(struct bp_defs *d, struct bp_str file, unsigned line, struct bp_error *err) {
    char full[BP_MAX_NAME + 1];
    struct bp_str name;
    bool idl;

    if (is_blank(file))
        return 0;
    if (parse_header(cut_line(&file), &name, &idl) < 0)
        return bp_fail(err, BP_EFORMAT, "line %u: \"MSG: package/Type\" expected behind '==='",
                       line);
    if (bp_type_name(name, full) < 0)
        return bp_fail(err, BP_EFORMAT, "line %u: '%.*s' is not the name of a type", line,
                       (int) BP_MIN(name.n, (size_t) 80), name.p);
    return idl ? bp_idl_parse(d, file, line + 1, err)
               : bp_msgdef_parse(d, full, file, line + 1, err);
}

static int parse_files(struct bp_defs *d, const char *type, bool idl, struct bp_str text,
                       struct bp_error *err) {
    unsigned lines = 0, first = 1;
    struct bp_str file = cut_file(&text, &lines);
    int r = 0;

    if (!idl)
        r = bp_msgdef_parse(d, type, file, 1, err);
    else if (!is_blank(file))
        r = bp_idl_parse(d, file, 1, err);
    while (r == 0 && text.n > 0) {
        first = lines + 1;
        file = cut_file(&text, &lines);
        r = parse_named(d, file, first, err);
    }
    return r;
}

int bp_schema_parse(const char *type, const char *encoding, struct bp_str text,
                    struct bp_schema **ret, struct bp_error *err) {
    BP_CLEANUP(bp_msgdefs_done) struct bp_defs d = { 0 };
    char full[BP_MAX_NAME + 1];
    bool idl = bp_streq(encoding, "ros2idl");
    int r;

    if (!idl && !bp_streq(encoding, "ros2msg"))
        return bp_fail(err, BP_EUNSUPPORTED, "definitions in '%s' are not understood", encoding);
    if (bp_type_name(bp_str_of(type), full) < 0)
        return bp_fail(err, BP_EFORMAT, "'%s' is not the name of a type", type);
    if (text.n > BP_MAX_DEFINITION)
        return bp_fail(err, BP_ELIMIT, "the definition of %s has %zu bytes, more than %d", full,
                       text.n, BP_MAX_DEFINITION);
    r = parse_files(&d, full, idl, text, err);
    if (r == 0)
        r = bp_schema_link(&d, full, ret, err);
    return r < 0 ? bp_prefix(err, r, "definition of %s", full) : 0;
}
