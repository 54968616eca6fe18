#pragma once

#include "bag/writer.h"
#include "base/metrics.h"
#include "base/time.h"

/* What all writers of the process did, for bp_metrics_render(). */
extern const struct bp_metric bp_bag_metrics[];
extern const size_t bp_bag_metrics_count;

struct bp_bag_stats {
    struct bp_histogram commit;       /* ns */
    struct bp_counter segments;       /* opened */
    struct bp_counter segments_ended; /* finished whole */
    struct bp_counter io_errors;
};

extern struct bp_bag_stats bp_bag_stats;
/** Counts what a writer has to tell. */
void bp_bag_count_event(enum bp_writer_event_kind kind);
/** Counts a commit that took so long. */
void bp_bag_count_commit(bp_ns_t took);
