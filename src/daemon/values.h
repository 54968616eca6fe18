#pragma once

#include <jansson.h>

#include "base/config.h"

/* What a daemon is configured with: values of a table of rows, and what they were loaded from. */
struct bp_config_from { /* owned; a member of the struct of values */
    char *path;         /* NULL: the usual file when it is there */
    char **set;         /* "key=value" words */
    size_t nset;
};

struct bp_config_kind {
    const char *file; /* the usual one */
    const struct bp_config_table *table;
    size_t from; /* offset of its struct bp_config_from */
    /** What no row can tell. @return 0, BP_ECONFIG */
    int (*check)(const void *values, struct bp_error *err);
};

/**
 * Defaults, then the file, the environment and words of the command line; then the kind's check.
 *
 * @param path  of the YAML file; NULL: the usual one when it is there
 * @param set   "key=value" words
 * @param ret   table->size bytes; release with bp_values_done(), also after a failure; no text in
 * it is NULL
 * @return 0; BP_ECONFIG naming file, line, key and what is allowed; BP_EFORMAT when the file is not
 *         YAML; -ENOENT, -EACCES, … when it cannot be read; -ENOMEM
 */
BP_MUST_CHECK int bp_values_load(const struct bp_config_kind *kind, const char *path,
                                 const char *const *set, size_t nset, void *ret,
                                 struct bp_error *err);
/** The same with the YAML text of a file at hand, called `name` in errors. */
BP_MUST_CHECK int bp_values_parse(const struct bp_config_kind *kind, const char *name,
                                  struct bp_str text, const char *const *set, size_t nset,
                                  void *ret, struct bp_error *err);
/** @param ret  release with bp_values_done(), also after a failure; @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_values_copy(const struct bp_config_kind *kind, const void *from, void *ret);
void bp_values_done(const struct bp_config_kind *kind, void *values);
static inline const struct bp_config_from *bp_values_from(const struct bp_config_kind *kind,
                                                          const void *values) {
    return (const struct bp_config_from *) (const void *) ((const char *) values + kind->from);
}

/** Appends a value as a file would say it; a secret one as stars. */
void bp_values_put(struct bp_buf *out, const void *values, const struct bp_config_row *row);
/** The same as JSON: sizes in bytes, durations in seconds. Owned by the caller. */
json_t *bp_values_json(const void *values, const struct bp_config_row *row);
/** Words of a list up to a NULL; the array is owned, the words are borrowed. NULL when out of
 *  memory. */
const char **bp_values_words(const struct bp_config_list *l);
