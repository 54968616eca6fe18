#include "record/overrides.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <libfyaml.h>

#include "base/io.h"

enum { MAX_BYTES = 1 << 20 };

struct entry {
    char *topic; /* owned */
    struct bp_qos qos;
};

struct bp_qos_overrides {
    struct entry *v; /* owned */
    size_t n;
};

static const struct name {
    const char *text;
    int value;
} histories[] = { { "keep_last", BP_HISTORY_KEEP_LAST },
                  { "keep_all", BP_HISTORY_KEEP_ALL },
                  { "system_default", BP_HISTORY_DEFAULT } },
  reliabilities[] = { { "reliable", BP_RELIABILITY_RELIABLE },
                      { "best_effort", BP_RELIABILITY_BEST_EFFORT },
                      { "system_default", BP_RELIABILITY_DEFAULT } },
  durabilities[] = { { "transient_local", BP_DURABILITY_TRANSIENT_LOCAL },
                     { "volatile", BP_DURABILITY_VOLATILE },
                     { "system_default", BP_DURABILITY_DEFAULT } },
  livelinesses[] = { { "automatic", BP_LIVELINESS_AUTOMATIC },
                     { "manual_by_topic", BP_LIVELINESS_MANUAL },
                     { "system_default", BP_LIVELINESS_DEFAULT } };

void bp_qos_overrides_free(struct bp_qos_overrides *o) {
    if (!o)
        return;

    for (size_t i = 0; i < o->n; i++)
        free(o->v[i].topic);
    free(o->v);
    free(o);
}

const struct bp_qos *bp_qos_override(const struct bp_qos_overrides *o, const char *topic) {
    for (size_t i = 0; o && i < o->n; i++)
        if (bp_streq(o->v[i].topic, topic))
            return &o->v[i].qos;

    return NULL;
}

static int line_of(struct fy_node *n) {
    struct fy_token *t = fy_node_get_scalar_token(n);
    const struct fy_mark *m = t ? fy_token_start_mark(t) : NULL;

    return m ? m->line + 1 : 0;
}

static int by_name(const struct name *v, size_t n, const char *text, int *ret) {
    for (size_t i = 0; i < n; i++)
        if (bp_streq(v[i].text, text)) {
            *ret = v[i].value;
            return 0;
        }

    return -EINVAL;
}

/* A duration is a map {sec, nsec}. */
static int duration(struct fy_node *map, bp_ns_t *ret) {
    int64_t sec = 0, nsec = 0;

    if (!fy_node_is_mapping(map))
        return -EINVAL;

    (void) fy_node_scanf(map, "/sec %" SCNd64, &sec);
    (void) fy_node_scanf(map, "/nsec %" SCNd64, &nsec);
    if (sec < 0 || nsec < 0 || nsec >= BP_SEC)
        return -EINVAL;

    *ret = sec >= 9223372036 ? BP_QOS_INFINITE : sec * BP_SEC + nsec;
    return 0;
}

static int set_key(struct bp_qos *q, const char *key, struct fy_node *value) {
    const char *text = fy_node_is_scalar(value) ? fy_node_get_scalar0(value) : NULL;
    char *end;
    int v = 0, r = -EINVAL;

    if (bp_streq(key, "deadline"))
        return duration(value, &q->deadline);
    if (bp_streq(key, "lifespan"))
        return duration(value, &q->lifespan);
    if (bp_streq(key, "liveliness_lease_duration"))
        return duration(value, &q->lease);
    if (!text)
        return -EINVAL;

    if (bp_streq(key, "history")) {
        r = by_name(histories, BP_COUNT(histories), text, &v);
        q->history = (enum bp_history) v;
    } else if (bp_streq(key, "reliability")) {
        r = by_name(reliabilities, BP_COUNT(reliabilities), text, &v);
        q->reliability = (enum bp_reliability) v;
    } else if (bp_streq(key, "durability")) {
        r = by_name(durabilities, BP_COUNT(durabilities), text, &v);
        q->durability = (enum bp_durability) v;
    } else if (bp_streq(key, "liveliness")) {
        r = by_name(livelinesses, BP_COUNT(livelinesses), text, &v);
        q->liveliness = (enum bp_liveliness) v;
    } else if (bp_streq(key, "depth")) {
        unsigned long depth = strtoul(text, &end, 10);

        r = *end || end == text || depth > 1000000 ? -EINVAL : 0;
        q->depth = (uint32_t) depth;
    } else if (bp_streq(key, "avoid_ros_namespace_conventions")) {
        q->avoid_ros_namespace_conventions = bp_streq(text, "true");
        r = 0;
    } else {
        r = -ENOENT;
    }
    return r;
}

static int add_topic(struct bp_qos_overrides *o, const char *path, struct fy_node_pair *pair,
                     struct bp_error *err) {
    struct fy_node *keys = fy_node_pair_value(pair);
    const char *topic = fy_node_get_scalar0(fy_node_pair_key(pair));
    struct entry e = { .qos = bp_qos_default };
    void *iter = NULL, *grown;
    struct fy_node_pair *kv;

    if (!topic || !fy_node_is_mapping(keys))
        return bp_fail(err, BP_ECONFIG, "'%s' line %d: expected '/topic:' with QoS keys below it",
                       path, line_of(fy_node_pair_key(pair)));

    while ((kv = fy_node_mapping_iterate(keys, &iter))) {
        const char *key = fy_node_get_scalar0(fy_node_pair_key(kv));
        int r = key ? set_key(&e.qos, key, fy_node_pair_value(kv)) : -EINVAL;

        if (r < 0)
            return bp_fail(err, BP_ECONFIG, "'%s' line %d: %s '%s' of topic '%s'", path,
                           line_of(fy_node_pair_key(kv)),
                           r == -ENOENT ? "unknown key" : "value not understood for key",
                           key ? key : "?", topic);
    }

    grown = realloc(o->v, (o->n + 1) * sizeof *o->v);
    if (!grown)
        return bp_fail(err, -ENOMEM, "no memory");
    o->v = grown;
    e.topic = strdup(topic);
    if (!e.topic)
        return bp_fail(err, -ENOMEM, "no memory");
    o->v[o->n++] = e;
    return 0;
}

static int load_map(struct bp_qos_overrides *o, const char *path, struct fy_document *doc,
                    struct bp_error *err) {
    struct fy_node *root = fy_document_root(doc);
    struct fy_node_pair *pair;
    void *iter = NULL;

    if (!root || !fy_node_is_mapping(root))
        return bp_fail(err, BP_ECONFIG, "'%s': expected a map of topics", path);

    while ((pair = fy_node_mapping_iterate(root, &iter))) {
        int r = add_topic(o, path, pair, err);

        if (r < 0)
            return r;
    }
    return 0;
}

int bp_qos_overrides_load(const char *path, struct bp_qos_overrides **ret, struct bp_error *err) {
    BP_CLEANUP(bp_qos_overrides_freep) struct bp_qos_overrides *o = calloc(1, sizeof *o);
    struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET };
    BP_AUTO_FREE char *text = NULL;
    struct fy_document *doc;
    size_t n;
    int r;

    if (!o)
        return bp_fail(err, -ENOMEM, "no memory");

    r = bp_io_read_file(&bp_io_posix, path, MAX_BYTES, &text, &n, err);
    if (r < 0)
        return r;

    doc = fy_document_build_from_string(&cfg, text, n);
    if (!doc)
        return bp_fail(err, BP_ECONFIG, "'%s' is not valid YAML", path);

    r = load_map(o, path, doc, err);
    fy_document_destroy(doc);
    if (r < 0)
        return r;

    *ret = BP_TAKE_PTR(o);
    return 0;
}
