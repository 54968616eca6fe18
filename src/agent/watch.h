#pragma once

#include "agent/sessions.h"
#include "alert/alert.h"
#include "base/time.h"

/* Alerts about recording itself: a ring that fills up, messages lost, a disk that is full or soon
 * will be, packets the host drops, a clock that steps, a writer that stands still. Each is raised
 * when it begins and cleared when it is over. One owner. */

struct bp_watch_limits {
    double ring;        /* 0 to 1: "buffer.level" above, cleared a fifth below */
    uint64_t disk_free; /* "disk.low" below, cleared a tenth above; 0 = never */
};

/* What is seen in one look. */
struct bp_watch_facts {
    struct bp_sessions_stats sessions;
    uint64_t disk_free; /* UINT64_MAX = not known */
    uint64_t udp_drops; /* since the start */
    uint64_t clock_steps;
    double clock_step_s; /* the last one */
    bool syncs;          /* the writer makes things durable at all */
};

struct bp_watch {
    struct bp_watch_facts last;
    bool primed;
    bp_ns_t quiet[3]; /* mono: when losses, UDP drops, clock steps count as over; 0 = they are */
    unsigned causes;  /* bit per enum bp_loss of the losses that are told */
    bp_ns_t durable_mono; /* when the durable moment last moved */
    bool level, low;
};

void bp_watch_update(struct bp_watch *w, struct bp_alerts *alerts,
                     const struct bp_watch_limits *limits, const struct bp_watch_facts *now,
                     bp_ns_t mono);
