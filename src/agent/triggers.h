#pragma once

#include <jansson.h>

#include "agent/sessions.h"
#include "agent/trigger-rule.h"
#include "alert/alert.h"
#include "crypt/vault.h"
#include "daemon/bus.h"
#include "record/recorder.h"

/* Watches for what the configuration calls triggers, and does what they say. Conditions are judged
 * on a thread of its own, per robot; actions that may wait (disks, networks) run on two more. Also
 * takes marks from a topic. Any thread. */
struct bp_triggers;

/**
 * Saves what was before this moment and what comes after it. May wait; on the thread of actions.
 *
 * @param request  {"reason": what the trigger found, "values": {…}, "tags": ["trigger:NAME"]}
 * @return at least 0, or why not
 */
typedef int (*bp_trigger_snapshot_fn)(void *ctx, const json_t *request, char ret_id[static 27],
                                      struct bp_error *err);

/* Everything is borrowed and outlives the triggers. */
struct bp_triggers_opts {
    struct bp_recorder *recorder;
    struct bp_sessions *sessions;
    struct bp_alerts *alerts;
    struct bp_bus *bus;
    const char *dir;                 /* whose disk disk.free is about */
    struct bp_vault *vault;          /* what "secret:NAME" is looked up in */
    bp_trigger_snapshot_fn snapshot; /* NULL: there is none */
    void *ctx;                       /* its */
};

/** Without any trigger. @return 0, -ENOMEM, -EAGAIN */
BP_MUST_CHECK int bp_triggers_open(const struct bp_triggers_opts *o, struct bp_triggers **ret,
                                   struct bp_error *err);
/**
 * These are the triggers from now on. One that says the same as before goes on with its states,
 * counts and whether it is enabled. One that is gone or changed ends first: its alerts are cleared
 * and `on_clear` is done; a changed one keeps its counts and the session it started. One call at a
 * time.
 *
 * @param rules       borrowed for the call, as mark_topic
 * @param mark_topic  "" = none
 * @return 0, -ENOMEM, BP_ECONFIG as bp_trigger_rules_parse(), -EAGAIN; after BP_ECONFIG nothing has
 *         changed
 */
BP_MUST_CHECK int bp_triggers_configure(struct bp_triggers *t, const struct bp_config_list *rules,
                                        const char *mark_topic, struct bp_error *err);
/** Ends; actions under way are finished, webhooks that wait are dropped. Takes NULL. */
void bp_triggers_close(struct bp_triggers *t);
BP_DEFINE_CLEANUP(struct bp_triggers, bp_triggers_close)

/** {"triggers": […]}: each with condition, state, counts and, per robot, the values last seen.
 * Owned by the caller; NULL when out of memory. */
json_t *bp_triggers_list(struct bp_triggers *t);
/** One of them, NULL when there is none of that name. */
json_t *bp_triggers_get(struct bp_triggers *t, const char *name);
/** @return 0, -ENOENT */
BP_MUST_CHECK int bp_triggers_enable(struct bp_triggers *t, const char *name, bool enabled,
                                     struct bp_error *err);
/**
 * Fires a trigger by hand, or, when no trigger has that name, makes external("name") true for a
 * moment. A trigger that speaks of external() is judged with it being true.
 *
 * @param values     object of more values for marks and webhooks, or NULL
 * @param ret_fired  how many fired: fewer when other conditions were not met, or in a cool-down
 * @return 0, -ENOENT
 */
BP_MUST_CHECK int bp_triggers_fire(struct bp_triggers *t, const char *name, const json_t *values,
                                   unsigned *ret_fired, struct bp_error *err);
/**
 * Compiles an expression and judges it by the next messages of its topics.
 *
 * @param wait  for messages, at most
 * @param ret   {"value": true, false or null, "instances": […]}
 * @return 0; BP_EUSAGE with a caret, or when no topic fits, with the nearest one; -ENOMEM
 */
BP_MUST_CHECK int bp_triggers_test(struct bp_triggers *t, const char *text, bp_ns_t wait,
                                   json_t **ret, struct bp_error *err);
/** Families of metrics. */
void bp_triggers_metrics(struct bp_triggers *t, struct bp_buf *out);
