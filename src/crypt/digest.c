#include "crypt/digest.h"

#include <assert.h>

#include <openssl/evp.h>

struct bp_sha256 {
    EVP_MD_CTX *ctx; /* owned */
};

static void restart(struct bp_sha256 *s) {
    int ok = EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL);

    assert(ok == 1);
    (void) ok;
}

struct bp_sha256 *bp_sha256_new(void) {
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;

    s->ctx = EVP_MD_CTX_new();
    if (!s->ctx)
        return NULL;

    restart(s);
    return BP_TAKE_PTR(s);
}

void bp_sha256_free(struct bp_sha256 *s) {
    if (!s)
        return;

    EVP_MD_CTX_free(s->ctx);
    free(s);
}

struct bp_sha256 *bp_sha256_copy(const struct bp_sha256 *s) {
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *copy = bp_sha256_new();

    if (!copy || EVP_MD_CTX_copy_ex(copy->ctx, s->ctx) != 1)
        return NULL;
    return BP_TAKE_PTR(copy);
}

void bp_sha256_add(struct bp_sha256 *s, const void *p, size_t n) {
    (void) EVP_DigestUpdate(s->ctx, p, n);
}

void bp_sha256_end(struct bp_sha256 *s, uint8_t ret[static BP_SHA256_LEN]) {
    (void) EVP_DigestFinal_ex(s->ctx, ret, NULL);
    restart(s);
}

void bp_sha256_of(const void *p, size_t n, uint8_t ret[static BP_SHA256_LEN]) {
    (void) EVP_Digest(p, n, ret, NULL, EVP_sha256(), NULL);
}

char *bp_sha256_hex(const uint8_t digest[static BP_SHA256_LEN], char hex[static BP_SHA256_HEX]) {
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < BP_SHA256_LEN; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[BP_SHA256_HEX - 1] = 0;
    return hex;
}

void bp_sha1_of(const void *p, size_t n, uint8_t ret[static BP_SHA1_LEN]) {
    (void) EVP_Digest(p, n, ret, NULL, EVP_sha1(), NULL);
}

void bp_md5_of(const void *p, size_t n, uint8_t ret[static BP_MD5_LEN]) {
    (void) EVP_Digest(p, n, ret, NULL, EVP_md5(), NULL);
}
