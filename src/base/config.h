#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* Configuration is a table of rows. From it come the defaults, the reading of files
 * (wire/config-file.h), environment and command line, the sample file and the reference page; the
 * values are members of a plain struct. Later sources win: defaults, file, environment, command
 * line.
 *
 *     static const struct bp_config_row rows[] = {
 *         { "record.ring.size", BP_CONFIG_SIZE, offsetof(struct settings, ring), "256MiB",
 *           .min = 1 << 20, .max = 1e12, .help = "memory for what is not yet on disk" }, …
 */
enum bp_config_type {
    BP_CONFIG_BOOL,     /* bool: true, false, yes, no, on, off */
    BP_CONFIG_INT,      /* int64_t */
    BP_CONFIG_REAL,     /* double */
    BP_CONFIG_TEXT,     /* char *, heap */
    BP_CONFIG_SIZE,     /* uint64_t bytes */
    BP_CONFIG_DURATION, /* bp_ns_t */
    BP_CONFIG_CHOICE,   /* int, index into `choices` */
    BP_CONFIG_LIST,     /* struct bp_config_list */
    BP_CONFIG_MAPS,     /* struct bp_config_list of JSON objects: a list of sections; values are
                           texts or lists of texts, "_at" says where it was written */
    BP_CONFIG_TYPES_N_
};

struct bp_config_list {
    char **v; /* heap array of heap texts */
    size_t n;
};

struct bp_config_row {
    const char *key; /* "record.ring.size": small letters, digits, '_', sections parted by dots */
    enum bp_config_type type;
    size_t offset;       /* in the struct of values */
    const char *def;     /* as text; a list's words parted by commas */
    double min, max;     /* both 0 = any; of the value as stored, durations in seconds */
    const char *choices; /* "a|b|c" */
    const char *help;    /* one sentence fragment, no full stop */
    bool live;           /* takes effect without a restart */
    /** Of values that may hold a secret in part: what of a text may be shown, owned, NULL when out
     *  of memory. Texts, each of a list, each of a list of sections. NULL: all of it. */
    char *(*shown)(const char *text);
    bool secret; /* its value is never shown */
};

/* Where a value comes from; later ones win. */
enum bp_config_source {
    BP_CONFIG_DEFAULT,
    BP_CONFIG_FILE,
    BP_CONFIG_ENVIRONMENT,
    BP_CONFIG_ARGUMENT, /* --set */
    BP_CONFIG_LIVE,     /* set while it runs */
    BP_CONFIG_SOURCES_N_
};

/** "default", "file", "environment", "--set", "live". */
const char *bp_config_source_text(enum bp_config_source s);

enum { BP_CONFIG_ROWS_MAX = 256 };

/* A member of the struct of values that remembers it. */
struct bp_config_origins {
    uint8_t now;                    /* what is being read */
    uint8_t of[BP_CONFIG_ROWS_MAX]; /* by row */
};

struct bp_config_table {
    const struct bp_config_row *rows;
    size_t nrows;
    size_t size;     /* of the struct of values */
    size_t origins;  /* offset of its struct bp_config_origins, 0 = none; at most
                        BP_CONFIG_ROWS_MAX rows then */
    const char *env; /* what its variables begin with; NULL: BAGPIPE_, but not BAGPIPE_SERVER_ */
};

/**
 * Zeroes the values and sets the defaults.
 *
 * @param values  t->size bytes; release with bp_config_done(), also after a failure
 * @return 0, -ENOMEM, or BP_ECONFIG when a default does not fit its own row
 */
BP_MUST_CHECK int bp_config_init(const struct bp_config_table *t, void *values,
                                 struct bp_error *err);
/** Frees texts and lists. */
void bp_config_done(const struct bp_config_table *t, void *values);

/**
 * Sets one value; it stays as it was on failure.
 *
 * @param where  what the error begins with: "site.yaml, line 12", "--set", or "" for nothing
 * @param text   as people write it; of a list, words parted by commas
 * @return 0, -ENOMEM, or BP_ECONFIG with where, key, what is allowed and the nearest known key
 */
BP_MUST_CHECK int bp_config_set(const struct bp_config_table *t, void *values, const char *where,
                                const char *key, const char *text, struct bp_error *err);
/** The same for the words of a list or the objects of maps; other types take exactly one. */
BP_MUST_CHECK int bp_config_set_list(const struct bp_config_table *t, void *values,
                                     const char *where, const char *key, const char *const *words,
                                     size_t n, struct bp_error *err);

/** Sets from a word of the command line, "key=value". */
BP_MUST_CHECK int bp_config_set_arg(const struct bp_config_table *t, void *values, const char *arg,
                                    struct bp_error *err);
/**
 * Sets from variables such as BAGPIPE_RECORD__RING__SIZE=1G: the prefix, then the key with "__" for
 * each dot. Variables of ours without "__" are not configuration.
 *
 * @param env  "NAME=value" texts up to a NULL, as in environ
 */
BP_MUST_CHECK int bp_config_set_env(const struct bp_config_table *t, void *values, char *const *env,
                                    struct bp_error *err);

/** The row of a key, or NULL. */
const struct bp_config_row *bp_config_find(const struct bp_config_table *t, const char *key);
/** Where a row's value comes from. */
enum bp_config_source bp_config_origin(const struct bp_config_table *t, const void *values,
                                       const struct bp_config_row *row);
/** Are the row's values equal? */
bool bp_config_same(const struct bp_config_row *row, const void *a, const void *b);
/** Copies one value and its origin. @return 0 or -ENOMEM: `to` is as it was */
BP_MUST_CHECK int bp_config_copy(const struct bp_config_table *t, const struct bp_config_row *row,
                                 const void *from, void *to);

/** For `shown` of rows that hold URLs: "********" for user and password before the '@' of one,
 *  everything else as it is. A proxy may come without "http://". */
char *bp_config_url_shown(const char *text);
/** True when some row's key lies in this section: "record.ring" of "record.ring.size". */
bool bp_config_is_section(const struct bp_config_table *t, const char *name);

/** Appends a YAML file with every key at its default, commented out, with its help. */
void bp_config_put_sample(struct bp_buf *out, const struct bp_config_table *t);
/** Appends a Markdown table: key, type and range, default, help, whether it takes a restart. */
void bp_config_put_reference(struct bp_buf *out, const struct bp_config_table *t);
/** Appends a JSON schema (2020-12) of the YAML file: nested sections, or dotted keys. */
void bp_config_put_schema(struct bp_buf *out, const struct bp_config_table *t);
