#pragma once

/* Inside play/ only: what player.c (control and publishing), player-plan.c (what is published how)
 * and player-feed.c (reading ahead) share.
 *
 * Time: `pos` is the playback's own time line in ns: 0 where the played part begins, going on over
 * the rounds of a loop. Recorded time = start_ns + pos mod span. */

#include <pthread.h>
#include <stdatomic.h>

#include "bag/reader.h"
#include "base/mutex.h"
#include "dds/dds.h"
#include "play/player.h"

/* One publication. */
struct bp_play_topic {
    char *topic, *type, *type_hash; /* owned */
    struct bp_qos qos;
    bool latched, keyed;
    bool fixed;        /* its QoS was given by the user */
    uint64_t messages; /* recorded */
    struct bp_pub *pub;
    struct bp_play_seen *seen; /* [feed] of a latched topic: what was handed on already */
    _Atomic uint64_t published, failed;
};

/* One of the recordings. */
struct bp_play_bag {
    struct bp_bag *bag;
    struct bp_bag_iter *it;
    bool *wanted;  /* by channel */
    size_t *topic; /* by channel: index of its bp_play_topic */
    bp_ns_t shift; /* added to its log times: 0, or what aligns it with the first one */
    struct bp_bag_msg head;
    bool have; /* head is the next message */
};

/* A message on its way from the feed to the publisher. */
struct bp_play_item {
    struct bp_play_item *next;
    bp_ns_t pos, stamp; /* stamp: recorded publish time */
    uint32_t topic;
    uint32_t size;
    uint8_t data[];
};

struct bp_play_queue {
    struct bp_mutex lock; /* leaf */
    pthread_cond_t changed;
    struct bp_play_item *first, **end; /* [lock] */
    uint64_t bytes;                    /* [lock] */
    bool over, stop;                   /* [lock] nothing follows; nobody wants more */
};

enum { BP_PLAY_LATE_BUCKETS = 10000 };
#define BP_PLAY_LATE_STEP (10 * BP_US)

struct bp_player {
    struct bp_play_opts opts; /* texts borrowed */
    struct bp_play_bag *bags;
    size_t nbags;
    struct bp_play_topic *topics;
    size_t ntopics, topics_cap;
    bp_ns_t start_ns, end_ns; /* the part that is played, [start, end) of recorded time */
    bp_ns_t first_ns;         /* where the recordings begin */

    struct bp_dds *dds;
    struct bp_pub *clock_pub;
    pthread_t feed_thread, publish_thread, clock_thread;
    bool feed_running, publish_running, clock_running;

    struct bp_play_queue queue;
    struct bp_error feed_error; /* [feed] until joined */
    int feed_result;            /* [feed] until joined */
    atomic_bool over;
    _Atomic uint64_t rounds, skipped_repeated;

    struct bp_mutex lock; /* leaf: the time line */
    pthread_cond_t moved;
    bool paused, stop;   /* [lock] */
    unsigned steps;      /* [lock] messages to let through while paused */
    double rate;         /* [lock] */
    bp_ns_t anchor_mono; /* [lock] at this moment ... */
    bp_ns_t anchor_pos;  /* [lock] ... playback was here */

    _Atomic uint64_t messages, bytes, failed;
    _Atomic uint64_t late[BP_PLAY_LATE_BUCKETS]; /* by 10 us */
    _Atomic bp_ns_t late_max;
    bool all_acknowledged;
};

/** Fills bags, topics and the range. */
int bp_play_plan(struct bp_player *p, struct bp_error *err);
void bp_play_plan_done(struct bp_player *p);

/** The feed's thread: reads, merges, queues, round after round. */
void *bp_play_feed(void *arg);
void bp_play_feed_done(struct bp_player *p);

/** The next item, owned by the caller; NULL at the end. Waits. */
struct bp_play_item *bp_play_queue_pop(struct bp_play_queue *q);
void bp_play_queue_stop(struct bp_play_queue *q);
