#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bag/writer.h"
#include "base/error.h"
#include "base/time.h"

struct bp_select;
struct bp_qos_overrides;

/* Graph → disk: watches the graph of one or several domains, subscribes to what is selected, and
 * hands every sample to the session's writer. Threads: samples arrive on Cyclone's receive threads,
 * graph events on one thread per domain, definitions of unknown types are fetched by an own thread;
 * every function here may be called from any thread. */
struct bp_recorder;

/* A rule "pattern=value" given by the user. */
struct bp_topic_rule {
    const char *pattern; /* topic with '*' */
    double value;
};

struct bp_recorder_opts {
    const uint32_t *domains; /* at least one; copied */
    size_t ndomains;
    const struct bp_select *select;               /* borrowed, outlives the recorder */
    const struct bp_qos_overrides *qos_overrides; /* borrowed, or NULL */
    const struct bp_topic_rule *max_rate, *keep_every, *priority, *budget; /* borrowed */
    size_t nmax_rate, nkeep_every, npriority, nbudget;
    uint32_t max_topics; /* 0 = no limit */
    bool start_paused;
    bool use_sim_time;        /* log time from /clock; nothing is recorded before the first one */
    bool no_definitions;      /* do not ask nodes for the definition of unknown types */
    struct bp_writer *writer; /* borrowed, outlives the recorder */
    void (*notice)(void *ctx, const char *text); /* own threads; may be NULL */
    void *ctx;
};

BP_MUST_CHECK int bp_recorder_open(const struct bp_recorder_opts *o, struct bp_recorder **ret,
                                   struct bp_error *err);

/** Leaves the graph: no sample reaches the writer afterwards; tables and counters still answer. */
void bp_recorder_stop(struct bp_recorder *r);

/** Stops if need be, then frees. Takes NULL. */
void bp_recorder_close(struct bp_recorder *r);
BP_DEFINE_CLEANUP(struct bp_recorder, bp_recorder_close)

void bp_recorder_pause(struct bp_recorder *r, bool paused);
bool bp_recorder_paused(const struct bp_recorder *r);

struct bp_recorder_stats {
    uint32_t topics, writers;
    uint32_t topics_refused;  /* beyond max_topics */
    uint64_t received, bytes; /* handed to us by DDS, before throttles and the ring */
    uint64_t udp_drops;       /* this host's socket receive buffers */
};
void bp_recorder_stats(struct bp_recorder *r, struct bp_recorder_stats *ret);

/* One line of the topic table. Strings are borrowed and stay until close. */
struct bp_recorder_topic {
    const char *topic, *type, *robot;
    uint16_t channel;
    uint32_t writers; /* alive */
    bool has_definition;
};
/** Number of topics; fills at most `cap`. */
size_t bp_recorder_topics(struct bp_recorder *r, struct bp_recorder_topic *ret, size_t cap);
