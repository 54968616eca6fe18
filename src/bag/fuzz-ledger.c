#include <stdint.h>

#include "bag/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Key, newline, value. What was understood is settled and written, and reading that must give the
 * same totals again. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    const uint8_t *eol = n ? memchr(p, '\n', n) : NULL;
    struct bp_ledger one = { 0 }, two = { 0 };
    struct bp_ledger_totals a, b;
    BP_AUTO_BUF key = { 0 }, value = { 0 };
    size_t k = eol ? (size_t) (eol - p) : n;
    size_t skip = eol ? k + 1 : n;

    if (bp_ledger_decode(&one, (struct bp_str){ (const char *) p, k },
                         (struct bp_str){ (const char *) p + skip, n - skip }, NULL) == 0 &&
        bp_ledger_settle(&one) == 0) {
        bp_ledger_encode_key(one.v[0], &key);
        bp_ledger_encode_value(one.v[0], &value);
        if (bp_ledger_decode(&two, (struct bp_str){ (const char *) key.p, key.n },
                             (struct bp_str){ (const char *) value.p, value.n }, NULL) < 0)
            abort();
        bp_ledger_totals(&one, &a);
        bp_ledger_totals(&two, &b);
        if (memcmp(&a, &b, sizeof a) != 0)
            abort();
    }
    bp_ledger_done(&one);
    bp_ledger_done(&two);
    return 0;
}
