#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* A ROS 2 QoS profile, as rmw names it. Durations are ns; BP_QOS_INFINITE = no limit. */
#define BP_QOS_INFINITE INT64_MAX

enum bp_history {
    BP_HISTORY_DEFAULT,
    BP_HISTORY_KEEP_LAST,
    BP_HISTORY_KEEP_ALL,
    BP_HISTORY_UNKNOWN
};
enum bp_reliability { BP_RELIABILITY_DEFAULT, BP_RELIABILITY_RELIABLE, BP_RELIABILITY_BEST_EFFORT };
enum bp_durability { BP_DURABILITY_DEFAULT, BP_DURABILITY_TRANSIENT_LOCAL, BP_DURABILITY_VOLATILE };
enum bp_liveliness { BP_LIVELINESS_DEFAULT, BP_LIVELINESS_AUTOMATIC, BP_LIVELINESS_MANUAL = 3 };

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
 * (names: "history: keep_last …"), each line indented by `indent` spaces.
 */
void bp_qos_to_yaml(const struct bp_qos *v, size_t n, unsigned indent, struct bp_buf *out);

/**
 * Parses `offered_qos_profiles` in either spelling (enum integers up to v8, names from v9; Foxy's
 * infinite values are understood).
 *
 * @param ret  at most `cap` profiles
 * @return number of profiles, or BP_EFORMAT naming line and key
 */
int bp_qos_from_yaml(struct bp_str yaml, struct bp_qos *ret, size_t cap, struct bp_error *err);

/** "reliable keep_last(10) volatile" into `text`; returns it. */
char *bp_qos_text(const struct bp_qos *q, char *text, size_t cap);
