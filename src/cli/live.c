#include "cli/live.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/domains.h"
#include "cli/signals.h"
#include "record/select.h"

static void on_notice(void *ctx, const char *text) {
    (void) ctx;
    bp_log(BP_LOG_NOTICE, text);
}

static struct bp_live_topic *find_topic_locked(struct bp_live *l, const struct bp_endpoint *e) {
    struct bp_live_topic *t;

    for (t = l->topics; t; t = t->next)
        if (t->domain == e->domain && t->keyed == e->keyed &&
            bp_streq(t->dds_topic, e->dds_topic) && bp_streq(t->dds_type, e->dds_type))
            return t;
    return NULL;
}

static void topic_free(struct bp_live_topic *t) {
    if (!t)
        return;
    free(t->topic);
    free(t->type);
    free(t->dds_topic);
    free(t->dds_type);
    free(t->type_hash);
    free(t);
}

static struct bp_live_topic *topic_new(struct bp_live *l, struct bp_dds *d,
                                       const struct bp_endpoint *e) {
    struct bp_live_topic *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->live = l;
    t->dds = d;
    t->domain = e->domain;
    t->kind = e->kind;
    t->keyed = e->keyed;
    t->topic = strdup(e->topic);
    t->type = strdup(e->type);
    t->dds_topic = strdup(e->dds_topic);
    t->dds_type = strdup(e->dds_type);
    t->type_hash = strdup(e->type_hash);
    if (!t->topic || !t->type || !t->dds_topic || !t->dds_type || !t->type_hash ||
        (l->o.topic && l->o.topic(l->o.ctx, t) < 0)) {
        topic_free(t);
        return NULL;
    }
    return t;
}

static void learn_hash(struct bp_live_topic *t, const char *hash) {
    char *copy;

    if (t->type_hash[0] || !hash[0])
        return;
    copy = strdup(hash);
    if (!copy)
        return;
    free(t->type_hash);
    t->type_hash = copy;
}

static void note_endpoint_locked(struct bp_live *l, struct bp_live_topic *t,
                                 const struct bp_endpoint *e) {
    struct bp_live_endpoint *p;

    for (p = l->endpoints; p; p = p->next)
        if (memcmp(p->e.guid, e->guid, BP_GUID_LEN) == 0 && p->e.domain == e->domain)
            break;
    if (!p) {
        p = calloc(1, sizeof *p);
        if (!p)
            return;
        p->next = l->endpoints;
        l->endpoints = p;
    }
    if (e->node[0] || !p->node) {
        char *node = strdup(e->node);

        free(p->node);
        p->node = node;
    }
    p->e = *e;
    p->e.topic = p->e.type = p->e.dds_topic = p->e.dds_type = p->e.type_hash = p->e.node = NULL;
    p->topic = t;
}

static void on_endpoint(void *ctx, const struct bp_endpoint *e) {
    struct bp_live *l = ctx;
    struct bp_live_topic *t;
    struct bp_dds *d = NULL;
    bool subscribe;

    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n; i++)
        if (l->ids[i] == e->domain)
            d = l->dds[i];
    t = find_topic_locked(l, e);
    if (!t) {
        t = topic_new(l, d, e);
        if (t) {
            t->next = l->topics;
            l->topics = t;
        }
    }
    if (t) {
        learn_hash(t, e->type_hash);
        note_endpoint_locked(l, t, e);
    }
    l->changed_mono = bp_mono_ns();
    subscribe = t && d && !t->sub && e->writer && e->alive && l->o.want && l->o.want(l->o.ctx, t);
    pthread_mutex_unlock(&l->lock);

    if (subscribe) {
        struct bp_sub_opts o = { .dds_topic = t->dds_topic,
                                 .dds_type = t->dds_type,
                                 .keyed = t->keyed,
                                 .fn = l->o.sample,
                                 .ctx = t };
        struct bp_error err;

        /* Only this domain's graph thread comes here for this topic. */
        if (bp_dds_subscribe(d, &o, &t->sub, &err) < 0)
            bp_log(BP_LOG_WARNING, err.text, BP_F_TEXT("topic", t->topic));
    }
}

/* ---- opening ---- */

int bp_live_open(struct bp_live *l, const struct bp_live_opts *o, struct bp_error *err) {
    struct bp_dds_events ev = { .endpoint = on_endpoint, .notice = on_notice, .ctx = l };
    struct bp_dds_opts d;
    int rc;

    memset(l, 0, sizeof *l);
    l->o = *o;
    l->signals = -1;
    pthread_mutex_init(&l->lock, NULL);
    rc = bp_dds_opts_from_env(&d, err);
    if (rc == 0)
        rc = l->signals = bp_cli_signals(err);
    if (rc >= 0)
        rc = bp_cli_domains(o->domains, l->ids, BP_COUNT(l->ids), err);
    if (rc > 0) {
        l->wanted = (size_t) rc;
        rc = 0;
    }
    while (rc == 0 && l->n < l->wanted) {
        struct bp_dds *dds = NULL;

        d.domain = l->ids[l->n];
        /* Held so that on_endpoint() waits until the domain is in its place. */
        pthread_mutex_lock(&l->lock);
        rc = bp_dds_open(&d, &ev, &dds, err);
        if (rc == 0)
            l->dds[l->n++] = dds;
        pthread_mutex_unlock(&l->lock);
    }
    if (rc < 0)
        bp_live_close(l);
    return rc;
}

void bp_live_stop(struct bp_live *l) {
    for (size_t i = 0; i < l->n; i++)
        bp_dds_close(l->dds[i]);
    l->n = 0;
}

void bp_live_close(struct bp_live *l) {
    bp_live_stop(l);
    while (l->endpoints) {
        struct bp_live_endpoint *p = l->endpoints;

        l->endpoints = p->next;
        free(p->node);
        free(p);
    }
    while (l->topics) {
        struct bp_live_topic *t = l->topics;

        l->topics = t->next;
        topic_free(t);
    }
    if (l->signals >= 0)
        (void) close(l->signals);
    l->signals = -1;
    pthread_mutex_destroy(&l->lock);
}

bool bp_live_wait(struct bp_live *l, bp_ns_t mono_until) {
    struct pollfd p = { .fd = l->signals, .events = POLLIN };
    bp_ns_t left = mono_until - bp_mono_ns();
    struct timespec t = { .tv_sec = left > 0 ? left / BP_SEC : 0,
                          .tv_nsec = left > 0 ? left % BP_SEC : 0 };

    return ppoll(&p, 1, &t, NULL) > 0;
}

bool bp_live_match(const char *word, const struct bp_live_topic *t) {
    char name[512];

    if (bp_streq(word, t->topic))
        return true;
    (void) snprintf(name, sizeof name, "%s%s", word[0] == '/' || word[0] == '*' ? "" : "/", word);
    return t->kind == BP_ENDPOINT_TOPIC && bp_topic_match(name, t->topic);
}
