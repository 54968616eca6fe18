/* Overviews: bins that grow wider as time goes on. */
#include "bag/overview.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

void bp_overview_done(struct bp_overview *o) {
    for (size_t i = 0; i < o->ntopics; i++) {
        free(o->topics[i].topic);
        free(o->topics[i].type);
        free(o->topics[i].robot);
        free(o->topics[i].bins);
    }
    free(o->topics);
    for (size_t i = 0; i < o->nlosses; i++)
        free(o->losses[i].topic);
    free(o->losses);
    *o = (struct bp_overview){ 0 };
}

/* ---- topics ---- */

static int add_topic(struct bp_overview *o, const char *topic, const char *type,
                     const char *robot) {
    struct bp_overview_topic *v = realloc(o->topics, (o->ntopics + 1) * sizeof *v);
    struct bp_overview_topic *t;

    if (!v)
        return -ENOMEM;
    o->topics = v;
    t = &v[o->ntopics];
    *t = (struct bp_overview_topic){ .topic = strdup(topic),
                                     .type = strdup(type),
                                     .robot = strdup(robot),
                                     .bins = calloc(BP_OVERVIEW_BINS, sizeof *t->bins) };
    if (!t->topic || !t->type || !t->robot || !t->bins) {
        free(t->topic);
        free(t->type);
        free(t->robot);
        free(t->bins);
        return -ENOMEM;
    }
    return (int) o->ntopics++;
}

static int find_topic(const struct bp_overview *o, const char *topic, const char *type,
                      const char *robot) {
    for (size_t i = 0; i < o->ntopics; i++) {
        const struct bp_overview_topic *t = &o->topics[i];

        if (bp_streq(t->topic, topic) && bp_streq(t->type, type) && bp_streq(t->robot, robot))
            return (int) i;
    }
    return -ENOENT;
}

int bp_overview_topic(struct bp_overview *o, const char *topic, const char *type,
                      const char *robot) {
    int i = find_topic(o, topic, type, robot);

    if (i < 0 && o->ntopics + 1 >= BP_OVERVIEW_TOPICS) {
        topic = type = robot = "";
        i = find_topic(o, "", "", "");
    }
    return i >= 0 ? i : add_topic(o, topic, type, robot);
}

/* ---- bins ---- */

static void halve(struct bp_overview *o) {
    int64_t first = o->first / 2;
    size_t nbins = o->nbins ? (size_t) ((o->first + (int64_t) o->nbins - 1) / 2 - first + 1) : 0;

    for (size_t t = 0; t < o->ntopics; t++) {
        struct bp_overview_bin *b = o->topics[t].bins;

        for (size_t i = 0; i < o->nbins; i++) {
            struct bp_overview_bin old = b[i];
            size_t to = (size_t) ((o->first + (int64_t) i) / 2 - first);

            b[i] = (struct bp_overview_bin){ 0 };
            b[to].messages += old.messages;
            b[to].bytes += old.bytes;
        }
    }
    o->first = first;
    o->nbins = nbins;
    o->bin_ns *= 2;
}

void bp_overview_widen(struct bp_overview *o, bp_ns_t bin_ns) {
    if (o->bin_ns == 0)
        o->bin_ns = BP_SEC;
    while (o->bin_ns < bin_ns)
        halve(o);
}

/* Room for earlier bins. */
static void shift(struct bp_overview *o, size_t by) {
    for (size_t t = 0; t < o->ntopics; t++) {
        struct bp_overview_bin *b = o->topics[t].bins;

        memmove(b + by, b, o->nbins * sizeof *b);
        memset(b, 0, by * sizeof *b);
    }
    o->first -= (int64_t) by;
    o->nbins += by;
}

/* @return the bin of a time, made when it is not there */
static size_t bin_of(struct bp_overview *o, bp_ns_t log_ns) {
    int64_t k, last;

    bp_overview_widen(o, BP_SEC);
    if (o->nbins == 0) {
        o->first = log_ns / o->bin_ns;
        o->nbins = 1;
    }
    for (;; halve(o)) {
        k = log_ns / o->bin_ns;
        last = o->first + (int64_t) o->nbins - 1;
        if (BP_MAX(k, last) - BP_MIN(k, o->first) < BP_OVERVIEW_BINS)
            break;
    }
    if (k < o->first)
        shift(o, (size_t) (o->first - k));
    else if (k > last)
        o->nbins = (size_t) (k - o->first + 1);
    return (size_t) (k - o->first);
}

void bp_overview_add(struct bp_overview *o, size_t topic, bp_ns_t log_ns, uint64_t messages,
                     uint64_t bytes) {
    size_t i = bin_of(o, BP_MAX(log_ns, 0));
    struct bp_overview_topic *t = &o->topics[topic];

    t->bins[i].messages += messages;
    t->bins[i].bytes += bytes;
    t->messages += messages;
    t->bytes += bytes;
}

int bp_overview_add_loss(struct bp_overview *o, const char *topic, bp_ns_t from_ns, bp_ns_t to_ns,
                         uint64_t lost) {
    struct bp_overview_loss *v;
    char *name;

    if (o->nlosses == BP_OVERVIEW_LOSSES) {
        struct bp_overview_loss *l = &o->losses[o->nlosses - 1];

        l->topic[0] = '\0';
        l->from_ns = BP_MIN(l->from_ns, from_ns);
        l->to_ns = BP_MAX(l->to_ns, to_ns);
        l->lost += lost;
        return 0;
    }
    v = realloc(o->losses, (o->nlosses + 1) * sizeof *v);
    if (v)
        o->losses = v;
    name = v ? strdup(topic) : NULL;
    if (!name)
        return -ENOMEM;
    v[o->nlosses++] = (struct bp_overview_loss){ name, from_ns, to_ns, lost };
    return 0;
}

int bp_overview_merge(struct bp_overview *o, const struct bp_overview *from) {
    bp_overview_widen(o, from->bin_ns);
    for (size_t t = 0; t < from->ntopics; t++) {
        const struct bp_overview_topic *f = &from->topics[t];
        int to = bp_overview_topic(o, f->topic, f->type, f->robot);

        if (to < 0)
            return to;
        for (size_t i = 0; i < from->nbins; i++)
            if (f->bins[i].messages)
                bp_overview_add(o, (size_t) to, (from->first + (int64_t) i) * from->bin_ns,
                                f->bins[i].messages, f->bins[i].bytes);
    }
    for (size_t i = 0; i < from->nlosses; i++) {
        const struct bp_overview_loss *l = &from->losses[i];
        int r = bp_overview_add_loss(o, l->topic, l->from_ns, l->to_ns, l->lost);

        if (r < 0)
            return r;
    }
    return 0;
}
