#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "crypt/digest.h"

/* Random secrets, and handling them without telling. */

/** Fills with random bytes fit for keys. @return 0, -EIO when the system has none to give */
BP_MUST_CHECK int bp_random(void *p, size_t n);
/** Takes the same time wherever they differ. */
bool bp_equal_secret(const void *a, const void *b, size_t n);
/** Zeroes what will not be read again; the compiler may not leave it out. */
void bp_wipe(void *p, size_t n);

/* "bp_" and 256 random bits. */
enum { BP_TOKEN_TEXT = 47 };

/** Makes a token. @return 0, -EIO */
BP_MUST_CHECK int bp_token_new(char ret[static BP_TOKEN_TEXT]);
/**
 * What is kept of a token. It holds 256 random bits, so one round of SHA-256 is enough: there is
 * nothing to guess.
 *
 * @return 0, -EINVAL when it has not the form of one
 */
BP_MUST_CHECK int bp_token_digest(const char *token, uint8_t ret[static BP_SHA256_LEN]);
