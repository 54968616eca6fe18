#pragma once

#include "net/client.h"

/* For verbs that talk to an agent or server. */

/**
 * @param url  as given by --url, or NULL: the local agent's socket
 * @return as bp_client_open()
 */
BP_MUST_CHECK int bp_cli_connect(const char *url, struct bp_client **ret, struct bp_error *err);

/** The same with a limit for each request. */
BP_MUST_CHECK int bp_cli_connect_for(const char *url, bp_ns_t timeout, struct bp_client **ret,
                                     struct bp_error *err);

/** What to prove with who we are, $BAGPIPE_TOKEN, or NULL. */
const char *bp_cli_token(void);

/** Prints a document on stdout. */
void bp_cli_print_json(const json_t *o);

/** "12.3 MB" into a buffer of the caller's; returns it. */
const char *bp_cli_bytes(double n, char *ret, size_t cap);
/** Local date and time of a "…_ns" text, "-" without one; returns ret. */
const char *bp_cli_time(const json_t *ns, char *ret, size_t cap);
