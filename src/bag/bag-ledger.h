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
