#include "crypt/secret.h"

#include <errno.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "crypt/base64.h"

enum { TOKEN_BYTES = 32 };

#define PREFIX "bp_"

int bp_random(void *p, size_t n) {
    return RAND_bytes(p, (int) n) == 1 ? 0 : -EIO;
}

bool bp_equal_secret(const void *a, const void *b, size_t n) {
    return CRYPTO_memcmp(a, b, n) == 0;
}

void bp_wipe(void *p, size_t n) {
    OPENSSL_cleanse(p, n);
}

int bp_token_new(char ret[static BP_TOKEN_TEXT]) {
    BP_AUTO_BUF text = { 0 };
    uint8_t bytes[TOKEN_BYTES];
    int r = bp_random(bytes, sizeof bytes);

    if (r < 0)
        return r;
    bp_buf_put_str(&text, PREFIX);
    bp_base64_put(&text, bytes, sizeof bytes);
    bp_wipe(bytes, sizeof bytes);
    if (!bp_buf_cstr(&text))
        return -ENOMEM;
    memcpy(ret, text.p, BP_TOKEN_TEXT);
    bp_wipe(text.p, text.n);
    return 0;
}

int bp_token_digest(const char *token, uint8_t ret[static BP_SHA256_LEN]) {
    uint8_t bytes[TOKEN_BYTES];
    bool ok = strnlen(token, BP_TOKEN_TEXT) == BP_TOKEN_TEXT - 1 && bp_starts_with(token, PREFIX) &&
              bp_base64_read(bp_str_of(token + strlen(PREFIX)), bytes, sizeof bytes) == TOKEN_BYTES;

    if (ok)
        bp_sha256_of(bytes, sizeof bytes, ret);
    bp_wipe(bytes, sizeof bytes);
    return ok ? 0 : -EINVAL;
}
