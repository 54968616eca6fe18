#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include <uthash.h>

#include "dds/dds.h"
#include "record/recorder.h"

/* How the parts of a recorder hang together:
 *
 *   endpoint event (graph thread) ── topics.c ──> struct topic, its channels and sources
 *   sample (receive thread)       ── sample.c ──> throttle, then bp_writer_accept()
 *   unknown type                  ── definitions.c ──> bp_writer_channel_update()
 *
 * Lock order: recorder.lock, then the writer's own. recorder.lock is never held across a bp_dds_*
 * call: a receive thread that meets a new writer takes it while Cyclone holds that writer's lock.
 */

struct chan {            /* one channel of the file; a topic has one per type hash seen */
    uint16_t id;         /* constant */
    char hash[80];       /* constant, "" when no writer told one */
    bool has_definition; /* [lock] */
    struct bp_buf told;  /* [lock] its definition as a node told it, or empty */
    struct chan *next;   /* [lock] */
};

struct topic {
    struct bp_recorder *rec; /* constant */
    struct domain *domain;   /* constant */
    char *key;               /* owned: "domain keyed dds_topic dds_type" */
    char *name, *type;       /* owned, constant: ROS names, name as recorded */
    char *original;          /* owned: its name in the graph when it was renamed, else NULL */
    const char *robot;       /* [lock] borrowed from robots */
    bool recorded;           /* constant; false: /clock listened to for its time only */
    bool is_clock;           /* constant */
    bool keyed;              /* constant */
    enum bp_priority priority;
    uint64_t budget_bytes;
    uint32_t keep_every;     /* constant, 0 = all */
    bp_ns_t min_gap;         /* constant, 0 = all */
    _Atomic int64_t next_ns; /* when the rate limit lets the next sample through */
    struct chan *chans;      /* [lock] owned */
    uint32_t writers;        /* [lock] alive */
    char *qos_yaml;          /* [lock] owned: distinct offered profiles */
    struct bp_qos qos[16];   /* [lock] */
    size_t nqos;             /* [lock] */
    uint32_t latched_depth;  /* [lock] */
    struct bp_sub *sub;      /* [lock] */
    UT_hash_handle hh;       /* by key */
};

struct source { /* one DDS writer */
    uint8_t guid[BP_GUID_LEN];
    struct topic *topic; /* constant */
    uint32_t id;         /* constant: the writer's source index */
    bool alive;          /* [lock] */
    _Atomic uint64_t seen;
    UT_hash_handle hh; /* by guid */
};

struct want { /* a channel whose definition is asked for */
    struct topic *topic;
    struct chan *chan;
    char *node; /* owned */
    struct want *next;
};

struct domain {
    struct bp_recorder *rec; /* constant */
    uint32_t id;
    struct bp_dds *dds; /* owned, NULL once stopped */
    struct bp_dds_stats last;
};

struct bp_recorder {
    struct bp_recorder_opts o; /* constant */
    struct domain *domains;    /* owned, o.ndomains */
    pthread_mutex_t lock;      /* see above */
    struct topic *topics;      /* [lock] owned, by key */
    struct source *sources;    /* [lock] owned, by guid */
    struct bp_robots *robots;  /* [lock] owned */
    uint32_t refused;          /* [lock] topics beyond max_topics */
    bool closing;              /* [lock] */
    struct want *wants;        /* [lock] oldest first */
    pthread_cond_t wanted;     /* with lock */
    pthread_t resolver;
    bool has_resolver;
    _Atomic bool paused;
    _Atomic int64_t sim_ns; /* latest /clock, 0 = none yet */
    _Atomic uint64_t received, bytes;
};

/* topics.c: runs on graph threads */
void bp_recorder_on_endpoint(void *domain, const struct bp_endpoint *e);
struct source *bp_recorder_source_locked(struct bp_recorder *r, struct topic *t,
                                         const uint8_t guid[static BP_GUID_LEN], uint16_t vendor,
                                         const char *node, const char *hash);
void bp_recorder_channel_changed_locked(struct bp_recorder *r, struct topic *t, struct chan *c);
void bp_recorder_notice(const struct bp_recorder *r, const char *text);
void bp_recorder_topic_free(struct topic *t);

/* sample.c: runs on receive threads */
void bp_recorder_on_sample(void *topic, const struct bp_sample *s);
void bp_recorder_on_control(void *topic, const struct bp_sample *s);
void bp_recorder_on_missed(void *topic, const struct bp_missed *m);

/* definitions.c */
int bp_recorder_resolver_start(struct bp_recorder *r);
void bp_recorder_resolver_stop(struct bp_recorder *r);
void bp_recorder_want_locked(struct bp_recorder *r, struct topic *t, struct chan *c,
                             const char *node);
