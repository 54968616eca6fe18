#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macro.h"

/* What is wrong now, and what was lately. A fault has a key; whoever sees it raises it as often as
 * it likes and clears it when it is over. Any thread. */
struct bp_alerts;

enum bp_severity {
    BP_SEVERITY_INFO,
    BP_SEVERITY_WARNING,
    BP_SEVERITY_CRITICAL,
    BP_SEVERITY_COUNT_
};

/** "info", "warning", "critical". */
const char *bp_severity_text(enum bp_severity severity);

enum {
    BP_ALERTS_ACTIVE = 256, /* at the same time; more are counted, not kept */
    BP_ALERTS_PAST = 256,   /* cleared ones remembered */
    BP_ALERTS_NOTE = 255    /* bytes of a note at most */
};

/**
 * Told of every change. On the thread that caused it, without a lock; must not wait.
 *
 * @param event  "raised", "changed" (severity or text), "acknowledged", "cleared"
 * @param alert  {key, severity, text, state, since_ns, cleared_ns, count, acknowledged_ns,
 *               acknowledged_by, note}; borrowed for the call
 */
typedef void (*bp_alerts_fn)(void *ctx, const char *event, const json_t *alert);

/** @return owned, release with bp_alerts_free(); NULL when out of memory */
struct bp_alerts *bp_alerts_new(bp_alerts_fn fn, void *ctx);
/** Takes NULL. */
void bp_alerts_free(struct bp_alerts *a);
BP_DEFINE_CLEANUP(struct bp_alerts, bp_alerts_free)

/**
 * Something is wrong. Raised again with the same text it is only counted; graver than before it has
 * to be acknowledged anew.
 *
 * @param key   names the fault, with what it is about: "disk.full", "trigger.battery/robot_1"; at
 *              most 127 bytes, copied
 * @param text  one sentence for people; copied, at most 255 bytes
 */
void bp_alerts_raise(struct bp_alerts *a, const char *key, enum bp_severity severity,
                     const char *text);
/** It is over. Nothing happens when it was not raised. */
void bp_alerts_clear(struct bp_alerts *a, const char *key);

/**
 * Somebody has seen it and cares: who, when and the note stay with the alert, also when it is over.
 * A second time says so of the last one.
 *
 * @param by    who; copied, at most 63 bytes
 * @param note  copied, at most BP_ALERTS_NOTE bytes; NULL = none
 * @param ret   the alert as JSON, owned by the caller; NULL when out of memory
 * @return 0, -ENOENT when it is not active
 */
BP_MUST_CHECK int bp_alerts_acknowledge(struct bp_alerts *a, const char *key, const char *by,
                                        const char *note, json_t **ret, struct bp_error *err);

/** {"alerts": […]}: active ones, the newest first, then, when asked for, past ones. Owned by the
 *  caller; NULL when out of memory. */
json_t *bp_alerts_json(struct bp_alerts *a, bool past);
/** How many are active now. */
size_t bp_alerts_active(struct bp_alerts *a);
/** Families of metrics. */
void bp_alerts_metrics(struct bp_alerts *a, struct bp_buf *out);
