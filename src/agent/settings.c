#include "agent/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* loaded ── what file, environment and words say        (all keys)
 *   + overrides, live keys only
 *   + keys that are not live, from the first snapshot
 *   = now ── what is in effect
 *
 * `turn` is held over a change, file and all; `lock` for a look at `now` only. */

#define TABLE (&bp_agent_config_table)

struct snapshot {
    struct bp_agent_config c; /* constant; first, so that a pointer to it is one to us */
    _Atomic unsigned refs;
};

struct bp_settings {
    void (*apply)(void *ctx, const struct bp_agent_config *now);
    void *ctx;
    pthread_mutex_t turn;
    struct snapshot *first;  /* constant, a reference */
    struct snapshot *loaded; /* [turn] a reference */
    json_t *overrides;       /* [turn] key to text or list of texts */
    pthread_mutex_t lock;    /* leaf */
    struct snapshot *now;    /* [lock] a reference */
};

/* ---- snapshots ---- */

static struct snapshot *snapshot_of(const struct bp_agent_config *c) {
    return (struct snapshot *) (uintptr_t) c;
}

const struct bp_agent_config *bp_settings_ref(const struct bp_agent_config *c) {
    atomic_fetch_add(&snapshot_of(c)->refs, 1);
    return c;
}

void bp_settings_put(const struct bp_agent_config *c) {
    struct snapshot *s = snapshot_of(c);

    if (!c || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    bp_agent_config_done(&s->c);
    free(s);
}

static void snapshot_putp(struct snapshot **s) {
    bp_settings_put(*s ? &(*s)->c : NULL);
}

static struct snapshot *snapshot_new(void) {
    struct snapshot *s = calloc(1, sizeof *s);

    if (s)
        atomic_init(&s->refs, 1);
    return s;
}

static int copy_of(const struct bp_agent_config *c, struct snapshot **ret, struct bp_error *err) {
    BP_CLEANUP(snapshot_putp) struct snapshot *s = snapshot_new();

    if (!s || bp_agent_config_copy(c, &s->c) < 0)
        return bp_fail(err, -ENOMEM, "out of memory");
    *ret = BP_TAKE_PTR(s);
    return 0;
}

const struct bp_agent_config *bp_settings_get(struct bp_settings *s) {
    const struct bp_agent_config *c;

    (void) pthread_mutex_lock(&s->lock);
    c = bp_settings_ref(&s->now->c);
    (void) pthread_mutex_unlock(&s->lock);
    return c;
}

/* ---- values from JSON ---- */

/* A scalar as people write it. */
static int text_of(const char *key, const json_t *v, struct bp_buf *out, struct bp_error *err) {
    if (json_is_string(v))
        bp_buf_put_str(out, json_string_value(v));
    else if (json_is_boolean(v))
        bp_buf_put_str(out, json_is_true(v) ? "true" : "false");
    else if (json_is_integer(v))
        bp_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        bp_buf_printf(out, "%.17g", json_real_value(v));
    else
        return bp_fail(err, BP_ECONFIG, "%s: expected a text, a number, true or false", key);
    return out->failed ? bp_fail(err, -ENOMEM, "out of memory") : 0;
}

/* A section of a list of sections, with its values as texts. */
static int section_of(const char *key, const json_t *section, char **ret, struct bp_error *err) {
    json_t *o = json_object(), *v;
    const char *name;
    int r = 0;

    json_object_foreach((json_t *) (uintptr_t) section, name, v) {
        BP_AUTO_BUF text = { 0 };

        if (json_is_array(v))
            (void) json_object_set(o, name, v);
        else if (r >= 0)
            r = text_of(key, v, &text, err);
        if (!json_is_array(v) && r >= 0)
            (void) json_object_set_new(o, name, json_string(bp_buf_cstr(&text)));
    }
    if (r >= 0)
        *ret = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return r < 0 || *ret ? r : bp_fail(err, -ENOMEM, "out of memory");
}

static int set_words(struct bp_agent_config *c, const char *key, const json_t *list,
                     struct bp_error *err) {
    size_t n = json_array_size(list);
    char **words = calloc(n + 1, sizeof *words);
    bool maps = bp_config_find(TABLE, key)->type == BP_CONFIG_MAPS;
    int r = 0;

    if (!words)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (size_t i = 0; r >= 0 && i < n; i++) {
        BP_AUTO_BUF text = { 0 };

        if (maps && json_is_object(json_array_get(list, i))) {
            r = section_of(key, json_array_get(list, i), &words[i], err);
            continue;
        }

        r = text_of(key, json_array_get(list, i), &text, err);
        words[i] = r >= 0 ? bp_buf_take_cstr(&text) : NULL;
        if (r >= 0 && !words[i])
            r = bp_fail(err, -ENOMEM, "out of memory");
    }
    if (r >= 0)
        r = bp_config_set_list(TABLE, c, "", key, (const char *const *) words, n, err);
    for (size_t i = 0; i < n; i++)
        free(words[i]);
    free(words);
    return r;
}

static int set_json(struct bp_agent_config *c, const char *key, const json_t *v,
                    struct bp_error *err) {
    BP_AUTO_BUF text = { 0 };
    int r;

    if (json_is_array(v))
        return set_words(c, key, v, err);
    r = text_of(key, v, &text, err);
    return r < 0 ? r : bp_config_set(TABLE, c, "", key, bp_buf_cstr(&text), err);
}

/* Nested sections become dotted keys; what is allowed is checked here, values when they are set. */
/* NOLINTNEXTLINE(misc-no-recursion): each step names a section that is there */
static int flatten(const char *section, const json_t *from, json_t *to, struct bp_error *err) {
    const char *name;
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) from, name, v) {
        const struct bp_config_row *row;
        char key[200];
        int r = 0;

        if (snprintf(key, sizeof key, "%s%s%s", section, *section ? "." : "", name) >=
            (int) sizeof key)
            return bp_fail(err, BP_ECONFIG, "a key is too long");
        row = bp_config_find(TABLE, key);
        if (!row && json_is_object(v) && bp_config_is_section(TABLE, key))
            r = flatten(key, v, to, err);
        else if (!row)
            r = bp_config_set(TABLE, NULL, "", key, "", err); /* says so, with the nearest one */
        else if (!row->live)
            r = bp_fail(err, BP_ECONFIG,
                        "%s: takes a restart: it cannot be set while the agent runs", key);
        else if (json_is_null(v))
            (void) json_object_del(to, key);
        else
            r = json_object_set(to, key, v) < 0 ? bp_fail(err, -ENOMEM, "out of memory") : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- changing ---- */

/* What would be in effect; `lists` get the keys that change and those that wait. */
static int effective(const struct bp_settings *s, const struct bp_agent_config *loaded,
                     const json_t *overrides, struct snapshot **ret, struct bp_error *err) {
    BP_CLEANUP(snapshot_putp) struct snapshot *next = NULL;
    const char *key;
    json_t *v;
    int r = copy_of(loaded, &next, err);

    if (r >= 0)
        next->c.origins.now = BP_CONFIG_LIVE;
    json_object_foreach((json_t *) (uintptr_t) overrides, key, v) {
        if (r >= 0)
            r = set_json(&next->c, key, v, err);
    }
    for (size_t i = 0; r >= 0 && i < TABLE->nrows; i++)
        if (!TABLE->rows[i].live &&
            bp_config_copy(TABLE, &TABLE->rows[i], &s->first->c, &next->c) < 0)
            r = bp_fail(err, -ENOMEM, "out of memory");
    if (r >= 0)
        r = bp_agent_config_check(&next->c, err);
    if (r >= 0)
        *ret = BP_TAKE_PTR(next);
    return r;
}

static json_t *report(const struct bp_agent_config *was, const struct bp_agent_config *now,
                      const struct bp_agent_config *loaded) {
    json_t *changed = json_array(), *restart = json_array();

    for (size_t i = 0; i < TABLE->nrows; i++) {
        const struct bp_config_row *row = &TABLE->rows[i];

        if (!bp_config_same(row, was, now))
            (void) json_array_append_new(changed, json_string(row->key));
        if (!row->live && !bp_config_same(row, now, loaded))
            (void) json_array_append_new(restart, json_string(row->key));
    }
    return json_pack("{s:o, s:o}", "changed", changed, "restart", restart);
}

/* With `turn` held. Takes both over when it succeeds. */
static int change(struct bp_settings *s, struct snapshot *loaded, json_t *overrides, json_t **ret,
                  struct bp_error *err) {
    struct snapshot *next = NULL, *was;
    int r = effective(s, &loaded->c, overrides, &next, err);

    if (r < 0)
        return r;
    (void) pthread_mutex_lock(&s->lock);
    was = s->now;
    s->now = next;
    (void) pthread_mutex_unlock(&s->lock);
    if (ret)
        *ret = report(&was->c, &next->c, &loaded->c);
    if (s->loaded != loaded)
        bp_settings_put(&s->loaded->c);
    s->loaded = loaded;
    if (s->overrides != overrides)
        json_decref(s->overrides);
    s->overrides = overrides;
    if (s->apply)
        s->apply(s->ctx, &next->c);
    bp_settings_put(&was->c);
    return 0;
}

int bp_settings_reload(struct bp_settings *s, json_t **ret, struct bp_error *err) {
    const struct bp_config_from *from = &s->first->c.from;
    struct snapshot *loaded = snapshot_new();
    int r;

    if (!loaded)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) pthread_mutex_lock(&s->turn);
    r = bp_agent_config_load(from->path, (const char *const *) from->set, from->nset, &loaded->c,
                             err);
    if (r >= 0)
        r = change(s, loaded, s->overrides, ret, err);
    (void) pthread_mutex_unlock(&s->turn);
    if (r < 0)
        bp_settings_put(&loaded->c);
    return r;
}

int bp_settings_patch(struct bp_settings *s, const json_t *patch, json_t **ret,
                      struct bp_error *err) {
    json_t *overrides;
    int r;

    (void) pthread_mutex_lock(&s->turn);
    overrides = json_copy(s->overrides);
    r = overrides ? flatten("", patch, overrides, err) : bp_fail(err, -ENOMEM, "out of memory");
    if (r >= 0)
        r = change(s, s->loaded, overrides, ret, err);
    (void) pthread_mutex_unlock(&s->turn);
    if (r < 0)
        json_decref(overrides);
    return r;
}

/* ---- telling ---- */

static json_t *key_json(const struct bp_settings *s, const struct bp_agent_config *now,
                        const struct bp_config_row *row) {
    json_t *o = json_pack("{s:o, s:s, s:b}", "value", bp_agent_config_json(now, row), "source",
                          bp_config_source_text(bp_config_origin(TABLE, now, row)), "live",
                          (int) row->live);

    if (!row->live && !bp_config_same(row, now, &s->loaded->c))
        (void) json_object_set_new(o, "pending", bp_agent_config_json(&s->loaded->c, row));
    return o;
}

json_t *bp_settings_json(struct bp_settings *s) {
    BP_AUTO_SETTINGS now = bp_settings_get(s);
    json_t *keys = json_object();

    (void) pthread_mutex_lock(&s->turn);
    for (size_t i = 0; i < TABLE->nrows; i++)
        (void) json_object_set_new(keys, TABLE->rows[i].key, key_json(s, now, &TABLE->rows[i]));
    (void) pthread_mutex_unlock(&s->turn);
    return json_pack("{s:s, s:o}", "file", now->from.path ? now->from.path : BP_AGENT_CONFIG_FILE,
                     "keys", keys);
}

/* "NAME, line 7: record.hidden: 'x' is not …", "…: unknown key 'recrod', did you …". */
static void find_place(const char *text, json_t *to) {
    static const char unknown[] = "unknown key '", line[] = ", line ";
    const char *p = strstr(text, line), *key;
    bool is_unknown;
    char word[200];
    unsigned n;

    if (p && sscanf(p + sizeof line - 1, "%u", &n) == 1) /* NOLINT(cert-err34-c): our own text */
        (void) json_object_set_new(to, "line", json_integer(n));
    key = p ? strstr(p, ": ") : NULL;
    key = key ? key + 2 : text;
    is_unknown = bp_starts_with(key, unknown);
    key += is_unknown ? sizeof unknown - 1 : 0;
    (void) snprintf(word, sizeof word, "%.*s", (int) strcspn(key, ":'"), key);
    if (is_unknown || bp_config_find(TABLE, word))
        (void) json_object_set_new(to, "key", json_string(word));
}

json_t *bp_settings_check(struct bp_settings *s, struct bp_str yaml) {
    const struct bp_config_from *from = &s->first->c.from;
    BP_CLEANUP(bp_agent_config_done) struct bp_agent_config c = { 0 };
    struct bp_error err = { 0 };
    json_t *o;

    if (bp_agent_config_parse("body", yaml, (const char *const *) from->set, from->nset, &c,
                              &err) >= 0)
        return json_pack("{s:b}", "ok", 1);
    o = json_pack("{s:b, s:o}", "ok", 0, "error", json_string(err.text));
    find_place(err.text, o);
    return o;
}

/* ---- the whole ---- */

int bp_settings_open(const struct bp_agent_config *first,
                     void (*apply)(void *ctx, const struct bp_agent_config *now), void *ctx,
                     struct bp_settings **ret, struct bp_error *err) {
    BP_CLEANUP(bp_settings_closep) struct bp_settings *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) pthread_mutex_init(&s->turn, NULL);
    (void) pthread_mutex_init(&s->lock, NULL);
    s->apply = apply;
    s->ctx = ctx;
    s->overrides = json_object();
    r = copy_of(first, &s->first, err);
    if (r < 0)
        return r;
    s->loaded = snapshot_of(bp_settings_ref(&s->first->c));
    s->now = snapshot_of(bp_settings_ref(&s->first->c));
    *ret = BP_TAKE_PTR(s);
    return 0;
}

void bp_settings_close(struct bp_settings *s) {
    if (!s)
        return;
    snapshot_putp(&s->now);
    snapshot_putp(&s->loaded);
    snapshot_putp(&s->first);
    json_decref(s->overrides);
    (void) pthread_mutex_destroy(&s->turn);
    (void) pthread_mutex_destroy(&s->lock);
    free(s);
}
