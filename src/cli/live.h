#pragma once

#include <pthread.h>

#include "cli/verb.h"
#include "dds/dds.h"

/* What the verbs that look at a live graph share: domains, Ctrl-C, and subscriptions that start by
 * themselves when a wanted topic shows up. */

/* A topic with one type in one domain. Made when its first endpoint appears, stays until the end.
 * The texts are constant. */
struct bp_live_topic {
    struct bp_live *live;
    uint32_t domain;
    enum bp_endpoint_kind kind;
    char *topic, *type, *dds_topic, *dds_type;
    char *type_hash; /* first one seen, or "" */
    bool keyed;
    struct bp_dds *dds;
    struct bp_sub *sub; /* [live.lock] once subscribed */
    void *user;         /* the verb's own; set by opts.topic before the first sample */
    struct bp_live_topic *next;
};

/* An endpoint that is or was there. */
struct bp_live_endpoint {
    struct bp_endpoint e; /* only the numbers; texts are below and in `topic` */
    char *node;
    struct bp_live_topic *topic;
    struct bp_live_endpoint *next;
};

struct bp_live_opts {
    const struct bp_opt_list *domains; /* --domain; empty: ROS_DOMAIN_ID, else 0 */
    /* Whether to subscribe once the topic has a writer. NULL = never. */
    bool (*want)(void *ctx, const struct bp_live_topic *t);
    int (*topic)(void *ctx, struct bp_live_topic *t); /* a new topic; may be NULL */
    bp_sample_fn sample;                              /* its ctx is the bp_live_topic */
    void *ctx;
};

struct bp_live {
    struct bp_live_opts o;
    struct bp_dds *dds[64]; /* [lock] */
    uint32_t ids[64];       /* constant; their domains */
    size_t n, wanted;       /* [lock] open ones; constant */
    int signals;            /* signalfd of SIGINT and SIGTERM */
    pthread_mutex_t lock;
    struct bp_live_topic *topics;       /* [lock] */
    struct bp_live_endpoint *endpoints; /* [lock] */
    bp_ns_t changed_mono;               /* [lock] last time the graph changed; 0 = never */
};

/** Joins the domains. `l` must stay where it is until bp_live_close(). */
BP_MUST_CHECK int bp_live_open(struct bp_live *l, const struct bp_live_opts *o,
                               struct bp_error *err);
/** Leaves the domains; nothing changes any more, topics and endpoints stay. */
void bp_live_stop(struct bp_live *l);
void bp_live_close(struct bp_live *l);

/** Sleeps until mono_until. @return true when the user wants to end (Ctrl-C) */
bool bp_live_wait(struct bp_live *l, bp_ns_t mono_until);

/**
 * Whether a topic is meant by a word of the user: a name with or without its first slash, or a
 * pattern with '*'. A pattern never means a service or a plain DDS topic, a full name does.
 */
bool bp_live_match(const char *word, const struct bp_live_topic *t);
