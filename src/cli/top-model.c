#include "cli/top-model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/macro.h"

void bp_top_model_done(struct bp_top_model *m) {
    if (!m)
        return;
    free(BP_TAKE_PTR(m->topic));
    free(BP_TAKE_PTR(m->shown));
    m->ntopics = m->nshown = m->cap = 0;
}

/* ---- texts ---- */

uint32_t bp_top_rune(const char *text, size_t *ret_len) {
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *p = (const unsigned char *) text;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t v = n == 1 ? p[0] : n ? p[0] & (0xffu >> (n + 1)) : 0;

    *ret_len = 1;
    if (n == 0 || p[0] > 0xf4)
        return 0xfffd;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) /* the NUL at the end is no such byte either */
            return 0xfffd;
        v = v << 6 | (p[i] & 0x3f);
    }
    if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
        return 0xfffd;
    *ret_len = n;
    return v;
}

static bool is_fit(uint32_t v) {
    return !(v < 0x20 || (v >= 0x7f && v < 0xa0) || v == 0x61c || v == 0xfffd ||
             (v >= 0x200b && v <= 0x200f) || (v >= 0x2028 && v <= 0x202e) ||
             (v >= 0x2060 && v <= 0x206f) || v == 0xfeff || (v >= 0xfff9 && v <= 0xfffb) ||
             (v >= 0xe0000 && v <= 0xe0fff));
}

void bp_top_clean(char *ret, size_t cap, const char *text) {
    size_t n = 0, len;

    for (; text && *text; text += len) {
        bool fit = is_fit(bp_top_rune(text, &len));

        if (n + (fit ? len : 1) >= cap)
            break;
        if (fit)
            memcpy(ret + n, text, len);
        else
            ret[n] = '?';
        n += fit ? len : 1;
    }
    ret[n] = 0;
}

static void text_of(const json_t *o, const char *key, char *ret, size_t cap) {
    bp_top_clean(ret, cap, json_string_value(json_object_get(o, key)));
}

/* ---- numbers ---- */

static int64_t integer(const json_t *o, const char *key) {
    return json_integer_value(json_object_get(o, key));
}

/* JSON has no NaN, but numbers of any size. */
static double real(const json_t *o, const char *key, double unknown) {
    const json_t *v = json_object_get(o, key);

    return json_is_number(v) && isfinite(json_number_value(v)) ? json_number_value(v) : unknown;
}

static int small(const json_t *o, const char *key) {
    int64_t v = integer(o, key);

    return (int) (v < 0 ? 0 : BP_MIN(v, 1000000000));
}

static int64_t sum_of(const json_t *causes) {
    int64_t sum = 0;
    const char *key;
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) causes, key, v) {
        int64_t more = json_integer_value(v);

        if (more > 0 && __builtin_add_overflow(sum, more, &sum))
            return INT64_MAX;
    }
    return sum;
}

static int64_t ns_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    int64_t v = s ? strtoll(s, NULL, 10) : 0;

    return BP_MAX(v, 0); /* so that differences to now hold */
}

static void remember(struct bp_top_history *h, double v) {
    if (h->n == BP_TOP_HISTORY)
        memmove(h->v, h->v + 1, --h->n * sizeof h->v[0]);
    h->v[h->n++] = (float) BP_MAX(0, BP_MIN(v, 1e30));
}

/* ---- the agent ---- */

static void take_degraded(struct bp_top_model *m, const json_t *list) {
    size_t n = 0;

    m->degraded[0] = 0;
    for (size_t i = 0; i < json_array_size(list) && n + 1 < sizeof m->degraded; i++) {
        char reason[32];

        text_of(json_array_get(list, i), "why", reason, sizeof reason);
        n += (size_t) snprintf(m->degraded + n, sizeof m->degraded - n, "%s%s", n ? ", " : "",
                               *reason ? reason : "degraded");
    }
}

static void take_robots(struct bp_top_model *m, const json_t *list) {
    m->nrobots = 0;
    for (size_t i = 0; i < json_array_size(list) && m->nrobots < BP_TOP_ROBOTS; i++) {
        const json_t *o = json_array_get(list, i);
        struct bp_top_robot *r = &m->robot[m->nrobots++];

        text_of(o, "robot", r->name, sizeof r->name);
        r->topics = small(o, "topics");
        r->hz = real(o, "rate", 0);
        r->bytes_per_s = real(o, "byte_rate", 0);
        r->lost = integer(o, "lost");
    }
}

static void take_rates(struct bp_top_model *m, const json_t *graph, bp_ns_t mono) {
    int64_t messages = integer(graph, "received"), bytes = integer(graph, "received_bytes");

    if (m->before_mono && mono > m->before_mono && messages >= m->before_messages &&
        bytes >= m->before_bytes) {
        double s = (double) (mono - m->before_mono) / 1e9;

        m->hz = ((double) messages - (double) m->before_messages) / s;
        m->bytes_per_s = ((double) bytes - (double) m->before_bytes) / s;
    } else {
        m->hz = m->bytes_per_s = 0;
        for (size_t i = 0; i < m->nrobots; i++) {
            m->hz += m->robot[i].hz;
            m->bytes_per_s += m->robot[i].bytes_per_s;
        }
    }
    m->before_mono = mono;
    m->before_messages = messages;
    m->before_bytes = bytes;
    remember(&m->rates, m->hz);
    remember(&m->bytes, m->bytes_per_s);
}

static void take_sync(struct bp_top_model *m, const json_t *o) {
    text_of(o, "state", m->sync, sizeof m->sync);
    text_of(o, "text", m->sync_text, sizeof m->sync_text);
    m->sync_bytes = integer(o, "waiting_bytes");
    m->sync_rate = real(o, "rate", 0);
    m->sync_left_s = real(o, "eta_s", -1);
}

static void take_status(struct bp_top_model *m, const json_t *o, bp_ns_t mono) {
    const json_t *graph = json_object_get(o, "graph"), *ring = json_object_get(o, "ring");
    const json_t *storage = json_object_get(o, "storage");
    const json_t *pressure = json_object_get(o, "back_pressure");

    text_of(o, "version", m->version, sizeof m->version);
    text_of(o, "state", m->state, sizeof m->state);
    m->uptime_s = real(o, "uptime_s", 0);
    m->topics = integer(graph, "topics");
    m->writers = integer(graph, "writers");
    m->subscribed = integer(graph, "subscribed");
    m->udp_drops = integer(graph, "udp_drops");
    m->lost = integer(json_object_get(o, "sessions"), "lost");
    m->ring_used = integer(ring, "used");
    m->ring_size = integer(ring, "size");
    m->fullest_ring = real(pressure, "fullest_ring",
                           m->ring_size > 0 ? (double) m->ring_used / (double) m->ring_size : 0);
    text_of(pressure, "accepts", m->takes, sizeof m->takes);
    m->disk_free = integer(storage, "free");
    m->disk_size = integer(storage, "size");
    text_of(storage, "dir", m->dir, sizeof m->dir);
    take_degraded(m, json_object_get(o, "degraded"));
    take_sync(m, json_object_get(o, "sync"));
    take_robots(m, json_object_get(o, "robots"));
    take_rates(m, graph, mono);
}

static void take_host(struct bp_top_model *m, const json_t *o) {
    const json_t *cpu = json_object_get(o, "cpu"), *memory = json_object_get(o, "memory");
    const json_t *list = json_object_get(o, "temperatures");
    double total = real(memory, "total", 0);

    m->cpu = real(cpu, "busy", -1);
    m->load = json_number_value(json_array_get(json_object_get(cpu, "load"), 0));
    m->memory = total > 0 ? 1 - real(memory, "available", 0) / total : -1;
    m->temperature = -300;
    for (size_t i = 0; i < json_array_size(list); i++)
        m->temperature = BP_MAX(m->temperature, real(json_array_get(list, i), "celsius", -300));
}

/* ---- topics ---- */

static struct bp_top_topic *find_topic(struct bp_top_model *m, size_t hint, const char *name,
                                       const char *type, int domain) {
    /* The agent tells them in the same order each time: look from where it should be. */
    for (size_t k = 0; k < m->ntopics; k++) {
        struct bp_top_topic *t = &m->topic[(hint + k) % m->ntopics];

        if (t->domain == domain && strcmp(t->name, name) == 0 && strcmp(t->type, type) == 0)
            return t;
    }
    return NULL;
}

static int make_room(struct bp_top_model *m, size_t n) {
    size_t cap = BP_MAX(n, (size_t) 64);
    struct bp_top_topic *topic;
    size_t *shown;

    if (n <= m->cap)
        return 0;
    shown = reallocarray(m->shown, cap, sizeof *shown);
    if (!shown)
        return -ENOMEM;
    m->shown = shown;
    topic = reallocarray(m->topic, cap, sizeof *topic);
    if (!topic)
        return -ENOMEM;
    m->topic = topic;
    m->cap = cap;
    return 0;
}

static void take_topic(struct bp_top_model *m, size_t hint, const json_t *o) {
    char name[sizeof m->topic->name], type[sizeof m->topic->type];
    int domain = small(o, "domain");
    struct bp_top_topic *t;

    text_of(o, "topic", name, sizeof name);
    text_of(o, "type", type, sizeof type);
    t = find_topic(m, hint, name, type, domain);
    if (!t) {
        if (m->ntopics == m->cap) /* only with the same topic twice in one answer's tail */
            return;
        t = &m->topic[m->ntopics++];
        memset(t, 0, sizeof *t);
        memcpy(t->name, name, sizeof name);
        memcpy(t->type, type, sizeof type);
        t->domain = domain;
    }
    text_of(o, "robot", t->robot, sizeof t->robot);
    t->writers = small(o, "writers");
    t->sessions = small(o, "sessions");
    t->subscribed = json_is_number(json_object_get(o, "rate_hz"));
    t->deaf = json_is_true(json_object_get(o, "deaf"));
    t->hz = real(o, "rate_hz", 0);
    t->bytes_per_s = real(o, "bytes_per_s", 0);
    t->age_s = real(o, "age_s", -1);
    t->lost = sum_of(json_object_get(o, "lost"));
    if (t->seen != m->updates)
        remember(&t->rates, t->hz);
    t->seen = m->updates;
}

static int take_topics(struct bp_top_model *m, const json_t *list) {
    size_t n = BP_MIN(json_array_size(list), (size_t) BP_TOP_TOPICS), kept = 0;
    int r = make_room(m, m->ntopics + n); /* old ones leave only at the end */

    if (r < 0)
        return r;
    m->hidden = (int64_t) (json_array_size(list) - n);
    for (size_t i = 0; i < n; i++)
        take_topic(m, i, json_array_get(list, i));
    for (size_t i = 0; i < m->ntopics; i++) {
        if (m->topic[i].seen != m->updates)
            continue;
        if (kept != i)
            m->topic[kept] = m->topic[i];
        kept++;
    }
    m->ntopics = kept;
    return 0;
}

static int by_name(const struct bp_top_topic *a, const struct bp_top_topic *b) {
    int r = strcmp(a->name, b->name);

    if (r == 0)
        r = (a->domain > b->domain) - (a->domain < b->domain);
    return r ? r : strcmp(a->type, b->type);
}

static int compare(const void *pa, const void *pb, void *ctx) {
    const struct bp_top_model *m = ctx;
    const struct bp_top_topic *a = &m->topic[*(const size_t *) pa];
    const struct bp_top_topic *b = &m->topic[*(const size_t *) pb];
    int r = 0;

    /* Much of it first; the same with a name is the alphabet. */
    if (m->sort == BP_TOP_BY_RATE)
        r = (a->hz < b->hz) - (a->hz > b->hz);
    else if (m->sort == BP_TOP_BY_BYTES)
        r = (a->bytes_per_s < b->bytes_per_s) - (a->bytes_per_s > b->bytes_per_s);
    else if (m->sort == BP_TOP_BY_LOST)
        r = (a->lost < b->lost) - (a->lost > b->lost);
    else
        r = by_name(a, b);
    if (m->reverse)
        r = -r;
    return r ? r : by_name(a, b);
}

static void arrange(struct bp_top_model *m) {
    m->nshown = 0;
    for (size_t i = 0; i < m->ntopics; i++)
        if (!*m->filter || strcasestr(m->topic[i].name, m->filter) ||
            strcasestr(m->topic[i].type, m->filter) || strcasestr(m->topic[i].robot, m->filter))
            m->shown[m->nshown++] = i;
    if (m->nshown > 1)
        qsort_r(m->shown, m->nshown, sizeof *m->shown, compare, m);
}

void bp_top_sort(struct bp_top_model *m, enum bp_top_sort sort) {
    m->reverse = m->sort == sort && !m->reverse;
    m->sort = sort;
    m->top = 0;
    arrange(m);
}

void bp_top_filter(struct bp_top_model *m, const char *text) {
    bp_top_clean(m->filter, sizeof m->filter, text);
    m->top = 0;
    arrange(m);
}

/* ---- sessions, alerts, log ---- */

/* Snapshots come last: they end by themselves and began in the past, and keys should mean what
 * somebody has started. */
static int by_start(const void *pa, const void *pb) {
    const struct bp_top_session *a = pa, *b = pb;
    int late = (strcmp(a->class_, "snapshot") == 0) - (strcmp(b->class_, "snapshot") == 0);

    if (late)
        return late;
    if (a->started_ns != b->started_ns)
        return a->started_ns < b->started_ns ? -1 : 1;
    return strcmp(a->id, b->id);
}

static void take_sessions(struct bp_top_model *m, const json_t *page) {
    const json_t *list = json_object_get(page, "sessions");

    for (size_t i = 0; i < json_array_size(list) && m->nsessions < BP_TOP_SESSIONS; i++) {
        const json_t *o = json_array_get(list, i);
        struct bp_top_session s = { 0 };
        bool twice = false;

        text_of(o, "id", s.id, sizeof s.id);
        text_of(o, "name", s.name, sizeof s.name);
        text_of(o, "status", s.status, sizeof s.status);
        text_of(o, "class", s.class_, sizeof s.class_);
        text_of(o, "error", s.error, sizeof s.error);
        s.started_ns = ns_of(o, "started_ns");
        s.messages = integer(o, "messages");
        s.bytes = integer(o, "bytes");
        s.lost = integer(o, "lost");
        for (size_t k = 0; k < m->nsessions; k++) /* paused between the two questions */
            twice |= strcmp(m->session[k].id, s.id) == 0;
        if (!twice)
            m->session[m->nsessions++] = s;
    }
    qsort(m->session, m->nsessions, sizeof m->session[0], by_start);
}

static size_t index_of(const struct bp_top_model *m) {
    for (size_t i = 0; i < m->nsessions; i++)
        if (strcmp(m->session[i].id, m->chosen) == 0)
            return i;
    return SIZE_MAX;
}

void bp_top_choose_next(struct bp_top_model *m) {
    size_t i = index_of(m);

    if (m->nsessions == 0)
        return;
    i = i == SIZE_MAX ? (m->nsessions > 1) : (i + 1) % m->nsessions;
    memcpy(m->chosen, m->session[i].id, sizeof m->chosen);
}

const struct bp_top_session *bp_top_chosen(const struct bp_top_model *m) {
    size_t i = index_of(m);

    return m->nsessions == 0 ? NULL : &m->session[i == SIZE_MAX ? 0 : i];
}

static void take_alerts(struct bp_top_model *m, const json_t *list) {
    m->nalerts = 0;
    for (size_t i = 0; i < json_array_size(list) && m->nalerts < BP_TOP_ALERTS; i++) {
        const json_t *o = json_array_get(list, i);
        struct bp_top_alert *a = &m->alert[m->nalerts++];

        text_of(o, "severity", a->severity, sizeof a->severity);
        text_of(o, "key", a->key, sizeof a->key);
        text_of(o, "text", a->text, sizeof a->text);
    }
}

static void take_log(struct bp_top_model *m, const json_t *list) {
    size_t n = json_array_size(list), first = n > BP_TOP_LINES ? n - BP_TOP_LINES : 0;

    m->nlines = 0;
    for (size_t i = first; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        struct bp_top_line *l = &m->line[m->nlines++];
        time_t sec = (time_t) (ns_of(o, "time_ns") / BP_SEC);
        struct tm tm;

        if (!localtime_r(&sec, &tm) || !strftime(l->time, sizeof l->time, "%H:%M:%S", &tm))
            (void) snprintf(l->time, sizeof l->time, "--:--:--");
        text_of(o, "level", l->level, sizeof l->level);
        text_of(o, "text", l->text, sizeof l->text);
    }
}

/* ---- rounds ---- */

int bp_top_update(struct bp_top_model *m, const struct bp_top_docs *d) {
    int r = 0;

    m->updates++;
    if (d->topics)
        r = take_topics(m, json_object_get(d->topics, "topics"));
    if (d->status)
        take_status(m, d->status, d->mono);
    m->nsessions = 0;
    take_sessions(m, d->recording);
    take_sessions(m, d->paused);
    if (*m->chosen && index_of(m) == SIZE_MAX)
        m->chosen[0] = 0;
    take_alerts(m, json_object_get(d->alerts, "alerts"));
    take_log(m, json_object_get(d->logs, "lines"));
    take_host(m, d->host);
    m->there = m->ever = true;
    m->trouble[0] = 0;
    arrange(m);
    return r;
}

void bp_top_gone(struct bp_top_model *m, const char *why) {
    m->there = false;
    m->before_mono = 0; /* its counters may begin anew */
    bp_top_clean(m->trouble, sizeof m->trouble, why);
}
