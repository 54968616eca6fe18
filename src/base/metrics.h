#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Numbers about the running program, for Prometheus and for our own pages. A module keeps its
 * values in static structs, adds to them without a lock from any thread, and lists them in one
 * static const table of rows; the pages of a process are made from the tables it uses. What exists
 * once per topic or peer is written by hand with bp_metrics_family() and bp_metrics_sample(). */

struct bp_counter {
    uint64_t v; /* [atomic] */
};

struct bp_gauge {
    int64_t v; /* [atomic] */
};

enum { BP_HISTOGRAM_BUCKETS = 16 };

/* Counts of values up to each bound, not summed up; the last is for what lies above. */
struct bp_histogram {
    uint64_t counts[BP_HISTOGRAM_BUCKETS + 1]; /* [atomic] */
    uint64_t sum;                              /* [atomic] in `scale` units of the row */
};

static inline void bp_counter_add(struct bp_counter *c, uint64_t n) {
    (void) __atomic_fetch_add(&c->v, n, __ATOMIC_RELAXED);
}

static inline uint64_t bp_counter_get(const struct bp_counter *c) {
    return __atomic_load_n(&c->v, __ATOMIC_RELAXED);
}

static inline void bp_gauge_set(struct bp_gauge *g, int64_t v) {
    __atomic_store_n(&g->v, v, __ATOMIC_RELAXED);
}

static inline void bp_gauge_add(struct bp_gauge *g, int64_t n) {
    (void) __atomic_fetch_add(&g->v, n, __ATOMIC_RELAXED);
}

static inline int64_t bp_gauge_get(const struct bp_gauge *g) {
    return __atomic_load_n(&g->v, __ATOMIC_RELAXED);
}

enum bp_metric_type { BP_METRIC_COUNTER, BP_METRIC_GAUGE, BP_METRIC_HISTOGRAM };

/* One row. Rows of one name stand together and differ in their label. */
struct bp_metric {
    const char *name; /* "bagpipe_ring_bytes", "bagpipe_messages_total" */
    const char *help; /* one sentence */
    enum bp_metric_type type;
    const char *label, *label_value; /* or NULL */
    double scale;                    /* shown = value * scale; 0 = 1; 1e-9 shows ns as seconds */
    union {
        const struct bp_counter *counter;
        const struct bp_gauge *gauge;
        const struct bp_histogram *histogram;
    };
    const int64_t *bounds; /* histogram: rising upper bounds, before scaling */
    size_t nbounds;        /* at most BP_HISTOGRAM_BUCKETS */
};

/** Counts a value into the row's histogram. */
void bp_histogram_add(struct bp_histogram *h, const int64_t *bounds, size_t nbounds, int64_t v);

/** Appends the rows in Prometheus' text format 0.0.4. Any thread. */
void bp_metrics_render(struct bp_buf *out, const struct bp_metric *rows, size_t n);

/**
 * The same page as OpenMetrics 1.0: what renders 0.0.4 stays the one place that names families.
 *
 * @param text  whole page in 0.0.4 as made here: counters, and only they, end in _total
 * @param out   gets it with "# EOF" at its end
 */
void bp_metrics_openmetrics(const struct bp_buf *text, struct bp_buf *out);
/** Does an Accept header prefer OpenMetrics over plain text? @param accept  or NULL */
bool bp_metrics_wants_openmetrics(const char *accept);

struct bp_label {
    const char *name, *value;
};

/** Appends the HELP and TYPE lines of a name; its samples follow. */
void bp_metrics_family(struct bp_buf *out, const char *name, enum bp_metric_type type,
                       const char *help);
/** Appends one sample; label values may hold any text. */
void bp_metrics_sample(struct bp_buf *out, const char *name, const struct bp_label *labels,
                       size_t nlabels, double value);
