/* Slices as text: messages decoded along their types, one a line. */
#include <errno.h>

#include "bag/slice-priv.h"
#include "base/json.h"
#include "wire/schema.h"

int slice_text_begin(struct slicing *x) {
    static const char head[] = "log_time_ns,publish_time_ns,topic,type,sequence,message\n";

    return x->s->format == BP_SLICE_CSV ? slice_put(x, head, sizeof head - 1) : 0;
}

/* Types of the segment's channels, parsed when first met. */
struct types {
    struct bp_schema **v; /* owned, by channel; NULL = not known */
    bool *tried;
    size_t n;
};

static void types_done(struct types *t) {
    for (size_t i = 0; t->v && i < t->n; i++)
        bp_schema_free(t->v[i]);
    free(t->v);
    free(t->tried);
}

static const struct bp_schema *type_of(struct types *t, const struct bp_source_channel *c,
                                       uint32_t i) {
    struct bp_error why;

    if (!t->tried[i]) {
        t->tried[i] = true;
        if (c->schema.n == 0 || !bp_streq(c->message_encoding, "cdr") ||
            bp_schema_parse(c->type, c->schema_encoding, c->schema, &t->v[i], &why) < 0)
            t->v[i] = NULL;
    }
    return t->v[i];
}

/* As JSON; what cannot be decoded is null, as it is counted and told by others already. */
static void put_message(struct bp_buf *out, const struct bp_schema *type,
                        const struct bp_source_msg *msg) {
    size_t at = out->n;
    struct bp_error why;

    if (type && bp_schema_to_json(type, msg->data, msg->size, true, out, &why) == 0)
        return;
    out->n = at;
    bp_buf_put_str(out, "null");
}

static void put_json(struct bp_buf *out, const struct bp_source_channel *c,
                     const struct bp_schema *type, const struct bp_source_msg *msg) {
    bp_buf_printf(out, "{\"log_time_ns\":\"%lld\",\"publish_time_ns\":\"%lld\",\"topic\":",
                  (long long) msg->log_ns, (long long) msg->publish_ns);
    bp_json_put_text(out, c->topic, strlen(c->topic));
    bp_buf_put_str(out, ",\"type\":");
    bp_json_put_text(out, c->type, strlen(c->type));
    bp_buf_printf(out, ",\"sequence\":%u,\"message\":", msg->sequence);
    put_message(out, type, msg);
    bp_buf_put_str(out, "}\n");
}

/* RFC 4180: in quotes, quotes doubled. */
static void put_field(struct bp_buf *out, const char *p, size_t n) {
    bp_buf_put_str(out, "\"");
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"')
            bp_buf_put_str(out, "\"");
        bp_buf_put(out, p + i, 1);
    }
    bp_buf_put_str(out, "\"");
}

static void put_csv(struct bp_buf *out, const struct bp_source_channel *c,
                    const struct bp_schema *type, const struct bp_source_msg *msg) {
    BP_AUTO_BUF json = { 0 };

    bp_buf_printf(out, "%lld,%lld,", (long long) msg->log_ns, (long long) msg->publish_ns);
    put_field(out, c->topic, strlen(c->topic));
    bp_buf_put_str(out, ",");
    put_field(out, c->type, strlen(c->type));
    bp_buf_printf(out, ",%u,", msg->sequence);
    put_message(&json, type, msg);
    put_field(out, (const char *) json.p, json.n);
    bp_buf_put_str(out, "\n");
    out->failed |= json.failed;
}

static int put_messages(struct slicing *x, struct bp_source_iter *it, struct types *t) {
    const struct bp_source *s = &x->m->s;
    BP_AUTO_BUF line = { 0 };
    struct bp_source_msg msg;
    int r;

    while ((r = s->ops->next(it, &msg, x->err)) > 0) {
        const struct bp_source_channel *c = &s->channels[msg.channel];

        if (msg.repeated && !x->first)
            continue;
        bp_buf_clear(&line);
        (x->s->format == BP_SLICE_CSV ? put_csv : put_json)(&line, c, type_of(t, c, msg.channel),
                                                            &msg);
        if (line.failed)
            return bp_fail(x->err, -ENOMEM, "no memory for a slice");
        r = slice_cancelled(x) < 0 ? bp_fail(x->err, -ECANCELED, "cancelled")
                                   : slice_put(x, line.p, line.n);
        if (r < 0)
            return r;
        x->stats.messages++;
    }
    return r < 0 && slice_cancelled(x) < 0 ? bp_fail(x->err, -ECANCELED, "cancelled") : r;
}

int slice_text_segment(struct slicing *x) {
    struct bp_source *s = &x->m->s;
    BP_CLEANUP(types_done)
    struct types t = {
        .v = calloc(s->nchannels + 1, sizeof(struct bp_schema *)),
        .tried = calloc(s->nchannels + 1, sizeof(bool)),
        .n = s->nchannels,
    };
    struct bp_source_iter *it = NULL;
    int r = t.v && t.tried ? s->ops->iterate(s, &x->f, &it, x->err)
                           : bp_fail(x->err, -ENOMEM, "no memory for a slice");

    if (r < 0)
        return r;
    r = put_messages(x, it, &t);
    s->ops->iter_free(it);
    return r;
}
