#pragma once

#include <stdbool.h>

/**
 * Lets paths of recordings be sessions on a server: http(s)://SERVER[/api/v1]/sessions/ID|NAME.
 * Of their segments only what is wanted is read, by ranges; when the link breaks, reading goes on
 * where it stopped, for up to 2 minutes of silence. $BAGPIPE_TOKEN proves who we are, or the token
 * in the file that $BAGPIPE_TOKEN_FILE names. For verbs whose user names the paths.
 */
void bp_cli_remote(void);
/** Ends reading that waits for a link. Any thread. */
void bp_cli_remote_stop(void);

#define BP_CLI_REMOTE_DESCRIPTION                                                                  \
    "A PATH may be a session on a server, http://SERVER/sessions/NAME: of it only what is wanted " \
    "is read, and nothing is kept. A token comes from $BAGPIPE_TOKEN, or from the file that "      \
    "$BAGPIPE_TOKEN_FILE names."
