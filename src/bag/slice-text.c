/* Slices as text: messages decoded along their types, one a line. */
#include <errno.h>

#include "bag/slice-priv.h"
#include "base/json.h"
#include "wire/schema.h"

enum { RECORD_HEAD = 5 };

int slice_text_begin(struct slicing *x) {
    static const char head[] = "log_time_ns,publish_time_ns,topic,type,sequence,message\n";

    return x->s->format == BP_SLICE_CSV ? slice_put(x, head, sizeof head - 1) : 0;
}

int slice_types_init(struct slicing *x, struct slice_types *t) {
    size_t n = x->m->s.nchannels;

    *t = (struct slice_types){
        .v = calloc(n + 1, sizeof(struct bp_schema *)),
        .tried = calloc(n + 1, sizeof(bool)),
        .n = n,
    };
    return t->v && t->tried ? 0 : bp_fail(x->err, -ENOMEM, "no memory for a slice");
}

void slice_types_done(struct slice_types *t) {
    for (size_t i = 0; t->v && i < t->n; i++)
        bp_schema_free(t->v[i]);
    free(t->v);
    free(t->tried);
}

static const struct bp_schema *type_of(struct slice_types *t, const struct bp_source_channel *c,
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

/* What else is said of a message. */
struct slice_mark {
    bool prior;
    const char *why; /* it is no frame; or NULL */
};

static void put_json(struct bp_buf *out, const struct bp_source_channel *c,
                     const struct bp_schema *type, const struct bp_source_msg *msg,
                     const struct slice_mark *mark) {
    bp_buf_printf(out, "{\"log_time_ns\":\"%lld\",\"publish_time_ns\":\"%lld\",\"topic\":",
                  (long long) msg->log_ns, (long long) msg->publish_ns);
    bp_json_put_text(out, c->topic, strlen(c->topic));
    bp_buf_put_str(out, ",\"type\":");
    bp_json_put_text(out, c->type, strlen(c->type));
    bp_buf_printf(out, ",\"sequence\":%u,\"message\":", msg->sequence);
    put_message(out, type, msg);
    if (mark->prior)
        bp_buf_put_str(out,
                       msg->repeated ? ",\"prior\":true,\"repeated\":true" : ",\"prior\":true");
    if (mark->why) {
        bp_buf_put_str(out, ",\"why\":");
        bp_json_put_text(out, mark->why, strlen(mark->why));
    }
    bp_buf_put_str(out, "}");
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

/* Length and kind of a record, of which the content is put next. */
static size_t begin_record(struct bp_buf *out, enum bp_slice_record kind) {
    size_t at = out->n;

    bp_buf_put_le32(out, 0);
    bp_buf_put(out, &(uint8_t){ (uint8_t) kind }, 1);
    return at;
}

static void end_record(struct bp_buf *out, size_t at) {
    if (!out->failed)
        bp_st_le32(out->p + at, (uint32_t) (out->n - at - RECORD_HEAD));
}

/* As a frame. @return 1, 0: it is none, or why it cannot be one */
static int put_frame(struct slicing *x, const struct bp_source_channel *c,
                     const struct bp_source_msg *msg, struct bp_buf *out, struct bp_error *why) {
    const struct bp_slice *s = x->s;
    size_t at = out->n;
    int r = 0;

    if (s->frame && bp_streq(c->message_encoding, "cdr")) {
        (void) begin_record(out, BP_SLICE_RECORD_FRAME);
        r = s->frame(s->frame_ctx, (uint32_t) slice_topic(s, c->topic), c->type, msg->data,
                     msg->size, msg->log_ns, out, why);
    }
    if (r > 0)
        end_record(out, at);
    else if (!out->failed)
        out->n = at;
    return r;
}

void slice_text_put(struct slicing *x, struct slice_types *t, const struct bp_source_msg *msg,
                    bool prior, struct bp_buf *out) {
    const struct bp_source_channel *c = &x->m->s.channels[msg->channel];
    struct slice_mark mark = { .prior = prior };
    struct bp_error why = { 0 };
    size_t at;
    int r;

    switch (x->s->format) {
    case BP_SLICE_CSV:
        put_csv(out, c, type_of(t, c, msg->channel), msg);
        return;
    case BP_SLICE_FRAMES:
        r = put_frame(x, c, msg, out, &why);
        if (r > 0)
            return;
        if (r < 0)
            mark.why = why.text;
        at = begin_record(out, BP_SLICE_RECORD_JSON);
        put_json(out, c, r < 0 ? NULL : type_of(t, c, msg->channel), msg, &mark);
        end_record(out, at);
        return;
    default:
        put_json(out, c, type_of(t, c, msg->channel), msg, &mark);
        bp_buf_put_str(out, "\n");
    }
}

void slice_text_put_none(struct slicing *x, const char *topic, const char *why,
                         struct bp_buf *out) {
    bool frames = x->s->format == BP_SLICE_FRAMES;
    size_t at = frames ? begin_record(out, BP_SLICE_RECORD_JSON) : 0;

    bp_buf_put_str(out, "{\"topic\":");
    bp_json_put_text(out, topic, strlen(topic));
    bp_buf_put_str(out, ",\"prior\":true,\"none\":true");
    if (why) {
        bp_buf_put_str(out, ",\"why\":");
        bp_json_put_text(out, why, strlen(why));
    }
    bp_buf_put_str(out, frames ? "}" : "}\n");
    if (frames)
        end_record(out, at);
}

/* Is this message the one before which frames are cut off? */
static bool is_full(struct slicing *x, const struct bp_source_msg *msg, size_t n) {
    return x->s->format == BP_SLICE_FRAMES && x->s->max_bytes && x->last_ns &&
           msg->log_ns > x->last_ns && x->stats.bytes + n > x->s->max_bytes;
}

static int put_messages(struct slicing *x, struct bp_source_iter *it, struct slice_types *t) {
    BP_AUTO_BUF line = { 0 };
    struct bp_source_msg msg;
    int r;

    while ((r = x->m->s.ops->next(it, &msg, x->err)) > 0) {
        if (msg.repeated && !x->first)
            continue;
        bp_buf_clear(&line);
        slice_text_put(x, t, &msg, false, &line);
        if (line.failed)
            return bp_fail(x->err, -ENOMEM, "no memory for a slice");
        if (is_full(x, &msg, line.n)) {
            x->reached = msg.log_ns;
            return 0;
        }
        r = slice_cancelled(x) < 0 ? bp_fail(x->err, -ECANCELED, "cancelled")
                                   : slice_put(x, line.p, line.n);
        if (r < 0)
            return r;
        x->last_ns = BP_MAX(x->last_ns, msg.log_ns);
        x->stats.messages++;
    }
    return r < 0 && slice_cancelled(x) < 0 ? bp_fail(x->err, -ECANCELED, "cancelled") : r;
}

int slice_text_segment(struct slicing *x) {
    struct bp_source *s = &x->m->s;
    BP_CLEANUP(slice_types_done) struct slice_types t = { 0 };
    struct bp_source_iter *it = NULL;
    int r = slice_types_init(x, &t);

    if (r == 0)
        r = s->ops->iterate(s, &x->f, &it, x->err);
    if (r < 0)
        return r;
    r = put_messages(x, it, &t);
    s->ops->iter_free(it);
    return r;
}

int slice_text_end(struct slicing *x) {
    const struct bp_slice *s = x->s;
    BP_AUTO_BUF out = { 0 };
    bp_ns_t last = 0, reached = x->reached;
    size_t at;

    if (s->format != BP_SLICE_FRAMES)
        return 0;
    for (size_t i = 0; i < s->nsegments; i++)
        last = BP_MAX(last, s->segments[i].last_ns);
    if (!reached)
        reached = s->to_ns > 0 ? s->to_ns : BP_MAX(BP_MAX(last, x->last_ns) + 1, s->from_ns);
    at = begin_record(&out, BP_SLICE_RECORD_END);
    bp_buf_printf(&out, "{\"reached\":\"%lld\",\"complete\":%s}", (long long) reached,
                  x->reached ? "false" : "true");
    end_record(&out, at);
    return out.failed ? bp_fail(x->err, -ENOMEM, "no memory for a slice")
                      : slice_put(x, out.p, out.n);
}
