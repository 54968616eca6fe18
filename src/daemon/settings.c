#include "daemon/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
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

struct snapshot {
    const struct bp_config_kind *kind;
    _Atomic unsigned refs;
    max_align_t values[]; /* constant once others see it */
};

struct bp_settings {
    const struct bp_config_kind *kind;
    void (*apply)(void *ctx, const void *now);
    void *ctx;
    pthread_mutex_t turn;
    const void *first;    /* constant, a reference */
    const void *loaded;   /* [turn] a reference */
    json_t *overrides;    /* [turn] key to text or list of texts */
    pthread_mutex_t lock; /* leaf */
    const void *now;      /* [lock] a reference */
};

/* ---- snapshots ---- */

static struct snapshot *snapshot_of(const void *values) {
    return (struct snapshot *) ((uintptr_t) values - offsetof(struct snapshot, values));
}

const void *bp_settings_ref(const void *values) {
    atomic_fetch_add(&snapshot_of(values)->refs, 1);
    return values;
}

void bp_settings_put(const void *values) {
    struct snapshot *s = values ? snapshot_of(values) : NULL;

    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    bp_values_done(s->kind, s->values);
    free(s);
}

/* Values to be filled, zeroes now; a reference. */
static void *snapshot_new(const struct bp_config_kind *kind) {
    struct snapshot *s = calloc(1, sizeof *s + kind->table->size);

    if (!s)
        return NULL;
    s->kind = kind;
    atomic_init(&s->refs, 1);
    return s->values;
}

static int copy_of(const struct bp_config_kind *kind, const void *values, void **ret,
                   struct bp_error *err) {
    void *copy = snapshot_new(kind);

    if (!copy || bp_values_copy(kind, values, copy) < 0) {
        bp_settings_put(copy);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    *ret = copy;
    return 0;
}

const struct bp_config_kind *bp_settings_kind(const struct bp_settings *s) {
    return s->kind;
}

const void *bp_settings_get(struct bp_settings *s) {
    const void *values;

    (void) pthread_mutex_lock(&s->lock);
    values = bp_settings_ref(s->now);
    (void) pthread_mutex_unlock(&s->lock);
    return values;
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

static int set_words(const struct bp_config_table *t, void *values, const char *key,
                     const json_t *list, struct bp_error *err) {
    size_t n = json_array_size(list);
    char **words = calloc(n + 1, sizeof *words);
    bool maps = bp_config_find(t, key)->type == BP_CONFIG_MAPS;
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
        r = bp_config_set_list(t, values, "", key, (const char *const *) words, n, err);
    for (size_t i = 0; i < n; i++)
        free(words[i]);
    free(words);
    return r;
}

static int set_json(const struct bp_config_table *t, void *values, const char *key, const json_t *v,
                    struct bp_error *err) {
    BP_AUTO_BUF text = { 0 };
    int r;

    if (json_is_array(v))
        return set_words(t, values, key, v, err);
    r = text_of(key, v, &text, err);
    return r < 0 ? r : bp_config_set(t, values, "", key, bp_buf_cstr(&text), err);
}

/* Nested sections become dotted keys; what is allowed is checked here, values when they are set. */
/* NOLINTNEXTLINE(misc-no-recursion): each step names a section that is there */
static int flatten(const struct bp_config_table *t, const char *section, const json_t *from,
                   json_t *to, struct bp_error *err) {
    const char *name;
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) from, name, v) {
        const struct bp_config_row *row;
        char key[200];
        int r = 0;

        if (snprintf(key, sizeof key, "%s%s%s", section, *section ? "." : "", name) >=
            (int) sizeof key)
            return bp_fail(err, BP_ECONFIG, "a key is too long");
        row = bp_config_find(t, key);
        if (!row && json_is_object(v) && bp_config_is_section(t, key))
            r = flatten(t, key, v, to, err);
        else if (!row)
            r = bp_config_set(t, NULL, "", key, "", err); /* says so, with the nearest one */
        else if (!row->live)
            r = bp_fail(err, BP_ECONFIG, "%s: takes a restart: it cannot be set while it runs",
                        key);
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

/* What would be in effect. */
static int effective(const struct bp_settings *s, const void *loaded, const json_t *overrides,
                     const void **ret, struct bp_error *err) {
    const struct bp_config_table *t = s->kind->table;
    const char *key;
    void *next = NULL;
    json_t *v;
    int r = copy_of(s->kind, loaded, &next, err);

    if (r < 0)
        return r;
    ((struct bp_config_origins *) (void *) ((char *) next + t->origins))->now = BP_CONFIG_LIVE;
    json_object_foreach((json_t *) (uintptr_t) overrides, key, v) {
        if (r >= 0)
            r = set_json(t, next, key, v, err);
    }
    for (size_t i = 0; r >= 0 && i < t->nrows; i++)
        if (!t->rows[i].live && bp_config_copy(t, &t->rows[i], s->first, next) < 0)
            r = bp_fail(err, -ENOMEM, "out of memory");
    if (r >= 0)
        r = s->kind->check(next, err);
    if (r < 0)
        bp_settings_put(next);
    else
        *ret = next;
    return r;
}

static json_t *report(const struct bp_config_table *t, const void *was, const void *now,
                      const void *loaded) {
    json_t *changed = json_array(), *restart = json_array();

    for (size_t i = 0; i < t->nrows; i++) {
        const struct bp_config_row *row = &t->rows[i];

        if (!bp_config_same(row, was, now))
            (void) json_array_append_new(changed, json_string(row->key));
        if (!row->live && !bp_config_same(row, now, loaded))
            (void) json_array_append_new(restart, json_string(row->key));
    }
    return json_pack("{s:o, s:o}", "changed", changed, "restart", restart);
}

/* With `turn` held. Takes both over when it succeeds. */
static int change(struct bp_settings *s, const void *loaded, json_t *overrides, json_t **ret,
                  struct bp_error *err) {
    const void *next = NULL, *was;
    int r = effective(s, loaded, overrides, &next, err);

    if (r < 0)
        return r;
    (void) pthread_mutex_lock(&s->lock);
    was = s->now;
    s->now = next;
    (void) pthread_mutex_unlock(&s->lock);
    if (ret)
        *ret = report(s->kind->table, was, next, loaded);
    if (s->loaded != loaded)
        bp_settings_put(s->loaded);
    s->loaded = loaded;
    if (s->overrides != overrides)
        json_decref(s->overrides);
    s->overrides = overrides;
    if (s->apply)
        s->apply(s->ctx, next);
    bp_settings_put(was);
    return 0;
}

int bp_settings_reload(struct bp_settings *s, json_t **ret, struct bp_error *err) {
    const struct bp_config_from *from = bp_values_from(s->kind, s->first);
    void *loaded = snapshot_new(s->kind);
    int r;

    if (!loaded)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) pthread_mutex_lock(&s->turn);
    r = bp_values_load(s->kind, from->path, (const char *const *) from->set, from->nset, loaded,
                       err);
    if (r >= 0)
        r = change(s, loaded, s->overrides, ret, err);
    (void) pthread_mutex_unlock(&s->turn);
    if (r < 0)
        bp_settings_put(loaded);
    return r;
}

int bp_settings_patch(struct bp_settings *s, const json_t *patch, json_t **ret,
                      struct bp_error *err) {
    json_t *overrides;
    int r;

    (void) pthread_mutex_lock(&s->turn);
    overrides = json_copy(s->overrides);
    r = overrides ? flatten(s->kind->table, "", patch, overrides, err)
                  : bp_fail(err, -ENOMEM, "out of memory");
    if (r >= 0)
        r = change(s, s->loaded, overrides, ret, err);
    (void) pthread_mutex_unlock(&s->turn);
    if (r < 0)
        json_decref(overrides);
    return r;
}

/* ---- telling ---- */

static json_t *key_json(const struct bp_settings *s, const void *now,
                        const struct bp_config_row *row) {
    json_t *o = json_pack("{s:o, s:s, s:b}", "value", bp_values_json(now, row), "source",
                          bp_config_source_text(bp_config_origin(s->kind->table, now, row)), "live",
                          (int) row->live);

    if (!row->live && !bp_config_same(row, now, s->loaded))
        (void) json_object_set_new(o, "pending", bp_values_json(s->loaded, row));
    return o;
}

json_t *bp_settings_json(struct bp_settings *s) {
    BP_AUTO_SETTINGS const void *now = bp_settings_get(s);
    const struct bp_config_table *t = s->kind->table;
    const char *path = bp_values_from(s->kind, now)->path;
    json_t *keys = json_object();

    (void) pthread_mutex_lock(&s->turn);
    for (size_t i = 0; i < t->nrows; i++)
        (void) json_object_set_new(keys, t->rows[i].key, key_json(s, now, &t->rows[i]));
    (void) pthread_mutex_unlock(&s->turn);
    return json_pack("{s:s, s:o}", "file", path ? path : s->kind->file, "keys", keys);
}

/* "NAME, line 7: record.hidden: 'x' is not …", "…: unknown key 'recrod', did you …". */
static void find_place(const struct bp_config_table *t, const char *text, json_t *to) {
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
    if (is_unknown || bp_config_find(t, word))
        (void) json_object_set_new(to, "key", json_string(word));
}

json_t *bp_settings_check(struct bp_settings *s, struct bp_str yaml) {
    const struct bp_config_from *from = bp_values_from(s->kind, s->first);
    void *values = calloc(1, s->kind->table->size);
    struct bp_error err = { 0 };
    json_t *o;
    int r;

    if (!values)
        return NULL;
    r = bp_values_parse(s->kind, "body", yaml, (const char *const *) from->set, from->nset, values,
                        &err);
    bp_values_done(s->kind, values);
    free(values);
    if (r >= 0)
        return json_pack("{s:b}", "ok", 1);
    o = json_pack("{s:b, s:o}", "ok", 0, "error", json_string(err.text));
    find_place(s->kind->table, err.text, o);
    return o;
}

/* ---- the whole ---- */

int bp_settings_open(const struct bp_config_kind *kind, const void *first,
                     void (*apply)(void *ctx, const void *now), void *ctx, struct bp_settings **ret,
                     struct bp_error *err) {
    BP_CLEANUP(bp_settings_closep) struct bp_settings *s = calloc(1, sizeof *s);
    void *copy = NULL;
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) pthread_mutex_init(&s->turn, NULL);
    (void) pthread_mutex_init(&s->lock, NULL);
    s->kind = kind;
    s->apply = apply;
    s->ctx = ctx;
    s->overrides = json_object();
    r = copy_of(kind, first, &copy, err);
    if (r < 0)
        return r;
    s->first = copy;
    s->loaded = bp_settings_ref(s->first);
    s->now = bp_settings_ref(s->first);
    *ret = BP_TAKE_PTR(s);
    return 0;
}

void bp_settings_close(struct bp_settings *s) {
    if (!s)
        return;
    bp_settings_put(s->now);
    bp_settings_put(s->loaded);
    bp_settings_put(s->first);
    json_decref(s->overrides);
    (void) pthread_mutex_destroy(&s->turn);
    (void) pthread_mutex_destroy(&s->lock);
    free(s);
}
