#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include <uthash.h>

#include "dds/dds.h"
#include "record/recorder.h"
#include "record/watch.h"

/* How the parts of a recorder hang together:
 *
 *   endpoint event (graph thread) ── topics.c ──> struct topic and its sources
 *   take begins, take ends        ── take.c ────> struct tap: one topic in one take
 *   topic wanted or not           ── topics.c ──> bp_recorder_tune(): subscribes, unsubscribes
 *   sample (receive thread)       ── sample.c ──> each tap: throttle, then bp_writer_accept()
 *                                 ── watch.c ───> each look: throttle, then its callback
 *   unknown type                  ── definitions.c ──> bp_writer_channel_update()
 *
 * Lock order: gate, recorder.lock, then a writer's own. A receive thread reads under the gate;
 * whoever changes which taps a topic has holds it for writing, which waits for deliveries under
 * way (a copy each) and for nothing else. recorder.lock is never held across a bp_dds_* call: a
 * receive thread that meets a new writer takes it while Cyclone holds that writer's lock. */

struct chan {               /* one type of a topic: a channel in each take's file */
    char hash[80];          /* constant, "" when no writer told one */
    bool has_definition;    /* [lock] */
    bool asked;             /* [lock] a node was asked for it, once */
    struct bp_buf told;     /* [lock] its definition as a node told it, or empty */
    uint16_t ids[BP_TAKES]; /* [lock] of the channel in each take's writer, 0 = none */
    struct chan *next;      /* [lock] */
};

struct tap { /* a topic in a take */
    struct bp_take *take;
    uint32_t keep_every; /* constant, 0 = all */
    bp_ns_t min_gap;     /* constant, 0 = all */
    enum bp_priority priority;
    uint64_t budget_bytes;
    _Atomic int64_t next_ns; /* when the rate limit lets the next sample through */
    _Atomic int64_t thin_ns; /* the same for thinning at a limit of the host */
};

struct bp_watch {
    struct bp_recorder *rec; /* constant */
    char *topic, *type;      /* owned, constant; patterns */
    bp_ns_t min_gap;         /* constant, 0 = all */
    bp_watch_fn fn;          /* constant */
    void *ctx;
    uint32_t topics; /* [rec.lock] */
    _Atomic uint64_t messages, bytes, skipped;
    struct bp_watch *next; /* [rec.lock] */
};

struct look { /* a topic in a watch */
    struct bp_watch *watch;
    _Atomic int64_t next_ns; /* when the rate limit lets the next sample through */
    struct look *next;       /* [gate] */
};

struct topic {
    struct bp_recorder *rec;        /* constant */
    struct domain *domain;          /* constant */
    char *key;                      /* owned: "domain keyed dds_topic dds_type" */
    char *dds_topic, *dds_type;     /* owned, constant */
    char *graph;                    /* owned, constant: ROS name in the graph */
    char *name, *type;              /* owned, constant: ROS names, name as recorded */
    bool renamed;                   /* constant: `name` is not `graph` */
    _Atomic(const char *) robot;    /* written with lock held; borrowed from robots */
    bool is_clock;                  /* constant: gives the time, with use_sim_time */
    bool keyed;                     /* constant */
    struct tap *taps[BP_TAKES];     /* [gate] owned */
    uint32_t mask;                  /* [gate] bit per tap that is handed samples */
    struct look *looks;             /* [gate] owned */
    struct chan *chans;             /* [lock] owned */
    uint32_t writers;               /* [lock] alive */
    char *qos_yaml;                 /* [lock] owned: distinct offered profiles */
    struct bp_qos qos[16];          /* [lock] */
    size_t nqos;                    /* [lock] */
    _Atomic uint32_t latched_depth; /* written with lock held */
    struct bp_sub *sub;             /* [lock] */
    bool tuning, deaf;              /* [lock] somebody (un)subscribes; it could not be heard */
    struct latched *latched;        /* see latched.c */
    pthread_mutex_t latched_lock;   /* leaf */
    _Atomic uint64_t messages, bytes;
    _Atomic int64_t last_ns;
    UT_hash_handle hh; /* by key */
};

struct source { /* one DDS writer */
    uint8_t guid[BP_GUID_LEN];
    struct topic *topic;   /* constant */
    struct chan *chan;     /* constant */
    uint16_t vendor;       /* constant */
    char *node;            /* owned, constant */
    int32_t ids[BP_TAKES]; /* [lock, gate] its index in each take's writer, -1 = none */
    _Atomic uint32_t seen[BP_TAKES];
    bool alive;        /* [lock] in the graph */
    bool heard;        /* [lock] the subscription keeps a pointer to it */
    UT_hash_handle hh; /* by guid */
};

struct want { /* a type whose definition is asked for */
    struct topic *topic;
    struct chan *chan;
    char *node; /* owned */
    struct want *next;
};

struct domain {
    struct bp_recorder *rec; /* constant */
    uint32_t id;
    struct bp_dds *dds; /* owned */
    struct bp_dds_stats last;
};

struct bp_take {
    struct bp_take_opts o;   /* constant */
    struct bp_recorder *rec; /* constant */
    unsigned slot;           /* constant */
    bool stopped;            /* [lock] written by its owner alone */
    uint32_t topics;         /* [rec.lock] */
    uint32_t refused;        /* [rec.lock] topics beyond max_topics */
    _Atomic bool paused;
    _Atomic int limit; /* enum bp_take_limit */
    _Atomic int64_t thin_gap;
    _Atomic uint64_t received, bytes;
};

struct bp_recorder {
    struct bp_recorder_opts o;       /* constant */
    struct domain *domains;          /* owned, o.ndomains */
    pthread_rwlock_t gate;           /* see above */
    pthread_mutex_t lock;            /* see above */
    struct bp_take *takes[BP_TAKES]; /* [lock] borrowed; a slot is free again at its close */
    struct bp_watch *watches;        /* [lock] borrowed, until their close */
    uint32_t histories;              /* [lock] bit per take that is no session's */
    struct topic *topics;            /* [lock] owned, by key */
    struct source *sources;          /* [lock] owned, by guid */
    struct node *nodes;              /* [lock] owned, see nodes.c */
    struct seat *seats;              /* [lock] owned */
    struct bp_robots *robots;        /* [lock] owned */
    bool closing;                    /* [lock] */
    struct want *wants;              /* [lock] oldest first */
    pthread_cond_t wanted;           /* with lock */
    pthread_t resolver;
    bool has_resolver;
    _Atomic int64_t sim_ns; /* latest /clock, 0 = none yet */
    _Atomic uint64_t received, bytes;
};

/* topics.c: runs on graph threads */
void bp_recorder_on_endpoint(void *domain, const struct bp_endpoint *e);
struct source *bp_recorder_source_locked(struct bp_recorder *r, struct topic *t,
                                         const uint8_t guid[static BP_GUID_LEN], uint16_t vendor,
                                         const char *node, const char *hash);
/** Frees a source that is neither in the graph nor held by its subscription any more, and lets the
 *  writers forget it: robots run for years, and every restart of a node brings new ones. */
void bp_recorder_forget_locked(struct bp_recorder *r, struct source *s);
void bp_recorder_notice(const struct bp_recorder *r, const char *text);
void bp_recorder_topic_free(struct topic *t);
/** Subscribes to the topic when a take or a watch wants it, unsubscribes when none does. No lock
 *  held. */
void bp_recorder_tune(struct topic *t);

/* Topics to be tuned once no lock is held: they are freed with the recorder only. */
struct topics {
    struct topic **v;
    size_t n;
};
/** @return 0, -ENOMEM */
int bp_recorder_list_locked(struct bp_recorder *r, struct topics *ret);
/** Tunes each and frees the list. */
void bp_recorder_tune_all(struct topics *list);

/* nodes.c */
void bp_nodes_see_locked(struct bp_recorder *r, const struct bp_endpoint *e);
void bp_nodes_free(struct bp_recorder *r);

/* channels.c: topics as channels and sources of a writer; with recorder.lock held */
/** The source in the file of take `slot`; its channel is made when it has none yet. */
void bp_recorder_share_locked(struct bp_recorder *r, struct source *s, unsigned slot);
/** The topic's channels told anew, in all takes: QoS, robot or definition changed. */
void bp_recorder_changed_locked(struct bp_recorder *r, struct topic *t, struct chan *c);
/** The type of a writer with this hash; known ones are found, others added. NULL: no memory. */
struct chan *bp_recorder_chan_locked(struct topic *t, const char *hash);

/* take.c; with recorder.lock held, and the gate for writing unless the topic is new */
void bp_take_consider_locked(struct bp_take *k, struct topic *t);

/* sink.c: what a take does with its writer or history; as bp_writer_*() */
int bp_take_channel(const struct bp_take *k, const struct bp_channel_def *d, struct bp_error *err);
int bp_take_channel_update(const struct bp_take *k, uint16_t channel,
                           const struct bp_channel_def *d);
int bp_take_source(const struct bp_take *k, const struct bp_source_def *d, struct bp_error *err);
void bp_take_source_gone(const struct bp_take *k, uint32_t source);
void bp_take_accept(const struct bp_take *k, const struct bp_accept *m);
void bp_take_note_loss(const struct bp_take *k, uint32_t source, enum bp_loss why, uint64_t first,
                       uint64_t last);

/* latched.c */
/** Remembers a latched message. Receive threads. */
void bp_latched_put(struct topic *t, struct source *src, const struct bp_sample *s);
/** Hands what is remembered to a take that joins; the gate is held for writing. */
void bp_latched_replay(struct topic *t, unsigned slot, bp_ns_t log_ns);
/** Shows what is remembered to a watch that joins; the gate is held for writing. */
void bp_latched_show(struct topic *t, struct bp_watch *w);
void bp_latched_clear(struct topic *t);

/* watch.c */
/** Links the topic when it fits; recorder.lock held, and the gate for writing unless it is new. */
void bp_watch_consider_locked(struct bp_watch *w, struct topic *t);
/** Shows a sample to all who watch the topic. Receive threads, with the gate held. */
void bp_watch_show(struct topic *t, const struct source *src, const struct bp_sample *s);
/** @param part  seq, times, size, copy and from are filled */
void bp_watch_show_latched(struct bp_watch *w, struct topic *t, const struct source *src,
                           struct bp_watch_sample *part);

/* sample.c: runs on receive threads */
/** True when a rate limit of one per `gap` lets a message of `now` through. */
bool bp_recorder_within_rate(_Atomic int64_t *next_ns, bp_ns_t gap, bp_ns_t now);
void bp_recorder_on_sample(void *topic, const struct bp_sample *s);
void bp_recorder_on_control(void *topic, const struct bp_sample *s);
void bp_recorder_on_missed(void *topic, const struct bp_missed *m);
void bp_recorder_on_parted(void *topic, void *source);

/* definitions.c */
int bp_recorder_resolver_start(struct bp_recorder *r);
void bp_recorder_resolver_stop(struct bp_recorder *r);
void bp_recorder_want_locked(struct bp_recorder *r, struct topic *t, struct chan *c,
                             const char *node);
