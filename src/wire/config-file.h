#pragma once

#include "base/config.h"

/**
 * Sets the values that a YAML text gives: nested mappings or dotted keys, scalars, lists.
 *
 * @param name    of the file, for errors
 * @param text    borrowed for the call
 * @param values  as for bp_config_set(); what stands before the mistake has been set on failure
 * @return 0, -ENOMEM, BP_EFORMAT when it is not YAML, BP_ECONFIG with "NAME, line L: key: …"
 */
BP_MUST_CHECK int bp_config_read(const struct bp_config_table *t, void *values, const char *name,
                                 struct bp_str text, struct bp_error *err);
