#include <errno.h>
#include <stdio.h>

#include "cli/help.h"

static int run(void *opts, int argc, char *argv[], struct bp_error *err) {
    BP_AUTO_BUF page = { 0 };

    (void) opts;
    (void) argc;
    if (!bp_streq(argv[0], "bash") && !bp_streq(argv[0], "zsh") && !bp_streq(argv[0], "fish"))
        return bp_fail(err, BP_EUSAGE, "'%s' is none of bash|zsh|fish", argv[0]);

    bp_help_completion(&page, argv[0]);
    if (page.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) fwrite(page.p, 1, page.n, stdout);
    return BP_EXIT_DONE;
}

const struct bp_verb bp_verb_completion = {
    .name = "completion",
    .args = "bash|zsh|fish",
    .summary = "print a script that completes bagpipe's words in a shell",
    .description = "The script knows every verb, its options and the values of choice options.",
    .examples = "source <(bagpipe completion bash)                 for this shell\n"
                "bagpipe completion fish > ~/.config/fish/completions/bagpipe.fish",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
