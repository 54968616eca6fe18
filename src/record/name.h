#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/time.h"

/**
 * Expands a session name template: {date} 2026_11_21, {time} 07_44_41, {host}, {robot} (the host
 * until one is known), {domain}, {mission}. Characters that do not belong in a file name
 * become '_'.
 *
 * @param wall_ns  the moment; local time, as `ros2 bag record` names its folders
 * @param mission  text or NULL
 * @param robot    its name, or several; NULL or "" = none is known: the host's
 * @return 0, BP_EUSAGE for an unknown {word} or an empty result, naming it
 */
BP_MUST_CHECK int bp_record_name_for(const char *pattern, bp_ns_t wall_ns, unsigned domain,
                                     const char *mission, const char *robot, char *ret, size_t cap,
                                     struct bp_error *err);
/** The same before a robot is known. */
BP_MUST_CHECK int bp_record_name(const char *pattern, bp_ns_t wall_ns, unsigned domain,
                                 const char *mission, char *ret, size_t cap, struct bp_error *err);

/**
 * A path below `parent` that nothing has yet: the name itself, else with "-2", "-3", … A name that
 * was made must not be a reason not to record: two starts may fall into one second, or the template
 * has no time in it.
 *
 * @param parent  folder; "." is not written
 * @return 0, BP_EUSAGE when the path is too long, -EEXIST
 */
BP_MUST_CHECK int bp_record_unused_dir(const char *parent, const char *name, char *ret, size_t cap,
                                       struct bp_error *err);
