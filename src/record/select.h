#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Which topics are recorded. Words and meaning as in `ros2 bag record`. Constant after init, so
 * shared by threads without a lock. */
struct bp_select_opts {
    bool all; /* every topic; service events too when `all_services` */
    bool all_services;
    bool hidden; /* also topics with a name part that begins with '_' */
    const char *const *topics, *const *types, *const *services;
    size_t ntopics, ntypes, nservices;
    const char *const *not_topics, *const *not_types;
    size_t nnot_topics, nnot_types;
    const char *regex, *not_regex; /* PCRE, searched anywhere in the topic name */
};

struct bp_select;

/** Words are copied. @return 0, -ENOMEM, or BP_EUSAGE for a regular expression that does not
 * compile (with its place)
 */
BP_MUST_CHECK int bp_select_new(const struct bp_select_opts *o, struct bp_select **ret,
                                struct bp_error *err);
void bp_select_free(struct bp_select *s);
BP_DEFINE_CLEANUP(struct bp_select, bp_select_free)

/**
 * Decides on a topic by its ROS name and type. Exclusion wins over inclusion; a hidden topic needs
 * `hidden` or to be named; a `…/_service_event` topic needs a service option.
 */
bool bp_select_topic(const struct bp_select *s, const char *topic, const char *type);

/** "glob" match where '*' crosses slashes: "*camera*", "/robot1/" + "*". */
bool bp_topic_match(const char *pattern, const char *topic);
