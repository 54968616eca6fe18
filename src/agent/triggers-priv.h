#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "agent/triggers.h"
#include "base/log.h"
#include "base/queue.h"
#include "record/watch.h"

/* Inside of triggers:
 *
 *   triggers.c         opens and closes; messages and ticks; when a trigger begins and ends
 *   triggers-reload.c  which triggers there are; a changed configuration
 *   trigger-bind.c     topics of the graph to feeds, triggers to instances (one per robot)
 *   trigger-actions.c  what is done, on the threads `actions` and `webhooks`
 *   trigger-facts.c    numbers about this machine
 *   triggers-json.c    tells
 *
 * `lock` protects everything but what says otherwise. It is taken before recorder.lock and the
 * gate, never by a receive thread, and not held over an action. */

enum { HISTORY = 128, MATCH = 160 };
#define TICK (50 * BP_MS)

struct instance;
struct trigger;

struct link { /* a feed's messages are topic `ref` of an instance */
    struct instance *instance;
    size_t ref;
    struct link *next;
};

struct feed { /* a topic of the graph; lives as long as the triggers */
    struct bp_triggers *all;
    char *topic, *type;       /* owned, constant; name in the graph */
    uint32_t domain;          /* constant */
    struct bp_schema *schema; /* owned; NULL: not known (yet) */
    struct bp_watch *watch;   /* while somebody is linked */
    struct link *links;       /* owned */
    bool fresh;               /* somebody was linked since the watch was opened */
    _Atomic bool payload;
    _Atomic uint64_t count;    /* written by receive threads */
    _Atomic int64_t last_mono; /* the same; 0 = none yet */
    bp_ns_t window;            /* longest one of rate() */
    struct {
        bp_ns_t mono;
        uint64_t count;
    } history[HISTORY]; /* ring, the newest at nhistory - 1 */
    size_t nhistory;
    struct feed *next;
};

enum phase { PHASE_IDLE, PHASE_PENDING, PHASE_ACTIVE };

struct instance { /* a trigger for one robot */
    struct trigger *trigger;
    uint32_t domain;
    char match[MATCH]; /* what '*' stands for */
    char robot[128];
    char fired_robot[128]; /* what it was called when it began */
    struct feed *feeds[BP_EXPR_MAX_TOPICS];
    struct bp_program *program; /* owned; NULL: not bound, or `error` */
    struct bp_state *state;     /* owned */
    enum phase phase;
    enum bp_truth truth;
    bool quiet;               /* active, but it began in the cool-down */
    bool external;            /* external() is true just now */
    bp_ns_t since_mono;       /* pending or active since */
    bp_ns_t over_mono;        /* the end's condition holds since; 0 = it does not */
    bp_ns_t fired_mono;       /* last time; 0 = never */
    uint64_t fed, unreadable; /* messages */
    char error[400];
    struct instance *next;
};

struct trigger { /* shared: of the list, of firings and webhooks under way */
    _Atomic unsigned refs;
    struct bp_trigger_rule rule; /* owned, constant */
    char *source;                /* owned, constant: as configured, without the place */
    bool enabled, probe;         /* probe: of bp_triggers_test(), never fires */
    struct instance *instances;  /* owned */
    uint64_t fired, suppressed;
    bp_ns_t fired_wall;
    struct bp_log_limit limit; /* [action thread] */
    char session[27];          /* [action thread] that it started, or "" */
    struct trigger *next;
};

/* What happened, on its way to the action thread. */
struct firing {
    struct trigger *trigger; /* a reference; NULL: a mark from a topic */
    struct trigger *heir;    /* a reference: takes over what `trigger` started; else NULL */
    bool end;
    bool quiet;  /* alerts only */
    bool broken; /* its condition does not fit the types; `text` says why */
    char robot[128], match[MATCH];
    char text[300];
    json_t *values; /* owned: object of texts */
    bp_ns_t wall_ns;
};

struct hook {
    struct trigger *trigger;                /* a reference */
    const struct bp_trigger_action *action; /* of its rule */
    json_t *body;                           /* owned */
};

struct facts {
    double v[BP_SOURCE_N_];
    uint32_t wanted;      /* bit per source */
    uint64_t busy, total; /* of the processors, when last looked */
};

struct bp_triggers {
    struct bp_triggers_opts o;
    pthread_mutex_t lock;
    pthread_cond_t judged; /* with lock: something of a probe may have changed */
    struct trigger *triggers;
    struct feed *feeds;
    struct bp_watch_queue *queue; /* NULL until somebody needs it */
    struct bp_watch *marks;       /* [configuring] of mark_topic */
    char *mark_topic;             /* [configuring] owned */
    bool dirty;                   /* bind anew */
    size_t topics_seen;           /* in the graph, when bound last */
    bool testing;                 /* one at a time: it holds a thread of the server */
    bp_ns_t next_look;
    struct facts facts;
    struct bp_queue *firings, *hooks; /* constant; pointers */
    pthread_t actions, webhooks;
    bool has_actions, has_webhooks;
    atomic_bool ending;
    _Atomic uint64_t lost_firings, marks_taken, hooks_sent, hooks_failed, failed[BP_ACTION_N_];
};

/* trigger-bind.c; with `lock` held */
/** Instances and feeds as the graph has them now. */
void bp_triggers_bind_locked(struct bp_triggers *t);
void bp_instances_drop_locked(struct trigger *g);
/** The condition does not fit, or does again (""): for the log, and an alert. */
void bp_instance_complain_locked(struct bp_triggers *t, struct instance *i, const char *error);
/** Closes the watches that nobody is linked to. */
void bp_feeds_sweep_locked(struct bp_triggers *t);
double bp_feed_rate(const struct feed *f, bp_ns_t now, double seconds);
void bp_feed_note(struct feed *f, bp_ns_t now);
void bp_feed_free(struct feed *f);

/* triggers.c */
/** Hands over to the action thread; takes the firing over. */
void bp_triggers_send(struct bp_triggers *t, struct firing *f);
void bp_feed_on_message(void *feed, const struct bp_watch_sample *s);
/** Starts the thread that judges. @return 0, -ENOMEM, -EAGAIN */
int bp_triggers_engine_locked(struct bp_triggers *t, struct bp_error *err);
void bp_triggers_on_mark(void *triggers, const struct bp_watch_sample *s);
/** Ends what is active, takes complaints back and lets go of every topic. */
void bp_trigger_quit_locked(struct bp_triggers *t, struct trigger *g);

/* triggers-reload.c */
struct trigger *bp_trigger_ref(struct trigger *g);
/** Takes NULL. */
void bp_trigger_unref(struct trigger *g);

/* trigger-actions.c */
int bp_trigger_actions_start(struct bp_triggers *t, struct bp_error *err);
void bp_trigger_actions_stop(struct bp_triggers *t);
void bp_firing_free(struct firing *f);
/** Takes the firing over. */
void bp_triggers_do(struct bp_triggers *t, struct firing *f);

/* trigger-facts.c */
void bp_facts_want(void *facts, const struct bp_expr_ask *ask);
void bp_facts_look(struct facts *f, const char *dir);

/* triggers-json.c */
/** {"text": "0.12", …}: what the instance's condition looks at. With `lock` held. */
json_t *bp_instance_values(const struct instance *i, bool as_text);
json_t *bp_instance_json(const struct instance *i);
/** The nearest topic of the graph to what a condition speaks of, "" when none is near. */
void bp_triggers_nearest(struct bp_triggers *t, const char *topic, char *ret, size_t cap);
