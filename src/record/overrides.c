#include "record/overrides.h"

#include <errno.h>

#include "base/io.h"
#include "wire/yaml.h"

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

static int choose(const struct name *v, size_t n, const struct bp_yaml_node *node, int *ret,
                  struct bp_error *err) {
    for (size_t i = 0; i < n; i++)
        if (node->kind == BP_YAML_SCALAR && bp_str_eq(bp_str_of(v[i].text), node->text)) {
            *ret = v[i].value;
            return 0;
        }

    return bp_yaml_expected(node, v[0].text, err);
}

/* A duration is a map {sec, nsec}. */
static int duration(const struct bp_yaml *y, const struct bp_yaml_node *map, bp_ns_t *ret,
                    struct bp_error *err) {
    const struct bp_yaml_node *s = bp_yaml_get(y, map, "sec"), *n = bp_yaml_get(y, map, "nsec");
    int64_t sec = 0, nsec = 0;
    int r = 0;

    if (map->kind != BP_YAML_MAPPING)
        return bp_yaml_expected(map, "{sec: …, nsec: …}", err);
    if (s)
        r = bp_yaml_int(s, 0, INT64_MAX, &sec, err);
    if (r >= 0 && n)
        r = bp_yaml_int(n, 0, BP_SEC - 1, &nsec, err);
    if (r < 0)
        return r;

    *ret = sec >= 9223372036 ? BP_QOS_INFINITE : sec * BP_SEC + nsec;
    return 0;
}

static int set_key(const struct bp_yaml *y, const struct bp_yaml_node *v, struct bp_qos *q,
                   struct bp_error *err) {
    int64_t depth = 0;
    int word = 0, r;

    if (bp_streq(v->key, "deadline"))
        return duration(y, v, &q->deadline, err);
    if (bp_streq(v->key, "lifespan"))
        return duration(y, v, &q->lifespan, err);
    if (bp_streq(v->key, "liveliness_lease_duration"))
        return duration(y, v, &q->lease, err);
    if (bp_streq(v->key, "avoid_ros_namespace_conventions"))
        return bp_yaml_bool(v, &q->avoid_ros_namespace_conventions, err);

    if (bp_streq(v->key, "history")) {
        r = choose(histories, BP_COUNT(histories), v, &word, err);
        q->history = (enum bp_history) word;
    } else if (bp_streq(v->key, "reliability")) {
        r = choose(reliabilities, BP_COUNT(reliabilities), v, &word, err);
        q->reliability = (enum bp_reliability) word;
    } else if (bp_streq(v->key, "durability")) {
        r = choose(durabilities, BP_COUNT(durabilities), v, &word, err);
        q->durability = (enum bp_durability) word;
    } else if (bp_streq(v->key, "liveliness")) {
        r = choose(livelinesses, BP_COUNT(livelinesses), v, &word, err);
        q->liveliness = (enum bp_liveliness) word;
    } else if (bp_streq(v->key, "depth")) {
        r = bp_yaml_int(v, 0, 1000000, &depth, err);
        q->depth = (uint32_t) depth;
    } else {
        r = bp_fail(err, BP_ECONFIG, "line %u: unknown QoS key '%s'", v->line, v->key);
    }
    return r;
}

static int add_topic(struct bp_qos_overrides *o, const struct bp_yaml *y,
                     const struct bp_yaml_node *topic, struct bp_error *err) {
    struct entry e = { .qos = bp_qos_default };
    const struct bp_yaml_node *v;
    struct entry *grown;

    if (topic->kind != BP_YAML_MAPPING)
        return bp_yaml_expected(topic, "QoS keys below the topic", err);

    for (v = bp_yaml_first(y, topic); v; v = bp_yaml_next(y, v)) {
        int r = set_key(y, v, &e.qos, err);

        if (r < 0)
            return r;
    }

    grown = realloc(o->v, (o->n + 1) * sizeof *o->v);
    if (!grown)
        return bp_fail(err, -ENOMEM, "no memory");
    o->v = grown;
    e.topic = strdup(topic->key);
    if (!e.topic)
        return bp_fail(err, -ENOMEM, "no memory");
    o->v[o->n++] = e;
    return 0;
}

int bp_qos_overrides_load(const char *path, struct bp_qos_overrides **ret, struct bp_error *err) {
    BP_CLEANUP(bp_qos_overrides_freep) struct bp_qos_overrides *o = calloc(1, sizeof *o);
    BP_CLEANUP(bp_yaml_freep) struct bp_yaml *y = NULL;
    const struct bp_yaml_node *root, *topic;
    BP_AUTO_FREE char *text = NULL;
    size_t n;
    int r;

    if (!o)
        return bp_fail(err, -ENOMEM, "no memory");

    r = bp_io_read_file(&bp_io_posix, path, MAX_BYTES, &text, &n, err);
    if (r < 0)
        return r;

    r = bp_yaml_parse((struct bp_str){ text, n }, &y, err);
    if (r < 0)
        return bp_prefix(err, BP_ECONFIG, "'%s'", path);

    root = bp_yaml_root(y);
    if (root && root->kind != BP_YAML_MAPPING)
        return bp_fail(err, BP_ECONFIG, "'%s': expected a map of topics", path);

    for (topic = bp_yaml_first(y, root); topic; topic = bp_yaml_next(y, topic)) {
        r = add_topic(o, y, topic, err);
        if (r < 0)
            return bp_prefix(err, BP_ECONFIG, "'%s'", path);
    }

    *ret = BP_TAKE_PTR(o);
    return 0;
}
