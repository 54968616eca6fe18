#include <stdint.h>

#include "base/json.h"
#include "wire/plan.h"
#include "wire/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct range {
    const uint8_t *from, *to;
    unsigned open; /* enter without leave */
};

static void check(const struct range *r, const struct bp_value *v) {
    if (v->n > 0 && (v->p < r->from || v->p > r->to || v->n * v->unit > (size_t) (r->to - v->p)))
        abort();
}

static int value(void *ctx, const struct bp_op *op, const struct bp_value *v) {
    volatile double sink;

    check(ctx, v);
    for (size_t i = 0; i < v->n && op->size > 0; i++) {
        sink = bp_value_f64(v, op->prim, i);
        (void) sink;
    }
    if (op->array == BP_ARRAY_FIXED && v->n != op->bound)
        abort();
    return 0;
}

static int enter(void *ctx, const struct bp_op *op, uint32_t count) {
    struct range *r = ctx;

    if (count > (size_t) (r->to - r->from) || (op->array == BP_ARRAY_NONE && count != 1))
        abort();
    r->open++;
    return 0;
}

static int item(void *ctx, const struct bp_op *op, uint32_t i, const struct bp_value *string) {
    (void) i;
    if ((op->prim == BP_PRIM_STRUCT) != !string)
        abort();
    if (string)
        check(ctx, string);
    return 0;
}

static int leave(void *ctx, const struct bp_op *op, uint32_t count) {
    (void) op;
    (void) count;
    ((struct range *) ctx)->open--;
    return 0;
}

/* A definition, a NUL, a message of that type. Every value lies in the message, JSON and text come
 * out or fail together, and both are UTF-8. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static const struct bp_visitor visitor = { value, enter, item, leave };
    BP_CLEANUP(bp_schema_freep) struct bp_schema *s = NULL;
    const uint8_t *nul = memchr(p, 0, n);
    BP_AUTO_BUF json = { 0 }, text = { 0 };
    struct range r;
    int walked;
    size_t step;

    if (!nul ||
        bp_schema_parse("p/msg/T", "ros2msg",
                        (struct bp_str){ (const char *) p, (size_t) (nul - p) }, &s, NULL) < 0)
        return 0;
    r = (struct range){ .from = nul + 1, .to = p + n };
    n -= (size_t) (nul + 1 - p);
    walked = bp_schema_walk(s, r.from, n, &visitor, &r, NULL);
    if (walked == 0 && r.open != 0)
        abort();
    if (bp_schema_to_json(s, r.from, n, true, &json, NULL) != walked ||
        bp_schema_to_text(s, r.from, n, 3, &text, NULL) != walked)
        abort();
    for (size_t i = 0; walked == 0 && i < json.n; i += step) {
        step = bp_utf8_char((const char *) json.p + i, json.n - i);
        if (step == 0)
            abort();
    }
    return 0;
}
