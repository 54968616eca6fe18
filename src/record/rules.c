#include "record/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/units.h"

static int value_of(enum bp_rule_kind kind, const char *text, double *ret) {
    static const char *const priorities[] = { "low", "normal", "high" };
    uint64_t bytes;
    char *end;
    int k;

    switch (kind) {
    case BP_RULE_PRIORITY:
        for (size_t i = 0; i < BP_COUNT(priorities); i++)
            if (bp_streq(text, priorities[i])) {
                *ret = (double) i;
                return 0;
            }
        return -EINVAL;
    case BP_RULE_BUDGET:
        k = bp_parse_size(text, &bytes);
        *ret = k < 0 ? 0 : (double) bytes;
        return k;
    case BP_RULE_RATE:
    case BP_RULE_KEEP:
        break;
    }
    *ret = strtod(text, &end);
    return *end || end == text || *ret <= 0 ? -EINVAL : 0;
}

static const char *expected(enum bp_rule_kind kind) {
    static const char *const texts[] = {
        [BP_RULE_RATE] = "TOPIC=HZ",
        [BP_RULE_KEEP] = "TOPIC=N",
        [BP_RULE_PRIORITY] = "TOPIC=low|normal|high",
        [BP_RULE_BUDGET] = "TOPIC=SIZE",
    };

    return texts[kind];
}

int bp_rules_parse(enum bp_rule_kind kind, const char *const *words, size_t n, struct bp_rules *ret,
                   struct bp_error *err) {
    BP_CLEANUP(bp_rules_done) struct bp_rules r = { 0 };

    r.v = calloc(n + 1, sizeof *r.v);
    r.words = calloc(n + 1, sizeof *r.words);
    if (!r.v || !r.words)
        return bp_fail(err, -ENOMEM, "no memory for rules");

    for (size_t i = 0; i < n; i++) {
        char *word = r.words[i] = strdup(words[i]);
        char *eq = word ? strrchr(word, '=') : NULL;

        if (!word)
            return bp_fail(err, -ENOMEM, "no memory for rules");
        r.n++;
        if (!eq || eq == word || value_of(kind, eq + 1, &r.v[i].value) < 0)
            return bp_fail(err, BP_EUSAGE, "'%s': expected %s", words[i], expected(kind));
        *eq = 0;
        r.v[i].pattern = word;
    }
    *ret = BP_TAKE(r, (struct bp_rules){ 0 });
    return 0;
}

void bp_rules_done(struct bp_rules *r) {
    for (size_t i = 0; r->words && i < r->n; i++)
        free(r->words[i]);
    free(r->words);
    free(r->v);
    *r = (struct bp_rules){ 0 };
}
