/* Types of parts, and expressions bound to the types of topics: each field becomes a way through
 * the type, found once. */
#include "wire/expr-priv.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"
#include "wire/schema-priv.h"

/* ---- types ---- */

static const char *type_text(enum type t) {
    return t == T_NUM ? "a number" : t == T_BOOL ? "a condition" : t == T_TEXT ? "a text" : "?";
}

static int expect(const struct bp_expr *e, const enum type *types, uint16_t i, enum type t,
                  struct bp_error *err) {
    if (i == NONE || types[i] == t || types[i] == T_ANY)
        return 0;
    return bp_expr_fail(e, e->nodes[i].at, err, "expected %s, this is %s", type_text(t),
                        type_text(types[i]));
}

static int expect_all(const struct bp_expr *e, const enum type *types, const struct node *n,
                      enum type t, struct bp_error *err) {
    int r = expect(e, types, n->a, t, err);

    if (r == 0)
        r = expect(e, types, n->b, t, err);
    return r == 0 ? expect(e, types, n->c, t, err) : r;
}

/* "==" takes two of a kind; a condition compared with 0 or 1 would be a number in disguise. */
static int infer_equal(const struct bp_expr *e, const enum type *types, const struct node *n,
                       struct bp_error *err) {
    enum type a = types[n->a], b = types[n->b];

    if (a == T_ANY || b == T_ANY || a == b)
        return 0;
    return bp_expr_fail(e, e->nodes[n->b].at, err, "cannot compare %s with %s", type_text(a),
                        type_text(b));
}

int bp_expr_infer(const struct bp_expr *e, enum type *types, size_t i, struct bp_error *err) {
    const struct node *n = &e->nodes[i];

    switch (n->op) {
    case OP_FIELD:
        types[i] = T_ANY;
        return 0;
    case OP_TEXT:
        types[i] = T_TEXT;
        return 0;
    case OP_BOOL:
    case OP_INSIDE:
        types[i] = T_BOOL;
        return 0;
    case OP_SOURCE:
        types[i] = n->source == BP_SOURCE_SEEN || n->source == BP_SOURCE_NODE_GONE ||
                           n->source == BP_SOURCE_EXTERNAL
                       ? T_BOOL
                       : T_NUM;
        return 0;
    case OP_NUM:
    case OP_NAME:
    case OP_AGE:
    case OP_LEN:
    case OP_LEAST:
    case OP_MOST:
    case OP_SUM:
    case OP_AVG:
        types[i] = T_NUM;
        return 0;
    case OP_EQ:
    case OP_NE:
        types[i] = T_BOOL;
        return infer_equal(e, types, n, err);
    case OP_CONTAINS:
    case OP_STARTS:
        types[i] = T_BOOL;
        return expect_all(e, types, n, T_TEXT, err);
    case OP_NOT:
    case OP_AND:
    case OP_OR:
        types[i] = T_BOOL;
        return expect_all(e, types, n, T_BOOL, err);
    case OP_ISNAN:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_WITHIN:
    case OP_OUTSIDE:
        types[i] = T_BOOL;
        return expect_all(e, types, n, T_NUM, err);
    default:
        types[i] = T_NUM;
        return expect_all(e, types, n, T_NUM, err);
    }
}

/* ---- which topics fit ---- */

/* One name part against "cam*": at most one '*', which stands for at least one character. */
static bool part_fits(struct bp_str pattern, struct bp_str name, struct bp_str *star) {
    const char *at = memchr(pattern.p, '*', pattern.n);
    size_t before, after;

    *star = (struct bp_str){ 0 };
    if (!at)
        return bp_str_eq(pattern, name);
    before = (size_t) (at - pattern.p);
    after = pattern.n - before - 1;
    if (name.n <= before + after || memcmp(name.p, pattern.p, before) != 0 ||
        memcmp(name.p + name.n - after, at + 1, after) != 0)
        return false;
    *star = (struct bp_str){ name.p + before, name.n - before - after };
    return true;
}

static struct bp_str part_at(const char *p) {
    return (struct bp_str){ p, strcspn(p, "/") };
}

static bool put_capture(char *capture, size_t cap, size_t *n, struct bp_str star) {
    if (!star.n)
        return true;
    if (*n + star.n + 2 > cap)
        return false;
    if (*n)
        capture[(*n)++] = ',';
    memcpy(capture + *n, star.p, star.n);
    *n += star.n;
    capture[*n] = 0;
    return true;
}

size_t bp_expr_fits(const struct bp_expr *e, size_t i, const char *name, char *capture,
                    size_t cap) {
    const char *p = e->refs[i].text, *q = name;
    size_t n = 0;

    if (cap)
        *capture = 0;
    while (*p == '/' && *q == '/') {
        struct bp_str a = part_at(p + 1), b = part_at(q + 1), star;

        if (!part_fits(a, b, &star) || !put_capture(capture, cap, &n, star))
            return 0;
        p = a.p + a.n;
        q = b.p + b.n;
    }
    if (*q || (*p && e->refs[i].whole))
        return 0;
    return (size_t) (q - name);
}

/* What of "/battery/percentage" is behind the topic "/battery". */
static const char *rest_behind(const struct ref *r, const char *topic) {
    const char *p = r->text;

    for (const char *q = topic; *q; q++)
        if (*q == '/')
            p += 1 + part_at(p + 1).n;
    return *p == '/' ? p + 1 : p;
}

/* ---- ways through a type ---- */

struct binder {
    const struct bp_expr *e;
    struct bp_program *p;
    const struct bp_expr_bound *bound;
    struct bp_error *err;
};

static int no_field(const struct binder *b, const struct bp_type *t, struct bp_str name,
                    size_t at) {
    const char *names[64];
    char typed[64];
    BP_AUTO_BUF why = { 0 };
    size_t n = BP_MIN(t->n, BP_COUNT(names));

    (void) snprintf(typed, sizeof typed, "%.*s", (int) BP_MIN(name.n, (size_t) 60), name.p);
    for (size_t i = 0; i < n; i++)
        names[i] = t->ops[i].name;
    bp_buf_printf(&why, "%s has no field '%s'", t->name, typed);
    bp_expr_put_nearest(&why, typed, names, n);
    if (bp_buf_cstr(&why) && !strchr(bp_buf_cstr(&why), '?'))
        for (size_t i = 0; i < n && why.n < 190; i++)
            bp_buf_printf(&why, "%s%s", i ? ", " : "; it has ", names[i]);
    return bp_expr_fail(b->e, at, b->err, "%s",
                        bp_buf_cstr(&why) ? bp_buf_cstr(&why) : "no such field");
}

/* "[3]" or "[*]" at p[0]. @return behind it */
static size_t take_index(const char *p, int64_t *ret) {
    if (p[1] == '*') {
        *ret = EACH;
        return 3;
    }
    *ret = strtoll(p + 1, NULL, 10);
    return strcspn(p, "]") + 1;
}

/* The one field of a message that is not its header: data of std_msgs, status of DiagnosticArray.
 */
static const struct bp_op *only_field(const struct bp_type *t, bool array) {
    const struct bp_op *found = NULL;

    for (size_t i = 0; i < t->n; i++) {
        const struct bp_op *op = &t->ops[i];

        if ((array && op->array == BP_ARRAY_NONE) ||
            (op->prim == BP_PRIM_STRUCT && bp_streq(op->type_name, "std_msgs/msg/Header")))
            continue;
        if (found)
            return NULL;
        found = op;
    }
    return found;
}

static const struct bp_op *op_named(const struct bp_type *t, struct bp_str name) {
    for (size_t i = 0; i < t->n; i++)
        if (bp_str_eq(bp_str_of(t->ops[i].name), name))
            return &t->ops[i];
    return NULL;
}

struct way {
    const struct bp_type *type; /* the struct that the last step is in */
    struct step steps[MAX_STEPS];
    uint8_t n;
    bool each;
};

static int check_step(const struct binder *b, const struct step *s, size_t at) {
    if (s->index != WHOLE && s->op->array == BP_ARRAY_NONE)
        return bp_expr_fail(b->e, at, b->err, "'%s' is not an array", s->op->name);
    if (s->index >= 0 && s->op->bound && s->index >= s->op->bound)
        return bp_expr_fail(b->e, at, b->err, "'%s' has %s%u items", s->op->name,
                            s->op->array == BP_ARRAY_FIXED ? "" : "at most ", s->op->bound);
    return 0;
}

static int check_next(const struct binder *b, const struct step *s, size_t at) {
    if (s->op->prim != BP_PRIM_STRUCT)
        return bp_expr_fail(b->e, at, b->err, "'%s' has no fields", s->op->name);
    if (s->op->array != BP_ARRAY_NONE && s->index == WHOLE)
        return bp_expr_fail(b->e, at, b->err,
                            "'%s' is an array: say which item, [0], or any of them, [*]",
                            s->op->name);
    return 0;
}

/* One name with its index at p. @return bytes taken, negative on failure */
static int take_step(const struct binder *b, struct way *w, struct bp_str path, size_t i,
                     size_t at) {
    struct bp_str name = { path.p + i, 0 };
    struct step *s = &w->steps[w->n];
    size_t n;
    int r;

    if (w->n == MAX_STEPS)
        return bp_expr_fail(b->e, at + i, b->err, "a field lies at most %d deep", MAX_STEPS);
    while (i + name.n < path.n &&
           (isalnum((unsigned char) name.p[name.n]) || name.p[name.n] == '_'))
        name.n++;
    *s = (struct step){ name.n ? op_named(w->type, name) : only_field(w->type, true), WHOLE };
    if (!s->op && !name.n)
        return bp_expr_fail(b->e, at + i, b->err, "%s has no array, or several: name the field",
                            w->type->name);
    if (!s->op)
        return no_field(b, w->type, name, at + i);
    n = name.n;
    if (i + n < path.n && path.p[i + n] == '[')
        n += take_index(path.p + i + n, &s->index);
    r = check_step(b, s, at + i);
    if (r < 0)
        return r;
    w->each |= s->index == EACH;
    w->n++;
    return (int) n;
}

/* @param at  where `path` stands in the text */
static int find_way(const struct binder *b, const struct bp_schema *schema, struct bp_str path,
                    size_t at, struct way *w) {
    size_t i = 0;

    *w = (struct way){ .type = bp_schema_type(schema) };
    while (i < path.n) {
        int r;

        if (w->n > 0) {
            const struct step *s = &w->steps[w->n - 1];

            r = check_next(b, s, at + i);
            if (r < 0)
                return r;
            w->type = s->op->type;
            if (path.p[i] != '.' && path.p[i] != '/')
                return bp_expr_fail(b->e, at + i, b->err, "expected '.' and a field of '%s'",
                                    s->op->name);
            i++;
        }
        r = take_step(b, w, path, i, at);
        if (r < 0)
            return r;
        i += (size_t) r;
        if (i < path.n && path.p[i] == '[')
            return bp_expr_fail(b->e, at + i, b->err, "ROS has no arrays of arrays");
    }
    if (w->n == 0) {
        const struct bp_op *op = only_field(w->type, false);

        if (!op)
            return bp_expr_fail(b->e, at, b->err, "%s has several fields: name one", w->type->name);
        w->steps[w->n++] = (struct step){ op, WHOLE };
    }
    return 0;
}

/* ---- wants ---- */

static struct want *add_want(const struct binder *b, const struct way *w, size_t node,
                             enum how how) {
    struct bp_program *p = b->p;
    struct plan *plan = &p->plans[b->e->nodes[node].topic];
    struct want *x;

    if (p->nwants == MAX_WANTS) {
        (void) bp_fail(b->err, BP_ELIMIT, "the expression looks at more than %d fields", MAX_WANTS);
        return NULL;
    }
    x = &p->wants[p->nwants];
    *x = (struct want){
        .how = how, .node = (uint16_t) node, .test = NONE, .each = w->each, .n = w->n
    };
    memcpy(x->steps, w->steps, w->n * sizeof *w->steps);
    plan->mask[p->nwants / 64] |= (uint64_t) 1 << (p->nwants % 64);
    p->nwants++;
    if (!plan->last || w->steps[0].op > plan->last)
        plan->last = w->steps[0].op;
    return x;
}

static int want_path(const struct binder *b, size_t node, const char *path, enum how how) {
    const struct node *n = &b->e->nodes[node];
    struct way w;
    int r = find_way(b, b->bound[n->topic].schema, bp_str_of(path), n->at, &w);

    if (r < 0)
        return r;
    return add_want(b, &w, node, how) ? 0 : BP_ELIMIT;
}

static struct bp_str path_of(const struct binder *b, const struct node *n, size_t *ret_at) {
    const struct ref *ref = &b->e->refs[n->topic];
    const char *rest = rest_behind(ref, b->bound[n->topic].topic);
    size_t from = *rest ? n->topic_at + (size_t) (rest - ref->text) : n->path;
    size_t to = n->path_len ? (size_t) n->path + n->path_len : (size_t) n->topic_at + ref->len;

    if (!*rest && !n->path_len)
        from = to;
    *ret_at = from;
    return (struct bp_str){ b->e->text + from, to - from };
}

static enum type type_of(const struct bp_op *op) {
    switch (op->prim) {
    case BP_PRIM_BOOL:
        return T_BOOL;
    case BP_PRIM_STRING:
        return T_TEXT;
    case BP_PRIM_WSTRING:
    case BP_PRIM_STRUCT:
        return T_ANY;
    default:
        return T_NUM;
    }
}

static int check_single(const struct binder *b, const struct node *n, const struct way *w) {
    const struct step *s = &w->steps[w->n - 1];

    if (s->op->prim == BP_PRIM_STRUCT)
        return bp_expr_fail(b->e, n->at, b->err, "'%s' is a %s: name one of its fields",
                            s->op->name, s->op->type_name);
    if (s->op->prim == BP_PRIM_WSTRING)
        return bp_expr_fail(b->e, n->at, b->err, "'%s' is a wstring, which cannot be compared",
                            s->op->name);
    if (s->op->array != BP_ARRAY_NONE && s->index == WHOLE)
        return bp_expr_fail(b->e, n->at, b->err,
                            "'%s' is an array: take an item, [0], any, [*], or len(), min(), max(),"
                            " sum(), avg()",
                            s->op->name);
    return 0;
}

static enum how how_of(enum op op) {
    return op == OP_LEN     ? HOW_LEN
           : op == OP_LEAST ? HOW_LEAST
           : op == OP_MOST  ? HOW_MOST
           : op == OP_SUM   ? HOW_SUM
                            : HOW_AVG;
}

static int check_items(const struct binder *b, const struct node *n, const struct way *w) {
    const struct step *s = &w->steps[w->n - 1];
    bool array = s->op->array != BP_ARRAY_NONE && s->index == WHOLE;

    if (n->op == OP_LEN) {
        if (w->each)
            return bp_expr_fail(b->e, n->at, b->err, "len() is of one array or text, without [*]");
        if (!array && s->op->prim != BP_PRIM_STRING)
            return bp_expr_fail(b->e, n->at, b->err, "'%s' is neither an array nor a text",
                                s->op->name);
        return 0;
    }
    if (type_of(s->op) != T_NUM && type_of(s->op) != T_BOOL)
        return bp_expr_fail(b->e, n->at, b->err, "'%s' is no number", s->op->name);
    if (!array && !w->each)
        return bp_expr_fail(b->e, n->at, b->err, "'%s' is not an array", s->op->name);
    return 0;
}

/* A field that is judged when it is met: the innermost comparison around it, which must hold it
 * alone. */
static int find_test(const struct binder *b, size_t field, const struct way *w, uint16_t *ret) {
    const struct bp_expr *e = b->e;
    size_t i = field + 1;

    while (i < e->n && !(e->nodes[i].first <= field && bp_op_is_comparison(e->nodes[i].op)))
        i++;
    if (i == e->n)
        return bp_expr_fail(e, e->nodes[field].at, b->err, "compare this with something");
    if (b->p->tested[i] != NONE)
        return bp_expr_fail(e, e->nodes[field].at, b->err,
                            w->each ? "only one [*] in a comparison"
                                    : "a text is compared with one in quotes");
    for (size_t k = e->nodes[i].first; k < i; k++)
        if (k != field &&
            (e->nodes[k].op == OP_SOURCE || e->nodes[k].topic == e->nodes[field].topic))
            return bp_expr_fail(e, e->nodes[k].at, b->err,
                                "any item of an array is compared with a number, a text in quotes "
                                "or a field of another topic");
    b->p->tested[i] = (uint16_t) field;
    *ret = (uint16_t) i;
    return 0;
}

static int bind_field(const struct binder *b, size_t i) {
    const struct node *n = &b->e->nodes[i];
    struct want *x;
    struct way w;
    size_t at;
    struct bp_str path = path_of(b, n, &at);
    int r = find_way(b, b->bound[n->topic].schema, path, at, &w);

    if (r == 0)
        r = n->op == OP_FIELD ? check_single(b, n, &w) : check_items(b, n, &w);
    if (r < 0)
        return r;
    if (n->op != OP_FIELD)
        return add_want(b, &w, i, how_of(n->op)) ? 0 : BP_ELIMIT;
    b->p->types[i] = type_of(w.steps[w.n - 1].op);
    x = add_want(b, &w, i, HOW_NUM);
    if (!x)
        return BP_ELIMIT;
    if (w.each || b->p->types[i] == T_TEXT) {
        x->how = HOW_TEST;
        return find_test(b, i, &w, &x->test);
    }
    return 0;
}

static int bind_age(const struct binder *b, size_t i) {
    const struct bp_type *t = bp_schema_type(b->bound[b->e->nodes[i].topic].schema);
    bool header = op_named(t, BP_STR("header")) != NULL;
    int r;

    if (!header && !op_named(t, BP_STR("stamp")))
        return bp_expr_fail(b->e, b->e->nodes[i].at, b->err, "%s has no header with a stamp",
                            t->name);
    r = want_path(b, i, header ? "header.stamp.sec" : "stamp.sec", HOW_SEC);
    return r < 0 ? r
                 : want_path(b, i, header ? "header.stamp.nanosec" : "stamp.nanosec", HOW_NANOSEC);
}

static int bind_inside(const struct binder *b, size_t i) {
    const struct bp_type *t = bp_schema_type(b->bound[b->e->nodes[i].topic].schema);
    int r;

    if (!op_named(t, BP_STR("latitude")) || !op_named(t, BP_STR("longitude")))
        return bp_expr_fail(b->e, b->e->nodes[i].at, b->err,
                            "%s has no latitude and longitude, as sensor_msgs/msg/NavSatFix has",
                            t->name);
    r = want_path(b, i, "latitude", HOW_LAT);
    if (r == 0)
        r = want_path(b, i, "longitude", HOW_LON);
    if (r == 0 && bp_streq(t->name, "sensor_msgs/msg/NavSatFix"))
        r = want_path(b, i, "status.status", HOW_FIX);
    return r;
}

/* ---- constants ---- */

/* The struct in which a field of this part lies, NULL: there is none, or it is not known. */
static const struct bp_type *struct_of(const struct binder *b, uint16_t root, bool *ret_any) {
    const struct bp_expr *e = b->e;

    for (size_t i = e->nodes[root].first; i <= root; i++) {
        const struct node *n = &e->nodes[i];
        struct way w;
        size_t at;
        struct bp_str path;

        if (n->op != OP_FIELD)
            continue;
        *ret_any = true;
        if (!b->bound[n->topic].schema)
            return NULL;
        path = path_of(b, n, &at);
        return find_way(b, b->bound[n->topic].schema, path, at, &w) == 0 ? w.type : NULL;
    }
    return NULL;
}

static double value_of(const struct bp_const *c) {
    char text[64];
    double v = NAN;
    int64_t i;

    (void) snprintf(text, sizeof text, "%.*s", (int) BP_MIN(c->value.n, (size_t) 60), c->value.p);
    if (bp_streq(text, "true") || bp_streq(text, "True"))
        return 1;
    if (bp_streq(text, "false") || bp_streq(text, "False"))
        return 0;
    if (bp_parse_int(text, &i) == 0)
        return (double) i;
    if (bp_parse_real(text, &v) == 0)
        return v;
    return (double) strtoll(text, NULL, 0); /* 0x10 */
}

static int bind_name(const struct binder *b, size_t name, const struct bp_type *t) {
    const struct node *n = &b->e->nodes[name];
    struct bp_str typed = { b->e->text + n->at, n->len };
    const char *names[64];
    size_t count = 0;
    char text[64];
    BP_AUTO_BUF why = { 0 };

    for (size_t i = 0; i < t->nconsts; i++) {
        if (bp_str_eq(bp_str_of(t->consts[i].name), typed)) {
            b->p->names[name] = value_of(&t->consts[i]);
            return 0;
        }
        if (count < BP_COUNT(names))
            names[count++] = t->consts[i].name;
    }
    (void) snprintf(text, sizeof text, "%.*s", (int) BP_MIN(typed.n, (size_t) 60), typed.p);
    bp_buf_printf(&why, "%s has no constant '%s'", t->name, text);
    bp_expr_put_nearest(&why, text, names, count);
    return bp_expr_fail(b->e, n->at, b->err, "%s",
                        bp_buf_cstr(&why) ? bp_buf_cstr(&why) : "no such constant");
}

/* A constant belongs to the comparison it stands in, and that to the type of its field. */
static int bind_names(const struct binder *b, size_t comparison) {
    const struct node *n = &b->e->nodes[comparison];
    bool any = false;
    const struct bp_type *t = struct_of(b, (uint16_t) comparison, &any);

    for (size_t i = n->first; i < comparison; i++) {
        int r = 0;

        if (b->e->nodes[i].op != OP_NAME)
            continue;
        if (!any)
            return bp_expr_fail(b->e, b->e->nodes[i].at, b->err,
                                "a constant is compared with a field of its message");
        if (t)
            r = bind_name(b, i, t);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- all of it ---- */

static int bind_node(const struct binder *b, size_t i) {
    const struct node *n = &b->e->nodes[i];
    int r = bp_expr_infer(b->e, b->p->types, i, b->err);

    if (r < 0)
        return r;
    if (bp_op_is_comparison(n->op))
        return bind_names(b, i);
    if (n->topic == NONE || !b->bound[n->topic].topic || !b->bound[n->topic].schema)
        return 0;
    switch (n->op) {
    case OP_FIELD:
    case OP_LEN:
    case OP_LEAST:
    case OP_MOST:
    case OP_SUM:
    case OP_AVG:
        return bind_field(b, i);
    case OP_AGE:
        return bind_age(b, i);
    case OP_INSIDE:
        return bind_inside(b, i);
    default:
        return 0;
    }
}

static int check_roots(const struct binder *b) {
    const uint16_t roots[] = { b->e->when, b->e->until };

    for (size_t i = 0; i < BP_COUNT(roots); i++)
        if (roots[i] != NONE && b->p->types[roots[i]] != T_BOOL && b->p->types[roots[i]] != T_ANY)
            return bp_expr_fail(b->e, b->e->nodes[roots[i]].at, b->err,
                                "this is %s, not a condition: compare it with something",
                                type_text(b->p->types[roots[i]]));
    return 0;
}

int bp_program_new(const struct bp_expr *e, const struct bp_expr_bound *bound,
                   struct bp_program **ret, struct bp_error *err) {
    BP_CLEANUP(bp_program_freep) struct bp_program *p = calloc(1, sizeof *p);
    struct bp_error own = { 0 };
    struct binder b = { e, p, bound, err ? err : &own };
    int r = 0;

    if (!p)
        return bp_fail(err, -ENOMEM, "out of memory");
    p->e = e;
    for (size_t i = 0; i < e->n; i++) {
        p->tested[i] = NONE;
        p->names[i] = NAN;
    }
    for (size_t i = 0; i < e->nrefs; i++)
        p->plans[i].schema = bound[i].topic ? bound[i].schema : NULL;
    for (size_t i = 0; i < e->n && r == 0; i++)
        r = bind_node(&b, i);
    if (r == 0)
        r = check_roots(&b);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(p);
    return 0;
}

void bp_program_free(struct bp_program *p) {
    free(p);
}
