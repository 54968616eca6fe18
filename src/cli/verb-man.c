#include <errno.h>
#include <stdio.h>

#include "cli/help.h"
#include "cli/opt.h"

static int run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct bp_verb *v = argc > 0 ? bp_verb_find(argv[0]) : NULL;
    BP_AUTO_BUF page = { 0 };

    (void) opts;
    if (argc > 0 && !v)
        return bp_fail(err, BP_EUSAGE, "there is no verb '%s'", argv[0]);

    bp_help_man(&page, v);
    if (page.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) fwrite(page.p, 1, page.n, stdout);
    return BP_EXIT_DONE;
}

const struct bp_verb bp_verb_man = {
    .name = "man",
    .args = "[VERB]",
    .summary = "print the manual page of bagpipe or of a verb as roff",
    .examples = "bagpipe man record | man -l -",
    .max_args = 1,
    .hidden = true,
    .run = run,
};
