#include "net/http-priv.h"

struct bp_http_stats bp_http_stats;

static const int64_t bounds[] = {
    BP_MS / 4,  BP_MS,       5 * BP_MS / 2, 5 * BP_MS, 10 * BP_MS, 25 * BP_MS,
    50 * BP_MS, 100 * BP_MS, 250 * BP_MS,   BP_SEC,    5 * BP_SEC, 30 * BP_SEC,
};

#define REQUESTS(class, index)                                                                   \
    {                                                                                            \
        .name = "bagpipe_http_requests_total", .help = "Requests answered, by class of status.", \
        .type = BP_METRIC_COUNTER, .label = "status", .label_value = (class),                    \
        .counter = &bp_http_stats.requests[index]                                                \
    }
#define REFUSED(why, field)                                                                   \
    {                                                                                         \
        .name = "bagpipe_http_refused_total",                                                 \
        .help = "Connections and requests turned away before a handler saw them, by reason.", \
        .type = BP_METRIC_COUNTER, .label = "reason", .label_value = (why),                   \
        .counter = &bp_http_stats.field                                                       \
    }
#define CUT(why, field)                                                                        \
    {                                                                                          \
        .name = "bagpipe_http_cut_total", .help = "Connections cut by the server, by reason.", \
        .type = BP_METRIC_COUNTER, .label = "reason", .label_value = (why),                    \
        .counter = &bp_http_stats.field                                                        \
    }

const struct bp_metric bp_http_metrics[] = {
    REQUESTS("1xx", 0),
    REQUESTS("2xx", 1),
    REQUESTS("3xx", 2),
    REQUESTS("4xx", 3),
    REQUESTS("5xx", 4),
    { .name = "bagpipe_http_in_flight",
      .help = "Requests being answered now.",
      .type = BP_METRIC_GAUGE,
      .gauge = &bp_http_stats.in_flight },
    { .name = "bagpipe_http_connections",
      .help = "Connections open now.",
      .type = BP_METRIC_GAUGE,
      .gauge = &bp_http_stats.connections },
    { .name = "bagpipe_http_received_bytes_total",
      .help = "Bytes of request bodies.",
      .type = BP_METRIC_COUNTER,
      .counter = &bp_http_stats.received_bytes },
    { .name = "bagpipe_http_sent_bytes_total",
      .help = "Bytes of reply bodies.",
      .type = BP_METRIC_COUNTER,
      .counter = &bp_http_stats.sent_bytes },
    REFUSED("connections", refused_full),
    REFUSED("peer", refused_peer),
    REFUSED("busy", refused_busy),
    REFUSED("request", refused_head),
    CUT("slow_head", cut_head),
    CUT("slow_body", cut_body),
    CUT("made_room", cut_room),
    { .name = "bagpipe_http_request_seconds",
      .help = "From a request's first line to the end of its reply.",
      .type = BP_METRIC_HISTOGRAM,
      .scale = 1e-9,
      .histogram = &bp_http_stats.seconds,
      .bounds = bounds,
      .nbounds = BP_COUNT(bounds) },
};
const size_t bp_http_metrics_count = BP_COUNT(bp_http_metrics);

void bp_http_count(int status, bp_ns_t took, uint64_t received, uint64_t sent) {
    int class = BP_MIN(BP_MAX(status / 100, 1), 5) - 1;

    bp_counter_add(&bp_http_stats.requests[class], 1);
    bp_counter_add(&bp_http_stats.received_bytes, received);
    bp_counter_add(&bp_http_stats.sent_bytes, sent);
    bp_histogram_add(&bp_http_stats.seconds, bounds, BP_COUNT(bounds), took);
}
