#pragma once

#include <stddef.h>

#include "base/error.h"
#include "record/recorder.h"

/* Rules per topic as people write them: "/camera=5", with a star for anything. */
enum bp_rule_kind {
    BP_RULE_RATE,     /* messages a second, above 0 */
    BP_RULE_KEEP,     /* every N-th */
    BP_RULE_PRIORITY, /* low, normal, high */
    BP_RULE_BUDGET,   /* bytes: "16MiB" */
};

struct bp_rules {
    struct bp_topic_rule *v; /* owned; patterns point into words */
    size_t n;
    char **words; /* owned */
};

/** @return 0, -ENOMEM, or BP_EUSAGE quoting the word */
BP_MUST_CHECK int bp_rules_parse(enum bp_rule_kind kind, const char *const *words, size_t n,
                                 struct bp_rules *ret, struct bp_error *err);
void bp_rules_done(struct bp_rules *r);
