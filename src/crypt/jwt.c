#include "crypt/jwt.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>

#include "crypt/base64.h"
#include "crypt/secret.h"

enum alg { HS256, ES256, EDDSA, ALGS_N };

/* The kind of key is the algorithm. */
static const struct {
    const char *alg, *kty, *crv;
} algs[] = {
    [HS256] = { "HS256", "oct", NULL },
    [ES256] = { "ES256", "EC", "P-256" },
    [EDDSA] = { "EdDSA", "OKP", "Ed25519" },
};
static_assert(BP_COUNT(algs) == ALGS_N, "a row for each");

enum { MIN_SECRET = 32, MAX_SECRET = 512, POINT = 32, SIGNATURE = 64 };

struct key {
    enum alg alg;
    char *kid;                  /* owned, or NULL */
    uint8_t secret[MAX_SECRET]; /* HS256 */
    size_t nsecret;
    EVP_PKEY *pkey; /* others; owned */
};

struct bp_jwt_keys {
    struct key v[BP_JWT_MAX_KEYS];
    size_t n;
};

static void decrefp(json_t **j) {
    json_decref(*j);
}
#define AUTO_JSON BP_CLEANUP(decrefp) json_t

static const char *text_of(const json_t *o, const char *name) {
    return json_string_value(json_object_get(o, name));
}

/* ---- keys ---- */

/* A member in base64url. @return its bytes, 0 when it is not there or too long */
static size_t bytes_of(const json_t *o, const char *name, uint8_t *ret, size_t cap) {
    const char *text = text_of(o, name);
    ssize_t n = text ? bp_base64_read(bp_str_of(text), ret, cap) : 0;

    return n > 0 ? (size_t) n : 0;
}

static int read_secret(const json_t *o, struct key *k, struct bp_error *err) {
    k->nsecret = bytes_of(o, "k", k->secret, sizeof k->secret);
    if (k->nsecret < MIN_SECRET)
        return bp_fail(err, BP_ECONFIG, "'k' must hold %d to %d bytes in base64url", MIN_SECRET,
                       MAX_SECRET);
    return 0;
}

static int read_point(const json_t *o, struct key *k, struct bp_error *err) {
    uint8_t point[1 + 2 * POINT] = { 4 }; /* not compressed */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char[]){ "prime256v1" }, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx, *check;
    bool ok;

    if (bytes_of(o, "x", point + 1, POINT) != POINT ||
        bytes_of(o, "y", point + 1 + POINT, POINT) != POINT)
        return bp_fail(err, BP_ECONFIG, "'x' and 'y' must hold %d bytes each, in base64url", POINT);
    ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    ok = ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
         EVP_PKEY_fromdata(ctx, &k->pkey, EVP_PKEY_PUBLIC_KEY, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (ok) {
        check = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
        ok = check && EVP_PKEY_public_check(check) == 1;
        EVP_PKEY_CTX_free(check);
    }
    return ok ? 0 : bp_fail(err, BP_ECONFIG, "'x' and 'y' are no point of P-256");
}

static int read_edwards(const json_t *o, struct key *k, struct bp_error *err) {
    uint8_t x[POINT];

    if (bytes_of(o, "x", x, sizeof x) != POINT)
        return bp_fail(err, BP_ECONFIG, "'x' must hold %d bytes in base64url", POINT);
    k->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof x);
    return k->pkey ? 0 : bp_fail(err, BP_ECONFIG, "'x' is no Ed25519 key");
}

static int kind_of(const json_t *o, struct bp_error *err) {
    const char *kty = text_of(o, "kty"), *crv = text_of(o, "crv"), *alg = text_of(o, "alg");
    const char *use = text_of(o, "use");

    if (!kty)
        return bp_fail(err, BP_ECONFIG, "'kty' is missing");
    if (use && !bp_streq(use, "sig"))
        return bp_fail(err, BP_ECONFIG, "it is for '%s', not for signatures", use);
    for (int i = 0; i < ALGS_N; i++) {
        if (!bp_streq(kty, algs[i].kty) || (algs[i].crv && (!crv || !bp_streq(crv, algs[i].crv))))
            continue;
        if (alg && !bp_streq(alg, algs[i].alg))
            return bp_fail(err, BP_ECONFIG, "a key of kind %s is for %s here, not for '%s'",
                           algs[i].kty, algs[i].alg, alg);
        return i;
    }
    return bp_fail(err, BP_ECONFIG,
                   "kind '%s%s%s' is not known: expected oct (HS256), EC with P-256 (ES256) or OKP "
                   "with Ed25519 (EdDSA)",
                   kty, crv ? " " : "", crv ? crv : "");
}

static int read_key(const json_t *o, struct key *k, struct bp_error *err) {
    const char *kid = text_of(o, "kid");
    int kind = kind_of(o, err);

    if (kind < 0)
        return kind;
    k->alg = (enum alg) kind;
    if (kid && !(k->kid = strdup(kid)))
        return bp_fail(err, -ENOMEM, "out of memory");
    return k->alg == HS256   ? read_secret(o, k, err)
           : k->alg == ES256 ? read_point(o, k, err)
                             : read_edwards(o, k, err);
}

int bp_jwt_keys_read(struct bp_str json, struct bp_jwt_keys **ret, struct bp_error *err) {
    BP_CLEANUP(bp_jwt_keys_freep) struct bp_jwt_keys *keys = calloc(1, sizeof *keys);
    json_error_t e = { 0 };
    AUTO_JSON *set = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &e);
    const json_t *list = json_object_get(set, "keys");

    if (!keys)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (!set)
        return bp_fail(err, BP_ECONFIG, "not JSON: line %d, column %d: %s", e.line, e.column,
                       e.text);
    if (json_array_size(list) == 0 || json_array_size(list) > BP_JWT_MAX_KEYS)
        return bp_fail(err, BP_ECONFIG, "expected {\"keys\": […]} with 1 to %d keys",
                       BP_JWT_MAX_KEYS);
    for (size_t i = 0; i < json_array_size(list); i++) {
        int r = read_key(json_array_get(list, i), &keys->v[keys->n++], err);

        if (r < 0)
            return bp_prefix(err, r, "key %zu", i + 1);
    }
    *ret = BP_TAKE_PTR(keys);
    return 0;
}

void bp_jwt_keys_free(struct bp_jwt_keys *keys) {
    if (!keys)
        return;
    for (size_t i = 0; i < keys->n; i++) {
        free(keys->v[i].kid);
        EVP_PKEY_free(keys->v[i].pkey);
    }
    bp_wipe(keys, sizeof *keys);
    free(keys);
}

bool bp_jwt_keys_secret(const struct bp_jwt_keys *keys) {
    for (size_t i = 0; i < keys->n; i++)
        if (keys->v[i].alg == HS256)
            return true;
    return false;
}

/* ---- signatures ---- */

/* ES256 has r and s side by side (RFC 7518 §3.4); OpenSSL wants them in DER. @return its length */
static size_t ecdsa_der(const uint8_t sig[static SIGNATURE], uint8_t der[static SIGNATURE + 16]) {
    ECDSA_SIG *s = ECDSA_SIG_new();
    BIGNUM *x = BN_bin2bn(sig, POINT, NULL), *y = BN_bin2bn(sig + POINT, POINT, NULL);
    uint8_t *to = der;
    int n = -1;

    if (s && x && y && ECDSA_SIG_set0(s, x, y) == 1) {
        x = y = NULL;
        n = i2d_ECDSA_SIG(s, &to);
    }
    BN_free(x);
    BN_free(y);
    ECDSA_SIG_free(s);
    return n > 0 ? (size_t) n : 0;
}

static bool verify_public(const struct key *k, struct bp_str what, const uint8_t *sig,
                          size_t nsig) {
    uint8_t der[SIGNATURE + 16];
    EVP_MD_CTX *ctx;
    bool ok;

    if (nsig != SIGNATURE)
        return false;
    if (k->alg == ES256) {
        nsig = ecdsa_der(sig, der);
        sig = der;
    }
    ctx = EVP_MD_CTX_new();
    ok = ctx && nsig > 0 &&
         EVP_DigestVerifyInit(ctx, NULL, k->alg == ES256 ? EVP_sha256() : NULL, NULL, k->pkey) ==
             1 &&
         EVP_DigestVerify(ctx, sig, nsig, (const uint8_t *) what.p, what.n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool is_signed_by(const struct key *k, struct bp_str what, const uint8_t *sig, size_t nsig) {
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (k->alg != HS256)
        return verify_public(k, what, sig, nsig);
    return HMAC(EVP_sha256(), k->secret, (int) k->nsecret, (const uint8_t *) what.p, what.n, mac,
                &n) &&
           n == nsig && bp_equal_secret(mac, sig, n);
}

/* ---- a token ---- */

/* JSON in base64url: an object, no name in it twice. */
static int read_part(struct bp_str text, const char *name, json_t **ret, struct bp_error *err) {
    uint8_t bytes[BP_JWT_MAX];
    ssize_t n = bp_base64_read(text, bytes, sizeof bytes);
    json_error_t e;

    if (n < 0)
        return bp_fail(err, BP_EFORMAT, "the token's %s is not base64url", name);
    *ret = json_loadb((const char *) bytes, (size_t) n, JSON_REJECT_DUPLICATES, &e);
    bp_wipe(bytes, (size_t) n);
    if (!json_is_object(*ret)) {
        json_decref(*ret);
        *ret = NULL;
        return bp_fail(err, BP_EFORMAT, "the token's %s is no JSON object", name);
    }
    return 0;
}

/* What the header says must be what we know; the rest of it could change what is signed. */
static int check_header(const json_t *header, enum alg *ret, struct bp_error *err) {
    static const char *const unknown[] = { "crit", "b64", "zip", "enc" };
    const json_t *typ = json_object_get(header, "typ"), *kid = json_object_get(header, "kid");
    const char *alg = text_of(header, "alg"), *type = json_string_value(typ);

    for (size_t i = 0; i < BP_COUNT(unknown); i++)
        if (json_object_get(header, unknown[i]))
            return bp_fail(err, -EACCES, "the token wants '%s', which is not known here",
                           unknown[i]);
    if (typ && (!type || (strcasecmp(type, "JWT") != 0 && strcasecmp(type, "at+jwt") != 0)))
        return bp_fail(err, -EACCES, "the token's type is not JWT");
    if (kid && !json_is_string(kid))
        return bp_fail(err, BP_EFORMAT, "the token's 'kid' is no text");
    for (int i = 0; alg && i < ALGS_N; i++)
        if (bp_streq(alg, algs[i].alg)) {
            *ret = (enum alg) i;
            return 0;
        }
    return bp_fail(err, -EACCES, "the token's algorithm is '%.20s': expected HS256, ES256 or EdDSA",
                   alg ? alg : "");
}

static int check_signature(const struct bp_jwt_keys *keys, const json_t *header, struct bp_str what,
                           struct bp_str text, struct bp_error *err) {
    const char *kid = text_of(header, "kid");
    uint8_t sig[SIGNATURE];
    ssize_t n = bp_base64_read(text, sig, sizeof sig);
    enum alg alg = HS256;
    bool tried = false;
    int r = check_header(header, &alg, err);

    if (r < 0)
        return r;
    if (n < 0)
        return bp_fail(err, n == -EINVAL ? BP_EFORMAT : -EACCES,
                       "the token's signature is not one");
    for (size_t i = 0; i < keys->n; i++) {
        const struct key *k = &keys->v[i];

        if (k->alg != alg || (kid && (!k->kid || !bp_streq(k->kid, kid))))
            continue;
        tried = true;
        if (is_signed_by(k, what, sig, (size_t) n))
            return 0;
    }
    return tried ? bp_fail(err, -EACCES, "the token's signature is wrong")
                 : bp_fail(err, -EACCES, "no key is known for %s and the token's 'kid'",
                           algs[alg].alg);
}

/* Seconds since 1970. @return 1, 0 when it is not there, BP_EFORMAT when it is no such number */
static int seconds_of(const json_t *claims, const char *name, double *ret, struct bp_error *err) {
    const json_t *v = json_object_get(claims, name);

    if (!v)
        return 0;
    *ret = json_number_value(v);
    if (!json_is_number(v) || !(*ret >= 0 && *ret < 1e12))
        return bp_fail(err, BP_EFORMAT, "the token's '%s' is no time", name);
    return 1;
}

static int check_time(const json_t *claims, bp_ns_t wall_now, bp_ns_t leeway,
                      struct bp_error *err) {
    double now = (double) wall_now / 1e9, slack = (double) leeway / 1e9, t = 0;
    int r = seconds_of(claims, "exp", &t, err);

    if (r < 0)
        return r;
    if (r == 0)
        return bp_fail(err, -EACCES, "the token has no 'exp': one that never ends is not taken");
    if (now >= t + slack)
        return bp_fail(err, -EACCES, "the token has expired");
    r = seconds_of(claims, "nbf", &t, err);
    if (r < 0)
        return r;
    if (r > 0 && now < t - slack)
        return bp_fail(err, -EACCES, "the token is not valid yet");
    return 0;
}

static bool is_for(const json_t *aud, const char *audience) {
    if (json_is_string(aud))
        return bp_streq(json_string_value(aud), audience);
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const char *one = json_string_value(json_array_get(aud, i));

        if (one && bp_streq(one, audience))
            return true;
    }
    return false;
}

static int check_claims(const json_t *claims, const struct bp_jwt_rules *rules, bp_ns_t wall_now,
                        struct bp_error *err) {
    const char *iss = text_of(claims, "iss");
    int r = check_time(claims, wall_now, rules->leeway, err);

    if (r < 0)
        return r;
    if (rules->issuer && *rules->issuer && (!iss || !bp_streq(iss, rules->issuer)))
        return bp_fail(err, -EACCES, "the token is not from the issuer that is configured");
    if (rules->audience && *rules->audience &&
        !is_for(json_object_get(claims, "aud"), rules->audience))
        return bp_fail(err, -EACCES, "the token is for somebody else");
    return 0;
}

int bp_jwt_verify(const struct bp_jwt_keys *keys, const struct bp_jwt_rules *rules,
                  bp_ns_t wall_now, struct bp_str token, json_t **ret_claims,
                  struct bp_error *err) {
    const char *end = token.p + token.n, *dot[2] = { NULL, NULL };
    AUTO_JSON *header = NULL, *claims = NULL;
    int r;

    if (token.n > BP_JWT_MAX)
        return bp_fail(err, BP_EFORMAT, "a token has at most %d bytes", BP_JWT_MAX);
    for (int i = 0; i < 2; i++) {
        const char *from = i == 0 ? token.p : dot[0] + 1;

        dot[i] = memchr(from, '.', (size_t) (end - from));
        if (!dot[i])
            return bp_fail(err, BP_EFORMAT, "a token has three parts, with dots between them");
    }
    r = read_part((struct bp_str){ token.p, (size_t) (dot[0] - token.p) }, "header", &header, err);
    if (r == 0)
        r = check_signature(keys, header, (struct bp_str){ token.p, (size_t) (dot[1] - token.p) },
                            (struct bp_str){ dot[1] + 1, (size_t) (end - dot[1] - 1) }, err);
    if (r == 0) /* nothing of it is looked at before */
        r = read_part((struct bp_str){ dot[0] + 1, (size_t) (dot[1] - dot[0] - 1) }, "payload",
                      &claims, err);
    if (r == 0)
        r = check_claims(claims, rules, wall_now, err);
    if (r < 0)
        return r;
    *ret_claims = BP_TAKE_PTR(claims);
    return 0;
}
