#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macro.h"

/* Tells robots apart: by the rules given, the first that fits, else by ROS domain when several are
 * recorded, else by first-level namespace that has a node and one of tf, odom, joint_states, imu,
 * battery_state below it, else the host's name. Not for several threads: the recorder's lock
 * protects it. */
struct bp_robots;

/** @param many_domains  true: the domain tells robots apart; @return NULL when out of memory */
struct bp_robots *bp_robots_new(bool many_domains);
void bp_robots_free(struct bp_robots *r);
BP_DEFINE_CLEANUP(struct bp_robots, bp_robots_free)

/**
 * Adds a rule, "NAME=" and one of
 *     domain:7        every topic of that ROS domain
 *     /warehouse/r1   topics in that namespace
 *     ~REGEX          topics whose name contains a match (PCRE); $1 in NAME is its first group
 *
 * @return 0, BP_EUSAGE saying what is wrong with the word, -ENOMEM
 */
BP_MUST_CHECK int bp_robots_add_rule(struct bp_robots *r, const char *word, struct bp_error *err);

/** Notes a topic of the graph; @return true when its namespace became a robot by that. */
bool bp_robots_see_topic(struct bp_robots *r, const char *topic);
/** Notes a node by its full name; @return true when its namespace became a robot by that. */
bool bp_robots_see_node(struct bp_robots *r, const char *node);

/** Name of the robot a topic belongs to; borrowed, stays until free. */
const char *bp_robots_of(struct bp_robots *r, uint32_t domain, const char *topic);
