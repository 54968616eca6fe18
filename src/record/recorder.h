#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bag/writer.h"
#include "base/error.h"
#include "base/time.h"
#include "wire/qos.h"

struct bp_buf;
struct bp_history_store;
struct bp_select;
struct bp_qos_overrides;

/* Graph → disk. A recorder watches the graph of one or several domains; a take is one session's
 * share of it: what it selects is handed to its writer. Several takes with different selections
 * live on one set of DDS readers: a topic is subscribed to while any take wants it, and a sample is
 * received once, however many keep it.
 *
 * Threads: samples arrive on Cyclone's receive threads, graph events on one thread per domain,
 * definitions of unknown types are fetched by an own thread; every function here may be called from
 * any thread, those of one take from one at a time. */
struct bp_recorder;
struct bp_take;

enum {
    BP_TAKES = 17,             /* at the same time: */
    BP_TAKES_OF_SESSIONS = 16, /* and a history besides */
};

/* A rule "pattern=value" given by the user. */
struct bp_topic_rule {
    const char *pattern; /* topic with '*' */
    double value;
};

struct bp_recorder_opts {
    const uint32_t *domains; /* at least one; copied */
    size_t ndomains;
    const char *const *robot_rules; /* see bp_robots_add_rule(); read at once */
    size_t nrobot_rules;
    const struct bp_qos_overrides *qos_overrides; /* borrowed, or NULL */
    const struct bp_select *seen; /* borrowed: other topics are not there for us; NULL = all */
    bool use_sim_time;   /* log time from /clock; nothing is recorded before the first one */
    bool no_definitions; /* do not ask nodes for the definition of unknown types */
    bool keep_latched;   /* remember latched messages for takes that begin later */
    void (*notice)(void *ctx, const char *text); /* own threads; may be NULL */
    void *ctx;
};

BP_MUST_CHECK int bp_recorder_open(const struct bp_recorder_opts *o, struct bp_recorder **ret,
                                   struct bp_error *err);

/** Leaves the graph. Its takes must have been closed or stopped. Takes NULL. */
void bp_recorder_close(struct bp_recorder *r);
BP_DEFINE_CLEANUP(struct bp_recorder, bp_recorder_close)

struct bp_recorder_stats {
    uint32_t topics, writers;    /* in the graph */
    uint32_t endpoints, readers; /* of others; subscriptions of ours */
    uint64_t received, bytes;    /* handed to us by DDS, once each */
    uint64_t udp_drops;          /* this host's socket receive buffers */
};
void bp_recorder_stats(struct bp_recorder *r, struct bp_recorder_stats *ret);

/* A topic of the graph. Strings are borrowed and stay until close. */
struct bp_recorder_topic {
    const char *topic, *type, *robot;
    const char *graph; /* its name in the graph; `topic` may have a robot's prefix */
    uint32_t domain;
    uint32_t writers;         /* alive */
    uint32_t takes;           /* how many sessions record it now */
    uint64_t messages, bytes; /* received since open, while anybody recorded it */
    bp_ns_t last_ns;          /* wall time of the last one, 0 = none */
    bool has_definition;
    bool subscribed, deaf; /* we listen; we want to and cannot, since its QoS or type refuses */
    uint32_t nqos;         /* distinct profiles its writers offer, the first of them in qos */
    struct bp_qos qos[4];
    bool forced; /* qos_overrides say how we listen, in `requested`; else we ask for what each
                    writer offers */
    struct bp_qos requested;
};
/** Number of topics; fills at most `cap`. */
size_t bp_recorder_topics(struct bp_recorder *r, struct bp_recorder_topic *ret, size_t cap);

enum bp_presence { BP_NEVER_SEEN, BP_PRESENT, BP_GONE };
/** Whether the node "/robot1/driver" is in the graph: as long as one of its endpoints is. */
enum bp_presence bp_recorder_node(struct bp_recorder *r, const char *name);

/**
 * Appends the definition of a topic's messages, as its writers told it or as it is known here.
 *
 * @param topic  its name in the graph
 * @return 0, -ENOENT when nobody knows it (yet)
 */
BP_MUST_CHECK int bp_recorder_definition(struct bp_recorder *r, uint32_t domain, const char *topic,
                                         const char *type, struct bp_buf *out);

/* ---- takes ---- */

/* What is handed to the writer while the host is at a limit. Latched topics always are: they come
 * once, and what follows means nothing without them. */
enum bp_take_limit {
    BP_TAKE_ALL,
    BP_TAKE_THIN_LOW,  /* low priority: at most one message in `gap` a topic */
    BP_TAKE_NO_LOW,    /* low priority: none */
    BP_TAKE_HIGH_ONLY, /* high priority alone */
};

struct bp_take_opts {
    const struct bp_select *select; /* borrowed, outlives the take */
    const struct bp_topic_rule *max_rate, *keep_every, *priority, *budget; /* borrowed */
    size_t nmax_rate, nkeep_every, npriority, nbudget;
    uint32_t max_topics; /* 0 = no limit */
    bool start_paused;
    enum bp_take_limit limit; /* at first; see bp_take_set_limit() */
    bp_ns_t thin_gap;
    struct bp_writer *writer;         /* borrowed, outlives the take */
    struct bp_history_store *history; /* instead of a writer: no session, but what came lately */
};

/**
 * Starts handing samples to a writer. Topics that others record already are joined at once, with
 * the latched messages they have (`keep_latched`); all others are subscribed to.
 *
 * @return 0, -EBUSY when BP_TAKES_OF_SESSIONS run already, or a history; -ENOMEM
 */
BP_MUST_CHECK int bp_take_open(struct bp_recorder *r, const struct bp_take_opts *o,
                               struct bp_take **ret, struct bp_error *err);

/** Waits a moment for what is on its way, then no sample reaches the writer any more; tables and
 *  counters still answer. What no take wants any longer is unsubscribed. */
void bp_take_stop(struct bp_take *k);
/** Stops if need be, then frees. Takes NULL. */
void bp_take_close(struct bp_take *k);
BP_DEFINE_CLEANUP(struct bp_take, bp_take_close)

void bp_take_pause(struct bp_take *k, bool paused);
bool bp_take_paused(const struct bp_take *k);

/** From the next sample on; what is left out is ledgered as BP_LOSS_DEGRADED. Any thread. */
void bp_take_set_limit(struct bp_take *k, enum bp_take_limit limit, bp_ns_t gap);

struct bp_take_stats {
    uint32_t topics, writers; /* selected; alive ones of theirs */
    uint32_t topics_refused;  /* beyond max_topics */
    uint64_t received, bytes; /* of its topics, before throttles and the ring */
};
void bp_take_stats(struct bp_take *k, struct bp_take_stats *ret);

/* One line of a take's topic table. Strings are borrowed and stay until the recorder's close. */
struct bp_take_topic {
    const char *topic, *type, *robot;
    uint16_t channel; /* of its writer */
    uint32_t writers; /* alive */
    bool has_definition;
};
/** Number of channels; fills at most `cap`. */
size_t bp_take_topics(struct bp_take *k, struct bp_take_topic *ret, size_t cap);
