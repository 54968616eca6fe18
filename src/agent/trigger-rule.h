#pragma once

#include "alert/alert.h"
#include "base/config.h"
#include "base/time.h"
#include "wire/expr.h"

/* Triggers as the configuration says them: read and checked, without a graph.
 *
 *     triggers:
 *       - name: battery_low
 *         when: /battery_state.percentage < 15% for 5s until > 20%
 *         cooldown: 10min
 *         do: [mark, alert critical, webhook https://example.com/hook]
 */

enum bp_trigger_action_kind {
    BP_ACTION_MARK,          /* in every session that runs */
    BP_ACTION_SNAPSHOT,      /* saves what was before and what comes */
    BP_ACTION_START_SESSION, /* unless one of this trigger's runs; `arg` is its name */
    BP_ACTION_STOP_SESSION,  /* the one it started, or `arg` */
    BP_ACTION_ALERT,         /* until the condition ends; `arg` is the severity */
    BP_ACTION_WEBHOOK,       /* POST to `arg` */
    BP_ACTION_N_
};

/** "mark", "snapshot", … */
const char *bp_trigger_action_text(enum bp_trigger_action_kind kind);

enum {
    BP_TRIGGER_ACTIONS = 8,
    BP_TRIGGER_NAME = 64,
    BP_TRIGGERS_MAX = 200,
    BP_TRIGGER_HEADERS = 4
};

/* Values of webhooks may be secrets, or "secret:NAME" of the vault: not for logs or API. */
struct bp_trigger_header {
    char *name, *value; /* owned */
    bool bearer;        /* the value is a token: "Bearer …" */
};

struct bp_trigger_action {
    enum bp_trigger_action_kind kind;
    char *arg; /* owned, "" when none; of a webhook where it goes: a URL or "secret:NAME" */
    struct bp_trigger_header headers[BP_TRIGGER_HEADERS]; /* of a webhook */
    size_t nheaders;
};

struct bp_trigger_rule {
    char name[BP_TRIGGER_NAME]; /* letters, digits, '_', '-', '.' */
    char *when;                 /* owned: as written */
    char *text;                 /* owned: for marks and alerts, "" = made from name and values */
    struct bp_expr *expr;       /* owned */
    bp_ns_t hold;               /* must be true so long before it counts */
    bp_ns_t debounce;           /* must have ended so long before it counts as over */
    bp_ns_t cooldown;           /* of one robot: not again before so long */
    enum bp_severity severity;
    bool enabled;
    struct bp_trigger_action actions[BP_TRIGGER_ACTIONS]; /* when it fires */
    size_t nactions;
    struct bp_trigger_action end[BP_TRIGGER_ACTIONS]; /* when it is over */
    size_t nend;
};

struct bp_trigger_rules {
    struct bp_trigger_rule *v; /* owned */
    size_t n;
};

/**
 * @param list  objects as base/config.h describes them
 * @param ret   release with bp_trigger_rules_done(), also after a failure
 * @return 0, -ENOMEM, BP_ECONFIG with file, line, trigger and key; of a condition with a caret
 */
BP_MUST_CHECK int bp_trigger_rules_parse(const struct bp_config_list *list,
                                         struct bp_trigger_rules *ret, struct bp_error *err);
void bp_trigger_rules_done(struct bp_trigger_rules *rules);
/** One rule with a condition alone, for tests of expressions. The same failures as above. */
BP_MUST_CHECK int bp_trigger_rule_of(const char *name, const char *when,
                                     struct bp_trigger_rule *ret, struct bp_error *err);
void bp_trigger_rule_done(struct bp_trigger_rule *rule);

/** What of a text of a trigger may be shown: all of it, but of webhooks. Owned; NULL when out of
 *  memory. */
char *bp_trigger_shown(const char *text);
/** Where a webhook goes, without what may be secret: "https://example.com/…". @return ret */
const char *bp_trigger_webhook_shown(const char *url, char *ret, size_t cap);
