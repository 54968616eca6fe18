#pragma once

#include "base/error.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/time.h"
#include "net/frame.h"
#include "net/loop.h"

/* From one to many. What is published to a channel is framed once and shared by all who subscribe;
 * each subscription has a policy for what its owner does not take in time, so that one who stalls
 * delays nobody and costs bounded memory.
 *
 * A publisher numbers the frame and posts it to each loop that has subscribers, once; the loop puts
 * a reference into each subscription and, at the end of its round, tells each peer once that there
 * is something to take. A peer is a WebSocket (ws.h), a stream of server-sent events (sse.h), or
 * what a test makes of it.
 *
 * Lock order: channel.lock → loop's; peer.lock → loop's, in `wanted` alone. */
struct bp_fanout;
struct bp_channel;
struct bp_peer;
struct bp_feed;

struct bp_fanout_options {
    unsigned loops;     /* threads [1] */
    size_t inbox_bytes; /* published and not yet handed out by a loop, then lost for its peers, who
                           are told [64 MiB] */
};

/** @return 0, -EAGAIN, -EMFILE, -ENOMEM */
BP_MUST_CHECK int bp_fanout_open(const struct bp_fanout_options *options, struct bp_fanout **ret,
                                 struct bp_error *err);
/** Peers are done, channels released. Takes NULL. */
void bp_fanout_close(struct bp_fanout *f);
BP_DEFINE_CLEANUP(struct bp_fanout, bp_fanout_close)

/** The loop of a new peer, in turn; *ret_index is its number. */
struct bp_loop *bp_fanout_loop(struct bp_fanout *f, unsigned *ret_index);
unsigned bp_fanout_loops(const struct bp_fanout *f);
struct bp_loop *bp_fanout_loop_at(struct bp_fanout *f, unsigned index);

/* --- channels --- */

enum { BP_STAMP_MAX = 512 };

struct bp_channel_options {
    const char *name; /* borrowed for the call */
    /**
     * What is put in front of a text message of that number, without its NUL. Called under the
     * channel's lock: must not wait. NULL: nothing.
     *
     * @return its length, at most the `stamp` of the frame and BP_STAMP_MAX
     */
    size_t (*stamp)(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]);
    unsigned replay_frames; /* kept for those who come back [none] */
    size_t replay_bytes;    /* of these together [1 MiB] */
    /**
     * Somebody would take a message at once (bp_channel_wanting()), and nobody would before. Any
     * thread, under the peer's lock: must not wait, may post to a loop. NULL: nothing.
     */
    void (*wanted)(void *ctx, const struct bp_channel *ch);
    void *ctx; /* outlives the subscriptions */
};

/** @return owned, one reference; NULL when out of memory */
struct bp_channel *bp_channel_new(struct bp_fanout *f, const struct bp_channel_options *o);
struct bp_channel *bp_channel_ref(struct bp_channel *ch);
/** Takes NULL. */
void bp_channel_unref(struct bp_channel *ch);
const char *bp_channel_name(const struct bp_channel *ch);
/** Subscriptions there are now. Any thread. */
unsigned bp_channel_subscribers(const struct bp_channel *ch);
/** Those of them that would be sent a message at once: of policy LATEST the ones with credit for
 *  which none waits. What is costly is made for these alone. Any thread. */
unsigned bp_channel_wanting(const struct bp_channel *ch);
/** Number of the last message; 0 = none yet. Any thread. */
uint64_t bp_channel_seq(struct bp_channel *ch);
/**
 * Numbers, stamps and sends a message. Any thread; does not wait.
 *
 * @param frame  taken over, not sealed
 * @return its number
 */
uint64_t bp_channel_publish(struct bp_channel *ch, struct bp_frame *frame);
/** Leaves out `n` numbers: messages that were lost before they came here, of which subscribers are
 *  told with the next one. Of a channel that remembers nothing. Any thread. */
void bp_channel_skip(struct bp_channel *ch, uint64_t n);

/* --- pace: at most one in `interval`, also of what comes about as often --- */

/** Is it time, when the next one is due at `next`? A quarter of the interval may be missing, for
 *  messages that come at that very rate with some jitter would lose every other one. */
static inline bool bp_pace_allows(bp_ns_t next, bp_ns_t interval, bp_ns_t now) {
    return next == 0 || now + interval / 4 >= next;
}

/** When the one behind is due. */
static inline bp_ns_t bp_pace_next(bp_ns_t next, bp_ns_t interval, bp_ns_t now) {
    return next == 0 ? now + interval : BP_MAX(next, now - interval / 2) + interval;
}

/* --- peers: loop thread, unless said otherwise --- */

struct bp_peer_ops {
    /** There is something to take. At the end of a round. */
    void (*ready)(struct bp_peer *p);
    /** A notice that `n` messages of a subscription were dropped, to go before its next one; NULL
     *  when out of memory. The thread that takes. The row may be NULL: nobody is told. */
    struct bp_frame *(*lost)(struct bp_peer *p, struct bp_channel *ch, uint64_t n);
};

enum bp_feed_policy {
    BP_FEED_BOUNDED, /* the oldest is dropped and counted */
    BP_FEED_LATEST,  /* the newest only, one for each credit */
    BP_FEED_CLOSE,   /* every one or the end: bp_peer_overflown() */
    BP_FEED_POLICY_COUNT_
};

/** "bounded", "latest", "close". */
const char *bp_feed_policy_text(enum bp_feed_policy p);

struct bp_feed_options {
    enum bp_feed_policy policy;
    unsigned max_frames;  /* BOUNDED: waiting at once [256] */
    size_t max_bytes;     /* BOUNDED, CLOSE: of these together, but one may be larger [1 MiB] */
    unsigned credit;      /* LATEST: frames that may be sent at once [0] */
    bp_ns_t min_interval; /* messages that follow faster are left out [none] */
    bool resume;          /* begin behind `after`, as far as the channel remembers */
    uint64_t after;       /* at most the channel's last */
};

struct bp_queue_of_frames {
    struct bp_frame **v; /* ring, owned */
    unsigned cap, first, n;
    size_t bytes;
};

struct bp_feed {
    struct bp_feed *prev, *next;             /* of the channel, at this loop */
    struct bp_feed *peer_prev, *peer_next;   /* [peer.lock] of the peer */
    struct bp_feed *ready_prev, *ready_next; /* [peer.lock] */
    struct bp_peer *peer;
    struct bp_channel *channel; /* a reference; NULL for what is sent to this peer alone */
    struct bp_feed_options o;
    struct bp_queue_of_frames q; /* [peer.lock], as all below */
    uint64_t first;              /* number of the first message it may get */
    uint64_t want;               /* number of the next message */
    uint64_t untold;             /* dropped since the last notice */
    bool ready;                  /* in the list of what can be taken */
    bool wanting;                /* counted in the channel */
    bp_ns_t mono_next;           /* when one may be let in; with min_interval */
};

struct bp_peer {
    const struct bp_peer_ops *ops;
    struct bp_fanout *fanout;
    struct bp_loop *loop;
    unsigned loop_index;
    struct bp_mutex lock;  /* leaf */
    struct bp_feed *feeds; /* [lock] */
    struct bp_feed *ready; /* [lock] what can be taken, in turn */
    struct bp_feed own;    /* sent to this peer alone */
    bool overflown;        /* [lock] */
    struct bp_loop_task soon;
};

/** Any thread; nobody else knows it yet.
 *  @param own_bytes  limit of what waits of bp_peer_put() [1 MiB] */
void bp_peer_init(struct bp_peer *p, struct bp_fanout *f, const struct bp_peer_ops *ops,
                  size_t own_bytes);
/** Ends all subscriptions, drops what waits. */
void bp_peer_clear(struct bp_peer *p);
/** The same, and the end. Nobody takes any more. */
void bp_peer_done(struct bp_peer *p);

/**
 * @param ret_gap  messages that are wanted by `after` and no longer remembered; may be NULL
 * @param ret      lives until bp_feed_close() or bp_peer_clear()
 * @return 0, -ENOMEM
 */
BP_MUST_CHECK int bp_feed_open(struct bp_peer *p, struct bp_channel *ch,
                               const struct bp_feed_options *o, uint64_t *ret_gap,
                               struct bp_feed **ret);
void bp_feed_close(struct bp_feed *s);
/** Gives credit to a subscription of policy LATEST, up to 1,000 in all. */
void bp_feed_credit(struct bp_feed *s, unsigned n);
/** The peer's subscription to a channel, or NULL. */
struct bp_feed *bp_peer_feed(struct bp_peer *p, const struct bp_channel *ch);

/** Sends to this peer alone, before what waits of its channels. @param frame  taken over, sealed;
 *  NULL (out of memory) counts as overflow. Also any thread before the peer is known to others. */
void bp_peer_put(struct bp_peer *p, struct bp_frame *frame);
/**
 * Takes what is to be sent next, one from each subscription in turn. Any one thread at a time.
 *
 * @param ret  references, owned by the caller
 * @param max  frames, at least 2
 * @return how many; stops when they have `max_bytes`
 */
size_t bp_peer_take(struct bp_peer *p, struct bp_frame **ret, size_t max, size_t max_bytes);
/** More was sent than policy CLOSE allows. Any thread. */
bool bp_peer_overflown(struct bp_peer *p);

/* What all of the process did, for bp_metrics_render(). */
struct bp_fanout_stats {
    struct bp_counter published, published_bytes, taken, taken_bytes;
    struct bp_counter dropped, superseded, overflown, inbox_full;
    struct bp_gauge subscriptions, inbox_bytes;
    struct bp_gauge ws_open;
    struct bp_counter ws_opened, ws_refused, ws_messages, ws_ended[4];
    struct bp_gauge sse_open;
};

extern struct bp_fanout_stats bp_fanout_stats;
extern const struct bp_metric bp_fanout_metrics[];
extern const size_t bp_fanout_metrics_count;
