#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"

struct bp_recorder;

/* Messages for those who look at them while they pass: triggers, marks from a topic, samples in the
 * API. A watch needs no take; while one is open its topics are subscribed to, on the same DDS
 * readers as any take's, and a message is received once, however many watch and record it. */
struct bp_watch;

/* One message, valid during the callback only; topic, type, robot and hash stay until the
 * recorder's close, node and guid go with their writer. */
struct bp_watch_sample {
    const char *topic; /* as recorded; with several domains it may have a robot's prefix */
    const char *graph; /* ROS name in the graph */
    const char *type, *robot, *node;
    const char *hash; /* type hash its writer told, or "" */
    uint32_t domain;
    const uint8_t *guid; /* of the writer, BP_GUID_LEN bytes */
    uint64_t seq;
    bp_ns_t source_ns; /* wall, by the sender's clock; 0 = not told */
    bp_ns_t recv_ns;   /* wall, by ours */
    bool latched;      /* sent before the watch began, and repeated for it */
    uint32_t size;     /* bytes of CDR with the encapsulation header */
    void (*copy)(const void *from, uint8_t *dst, size_t n); /* private: bp_watch_copy() */
    const void *from;                                       /* private */
};

/** Copies the `s->size` bytes of CDR, encapsulation header first. During the callback. */
void bp_watch_copy(const struct bp_watch_sample *s, uint8_t *dst);
/** The first n bytes, n at most `s->size`. */
void bp_watch_copy_part(const struct bp_watch_sample *s, uint8_t *dst, size_t n);

/**
 * Runs on a receive thread with the recorder's gate held: must not wait, allocate, or call the
 * recorder or bp_dds_*. Calls for one writer never overlap, those for different writers may. A
 * message that is latched by a topic others hear already comes from inside bp_watch_open().
 */
typedef void (*bp_watch_fn)(void *ctx, const struct bp_watch_sample *s);

struct bp_watch_opts {
    const char *topic; /* by its name in the graph or as recorded; '*' matches anything; copied */
    const char *type;  /* the same for the ROS type, or NULL: any; copied */
    double max_hz;     /* of each topic; what is beyond is not shown, and counted; 0 = all */
    bp_watch_fn fn;
    void *ctx;
};

/** @return 0, -ENOMEM. The callback may run before this returns. */
BP_MUST_CHECK int bp_watch_open(struct bp_recorder *r, const struct bp_watch_opts *o,
                                struct bp_watch **ret, struct bp_error *err);
/** No callback runs afterwards; topics that nobody wants any more are unsubscribed. Not from inside
 *  the callback. To be closed before the recorder. Takes NULL. */
void bp_watch_close(struct bp_watch *w);

struct bp_watch_stats {
    uint32_t topics;          /* in the graph that fit */
    uint64_t messages, bytes; /* shown */
    uint64_t skipped;         /* beyond max_hz */
};
void bp_watch_stats(struct bp_watch *w, struct bp_watch_stats *ret);

/* ---- for those who decode: messages copied into a bounded queue, drained by a thread ---- */

struct bp_watch_queue;

/** @param sample  copy and from are NULL; node and guid are copies, valid during the call
 *  @param cdr     its `sample->size` bytes (at most `cut`), borrowed for the call
 *  @param tag     as given to bp_watch_queue_put() */
typedef void (*bp_watch_drain_fn)(void *ctx, const struct bp_watch_sample *sample,
                                  const uint8_t *cdr, void *tag);

struct bp_watch_queue_opts {
    const char *name;        /* of the thread, at most 15 characters */
    unsigned slots;          /* messages that may wait [64] */
    uint32_t max_message;    /* a longer one is dropped, counted [4 MiB] */
    uint32_t cut;            /* of each only so many bytes are copied, and `size` says so [all] */
    bp_watch_drain_fn fn;    /* own thread; may take its time */
    void (*idle)(void *ctx); /* every `tick` on the same thread, also between messages, or NULL */
    bp_ns_t tick;
    void *ctx;
};

/**
 * Starts the thread. Each slot's buffer grows to what was put into it and stays, so that nothing is
 * allocated once sizes are known.
 *
 * @return 0, -ENOMEM, -EAGAIN
 */
BP_MUST_CHECK int bp_watch_queue_open(const struct bp_watch_queue_opts *o,
                                      struct bp_watch_queue **ret, struct bp_error *err);
/**
 * Copies a message in; when all slots are taken the oldest one waiting is dropped, counted. From
 * inside a bp_watch_fn. The copy is made outside the lock, which is held for a few pointers.
 *
 * @param tag  handed to `fn`
 */
void bp_watch_queue_put(struct bp_watch_queue *q, const struct bp_watch_sample *s, void *tag);
/** Waits until what was put in before has been handled. Not from `fn`. */
void bp_watch_queue_flush(struct bp_watch_queue *q);
/** Messages dropped so far: for want of a slot, of memory, or too long. */
uint64_t bp_watch_queue_dropped(const struct bp_watch_queue *q);
/** Ends the thread; what waits is dropped. No put may come any more. Takes NULL. */
void bp_watch_queue_close(struct bp_watch_queue *q);
