#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

/* What `bagpipe top` knows: the agent's answers as plain values, with what they were before. No
 * terminal and no network in here. All texts come from elsewhere and are cleaned on their way in
 * (bp_top_clean()), all lists are bounded. For one thread. */

enum {
    BP_TOP_HISTORY = 60,  /* values a sparkline can look back */
    BP_TOP_TOPICS = 5000, /* more are counted as hidden */
    BP_TOP_SESSIONS = 32,
    BP_TOP_ROBOTS = 32,
    BP_TOP_ALERTS = 32,
    BP_TOP_LINES = 100, /* of the log */
};

/* The last values of something, oldest first. */
struct bp_top_history {
    float v[BP_TOP_HISTORY];
    size_t n;
};

struct bp_top_topic {
    char name[256], type[96], robot[64];
    int domain, writers, sessions;
    bool subscribed; /* somebody records it, so that rates are known */
    bool deaf;       /* wanted, but cannot be */
    double hz, bytes_per_s;
    double age_s; /* of the newest message; < 0: not known */
    int64_t lost;
    struct bp_top_history rates;
    uint64_t seen; /* number of the update it was last in */
};

struct bp_top_session {
    char id[32], name[128], status[16], class_[16], error[128];
    int64_t started_ns, messages, bytes, lost;
};

struct bp_top_robot {
    char name[64];
    int topics;
    double hz, bytes_per_s;
    int64_t lost;
};

struct bp_top_alert {
    char severity[16], key[64], text[256];
};

struct bp_top_line {
    char time[12], level[12], text[256]; /* time: local, HH:MM:SS */
};

enum bp_top_sort {
    BP_TOP_BY_NAME,
    BP_TOP_BY_RATE,
    BP_TOP_BY_BYTES,
    BP_TOP_BY_LOST,
    BP_TOP_SORTS,
};

struct bp_top_model {
    /* the agent */
    bool there;        /* it answered the last time */
    bool ever;         /* it has answered at all */
    char trouble[200]; /* why it did not */
    char version[32], state[24], takes[32];
    double uptime_s;
    int64_t topics, writers, subscribed, udp_drops, lost;
    int64_t ring_used, ring_size;
    double fullest_ring; /* 0…1 */
    int64_t disk_free, disk_size;
    char dir[256];
    char degraded[96];             /* steps in effect, or "" */
    char sync[24], sync_text[200]; /* its state, "" = no upstream; why, or "" */
    int64_t sync_bytes;            /* that wait */
    double sync_rate, sync_left_s; /* bytes/s; < 0: not known */
    double hz, bytes_per_s;
    struct bp_top_history rates, bytes;
    double cpu, load, memory; /* cpu and memory 0…1; < 0: not known */
    double temperature;       /* hottest, °C; < -273: not known */

    struct bp_top_topic *topic; /* owned */
    size_t ntopics, cap;
    size_t *shown; /* owned; indexes into `topic`, sorted, after the filter */
    size_t nshown;
    int64_t hidden; /* topics beyond BP_TOP_TOPICS */
    struct bp_top_session session[BP_TOP_SESSIONS];
    size_t nsessions;
    struct bp_top_robot robot[BP_TOP_ROBOTS];
    size_t nrobots;
    struct bp_top_alert alert[BP_TOP_ALERTS];
    size_t nalerts;
    struct bp_top_line line[BP_TOP_LINES]; /* oldest first */
    size_t nlines;

    /* what the user chose */
    enum bp_top_sort sort;
    bool reverse;
    char filter[64];
    char chosen[32]; /* id of the session that keys are about, or "" */
    size_t top;      /* first topic shown */

    /* for differences */
    uint64_t updates;
    bp_ns_t before_mono; /* 0: nothing to compare with */
    int64_t before_messages, before_bytes;
};

/* One round of answers; any may be NULL (not asked, refused, an older agent). Borrowed. */
struct bp_top_docs {
    const json_t *status, *topics, *alerts, *logs, *host;
    const json_t *recording, *paused; /* pages of sessions */
    bp_ns_t mono;                     /* when they were asked for */
};

/** Zero is an empty model. Takes NULL. */
void bp_top_model_done(struct bp_top_model *m);

/**
 * Takes in a round of answers. Rates over all topics are differences to the round before, and what
 * the agent says on the first round or after it was started anew.
 *
 * @return 0 or -ENOMEM, which leaves the lists as they were
 */
BP_MUST_CHECK int bp_top_update(struct bp_top_model *m, const struct bp_top_docs *docs);

/** The agent did not answer, for this reason. What was known stays, to be shown as old. */
void bp_top_gone(struct bp_top_model *m, const char *why);

/** Sorts by this; the second time in a row the other way round. */
void bp_top_sort(struct bp_top_model *m, enum bp_top_sort sort);

/** Shows topics with this in name, type or robot, whatever the case; "" for all. */
void bp_top_filter(struct bp_top_model *m, const char *text);

/** Goes to the next session that runs. */
void bp_top_choose_next(struct bp_top_model *m);

/** The session that keys are about: the chosen one, else the first; NULL when none runs. */
const struct bp_top_session *bp_top_chosen(const struct bp_top_model *m);

/**
 * Copies UTF-8 for a terminal: control characters of either set, DEL, marks that turn the direction
 * of text, line separators and what is no UTF-8 become '?'. Cut between characters, terminated.
 *
 * @param cap  size of `ret`, at least 1
 */
void bp_top_clean(char *ret, size_t cap, const char *text);

/**
 * Reads one character of UTF-8.
 *
 * @param ret_len  bytes it has, at least 1; not called at the end of the text
 * @return its code point, or 0xfffd for what is no UTF-8 (then one byte long)
 */
uint32_t bp_top_rune(const char *text, size_t *ret_len);
