#pragma once

#include "base/buf.h"
#include "base/error.h"

/* ROS 2 message definitions: parsed text, type hash (RIHS01), compiled decode plan.
 * Everything here is constant after it was made and may be shared by threads. */
struct bp_schema;

/**
 * Parses a `ros2msg` definition: the top type's text, then each dependency behind a line of 80 '='
 * and "MSG: pkg/Type". `ros2idl` likewise behind "IDL: …".
 *
 * @param type      "sensor_msgs/msg/Imu"; "sensor_msgs/Imu" is understood
 * @param encoding  "ros2msg" or "ros2idl"
 * @return 0, or BP_EFORMAT with line, column and what was expected, or BP_ELIMIT
 */
BP_MUST_CHECK int bp_schema_parse(const char *type, const char *encoding, struct bp_str text,
                                  struct bp_schema **ret, struct bp_error *err);
void bp_schema_free(struct bp_schema *s);
BP_DEFINE_CLEANUP(struct bp_schema, bp_schema_free)

/** "RIHS01_" + 64 hex digits and NUL (72 bytes) as REP 2011 / rosidl computes it. */
int bp_schema_hash(const struct bp_schema *s, char ret[static 72], struct bp_error *err);

/**
 * Appends the message as JSON, fields in definition order; byte arrays as number arrays,
 * 64-bit integers as strings when `quote64` (as JSON.stringify of a BigInt replaced by its text).
 * Bounded; never reads beyond n.
 *
 * @return 0, BP_EFORMAT, BP_ETRUNCATED, BP_ELIMIT
 */
int bp_schema_to_json(const struct bp_schema *s, const void *cdr, size_t n, bool quote64,
                      struct bp_buf *out, struct bp_error *err);

/** Appends the message as indented YAML-like text, as `ros2 topic echo` prints it. */
int bp_schema_to_text(const struct bp_schema *s, const void *cdr, size_t n, size_t max_items,
                      struct bp_buf *out, struct bp_error *err);

/**
 * From a node's own answer to the definition it uses (`~/get_type_description`, Iron and later).
 *
 * @param cdr   type_description_interfaces/srv/GetTypeDescription_Response with encapsulation
 * header
 * @param type  "my_msgs/msg/Thing", which the answer must describe
 * @param hash  the type's "RIHS01_…" as discovery showed it, or "" to take the answer on trust
 * @param out   appended: `ros2msg` text with dependencies, with the node's own comments and
 *              constants when it sent its sources
 *
 * @return 0, BP_EMISMATCH when the answer is about another type or has another hash, BP_EFORMAT,
 *         BP_EUNSUPPORTED for what a ros2msg text cannot say, -ENOENT when the node did not know it
 */
BP_MUST_CHECK int bp_schema_from_type_description(const void *cdr, size_t n, const char *type,
                                                  const char *hash, struct bp_buf *out,
                                                  struct bp_error *err);

/* ---- the embedded table of common ROS 2 types ---- */

/**
 * Full `ros2msg` text (with dependencies) of a type: embedded table first, then each folder added
 * by bp_typedb_add_dir() and `share/<pkg>/msg` under AMENT_PREFIX_PATH; where only an .idl file is
 * there, the text is made from it. "pkg/srv/X_Request", "_Response", "_Event" and the action types
 * are made from their .srv/.action.
 *
 * @return 0 and text appended, -ENOENT when nobody knows the type, BP_EFORMAT or BP_EUNSUPPORTED
 *         for an .idl file that is not understood
 */
int bp_typedb_text(const char *type, struct bp_buf *out, struct bp_error *err);
/** Expected RIHS01 of a type in the table or on disk into ret, or -ENOENT. */
int bp_typedb_hash(const char *type, char ret[static 72], struct bp_error *err);
/** Adds a folder of `.msg/.srv/.action/.idl` (pkg/msg/X.msg below it, at any depth). Start-up only.
 */
int bp_typedb_add_dir(const char *dir, struct bp_error *err);
/** Calls fn for every embedded type name in order. */
void bp_typedb_each(void (*fn)(void *ctx, const char *type), void *ctx);
