#pragma once

#include "access/access.h"
#include "daemon/bus.h"
#include "net/fanout.h"
#include "net/http.h"

/* A daemon's news for those outside: GET /api/v1/events as a WebSocket or as server-sent events.
 * What goes over the wire: docs/api/events.md. */
struct bp_events;

enum { BP_EVENTS_TOPICS_MAX = 16, BP_EVENTS_MORE_MAX = 4 };

/* A topic of the bus that is told outside. */
struct bp_events_topic {
    const char *name, *about;
    unsigned replay_frames;
    unsigned replay_bytes;
    /** What bp_events_tick() publishes while somebody has subscribed; NULL: others publish it.
     * Owned by the caller. */
    json_t *(*tick)(void *ctx);
};

/* Topics beyond the table, made as they are asked for: "sample:/TOPIC". */
struct bp_events_more {
    const struct bp_events_more *next; /* other ones, or NULL; BP_EVENTS_MORE_MAX in all */
    const char *form, *about;          /* for the greeting */
    const char *prefix;                /* of their names */
    bp_ns_t min_interval; /* between two of them when the client names no rate; 0 = none */
    /** @return what `channel`, `want` and `close` get; NULL when out of memory */
    void *(*open)(void *ctx, struct bp_fanout *fanout,
                  size_t (*stamp)(const struct bp_channel *ch, uint64_t seq,
                                  char out[BP_STAMP_MAX]));
    /** A reference; NULL: `err` says why. Any thread; does not wait. */
    struct bp_channel *(*channel)(void *more, const char *name, struct bp_error *err);
    /** Somebody subscribed to `ch`, which may be none of these. Loop thread; does not wait. */
    int (*want)(void *more, const struct bp_channel *ch, bp_ns_t interval);
    /** Nobody is subscribed any more. Takes NULL. */
    void (*close)(void *more);
    /** What says in binary messages that they are of `ch`, from 1; 0: it is none of these. Then
     * only policy `latest` is allowed, which server-sent events have not. NULL: all are texts. */
    uint32_t (*stream)(void *more, const struct bp_channel *ch);
};

/* Everything is borrowed and outlives it. */
struct bp_events_opts {
    struct bp_bus *bus;
    void *ctx; /* of `tick`, `open` and `sees` */
    const struct bp_events_topic *topics;
    size_t ntopics;                    /* at most BP_EVENTS_TOPICS_MAX */
    size_t nusual;                     /* how many of them who names none gets */
    const struct bp_events_more *more; /* or NULL */
    struct bp_access *access;          /* connections end with what let them in */
    /** May somebody with this scope (catalog/scope.h) be told a news of this topic? `payload` NULL:
     * any of them? Publisher's thread, or a loop's: must not wait. NULL: who has one is told
     * nothing.
     */
    bool (*sees)(void *ctx, const char *scope, const char *topic, const json_t *payload);
    unsigned max_connections;
};

/** Begins to listen to the bus. @return 0, -ENOMEM, -EAGAIN, -EBUSY */
BP_MUST_CHECK int bp_events_open(const struct bp_events_opts *o, struct bp_events **ret,
                                 struct bp_error *err);
/** Ends the connections (1001). Before bp_http_drain(). Takes NULL. */
void bp_events_stop(struct bp_events *e);
/** After bp_http_close(). Takes NULL. */
void bp_events_close(struct bp_events *e);

/** Once a second: publishes topics that have a `tick` when somebody has subscribed to them. */
void bp_events_tick(struct bp_events *e);

/* Somebody in this process who listens as a WebSocket would: the same messages, asked for in the
 * same way, without a scope. */
struct bp_events_tap;

/**
 * @param ready  there is something to take; the events' loop: must not wait
 * @return NULL when out of memory
 */
struct bp_events_tap *bp_events_tap_open(struct bp_events *e, void (*ready)(void *ctx), void *ctx);
/** Says what a client would: it is answered among what is taken. Any thread; does not wait.
 *  @param message  taken over; nobody else has it or parts of it
 *  @return false: too many wait to be heard, this one is dropped */
BP_MUST_CHECK bool bp_events_tap_say(struct bp_events_tap *t, json_t *message);
/** As of bp_peer_take(); any one thread. */
size_t bp_events_tap_take(struct bp_events_tap *t, struct bp_frame **ret, size_t max,
                          size_t max_bytes);
/** Nobody takes any more. Any thread. Takes NULL.
 *  @param wait  `ready` is not called any more when it returns; not on a loop the events' waits
 * for, and before bp_events_close() */
void bp_events_tap_close(struct bp_events_tap *t, bool wait);

/** For a handler: answers as a WebSocket or as a stream. */
int bp_events_reply(struct bp_events *e, struct bp_http_req *req, struct bp_http_reply *reply,
                    struct bp_error *err);
