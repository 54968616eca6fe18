#include "bag/bag-metrics.h"

struct bp_bag_stats bp_bag_stats;

static const int64_t bounds[] = {
    BP_MS / 2,   BP_MS,       5 * BP_MS / 2, 5 * BP_MS, 10 * BP_MS,     25 * BP_MS,  50 * BP_MS,
    100 * BP_MS, 250 * BP_MS, 500 * BP_MS,   BP_SEC,    5 * BP_SEC / 2, 10 * BP_SEC,
};

const struct bp_metric bp_bag_metrics[] = {
    { .name = "bagpipe_commit_seconds",
      .help = "How long a commit takes until the disk has it: is the disk fast enough, and how "
              "much would a power cut cost beyond the commit interval?",
      .type = BP_METRIC_HISTOGRAM,
      .scale = 1e-9,
      .histogram = &bp_bag_stats.commit,
      .bounds = bounds,
      .nbounds = BP_COUNT(bounds) },
    { .name = "bagpipe_segments_opened_total",
      .help = "Segments begun: are files split as often as meant?",
      .type = BP_METRIC_COUNTER,
      .counter = &bp_bag_stats.segments },
    { .name = "bagpipe_segments_finished_total",
      .help = "Segments ended with their summary: does it stay behind those begun?",
      .type = BP_METRIC_COUNTER,
      .counter = &bp_bag_stats.segments_ended },
    { .name = "bagpipe_write_errors_total",
      .help = "Operations on files of recordings that failed: is a disk dying?",
      .type = BP_METRIC_COUNTER,
      .counter = &bp_bag_stats.io_errors },
};
const size_t bp_bag_metrics_count = BP_COUNT(bp_bag_metrics);

void bp_bag_count_commit(bp_ns_t took) {
    bp_histogram_add(&bp_bag_stats.commit, bounds, BP_COUNT(bounds), took);
}

void bp_bag_count_event(enum bp_writer_event_kind kind) {
    if (kind == BP_WRITER_SEGMENT_OPENED)
        bp_counter_add(&bp_bag_stats.segments, 1);
    else if (kind == BP_WRITER_SEGMENT_CLOSED)
        bp_counter_add(&bp_bag_stats.segments_ended, 1);
    else if (kind == BP_WRITER_IO_ERROR)
        bp_counter_add(&bp_bag_stats.io_errors, 1);
}
