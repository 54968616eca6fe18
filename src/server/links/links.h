#pragma once

#include <jansson.h>

#include "base/metrics.h"
#include "net/fanout.h"
#include "net/http.h"

/* Agents' links: each agent keeps one WebSocket to us, by which it tells how it is and takes
 * commands. What goes over it: docs/api/link.md. An agent speaks for its own device alone: whatever
 * it says is filed under the id it came in with.
 *
 * Everything about devices belongs to the loop of the links; events of devices are written to
 * links.db by a thread of their own and acknowledged when they are on the disk. Functions are for
 * any thread but that loop's. */
struct bp_links;

enum { BP_LINKS_DEVICE_MAX = 64 };

/* Zero means the default in brackets. */
struct bp_links_options {
    const char *dir; /* where links.db lies; borrowed for the call */
    /**
     * News of devices, to whom it may concern: topic "robots" {device, event, state, …}, and
     * "sessions", "alerts", "log" as the agent tells them, with "device" and "time_ns". Loop
     * thread: must not wait.
     *
     * @param payload  taken over
     */
    void (*news)(void *ctx, const char *topic, json_t *payload);
    void *ctx;
    unsigned max_devices;     /* remembered [10000] */
    unsigned max_connections; /* then 503 [4096] */
    unsigned max_events;      /* kept of a device [10000] */
    bp_ns_t status_interval;  /* between two of a device [1 s] */
    bp_ns_t stale_after;      /* connected and silent [10 s] */
};

/** @return 0; what links.db fails with; -EAGAIN, -ENOMEM */
BP_MUST_CHECK int bp_links_open(const struct bp_links_options *o, struct bp_links **ret,
                                struct bp_error *err);
/** Asks agents to come back at a moment of their own within `spread`, and ends the connections.
 *  Before bp_http_drain(). Takes NULL. */
void bp_links_stop(struct bp_links *l, bp_ns_t spread);
/** After bp_http_close(). Takes NULL. */
void bp_links_close(struct bp_links *l);
BP_DEFINE_CLEANUP(struct bp_links, bp_links_close)

/**
 * For the handler of GET /api/v1/link.
 *
 * @param device  id that was proved; NULL: what the agent says it is (nobody else can come in)
 */
int bp_links_accept(struct bp_links *l, const char *device, struct bp_http_req *req,
                    struct bp_http_reply *reply, struct bp_error *err);

/** {"robots": [{robot, device, state, age_s, …}]}; owned by the caller, NULL when out of memory. */
json_t *bp_links_robots(struct bp_links *l);
/** {"devices": [{device, name, state, age_s, …}]}, without their status. */
json_t *bp_links_devices(struct bp_links *l);
/** One of them with the last status it told; NULL: not known. */
json_t *bp_links_device(struct bp_links *l, const char *device);
/** What it told of its topics last; asks for them from now on, for some seconds. @return 0,
 * -ENOENT, -EAGAIN when nothing has come yet */
BP_MUST_CHECK int bp_links_topics(struct bp_links *l, const char *device, json_t **ret,
                                  struct bp_error *err);
/** {"events": [{seq, topic, time_ns, data}], "next"}, oldest first, behind `after`. */
BP_MUST_CHECK int bp_links_events(struct bp_links *l, const char *device, uint64_t after,
                                  unsigned limit, json_t **ret, struct bp_error *err);

struct bp_links_command {
    const char *device, *name; /* "session.start" */
    const json_t *args;        /* object, or NULL */
    const char *role;          /* of who asks: "viewer", "operator", "admin" */
    const char *by;            /* who asks, for the agent's log */
    bp_ns_t within;            /* its deadline from now on; 0.1 s to 1 h */
};

/**
 * Has a command done, at most once, and waits for the result as long as it may take.
 *
 * @param wait       how long to wait here; 0: not at all
 * @param ret_id     of the command
 * @param ret        {id, state, status, body}: state "waiting", "sent", "done", "expired", "lost";
 *                   owned by the caller
 * @return 0; -ENOENT: no such device; BP_EUSAGE; BP_ELIMIT: too many are waiting
 */
BP_MUST_CHECK int bp_links_do(struct bp_links *l, const struct bp_links_command *c, bp_ns_t wait,
                              json_t **ret, struct bp_error *err);
/** A command of the last hour. @return 0, -ENOENT */
BP_MUST_CHECK int bp_links_result(struct bp_links *l, const char *device, const char *id,
                                  json_t **ret, struct bp_error *err);

/* Who asks for a topic of the events; `fanout` and `stamp` are the same in every call. */
struct bp_links_ask {
    struct bp_fanout *fanout;
    size_t (*stamp)(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]);
    const char *name;
};

/**
 * A topic of the events protocol (daemon/events.h): "device:ID/status", "/topics", "/sync"; and
 * what the device's agent sends while somebody watches: "device:ID/sample:/t",
 * "/image:/t?width=640",
 * "/points:/t?max=20000", "/log", "/sessions", "/alerts". Any thread; does not wait.
 *
 * @return a reference; NULL: `err` says why
 */
struct bp_channel *bp_links_channel(struct bp_links *l, const struct bp_links_ask *ask,
                                    struct bp_error *err);
/** Somebody has subscribed to a channel, which may be none of ours, and wants so many of it (0: as
 * many as is usual). Any thread; does not wait. */
void bp_links_want(struct bp_links *l, const struct bp_channel *ch, bp_ns_t interval);
/** What says in binary messages that they are of a channel; 0: it has none, or is not ours. Any
 * thread. */
uint32_t bp_links_stream(struct bp_links *l, const struct bp_channel *ch);
/** Ends a device's link, for it may not come in any more (4003). Any thread, also the loop's; does
 * not wait. */
void bp_links_drop(struct bp_links *l, const char *device);
/** The same for good: what it told is forgotten, too. Any thread, also the loop's; does not wait.
 */
void bp_links_remove(struct bp_links *l, const char *device);
/**
 * Forgets devices that are not connected and were heard last before a moment, with what they told.
 * One that comes back is as one that was never here; its events go on where they were.
 *
 * @param before  wall
 * @return how many, or -ENOBUFS, -ENOMEM: nothing was done, try later
 */
int bp_links_forget_silent(struct bp_links *l, bp_ns_t before);
/** How many are online. */
unsigned bp_links_online(const struct bp_links *l);

/* For bp_metrics_render(). */
extern const struct bp_metric bp_links_metrics[];
extern const size_t bp_links_metrics_count;
