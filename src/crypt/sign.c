#include "crypt/sign.h"

#include "crypt/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#include "base/io.h"
#include "crypt/secretmem.h"

/* The seed is kept and an OpenSSL key made of it for each use: a signature a minute needs no more,
 * and it leaves a single place that holds the secret. PEM is decoded here, because the decoder of
 * OpenSSL leaves copies on the heap; both encodings are a fixed head and 32 bytes (RFC 8410 §7). */

enum { PEM_MAX = 4096, SEED = 32 };

static const uint8_t private_head[16] = { 0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                          0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20 };
static const uint8_t public_head[12] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                         0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };

#define PRIVATE "PRIVATE KEY"
#define PUBLIC  "PUBLIC KEY"

struct bp_sign_key {
    struct bp_secret seed;
    uint8_t public_key[BP_PUBLIC_KEY_LEN];
};

void bp_sign_key_free(struct bp_sign_key *k) {
    if (!k)
        return;
    bp_secret_done(&k->seed);
    free(k);
}

/* ---- text ---- */

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct bp_str trimmed(struct bp_str s) {
    while (s.n && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

static int hex_value(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static int base64_value(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+' || c == '-' ? 62
           : c == '/' || c == '_' ? 63
                                  : -1;
}

static int from_hex(struct bp_str s, uint8_t *ret, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int a = hex_value(s.p[2 * i]), b = hex_value(s.p[2 * i + 1]);

        if (a < 0 || b < 0)
            return BP_EFORMAT;
        ret[i] = (uint8_t) (a << 4 | b);
    }
    return 0;
}

/* Line ends between digits are skipped, as PEM has them. */
static int from_base64(struct bp_str s, uint8_t *ret, size_t n) {
    uint32_t bits = 0;
    unsigned have = 0, pads = 0;
    size_t out = 0;

    for (size_t i = 0; i < s.n; i++) {
        int v = base64_value(s.p[i]);

        if (s.p[i] == '\n' || s.p[i] == '\r')
            continue;
        if (s.p[i] == '=' && ++pads <= 2)
            continue;
        if (v < 0 || pads)
            return BP_EFORMAT;
        bits = bits << 6 | (uint32_t) v;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        if (out == n)
            return BP_EFORMAT;
        ret[out++] = (uint8_t) (bits >> have);
    }
    return out == n && have < 6 && (bits & ((1U << have) - 1)) == 0 ? 0 : BP_EFORMAT;
}

int bp_key_digits(struct bp_str text, uint8_t *ret, size_t n) {
    struct bp_str s = trimmed(text);

    if (s.n == 2 * n && from_hex(s, ret, n) == 0)
        return 0;
    return from_base64(s, ret, n);
}

static void to_base64(const uint8_t *p, size_t n, char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t) p[i] << 16 | (i + 1 < n ? (uint32_t) p[i + 1] << 8 : 0) |
                     (i + 2 < n ? p[i + 2] : 0);

        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
        *out++ = i + 2 < n ? digits[v & 63] : '=';
    }
    *out = 0;
}

/* What stands between the lines "-----BEGIN label-----" and "-----END label-----". */
static int pem_body(struct bp_str pem, const char *label, struct bp_str *ret) {
    char begin[64], end[64];
    const char *a, *b;

    (void) snprintf(begin, sizeof begin, "-----BEGIN %s-----", label);
    (void) snprintf(end, sizeof end, "-----END %s-----", label);
    a = pem.n ? memmem(pem.p, pem.n, begin, strlen(begin)) : NULL;
    if (!a)
        return BP_EFORMAT;
    a += strlen(begin);
    b = memmem(a, (size_t) (pem.p + pem.n - a), end, strlen(end));
    if (!b)
        return BP_EFORMAT;
    *ret = trimmed((struct bp_str){ a, (size_t) (b - a) });
    return 0;
}

/* ---- private keys ---- */

static int derive_public(struct bp_sign_key *k) {
    EVP_PKEY *p;
    size_t n = sizeof k->public_key;
    bool ok;

    p = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, k->seed.p, SEED);
    ok = p && EVP_PKEY_get_raw_public_key(p, k->public_key, &n) == 1 && n == BP_PUBLIC_KEY_LEN;
    EVP_PKEY_free(p);
    bp_secret_scrub_stack();
    return ok ? 0 : -ENOMEM;
}

static int key_of_seed(struct bp_secret *seed, struct bp_sign_key **ret) {
    BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *k = calloc(1, sizeof *k);
    int r;

    if (!k)
        return -ENOMEM;
    k->seed = *seed;
    *seed = (struct bp_secret){ 0 };
    r = derive_public(k);
    if (r == 0)
        *ret = BP_TAKE_PTR(k);
    return r;
}

int bp_sign_key_new(struct bp_sign_key **ret, struct bp_error *err) {
    BP_AUTO_SECRET seed = { 0 };
    int r = bp_secret_alloc(SEED, &seed);

    if (r == 0 && getrandom(seed.p, SEED, 0) != SEED)
        return bp_fail(err, -EIO, "the kernel gives no random bytes");
    if (r == 0)
        r = key_of_seed(&seed, ret);
    return r != 0 ? bp_fail(err, r, "no memory for a key") : 0;
}

int bp_sign_key_parse(struct bp_str pem, struct bp_sign_key **ret, struct bp_error *err) {
    BP_AUTO_SECRET der = { 0 }, seed = { 0 };
    struct bp_str body = { 0 };
    int r = pem_body(pem, PRIVATE, &body), k;

    if (r < 0)
        return bp_fail(err, r, "no private key in PEM");
    k = bp_secret_alloc(sizeof private_head + SEED, &der);
    if (k == 0) {
        r = from_base64(body, der.p, der.n);
        if (r < 0 || memcmp(der.p, private_head, sizeof private_head) != 0)
            return bp_fail(err, BP_EFORMAT,
                           "not an Ed25519 key (`openssl genpkey -algorithm ed25519` makes one)");
        k = bp_secret_copy(der.p + sizeof private_head, SEED, &seed);
    }
    if (k == 0)
        k = key_of_seed(&seed, ret);
    bp_secret_scrub_stack();
    return k != 0 ? bp_fail(err, k, "no memory for a key") : 0;
}

int bp_sign_key_load(const char *path, struct bp_sign_key **ret, struct bp_error *err) {
    BP_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    BP_AUTO_SECRET pem = { 0 };
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return bp_fail(err, -errno, "cannot open key '%s': %s", path, bp_strerror(-errno));
    if (st.st_mode & 077)
        return bp_fail(err, -EPERM, "key '%s' can be read by others: chmod 600 '%s'", path, path);
    r = bp_secret_read(fd, PEM_MAX, false, &pem);
    if (r != 0)
        return bp_fail(err, r, "cannot read key '%s': %s", path, bp_strerror(r));
    r = bp_sign_key_parse((struct bp_str){ (const char *) pem.p, pem.n }, ret, err);
    return r < 0 ? bp_prefix(err, r, "'%s'", path) : 0;
}

/* Whole or not at all, and never over another one: written beside, then linked. */
static int write_private(const char *path, const struct bp_secret *pem, struct bp_error *err) {
    const struct bp_io *io = &bp_io_posix;
    char tmp[4096], dir[4096];
    BP_AUTO_FD int fd = -1;
    int r;

    if (snprintf(tmp, sizeof tmp, "%s.%d.tmp", path, (int) getpid()) >= (int) sizeof tmp)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", path);
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : io->pwrite(io->ctx, fd, pem->p, pem->n, 0);
    if (r == 0)
        r = io->sync(io->ctx, fd); /* a name must never stand for an empty key */
    if (r == 0 && link(tmp, path) < 0)
        r = -errno;
    if (fd >= 0)
        (void) unlink(tmp);
    bp_io_dirname(path, dir, sizeof dir);
    if (r == 0)
        r = io->sync_dir(io->ctx, dir); /* what it signs must not outlive it in a power cut */
    return r < 0 ? bp_fail(err, r, "cannot write key '%s': %s", path, bp_strerror(r)) : 0;
}

static int write_public(const struct bp_sign_key *k, const char *path, struct bp_error *err) {
    uint8_t der[sizeof public_head + BP_PUBLIC_KEY_LEN];
    char name[4096], digits[64], text[160];
    int n;

    if (snprintf(name, sizeof name, "%s.pub", path) >= (int) sizeof name)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", path);
    memcpy(der, public_head, sizeof public_head);
    memcpy(der + sizeof public_head, k->public_key, BP_PUBLIC_KEY_LEN);
    to_base64(der, sizeof der, digits);
    n = snprintf(text, sizeof text, "-----BEGIN " PUBLIC "-----\n%s\n-----END " PUBLIC "-----\n",
                 digits);
    return bp_io_replace_file(&bp_io_posix, name, text, (size_t) n, err);
}

int bp_sign_key_save(const struct bp_sign_key *k, const char *path, struct bp_error *err) {
    BP_AUTO_SECRET der = { 0 }, digits = { 0 }, pem = { 0 };
    int r = bp_secret_alloc(sizeof private_head + SEED, &der);

    if (r == 0)
        r = bp_secret_alloc(64, &digits); /* 48 bytes are 64 digits */
    if (r == 0)
        r = bp_secret_alloc(160, &pem);
    if (r != 0)
        return bp_fail(err, r, "no memory for a key");
    memcpy(der.p, private_head, sizeof private_head);
    memcpy(der.p + sizeof private_head, k->seed.p, SEED);
    to_base64(der.p, der.n, (char *) digits.p);
    pem.n = (size_t) snprintf((char *) pem.p, pem.n,
                              "-----BEGIN " PRIVATE "-----\n%s\n-----END " PRIVATE "-----\n",
                              (const char *) digits.p);
    r = write_private(path, &pem, err);
    bp_secret_scrub_stack();
    return r < 0 ? r : write_public(k, path, err);
}

int bp_sign_key_open(const char *path, struct bp_sign_key **ret, bool *ret_made,
                     struct bp_error *err) {
    BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *k = NULL;
    bool made = false;
    int r = bp_sign_key_load(path, &k, err);

    if (r == -ENOENT) {
        r = bp_sign_key_new(&k, err);
        if (r == 0)
            r = bp_sign_key_save(k, path, err);
        made = r == 0;
        if (r == -EEXIST) { /* another process was quicker: its key counts */
            bp_sign_key_free(BP_TAKE_PTR(k));
            r = bp_sign_key_load(path, &k, err);
        }
    }
    if (r < 0)
        return r;
    if (ret_made)
        *ret_made = made;
    *ret = BP_TAKE_PTR(k);
    return 0;
}

const uint8_t *bp_sign_key_public(const struct bp_sign_key *k) {
    return k->public_key;
}

/* ---- signatures ---- */

int bp_sign(const struct bp_sign_key *k, const void *p, size_t n,
            uint8_t ret[static BP_SIGNATURE_LEN]) {
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, k->seed.p, SEED);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = BP_SIGNATURE_LEN;
    bool ok = key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, ret, &len, p, n) == 1 && len == BP_SIGNATURE_LEN;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    bp_secret_scrub_stack();
    return ok ? 0 : -ENOMEM;
}

int bp_sign_check(const uint8_t key[static BP_PUBLIC_KEY_LEN], const void *p, size_t n,
                  const uint8_t sig[static BP_SIGNATURE_LEN]) {
    EVP_PKEY *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, BP_PUBLIC_KEY_LEN);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int r = k && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k) == 1 ? 0 : -ENOMEM;

    if (r == 0 && EVP_DigestVerify(ctx, sig, BP_SIGNATURE_LEN, p, n) != 1)
        r = BP_EMISMATCH;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(k);
    return r;
}

/* ---- public keys ---- */

char *bp_device_id_of_key(const uint8_t key[static BP_PUBLIC_KEY_LEN],
                          char ret[static BP_DEVICE_ID_TEXT]) {
    uint8_t digest[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX];

    bp_sha256_of(key, BP_PUBLIC_KEY_LEN, digest);
    (void) snprintf(ret, BP_DEVICE_ID_TEXT, "d-%.20s", bp_sha256_hex(digest, hex));
    return ret;
}

char *bp_public_key_text(const uint8_t key[static BP_PUBLIC_KEY_LEN],
                         char text[static BP_PUBLIC_KEY_TEXT]) {
    int n = snprintf(text, BP_PUBLIC_KEY_TEXT, "ed25519:");

    for (size_t i = 0; i < BP_PUBLIC_KEY_LEN; i++)
        n += snprintf(text + n, (size_t) (BP_PUBLIC_KEY_TEXT - n), "%02x", key[i]);
    return text;
}

int bp_public_key_parse(struct bp_str text, uint8_t ret[static BP_PUBLIC_KEY_LEN]) {
    static const char name[] = "ed25519:";
    uint8_t der[sizeof public_head + BP_PUBLIC_KEY_LEN];
    struct bp_str s = trimmed(text), body = { 0 };

    if (pem_body(s, PUBLIC, &body) == 0) {
        if (from_base64(body, der, sizeof der) < 0 ||
            memcmp(der, public_head, sizeof public_head) != 0)
            return BP_EFORMAT;
        memcpy(ret, der + sizeof public_head, BP_PUBLIC_KEY_LEN);
        return 0;
    }
    if (s.n > sizeof name - 1 && memcmp(s.p, name, sizeof name - 1) == 0)
        s = (struct bp_str){ s.p + sizeof name - 1, s.n - (sizeof name - 1) };
    return bp_key_digits(s, ret, BP_PUBLIC_KEY_LEN);
}

int bp_public_key_read(const char *what, uint8_t ret[static BP_PUBLIC_KEY_LEN],
                       struct bp_error *err) {
    BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *k = NULL;
    BP_AUTO_SECRET file = { 0 };
    struct bp_error why = { 0 };
    struct bp_str text;
    int r;

    if (bp_public_key_parse(bp_str_of(what), ret) == 0)
        return 0;
    r = bp_secret_read_file(what, PEM_MAX, false, &file, &why);
    if (r < 0)
        return bp_fail(err, r == -ENOENT ? BP_EUSAGE : r,
                       "'%s' is neither a public key (64 hex or 44 base64 digits) nor a file: %s",
                       what, why.text);
    text = (struct bp_str){ (const char *) file.p, file.n };
    if (bp_public_key_parse(text, ret) == 0)
        return 0;
    if (bp_sign_key_parse(text, &k, NULL) != 0)
        return bp_fail(err, BP_EUSAGE, "'%s' holds no Ed25519 key", what);
    memcpy(ret, k->public_key, BP_PUBLIC_KEY_LEN);
    return 0;
}
