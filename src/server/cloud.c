/* Sends on what is here: each session that is complete goes to `cloud.target` by the same engine
 * that brought it here, with its files as one folder of hard links to the objects (outbox/ID),
 * which goes when the target has confirmed every digest.
 *
 * News of complete sessions come on the bus and are done on a thread of its own; a look at every
 * session, when it starts and every ten minutes, finds what was missed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json-value.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "base/ulid.h"
#include "catalog/archive.h"
#include "server/parts.h"
#include "store/store.h"
#include "sync/json.h"
#include "sync/sync.h"

#define LOOK_EVERY (600 * BP_SEC)
#define GC_FIRST   (3600 * BP_SEC) /* after the start: what was under way goes on first */
#define GC_EVERY   (86400 * BP_SEC)

#define JSON(...)  #__VA_ARGS__

enum { NEWS = 256, PAGE = 200 };

struct bp_cloud {
    struct bp_server *s;
    struct bp_sync *engine;
    struct bp_sync_target_config target; /* constant; texts are those of configuration and name */
    char rates[40];
    char outbox[1100];
    pthread_t thread;
    bool started, listening;
    bp_ns_t since;        /* [thread] wall: of the look before */
    bp_ns_t gc_next_mono; /* [thread] */
    bool running;         /* [thread] the engine */
    struct bp_mutex lock; /* leaf */
    pthread_cond_t wake;
    bool over;                          /* [lock] */
    char news[NEWS][BP_ULID_TEXT];      /* [lock] complete ones */
    char confirmed[NEWS][BP_ULID_TEXT]; /* [lock] whose links may go */
    size_t nnews, nconfirmed;           /* [lock] */
    bool look;                          /* [lock] at all of them */
};

/* ---- a session as a folder ---- */

struct folder {
    struct bp_cloud *c;
    const char *id;
    char path[1200];
    struct bp_error *err;
};

/* A hard link to an object, under the name its session knows it by. */
static int link_object(struct folder *f, const struct bp_archive_file *file) {
    BP_CLEANUP(bp_store_object_closep) struct bp_store_object *o = NULL;
    char from[40], to[1600];
    BP_AUTO_FD int fd = -1;
    int r = bp_store_get(f->c->s->store, file->sha256, &o, f->err);

    if (r < 0)
        return r;
    fd = bp_store_object_fd(o);
    if (fd < 0)
        return bp_fail(f->err, fd, "only a store of files can be sent on");
    (void) snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    (void) snprintf(to, sizeof to, "%s/%s", f->path, file->file);
    if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno == EEXIST) { /* of an earlier try; it may be another content by now */
        (void) unlink(to);
        if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
            return 0;
    }
    return bp_fail(f->err, -errno, "cannot link '%s': %s", to, bp_strerror(-errno));
}

static int add_file(void *ctx, const struct bp_archive_file *file) {
    struct folder *f = ctx;
    char hex[BP_SHA256_HEX];
    int r;

    if (file->state == BP_ARCHIVE_FILE_EXPECTED)
        return 0;
    r = link_object(f, file);
    if (r == 0)
        r = bp_sync_add_file(
            f->c->engine, f->id, file->file,
            (enum bp_sync_kind) bp_sync_kind_from_name(bp_archive_kind_name(file->kind)),
            bp_sha256_hex(file->sha256, hex), f->err);
    return r;
}

static void remove_folder(struct bp_cloud *c, const char *id) {
    char path[1200], file[1600];
    struct dirent *e;
    DIR *d;

    (void) snprintf(path, sizeof path, "%s/%s", c->outbox, id);
    d = opendir(path);
    while (d && (e = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own stream */
        (void) snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        if (!bp_streq(e->d_name, ".") && !bp_streq(e->d_name, ".."))
            (void) unlink(file);
    }
    if (d)
        (void) closedir(d);
    (void) rmdir(path);
}

static int add_mark(void *ctx, const struct bp_archive_mark *m) {
    json_t *values = *m->values ? json_loads(m->values, 0, NULL) : NULL;

    return json_array_append_new(ctx, json_pack("{s:o, s:s, s:o}", "wall_ns",
                                                bp_json_time(m->wall_ns), "text", m->text, "values",
                                                values ? values : json_object()));
}

static json_t *parsed(const char *text, json_t *otherwise) {
    json_t *v = *text ? json_loads(text, 0, NULL) : NULL;

    if (!v)
        return otherwise;
    json_decref(otherwise);
    return v;
}

/* What the next site is told of it; owned. */
static char *about(struct bp_cloud *c, const struct bp_archive_session *x) {
    json_t *marks = json_array(), *o;
    char *text;

    (void) bp_archive_each_mark(c->s->archive, x->id, add_mark, marks, NULL);
    o = json_pack("{s:s, s:s, s:o, s:o, s:s, s:s, s:o, s:s, s:o, s:o}", "name", x->name, "device",
                  x->device, "robots", parsed(x->robots, json_array()), "started_ns",
                  bp_json_time(x->started_ns), "mission", x->mission, "operator", x->operator_,
                  "tags", parsed(x->tags, json_array()), "notes", x->notes, "marks", marks,
                  "version", parsed(x->version, json_object()));
    text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

static int send_session(struct bp_cloud *c, const struct bp_archive_session *x,
                        struct bp_error *err) {
    struct folder f = { .c = c, .id = x->id, .err = err };
    BP_AUTO_FREE char *json = about(c, x);
    int r;

    if (!json)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) snprintf(f.path, sizeof f.path, "%s/%s", c->outbox, x->id);
    if (mkdir(f.path, 0700) < 0 && errno != EEXIST)
        return bp_fail(err, -errno, "cannot make '%s': %s", f.path, bp_strerror(-errno));
    r = bp_sync_add_session(c->engine,
                            &(struct bp_sync_session){ .id = x->id,
                                                       .dir = f.path,
                                                       .name = x->name,
                                                       .json = json,
                                                       .started_ns = x->started_ns,
                                                       .marked = x->marks > 0 },
                            err);
    if (r == 0)
        r = bp_archive_each_file(c->s->archive, x->id, add_file, &f, err);
    if (r == 0)
        r = bp_sync_close_session(c->engine, x->id, err);
    return r;
}

/* ---- which ones ---- */

/* Does the engine know it, and find what it sends? Links of what has arrived are gone; when
 * cloud.target is another they are needed again. */
static bool is_queued(struct bp_cloud *c, const char *id) {
    int r = bp_sync_is_safe(c->engine, id, NULL);
    char path[1200];

    (void) snprintf(path, sizeof path, "%s/%s", c->outbox, id);
    return r != -ENOENT && (r != 0 || access(path, F_OK) == 0);
}

/* A session that is not queued, or that has got something since: metadata come when it is complete
 * already. What the engine has is not added again. */
static void consider(struct bp_cloud *c, const struct bp_archive_session *x, bp_ns_t since) {
    struct bp_error err = { 0 };

    if (x->state != BP_ARCHIVE_COMPLETE || (x->updated_ns < since && is_queued(c, x->id)))
        return;
    if (send_session(c, x, &err) < 0) {
        if (bp_sync_forget(c->engine, x->id, NULL) < 0) /* the next look tries again */
            bp_log(BP_LOG_DEBUG, "nothing was in the queue of it", BP_F_TEXT("session", x->id));
        bp_alerts_raise(c->s->alerts, "cloud.queue", BP_SEVERITY_WARNING, err.text);
    } else {
        bp_alerts_clear(c->s->alerts, "cloud.queue");
    }
}

static int on_session(void *ctx, const struct bp_archive_session *x) {
    struct bp_cloud *c = ctx;
    bool over;

    consider(c, x, c->since);
    bp_mutex_lock(&c->lock);
    over = c->over;
    bp_mutex_unlock(&c->lock);
    return over;
}

static void look_at_all(struct bp_cloud *c) {
    struct bp_archive_page page = { 0 };
    struct bp_error err = { 0 };
    char cursor[BP_ARCHIVE_CURSOR] = "";
    int r;

    do {
        const struct bp_archive_search q = { .q = "state:complete",
                                             .ascending = true,
                                             .cursor = *cursor ? cursor : NULL,
                                             .limit = PAGE };

        r = bp_archive_search(c->s->archive, &q, on_session, c, &page, &err);
        memcpy(cursor, page.next, sizeof cursor);
    } while (r == 0 && *cursor);
    if (r < 0)
        bp_log(BP_LOG_WARNING, "sessions that wait for the cloud cannot be looked for",
               BP_F_TEXT("error", err.text));
}

/* Links of sessions that were deleted here, or have arrived before a kill. */
static void clean_outbox(struct bp_cloud *c) {
    DIR *d = opendir(c->outbox);
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own stream */
        BP_AUTO_ARCHIVE_SESSION x = { 0 };
        int r;

        if (strlen(e->d_name) != BP_ULID_TEXT - 1)
            continue;
        r = bp_archive_get(c->s->archive, e->d_name, &x, NULL);
        if (r == -ENOENT || (r == 0 && x.state == BP_ARCHIVE_DELETED))
            bp_cloud_forget(c->s, e->d_name);
        else if (bp_sync_is_safe(c->engine, e->d_name, NULL) == 1)
            remove_folder(c, e->d_name);
    }
    if (d)
        (void) closedir(d);
}

static void collect(struct bp_cloud *c) {
    bp_ns_t age = c->s->config->cloud.gc_age;
    struct bp_error err = { 0 };
    size_t n = 0;

    if (!age || bp_mono_ns() < c->gc_next_mono)
        return;
    c->gc_next_mono = bp_mono_ns() + GC_EVERY;
    if (bp_sync_gc(c->engine, &c->target, 1, age, false, &n, &err) < 0)
        bp_log(BP_LOG_WARNING,
               "unfinished uploads in the cloud cannot be removed, tried again tomorrow",
               BP_F_TEXT("why", err.text));
    else if (n)
        bp_log(BP_LOG_NOTICE, "unfinished uploads that nobody goes on with were removed",
               BP_F_INT("uploads", n));
}

/* ---- the thread ---- */

/* Takes the last of a list. */
static bool take(struct bp_cloud *c, char list[][BP_ULID_TEXT], size_t *n,
                 char ret[static BP_ULID_TEXT]) {
    bool some;

    bp_mutex_lock(&c->lock);
    some = *n > 0;
    if (some)
        memcpy(ret, list[--*n], BP_ULID_TEXT);
    bp_mutex_unlock(&c->lock);
    return some;
}

static void work(struct bp_cloud *c) {
    char id[BP_ULID_TEXT];

    while (take(c, c->news, &c->nnews, id)) {
        BP_AUTO_ARCHIVE_SESSION x = { 0 };

        if (bp_archive_get(c->s->archive, id, &x, NULL) == 0)
            consider(c, &x, 0);
    }
    while (take(c, c->confirmed, &c->nconfirmed, id))
        remove_folder(c, id);
}

/* After the first look at all sessions: their links must be there. */
static void start(struct bp_cloud *c) {
    struct bp_error err = { 0 };

    if (c->running)
        return;
    c->running = bp_sync_start(c->engine, &err) == 0;
    if (!c->running) /* the next look tries again */
        bp_alerts_raise(c->s->alerts, "cloud.queue", BP_SEVERITY_WARNING, err.text);
}

static void *run(void *arg) {
    struct bp_cloud *c = arg;
    bp_ns_t next_mono = 0;
    bool over = false;

    while (!over) {
        struct timespec until;

        work(c);
        if (bp_mono_ns() >= next_mono) {
            bp_ns_t now = bp_wall_ns();

            look_at_all(c);
            clean_outbox(c);
            start(c);
            c->since = now - 60 * BP_SEC;
            next_mono = bp_mono_ns() + LOOK_EVERY;
        }
        collect(c);
        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += 5;
        bp_mutex_lock(&c->lock);
        if (!c->over && c->nnews + c->nconfirmed == 0)
            (void) pthread_cond_timedwait(&c->wake, &c->lock.m, &until);
        if (c->look)
            next_mono = 0;
        c->look = false;
        over = c->over;
        bp_mutex_unlock(&c->lock);
    }
    return NULL;
}

/* Any thread. What finds no room is found by a look at all. */
static void push(struct bp_cloud *c, char list[][BP_ULID_TEXT], size_t *n, const char *id) {
    if (!id || strlen(id) != BP_ULID_TEXT - 1)
        return;
    bp_mutex_lock(&c->lock);
    if (*n < NEWS)
        (void) snprintf(list[(*n)++], BP_ULID_TEXT, "%s", id);
    else
        c->look = true;
    (void) pthread_cond_signal(&c->wake);
    bp_mutex_unlock(&c->lock);
}

static void on_news(void *ctx, const char *topic, const json_t *news) {
    const char *what = json_string_value(json_object_get(news, "what"));
    struct bp_cloud *c = ctx;

    if (bp_streq(topic, "ingest") && what &&
        (bp_streq(what, "session_complete") || bp_streq(what, "upload_stored")))
        push(c, c->news, &c->nnews,
             json_string_value(json_object_get(json_object_get(news, "data"), "session")));
}

static void on_event(void *ctx, const struct bp_sync_event *e) {
    struct bp_cloud *c = ctx;

    if (e->kind == BP_SYNC_EV_SAFE)
        push(c, c->confirmed, &c->nconfirmed, e->session);
    if (e->kind == BP_SYNC_EV_PARKED || e->kind == BP_SYNC_EV_FAILED)
        bp_alerts_raise(c->s->alerts, "cloud.target", BP_SEVERITY_WARNING,
                        e->text ? e->text : "the cloud does not take what is sent");
    if (e->kind == BP_SYNC_EV_FILE)
        bp_alerts_clear(c->s->alerts, "cloud.target");
    if (e->kind != BP_SYNC_EV_PROGRESS)
        bp_bus_publish(c->s->bus, "sync", bp_sync_event_json(e));
}

bool bp_cloud_is_safe(struct bp_server *s, const char *session) {
    return !s->cloud || bp_sync_is_safe(s->cloud->engine, session, NULL) == 1;
}

void bp_cloud_forget(struct bp_server *s, const char *session) {
    if (!s->cloud)
        return;
    if (bp_sync_forget(s->cloud->engine, session, NULL) < 0)
        bp_log(BP_LOG_DEBUG, "nothing was in the queue of it", BP_F_TEXT("session", session));
    remove_folder(s->cloud, session);
}

/* ---- routes ---- */

static int no_target(struct bp_error *err) {
    return bp_fail(err, -ENOENT, "nothing is sent on from here: cloud.target is not set");
}

static int get_sync(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_cloud *c = bp_server_of(req)->cloud;
    json_t *o = NULL;
    int r = c ? bp_sync_status_json(c->engine, &o, err) : no_target(err);

    if (r == 0)
        bp_http_reply_json(reply, 200, o);
    return r;
}

static int get_files(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_cloud *c = bp_server_of(req)->cloud;
    const char *state = bp_http_query(req, "status");
    struct bp_sync_query q = { .session = bp_http_query(req, "session"), .state = -1 };
    int64_t limit = 0;
    json_t *o = NULL;
    int r = c ? bp_api_number(req, "limit", 100, 1, 999, &limit, err) : no_target(err);

    if (r == 0)
        r = bp_api_number(req, "after", 0, 0, INT64_MAX, &q.after, err);
    if (r == 0 && state && (q.state = bp_sync_row_from_name(state)) < 0)
        r = bp_fail(err, BP_EUSAGE, "status=%s: expected waiting, parked, failed, done or kept",
                    state);
    q.limit = (uint32_t) limit;
    if (r == 0)
        r = bp_sync_files_json(c->engine, &q, &o, err);
    if (r == 0)
        bp_http_reply_json(reply, 200, o);
    return r;
}

static int post_sync(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_cloud *c = bp_server_of(req)->cloud;
    const char *what = strrchr(bp_http_route(req)->pattern, '/') + 1;
    int64_t r;

    if (!c)
        return no_target(err);
    if (bp_streq(what, "pause"))
        r = bp_sync_pause(c->engine, NULL, err);
    else if (bp_streq(what, "resume"))
        r = bp_sync_resume(c->engine, NULL, err);
    else if (bp_streq(what, "retry"))
        r = bp_sync_retry(c->engine, NULL, NULL, err);
    else
        r = bp_sync_now(c->engine, NULL, NULL, err);
    if (r >= 0)
        bp_http_reply_empty(reply, 204);
    return r < 0 ? (int) r : 0;
}

static int post_gc(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    json_t *body = NULL;
    const json_t *age;
    bool dry;
    size_t n = 0;
    int r = s->cloud ? bp_api_body(req, &body, err) : no_target(err);

    if (r < 0)
        return r;
    age = json_object_get(body, "min_age_s");
    dry = json_is_true(json_object_get(body, "dry_run"));
    if (age && (!json_is_number(age) || json_number_value(age) < 0 || json_number_value(age) > 1e9))
        r = bp_fail(err, BP_EUSAGE, "'min_age_s' must be a number of seconds, at most 1e9");
    if (r == 0)
        r = bp_sync_gc(s->cloud->engine, &s->cloud->target, 1,
                       age ? (bp_ns_t) (json_number_value(age) * 1e9) : s->config->cloud.gc_age,
                       dry, &n, err);
    json_decref(body);
    if (r == 0)
        bp_http_reply_json(
            reply, 200, json_pack("{s:I, s:b}", "uploads", (json_int_t) n, "dry_run", (int) dry));
    return r;
}

static const struct bp_http_route routes[] = {
    { "GET", "/api/v1/sync", get_sync, BP_HTTP_VIEWER, "How sending on goes." },
    { "GET", "/api/v1/sync/files", get_files, BP_HTTP_VIEWER,
      "Files on their way, or there; status, session, after, limit." },
    { "POST", "/api/v1/sync/now", post_sync, BP_HTTP_OPERATOR, "Sends at once what waits." },
    { "POST", "/api/v1/sync/pause", post_sync, BP_HTTP_OPERATOR, "Sends nothing more." },
    { "POST", "/api/v1/sync/resume", post_sync, BP_HTTP_OPERATOR, "Goes on." },
    { "POST", "/api/v1/sync/retry", post_sync, BP_HTTP_OPERATOR, "Tries again what was given up." },
    { "POST", "/api/v1/sync/gc", post_gc, BP_HTTP_OPERATOR,
      "Removes unfinished uploads in the bucket that nobody goes on with." },
};
static const size_t nroutes = BP_COUNT(routes);

/* method, pattern, query, request, status, reply, others */
static const struct bp_api_doc docs[] = {
    { "GET", "/api/v1/sync", NULL, NULL, 200, "Any", "404" },
    { "GET", "/api/v1/sync/files", "status session after limit", NULL, 200, "Any", "404" },
    { "POST", "/api/v1/sync/now", NULL, NULL, 204, NULL, "404" },
    { "POST", "/api/v1/sync/pause", NULL, NULL, 204, NULL, "404" },
    { "POST", "/api/v1/sync/resume", NULL, NULL, 204, NULL, "404" },
    { "POST", "/api/v1/sync/retry", NULL, NULL, 204, NULL, "404" },
    { "POST", "/api/v1/sync/gc", NULL, "SyncGc", 200, "Any", "404" },
};

/* clang-format off */
static const struct bp_api_schema schemas[] = {
    { "SyncGc", JSON({
        "type": "object",
        "properties": {
          "min_age_s": {"type": "number", "minimum": 0, "maximum": 1e9},
          "dry_run": {"type": "boolean", "description": "only counts"}
        }
      }) },
};
/* clang-format on */

static const struct bp_api_part api = { docs, BP_COUNT(docs), NULL, 0, schemas, BP_COUNT(schemas) };

/* ---- the part ---- */

static int open_engine(struct bp_cloud *c, struct bp_error *err) {
    const struct bp_server_config *k = c->s->config;
    char path[1100];

    c->target = (struct bp_sync_target_config){
        .name = "cloud",
        .opts = { .url = k->cloud.target,
                  .device = c->s->name,
                  .ca_file = *k->cloud.ca_file ? k->cloud.ca_file : NULL },
        .policy = BP_SYNC_POLICY_MERGE,
    };
    (void) snprintf(path, sizeof path, "%s/sync.db", c->s->dir);
    if (k->cloud.rate)
        (void) snprintf(c->rates, sizeof c->rates, "%llu", (unsigned long long) k->cloud.rate * 8);
    return bp_sync_open(&(struct bp_sync_opts){ .path = path,
                                                .targets = &c->target,
                                                .ntargets = 1,
                                                .device = c->s->name,
                                                .parallel = (unsigned) k->cloud.parallel,
                                                .part_bytes = k->cloud.part_size,
                                                .rates = k->cloud.rate ? c->rates : NULL,
                                                .on_event = on_event,
                                                .ctx = c },
                        &c->engine, NULL, err);
}

static int cloud_open(struct bp_server *s, struct bp_error *err) {
    pthread_condattr_t attr;
    struct bp_cloud *c;
    int r;

    if (!*s->config->cloud.target)
        return 0;
    c = calloc(1, sizeof *c);
    if (!c)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_mutex_init(&c->lock);
    (void) pthread_condattr_init(&attr);
    (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&c->wake, &attr);
    (void) pthread_condattr_destroy(&attr);
    c->s = s;
    c->since = bp_wall_ns() - 86400 * BP_SEC; /* what a kill has kept from being added */
    c->gc_next_mono = bp_mono_ns() + GC_FIRST;
    s->cloud = c;
    (void) snprintf(c->outbox, sizeof c->outbox, "%s/outbox", s->dir);
    if (mkdir(c->outbox, 0700) < 0 && errno != EEXIST)
        return bp_fail(err, -errno, "cannot make '%s': %s", c->outbox, bp_strerror(-errno));
    r = open_engine(c, err);
    if (r == 0)
        r = bp_bus_listen(s->bus, on_news, c);
    c->listening = r == 0;
    if (r == 0)
        r = bp_thread_start("cloud", run, c, &c->thread);
    c->started = r == 0;
    return r;
}

static void cloud_close(struct bp_server *s) {
    struct bp_cloud *c = s->cloud;

    if (!c)
        return;
    if (c->listening)
        bp_bus_unlisten(s->bus, on_news, c);
    bp_mutex_lock(&c->lock);
    c->over = true;
    (void) pthread_cond_signal(&c->wake);
    bp_mutex_unlock(&c->lock);
    if (c->started)
        (void) pthread_join(c->thread, NULL);
    bp_sync_close(c->engine);
    (void) pthread_cond_destroy(&c->wake);
    bp_mutex_done(&c->lock);
    s->cloud = NULL;
    free(c);
}

static void cloud_status(struct bp_server *s, json_t *to) {
    json_t *o = NULL;

    if (s->cloud && bp_sync_status_json(s->cloud->engine, &o, NULL) == 0)
        (void) json_object_set_new(to, "sync", o);
}

static void cloud_metrics(struct bp_server *s, struct bp_buf *out) {
    if (s->cloud)
        bp_metrics_render(out, bp_sync_metrics, bp_sync_metrics_n);
}

const struct bp_server_part bp_server_part_cloud = {
    .name = "cloud",
    .routes = routes,
    .nroutes = &nroutes,
    .docs = &api,
    .open = cloud_open,
    .close = cloud_close,
    .status = cloud_status,
    .metrics = cloud_metrics,
};
