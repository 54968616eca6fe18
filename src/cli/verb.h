#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* An option of a verb. From these rows come the parser, --help, shell completion and man page.
 * Values are stored at `offset` of the verb's own option struct, zeroed before parsing; rows with a
 * `def` text are parsed from it first. */
enum bp_opt_type {
    BP_OPT_FLAG,     /* bool */
    BP_OPT_TEXT,     /* const char * */
    BP_OPT_LIST,     /* struct bp_opt_list; repeatable; takes every word up to the next option,
                        --name=word just the one; freed after run */
    BP_OPT_INT,      /* int64_t, min..max */
    BP_OPT_NUMBER,   /* double */
    BP_OPT_SIZE,     /* uint64_t bytes, "16MiB", "1G" */
    BP_OPT_DURATION, /* bp_ns_t, "100ms", "10s", "2min"; a bare number is seconds */
    BP_OPT_CHOICE,   /* int, index into `choices` */
};

struct bp_opt_list {
    const char **v; /* heap array of borrowed words, NULL behind them; or NULL */
    size_t n;
};

struct bp_opt {
    const char *name; /* without dashes */
    char letter;      /* or 0 */
    enum bp_opt_type type;
    size_t offset;
    const char *arg;     /* shown in help: "FILE", "TOPIC…"; NULL for flags */
    const char *help;    /* one sentence fragment, no full stop */
    const char *def;     /* default as text, or NULL */
    const char *choices; /* "a|b|c" for BP_OPT_CHOICE */
    double min, max;     /* both 0 = no limit; of the value as stored, durations in seconds */
};

/* A verb is one file, src/cli/verb-<name>.c, that ends in one of these, one row in cli/verbs.c and
 * one line in src/cli/meson.build. */
struct bp_verb {
    const char *name;
    const char *args;        /* as shown after the options in the usage line: "PATH…" */
    const char *summary;     /* one line, at most 60 columns, no full stop */
    const char *description; /* paragraphs for --help and the manual, may be NULL */
    const char *examples;    /* "command   what it does" lines */
    const struct bp_opt *opts;
    size_t nopts, opts_size; /* opts_size = sizeof of the option struct */
    int min_args, max_args;  /* positional; max -1 = any */
    bool hidden;
    bool outlives_stdout; /* SIGPIPE is ignored; others end quietly when nobody reads stdout */
    /* argv: the positional words. Returns an exit status (>= 0) or a negative code, in which case
     * `err` is printed. */
    int (*run)(void *opts, int argc, char *argv[], struct bp_error *err);
};

/* All verbs, in the order of the help page (verbs.c). */
extern const struct bp_verb *const bp_verbs[];
extern const size_t bp_verbs_count;

/* Helpers for verbs. */
bool bp_cli_stdout_is_tty(void);
/** ANSI sequence when stdout is a colour terminal and NO_COLOR is unset, else "". */
const char *bp_cli_color(const char *ansi);
