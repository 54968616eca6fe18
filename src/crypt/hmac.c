#include "crypt/hmac.h"

#include <errno.h>
#include <limits.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

int bp_hmac_sha256(const void *key, size_t nkey, const void *p, size_t n,
                   uint8_t ret[static BP_SHA256_LEN]) {
    unsigned got = 0;

    if (nkey > INT_MAX)
        return -EIO;
    /* OpenSSL takes a NULL key for the one before */
    if (!HMAC(EVP_sha256(), nkey ? key : "", (int) nkey, p, n, ret, &got) || got != BP_SHA256_LEN)
        return -EIO;
    return 0;
}
