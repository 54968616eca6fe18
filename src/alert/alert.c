#include "alert/alert.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-value.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/time.h"

/* Two fixed arrays: a fault that repeats under ever new keys must not eat the memory of what
 * watches it. */

struct alert {
    char key[128], text[256];
    enum bp_severity severity;
    bp_ns_t since_ns, cleared_ns; /* wall; cleared 0 = active */
    uint64_t count;               /* times raised */
    bp_ns_t seen_ns;              /* wall; when it was acknowledged, 0 = not */
    char seen_by[64], note[BP_ALERTS_NOTE + 1];
};

struct bp_alerts {
    struct bp_mutex lock;                  /* leaf */
    struct alert active[BP_ALERTS_ACTIVE]; /* [lock] the oldest first */
    size_t nactive;                        /* [lock] */
    struct alert past[BP_ALERTS_PAST];     /* [lock] a ring; npast counts on */
    uint64_t npast;                        /* [lock] */
    uint64_t raised, refused;              /* [lock] since start; beyond BP_ALERTS_ACTIVE */
    bp_alerts_fn fn;                       /* constant */
    void *ctx;                             /* constant */
};

static const char *const severities[] = {
    [BP_SEVERITY_INFO] = "info",
    [BP_SEVERITY_WARNING] = "warning",
    [BP_SEVERITY_CRITICAL] = "critical",
};
static_assert(BP_COUNT(severities) == BP_SEVERITY_COUNT_, "a text for each");

const char *bp_severity_text(enum bp_severity severity) {
    return severity < BP_SEVERITY_COUNT_ ? severities[severity] : "?";
}

struct bp_alerts *bp_alerts_new(bp_alerts_fn fn, void *ctx) {
    struct bp_alerts *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    bp_mutex_init(&a->lock);
    a->fn = fn;
    a->ctx = ctx;
    return a;
}

void bp_alerts_free(struct bp_alerts *a) {
    if (!a)
        return;
    bp_mutex_done(&a->lock);
    free(a);
}

/* Cuts between characters: half of one would be no text, and the alert no JSON. */
static void put(char *to, size_t size, const char *text) {
    size_t n = strnlen(text, size);

    if (n == size)
        for (n--; n > 0 && ((unsigned char) text[n] & 0xc0) == 0x80;)
            n--;
    memcpy(to, text, n);
    to[n] = '\0';
}

static json_t *alert_json(const struct alert *x) {
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:o, s:s?, s:s?}", "key", x->key,
                     "severity", bp_severity_text(x->severity), "text", x->text, "state",
                     x->cleared_ns ? "cleared" : "active", "since_ns", bp_json_time(x->since_ns),
                     "cleared_ns", bp_json_time(x->cleared_ns), "count", (json_int_t) x->count,
                     "acknowledged_ns", bp_json_time(x->seen_ns), "acknowledged_by",
                     x->seen_ns ? x->seen_by : NULL, "note", *x->note ? x->note : NULL);
}

static void tell(struct bp_alerts *a, const char *event, const struct alert *x) {
    json_t *o;

    if (!a->fn)
        return;
    o = alert_json(x);
    if (o)
        a->fn(a->ctx, event, o);
    json_decref(o);
}

static struct alert *find_locked(struct bp_alerts *a, const char *key) BP_REQUIRES(a->lock) {
    char cut[sizeof a->active[0].key];

    put(cut, sizeof cut, key);
    for (size_t i = 0; i < a->nactive; i++)
        if (bp_streq(a->active[i].key, cut))
            return &a->active[i];
    return NULL;
}

/* -> what happened, NULL for nothing worth telling */
static const char *raise_locked(struct bp_alerts *a, const char *key, enum bp_severity severity,
                                const char *text, struct alert *ret) BP_REQUIRES(a->lock) {
    struct alert *x = find_locked(a, key);
    const char *event = NULL;
    char cut[sizeof x->text];

    put(cut, sizeof cut, text);
    if (!x) {
        if (a->nactive == BP_ALERTS_ACTIVE) {
            a->refused++;
            return NULL;
        }
        x = &a->active[a->nactive++];
        *x = (struct alert){ .since_ns = bp_wall_ns() };
        put(x->key, sizeof x->key, key);
        a->raised++;
        event = "raised";
    } else if (x->severity != severity || !bp_streq(x->text, cut)) {
        event = "changed";
    }
    if (severity > x->severity) /* who has seen a warning has not seen a critical fault */
        x->seen_ns = 0, *x->seen_by = *x->note = '\0';
    x->count++;
    x->severity = severity;
    memcpy(x->text, cut, sizeof cut);
    *ret = *x;
    return event;
}

void bp_alerts_raise(struct bp_alerts *a, const char *key, enum bp_severity severity,
                     const char *text) {
    struct alert copy;
    const char *event;

    bp_mutex_lock(&a->lock);
    event = raise_locked(a, key, severity, text, &copy);
    bp_mutex_unlock(&a->lock);
    if (event)
        tell(a, event, &copy);
}

void bp_alerts_clear(struct bp_alerts *a, const char *key) {
    struct alert copy, *x;

    bp_mutex_lock(&a->lock);
    x = find_locked(a, key);
    if (x) {
        size_t after = (size_t) (a->active + a->nactive - (x + 1));

        copy = *x;
        copy.cleared_ns = bp_wall_ns();
        a->past[a->npast++ % BP_ALERTS_PAST] = copy;
        memmove(x, x + 1, after * sizeof *x);
        a->nactive--;
    }
    bp_mutex_unlock(&a->lock);
    if (x)
        tell(a, "cleared", &copy);
}

int bp_alerts_acknowledge(struct bp_alerts *a, const char *key, const char *by, const char *note,
                          json_t **ret, struct bp_error *err) {
    struct alert copy, *x;

    bp_mutex_lock(&a->lock);
    x = find_locked(a, key);
    if (x) {
        x->seen_ns = bp_wall_ns();
        put(x->seen_by, sizeof x->seen_by, by);
        put(x->note, sizeof x->note, note ? note : "");
        copy = *x;
    }
    bp_mutex_unlock(&a->lock);
    if (!x)
        return bp_fail(err, -ENOENT, "there is no alert '%.100s' now", key);
    tell(a, "acknowledged", &copy);
    *ret = alert_json(&copy);
    return 0;
}

json_t *bp_alerts_json(struct bp_alerts *a, bool past) {
    struct alert *copy = calloc(BP_ALERTS_ACTIVE + BP_ALERTS_PAST, sizeof *copy);
    json_t *list = json_array();
    size_t n = 0;

    if (!copy || !list) {
        free(copy);
        json_decref(list);
        return NULL;
    }
    bp_mutex_lock(&a->lock);
    while (n < a->nactive) {
        copy[n] = a->active[a->nactive - 1 - n];
        n++;
    }
    for (uint64_t k = 0; past && k < BP_MIN(a->npast, (uint64_t) BP_ALERTS_PAST); k++)
        copy[n++] = a->past[(a->npast - 1 - k) % BP_ALERTS_PAST];
    bp_mutex_unlock(&a->lock);
    for (size_t i = 0; i < n; i++)
        (void) json_array_append_new(list, alert_json(&copy[i]));
    free(copy);
    return json_pack("{s:o}", "alerts", list);
}

size_t bp_alerts_active(struct bp_alerts *a) {
    size_t n;

    bp_mutex_lock(&a->lock);
    n = a->nactive;
    bp_mutex_unlock(&a->lock);
    return n;
}

void bp_alerts_metrics(struct bp_alerts *a, struct bp_buf *out) {
    unsigned active[BP_SEVERITY_COUNT_] = { 0 };
    uint64_t raised, refused;

    bp_mutex_lock(&a->lock);
    for (size_t i = 0; i < a->nactive; i++)
        active[a->active[i].severity]++;
    raised = a->raised;
    refused = a->refused;
    bp_mutex_unlock(&a->lock);

    bp_metrics_family(out, "bagpipe_alerts_active", BP_METRIC_GAUGE,
                      "Faults that last now; does somebody have to act?");
    for (size_t i = 0; i < BP_COUNT(severities); i++)
        bp_metrics_sample(out, "bagpipe_alerts_active",
                          &(struct bp_label){ "severity", severities[i] }, 1, active[i]);
    bp_metrics_family(out, "bagpipe_alerts_raised_total", BP_METRIC_COUNTER,
                      "Faults that began since the start; does one come and go?");
    bp_metrics_sample(out, "bagpipe_alerts_raised_total", NULL, 0, (double) raised);
    bp_metrics_family(out, "bagpipe_alerts_refused_total", BP_METRIC_COUNTER,
                      "Faults not kept because too many last already.");
    bp_metrics_sample(out, "bagpipe_alerts_refused_total", NULL, 0, (double) refused);
}
