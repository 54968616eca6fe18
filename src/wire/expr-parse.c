/* Text to nodes: a recursive descent whose depth is bounded, without a token list. */
#include "wire/expr-priv.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* ---- functions ---- */

static uint16_t sum(struct parser *s);
static uint16_t either(struct parser *s);

static uint16_t topic_source(struct parser *s, enum bp_expr_source source, const char *from) {
    struct node n = bp_xp_leaf(OP_SOURCE);
    bool window = false;

    n.source = source;
    if (!bp_xp_take_topic(s, &n, false))
        return NONE;
    if (source == BP_SOURCE_RATE) {
        n.num = 5;
        if (bp_xp_eat(s, ",")) {
            bp_xp_skip(s);
            window = bp_xp_take_number(s, &n.num);
        }
        if (!s->failed && (n.num < 0.5 || n.num > 600))
            bp_xp_fail_at(s, s->p, "a rate is taken over 0.5s to 10min");
        if (!s->failed)
            s->e->refs[n.topic].window =
                BP_MAX(s->e->refs[n.topic].window, (bp_ns_t) (n.num * 1e9));
    }
    if (!bp_xp_want(s, ")", window ? "expected ')'" : "expected ')' behind the topic"))
        return NONE;
    return bp_xp_add(s, n, from, s->p);
}

static uint16_t text_source(struct parser *s, enum bp_expr_source source, const char *from) {
    struct node n = bp_xp_leaf(OP_SOURCE);

    n.source = source;
    bp_xp_skip(s);
    if (*s->p != '"' && *s->p != '\'') {
        bp_xp_fail_at(s, s->p,
                      source == BP_SOURCE_NODE_GONE ? "expected a node in quotes, \"/driver\""
                                                    : "expected a name in quotes");
        return NONE;
    }
    if (!bp_xp_take_text(s, &n.str, &n.str_len) || !bp_xp_want(s, ")", "expected ')'"))
        return NONE;
    return bp_xp_add(s, n, from, s->p);
}

static uint16_t age(struct parser *s, const char *from) {
    struct node n = bp_xp_leaf(OP_AGE);

    if (!bp_xp_take_topic(s, &n, true) || !bp_xp_want(s, ")", "expected ')' behind the topic"))
        return NONE;
    return bp_xp_add(s, n, from, s->p);
}

static bool take_degrees(struct parser *s, double limit, double *ret) {
    bool minus = bp_xp_eat(s, "-");
    const char *from;

    bp_xp_skip(s);
    from = s->p;
    if (!bp_xp_take_number(s, ret))
        return false;
    *ret = minus ? -*ret : *ret;
    if (fabs(*ret) > limit)
        bp_xp_fail_at(s, from,
                      limit < 100 ? "a latitude lies between -90 and 90"
                                  : "a longitude lies between -180 and 180");
    return !s->failed;
}

/* inside(/gps, (48.1, 11.5), (48.2, 11.5), (48.2, 11.6)) */
static uint16_t inside(struct parser *s, const char *from) {
    struct node n = bp_xp_leaf(OP_INSIDE);
    struct bp_expr *e = s->e;

    n.str = (uint16_t) e->npoints;
    if (!bp_xp_take_topic(s, &n, true))
        return NONE;
    while (!s->failed && bp_xp_eat(s, ",")) {
        if (e->npoints == BP_EXPR_MAX_POINTS) {
            bp_xp_fail_at(s, s->p, "too many points");
            return NONE;
        }
        if (!bp_xp_want(s, "(", "expected a point, (latitude, longitude)") ||
            !take_degrees(s, 90, &e->points[e->npoints][0]) ||
            !bp_xp_want(s, ",", "expected ',' and a longitude") ||
            !take_degrees(s, 180, &e->points[e->npoints][1]) ||
            !bp_xp_want(s, ")", "expected ')' behind the point"))
            return NONE;
        e->npoints++;
    }
    n.str_len = (uint16_t) (e->npoints - n.str);
    if (!s->failed && n.str_len < 3)
        bp_xp_fail_at(s, s->p, "a polygon has three points or more");
    if (!bp_xp_want(s, ")", "expected ')'"))
        return NONE;
    return bp_xp_add(s, n, from, s->p);
}

/* min(/scan.ranges) is over items, min(a, b) of two numbers. */
static uint16_t extreme(struct parser *s, enum op items, enum op two, const char *from) {
    const char *start;
    struct node n = bp_xp_leaf(items);
    uint16_t a, b;

    bp_xp_skip(s);
    start = s->p;
    if (*s->p == '/' && bp_xp_take_field(s, &n) && bp_xp_eat(s, ")"))
        return bp_xp_add(s, n, from, s->p);
    if (s->failed)
        return NONE;
    s->p = start;
    a = sum(s);
    if (!bp_xp_want(s, ",", "expected ',' and a second number, or the field of an array alone"))
        return NONE;
    b = sum(s);
    if (!bp_xp_want(s, ")", "expected ')'"))
        return NONE;
    return bp_xp_add_op(s, two, a, b, NONE, from);
}

static uint16_t of_field(struct parser *s, enum op op, const char *from) {
    struct node n = bp_xp_leaf(op);

    if (!bp_xp_take_field(s, &n) || !bp_xp_want(s, ")", "expected ')' behind the field"))
        return NONE;
    return bp_xp_add(s, n, from, s->p);
}

static uint16_t of_numbers(struct parser *s, enum op op, unsigned n, const char *from) {
    uint16_t a = sum(s), b = NONE;

    if (n > 1 && bp_xp_want(s, ",", "expected ',' and a second operand"))
        b = sum(s);
    if (!bp_xp_want(s, ")", "expected ')'"))
        return NONE;
    return bp_xp_add_op(s, op, a, b, NONE, from);
}

enum { F_TOPIC, F_TEXT, F_PLAIN, F_AGE, F_INSIDE, F_FIELD, F_ONE, F_TWO, F_MIN, F_MAX };

static const struct function {
    const char *name;
    int kind;
    int what; /* source or op */
} functions[] = {
    { "silent", F_TOPIC, BP_SOURCE_SILENT },
    { "rate", F_TOPIC, BP_SOURCE_RATE },
    { "seen", F_TOPIC, BP_SOURCE_SEEN },
    { "age", F_AGE, OP_AGE },
    { "inside", F_INSIDE, OP_INSIDE },
    { "node_gone", F_TEXT, BP_SOURCE_NODE_GONE },
    { "external", F_TEXT, BP_SOURCE_EXTERNAL },
    { "disk.free", F_PLAIN, BP_SOURCE_DISK_FREE },
    { "disk.used", F_PLAIN, BP_SOURCE_DISK_USED },
    { "cpu", F_PLAIN, BP_SOURCE_CPU },
    { "memory", F_PLAIN, BP_SOURCE_MEMORY },
    { "temperature", F_PLAIN, BP_SOURCE_TEMPERATURE },
    { "load", F_PLAIN, BP_SOURCE_LOAD },
    { "len", F_FIELD, OP_LEN },
    { "sum", F_FIELD, OP_SUM },
    { "avg", F_FIELD, OP_AVG },
    { "min", F_MIN, OP_MIN },
    { "max", F_MAX, OP_MAX },
    { "abs", F_ONE, OP_ABS },
    { "sqrt", F_ONE, OP_SQRT },
    { "isnan", F_ONE, OP_ISNAN },
    { "hypot", F_TWO, OP_HYPOT },
    { "contains", F_TWO, OP_CONTAINS },
    { "starts_with", F_TWO, OP_STARTS },
};

static uint16_t call(struct parser *s, const struct function *f, const char *from) {
    struct node n = bp_xp_leaf(OP_SOURCE);

    if (f->kind == F_PLAIN) {
        n.source = (enum bp_expr_source) f->what;
        return bp_xp_add(s, n, from, s->p);
    }
    if (!bp_xp_want(s, "(", "expected '(' behind the function"))
        return NONE;
    switch (f->kind) {
    case F_TOPIC:
        return topic_source(s, (enum bp_expr_source) f->what, from);
    case F_TEXT:
        return text_source(s, (enum bp_expr_source) f->what, from);
    case F_AGE:
        return age(s, from);
    case F_INSIDE:
        return inside(s, from);
    case F_FIELD:
        return of_field(s, (enum op) f->what, from);
    case F_MIN:
        return extreme(s, OP_LEAST, OP_MIN, from);
    case F_MAX:
        return extreme(s, OP_MOST, OP_MAX, from);
    default:
        return of_numbers(s, (enum op) f->what, f->kind == F_TWO ? 2 : 1, from);
    }
}

static void unknown_word(struct parser *s, const char *from, const char *word) {
    const char *names[BP_COUNT(functions) + 5] = { "and", "or", "not", "true", "false" };
    BP_AUTO_BUF why = { 0 };

    for (size_t i = 0; i < BP_COUNT(functions); i++)
        names[i + 5] = functions[i].name;
    bp_buf_printf(&why, "unknown word '%s'", word);
    bp_expr_put_nearest(&why, word, names, BP_COUNT(names));
    if (bp_buf_cstr(&why) && !strchr(bp_buf_cstr(&why), '?'))
        bp_buf_put_str(&why, "; topics begin with '/', texts stand in quotes");
    bp_xp_fail_at(s, from, bp_buf_cstr(&why) ? bp_buf_cstr(&why) : "unknown word");
}

static uint16_t word(struct parser *s) {
    const char *from = s->p;
    struct node n = bp_xp_leaf(OP_BOOL);
    char text[48];
    size_t len = 0;

    while (bp_xp_is_word(from[len]) || (from[len] == '.' && bp_xp_is_word(from[len + 1])))
        len++;
    if (len >= sizeof text) {
        bp_xp_fail_at(s, from, "unknown word");
        return NONE;
    }
    memcpy(text, from, len);
    text[len] = 0;
    s->p += len;
    if (bp_streq(text, "true") || bp_streq(text, "false")) {
        n.num = bp_streq(text, "true");
        return bp_xp_add(s, n, from, s->p);
    }
    for (size_t i = 0; i < BP_COUNT(functions); i++)
        if (bp_streq(functions[i].name, text))
            return call(s, &functions[i], from);
    if (isupper((unsigned char) *text)) /* a constant, ROS writes them so */
        return bp_xp_add(s, bp_xp_leaf(OP_NAME), from, s->p);
    unknown_word(s, from, text);
    return NONE;
}

/* ---- operators ---- */

static uint16_t primary(struct parser *s) {
    const char *from;
    uint16_t i;

    bp_xp_skip(s);
    from = s->p;
    if (s->failed)
        return NONE;
    if (*from == '/')
        return bp_xp_field(s, OP_FIELD);
    if (*from == '"' || *from == '\'')
        return bp_xp_text(s);
    if (isdigit((unsigned char) *from))
        return bp_xp_number(s);
    if (isalpha((unsigned char) *from) || *from == '_')
        return word(s);
    if (*from == '(' && bp_xp_eat(s, "(")) {
        i = either(s);
        return bp_xp_want(s, ")", "expected ')'") ? i : NONE;
    }
    bp_xp_fail_at(s, from,
                  *from ? "expected a topic, a number, a text in quotes or a function"
                        : "something is missing at the end");
    return NONE;
}

static uint16_t unary(struct parser *s) {
    const char *from;
    uint16_t i = NONE;

    bp_xp_skip(s);
    from = s->p;
    if (!bp_xp_enter(s))
        return NONE;
    if (*from != '-') {
        i = primary(s);
    } else {
        s->p++;
        i = unary(s);
        i = s->failed ? NONE : bp_xp_add_op(s, OP_NEG, i, NONE, NONE, from);
    }
    s->depth--;
    return i;
}

static uint16_t product(struct parser *s) {
    const char *from = s->p;
    uint16_t a = unary(s);

    while (!s->failed) {
        enum op op = bp_xp_eat(s, "*")   ? OP_MUL
                     : bp_xp_eat(s, "/") ? OP_DIV
                     : bp_xp_eat(s, "%") ? OP_MOD
                                         : OP_NUM;
        uint16_t b;

        if (op == OP_NUM)
            break;
        b = unary(s);
        if (!s->failed)
            a = bp_xp_add_op(s, op, a, b, NONE, from);
    }
    return a;
}

static uint16_t sum(struct parser *s) {
    const char *from = s->p;
    uint16_t a = product(s);

    while (!s->failed) {
        enum op op = bp_xp_eat(s, "+") ? OP_ADD : bp_xp_eat(s, "-") ? OP_SUB : OP_NUM;
        uint16_t b;

        if (op == OP_NUM)
            break;
        b = product(s);
        if (!s->failed)
            a = bp_xp_add_op(s, op, a, b, NONE, from);
    }
    return a;
}

static enum op comparison(struct parser *s) {
    static const struct {
        const char *token;
        enum op op;
    } list[] = {
        { "<=", OP_LE }, { ">=", OP_GE }, { "==", OP_EQ },         { "!=", OP_NE },
        { "<", OP_LT },  { ">", OP_GT },  { "within", OP_WITHIN }, { "outside", OP_OUTSIDE },
    };

    for (size_t i = 0; i < BP_COUNT(list); i++)
        if (bp_xp_eat(s, list[i].token))
            return list[i].op;
    if (!s->failed && *s->p == '=')
        bp_xp_fail_at(s, s->p, "write '==' to compare");
    return OP_NUM;
}

/* What follows the left side of a comparison; `a` itself when nothing does. */
static uint16_t compared(struct parser *s, uint16_t a, const char *from) {
    enum op op = s->failed ? OP_NUM : comparison(s);
    uint16_t b, c = NONE;

    if (s->failed || op == OP_NUM)
        return a;
    b = sum(s);
    if (op == OP_WITHIN || op == OP_OUTSIDE) {
        if (!bp_xp_want(s, "..", "expected '..' and the upper end, as in 8..12"))
            return NONE;
        c = sum(s);
    }
    if (s->failed)
        return NONE;
    s->left = a;
    a = bp_xp_add_op(s, op, a, b, c, from);
    if (!s->failed && comparison(s) != OP_NUM)
        bp_xp_fail_at(s, s->p - 1, "one comparison at a time; for a range write 'within 1..2'");
    return a;
}

static uint16_t negated(struct parser *s) {
    const char *from;
    uint16_t i;

    bp_xp_skip(s);
    from = s->p;
    if (!bp_xp_enter(s))
        return NONE;
    if (bp_xp_eat(s, "not") || (*s->p == '!' && s->p[1] != '=' && bp_xp_eat(s, "!"))) {
        i = negated(s);
        i = s->failed ? NONE : bp_xp_add_op(s, OP_NOT, i, NONE, NONE, from);
    } else {
        i = compared(s, sum(s), from);
    }
    s->depth--;
    return i;
}

static uint16_t both(struct parser *s) {
    const char *from = s->p;
    uint16_t a = negated(s);

    while (!s->failed && (bp_xp_eat(s, "and") || bp_xp_eat(s, "&&"))) {
        uint16_t b = negated(s);

        if (!s->failed)
            a = bp_xp_add_op(s, OP_AND, a, b, NONE, from);
    }
    return a;
}

static uint16_t either(struct parser *s) {
    const char *from;
    uint16_t a;

    bp_xp_skip(s);
    from = s->p;
    a = both(s);
    while (!s->failed && (bp_xp_eat(s, "or") || bp_xp_eat(s, "||"))) {
        uint16_t b = both(s);

        if (!s->failed)
            a = bp_xp_add_op(s, OP_OR, a, b, NONE, from);
    }
    return a;
}

/* ---- the whole ---- */

static void shift(uint16_t *i, int by) {
    if (*i != NONE)
        *i = (uint16_t) (*i + by);
}

/* "< 0.2 until > 0.25": the left side once more, as nodes of its own. */
static uint16_t repeat_left(struct parser *s) {
    struct bp_expr *e = s->e;
    uint16_t first = e->nodes[s->left].first, last = s->left;
    int by = (int) e->n - first;

    for (uint16_t i = first; i <= last && !s->failed; i++) {
        struct node n = e->nodes[i];

        shift(&n.a, by);
        shift(&n.b, by);
        shift(&n.c, by);
        shift(&n.first, by);
        (void) bp_xp_add(s, n, e->text + n.at, e->text + n.at + n.len);
    }
    return (uint16_t) (last + by);
}

static void take_until(struct parser *s) {
    const char *from;
    uint16_t left = s->left;

    bp_xp_skip(s);
    from = s->p;
    if (strchr("<>=!", *from) && *from && left != NONE)
        s->e->until = compared(s, repeat_left(s), from);
    else
        s->e->until = either(s);
}

static void take_for(struct parser *s) {
    double seconds = 0;
    const char *from;

    bp_xp_skip(s);
    from = s->p;
    if (!bp_xp_take_number(s, &seconds))
        return;
    if (seconds > 7 * 86400.0)
        bp_xp_fail_at(s, from, "expected a time of at most 7d");
    else
        s->e->for_ns = (bp_ns_t) (seconds * 1e9);
}

static int all_types(struct parser *s) {
    enum type types[BP_EXPR_MAX_NODES];
    const struct bp_expr *e = s->e;
    int r = 0;

    for (size_t i = 0; i < e->n && r == 0; i++)
        r = bp_expr_infer(e, types, i, s->err);
    if (r == 0 && types[e->when] != T_BOOL && types[e->when] != T_ANY)
        r = bp_expr_fail(e, e->nodes[e->when].at, s->err,
                         "this is a %s, not a condition: compare it with something",
                         types[e->when] == T_NUM ? "number" : "text");
    if (r == 0 && e->until != NONE && types[e->until] != T_BOOL && types[e->until] != T_ANY)
        r = bp_expr_fail(e, e->nodes[e->until].at, s->err, "expected a condition");
    return r;
}

static int parse(struct parser *s) {
    struct bp_expr *e = s->e;

    e->when = either(s);
    if (!s->failed && bp_xp_eat(s, "for"))
        take_for(s);
    if (!s->failed && bp_xp_eat(s, "until"))
        take_until(s);
    bp_xp_skip(s);
    if (!s->failed && *s->p)
        bp_xp_fail_at(s, s->p,
                      e->for_ns || e->until != NONE
                          ? "'for' and 'until' are about the whole condition: expected "
                            "the end"
                          : "expected an operator, 'for', 'until' or the end");
    return s->failed ? s->failed : all_types(s);
}

int bp_expr_parse(const char *text, struct bp_expr **ret, struct bp_error *err) {
    BP_CLEANUP(bp_expr_freep) struct bp_expr *e = NULL;
    struct bp_error own = { 0 };
    struct parser s = { .err = err ? err : &own, .left = NONE };
    size_t n = strlen(text);
    int r;

    if (n > BP_EXPR_MAX_TEXT)
        return bp_fail(err, BP_ELIMIT, "the expression is longer than %d bytes", BP_EXPR_MAX_TEXT);
    e = calloc(1, sizeof *e);
    if (!e)
        return bp_fail(err, -ENOMEM, "out of memory");
    e->text = strdup(text);
    e->pool = calloc(1, n + 1); /* a text in quotes is shorter by them, its NUL included */
    if (!e->text || !e->pool)
        return bp_fail(err, -ENOMEM, "out of memory");
    e->when = e->until = NONE;
    s.e = e;
    s.p = e->text;
    r = parse(&s);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(e);
    return 0;
}

void bp_expr_free(struct bp_expr *e) {
    if (!e)
        return;
    for (size_t i = 0; i < e->nrefs; i++)
        free(e->refs[i].text);
    free(e->pool);
    free(e->text);
    free(e);
}
