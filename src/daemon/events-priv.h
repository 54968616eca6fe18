#pragma once

#include <jansson.h>

#include "base/mutex.h"
#include "base/ulid.h"
#include "catalog/scope.h"
#include "daemon/events.h"
#include "net/ws.h"

enum {
    BP_EVENTS_FEEDS = 64,              /* subscriptions of one connection */
    BP_EVENTS_NAME = 300,              /* bytes of a topic's name */
    BP_EVENTS_MESSAGE = 16 * 1024,     /* of a client */
    BP_EVENTS_ANSWERS = 256 * 1024,    /* that wait for a client to read them */
    BP_EVENTS_VIEWS = 64,              /* different scopes of those who ever subscribed */
    BP_EVENTS_VIEW_REPLAY = 64 * 1024, /* bytes a topic of one remembers at most */
};

/* What those with the same scope are told: channels of their own, so that also the numbers of news
 * and what is told again to who comes back is theirs alone. Lives as long as the events. */
struct bp_events_view {
    struct bp_events_view *next;                       /* constant once it is in the list */
    char scope[BP_SCOPE];                              /* "" = everything */
    char boot[BP_ULID_TEXT];                           /* sequence numbers are of this life */
    struct bp_channel *channels[BP_EVENTS_TOPICS_MAX]; /* in the order of the table; or NULL */
};

struct bp_events {
    struct bp_events_opts o;
    struct bp_fanout *fanout;
    struct bp_ws_server *ws;
    struct bp_events_view all;      /* of those without a scope */
    struct bp_events_view *views;   /* [atomic] of others; grows at its head, under view_lock */
    struct bp_mutex view_lock;      /* leaf */
    void *more[BP_EVENTS_MORE_MAX]; /* what each of the owner's opened, in their order */
    bool listening;
};

/** The channel of a topic, a reference. @return NULL: `err` says why */
struct bp_channel *bp_events_channel(struct bp_events *e, const struct bp_events_view *v,
                                     const char *name, struct bp_error *err);

/** A JSON document as a frame; NULL when out of memory. @param json  taken over */
struct bp_frame *bp_events_frame(json_t *json);
/** The notice that `n` messages were dropped. */
struct bp_frame *bp_events_lost(const struct bp_channel *ch, uint64_t n);
/** Answers a message of a client, on its loop, unless it is one that needs no answer.
 *  @param json  NULL: `why` says why it cannot be done */
void bp_events_hear(struct bp_events *e, const struct bp_events_view *v, struct bp_peer *p,
                    const json_t *json, const char *why);

/* --- events-ask.c: what a client wants --- */

struct bp_events_want {
    struct bp_channel *channel; /* a reference */
    struct bp_feed_options o;
};

/* All of a message is looked at before any of it is done. */
struct bp_events_ask {
    const struct bp_events_view *view; /* of who asks */
    struct bp_events_want add[BP_EVENTS_FEEDS];
    size_t nadd;
    struct bp_channel *drop[BP_EVENTS_FEEDS]; /* references */
    size_t ndrop;
    struct {
        struct bp_channel *channel; /* a reference */
        unsigned n;
    } credit[BP_EVENTS_FEEDS];
    size_t ncredit;
    bool restarted; /* what it saw last is of an earlier life of the daemon */
};

/** @param view, json  of a client, and its message
 *  @return 0, BP_EUSAGE; bp_events_ask_done() in any case */
BP_MUST_CHECK int bp_events_ask(struct bp_events *e, const struct bp_events_view *view,
                                const json_t *json, struct bp_events_ask *ret,
                                struct bp_error *err);
void bp_events_ask_done(struct bp_events_ask *a);
/**
 * Does it for a peer, on its loop.
 *
 * @param answer  an object that gets "subscribed", "unsubscribed", "restarted"
 * @return 0, BP_EUSAGE, -ENOMEM
 */
BP_MUST_CHECK int bp_events_do(struct bp_events *e, struct bp_peer *p,
                               const struct bp_events_ask *a, json_t *answer, struct bp_error *err);
