#pragma once

#include "wire/expr.h"

/* Nodes stand in the order in which they are judged: operands before what uses them, and those of
 * one part side by side, from `first` to the node itself. So a condition is judged by one pass over
 * an array, without a stack, and a part of it, once per item of an array, by a pass over a part. */

enum op {
    OP_NUM,
    OP_TEXT,
    OP_BOOL,
    OP_NAME,  /* a constant of the type that the other side's field is in */
    OP_FIELD, /* of topic `topic` */
    OP_AGE,   /* arrival minus header.stamp */
    OP_INSIDE,
    OP_SOURCE, /* `source` */
    OP_LEN,    /* of a field: number of items or bytes; the field is not a node of its own */
    OP_LEAST,
    OP_MOST,
    OP_SUM,
    OP_AVG,
    OP_NEG,
    OP_NOT,
    OP_ABS,
    OP_SQRT,
    OP_ISNAN,
    OP_MIN,
    OP_MAX,
    OP_HYPOT,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_EQ,
    OP_NE,
    OP_WITHIN,
    OP_OUTSIDE,
    OP_CONTAINS,
    OP_STARTS,
    OP_AND,
    OP_OR,
};

enum type { T_ANY, T_NUM, T_BOOL, T_TEXT };

enum { NONE = 0xffff, MAX_STEPS = 16, MAX_WANTS = 96 };

struct node {
    enum op op;
    uint16_t a, b, c;  /* operands, NONE */
    uint16_t first;    /* where this part begins */
    uint16_t at, len;  /* in the text */
    uint16_t topic;    /* or NONE */
    uint16_t topic_at; /* where it stands in the text */
    uint16_t path;     /* of fields: where "a.b[2]" begins in the text; 0 = none was written */
    uint16_t path_len; /* its bytes */
    uint16_t str;      /* of texts: where in the pool; of OP_INSIDE: first point */
    uint16_t str_len;  /* of OP_INSIDE: number of points */
    enum bp_expr_source source;
    double num; /* OP_NUM, OP_BOOL; seconds of rate() */
};

struct ref { /* a topic as written */
    uint16_t at, len;
    bool whole; /* the name is all of it: a field follows, or a function wants a topic */
    bool payload;
    bp_ns_t window; /* of rate() */
    char *text;     /* owned: with '*' */
};

struct bp_expr {
    char *text; /* owned */
    struct node nodes[BP_EXPR_MAX_NODES];
    size_t n;
    struct ref refs[BP_EXPR_MAX_TOPICS];
    size_t nrefs;
    char *pool; /* owned: texts in quotes, each with its NUL */
    size_t npool;
    double points[BP_EXPR_MAX_POINTS][2];
    size_t npoints;
    uint16_t when, until; /* until: NONE */
    bp_ns_t for_ns;
};

/* What a field's value does when the walk meets it. */
enum how {
    HOW_NUM,  /* the node's value */
    HOW_TEST, /* judges the comparison `test` with it; any item that is true makes it true */
    HOW_LEN,
    HOW_LEAST,
    HOW_MOST,
    HOW_SUM,
    HOW_AVG,
    HOW_SEC,
    HOW_NANOSEC,
    HOW_LAT,
    HOW_LON,
    HOW_FIX,
};

enum { WHOLE = -1, EACH = -2 };

struct step {
    const struct bp_op *op;
    int64_t index; /* or WHOLE, EACH */
};

struct want {
    enum how how;
    uint16_t node, test;
    bool each; /* some step is [*] */
    uint8_t n;
    struct step steps[MAX_STEPS];
};

struct plan { /* what is wanted of a topic's messages */
    const struct bp_schema *schema;
    const struct bp_op *last; /* behind this one nothing is wanted */
    uint64_t mask[2];         /* wants of this topic */
};

struct bp_program {
    const struct bp_expr *e;
    enum type types[BP_EXPR_MAX_NODES];
    double names[BP_EXPR_MAX_NODES];    /* values of OP_NAME */
    uint16_t tested[BP_EXPR_MAX_NODES]; /* of a comparison judged at a field's arrival: the field */
    struct want wants[MAX_WANTS];
    size_t nwants;
    struct plan plans[BP_EXPR_MAX_TOPICS];
};

struct cell {
    double num;    /* NAN = unknown; of a test 0, 1 or NAN */
    const char *p; /* of texts, while they are looked at */
    size_t len;
};

struct bp_state {
    double fields[BP_EXPR_MAX_NODES]; /* of the last message: fields, tests, ages */
    double extra[BP_EXPR_MAX_NODES];  /* counts of averages; nanoseconds, longitudes */
    double fix[BP_EXPR_MAX_NODES];
    double shown[BP_EXPR_MAX_NODES]; /* when last judged */
};

/** The sentence, the text, and a caret below byte `at` of it. @return BP_EUSAGE */
int bp_expr_fail(const struct bp_expr *e, size_t at, struct bp_error *err, const char *fmt, ...)
    BP_PRINTF(4, 5);
#ifdef __clang_analyzer__ /* as in base/error.h */
#define bp_expr_fail(...) bp_negative_(bp_expr_fail(__VA_ARGS__))
#endif
/** The type of node i, whose operands have theirs; T_ANY operands fit everywhere. */
int bp_expr_infer(const struct bp_expr *e, enum type *types, size_t i, struct bp_error *err);
/** Appends "did you mean 'x'?" for the nearest of the words, or nothing. */
void bp_expr_put_nearest(struct bp_buf *b, const char *typed, const char *const *words, size_t n);

static inline bool bp_op_is_comparison(enum op op) {
    return (op >= OP_LT && op <= OP_STARTS);
}

/* ---- expr-lex.c: what a parser is made of ---- */

struct parser {
    struct bp_expr *e;
    struct bp_error *err;
    const char *p; /* next byte */
    unsigned depth;
    int failed;    /* the first failure, 0 = none; nothing is taken any more */
    uint16_t left; /* left side of the last comparison, NONE */
};

/** Remembers the first failure, with a caret at `at`. */
void bp_xp_fail_at(struct parser *s, const char *at, const char *why);
/** Appends a node that stands in [from, to) of the text; its part begins with itself unless told.
 */
uint16_t bp_xp_add(struct parser *s, struct node n, const char *from, const char *to);
/** A node without operands. */
struct node bp_xp_leaf(enum op op);
/** A node behind its operands, up to where the parser is. */
uint16_t bp_xp_add_op(struct parser *s, enum op op, uint16_t a, uint16_t b, uint16_t c,
                      const char *from);
/** Skips spaces. */
void bp_xp_skip(struct parser *s);
/** Letters, digits, underscore. */
bool bp_xp_is_word(char c);
/** Takes the token when it is next, behind spaces; a word only when it ends there. */
bool bp_xp_eat(struct parser *s, const char *token);
/** The same, or fails with `why`. */
bool bp_xp_want(struct parser *s, const char *token, const char *why);
/** One level deeper; false beyond BP_EXPR_MAX_DEPTH. Whoever enters lowers `depth` again. */
bool bp_xp_enter(struct parser *s);
/** A number with its unit, in seconds or bytes. */
bool bp_xp_take_number(struct parser *s, double *ret);
/** The same as a node. */
uint16_t bp_xp_number(struct parser *s);
/** A text in quotes as a node. */
uint16_t bp_xp_text(struct parser *s);
/** A topic with its field: fills topic and path. */
bool bp_xp_take_field(struct parser *s, struct node *n);
/** The same as a node of that op. */
uint16_t bp_xp_field(struct parser *s, enum op op);
/** A topic alone. */
bool bp_xp_take_topic(struct parser *s, struct node *n, bool payload);
/** A text in quotes into the pool. */
bool bp_xp_take_text(struct parser *s, uint16_t *ret, uint16_t *ret_n);
