#include "daemon/values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "wire/config-file.h"

enum { FILE_MAX = 1 << 20 };

/* Texts that nobody has set are empty, not NULL. */
static int fill_texts(const struct bp_config_table *t, void *values, struct bp_error *err) {
    for (size_t i = 0; i < t->nrows; i++) {
        char *text;
        int r;

        if (t->rows[i].type != BP_CONFIG_TEXT)
            continue;
        memcpy(&text, (char *) values + t->rows[i].offset, sizeof text);
        if (text)
            continue;
        r = bp_config_set(t, values, "", t->rows[i].key, "", err);
        if (r < 0)
            return r;
    }
    return 0;
}

static struct bp_config_from *from_of(const struct bp_config_kind *kind, void *values) {
    return (struct bp_config_from *) (void *) ((char *) values + kind->from);
}

static void reading(const struct bp_config_kind *kind, void *values, enum bp_config_source what) {
    struct bp_config_origins *o =
        (struct bp_config_origins *) (void *) ((char *) values + kind->table->origins);

    o->now = (uint8_t) what;
}

static int remember(struct bp_config_from *from, const char *path, const char *const *set,
                    size_t nset) {
    from->path = path ? strdup(path) : NULL;
    from->set = calloc(nset + 1, sizeof *from->set);
    if ((path && !from->path) || !from->set)
        return -ENOMEM;
    for (; from->nset < nset; from->nset++) {
        from->set[from->nset] = strdup(set[from->nset]);
        if (!from->set[from->nset])
            return -ENOMEM;
    }
    return 0;
}

int bp_values_parse(const struct bp_config_kind *kind, const char *name, struct bp_str text,
                    const char *const *set, size_t nset, void *ret, struct bp_error *err) {
    const struct bp_config_table *t = kind->table;
    int r = bp_config_init(t, ret, err);

    if (r >= 0 && remember(from_of(kind, ret), NULL, set, nset) < 0)
        r = bp_fail(err, -ENOMEM, "out of memory");
    reading(kind, ret, BP_CONFIG_FILE);
    if (r >= 0)
        r = bp_config_read(t, ret, name, text, err);
    reading(kind, ret, BP_CONFIG_ENVIRONMENT);
    if (r >= 0)
        r = bp_config_set_env(t, ret, environ, err);
    reading(kind, ret, BP_CONFIG_ARGUMENT);
    for (size_t i = 0; r >= 0 && i < nset; i++)
        r = bp_config_set_arg(t, ret, set[i], err);
    reading(kind, ret, BP_CONFIG_DEFAULT);
    if (r >= 0)
        r = fill_texts(t, ret, err);
    return r < 0 ? r : kind->check(ret, err);
}

int bp_values_load(const struct bp_config_kind *kind, const char *path, const char *const *set,
                   size_t nset, void *ret, struct bp_error *err) {
    const char *name = path ? path : kind->file;
    BP_AUTO_FREE char *text = NULL;
    size_t n = 0;
    int r = bp_io_read_file(&bp_io_posix, name, FILE_MAX, &text, &n, err);

    memset(ret, 0, kind->table->size);
    if (r < 0 && !(r == -ENOENT && !path))
        return r;
    r = bp_values_parse(kind, name, (struct bp_str){ text ? text : "", n }, set, nset, ret, err);
    if (r >= 0 && path) {
        from_of(kind, ret)->path = strdup(path);
        if (!from_of(kind, ret)->path)
            return bp_fail(err, -ENOMEM, "out of memory");
    }
    return r;
}

int bp_values_copy(const struct bp_config_kind *kind, const void *from, void *ret) {
    const struct bp_config_from *was = bp_values_from(kind, from);
    const struct bp_config_table *t = kind->table;
    int r;

    memset(ret, 0, t->size);
    r = remember(from_of(kind, ret), was->path, (const char *const *) was->set, was->nset);
    for (size_t i = 0; r >= 0 && i < t->nrows; i++)
        r = bp_config_copy(t, &t->rows[i], from, ret);
    return r;
}

void bp_values_done(const struct bp_config_kind *kind, void *values) {
    struct bp_config_from *from = from_of(kind, values);

    bp_config_done(kind->table, values);
    for (size_t i = 0; i < from->nset; i++)
        free(from->set[i]);
    free(from->set);
    free(from->path);
    *from = (struct bp_config_from){ 0 };
}

const char **bp_values_words(const struct bp_config_list *l) {
    const char **v = calloc(l->n + 1, sizeof *v);

    for (size_t i = 0; v && i < l->n; i++)
        v[i] = l->v[i];
    return v;
}
