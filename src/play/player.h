#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"
#include "wire/qos.h"

/* Plays recordings back into a ROS graph. One owner thread for everything here but the functions
 * marked "any thread"; reading, publishing and /clock have threads of their own. */
struct bp_player;

struct bp_play_remap {
    const char *from, *to; /* ROS names; `from` as recorded, before any prefix */
};

struct bp_play_wait {
    const char *topic; /* as published */
    int readers;
};

/* Texts are borrowed for the player's life. */
struct bp_play_opts {
    const char *const *paths; /* each a file, a session folder or a folder of sessions */
    size_t npaths;
    const char *const *prefixes; /* put in front of topics: one for all paths, or one per path */
    size_t nprefixes;
    /* Instead of those, for topics of one robot (as the recording tells it): from = robot, to =
     * prefix. */
    const struct bp_play_remap *robot_prefixes;
    size_t nrobot_prefixes;
    bool align; /* all recordings begin at the same moment, instead of at their own time */
    uint32_t domain;
    double rate;
    bp_ns_t start_offset; /* from the recording's start */
    bp_ns_t until;        /* end, from the recording's start; 0 = its end */
    bp_ns_t duration;     /* of the part that is played, in recorded time; 0 = all */
    bool loop, paused, keep_stamps;
    int64_t burst;   /* so many messages as fast as it goes, 0 = all; -1 = at their time */
    double clock_hz; /* /clock; 0 = none */
    uint64_t read_ahead_bytes;
    const struct bp_play_remap *remaps;
    size_t nremaps;
    /* Whether a recorded topic is played, and with which QoS (NULL = as recorded). Both may be
     * NULL. Called by bp_player_open(). */
    bool (*want)(void *ctx, const char *topic, const char *type);
    const struct bp_qos *(*qos)(void *ctx, const char *topic);
    void (*notice)(void *ctx, const char *text); /* any of our threads; may be NULL */
    void *ctx;
};

/**
 * Opens the recordings and decides what is published how; joins no domain yet.
 *
 * @return 0; what bp_bag_open() says; -ENOENT when nothing is left to be played; BP_EUSAGE
 */
BP_MUST_CHECK int bp_player_open(const struct bp_play_opts *o, struct bp_player **ret,
                                 struct bp_error *err);

/** Joins the domain and announces the topics. @return 0, BP_EDDS, -ENOMEM */
BP_MUST_CHECK int bp_player_join(struct bp_player *p, struct bp_error *err);
/** True when each topic has a reader (n = 0), or those named have as many as asked for. */
bool bp_player_ready(const struct bp_player *p, const struct bp_play_wait *w, size_t n);
/** Begins, paused if so opted. @return 0 or -EAGAIN */
BP_MUST_CHECK int bp_player_start(struct bp_player *p, struct bp_error *err);

/* Any thread. */
void bp_player_pause(struct bp_player *p, bool paused);
bool bp_player_paused(struct bp_player *p);
/** Publishes the next message of a paused player. */
void bp_player_step(struct bp_player *p);
/** @param rate  kept within 0.01..1000 */
void bp_player_set_rate(struct bp_player *p, double rate);
double bp_player_rate(struct bp_player *p);

/** True when everything was published, or reading failed. */
bool bp_player_over(const struct bp_player *p);

/**
 * Ends; when everything was published, waits up to 10 s until reliable readers have acknowledged.
 *
 * @return 0, or the error that ended the reading (BP_ECORRUPT, …)
 */
int bp_player_stop(struct bp_player *p, struct bp_error *err);
void bp_player_free(struct bp_player *p);
BP_DEFINE_CLEANUP(struct bp_player, bp_player_free)

struct bp_player_topic {
    const char *topic, *type; /* as published; borrowed until free */
    const char *type_hash;    /* or "" */
    const struct bp_qos *qos;
    bool keyed;
    uint64_t messages;  /* in the recordings */
    uint64_t published; /* so far */
    uint64_t failed;
    int readers; /* matched now */
};
size_t bp_player_topics(const struct bp_player *p);
void bp_player_topic(const struct bp_player *p, size_t i, struct bp_player_topic *ret);

struct bp_player_stats {
    bp_ns_t start_ns, end_ns; /* recorded time of the part that is played */
    bp_ns_t now_ns;           /* recorded time playback has reached */
    uint64_t messages, bytes, failed;
    uint64_t rounds;           /* of a loop, completed */
    uint64_t skipped_repeated; /* latched messages repeated at segment heads, not played again */
    /* How far behind their time messages were written (not in bursts and steps). */
    uint64_t timed;
    bp_ns_t late_p50, late_p99, late_max;
    bool all_acknowledged; /* after bp_player_stop() */
};
/** Any thread. */
void bp_player_stats(struct bp_player *p, struct bp_player_stats *ret);
