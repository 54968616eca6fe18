#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/verb.h"

/**
 * Reads `--domain 0,7 42`; without any word ROS_DOMAIN_ID, else 0.
 *
 * @return number of domains, 1..cap, in the order given, each once; or BP_EUSAGE
 */
BP_MUST_CHECK int bp_cli_domains(const struct bp_opt_list *words, uint32_t *ret, size_t cap,
                                 struct bp_error *err);
