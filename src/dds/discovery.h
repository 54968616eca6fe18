#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "dds/dds.h"

/* The bytes ROS 2 puts into DDS discovery, and its names on the wire. Pure functions. */

/* ---- names (rmw_dds_common, rmw_cyclonedds rmw_node.cpp make_fqtopic) ---- */

/** What a DDS topic name is to ROS; *ret_ros = its ROS name inside `dds_topic` (the service's own
 * name is one suffix longer than its ROS name, see bp_discovery_service_name()). */
enum bp_endpoint_kind bp_discovery_kind(const char *dds_topic, const char **ret_ros);

/** "sensor_msgs::msg::dds_::Imu_" -> "sensor_msgs/msg/Imu" into buf; any other name as it is. */
void bp_discovery_demangle_type(const char *dds_type, char *buf, size_t cap);

/** Value of `key` in "key=value;key=value;" user data, which may end in NULs; empty when absent. */
struct bp_str bp_discovery_user_data(struct bp_str data, const char *key);

/* ---- ros_discovery_info ---- */

struct bp_discovery_gid {
    uint8_t guid[BP_GUID_LEN];
    uint32_t node; /* index into nodes */
    bool writer;
};

/* Which nodes live in a participant and which endpoints are theirs. */
struct bp_discovery_info {
    uint8_t participant[BP_GUID_LEN];
    unsigned gid_len; /* 16 from Iron on, 24 up to Humble */
    char **nodes;     /* "/ns/name", owned */
    size_t nnodes;
    struct bp_discovery_gid *gids; /* owned, sorted by guid */
    size_t ngids;
};

/**
 * Parses rmw_dds_common/msg/ParticipantEntitiesInfo in either layout of Gid; the right one is the
 * one that consumes the sample whole.
 *
 * @return 0, BP_EFORMAT, BP_ELIMIT (more than 4096 nodes or 65536 endpoints), -ENOMEM
 */
BP_MUST_CHECK int bp_discovery_info_parse(const void *cdr, size_t n, struct bp_discovery_info *ret,
                                          struct bp_error *err);
void bp_discovery_info_done(struct bp_discovery_info *i);

/** Node name of an endpoint, or NULL. */
const char *bp_discovery_info_node(const struct bp_discovery_info *i,
                                   const uint8_t guid[static BP_GUID_LEN]);

/** Appends the same message, little-endian with encapsulation header and 16-byte Gids. */
void bp_discovery_info_put(const struct bp_discovery_info *i, struct bp_buf *out);
