/* What is told about snapshots: JSON for the API, families for Prometheus. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/snapshot-priv.h"
#include "base/json-value.h"
#include "base/metrics.h"

static double span_s(const struct bp_history_stats *h) {
    return h->newest_ns > h->oldest_ns ? (double) (h->newest_ns - h->oldest_ns) / 1e9 : 0;
}

static json_t *memory_json(const struct bp_history_stats *h) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:o}", "size",
                     bp_json_count(h->memory_bytes), "used", bp_json_count(h->memory_used),
                     "messages", bp_json_count(h->held), "oldest_ns", bp_json_time(h->oldest_ns),
                     "newest_ns", bp_json_time(h->newest_ns), "span_s", span_s(h), "evicted",
                     bp_json_count(h->evicted), "dropped", bp_json_count(h->dropped), "latched",
                     bp_json_count(h->latched), "latched_bytes", bp_json_count(h->latched_bytes));
}

static json_t *disk_json(const struct bp_history_stats *h) {
    if (!h->on_disk)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?}", "bytes",
                     bp_json_count(h->disk_bytes), "files", bp_json_count(h->disk_files), "locked",
                     bp_json_count(h->disk_locked), "oldest_ns", bp_json_time(h->disk_oldest_ns),
                     "written", bp_json_count(h->disk_written), "removed",
                     bp_json_count(h->disk_removed), "missed", bp_json_count(h->disk_missed),
                     "error", h->disk_error ? bp_strerror(h->disk_error) : NULL);
}

static json_t *running_json(struct bp_snapshots *s) {
    json_t *list = json_array();
    bp_ns_t wall = bp_wall_ns(), mono = bp_history_mono(s->history, wall);

    (void) pthread_mutex_lock(&s->lock);
    for (struct snap *n = s->list; n; n = n->next) {
        struct bp_save_stats st;

        if (atomic_load(&n->done))
            continue;
        bp_save_stats(n->save, &st);
        (void) json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:i}", "id", n->id, "from_ns",
                            bp_json_time(wall - mono + n->from_mono), "until_ns",
                            bp_json_time(wall - mono + st.until_mono), "messages",
                            bp_json_count(st.messages), "latched", bp_json_count(st.latched),
                            "missed", bp_json_count(st.missed), "merged", (int) n->merged));
    }
    (void) pthread_mutex_unlock(&s->lock);
    return list;
}

static json_t *topics_json(struct bp_snapshots *s) {
    size_t n = bp_take_topics(s->take, NULL, 0);
    BP_AUTO_FREE struct bp_take_topic *v = calloc(n + 1, sizeof *v);
    json_t *list = json_array();

    n = v ? BP_MIN(n, bp_take_topics(s->take, v, n)) : 0;
    for (size_t i = 0; i < n; i++) {
        struct bp_history_topic t;

        bp_history_channel_stats(s->history, v[i].channel, &t);
        (void) json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:i, s:o, s:o, s:o}", "topic", v[i].topic, "type", v[i].type,
                      "writers", (int) v[i].writers, "messages", bp_json_count(t.messages), "bytes",
                      bp_json_count(t.bytes), "last_ns", bp_json_time(t.last_ns)));
    }
    return list;
}

json_t *bp_snapshots_get(struct bp_snapshots *s) {
    const struct bp_agent_config *c = s->config;
    struct bp_history_stats h;
    json_t *o;

    if (!s->history)
        return json_pack("{s:b}", "enabled", 0);
    bp_history_stats(s->history, &h);
    o = json_pack("{s:b, s:f, s:f, s:o, s:o, s:o, s:o}", "enabled", 1, "before_s",
                  (double) c->snapshot.before / 1e9, "after_s", (double) c->snapshot.after / 1e9,
                  "memory", memory_json(&h), "disk", disk_json(&h), "saving", running_json(s),
                  "topics", topics_json(s));
    (void) pthread_mutex_lock(&s->lock);
    if (o)
        (void) json_object_update_new(
            o, json_pack("{s:o, s:o, s:o}", "started", bp_json_count(s->started), "merged",
                         bp_json_count(s->merged), "refused", bp_json_count(s->refused)));
    (void) pthread_mutex_unlock(&s->lock);
    return o;
}

/* ---- metrics ---- */

static void put(struct bp_buf *out, const char *name, enum bp_metric_type type, const char *help,
                double value) {
    bp_metrics_family(out, name, type, help);
    bp_metrics_sample(out, name, NULL, 0, value);
}

static void history_metrics(const struct bp_history_stats *h, struct bp_buf *out) {
    put(out, "bagpipe_history_size_bytes", BP_METRIC_GAUGE, "Memory of the history.",
        (double) h->memory_bytes);
    put(out, "bagpipe_history_used_bytes", BP_METRIC_GAUGE, "How much of it holds messages.",
        (double) h->memory_used);
    put(out, "bagpipe_history_span_seconds", BP_METRIC_GAUGE,
        "Time from its oldest to its newest message: what a snapshot reaches back.", span_s(h));
    put(out, "bagpipe_history_messages_total", BP_METRIC_COUNTER, "Messages the history has taken.",
        (double) h->messages);
    put(out, "bagpipe_history_evicted_total", BP_METRIC_COUNTER,
        "Messages it has let go for newer ones, as it should.", (double) h->evicted);
    put(out, "bagpipe_history_dropped_total", BP_METRIC_COUNTER,
        "Messages it could not take; above 0 they are missing in snapshots.", (double) h->dropped);
    if (!h->on_disk)
        return;
    put(out, "bagpipe_history_disk_bytes", BP_METRIC_GAUGE, "Its files.", (double) h->disk_bytes);
    put(out, "bagpipe_history_disk_written_bytes_total", BP_METRIC_COUNTER,
        "Bytes written to its files.", (double) h->disk_written);
    put(out, "bagpipe_history_disk_missed_total", BP_METRIC_COUNTER,
        "Entries let go before they were written: the disk is too slow.", (double) h->disk_missed);
    put(out, "bagpipe_history_disk_failing", BP_METRIC_GAUGE,
        "1 while its files cannot be written.", h->disk_error != 0);
}

void bp_snapshots_metrics(struct bp_snapshots *s, struct bp_buf *out) {
    struct bp_history_stats h;
    uint64_t started, merged, refused;

    if (!s->history)
        return;
    bp_history_stats(s->history, &h);
    (void) pthread_mutex_lock(&s->lock);
    started = s->started;
    merged = s->merged;
    refused = s->refused;
    (void) pthread_mutex_unlock(&s->lock);
    put(out, "bagpipe_snapshots_total", BP_METRIC_COUNTER, "Snapshots that were begun.",
        (double) started);
    put(out, "bagpipe_snapshots_merged_total", BP_METRIC_COUNTER,
        "Triggers that made a snapshot longer.", (double) merged);
    put(out, "bagpipe_snapshots_refused_total", BP_METRIC_COUNTER,
        "Triggers that were refused: cool-down, limits, no space.", (double) refused);
    history_metrics(&h, out);
}
