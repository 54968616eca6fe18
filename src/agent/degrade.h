#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "agent/config.h"
#include "base/buf.h"
#include "base/time.h"

/* When the host is at a limit, recording takes less of it, step by step: first nothing is
 * compressed, then topics of low priority are thinned out, then left out, then only high priority
 * is recorded. Each reason has a step of its own, the highest counts.
 *
 * A reason goes one step up each time its value has been beyond `enter` for `hold`, and one step
 * down each time it has been back behind `leave` for `recover`; in between it stays. A full disk
 * begins at thinning, since without compression it would only fill faster. Pure functions; one
 * owner. */

enum bp_degrade_why {
    BP_DEGRADE_CPU,         /* share of all cores, 0 to 100 */
    BP_DEGRADE_TEMPERATURE, /* degrees Celsius, the hottest sensor */
    BP_DEGRADE_DISK,        /* bytes free */
    BP_DEGRADE_BATTERY,     /* 0 to 100, without external power */
    BP_DEGRADE_RING,        /* fullest ring, 0 to 100 */
    BP_DEGRADE_WHYS_N_
};

enum bp_degrade_step {
    BP_DEGRADE_NONE,
    BP_DEGRADE_PLAIN,
    BP_DEGRADE_THIN_LOW,
    BP_DEGRADE_NO_LOW,
    BP_DEGRADE_HIGH_ONLY,
    BP_DEGRADE_STEPS_N_
};

/** "cpu", "temperature", … */
const char *bp_degrade_why_name(enum bp_degrade_why why);
/** "none", "no_compression", "thin_low", "no_low", "high_only": keys of the API. */
const char *bp_degrade_step_name(enum bp_degrade_step step);

struct bp_degrade_policy {
    struct bp_degrade_limit {
        double enter, leave; /* enter 0 = off */
        bool below;          /* beyond means less than */
    } limits[BP_DEGRADE_WHYS_N_];
    bp_ns_t hold, recover;
    enum bp_degrade_step most;
};

struct bp_degrade {
    struct bp_degrade_reason {
        enum bp_degrade_step step;
        double value;           /* the last one, NAN = unknown */
        bp_ns_t since_ns;       /* wall: since when step is not 0 */
        bp_ns_t beyond, behind; /* mono: since when it is; 0 = it is not */
    } whys[BP_DEGRADE_WHYS_N_];
};

void bp_degrade_policy_of(const struct bp_agent_config *c, struct bp_degrade_policy *ret);
/** @return 0, or BP_ECONFIG naming the key: `leave` must lie on the good side of `enter` */
BP_MUST_CHECK int bp_degrade_check(const struct bp_agent_config *c, struct bp_error *err);

/**
 * One look, about once a second.
 *
 * @param values  by enum bp_degrade_why; NAN = unknown, counts as good
 * @param mono    above 0
 * @return true when a step of any reason has changed
 */
bool bp_degrade_update(struct bp_degrade *d, const struct bp_degrade_policy *p,
                       const double values[static BP_DEGRADE_WHYS_N_], bp_ns_t mono, bp_ns_t wall);

enum bp_degrade_step bp_degrade_step_of(const struct bp_degrade *d);
/** Is compression off? Not for a full disk alone. */
bool bp_degrade_is_plain(const struct bp_degrade *d);
/** "temperature 84 °C: low priorities are thinned out"; "" when nothing is wrong. */
void bp_degrade_text(const struct bp_degrade *d, char *ret, size_t cap);
/** The same for one reason, without its value, which changes. */
void bp_degrade_why_text(const struct bp_degrade *d, const struct bp_degrade_policy *p,
                         enum bp_degrade_why why, char *ret, size_t cap);
/** [{why, step, since_ns, value}], worst first; owned by the caller. */
json_t *bp_degrade_json(const struct bp_degrade *d);
/** Families of metrics. */
void bp_degrade_metrics(const struct bp_degrade *d, struct bp_buf *out);
