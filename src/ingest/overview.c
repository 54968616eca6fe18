/* Overviews of sessions, grown segment by segment. Which segments are in it stands beside it, so
 * that one that is looked at twice, after a crash or because it is in two sessions, counts once. */
#include "ingest/overview.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bag/overview.h"
#include "crypt/digest.h"

enum { SESSIONS_MAX = 256 }; /* that share one object */

/* ---- as JSON ---- */

static void take_topic(struct bp_overview *o, const json_t *in, int64_t first) {
    const char *topic = json_string_value(json_object_get(in, "topic"));
    const char *type = json_string_value(json_object_get(in, "type"));
    const char *robot = json_string_value(json_object_get(in, "robot"));
    const json_t *messages = json_object_get(in, "messages_per_bin");
    const json_t *bytes = json_object_get(in, "bytes_per_bin");
    int64_t at = first + json_integer_value(json_object_get(in, "at"));
    int t = bp_overview_topic(o, topic ? topic : "", type ? type : "", robot ? robot : "");
    const json_t *v;
    size_t i;

    if (t < 0)
        return;
    json_array_foreach(messages, i, v) if (json_integer_value(v) > 0) bp_overview_add(
        o, (size_t) t, (at + (int64_t) i) * o->bin_ns, (uint64_t) json_integer_value(v),
        (uint64_t) json_integer_value(json_array_get(bytes, i)));
}

/* What was stored here is our own writing. */
static int read_json(const json_t *in, struct bp_overview *o) {
    int64_t first = json_integer_value(json_object_get(in, "first"));
    const json_t *v;
    size_t i;
    int r = 0;

    bp_overview_widen(o, json_integer_value(json_object_get(in, "bin_ns")));
    json_array_foreach(json_object_get(in, "topics"), i, v) take_topic(o, v, first);
    json_array_foreach(json_object_get(in, "losses"), i, v) {
        const char *topic = json_string_value(json_object_get(v, "topic"));

        if (r == 0)
            r = bp_overview_add_loss(o, topic ? topic : "",
                                     json_integer_value(json_object_get(v, "from_ns")),
                                     json_integer_value(json_object_get(v, "to_ns")),
                                     (uint64_t) json_integer_value(json_object_get(v, "lost")));
    }
    return o->ntopics < json_array_size(json_object_get(in, "topics")) ? -ENOMEM : r;
}

/* A topic's bins from its first used one to its last. */
static json_t *topic_json(const struct bp_overview *o, const struct bp_overview_topic *t) {
    json_t *messages = json_array(), *bytes = json_array();
    size_t from = 0, to = o->nbins;

    while (from < to && t->bins[from].messages == 0)
        from++;
    while (to > from && t->bins[to - 1].messages == 0)
        to--;
    for (size_t i = from; i < to; i++) {
        (void) json_array_append_new(messages, json_integer((json_int_t) t->bins[i].messages));
        (void) json_array_append_new(bytes, json_integer((json_int_t) t->bins[i].bytes));
    }
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "topic", t->topic, "type", t->type,
                     "robot", t->robot, "messages", (json_int_t) t->messages, "bytes",
                     (json_int_t) t->bytes, "at", (json_int_t) from, "messages_per_bin", messages,
                     "bytes_per_bin", bytes);
}

static json_t *overview_json(const struct bp_overview *o) {
    json_t *topics = json_array(), *losses = json_array();

    for (size_t i = 0; i < o->ntopics; i++)
        (void) json_array_append_new(topics, topic_json(o, &o->topics[i]));
    for (size_t i = 0; i < o->nlosses; i++) {
        const struct bp_overview_loss *l = &o->losses[i];

        (void) json_array_append_new(losses, json_pack("{s:s, s:I, s:I, s:I}", "topic", l->topic,
                                                       "from_ns", (json_int_t) l->from_ns, "to_ns",
                                                       (json_int_t) l->to_ns, "lost",
                                                       (json_int_t) l->lost));
    }
    return json_pack("{s:I, s:I, s:I, s:o, s:o}", "bin_ns", (json_int_t) o->bin_ns, "first",
                     (json_int_t) o->first, "bins", (json_int_t) o->nbins, "topics", topics,
                     "losses", losses);
}

/* ---- into sessions ---- */

static bool has(const json_t *list, const char *hex) {
    const json_t *v;
    size_t i;

    json_array_foreach(list, i, v) if (bp_streq(json_string_value(v), hex)) return true;
    return false;
}

/* @return the new text, owned by the caller; NULL when there is no memory */
static char *grown(const json_t *old, const struct bp_overview *o, const char *hex, bool without) {
    json_t *merged = json_deep_copy(json_object_get(old, "merged"));
    json_int_t n = json_integer_value(json_object_get(old, "without")) + without;
    json_t *out = overview_json(o);
    char *text = NULL;

    if (!merged)
        merged = json_array();
    if (out && json_array_append_new(merged, json_string(hex)) == 0 &&
        json_object_set(out, "merged", merged) == 0 &&
        json_object_set_new(out, "without", json_integer(n)) == 0)
        text = json_dumps(out, JSON_COMPACT);
    json_decref(merged);
    json_decref(out);
    return text;
}

static int add_to(struct bp_archive *a, const char *id, const struct bp_overview *fresh,
                  const char *hex, bool without, struct bp_error *err) {
    BP_AUTO_FREE char *text = NULL, *out = NULL;
    BP_AUTO_OVERVIEW o = { 0 };
    json_t *old = NULL;
    int r = bp_archive_overview(a, id, &text, err);

    if (r < 0)
        return r;
    if (*text)
        old = json_loads(text, 0, NULL);
    if (!has(json_object_get(old, "merged"), hex)) {
        r = read_json(old, &o);
        if (r == 0)
            r = bp_overview_merge(&o, fresh);
        out = r == 0 ? grown(old, &o, hex, without) : NULL;
        r = out ? bp_archive_put_overview(a, id, out, err)
                : bp_fail(err, -ENOMEM, "no memory for an overview");
    }
    json_decref(old);
    return r;
}

/* ---- of an object ---- */

static ssize_t read_object(void *ctx, void *p, size_t n, uint64_t off, struct bp_error *err) {
    return bp_store_object_read(ctx, p, n, off, err);
}

struct holders {
    char id[SESSIONS_MAX][27];
    size_t n;
};

static int collect(void *ctx, const char *id) {
    struct holders *h = ctx;

    (void) snprintf(h->id[h->n], sizeof h->id[h->n], "%s", id);
    return ++h->n == SESSIONS_MAX;
}

int bp_ingest_overview(struct bp_archive *a, struct bp_store *store,
                       const uint8_t sha256[static BP_SHA256_LEN], const char *name,
                       struct bp_error *err) {
    BP_CLEANUP(bp_store_object_closep) struct bp_store_object *object = NULL;
    BP_AUTO_FREE struct holders *h = calloc(1, sizeof *h);
    BP_AUTO_OVERVIEW o = { 0 };
    struct bp_reads reads;
    char hex[BP_SHA256_HEX];
    bool without;
    int r = h ? bp_store_get(store, sha256, &object, err) : -ENOMEM;

    if (r < 0)
        return r;
    reads = (struct bp_reads){ .size = object->bytes, .read = read_object, .ctx = object };
    r = bp_overview_read(name, &reads, &o, err);
    without = r == BP_EKEY || r == BP_EFORMAT || r == BP_ECORRUPT || r == BP_ETRUNCATED ||
              r == BP_ELIMIT || r == BP_EUNSUPPORTED || r == -ENOTSUP;
    if (r < 0 && !without)
        return r;
    if (without)
        bp_overview_done(&o); /* half of one would be none */
    r = bp_archive_each_holder(a, sha256, collect, h, err);
    bp_sha256_hex(sha256, hex);
    hex[16] = '\0';
    for (size_t i = 0; r >= 0 && i < h->n; i++) {
        r = add_to(a, h->id[i], &o, hex, without, err);
        if (r == -ENOENT)
            r = 0; /* it was deleted meanwhile */
    }
    return r < 0 ? r : 0;
}
