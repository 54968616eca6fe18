#include "wire/qos.h"

#include <stdio.h>

#include "wire/yaml.h"

const struct bp_qos bp_qos_default = {
    .history = BP_HISTORY_KEEP_LAST,
    .depth = 10,
    .reliability = BP_RELIABILITY_RELIABLE,
    .durability = BP_DURABILITY_VOLATILE,
    .deadline = BP_QOS_INFINITE,
    .lifespan = BP_QOS_INFINITE,
    .liveliness = BP_LIVELINESS_AUTOMATIC,
    .lease = BP_QOS_INFINITE,
};

/* Indexed by the values of rmw/types.h; the words are those of rmw_qos_*_policy_to_str(). */
static const char *const history_names[] = { "system_default", "keep_last", "keep_all", "unknown" };
static const char *const reliability_names[] = { "system_default", "reliable", "best_effort",
                                                 "unknown", "best_available" };
static const char *const durability_names[] = { "system_default", "transient_local", "volatile",
                                                "unknown", "best_available" };
static const char *const liveliness_names[] = { "system_default",  "automatic", "manual_by_node",
                                                "manual_by_topic", "unknown",   "best_available" };

static const char *name_of(const char *const *names, size_t n, unsigned v) {
    return v < n ? names[v] : "unknown";
}

#define NAME_OF(names, v) name_of((names), BP_COUNT(names), (unsigned) (v))

static void put_duration(struct bp_buf *out, unsigned indent, const char *key, bp_ns_t ns) {
    ns = BP_MAX(ns, 0);
    bp_buf_printf(out, "\n%*s  %s:\n%*s    sec: %lld\n%*s    nsec: %lld", (int) indent, "", key,
                  (int) indent, "", (long long) (ns / BP_SEC), (int) indent, "",
                  (long long) (ns % BP_SEC));
}

static void put_profile(const struct bp_qos *q, unsigned indent, struct bp_buf *out) {
    int in = (int) indent;

    bp_buf_printf(out, "%*s- history: %s\n", in, "", NAME_OF(history_names, q->history));
    bp_buf_printf(out, "%*s  depth: %u\n", in, "", q->depth);
    bp_buf_printf(out, "%*s  reliability: %s\n", in, "",
                  NAME_OF(reliability_names, q->reliability));
    bp_buf_printf(out, "%*s  durability: %s", in, "", NAME_OF(durability_names, q->durability));
    put_duration(out, indent, "deadline", q->deadline);
    put_duration(out, indent, "lifespan", q->lifespan);
    bp_buf_printf(out, "\n%*s  liveliness: %s", in, "", NAME_OF(liveliness_names, q->liveliness));
    put_duration(out, indent, "liveliness_lease_duration", q->lease);
    bp_buf_printf(out, "\n%*s  avoid_ros_namespace_conventions: %s", in, "",
                  q->avoid_ros_namespace_conventions ? "true" : "false");
}

void bp_qos_to_yaml(const struct bp_qos *v, size_t n, unsigned indent, struct bp_buf *out) {
    if (n == 0)
        bp_buf_printf(out, "%*s[]", (int) indent, "");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            bp_buf_put_u8(out, '\n');
        put_profile(&v[i], indent, out);
    }
}

/* A policy by name (v9) or by number (up to v8). */
static int get_policy(const struct bp_yaml *y, const struct bp_yaml_node *map, const char *key,
                      const char *const *names, size_t n, unsigned *ret, struct bp_error *err) {
    const struct bp_yaml_node *v = bp_yaml_get(y, map, key);
    char expected[160];
    uint64_t number;
    size_t at = 0;

    if (!v)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (v->kind == BP_YAML_SCALAR && bp_str_eq(v->text, bp_str_of(names[i]))) {
            *ret = (unsigned) i;
            return 0;
        }
    if (bp_yaml_uint(v, n - 1, &number, NULL) == 0) {
        *ret = (unsigned) number;
        return 0;
    }

    for (size_t i = 0; i < n; i++)
        at +=
            (size_t) snprintf(expected + at, sizeof expected - at, "%s%s", i ? ", " : "", names[i]);
    return bp_yaml_expected(v, expected, err);
}

/* Seconds and nanoseconds; what is as long as any "infinite" ever written becomes infinite. */
static int get_duration(const struct bp_yaml *y, const struct bp_yaml_node *map, const char *key,
                        bp_ns_t *ret, struct bp_error *err) {
    /* Foxy: Fast RTPS wrote 2147483647 s + 4294967295 ns, Connext 2147483647 s + 2147483647 ns;
     * Cyclone's INT64_MAX ns is what RMW_DURATION_INFINITE became (rosbag2_storage/qos.cpp). */
    static const uint64_t foxy_sec = 0x7FFFFFFF, foxy_nsec = 0x7FFFFFFF;
    const struct bp_yaml_node *v = bp_yaml_get(y, map, key), *sec, *nsec;
    uint64_t s, ns;
    int r;

    if (!v)
        return 0;
    sec = bp_yaml_get(y, v, "sec");
    nsec = bp_yaml_get(y, v, "nsec");
    if (!sec || !nsec)
        return bp_yaml_expected(v, "sec and nsec", err);
    r = bp_yaml_uint(sec, UINT64_MAX, &s, err);
    if (r < 0)
        return r;
    r = bp_yaml_uint(nsec, UINT64_MAX, &ns, err);
    if (r < 0)
        return r;

    if ((s == foxy_sec && ns >= foxy_nsec) || __builtin_mul_overflow(s, (uint64_t) BP_SEC, &s) ||
        __builtin_add_overflow(s, ns, &s) || s > BP_QOS_INFINITE)
        *ret = BP_QOS_INFINITE;
    else
        *ret = (bp_ns_t) s;
    return 0;
}

static int get_policies(const struct bp_yaml *y, const struct bp_yaml_node *map, struct bp_qos *q,
                        struct bp_error *err) {
    unsigned history = q->history, reliability = q->reliability;
    unsigned durability = q->durability, liveliness = q->liveliness;
    int r;

    r = get_policy(y, map, "history", history_names, BP_COUNT(history_names), &history, err);
    if (r < 0)
        return r;
    r = get_policy(y, map, "reliability", reliability_names, BP_COUNT(reliability_names),
                   &reliability, err);
    if (r < 0)
        return r;
    r = get_policy(y, map, "durability", durability_names, BP_COUNT(durability_names), &durability,
                   err);
    if (r < 0)
        return r;
    r = get_policy(y, map, "liveliness", liveliness_names, BP_COUNT(liveliness_names), &liveliness,
                   err);
    if (r < 0)
        return r;

    q->history = (enum bp_history) history;
    q->reliability = (enum bp_reliability) reliability;
    q->durability = (enum bp_durability) durability;
    q->liveliness = (enum bp_liveliness) liveliness;
    return 0;
}

int bp_qos_apply_node(const struct bp_yaml *y, const struct bp_yaml_node *map, struct bp_qos *q,
                      struct bp_error *err) {
    const struct bp_yaml_node *depth, *avoid;
    struct bp_qos new = *q;
    uint64_t d;
    int r;

    if (map->kind != BP_YAML_MAPPING)
        return bp_yaml_expected(map, "a QoS profile", err);
    r = get_policies(y, map, &new, err);
    if (r < 0)
        return r;
    r = get_duration(y, map, "deadline", &new.deadline, err);
    if (r < 0)
        return r;
    r = get_duration(y, map, "lifespan", &new.lifespan, err);
    if (r < 0)
        return r;
    r = get_duration(y, map, "liveliness_lease_duration", &new.lease, err);
    if (r < 0)
        return r;

    depth = bp_yaml_get(y, map, "depth");
    if (depth) {
        r = bp_yaml_uint(depth, UINT64_MAX, &d, err);
        if (r < 0)
            return r;
        new.depth = (uint32_t) BP_MIN(d, UINT32_MAX); /* a size_t in rmw, an int32 in DDS */
    }
    avoid = bp_yaml_get(y, map, "avoid_ros_namespace_conventions");
    if (avoid) {
        r = bp_yaml_bool(avoid, &new.avoid_ros_namespace_conventions, err);
        if (r < 0)
            return r;
    }
    *q = new;
    return 0;
}

int bp_qos_from_node(const struct bp_yaml *y, const struct bp_yaml_node *n, struct bp_qos *ret,
                     size_t cap, struct bp_error *err) {
    size_t stored = 0;
    int r;

    if (!n || (n->kind == BP_YAML_SCALAR && n->text.n == 0) || bp_yaml_is_null(n))
        return 0;
    if (n->kind != BP_YAML_SEQUENCE)
        return bp_yaml_expected(n, "a list of QoS profiles", err);

    for (n = bp_yaml_first(y, n); n; n = bp_yaml_next(y, n)) {
        struct bp_qos q = { 0 };

        r = bp_qos_apply_node(y, n, &q, err);
        if (r < 0)
            return r;
        if (stored < cap)
            ret[stored++] = q;
    }
    return (int) stored;
}

int bp_qos_from_yaml(struct bp_str yaml, struct bp_qos *ret, size_t cap, struct bp_error *err) {
    BP_CLEANUP(bp_yaml_freep) struct bp_yaml *y = NULL;
    int r = bp_yaml_parse(yaml, &y, err);

    return r < 0 ? r : bp_qos_from_node(y, bp_yaml_root(y), ret, cap, err);
}

bool bp_qos_equal(const struct bp_qos *a, const struct bp_qos *b) {
    return a->history == b->history && a->depth == b->depth && a->reliability == b->reliability &&
           a->durability == b->durability && a->deadline == b->deadline &&
           a->lifespan == b->lifespan && a->liveliness == b->liveliness && a->lease == b->lease &&
           a->avoid_ros_namespace_conventions == b->avoid_ros_namespace_conventions;
}

char *bp_qos_text(const struct bp_qos *q, char *text, size_t cap) {
    char history[32], depth[16] = "";

    if (q->history == BP_HISTORY_KEEP_LAST)
        (void) snprintf(depth, sizeof depth, "(%u)", q->depth);
    (void) snprintf(history, sizeof history, "%s%s", NAME_OF(history_names, q->history), depth);
    (void) snprintf(text, cap, "%s %s %s", NAME_OF(reliability_names, q->reliability), history,
                    NAME_OF(durability_names, q->durability));
    return text;
}
