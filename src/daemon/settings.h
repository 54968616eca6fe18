#pragma once

#include <jansson.h>
#include <string.h>

#include "daemon/values.h"

/* The configuration of a daemon that runs. What is in effect is a snapshot that never changes:
 * whoever holds one sees values that belong together. A reload makes the next snapshot and puts it
 * in its place whole, or not at all. Keys that are not live keep the values it started
 * with. Values set while it runs win over all others, outlive reloads and end with it. Any
 * thread. */
struct bp_settings;

/**
 * @param kind   constant for ever
 * @param first  as loaded; copied
 * @param apply  called after a change with the snapshot that is in effect now, one call at a time;
 *               may be NULL
 */
BP_MUST_CHECK int bp_settings_open(const struct bp_config_kind *kind, const void *first,
                                   void (*apply)(void *ctx, const void *now), void *ctx,
                                   struct bp_settings **ret, struct bp_error *err);
/** Snapshots must have been put back. Takes NULL. */
void bp_settings_close(struct bp_settings *s);
BP_DEFINE_CLEANUP(struct bp_settings, bp_settings_close)

const struct bp_config_kind *bp_settings_kind(const struct bp_settings *s);
/** What is in effect; a reference, release with bp_settings_put(). Never NULL. */
const void *bp_settings_get(struct bp_settings *s);
/** Another reference to a snapshot. */
const void *bp_settings_ref(const void *c);
/** Takes NULL. */
void bp_settings_put(const void *c);
static inline void bp_settings_putp(const void *c) {
    const void *values;

    memcpy(&values, c, sizeof values);
    bp_settings_put(values);
}
/* BP_AUTO_SETTINGS const struct NAME *c: put back at the end of the scope. */
#define BP_AUTO_SETTINGS BP_CLEANUP(bp_settings_putp)

/**
 * Reads file and environment anew. A mistake changes nothing.
 *
 * @param ret  {"changed": [keys now in effect], "restart": [keys that differ from what is in effect
 *             and wait for a restart]}, owned by the caller; or NULL
 * @return 0, or as bp_values_load()
 */
BP_MUST_CHECK int bp_settings_reload(struct bp_settings *s, json_t **ret, struct bp_error *err);
/**
 * Sets live keys: {"log.level": "debug", "record": {"max_rate": ["/a=5"]}}; null takes a value back
 * that was set so. All of it or nothing.
 *
 * @param ret  as above
 * @return 0, BP_ECONFIG naming the key, what is allowed, or that it takes a restart
 */
BP_MUST_CHECK int bp_settings_patch(struct bp_settings *s, const json_t *patch, json_t **ret,
                                    struct bp_error *err);

/** {"file", "keys": {key: {value, source, live, pending}}}; `pending`: what waits for a restart.
 *  Owned by the caller. */
json_t *bp_settings_json(struct bp_settings *s);
/**
 * What is wrong with a YAML text, environment and --set of this process included?
 *
 * @return {"ok": true} or {"ok": false, "error", "line", "key"}, owned by the caller
 */
json_t *bp_settings_check(struct bp_settings *s, struct bp_str yaml);
