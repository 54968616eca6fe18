#pragma once

#include <jansson.h>

#include "agent/config.h"
#include "agent/retention.h"
#include "agent/sessions.h"
#include "alert/alert.h"
#include "daemon/settings.h"
#include "monitor/host.h"
#include "record/recorder.h"

/* Looks after the agent and its host once a second, on a thread of its own: diagnostics
 * (monitor/host.h), alerts about recording (watch.h), less load when a limit is reached
 * (degrade.h), sessions that begin by themselves (autostart.h). */
struct bp_care;

struct bp_care_opts {
    struct bp_settings *settings; /* all borrowed, outlive it */
    struct bp_recorder *recorder;
    struct bp_sessions *sessions;
    struct bp_alerts *alerts;
    struct bp_retention *retention;
    const char *dir; /* the agent's folder */
};

BP_MUST_CHECK int bp_care_open(const struct bp_care_opts *o, struct bp_care **ret,
                               struct bp_error *err);
/** Takes NULL. */
void bp_care_close(struct bp_care *c);
BP_DEFINE_CLEANUP(struct bp_care, bp_care_close)

/** The session that was to begin with the agent did not: it is tried again until one runs. */
void bp_care_owe_session(struct bp_care *c);

/** The host as JSON; owned by the caller. Any thread, as all below. */
json_t *bp_care_host_json(struct bp_care *c);
/** {"robots": […]}, or one robot with its topics (NULL: there is none). Owned by the caller. */
json_t *bp_care_robots_json(struct bp_care *c, const char *robot);
/** Adds to the object of GET /api/v1/status: degraded, lost_by_cause,
 *  back_pressure, robots. */
void bp_care_status(struct bp_care *c, json_t *status);
/** Families of metrics. */
void bp_care_metrics(struct bp_care *c, struct bp_buf *out);
