/* Tokens and key sets as anybody may send or configure them. The first byte says what: 'k' a key
 * set, 's' a payload that we sign, so that the claims are reached, 'h' a header with which a good
 * payload is signed, else a whole token. */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "crypt/base64.h"
#include "crypt/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char key_set[] =
    "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"},"
    "{\"kty\":\"EC\",\"kid\":\"es\",\"crv\":\"P-256\","
    "\"x\":\"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY\","
    "\"y\":\"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU\"}]}";

static struct bp_jwt_keys *keys;

static void verify(struct bp_str token) {
    const struct bp_jwt_rules rules = { "iss", "aud", BP_SEC };
    json_t *claims = NULL;
    struct bp_error err;
    int r = bp_jwt_verify(keys, &rules, 1800000000 * BP_SEC, token, &claims, &err);

    if (r == 0 && !json_is_number(json_object_get(claims, "exp")))
        abort();
    if ((r == 0) != (claims != NULL))
        abort();
    json_decref(claims);
}

/* A token with our own signature. */
static void sign(struct bp_str header, struct bp_str payload) {
    uint8_t secret[32], mac[EVP_MAX_MD_SIZE];
    BP_AUTO_BUF b = { 0 };
    unsigned n = 0;

    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (uint8_t) i;
    bp_base64_put(&b, header.p, header.n);
    bp_buf_put_u8(&b, '.');
    bp_base64_put(&b, payload.p, payload.n);
    (void) HMAC(EVP_sha256(), secret, sizeof secret, b.p, b.n, mac, &n);
    bp_buf_put_u8(&b, '.');
    bp_base64_put(&b, mac, n);
    verify((struct bp_str){ (const char *) b.p, b.n });
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_jwt_keys *some = NULL;
    struct bp_error err;
    struct bp_str in = { (const char *) p + 1, n - 1 };

    if (!keys && bp_jwt_keys_read(BP_STR(key_set), &keys, &err) < 0)
        abort();
    if (n == 0)
        return 0;
    switch (p[0]) {
    case 'k':
        if (bp_jwt_keys_read(in, &some, &err) == 0)
            bp_jwt_keys_free(some);
        break;
    case 's':
        sign(BP_STR("{\"alg\":\"HS256\"}"), in);
        break;
    case 'h':
        sign(in, BP_STR("{\"exp\":1900000000,\"iss\":\"iss\",\"aud\":[\"aud\"]}"));
        break;
    default:
        verify((struct bp_str){ (const char *) p, n });
    }
    return 0;
}
