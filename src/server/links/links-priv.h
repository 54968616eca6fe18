#pragma once

#include <pthread.h>
#include <uthash.h>

#include "base/mutex.h"
#include "base/ulid.h"
#include "net/pieces.h"
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

    BP_LINK_LIVE = 256,                  /* live streams that are watched, of all devices */
    BP_LINK_LIVE_DEVICE = 48,            /* of one */
    BP_LINK_LIVE_NAME = 400,             /* bytes of the name of one */
    BP_LINK_LIVE_MESSAGE = 4 << 20,      /* bytes of a frame */
    BP_LINK_LIVE_TEXT = 1 << 20,         /* likewise as text */
    BP_LINK_LIVE_BYTES_PER_S = 16 << 20, /* of all streams of a device; twice that at once */
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

/* Something of a device that is watched: "device:ID/image:/topic?width=640". The agent is asked for
 * it once, however many watch, and sends a frame when one of them would show it at once. */
struct bp_links_live {
    uint32_t id; /* in requests to the agent, and in binary messages to those who watch */
    enum { BP_LIVE_MEDIA, BP_LIVE_SAMPLE, BP_LIVE_NEWS } kind;
    char device[BP_LINKS_DEVICE_MAX + 1];
    char name[BP_LINK_LIVE_NAME];
    const char *topic;        /* the agent's name of it: the end of `name` */
    struct bp_fanout *fanout; /* of the events: there while the channel has subscribers */
    struct bp_channel *channel;
    bp_ns_t interval; /* [links.lock] that the quickest of them wants */
    bp_ns_t touched;  /* [links.lock] mono, when somebody asked for it or watched */
    /* the loop's: */
    uint32_t stream; /* what the agent calls it in binary messages */
    bool asked;      /* the agent was asked for it on this connection */
    bool open;       /* and sends it */
    bool credit;     /* it may send one */
    bool told;       /* those who watch know why nothing comes */
    bp_ns_t asked_interval;
    bp_ns_t mono_next; /* not asked for, nor credit given, before */
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
    bool sends;   /* live data when it is asked for it */
    bool watched; /* it was asked */
    struct bp_pieces pieces;
    uint64_t live_got;   /* bytes of pieces, which are acknowledged */
    double live_bytes;   /* that it may send now */
    bp_ns_t live_filled; /* mono */
    bool unknown;        /* in links.unknown */
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
    struct bp_mutex lock; /* leaf: `views` of devices, `lives` */
    /* [lock] entered by any thread, removed by the loop alone */
    struct bp_links_live *lives[BP_LINK_LIVE];
    uint32_t next_live; /* [lock] */
};

extern struct bp_links_stats {
    struct bp_gauge online, devices, live;
    struct bp_counter messages, events, refused, commands, expired, live_frames, live_bytes;
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

/** Text to those who listen to a channel. @param data  borrowed */
void bp_links_publish_to(struct bp_channel *ch, const json_t *data);

/* live.c; loop thread unless said otherwise */
/** As bp_links_channel() for "device:ID/…" that is none of the views. Any thread. */
struct bp_channel *bp_links_live_channel(struct bp_links *l, const struct bp_links_ask *ask,
                                         const char *id, struct bp_error *err);
/** A piece of a frame has come. */
void bp_links_live_piece(struct bp_links_conn *c, struct bp_str piece);
/** A device is there, or not any more: `d->conn` says which. */
void bp_links_live_turn(struct bp_links *l, const struct bp_links_dev *d);
void bp_links_live_tick(struct bp_links *l);
/** The links are at their end. */
void bp_links_live_done(struct bp_links *l);

/* message.c; loop thread */
/** What an agent sends is not as it has to be: ends its link. */
void bp_links_refuse(struct bp_links_conn *c, unsigned code, const char *why);
void bp_links_message(struct bp_links_conn *c, json_t *message);
/** Events are on the disk: they are acknowledged, and news. @param b  taken over */
void bp_links_stored(struct bp_links *l, struct bp_links_batch *b, int r);

/* command.c; loop thread */
void bp_links_cmd_send_all(struct bp_links_dev *d);
void bp_links_cmd_result(struct bp_links_dev *d, const json_t *result);
void bp_links_cmd_tick(struct bp_links_dev *d, bp_ns_t now);
void bp_links_cmd_drop_all(struct bp_links_dev *d);
