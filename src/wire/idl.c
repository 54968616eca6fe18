/* Reads the IDL that rosidl makes of interface files and rosbag2 stores as "ros2idl" (the subset of
 * OMG IDL 4.2 that rosidl_parser knows): modules, structs, constants, typedefs of arrays, bounded
 * strings and sequences, annotations. Enumerations are read as the uint32 they are on the wire.
 * What changes the wire format in ways ROS never uses (optional members, unions, long double,
 * arrays of arrays) is refused, not guessed. */
#include "wire/schema-priv.h"

#include <errno.h>
#include <stdio.h>

enum { MAX_ALIASES = 4096, MAX_VALUES = 8192 };

enum kind { END, IDENT, NUMBER, STRING, CHARACTER, SIGN };

struct token {
    enum kind kind;
    struct bp_str s; /* of STRING with its quotes; SIGN is one character or "::" */
    unsigned line, column;
};

/* A typedef or an enumeration: the name stands for these parts of a field. */
struct alias {
    const char *name; /* "pkg/msg/double__9" */
    struct bp_op op;
};

struct value {
    const char *scope; /* module it stands in */
    struct bp_const c;
};

struct idl {
    struct bp_defs *defs;
    const char *p, *end, *line_start;
    unsigned line;
    struct token t; /* looked at, not taken */
    char scope[BP_MAX_NAME + 1];
    size_t first_draft; /* types of this file begin here in defs->v */
    struct alias *aliases;
    struct value *values; /* heap, owned, as the names in them are the arena's */
    size_t naliases, aliases_cap, nvalues, values_cap;
    struct bp_error *err;
};

/* ---- tokens ---- */

static int fail_token(const struct idl *x, const struct token *t, const char *expected) {
    if (t->kind == END)
        return bp_fail(x->err, BP_EFORMAT, "line %u, column %u: %s expected, the text ends",
                       t->line, t->column, expected);
    return bp_fail(x->err, BP_EFORMAT, "line %u, column %u: %s expected, found '%.*s'", t->line,
                   t->column, expected, (int) BP_MIN(t->s.n, (size_t) 30), t->s.p);
}

static int fail_here(const struct idl *x, const char *expected) {
    return fail_token(x, &x->t, expected);
}

static int no_memory(const struct idl *x) {
    return bp_fail(x->err, -ENOMEM, "out of memory");
}

static bool ident_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void newline(struct idl *x) {
    x->line++;
    x->line_start = x->p;
}

static void skip_line(struct idl *x) {
    while (x->p < x->end && *x->p != '\n')
        x->p++;
}

static void skip_block(struct idl *x) {
    x->p += 2;
    while (x->p < x->end && !(*x->p == '*' && x->p + 1 < x->end && x->p[1] == '/'))
        if (*x->p++ == '\n')
            newline(x);
    x->p = x->end - x->p < 2 ? x->end : x->p + 2;
}

/* Blanks, comments, preprocessor lines. */
static void skip_space(struct idl *x) {
    while (x->p < x->end) {
        char c = *x->p, next = x->p + 1 < x->end ? x->p[1] : '\0';

        if (c == '\n') {
            x->p++;
            newline(x);
        } else if (c == ' ' || c == '\t' || c == '\r') {
            x->p++;
        } else if (c == '#' || (c == '/' && next == '/')) {
            skip_line(x);
        } else if (c == '/' && next == '*') {
            skip_block(x);
        } else {
            return;
        }
    }
}

/* Up to the closing quote, which must stand before the end. */
static bool quoted(struct idl *x, char quote) {
    for (x->p++; x->p < x->end && *x->p != quote; x->p++) {
        if (*x->p == '\\' && x->p + 1 < x->end)
            x->p++;
        if (*x->p == '\n')
            x->line++;
    }
    if (x->p == x->end)
        return false;
    x->p++;
    return true;
}

static int next(struct idl *x) {
    const char *from;
    char c;

    skip_space(x);
    from = x->p;
    x->t = (struct token){ END, { from, 0 }, x->line, (unsigned) (from - x->line_start) + 1 };
    if (x->p == x->end)
        return 0;
    c = *from;
    if (c == '"' || c == '\'') {
        if (!quoted(x, c)) {
            x->t.s.n = (size_t) (x->end - from);
            return fail_here(x, "a closing quote");
        }
        x->t.kind = c == '"' ? STRING : CHARACTER;
    } else if (ident_char(c) ||
               (c == '.' && x->p + 1 < x->end && x->p[1] >= '0' && x->p[1] <= '9')) {
        bool number = (c >= '0' && c <= '9') || c == '.';

        while (x->p < x->end &&
               (ident_char(*x->p) ||
                (number && (*x->p == '.' || ((*x->p == '-' || *x->p == '+') &&
                                             (x->p[-1] == 'e' || x->p[-1] == 'E'))))))
            x->p++;
        x->t.kind = number ? NUMBER : IDENT;
    } else {
        x->p += c == ':' && x->p + 1 < x->end && x->p[1] == ':' ? 2 : 1;
        x->t.kind = SIGN;
    }
    x->t.s.n = (size_t) (x->p - from);
    return 0;
}

static bool is(const struct idl *x, const char *text) {
    return x->t.kind != STRING && x->t.kind != CHARACTER && bp_str_eq(x->t.s, bp_str_of(text));
}

/* Takes the token when it is `text`: 1, else 0; negative when the next one is none. */
static int accept(struct idl *x, const char *text) {
    int r;

    if (!is(x, text))
        return 0;
    r = next(x);
    return r < 0 ? r : 1;
}

static int expect(struct idl *x, const char *text) {
    char quoted_text[16];

    if (is(x, text))
        return next(x);
    (void) snprintf(quoted_text, sizeof quoted_text, "'%s'", text);
    return fail_here(x, quoted_text);
}

static int identifier(struct idl *x, const char *what, struct bp_str *ret) {
    if (x->t.kind != IDENT || !bp_is_identifier(x->t.s))
        return fail_here(x, what);
    *ret = x->t.s;
    return next(x);
}

/* ---- names ---- */

static bool join(char *out, size_t cap, const char *scope, struct bp_str name) {
    int n = snprintf(out, cap, "%s%s%.*s", scope, *scope ? "/" : "", (int) name.n, name.p);

    return n >= 0 && (size_t) n < cap;
}

static const struct alias *find_alias(const struct idl *x, const char *name) {
    for (size_t i = 0; i < x->naliases; i++)
        if (bp_streq(x->aliases[i].name, name))
            return &x->aliases[i];
    return NULL;
}

static bool has_draft(const struct idl *x, const char *name) {
    for (size_t i = x->first_draft; i < x->defs->n; i++)
        if (bp_streq(x->defs->v[i]->t.name, name))
            return true;
    return false;
}

/* Cuts the innermost module off; false when there is none. */
static bool leave_scope(char *scope) {
    char *slash = strrchr(scope, '/');

    if (!*scope)
        return false;
    *(slash ? slash : scope) = '\0';
    return true;
}

/* "a::b::C" as "a/b/C". */
static int scoped_name(struct idl *x, char ret[static BP_MAX_NAME + 1], bool *ret_absolute) {
    struct bp_str part = BP_STR("");
    size_t n = 0;
    int r = accept(x, "::");

    if (r < 0)
        return r;
    *ret_absolute = r == 1;
    do {
        r = identifier(x, "a name", &part);
        if (r < 0)
            return r;
        if (n + part.n + 1 > BP_MAX_NAME)
            return bp_fail(x->err, BP_ELIMIT, "line %u: a name longer than %d", x->line,
                           BP_MAX_NAME);
        if (n > 0)
            ret[n++] = '/';
        memcpy(ret + n, part.p, part.n);
        n += part.n;
        ret[n] = '\0';
        r = accept(x, "::");
    } while (r == 1);
    return r;
}

/* What `name` means here: an alias, or else the full name of a struct in *full. A name that is not
 * in this file comes from an included one and is whole as it stands, or a neighbour. */
static const struct alias *lookup(struct idl *x, const char *name, bool absolute,
                                  char full[static BP_MAX_NAME + 1]) {
    char scope[BP_MAX_NAME + 1];

    (void) snprintf(scope, sizeof scope, "%s", absolute ? "" : x->scope);
    do {
        const struct alias *a = NULL;

        if (!join(full, BP_MAX_NAME + 1, scope, bp_str_of(name)))
            continue;
        a = find_alias(x, full);
        if (a || has_draft(x, full))
            return a;
    } while (leave_scope(scope));
    if (absolute || strchr(name, '/') || !join(full, BP_MAX_NAME + 1, x->scope, bp_str_of(name)))
        (void) snprintf(full, BP_MAX_NAME + 1, "%s", name);
    return NULL;
}

/* ---- values ---- */

static int parse_number(struct bp_str s, uint64_t *ret) {
    unsigned base = 10;
    uint64_t v = 0;
    size_t i = 0;

    if (s.n > 2 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'X')) {
        base = 16;
        i = 2;
    } else if (s.n > 1 && s.p[0] == '0') {
        base = 8;
        i = 1;
    }
    for (; i < s.n; i++) {
        char c = s.p[i];
        unsigned digit = c >= '0' && c <= '9'                 ? (unsigned) (c - '0')
                         : (c | 32) >= 'a' && (c | 32) <= 'f' ? (unsigned) ((c | 32) - 'a') + 10
                                                              : 99;

        if (digit >= base || v > (UINT64_MAX - digit) / base)
            return -EINVAL;
        v = v * base + digit;
    }
    *ret = v;
    return 0;
}

/* A bound: a number, or the name of a constant of this file. */
static int bound(struct idl *x, uint32_t *ret) {
    struct token at = x->t;
    struct bp_str text = x->t.s;
    char name[BP_MAX_NAME + 1];
    bool absolute;
    uint64_t v;
    int r;

    if (x->t.kind == NUMBER) {
        r = next(x);
    } else {
        const char *last;

        r = scoped_name(x, name, &absolute);
        if (r < 0)
            return r;
        last = strrchr(name, '/');
        last = last ? last + 1 : name;
        text.n = 0;
        for (size_t i = 0; i < x->nvalues; i++)
            if (bp_streq(x->values[i].c.name, last))
                text = x->values[i].c.value;
    }
    if (r < 0)
        return r;
    if (text.n == 0 || parse_number(text, &v) < 0 || v == 0 || v > BP_MAX_ITEMS)
        return fail_token(x, &at, "a number from 1 to 2147483647");
    *ret = (uint32_t) v;
    return 0;
}

/* Everything up to ';', ',' or ')' outside of quotes and parentheses, as it is written. */
static int expression(struct idl *x, struct bp_str *ret) {
    const char *from = x->t.s.p, *end = from;
    unsigned depth = 0;

    while (x->t.kind != END) {
        int r;

        if (depth == 0 && (is(x, ";") || is(x, ",") || is(x, ")") || is(x, "}")))
            break;
        depth += is(x, "(") ? 1 : 0;
        depth -= is(x, ")") ? 1 : 0;
        end = x->t.s.p + x->t.s.n;
        r = next(x);
        if (r < 0)
            return r;
    }
    if (end == from)
        return fail_here(x, "a value");
    ret->n = (size_t) (end - from);
    ret->p = bp_arena_text(&x->defs->a, (struct bp_str){ from, ret->n });
    return ret->p ? 0 : no_memory(x);
}

/* ---- types ---- */

static const struct {
    const char *name;
    enum bp_prim prim;
} names[] = {
    { "boolean", BP_PRIM_BOOL },  { "octet", BP_PRIM_BYTE },      { "char", BP_PRIM_CHAR },
    { "wchar", BP_PRIM_WCHAR },   { "float", BP_PRIM_FLOAT32 },   { "double", BP_PRIM_FLOAT64 },
    { "short", BP_PRIM_INT16 },   { "int8", BP_PRIM_INT8 },       { "uint8", BP_PRIM_UINT8 },
    { "int16", BP_PRIM_INT16 },   { "uint16", BP_PRIM_UINT16 },   { "int32", BP_PRIM_INT32 },
    { "uint32", BP_PRIM_UINT32 }, { "int64", BP_PRIM_INT64 },     { "uint64", BP_PRIM_UINT64 },
    { "string", BP_PRIM_STRING }, { "wstring", BP_PRIM_WSTRING },
};

/* "long", "long long" with or without "unsigned" before it. */
static int long_type(struct idl *x, bool is_unsigned, enum bp_prim *ret) {
    int r = expect(x, "long");

    *ret = is_unsigned ? BP_PRIM_UINT32 : BP_PRIM_INT32;
    if (r < 0)
        return r;
    if (is(x, "double"))
        return bp_fail(x->err, BP_EUNSUPPORTED, "line %u: long double is not supported", x->line);
    r = accept(x, "long");
    if (r == 1)
        *ret = is_unsigned ? BP_PRIM_UINT64 : BP_PRIM_INT64;
    return r < 0 ? r : 0;
}

static int number_type(struct idl *x, enum bp_prim *ret) {
    int r = accept(x, "unsigned");
    bool is_unsigned = r == 1;

    if (r < 0)
        return r;
    if (is(x, "long"))
        return long_type(x, is_unsigned, ret);
    if (is_unsigned) {
        *ret = BP_PRIM_UINT16;
        return expect(x, "short");
    }
    for (size_t i = 0; i < BP_COUNT(names); i++)
        if (is(x, names[i].name)) {
            *ret = names[i].prim;
            return next(x);
        }
    *ret = BP_PRIM_STRUCT;
    return 0;
}

static int string_bound(struct idl *x, struct bp_op *op) {
    int r = accept(x, "<");

    if (r != 1)
        return r;
    r = bound(x, &op->string_bound);
    return r < 0 ? r : expect(x, ">");
}

/* Anything but a sequence. */
static int item_type(struct idl *x, struct bp_op *op) {
    char name[BP_MAX_NAME + 1], full[BP_MAX_NAME + 1], clean[BP_MAX_NAME + 1];
    struct token at = x->t;
    const struct alias *a;
    bool absolute;
    int r = number_type(x, &op->prim);

    if (r < 0)
        return r;
    op->size = bp_prim_size(op->prim);
    if (op->prim == BP_PRIM_STRING || op->prim == BP_PRIM_WSTRING)
        return string_bound(x, op);
    if (op->prim != BP_PRIM_STRUCT)
        return 0;

    r = scoped_name(x, name, &absolute);
    if (r < 0)
        return r;
    a = lookup(x, name, absolute, full);
    if (a) {
        *op = a->op;
        return 0;
    }
    if (bp_type_name(bp_str_of(full), clean) < 0)
        return fail_token(x, &at, "the name of a type");
    op->type_name = bp_arena_text(&x->defs->a, bp_str_of(clean));
    return op->type_name ? 0 : no_memory(x);
}

static int type_spec(struct idl *x, struct bp_op *op) {
    struct token at;
    int r = accept(x, "sequence");

    if (r != 1)
        return r < 0 ? r : item_type(x, op);
    r = expect(x, "<");
    at = x->t;
    if (r == 0)
        r = item_type(x, op);
    if (r < 0)
        return r;
    if (op->array != BP_ARRAY_NONE || bp_str_eq(at.s, BP_STR("sequence")))
        return fail_token(x, &at, "one dimension at most");
    op->array = BP_ARRAY_SEQ;
    r = accept(x, ",");
    if (r == 1) {
        op->array = BP_ARRAY_BOUNDED;
        r = bound(x, &op->bound);
    }
    return r < 0 ? r : expect(x, ">");
}

/* "[3]" behind a name. */
static int dimension(struct idl *x, struct bp_op *op) {
    struct token at = x->t;
    int r = accept(x, "[");

    if (r != 1)
        return r;
    if (op->array != BP_ARRAY_NONE)
        return fail_token(x, &at, "one dimension at most");
    op->array = BP_ARRAY_FIXED;
    r = bound(x, &op->bound);
    if (r == 0)
        r = expect(x, "]");
    if (r == 0 && is(x, "["))
        return fail_here(x, "one dimension at most");
    return r;
}

/* ---- declarations ---- */

/* Skips annotations; the value of @default goes to *def. */
static int annotations(struct idl *x, struct bp_str *def) {
    while (is(x, "@")) {
        char name[BP_MAX_NAME + 1];
        bool absolute, is_default;
        unsigned depth = 0;
        int r = next(x);

        if (r == 0)
            r = scoped_name(x, name, &absolute);
        if (r < 0)
            return r;
        if (bp_streq(name, "optional"))
            return bp_fail(x->err, BP_EUNSUPPORTED, "line %u: optional members are not supported",
                           x->line);
        is_default = bp_streq(name, "default");
        if (!is(x, "("))
            continue;
        do {
            depth += is(x, "(") ? 1 : 0;
            depth -= is(x, ")") ? 1 : 0;
            if (x->t.kind == END)
                return fail_here(x, "')'");
            r = next(x);
            if (r == 0 && is_default && depth == 1 && is(x, "=")) {
                r = next(x);
                if (r == 0)
                    r = expression(x, def);
            }
        } while (r == 0 && depth > 0);
        if (r < 0)
            return r;
    }
    return 0;
}

static int member(struct idl *x, struct bp_draft *t) {
    struct bp_op op = { 0 };
    struct bp_str def = { 0 };
    int r = annotations(x, &def);

    if (r == 0)
        r = type_spec(x, &op);
    while (r == 0) {
        struct bp_op one = op;
        struct bp_str name = { 0 };
        unsigned line = x->line;

        r = identifier(x, "a member's name", &name);
        if (r == 0)
            r = dimension(x, &one);
        if (r < 0)
            return r;
        one.name = bp_arena_text(&x->defs->a, name);
        one.def = def;
        r = one.name ? bp_draft_field(x->defs, t, &one, x->err) : no_memory(x);
        if (r < 0)
            return bp_prefix(x->err, r, "line %u", line);
        r = accept(x, ",");
        if (r == 0)
            return expect(x, ";");
        r = r < 0 ? r : 0;
    }
    return r;
}

static int structure(struct idl *x) {
    char full[BP_MAX_NAME + 1];
    struct bp_draft *t;
    struct bp_str name = { 0 };
    int r = next(x);

    if (r == 0)
        r = identifier(x, "a struct's name", &name);
    if (r == 0 && is(x, ":"))
        return bp_fail(x->err, BP_EUNSUPPORTED, "line %u: inheritance is not supported", x->line);
    if (r == 0)
        r = expect(x, "{");
    if (r < 0)
        return r;
    if (!join(full, sizeof full, x->scope, name))
        return bp_fail(x->err, BP_ELIMIT, "line %u: a name longer than %d", x->line, BP_MAX_NAME);
    r = bp_defs_add(x->defs, bp_str_of(full), &t, x->err);
    while (r == 0 && !is(x, "}"))
        r = member(x, t);
    if (r < 0)
        return r;
    bp_draft_drop_filler(t);
    return next(x);
}

static int add_alias(struct idl *x, struct bp_str name, const struct bp_op *op) {
    char full[BP_MAX_NAME + 1];

    if (x->naliases == MAX_ALIASES || !join(full, sizeof full, x->scope, name))
        return bp_fail(x->err, BP_ELIMIT, "line %u: too many typedefs", x->line);
    if (x->naliases == x->aliases_cap) {
        size_t cap = x->aliases_cap ? 2 * x->aliases_cap : 16;
        struct alias *v = realloc(x->aliases, cap * sizeof *v);

        if (!v)
            return no_memory(x);
        x->aliases = v;
        x->aliases_cap = cap;
    }
    x->aliases[x->naliases] =
        (struct alias){ .name = bp_arena_text(&x->defs->a, bp_str_of(full)), .op = *op };
    return x->aliases[x->naliases++].name ? 0 : no_memory(x);
}

static int type_definition(struct idl *x) {
    struct bp_op op = { 0 };
    int r = next(x);

    if (r == 0)
        r = type_spec(x, &op);
    while (r == 0) {
        struct bp_op one = op;
        struct bp_str name = { 0 };

        r = identifier(x, "a type's name", &name);
        if (r == 0)
            r = dimension(x, &one);
        if (r == 0)
            r = add_alias(x, name, &one);
        if (r == 0)
            r = accept(x, ",");
        if (r == 0)
            return 0;
        r = r < 0 ? r : 0;
    }
    return r;
}

static int enumeration(struct idl *x) {
    struct bp_op op = { .prim = BP_PRIM_UINT32, .size = 4 };
    struct bp_str name = { 0 }, def = { 0 };
    int r = next(x);

    if (r == 0)
        r = identifier(x, "an enumeration's name", &name);
    if (r == 0)
        r = add_alias(x, name, &op);
    if (r == 0)
        r = expect(x, "{");
    while (r == 0) {
        r = annotations(x, &def);
        if (r == 0)
            r = identifier(x, "an enumerator", &name);
        if (r < 0)
            return r;
        r = accept(x, ",");
        if (r == 0)
            return expect(x, "}");
        r = r < 0 ? r : 0;
    }
    return r;
}

static int constant(struct idl *x) {
    struct value v = { 0 };
    struct bp_op op = { 0 };
    struct bp_str name = { 0 };
    int r = next(x);

    if (r == 0)
        r = type_spec(x, &op);
    if (r == 0)
        r = identifier(x, "a constant's name", &name);
    if (r == 0)
        r = expect(x, "=");
    if (r == 0)
        r = expression(x, &v.c.value);
    if (r < 0)
        return r;
    if (x->nvalues == MAX_VALUES)
        return bp_fail(x->err, BP_ELIMIT, "line %u: more than %d constants", x->line, MAX_VALUES);
    if (x->nvalues == x->values_cap) {
        size_t cap = x->values_cap ? 2 * x->values_cap : 16;
        struct value *p = realloc(x->values, cap * sizeof *p);

        if (!p)
            return no_memory(x);
        x->values = p;
        x->values_cap = cap;
    }
    v.c.prim = op.prim;
    v.c.name = bp_arena_text(&x->defs->a, name);
    v.scope = bp_arena_text(&x->defs->a, bp_str_of(x->scope));
    if (!v.c.name || !v.scope)
        return no_memory(x);
    x->values[x->nvalues++] = v;
    return 0;
}

static int open_module(struct idl *x) {
    char inner[BP_MAX_NAME + 1];
    struct bp_str name = { 0 };
    int r = next(x);

    if (r == 0)
        r = identifier(x, "a module's name", &name);
    if (r == 0)
        r = expect(x, "{");
    if (r < 0)
        return r;
    if (!join(inner, sizeof inner, x->scope, name))
        return bp_fail(x->err, BP_ELIMIT, "line %u: a name longer than %d", x->line, BP_MAX_NAME);
    memcpy(x->scope, inner, sizeof inner);
    return 0;
}

/* One declaration and its semicolon, or a module's beginning or end. */
static int declaration(struct idl *x) {
    struct bp_str def;
    int r = annotations(x, &def);

    if (r < 0)
        return r;
    if (is(x, "module"))
        return open_module(x);
    if (is(x, "}")) {
        if (!leave_scope(x->scope))
            return fail_here(x, "a declaration");
        r = next(x);
    } else if (is(x, "struct")) {
        r = structure(x);
    } else if (is(x, "typedef")) {
        r = type_definition(x);
    } else if (is(x, "enum")) {
        r = enumeration(x);
    } else if (is(x, "const")) {
        r = constant(x);
    } else if (is(x, "union") || is(x, "bitmask") || is(x, "bitset") || is(x, "interface")) {
        return bp_fail(x->err, BP_EUNSUPPORTED, "line %u: '%.*s' is not supported", x->line,
                       (int) x->t.s.n, x->t.s.p);
    } else {
        return fail_here(x, "module, struct, typedef, enum or const");
    }
    return r < 0 ? r : expect(x, ";");
}

/* The constants of module X_Constants belong to struct X beside it. */
static int hand_out_constants(struct idl *x) {
    static const char suffix[] = "_Constants";

    for (size_t i = 0; i < x->nvalues; i++) {
        const struct value *v = &x->values[i];
        size_t n = strlen(v->scope), cut = sizeof suffix - 1;

        if (n <= cut || !bp_streq(v->scope + n - cut, suffix))
            continue;
        for (size_t k = x->first_draft; k < x->defs->n; k++) {
            struct bp_draft *t = x->defs->v[k];
            int r;

            if (strlen(t->t.name) != n - cut || memcmp(t->t.name, v->scope, n - cut) != 0)
                continue;
            r = bp_draft_const(x->defs, t, &v->c, x->err);
            if (r < 0)
                return r;
            break;
        }
    }
    return 0;
}

/* What rosidl derives from the parts of services and actions of this file. */
static int derive(struct idl *x) {
    for (size_t i = x->first_draft, n = x->defs->n; i < n; i++) {
        const char *name = x->defs->v[i]->t.name;
        bool service = strstr(name, "/srv/") != NULL, action = strstr(name, "/action/") != NULL;
        const char *suffix = service ? "_Request" : "_Goal";
        size_t length = strlen(name), cut = strlen(suffix);
        char base[BP_MAX_NAME + 1];
        int r;

        if (!(service || action) || length <= cut || !bp_streq(name + length - cut, suffix))
            continue;
        (void) snprintf(base, sizeof base, "%.*s", (int) (length - cut), name);
        r = bp_msgdef_derive(x->defs, base, action, x->err);
        if (r < 0)
            return r;
    }
    return 0;
}

int bp_idl_parse(struct bp_defs *d, struct bp_str text, unsigned first_line, struct bp_error *err) {
    struct idl x = { .defs = d,
                     .p = text.p,
                     .end = text.p + text.n,
                     .line_start = text.p,
                     .line = first_line,
                     .first_draft = d->n,
                     .err = err };
    int r;

    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
        x.p = x.line_start = text.p + 3;
    r = next(&x);
    while (r == 0 && x.t.kind != END)
        r = declaration(&x);
    if (r == 0 && *x.scope)
        r = fail_here(&x, "'}'");
    if (r == 0)
        r = hand_out_constants(&x);
    if (r == 0)
        r = derive(&x);
    free(x.aliases);
    free(x.values);
    return r;
}
