#include "sync/engine-priv.h"

struct bp_sync_stats bp_sync_stats;

#define COUNTER(n, h, field) \
    { .name = (n), .help = (h), .type = BP_METRIC_COUNTER, .counter = &bp_sync_stats.field }
#define GAUGE(n, h, field) \
    { .name = (n), .help = (h), .type = BP_METRIC_GAUGE, .gauge = &bp_sync_stats.field }
#define FAILURES(class_name, index)                                                              \
    {                                                                                            \
        .name = "bagpipe_sync_failures_total",                                                   \
        .help = "What failed, by its class. How bad is the link?", .type = BP_METRIC_COUNTER,    \
        .label = "class", .label_value = (class_name), .counter = &bp_sync_stats.failures[index] \
    }

static const struct bp_metric rows[] = {
    COUNTER("bagpipe_sync_sent_bytes_total",
            "Bytes of files sent, those sent again included. Does it move?", sent),
    COUNTER("bagpipe_sync_resent_bytes_total",
            "Bytes of parts that did not arrive. How bad is the link?", resent),
    COUNTER("bagpipe_sync_had_bytes_total",
            "Bytes not sent because the target had them. Does it move?", have),
    COUNTER("bagpipe_sync_parts_total", "Parts that have arrived. Does it move?", parts),
    COUNTER("bagpipe_sync_files_total", "Files confirmed by size and digest. Does it move?", files),
    COUNTER("bagpipe_sync_sessions_total", "Sessions whole on a target. Does it move?", sessions),
    COUNTER("bagpipe_sync_parked_total", "Files set aside after seven tries. Does it move?",
            parked),
    COUNTER("bagpipe_sync_probes_total", "Looks whether a target can be reached. Does it move?",
            probes),
    COUNTER("bagpipe_sync_conflicts_total", "Conflicts decided by policy. Does it move?",
            conflicts),
    COUNTER("bagpipe_sync_rebuilt_total",
            "Damaged queues made anew from session folders. Does it move?", rebuilt),
    FAILURES("network", BP_SYNC_NETWORK),
    FAILURES("server", BP_SYNC_SERVER),
    FAILURES("throttled", BP_SYNC_THROTTLED),
    FAILURES("auth", BP_SYNC_AUTH),
    FAILURES("quota", BP_SYNC_QUOTA),
    FAILURES("clock", BP_SYNC_CLOCK),
    FAILURES("permanent", BP_SYNC_PERMANENT),
    FAILURES("local", BP_SYNC_LOCAL),
    FAILURES("mismatch", BP_SYNC_MISMATCH),
    FAILURES("lost", BP_SYNC_LOST),
    GAUGE("bagpipe_sync_active", "Files being sent now. Does it move?", active),
    GAUGE("bagpipe_sync_online", "Targets that can be reached. Is the link there?", online),
    { .name = "bagpipe_sync_clock_offset_seconds",
      .help = "A target's clock less ours, as last seen. Is a clock wrong?",
      .type = BP_METRIC_GAUGE,
      .scale = 1e-9,
      .gauge = &bp_sync_stats.clock_offset_ns },
};

const struct bp_metric *const bp_sync_metrics = rows;
const size_t bp_sync_metrics_n = BP_COUNT(rows);
