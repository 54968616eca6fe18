#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macro.h"

enum { BP_SHA256_LEN = 32, BP_SHA256_HEX = 65 };

/* SHA-256 over pieces (FIPS 180-4). One owner thread. */
struct bp_sha256;

/** @return NULL when out of memory. Release with bp_sha256_free(). */
struct bp_sha256 *bp_sha256_new(void);
void bp_sha256_free(struct bp_sha256 *s);
BP_DEFINE_CLEANUP(struct bp_sha256, bp_sha256_free)
void bp_sha256_add(struct bp_sha256 *s, const void *p, size_t n);
/** One that has been given the same so far. @return NULL when out of memory */
struct bp_sha256 *bp_sha256_copy(const struct bp_sha256 *s);
/** Digest of what was added; afterwards `s` is as new. */
void bp_sha256_end(struct bp_sha256 *s, uint8_t ret[static BP_SHA256_LEN]);

/** Digest of n bytes at once. */
void bp_sha256_of(const void *p, size_t n, uint8_t ret[static BP_SHA256_LEN]);

/** Lower-case hex with NUL; returns `hex`. */
char *bp_sha256_hex(const uint8_t digest[static BP_SHA256_LEN], char hex[static BP_SHA256_HEX]);

enum { BP_SHA1_LEN = 20 };

/** SHA-1 at once, where a protocol wants it (WebSocket's handshake); it proves nothing. */
void bp_sha1_of(const void *p, size_t n, uint8_t ret[static BP_SHA1_LEN]);

enum { BP_MD5_LEN = 16 };

/** MD5 at once, where a protocol wants it (S3's Content-MD5); it proves nothing. */
void bp_md5_of(const void *p, size_t n, uint8_t ret[static BP_MD5_LEN]);
