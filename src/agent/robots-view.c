#include "agent/robots-view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bag/ledger.h"
#include "base/json-value.h"
#include "base/metrics.h"

enum { NAME_MAX_ = 64 };

/* ---- looking ---- */

struct topics {
    struct bp_recorder_topic *v; /* owned */
    size_t n;
};

static void topics_done(struct topics *t) {
    free(t->v);
}

static int topics_of(struct bp_recorder *r, struct topics *ret) {
    size_t cap = bp_recorder_topics(r, NULL, 0) + 16; /* some may come meanwhile */

    ret->v = calloc(cap, sizeof *ret->v);
    if (!ret->v)
        return -ENOMEM;
    ret->n = BP_MIN(cap, bp_recorder_topics(r, ret->v, cap));
    return 0;
}

static struct bp_robot_view *find(struct bp_robots_view *v, const char *robot, bool add) {
    for (size_t i = 0; i < v->n; i++)
        if (bp_streq(v->v[i].robot, robot))
            return &v->v[i];
    if (!add || v->n == BP_ROBOTS_MAX)
        return NULL;
    v->v[v->n] = (struct bp_robot_view){ .robot = robot };
    return &v->v[v->n++];
}

static void add_domain(struct bp_robot_view *x, uint32_t domain) {
    for (size_t i = 0; i < x->ndomains; i++)
        if (x->domains[i] == domain)
            return;
    if (x->ndomains < BP_ROBOT_DOMAINS)
        x->domains[x->ndomains++] = domain;
}

static void add_topic(struct bp_robot_view *x, const struct bp_recorder_topic *t) {
    add_domain(x, t->domain);
    x->topics += t->writers > 0;
    x->writers += t->writers;
    x->messages += t->messages;
    x->bytes += t->bytes;
    x->last_ns = BP_MAX(x->last_ns, t->last_ns);
}

static double rate(uint64_t now, uint64_t before, double seconds) {
    return seconds > 0 && now > before ? (double) (now - before) / seconds : 0;
}

int bp_robots_look(struct bp_recorder *r, struct bp_sessions *s,
                   const struct bp_robots_view *before, struct bp_robots_view *ret) {
    BP_CLEANUP(topics_done) struct topics t = { 0 };
    double seconds;
    int k = topics_of(r, &t);

    if (k < 0)
        return k;
    ret->n = 0;
    ret->mono = bp_mono_ns();
    seconds = before->mono ? (double) (ret->mono - before->mono) / 1e9 : 0;
    for (size_t i = 0; i < t.n; i++) {
        struct bp_robot_view *x = find(ret, t.v[i].robot, true);

        if (x)
            add_topic(x, &t.v[i]);
    }
    for (size_t i = 0; i < ret->n; i++) {
        struct bp_robot_view *x = &ret->v[i];

        for (size_t o = 0; o < before->n; o++)
            if (bp_streq(before->v[o].robot, x->robot)) {
                x->rate = rate(x->messages, before->v[o].messages, seconds);
                x->byte_rate = rate(x->bytes, before->v[o].bytes, seconds);
            }
        bp_sessions_robot_sums(s, x->robot, &x->sums);
    }
    return 0;
}

void bp_robots_name(struct bp_recorder *r, char *ret, size_t cap) {
    BP_CLEANUP(topics_done) struct topics t = { 0 };
    const char *names[BP_ROBOTS_MAX];
    char host[128] = "", joined[NAME_MAX_] = "";
    size_t n = 0, at = 0;

    ret[0] = 0;
    (void) gethostname(host, sizeof host - 1);
    if (topics_of(r, &t) < 0)
        return;
    for (size_t i = 0; i < t.n && n < BP_ROBOTS_MAX; i++) {
        bool known = !t.v[i].writers || bp_streq(t.v[i].robot, host);

        for (size_t k = 0; k < n && !known; k++)
            known = bp_streq(names[k], t.v[i].robot);
        if (!known)
            names[n++] = t.v[i].robot;
    }
    for (size_t i = 0; i < n && at < sizeof joined; i++)
        at += (size_t) snprintf(joined + at, sizeof joined - at, "%s%s", i ? "+" : "", names[i]);
    if (at < sizeof joined)
        (void) snprintf(ret, cap, "%s", joined);
    else
        (void) snprintf(ret, cap, "%zu_robots", n);
}

/* ---- told ---- */

static json_t *lost_json(const uint64_t lost[static BP_LOSS_N_]) {
    json_t *o = json_object();

    for (int i = 0; i < BP_LOSS_N_; i++)
        (void) json_object_set_new(o, bp_loss_name((enum bp_loss) i), bp_json_count(lost[i]));
    return o;
}

static json_t *domains_json(const struct bp_robot_view *x) {
    json_t *list = json_array();

    for (size_t i = 0; i < x->ndomains; i++)
        (void) json_array_append_new(list, json_integer(x->domains[i]));
    return list;
}

static json_t *view_json(const struct bp_robot_view *x, struct bp_sessions *s) {
    return json_pack("{s:s, s:o, s:i, s:i, s:o, s:o, s:f, s:f, s:o, s:o, s:{s:o, s:o, s:o, s:o}}",
                     "robot", x->robot, "domains", domains_json(x), "topics", (int) x->topics,
                     "writers", (int) x->writers, "messages", bp_json_count(x->messages), "bytes",
                     bp_json_count(x->bytes), "rate", x->rate, "byte_rate", x->byte_rate, "last_ns",
                     bp_json_time(x->last_ns), "sessions", bp_sessions_of_robot(s, x->robot),
                     "recorded", "messages", bp_json_count(x->sums.messages), "bytes",
                     bp_json_count(x->sums.bytes), "lost", bp_json_count(x->sums.lost),
                     "lost_by_cause", lost_json(x->sums.lost_by));
}

json_t *bp_robots_json(const struct bp_robots_view *v, struct bp_sessions *s) {
    json_t *list = json_array();

    for (size_t i = 0; i < v->n; i++)
        (void) json_array_append_new(list, view_json(&v->v[i], s));
    return json_pack("{s:o}", "robots", list);
}

json_t *bp_robot_json(const struct bp_robots_view *v, const char *robot, struct bp_recorder *r,
                      struct bp_sessions *s) {
    BP_CLEANUP(topics_done) struct topics t = { 0 };
    json_t *list, *o = NULL;

    for (size_t i = 0; i < v->n && !o; i++)
        if (bp_streq(v->v[i].robot, robot))
            o = view_json(&v->v[i], s);
    if (!o || topics_of(r, &t) < 0)
        return o;
    list = json_array();
    for (size_t i = 0; i < t.n; i++)
        if (bp_streq(t.v[i].robot, robot))
            (void) json_array_append_new(
                list,
                json_pack("{s:s, s:s, s:i, s:i, s:i, s:o, s:o, s:o}", "topic", t.v[i].topic, "type",
                          t.v[i].type, "domain", (int) t.v[i].domain, "writers",
                          (int) t.v[i].writers, "sessions", (int) t.v[i].takes, "messages",
                          bp_json_count(t.v[i].messages), "bytes", bp_json_count(t.v[i].bytes),
                          "last_ns", bp_json_time(t.v[i].last_ns)));
    (void) json_object_set_new(o, "topic_list", list);
    return o;
}

void bp_robots_metrics(const struct bp_robots_view *v, struct bp_buf *out) {
    static const struct {
        const char *name, *help;
        enum bp_metric_type type;
    } families[] = {
        { "bagpipe_robot_topics", "Topics of a robot that have a writer.", BP_METRIC_GAUGE },
        { "bagpipe_robot_messages_total", "Messages received from it.", BP_METRIC_COUNTER },
        { "bagpipe_robot_bytes_total", "Their bytes.", BP_METRIC_COUNTER },
        { "bagpipe_robot_lost",
          "Messages of it that sessions which run now have lost: whose recording has holes?",
          BP_METRIC_GAUGE },
    };

    for (size_t f = 0; f < BP_COUNT(families); f++) {
        bp_metrics_family(out, families[f].name, families[f].type, families[f].help);
        for (size_t i = 0; i < v->n; i++) {
            const struct bp_robot_view *x = &v->v[i];
            const double values[] = { x->topics, (double) x->messages, (double) x->bytes,
                                      (double) x->sums.lost };

            bp_metrics_sample(out, families[f].name, &(const struct bp_label){ "robot", x->robot },
                              1, values[f]);
        }
    }
}
