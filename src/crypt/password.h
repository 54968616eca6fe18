#pragma once

#include "base/error.h"

/* Passwords at rest: "$scrypt$ln=15,r=8,p=3$SALT$HASH" (RFC 7914; base64url without padding). The
 * parameters stand with each hash, so new ones may cost more than old ones; those that would take
 * more than 64 MiB or an absurd time are refused, for whoever can write a hash could else stop us.
 */
enum { BP_PASSWORD_MIN = 8, BP_PASSWORD_MAX = 256, BP_PASSWORD_TEXT = 160 };

/**
 * Hashes with a new salt. Takes 32 MiB and about a quarter of a second.
 *
 * @param password  UTF-8, BP_PASSWORD_MIN to BP_PASSWORD_MAX bytes
 * @return 0, -EINVAL for its length, -ENOMEM, -EIO without random numbers
 */
BP_MUST_CHECK int bp_password_hash(const char *password, char ret[static BP_PASSWORD_TEXT],
                                   struct bp_error *err);
/**
 * Is it the password of that hash? Takes as long for a wrong one.
 *
 * @param hash  NULL: of nobody; the time is spent all the same, so that it does not tell who exists
 * @return 0; -EACCES when it is not; BP_EFORMAT when the hash cannot be read; -ENOMEM
 */
BP_MUST_CHECK int bp_password_check(const char *password, const char *hash);
