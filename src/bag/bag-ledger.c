#include "bag/bag-ledger.h"

#include <errno.h>

struct sum {
    struct bp_ledger *ledger;
    int entries;
    struct bp_error *err;
};

static int add_entry(void *ctx, const char *name, struct bp_str key, struct bp_str value) {
    struct sum *s = ctx;

    if (!bp_streq(name, BP_LEDGER_NAME))
        return 0;

    s->entries++;
    return bp_ledger_decode(s->ledger, key, value, s->err);
}

int bp_bag_ledger(struct bp_bag *b, struct bp_ledger *ret, struct bp_error *err) {
    struct sum s = { .ledger = ret, .err = err };
    int r = bp_bag_metadata(b, add_entry, &s, err);

    if (r >= 0)
        r = bp_ledger_settle(ret);
    if (r < 0)
        return bp_prefix(err, r, "ledger");
    return s.entries;
}
