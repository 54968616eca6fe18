/* What is to be sent: sessions, files, folders, and the queue made anew from folders. */
#include "sync/engine-priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include <jansson.h>

#include "bag/manifest.h"
#include "bag/metadata.h"
#include "bag/proof.h"
#include "base/ulid.h"
#include "sync/shuttle.h"

/* ---- sessions ---- */

static const char *base_of(const char *dir) {
    const char *slash = strrchr(dir, '/');

    return slash && slash[1] ? slash + 1 : dir;
}

/* What we know, when nobody told more. Owned by the caller. */
static char *plain_json(const struct bp_sync *s, const struct bp_sync_session *x,
                        const char *name) {
    json_t *tags = json_array(), *robots = json_array(), *j;
    char *text;

    for (size_t i = 0; x->tags && x->tags[i]; i++)
        (void) json_array_append_new(tags, json_string(x->tags[i]));
    for (size_t i = 0; x->robots && x->robots[i]; i++)
        (void) json_array_append_new(robots, json_string(x->robots[i]));
    j = json_pack("{s:s%, s:s, s:o, s:o, s:o, s:{s:i}}", "name", name, strlen(name), "device",
                  s->device, "robots", robots, "tags", tags, "started_ns",
                  json_sprintf("%lld", (long long) x->started_ns), "version",
                  s->device[0] ? s->device : "device", 1);
    text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text;
}

static int check_json(const char *text, struct bp_error *err) {
    json_error_t e;
    json_t *j = json_loads(text, 0, &e);
    bool ok = json_is_object(j);

    json_decref(j);
    return ok ? 0 : bp_fail(err, -EINVAL, "a session's JSON is no object: %s", e.text);
}

static int add_session(struct bp_sync *s, const struct bp_sync_session *x, struct bp_error *err) {
    int r = bp_sync_queue_begin(s->queue, err);

    if (r < 0)
        return r;
    r = bp_sync_queue_put_session(s->queue, x, NULL, err);
    for (size_t i = 0; r >= 0 && i < s->nlines; i++) {
        const struct bp_sync_line *l = &s->lines[i];

        if (bp_sync_matches(l, x))
            r = bp_sync_queue_want(s->queue, x->id, l->name,
                                   l->t.ops->flags & BP_SYNC_MANIFEST_LAST, err);
    }
    return bp_sync_queue_end(s->queue, r, err);
}

int bp_sync_add_session(struct bp_sync *s, const struct bp_sync_session *x, struct bp_error *err) {
    BP_AUTO_FREE char *json = NULL;
    struct bp_sync_session own = *x;
    int r;

    if (!x->id || bp_ulid_parse(x->id, strlen(x->id), NULL) < 0 || strlen(x->id) != 26)
        return bp_fail(err, -EINVAL, "'%s' is no id of a session", x->id ? x->id : "");
    if (!x->dir)
        return bp_fail(err, -EINVAL, "session '%s' has no folder", x->id);
    if (!own.name)
        own.name = base_of(x->dir);
    if (!own.json) {
        own.json = json = plain_json(s, x, own.name);
        if (!json)
            return bp_fail(err, -EINVAL, "session '%s' is not to be told in UTF-8", x->id);
    }
    r = check_json(own.json, err);
    if (r >= 0)
        r = add_session(s, &own, err);
    if (r >= 0)
        bp_sync_kick(s);
    return r;
}

/* ---- files ---- */

struct find_dir {
    const char *session;
    char *dir;
};

static int match_dir(void *ctx, const struct bp_sync_session *x) {
    struct find_dir *f = ctx;

    if (!bp_streq(x->id, f->session))
        return 0;
    f->dir = strdup(x->dir);
    return 1;
}

int bp_sync_put_file(struct bp_sync *s, const char *dir, const char *session, const char *name,
                     enum bp_sync_kind kind, const char *sha256, struct bp_error *err) {
    char path[4096];
    struct stat st;

    if (!bp_sync_is_inside(name))
        return bp_fail(err, -EINVAL, "'%s' is no name of a file in a session", name);
    (void) snprintf(path, sizeof path, "%s/%s", dir, name);
    if (lstat(path, &st) < 0)
        return bp_fail(err, -errno, "cannot look at '%s': %s", path, bp_strerror(-errno));
    if (!S_ISREG(st.st_mode))
        return bp_fail(err, -EINVAL, "'%s' is no file", path);
    return bp_sync_queue_put_file(s->queue, session, name, kind, (uint64_t) st.st_size,
                                  st.st_mtim.tv_sec * BP_SEC + st.st_mtim.tv_nsec,
                                  sha256 ? sha256 : "", err);
}

int bp_sync_dir_of(struct bp_sync *s, const char *session, char **ret, struct bp_error *err) {
    struct find_dir f = { .session = session };
    int r = bp_sync_queue_sessions(s->queue, match_dir, &f, err);

    if (r >= 0 && !f.dir)
        return bp_fail(err, r == 1 ? -ENOMEM : -ENOENT, "the upload queue knows no session '%s'",
                       session);
    *ret = f.dir;
    return r < 0 ? r : 0;
}

int bp_sync_add_file(struct bp_sync *s, const char *session, const char *name,
                     enum bp_sync_kind kind, const char *sha256, struct bp_error *err) {
    BP_AUTO_FREE char *dir = NULL;
    int r = bp_sync_dir_of(s, session, &dir, err);

    if (r >= 0)
        r = bp_sync_put_file(s, dir, session, name, kind, sha256, err);
    if (r >= 0)
        bp_sync_kick(s);
    return r;
}

int bp_sync_close_session(struct bp_sync *s, const char *session, struct bp_error *err) {
    int r = bp_sync_queue_close_session(s->queue, session, err);

    if (r >= 0)
        bp_sync_kick(s);
    return r;
}

int bp_sync_forget(struct bp_sync *s, const char *session, struct bp_error *err) {
    int r = bp_sync_queue_forget(s->queue, session, err);

    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->nlines; i++) {
        for (struct bp_sync_transfer *t = s->lines[i].transfers; t; t = t->next) {
            if (!bp_streq(t->job.session, session))
                continue;
            if (!t->ended) {
                t->ended = true;
                t->end = BP_SYNC_END_MOOT;
            }
            __atomic_store_n(&t->cancel, true, __ATOMIC_RELAXED);
        }
    }
    bp_sync_wake_locked(s);
    bp_mutex_unlock(&s->lock);
    bp_sync_kick(s); /* what was begun of it is to be given up */
    return r;
}

/* ---- folders ---- */

static enum bp_sync_kind kind_of(const char *name) {
    if (bp_streq(name, BP_MANIFEST_FILE))
        return BP_SYNC_MANIFEST;
    if (bp_streq(name, BP_METADATA_FILE))
        return BP_SYNC_METADATA;
    if (bp_streq(name, BP_PROOF_FILE))
        return BP_SYNC_SIGNATURE;
    return strstr(name, ".mcap") || strstr(name, ".db3") ? BP_SYNC_SEGMENT : BP_SYNC_OTHER;
}

static int add_if_there(struct bp_sync *s, const char *dir, const char *id, const char *name,
                        struct bp_error *err) {
    struct bp_error ignored;
    int r = bp_sync_put_file(s, dir, id, name, kind_of(name), NULL, &ignored);

    if (r < 0 && r != -ENOENT && err)
        *err = ignored;
    return r == -ENOENT ? 0 : r;
}

static int add_listed(struct bp_sync *s, const char *dir, const struct bp_manifest *m,
                      struct bp_error *err) {
    static const char *const besides[] = { BP_MANIFEST_FILE, BP_METADATA_FILE, BP_PROOF_FILE };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < BP_COUNT(besides); i++)
        r = add_if_there(s, dir, m->id, besides[i], err);
    for (size_t i = 0; r >= 0 && !s->selective && i < m->nsegments; i++)
        r = bp_sync_put_file(s, dir, m->id, m->segments[i].file, BP_SYNC_SEGMENT,
                             m->segments[i].sha256[0] ? m->segments[i].sha256 : NULL, err);
    return r;
}

/* A folder of something else: its files, those that a crash could have left aside. */
static int add_all(struct bp_sync *s, const char *dir, const char *id, struct bp_error *err) {
    DIR *d = opendir(dir);
    const struct dirent *e;
    int r = 0;

    if (!d)
        return bp_fail(err, -errno, "cannot read '%s': %s", dir, bp_strerror(-errno));
    while (r >= 0 && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        struct bp_error why = { 0 };

        if (e->d_name[0] == '.' || !bp_sync_is_inside(e->d_name))
            continue;
        r = bp_sync_put_file(s, dir, id, e->d_name, kind_of(e->d_name), NULL, &why);
        if (r == -EINVAL || r == -ENOENT) /* a folder, or gone */
            r = 0;
        else if (r < 0 && err)
            *err = why;
    }
    (void) closedir(d);
    return r;
}

/* The robots that channels name, each once; borrowed from the manifest, free(). */
static const char **robots_of(const struct bp_manifest *m) {
    const char **v = calloc(m->nchannels + 1, sizeof *v);
    size_t n = 0;

    for (size_t i = 0; v && i < m->nchannels; i++) {
        bool there = !m->channels[i].robot[0];

        for (size_t k = 0; k < n && !there; k++)
            there = bp_streq(v[k], m->channels[i].robot);
        if (!there)
            v[n++] = m->channels[i].robot;
    }
    return v;
}

static const char **topics_of(const struct bp_manifest *m) {
    const char **v = calloc(m->nchannels + 1, sizeof *v);

    for (size_t i = 0; v && i < m->nchannels; i++)
        v[i] = m->channels[i].topic;
    return v;
}

/* Without a manifest the same folder has the same id, so that adding it twice is adding it once. */
static void id_of_folder(const char *dir, char ret[static BP_ULID_TEXT]) {
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint8_t sum[BP_SHA256_LEN];

    bp_sha256_of(dir, strlen(dir), sum);
    for (int i = 0; i < 26; i++)
        ret[i] = digits[i == 0 ? 0 : sum[i] & 31];
    ret[26] = 0;
}

static int add_folder(struct bp_sync *s, const char *dir, const struct bp_manifest *m,
                      const struct bp_sync_session *extra, struct bp_error *err) {
    struct bp_sync_session x = extra ? *extra : (struct bp_sync_session){ 0 };
    BP_AUTO_FREE const char **robots = robots_of(m), **topics = topics_of(m);
    bool listed = m->nsegments > 0;
    int r;

    if (!robots || !topics)
        return bp_fail(err, -ENOMEM, "no memory for a session");
    x.id = m->id;
    x.dir = dir;
    if (!x.name)
        x.name = m->name;
    if (!x.robots)
        x.robots = robots;
    if (!x.topics)
        x.topics = topics;
    if (!x.started_ns)
        x.started_ns = m->created_ns;
    r = bp_sync_add_session(s, &x, err);
    if (r < 0)
        return r;
    r = bp_sync_queue_begin(s->queue, err);
    if (r < 0)
        return r;
    r = listed ? add_listed(s, dir, m, err) : add_all(s, dir, m->id, err);
    if (r >= 0 && !(listed && s->selective))
        r = bp_sync_queue_close_session(s->queue, m->id, err);
    return bp_sync_queue_end(s->queue, r, err);
}

int bp_sync_add_folder(struct bp_sync *s, const char *dir, const struct bp_sync_session *extra,
                       char *ret_id, struct bp_error *err) {
    BP_AUTO_MANIFEST m = { 0 };
    BP_AUTO_FREE char *real = realpath(dir, NULL);
    char id[BP_ULID_TEXT];
    int r;

    if (!real)
        return bp_fail(err, -errno, "cannot open '%s': %s", dir, bp_strerror(-errno));
    r = bp_manifest_read(&bp_io_posix, real, &m, err);
    if (r == -ENOENT) {
        id_of_folder(real, id);
        r = bp_manifest_init(&m, id, base_of(real), bp_sync_wall(s));
    }
    if (r >= 0)
        r = add_folder(s, real, &m, extra, err);
    if (r < 0)
        return r;
    if (ret_id)
        (void) snprintf(ret_id, BP_ULID_TEXT, "%s", m.id);
    bp_sync_kick(s);
    return 0;
}

/* ---- a queue that was lost ---- */

static int rebuild_root(struct bp_sync *s, const char *root, unsigned *n, struct bp_error *err) {
    DIR *d = opendir(root);
    const struct dirent *e;
    char dir[4096], manifest[4200];
    int r = 0;

    if (!d)
        return errno == ENOENT
                   ? 0
                   : bp_fail(err, -errno, "cannot read '%s': %s", root, bp_strerror(-errno));
    while (r >= 0 && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        struct bp_error why = { 0 };

        if (e->d_name[0] == '.')
            continue;
        (void) snprintf(dir, sizeof dir, "%s/%s", root, e->d_name);
        (void) snprintf(manifest, sizeof manifest, "%s/" BP_MANIFEST_FILE, dir);
        if (access(manifest, R_OK) < 0)
            continue;
        r = bp_sync_add_folder(s, dir, NULL, NULL, &why);
        *n += r >= 0;
        if (r == BP_EFORMAT || r == BP_EUNSUPPORTED || r == -ENOENT) { /* the others all the same */
            bp_sync_complain(s, "a session folder cannot be queued", &why);
            r = 0;
        } else if (r < 0 && err)
            *err = why;
    }
    (void) closedir(d);
    return r;
}

int bp_sync_rebuild(struct bp_sync *s, struct bp_error *err) {
    unsigned n = 0;
    char text[160];
    int r = 0;

    for (size_t i = 0; r >= 0 && s->roots.v && s->roots.v[i]; i++)
        r = rebuild_root(s, s->roots.v[i], &n, err);
    if (r < 0)
        return r;
    bp_counter_add(&bp_sync_stats.rebuilt, 1);
    (void) snprintf(text, sizeof text,
                    "the upload queue was damaged and set aside: made anew from %u session folders",
                    n);
    bp_sync_emit(s, (struct bp_sync_event){
                        .kind = BP_SYNC_EV_NOTICE, .text = text, .class = BP_SYNC_LOCAL });
    return 0;
}
