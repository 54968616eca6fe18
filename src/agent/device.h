#pragma once

#include "agent/config.h"
#include "crypt/sign.h"

/**
 * The device's key: `crypto.device_key`, else device.key in the data folder, where one is made at
 * the first start, with device.key.pub beside it.
 *
 * @param ret  owned by the caller; NULL when `crypto.sign` is off
 * @return 0; BP_ECONFIG when a configured key cannot be read; else why it cannot be read or made
 */
BP_MUST_CHECK int bp_device_open(const struct bp_agent_config *c, const char *dir,
                                 struct bp_sign_key **ret, struct bp_error *err);
