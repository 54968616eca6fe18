#include "agent/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/agent-priv.h"
#include "agent/link.h"
#include "agent/retention.h"
#include "bag/session.h"
#include "base/json-value.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/queue.h"
#include "base/thread.h"
#include "catalog/keep.h"
#include "crypt/vault.h"
#include "net/device-token.h"
#include "sync/json.h"
#include "sync/schedule.h"

enum { NEWS = 1024, TOKEN_MAX = 16 << 10, DEVICE_MAX = 128 };

#define LOOK_EVERY (600 * BP_SEC) /* at every session, should news have been lost */

/* Something happened; what is to be done takes a disk, so it is the thread's. */
struct news {
    enum {
        NEWS_SESSION, /* began, was edited, has ended */
        NEWS_SEGMENT, /* was closed; text is its path */
        NEWS_GONE,    /* deleted */
        NEWS_SAFE,    /* proven to be on every target that counts */
        NEWS_CHANGED, /* over there; text is its JSON */
    } kind;
    char id[27];
    char *text; /* owned, or NULL */
};

struct bp_agent_sync {
    struct bp_agent *a;
    struct bp_sync_targets targets; /* constant */
    struct bp_sync *engine;         /* constant */
    struct bp_queue *news;
    const char **links;          /* owned; texts are those of the configuration */
    char device[DEVICE_MAX + 1]; /* constant */
    bool while_recording, delete_after_upload;
    bp_ns_t gc_age, gc_next_mono; /* [thread] */
    _Atomic bool missed;          /* news that found no room */
    pthread_t thread;
    bool started, listening;
};

/* ---- configuration ---- */

int bp_agent_sync_targets(const struct bp_agent_config *c, struct bp_sync_targets *ret,
                          struct bp_error *err) {
    return bp_sync_targets_parse(
        &c->sync.targets,
        &(struct bp_sync_targets_defaults){ .upstream = c->sync.upstream,
                                            .token = c->sync.token,
                                            .ca_file = c->sync.ca_file,
                                            .proxy = c->sync.proxy,
                                            .policy = (enum bp_sync_policy) c->sync.conflicts },
        ret, err);
}

_Static_assert(BP_SYNC_POLICY_LOCAL == 0 && BP_SYNC_POLICY_REMOTE == 1 &&
                   BP_SYNC_POLICY_MERGE == 2 && BP_SYNC_POLICY_KEEP_BOTH == 3,
               "local|remote|merge|keep-both");

static int check_token(const char *where, const char *token, struct bp_error *err) {
    if (!token || !*token || bp_starts_with(token, "secret:") || bp_starts_with(token, "file:/"))
        return 0;
    return bp_fail(err, BP_ECONFIG,
                   "%s: a configuration is no place for a token: put it into the vault (`bagpipe "
                   "secret set NAME`) and say secret:NAME, or file:/PATH",
                   where);
}

int bp_agent_sync_check(const struct bp_agent_config *c, struct bp_error *err) {
    BP_CLEANUP(bp_sync_targets_done) struct bp_sync_targets t = { 0 };
    struct bp_sync_schedule s;
    char where[64];
    int r = bp_agent_sync_targets(c, &t, err);

    for (size_t i = 0; r >= 0 && i < t.n; i++) {
        (void) snprintf(where, sizeof where, "sync: target '%s'", t.v[i].name);
        r = check_token(where, t.v[i].opts.token, err);
    }
    if (r >= 0 && (c->sync.part_size & (c->sync.part_size - 1)))
        r = bp_fail(err, BP_ECONFIG, "sync.part_size: not a power of two");
    if (r >= 0 && strlen(c->sync.device) > DEVICE_MAX)
        r = bp_fail(err, BP_ECONFIG, "sync.device: at most %d characters", DEVICE_MAX);
    if (r < 0)
        return r;
    if (bp_sync_rates_parse(c->sync.bandwidth, &s, err) < 0)
        return bp_prefix(err, BP_ECONFIG, "sync.bandwidth");
    if (bp_sync_rates_parse(c->sync.metered_bandwidth, &s, err) < 0)
        return bp_prefix(err, BP_ECONFIG, "sync.metered_bandwidth");
    return bp_sync_windows_parse(c->sync.windows, &s, err) < 0
               ? bp_prefix(err, BP_ECONFIG, "sync.windows")
               : 0;
}

/* ---- news ---- */

static void tell(struct bp_agent_sync *s, int kind, const char *id, const char *text) {
    struct news n = { .kind = (__typeof__(n.kind)) kind, .text = text ? strdup(text) : NULL };

    if (!id || strlen(id) >= sizeof n.id)
        return;
    (void) snprintf(n.id, sizeof n.id, "%s", id);
    if ((text && !n.text) || bp_queue_put(s->news, &n, BP_QUEUE_NOW) < 0) {
        free(n.text);
        atomic_store(&s->missed, true); /* the next look at all of them finds it */
    }
}

/* The bus; must not wait. */
static void on_news(void *ctx, const char *topic, const json_t *payload) {
    struct bp_agent_sync *s = ctx;

    if (bp_streq(topic, "segments")) {
        if (s->while_recording)
            tell(s, NEWS_SEGMENT, json_string_value(json_object_get(payload, "session")),
                 json_string_value(json_object_get(payload, "path")));
    } else if (bp_streq(topic, "sessions")) {
        const char *event = json_string_value(json_object_get(payload, "event"));
        const json_t *x = json_object_get(payload, "session");

        tell(s, event && bp_streq(event, "deleted") ? NEWS_GONE : NEWS_SESSION,
             json_string_value(json_object_get(x, "id")), NULL);
    }
}

static void alert_about(struct bp_agent_sync *s, const struct bp_sync_event *e) {
    struct bp_alerts *alerts = s->a->alerts;
    char key[80], text[256];

    (void) snprintf(key, sizeof key, "sync/%s", e->target);
    (void) snprintf(text, sizeof text, "sync to '%s': %s", e->target, e->text);
    switch (e->class) {
    case BP_SYNC_AUTH:
    case BP_SYNC_QUOTA:
    case BP_SYNC_PERMANENT:
        bp_alerts_raise(alerts, key, BP_SEVERITY_WARNING, text);
        break;
    case BP_SYNC_OK:
        bp_alerts_clear(alerts, key);
        break;
    default: /* links come and go */
        break;
    }
}

/* On the engine's threads. */
static void on_event(void *ctx, const struct bp_sync_event *e) {
    struct bp_agent_sync *s = ctx;

    if (e->kind == BP_SYNC_EV_SAFE)
        tell(s, NEWS_SAFE, e->session, NULL);
    else if (e->kind == BP_SYNC_EV_SESSION_CHANGED)
        tell(s, NEWS_CHANGED, e->session, e->text);
    if (e->target && e->text && (e->kind == BP_SYNC_EV_TARGET || e->kind == BP_SYNC_EV_FAILED))
        alert_about(s, e);
    if (e->kind == BP_SYNC_EV_TARGET || e->kind == BP_SYNC_EV_NOTICE ||
        e->kind == BP_SYNC_EV_PARKED || e->kind == BP_SYNC_EV_FAILED)
        bp_log(e->class == BP_SYNC_OK ? BP_LOG_NOTICE : BP_LOG_WARNING,
               e->text && *e->text ? e->text : bp_sync_event_name(e->kind),
               BP_F_TEXT("target", e->target ? e->target : ""),
               BP_F_TEXT("file", e->file ? e->file : ""));
    bp_bus_publish(s->a->bus, "sync", bp_sync_event_json(e));
}

/* ---- the thread ---- */

static struct bp_sync_session session_of(const struct bp_agent_sync_told *t) {
    return (struct bp_sync_session){ .id = t->id,
                                     .dir = t->dir,
                                     .name = t->name,
                                     .json = t->json,
                                     .tags = t->tags,
                                     .robots = t->robots,
                                     .topics = t->topics,
                                     .started_ns = t->started_ns,
                                     .marked = t->marked };
}

/* Segments of a session that runs which have their end already; an earlier life closed them. */
static int add_closed(struct bp_agent_sync *s, const struct bp_agent_sync_told *t,
                      struct bp_error *err) {
    struct bp_session_files files = { 0 };
    char path[1400];
    int r = bp_session_list(t->dir, &files, err);

    for (size_t i = 0; r == 0 && i < files.n; i++) {
        bp_session_path(t->dir, &files, i, path, sizeof path);
        if (!files.sealed[i] && bp_session_has_footer(&bp_io_posix, path))
            r = bp_sync_add_file(s->engine, t->id, strrchr(path, '/') + 1, BP_SYNC_SEGMENT, NULL,
                                 err);
    }
    free(files.numbers);
    return r;
}

/* @param path  of a segment that was closed, or NULL: what the session has */
static int feed(struct bp_agent_sync *s, const char *id, const char *path, struct bp_error *err) {
    BP_CLEANUP(bp_agent_sync_told_done) struct bp_agent_sync_told t = { 0 };
    struct bp_sync_session x;
    int r = bp_agent_sync_tell(s->a, id, s->device, &t, err);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    x = session_of(&t);
    if (t.finished)
        return bp_sync_add_folder(s->engine, t.dir, &x, NULL, err);
    if (!t.running || !s->while_recording)
        return 0;
    if (!path && !t.robots[0]) /* nobody has spoken yet, and targets name folders by the robot */
        return 0;
    r = bp_sync_add_session(s->engine, &x, err);
    if (r >= 0 && path)
        r = bp_sync_add_file(s->engine, id, strrchr(path, '/') ? strrchr(path, '/') + 1 : path,
                             BP_SYNC_SEGMENT, NULL, err);
    else if (r >= 0)
        r = add_closed(s, &t, err);
    return r;
}

/* Every target that counts has it, by digest. */
static int settle(struct bp_agent_sync *s, const char *id, struct bp_error *err) {
    BP_AUTO_CATALOG_KEEP k = { 0 };
    int r = bp_catalog_get_keep(s->a->catalog, id, &k, err);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (!k.uploaded_ns)
        r = bp_catalog_set_uploaded(s->a->catalog, id, bp_wall_ns(), err);
    if (r < 0 || !s->delete_after_upload || k.keep || k.status != BP_STATUS_FINISHED ||
        (s->a->config->retention.keep_marked && k.marks))
        return r;
    r = bp_retention_delete(s->a->retention, id, "uploaded to every target", err);
    return r == BP_EBUSY || r == -ENOENT ? 0 : r; /* whoever reads it: the next look */
}

/* It was there, and is not any more: its files have changed, or a target is another. */
static int unsettle(struct bp_agent_sync *s, const char *id, struct bp_error *err) {
    BP_AUTO_CATALOG_KEEP k = { 0 };
    int r = bp_catalog_get_keep(s->a->catalog, id, &k, err);

    if (r == 0 && k.uploaded_ns)
        r = bp_catalog_set_uploaded(s->a->catalog, id, 0, err);
    return r == -ENOENT ? 0 : r;
}

static int handle(struct bp_agent_sync *s, const struct news *n, struct bp_error *err) {
    int r;

    switch (n->kind) {
    case NEWS_GONE:
        r = bp_sync_is_safe(s->engine, n->id, NULL);
        return r == 0 ? bp_sync_forget(s->engine, n->id, err) : 0;
    case NEWS_SAFE:
        return settle(s, n->id, err);
    case NEWS_CHANGED:
        return bp_agent_sync_take(s->a, n->id, n->text, err);
    default:
        return feed(s, n->id, n->text, err);
    }
}

struct ids {
    char (*v)[27];
    size_t n, cap;
};

static int add_id(void *ctx, const struct bp_catalog_keep *k) {
    struct ids *ids = ctx;

    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? 2 * ids->cap : 64;
        void *grown = realloc(ids->v, cap * sizeof *ids->v);

        if (!grown)
            return -ENOMEM;
        ids->v = grown;
        ids->cap = cap;
    }
    memcpy(ids->v[ids->n++], k->id, sizeof k->id);
    return 0;
}

/* Every session that is there: what is known already costs a look. */
static void look_at_all(struct bp_agent_sync *s) {
    struct ids ids = { 0 };
    struct bp_error err = { 0 };
    int r = bp_catalog_each_keep(s->a->catalog, add_id, &ids, &err);

    for (size_t i = 0; r >= 0 && i < ids.n; i++) {
        r = bp_sync_is_safe(s->engine, ids.v[i], NULL);
        if (r == 0 && unsettle(s, ids.v[i], &err) < 0)
            bp_log(BP_LOG_WARNING, "a session still counts as uploaded",
                   BP_F_TEXT("session", ids.v[i]), BP_F_TEXT("why", err.text));
        r = r == 1 ? settle(s, ids.v[i], &err) : feed(s, ids.v[i], NULL, &err);
        if (r < 0 && r != -ENOMEM) {
            bp_log(BP_LOG_WARNING, "a session cannot be queued for its upload, skipping",
                   BP_F_TEXT("session", ids.v[i]), BP_F_TEXT("why", err.text));
            r = 0;
        }
    }
    free(ids.v);
}

static void collect(struct bp_agent_sync *s) {
    struct bp_error err = { 0 };
    size_t n = 0;

    if (!s->gc_age || bp_mono_ns() < s->gc_next_mono)
        return;
    s->gc_next_mono = bp_mono_ns() + 86400 * BP_SEC;
    if (bp_agent_sync_gc(s, s->gc_age, false, &n, &err) == 0 && n)
        bp_log(BP_LOG_NOTICE, "unfinished uploads that nobody goes on with were removed",
               BP_F_INT("uploads", n));
}

static void *sync_main(void *arg) {
    struct bp_agent_sync *s = arg;
    bp_ns_t look_mono = 0;
    int r;

    s->gc_next_mono = bp_mono_ns() + 3600 * BP_SEC;
    for (;;) {
        struct bp_error err = { 0 };
        struct news n;

        if (bp_mono_ns() >= look_mono || atomic_exchange(&s->missed, false)) {
            look_at_all(s);
            look_mono = bp_mono_ns() + LOOK_EVERY;
        }
        collect(s);
        r = bp_queue_take(s->news, &n, 10 * BP_SEC);
        if (r == -EPIPE)
            return NULL;
        if (r < 0)
            continue;
        r = handle(s, &n, &err);
        if (r < 0)
            bp_log(BP_LOG_WARNING, "a session cannot be queued for its upload; tried again later",
                   BP_F_TEXT("session", n.id), BP_F_TEXT("why", err.text));
        free(n.text);
    }
}

int bp_agent_sync_gc(struct bp_agent_sync *s, bp_ns_t min_age, bool dry, size_t *ret_n,
                     struct bp_error *err) {
    return bp_sync_gc(s->engine, s->targets.v, s->targets.n, min_age, dry, ret_n, err);
}

/* ---- opening ---- */

/* "secret:NAME" or "file:/PATH" as what it stands for. A secret that nobody has set is none. */
static int resolve(struct bp_agent *a, const char *token, struct bp_secret *ret,
                   struct bp_error *err) {
    int r;

    if (!token)
        return 0;
    if (bp_starts_with(token, "file:"))
        return bp_secret_read_file(token + strlen("file:"), TOKEN_MAX, true, ret, err);
    r = a->vault ? bp_vault_resolve(a->vault, token, ret, err) : -ENOENT;
    return r == -ENOENT ? 0 : r;
}

static int open_engine(struct bp_agent_sync *s, struct bp_error *err) {
    const struct bp_agent_config *c = s->a->config;
    struct bp_secret secrets[BP_SYNC_TARGETS_MAX] = { 0 };
    struct bp_sync_target_config targets[BP_SYNC_TARGETS_MAX];
    const char *roots[] = { s->a->dir, NULL };
    char path[1100];
    bool renewed = false;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < s->targets.n; i++) {
        targets[i] = s->targets.v[i];
        r = resolve(s->a, targets[i].opts.token, &secrets[i], err);
        targets[i].opts.token = secrets[i].n ? (const char *) secrets[i].p : NULL;
        targets[i].opts.device = s->device;
        targets[i].opts.key = bp_sessions_device(s->a->sessions);
        if (s->a->tokens && bp_device_tokens_are_for(s->a->tokens, targets[i].opts.url))
            targets[i].opts.tokens = s->a->tokens;
    }
    (void) snprintf(path, sizeof path, "%s/sync.db", s->a->dir);
    if (r >= 0)
        r = bp_sync_open(
            &(struct bp_sync_opts){
                .path = path,
                .targets = targets,
                .ntargets = s->targets.n,
                .roots = roots,
                .nroots = 1,
                .device = s->device,
                .selective = c->sync.selective,
                .own = true,
                .parallel = (unsigned) c->sync.parallel,
                .part_bytes = c->sync.part_size,
                .rates = c->sync.bandwidth,
                .metered_rates = c->sync.metered_bandwidth,
                .windows = c->sync.windows,
                .metered_links = c->sync.metered_links.n ? (const char *const *) s->links : NULL,
                .on_event = on_event,
                .ctx = s },
            &s->engine, &renewed, err);
    for (size_t i = 0; i < BP_COUNT(secrets); i++)
        bp_secret_done(&secrets[i]);
    if (renewed)
        bp_log(BP_LOG_WARNING,
               "the queue of uploads was damaged and has been set aside; it is made anew from the "
               "recordings",
               BP_F_TEXT("path", path));
    return r;
}

static void name_device(struct bp_agent_sync *s) {
    const char *name = s->a->config->sync.device;
    char id[BP_DEVICE_ID_TEXT];

    if (*name)
        (void) snprintf(s->device, sizeof s->device, "%s", name);
    else /* as the link says who we are */
        (void) snprintf(s->device, sizeof s->device, "%s", bp_agent_device_id(s->a, id));
}

static int start(struct bp_agent_sync *s, struct bp_error *err) {
    int r = bp_sync_start(s->engine, err);

    if (r < 0)
        return r;
    r = bp_bus_listen(s->a->bus, on_news, s);
    if (r < 0)
        return bp_fail(err, r, "too many listen to the bus");
    s->listening = true;
    r = bp_thread_start("sync-feed", sync_main, s, &s->thread);
    if (r < 0)
        return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    s->started = true;
    return 0;
}

int bp_agent_sync_open(struct bp_agent *a, struct bp_agent_sync **ret, struct bp_error *err) {
    BP_CLEANUP(bp_agent_sync_closep) struct bp_agent_sync *s = calloc(1, sizeof *s);
    const struct bp_agent_config *c = a->config;
    struct bp_error why = { 0 };
    int r;

    *ret = NULL;
    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    s->a = a;
    s->while_recording = c->sync.while_recording && !c->sync.selective;
    s->delete_after_upload = c->sync.delete_after_upload;
    s->gc_age = c->sync.gc_age;
    r = bp_agent_sync_targets(c, &s->targets, err);
    if (r < 0 || !s->targets.n)
        return r;
    name_device(s);
    s->links = calloc(c->sync.metered_links.n + 1, sizeof *s->links);
    s->news = bp_queue_new(sizeof(struct news), NEWS);
    if (!s->news || !s->links)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < c->sync.metered_links.n; i++)
        s->links[i] = c->sync.metered_links.v[i];
    r = open_engine(s, &why);
    if (r >= 0)
        r = start(s, &why);
    if (r < 0) { /* robots record, whatever becomes of their uploads */
        (void) bp_prefix(&why, r, "nothing is uploaded");
        bp_alerts_raise(a->alerts, "sync", BP_SEVERITY_CRITICAL, why.text);
        return 0;
    }
    bp_agent_sync_configure(s, c);
    *ret = BP_TAKE_PTR(s);
    return 0;
}

void bp_agent_sync_close(struct bp_agent_sync *s) {
    struct news n;

    if (!s)
        return;
    if (s->listening)
        bp_bus_unlisten(s->a->bus, on_news, s);
    if (s->engine)
        bp_sync_stop(s->engine);
    if (s->news)
        bp_queue_close(s->news);
    if (s->started)
        (void) pthread_join(s->thread, NULL);
    bp_sync_close(s->engine);
    while (s->news && bp_queue_take(s->news, &n, BP_QUEUE_NOW) == 0)
        free(n.text);
    bp_queue_free(s->news);
    bp_sync_targets_done(&s->targets);
    free(s->links);
    free(s);
}

struct bp_sync *bp_agent_sync_engine(struct bp_agent_sync *s) {
    return s ? s->engine : NULL;
}

void bp_agent_sync_configure(struct bp_agent_sync *s, const struct bp_agent_config *now) {
    static const int metered[] = { -1, 1, 0 };
    struct bp_error err = { 0 };

    if (!s)
        return;
    bp_sync_set_metered(s->engine, metered[now->sync.metered]);
    if (bp_sync_set_limits(s->engine, now->sync.bandwidth, now->sync.metered_bandwidth,
                           now->sync.windows, &err) < 0)
        bp_log(BP_LOG_WARNING, "limits of uploads stay as they are", BP_F_TEXT("why", err.text));
}

/* ---- told ---- */

/* The state that says most: what is wrong with one target is not hidden by others. */
static enum bp_sync_state worst(const struct bp_sync_status *st, const char **ret_text) {
    static const int rank[BP_SYNC_STATES_N_] = {
        [BP_SYNC_ONLINE] = 0, [BP_SYNC_UNKNOWN] = 1, [BP_SYNC_CLOSED_WINDOW] = 2,
        [BP_SYNC_PAUSED] = 3, [BP_SYNC_OFFLINE] = 4, [BP_SYNC_WAITING] = 5,
    };
    const struct bp_sync_target_status *w = &st->targets[0];

    for (size_t i = 1; i < st->ntargets; i++)
        if (rank[st->targets[i].state] > rank[w->state])
            w = &st->targets[i];
    *ret_text = w->text;
    return w->state;
}

json_t *bp_agent_sync_brief(struct bp_agent_sync *s) {
    struct bp_sync_status st = { 0 };
    uint64_t files = 0, bytes = 0;
    const char *text = "";
    enum bp_sync_state state;
    bp_ns_t eta = 0;
    double rate = 0;
    json_t *o;

    if (!s || bp_sync_get_status(s->engine, &st, NULL) < 0)
        return NULL;
    if (!st.ntargets) {
        bp_sync_status_done(&st);
        return NULL;
    }
    for (size_t i = 0; i < st.ntargets; i++) {
        files += st.targets[i].waiting.files + st.targets[i].parked.files;
        bytes += st.targets[i].waiting.bytes + st.targets[i].parked.bytes;
        rate += st.targets[i].rate;
        eta = BP_MAX(eta, st.targets[i].eta);
    }
    state = worst(&st, &text);
    o = json_pack("{s:s, s:o, s:o, s:f, s:o, s:s}", "state", bp_sync_state_name(state),
                  "waiting_files", bp_json_count(files), "waiting_bytes", bp_json_count(bytes),
                  "rate", rate, "eta_s", eta ? json_real((double) eta / 1e9) : json_null(), "text",
                  text);
    bp_sync_status_done(&st);
    return o;
}

static void put_targets(struct bp_buf *out, const struct bp_sync_status *st, const char *name,
                        const char *help, enum bp_metric_type type,
                        double (*value)(const struct bp_sync_target_status *t)) {
    bp_metrics_family(out, name, type, help);
    for (size_t i = 0; i < st->ntargets; i++) {
        const struct bp_label label = { "target", st->targets[i].name };

        bp_metrics_sample(out, name, &label, 1, value(&st->targets[i]));
    }
}

static double waiting_files(const struct bp_sync_target_status *t) {
    return (double) (t->waiting.files + t->parked.files);
}

static double waiting_bytes(const struct bp_sync_target_status *t) {
    return (double) (t->waiting.bytes + t->parked.bytes);
}

static double failed_files(const struct bp_sync_target_status *t) {
    return (double) t->failed.files;
}

static double sent_bytes(const struct bp_sync_target_status *t) {
    return (double) t->sent;
}

static double is_online(const struct bp_sync_target_status *t) {
    return t->state == BP_SYNC_ONLINE;
}

void bp_agent_sync_metrics(struct bp_agent_sync *s, struct bp_buf *out) {
    struct bp_sync_status st = { 0 };

    bp_metrics_render(out, bp_sync_metrics, bp_sync_metrics_n);
    if (!s || bp_sync_get_status(s->engine, &st, NULL) < 0)
        return;
    put_targets(out, &st, "bagpipe_sync_target_waiting_files",
                "Files that are not yet proven to be there. Does it drain?", BP_METRIC_GAUGE,
                waiting_files);
    put_targets(out, &st, "bagpipe_sync_target_waiting_bytes",
                "What is missing of them. Does it drain?", BP_METRIC_GAUGE, waiting_bytes);
    put_targets(out, &st, "bagpipe_sync_target_failed_files",
                "Files that were refused for good. Must somebody look?", BP_METRIC_GAUGE,
                failed_files);
    put_targets(out, &st, "bagpipe_sync_target_sent_bytes_total",
                "Payload sent since the start. Does it move?", BP_METRIC_COUNTER, sent_bytes);
    put_targets(out, &st, "bagpipe_sync_target_online",
                "Whether it was reached the last time. Is the link there?", BP_METRIC_GAUGE,
                is_online);
    bp_sync_status_done(&st);
}
