#pragma once

#include "dds/dds.h"

/**
 * Asks a node for the definition of a type it uses (`~/get_type_description`, Iron and later).
 *
 * @param node  "/robot1/driver", as in bp_endpoint.node
 * @param type  "sensor_msgs/msg/Imu"
 * @param hash  its "RIHS01_…"; the answer must be checked against it
 * @param ret   appended: CDR of type_description_interfaces/srv/GetTypeDescription_Response with
 *              encapsulation header, for bp_schema_from_type_description()
 *
 * @return as bp_dds_call(); not from a callback of the graph
 */
BP_MUST_CHECK int bp_dds_type_description(struct bp_dds *d, const char *node, const char *type,
                                          const char *hash, bp_ns_t timeout, struct bp_buf *ret,
                                          struct bp_error *err);
