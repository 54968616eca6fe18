#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

struct bp_yaml;
struct bp_yaml_node;

/* A ROS 2 QoS profile, as rmw names it (values of the enums as in rmw/types.h). Durations are ns;
 * BP_QOS_INFINITE = no limit, 0 = left to the middleware. */
#define BP_QOS_INFINITE INT64_MAX

enum bp_history {
    BP_HISTORY_DEFAULT,
    BP_HISTORY_KEEP_LAST,
    BP_HISTORY_KEEP_ALL,
    BP_HISTORY_UNKNOWN
};
enum bp_reliability {
    BP_RELIABILITY_DEFAULT,
    BP_RELIABILITY_RELIABLE,
    BP_RELIABILITY_BEST_EFFORT,
    BP_RELIABILITY_UNKNOWN,
    BP_RELIABILITY_BEST_AVAILABLE
};
enum bp_durability {
    BP_DURABILITY_DEFAULT,
    BP_DURABILITY_TRANSIENT_LOCAL,
    BP_DURABILITY_VOLATILE,
    BP_DURABILITY_UNKNOWN,
    BP_DURABILITY_BEST_AVAILABLE
};
enum bp_liveliness {
    BP_LIVELINESS_DEFAULT,
    BP_LIVELINESS_AUTOMATIC,
    BP_LIVELINESS_MANUAL_BY_NODE,
    BP_LIVELINESS_MANUAL,
    BP_LIVELINESS_UNKNOWN,
    BP_LIVELINESS_BEST_AVAILABLE
};

struct bp_qos {
    enum bp_history history;
    uint32_t depth;
    enum bp_reliability reliability;
    enum bp_durability durability;
    bp_ns_t deadline, lifespan;
    enum bp_liveliness liveliness;
    bp_ns_t lease;
    bool avoid_ros_namespace_conventions;
};

/* What ros2 nodes use by default: KEEP_LAST 10, reliable, volatile. */
extern const struct bp_qos bp_qos_default;

/**
 * Appends `n` profiles as the YAML sequence of metadata.yaml v9 / `offered_qos_profiles`
 * (names: "history: keep_last …"), byte for byte as rosbag2 (Jazzy) writes it: each line indented
 * by `indent` spaces, no newline at the end, "[]" when n is 0.
 */
void bp_qos_to_yaml(const struct bp_qos *v, size_t n, unsigned indent, struct bp_buf *out);

/**
 * Parses `offered_qos_profiles` in either spelling (enum integers up to v8, names from v9; Foxy's
 * infinite values are understood).
 *
 * Keys that are missing are left to the middleware, keys we do not know are skipped.
 *
 * @param ret  at most `cap` profiles; further ones are checked and left out
 * @return number of profiles stored, or BP_EFORMAT naming line and key
 */
int bp_qos_from_yaml(struct bp_str yaml, struct bp_qos *ret, size_t cap, struct bp_error *err);

/** The same from a parsed sequence (or an empty scalar), as it stands in metadata.yaml v9. */
int bp_qos_from_node(const struct bp_yaml *y, const struct bp_yaml_node *n, struct bp_qos *ret,
                     size_t cap, struct bp_error *err);

/**
 * Overwrites in `q` what one mapping says ("history: keep_all", "depth: 5", …), and leaves the
 * rest: a profile of metadata.yaml, or an entry of a QoS overrides file.
 *
 * @return 0, or BP_EFORMAT naming line and key
 */
int bp_qos_apply_node(const struct bp_yaml *y, const struct bp_yaml_node *map, struct bp_qos *q,
                      struct bp_error *err);

/** Whether all fields are the same. Not memcmp(): there are holes between them. */
bool bp_qos_equal(const struct bp_qos *a, const struct bp_qos *b);

/** "reliable keep_last(10) volatile" into `text`; returns it. */
char *bp_qos_text(const struct bp_qos *q, char *text, size_t cap);
