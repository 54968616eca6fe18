/* The vault: AES-256-GCM over all entries at once, a new nonce for each writing, the key made of
 * what its owner gave and of the file's salt. Everything decrypted lies in protected memory
 * (secretmem.h); OpenSSL clears its contexts when they are freed. */
#include "crypt/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/io.h"
#include "base/time.h"
#include "crypt/sign.h"
#include "crypt/vault-priv.h"

enum { KEY_FILE_MAX = 4096, SCRYPT_LOG_N = 15, SCRYPT_R = 8, SCRYPT_P = 1 };

#define KEY_ENV        "BAGPIPE_VAULT_KEY"
#define KEY_CREDENTIAL "bagpipe.vault_key"
#define KEY_IN_KERNEL  "bagpipe:vault"
#define KDF_INFO       "bagpipe.vault/1"

/* Secrets that have a name of their own in the environment. */
static const struct {
    const char *name, *env;
} from_env[] = {
    { "cloud_auth_token", "CLOUD_AUTH_TOKEN" },
};

struct bp_vault {
    char path[1200], own_key[1200], source[1200];
    struct bp_secret env[BP_COUNT(from_env)]; /* constant */
    pthread_mutex_t lock;   /* leaf; making a key of a passphrase takes 0.1 s under it, once */
    struct bp_secret given; /* [lock] until it is there, then constant: what the owner gave */
    bool is_key;            /* [as given] it is a key of 32 bytes, else a passphrase */
    struct bp_secret key;   /* [lock] derived, for `made_of`; scrypt is slow on purpose */
    struct bp_vault_head made_of; /* [lock] its kdf, log_n and salt count */
};

void bp_vault_close(struct bp_vault *v) {
    if (!v)
        return;
    for (size_t i = 0; i < BP_COUNT(from_env); i++)
        bp_secret_done(&v->env[i]);
    bp_secret_done(&v->given);
    bp_secret_done(&v->key);
    (void) pthread_mutex_destroy(&v->lock);
    free(v);
}

const char *bp_vault_key_source(const struct bp_vault *v) {
    return v->source;
}

/* ---- the key ---- */

/* A file's name in systemd's folder of credentials. @return 0 or -ENOENT */
static int credential_path(const char *name, char *ret, size_t cap) {
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody calls setenv() while threads run */
    const char *dir = getenv("CREDENTIALS_DIRECTORY");

    if (!dir || *dir != '/' || snprintf(ret, cap, "%s/%s", dir, name) >= (int) cap)
        return -ENOENT;
    return access(ret, F_OK) < 0 ? -ENOENT : 0;
}

/* From the keyrings that this process possesses. Where the kernel, or a container's filter, has no
 * keyrings there is no key. */
static int read_kernel_key(struct bp_secret *ret) {
    static const int rings[] = { KEY_SPEC_PROCESS_KEYRING, KEY_SPEC_SESSION_KEYRING,
                                 KEY_SPEC_USER_KEYRING };
    BP_AUTO_SECRET s = { 0 };
    long id = -1, n;
    int r = bp_secret_alloc(KEY_FILE_MAX, &s);

    if (r < 0)
        return r;
    for (size_t i = 0; id < 0 && i < BP_COUNT(rings); i++)
        id = syscall(SYS_keyctl, KEYCTL_SEARCH, rings[i], "user", KEY_IN_KERNEL, 0);
    n = id < 0 ? -1 : syscall(SYS_keyctl, KEYCTL_READ, id, s.p, s.n);
    if (n <= 0 || (size_t) n > s.n)
        return -ENOENT;
    return bp_secret_copy(s.p, (size_t) n, ret);
}

static int read_key_file(const char *path, struct bp_secret *ret, struct bp_error *err) {
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & 077) && !bp_starts_with(path, "/run/"))
        return bp_fail(err, -EPERM, "key '%s' can be read by others: chmod 600 '%s'", path, path);
    return bp_secret_read_file(path, KEY_FILE_MAX, true, ret, err);
}

static void came_from(struct bp_vault *v, const char *what) {
    (void) snprintf(v->source, sizeof v->source, "%s", what);
}

/* @return 0 also when there is none: v->given.n tells */
static int find_key(struct bp_vault *v, const struct bp_vault_opts *o, struct bp_error *err) {
    char path[1200];
    int r = bp_secret_take_env(KEY_ENV, &v->given);

    came_from(v, "$" KEY_ENV);
    if (r == -ENOENT && o->key_file && *o->key_file) {
        came_from(v, o->key_file);
        r = read_key_file(o->key_file, &v->given, err);
        if (r < 0) /* configured: no other one is taken instead */
            return r;
    }
    if (r == -ENOENT && credential_path(KEY_CREDENTIAL, path, sizeof path) == 0) {
        came_from(v, path);
        r = bp_secret_read_file(path, KEY_FILE_MAX, true, &v->given, err);
        if (r < 0)
            return r;
    }
    if (r == -ENOENT) {
        came_from(v, "the kernel's keyring");
        r = read_kernel_key(&v->given);
    }
    if (r == -ENOENT && access(v->own_key, F_OK) == 0) {
        came_from(v, v->own_key);
        r = read_key_file(v->own_key, &v->given, err);
        if (r < 0)
            return r;
    }
    if (r == -ENOENT)
        came_from(v, "");
    return r < 0 && r != -ENOENT ? bp_fail(err, r, "no memory for the vault's key") : 0;
}

/* Digits of a key become the key. */
static int judge_given(struct bp_vault *v) {
    BP_AUTO_SECRET key = { 0 };
    int r;

    if (!v->given.n)
        return 0;
    r = bp_secret_alloc(BP_VAULT_KEY, &key);
    if (r < 0)
        return r;
    v->is_key = bp_key_digits((struct bp_str){ (const char *) v->given.p, v->given.n }, key.p,
                              BP_VAULT_KEY) == 0;
    if (v->is_key) {
        bp_secret_done(&v->given);
        v->given = key;
        key = (struct bp_secret){ 0 };
    }
    return 0;
}

int bp_vault_open(const struct bp_vault_opts *o, struct bp_vault **ret, struct bp_error *err) {
    BP_CLEANUP(bp_vault_closep) struct bp_vault *v = calloc(1, sizeof *v);
    int r = 0;

    if (!v)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) pthread_mutex_init(&v->lock, NULL);
    if (snprintf(v->path, sizeof v->path, "%s", o->path) >= (int) sizeof v->path - 8 ||
        snprintf(v->own_key, sizeof v->own_key, "%s", o->own_key) >= (int) sizeof v->own_key)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", o->path);
    for (size_t i = 0; i < BP_COUNT(from_env) && (r == 0 || r == -ENOENT); i++)
        r = bp_secret_take_env(from_env[i].env, &v->env[i]);
    if (r < 0 && r != -ENOENT)
        return bp_fail(err, r, "no memory for secrets");
    r = find_key(v, o, err);
    if (r < 0)
        return bp_prefix(err, r, "the vault's key");
    r = judge_given(v);
    if (r < 0)
        return bp_fail(err, r, "no memory for secrets");
    *ret = BP_TAKE_PTR(v);
    return 0;
}

/* One may have been made since: by `bagpipe secret set` beside an agent. */
static int look_again(struct bp_vault *v, struct bp_error *err) {
    int r = 0;

    (void) pthread_mutex_lock(&v->lock);
    if (!v->given.n && access(v->own_key, F_OK) == 0) {
        r = read_key_file(v->own_key, &v->given, err);
        if (r == 0)
            r = judge_given(v);
        came_from(v, v->own_key);
    }
    (void) pthread_mutex_unlock(&v->lock);
    return r;
}

/* 32 random bytes as hex, in a file for its owner alone. */
static int make_key(struct bp_vault *v, struct bp_error *err) {
    static const char digits[] = "0123456789abcdef";
    BP_AUTO_SECRET key = { 0 }, text = { 0 };
    BP_AUTO_FD int fd = -1;
    int r = bp_secret_alloc(BP_VAULT_KEY, &key);

    if (r == 0)
        r = bp_secret_alloc(2 * BP_VAULT_KEY + 1, &text);
    if (r == 0 && getrandom(key.p, key.n, 0) != (ssize_t) key.n)
        r = -EIO;
    if (r != 0)
        return bp_fail(err, r, "cannot make a key for the vault: %s", bp_strerror(r));
    for (size_t i = 0; i < key.n; i++) {
        text.p[2 * i] = (uint8_t) digits[key.p[i] >> 4];
        text.p[2 * i + 1] = (uint8_t) digits[key.p[i] & 15];
    }
    text.p[2 * key.n] = '\n';
    fd = open(v->own_key, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : bp_io_posix.pwrite(NULL, fd, text.p, text.n, 0);
    if (r == 0)
        r = bp_io_posix.sync(NULL, fd); /* before anything is encrypted with it */
    if (r < 0)
        return bp_fail(err, r, "cannot write '%s': %s", v->own_key, bp_strerror(r));
    (void) pthread_mutex_lock(&v->lock);
    v->given = key;
    key = (struct bp_secret){ 0 };
    v->is_key = true;
    came_from(v, v->own_key);
    (void) pthread_mutex_unlock(&v->lock);
    return 0;
}

static int by_hkdf(const struct bp_secret *given, const struct bp_vault_head *h, uint8_t *ret) {
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    uint8_t salt[BP_VAULT_SALT];
    char digest[] = "SHA256", info[] = KDF_INFO;
    OSSL_PARAM p[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, given->p, given->n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof salt),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info - 1),
        OSSL_PARAM_construct_end(),
    };
    bool ok;

    memcpy(salt, h->salt, sizeof salt);
    ok = ctx && EVP_KDF_derive(ctx, ret, BP_VAULT_KEY, p) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    bp_secret_scrub_stack();
    return ok ? 0 : -ENOMEM;
}

static int derive(const struct bp_vault *v, const struct bp_vault_head *h, struct bp_secret *ret) {
    uint64_t n = UINT64_C(1) << h->log_n;
    int r = bp_secret_alloc(BP_VAULT_KEY, ret);

    if (r < 0)
        return r;
    if (h->kdf == BP_VAULT_HKDF)
        return by_hkdf(&v->given, h, ret->p);
    return EVP_PBE_scrypt((const char *) v->given.p, v->given.n, h->salt, sizeof h->salt, n,
                          SCRYPT_R, SCRYPT_P, n * SCRYPT_R * 128 + (8 << 20), ret->p,
                          BP_VAULT_KEY) == 1
               ? 0
               : -ENOMEM;
}

/* A copy of the key for files with that head. */
static int key_for(struct bp_vault *v, const struct bp_vault_head *h, struct bp_secret *ret) {
    int r = 0;

    (void) pthread_mutex_lock(&v->lock);
    if (!v->key.n || v->made_of.kdf != h->kdf || v->made_of.log_n != h->log_n ||
        memcmp(v->made_of.salt, h->salt, sizeof h->salt) != 0) {
        bp_secret_done(&v->key);
        r = derive(v, h, &v->key);
        if (r < 0)
            bp_secret_done(&v->key);
        v->made_of = *h;
    }
    if (r == 0)
        r = bp_secret_copy(v->key.p, v->key.n, ret);
    (void) pthread_mutex_unlock(&v->lock);
    return r;
}

/* ---- the file ---- */

/* @param tag  written when encrypting, compared when not. @return 0, -EACCES when it does not hold,
 *         -ENOMEM */
static int crypt_all(bool encrypt, const struct bp_secret *key, const uint8_t *head,
                     const uint8_t *nonce, const uint8_t *in, size_t n, uint8_t *out,
                     uint8_t *tag) {
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t rest[16];
    int len = 0, end = 0;
    int r = c && EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key->p, nonce, encrypt) == 1 &&
                    EVP_CipherUpdate(c, NULL, &len, head, BP_VAULT_HEAD) == 1 &&
                    (n == 0 || EVP_CipherUpdate(c, out, &len, in, (int) n) == 1)
                ? 0
                : -ENOMEM;

    if (r == 0 && !encrypt && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, BP_VAULT_TAG, tag) != 1)
        r = -ENOMEM;
    if (r == 0 && EVP_CipherFinal_ex(c, rest, &end) != 1)
        r = -EACCES;
    if (r == 0 && encrypt && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, BP_VAULT_TAG, tag) != 1)
        r = -ENOMEM;
    EVP_CIPHER_CTX_free(c);
    bp_secret_scrub_stack();
    return r;
}

static int check_entries(const struct bp_secret *plain) {
    struct bp_vault_entry e, before = { 0 };
    size_t at = 0;
    int r;

    while ((r = bp_vault_next(plain->p, plain->n, &at, &e)) > 0) {
        size_t n = BP_MIN(e.name.n, before.name.n);
        int order = n ? memcmp(before.name.p, e.name.p, n) : -1;

        if (before.name.n && (order > 0 || (order == 0 && before.name.n >= e.name.n)))
            return BP_EFORMAT;
        before = e;
    }
    return r;
}

static int decrypt(struct bp_vault *v, const struct bp_vault_head *h, uint8_t *file,
                   struct bp_secret *ret, struct bp_error *err) {
    BP_AUTO_SECRET key = { 0 }, plain = { 0 };
    int r = look_again(v, err);

    if (r < 0)
        return r;
    if (!v->given.n)
        return bp_fail(err, -EACCES,
                       "no key opens the vault '%s': neither $" KEY_ENV
                       ", nor a credential, nor '%s' is there",
                       v->path, v->own_key);
    if ((h->kdf == BP_VAULT_HKDF) != v->is_key)
        return bp_fail(err, -EACCES, "the vault '%s' is locked with a %s, but %s holds a %s",
                       v->path, v->is_key ? "passphrase" : "key", v->source,
                       v->is_key ? "key" : "passphrase");
    r = bp_secret_alloc(h->n, &plain);
    if (r == 0)
        r = key_for(v, h, &key);
    if (r == 0)
        r = crypt_all(false, &key, file, h->nonce, file + BP_VAULT_HEAD, h->n, plain.p,
                      file + BP_VAULT_HEAD + h->n);
    if (r == -EACCES)
        return bp_fail(err, r, "the key from %s does not open the vault '%s', or it was changed",
                       v->source, v->path);
    if (r < 0)
        return bp_fail(err, r, "no memory to open the vault");
    if (check_entries(&plain) < 0)
        return bp_fail(err, BP_EFORMAT, "the vault '%s' is not as this version writes it", v->path);
    *ret = plain;
    plain = (struct bp_secret){ 0 };
    return 0;
}

/* What is in it; nothing when there is no file. */
static int load(struct bp_vault *v, struct bp_vault_head *ret_head, struct bp_secret *ret,
                struct bp_error *err) {
    BP_AUTO_FREE char *file = NULL;
    struct bp_vault_head h = { 0 };
    size_t n;
    int r = bp_io_read_file(&bp_io_posix, v->path, BP_VAULT_FILE_MAX, &file, &n, err);

    if (r == -ENOENT) {
        *ret_head = h;
        return bp_secret_alloc(0, ret) < 0 ? bp_fail(err, -ENOMEM, "out of memory") : 0;
    }
    if (r < 0)
        return r;
    r = bp_vault_head_parse((uint8_t *) file, n, &h);
    if (r < 0)
        return bp_fail(err, r, "'%s' is no vault, or it was cut", v->path);
    r = decrypt(v, &h, (uint8_t *) file, ret, err);
    if (r == 0)
        *ret_head = h;
    return r;
}

/* Whole or not at all, for its owner alone. */
static int replace(const char *path, const uint8_t *p, size_t n, struct bp_error *err) {
    const struct bp_io *io = &bp_io_posix;
    char tmp[1300], dir[1300];
    int fd, r;

    (void) snprintf(tmp, sizeof tmp, "%s.tmp", path);
    (void) unlink(tmp); /* of one who was interrupted; we hold the lock */
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : io->pwrite(io->ctx, fd, p, n, 0);
    if (r == 0)
        r = io->sync(io->ctx, fd); /* the name must never stand for half a vault */
    if (fd >= 0)
        (void) close(fd);
    if (r == 0)
        r = io->rename(io->ctx, tmp, path);
    if (r < 0 && fd >= 0)
        (void) unlink(tmp);
    bp_io_dirname(path, dir, sizeof dir);
    if (r == 0)
        r = io->sync_dir(io->ctx, dir); /* what `secret set` has confirmed stays */
    return r < 0 ? bp_fail(err, r, "cannot write '%s': %s", path, bp_strerror(r)) : 0;
}

/* @param h  of the file before: its salt is kept, so that the key need not be made again */
static int store(struct bp_vault *v, const struct bp_vault_head *before,
                 const struct bp_secret *plain, struct bp_error *err) {
    size_t n = BP_VAULT_HEAD + plain->n + BP_VAULT_TAG;
    BP_AUTO_FREE uint8_t *file = malloc(n); /* ciphertext: no secret */
    BP_AUTO_SECRET key = { 0 };
    struct bp_vault_head h = *before;
    int r = 0;

    if (!file || plain->n > BP_VAULT_FILE_MAX - BP_VAULT_HEAD - BP_VAULT_TAG)
        return bp_fail(err, file ? -EFBIG : -ENOMEM, "the vault is full: %zu bytes", plain->n);
    if (!h.kdf) {
        h.kdf = v->is_key ? BP_VAULT_HKDF : BP_VAULT_SCRYPT;
        h.log_n = v->is_key ? 0 : SCRYPT_LOG_N;
        r = getrandom(h.salt, sizeof h.salt, 0) == (ssize_t) sizeof h.salt ? 0 : -EIO;
    }
    if (r == 0 && getrandom(h.nonce, sizeof h.nonce, 0) != (ssize_t) sizeof h.nonce)
        r = -EIO;
    h.n = (uint32_t) plain->n;
    bp_vault_head_put(&h, file);
    if (r == 0)
        r = key_for(v, &h, &key);
    if (r == 0)
        r = crypt_all(true, &key, file, h.nonce, plain->p, plain->n, file + BP_VAULT_HEAD,
                      file + BP_VAULT_HEAD + plain->n);
    if (r < 0)
        return bp_fail(err, r, "cannot encrypt the vault: %s", bp_strerror(r));
    return replace(v->path, file, n, err);
}

/* ---- one secret ---- */

static int find(const struct bp_secret *plain, const char *name, struct bp_vault_entry *ret) {
    size_t at = 0;

    while (bp_vault_next(plain->p, plain->n, &at, ret) > 0)
        if (bp_str_eq(ret->name, bp_str_of(name)))
            return 0;
    return -ENOENT;
}

static int absent(const char *name, struct bp_error *err) {
    return bp_fail(err, -ENOENT, "there is no secret '%s': `bagpipe secret set %s` makes it", name,
                   name);
}

int bp_vault_get(struct bp_vault *v, const char *name, struct bp_secret *ret,
                 struct bp_error *err) {
    BP_AUTO_SECRET plain = { 0 };
    struct bp_vault_head head;
    struct bp_vault_entry e;
    char file[100], path[1200];
    int r;

    if (!bp_vault_name_ok(bp_str_of(name)))
        return bp_fail(err, BP_EUSAGE, "'%.70s' is not the name of a secret", name);
    for (size_t i = 0; i < BP_COUNT(from_env); i++)
        if (bp_streq(name, from_env[i].name) && v->env[i].n)
            return bp_secret_copy(v->env[i].p, v->env[i].n, ret);
    (void) snprintf(file, sizeof file, "bagpipe.%s", name);
    if (credential_path(file, path, sizeof path) == 0)
        return bp_secret_read_file(path, BP_VAULT_VALUE_MAX, true, ret, err);

    r = load(v, &head, &plain, err);
    if (r < 0)
        return r;
    if (find(&plain, name, &e) < 0)
        return absent(name, err);
    r = bp_secret_copy(e.value.p, e.value.n, ret);
    return r < 0 ? bp_fail(err, r, "no memory for secrets") : 0;
}

int bp_vault_resolve(struct bp_vault *v, const char *text, struct bp_secret *ret,
                     struct bp_error *err) {
    static const char prefix[] = "secret:";
    int r;

    if (bp_starts_with(text, prefix))
        return bp_vault_get(v, text + sizeof prefix - 1, ret, err);
    r = bp_secret_copy(text, strlen(text), ret);
    return r < 0 ? bp_fail(err, r, "no memory for secrets") : 0;
}

int bp_vault_list(struct bp_vault *v, bp_vault_fn *fn, void *ctx, struct bp_error *err) {
    BP_AUTO_SECRET plain = { 0 };
    struct bp_vault_head head;
    struct bp_vault_entry e;
    size_t at = 0;
    int r = load(v, &head, &plain, err);

    if (r < 0)
        return r;
    while (bp_vault_next(plain.p, plain.n, &at, &e) > 0) {
        char name[BP_VAULT_NAME_MAX + 1];

        (void) snprintf(name, sizeof name, "%.*s", (int) e.name.n, e.name.p);
        fn(ctx, name, e.set_ns);
    }
    return 0;
}

/* The entries without `name`, and with `e` at its place unless it is NULL. */
static int edited(const struct bp_secret *plain, const char *name, const struct bp_vault_entry *e,
                  struct bp_secret *ret) {
    struct bp_secret out = { 0 };
    struct bp_vault_entry x;
    size_t at = 0;
    uint8_t *p;
    bool put = e == NULL;
    int r = bp_secret_alloc(plain->n + (e ? bp_vault_entry_size(e) : 0), &out);

    if (r < 0)
        return r;
    p = out.p;
    while (bp_vault_next(plain->p, plain->n, &at, &x) > 0) {
        char here[BP_VAULT_NAME_MAX + 1];
        int order;

        (void) snprintf(here, sizeof here, "%.*s", (int) x.name.n, x.name.p);
        order = strcmp(here, name);
        if (order >= 0 && !put) {
            p = bp_vault_entry_put(e, p);
            put = true;
        }
        if (order != 0)
            p = bp_vault_entry_put(&x, p);
    }
    if (!put)
        p = bp_vault_entry_put(e, p);
    out.n = (size_t) (p - out.p);
    *ret = out;
    return 0;
}

/* Only one writes at a time; the lock ends with the descriptor. @return it, or -errno */
static int take_turn(const struct bp_vault *v, struct bp_error *err) {
    char path[1300];
    int fd, r = 0;

    (void) snprintf(path, sizeof path, "%s.lock", v->path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && (r = flock(fd, LOCK_EX)) < 0 && errno == EINTR)
        ;
    if (fd >= 0 && r == 0)
        return fd;
    r = -errno;
    if (fd >= 0)
        (void) close(fd);
    return bp_fail(err, r, "cannot lock '%s': %s", path, bp_strerror(r));
}

static int change(struct bp_vault *v, const char *name, const struct bp_vault_entry *e,
                  struct bp_error *err) {
    BP_AUTO_SECRET plain = { 0 }, next = { 0 };
    struct bp_vault_head head = { 0 };
    struct bp_vault_entry old;
    BP_AUTO_FD int turn = take_turn(v, err);
    int r = turn < 0 ? turn : look_again(v, err);

    if (r == 0)
        r = load(v, &head, &plain, err);
    if (r < 0)
        return r;
    if (!e && find(&plain, name, &old) < 0)
        return absent(name, err);
    if (!v->given.n) {
        r = make_key(v, err);
        if (r < 0)
            return r;
    }
    r = edited(&plain, name, e, &next);
    return r < 0 ? bp_fail(err, r, "the vault is full, or there is no memory")
                 : store(v, &head, &next, err);
}

int bp_vault_set(struct bp_vault *v, const char *name, const struct bp_secret *value,
                 struct bp_error *err) {
    struct bp_vault_entry e = { .name = bp_str_of(name),
                                .value = { (const char *) value->p, value->n },
                                .set_ns = bp_wall_ns() };

    if (!bp_vault_name_ok(e.name))
        return bp_fail(err, BP_EUSAGE,
                       "'%.70s' cannot be the name of a secret: 1 to 64 of A-Z a-z 0-9 . _ -, not "
                       "beginning with a dot",
                       name);
    if (value->n == 0)
        return bp_fail(err, BP_EUSAGE, "the value of '%s' is empty", name);
    if (value->n > BP_VAULT_VALUE_MAX || memchr(value->p, 0, value->n))
        return bp_fail(err, BP_EUSAGE,
                       "the value of '%s' is longer than 64 KiB or holds a zero byte", name);
    return change(v, name, &e, err);
}

int bp_vault_remove(struct bp_vault *v, const char *name, struct bp_error *err) {
    return change(v, name, NULL, err);
}
