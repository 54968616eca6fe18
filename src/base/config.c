#include "base/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "base/units.h"

/* One value on its way in. */
struct setting {
    const struct bp_config_row *row;
    void *to; /* the member */
    const char *where;
    struct bp_error *err;
};

static const char *const type_names[] = {
    [BP_CONFIG_BOOL] = "true or false",
    [BP_CONFIG_INT] = "a whole number",
    [BP_CONFIG_REAL] = "a number",
    [BP_CONFIG_TEXT] = "text",
    [BP_CONFIG_SIZE] = "a size",
    [BP_CONFIG_DURATION] = "a duration",
    [BP_CONFIG_CHOICE] = "one of",
    [BP_CONFIG_LIST] = "a list",
    [BP_CONFIG_MAPS] = "a list of sections",
};
static_assert(BP_COUNT(type_names) == BP_CONFIG_TYPES_N_, "every type has a name");

/* "1.0 MiB to 64.0 GiB"; empty when everything is allowed. */
static void put_range(struct bp_buf *out, const struct bp_config_row *r) {
    char low[BP_UNITS_TEXT], high[BP_UNITS_TEXT];

    if (r->type == BP_CONFIG_CHOICE) {
        bp_buf_put_str(out, r->choices);
        return;
    }
    if (r->min == 0 && r->max == 0)
        return;
    if (r->type == BP_CONFIG_SIZE)
        bp_buf_printf(out, "%s to %s", bp_size_format((uint64_t) r->min, low),
                      bp_size_format((uint64_t) r->max, high));
    else if (r->type == BP_CONFIG_DURATION)
        bp_buf_printf(out, "%s to %s", bp_duration_format((bp_ns_t) (r->min * 1e9), low),
                      bp_duration_format((bp_ns_t) (r->max * 1e9), high));
    else
        bp_buf_printf(out, "%.15g to %.15g", r->min, r->max);
}

static void put_type(struct bp_buf *out, const struct bp_config_row *r) {
    size_t before;

    bp_buf_put_str(out, type_names[r->type]);
    before = out->n;
    bp_buf_put_str(out, r->type == BP_CONFIG_CHOICE ? " " : ", ");
    put_range(out, r);
    if (out->n - before == 2)
        out->n = before;
}

static int fail(const struct setting *s, const char *text) {
    BP_AUTO_BUF want = { 0 };

    put_type(&want, s->row);
    return bp_fail(s->err, BP_ECONFIG, "%s%s%s: '%s' is not %s", s->where, *s->where ? ": " : "",
                   s->row->key, text, want.failed ? "allowed" : bp_buf_cstr(&want));
}

static bool in_range(const struct bp_config_row *r, double v) {
    return (r->min == 0 && r->max == 0) || (v >= r->min && v <= r->max);
}

static int parse_bool(const char *text, bool *ret) {
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };

    for (size_t i = 0; i < BP_COUNT(words); i++)
        if (bp_streq(words[i], text)) {
            *ret = i % 2 == 1;
            return 0;
        }
    return -EINVAL;
}

static int parse_choice(const char *choices, const char *text, int *ret) {
    size_t n = strlen(text);

    for (int i = 0; choices; i++, choices = strchr(choices, '|')) {
        choices += *choices == '|';
        if (strcspn(choices, "|") == n && memcmp(choices, text, n) == 0) {
            *ret = i;
            return 0;
        }
    }
    return -EINVAL;
}

/* Numbers of every kind are parsed, compared with the range, stored. */
static int set_number(const struct setting *s, const char *text) {
    union {
        int64_t i;
        uint64_t u;
        double d;
    } v;
    double shown;
    int r;

    switch (s->row->type) {
    case BP_CONFIG_INT:
        r = bp_parse_int(text, &v.i);
        shown = (double) v.i;
        break;
    case BP_CONFIG_SIZE:
        r = bp_parse_size(text, &v.u);
        shown = (double) v.u;
        break;
    case BP_CONFIG_DURATION:
        r = bp_parse_duration(text, &v.i);
        shown = (double) v.i / 1e9;
        break;
    default:
        r = bp_parse_real(text, &v.d);
        shown = v.d;
        break;
    }
    if (r < 0 || !in_range(s->row, shown))
        return fail(s, text);

    memcpy(s->to, &v, 8);
    return 0;
}

static int set_text(const struct setting *s, const char *text) {
    char *copy = strdup(text);
    char *old;

    if (!copy)
        return bp_fail(s->err, -ENOMEM, "out of memory");

    memcpy(&old, s->to, sizeof old);
    memcpy(s->to, &copy, sizeof copy);
    free(old);
    return 0;
}

static void list_done(struct bp_config_list *l) {
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    *l = (struct bp_config_list){ 0 };
}

static int set_words(const struct setting *s, const char *const *words, size_t n) {
    BP_CLEANUP(list_done) struct bp_config_list fresh = { .v = calloc(n + 1, sizeof *fresh.v) };
    struct bp_config_list *to = s->to;

    for (; fresh.v && fresh.n < n; fresh.n++) {
        fresh.v[fresh.n] = strdup(words[fresh.n]);
        if (!fresh.v[fresh.n])
            break;
    }
    if (!fresh.v || fresh.n < n)
        return bp_fail(s->err, -ENOMEM, "out of memory");

    list_done(to);
    *to = BP_TAKE(fresh, ((struct bp_config_list){ 0 }));
    return 0;
}

/* "a, b,c" → three words; an empty text is an empty list. */
static int set_list_text(const struct setting *s, const char *text) {
    BP_AUTO_FREE char *copy = strdup(text);
    BP_AUTO_FREE const char **words = calloc(strlen(text) / 2 + 2, sizeof *words);
    char *save = NULL;
    size_t n = 0;

    if (!copy || !words)
        return bp_fail(s->err, -ENOMEM, "out of memory");

    for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        size_t length;

        w += strspn(w, " \t");
        length = strlen(w);
        while (length > 0 && isspace((unsigned char) w[length - 1]))
            w[--length] = 0;
        words[n++] = w;
    }
    return set_words(s, words, n);
}

static int set_value(const struct setting *s, const char *text) {
    bool b;
    int i;

    switch (s->row->type) {
    case BP_CONFIG_BOOL:
        if (parse_bool(text, &b) < 0)
            return fail(s, text);
        memcpy(s->to, &b, sizeof b);
        return 0;
    case BP_CONFIG_CHOICE:
        if (parse_choice(s->row->choices, text, &i) < 0)
            return fail(s, text);
        memcpy(s->to, &i, sizeof i);
        return 0;
    case BP_CONFIG_TEXT:
        return set_text(s, text);
    case BP_CONFIG_LIST:
        return set_list_text(s, text);
    case BP_CONFIG_MAPS: /* one object, as --set and the environment give it */
        if (*text && *text != '{')
            return fail(s, text);
        return set_words(s, &text, *text ? 1 : 0);
    default:
        return set_number(s, text);
    }
}

const char *bp_config_source_text(enum bp_config_source s) {
    static const char *const texts[] = {
        [BP_CONFIG_DEFAULT] = "default",
        [BP_CONFIG_FILE] = "file",
        [BP_CONFIG_ENVIRONMENT] = "environment",
        [BP_CONFIG_ARGUMENT] = "--set",
        [BP_CONFIG_LIVE] = "live",
    };
    static_assert(BP_COUNT(texts) == BP_CONFIG_SOURCES_N_, "every source has a name");

    return (unsigned) s < BP_COUNT(texts) ? texts[s] : "";
}

static struct bp_config_origins *origins_of(const struct bp_config_table *t, const void *values) {
    return t->origins ? (struct bp_config_origins *) ((uintptr_t) values + t->origins) : NULL;
}

static void note_origin(const struct bp_config_table *t, void *values,
                        const struct bp_config_row *row) {
    struct bp_config_origins *o = origins_of(t, values);

    assert(!o || t->nrows <= BP_CONFIG_ROWS_MAX);
    if (o)
        o->of[row - t->rows] = o->now;
}

enum bp_config_source bp_config_origin(const struct bp_config_table *t, const void *values,
                                       const struct bp_config_row *row) {
    const struct bp_config_origins *o = origins_of(t, values);

    return o ? (enum bp_config_source) o->of[row - t->rows] : BP_CONFIG_DEFAULT;
}

const struct bp_config_row *bp_config_find(const struct bp_config_table *t, const char *key) {
    for (size_t i = 0; i < t->nrows; i++)
        if (bp_streq(t->rows[i].key, key))
            return &t->rows[i];
    return NULL;
}

static int unknown(const struct bp_config_table *t, const char *where, const char *key,
                   struct bp_error *err) {
    const char *best = NULL, *colon = *where ? ": " : "";
    unsigned least = UINT32_MAX;

    for (size_t i = 0; i < t->nrows; i++) {
        unsigned d = bp_edit_distance(key, t->rows[i].key);

        if (d < least) {
            least = d;
            best = t->rows[i].key;
        }
    }
    if (best && bp_is_likely_typo(key, best))
        return bp_fail(err, BP_ECONFIG, "%s%sunknown key '%s', did you mean '%s'?", where, colon,
                       key, best);
    return bp_fail(err, BP_ECONFIG, "%s%sunknown key '%s'", where, colon, key);
}

int bp_config_init(const struct bp_config_table *t, void *values, struct bp_error *err) {
    memset(values, 0, t->size);
    for (size_t i = 0; i < t->nrows; i++) {
        const struct bp_config_row *row = &t->rows[i];
        int r = row->def ? bp_config_set(t, values, "default", row->key, row->def, err) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

void bp_config_done(const struct bp_config_table *t, void *values) {
    for (size_t i = 0; i < t->nrows; i++) {
        void *at = (char *) values + t->rows[i].offset;

        if (t->rows[i].type == BP_CONFIG_LIST || t->rows[i].type == BP_CONFIG_MAPS)
            list_done(at);
        if (t->rows[i].type == BP_CONFIG_TEXT) {
            bp_freep(at);
            memset(at, 0, sizeof(char *));
        }
    }
}

int bp_config_set(const struct bp_config_table *t, void *values, const char *where, const char *key,
                  const char *text, struct bp_error *err) {
    struct setting s = { .row = bp_config_find(t, key), .where = where, .err = err };
    int r;

    if (!s.row)
        return unknown(t, where, key, err);

    s.to = (char *) values + s.row->offset;
    r = set_value(&s, text);
    if (r >= 0)
        note_origin(t, values, s.row);
    return r;
}

int bp_config_set_list(const struct bp_config_table *t, void *values, const char *where,
                       const char *key, const char *const *words, size_t n, struct bp_error *err) {
    struct setting s = { .row = bp_config_find(t, key), .where = where, .err = err };
    int r;

    if (!s.row)
        return unknown(t, where, key, err);
    if (s.row->type == BP_CONFIG_MAPS)
        for (size_t i = 0; i < n; i++)
            if (words[i][0] != '{')
                return fail(&s, words[i]);
    if (s.row->type != BP_CONFIG_LIST && s.row->type != BP_CONFIG_MAPS)
        return n == 1 ? bp_config_set(t, values, where, key, words[0], err) : fail(&s, "a list");

    s.to = (char *) values + s.row->offset;
    r = set_words(&s, words, n);
    if (r >= 0)
        note_origin(t, values, s.row);
    return r;
}

/* ---- two sets of values ---- */

static size_t size_of(enum bp_config_type type) {
    switch (type) {
    case BP_CONFIG_BOOL:
        return sizeof(bool);
    case BP_CONFIG_CHOICE:
        return sizeof(int);
    default:
        return 8;
    }
}

static bool same_list(const struct bp_config_list *a, const struct bp_config_list *b) {
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!bp_streq(a->v[i], b->v[i]))
            return false;
    return true;
}

bool bp_config_same(const struct bp_config_row *row, const void *a, const void *b) {
    const void *va = (const char *) a + row->offset, *vb = (const char *) b + row->offset;
    const char *ta, *tb;

    if (row->type == BP_CONFIG_LIST || row->type == BP_CONFIG_MAPS)
        return same_list(va, vb);
    if (row->type != BP_CONFIG_TEXT)
        return memcmp(va, vb, size_of(row->type)) == 0;
    memcpy(&ta, va, sizeof ta);
    memcpy(&tb, vb, sizeof tb);
    return bp_streq(ta ? ta : "", tb ? tb : "");
}

int bp_config_copy(const struct bp_config_table *t, const struct bp_config_row *row,
                   const void *from, void *to) {
    const void *v = (const char *) from + row->offset;
    struct setting s = { .row = row, .to = (char *) to + row->offset, .where = "" };
    const struct bp_config_list *list = v;
    const char *text;
    int r = 0;

    if (row->type == BP_CONFIG_LIST || row->type == BP_CONFIG_MAPS) {
        r = set_words(&s, (const char *const *) list->v, list->n);
    } else if (row->type == BP_CONFIG_TEXT) {
        memcpy(&text, v, sizeof text);
        r = set_text(&s, text ? text : "");
    } else {
        memcpy(s.to, v, size_of(row->type));
    }
    if (r >= 0 && t->origins)
        origins_of(t, to)->of[row - t->rows] = (uint8_t) bp_config_origin(t, from, row);
    return r;
}

int bp_config_set_arg(const struct bp_config_table *t, void *values, const char *arg,
                      struct bp_error *err) {
    const char *eq = strchr(arg, '=');
    BP_AUTO_FREE char *key = NULL;

    if (!eq)
        return bp_fail(err, BP_ECONFIG, "--set: '%s' is not of the form key=value", arg);
    key = strndup(arg, (size_t) (eq - arg));
    if (!key)
        return bp_fail(err, -ENOMEM, "out of memory");

    return bp_config_set(t, values, "--set", key, eq + 1, err);
}

/* "RECORD__RING__SIZE" → "record.ring.size", in place. */
static void env_to_key(char *s) {
    char *to = s;

    for (; *s; s++) {
        if (s[0] == '_' && s[1] == '_') {
            *to++ = '.';
            s++;
        } else {
            *to++ = (char) tolower((unsigned char) *s);
        }
    }
    *to = 0;
}

int bp_config_set_env(const struct bp_config_table *t, void *values, char *const *env,
                      struct bp_error *err) {
    /* one host may run agent and server in one environment */
    static const char server[] = "BAGPIPE_SERVER_";
    const char *prefix = t->env ? t->env : "BAGPIPE_";

    for (; *env; env++) {
        const char *eq = strchr(*env, '=');
        BP_AUTO_FREE char *name = NULL;
        BP_AUTO_FREE char *key = NULL;
        int r;

        if (!eq || !bp_starts_with(*env, prefix) || (!t->env && bp_starts_with(*env, server)))
            continue;
        name = strndup(*env, (size_t) (eq - *env));
        key = name ? strdup(name + strlen(prefix)) : NULL;
        if (!key)
            return bp_fail(err, -ENOMEM, "out of memory");
        if (!strstr(key, "__"))
            continue;
        env_to_key(key);
        r = bp_config_set(t, values, name, key, eq + 1, err);
        if (r < 0)
            return r;
    }
    return 0;
}

bool bp_config_is_section(const struct bp_config_table *t, const char *name) {
    size_t n = strlen(name);

    for (size_t i = 0; i < t->nrows; i++)
        if (bp_starts_with(t->rows[i].key, name) && t->rows[i].key[n] == '.')
            return true;
    return false;
}

/* Opens the sections of `key` that the row before did not have; returns its depth. */
static size_t put_sections(struct bp_buf *out, const char *before, const char *key) {
    size_t depth = 0, at = 0;
    bool same = true;

    for (const char *dot = strchr(key, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t end = (size_t) (dot - key);

        same = same && before && strncmp(before, key, end + 1) == 0;
        if (!same)
            bp_buf_printf(out, "%*s%.*s:\n", (int) (2 * depth), "", (int) (end - at), key + at);
        at = end + 1;
        depth++;
    }
    return depth;
}

char *bp_config_url_shown(const char *text) {
    const char *host = strstr(text, "://");
    size_t scheme = host ? (size_t) (host + 3 - text) : 0;
    size_t n = strcspn(text + scheme, "/?#");
    const char *at = memrchr(text + scheme, '@', n);
    BP_AUTO_BUF out = { 0 };

    if (!at || (!host && !memchr(text, ':', (size_t) (at - text)))) /* "me@home" is no URL */
        return strdup(text);
    bp_buf_put(&out, text, scheme);
    bp_buf_put_str(&out, "********");
    bp_buf_put_str(&out, at);
    return bp_buf_take_cstr(&out);
}

void bp_config_put_sample(struct bp_buf *out, const struct bp_config_table *t) {
    for (size_t i = 0; i < t->nrows; i++) {
        const struct bp_config_row *r = &t->rows[i];
        const char *name = strrchr(r->key, '.');
        int indent = 2 * (int) put_sections(out, i > 0 ? t->rows[i - 1].key : NULL, r->key);

        bp_buf_printf(out, "%*s# %s (", indent, "", r->help);
        put_type(out, r);
        bp_buf_printf(out, "%s)\n%*s# %s:", r->live ? "" : "; restart", indent, "",
                      name ? name + 1 : r->key);
        if (r->type == BP_CONFIG_LIST)
            bp_buf_printf(out, " [%s]\n", r->def ? r->def : "");
        else if (r->def && strchr("{[", r->def[0]) && r->def[0]) /* YAML would take it for more */
            bp_buf_printf(out, " \"%s\"\n", r->def);
        else
            bp_buf_printf(out, "%s%s\n", r->def ? " " : "", r->def ? r->def : "");
    }
}

void bp_config_put_reference(struct bp_buf *out, const struct bp_config_table *t) {
    bp_buf_put_str(out, "| Key | Value | Default | What it does | Takes effect |\n"
                        "|---|---|---|---|---|\n");
    for (size_t i = 0; i < t->nrows; i++) {
        const struct bp_config_row *r = &t->rows[i];
        BP_AUTO_BUF type = { 0 };

        put_type(&type, r);
        bp_buf_printf(out, "| `%s` | ", r->key);
        for (size_t k = 0; k < type.n; k++) { /* a bar would end the cell */
            if (type.p[k] == '|')
                bp_buf_put_str(out, " \\");
            bp_buf_put_u8(out, type.p[k]);
        }
        bp_buf_printf(out, " | %s%s%s | %s | %s |\n", r->def ? "`" : "", r->def ? r->def : "",
                      r->def ? "`" : "", r->help, r->live ? "at once" : "after a restart");
    }
}
