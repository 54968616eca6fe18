#include "wire/config-file.h"

#include <errno.h>
#include <stdio.h>

#include "base/json.h"
#include "wire/yaml.h"

/* One reading of a file. */
struct reading {
    const struct bp_config_table *table;
    void *values;
    const char *name;
    const struct bp_yaml *yaml;
    struct bp_error *err;
};

static int put_values(const struct reading *r, const struct bp_yaml_node *list, const char *where,
                      struct bp_buf *out) {
    const char *comma = "";

    bp_buf_put_str(out, "[");
    for (const struct bp_yaml_node *c = bp_yaml_first(r->yaml, list); c;
         c = bp_yaml_next(r->yaml, c)) {
        if (c->kind != BP_YAML_SCALAR)
            return bp_fail(r->err, BP_ECONFIG, "%s: %s: a list holds plain values", where,
                           list->key);
        bp_buf_put_str(out, comma);
        bp_json_put_text(out, c->text.p, c->text.n);
        comma = ", ";
    }
    bp_buf_put_str(out, "]");
    return 0;
}

/* A section of a list as a JSON object of texts and lists of texts. */
static int put_map(const struct reading *r, const struct bp_yaml_node *map, const char *key,
                   struct bp_buf *out) {
    char where[200];
    int k = 0;

    bp_buf_put_str(out, "{");
    for (const struct bp_yaml_node *n = bp_yaml_first(r->yaml, map); n && k == 0;
         n = bp_yaml_next(r->yaml, n)) {
        (void) snprintf(where, sizeof where, "%s, line %u: %s", r->name, n->line, key);
        bp_json_put_text(out, n->key, strlen(n->key));
        bp_buf_put_str(out, ": ");
        if (n->kind == BP_YAML_SEQUENCE)
            k = put_values(r, n, where, out);
        else if (n->kind == BP_YAML_SCALAR)
            bp_json_put_text(out, n->text.p, n->text.n);
        else
            k = bp_fail(r->err, BP_ECONFIG, "%s: %s: expected a value or a list", where, n->key);
        bp_buf_put_str(out, ", ");
    }
    (void) snprintf(where, sizeof where, "%s, line %u", r->name, map->line);
    bp_buf_put_str(out, "\"_at\": ");
    bp_json_put_text(out, where, strlen(where));
    bp_buf_put_str(out, "}");
    return k;
}

static void words_done(char **words) {
    for (size_t i = 0; words[i]; i++)
        free(words[i]);
}

static bool takes_maps(const struct reading *r, const char *key) {
    for (size_t i = 0; i < r->table->nrows; i++)
        if (bp_streq(r->table->rows[i].key, key))
            return r->table->rows[i].type == BP_CONFIG_MAPS;
    return false;
}

static int read_maps(const struct reading *r, const struct bp_yaml_node *n, const char *where,
                     const char *key) {
    BP_AUTO_FREE char **words = calloc(n->count + 1U, sizeof *words);
    size_t count = 0;
    int k = 0;

    if (!words)
        return bp_fail(r->err, -ENOMEM, "out of memory");

    for (const struct bp_yaml_node *c = bp_yaml_first(r->yaml, n); c && k == 0;
         c = bp_yaml_next(r->yaml, c)) {
        BP_AUTO_BUF text = { 0 };

        if (c->kind != BP_YAML_MAPPING)
            k = bp_fail(r->err, BP_ECONFIG, "%s, line %u: %s: each begins with '- name: …'",
                        r->name, c->line, key);
        else
            k = put_map(r, c, key, &text);
        words[count] = k == 0 ? bp_buf_take_cstr(&text) : NULL;
        if (k == 0 && !words[count++])
            k = bp_fail(r->err, -ENOMEM, "out of memory");
    }
    if (k == 0)
        k = bp_config_set_list(r->table, r->values, where, key, (const char *const *) words, count,
                               r->err);
    words_done(words);
    return k;
}

static int read_list(const struct reading *r, const struct bp_yaml_node *n, const char *where,
                     const char *key) {
    BP_AUTO_FREE const char **words = calloc(n->count + 1U, sizeof *words);
    size_t count = 0;

    if (!words)
        return bp_fail(r->err, -ENOMEM, "out of memory");

    for (const struct bp_yaml_node *c = bp_yaml_first(r->yaml, n); c;
         c = bp_yaml_next(r->yaml, c)) {
        if (c->kind != BP_YAML_SCALAR)
            return bp_fail(r->err, BP_ECONFIG, "%s: %s: a list holds plain values", where, key);
        words[count++] = c->text.p;
    }
    return bp_config_set_list(r->table, r->values, where, key, words, count, r->err);
}

/* The tree is at most BP_YAML_DEPTH_MAX deep. */
/* NOLINTNEXTLINE(misc-no-recursion): bounded by the parser */
static int read_mapping(const struct reading *r, const struct bp_yaml_node *map,
                        const char *section) {
    for (const struct bp_yaml_node *n = bp_yaml_first(r->yaml, map); n;
         n = bp_yaml_next(r->yaml, n)) {
        char where[200], key[200];
        int k;

        (void) snprintf(where, sizeof where, "%s, line %u", r->name, n->line);
        if (snprintf(key, sizeof key, "%s%s%s", section, *section ? "." : "", n->key) >=
            (int) sizeof key)
            return bp_fail(r->err, BP_ECONFIG, "%s: a key is too long", where);

        if (n->kind == BP_YAML_SCALAR && bp_yaml_is_null(n) && bp_config_is_section(r->table, key))
            continue; /* a section with everything commented out */
        if (n->kind == BP_YAML_SCALAR && bp_config_is_section(r->table, key))
            return bp_fail(r->err, BP_ECONFIG, "%s: '%s' is a section, expected keys below it",
                           where, key);
        if (n->kind == BP_YAML_MAPPING && bp_config_is_section(r->table, key))
            k = read_mapping(r, n, key);
        else if (n->kind == BP_YAML_SEQUENCE && takes_maps(r, key))
            k = read_maps(r, n, where, key);
        else if (n->kind == BP_YAML_SEQUENCE)
            k = read_list(r, n, where, key);
        else
            k = bp_config_set(r->table, r->values, where, key,
                              n->kind == BP_YAML_SCALAR ? n->text.p : "a section", r->err);
        if (k < 0)
            return k;
    }
    return 0;
}

int bp_config_read(const struct bp_config_table *t, void *values, const char *name,
                   struct bp_str text, struct bp_error *err) {
    BP_CLEANUP(bp_yaml_freep) struct bp_yaml *yaml = NULL;
    const struct bp_yaml_node *root;
    int r = bp_yaml_parse(text, &yaml, err);

    if (r < 0)
        return bp_prefix(err, r, "%s", name);
    root = bp_yaml_root(yaml);
    if (!root || bp_yaml_is_null(root))
        return 0;
    if (root->kind != BP_YAML_MAPPING)
        return bp_fail(err, BP_ECONFIG, "%s, line %u: expected keys and values", name, root->line);

    return read_mapping(
        &(struct reading){ .table = t, .values = values, .name = name, .yaml = yaml, .err = err },
        root, "");
}
