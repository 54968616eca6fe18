#pragma once

#include "base/error.h"
#include "wire/qos.h"

/* QoS overrides per topic as `ros2 bag record --qos-profile-overrides-path` reads them:
 *     /scan:
 *       reliability: best_effort
 *       history: keep_last
 *       depth: 5
 * Keys left out keep the ROS default. */
struct bp_qos_overrides;

/** @return 0, an errno, or BP_ECONFIG naming file, line and key */
BP_MUST_CHECK int bp_qos_overrides_load(const char *path, struct bp_qos_overrides **ret,
                                        struct bp_error *err);
void bp_qos_overrides_free(struct bp_qos_overrides *o);
BP_DEFINE_CLEANUP(struct bp_qos_overrides, bp_qos_overrides_free)

/** The profile for a topic, borrowed, or NULL. */
const struct bp_qos *bp_qos_override(const struct bp_qos_overrides *o, const char *topic);
