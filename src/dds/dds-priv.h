#pragma once

/* Inside dds/ only: what domain.c, graph.c, reader.c, writer.c and call.c share.
 *
 * Locks, in the order they may be taken:
 *   bp_dds.lock  graph, lists of subscriptions, publications, nodes, paths. Cyclone may be called
 *                while holding it: nothing Cyclone calls back takes it.
 *   bp_sub.lock  table of writers; leaf but for writer.lock. Taken in receive threads, so never
 *                held while calling Cyclone.
 *   writer.lock  one delivery at a time per writer. */

#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "dds/dds.h"
#include "dds/discovery.h"
#include "dds/raw.h"

#define BP_DISCOVERY_TOPIC "ros_discovery_info"
#define BP_DISCOVERY_TYPE  "rmw_dds_common::msg::dds_::ParticipantEntitiesInfo_"

/* ---- configuration (config.c) ---- */

enum { BP_MAX_INTERFACES = 4 }; /* MAX_XMIT_CONNS of Cyclone 0.10 */

struct bp_interfaces {
    size_t n;
    struct {
        char name[IF_NAMESIZE];
        unsigned index;   /* of the kernel; another one when the device was made anew */
        uint32_t address; /* IPv4, network order */
        bool loopback;
    } v[BP_MAX_INTERFACES];
    char left_out[128]; /* names that found no place, "" when none */
};

/** The interfaces a domain should use now: up, with IPv4, no container bridges, `lo` last. */
int bp_interfaces_now(struct bp_interfaces *ret, struct bp_error *err);

/** Our own configuration as XML. `auto_index`: take a well-known participant port. */
void bp_config_xml(const struct bp_dds_opts *o, const struct bp_interfaces *i, bool auto_index,
                   const char *user, struct bp_buf *out);

/**
 * Loads CYCLONEDDS_URI (XML text, file:// addresses, comma separated) as XML fragments, with
 * <Domain Id="N"> of our domain made "any".
 */
int bp_config_user(const char *uri, uint32_t domain, struct bp_buf *out, struct bp_error *err);

/** Cuts the first element (or attribute) called `name` out of xml. @return whether there was one */
bool bp_config_cut(struct bp_buf *xml, const char *name);

/* ---- domain ---- */

struct bp_path;

struct bp_ep {            /* an endpoint of the graph */
    struct bp_endpoint e; /* its strings are owned by `text` */
    char *text;
    char *node; /* owned copy of e.node, or NULL */
    bool partitioned, exclusive;
    unsigned paths; /* bit per bp_path.index that sees it */
    UT_hash_handle hh;
};

struct bp_part { /* a participant that sent ros_discovery_info */
    struct bp_discovery_info info;
    UT_hash_handle hh; /* by info.participant */
};

/* One Cyclone domain object with one participant. A bp_dds has one, and two while it moves to a
 * changed set of interfaces. */
struct bp_path {
    struct bp_dds *d;
    unsigned index; /* 0..31, unique among the live ones of a bp_dds */
    uint32_t id;    /* Cyclone's own id of the domain object; the wire shows opts.domain */
    struct bp_interfaces interfaces;
    dds_entity_t domain, participant;
    dds_entity_t graph[2]; /* builtin readers: publications, subscriptions */
    dds_entity_t people;   /* builtin reader: participants */
    dds_entity_t info_topic, info_reader, info_writer;
    struct ddsi_sertype *info_type;
    uint8_t guid[BP_GUID_LEN];
    uint32_t rcvbuf;      /* bytes the kernel gave */
    uint32_t npeople;     /* [d->lock] participants of others */
    unsigned pubs;        /* publications that live here */
    struct bp_path *next; /* older ones behind */
};

struct bp_node {
    struct bp_dds *d;
    char *name; /* "/ns/name" */
    struct bp_node *next;
};

struct bp_dds {
    struct bp_dds_opts opts; /* strings owned */
    struct bp_dds_events ev;
    pthread_t graph_thread;
    bool graph_running;
    int wake_fd;    /* eventfd: something for the graph thread */
    int netlink_fd; /* interface changes, or -1 */
    atomic_bool stop;

    pthread_mutex_t lock;
    struct bp_path *paths; /* [lock] newest first */
    struct bp_ep *eps;     /* [lock] by guid */
    struct bp_part *parts; /* [lock] */
    struct bp_sub *subs;   /* [lock] list */
    struct bp_pub *pubs;   /* [lock] list */
    struct bp_node *nodes; /* [lock] list */
    bool nodes_changed;    /* [lock] ros_discovery_info must be sent anew */
    bool fixed_interfaces; /* the user's configuration names them */
    bp_ns_t joined;        /* constant; monotonic, when this was opened */
    bp_ns_t met_last;      /* [lock] monotonic, when the newest participant was met */

    /* Participants of ours, ever; written by whoever opens a path, read in receive threads. */
    uint8_t own[16][12];
    atomic_uint nown; /* those below are constant */

    bp_ns_t move_check;   /* [graph thread] when to look at the interfaces, 0 = not */
    bp_ns_t move_started; /* [graph thread] last time */

    pthread_mutex_t notes_lock; /* leaf; taken in Cyclone's threads */
    char *notes[16];            /* [notes_lock] for the graph thread to hand on */
    unsigned nnotes;
    uint64_t notes_lost;

    uint64_t rcvbuf_errors; /* of the host, at open */
};

/** Wakes the graph thread. Any thread, also Cyclone's. */
void bp_dds_wake(struct bp_dds *d);
/** Queues a notice for the graph thread to hand to the user. Any thread, also Cyclone's. */
void bp_dds_note(struct bp_dds *d, const char *fmt, ...) BP_PRINTF(2, 3);

/** Opens one more Cyclone domain object on the given interfaces. Not linked in yet. */
int bp_path_open(struct bp_dds *d, const struct bp_interfaces *i, struct bp_path **ret,
                 struct bp_error *err);
void bp_path_close(struct bp_path *p);

/* ---- graph.c ---- */
int bp_graph_start(struct bp_dds *d, struct bp_error *err);
void bp_graph_stop(struct bp_dds *d);
/** Attaches a path's builtin readers. */
int bp_graph_watch(struct bp_path *p, struct bp_error *err);
void bp_graph_free(struct bp_dds *d);
/** What only this path saw is gone; it is unlinked from d->paths already. Graph thread. */
void bp_graph_drop_path(struct bp_dds *d, struct bp_path *p);

/* ---- move.c: other interfaces ---- */
/** @return a netlink socket or a negative code */
int bp_move_open(struct bp_error *err);
void bp_move_event(struct bp_dds *d);
/** Graph thread, after each wake-up. @return milliseconds to sleep at most, -1 = any */
int bp_move_tick(struct bp_dds *d);

/* ---- reader.c ---- */
struct bp_sub_want { /* which reader hears a writer */
    uint8_t rank;    /* 0 best effort, 1 reliable, 2 reliable and transient local */
    bool partitioned, exclusive;
};
struct bp_sub_want bp_sub_want_of(const struct bp_ep *e);
/** Makes the readers that this writer needs, on all paths. Holds d->lock. */
void bp_sub_meet_locked(struct bp_dds *d, const struct bp_ep *e);
/** Makes readers on a new path for every known writer. Holds d->lock. */
void bp_sub_extend_locked(struct bp_dds *d, struct bp_path *p);
/** Deletes the readers of a path that is about to close. Holds d->lock. */
void bp_sub_retract_locked(struct bp_dds *d, const struct bp_path *p);
/** A writer is gone: its table entries may go. Holds d->lock. */
void bp_sub_part_locked(struct bp_dds *d, const struct bp_ep *e);
/** Looks how far writers have got of whom nothing was delivered yet. Graph thread.
 *  @return whether to look again soon */
bool bp_sub_look(struct bp_dds *d);

/* ---- writer.c ---- */
/** Sends ros_discovery_info on every path. Holds d->lock. */
void bp_node_announce_locked(struct bp_dds *d);
void bp_node_free(struct bp_node *n);

/* ---- qos.c ---- */
void bp_qos_from_dds(const dds_qos_t *q, uint16_t vendor, struct bp_qos *ret);
/** @return a heap QoS (dds_delete_qos) or NULL */
dds_qos_t *bp_qos_to_dds(const struct bp_qos *q);
