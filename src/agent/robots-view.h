#pragma once

#include <jansson.h>

#include "agent/sessions.h"
#include "base/mutex.h"
#include "record/recorder.h"

/* The graph and what is recorded of it, robot by robot. Rates are those of the last look, which the
 * care thread takes once a second. */

enum { BP_ROBOTS_MAX = 256, BP_ROBOT_DOMAINS = 8 }; /* more of either are left out */

struct bp_robot_view {
    const char *robot; /* borrowed, stays until the recorder's close */
    uint32_t domains[BP_ROBOT_DOMAINS];
    size_t ndomains;
    uint32_t topics, writers; /* with a writer that is alive */
    uint64_t messages, bytes; /* received since the start, while anybody recorded them */
    double rate, byte_rate;   /* per second */
    bp_ns_t last_ns;          /* wall time of the last message, 0 = none */
    struct bp_robot_sums sums;
};

struct bp_robots_view {
    struct bp_robot_view v[BP_ROBOTS_MAX];
    size_t n;
    bp_ns_t mono;
};

/** Looks. @param before  the look before, for the rates; zeroed at first
 *  @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_robots_look(struct bp_recorder *r, struct bp_sessions *s,
                                 const struct bp_robots_view *before, struct bp_robots_view *ret);

/** {"robots": […]}; owned by the caller. */
json_t *bp_robots_json(const struct bp_robots_view *v, struct bp_sessions *s);
/** One robot with its topics, or NULL when there is none of that name. */
json_t *bp_robot_json(const struct bp_robots_view *v, const char *robot, struct bp_recorder *r,
                      struct bp_sessions *s);
void bp_robots_metrics(const struct bp_robots_view *v, struct bp_buf *out);

/**
 * What {robot} stands for in the name of a session: the robots with a living topic, joined by "+";
 * "N_robots" when that would be long; "" when there is none but the host itself.
 */
void bp_robots_name(struct bp_recorder *r, char *ret, size_t cap);
