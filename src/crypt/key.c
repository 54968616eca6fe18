#include "crypt/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "base/buf.h"
#include "base/mutex.h"
#include "crypt/digest.h"

/* A ring of keys lies whole in pages of its own, so that no secret is ever in the heap. */

enum {
    PASS_MAX = 1024,
    MADE = 128,
    TEXT_MAX = 64 << 10,
    SALT_AT = 16,
    BOX_AT = 48,
    PUBLIC_AT = 96
};

static const struct bp_scrypt_cost cost_now = { .log_n = 15, .r = 8, .p = 1 };

struct key {
    enum bp_key_kind kind;
    bool secret;
    uint8_t id[BP_KEY_ID];
    uint8_t public_key[BP_KEY_LEN];
    uint8_t private_key[BP_KEY_LEN]; /* or the symmetric one */
    char pass[PASS_MAX];
    size_t pass_n;
    /* what scrypt last made of it, because that is slow on purpose */
    bool stretched;
    struct bp_scrypt_cost cost;
    uint8_t salt[BP_KEY_LEN], strong[BP_KEY_LEN];
};

struct made {
    uint8_t file_id[BP_FILE_ID], content[BP_KEY_LEN];
};

struct bp_keyring {
    struct bp_mutex lock; /* leaf; held over scrypt */
    struct key v[BP_KEYS_MAX];
    size_t n;
    struct made made[MADE]; /* [lock] */
    size_t nmade;           /* [lock] counts on; index = nmade % MADE */
};

struct bp_keyring *bp_keyring_new(void) {
    void *p = mmap(NULL, sizeof(struct bp_keyring), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct bp_keyring *k = p;

    if (p == MAP_FAILED)
        return NULL;
    (void) madvise(p, sizeof *k, MADV_DONTDUMP);
    (void) madvise(p, sizeof *k, MADV_WIPEONFORK); /* a child finds an empty ring, not a hole */
    (void) mlock(p, sizeof *k);                    /* as far as RLIMIT_MEMLOCK lets us */
    bp_mutex_init(&k->lock);
    return k;
}

void bp_keyring_free(struct bp_keyring *k) {
    if (!k)
        return;
    bp_wipe(k, sizeof *k);
    (void) munmap(k, sizeof *k);
}

struct bp_keyring *bp_keyring_copy(struct bp_keyring *k) {
    struct bp_keyring *c = bp_keyring_new();

    if (!c)
        return NULL;
    bp_mutex_lock(&k->lock);
    memcpy(c->v, k->v, sizeof c->v);
    c->n = k->n;
    bp_mutex_unlock(&k->lock);
    return c;
}

static struct bp_keyring *process_ring;

static void make_process_ring(void) {
    process_ring = bp_keyring_new();
}

struct bp_keyring *bp_keyring_process(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void) pthread_once(&once, make_process_ring);
    return process_ring;
}

void bp_hex(const uint8_t *p, size_t n, char *ret) {
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = digits[p[i] >> 4];
        ret[2 * i + 1] = digits[p[i] & 15];
    }
    ret[2 * n] = 0;
}

/* ---- reading ---- */

static int nibble(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool parse_hex(struct bp_str s, uint8_t ret[static BP_KEY_LEN]) {
    if (s.n != (size_t) 2 * BP_KEY_LEN)
        return false;
    for (size_t i = 0; i < BP_KEY_LEN; i++) {
        int hi = nibble(s.p[2 * i]), lo = nibble(s.p[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        ret[i] = (uint8_t) (hi << 4 | lo);
    }
    return true;
}

static struct bp_str trimmed(struct bp_str s) {
    while (s.n && strchr(" \t\r\n", s.p[0]) && s.p[0])
        s.p++, s.n--;
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]) && s.p[s.n - 1])
        s.n--;
    return s;
}

/* A process that holds secrets is no one else's to look into: no core file, no ptrace. Its buffers
 * hold what is being sealed as well. */
static void close_the_blinds(void) {
    (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int new_key(struct bp_keyring *k, struct key **ret) {
    if (k->n == BP_KEYS_MAX)
        return BP_ELIMIT;
    *ret = &k->v[k->n];
    **ret = (struct key){ .kind = BP_KEY_X25519 };
    return 0;
}

/* The key is whole: takes it in, unless it is there already. */
static void keep(struct bp_keyring *k, struct key *x) {
    for (size_t i = 0; i < k->n && x->kind != BP_KEY_PASSPHRASE; i++) {
        if (k->v[i].kind != x->kind || memcmp(k->v[i].id, x->id, BP_KEY_ID) != 0)
            continue;
        if (x->secret && !k->v[i].secret)
            k->v[i] = *x;
        bp_wipe(x, sizeof *x);
        return;
    }
    k->n++;
}

static int identify(struct key *x) {
    uint8_t sum[BP_KEY_LEN];
    int r = 0;

    if (x->kind == BP_KEY_X25519)
        bp_sha256_of(x->public_key, BP_KEY_LEN, sum);
    else
        r = bp_hkdf(x->private_key, BP_KEY_LEN, NULL, 0, "bagpipe key id", sum);
    memcpy(x->id, sum, BP_KEY_ID);
    return r;
}

static bool has_public(const struct bp_keyring *k, const uint8_t bytes[static BP_KEY_LEN]) {
    for (size_t i = 0; i < k->n; i++)
        if (k->v[i].kind == BP_KEY_X25519 && memcmp(k->v[i].public_key, bytes, BP_KEY_LEN) == 0)
            return true;
    return false;
}

static int add_key(struct bp_keyring *k, enum bp_key_kind kind, bool secret,
                   const uint8_t bytes[static BP_KEY_LEN]) {
    struct key *x;
    int r = !secret && has_public(k, bytes) ? 1 : new_key(k, &x);

    if (r > 0)
        return 0;
    if (r < 0)
        return r;
    x->kind = kind;
    x->secret = secret;
    memcpy(secret ? x->private_key : x->public_key, bytes, BP_KEY_LEN);
    if (secret)
        close_the_blinds();
    if (secret && kind == BP_KEY_X25519)
        r = bp_x25519_public(x->private_key, x->public_key);
    if (r == 0)
        r = identify(x);
    if (r == 0)
        keep(k, x);
    return r;
}

static int add_pass(struct bp_keyring *k, struct bp_str pass) {
    struct key *x;
    int r = new_key(k, &x);

    if (r < 0)
        return r;
    close_the_blinds();
    x->kind = BP_KEY_PASSPHRASE;
    x->secret = true;
    memcpy(x->pass, pass.p, pass.n);
    x->pass_n = pass.n;
    keep(k, x);
    return 0;
}

static const struct {
    const char *prefix;
    enum bp_key_kind kind;
    bool secret;
} forms[] = {
    { "bagpipe-x25519-public:", BP_KEY_X25519, false },
    { "bagpipe-x25519-private:", BP_KEY_X25519, true },
    { "bagpipe-key:", BP_KEY_SYMMETRIC, true },
};

/* @return 1 taken, 0 not of this form, or a negative code */
static int add_line(struct bp_keyring *k, struct bp_str line) {
    uint8_t bytes[BP_KEY_LEN];
    int r = 0;

    for (size_t i = 0; i < BP_COUNT(forms) && r == 0; i++) {
        size_t n = strlen(forms[i].prefix);

        if (line.n < n || memcmp(line.p, forms[i].prefix, n) != 0)
            continue;
        if (!parse_hex((struct bp_str){ line.p + n, line.n - n }, bytes))
            r = BP_EFORMAT;
        else
            r = add_key(k, forms[i].kind, forms[i].secret, bytes);
        r = r < 0 ? r : 1;
    }
    bp_wipe(bytes, sizeof bytes);
    return r;
}

static int add_bare(struct bp_keyring *k, struct bp_str text, const char *name,
                    struct bp_error *err) {
    uint8_t bytes[BP_KEY_LEN];
    int r;

    text = trimmed(text);
    if (parse_hex(text, bytes)) {
        r = add_key(k, BP_KEY_SYMMETRIC, true, bytes);
        bp_wipe(bytes, sizeof bytes);
        return r;
    }
    if (text.n < 8 || text.n > PASS_MAX || memchr(text.p, '\n', text.n))
        return bp_fail(
            err, BP_EFORMAT,
            "%s holds no key: neither lines of 'bagpipe key new', nor 64 hex digits, nor "
            "a passphrase of 8 to %d characters",
            name, PASS_MAX);
    return add_pass(k, text);
}

int bp_keyring_add_text(struct bp_keyring *k, struct bp_str text, const char *name,
                        struct bp_error *err) {
    struct bp_str left = text;
    bool any = false;
    int r = 0;

    while (left.n && r >= 0) {
        const char *end = memchr(left.p, '\n', left.n);
        struct bp_str line = { left.p, end ? (size_t) (end - left.p) : left.n };

        left.p += line.n + (end ? 1 : 0);
        left.n -= line.n + (end ? 1 : 0);
        line = trimmed(line);
        if (line.n && line.p[0] != '#')
            r = add_line(k, line);
        any |= r > 0;
    }
    if (r >= 0 && !any)
        return add_bare(k, text, name, err);
    if (r == BP_EFORMAT)
        return bp_fail(err, r, "%s: a key is not 64 hex digits", name);
    return r < 0 ? bp_fail(err, r, "%s: %s", name, bp_strerror(r)) : 0;
}

int bp_keyring_add_file(struct bp_keyring *k, const char *path, struct bp_error *err) {
    BP_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[TEXT_MAX + 1] = { 0 }, name[400];
    ssize_t n = fd < 0 ? -errno : read(fd, text, sizeof text); /* a file of that size comes whole */
    int r;

    if (n < 0)
        return bp_fail(err, fd < 0 ? (int) n : -errno, "cannot read the key file '%s': %s", path,
                       bp_strerror(fd < 0 ? (int) n : -errno));
    (void) snprintf(name, sizeof name, "the key file '%s'", path);
    if (n > TEXT_MAX)
        r = bp_fail(err, BP_ELIMIT, "%s is larger than 64 KiB", name);
    else
        r = bp_keyring_add_text(k, (struct bp_str){ text, (size_t) n }, name, err);
    bp_wipe(text, sizeof text);
    return r;
}

int bp_keyring_add_env(struct bp_keyring *k, struct bp_error *err) {
    /* NOLINTBEGIN(concurrency-mt-unsafe): nobody calls setenv() */
    const char *key = getenv("RECORDER_ENCRYPTION_KEY");
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    /* NOLINTEND(concurrency-mt-unsafe) */
    char path[4200];
    int r = 0, n = 0;

    if (key && key[0]) {
        r = bp_keyring_add_text(k, bp_str_of(key), "RECORDER_ENCRYPTION_KEY", err);
        n++;
    }
    if (r == 0 && dir && dir[0]) {
        (void) snprintf(path, sizeof path, "%s/recorder-encryption-key", dir);
        if (access(path, F_OK) == 0) {
            r = bp_keyring_add_file(k, path, err);
            n++;
        }
    }
    return r < 0 ? r : n;
}

int bp_keyring_add_recipient(struct bp_keyring *k, const char *word, struct bp_error *err) {
    size_t before = k->n;
    int r;

    if (!bp_starts_with(word, forms[0].prefix))
        return bp_keyring_add_file(k, word, err);
    r = bp_keyring_add_text(k, bp_str_of(word), "the public key", err);
    return r < 0 || k->n > before ? r : 0;
}

bool bp_keyring_empty(const struct bp_keyring *k) {
    return k->n == 0;
}

bool bp_keyring_opens(const struct bp_keyring *k) {
    for (size_t i = 0; i < k->n; i++)
        if (k->v[i].secret)
            return true;
    return false;
}

size_t bp_keyring_count(const struct bp_keyring *k) {
    return k->n;
}

void bp_keyring_info(const struct bp_keyring *k, size_t i, struct bp_key_info *ret) {
    const struct key *x = &k->v[i];

    *ret = (struct bp_key_info){ .kind = x->kind, .secret = x->secret };
    memcpy(ret->id, x->id, BP_KEY_ID);
    memcpy(ret->public_key, x->public_key, BP_KEY_LEN);
}

/* ---- wrapping ---- */

/* [lock] */
static int stretch(struct key *x, const uint8_t salt[static BP_KEY_LEN],
                   struct bp_scrypt_cost cost) {
    int r;

    if (x->stretched && memcmp(x->salt, salt, BP_KEY_LEN) == 0 &&
        memcmp(&x->cost, &cost, sizeof cost) == 0)
        return 0;
    r = bp_scrypt(x->pass, x->pass_n, salt, BP_KEY_LEN, cost, x->strong);
    x->stretched = r == 0;
    x->cost = cost;
    memcpy(x->salt, salt, BP_KEY_LEN);
    return r;
}

static int derive_with(const uint8_t secret[static BP_KEY_LEN],
                       const uint8_t file_id[static BP_FILE_ID], const uint8_t *salt, size_t n,
                       const char *info, uint8_t ret[static BP_KEY_LEN]) {
    uint8_t all[BP_FILE_ID + 2 * BP_KEY_LEN];

    memcpy(all, file_id, BP_FILE_ID);
    memcpy(all + BP_FILE_ID, salt, n);
    return bp_hkdf(secret, BP_KEY_LEN, all, BP_FILE_ID + n, info, ret);
}

/* X25519: the same key on both sides; `mine` is the ephemeral or the recipient's private key. */
static int agree(const uint8_t mine[static BP_KEY_LEN], const uint8_t theirs[static BP_KEY_LEN],
                 const uint8_t file_id[static BP_FILE_ID],
                 const uint8_t ephemeral[static BP_KEY_LEN],
                 const uint8_t recipient[static BP_KEY_LEN], uint8_t ret[static BP_KEY_LEN]) {
    uint8_t shared[BP_KEY_LEN], salt[2 * BP_KEY_LEN];
    int r = bp_x25519_shared(mine, theirs, shared);

    memcpy(salt, ephemeral, BP_KEY_LEN);
    memcpy(salt + BP_KEY_LEN, recipient, BP_KEY_LEN);
    if (r == 0)
        r = derive_with(shared, file_id, salt, sizeof salt, "bagpipe seal x25519 1", ret);
    bp_wipe(shared, sizeof shared);
    return r;
}

static int box(const uint8_t kek[static BP_KEY_LEN], const uint8_t file_id[static BP_FILE_ID],
               const uint8_t content[static BP_KEY_LEN], uint8_t *out) {
    static const uint8_t nonce[BP_NONCE_LEN];
    BP_CLEANUP(bp_aead_freep) struct bp_aead *a = bp_aead_new(kek);

    return a ? bp_aead_seal(a, nonce, file_id, BP_FILE_ID, content, BP_KEY_LEN, out,
                            out + BP_KEY_LEN)
             : -ENOMEM;
}

static int unbox(const uint8_t kek[static BP_KEY_LEN], const uint8_t file_id[static BP_FILE_ID],
                 const uint8_t *in, uint8_t ret[static BP_KEY_LEN]) {
    static const uint8_t nonce[BP_NONCE_LEN];
    BP_CLEANUP(bp_aead_freep) struct bp_aead *a = bp_aead_new(kek);

    return a ? bp_aead_open(a, nonce, file_id, BP_FILE_ID, in, BP_KEY_LEN, ret, in + BP_KEY_LEN)
             : -ENOMEM;
}

/* [lock] Makes the wrapping key and what the header tells about it. */
static int wrapping_key(struct key *x, const uint8_t file_id[static BP_FILE_ID], uint8_t *out,
                        uint8_t kek[static BP_KEY_LEN]) {
    uint8_t mine[BP_KEY_LEN], *salt = out + SALT_AT;
    int r;

    if (x->kind == BP_KEY_X25519) {
        memcpy(out + PUBLIC_AT, x->public_key, BP_KEY_LEN);
        r = bp_x25519_new(mine, salt);
        if (r == 0)
            r = agree(mine, x->public_key, file_id, salt, x->public_key, kek);
        bp_wipe(mine, sizeof mine);
        return r;
    }
    if (x->kind == BP_KEY_SYMMETRIC) {
        r = bp_random(salt, BP_KEY_LEN);
        return r < 0 ? r
                     : derive_with(x->private_key, file_id, salt, BP_KEY_LEN, "bagpipe seal key 1",
                                   kek);
    }
    /* One salt for all files of a process: scrypt is paid once, the file id keeps keys apart. */
    r = x->stretched ? 0 : bp_random(salt, BP_KEY_LEN);
    if (r == 0 && !x->stretched)
        r = stretch(x, salt, cost_now);
    if (r < 0)
        return r;
    memcpy(salt, x->salt, BP_KEY_LEN);
    memcpy(out + 12, &x->cost, sizeof x->cost);
    return derive_with(x->strong, file_id, salt, BP_KEY_LEN, "bagpipe seal passphrase 1", kek);
}

int bp_keyring_wrap(struct bp_keyring *k, const uint8_t file_id[static BP_FILE_ID],
                    const uint8_t content[static BP_KEY_LEN], uint8_t *out) {
    uint8_t kek[BP_KEY_LEN];
    int r = 0;

    bp_mutex_lock(&k->lock);
    for (size_t i = 0; i < k->n && r == 0; i++, out += BP_WRAPPED_BYTES) {
        memset(out, 0, BP_WRAPPED_BYTES);
        bp_st_le32(out, k->v[i].kind);
        memcpy(out + 4, k->v[i].id, BP_KEY_ID);
        r = wrapping_key(&k->v[i], file_id, out, kek);
        if (r == 0)
            r = box(kek, file_id, content, out + BOX_AT);
    }
    bp_mutex_unlock(&k->lock);
    bp_wipe(kek, sizeof kek);
    return r < 0 ? r : (int) k->n;
}

/* [lock] @return 0, or negative: not this one */
static int try_one(struct key *x, const uint8_t file_id[static BP_FILE_ID], const uint8_t *w,
                   uint8_t ret[static BP_KEY_LEN]) {
    const uint8_t *salt = w + SALT_AT;
    uint8_t kek[BP_KEY_LEN];
    int r = 0;

    if (!x->secret || bp_ld_le32(w) != x->kind ||
        (x->kind != BP_KEY_PASSPHRASE && memcmp(w + 4, x->id, BP_KEY_ID) != 0))
        return BP_EKEY;
    if (x->kind == BP_KEY_X25519) {
        r = agree(x->private_key, salt, file_id, salt, x->public_key, kek);
    } else if (x->kind == BP_KEY_SYMMETRIC) {
        r = derive_with(x->private_key, file_id, salt, BP_KEY_LEN, "bagpipe seal key 1", kek);
    } else {
        r = stretch(x, salt, (struct bp_scrypt_cost){ w[12], w[13], w[14] });
        if (r == 0)
            r = derive_with(x->strong, file_id, salt, BP_KEY_LEN, "bagpipe seal passphrase 1", kek);
    }
    if (r == 0)
        r = unbox(kek, file_id, w + BOX_AT, ret);
    bp_wipe(kek, sizeof kek);
    return r;
}

int bp_keyring_unwrap(struct bp_keyring *k, const uint8_t file_id[static BP_FILE_ID],
                      const uint8_t *wrapped, unsigned n, uint8_t ret_content[static BP_KEY_LEN]) {
    int r = BP_EKEY;

    bp_mutex_lock(&k->lock);
    for (unsigned w = 0; w < n && r != 0; w++)
        for (size_t i = 0; i < k->n && r != 0; i++)
            r = try_one(&k->v[i], file_id, wrapped + (size_t) w * BP_WRAPPED_BYTES, ret_content);
    bp_mutex_unlock(&k->lock);
    return r == 0 ? 0 : BP_EKEY;
}

int bp_keyring_add_wrapped(struct bp_keyring *k, const uint8_t *wrapped, unsigned n) {
    int r = 0;

    for (unsigned i = 0; i < n && r == 0; i++, wrapped += BP_WRAPPED_BYTES)
        if (bp_ld_le32(wrapped) == BP_KEY_X25519)
            r = add_key(k, BP_KEY_X25519, false, wrapped + PUBLIC_AT);
    return r;
}

void bp_wrapped_describe(const uint8_t *wrapped, unsigned n, char *ret, size_t cap) {
    size_t at = 0;

    if (cap)
        ret[0] = 0;
    for (unsigned i = 0; i < n && at < cap; i++, wrapped += BP_WRAPPED_BYTES) {
        char hex[2 * BP_KEY_ID + 1];

        bp_hex(wrapped + 4, BP_KEY_ID, hex);
        if (bp_ld_le32(wrapped) == BP_KEY_PASSPHRASE)
            (void) snprintf(ret + at, cap - at, "%sa passphrase", i ? ", " : "");
        else
            (void) snprintf(ret + at, cap - at, "%skey id %s", i ? ", " : "", hex);
        at += strlen(ret + at);
        if (i == 7 && n > 8) {
            (void) snprintf(ret + at, cap - at, " and %u more", n - 8);
            return;
        }
    }
}

/* ---- files of our own ---- */

void bp_keyring_remember(struct bp_keyring *k, const uint8_t file_id[static BP_FILE_ID],
                         const uint8_t content[static BP_KEY_LEN]) {
    struct made *m;

    bp_mutex_lock(&k->lock);
    m = &k->made[k->nmade++ % MADE];
    memcpy(m->file_id, file_id, BP_FILE_ID);
    memcpy(m->content, content, BP_KEY_LEN);
    bp_mutex_unlock(&k->lock);
}

bool bp_keyring_recall(struct bp_keyring *k, const uint8_t file_id[static BP_FILE_ID],
                       uint8_t ret_content[static BP_KEY_LEN]) {
    bool found = false;

    bp_mutex_lock(&k->lock);
    for (size_t i = 0; i < BP_MIN(k->nmade, (size_t) MADE) && !found; i++) {
        found = memcmp(k->made[i].file_id, file_id, BP_FILE_ID) == 0;
        if (found)
            memcpy(ret_content, k->made[i].content, BP_KEY_LEN);
    }
    bp_mutex_unlock(&k->lock);
    return found;
}

/* ---- making ---- */

static int write_key(const char *path, const char *text, size_t n, struct bp_error *err) {
    char dir[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r = 0;

    if (fd < 0)
        return bp_fail(err, -errno, "cannot make '%s': %s", path, bp_strerror(-errno));
    if (write(fd, text, n) != (ssize_t) n || fsync(fd) < 0)
        r = errno ? -errno : -EIO;
    (void) close(fd);
    bp_io_dirname(path, dir, sizeof dir);
    if (r == 0)
        r = bp_io_posix.sync_dir(NULL, dir); /* a lost key is worse than a lost recording */
    if (r < 0) {
        (void) unlink(path);
        return bp_fail(err, r, "cannot write '%s': %s", path, bp_strerror(r));
    }
    return 0;
}

int bp_key_create(const char *path, bool symmetric, struct bp_key_info *ret, struct bp_error *err) {
    BP_CLEANUP(bp_keyring_freep) struct bp_keyring *k = bp_keyring_new();
    char hex[2 * BP_KEY_LEN + 1], pub[2 * BP_KEY_LEN + 1], text[512];
    uint8_t secret[BP_KEY_LEN];
    int r = k ? bp_random(secret, sizeof secret) : -ENOMEM;

    if (r == 0)
        r = add_key(k, symmetric ? BP_KEY_SYMMETRIC : BP_KEY_X25519, true, secret);
    if (r < 0)
        return bp_fail(err, r, "cannot make a key: %s", bp_strerror(r));
    bp_hex(secret, sizeof secret, hex);
    bp_hex(k->v[0].public_key, BP_KEY_LEN, pub);
    if (symmetric)
        (void) snprintf(text, sizeof text, "# bagpipe: a secret that seals and opens\n%s%s\n",
                        forms[2].prefix, hex);
    else
        (void) snprintf(text, sizeof text, "# bagpipe: opens what is sealed to %s%s\n%s%s\n",
                        forms[0].prefix, pub, forms[1].prefix, hex);
    r = write_key(path, text, strlen(text), err);
    bp_wipe(secret, sizeof secret);
    bp_wipe(hex, sizeof hex);
    bp_wipe(text, sizeof text);
    if (r == 0)
        bp_keyring_info(k, 0, ret);
    return r;
}
