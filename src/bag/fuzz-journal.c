#include <stdint.h>

#include "bag/recover-priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What recovery does with a journal: frames, the messages in them, the runs of the ledger. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_spans covered[BP_LANES] = { 0 };
    struct bp_defs defs = { 0 };
    struct bp_collect c = { .covered = covered, .defs = &defs, .journal_n = n };
    uint64_t last = 0;

    c.ring.fd = -1;
    c.journal = malloc(n + 1);
    if (!c.journal)
        return 0;
    memcpy(c.journal, p, n);
    if (bp_collect_run(&c) == 0 && bp_collect(&c) == 0)
        for (size_t i = 0; i < c.n; i++) {
            const uint8_t *rec = c.v[i].record;

            /* every record lies inside the journal, and its length is the one we were told */
            if (rec < (const uint8_t *) c.journal ||
                rec + c.v[i].n > (const uint8_t *) c.journal + n ||
                bp_ld_le64(rec + 1) + BP_REC_HEAD != c.v[i].n)
                abort();
            if (i && c.v[i].lane == c.v[i - 1].lane && c.v[i].rseq <= last)
                abort();
            last = c.v[i].rseq;
        }
    bp_collect_done(&c);
    return 0;
}
