#include "crypt/password.h"

#include <errno.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "crypt/base64.h"
#include "crypt/secret.h"

enum { SALT_LEN = 16, HASH_LEN = 32, LN = 15, R = 8, P = 3 };
enum { MIN_LN = 14, MAX_LN = 17, MAX_R = 16, MAX_P = 16, MAX_MIB = 64 };

struct params {
    unsigned ln, r, p;
    uint8_t salt[64], hash[64];
    size_t nsalt, nhash;
};

/* The hash of nobody. */
static const struct params nobody = {
    .ln = LN, .r = R, .p = P, .nsalt = SALT_LEN, .nhash = HASH_LEN
};

static int derive(const struct params *p, const char *password, uint8_t *ret) {
    uint64_t n = UINT64_C(1) << p->ln;

    return EVP_PBE_scrypt(password, strlen(password), p->salt, p->nsalt, n, p->r, p->p,
                          (uint64_t) (MAX_MIB + 1) << 20, ret, p->nhash) == 1
               ? 0
               : -ENOMEM;
}

int bp_password_hash(const char *password, char ret[static BP_PASSWORD_TEXT],
                     struct bp_error *err) {
    size_t n = strnlen(password, BP_PASSWORD_MAX + 1);
    struct params p = nobody;
    BP_AUTO_BUF text = { 0 };
    int r;

    if (n < BP_PASSWORD_MIN || n > BP_PASSWORD_MAX)
        return bp_fail(err, -EINVAL, "a password has %d to %d bytes", BP_PASSWORD_MIN,
                       BP_PASSWORD_MAX);
    r = bp_random(p.salt, p.nsalt);
    if (r < 0)
        return bp_fail(err, r, "the system gives no random numbers");
    r = derive(&p, password, p.hash);
    if (r < 0)
        return bp_fail(err, r, "no memory to hash a password");

    bp_buf_printf(&text, "$scrypt$ln=%u,r=%u,p=%u$", p.ln, p.r, p.p);
    bp_base64_put(&text, p.salt, p.nsalt);
    bp_buf_put_u8(&text, '$');
    bp_base64_put(&text, p.hash, p.nhash);
    if (!bp_buf_cstr(&text))
        return bp_fail(err, -ENOMEM, "no memory to hash a password");
    (void) snprintf(ret, BP_PASSWORD_TEXT, "%s", bp_buf_cstr(&text));
    return 0;
}

/* "name=12" in front of `end`. */
static bool take_number(const char **text, const char *name, char end, unsigned *ret) {
    const char *p = *text;
    unsigned v = 0;

    if (!bp_starts_with(p, name))
        return false;
    p += strlen(name);
    if (*p < '1' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9' && v < 1000; p++)
        v = v * 10 + (unsigned) (*p - '0');
    if (*p != end)
        return false;
    *ret = v;
    *text = p + 1;
    return true;
}

static bool parse(const char *text, struct params *ret) {
    struct params p = { 0 };
    ssize_t salt, hash;
    size_t n;

    if (!bp_starts_with(text, "$scrypt$"))
        return false;
    text += 8;
    if (!take_number(&text, "ln=", ',', &p.ln) || !take_number(&text, "r=", ',', &p.r) ||
        !take_number(&text, "p=", '$', &p.p))
        return false;
    if (p.ln < MIN_LN || p.ln > MAX_LN || p.r > MAX_R || p.p > MAX_P ||
        (UINT64_C(128) * p.r << p.ln) > (uint64_t) MAX_MIB << 20)
        return false;
    n = strcspn(text, "$");
    if (text[n] != '$')
        return false;
    salt = bp_base64_read((struct bp_str){ text, n }, p.salt, sizeof p.salt);
    hash = bp_base64_read(bp_str_of(text + n + 1), p.hash, sizeof p.hash);
    if (salt < 8 || hash < 16)
        return false;
    p.nsalt = (size_t) salt;
    p.nhash = (size_t) hash;
    *ret = p;
    return true;
}

int bp_password_check(const char *password, const char *hash) {
    struct params p = nobody;
    uint8_t got[sizeof p.hash];
    bool known = hash && parse(hash, &p);
    int r;

    if (strnlen(password, BP_PASSWORD_MAX + 1) > BP_PASSWORD_MAX) /* nobody has such a one */
        return -EACCES;
    r = derive(&p, password, got);
    if (r == 0)
        r = known && bp_equal_secret(got, p.hash, p.nhash) ? 0 : -EACCES;
    bp_wipe(got, sizeof got);
    return hash && !known ? BP_EFORMAT : r;
}
