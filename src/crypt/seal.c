#include "crypt/seal.h"

#include <errno.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

struct bp_aead {
    EVP_CIPHER_CTX *seal, *open; /* owned; the key schedule is made once */
};

void bp_wipe(void *p, size_t n) {
    OPENSSL_cleanse(p, n);
}

int bp_random(void *p, size_t n) {
    return RAND_bytes(p, (int) n) == 1 ? 0 : -EIO;
}

int bp_same_bytes(const void *a, const void *b, size_t n) {
    return CRYPTO_memcmp(a, b, n) == 0;
}

/* ---- AES-256-GCM ---- */

struct bp_aead *bp_aead_new(const uint8_t key[static BP_KEY_LEN]) {
    BP_CLEANUP(bp_aead_freep) struct bp_aead *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->seal = EVP_CIPHER_CTX_new();
    a->open = EVP_CIPHER_CTX_new();
    if (!a->seal || !a->open ||
        EVP_EncryptInit_ex(a->seal, EVP_aes_256_gcm(), NULL, key, NULL) != 1 ||
        EVP_DecryptInit_ex(a->open, EVP_aes_256_gcm(), NULL, key, NULL) != 1)
        return NULL;
    return BP_TAKE_PTR(a);
}

struct bp_aead *bp_aead_dup(const struct bp_aead *a) {
    BP_CLEANUP(bp_aead_freep) struct bp_aead *b = calloc(1, sizeof *b);

    if (!b)
        return NULL;
    b->seal = EVP_CIPHER_CTX_new();
    b->open = EVP_CIPHER_CTX_new();
    if (!b->seal || !b->open || EVP_CIPHER_CTX_copy(b->seal, a->seal) != 1 ||
        EVP_CIPHER_CTX_copy(b->open, a->open) != 1)
        return NULL;
    return BP_TAKE_PTR(b);
}

void bp_aead_free(struct bp_aead *a) {
    if (!a)
        return;
    EVP_CIPHER_CTX_free(a->seal); /* clears what it frees */
    EVP_CIPHER_CTX_free(a->open);
    free(a);
}

int bp_aead_seal(struct bp_aead *a, const uint8_t nonce[static BP_NONCE_LEN], const void *aad,
                 size_t aad_n, const void *in, size_t n, void *out,
                 uint8_t ret_tag[static BP_TAG_LEN]) {
    uint8_t rest[BP_TAG_LEN]; /* of nothing: GCM has no blocks left over */
    int done;

    if (EVP_EncryptInit_ex(a->seal, NULL, NULL, NULL, nonce) != 1 ||
        EVP_EncryptUpdate(a->seal, NULL, &done, aad, (int) aad_n) != 1 ||
        (n && EVP_EncryptUpdate(a->seal, out, &done, in, (int) n) != 1) ||
        EVP_EncryptFinal_ex(a->seal, rest, &done) != 1 ||
        EVP_CIPHER_CTX_ctrl(a->seal, EVP_CTRL_GCM_GET_TAG, BP_TAG_LEN, ret_tag) != 1)
        return -EIO;
    return 0;
}

int bp_aead_open(struct bp_aead *a, const uint8_t nonce[static BP_NONCE_LEN], const void *aad,
                 size_t aad_n, const void *in, size_t n, void *out,
                 const uint8_t tag[static BP_TAG_LEN]) {
    uint8_t want[BP_TAG_LEN], rest[BP_TAG_LEN];
    int done;

    memcpy(want, tag, sizeof want);
    if (EVP_DecryptInit_ex(a->open, NULL, NULL, NULL, nonce) != 1 ||
        EVP_DecryptUpdate(a->open, NULL, &done, aad, (int) aad_n) != 1 ||
        (n && EVP_DecryptUpdate(a->open, out, &done, in, (int) n) != 1) ||
        EVP_CIPHER_CTX_ctrl(a->open, EVP_CTRL_GCM_SET_TAG, BP_TAG_LEN, want) != 1 ||
        EVP_DecryptFinal_ex(a->open, rest, &done) != 1)
        return BP_ECORRUPT;
    return 0;
}

/* ---- keys from keys ---- */

static OSSL_PARAM octets(const char *name, const void *p, size_t n) {
    /* OpenSSL does not write to parameters of a set */
    return OSSL_PARAM_construct_octet_string(name, (void *) (uintptr_t) p, n);
}

static int derive(const char *kdf_name, const OSSL_PARAM *params, uint8_t ret[static BP_KEY_LEN]) {
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, kdf_name, NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    int ok = ctx ? EVP_KDF_derive(ctx, ret, BP_KEY_LEN, params) : 0;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok == 1 ? 0 : -EIO;
}

int bp_hkdf(const void *input, size_t input_n, const void *salt, size_t salt_n, const char *info,
            uint8_t ret[static BP_KEY_LEN]) {
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        octets(OSSL_KDF_PARAM_KEY, input, input_n),
        octets(OSSL_KDF_PARAM_INFO, info, strlen(info)),
        OSSL_PARAM_construct_end(),
        OSSL_PARAM_construct_end(),
    };

    if (salt_n)
        params[3] = octets(OSSL_KDF_PARAM_SALT, salt, salt_n);
    return derive("HKDF", params, ret);
}

int bp_hmac(const uint8_t key[static BP_KEY_LEN], const void *p, size_t n, uint8_t ret[static 32]) {
    return HMAC(EVP_sha256(), key, BP_KEY_LEN, p, n, ret, NULL) ? 0 : -EIO;
}

int bp_scrypt(const void *pass, size_t pass_n, const void *salt, size_t salt_n,
              struct bp_scrypt_cost cost, uint8_t ret[static BP_KEY_LEN]) {
    uint64_t memory = (uint64_t) 128 * cost.r << BP_MIN(cost.log_n, (uint8_t) 32);

    if (cost.log_n < 1 || cost.log_n > 20 || cost.r < 1 || cost.r > 16 || cost.p < 1 ||
        cost.p > 4 || memory > (uint64_t) 256 << 20)
        return BP_ELIMIT;
    return EVP_PBE_scrypt(pass, pass_n, salt, salt_n, (uint64_t) 1 << cost.log_n, cost.r, cost.p,
                          memory + ((uint64_t) 4 << 20), ret, BP_KEY_LEN) == 1
               ? 0
               : -ENOMEM;
}

/* ---- X25519 ---- */

int bp_x25519_public(const uint8_t private_key[static BP_KEY_LEN], uint8_t ret[static BP_KEY_LEN]) {
    EVP_PKEY *k = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, BP_KEY_LEN);
    size_t n = BP_KEY_LEN;
    int ok = k ? EVP_PKEY_get_raw_public_key(k, ret, &n) : 0;

    EVP_PKEY_free(k);
    return ok == 1 ? 0 : -EIO;
}

int bp_x25519_new(uint8_t ret_private[static BP_KEY_LEN], uint8_t ret_public[static BP_KEY_LEN]) {
    int r = RAND_priv_bytes(ret_private, BP_KEY_LEN) == 1 ? 0 : -EIO;

    return r == 0 ? bp_x25519_public(ret_private, ret_public) : r;
}

int bp_x25519_shared(const uint8_t private_key[static BP_KEY_LEN],
                     const uint8_t peer[static BP_KEY_LEN], uint8_t ret[static BP_KEY_LEN]) {
    EVP_PKEY *k = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, BP_KEY_LEN);
    EVP_PKEY *p = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, BP_KEY_LEN);
    EVP_PKEY_CTX *ctx = k && p ? EVP_PKEY_CTX_new(k, NULL) : NULL;
    size_t n = BP_KEY_LEN;
    int ok = ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, p) == 1 &&
             EVP_PKEY_derive(ctx, ret, &n) == 1; /* refuses a result of zeros */

    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(p);
    EVP_PKEY_free(k);
    return ok ? 0 : BP_ECORRUPT;
}
