/* Finding a field of a type, and a walk that shows it alone: the visitor's calls are passed on only
 * between its enter and its leave.
 *
 * Where the walk is, is told by three counts: `level` steps of the path are behind us; `off`
 * structs or arrays that are not on the path are open; `in` structs or arrays of the field itself
 * are open.
 */
#include "wire/field.h"

#include <errno.h>
#include <stdlib.h>

#include "base/units.h"
#include "wire/schema-priv.h"

enum { STEPS_MAX = 64, NAMES_SHOWN = 12, WHOLE = -1 };

struct step {
    const struct bp_op *op;
    int64_t index; /* or WHOLE */
};

struct bp_field {
    const struct bp_schema *schema; /* borrowed */
    struct bp_op shown;
    size_t n;
    struct step steps[STEPS_MAX];
};

/* ---- finding ---- */

static struct bp_str path_to(const char *path, const char *at) {
    return (struct bp_str){ path, (size_t) (at - path) };
}

static const struct bp_op *op_named(const struct bp_type *t, const char *name, size_t n) {
    for (size_t i = 0; i < t->n; i++)
        if (strlen(t->ops[i].name) == n && memcmp(t->ops[i].name, name, n) == 0)
            return &t->ops[i];
    return NULL;
}

/* Appends the way to the nearest struct's field of that name below `t`, "" when there is none. */
static bool path_below(const struct bp_type *t, const char *name, unsigned depth,
                       struct bp_buf *b) {
    size_t before = b->n;

    for (size_t i = 0; i < t->n; i++)
        if (depth == 0 && bp_streq(t->ops[i].name, name)) {
            bp_buf_put_str(b, name);
            return true;
        }
    for (size_t i = 0; i < t->n && depth > 0; i++) {
        const struct bp_op *op = &t->ops[i];

        if (op->prim != BP_PRIM_STRUCT)
            continue;
        bp_buf_printf(b, "%s%s.", op->name, op->array == BP_ARRAY_NONE ? "" : "[0]");
        if (path_below(op->type, name, depth - 1, b))
            return true;
        b->n = before;
    }
    return false;
}

/* The name that was meant: a likely misspelling, else the same name further down. */
static bool nearest(const struct bp_type *t, const char *name, struct bp_buf *b) {
    const char *best = NULL;
    unsigned least = UINT32_MAX;

    for (size_t i = 0; i < t->n; i++) {
        unsigned d = bp_edit_distance(name, t->ops[i].name);

        if (bp_is_likely_typo(name, t->ops[i].name) && d < least) {
            best = t->ops[i].name;
            least = d;
        }
    }
    if (best)
        bp_buf_put_str(b, best);
    for (unsigned depth = 1; !best && depth < 6; depth++)
        if (path_below(t, name, depth, b))
            return true;
    return best != NULL;
}

static int no_such(const struct bp_type *t, struct bp_str before, const char *name, size_t n,
                   struct bp_error *err) {
    BP_AUTO_FREE char *typed = strndup(name, n);
    BP_AUTO_BUF guess = { 0 };
    BP_AUTO_BUF all = { 0 };
    bool near = typed && nearest(t, typed, &guess);

    for (size_t i = 0; i < t->n && i < NAMES_SHOWN; i++)
        bp_buf_printf(&all, "%s%s", i ? ", " : "", t->ops[i].name);
    if (t->n > NAMES_SHOWN)
        bp_buf_put_str(&all, ", …");
    if (!typed || !bp_buf_cstr(&all) || (near && !bp_buf_cstr(&guess)))
        return bp_fail(err, -ENOMEM, "out of memory");
    if (near)
        return bp_fail(err, BP_EUSAGE, "%s has no field '%s', did you mean '%.*s%s'? It has %s",
                       t->name, typed, (int) before.n, before.p, bp_buf_cstr(&guess),
                       bp_buf_cstr(&all));
    return bp_fail(err, BP_EUSAGE, "%s has no field '%s'; it has %s", t->name, typed,
                   t->n ? bp_buf_cstr(&all) : "none");
}

/* "[12]" behind a name. @return where it ends, or NULL */
static const char *take_index(const char *p, int64_t *ret) {
    char *end;
    unsigned long long v;

    if (p[1] < '0' || p[1] > '9')
        return NULL;
    errno = 0;
    v = strtoull(p + 1, &end, 10);
    if (*end != ']' || errno || v > UINT32_MAX)
        return NULL;
    *ret = (int64_t) v;
    return end + 1;
}

/* One name and its index at `p`. @return where the step ends, NULL when it was refused */
static const char *take_step(struct bp_field *f, const struct bp_type *t, const char *path,
                             const char *p, struct bp_error *err) {
    size_t n = strcspn(p, ".[");
    struct step s = { op_named(t, p, n), WHOLE };

    if (!s.op) {
        (void) no_such(t, path_to(path, p), p, n, err);
        return NULL;
    }
    p += n;
    if (*p == '[' && s.op->array == BP_ARRAY_NONE) {
        (void) bp_fail(err, BP_EUSAGE, "'%.*s' is not an array", (int) (p - path), path);
        return NULL;
    }
    if (*p == '[') {
        const char *end = take_index(p, &s.index);

        if (!end) {
            (void) bp_fail(err, BP_EUSAGE, "'%s': expected a number in brackets behind '%.*s'",
                           path, (int) (p - path), path);
            return NULL;
        }
        p = end;
    }
    if (s.index != WHOLE && s.op->bound && s.index >= s.op->bound) {
        (void) bp_fail(err, BP_EUSAGE, "'%.*s' is beyond the array: it has %s%u items",
                       (int) (p - path), path, s.op->array == BP_ARRAY_FIXED ? "" : "at most ",
                       s.op->bound);
        return NULL;
    }
    f->steps[f->n++] = s;
    return p;
}

static int goes_no_deeper(const char *path, const char *p, const struct step *s,
                          struct bp_error *err) {
    int n = (int) (p - path);

    if (*p != '.' || !p[1] || p[1] == '.')
        return bp_fail(err, BP_EUSAGE, "'%s' is not a field's path, such as 'a.b[2].c'", path);
    if (s->op->prim != BP_PRIM_STRUCT)
        return bp_fail(err, BP_EUSAGE, "'%.*s' has no fields", n, path);
    if (s->op->array != BP_ARRAY_NONE && s->index == WHOLE)
        return bp_fail(err, BP_EUSAGE, "'%.*s' is an array, say which item: '%.*s[0]%s'", n, path,
                       n, path, p);
    return 0;
}

static int find(struct bp_field *f, const char *path, struct bp_error *err) {
    const struct bp_type *t = bp_schema_type(f->schema);
    const char *p = path;

    if (!*p || *p == '.' || *p == '[')
        return bp_fail(err, BP_EUSAGE, "'%s' is not a field's path, such as 'a.b[2].c'", path);
    for (;;) {
        const struct step *s = &f->steps[f->n];
        int r;

        p = take_step(f, t, path, p, err);
        if (!p)
            return err && err->code ? err->code : BP_EUSAGE;
        if (!*p)
            break;
        r = goes_no_deeper(path, p, s, err);
        if (r < 0)
            return r;
        if (f->n == STEPS_MAX)
            return bp_fail(err, BP_EUSAGE, "'%.20s…' is too deep", path);
        t = s->op->type;
        p++;
    }
    f->shown = *f->steps[f->n - 1].op;
    if (f->steps[f->n - 1].index != WHOLE) {
        f->shown.array = BP_ARRAY_NONE;
        f->shown.bound = 0;
    }
    return 0;
}

int bp_field_find(const struct bp_schema *s, const char *path, struct bp_field **ret,
                  struct bp_error *err) {
    struct bp_error own = { 0 };
    struct bp_field *f = calloc(1, sizeof *f);
    int r;

    if (!f)
        return bp_fail(err, -ENOMEM, "out of memory");
    f->schema = s;
    r = find(f, path, err ? err : &own);
    if (r < 0) {
        free(f);
        return r;
    }
    *ret = f;
    return 0;
}

void bp_field_free(struct bp_field *f) {
    free(f);
}

const struct bp_op *bp_field_op(const struct bp_field *f) {
    return &f->shown;
}

const struct bp_schema *bp_field_schema(const struct bp_field *f) {
    return f->schema;
}

/* ---- the walk ---- */

enum { OVER = 1 }; /* ends the walk: nothing more is of interest */

struct filter {
    const struct bp_field *f;
    const struct bp_visitor *v;
    void *ctx;
    size_t level;
    unsigned off, in;
    bool waiting; /* `off` is 1 and that is the array whose item is wanted */
    bool found;
};

static const struct step *step_of(const struct filter *x) {
    return &x->f->steps[x->level];
}

static bool is_last(const struct filter *x) {
    return x->level + 1 == x->f->n;
}

static int over(int r) {
    return r == 0 ? OVER : r;
}

static int show_value(struct filter *x, const struct bp_value *v) {
    x->found = true;
    return over(x->v->value ? x->v->value(x->ctx, &x->f->shown, v) : 0);
}

static int show_enter(struct filter *x, uint32_t count) {
    x->found = true;
    x->in = 1;
    return x->v->enter ? x->v->enter(x->ctx, &x->f->shown, count) : 0;
}

static int show_leave(struct filter *x, uint32_t count) {
    x->in = 0;
    return over(x->v->leave ? x->v->leave(x->ctx, &x->f->shown, count) : 0);
}

static int on_value(void *ctx, const struct bp_op *op, const struct bp_value *v) {
    struct filter *x = ctx;
    struct bp_value one = *v;
    int64_t i;

    if (x->in)
        return x->v->value ? x->v->value(x->ctx, op, v) : 0;
    if (x->off || op != step_of(x)->op)
        return 0;
    i = step_of(x)->index;
    if (i == WHOLE)
        return show_value(x, v);
    if ((uint64_t) i >= v->n)
        return OVER;
    one.p += (size_t) i * v->unit;
    one.n = 1;
    return show_value(x, &one);
}

static int on_enter(void *ctx, const struct bp_op *op, uint32_t count) {
    struct filter *x = ctx;
    const struct step *s;

    if (x->in) {
        x->in++;
        return x->v->enter ? x->v->enter(x->ctx, op, count) : 0;
    }
    s = x->off ? NULL : step_of(x);
    if (!s || op != s->op) {
        x->off++;
        return 0;
    }
    if (s->index != WHOLE) {
        x->waiting = true;
        x->off++;
        return s->index < count ? 0 : OVER;
    }
    if (is_last(x))
        return show_enter(x, count);
    x->level++;
    return 0;
}

static int on_item(void *ctx, const struct bp_op *op, uint32_t i, const struct bp_value *string) {
    struct filter *x = ctx;

    if (x->in == 1 && x->f->steps[x->f->n - 1].index != WHOLE)
        return show_leave(x, 1); /* the item behind the one shown */
    if (x->in)
        return x->v->item ? x->v->item(x->ctx, op, i, string) : 0;
    if (x->off == 0)
        return OVER; /* the item behind the one that the path goes through */
    if (x->off > 1 || !x->waiting || i != step_of(x)->index)
        return 0;
    x->waiting = false;
    x->off = 0;
    if (string)
        return show_value(x, string);
    if (is_last(x))
        return show_enter(x, 1);
    x->level++;
    return 0;
}

static int on_leave(void *ctx, const struct bp_op *op, uint32_t count) {
    struct filter *x = ctx;

    if (x->in == 1)
        return show_leave(x, x->f->steps[x->f->n - 1].index == WHOLE ? count : 1);
    if (x->in) {
        x->in--;
        return x->v->leave ? x->v->leave(x->ctx, op, count) : 0;
    }
    if (x->off == 0)
        return OVER;
    x->off--;
    return 0;
}

int bp_field_walk(const struct bp_field *f, const void *cdr, size_t n,
                  const struct bp_visitor *visitor, void *ctx, struct bp_error *err) {
    static const struct bp_visitor filter = { on_value, on_enter, on_item, on_leave };
    struct filter x = { .f = f, .v = visitor, .ctx = ctx };
    int r = bp_schema_walk(f->schema, cdr, n, &filter, &x, err);

    return r < 0 ? r : x.found;
}
