/* Sessions in a bucket, as target-s3.c lays them out: a folder "NAME-ID" somewhere below what the
 * layout begins with, its files, and small objects that refer to others. A session may have come to
 * lie in several folders, when it was renamed or its robot was another after a queue was lost: they
 * are one, and of a file that several have the newest counts. */

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bag/manifest.h"
#include "base/ulid.h"
#include "crypt/digest.h"
#include "net/s3.h"
#include "sync/key-layout.h"
#include "sync/pull-priv.h"
#include "sync/target-s3.h"

enum { SMALL_MAX = 64 << 10 };

struct s3 {
    struct bp_fetch *fetch;
    struct bp_s3_creds *creds;
    struct bp_s3 *s3;
};

static void s3_free(void *self) {
    struct s3 *s = self;

    if (!s)
        return;
    bp_s3_close(s->s3);
    bp_s3_creds_close(s->creds);
    bp_fetch_close(s->fetch);
    free(s);
}

static void s3_freep(struct s3 **s) {
    s3_free(*s);
}

/* ---- the session's folder ---- */

struct looking {
    const char *key; /* id or name */
    char id[27];     /* of the newest that fits */
    char **folders;  /* owned: its keys, end in '/' */
    size_t n;
};

static void forget_folders(struct looking *l) {
    while (l->n > 0)
        free(l->folders[--l->n]);
    free(l->folders);
    l->folders = NULL;
}

/* Is this folder's name "NAME-ID" of the session we look for? */
static bool fits(const char *name, size_t n, const char *key, char ret_id[static 27]) {
    const char *id = name + n - 26;

    if (n < 28 || id[-1] != '-' || bp_ulid_parse(id, 26, NULL) < 0)
        return false;
    memcpy(ret_id, id, 26);
    ret_id[26] = '\0';
    return bp_streq(ret_id, key) || (strlen(key) == n - 27 && memcmp(name, key, n - 27) == 0);
}

static int add_folder(struct looking *l, const char *key, size_t bytes) {
    char **grown;

    for (size_t i = 0; i < l->n; i++)
        if (strlen(l->folders[i]) == bytes && memcmp(l->folders[i], key, bytes) == 0)
            return 0;
    grown = realloc(l->folders, (l->n + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    l->folders = grown;
    l->folders[l->n] = strndup(key, bytes);
    return l->folders[l->n] ? (l->n++, 0) : -ENOMEM;
}

static int look_at(void *ctx, const struct bp_s3_entry *e) {
    struct looking *l = ctx;
    char id[27];

    for (const char *p = e->key, *end; (end = strchr(p, '/')); p = end + 1) {
        int newer = fits(p, (size_t) (end - p), l->key, id) ? strcmp(id, l->id) : -1;

        if (newer > 0)
            forget_folders(l);
        if (newer >= 0) {
            memcpy(l->id, id, sizeof l->id);
            if (add_folder(l, e->key, (size_t) (end + 1 - e->key)) < 0)
                return -ENOMEM;
        }
    }
    return 0;
}

static int list(struct s3 *s, const char *under, struct looking *l, struct bp_error *err) {
    return bp_s3_list(s->s3, under, NULL, NULL, look_at, l, NULL, err);
}

/* An id tells when the session began: of the usual layout only those days are listed. */
static int find_folder(struct s3 *s, struct looking *l, struct bp_error *err) {
    bp_ns_t began;
    int r = 0;

    if (strlen(l->key) == 26 && bp_ulid_parse(l->key, 26, &began) == 0)
        for (int day = -1; r == 0 && day <= 1; day++) {
            time_t sec = (time_t) (began / BP_SEC) + (time_t) day * 86400;
            char under[32];
            struct tm tm = { 0 };

            (void) gmtime_r(&sec, &tm);
            if (strftime(under, sizeof under, "sessions/%Y-%m-%d/", &tm))
                r = list(s, under, l, err);
        }
    if (r == 0 && !l->n)
        r = list(s, "sessions/", l, err);
    if (r == 0 && !l->n) /* another layout */
        r = list(s, "", l, err);
    if (r == 0 && !l->n)
        return bp_fail(err, -ENOENT, "there is no session '%s' in the bucket", l->key);
    return r;
}

/* ---- its files ---- */

static int keep(void *ctx, const void *p, size_t n) {
    struct bp_buf *b = ctx;

    if (b->n + n > SMALL_MAX)
        return BP_ELIMIT;
    bp_buf_put(b, p, n);
    return b->failed ? -ENOMEM : 0;
}

struct adding {
    struct s3 *s;
    struct bp_pull_list *list;
    size_t prefix;  /* bytes of the folder's key */
    size_t earlier; /* files of the folders before */
    bool is_named;  /* the session is called as this folder: its manifest is the newest */
    struct bp_error *err;
};

static struct bp_pull_file *find_earlier(const struct adding *a, const char *name) {
    for (size_t i = 0; i < a->earlier; i++)
        if (bp_streq(a->list->v[i].name, name))
            return &a->list->v[i];
    return NULL;
}

/* Of a file that an earlier folder has, too, the newer one. */
static int add(struct adding *a, const char *name, const char *where, uint64_t bytes,
               const char *sha256, bp_ns_t modified) {
    struct bp_pull_file *f = find_earlier(a, name);
    char *copy;
    int r;

    if (f && modified < f->modified)
        return 0;
    a->is_named = a->is_named || bp_streq(name, BP_MANIFEST_FILE);
    if (!f) {
        r = bp_pull_add(a->list, name, where, bytes, sha256, a->err);
        if (r == 0)
            a->list->v[a->list->n - 1].modified = modified;
        return r;
    }
    copy = strdup(where);
    if (!copy)
        return bp_fail(a->err, -ENOMEM, "out of memory");
    free(f->where);
    f->where = copy;
    f->bytes = bytes;
    f->modified = modified;
    (void) snprintf(f->sha256, sizeof f->sha256, "%s", sha256 ? sha256 : "");
    return 0;
}

/* A small object that says where the content lies. */
static int add_reference(struct adding *a, const char *key, const char *name, bp_ns_t modified) {
    BP_AUTO_BUF b = { 0 };
    BP_AUTO_FREE char *real = strndup(name, strlen(name) - strlen(BP_SYNC_S3_REF));
    json_t *o = NULL;
    const char *where, *sha256;
    int r =
        real ? bp_s3_get(a->s->s3, key, 0, 0, NULL, keep, &b, NULL, NULL, NULL, a->err) : -ENOMEM;

    if (r < 0)
        return r;
    o = json_loadb((const char *) b.p, b.n, JSON_REJECT_DUPLICATES, NULL);
    where = json_string_value(json_object_get(o, "key"));
    sha256 = json_string_value(json_object_get(o, "sha256"));
    r = where && *where && sha256 && strlen(sha256) == 64
            ? add(a, real, where,
                  (uint64_t) BP_MAX(json_integer_value(json_object_get(o, "bytes")), 0), sha256,
                  modified)
            : bp_fail(a->err, BP_EFORMAT, "'%s' refers to nothing", key);
    json_decref(o);
    return r;
}

static int add_object(void *ctx, const struct bp_s3_entry *e) {
    struct adding *a = ctx;
    const char *name = e->key + a->prefix;
    size_t n = strlen(name), end = strlen(BP_SYNC_S3_REF);

    if (e->is_prefix || !n || name[n - 1] == '/' || bp_streq(name, BP_SYNC_S3_SESSION))
        return 0;
    return n > end && bp_streq(name + n - end, BP_SYNC_S3_REF)
               ? add_reference(a, e->key, name, e->object.modified)
               : add(a, name, e->key, e->object.size, NULL, e->object.modified);
}

/* Lists tell no digests: HEAD does. */
static int add_digests(struct s3 *s, struct bp_pull_list *l, struct bp_error *err) {
    for (size_t i = 0; i < l->n; i++) {
        struct bp_s3_object o = { 0 };
        int r = *l->v[i].sha256 ? 0 : bp_s3_head(s->s3, l->v[i].where, &o, NULL, err);

        if (r < 0)
            return r;
        if (o.has_digest)
            (void) bp_sha256_hex(o.digest, l->v[i].sha256);
    }
    return 0;
}

/* Its files; and its name, when its manifest is the newest. */
static int add_files(struct adding *a, const char *folder) {
    size_t n = strlen(folder) - 1;
    const char *name = folder + n;
    int r;

    while (name > folder && name[-1] != '/')
        name--;
    a->prefix = n + 1;
    a->earlier = a->list->n;
    a->is_named = !a->list->name;
    r = bp_s3_list(a->s->s3, folder, NULL, NULL, add_object, a, NULL, a->err);
    if (r < 0 || !a->is_named)
        return r;
    free(a->list->name);
    a->list->name = strndup(name, (size_t) (folder + n - name) - 27);
    return a->list->name ? 0 : bp_fail(a->err, -ENOMEM, "out of memory");
}

static int s3_find(void *self, const char *key, struct bp_pull_list *ret, struct bp_error *err) {
    BP_CLEANUP(forget_folders) struct looking l = { .key = key };
    struct adding a = { .s = self, .list = ret, .err = err };
    int r = find_folder(self, &l, err);

    if (r == 0) {
        memcpy(ret->id, l.id, sizeof ret->id);
        free(BP_TAKE_PTR(ret->name));
    }
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = add_files(&a, l.folders[i]);
    return r < 0 ? r : add_digests(self, ret, err);
}

static int s3_read(void *self, const struct bp_pull_list *l, const struct bp_pull_file *f,
                   uint64_t offset, int (*sink)(void *ctx, const void *p, size_t n), void *ctx,
                   const bool *cancel, struct bp_error *err) {
    struct s3 *s = self;
    struct bp_s3_flow flow = { .cancel = cancel };

    (void) l;
    return bp_s3_get(s->s3, f->where, offset, 0, NULL, sink, ctx, &flow, NULL, NULL, err);
}

const struct bp_pull_source bp_pull_s3 = {
    .free = s3_free,
    .find = s3_find,
    .read = s3_read,
};

int bp_pull_s3_open(const struct bp_sync_target_opts *o, void **ret_self, struct bp_error *err) {
    BP_CLEANUP(s3_freep) struct s3 *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_fetch_open(&(struct bp_fetch_options){ .ca_file = o->ca_file,
                                                  .proxy = o->proxy,
                                                  .connect_timeout = o->connect_timeout,
                                                  .stall_timeout = o->stall_timeout },
                      &s->fetch, err);
    if (r == 0)
        r = bp_sync_s3_client(o, s->fetch, &s->creds, &s->s3, err);
    if (r < 0)
        return r;
    *ret_self = BP_TAKE_PTR(s);
    return 0;
}
