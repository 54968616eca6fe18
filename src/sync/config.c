#include "sync/config.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

/* What is being read. */
struct reading {
    struct bp_sync_targets *t;
    const char *where, *name;
    struct bp_error *err;
};

void bp_sync_targets_done(struct bp_sync_targets *t) {
    for (size_t i = 0; i < t->n; i++) {
        free((void *) (uintptr_t) t->v[i].filter.tags);
        free((void *) (uintptr_t) t->v[i].filter.robots);
        free((void *) (uintptr_t) t->v[i].filter.topics);
        free((void *) (uintptr_t) t->v[i].opts.settings);
    }
    free(t->v);
    for (size_t i = 0; i < t->ntexts; i++)
        free(t->texts[i]);
    free(t->texts);
    *t = (struct bp_sync_targets){ 0 };
}

/* A copy that lives as long as the targets; NULL when out of memory. */
static const char *own(struct bp_sync_targets *t, char *text) {
    char **grown = text ? realloc(t->texts, (t->ntexts + 1) * sizeof *grown) : NULL;

    if (!grown) {
        free(text);
        return NULL;
    }
    t->texts = grown;
    t->texts[t->ntexts++] = text;
    return text;
}

static int complain(const struct reading *r, const char *key, const char *what) {
    return bp_fail(r->err, BP_ECONFIG, "%s: target '%s': %s: %s", r->where, r->name, key, what);
}

/* ---- values ---- */

static int text_of(const struct reading *r, const json_t *o, const char *key, const char **ret) {
    const json_t *v = json_object_get(o, key);

    if (!v)
        return 0;
    if (!json_is_string(v))
        return complain(r, key, "expected one value");
    *ret = own(r->t, strdup(json_string_value(v)));
    return *ret ? 0 : bp_fail(r->err, -ENOMEM, "out of memory");
}

static int list_of(const struct reading *r, const json_t *o, const char *key,
                   const char *const **ret) {
    const json_t *v = json_object_get(o, key);
    size_t n = json_is_string(v) ? 1 : json_array_size(v);
    const char **words = v ? calloc(n + 1, sizeof *words) : NULL;

    if (!v)
        return 0;
    if (!words)
        return bp_fail(r->err, -ENOMEM, "out of memory");
    *ret = words;
    for (size_t i = 0; i < n; i++) {
        const char *word = json_string_value(json_is_string(v) ? v : json_array_get(v, i));

        if (!word)
            return complain(r, key, "expected words");
        words[i] = own(r->t, strdup(word));
        if (!words[i])
            return bp_fail(r->err, -ENOMEM, "out of memory");
    }
    return 0;
}

static int bool_of(const struct reading *r, const json_t *o, const char *key, bool *ret) {
    const char *text = NULL;
    int k = text_of(r, o, key, &text);

    if (k < 0 || !text)
        return k;
    *ret = bp_streq(text, "true") || bp_streq(text, "yes") || bp_streq(text, "on");
    return *ret || bp_streq(text, "false") || bp_streq(text, "no") || bp_streq(text, "off")
               ? 0
               : complain(r, key, "expected true or false");
}

/* ---- a target ---- */

/* Keys that become settings of the target's kind. */
static const char *const kinds_own[] = { "endpoint",      "region",   "profile", "provider",
                                         "style",         "checksum", "sse",     "sse_kms_key",
                                         "storage_class", "template", "dedup",   "anonymous" };

static bool is_kinds_own(const char *key) {
    for (size_t i = 0; i < BP_COUNT(kinds_own); i++)
        if (bp_streq(kinds_own[i], key))
            return true;
    return false;
}

static int check_keys(const struct reading *r, const json_t *o) {
    static const char *const known[] = { "name",   "url",     "optional", "conflicts",
                                         "token",  "ca_file", "proxy",    "tags",
                                         "robots", "topics",  "_at" };
    const char *key, *best = known[0];
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) o, key, v) {
        size_t i = 0;

        while (i < BP_COUNT(known) && !bp_streq(known[i], key))
            i++;
        if (i < BP_COUNT(known) || is_kinds_own(key))
            continue;
        for (i = 1; i < BP_COUNT(known); i++)
            if (bp_edit_distance(key, known[i]) < bp_edit_distance(key, best))
                best = known[i];
        return bp_fail(r->err, BP_ECONFIG, "%s: target '%s': unknown key '%s'%s%s%s", r->where,
                       r->name, key, bp_is_likely_typo(key, best) ? ", did you mean '" : "",
                       bp_is_likely_typo(key, best) ? best : "",
                       bp_is_likely_typo(key, best) ? "'?" : "");
    }
    return 0;
}

static int read_settings(const struct reading *r, const json_t *o,
                         struct bp_sync_target_config *c) {
    const char **words = calloc(BP_COUNT(kinds_own) + 1, sizeof *words);
    size_t n = 0;

    if (!words)
        return bp_fail(r->err, -ENOMEM, "out of memory");
    c->opts.settings = words;
    for (size_t i = 0; i < BP_COUNT(kinds_own); i++) {
        const char *value = NULL;
        char *both = NULL;
        int k = text_of(r, o, kinds_own[i], &value);

        if (k < 0)
            return k;
        if (!value)
            continue;
        if (asprintf(&both, "%s=%s", kinds_own[i], value) < 0)
            both = NULL;
        words[n] = own(r->t, both);
        if (!words[n++])
            return bp_fail(r->err, -ENOMEM, "out of memory");
    }
    return 0;
}

/* Opening connects to nothing, so it tells whether the target can be. */
static int check_target(const struct reading *r, const struct bp_sync_target_config *c) {
    struct bp_sync_target t = { 0 };
    struct bp_sync_target_opts o = c->opts;
    int k;

    o.token = NULL; /* it may be elsewhere */
    k = bp_sync_target_open(&o, &t, r->err);
    bp_sync_target_done(&t);
    return k == BP_EUSAGE || k == -EINVAL
               ? bp_prefix(r->err, BP_ECONFIG, "%s: target '%s'", r->where, r->name)
               : 0; /* files that are missing now may be there when it matters */
}

static int read_target(const struct reading *r, const json_t *o,
                       const struct bp_sync_targets_defaults *d, struct bp_sync_target_config *c) {
    const char *conflicts = NULL;
    int k = check_keys(r, o), policy = (int) d->policy;

    c->name = r->name;
    if (k == 0)
        k = text_of(r, o, "url", &c->opts.url);
    if (k == 0 && !c->opts.url)
        k = complain(r, "url", "is missing");
    if (k == 0)
        k = bool_of(r, o, "optional", &c->optional);
    if (k == 0)
        k = text_of(r, o, "conflicts", &conflicts);
    if (k == 0 && conflicts && (policy = bp_sync_policy_from_name(conflicts)) < 0)
        k = complain(r, "conflicts", "expected local, remote, merge or keep-both");
    c->policy = (enum bp_sync_policy) policy;
    if (k == 0)
        k = text_of(r, o, "token", &c->opts.token);
    if (k == 0)
        k = text_of(r, o, "ca_file", &c->opts.ca_file);
    if (k == 0)
        k = text_of(r, o, "proxy", &c->opts.proxy);
    if (k == 0)
        k = list_of(r, o, "tags", &c->filter.tags);
    if (k == 0)
        k = list_of(r, o, "robots", &c->filter.robots);
    if (k == 0)
        k = list_of(r, o, "topics", &c->filter.topics);
    if (k == 0)
        k = read_settings(r, o, c);
    return k;
}

/* What the target does not say itself. */
static int fill(struct bp_sync_targets *t, const char **at, const char *otherwise,
                struct bp_error *err) {
    if (*at && !**at)
        *at = NULL;
    if (*at || !otherwise || !*otherwise)
        return 0;
    *at = own(t, strdup(otherwise));
    return *at ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

static bool is_name(const char *s) {
    size_t n = strlen(s);

    for (; *s; s++)
        if (!isalnum((unsigned char) *s) && !strchr("_-.", *s))
            return false;
    return n > 0 && n <= BP_SYNC_UPSTREAM_NAME_MAX;
}

static int add(struct bp_sync_targets *t, const json_t *o, const struct bp_sync_targets_defaults *d,
               const char *where, const char *name, struct bp_error *err) {
    struct bp_sync_target_config *c = &t->v[t->n];
    struct reading r = { t, where, own(t, strdup(name ? name : "")), err };
    int k;

    if (!r.name)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (!is_name(r.name))
        return complain(&r, "name", "expected letters, digits, '_', '-' and '.', at most 32");
    for (size_t i = 0; i < t->n; i++)
        if (t->v[i].name && bp_streq(t->v[i].name, r.name))
            return complain(&r, "name", "there are two of this name");
    t->n++;
    k = read_target(&r, o, d, c);
    if (k < 0)
        return k;
    k = fill(t, &c->opts.token, d->token, err);
    if (k == 0)
        k = fill(t, &c->opts.ca_file, d->ca_file, err);
    if (k == 0)
        k = fill(t, &c->opts.proxy, d->proxy, err);
    return k < 0 ? k : check_target(&r, c);
}

int bp_sync_targets_parse(const struct bp_config_list *list,
                          const struct bp_sync_targets_defaults *d, struct bp_sync_targets *ret,
                          struct bp_error *err) {
    int r = 0;

    *ret = (struct bp_sync_targets){ 0 };
    if (list->n >= BP_SYNC_TARGETS_MAX)
        return bp_fail(err, BP_ECONFIG, "sync.targets: at most %d", BP_SYNC_TARGETS_MAX - 1);
    ret->v = calloc(list->n + 1, sizeof *ret->v);
    if (!ret->v)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (d->upstream && *d->upstream) {
        json_t *o = json_pack("{s:s}", "url", d->upstream);

        r = o ? add(ret, o, d, "sync.upstream", "upstream", err)
              : bp_fail(err, BP_ECONFIG, "sync.upstream: not a URL");
        json_decref(o);
    }
    for (size_t i = 0; r == 0 && i < list->n; i++) {
        json_t *o = json_loads(list->v[i], 0, NULL);
        const char *where = json_string_value(json_object_get(o, "_at"));

        r = add(ret, o, d, where ? where : "sync.targets",
                json_string_value(json_object_get(o, "name")), err);
        json_decref(o);
    }
    return r;
}
