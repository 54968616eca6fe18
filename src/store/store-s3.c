#include "store/store-s3.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "crypt/sign.h"
#include "net/s3.h"

/* An object in a bucket is there whole or not at all: S3 shows what was put when it has all of it.
 * Every byte is sent under its SHA-256, of the whole or of its part, so that the service checks
 * what arrives; a HEAD afterwards tells that it has become what it should. A file's own copy goes
 * only then. Parts of an upload that broke are left to `sync gc` and the bucket's lifecycle. */

enum { PATH_MAX_ = 4096, KEY = 96, PARTS_MAX = 10000, BLOCK = 1 << 20 };
static const uint64_t PART_BYTES = 16 << 20;

struct s3_store {
    struct bp_store base;
    struct bp_fetch *fetch; /* owned, as the next two */
    struct bp_s3_creds *creds;
    struct bp_s3 *s3;
    const struct bp_io *io; /* borrowed */
    uint64_t part_bytes;
};

struct s3_object {
    struct bp_store_object base;
    char key[KEY];
    char etag[BP_S3_ETAG];
};

static struct s3_store *s3_of(struct bp_store *s) {
    return BP_CONTAINER_OF(s, struct s3_store, base);
}

static struct s3_object *object_of(struct bp_store_object *o) {
    return BP_CONTAINER_OF(o, struct s3_object, base);
}

static void key_of(const uint8_t *sha256, char ret[static KEY]) {
    char hex[BP_SHA256_HEX];

    (void) bp_sha256_hex(sha256, hex);
    (void) snprintf(ret, KEY, "objects/%.2s/%s", hex, hex + 2);
}

static int s3_head(struct bp_store *s, const uint8_t *sha256, uint64_t *ret_bytes,
                   struct bp_error *err) {
    struct bp_s3_object o;
    char key[KEY];
    int r;

    key_of(sha256, key);
    r = bp_s3_head(s3_of(s)->s3, key, &o, NULL, err);
    if (r == -ENOENT)
        return bp_fail(err, -ENOENT, "there is no such object");
    if (r == 0)
        *ret_bytes = o.size;
    return r;
}

/* ---- put ---- */

struct source {
    struct s3_store *s;
    const char *key;
    const uint8_t *sha256; /* of the whole */
    int fd;
    uint64_t bytes;
};

/* SHA-256 of a stretch of the file. */
static int digest_of(const struct source *f, uint64_t off, uint64_t n,
                     uint8_t ret[static BP_SHA256_LEN], struct bp_error *err) {
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *s = bp_sha256_new();
    BP_AUTO_FREE uint8_t *p = malloc(BLOCK);

    if (!s || !p)
        return bp_fail(err, -ENOMEM, "out of memory");
    while (n > 0) {
        size_t k = (size_t) BP_MIN(n, (uint64_t) BLOCK);
        ssize_t r = f->s->io->pread(f->s->io->ctx, f->fd, p, k, off);

        if (r != (ssize_t) k)
            return bp_fail(err, r < 0 ? (int) r : -EIO, "cannot read the file to be stored: %s",
                           bp_strerror(r < 0 ? (int) r : -EIO));
        bp_sha256_add(s, p, k);
        off += k;
        n -= k;
    }
    bp_sha256_end(s, ret);
    return 0;
}

static int put_whole(const struct source *f, const struct bp_s3_put_options *o,
                     struct bp_error *err) {
    const struct bp_fetch_file file = { .io = f->s->io, .fd = f->fd, .size = f->bytes };
    struct bp_s3_body body = { .sha256 = f->sha256 };
    struct bp_s3_object done;

    body.file = f->bytes > 0 ? &file : NULL;
    return bp_s3_put(f->s->s3, f->key, &body, o, NULL, &done, NULL, err);
}

static int put_part(const struct source *f, const char *id, uint64_t part_bytes, unsigned n,
                    struct bp_s3_part *ret, struct bp_error *err) {
    uint64_t off = (uint64_t) n * part_bytes;
    const struct bp_fetch_file file = {
        .io = f->s->io, .fd = f->fd, .offset = off, .size = BP_MIN(part_bytes, f->bytes - off)
    };
    uint8_t digest[BP_SHA256_LEN];
    const struct bp_s3_body body = { .file = &file, .sha256 = digest };
    int r = digest_of(f, off, file.size, digest, err);

    if (r < 0)
        return r;
    return bp_s3_upload_part(f->s->s3, f->key, id, n + 1, &body, NULL, ret, NULL, err);
}

static int put_parts(const struct source *f, const struct bp_s3_put_options *o,
                     struct bp_error *err) {
    uint64_t part_bytes = BP_MAX(f->s->part_bytes, BP_S3_MIN_PART);
    BP_AUTO_FREE struct bp_s3_part *parts = NULL;
    BP_AUTO_FREE char *id = NULL;
    struct bp_s3_object done;
    unsigned n;
    int r;

    while (f->bytes / part_bytes >= PARTS_MAX)
        part_bytes *= 2;
    n = (unsigned) ((f->bytes - 1) / part_bytes + 1);
    parts = calloc(n, sizeof *parts);
    if (!parts)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_s3_upload_create(f->s->s3, f->key, o, &id, NULL, err);
    if (r < 0)
        return r;
    for (unsigned i = 0; r == 0 && i < n; i++)
        r = put_part(f, id, part_bytes, i, &parts[i], err);
    if (r == 0)
        r = bp_s3_upload_complete(f->s->s3, f->key, id, parts, n, false, &done, NULL, err);
    if (r < 0 && bp_s3_upload_abort(f->s->s3, f->key, id, NULL, NULL) < 0)
        return r; /* left to whoever cleans up */
    return r;
}

/* Is what the service has now what it should be? */
static int check_put(const struct source *f, struct bp_error *err) {
    uint64_t bytes = 0;
    int r = s3_head(&f->s->base, f->sha256, &bytes, err);

    if (r == 0 && bytes != f->bytes)
        r = bp_fail(err, -EIO, "the object has %llu bytes, not %llu: it is sent again",
                    (unsigned long long) bytes, (unsigned long long) f->bytes);
    return r;
}

static int send_file(struct s3_store *s, const uint8_t *sha256, const char *path, uint64_t bytes,
                     struct bp_error *err) {
    const struct bp_s3_put_options o = { .digest = sha256 };
    struct source f = { .s = s, .sha256 = sha256, .bytes = bytes };
    char key[KEY];
    int r;

    key_of(sha256, key);
    f.key = key;
    f.fd = s->io->open(s->io->ctx, path, O_RDONLY, 0);
    if (f.fd < 0)
        return bp_fail(err, f.fd, "cannot open '%s': %s", path, bp_strerror(f.fd));
    r = bytes > s->part_bytes ? put_parts(&f, &o, err) : put_whole(&f, &o, err);
    if (r == 0)
        r = check_put(&f, err);
    (void) s->io->close(s->io->ctx, f.fd);
    return r;
}

static int s3_put(struct bp_store *base, const uint8_t *sha256, const char *path, uint64_t bytes,
                  struct bp_error *err) {
    struct s3_store *s = s3_of(base);
    uint64_t there = 0;
    bool known;
    int r = s3_head(base, sha256, &there, err);

    if (r < 0 && r != -ENOENT)
        return r;
    known = r == 0 && there == bytes;
    if (!known)
        r = send_file(s, sha256, path, bytes, err);
    if (r < 0)
        return r;
    (void) s->io->unlink(s->io->ctx, path);
    return known;
}

/* ---- read ---- */

static int s3_open(struct bp_store *s, const uint8_t *sha256, struct bp_store_object **ret,
                   struct bp_error *err) {
    BP_AUTO_FREE struct s3_object *o = calloc(1, sizeof *o);
    struct bp_s3_object head;
    int r;

    if (!o)
        return bp_fail(err, -ENOMEM, "out of memory");
    key_of(sha256, o->key);
    r = bp_s3_head(s3_of(s)->s3, o->key, &head, NULL, err);
    if (r == -ENOENT)
        return bp_fail(err, -ENOENT, "there is no such object");
    if (r < 0)
        return r;
    o->base = (struct bp_store_object){ s, head.size };
    (void) snprintf(o->etag, sizeof o->etag, "%s", head.etag);
    *ret = &o->base;
    o = NULL;
    return 0;
}

struct sink {
    uint8_t *p;
    size_t n, max;
};

static int take(void *ctx, const void *p, size_t n) {
    struct sink *s = ctx;

    if (n > s->max - s->n)
        return BP_ELIMIT;
    memcpy(s->p + s->n, p, n);
    s->n += n;
    return 0;
}

static ssize_t s3_read(struct bp_store_object *base, void *p, size_t n, uint64_t off,
                       struct bp_error *err) {
    const struct s3_object *o = object_of(base);
    struct sink s = { p, 0, n };
    int r;

    if (n == 0)
        return 0;
    r = bp_s3_get(s3_of(base->store)->s3, o->key, off, n, o->etag[0] ? o->etag : NULL, take, &s,
                  NULL, NULL, NULL, err);
    return r < 0 ? r : (ssize_t) s.n;
}

static int s3_url(struct bp_store *s, const uint8_t *sha256, char **ret, struct bp_error *err) {
    char key[KEY];

    key_of(sha256, key);
    return bp_s3_presign(s3_of(s)->s3, "GET", key, NULL, 0, 600 * BP_SEC, ret, err);
}

static void s3_object_close(struct bp_store_object *base) {
    free(object_of(base));
}

/* ---- all of them ---- */

struct walk {
    int (*fn)(void *ctx, const uint8_t *sha256, uint64_t bytes, int64_t wall_ns);
    void *ctx;
};

static int tell_one(void *ctx, const struct bp_s3_entry *e) {
    const struct walk *w = ctx;
    uint8_t sha256[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX + 1];

    if (strlen(e->key) != strlen("objects/") + BP_SHA256_HEX || e->key[10] != '/' ||
        snprintf(hex, sizeof hex, "%.2s%s", e->key + 8, e->key + 11) != BP_SHA256_HEX - 1 ||
        bp_key_digits(bp_str_of(hex), sha256, sizeof sha256) < 0)
        return 0;
    return w->fn(w->ctx, sha256, e->object.size, e->object.modified);
}

static int s3_each(struct bp_store *s,
                   int (*fn)(void *ctx, const uint8_t *sha256, uint64_t bytes, int64_t wall_ns),
                   void *ctx, struct bp_error *err) {
    struct walk w = { fn, ctx };

    return bp_s3_list(s3_of(s)->s3, "objects/", NULL, NULL, tell_one, &w, NULL, err);
}

static int s3_delete(struct bp_store *s, const uint8_t *sha256, struct bp_error *err) {
    char key[KEY];

    key_of(sha256, key);
    return bp_s3_delete(s3_of(s)->s3, key, NULL, err);
}

static void s3_close(struct bp_store *base) {
    struct s3_store *s = s3_of(base);

    bp_s3_close(s->s3);
    bp_s3_creds_close(s->creds);
    bp_fetch_close(s->fetch);
    free(s);
}

static const struct bp_store_ops s3_ops = {
    .name = "s3",
    .put = s3_put,
    .head = s3_head,
    .open = s3_open,
    .each = s3_each,
    .delete = s3_delete,
    .url = s3_url,
    .close = s3_close,
    .read = s3_read,
    .object_close = s3_object_close,
};

static const char *given(const char *text) {
    return text && *text ? text : NULL;
}

static int open_client(struct s3_store *s, const struct bp_store_s3_options *o,
                       struct bp_error *err) {
    const struct bp_fetch_options fetch = { .ca_file = given(o->ca_file) };
    const struct bp_s3_creds_options creds = { .anonymous = false };
    struct bp_s3_options s3 = { .endpoint = given(o->endpoint),
                                .region = given(o->region),
                                .bucket = o->bucket,
                                .prefix = given(o->prefix),
                                .style = o->path_style ? BP_S3_STYLE_PATH : BP_S3_STYLE_AUTO };
    int r = bp_fetch_open(&fetch, &s->fetch, err);

    if (r == 0)
        r = bp_s3_creds_open(&creds, s->fetch, &s->creds, err);
    s3.fetch = s->fetch;
    s3.creds = s->creds;
    return r < 0 ? r : bp_s3_open(&s3, &s->s3, err);
}

int bp_store_open_s3(const struct bp_store_s3_options *o, struct bp_store **ret,
                     struct bp_error *err) {
    BP_CLEANUP(bp_store_closep) struct bp_store *base = NULL;
    struct s3_store *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    s->base.ops = &s3_ops;
    s->io = o->io;
    s->part_bytes = o->part_bytes ? o->part_bytes : PART_BYTES;
    base = &s->base;
    if (!given(o->bucket))
        return bp_fail(err, BP_ECONFIG, "a bucket must be named");
    r = open_client(s, o, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(base);
    return 0;
}
