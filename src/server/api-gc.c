/* Objects that nobody wants go: POST /api/v1/gc, as a job. docs/api/server.md. */
#include "server/api-gc.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/json-value.h"
#include "base/log.h"
#include "base/metrics.h"
#include "catalog/audit.h"
#include "ingest/sweep.h"
#include "server/api-archive.h"
#include "server/reindex.h"

#define JSON(...) #__VA_ARGS__

static const double MIN_AGE_S = 86400, MIN_AGE_MAX_S = 86400 * 3650.0;

static struct {
    bool asked; /* [atomic] one at a time */
    struct bp_counter deleted, bytes;
    struct bp_mutex lock; /* leaf */
    pthread_cond_t over;
    bool inside; /* [lock] a job uses the store and the archive */
    bool ending; /* [lock] they are about to be closed */
} gc;

static const struct bp_metric metrics[] = {
    { .name = "bagpipe_gc_deleted_total",
      .help = "Objects that no session had and gc has deleted: what leaves them behind?",
      .type = BP_METRIC_COUNTER,
      .counter = &gc.deleted },
    { .name = "bagpipe_gc_deleted_bytes_total",
      .help = "Their bytes: is room won by it?",
      .type = BP_METRIC_COUNTER,
      .counter = &gc.bytes },
};

/* A sweep as a job. */
struct work {
    struct bp_server *s;
    struct bp_ingest_sweep o;
    char who[64], from[BP_ACCESS_PEER];
    struct bp_job *job;
    bool over; /* another one may be asked for */
};

/* Jobs outlive what they work on: who comes too late is sent away. */
static bool enter(void) {
    bool may;

    bp_mutex_lock(&gc.lock);
    may = gc.inside = !gc.ending;
    bp_mutex_unlock(&gc.lock);
    return may;
}

static void leave(void) {
    bp_mutex_lock(&gc.lock);
    gc.inside = false;
    (void) pthread_cond_signal(&gc.over);
    bp_mutex_unlock(&gc.lock);
}

static int on_progress(void *ctx, const struct bp_ingest_swept *so_far) {
    const struct work *w = ctx;
    bool ending;

    bp_mutex_lock(&gc.lock);
    ending = gc.ending;
    bp_mutex_unlock(&gc.lock);
    return bp_job_progress(w->job, so_far->objects + so_far->deleted, 0) < 0 || ending;
}

static json_t *swept_json(const struct work *w, const struct bp_ingest_swept *x) {
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "dry_run", (int) w->o.dry_run,
                     "objects", bp_json_count(x->objects), "unwanted", bp_json_count(x->unwanted),
                     "unwanted_bytes", bp_json_count(x->unwanted_bytes), "young",
                     bp_json_count(x->young), "deleted", bp_json_count(x->deleted), "deleted_bytes",
                     bp_json_count(x->deleted_bytes), "more", (int) x->more);
}

/* What was done is written down, besides that it was asked for. */
static int note_done(const struct work *w, const json_t *result, struct bp_error *err) {
    BP_AUTO_FREE char *text = json_dumps(result, JSON_COMPACT);

    return bp_audit_add(w->s->audit,
                        &(struct bp_audit_entry){ .who = w->who,
                                                  .from = w->from,
                                                  .action = "objects.deleted",
                                                  .subject = "",
                                                  .details = text },
                        err);
}

static int sweep(struct work *w, json_t **ret, struct bp_error *err) {
    struct bp_ingest_swept x;
    int r;

    w->o.progress = on_progress;
    w->o.ctx = w;
    r = bp_ingest_sweep(w->s->ingest, &w->o, &x, err);
    *ret = swept_json(w, &x);
    bp_counter_add(&gc.deleted, x.deleted);
    bp_counter_add(&gc.bytes, x.deleted_bytes);
    if (x.deleted > 0) {
        struct bp_error why = { 0 };
        int noted = note_done(w, *ret, &why);

        bp_log(BP_LOG_NOTICE, "objects that no session has were deleted",
               BP_F_UINT("objects", x.deleted), BP_F_UINT("bytes", x.deleted_bytes));
        if (r == 0 && noted < 0)
            r = bp_fail(err, noted, "%s", why.text);
    }
    return r;
}

static int run(struct bp_job *job, void *arg, json_t **ret, struct bp_error *err) {
    struct work *w = arg;
    int r;

    w->job = job;
    if (!enter())
        return bp_fail(err, -ECANCELED, "the server is ending");
    r = sweep(w, ret, err);
    leave();
    w->over = true; /* before anybody is told that this one has ended */
    __atomic_store_n(&gc.asked, false, __ATOMIC_RELEASE);
    return r;
}

static void done(void *arg) {
    struct work *w = arg;

    if (!w->over)
        __atomic_store_n(&gc.asked, false, __ATOMIC_RELEASE);
    free(w);
}

static int read_order(const json_t *body, struct bp_ingest_sweep *ret, struct bp_error *err) {
    static const char *const flags[] = { "dry_run", "force" };
    bool *const to[] = { &ret->dry_run, &ret->force };
    const json_t *age = json_object_get(body, "min_age_s");
    double s = age ? json_number_value(age) : MIN_AGE_S;
    size_t known = age != NULL;

    for (size_t i = 0; i < BP_COUNT(flags); i++) {
        const json_t *v = json_object_get(body, flags[i]);

        if (v && !json_is_boolean(v))
            return bp_fail(err, BP_EUSAGE, "'%s' must be true or false", flags[i]);
        *to[i] = json_is_true(v);
        known += v != NULL;
    }
    if ((age && !json_is_number(age)) || !(s >= 0 && s <= MIN_AGE_MAX_S))
        return bp_fail(err, BP_EUSAGE, "'min_age_s' must be a number of seconds, 0 to ten years");
    if (known != json_object_size(body))
        return bp_fail(err, BP_EUSAGE,
                       "expected {\"min_age_s\": 86400, \"dry_run\": true, \"force\": false}");
    ret->min_age = (bp_ns_t) (s * 1e9);
    return 0;
}

static int start(struct bp_server *s, struct bp_http_req *req, const struct bp_ingest_sweep *o,
                 json_t **ret, struct bp_error *err) {
    struct work *w = calloc(1, sizeof *w);
    char id[27];
    int r;

    if (!w)
        return bp_fail(err, -ENOMEM, "out of memory");
    *w = (struct work){ .s = s, .o = *o };
    (void) snprintf(w->who, sizeof w->who, "%s", bp_http_user(req));
    bp_access_peer(s->access, req, w->from);
    if (__atomic_exchange_n(&gc.asked, true, __ATOMIC_ACQ_REL)) {
        free(w);
        return bp_fail(err, BP_EBUSY, "objects are being looked through already");
    }
    r = bp_jobs_start(s->jobs,
                      &(struct bp_job_opts){ .kind = "gc", .run = run, .done = done, .arg = w }, id,
                      err);
    return r < 0 ? r : bp_jobs_get(s->jobs, id, ret, err);
}

/* When the archive was last made anew from the objects; 0 = never. */
static bp_ns_t made_anew(const struct bp_server *s) {
    char path[1100];
    struct stat st;

    (void) snprintf(path, sizeof path, "%s/" BP_REINDEXED_FILE, s->dir);
    return stat(path, &st) < 0 ? 0 : st.st_mtim.tv_sec * BP_SEC + st.st_mtim.tv_nsec;
}

static int post_gc(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    struct bp_ingest_sweep o = { 0 };
    json_t *body = NULL, *job = NULL;
    char place[64];
    int r = bp_api_body(req, &body, err);

    if (r == 0)
        r = read_order(body, &o, err);
    o.since = made_anew(s);
    if (r == 0 && !o.dry_run)
        r = bp_server_audit(s, req, "objects.gc", "", json_incref(body), err);
    json_decref(body);
    if (r == 0)
        r = start(s, req, &o, &job, err);
    if (r < 0)
        return r;
    (void) snprintf(place, sizeof place, "/api/v1/jobs/%s",
                    json_string_value(json_object_get(job, "id")));
    bp_http_reply_json(reply, 202, job);
    bp_http_reply_header(reply, "Location", place);
    return 0;
}

static const struct bp_http_route routes[] = {
    { "POST", "/api/v1/gc", post_gc, BP_HTTP_ADMIN,
      "Deletes objects that no session has, as a job: {min_age_s, dry_run, force}." },
};
static const size_t nroutes = BP_COUNT(routes);

/* clang-format off */
static const struct bp_api_schema schemas[] = {
    { "Gc", JSON({
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "min_age_s": {"type": "number", "minimum": 0, "maximum": 315360000},
          "dry_run": {"type": "boolean"},
          "force": {"type": "boolean"}
        }
      }) },
};

/* method, pattern, query, request, status, reply, others */
static const struct bp_api_doc docs[] = {
    { "POST", "/api/v1/gc", NULL, "Gc", 202, "Job", "409" },
};
/* clang-format on */

static const struct bp_api_part gc_docs = { docs, BP_COUNT(docs), NULL,
                                            0,    schemas,        BP_COUNT(schemas) };

static int gc_open(struct bp_server *s, struct bp_error *err) {
    (void) s, (void) err;
    bp_mutex_init(&gc.lock);
    (void) pthread_cond_init(&gc.over, NULL);
    gc.ending = false;
    return 0;
}

static void gc_close(struct bp_server *s) {
    (void) s;
    bp_mutex_lock(&gc.lock);
    gc.ending = true;
    while (gc.inside)
        bp_mutex_wait(&gc.lock, &gc.over);
    bp_mutex_unlock(&gc.lock);
}

static void put_metrics(struct bp_server *s, struct bp_buf *out) {
    (void) s;
    bp_metrics_render(out, metrics, BP_COUNT(metrics));
}

const struct bp_server_part bp_server_part_gc = {
    .name = "gc",
    .routes = routes,
    .nroutes = &nroutes,
    .docs = &gc_docs,
    .open = gc_open,
    .close = gc_close,
    .metrics = put_metrics,
};
