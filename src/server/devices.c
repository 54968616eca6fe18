#include "server/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <uthash.h>

#include "base/log.h"
#include "base/mutex.h"
#include "crypt/base64.h"
#include "crypt/seal.h"
#include "crypt/secret.h"

/* Tokens and used challenges live in memory only: after a restart devices sign again, which costs
 * them two requests.
 *
 * A challenge holds no state here: its end and 12 random bytes under a MAC with the device's name,
 * so that asking for many costs us nothing. What was answered well is remembered until it would
 * have ended, so that an answer that was overheard is worth nothing. */

static const bp_ns_t NONCE_TIME = 60 * BP_SEC;
enum { NONCE_RANDOM = 12, NONCE_END = 8, NONCE_MAC = 20, NONCE_BYTES = 40, NONCES_MAX = 100000 };

struct token {
    uint8_t digest[BP_SHA256_LEN];
    struct bp_device_who who;
    bp_ns_t until; /* mono */
    UT_hash_handle hh;
};

struct nonce {
    uint8_t bytes[NONCE_BYTES];
    bp_ns_t until; /* mono */
    UT_hash_handle hh;
};

struct bp_devices {
    uint8_t secret[BP_KEY_LEN]; /* constant: of this life */
    bp_ns_t token_time, skew;   /* constant */
    struct bp_mutex lock;       /* leaf */
    struct token *tokens;       /* [lock] */
    struct nonce *nonces;       /* [lock] used ones */
};

int bp_devices_open(struct bp_server *s, struct bp_devices **ret, struct bp_error *err) {
    struct bp_devices *d = calloc(1, sizeof *d);

    if (!d || bp_random(d->secret, sizeof d->secret) < 0) {
        free(d);
        return bp_fail(err, -ENOMEM, "no memory or no randomness");
    }
    d->token_time = s->config->auth.device_token;
    d->skew = s->config->auth.clock_skew;
    bp_mutex_init(&d->lock);
    *ret = d;
    return 0;
}

static void drop_token_locked(struct bp_devices *d, struct token *t) BP_REQUIRES(d->lock) {
    HASH_DEL(d->tokens, t);
    free(t);
}

static void drop_nonce_locked(struct bp_devices *d, struct nonce *n) BP_REQUIRES(d->lock) {
    HASH_DEL(d->nonces, n);
    free(n);
}

void bp_devices_close(struct bp_devices *d) {
    struct token *t, *t_next;
    struct nonce *n, *n_next;

    if (!d)
        return;
    bp_mutex_lock(&d->lock);
    HASH_ITER(hh, d->tokens, t, t_next)
    drop_token_locked(d, t);
    HASH_ITER(hh, d->nonces, n, n_next)
    drop_nonce_locked(d, n);
    bp_mutex_unlock(&d->lock);
    bp_mutex_done(&d->lock);
    bp_wipe(d->secret, sizeof d->secret);
    free(d);
}

void bp_devices_tick(struct bp_devices *d) {
    struct token *t, *t_next;
    struct nonce *n, *n_next;
    bp_ns_t now = bp_mono_ns();

    bp_mutex_lock(&d->lock);
    HASH_ITER(hh, d->tokens, t, t_next)
    if (now >= t->until)
        drop_token_locked(d, t);
    HASH_ITER(hh, d->nonces, n, n_next)
    if (now >= n->until)
        drop_nonce_locked(d, n);
    bp_mutex_unlock(&d->lock);
}

int bp_device_check_id(const char *id, struct bp_error *err) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._:@-";
    size_t n = strlen(id);

    if (n == 0 || n >= BP_DEVICE_ID || strspn(id, allowed) != n || id[0] == '.' || id[0] == '-')
        return bp_fail(err, BP_EUSAGE,
                       "'%.100s' is no name of a device: letters, digits, '.', '_', ':', '@' and "
                       "'-', at most %d, not beginning with '.' or '-'",
                       id, BP_DEVICE_ID - 1);
    return 0;
}

/* ---- tokens ---- */

bool bp_device_is_token(const char *text) {
    return bp_starts_with(text, "bpd_");
}

static void digest_of(const char *token, uint8_t ret[static BP_SHA256_LEN]) {
    bp_sha256_of(token, strlen(token), ret);
}

int bp_devices_find(struct bp_devices *d, const char *token, struct bp_device_who *ret,
                    struct bp_error *err) {
    uint8_t digest[BP_SHA256_LEN];
    bp_ns_t now = bp_mono_ns();
    struct token *t;
    bool found;

    digest_of(token, digest);
    bp_mutex_lock(&d->lock);
    HASH_FIND(hh, d->tokens, digest, sizeof digest, t);
    found = t && now < t->until;
    if (found)
        *ret = t->who;
    bp_mutex_unlock(&d->lock);
    return found ? 0
                 : bp_fail(err, -EACCES,
                           "the device's token is not known here or has expired: sign a challenge "
                           "for another");
}

void bp_devices_revoke(struct bp_devices *d, const char *id) {
    struct token *t, *next;

    bp_mutex_lock(&d->lock);
    HASH_ITER(hh, d->tokens, t, next)
    if (bp_streq(t->who.id, id))
        drop_token_locked(d, t);
    bp_mutex_unlock(&d->lock);
}

size_t bp_devices_tokens(struct bp_devices *d) {
    size_t n;

    bp_mutex_lock(&d->lock);
    n = HASH_COUNT(d->tokens);
    bp_mutex_unlock(&d->lock);
    return n;
}

/* Makes room among those of one device. */
static void make_room_locked(struct bp_devices *d, const char *id) BP_REQUIRES(d->lock) {
    struct token *t, *next, *oldest = NULL;
    unsigned n = 0;

    HASH_ITER(hh, d->tokens, t, next) {
        if (!bp_streq(t->who.id, id))
            continue;
        n++;
        if (!oldest || t->until < oldest->until)
            oldest = t;
    }
    if (n >= BP_DEVICE_TOKENS_MAX)
        drop_token_locked(d, oldest);
}

static int new_token(struct bp_devices *d, const struct bp_device_who *who,
                     char ret[static BP_DEVICE_TOKEN_TEXT], struct bp_error *err) {
    struct token *t = calloc(1, sizeof *t);
    BP_AUTO_BUF text = { 0 };
    uint8_t random[32];
    bool full;

    if (!t || bp_random(random, sizeof random) < 0) {
        free(t);
        return bp_fail(err, -ENOMEM, "no memory or no randomness");
    }
    bp_base64_put(&text, random, sizeof random);
    bp_wipe(random, sizeof random);
    (void) snprintf(ret, BP_DEVICE_TOKEN_TEXT, "bpd_%s", bp_buf_cstr(&text));
    digest_of(ret, t->digest);
    t->who = *who;
    t->until = bp_mono_ns() + d->token_time;
    bp_mutex_lock(&d->lock);
    make_room_locked(d, who->id);
    full = HASH_COUNT(d->tokens) >= BP_DEVICES_TOKENS_MAX;
    if (!full)
        HASH_ADD(hh, d->tokens, digest, sizeof t->digest, t);
    bp_mutex_unlock(&d->lock);
    if (!full)
        return 0;
    free(t);
    return bp_fail(err, -EAGAIN, "%d devices have tokens, and no more fit", BP_DEVICES_TOKENS_MAX);
}

/* ---- challenges ---- */

/* The MAC over end, random bytes and name; cut, which HMAC allows (RFC 2104 §5). */
static int mac_of(const struct bp_devices *d, const uint8_t *head, const char *id,
                  uint8_t ret[static BP_KEY_LEN]) {
    uint8_t text[NONCE_END + NONCE_RANDOM + BP_DEVICE_ID] = { 0 };

    memcpy(text, head, NONCE_END + NONCE_RANDOM);
    /* at most what a checked name has; the rest stays 0 */
    memcpy(text + NONCE_END + NONCE_RANDOM, id, strnlen(id, BP_DEVICE_ID - 1));
    return bp_hmac(d->secret, text, sizeof text, ret);
}

int bp_devices_challenge(struct bp_devices *d, const char *id,
                         char ret[static BP_DEVICE_NONCE_TEXT], struct bp_error *err) {
    uint8_t nonce[NONCE_BYTES], mac[BP_KEY_LEN];
    int64_t end = bp_mono_ns() + NONCE_TIME;
    BP_AUTO_BUF text = { 0 };
    int r = bp_device_check_id(id, err);

    if (r < 0)
        return r;
    memcpy(nonce, &end, NONCE_END);
    if (bp_random(nonce + NONCE_END, NONCE_RANDOM) < 0 || mac_of(d, nonce, id, mac) < 0)
        return bp_fail(err, -EIO, "no randomness");
    memcpy(nonce + NONCE_END + NONCE_RANDOM, mac, NONCE_MAC);
    bp_base64_put(&text, nonce, sizeof nonce);
    (void) snprintf(ret, BP_DEVICE_NONCE_TEXT, "%s", bp_buf_cstr(&text));
    return 0;
}

static int check_nonce(const struct bp_devices *d, const char *id, const char *text,
                       uint8_t nonce[static NONCE_BYTES], bp_ns_t *ret_end, struct bp_error *err) {
    uint8_t mac[BP_KEY_LEN];
    int64_t end;

    if (bp_base64_read(bp_str_of(text), nonce, NONCE_BYTES) != NONCE_BYTES ||
        mac_of(d, nonce, id, mac) < 0 ||
        !bp_equal_secret(mac, nonce + NONCE_END + NONCE_RANDOM, NONCE_MAC))
        return bp_fail(err, -EACCES,
                       "the challenge is none of this server's for '%s': ask for another", id);
    memcpy(&end, nonce, sizeof end);
    if (bp_mono_ns() >= end)
        return bp_fail(err, -EACCES, "the challenge has expired: ask for another");
    *ret_end = end;
    return 0;
}

/* Once only. */
static int use_nonce(struct bp_devices *d, const uint8_t nonce[static NONCE_BYTES], bp_ns_t end,
                     struct bp_error *err) {
    struct nonce *n = calloc(1, sizeof *n), *was;
    bool full;

    if (!n)
        return bp_fail(err, -ENOMEM, "out of memory");
    memcpy(n->bytes, nonce, NONCE_BYTES);
    n->until = end;
    bp_mutex_lock(&d->lock);
    HASH_FIND(hh, d->nonces, nonce, NONCE_BYTES, was);
    full = !was && HASH_COUNT(d->nonces) >= NONCES_MAX;
    if (!was && !full)
        HASH_ADD(hh, d->nonces, bytes, NONCE_BYTES, n);
    bp_mutex_unlock(&d->lock);
    if (!was && !full)
        return 0;
    free(n);
    return full ? bp_fail(err, -EAGAIN, "too many devices sign at once: come again")
                : bp_fail(err, -EACCES, "the challenge was answered already: ask for another");
}

void bp_device_put_signed(struct bp_buf *out, const struct bp_device_answer *a) {
    bp_buf_printf(out, "bagpipe device token v1\n%s\n%s\n%lld\n%s\n", a->id, a->nonce,
                  (long long) a->time_ns, a->audience);
}

static int check_signature(const struct bp_device_answer *a,
                           const uint8_t key[static BP_PUBLIC_KEY_LEN], struct bp_error *err) {
    uint8_t sig[BP_SIGNATURE_LEN];
    BP_AUTO_BUF text = { 0 };
    int r;

    bp_device_put_signed(&text, a);
    if (text.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (bp_key_digits(bp_str_of(a->signature), sig, sizeof sig) < 0)
        return bp_fail(err, -EACCES, "the signature is not 64 bytes in hex or base64");
    r = bp_sign_check(key, text.p, text.n, sig);
    return r == BP_EMISMATCH
               ? bp_fail(err, -EACCES, "the signature is not by the key that '%s' enrolled", a->id)
               : r;
}

static int check_clock(const struct bp_devices *d, bp_ns_t theirs, bp_ns_t now,
                       struct bp_error *err) {
    bp_ns_t off = theirs > 0 ? theirs - now : -now; /* both positive: the difference fits */

    if (theirs > 0 && off <= d->skew && off >= -d->skew)
        return 0;
    return bp_fail(
        err, BP_ECLOCK,
        "your clock is %lld s %s ours, and %lld s are allowed: set it, or sign with ours",
        (long long) ((off < 0 ? -off : off) / BP_SEC), off < 0 ? "behind" : "ahead of",
        (long long) (d->skew / BP_SEC));
}

int bp_devices_answer(struct bp_devices *d, const struct bp_device_answer *a,
                      const uint8_t key[static BP_PUBLIC_KEY_LEN], const char *audience,
                      bp_ns_t wall_now, char ret[static BP_DEVICE_TOKEN_TEXT],
                      struct bp_error *err) {
    uint8_t nonce[NONCE_BYTES];
    struct bp_device_who who = { 0 };
    bp_ns_t end = 0;
    int r = check_nonce(d, a->id, a->nonce, nonce, &end, err);

    if (r == 0)
        r = check_signature(a, key, err);
    if (r == 0 && strcasecmp(a->audience, audience) != 0)
        r = bp_fail(err, -EACCES, "signed for '%.100s', and this is '%.100s'", a->audience,
                    audience);
    if (r == 0) /* behind the signature: who does not have the key learns nothing of clocks */
        r = check_clock(d, a->time_ns, wall_now, err);
    if (r == 0)
        r = use_nonce(d, nonce, end, err);
    if (r < 0)
        return r;
    (void) snprintf(who.id, sizeof who.id, "%s", a->id);
    (void) bp_public_key_text(key, who.key);
    return new_token(d, &who, ret, err);
}
