#include "bag/digest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "wire/schema.h"

struct state {
    struct bp_schema **schemas; /* owned, by channel; NULL = not parsed yet */
    bool *hopeless;             /* owned, by channel: its definition cannot be used */
    size_t n;
    struct bp_buf json;
    struct bp_sha256 *sha;
    struct bp_digest d;
};

static void state_done(struct state *s) {
    for (size_t i = 0; s->schemas && i < s->n; i++)
        bp_schema_free(s->schemas[i]);
    free(s->schemas);
    free(s->hopeless);
    bp_buf_done(&s->json);
    bp_sha256_free(s->sha);
}

static int load_schema(struct state *s, const struct bp_bag_channel *c, struct bp_error *err) {
    int r;

    if (s->schemas[c->index])
        return 0;
    if (s->hopeless[c->index])
        return BP_EFORMAT;
    /* rosbag2 names the encoding after the middleware sometimes; the definition decides */
    if (!bp_streq(c->schema_encoding, "ros2msg") && !bp_streq(c->schema_encoding, "ros2idl"))
        r = bp_fail(err, BP_EUNSUPPORTED, "'%s' is not defined as ROS 2 does%s%s", c->type,
                    *c->schema_encoding ? " but as " : "", c->schema_encoding);
    else
        r = bp_schema_parse(c->type, c->schema_encoding, c->schema, &s->schemas[c->index], err);
    s->hopeless[c->index] = r < 0;
    return r;
}

static int add_message(struct state *s, const struct bp_bag_msg *m, struct bp_error *err) {
    int r = load_schema(s, m->channel, err);

    if (r < 0)
        return r;

    bp_buf_clear(&s->json);
    bp_buf_put_u8(&s->json, '[');
    bp_json_put_text(&s->json, m->channel->topic, strlen(m->channel->topic));
    bp_buf_printf(&s->json, ",\"%" PRIu64 "\",", (uint64_t) m->log_ns);
    r = bp_schema_to_json(s->schemas[m->channel->index], m->data, m->size, true, &s->json, err);
    bp_buf_put_u8(&s->json, ']');
    if (r >= 0 && s->json.failed)
        r = -ENOMEM;
    if (r >= 0)
        bp_sha256_add(s->sha, s->json.p, s->json.n);
    return r;
}

int bp_digest_bag(struct bp_bag *b, struct bp_digest *ret, struct bp_error *err) {
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    BP_CLEANUP(state_done) struct state s = { .n = bp_bag_get_info(b)->nchannels };
    const struct bp_bag_filter f = { .file_order = true };
    uint8_t sum[BP_SHA256_LEN];
    struct bp_bag_msg m;
    int r;

    s.schemas = calloc(s.n + 1, sizeof(struct bp_schema *));
    s.hopeless = calloc(s.n + 1, sizeof *s.hopeless);
    s.sha = bp_sha256_new();
    if (!s.schemas || !s.hopeless || !s.sha)
        return bp_fail(err, -ENOMEM, "no memory for the digest");

    r = bp_bag_iterate(b, &f, &it, err);
    if (r < 0)
        return r;
    while ((r = bp_bag_next(it, &m, err)) > 0) {
        struct bp_error why = { 0 };

        if (add_message(&s, &m, &why) >= 0) {
            s.d.decoded++;
            continue;
        }
        s.d.failed++;
        if (why.text[0])
            (void) snprintf(s.d.why, sizeof s.d.why, "%s: %s", m.channel->topic, why.text);
    }
    if (r < 0)
        return r;

    bp_sha256_end(s.sha, sum);
    (void) bp_sha256_hex(sum, s.d.hex);
    *ret = s.d;
    return 0;
}
