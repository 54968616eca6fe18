#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Tells robots apart: by rules, else by ROS domain when several are recorded, else by first-level
 * namespace that has a node and one of tf, odom, joint_states, imu, battery_state below it, else
 * the host's name. Not for several threads: the recorder's lock protects it. */
struct bp_robots;

/** @param many_domains  true: the domain tells robots apart; @return NULL when out of memory */
struct bp_robots *bp_robots_new(bool many_domains);
void bp_robots_free(struct bp_robots *r);
BP_DEFINE_CLEANUP(struct bp_robots, bp_robots_free)

/**
 * What the user says about robots. Before anything else.
 *
 * @param host   name of the robot whose topics no rule or namespace tells, or NULL: the host's
 * @param rules  n texts "PATTERN=NAME" or "domain:7=NAME", checked; the first that fits counts
 * @return 0 or -ENOMEM
 */
BP_MUST_CHECK int bp_robots_configure(struct bp_robots *r, const char *host,
                                      const char *const *rules, size_t n);
/** @return 0, or BP_EUSAGE quoting the rule */
BP_MUST_CHECK int bp_robots_rule_check(const char *rule, struct bp_error *err);

/** Notes a topic of the graph; @return true when its namespace became a robot by that. */
bool bp_robots_see_topic(struct bp_robots *r, const char *topic);
/** Notes a node by its full name; @return true when its namespace became a robot by that. */
bool bp_robots_see_node(struct bp_robots *r, const char *node);

/** Name of the robot a topic belongs to; borrowed, stays until free. */
const char *bp_robots_of(struct bp_robots *r, uint32_t domain, const char *topic);
