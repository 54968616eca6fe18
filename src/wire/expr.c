/* Feeding and judging. A message is walked once, whatever number of its fields is wanted: for each
 * depth a bit set tells which wants have their steps fulfilled so far, so that what nobody wants
 * costs one test of a bit set. */
#include "wire/expr.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "wire/expr-priv.h"
#include "wire/schema-priv.h"

/* ---- about the text ---- */

bp_ns_t bp_expr_for(const struct bp_expr *e) {
    return e->for_ns;
}

bool bp_expr_has_until(const struct bp_expr *e) {
    return e->until != NONE;
}

bool bp_expr_needs_time(const struct bp_expr *e) {
    for (size_t i = 0; i < e->n; i++)
        if (e->nodes[i].op == OP_SOURCE)
            return true;
    return e->for_ns > 0;
}

size_t bp_expr_topics(const struct bp_expr *e) {
    return e->nrefs;
}

const char *bp_expr_topic_text(const struct bp_expr *e, size_t i) {
    return e->refs[i].text;
}

bool bp_expr_needs_payload(const struct bp_expr *e, size_t i) {
    return e->refs[i].payload;
}

bp_ns_t bp_expr_rate_window(const struct bp_expr *e, size_t i) {
    return e->refs[i].window;
}

static struct bp_expr_ask ask_of(const struct bp_expr *e, const struct node *n) {
    return (struct bp_expr_ask){
        .source = n->source,
        .topic = n->topic == NONE ? 0 : n->topic,
        .text = e->pool + n->str,
        .number = n->num,
    };
}

void bp_expr_each_source(const struct bp_expr *e,
                         void (*fn)(void *ctx, const struct bp_expr_ask *ask), void *ctx) {
    for (size_t i = 0; i < e->n; i++)
        if (e->nodes[i].op == OP_SOURCE) {
            struct bp_expr_ask ask = ask_of(e, &e->nodes[i]);

            fn(ctx, &ask);
        }
}

struct bp_state *bp_state_new(const struct bp_expr *e) {
    struct bp_state *s = calloc(1, sizeof *s);

    for (size_t i = 0; s && i < e->n; i++)
        s->fields[i] = s->extra[i] = s->fix[i] = s->shown[i] = NAN;
    return s;
}

void bp_state_free(struct bp_state *s) {
    free(s);
}

/* ---- judging ---- */

static double truth(bool b) {
    return b ? 1 : 0;
}

static double negation(double a) {
    return isnan(a) ? NAN : a == 0;
}

static double conjunction(double a, double b) {
    if (a == 0 || b == 0)
        return 0;
    return isnan(a) || isnan(b) ? NAN : 1;
}

static double disjunction(double a, double b) {
    if (a == 1 || b == 1)
        return 1;
    return isnan(a) || isnan(b) ? NAN : 0;
}

static double compare(enum op op, double a, double b) {
    if (isnan(a) || isnan(b))
        return NAN;
    switch (op) {
    case OP_LT:
        return truth(a < b);
    case OP_LE:
        return truth(a <= b);
    case OP_GT:
        return truth(a > b);
    case OP_GE:
        return truth(a >= b);
    case OP_EQ:
        return truth(a == b);
    default:
        return truth(a != b);
    }
}

static double arithmetic(enum op op, double a, double b) {
    switch (op) {
    case OP_ADD:
        return a + b;
    case OP_SUB:
        return a - b;
    case OP_MUL:
        return a * b;
    case OP_DIV:
        return a / b;
    case OP_MOD:
        return fmod(a, b);
    case OP_MIN:
        return isnan(a) || isnan(b) ? NAN : fmin(a, b);
    case OP_MAX:
        return isnan(a) || isnan(b) ? NAN : fmax(a, b);
    default:
        return hypot(a, b);
    }
}

static double text_test(enum op op, const struct cell *a, const struct cell *b) {
    /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Branch): operands were judged before */
    if (!a->p || !b->p)
        return NAN;
    switch (op) {
    case OP_CONTAINS:
        return truth(b->len == 0 || memmem(a->p, a->len, b->p, b->len));
    case OP_STARTS:
        return truth(a->len >= b->len && memcmp(a->p, b->p, b->len) == 0);
    default:
        return truth((a->len == b->len && memcmp(a->p, b->p, a->len) == 0) == (op == OP_EQ));
    }
}

static double between(double v, double low, double high) {
    return isnan(v) || isnan(low) || isnan(high) ? NAN : truth(v >= low && v <= high);
}

static double of_source(const struct bp_program *p, const struct bp_expr_env *env,
                        const struct node *n) {
    struct bp_expr_ask ask;

    if (!env)
        return NAN;
    ask = ask_of(p->e, n);
    return env->get(env->ctx, &ask);
}

static struct cell of_leaf(const struct bp_program *p, const struct bp_state *s, size_t i,
                           const struct bp_expr_env *env) {
    const struct node *n = &p->e->nodes[i];

    switch (n->op) {
    case OP_NUM:
    case OP_BOOL:
        return (struct cell){ .num = n->num };
    case OP_TEXT:
        return (struct cell){ .num = NAN, .p = p->e->pool + n->str, .len = n->str_len };
    case OP_NAME:
        return (struct cell){ .num = p->names[i] };
    case OP_SOURCE:
        return (struct cell){ .num = of_source(p, env, n) };
    default:
        return (struct cell){ .num = s->fields[i] };
    }
}

static double of_operator(const struct bp_program *p, size_t i, const struct cell *v) {
    const struct node *n = &p->e->nodes[i];
    double a = v[n->a].num, b = n->b == NONE ? NAN : v[n->b].num;

    switch (n->op) {
    case OP_NEG:
        return -a;
    case OP_NOT:
        return negation(a);
    case OP_ABS:
        return fabs(a);
    case OP_SQRT:
        return sqrt(a);
    case OP_ISNAN:
        return truth(isnan(a));
    case OP_AND:
        return conjunction(a, b);
    case OP_OR:
        return disjunction(a, b);
    case OP_WITHIN:
        return between(a, b, v[n->c].num);
    case OP_OUTSIDE:
        return negation(between(a, b, v[n->c].num));
    case OP_CONTAINS:
    case OP_STARTS:
        return text_test(n->op, &v[n->a], &v[n->b]);
    case OP_EQ:
    case OP_NE:
        if (p->types[n->a] == T_TEXT || p->types[n->b] == T_TEXT)
            return text_test(n->op, &v[n->a], &v[n->b]);
        return compare(n->op, a, b);
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
        return compare(n->op, a, b);
    default:
        return arithmetic(n->op, a, b);
    }
}

static bool is_leaf(enum op op) {
    return op < OP_NEG;
}

static enum bp_truth judge(const struct bp_program *p, struct bp_state *s, uint16_t root,
                           const struct bp_expr_env *env) {
    struct cell v[BP_EXPR_MAX_NODES];

    for (size_t i = p->e->nodes[root].first; i <= root; i++) {
        if (p->tested[i] != NONE)
            v[i] = (struct cell){ .num = s->fields[i] };
        else if (is_leaf(p->e->nodes[i].op))
            v[i] = of_leaf(p, s, i, env);
        else
            v[i] = (struct cell){ .num = of_operator(p, i, v) };
        s->shown[i] = v[i].num;
    }
    return isnan(v[root].num) ? BP_UNKNOWN : v[root].num != 0 ? BP_TRUE : BP_FALSE;
}

enum bp_truth bp_program_when(const struct bp_program *p, struct bp_state *s,
                              const struct bp_expr_env *env) {
    return judge(p, s, p->e->when, env);
}

enum bp_truth bp_program_until(const struct bp_program *p, struct bp_state *s,
                               const struct bp_expr_env *env) {
    static const enum bp_truth opposite[] = { BP_TRUE, BP_FALSE, BP_UNKNOWN };

    if (p->e->until == NONE)
        return opposite[judge(p, s, p->e->when, env)];
    return judge(p, s, p->e->until, env);
}

bool bp_program_value(const struct bp_program *p, const struct bp_state *s, size_t i,
                      struct bp_expr_value *ret) {
    const struct bp_expr *e = p->e;

    for (size_t k = 0; k < e->n; k++) {
        const struct node *n = &e->nodes[k];
        bool test = p->tested[k] != NONE;

        if (!test && (!is_leaf(n->op) || n->op == OP_NUM || n->op == OP_TEXT || n->op == OP_BOOL ||
                      n->op == OP_NAME || (e->until != NONE && k >= e->nodes[e->until].first)))
            continue;
        if (!test && n->op == OP_FIELD && isnan(s->fields[k]) && p->types[k] == T_TEXT)
            continue; /* shown by its comparison */
        if (i-- > 0)
            continue;
        *ret = (struct bp_expr_value){
            .text = { e->text + n->at, n->len },
            .value = n->op == OP_SOURCE ? s->shown[k] : s->fields[k],
            .is_bool = test || p->types[k] == T_BOOL,
        };
        return true;
    }
    return false;
}

/* ---- feeding ---- */

enum { OVER = 1, WORDS = 2, LEVELS = 66 };

static_assert(MAX_WANTS <= WORDS * 64, "a bit per want");

struct level {
    uint64_t here[WORDS]; /* wants whose steps led to the struct or array that is open here */
    uint64_t item[WORDS]; /* of those, the ones that the current item belongs to */
};

struct feed {
    const struct bp_program *p;
    struct bp_state *s;
    const struct plan *plan;
    size_t depth;   /* structs and arrays that are open */
    unsigned steps; /* of them, those that are fields: what a want's steps are counted by */
    struct level levels[LEVELS];
};

static bool any(const uint64_t *m) {
    return (m[0] | m[1]) != 0;
}

/* The wants among `from` whose step number `step` is this field. */
static bool of_field(const struct feed *f, const uint64_t *from, unsigned step,
                     const struct bp_op *op, uint64_t *ret) {
    for (unsigned w = 0; w < WORDS; w++) {
        uint64_t left = from[w];

        ret[w] = 0;
        while (left) {
            unsigned bit = (unsigned) __builtin_ctzll(left);
            const struct want *x = &f->p->wants[w * 64 + bit];

            left &= left - 1;
            if (step < x->n && x->steps[step].op == op)
                ret[w] |= (uint64_t) 1 << bit;
        }
    }
    return any(ret);
}

/* A comparison with the item at hand; true once it was true for any. */
static void test(const struct feed *f, const struct want *x, const struct cell *item) {
    struct cell v[BP_EXPR_MAX_NODES];
    double *so_far = &f->s->fields[x->test];

    f->s->extra[x->node] = 1; /* there was an item */
    if (*so_far == 1)
        return;
    for (size_t i = f->p->e->nodes[x->test].first; i <= x->test; i++) {
        if (i == x->node)
            v[i] = *item;
        else if (is_leaf(f->p->e->nodes[i].op))
            v[i] = of_leaf(f->p, f->s, i, NULL);
        else
            v[i] = (struct cell){ .num = of_operator(f->p, i, v) };
    }
    *so_far = disjunction(*so_far, v[x->test].num);
}

static void take(const struct feed *f, const struct want *x, const struct cell *v) {
    double *field = &f->s->fields[x->node], *extra = &f->s->extra[x->node];

    switch (x->how) {
    case HOW_NUM:
    case HOW_SEC:
    case HOW_LAT:
        *field = v->num;
        break;
    case HOW_NANOSEC:
    case HOW_LON:
        *extra = v->num;
        break;
    case HOW_FIX:
        f->s->fix[x->node] = v->num;
        break;
    case HOW_TEST:
        test(f, x, v);
        break;
    case HOW_LEAST:
        *field = fmin(*field, v->num); /* NAN when it is the first */
        break;
    case HOW_MOST:
        *field = fmax(*field, v->num);
        break;
    case HOW_SUM:
    case HOW_AVG:
        if (isnan(v->num))
            break;
        *field += v->num;
        *extra += 1;
        break;
    case HOW_LEN:
        break;
    }
}

static struct cell item_of(const struct bp_op *op, const struct bp_value *v, size_t i) {
    if (op->prim == BP_PRIM_STRING)
        return (struct cell){ .num = NAN, .p = (const char *) v->p, .len = v->n };
    if (op->prim == BP_PRIM_WSTRING)
        return (struct cell){ .num = NAN };
    return (struct cell){ .num = bp_value_f64(v, op->prim, i) };
}

/* Four floats wherever they lie, and what a comparison of them gives. */
typedef float floats __attribute__((vector_size(16)));
typedef int32_t masks __attribute__((vector_size(16)));

enum { LANES = sizeof(floats) / sizeof(float) };

static floats chosen(masks yes, floats a, floats b) {
    return (floats) (((masks) a & yes) | ((masks) b & ~yes));
}

/* Least and most of those that are numbers. @return false when none is */
static bool extremes(const uint8_t *p, size_t n, float *ret_least, float *ret_most) {
    const floats endless = (floats){ 0 } + INFINITY;
    floats least = endless, most = -endless, x = { 0 };
    masks number = { 0 };

    for (; n >= LANES; n -= LANES, p += sizeof x) {
        memcpy(&x, p, sizeof x);
        number |= x <= endless;
        least = chosen(x < least, x, least);
        most = chosen(x > most, x, most);
    }
    x = (floats){ 0 } + NAN; /* the lanes without a float */
    memcpy(&x, p, n * sizeof(float));
    number |= x <= endless;
    least = chosen(x < least, x, least);
    most = chosen(x > most, x, most);
    *ret_least = INFINITY;
    *ret_most = -INFINITY;
    for (unsigned i = 0; i < LANES; i++) {
        *ret_least = fminf(*ret_least, least[i]);
        *ret_most = fmaxf(*ret_most, most[i]);
        number[0] |= number[i];
    }
    return number[0] != 0;
}

/* min(/scan.ranges), NAN left out: one by one 720 floats take longer than all the rest. */
static bool take_floats(const struct feed *f, const struct want *x, const struct bp_op *op,
                        const struct bp_value *v) {
    double *field = &f->s->fields[x->node];
    float least, most;

    if (op->prim != BP_PRIM_FLOAT32 || v->swap || (x->how != HOW_LEAST && x->how != HOW_MOST))
        return false;
    if (extremes(v->p, v->n, &least, &most))
        *field = x->how == HOW_LEAST ? fmin(*field, (double) least) : fmax(*field, (double) most);
    return true;
}

/* A want's last step is a value with `n` items (1 unless it is an array of primitives). */
static void take_items(const struct feed *f, const struct want *x, const struct bp_op *op,
                       const struct bp_value *v, bool array) {
    int64_t index = x->steps[x->n - 1].index;
    size_t n = array ? v->n : 1, from = 0;

    if (x->how == HOW_LEN) { /* items, or bytes of a text */
        f->s->fields[x->node] = (double) v->n;
        return;
    }
    if (array && index >= 0) {
        if ((uint64_t) index >= v->n)
            return;
        from = (size_t) index;
        n = from + 1;
    }
    if (array && index < 0 && take_floats(f, x, op, v))
        return;
    for (size_t i = from; i < n; i++) {
        struct cell c = item_of(op, v, i);

        take(f, x, &c);
    }
}

static void each_want(const struct feed *f, const uint64_t *m, const struct bp_op *op,
                      const struct bp_value *v, bool array) {
    for (unsigned w = 0; w < WORDS; w++)
        for (uint64_t left = m[w]; left; left &= left - 1) {
            const struct want *x = &f->p->wants[w * 64 + (unsigned) __builtin_ctzll(left)];

            if (x->n == f->steps + 1)
                take_items(f, x, op, v, array);
        }
}

static int on_value(void *ctx, const struct bp_op *op, const struct bp_value *v) {
    struct feed *f = ctx;
    uint64_t m[WORDS];

    if (f->depth == 0 && op > f->plan->last)
        return OVER;
    if (!any(f->levels[f->depth].item) || !of_field(f, f->levels[f->depth].item, f->steps, op, m))
        return 0;
    each_want(f, m, op, v, op->array != BP_ARRAY_NONE);
    return f->depth == 0 && op == f->plan->last ? OVER : 0;
}

static void take_counts(const struct feed *f, const uint64_t *m, uint32_t count) {
    for (unsigned w = 0; w < WORDS; w++)
        for (uint64_t left = m[w]; left; left &= left - 1) {
            const struct want *x = &f->p->wants[w * 64 + (unsigned) __builtin_ctzll(left)];

            if (x->n == f->steps + 1 && x->how == HOW_LEN && x->steps[x->n - 1].index < 0)
                f->s->fields[x->node] = (double) count;
        }
}

static int on_enter(void *ctx, const struct bp_op *op, uint32_t count) {
    struct feed *f = ctx;
    const struct level *up = &f->levels[f->depth];
    struct level *l;

    if (f->depth == 0 && op > f->plan->last)
        return OVER;
    if (f->depth + 1 == LEVELS)
        return BP_ELIMIT;
    l = &f->levels[f->depth + 1];
    *l = (struct level){ 0 };
    if (any(up->item))
        (void) of_field(f, up->item, f->steps, op, l->here);
    if (!any(l->here))
        return BP_WALK_SKIP;
    if (op->array == BP_ARRAY_NONE)
        memcpy(l->item, l->here, sizeof l->item);
    else
        take_counts(f, l->here, count);
    f->depth++;
    f->steps++;
    return 0;
}

static int on_item(void *ctx, const struct bp_op *op, uint32_t i, const struct bp_value *string) {
    struct feed *f = ctx;
    struct level *l = &f->levels[f->depth];

    for (unsigned w = 0; w < WORDS; w++) {
        l->item[w] = 0;
        for (uint64_t left = l->here[w]; left; left &= left - 1) {
            unsigned bit = (unsigned) __builtin_ctzll(left);
            const struct want *x = &f->p->wants[w * 64 + bit];
            const struct step *s = &x->steps[f->steps - 1];

            if (s->index == i || s->index == EACH || (s->index == WHOLE && x->how != HOW_LEN))
                l->item[w] |= (uint64_t) 1 << bit;
        }
    }
    if (string && any(l->item)) {
        f->steps--;
        each_want(f, l->item, op, string, false);
        f->steps++;
    }
    return 0;
}

static int on_leave(void *ctx, const struct bp_op *op, uint32_t count) {
    struct feed *f = ctx;

    (void) op, (void) count;
    f->depth--;
    f->steps--;
    return f->depth == 0 && op == f->plan->last ? OVER : 0;
}

/* What a message that lacks them leaves behind. */
static void forget(const struct bp_program *p, struct bp_state *s, const struct plan *plan,
                   bool lost) {
    for (unsigned w = 0; w < WORDS; w++)
        for (uint64_t left = plan->mask[w]; left; left &= left - 1) {
            const struct want *x = &p->wants[w * 64 + (unsigned) __builtin_ctzll(left)];
            bool sum = x->how == HOW_SUM || x->how == HOW_AVG;

            if (x->how == HOW_TEST)
                s->fields[x->test] = lost ? NAN : 0;
            else
                s->fields[x->node] = sum && !lost ? 0 : NAN;
            s->extra[x->node] = sum && !lost ? 0 : NAN;
            s->fix[x->node] = NAN;
        }
}

/* Even-odd rule; the border belongs to neither side for certain. Polygons are small: degrees are
 * taken as a plane, across the 180th meridian by the shorter way. */
static bool is_inside(const double (*v)[2], size_t n, double lat, double lon) {
    bool in = false;

    for (size_t i = 0, k = n - 1; i < n; k = i++) {
        double a = remainder(v[i][1] - lon, 360), b = remainder(v[k][1] - lon, 360);
        double y1 = v[i][0], y2 = v[k][0];

        if ((y1 > lat) != (y2 > lat) && 0 < (b - a) * (lat - y1) / (y2 - y1) + a)
            in = !in;
    }
    return in;
}

static void finish_one(const struct bp_program *p, struct bp_state *s, const struct want *x,
                       bp_ns_t recv_ns) {
    const struct node *n = &p->e->nodes[x->node];
    double *v = &s->fields[x->node];
    int64_t recv_s = recv_ns / BP_SEC;

    if (x->how == HOW_TEST && !x->each && isnan(s->extra[x->node]))
        s->fields[x->test] = NAN; /* there is no such item */
    else if (x->how == HOW_AVG)
        *v = s->extra[x->node] > 0 ? *v / s->extra[x->node] : NAN;
    else if (x->how == HOW_SEC) /* whole seconds first: a double holds no nanoseconds of 1970 */
        *v = ((double) recv_s - *v) + ((double) (recv_ns % BP_SEC) - s->extra[x->node]) / 1e9;
    else if (x->how == HOW_LAT)
        *v = isnan(*v) || isnan(s->extra[x->node]) || s->fix[x->node] < 0
                 ? NAN
                 : truth(is_inside(p->e->points + n->str, n->str_len, *v, s->extra[x->node]));
}

static void finish(const struct bp_program *p, struct bp_state *s, const struct plan *plan,
                   bp_ns_t recv_ns) {
    for (unsigned w = 0; w < WORDS; w++)
        for (uint64_t left = plan->mask[w]; left; left &= left - 1)
            finish_one(p, s, &p->wants[w * 64 + (unsigned) __builtin_ctzll(left)], recv_ns);
}

int bp_program_feed(const struct bp_program *p, struct bp_state *s, size_t i, const void *cdr,
                    size_t n, bp_ns_t recv_ns, struct bp_error *err) {
    static const struct bp_visitor visitor = { on_value, on_enter, on_item, on_leave };
    const struct plan *plan = &p->plans[i];
    struct feed f;
    int r;

    if (!plan->schema || !plan->last)
        return 0;
    f.p = p;
    f.s = s;
    f.plan = plan;
    f.depth = 0;
    f.steps = 0;
    memcpy(f.levels[0].item, plan->mask, sizeof plan->mask);
    memcpy(f.levels[0].here, plan->mask, sizeof plan->mask);
    forget(p, s, plan, false);
    r = bp_schema_walk(plan->schema, cdr, n, &visitor, &f, err);
    if (r < 0) {
        forget(p, s, plan, true);
        return r;
    }
    finish(p, s, plan, recv_ns);
    return 0;
}
