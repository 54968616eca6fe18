/* An interface that is defined by an .idl file alone, as the .msg, .srv or .action text that means
 * the same: definitions from files are looked for, and put together, as such texts. */
#include <errno.h>
#include <stdio.h>

#include "wire/schema-priv.h"

void bp_msg_put_field(struct bp_buf *b, const struct bp_op *op) {
    bp_buf_put_str(b, op->type_name ? op->type_name : bp_prim_name(op->prim));
    if (op->string_bound)
        bp_buf_printf(b, "<=%u", op->string_bound);
    if (op->array == BP_ARRAY_FIXED)
        bp_buf_printf(b, "[%u]", op->bound);
    else if (op->array == BP_ARRAY_BOUNDED)
        bp_buf_printf(b, "[<=%u]", op->bound);
    else if (op->array == BP_ARRAY_SEQ)
        bp_buf_put_str(b, "[]");
    bp_buf_printf(b, " %s\n", op->name);
}

/* A value that is one literal; an expression or several strings in a row are no .msg's. */
static bool is_literal(struct bp_str v) {
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._";

    if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
        return !memchr(v.p + 1, '"', v.n - 2) && !memchr(v.p, '\\', v.n);
    for (size_t i = 0; i < v.n; i++)
        if (!memchr(word, v.p[i], sizeof word - 1))
            return false;
    return v.n > 0;
}

static void put_const(struct bp_buf *b, const struct bp_const *c) {
    struct bp_str v = c->value;

    if (!is_literal(v)) /* people read constants, nothing is decoded by them */
        return;
    bp_buf_printf(b, "%s %s=", bp_prim_name(c->prim), c->name);
    if (c->prim == BP_PRIM_BOOL)
        bp_buf_put_str(b, bp_str_eq(v, BP_STR("TRUE")) ? "true" : "false");
    else
        bp_buf_put(b, v.p, v.n);
    bp_buf_put_u8(b, '\n');
}

static int put_type(struct bp_buf *b, const struct bp_draft *t, struct bp_error *err) {
    for (size_t i = 0; i < t->t.nconsts; i++)
        put_const(b, &t->consts[i]);
    for (size_t i = 0; i < t->t.n; i++) {
        if (t->ops[i].prim == BP_PRIM_CHAR || t->ops[i].prim == BP_PRIM_WCHAR)
            return bp_fail(err, BP_EUNSUPPORTED, "'%s' is a %s, which no .msg has", t->ops[i].name,
                           bp_prim_name(t->ops[i].prim));
        bp_msg_put_field(b, &t->ops[i]);
    }
    return 0;
}

static const struct bp_draft *draft_named(const struct bp_defs *d, const char *name,
                                          const char *suffix) {
    char full[BP_MAX_NAME + 1];

    (void) snprintf(full, sizeof full, "%s%s", name, suffix);
    for (size_t i = 0; i < d->n; i++)
        if (bp_streq(d->v[i]->t.name, full))
            return d->v[i];
    return NULL;
}

static int put_parts(const struct bp_defs *d, const char *name, struct bp_buf *b,
                     struct bp_error *err) {
    static const char *const messages[] = { "", NULL };
    static const char *const services[] = { "_Request", "_Response", NULL };
    static const char *const actions[] = { "_Goal", "_Result", "_Feedback", NULL };
    const char *const *part = strstr(name, "/srv/")      ? services
                              : strstr(name, "/action/") ? actions
                                                         : messages;

    for (size_t i = 0; part[i]; i++) {
        const struct bp_draft *t = draft_named(d, name, part[i]);
        int r;

        if (!t)
            return bp_fail(err, BP_EFORMAT, "struct '%s%s' is not there", name, part[i]);
        bp_buf_put_str(b, i ? "---\n" : "");
        r = put_type(b, t, err);
        if (r < 0)
            return r;
    }
    return b->failed ? bp_fail(err, -ENOMEM, "out of memory") : 0;
}

int bp_idl_to_msg(struct bp_str idl, const char *name, struct bp_buf *out, struct bp_error *err) {
    struct bp_defs d = { 0 };
    int r = bp_idl_parse(&d, idl, 1, err);

    if (r == 0)
        r = put_parts(&d, name, out, err);
    bp_msgdefs_done(&d);
    return r;
}
