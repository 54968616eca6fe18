#pragma once

#include <pthread.h>
#include <uthash.h>

#include "base/mutex.h"
#include "base/ulid.h"
#include "net/ws.h"
#include "server/links/links.h"
#include "server/links/store.h"

#define BP_LINK_PROTOCOL "bagpipe-link.1"

enum {
    BP_LINK_MESSAGE = 1 << 20,     /* bytes of a message of an agent */
    BP_LINK_BATCH = 256,           /* events of one message */
    BP_LINK_WINDOW = 256,          /* events on their way at once */
    BP_LINK_COMMANDS = 32,         /* of a device that are not done */
    BP_LINK_KEPT = 64,             /* results of a device that are remembered */
    BP_LINK_STORE = 32 << 20,      /* bytes of events that wait for the disk, of all devices */
    BP_LINK_PER_S = 50,            /* messages of an agent a second */
    BP_LINK_BYTES_PER_S = 2 << 20, /* bytes likewise */
    BP_LINK_BURST_S = 5,           /* of both may come at once */
};

struct bp_links_cmd {
    struct bp_links_cmd *prev, *next;
    unsigned refs; /* [atomic] */
    char id[BP_ULID_TEXT];
    char *text; /* the command as it is sent, but for how long it may take yet */
    bp_ns_t mono_until, mono_ended;
    bool sent;     /* at least once */
    json_t *reply; /* [lock] what there is to tell when it is over */
    struct bp_mutex lock;
    pthread_cond_t over;
    bool done; /* [lock] */
};

/* What a device has of the fan-out; made as somebody asks for it. */
enum bp_links_view { BP_LINKS_STATUS, BP_LINKS_TOPICS, BP_LINKS_SYNC, BP_LINKS_VIEWS };

/* The loop's. */
struct bp_links_dev {
    UT_hash_handle hh;
    char id[BP_LINKS_DEVICE_MAX + 1];
    char log[BP_ULID_TEXT]; /* its numbers are of this log of events */
    uint64_t taken;         /* last event handed to the store */
    uint64_t acked;         /* last one on the disk */
    json_t *hello;          /* as it said last; NULL: never in this life */
    json_t *status, *topics, *sync, *alerts;
    struct bp_links_conn *conn; /* NULL: not connected */
    unsigned generation;        /* of its connections */
    bool told_stale;
    bool removed; /* it may not come in any more: forgotten when its link has ended */
    bp_ns_t wall_seen, mono_seen;  /* a message came; mono 0 = not in this life */
    bp_ns_t mono_topics_until;     /* somebody wants its topics */
    bool wants_topics;             /* what it was told */
    struct bp_links_cmd *commands; /* not done, in order */
    struct bp_links_cmd *results;  /* done, oldest first */
    unsigned ncommands, nresults;
    struct bp_channel *views[BP_LINKS_VIEWS]; /* [links.lock] */
};

/* A connection; the loop's. */
struct bp_links_conn {
    struct bp_links_conn *prev, *next; /* in links.unknown while it has no device */
    struct bp_links *links;
    char proved[BP_LINKS_DEVICE_MAX + 1]; /* "" = not */
    char peer[64];
    struct bp_ws *ws;
    struct bp_links_dev *dev; /* NULL before its hello */
    bp_ns_t mono_opened;
    double messages, bytes; /* that it may send now */
    bp_ns_t mono_filled;
    bool away;    /* was asked to go */
    bool unknown; /* in links.unknown */
};

struct bp_links {
    struct bp_links_options o;
    struct bp_fanout *fanout; /* one loop */
    struct bp_loop *loop;
    struct bp_ws_server *ws;
    struct bp_links_store *store;
    struct bp_loop_tick tick;
    struct bp_links_dev *devs;     /* by id */
    struct bp_links_conn *unknown; /* open, and have not said hello, oldest first */
    bool ticking;
    struct bp_mutex lock; /* leaf: `views` of devices */
};

extern struct bp_links_stats {
    struct bp_gauge online, devices;
    struct bp_counter messages, events, refused, commands, expired;
} bp_links_stats;

/* links.c; loop thread */
/** It is no more one of those that have not said hello. */
void bp_links_known(struct bp_links_conn *c);
/** Sends to an agent. @param message  taken over */
void bp_links_send(struct bp_links_conn *c, json_t *message);
/** Tells news "robots" of a device: online, offline, stale. */
void bp_links_tell(struct bp_links *l, const struct bp_links_dev *d, const char *event);
/** To those who look at the device. @param data  borrowed */
void bp_links_publish(struct bp_links *l, struct bp_links_dev *d, enum bp_links_view v,
                      const json_t *data);
/** Makes it when there is room. */
struct bp_links_dev *bp_links_make(struct bp_links *l, const char *id);
/** Writes down what is known of it. @return 0; -ENOBUFS, -ENOMEM: not this time */
int bp_links_note(struct bp_links *l, struct bp_links_dev *d);
struct bp_links_dev *bp_links_find(struct bp_links *l, const char *id);
const char *bp_links_state(const struct bp_links *l, const struct bp_links_dev *d);

/* message.c; loop thread */
void bp_links_message(struct bp_links_conn *c, json_t *message);
/** Events are on the disk: they are acknowledged, and news. @param b  taken over */
void bp_links_stored(struct bp_links *l, struct bp_links_batch *b, int r);

/* command.c; loop thread */
void bp_links_cmd_send_all(struct bp_links_dev *d);
void bp_links_cmd_result(struct bp_links_dev *d, const json_t *result);
void bp_links_cmd_tick(struct bp_links_dev *d, bp_ns_t now);
void bp_links_cmd_drop_all(struct bp_links_dev *d);
