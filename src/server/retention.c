/* Deletes what is old, when there is too much or too little room; never what is kept, and with a
 * cloud only what has arrived there. On a thread of its own, as deleting takes a disk. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "catalog/archive.h"
#include "catalog/audit.h"
#include "server/api-archive.h"
#include "server/parts.h"

enum { BATCH = 100 };

struct bp_retention {
    struct bp_server *s;
    pthread_t thread;
    bool started;
    struct bp_mutex lock; /* leaf */
    pthread_cond_t wake;
    bool over; /* [lock] */
    struct bp_counter deleted, bytes;
    struct bp_gauge waiting;
};

struct limits {
    bp_ns_t max_age, now;
    uint64_t max_size, min_free;
    bool uploaded_only;
};

static uint64_t free_bytes(const struct bp_server *s) {
    struct statvfs v;

    return statvfs(s->dir, &v) < 0 ? UINT64_MAX : (uint64_t) v.f_bavail * v.f_frsize;
}

/* Why a session has to go, or NULL. */
static const char *reason(struct bp_server *s, const struct limits *l,
                          const struct bp_archive_session *x) {
    struct bp_archive_sums sums;

    if (l->max_age && x->started_ns < l->now - l->max_age)
        return "it is older than retention.max_age";
    if (l->max_size && bp_archive_sums(s->archive, &sums, NULL) == 0 && sums.bytes > l->max_size)
        return "all are larger than retention.max_size";
    if (l->min_free && free_bytes(s) < l->min_free)
        return "less of the disk is free than retention.min_free";
    return NULL;
}

static int delete_one(struct bp_retention *t, const struct bp_archive_session *x, const char *why,
                      struct bp_error *err) {
    struct bp_server *s = t->s;
    char details[160];
    int r;

    (void) snprintf(details, sizeof details, "{\"why\":\"%s\"}", why);
    r = bp_audit_add(s->audit,
                     &(struct bp_audit_entry){ .who = "retention",
                                               .from = "",
                                               .action = "session.delete",
                                               .subject = x->id,
                                               .details = details },
                     err);
    if (r == 0)
        r = bp_archive_delete(s->archive, x->id, why, false, bp_wall_ns(), bp_server_drop_object, s,
                              err);
    if (r < 0)
        return r;
    bp_cloud_forget(s, x->id);
    bp_counter_add(&t->deleted, 1);
    bp_counter_add(&t->bytes, x->bytes);
    bp_bus_publish(s->bus, "sessions",
                   json_pack("{s:s, s:s, s:s, s:s}", "event", "deleted", "id", x->id, "device",
                             x->device, "why", why));
    bp_log(BP_LOG_NOTICE, "retention has deleted a session", BP_F_TEXT("session", x->name),
           BP_F_TEXT("id", x->id), BP_F_TEXT("why", why));
    return 0;
}

struct pass {
    struct bp_retention *t;
    struct limits l;
    unsigned deleted, waiting;
    struct bp_error *err;
};

/* The oldest first. @return 1 when nothing has to go any more */
static int judge(void *ctx, const struct bp_archive_session *x) {
    struct pass *p = ctx;
    const char *why = reason(p->t->s, &p->l, x);
    int r;

    if (!why)
        return 1;
    if (x->keep || x->state == BP_ARCHIVE_RECEIVING)
        return 0;
    if (p->l.uploaded_only && !bp_cloud_is_safe(p->t->s, x->id)) {
        p->waiting++;
        return 0;
    }
    r = delete_one(p->t, x, why, p->err);
    p->deleted += r == 0;
    return r == BP_EBUSY || r == -ENOENT ? 0 : r; /* kept, or gone, since it was read */
}

static bool is_over(struct bp_retention *t) {
    bool over;

    bp_mutex_lock(&t->lock);
    over = t->over;
    bp_mutex_unlock(&t->lock);
    return over;
}

static void look(struct bp_retention *t, const struct bp_server_config *c) {
    struct pass p = { .t = t,
                      .l = { c->retention.max_age, bp_wall_ns(), c->retention.max_size,
                             c->retention.min_free, c->retention.uploaded_only } };
    struct bp_archive_page page = { 0 };
    char cursor[BP_ARCHIVE_CURSOR] = "";
    struct bp_error err = { 0 };
    int r;

    if (!p.l.max_age && !p.l.max_size && !p.l.min_free)
        return;
    p.err = &err;
    do {
        const struct bp_archive_search q = { .sort = BP_ARCHIVE_BY_STARTED,
                                             .ascending = true,
                                             .cursor = *cursor ? cursor : NULL,
                                             .limit = BATCH };

        r = bp_archive_search(t->s->archive, &q, judge, &p, &page, &err);
        memcpy(cursor, page.next, sizeof cursor);
    } while (r == 0 && *cursor && !is_over(t));
    bp_gauge_set(&t->waiting, p.waiting);
    if (r < 0)
        bp_alerts_raise(t->s->alerts, "retention", BP_SEVERITY_WARNING, err.text);
    else if (p.waiting > 0)
        bp_alerts_raise(t->s->alerts, "retention", BP_SEVERITY_WARNING,
                        "sessions are due to be deleted and are not in the cloud yet");
    else
        bp_alerts_clear(t->s->alerts, "retention");
}

static void *run(void *arg) {
    struct bp_retention *t = arg;

    while (!is_over(t)) {
        BP_AUTO_SETTINGS const struct bp_server_config *c = bp_settings_get(t->s->settings);
        struct timespec until;

        look(t, c);
        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += c->retention.interval / BP_SEC;
        bp_mutex_lock(&t->lock);
        if (!t->over)
            (void) pthread_cond_timedwait(&t->wake, &t->lock.m, &until);
        bp_mutex_unlock(&t->lock);
    }
    return NULL;
}

static int retention_open(struct bp_server *s, struct bp_error *err) {
    struct bp_retention *t = calloc(1, sizeof *t);
    pthread_condattr_t attr;
    int r;

    if (!t)
        return bp_fail(err, -ENOMEM, "out of memory");
    t->s = s;
    bp_mutex_init(&t->lock);
    (void) pthread_condattr_init(&attr);
    (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&t->wake, &attr);
    (void) pthread_condattr_destroy(&attr);
    s->retention = t;
    r = bp_thread_start("retention", run, t, &t->thread);
    t->started = r == 0;
    return r < 0 ? bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r)) : 0;
}

static void retention_close(struct bp_server *s) {
    struct bp_retention *t = s->retention;

    if (!t)
        return;
    bp_mutex_lock(&t->lock);
    t->over = true;
    (void) pthread_cond_signal(&t->wake);
    bp_mutex_unlock(&t->lock);
    if (t->started)
        (void) pthread_join(t->thread, NULL);
    (void) pthread_cond_destroy(&t->wake);
    bp_mutex_done(&t->lock);
    s->retention = NULL;
    free(t);
}

static void retention_metrics(struct bp_server *s, struct bp_buf *out) {
    const struct bp_metric rows[] = {
        { .name = "bagpipe_retention_deleted_total",
          .help = "Sessions that retention has deleted.",
          .type = BP_METRIC_COUNTER,
          .counter = &s->retention->deleted },
        { .name = "bagpipe_retention_deleted_bytes_total",
          .help = "Their bytes, as recorded.",
          .type = BP_METRIC_COUNTER,
          .counter = &s->retention->bytes },
        { .name = "bagpipe_retention_waiting",
          .help = "Sessions that are due and not in the cloud yet: does it take them?",
          .type = BP_METRIC_GAUGE,
          .gauge = &s->retention->waiting },
    };

    bp_metrics_render(out, rows, BP_COUNT(rows));
}

const struct bp_server_part bp_server_part_retention = {
    .name = "retention",
    .open = retention_open,
    .close = retention_close,
    .metrics = retention_metrics,
};
