/* The archive made anew: manifests are found among the objects by their first bytes and put in the
 * order in which they came, so that the last one of a session counts. All of it is one transaction;
 * a kill leaves what was before. */
#include "server/reindex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "bag/manifest.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "catalog/archive.h"
#include "server/api-uploads.h"
#include "server/server-priv.h"
#include "store/store.h"

struct found {
    uint8_t sha256[BP_SHA256_LEN];
    int64_t wall_ns;
};

struct reindexing {
    struct bp_store *store;
    struct bp_archive *archive;
    struct found *v; /* owned: objects that look like manifests */
    size_t n, cap;
    struct bp_reindexed done;
    struct bp_error *err;
};

/* ---- finding manifests ---- */

/* Opened and read from its beginning, at most `max` bytes. */
static int read_object(struct bp_store *s, const uint8_t *sha256, size_t max, struct bp_buf *out,
                       struct bp_error *err) {
    BP_CLEANUP(bp_store_object_closep) struct bp_store_object *o = NULL;
    int r = bp_store_get(s, sha256, &o, err);
    ssize_t got;
    size_t n;

    if (r < 0)
        return r;
    n = (size_t) BP_MIN(o->bytes, (uint64_t) max);
    bp_buf_clear(out);
    if (!bp_buf_grow(out, n))
        return bp_fail(err, -ENOMEM, "no memory for an object");
    got = bp_store_object_read(o, out->p, n, 0, err);
    if (got >= 0 && (size_t) got < n)
        return bp_fail(err, BP_ETRUNCATED, "an object is shorter than it was");
    return got < 0 ? (int) got : 0;
}

static bool is_manifest(struct bp_store *s, const uint8_t *sha256) {
    static const char mark[] = "\"bagpipe.session/";
    BP_AUTO_BUF head = { 0 };

    return read_object(s, sha256, 256, &head, NULL) == 0 && head.n > 2 && head.p[0] == '{' &&
           memmem(head.p, head.n, mark, sizeof mark - 1);
}

static int look(void *ctx, const uint8_t *sha256, uint64_t bytes, int64_t wall_ns) {
    struct reindexing *x = ctx;

    x->done.objects++;
    if (bytes > BP_MANIFEST_BYTES_MAX || !is_manifest(x->store, sha256))
        return 0;
    if (x->n == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 256;
        struct found *v = realloc(x->v, cap * sizeof *v);

        if (!v)
            return bp_fail(x->err, -ENOMEM, "no memory for the list of manifests");
        x->v = v;
        x->cap = cap;
    }
    x->v[x->n].wall_ns = wall_ns;
    memcpy(x->v[x->n++].sha256, sha256, BP_SHA256_LEN);
    return 0;
}

static int by_time(const void *a, const void *b) {
    const struct found *x = a, *y = b;

    return x->wall_ns != y->wall_ns ? x->wall_ns < y->wall_ns ? -1 : 1
                                    : memcmp(x->sha256, y->sha256, sizeof x->sha256);
}

/* ---- putting one ---- */

struct owner {
    const char *key;
    char id[129];
};

static int match_key(void *ctx, const struct bp_archive_device *d) {
    struct owner *o = ctx;

    if (*d->public_key && bp_streq(d->public_key, o->key))
        (void) snprintf(o->id, sizeof o->id, "%s", d->id);
    return 0;
}

static int hex_digest(const char *hex, uint8_t ret[static BP_ARCHIVE_DIGEST]) {
    for (size_t i = 0; i < BP_ARCHIVE_DIGEST; i++)
        if (sscanf(hex + 2 * i, "%2hhx", &ret[i]) != 1) /* NOLINT(cert-err34-c): two digits */
            return -EINVAL;
    return 0;
}

static int put_segments(struct reindexing *x, const struct bp_manifest *m, int64_t wall_ns) {
    int r = 0;

    for (size_t i = 0; r >= 0 && i < m->nsegments; i++) {
        const struct bp_manifest_segment *s = &m->segments[i];
        struct bp_archive_file f = { .file = s->file,
                                     .kind = BP_ARCHIVE_SEGMENT,
                                     .state = BP_ARCHIVE_FILE_RECEIVED,
                                     .bytes = s->bytes,
                                     .messages = s->messages,
                                     .repeated = s->repeated,
                                     .first_ns = s->first_ns,
                                     .last_ns = s->last_ns };
        uint64_t bytes = 0;

        x->done.segments++;
        if (hex_digest(s->sha256, f.sha256) < 0 ||
            bp_store_head(x->store, f.sha256, &bytes, NULL) < 0)
            x->done.missing++;
        else
            r = bp_archive_put_file(x->archive, m->id, &f, BP_ARCHIVE_MERGE, wall_ns, NULL, x->err);
    }
    return r < 0 ? r : 0;
}

static int put_rows(struct reindexing *x, const struct bp_manifest *m, int64_t wall_ns) {
    BP_AUTO_FREE struct bp_archive_file *files = calloc(m->nsegments + 1, sizeof *files);
    BP_AUTO_FREE struct bp_archive_topic *topics = calloc(m->nchannels + 1, sizeof *topics);
    struct bp_archive_manifest row = { .id = m->id,
                                       .name = m->name,
                                       .created_ns = m->created_ns,
                                       .segments = files,
                                       .topics = topics,
                                       .ntopics = m->nchannels };

    if (!files || !topics)
        return bp_fail(x->err, -ENOMEM, "no memory for a manifest");
    for (size_t i = 0; i < m->nsegments; i++) {
        const struct bp_manifest_segment *s = &m->segments[i];
        struct bp_archive_file *f = &files[row.nsegments];

        *f = (struct bp_archive_file){ .file = s->file,
                                       .bytes = s->bytes,
                                       .messages = s->messages,
                                       .repeated = s->repeated,
                                       .first_ns = s->first_ns,
                                       .last_ns = s->last_ns };
        row.nsegments += hex_digest(s->sha256, f->sha256) == 0;
    }
    for (size_t i = 0; i < m->nchannels; i++) {
        const struct bp_manifest_channel *c = &m->channels[i];

        topics[i] = (struct bp_archive_topic){ .topic = c->topic,
                                               .type = c->type,
                                               .robot = c->robot,
                                               .domain = c->domain,
                                               .messages = c->received };
        for (size_t k = 0; k < BP_LOSS_N_; k++)
            topics[i].lost += c->lost[k];
    }
    return bp_archive_put_manifest(x->archive, m->id, &row, wall_ns, NULL, x->err);
}

static int put_manifest(struct reindexing *x, const struct found *f, const struct bp_manifest *m) {
    struct owner owner = { .key = m->signed_by, .id = "unknown" };
    struct bp_archive_about about = {
        .id = m->id, .name = m->name, .device = owner.id, .started_ns = m->created_ns
    };
    struct bp_archive_file file = { .file = (char *) (uintptr_t) BP_MANIFEST_FILE,
                                    .kind = BP_ARCHIVE_MANIFEST,
                                    .state = BP_ARCHIVE_FILE_RECEIVED };
    int r = m->signed_by && *m->signed_by
                ? bp_archive_each_device(x->archive, match_key, &owner, x->err)
                : 0;

    if (r >= 0)
        r = bp_archive_put_about(x->archive, &about, BP_ARCHIVE_MERGE, f->wall_ns, NULL, NULL,
                                 x->err);
    if (r == -EEXIST) /* deleted here: objects of it that are left are not brought back */
        return 0;
    memcpy(file.sha256, f->sha256, sizeof file.sha256);
    if (r >= 0)
        r = bp_store_head(x->store, f->sha256, &file.bytes, x->err);
    if (r >= 0)
        r = bp_archive_put_file(x->archive, m->id, &file, BP_ARCHIVE_REMOTE, f->wall_ns, NULL,
                                x->err);
    if (r >= 0)
        r = put_rows(x, m, f->wall_ns);
    if (r >= 0)
        r = put_segments(x, m, f->wall_ns);
    x->done.sessions += r >= 0;
    return r;
}

/* One that cannot be read is told and passed over. */
static int walk(void *ctx, struct bp_archive *a, struct bp_error *err) {
    struct reindexing *x = ctx;
    BP_AUTO_BUF text = { 0 };

    (void) a;
    x->err = err;
    for (size_t i = 0; i < x->n; i++) {
        BP_AUTO_MANIFEST m = { 0 };
        struct bp_error why = { 0 };
        int r = read_object(x->store, x->v[i].sha256, BP_MANIFEST_BYTES_MAX, &text, &why);

        if (r == 0)
            r = bp_manifest_parse((struct bp_str){ (const char *) text.p, text.n },
                                  BP_MANIFEST_FILE, &m, &why);
        if (r < 0) {
            bp_log(BP_LOG_WARNING, "a manifest cannot be read, passed over",
                   BP_F_TEXT("error", why.text));
            continue;
        }
        r = put_manifest(x, &x->v[i], &m);
        if (r < 0)
            return r;
    }
    return 0;
}

/* For gc: what is older than this file may belong to a session all the same. */
static int leave_mark(const char *dir, struct bp_error *err) {
    char path[1100];

    (void) snprintf(path, sizeof path, "%s/" BP_REINDEXED_FILE, dir);
    BP_AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || futimens(fd, NULL) < 0 || fsync(fd) < 0)
        return bp_fail(err, -errno, "cannot write '%s': %s", path, bp_strerror(-errno));
    return 0;
}

int bp_server_reindex(const struct bp_server_config *config, struct bp_reindexed *ret,
                      struct bp_error *err) {
    const struct bp_places places = bp_server_places(config);
    BP_CLEANUP(bp_archive_closep) struct bp_archive *a = NULL;
    struct bp_server s = { .config = config };
    struct reindexing x = { .err = err };
    char path[1100];
    int r = bp_places_data(&places, s.dir, sizeof s.dir, err);

    if (r == 0)
        r = bp_server_part_store.open(&s, err);
    (void) snprintf(path, sizeof path, "%s/archive.db", s.dir);
    if (r == 0)
        r = bp_archive_open(path, &a, NULL, err);
    x.store = s.store;
    x.archive = a;
    if (r == 0)
        r = bp_store_each(s.store, look, &x, err);
    if (r == 0 && x.n > 1)
        qsort(x.v, x.n, sizeof *x.v, by_time);
    if (r == 0)
        r = bp_archive_reindex(a, walk, &x, err);
    if (r == 0)
        r = leave_mark(s.dir, err);
    free(x.v);
    bp_archive_close(BP_TAKE_PTR(a));
    bp_server_part_store.close(&s);
    if (r == 0)
        *ret = x.done;
    return r;
}
