#include "bag/history-disk.h"

#include <errno.h>

int bp_history_disk_open(struct bp_history_store *h, struct disk **ret, struct bp_error *err) {
    (void) h, (void) ret;
    return bp_fail(err, BP_EUNSUPPORTED, "not yet");
}
void bp_history_disk_close(struct disk *d) {
    (void) d;
}
void bp_history_disk_stats(struct disk *d, struct bp_history_stats *st) {
    (void) d, (void) st;
}
void bp_history_disk_cursor_done(struct disk *d, struct disk_cursor *c) {
    (void) d, (void) c;
}
uint64_t bp_history_disk_find(struct disk *d, bp_ns_t from_mono) {
    (void) d, (void) from_mono;
    return 0;
}
int bp_history_disk_next(struct disk *d, struct disk_cursor *c, uint64_t at,
                         struct bp_hframe *ret) {
    (void) d, (void) c, (void) at, (void) ret;
    return 0;
}
int64_t bp_history_disk_source(struct disk *d, const struct disk_cursor *c, uint32_t source) {
    (void) d, (void) c;
    return source;
}
int bp_history_disk_latched(struct disk *d, bp_ns_t from_mono, struct kept **ret) {
    (void) d, (void) from_mono, (void) ret;
    return 0;
}
bp_ns_t bp_history_disk_offset(struct disk *d, const struct disk_cursor *c,
                               const struct bp_hframe *f) {
    (void) d, (void) c;
    return f->offset;
}
