/* Sessions in a bucket, as target-s3.c lays them out: a folder "NAME-ID" somewhere below what the
 * layout begins with, its files, and small objects that refer to others. */

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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
    char *folder;    /* owned: its key, ends in '/' */
    bool failed;
};

/* Is this folder's name "NAME-ID" of the session we look for? */
static bool fits(const char *name, size_t n, const char *key, char ret_id[static 27]) {
    const char *id = name + n - 26;

    if (n < 28 || id[-1] != '-' || bp_ulid_parse(id, 26, NULL) < 0)
        return false;
    memcpy(ret_id, id, 26);
    ret_id[26] = '\0';
    return bp_streq(ret_id, key) || (strlen(key) == n - 27 && memcmp(name, key, n - 27) == 0);
}

static int look_at(void *ctx, const struct bp_s3_entry *e) {
    struct looking *l = ctx;
    char id[27];

    for (const char *p = e->key, *end; (end = strchr(p, '/')); p = end + 1) {
        if (!fits(p, (size_t) (end - p), l->key, id) || strcmp(id, l->id) <= 0)
            continue;
        memcpy(l->id, id, sizeof l->id);
        free(l->folder);
        l->folder = strndup(e->key, (size_t) (end + 1 - e->key));
        if (!l->folder)
            return -ENOMEM;
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
        for (int day = -1; r == 0 && !l->folder && day <= 1; day++) {
            time_t sec = (time_t) (began / BP_SEC) + (time_t) day * 86400;
            char under[32];
            struct tm tm = { 0 };

            (void) gmtime_r(&sec, &tm);
            if (strftime(under, sizeof under, "sessions/%Y-%m-%d/", &tm))
                r = list(s, under, l, err);
        }
    if (r == 0 && !l->folder)
        r = list(s, "sessions/", l, err);
    if (r == 0 && !l->folder) /* another layout */
        r = list(s, "", l, err);
    if (r == 0 && !l->folder)
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
    size_t prefix; /* bytes of the folder's key */
    struct bp_error *err;
};

/* A small object that says where the content lies. */
static int add_reference(struct adding *a, const char *key, const char *name) {
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
            ? bp_pull_add(a->list, real, where,
                          (uint64_t) BP_MAX(json_integer_value(json_object_get(o, "bytes")), 0),
                          sha256, a->err)
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
               ? add_reference(a, e->key, name)
               : bp_pull_add(a->list, name, e->key, e->object.size, NULL, a->err);
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

static int s3_find(void *self, const char *key, struct bp_pull_list *ret, struct bp_error *err) {
    struct looking l = { .key = key };
    struct adding a = { self, ret, 0, err };
    const char *name;
    int r = find_folder(self, &l, err);

    if (r == 0) {
        size_t n = strlen(l.folder) - 1;

        name = l.folder + n;
        while (name > l.folder && name[-1] != '/')
            name--;
        memcpy(ret->id, l.id, sizeof ret->id);
        free(ret->name);
        ret->name = strndup(name, (size_t) (l.folder + n - name) - 27);
        a.prefix = n + 1;
        r = ret->name ? bp_s3_list(a.s->s3, l.folder, NULL, NULL, add_object, &a, NULL, err)
                      : bp_fail(err, -ENOMEM, "out of memory");
    }
    free(l.folder);
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
