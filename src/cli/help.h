#pragma once

#include "base/buf.h"
#include "cli/verb.h"

/* Everything people read about verbs is made from the rows: help pages, shell completion, manual.
 */

enum { BP_HELP_WIDTH = 100 };

/** The page of `bagpipe --help`. */
void bp_help_program(struct bp_buf *out);
/** The page of `bagpipe VERB --help`. */
void bp_help_verb(struct bp_buf *out, const struct bp_verb *v);
/** roff of bagpipe-VERB(1), or of bagpipe(1) when v is NULL. */
void bp_help_man(struct bp_buf *out, const struct bp_verb *v);
/** Completion script; shell is "bash", "zsh" or "fish". */
void bp_help_completion(struct bp_buf *out, const char *shell);

/** Calls `fn` with every choice of "a|b|c". */
void bp_help_each_choice(const char *choices, void (*fn)(void *ctx, const char *p, size_t n),
                         void *ctx);
/** What stands for the value of an option: "FILE", "TOPIC…"; NULL for a flag. */
const char *bp_help_arg(const struct bp_opt *o);
/** Columns of UTF-8 text on a terminal, one per character. */
size_t bp_help_columns(const char *s, size_t n);
