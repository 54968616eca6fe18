#include "daemon/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json-value.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/ulid.h"
#include "catalog/jobs.h"

enum { LOG_MAX = 64 << 10, LIST_MAX = 1000 };

/* QUEUED → RUNNING → DONE | FAILED | CANCELLED | INTERRUPTED (the agent ends). A job leaves the
 * list when the catalogue knows how it ended. */
enum state { QUEUED, RUNNING, DONE, FAILED, CANCELLED, INTERRUPTED };

static const char *const states[] = { "queued", "running",   "done",
                                      "failed", "cancelled", "interrupted" };

struct bp_job {
    struct bp_jobs *all;  /* constant */
    struct bp_job_opts o; /* constant; subject is owned */
    char id[BP_ULID_TEXT];
    bp_ns_t created_ns;
    enum state state;             /* [lock] */
    bp_ns_t started_ns, ended_ns; /* [lock] */
    struct bp_buf log;            /* [lock] */
    json_t *result;               /* [lock] owned */
    struct bp_error err;          /* [lock] */
    _Atomic uint64_t done, total;
    _Atomic bool cancel;
    struct bp_job *next; /* [lock] */
};

struct bp_jobs {
    struct bp_catalog *catalog;
    struct bp_bus *bus;
    struct bp_pool *pool;
    pthread_mutex_t lock; /* leaf */
    struct bp_job *list;  /* [lock] newest first */
    size_t live;          /* [lock] */
    bool closing;         /* [lock] */
};

/* ---- as row and as JSON ---- */

static json_t *row_json(const struct bp_catalog_job *row, bool with_log) {
    json_t *result = *row->result ? json_loads(row->result, JSON_DECODE_ANY, NULL) : NULL;
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:{s:I, s:I}, s:s?, s:o}", "id", row->id,
                  "kind", row->kind, "subject", row->subject, "state", row->state, "created_ns",
                  bp_json_time(row->created_ns), "started_ns", bp_json_time(row->started_ns),
                  "ended_ns", bp_json_time(row->ended_ns), "progress", "done",
                  (json_int_t) row->done, "total", (json_int_t) row->total, "error",
                  *row->error ? row->error : NULL, "result", result ? result : json_null());

    if (o && with_log)
        (void) json_object_set_new(o, "log", json_string(row->log));
    return o;
}

/* Texts are copies; with the list's lock held. */
static struct bp_catalog_job row_locked(const struct bp_job *job) {
    struct bp_catalog_job row = {
        .kind = strdup(job->o.kind),
        .subject = strdup(job->o.subject),
        .state = strdup(states[job->state]),
        .log = strndup(job->log.n ? (const char *) job->log.p : "", job->log.n),
        .error = strdup(job->state >= FAILED ? job->err.text : ""),
        .result =
            job->result ? json_dumps(job->result, JSON_COMPACT | JSON_ENCODE_ANY) : strdup(""),
        .created_ns = job->created_ns,
        .started_ns = job->started_ns,
        .ended_ns = job->ended_ns,
        .done = atomic_load(&job->done),
        .total = atomic_load(&job->total),
    };

    memcpy(row.id, job->id, sizeof row.id);
    return row;
}

/* How a job ended is told once it is written down and has left the list: who has read "done" may
 * forget the job. */
static struct bp_catalog_job live_row_locked(struct bp_job *job) {
    const enum state state = job->state;
    struct bp_catalog_job row;

    job->state = BP_MIN(state, RUNNING);
    row = row_locked(job);
    job->state = state;
    if (state > RUNNING && row.result) {
        row.result[0] = 0;
        row.ended_ns = 0;
    }
    return row;
}

static bool is_whole(const struct bp_catalog_job *row) {
    return row->kind && row->subject && row->state && row->log && row->error && row->result;
}

/* @param ret_news  what there is to tell, owned by the caller */
static int write_down(struct bp_job *job, json_t **ret_news, struct bp_error *err) {
    struct bp_jobs *j = job->all;
    BP_AUTO_CATALOG_JOB row = { 0 };
    int r;

    (void) pthread_mutex_lock(&j->lock);
    row = row_locked(job);
    (void) pthread_mutex_unlock(&j->lock);
    if (!is_whole(&row))
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_catalog_put_job(j->catalog, &row, err);
    if (r >= 0)
        *ret_news = row_json(&row, false);
    return r;
}

static void tell(struct bp_jobs *j, const char *event, json_t *news) {
    if (news)
        bp_bus_publish(j->bus, "jobs", json_pack("{s:s, s:o}", "event", event, "job", news));
}

static int note(struct bp_job *job, const char *event, struct bp_error *err) {
    json_t *news = NULL;
    int r = write_down(job, &news, err);

    tell(job->all, event, news);
    return r;
}

/* ---- one job ---- */

static void job_free(struct bp_job *job) {
    if (!job)
        return;
    if (job->o.done)
        job->o.done(job->o.arg);
    json_decref(job->result);
    bp_buf_done(&job->log);
    free((char *) (uintptr_t) job->o.subject);
    free(job);
}

static void unlist(struct bp_job *job) {
    struct bp_jobs *j = job->all;

    (void) pthread_mutex_lock(&j->lock);
    for (struct bp_job **at = &j->list; *at; at = &(*at)->next)
        if (*at == job) {
            *at = job->next;
            j->live--;
            break;
        }
    (void) pthread_mutex_unlock(&j->lock);
}

static void end(struct bp_job *job, int r, json_t *result, const struct bp_error *err) {
    struct bp_jobs *j = job->all;

    (void) pthread_mutex_lock(&j->lock);
    job->state = r >= 0 ? DONE : r != -ECANCELED ? FAILED : j->closing ? INTERRUPTED : CANCELLED;
    job->err = *err;
    if (job->state >= CANCELLED)
        (void) snprintf(job->err.text, sizeof job->err.text, "%s",
                        job->state == CANCELLED ? "cancelled"
                                                : "the agent ended before it was done");
    job->result = result;
    job->ended_ns = bp_wall_ns();
    (void) pthread_mutex_unlock(&j->lock);
}

static void work(void *arg) {
    struct bp_job *job = arg;
    struct bp_jobs *j = job->all;
    struct bp_error err = { 0 }, ignored = { 0 };
    json_t *result = NULL, *news = NULL;
    int r = -ECANCELED;

    if (!atomic_load(&job->cancel)) {
        (void) pthread_mutex_lock(&j->lock);
        job->state = RUNNING;
        job->started_ns = bp_wall_ns();
        (void) pthread_mutex_unlock(&j->lock);
        (void) note(job, "started", &ignored); /* its end is what counts */
        r = job->o.run(job, job->o.arg, &result, &err);
    }
    end(job, r, result, &err);
    if (write_down(job, &news, &ignored) < 0)
        bp_log(BP_LOG_WARNING, "how a job ended could not be written down",
               BP_F_TEXT("job", job->id), BP_F_TEXT("why", ignored.text));
    unlist(job);
    tell(j, "ended", news);
    job_free(job);
}

int bp_job_progress(struct bp_job *job, uint64_t done, uint64_t total) {
    atomic_store(&job->done, done);
    atomic_store(&job->total, total);
    return atomic_load(&job->cancel) ? -ECANCELED : 0;
}

bool bp_job_cancelled(const struct bp_job *job) {
    return atomic_load(&job->cancel);
}

void bp_job_log(struct bp_job *job, const char *text) {
    (void) pthread_mutex_lock(&job->all->lock);
    if (job->log.n + strlen(text) < LOG_MAX)
        bp_buf_printf(&job->log, "%s\n", text);
    (void) pthread_mutex_unlock(&job->all->lock);
}

/* ---- starting ---- */

static struct bp_job *job_new(struct bp_jobs *j, const struct bp_job_opts *o) {
    struct bp_job *job = calloc(1, sizeof *job);

    if (!job) {
        if (o->done)
            o->done(o->arg);
        return NULL;
    }
    job->all = j;
    job->o = *o;
    job->o.subject = strdup(o->subject ? o->subject : "");
    job->created_ns = bp_wall_ns();
    (void) bp_ulid_new(job->id);
    if (job->o.subject)
        return job;
    job_free(job);
    return NULL;
}

int bp_jobs_start(struct bp_jobs *j, const struct bp_job_opts *o, char ret_id[static 27],
                  struct bp_error *err) {
    struct bp_job *job = job_new(j, o);
    bool full;
    int r;

    if (!job)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) pthread_mutex_lock(&j->lock);
    full = j->live >= BP_JOBS_LIVE || j->closing;
    if (!full) {
        job->next = j->list;
        j->list = job;
        j->live++;
    }
    (void) pthread_mutex_unlock(&j->lock);
    r = full ? bp_fail(err, -EAGAIN, "%d jobs are waiting already", BP_JOBS_LIVE)
             : note(job, "queued", err);
    if (r < 0) {
        if (!full)
            unlist(job);
        job_free(job);
        return r;
    }
    memcpy(ret_id, job->id, sizeof job->id);
    bp_pool_run(j->pool, work, job); /* never waits: no more than it takes are listed */
    return 0;
}

/* ---- asking ---- */

static struct bp_job *find_locked(struct bp_jobs *j, const char *id) {
    struct bp_job *job = j->list;

    while (job && !bp_streq(job->id, id))
        job = job->next;
    return job;
}

int bp_jobs_get(struct bp_jobs *j, const char *id, json_t **ret, struct bp_error *err) {
    BP_AUTO_CATALOG_JOB row = { 0 };
    struct bp_job *job;
    int r = 0;

    (void) pthread_mutex_lock(&j->lock);
    job = find_locked(j, id);
    if (job)
        row = live_row_locked(job);
    (void) pthread_mutex_unlock(&j->lock);
    if (!job)
        r = bp_catalog_get_job(j->catalog, id, &row, err);
    if (r < 0)
        return r;
    *ret = is_whole(&row) ? row_json(&row, true) : NULL;
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

struct page {
    json_t *list;
    uint32_t left;
    char last[27];
    bool more;
};

static int put_row(void *ctx, const struct bp_catalog_job *row) {
    struct page *p = ctx;

    if (p->left == 0) {
        p->more = true;
        return 0;
    }
    p->left--;
    memcpy(p->last, row->id, sizeof p->last);
    return json_array_append_new(p->list, row_json(row, false));
}

/* Rows of jobs that run are as old as their start. */
static void refresh(struct bp_jobs *j, json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *o = json_array_get(list, i);
        const struct bp_job *job;

        (void) pthread_mutex_lock(&j->lock);
        job = find_locked(j, json_string_value(json_object_get(o, "id")));
        if (job)
            (void) json_object_set_new(o, "progress",
                                       json_pack("{s:I, s:I}", "done",
                                                 (json_int_t) atomic_load(&job->done), "total",
                                                 (json_int_t) atomic_load(&job->total)));
        (void) pthread_mutex_unlock(&j->lock);
    }
}

int bp_jobs_list(struct bp_jobs *j, const char *before, uint32_t limit, json_t **ret,
                 struct bp_error *err) {
    struct page p = { .list = json_array(), .left = BP_MIN(limit, (uint32_t) LIST_MAX) };
    int r = p.list ? bp_catalog_each_job(j->catalog, before, p.left + 1, put_row, &p, err)
                   : bp_fail(err, -ENOMEM, "out of memory");

    if (r < 0) {
        json_decref(p.list);
        return r;
    }
    refresh(j, p.list);
    *ret = json_pack("{s:o, s:s?}", "jobs", p.list, "next", p.more ? p.last : NULL);
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

int bp_jobs_cancel(struct bp_jobs *j, const char *id, struct bp_error *err) {
    struct bp_job *job;

    (void) pthread_mutex_lock(&j->lock);
    job = find_locked(j, id);
    if (job)
        atomic_store(&job->cancel, true);
    (void) pthread_mutex_unlock(&j->lock);
    return job ? 1 : bp_catalog_drop_job(j->catalog, id, err);
}

size_t bp_jobs_live(struct bp_jobs *j) {
    size_t n;

    (void) pthread_mutex_lock(&j->lock);
    n = j->live;
    (void) pthread_mutex_unlock(&j->lock);
    return n;
}

/* ---- the whole ---- */

int bp_jobs_open(struct bp_catalog *catalog, struct bp_bus *bus, struct bp_jobs **ret,
                 struct bp_error *err) {
    BP_CLEANUP(bp_jobs_closep) struct bp_jobs *j = calloc(1, sizeof *j);
    int r;

    if (!j)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) pthread_mutex_init(&j->lock, NULL);
    j->catalog = catalog;
    j->bus = bus;
    r = bp_catalog_settle_jobs(catalog, bp_wall_ns(), BP_JOBS_KEPT, err);
    if (r < 0)
        return r;
    j->pool = bp_pool_new("jobs", BP_JOBS_WORKERS, BP_JOBS_LIVE);
    if (!j->pool)
        return bp_fail(err, -EAGAIN, "cannot start threads for jobs");
    *ret = BP_TAKE_PTR(j);
    return 0;
}

void bp_jobs_close(struct bp_jobs *j) {
    if (!j)
        return;
    (void) pthread_mutex_lock(&j->lock);
    j->closing = true;
    for (struct bp_job *job = j->list; job; job = job->next)
        atomic_store(&job->cancel, true);
    (void) pthread_mutex_unlock(&j->lock);
    bp_pool_free(j->pool);
    (void) pthread_mutex_destroy(&j->lock);
    free(j);
}
