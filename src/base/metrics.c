#include "base/metrics.h"

#include <math.h>
#include <stdio.h>
#include <strings.h>

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

/* As Go writes it, which OpenMetrics asks for: 1.0, 0.25. */
static void put_bound(char *to, size_t cap, double v) {
    int n = snprintf(to, cap, "%.9g", v);

    if (n > 0 && (size_t) n + 2 < cap && !strpbrk(to, ".eni"))
        memcpy(to + n, ".0", 3);
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
            put_bound(bound, sizeof bound, (double) m->bounds[i] * scale);
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

/* ---- OpenMetrics ---- */

/* "# HELP name_total text" and "# TYPE name_total counter" lose the suffix; quotes in a help are
 * escaped. */
static void put_comment(struct bp_buf *out, const char *line, size_t n) {
    static const char suffix[] = "_total";
    size_t head = BP_MIN(n, sizeof "# HELP " - 1), name = 0;
    bool help = n > head && line[2] == 'H';

    while (head + name < n && line[head + name] != ' ')
        name++;
    bp_buf_put(out, line, head + name);
    if (name > sizeof suffix - 1 &&
        memcmp(line + head + name - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0)
        out->n -= out->failed ? 0 : sizeof suffix - 1;
    for (size_t i = head + name; i < n; i++) {
        if (help && line[i] == '"')
            bp_buf_put_u8(out, '\\');
        bp_buf_put_u8(out, (uint8_t) line[i]);
    }
}

void bp_metrics_openmetrics(const struct bp_buf *text, struct bp_buf *out) {
    const char *p = (const char *) text->p, *end = p + text->n;

    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t) (end - p));
        size_t n = (size_t) ((eol ? eol : end) - p);

        if (*p == '#')
            put_comment(out, p, n);
        else
            bp_buf_put(out, p, n);
        bp_buf_put_u8(out, '\n');
        p += n + 1;
    }
    bp_buf_put_str(out, "# EOF\n");
    if (text->failed)
        out->failed = true;
}

/* The weight of the range at `p`, n bytes: "text/plain;version=0.0.4;q=0.5". */
static double weight_of(const char *p, size_t n) {
    for (size_t i = 0; i + 3 < n; i++)
        if ((p[i] == ';' || p[i] == ' ') && p[i + 1] == 'q' && p[i + 2] == '=')
            return strtod(p + i + 3, NULL);
    return 1;
}

bool bp_metrics_wants_openmetrics(const char *accept) {
    static const char open[] = "application/openmetrics-text", plain[] = "text/plain";
    double q_open = 0, q_plain = 0;

    while (accept && *accept) {
        size_t n = strcspn(accept, ",");
        const char *p = accept + strspn(accept, " \t");
        size_t m = (size_t) (accept + n - p);

        if (p < accept + n && strncasecmp(p, open, sizeof open - 1) == 0)
            q_open = BP_MAX(q_open, weight_of(p, m));
        else if (p < accept + n && strncasecmp(p, plain, sizeof plain - 1) == 0)
            q_plain = BP_MAX(q_plain, weight_of(p, m));
        accept += n + (accept[n] == ',');
    }
    return q_open > 0 && q_open >= q_plain;
}
