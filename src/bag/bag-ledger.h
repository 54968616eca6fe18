#pragma once

#include "bag/ledger.h"
#include "bag/reader.h"

/**
 * Adds up the ledgers of all files of a recording.
 *
 * @param ret  zero-initialised; settled on success; release with bp_ledger_done()
 * @return number of ledger records read (0 = a recording without one), or BP_EFORMAT, -ENOMEM
 */
BP_MUST_CHECK int bp_bag_ledger(struct bp_bag *b, struct bp_ledger *ret, struct bp_error *err);

/* The ledger of a recording that goes on. */
struct bp_writer_ledger {
    struct bp_ledger ledger; /* settled */
    /* Sums of sources that went long ago, which the ledger no longer lists. */
    uint64_t folded_received, folded_lost[BP_LOSS_N_];
};

/**
 * What became of the messages that a writer has accepted, or heard of, by now. Any thread but the
 * writer's own; waits for at most a commit interval where the disk answers.
 *
 * @param ret  release with bp_writer_ledger_done(), also after a failure
 * @return 0, -EAGAIN when the disk does not answer within 2 s, -ENOMEM
 */
BP_MUST_CHECK int bp_writer_ledger(struct bp_writer *w, struct bp_writer_ledger *ret,
                                   struct bp_error *err);
void bp_writer_ledger_done(struct bp_writer_ledger *l);
