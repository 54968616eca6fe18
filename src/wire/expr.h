#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"
#include "wire/plan.h"

/* Conditions over the fields of messages, as people write them:
 *
 *     /battery_state.percentage < 15% for 5s until > 20%
 *     /diagnostics.status[*].level >= ERROR and not /estop.data
 *     rate(/scan) outside 8..12 or silent(/scan) > 2s
 *
 * The language is described in docs/triggers.md. Three things are made of a text, each once:
 *
 *   bp_expr     parsed, without any knowledge of types
 *   bp_program  the same bound to topics of a graph and their types: where each field lies
 *   bp_state    what the fields were in the last messages, one per robot
 *
 * A text has bounds (length, depth, parts), so has everything made of it; feeding a message and
 * judging allocate nothing. What is not known yet (no message so far, no such item, a number that
 * is NaN) makes a condition unknown, which is neither true nor false. Everything but bp_state is
 * constant once made and may be shared by threads. */
struct bp_expr;
struct bp_program;
struct bp_state;

enum {
    BP_EXPR_MAX_TEXT = 2000, /* bytes */
    BP_EXPR_MAX_NODES = 240,
    BP_EXPR_MAX_DEPTH = 40,
    BP_EXPR_MAX_TOPICS = 16,
    BP_EXPR_MAX_POINTS = 64 /* of all polygons */
};

/**
 * @param text  copied
 * @param ret   release with bp_expr_free()
 * @return 0, -ENOMEM, BP_ELIMIT, BP_EUSAGE: what was expected, then the text on a line of its own
 *         and below it a caret at the place
 */
BP_MUST_CHECK int bp_expr_parse(const char *text, struct bp_expr **ret, struct bp_error *err);
void bp_expr_free(struct bp_expr *e);
BP_DEFINE_CLEANUP(struct bp_expr, bp_expr_free)

/** How long the condition must hold ("for"), 0 = not at all. */
bp_ns_t bp_expr_for(const struct bp_expr *e);
/** It has a condition that ends it ("until"). */
bool bp_expr_has_until(const struct bp_expr *e);
/** It calls rate(), silent(), for or anything else that changes without a message. */
bool bp_expr_needs_time(const struct bp_expr *e);

/* ---- the topics it speaks of ---- */

size_t bp_expr_topics(const struct bp_expr *e);
/**
 * Whether the topic number `i` may be this one of the graph. "/a/b" without a field may be topic
 * /a/b, or topic /a with a field b: the longest fit is the one that is meant.
 *
 * @param capture  what '*' stands for in `name`, "" without one; at most cap bytes with its NUL
 * @return bytes of `name` when it fits, 0 when not (or the capture is too long)
 */
size_t bp_expr_fits(const struct bp_expr *e, size_t i, const char *name, char *capture, size_t cap);
/** As written, with '*' and fields; borrowed. */
const char *bp_expr_topic_text(const struct bp_expr *e, size_t i);
/** Fields of its messages are looked at; otherwise only when they come. */
bool bp_expr_needs_payload(const struct bp_expr *e, size_t i);
/** The window of rate() for this topic in ns, 0 when it is not asked for. */
bp_ns_t bp_expr_rate_window(const struct bp_expr *e, size_t i);

/* ---- what is not in messages ---- */

enum bp_expr_source {
    BP_SOURCE_SILENT,      /* seconds since the last message of topic `topic` */
    BP_SOURCE_RATE,        /* messages a second, over `number` seconds */
    BP_SOURCE_SEEN,        /* 1: there was a message */
    BP_SOURCE_NODE_GONE,   /* 1: node `text` was there and is not any more */
    BP_SOURCE_EXTERNAL,    /* 1: somebody has fired `text` */
    BP_SOURCE_DISK_FREE,   /* bytes */
    BP_SOURCE_DISK_USED,   /* 0 to 1 */
    BP_SOURCE_CPU,         /* 0 to 1, of all cores */
    BP_SOURCE_MEMORY,      /* 0 to 1 */
    BP_SOURCE_TEMPERATURE, /* degrees Celsius, of the hottest zone */
    BP_SOURCE_LOAD,        /* runnable tasks per core, over a minute */
    BP_SOURCE_N_
};

struct bp_expr_ask {
    enum bp_expr_source source;
    size_t topic;
    const char *text;
    double number;
};

struct bp_expr_env {
    /** @return the value, NAN when it is not known */
    double (*get)(void *ctx, const struct bp_expr_ask *ask);
    void *ctx;
};

/** Calls `fn` for each source the text asks for, to prepare it. */
void bp_expr_each_source(const struct bp_expr *e,
                         void (*fn)(void *ctx, const struct bp_expr_ask *ask), void *ctx);

/* ---- programs ---- */

struct bp_expr_bound {
    const char *topic;              /* of the graph; NULL: there is none yet */
    const struct bp_schema *schema; /* must outlive the program; NULL: not known */
};

/**
 * Finds the fields in the types of the topics. What is not there yet stays unknown.
 *
 * @param bound  one per topic of `e`; borrowed for the call, the schemas for good
 * @param e      must outlive the program
 * @return 0, -ENOMEM, BP_EUSAGE with a caret: no such field (and the nearest one there is), or a
 *         text where a number is needed
 */
BP_MUST_CHECK int bp_program_new(const struct bp_expr *e, const struct bp_expr_bound *bound,
                                 struct bp_program **ret, struct bp_error *err);
void bp_program_free(struct bp_program *p);
BP_DEFINE_CLEANUP(struct bp_program, bp_program_free)

/** Nothing is known. NULL: out of memory. */
struct bp_state *bp_state_new(const struct bp_expr *e);
void bp_state_free(struct bp_state *s);
BP_DEFINE_CLEANUP(struct bp_state, bp_state_free)

/**
 * Takes the fields of a message of topic `i`. One that cannot be read makes its fields unknown;
 * what lies behind the last field is not looked at and need not be there.
 *
 * @param recv_ns  wall time of its arrival, for age()
 * @return 0, or what bp_schema_walk() says
 */
int bp_program_feed(const struct bp_program *p, struct bp_state *s, size_t i, const void *cdr,
                    size_t n, bp_ns_t recv_ns, struct bp_error *err);

enum bp_truth { BP_FALSE, BP_TRUE, BP_UNKNOWN };

/** The condition now. @param env  NULL: what it would tell is unknown */
enum bp_truth bp_program_when(const struct bp_program *p, struct bp_state *s,
                              const struct bp_expr_env *env);
/** The condition that ends it; the opposite of the other one when none was written. */
enum bp_truth bp_program_until(const struct bp_program *p, struct bp_state *s,
                               const struct bp_expr_env *env);

/* One thing that the text looks at, for people. */
struct bp_expr_value {
    struct bp_str text; /* as written: "/battery_state.percentage", "rate(/scan)" */
    double value;       /* NAN = unknown */
    bool is_bool;
};
/** The i-th part and what it was when last judged; false behind the last. */
bool bp_program_value(const struct bp_program *p, const struct bp_state *s, size_t i,
                      struct bp_expr_value *ret);
