#include "agent/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent-priv.h"
#include "agent/snapshot-priv.h"
#include "base/io-fault.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/units.h"
#include "crypt/key.h"
#include "record/select.h"

enum { RING_LEAST = 16 << 20, REASON_MOST = 300 };

/* A later trigger with the same "before" always reaches less far back; this much is rounding. */
#define SAME_START BP_MS
#define HOUR       (3600 * BP_SEC)

/* ---- what is asked for ---- */

struct wish {
    bp_ns_t before, after;
    const char *reason;
    const json_t *values;
    char *topics; /* owned: what a snapshot must share to be merged with */
};

static void wish_done(struct wish *w) {
    free(w->topics);
}

static int seconds_of(const json_t *request, const char *key, bp_ns_t otherwise, double most,
                      bp_ns_t *ret, struct bp_error *err) {
    const json_t *v = json_object_get(request, key);
    double s = json_number_value(v);

    *ret = otherwise;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_number(v) || !(s >= 0 && s <= most))
        return bp_fail(err, BP_EUSAGE, "'%s' must be a number of seconds from 0 to %.0f", key,
                       most);
    *ret = (bp_ns_t) (s * 1e9);
    return 0;
}

static int check_keys(const json_t *request, struct bp_error *err) {
    static const char *const known[] = { "reason", "before_s", "after_s",        "topics",
                                         "values", "mission",  "operator",       "notes",
                                         "tags",   "name",     "exclude_topics", "compression" };

    return bp_request_keys(request, known, BP_COUNT(known), err);
}

static int check_values(const json_t *values, struct bp_error *err) {
    const char *key;
    json_t *v;

    if (!values)
        return 0;
    if (!json_is_object(values))
        return bp_fail(err, BP_EUSAGE, "'values' must be an object of texts");
    json_object_foreach((json_t *) (uintptr_t) values, key, v) {
        if (!json_is_string(v))
            return bp_fail(err, BP_EUSAGE, "values.%s must be a text", key);
    }
    return 0;
}

static char *topics_of(const json_t *request) {
    json_t *o = json_pack("{s:O?, s:O?}", "topics", json_object_get(request, "topics"),
                          "exclude_topics", json_object_get(request, "exclude_topics"));
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

    json_decref(o);
    return text;
}

static int read_wish(const struct bp_snapshots *s, const json_t *request, struct wish *ret,
                     struct bp_error *err) {
    const json_t *reason = json_object_get(request, "reason");
    int r = check_keys(request, err);

    if (r == 0)
        r = seconds_of(request, "before_s", s->config->snapshot.before, 30 * 86400.0, &ret->before,
                       err);
    if (r == 0)
        r = seconds_of(request, "after_s", s->config->snapshot.after, 3600, &ret->after, err);
    if (r == 0 && reason && !json_is_string(reason))
        r = bp_fail(err, BP_EUSAGE, "'reason' must be a text");
    if (r == 0)
        r = check_values(json_object_get(request, "values"), err);
    if (r < 0)
        return r;
    ret->reason = reason && *json_string_value(reason) ? json_string_value(reason) : "snapshot";
    ret->values = json_object_get(request, "values");
    ret->topics = topics_of(request);
    return ret->topics ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

/* ---- those being saved ---- */

static void *run(void *arg) {
    struct snap *n = arg;
    struct bp_save_stats st;
    struct bp_error err = { 0 };
    int r = bp_save_run(n->save, &err);

    bp_save_stats(n->save, &st);
    if (r < 0)
        bp_log(BP_LOG_WARNING, err.text, BP_F_TEXT("session", n->id));
    if (st.missed)
        bp_log(BP_LOG_WARNING, "the history let go of messages before they could be saved",
               BP_F_TEXT("session", n->id), BP_F_UINT("entries", st.missed));
    r = bp_sessions_end_snapshot(n->all->sessions, n->id, &err);
    if (r < 0)
        bp_log(BP_LOG_WARNING, err.text, BP_F_TEXT("session", n->id));
    atomic_store(&n->done, true);
    return NULL;
}

static void snap_free(struct snap *n) {
    if (n->started)
        (void) pthread_join(n->thread, NULL);
    bp_save_close(n->save);
    free(n->topics);
    free(n);
}

/* Those whose thread is through. */
static void reap(struct bp_snapshots *s) {
    struct snap *gone = NULL, **at, *n;

    (void) pthread_mutex_lock(&s->lock);
    for (at = &s->list; (n = *at);) {
        if (!atomic_load(&n->done)) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        n->next = gone;
        gone = n;
    }
    (void) pthread_mutex_unlock(&s->lock);
    while ((n = gone)) {
        gone = n->next;
        snap_free(n);
    }
}

/* Into the recording and the catalogue; a snapshot without its mark is one all the same. */
static void leave_mark(struct bp_snapshots *s, const char *id, const struct wish *w) {
    struct bp_error err = { 0 };

    if (bp_sessions_mark(s->sessions, id, w->reason, w->values, &err) < 0)
        bp_log(BP_LOG_WARNING, err.text, BP_F_TEXT("session", id));
}

/* One that begins no later, with the same topics, and is not over: it only lasts longer. */
static bool merge(struct bp_snapshots *s, const struct wish *w, bp_ns_t from, bp_ns_t until,
                  char ret_id[static 27]) {
    bool merged = false;

    (void) pthread_mutex_lock(&s->lock);
    for (struct snap *n = s->list; n && !merged; n = n->next) {
        if (n->from_mono > from + SAME_START || !bp_streq(n->topics, w->topics))
            continue;
        merged = bp_save_extend(n->save, until);
        if (!merged)
            continue;
        n->merged++;
        s->merged++;
        memcpy(ret_id, n->id, 27);
    }
    (void) pthread_mutex_unlock(&s->lock);
    return merged;
}

/* [turn] */
static int allowed(struct bp_snapshots *s, struct bp_error *err) {
    const struct bp_agent_config *c = s->config;
    bp_ns_t now = bp_mono_ns();
    unsigned running = 0, recent = 0;

    for (const struct snap *n = s->list; n; n = n->next)
        running++;
    for (size_t i = 0; i < s->nstarts; i++)
        if (now - s->starts[i] < HOUR)
            s->starts[recent++] = s->starts[i];
    s->nstarts = recent;
    if (running >= MOST_AT_ONCE)
        return bp_fail(err, -EAGAIN, "%u snapshots are being saved, that is the most", running);
    if (recent && now - s->starts[recent - 1] < c->snapshot.cooldown)
        return bp_fail(err, -EAGAIN, "the last snapshot is %.0f s old: snapshot.cooldown is %.0f s",
                       (double) (now - s->starts[recent - 1]) / 1e9,
                       (double) c->snapshot.cooldown / 1e9);
    if (c->snapshot.max_per_hour && recent >= (uint64_t) c->snapshot.max_per_hour)
        return bp_fail(err, -EAGAIN, "%u snapshots within an hour: snapshot.max_per_hour", recent);
    return 0;
}

/* A message that the history took must fit into half of the ring. */
static uint64_t ring_bytes(const struct bp_snapshots *s) {
    return BP_MAX(s->config->snapshot.max_bytes / 2, (uint64_t) RING_LEAST);
}

static json_t *request_of(const struct bp_snapshots *s, const json_t *request,
                          const struct wish *w) {
    json_t *o = json_copy((json_t *) (uintptr_t) request);

    if (o && !json_object_get(o, "name"))
        (void) json_object_set_new(o, "name", json_string(s->config->snapshot.name));
    if (o && !json_object_get(o, "notes"))
        (void) json_object_set_new(o, "notes", json_string(w->reason));
    return o;
}

/* For metadata.yaml, which demands whole characters; the mark has all of it. */
static void put_reason(const char *text, char ret[static REASON_MOST]) {
    int n = snprintf(ret, REASON_MOST, "bagpipe.reason=%s", text);

    if (n < REASON_MOST)
        return;
    n = REASON_MOST - 1;
    while (n > 0 && ((uint8_t) ret[n - 1] & 0xc0) == 0x80)
        n--;
    if (n > 0 && (uint8_t) ret[n - 1] >= 0xc0)
        n--;
    ret[n] = 0;
}

/* [turn] */
static int begin(struct bp_snapshots *s, const json_t *request, const struct wish *w, bp_ns_t from,
                 bp_ns_t until, char ret_id[static 27], struct bp_error *err) {
    struct snap *n = calloc(1, sizeof *n);
    json_t *full = request_of(s, request, w);
    struct bp_save_opts window = { .history = s->history, .from_mono = from, .until_mono = until };
    char reason[REASON_MOST];
    const char *custom[] = { "bagpipe.class=snapshot", reason, NULL };
    int r;

    put_reason(w->reason, reason);
    r = n && full ? 0 : bp_fail(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = bp_sessions_start_snapshot(s->sessions, full, custom, ring_bytes(s), &window, n->id,
                                       &n->save, err);
    json_decref(full);
    if (r < 0) {
        free(n);
        return r;
    }
    n->all = s;
    n->from_mono = from;
    n->topics = strdup(w->topics);
    r = n->topics ? bp_thread_start("snapshot", run, n, &n->thread) : -ENOMEM;
    if (r < 0) {
        (void) bp_sessions_end_snapshot(s->sessions, n->id, NULL);
        snap_free(n);
        return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    }
    n->started = true;
    memcpy(ret_id, n->id, 27);
    (void) pthread_mutex_lock(&s->lock);
    n->next = s->list;
    s->list = n;
    s->started++;
    (void) pthread_mutex_unlock(&s->lock);
    if (s->nstarts == MOST_STARTS) /* without a limit nobody asks for more than the last one */
        memmove(s->starts, s->starts + 1, --s->nstarts * sizeof *s->starts);
    s->starts[s->nstarts++] = bp_mono_ns();
    return 0;
}

int bp_snapshots_take(struct bp_snapshots *s, const json_t *request, char ret_id[static 27],
                      struct bp_error *err) {
    BP_CLEANUP(wish_done) struct wish w = { 0 };
    bp_ns_t now = bp_wall_ns();
    bool merged = false;
    int r;

    if (!s || !s->history)
        return bp_fail(err, BP_EMISMATCH,
                       "no history is kept here: set snapshot.enabled to true and start again");
    now = bp_history_mono(s->history, now); /* the moment it is about, however long we wait now */
    r = read_wish(s, request, &w, err);
    if (r < 0)
        return r;
    (void) pthread_mutex_lock(&s->turn);
    reap(s);
    merged = merge(s, &w, now - w.before, now + w.after, ret_id);
    if (!merged) {
        r = allowed(s, err);
        if (r == 0)
            r = begin(s, request, &w, now - w.before, now + w.after, ret_id, err);
        (void) pthread_mutex_lock(&s->lock);
        s->refused += r < 0;
        (void) pthread_mutex_unlock(&s->lock);
    }
    (void) pthread_mutex_unlock(&s->turn);
    if (r == 0)
        leave_mark(s, ret_id, &w);
    return r < 0 ? r : merged;
}

int bp_agent_snapshot(struct bp_agent *a, const json_t *request, char ret_id[static 27],
                      struct bp_error *err) {
    return bp_snapshots_take(a->snapshots, request, ret_id, err);
}

static void look_at_disk(struct bp_snapshots *s) {
    struct bp_history_stats h;
    char text[200];

    bp_history_stats(s->history, &h);
    if (!h.disk_error) {
        bp_alerts_clear(s->alerts, "snapshot.disk");
        return;
    }
    (void) snprintf(text, sizeof text,
                    "the history's files cannot be written (%s): snapshots reach back as far as "
                    "memory does, and no further",
                    bp_strerror(h.disk_error));
    bp_alerts_raise(s->alerts, "snapshot.disk", BP_SEVERITY_WARNING, text);
}

void bp_snapshots_tick(struct bp_snapshots *s) {
    if (!s || !s->history)
        return;
    bp_history_tick(s->history);
    look_at_disk(s);
    (void) pthread_mutex_lock(&s->turn);
    reap(s);
    (void) pthread_mutex_unlock(&s->turn);
}

/* ---- begin and end ---- */

static void on_notice(void *ctx, const char *text) {
    (void) ctx;
    bp_log(BP_LOG_WARNING, text);
}

static int open_history(struct bp_snapshots *s, const char *dir, struct bp_error *err) {
    const struct bp_agent_config *c = s->config;
    char path[1300];
    struct bp_history_opts o = {
        .max_bytes = c->snapshot.max_bytes,
        .max_ns = c->snapshot.max_age,
        .disk_max_bytes = c->snapshot.disk_bytes,
        .disk_max_ns = c->snapshot.disk_age,
        .write_interval = c->snapshot.write_interval,
        .sync_interval = c->snapshot.sync_interval,
        .io = bp_io_from_env(),
        .seal = bp_keyring_empty(bp_keyring_process()) ? NULL : bp_keyring_process(),
        .notice = on_notice,
    };

    (void) snprintf(path, sizeof path, "%s/history", dir);
    if (c->snapshot.disk_bytes)
        o.dir = c->snapshot.disk_dir && *c->snapshot.disk_dir ? c->snapshot.disk_dir : path;
    return bp_history_open(&o, &s->history, err);
}

static int open_select(struct bp_snapshots *s, struct bp_error *err) {
    const struct bp_agent_config *c = s->config;

    return bp_select_new(
        &(struct bp_select_opts){
            .all = !c->snapshot.topics.n,
            .all_services = c->record.services,
            .hidden = c->record.hidden,
            .topics = (const char *const *) c->snapshot.topics.v,
            .ntopics = c->snapshot.topics.n,
            .not_topics = (const char *const *) c->snapshot.exclude_topics.v,
            .nnot_topics = c->snapshot.exclude_topics.n,
        },
        &s->select, err);
}

static int open_take(struct bp_snapshots *s, struct bp_recorder *recorder, struct bp_error *err) {
    const struct bp_config_list *rate = &s->config->snapshot.max_rate,
                                *keep = &s->config->snapshot.keep_every;
    int r = bp_rules_parse(BP_RULE_RATE, (const char *const *) rate->v, rate->n, &s->max_rate, err);

    if (r == 0)
        r = bp_rules_parse(BP_RULE_KEEP, (const char *const *) keep->v, keep->n, &s->keep_every,
                           err);
    if (r < 0)
        return r;
    return bp_take_open(recorder,
                        &(struct bp_take_opts){ .select = s->select,
                                                .history = s->history,
                                                .max_rate = s->max_rate.v,
                                                .nmax_rate = s->max_rate.n,
                                                .keep_every = s->keep_every.v,
                                                .nkeep_every = s->keep_every.n },
                        &s->take, err);
}

int bp_snapshots_open(const struct bp_agent_config *config, struct bp_recorder *recorder,
                      struct bp_sessions *sessions, struct bp_alerts *alerts, const char *dir,
                      struct bp_snapshots **ret, struct bp_error *err) {
    BP_CLEANUP(bp_snapshots_closep) struct bp_snapshots *s = calloc(1, sizeof *s);
    int r = 0;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    s->config = config;
    s->sessions = sessions;
    s->alerts = alerts;
    (void) pthread_mutex_init(&s->turn, NULL);
    (void) pthread_mutex_init(&s->lock, NULL);
    if (config->snapshot.enabled) {
        r = open_history(s, dir, err);
        if (r == 0)
            r = open_select(s, err);
        if (r == 0)
            r = open_take(s, recorder, err);
    }
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(s);
    return 0;
}

void bp_snapshots_close(struct bp_snapshots *s) {
    struct snap *n;

    if (!s)
        return;
    for (n = s->list; n; n = n->next)
        bp_save_halt(n->save);
    while ((n = s->list)) {
        s->list = n->next;
        snap_free(n);
    }
    bp_take_close(s->take);
    bp_history_close(s->history);
    bp_select_free(s->select);
    bp_rules_done(&s->max_rate);
    bp_rules_done(&s->keep_every);
    (void) pthread_mutex_destroy(&s->turn);
    (void) pthread_mutex_destroy(&s->lock);
    free(s);
}
