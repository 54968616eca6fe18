#pragma once

#include "cli/verb.h"

/* What verbs with keys share. Keys are files, the environment or credentials: never words of the
 * command line, which every user of the machine can read. */

#define BP_CLI_KEY_HELP "key file that opens sealed recordings"

/**
 * Adds the file of --key (or NULL) and what the environment holds to the keys of this process.
 *
 * @return 0, or what bp_keyring_add_file() says
 */
BP_MUST_CHECK int bp_cli_add_keys(const char *file, struct bp_error *err);

/** Progress bar on stderr, for bp_seal_opts and the like; ctx is a struct bp_cli_bar. */
struct bp_cli_bar {
    const char *what;
    int64_t next_mono;
    bool shown;
};
int bp_cli_bar_step(void *ctx, uint64_t done, uint64_t total);
void bp_cli_bar_end(const struct bp_cli_bar *b);
