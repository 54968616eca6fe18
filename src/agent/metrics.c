/* GET /metrics: families about the agent as a whole. */
#include "base/metrics.h"
#include "agent/agent-priv.h"
#include "bag/bag-metrics.h"
#include "daemon/data.h"

static void put(struct bp_buf *out, const char *name, enum bp_metric_type type, const char *help,
                double value) {
    bp_metrics_family(out, name, type, help);
    bp_metrics_sample(out, name, NULL, 0, value);
}

void bp_agent_put_metrics(struct bp_agent *a, struct bp_buf *out) {
    struct bp_sessions_stats s;

    bp_sessions_stats(a->sessions, &s);
    put(out, "bagpipe_sessions_running", BP_METRIC_GAUGE,
        "Sessions being recorded, paused ones too: is anything recorded?", s.running);
    put(out, "bagpipe_sessions_paused", BP_METRIC_GAUGE,
        "Those of them that are paused: did somebody forget to go on?", s.paused);
    put(out, "bagpipe_ring_used_bytes", BP_METRIC_GAUGE,
        "Accepted and not yet safe on the disk, all rings: how near are we to refusing messages?",
        (double) s.ring_used);
    put(out, "bagpipe_ring_size_bytes", BP_METRIC_GAUGE, "Room in all rings: which share is used?",
        (double) s.ring_size);
    put(out, "bagpipe_jobs", BP_METRIC_GAUGE, "Jobs that wait or run: does work pile up?",
        (double) bp_jobs_live(a->jobs));
    bp_api_put_disk(out, a->dir);
    bp_sessions_totals(a->sessions, out);
    bp_data_put_metrics(a->pumps, out);
    bp_metrics_render(out, bp_bag_metrics, bp_bag_metrics_count);
    bp_api_put_process(out, a->started_ns);
}
