/* What is told about retention: JSON for the API, families for Prometheus. */
#include "agent/retention-priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json-value.h"
#include "base/metrics.h"

/* 0 = no limit is null, since 0 bytes is something else. */
static json_t *limit_json(uint64_t n) {
    return n ? bp_json_count(n) : json_null();
}

static json_t *seconds_json(bp_ns_t ns) {
    return ns ? json_real((double) ns / 1e9) : json_null();
}

static size_t class_index(const struct bp_retention_view *v, size_t i) {
    for (size_t c = 1; c < BP_RETENTION_CLASSES; c++)
        if (bp_streq(v->classes[c].name, v->keep[i].class_))
            return c;
    return 0;
}

struct class_sums {
    uint64_t count, bytes, uploaded;
};

static void sum_classes(const struct bp_retention_view *v,
                        struct class_sums ret[static BP_RETENTION_CLASSES]) {
    memset(ret, 0, BP_RETENTION_CLASSES * sizeof *ret);
    for (size_t i = 0; i < v->n; i++) {
        struct class_sums *s = &ret[class_index(v, i)];

        s->count++;
        s->bytes += v->keep[i].bytes;
        s->uploaded += v->rows[i].uploaded;
    }
}

static json_t *classes_json(const struct bp_retention_view *v) {
    struct class_sums sums[BP_RETENTION_CLASSES];
    json_t *list = json_array();

    sum_classes(v, sums);
    for (size_t c = 0; c < BP_RETENTION_CLASSES; c++) {
        const struct bp_retention_class *k = &v->classes[c];

        (void) json_array_append_new(
            list,
            json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "class", k->name, "sessions",
                      bp_json_count(sums[c].count), "bytes", bp_json_count(sums[c].bytes),
                      "uploaded", bp_json_count(sums[c].uploaded), "max_age_s",
                      seconds_json(k->max_age), "max_size", limit_json(k->max_size), "keep_newest",
                      limit_json(k->keep_newest), "keep", (int) k->keep));
    }
    return list;
}

static json_t *row_json(const struct bp_retention_view *v, size_t i) {
    const struct bp_catalog_keep *k = &v->keep[i];

    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s}", "id", k->id, "name", k->name,
                     "class", k->class_, "bytes", bp_json_count(k->bytes), "started_ns",
                     bp_json_time(k->started_ns), "ended_ns", bp_json_time(k->ended_ns),
                     "uploaded_ns", bp_json_time(k->uploaded_ns), "why",
                     bp_retention_verdict_text(v->rows[i].verdict));
}

enum rows_of { DUE, LATER, HELD };

static enum rows_of rows_of(enum bp_retention_verdict verdict) {
    if (verdict == BP_RETAIN)
        return LATER;
    return verdict < BP_DELETE_AGE ? HELD : DUE;
}

/* In the order in which they are to be deleted, or would be; what is protected, oldest first. */
static json_t *rows_json(const struct bp_retention_view *v, size_t limit, enum rows_of which) {
    json_t *list = json_array();

    for (size_t i = 0; i < v->n && json_array_size(list) < limit; i++) {
        size_t at = v->order[i];

        if (rows_of(v->rows[at].verdict) == which)
            (void) json_array_append_new(list, row_json(v, at));
    }
    return list;
}

static json_t *deleted_json(struct bp_retention *r) {
    uint64_t sessions = 0, bytes, erased;

    bp_mutex_lock(&r->lock);
    for (size_t i = 0; i < BP_RETENTION_VERDICTS_N_; i++)
        sessions += r->deleted[i];
    bytes = r->deleted_bytes;
    erased = r->erased_bytes;
    bp_mutex_unlock(&r->lock);
    return json_pack("{s:o, s:o, s:o}", "sessions", bp_json_count(sessions), "bytes",
                     bp_json_count(bytes), "erased_bytes", bp_json_count(erased));
}

static const char *note_of(const struct bp_retention_view *v) {
    if (v->is_idle)
        return "this agent has no upstream and retention.delete_not_uploaded is off: only what "
               "somebody else has uploaded is ever deleted";
    if (!v->now.clock_ok)
        return "the clock has stepped: for an hour no session is deleted for its age";
    if (!v->now.space_ok)
        return "deleting sessions gave no space back: for some minutes none is deleted for it";
    return NULL;
}

int bp_retention_json(struct bp_retention *r, size_t limit, json_t **ret, struct bp_error *err) {
    BP_AUTO_VIEW v = { 0 };
    int k = bp_retention_look(r, &v, err);

    if (k < 0)
        return k;
    *ret = json_pack(
        "{s:s, s:o, s:o, s:{s:o, s:o}, s:o, s:{s:o, s:o, s:o, s:o, s:b, s:b}, s:{s:o, s:o}, s:o, "
        "s:o, s:o, s:o, s:o, s:s?}",
        "dir", r->o.dir, "size", bp_json_count(v.size), "free", bp_json_count(v.now.free),
        "sessions", "count", bp_json_count(v.n), "bytes", bp_json_count(v.sums.total), "classes",
        classes_json(&v), "limits", "max_age_s", seconds_json(v.policy.max_age), "max_size",
        limit_json(v.policy.max_size), "min_free", limit_json(v.policy.min_free), "keep_newest",
        limit_json(v.policy.keep_newest), "keep_marked", (int) v.policy.keep_marked,
        "delete_not_uploaded", (int) v.policy.delete_not_uploaded, "would_delete", "sessions",
        bp_json_count(v.sums.ndeleted), "bytes", bp_json_count(v.sums.deleted), "over",
        bp_json_count(v.sums.over), "next", rows_json(&v, limit, DUE), "later",
        rows_json(&v, limit, LATER), "held", rows_json(&v, limit, HELD), "deleted", deleted_json(r),
        "note", note_of(&v));
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

/* ---- metrics ---- */

/* Label values are short and never change. */
static const struct {
    enum bp_retention_verdict verdict;
    const char *label;
} reasons[] = {
    { BP_RETAIN, "by_hand" },
    { BP_DELETE_AGE, "age" },
    { BP_DELETE_CLASS_SIZE, "class_size" },
    { BP_DELETE_SIZE, "total_size" },
    { BP_DELETE_SPACE, "space" },
};

static void put_deleted(struct bp_retention *r, struct bp_buf *out) {
    uint64_t deleted[BP_RETENTION_VERDICTS_N_], bytes;

    bp_mutex_lock(&r->lock);
    memcpy(deleted, r->deleted, sizeof deleted);
    bytes = r->deleted_bytes;
    bp_mutex_unlock(&r->lock);
    bp_metrics_family(out, "bagpipe_retention_deleted_sessions_total", BP_METRIC_COUNTER,
                      "Sessions deleted since the start, by the limit that asked for it.");
    for (size_t i = 0; i < BP_COUNT(reasons); i++)
        bp_metrics_sample(out, "bagpipe_retention_deleted_sessions_total",
                          &(const struct bp_label){ "reason", reasons[i].label }, 1,
                          (double) deleted[reasons[i].verdict]);
    bp_metrics_family(out, "bagpipe_retention_deleted_bytes_total", BP_METRIC_COUNTER,
                      "Their bytes.");
    bp_metrics_sample(out, "bagpipe_retention_deleted_bytes_total", NULL, 0, (double) bytes);
}

static void put_gauge(struct bp_buf *out, const char *name, const char *help, uint64_t value) {
    bp_metrics_family(out, name, BP_METRIC_GAUGE, help);
    bp_metrics_sample(out, name, NULL, 0, (double) value);
}

void bp_retention_metrics(struct bp_retention *r, struct bp_buf *out) {
    struct class_sums sums[BP_RETENTION_CLASSES];
    BP_AUTO_VIEW v = { 0 };

    put_deleted(r, out);
    if (bp_retention_look(r, &v, NULL) < 0)
        return;
    sum_classes(&v, sums);
    put_gauge(out, "bagpipe_retention_over_bytes",
              "What the limits still ask for although all that is left is protected.", v.sums.over);
    put_gauge(out, "bagpipe_retention_not_uploaded_sessions",
              "Sessions kept because there is no copy of them elsewhere yet.", v.sums.nheld);
    put_gauge(out, "bagpipe_storage_free_bytes", "Free space of the disk with the recordings.",
              v.now.free);
    put_gauge(out, "bagpipe_storage_size_bytes", "Size of that disk.", v.size);
    bp_metrics_family(out, "bagpipe_storage_sessions_bytes", BP_METRIC_GAUGE,
                      "Bytes of the sessions that are there, by class: who fills the disk?");
    for (size_t c = 0; c < BP_RETENTION_CLASSES; c++)
        bp_metrics_sample(out, "bagpipe_storage_sessions_bytes",
                          &(const struct bp_label){ "class", v.classes[c].name }, 1,
                          (double) sums[c].bytes);
}
