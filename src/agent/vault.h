#pragma once

#include "agent/config.h"
#include "crypt/vault.h"

struct bp_agent;

/**
 * The vault of a data folder: `vault` in it; its key as bp_vault_open() tells, with
 * `crypto.vault_key` as the configured file and `vault.key` as the one that is made.
 */
BP_MUST_CHECK int bp_agent_vault_open(const struct bp_agent_config *c, const char *dir,
                                      struct bp_vault **ret, struct bp_error *err);
/** Opens the agent's (a->vault). One that does not open keeps nobody from recording: it is an
 * alert, "vault". Before threads that look at the environment start. */
BP_MUST_CHECK int bp_agent_vault_start(struct bp_agent *a, struct bp_error *err);
