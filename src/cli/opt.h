#pragma once

#include "cli/verb.h"

/* Words that stop the parser before its end. */
enum { BP_OPT_HELP = 1 };

/**
 * Parses the words after the verb's name. Options and positional words may be mixed; after "--"
 * every word is positional. Every value is checked against its row.
 *
 * @param argv      reordered: the positional words come first
 * @param opts      the verb's option struct, opts_size bytes; zeroed and filled. Texts and list
 *                  words are borrowed from argv and the rows; release with bp_opt_done(), also
 *                  after a failure
 * @param ret_argc  number of positional words, on success
 *
 * @return 0; BP_OPT_HELP when --help was met (nothing after it is looked at); BP_EUSAGE with a
 *         sentence that names the option
 */
BP_MUST_CHECK int bp_opt_parse(const struct bp_verb *v, int argc, char *argv[], void *opts,
                               int *ret_argc, struct bp_error *err);

/** Frees the arrays of the list options. */
void bp_opt_done(const struct bp_verb *v, void *opts);

/** The verb of that name, hidden ones too, or NULL. */
const struct bp_verb *bp_verb_find(const char *name);
/** The name of the verb that was probably meant, or NULL. */
const char *bp_verb_nearest(const char *name);
