#include "net/fanout.h"

#define COUNTER(metric, text, field)                                 \
    {                                                                \
        .name = (metric), .help = (text), .type = BP_METRIC_COUNTER, \
        .counter = &bp_fanout_stats.field                            \
    }
#define GAUGE(metric, text, field) \
    { .name = (metric), .help = (text), .type = BP_METRIC_GAUGE, .gauge = &bp_fanout_stats.field }
#define ENDED(why, index)                                                                     \
    {                                                                                         \
        .name = "bagpipe_websocket_ended_total", .help = "WebSockets that ended, by reason.", \
        .type = BP_METRIC_COUNTER, .label = "reason", .label_value = (why),                   \
        .counter = &bp_fanout_stats.ws_ended[index]                                           \
    }

const struct bp_metric bp_fanout_metrics[] = {
    COUNTER("bagpipe_events_published_total", "Messages published to subscribers.", published),
    COUNTER("bagpipe_events_published_bytes_total", "Their bytes, each message once.",
            published_bytes),
    COUNTER("bagpipe_events_sent_total", "Messages given to subscribers, one for each.", taken),
    COUNTER("bagpipe_events_sent_bytes_total", "Their bytes; how much do viewers cost?",
            taken_bytes),
    COUNTER("bagpipe_events_dropped_total",
            "Messages a subscriber was too slow for; it was told how many.", dropped),
    COUNTER("bagpipe_events_superseded_total",
            "Messages replaced by newer ones before a subscriber gave credit.", superseded),
    COUNTER("bagpipe_events_overflown_total",
            "Subscribers cut since they did not read what must not be dropped.", overflown),
    COUNTER("bagpipe_events_overrun_total",
            "Messages not handed out since the sending thread was behind: is the CPU exhausted?",
            inbox_full),
    GAUGE("bagpipe_events_subscriptions", "Subscriptions now.", subscriptions),
    GAUGE("bagpipe_events_waiting_bytes", "Published and not handed out yet.", inbox_bytes),
    GAUGE("bagpipe_events_streams", "Streams of server-sent events open now.", sse_open),
    GAUGE("bagpipe_websocket_connections", "WebSockets open now.", ws_open),
    COUNTER("bagpipe_websocket_opened_total", "WebSockets opened.", ws_opened),
    COUNTER("bagpipe_websocket_refused_total", "WebSocket handshakes refused.", ws_refused),
    COUNTER("bagpipe_websocket_messages_total", "Messages received over WebSockets.", ws_messages),
    ENDED("closed", 0),
    ENDED("lost", 1),
    ENDED("bad_input", 2),
    ENDED("too_slow", 3),
};
const size_t bp_fanout_metrics_count = BP_COUNT(bp_fanout_metrics);
