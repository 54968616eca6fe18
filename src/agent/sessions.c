#include "agent/sessions-priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/device.h"
#include "agent/robots-view.h"
#include "base/io-fault.h"
#include "base/log.h"
#include "crypt/key.h"
#include "record/name.h"
#include "record/save.h"

#define MIB 1048576.0

/* ---- what is asked for ---- */

/* A key of the request, or NULL when it is not there. */
static int text_of(const json_t *request, const char *key, const char **ret, struct bp_error *err) {
    const json_t *v = json_object_get(request, key);

    *ret = NULL;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v))
        return bp_fail(err, BP_EUSAGE, "'%s' must be a text", key);
    *ret = json_string_value(v);
    return 0;
}

/* Words of the request, borrowed from it, or else those of the configuration. */
struct words {
    const char **v; /* owned */
    size_t n;
};

static void words_done(struct words *w) {
    free(w->v);
}

static int words_of(const json_t *request, const char *key, const struct bp_config_list *otherwise,
                    struct words *ret, struct bp_error *err) {
    const json_t *v = json_object_get(request, key);
    size_t n = v ? json_array_size(v) : otherwise->n;

    if (v && !json_is_array(v))
        return bp_fail(err, BP_EUSAGE, "'%s' must be a list of texts", key);
    ret->v = calloc(n + 1, sizeof *ret->v);
    if (!ret->v)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        ret->v[i] = v ? json_string_value(json_array_get(v, i)) : otherwise->v[i];
        if (!ret->v[i])
            return bp_fail(err, BP_EUSAGE, "'%s' must be a list of texts", key);
    }
    ret->n = n;
    return 0;
}

static int choice_of(const json_t *request, const char *key, const char *const *names, size_t n,
                     int otherwise, int *ret, struct bp_error *err) {
    const char *text;
    int r = text_of(request, key, &text, err);

    *ret = otherwise;
    if (r < 0 || !text)
        return r;
    for (size_t i = 0; i < n; i++)
        if (bp_streq(text, names[i])) {
            *ret = (int) i;
            return 0;
        }
    return bp_fail(err, BP_EUSAGE, "'%s' is '%s': expected none, lz4 or zstd", key, text);
}

/* A number of the request from `least` on, or else `otherwise`. */
static int number_of(const json_t *request, const char *key, double least, double otherwise,
                     double *ret, struct bp_error *err) {
    const json_t *v = json_object_get(request, key);

    *ret = v ? json_number_value(v) : otherwise;
    if (v && (!json_is_number(v) || !(*ret >= least) || *ret > 1e15))
        return bp_fail(err, BP_EUSAGE, "'%s' must be a number, %.0f at least", key, least);
    return 0;
}

static int check_keys(const json_t *request, struct bp_error *err) {
    static const char *const known[] = { "name",        "topics",       "exclude_topics", "types",
                                         "regex",       "mission",      "operator",       "notes",
                                         "compression", "paused",       "max_time_s",     "tags",
                                         "max_size",    "segment_size", "segment_time_s" };
    const char *key;
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) request, key, v) {
        bool found = false;

        for (size_t i = 0; i < BP_COUNT(known) && !found; i++)
            found = bp_streq(key, known[i]);
        if (!found)
            return bp_fail(err, BP_EUSAGE, "unknown key '%s'", key);
    }
    return 0;
}

static int make_select(const struct bp_agent_config *c, const json_t *request,
                       struct bp_select **ret, struct bp_error *err) {
    BP_CLEANUP(words_done) struct words topics = { 0 };
    BP_CLEANUP(words_done) struct words not_topics = { 0 };
    BP_CLEANUP(words_done) struct words types = { 0 };
    const char *regex = NULL;
    int r = words_of(request, "topics", &c->record.topics, &topics, err);

    if (r == 0)
        r = words_of(request, "exclude_topics", &c->record.exclude_topics, &not_topics, err);
    if (r == 0)
        r = words_of(request, "types", &c->record.types, &types, err);
    if (r == 0)
        r = text_of(request, "regex", &regex, err);
    if (r < 0)
        return r;
    if (!regex && c->record.regex && *c->record.regex)
        regex = c->record.regex;

    return bp_select_new(
        &(struct bp_select_opts){
            .all = !topics.n && !types.n && !regex,
            .all_services = c->record.services,
            .hidden = c->record.hidden,
            .topics = topics.v,
            .ntopics = topics.n,
            .types = types.v,
            .ntypes = types.n,
            .not_topics = not_topics.v,
            .nnot_topics = not_topics.n,
            .not_types = (const char *const *) c->record.exclude_types.v,
            .nnot_types = c->record.exclude_types.n,
            .regex = regex,
            .not_regex = c->record.exclude_regex && *c->record.exclude_regex
                             ? c->record.exclude_regex
                             : NULL,
        },
        ret, err);
}

/* What the history holds was chosen by snapshot.topics; a request may take a part of it. */
static int make_snapshot_select(const json_t *request, struct bp_select **ret,
                                struct bp_error *err) {
    static const struct bp_config_list none;
    BP_CLEANUP(words_done) struct words topics = { 0 };
    BP_CLEANUP(words_done) struct words not_topics = { 0 };
    int r = words_of(request, "topics", &none, &topics, err);

    if (r == 0)
        r = words_of(request, "exclude_topics", &none, &not_topics, err);
    if (r < 0)
        return r;
    return bp_select_new(&(struct bp_select_opts){ .all = !topics.n,
                                                   .all_services = true,
                                                   .hidden = true,
                                                   .topics = topics.v,
                                                   .ntopics = topics.n,
                                                   .not_topics = not_topics.v,
                                                   .nnot_topics = not_topics.n },
                         ret, err);
}

static int make_rules(const struct bp_agent_config *c, struct running *r, struct bp_error *err) {
    const struct {
        const char *key;
        const struct bp_config_list *list;
    } rows[] = {
        [BP_RULE_RATE] = { "record.max_rate", &c->record.max_rate },
        [BP_RULE_KEEP] = { "record.keep_every", &c->record.keep_every },
        [BP_RULE_PRIORITY] = { "record.priority", &c->record.priority },
        [BP_RULE_BUDGET] = { "record.budget", &c->record.budget },
    };

    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        int k = bp_rules_parse((enum bp_rule_kind) i, (const char *const *) rows[i].list->v,
                               rows[i].list->n, &r->rules[i], err);

        if (k < 0)
            return bp_prefix(err, k, "%s", rows[i].key);
    }
    return 0;
}

/* ---- the writer ---- */

static void on_event(void *ctx, const struct bp_writer_event *e) {
    struct running *r = ctx;
    enum bp_log_level level =
        e->kind == BP_WRITER_SEGMENT_OPENED || e->kind == BP_WRITER_SEGMENT_CLOSED ? BP_LOG_DEBUG
        : e->kind == BP_WRITER_DISK_FULL || e->kind == BP_WRITER_IO_ERROR          ? BP_LOG_WARNING
                                                                                   : BP_LOG_NOTICE;

    if (e->kind == BP_WRITER_IO_ERROR && r->all) {
        (void) pthread_mutex_lock(&r->all->lock);
        (void) snprintf(r->trouble, sizeof r->trouble, "%s", e->text);
        (void) pthread_mutex_unlock(&r->all->lock);
    }
    if (e->kind == BP_WRITER_SEGMENT_CLOSED && r->all && e->path)
        bp_bus_publish(r->all->bus, "segments",
                       json_pack("{s:s, s:s}", "session", r->id, "path", e->path));
    bp_log(level, e->text, BP_F_TEXT("session", r->name),
           BP_F_TEXT("path", e->path ? e->path : ""));
}

static int open_writer(const struct bp_agent_config *c, const json_t *request, struct running *r,
                       bool resume, struct bp_error *err) {
    static const char *const codecs[] = { "none", "lz4", "zstd" };
    struct bp_writer_opts o = {
        .io = bp_io_from_env(),
        .dir = r->dir,
        .ring_bytes = r->ring_bytes ? r->ring_bytes : c->buffer.ring_size,
        .ring_dir = c->buffer.ring_dir && bp_streq(c->buffer.ring_dir, "none") ? ""
                    : c->buffer.ring_dir && *c->buffer.ring_dir                ? c->buffer.ring_dir
                                                                               : NULL,
        .commit_interval = c->record.commit_interval,
        .durability = (enum bp_durability_mode) c->record.durability,
        .level = (int) c->record.compression_level,
        .min_free = c->storage.min_free ? c->storage.min_free : UINT64_MAX,
        .on_full = (enum bp_on_full) c->storage.on_full,
        .profile = (enum bp_profile) c->record.profile,
        .signer = r->all->device,
        .seal = bp_keyring_empty(bp_keyring_process()) ? NULL : bp_keyring_process(),
        .hide_names = c->crypto.hide_names,
        .custom_data = r->custom[0] ? r->custom : NULL,
        .resume = resume,
        .event = on_event,
        .ctx = r,
    };
    double segment_size = 0, segment_time = 0;
    int codec, k;

    k = number_of(request, "segment_size", MIB, (double) c->record.segment_size, &segment_size,
                  err);
    if (k == 0)
        k = number_of(request, "segment_time_s", 0, (double) c->record.segment_time / 1e9,
                      &segment_time, err);
    if (k < 0)
        return k;
    o.max_segment_bytes = (uint64_t) segment_size;
    o.max_segment_ns = (bp_ns_t) (segment_time * 1e9);
    k = choice_of(request, "compression", codecs, BP_COUNT(codecs), c->record.compression, &codec,
                  err);
    if (k < 0)
        return k;
    o.compression = (enum bp_compression) codec;
    return bp_writer_open(&o, &r->writer, err);
}

static int open_take(struct bp_sessions *s, const json_t *request, struct running *r,
                     struct bp_error *err) {
    struct bp_take_opts o = {
        .select = r->select,
        .max_rate = r->rules[BP_RULE_RATE].v,
        .nmax_rate = r->rules[BP_RULE_RATE].n,
        .keep_every = r->rules[BP_RULE_KEEP].v,
        .nkeep_every = r->rules[BP_RULE_KEEP].n,
        .priority = r->rules[BP_RULE_PRIORITY].v,
        .npriority = r->rules[BP_RULE_PRIORITY].n,
        .budget = r->rules[BP_RULE_BUDGET].v,
        .nbudget = r->rules[BP_RULE_BUDGET].n,
        .max_topics = (uint32_t) s->config->record.max_topics,
        .start_paused = json_is_true(json_object_get(request, "paused")),
        .writer = r->writer,
    };

    (void) pthread_mutex_lock(&s->lock);
    o.limit = s->limit.limit;
    o.thin_gap = s->limit.gap;
    (void) pthread_mutex_unlock(&s->lock);
    return bp_take_open(s->recorder, &o, &r->take, err);
}

/* ---- one session ---- */

static void running_free(struct running *r) {
    if (!r)
        return;
    bp_take_close(r->take);
    (void) bp_writer_close(r->writer, NULL);
    bp_select_free(r->select);
    for (size_t i = 0; i < BP_COUNT(r->rules); i++)
        bp_rules_done(&r->rules[i]);
    for (size_t i = 0; i < BP_COUNT(r->words); i++)
        free(r->words[i]);
    free(r->request);
    free(r->mission);
    free(r->operator_);
    free(r->notes);
    free(r->tags);
    free(r);
}

static void running_freep(struct running **r) {
    running_free(*r);
}

static int copy_texts(const struct bp_agent_config *c, const json_t *request, struct running *r,
                      struct bp_error *err) {
    const json_t *tags = json_object_get(request, "tags");
    const char *mission = NULL, *op = NULL, *notes = NULL;
    int k = text_of(request, "mission", &mission, err);

    if (k == 0)
        k = text_of(request, "operator", &op, err);
    if (k == 0)
        k = text_of(request, "notes", &notes, err);
    if (k < 0)
        return k;
    if (tags && !json_is_array(tags))
        return bp_fail(err, BP_EUSAGE, "'tags' must be a list of texts");
    r->mission = strdup(mission ? mission : c->session.mission ? c->session.mission : "");
    r->operator_ = strdup(op ? op : c->session.operator_ ? c->session.operator_ : "");
    r->notes = strdup(notes ? notes : "");
    r->tags = tags ? json_dumps(tags, JSON_COMPACT) : strdup("[]");
    r->request = json_dumps(request, JSON_COMPACT | JSON_SORT_KEYS);
    if (!r->mission || !r->operator_ || !r->notes || !r->tags || !r->request)
        return bp_fail(err, -ENOMEM, "out of memory");
    return 0;
}

static int take_limit(const struct bp_agent_config *c, const json_t *request, struct running *r,
                      struct bp_error *err) {
    const json_t *v = json_object_get(request, "max_time_s");
    double seconds = v ? json_number_value(v) : 0, size;
    int k;

    if (v && (!json_is_number(v) || seconds <= 0 || seconds > 1e8))
        return bp_fail(err, BP_EUSAGE, "'max_time_s' must be a number of seconds above 0");
    if (v)
        r->ends_mono = bp_mono_ns() + (bp_ns_t) (seconds * 1e9);
    else if (c->session.max_time)
        r->ends_mono = bp_mono_ns() + c->session.max_time;
    k = number_of(request, "max_size", MIB, (double) c->session.max_size, &size, err);
    r->max_size = k == 0 ? (uint64_t) size : 0;
    return k;
}

static void link_running(struct bp_sessions *s, struct running *r) {
    struct running **end;

    (void) pthread_mutex_lock(&s->lock);
    for (end = &s->running; *end; end = &(*end)->next)
        ;
    *end = r;
    bp_running_limit_locked(s, r);
    (void) pthread_mutex_unlock(&s->lock);
}

static struct running *running_new(struct bp_sessions *s, const char *dir) {
    struct running *r = calloc(1, sizeof *r);
    const char *slash = strrchr(dir, '/');

    if (!r)
        return NULL;
    r->all = s;
    r->started_ns = bp_wall_ns();
    (void) snprintf(r->dir, sizeof r->dir, "%s", dir);
    (void) snprintf(r->name, sizeof r->name, "%s", slash ? slash + 1 : dir);
    return r;
}

static int copy_custom(struct running *r, const char *const *custom, struct bp_error *err) {
    for (size_t i = 0; custom && custom[i] && i < BP_COUNT(r->words); i++) {
        r->custom[i] = r->words[i] = strdup(custom[i]);
        if (!r->words[i])
            return bp_fail(err, -ENOMEM, "out of memory");
    }
    return 0;
}

int bp_running_begin_snapshot(struct bp_sessions *s, const json_t *request, const char *dir,
                              const char *const *custom, uint64_t ring_bytes, struct running **ret,
                              struct bp_error *err) {
    BP_CLEANUP(running_freep) struct running *r = running_new(s, dir);
    int k;

    if (!r)
        return bp_fail(err, -ENOMEM, "out of memory");
    r->class = BP_CLASS_SNAPSHOT;
    r->ring_bytes = ring_bytes;
    k = copy_custom(r, custom, err);
    if (k == 0)
        k = copy_texts(s->config, request, r, err);
    if (k == 0)
        k = make_snapshot_select(request, &r->select, err);
    if (k == 0)
        k = open_writer(s->config, request, r, false, err);
    if (k < 0)
        return k;
    (void) snprintf(r->id, sizeof r->id, "%s", bp_writer_id(r->writer));
    link_running(s, r);
    *ret = BP_TAKE_PTR(r);
    return 0;
}

int bp_running_begin(struct bp_sessions *s, const json_t *request, const char *dir, bool resume,
                     uint32_t outages, struct running **ret, struct bp_error *err) {
    BP_CLEANUP(running_freep) struct running *r = running_new(s, dir);
    int k;

    if (!r)
        return bp_fail(err, -ENOMEM, "out of memory");
    r->outages = outages;
    k = copy_texts(s->config, request, r, err);
    if (k == 0)
        k = take_limit(s->config, request, r, err);
    if (k == 0)
        k = make_select(s->config, request, &r->select, err);
    if (k == 0)
        k = make_rules(s->config, r, err);
    if (k == 0)
        k = open_writer(s->config, request, r, resume, err);
    if (k < 0)
        return k;
    (void) snprintf(r->id, sizeof r->id, "%s", bp_writer_id(r->writer));
    k = open_take(s, request, r, err);
    if (k < 0)
        return k;

    link_running(s, r);
    *ret = BP_TAKE_PTR(r);
    return 0;
}

struct bp_catalog_session bp_running_row(struct running *r) {
    struct bp_writer_stats w;
    struct bp_catalog_session row = {
        .status = r->take && bp_take_paused(r->take) ? BP_STATUS_PAUSED : BP_STATUS_RECORDING,
        .name = r->name,
        .dir = r->dir,
        .request = r->request,
        .mission = r->mission,
        .operator_ = r->operator_,
        .notes = r->notes,
        .tags = r->tags,
        .started_ns = r->started_ns,
        .outages = r->outages,
        .class = r->class,
        .error = r->trouble,
    };

    bp_writer_stats(r->writer, &w);
    memcpy(row.id, r->id, sizeof row.id);
    row.messages = w.messages;
    row.bytes = w.file_bytes;
    row.segments = w.segments;
    for (int i = 0; i < BP_LOSS_N_; i++)
        row.lost += bp_loss_is_loss((enum bp_loss) i) ? w.lost[i] : 0;
    return row;
}

struct running *bp_running_find_locked(struct bp_sessions *s, const char *key) {
    struct running *only = NULL, *r;

    for (r = s->running; r && !key; r = r->next) {
        if (r->class == BP_CLASS_SNAPSHOT) /* it ends by itself: nobody means it without a word */
            continue;
        if (only)
            return NULL;
        only = r;
    }
    if (!key)
        return only;
    for (r = s->running; r; r = r->next)
        if (bp_streq(r->id, key) || bp_streq(r->name, key))
            return r;
    return NULL;
}

static void unlink_running(struct bp_sessions *s, const struct running *r) {
    (void) pthread_mutex_lock(&s->lock);
    for (struct running **at = &s->running; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    (void) pthread_mutex_unlock(&s->lock);
}

int bp_running_end(struct bp_sessions *s, struct running *r, struct bp_error *err) {
    struct bp_error why = { 0 }, ignored = { 0 };
    struct bp_catalog_session row;
    uint64_t written;
    int k, c;

    if (r->save)
        bp_save_halt(r->save); /* it hands nothing to the writer any more */
    if (r->take)
        bp_take_stop(r->take);
    row = bp_running_row(r);
    bp_running_add(r, &s->over);
    written = row.bytes;
    unlink_running(s, r);
    k = bp_writer_close(BP_TAKE_PTR(r->writer), &why);
    row.status = k < 0 ? BP_STATUS_FAILED : BP_STATUS_FINISHED;
    row.ended_ns = bp_wall_ns();
    row.error = k < 0 ? why.text : r->trouble;
    if (k == 0)
        (void) bp_sessions_sum_up(r->dir, &row, &ignored);
    s->over.file_bytes += row.bytes > written ? row.bytes - written : 0; /* by its end */
    c = bp_catalog_put(s->catalog, &row, k < 0 ? &ignored : err);
    bp_log(k < 0 ? BP_LOG_WARNING : BP_LOG_NOTICE, k < 0 ? why.text : "session finished",
           BP_F_TEXT("session", r->name), BP_F_UINT("messages", row.messages),
           BP_F_UINT("lost", row.lost));
    running_free(r);
    if (k < 0)
        return bp_fail(err, k, "%s", why.text);
    return c;
}

/* ---- starting and acting ---- */

int bp_sessions_choose_dir(const struct bp_sessions *s, const json_t *request, char *ret,
                           size_t cap, struct bp_error *err) {
    const char *pattern = NULL, *mission = NULL;
    char name[256], robot[128];
    int k = text_of(request, "name", &pattern, err);

    if (k == 0)
        k = text_of(request, "mission", &mission, err);
    if (k < 0)
        return k;
    bp_robots_name(s->recorder, robot, sizeof robot);
    k = bp_record_name_for(pattern && *pattern ? pattern : s->config->session.name, bp_wall_ns(),
                           s->domain, mission ? mission : s->config->session.mission, robot, name,
                           sizeof name, err);
    if (k < 0)
        return k;
    return bp_record_unused_dir(s->dir, name, ret, cap, err);
}

int bp_sessions_start(struct bp_sessions *s, const json_t *request, char ret_id[static 27],
                      struct bp_error *err) {
    struct bp_catalog_session row;
    struct running *r = NULL;
    char dir[1300];
    int k = check_keys(request, err);

    if (k < 0)
        return k;
    (void) pthread_mutex_lock(&s->turn);
    k = bp_sessions_choose_dir(s, request, dir, sizeof dir, err);
    if (k == 0)
        k = bp_running_begin(s, request, dir, false, 0, &r, err);
    if (k == 0) {
        row = bp_running_row(r);
        k = bp_catalog_put(s->catalog, &row, err);
        memcpy(ret_id, r->id, 27);
        bp_log(BP_LOG_NOTICE, "session started", BP_F_TEXT("session", r->name),
               BP_F_TEXT("id", r->id));
        if (k < 0) /* a session nobody knows of after a crash: better none */
            (void) bp_running_end(s, r, NULL);
    }
    (void) pthread_mutex_unlock(&s->turn);
    if (k >= 0)
        bp_sessions_tell(s, "started", ret_id);
    return k;
}

int bp_running_not_found_locked(const struct bp_sessions *s, const char *key,
                                struct bp_error *err) {
    if (key)
        return bp_fail(err, -ENOENT, "no session '%s' is being recorded", key);
    for (const struct running *r = s->running; r; r = r->next)
        if (r->class == BP_CLASS_SESSION)
            return bp_fail(err, BP_EUSAGE, "several sessions are being recorded: say which");
    return bp_fail(err, -ENOENT, "nothing is being recorded");
}

static int set_paused(struct bp_sessions *s, struct running *r, bool paused, struct bp_error *err) {
    struct bp_catalog_session row;

    if (!r->take)
        return bp_fail(err, BP_EUSAGE, "'%s' is a snapshot: it cannot be paused", r->name);
    bp_take_pause(r->take, paused);
    row = bp_running_row(r);
    return bp_catalog_put(s->catalog, &row, err);
}

int bp_sessions_act(struct bp_sessions *s, const char *key, enum bp_session_action action,
                    char ret_id[static 27], struct bp_error *err) {
    static const char *const events[] = {
        [BP_SESSION_STOP] = "stopped",
        [BP_SESSION_PAUSE] = "paused",
        [BP_SESSION_RESUME] = "resumed",
        [BP_SESSION_SPLIT] = "split",
    };
    struct running *r;
    int k = 0;

    (void) pthread_mutex_lock(&s->turn); /* nobody ends it meanwhile */
    (void) pthread_mutex_lock(&s->lock);
    r = bp_running_find_locked(s, key);
    if (!r)
        k = bp_running_not_found_locked(s, key, err);
    (void) pthread_mutex_unlock(&s->lock);
    if (r) {
        memcpy(ret_id, r->id, 27);
        switch (action) {
        case BP_SESSION_STOP:
            k = bp_running_end(s, r, err);
            break;
        case BP_SESSION_PAUSE:
        case BP_SESSION_RESUME:
            k = set_paused(s, r, action == BP_SESSION_PAUSE, err);
            break;
        case BP_SESSION_SPLIT:
            bp_writer_split(r->writer);
            break;
        }
    }
    (void) pthread_mutex_unlock(&s->turn);
    if (r)
        bp_sessions_tell(s, events[action], ret_id);
    return k;
}

/* ---- all of them ---- */

static bool is_at_max(struct running *r, bp_ns_t now) {
    struct bp_writer_stats w;

    if (r->ends_mono && now >= r->ends_mono)
        return true;
    if (!r->max_size)
        return false;
    bp_writer_stats(r->writer, &w);
    return w.file_bytes >= r->max_size;
}

/* The id of a session that is at its end, and what it was asked for (owned); false: there is none.
 */
static bool find_at_max(struct bp_sessions *s, char ret_id[static 27], char **ret_request) {
    bp_ns_t now = bp_mono_ns();
    struct running *r;

    (void) pthread_mutex_lock(&s->lock);
    for (r = s->running; r && !is_at_max(r, now);)
        r = r->next;
    if (r) {
        memcpy(ret_id, r->id, sizeof r->id);
        *ret_request = strdup(r->request);
    }
    (void) pthread_mutex_unlock(&s->lock);
    return r != NULL;
}

/* The next one begins before the last one ends: for a moment both have every message, and there is
 * none that neither has. */
static void begin_next(struct bp_sessions *s, const char *text) {
    json_t *request = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    struct bp_error err = { 0 };
    char id[27];

    if (!request || bp_sessions_start(s, request, id, &err) < 0)
        bp_log(BP_LOG_WARNING, "no session follows the one that has reached its limit",
               BP_F_TEXT("why", request ? err.text : "its request cannot be read"));
    json_decref(request);
}

void bp_sessions_tick(struct bp_sessions *s) {
    for (int i = 0; i < BP_TAKES;
         i++) { /* the next one may be at its end at once, by its request */
        BP_AUTO_FREE char *request = NULL;
        struct bp_error err = { 0 };
        char id[27], ignored[27];
        bool next;

        if (!find_at_max(s, id, &request))
            return;
        (void) pthread_mutex_lock(&s->turn);
        next = s->config->session.at_max != 0;
        (void) pthread_mutex_unlock(&s->turn);
        if (next)
            begin_next(s, request);
        if (bp_sessions_act(s, id, BP_SESSION_STOP, ignored, &err) < 0)
            bp_log(BP_LOG_WARNING, "session could not be finished", BP_F_TEXT("id", id),
                   BP_F_TEXT("why", err.text));
    }
}

void bp_sessions_configure(struct bp_sessions *s, const struct bp_agent_config *now) {
    const struct bp_agent_config *was;

    (void) pthread_mutex_lock(&s->turn);
    was = s->config;
    s->config = bp_settings_ref(now);
    (void) pthread_mutex_unlock(&s->turn);
    bp_settings_put(was);
}

int bp_sessions_open(struct bp_settings *settings, struct bp_recorder *recorder,
                     struct bp_catalog *catalog, struct bp_bus *bus, const char *dir,
                     struct bp_sessions **ret, struct bp_error *err) {
    BP_CLEANUP(bp_sessions_closep) struct bp_sessions *s = calloc(1, sizeof *s);
    int k;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    s->config = bp_settings_get(settings);
    s->recorder = recorder;
    s->catalog = catalog;
    s->bus = bus;
    (void) snprintf(s->dir, sizeof s->dir, "%s", dir);
    if (s->config->discovery.domains.n)
        s->domain = (unsigned) strtoul(s->config->discovery.domains.v[0], NULL, 10);
    (void) pthread_mutex_init(&s->turn, NULL);
    (void) pthread_mutex_init(&s->lock, NULL);
    k = bp_device_open(s->config, dir, &s->device, err);
    if (k == 0)
        k = bp_sessions_load(s, err);
    if (k < 0)
        return k;
    *ret = BP_TAKE_PTR(s);
    return 0;
}

const struct bp_sign_key *bp_sessions_device(const struct bp_sessions *s) {
    return s->device;
}

void bp_sessions_close(struct bp_sessions *s) {
    if (!s)
        return;
    while (s->running)
        (void) bp_running_end(s, s->running, NULL);
    bp_sign_key_free(s->device);
    (void) pthread_mutex_destroy(&s->turn);
    (void) pthread_mutex_destroy(&s->lock);
    bp_settings_put(s->config);
    free(s);
}
