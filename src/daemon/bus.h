#pragma once

#include <jansson.h>

#include "base/macro.h"

/* News inside the agent, from whoever has some to whoever listens: the events of the door,
 * triggers, logs. Any thread. Topics: "status", "topics", "sessions", "alerts", "log", …
 * (docs/api/events.md). */
struct bp_bus;

enum { BP_BUS_LISTENERS = 16 };

/** Called on the publisher's thread: must not wait. `payload` is borrowed for the call and must not
 *  be changed. */
typedef void (*bp_bus_fn)(void *ctx, const char *topic, const json_t *payload);

/** @return owned, release with bp_bus_free(); NULL when out of memory */
struct bp_bus *bp_bus_new(void);
/** Nobody listens any more. Takes NULL. */
void bp_bus_free(struct bp_bus *b);
BP_DEFINE_CLEANUP(struct bp_bus, bp_bus_free)

/** @param payload  taken over; NULL (out of memory) is dropped */
void bp_bus_publish(struct bp_bus *b, const char *topic, json_t *payload);

/** @return 0, -EBUSY when BP_BUS_LISTENERS listen already */
BP_MUST_CHECK int bp_bus_listen(struct bp_bus *b, bp_bus_fn fn, void *ctx);
/** When it returns, `fn` runs no more with `ctx`. Not from within a listener. */
void bp_bus_unlisten(struct bp_bus *b, bp_bus_fn fn, void *ctx);
