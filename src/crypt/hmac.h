#pragma once

#include "base/error.h"
#include "crypt/digest.h"

/** HMAC-SHA256 (RFC 2104) under a key of any length. Any thread. @return 0 or -EIO */
BP_MUST_CHECK int bp_hmac_sha256(const void *key, size_t nkey, const void *p, size_t n,
                                 uint8_t ret[static BP_SHA256_LEN]);
