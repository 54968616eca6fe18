/* What is told about sessions: JSON for the API, families for Prometheus. */
#include "agent/sessions-priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-value.h"
#include "base/metrics.h"
#include "catalog/keep.h"

/* Times are texts: nanoseconds do not survive JavaScript's numbers. */
static json_t *parsed(const char *text, json_t *(*otherwise)(void) ) {
    json_t *v = text && *text ? json_loads(text, 0, NULL) : NULL;

    return v ? v : otherwise();
}

static json_t *row_json(const struct bp_catalog_session *s) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, "
                     "s:s?, s:o, s:s}",
                     "id", s->id, "name", s->name, "status", bp_status_name(s->status), "dir",
                     s->dir, "mission", s->mission ? s->mission : "", "operator",
                     s->operator_ ? s->operator_ : "", "notes", s->notes ? s->notes : "", "tags",
                     parsed(s->tags, json_array), "started_ns", bp_json_time(s->started_ns),
                     "ended_ns", bp_json_time(s->ended_ns), "messages", bp_json_count(s->messages),
                     "bytes", bp_json_count(s->bytes), "lost", bp_json_count(s->lost), "segments",
                     (int) s->segments, "outages", (int) s->outages, "error",
                     s->error && *s->error ? s->error : NULL, "request",
                     parsed(s->request, json_object), "class", bp_class_name(s->class));
}

json_t *bp_sessions_lost_json(const uint64_t lost[static BP_LOSS_N_]) {
    json_t *o = json_object();

    for (int i = 0; i < BP_LOSS_N_; i++)
        (void) json_object_set_new(o, bp_loss_name((enum bp_loss) i), bp_json_count(lost[i]));
    return o;
}

/* What only a session that runs has. */
static json_t *live_json(struct running *r) {
    struct bp_catalog_session row = bp_running_row(r);
    json_t *o = row_json(&row);
    struct bp_take_stats t = { 0 };
    struct bp_writer_stats w;

    if (r->take)
        bp_take_stats(r->take, &t);
    bp_writer_stats(r->writer, &w);
    (void) json_object_update_new(
        o,
        json_pack("{s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:b, s:s, s:o, s:o}", "topics",
                  (int) t.topics, "writers", (int) t.writers, "topics_refused",
                  (int) t.topics_refused, "lost_by_cause", bp_sessions_lost_json(w.lost),
                  "ring_used", bp_json_count(w.ring_used), "ring_size", bp_json_count(w.ring_size),
                  "durable_until_ns", bp_json_time(w.durable_wall_ns), "disk_full",
                  (int) w.disk_full, "segment", w.segment, "commit_p99_ns",
                  bp_json_count((uint64_t) w.commit_p99), "received", bp_json_count(t.received)));
    return o;
}

static int put_mark(void *ctx, const struct bp_catalog_mark *m) {
    json_t *list = ctx;

    return json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "time_ns",
                                                 bp_json_time(m->wall_ns), "text", m->text,
                                                 "values", parsed(m->values, json_object)));
}

/* What decides how long it stays. */
static void put_keep(struct bp_sessions *s, json_t *o) {
    BP_AUTO_CATALOG_KEEP k = { 0 };
    const char *id = json_string_value(json_object_get(o, "id"));

    if (!id || bp_catalog_get_keep(s->catalog, id, &k, NULL) < 0)
        return;
    (void) json_object_update_new(o, json_pack("{s:s, s:b, s:o}", "class", k.class_, "keep",
                                               (int) k.keep, "uploaded_ns",
                                               bp_json_time(k.uploaded_ns)));
    if (k.status == BP_STATUS_DELETED)
        (void) json_object_update_new(o, json_pack("{s:o, s:s}", "deleted_ns",
                                                   bp_json_time(k.deleted_ns), "deleted_why",
                                                   k.deleted_why));
}

json_t *bp_sessions_brief(struct bp_sessions *s, const char *key) {
    BP_AUTO_CATALOG_SESSION row = { 0 };
    json_t *o = NULL;
    struct bp_error err;
    struct running *r;

    (void) pthread_mutex_lock(&s->lock);
    r = bp_running_find_locked(s, key);
    if (r)
        o = live_json(r);
    (void) pthread_mutex_unlock(&s->lock);
    if (!r && key && bp_catalog_get(s->catalog, key, &row, &err) == 0)
        o = row_json(&row);
    return o;
}

json_t *bp_sessions_get(struct bp_sessions *s, const char *key) {
    json_t *o = bp_sessions_brief(s, key), *marks = json_array();
    struct bp_error err;

    if (o)
        (void) bp_catalog_marks(s->catalog, json_string_value(json_object_get(o, "id")), put_mark,
                                marks, &err);
    if (o) {
        (void) json_object_set(o, "marks", marks);
        put_keep(s, o);
    }
    json_decref(marks);
    return o;
}

struct page {
    json_t *list;
    uint32_t left;
    char last[27];
    bool more;
};

static int put_row(void *ctx, const struct bp_catalog_session *s) {
    struct page *p = ctx;

    if (p->left == 0) {
        p->more = true;
        return 0;
    }
    p->left--;
    memcpy(p->last, s->id, sizeof p->last);
    return json_array_append_new(p->list, row_json(s));
}

/* Rows of sessions that run are as old as their last change: the live ones take their place. */
static void refresh(struct bp_sessions *s, json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *id = json_string_value(json_object_get(json_array_get(list, i), "id"));
        struct running *r = NULL;

        (void) pthread_mutex_lock(&s->lock);
        for (r = s->running; r && !bp_streq(r->id, id);)
            r = r->next;
        if (r)
            (void) json_array_set_new(list, i, live_json(r));
        (void) pthread_mutex_unlock(&s->lock);
    }
}

int bp_sessions_list(struct bp_sessions *s, const struct bp_catalog_query *q, json_t **ret,
                     struct bp_error *err) {
    struct bp_catalog_query one_more = *q;
    struct page p = { .list = json_array(), .left = q->limit ? q->limit : 100 };
    int r;

    if (!p.list)
        return bp_fail(err, -ENOMEM, "out of memory");
    one_more.limit = BP_MIN(p.left + 1, 1000u);
    r = bp_catalog_list(s->catalog, &one_more, put_row, &p, err);
    if (r >= 0)
        refresh(s, p.list);
    if (r < 0) {
        json_decref(p.list);
        return r;
    }
    *ret = json_pack("{s:o, s:s?}", "sessions", p.list, "next", p.more ? p.last : NULL);
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

static json_t *topic_json(struct running *r, const struct bp_take_topic *t) {
    struct bp_channel_stats c = { 0 };

    (void) bp_writer_channel_stats(r->writer, t->channel, &c);
    return json_pack("{s:s, s:s, s:s, s:i, s:b, s:o, s:o, s:o}", "topic", t->topic, "type", t->type,
                     "robot", t->robot, "writers", (int) t->writers, "has_definition",
                     (int) t->has_definition, "messages", bp_json_count(c.messages), "bytes",
                     bp_json_count(c.bytes), "lost", bp_sessions_lost_json(c.lost));
}

json_t *bp_sessions_topics(struct bp_sessions *s, const char *key) {
    BP_AUTO_FREE struct bp_take_topic *v = NULL;
    json_t *list = NULL;
    struct running *r;
    size_t n;

    (void) pthread_mutex_lock(&s->lock);
    r = bp_running_find_locked(s, key);
    if (r) {
        n = r->take ? bp_take_topics(r->take, NULL, 0) : 0;
        v = calloc(n + 1, sizeof *v);
        list = v ? json_array() : NULL;
        n = v && r->take ? BP_MIN(n, bp_take_topics(r->take, v, n)) : 0;
        for (size_t i = 0; i < n; i++)
            (void) json_array_append_new(list, topic_json(r, &v[i]));
    }
    (void) pthread_mutex_unlock(&s->lock);
    return list ? json_pack("{s:o}", "topics", list) : NULL;
}

void bp_sessions_stats(struct bp_sessions *s, struct bp_sessions_stats *ret) {
    struct bp_sessions_stats st = { 0 };

    (void) pthread_mutex_lock(&s->lock);
    for (struct running *r = s->running; r; r = r->next) {
        struct bp_catalog_session row = bp_running_row(r);
        struct bp_writer_stats w;

        bp_writer_stats(r->writer, &w);
        st.running += row.class == BP_CLASS_SESSION;
        st.paused += row.status == BP_STATUS_PAUSED;
        st.messages += row.messages;
        st.bytes += row.bytes;
        st.lost += row.lost;
        st.disk_free = w.disk_free;
        st.ring_used += w.ring_used;
        st.ring_size += w.ring_size;
        for (int i = 0; i < BP_LOSS_N_; i++)
            st.lost_by[i] += w.lost[i];
        if (w.ring_size && (double) w.ring_used / (double) w.ring_size >= st.ring_fullest) {
            st.ring_fullest = (double) w.ring_used / (double) w.ring_size;
            (void) snprintf(st.fullest, sizeof st.fullest, "%s", r->name);
        }
        st.disk_full |= w.disk_full;
        if (!st.durable_wall_ns || w.durable_wall_ns < st.durable_wall_ns)
            st.durable_wall_ns = w.durable_wall_ns;
        if (!st.ticked_mono || w.ticked_mono < st.ticked_mono)
            st.ticked_mono = w.ticked_mono;
    }
    (void) pthread_mutex_unlock(&s->lock);
    *ret = st;
}

/* ---- metrics ---- */

struct family {
    const char *name, *help;
    enum bp_metric_type type;
    double (*value)(struct running *r);
};

static double messages_of(struct running *r) {
    return (double) bp_running_row(r).messages;
}

static double bytes_of(struct running *r) {
    return (double) bp_running_row(r).bytes;
}

static double lost_of(struct running *r) {
    return (double) bp_running_row(r).lost;
}

static double ring_of(struct running *r) {
    struct bp_writer_stats w;

    bp_writer_stats(r->writer, &w);
    return w.ring_size ? (double) w.ring_used / (double) w.ring_size : 0;
}

static double age_of(struct running *r) {
    struct bp_writer_stats w;

    bp_writer_stats(r->writer, &w);
    return w.durable_wall_ns ? (double) (bp_wall_ns() - w.durable_wall_ns) / 1e9 : 0;
}

static double full_of(struct running *r) {
    struct bp_writer_stats w;

    bp_writer_stats(r->writer, &w);
    return w.disk_full;
}

static void put_losses_locked(struct bp_sessions *s, struct bp_buf *out) {
    static const char name[] = "bagpipe_session_lost_by_cause_total";

    bp_metrics_family(out, name, BP_METRIC_COUNTER,
                      "Messages that it does not have, by cause; those of rate, paused and control "
                      "are no losses.");
    for (struct running *r = s->running; r; r = r->next) {
        struct bp_writer_stats w;

        bp_writer_stats(r->writer, &w);
        for (int i = 0; i < BP_LOSS_N_; i++) {
            const struct bp_label labels[] = { { "session", r->name },
                                               { "cause", bp_loss_name((enum bp_loss) i) } };

            bp_metrics_sample(out, name, labels, BP_COUNT(labels), (double) w.lost[i]);
        }
    }
}

void bp_sessions_metrics(struct bp_sessions *s, struct bp_buf *out) {
    static const struct family families[] = {
        { "bagpipe_session_messages_total", "Messages accepted by a session that is recorded.",
          BP_METRIC_COUNTER, messages_of },
        { "bagpipe_session_written_bytes_total", "Bytes written to its segments.",
          BP_METRIC_COUNTER, bytes_of },
        { "bagpipe_session_lost_total", "Messages it is known to have lost, for whatever cause.",
          BP_METRIC_COUNTER, lost_of },
        { "bagpipe_session_ring_ratio", "How full its ring is, 0 to 1.", BP_METRIC_GAUGE, ring_of },
        { "bagpipe_session_durable_age_seconds",
          "Age of the newest moment before which nothing can be lost by a power cut.",
          BP_METRIC_GAUGE, age_of },
        { "bagpipe_session_disk_full", "1 while messages are refused because the disk is full.",
          BP_METRIC_GAUGE, full_of },
    };

    (void) pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < BP_COUNT(families); i++) {
        bp_metrics_family(out, families[i].name, families[i].type, families[i].help);
        for (struct running *r = s->running; r; r = r->next)
            bp_metrics_sample(out, families[i].name, &(const struct bp_label){ "session", r->name },
                              1, families[i].value(r));
    }
    put_losses_locked(s, out);
    (void) pthread_mutex_unlock(&s->lock);
}
