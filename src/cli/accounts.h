#pragma once

#include <jansson.h>

#include "base/error.h"
#include "cli/verb.h"

/* For the verbs `user` and `token`: accounts of the agent (or server) that runs here, by its
 * socket, or of the one that does not, in its catalogue. */
struct bp_cli_accounts {
    const char *url, *config; /* or NULL */
    struct bp_opt_list set;
    bool server; /* of the server, not the agent */
};

/**
 * One request, as bp_access_manage() of access/access.h knows them.
 *
 * @param ret  owned by the caller; NULL when there is nothing to say
 * @return 0, or why not
 */
BP_MUST_CHECK int bp_cli_account(const struct bp_cli_accounts *where, const char *method,
                                 const char *kind, const char *name, const json_t *body,
                                 json_t **ret, struct bp_error *err);
