/* Where a take's messages go: into a session's writer, or into the history. Both have the same
 * words; one branch here instead of a table of functions keeps the hot path short. */
#include "record/recorder-priv.h"

#include "bag/history.h"

int bp_take_channel(const struct bp_take *k, const struct bp_channel_def *d, struct bp_error *err) {
    return k->o.history ? bp_history_channel(k->o.history, d, err)
                        : bp_writer_channel(k->o.writer, d, err);
}

int bp_take_channel_update(const struct bp_take *k, uint16_t channel,
                           const struct bp_channel_def *d) {
    return k->o.history ? bp_history_channel_update(k->o.history, channel, d)
                        : bp_writer_channel_update(k->o.writer, channel, d);
}

int bp_take_source(const struct bp_take *k, const struct bp_source_def *d, struct bp_error *err) {
    return k->o.history ? bp_history_source(k->o.history, d, err)
                        : bp_writer_source(k->o.writer, d, err);
}

void bp_take_accept(const struct bp_take *k, const struct bp_accept *m) {
    if (k->o.history)
        (void) bp_history_accept(k->o.history, m); /* refusals are kept as losses */
    else
        (void) bp_writer_accept(k->o.writer, m); /* refusals are in the ledger */
}

void bp_take_note_loss(const struct bp_take *k, uint32_t source, enum bp_loss why, uint64_t first,
                       uint64_t last) {
    if (k->o.history)
        bp_history_note_loss(k->o.history, source, why, first, last);
    else
        bp_writer_note_loss(k->o.writer, source, why, first, last);
}

void bp_take_source_gone(const struct bp_take *k, uint32_t source) {
    if (!k->o.history) /* what it has sent is still held, and needs its source */
        bp_writer_source_gone(k->o.writer, source);
}
