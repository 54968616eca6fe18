#include "base/metrics.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"

void bp_histogram_add(struct bp_histogram *h, const int64_t *bounds, size_t nbounds, int64_t v) {
    size_t i = 0;

    while (i < nbounds && v > bounds[i])
        i++;
    (void) __atomic_fetch_add(&h->counts[i], 1, __ATOMIC_RELAXED);
    (void) __atomic_fetch_add(&h->sum, (uint64_t) v, __ATOMIC_RELAXED);
}

/* In HELP texts a backslash and a line break are escaped, in label values quotes as well. */
static void put_escaped(struct bp_buf *out, const char *text, bool quotes) {
    for (; *text; text++) {
        if (*text == '\\')
            bp_buf_put_str(out, "\\\\");
        else if (*text == '\n')
            bp_buf_put_str(out, "\\n");
        else if (*text == '"' && quotes)
            bp_buf_put_str(out, "\\\"");
        else
            bp_buf_put_u8(out, (uint8_t) *text);
    }
}

static void put_value(struct bp_buf *out, double v) {
    if (isnan(v))
        bp_buf_put_str(out, "NaN");
    else if (isinf(v))
        bp_buf_put_str(out, v > 0 ? "+Inf" : "-Inf");
    else
        bp_json_put_real(out, v);
}

void bp_metrics_family(struct bp_buf *out, const char *name, enum bp_metric_type type,
                       const char *help) {
    static const char *const types[] = { [BP_METRIC_COUNTER] = "counter",
                                         [BP_METRIC_GAUGE] = "gauge",
                                         [BP_METRIC_HISTOGRAM] = "histogram" };

    bp_buf_printf(out, "# HELP %s ", name);
    put_escaped(out, help, false);
    bp_buf_printf(out, "\n# TYPE %s %s\n", name, types[type]);
}

void bp_metrics_sample(struct bp_buf *out, const char *name, const struct bp_label *labels,
                       size_t nlabels, double value) {
    bp_buf_put_str(out, name);
    for (size_t i = 0; i < nlabels; i++) {
        bp_buf_printf(out, "%c%s=\"", i == 0 ? '{' : ',', labels[i].name);
        put_escaped(out, labels[i].value, true);
        bp_buf_put_u8(out, '"');
    }
    bp_buf_put_str(out, nlabels > 0 ? "} " : " ");
    put_value(out, value);
    bp_buf_put_u8(out, '\n');
}

static void render_histogram(struct bp_buf *out, const struct bp_metric *m,
                             const struct bp_label *label, size_t nlabels, double scale) {
    struct bp_label labels[2];
    char name[128], bound[32];
    uint64_t below = 0;

    if (nlabels > 0)
        labels[0] = *label;
    (void) snprintf(name, sizeof name, "%s_bucket", m->name);
    for (size_t i = 0; i <= m->nbounds; i++) {
        if (i < m->nbounds)
            (void) snprintf(bound, sizeof bound, "%.9g", (double) m->bounds[i] * scale);
        below += __atomic_load_n(&m->histogram->counts[i], __ATOMIC_RELAXED);
        labels[nlabels] = (struct bp_label){ "le", i < m->nbounds ? bound : "+Inf" };
        bp_metrics_sample(out, name, labels, nlabels + 1, (double) below);
    }
    (void) snprintf(name, sizeof name, "%s_sum", m->name);
    bp_metrics_sample(out, name, labels, nlabels,
                      (double) (int64_t) __atomic_load_n(&m->histogram->sum, __ATOMIC_RELAXED) *
                          scale);
    (void) snprintf(name, sizeof name, "%s_count", m->name);
    bp_metrics_sample(out, name, labels, nlabels, (double) below);
}

static void render_row(struct bp_buf *out, const struct bp_metric *m) {
    const struct bp_label label = { m->label, m->label_value };
    size_t nlabels = m->label ? 1 : 0;
    double scale = m->scale != 0 ? m->scale : 1;

    switch (m->type) {
    case BP_METRIC_COUNTER:
        bp_metrics_sample(out, m->name, &label, nlabels,
                          (double) bp_counter_get(m->counter) * scale);
        break;
    case BP_METRIC_GAUGE:
        bp_metrics_sample(out, m->name, &label, nlabels, (double) bp_gauge_get(m->gauge) * scale);
        break;
    case BP_METRIC_HISTOGRAM:
        render_histogram(out, m, &label, nlabels, scale);
        break;
    }
}

void bp_metrics_render(struct bp_buf *out, const struct bp_metric *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !bp_streq(rows[i].name, rows[i - 1].name))
            bp_metrics_family(out, rows[i].name, rows[i].type, rows[i].help);
        render_row(out, &rows[i]);
    }
}
