/* Sessions on a disk: below its root, or in `sessions/` as a shuttle disk has them. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bag/manifest.h"
#include "base/io.h"
#include "sync/pull-priv.h"

enum { PIECE = 256 << 10 };

struct folder {
    char root[1024];
    char found[1300];   /* of the session */
    bool is_named;      /* it is called as was asked for */
    char another[1300]; /* of the same session, or "" */
};

static void folder_free(void *self) {
    free(self);
}

/* ---- finding it ---- */

/* Takes `dir` when it is the session that is asked for: by its folder's name, else the newest by
 * the id or name in its manifest. */
static int consider(struct folder *s, const char *dir, const char *name, const char *key,
                    struct bp_pull_list *ret) {
    BP_AUTO_MANIFEST m = { 0 };
    bool is_named = bp_streq(name, key);
    int r = bp_manifest_read(&bp_io_posix, dir, &m, NULL);
    const char *id = r == 0 ? m.id : "";

    if (s->is_named || (!is_named && (r < 0 || (!bp_streq(m.id, key) && !bp_streq(m.name, key)))))
        return 0;
    if (!is_named && ret->name && strcmp(id, ret->id) <= 0) {
        if (bp_streq(id, ret->id))
            (void) snprintf(s->another, sizeof s->another, "%s", dir);
        return 0;
    }
    free(ret->name);
    ret->name = strdup(r == 0 ? m.name : name); /* a disk may have it in a folder of another name */
    (void) snprintf(ret->id, sizeof ret->id, "%.26s", id);
    (void) snprintf(s->found, sizeof s->found, "%s", dir);
    s->is_named = is_named;
    s->another[0] = '\0';
    return ret->name ? 0 : -ENOMEM;
}

/* @return 1, or 0 when it is not there */
static int look_in(struct folder *s, const char *dir, const char *key, struct bp_pull_list *ret,
                   struct bp_error *err) {
    DIR *d = opendir(dir);
    struct dirent *e;
    int r = 0;

    while (d && r == 0 && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): our own stream */
        char path[1300];
        struct stat st;

        (void) snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (*e->d_name != '.' && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            r = consider(s, path, e->d_name, key, ret);
    }
    if (d)
        (void) closedir(d);
    if (r < 0)
        return bp_fail(err, r, "out of memory");
    if (s->another[0])
        return bp_fail(err, BP_EUSAGE,
                       "session %s is in two folders of '%s', '%s' and '%s': say which by its "
                       "folder's name",
                       ret->id, dir, strrchr(s->found, '/') + 1, strrchr(s->another, '/') + 1);
    return ret->name != NULL;
}

/* ---- its files ---- */

static int add_file(struct bp_pull_list *l, const struct bp_manifest *m, const char *path,
                    const char *name, struct bp_error *err) {
    uint64_t bytes = 0;
    char hex[65];
    struct stat st;
    int r;

    for (size_t i = 0; i < m->nsegments; i++)
        if (bp_streq(m->segments[i].file, name))
            return stat(path, &st) < 0 ? bp_fail(err, -errno, "cannot read '%s'", path)
                                       : bp_pull_add(l, name, NULL, m->segments[i].bytes,
                                                     m->segments[i].sha256, err);
    r = bp_manifest_hash_file(&bp_io_posix, path, &bytes, hex, NULL, NULL, err);
    return r < 0 ? r : bp_pull_add(l, name, NULL, bytes, hex, err);
}

static int add_files(struct bp_pull_list *l, const char *dir, struct bp_error *err) {
    BP_AUTO_MANIFEST m = { 0 };
    DIR *d = opendir(dir);
    struct dirent *e;
    int r = 0;

    if (!d)
        return bp_fail(err, -errno, "cannot read '%s': %s", dir, bp_strerror(-errno));
    if (bp_manifest_read(&bp_io_posix, dir, &m, NULL) < 0)
        bp_manifest_done(&m);
    while (r == 0 && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): our own stream */
        char path[1600];
        struct stat st;

        (void) snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (*e->d_name != '.' && lstat(path, &st) == 0 && S_ISREG(st.st_mode))
            r = add_file(l, &m, path, e->d_name, err);
    }
    (void) closedir(d);
    return r;
}

static int folder_find(void *self, const char *key, struct bp_pull_list *ret,
                       struct bp_error *err) {
    struct folder *s = self;
    char dir[1100];
    int r;

    s->is_named = false;
    s->another[0] = '\0';
    free(BP_TAKE_PTR(ret->name)); /* of an earlier try */
    (void) snprintf(dir, sizeof dir, "%s/sessions", s->root);
    r = look_in(s, dir, key, ret, err);
    if (r == 0)
        r = look_in(s, s->root, key, ret, err);
    if (r <= 0)
        return r < 0 ? r : bp_fail(err, -ENOENT, "there is no session '%s' in '%s'", key, s->root);
    return add_files(ret, s->found, err);
}

static int folder_read(void *self, const struct bp_pull_list *l, const struct bp_pull_file *f,
                       uint64_t offset, int (*sink)(void *ctx, const void *p, size_t n), void *ctx,
                       const bool *cancel, struct bp_error *err) {
    struct folder *s = self;
    BP_AUTO_FREE uint8_t *bytes = malloc(PIECE);
    BP_AUTO_FD int fd = -1;
    char path[2400];

    (void) l;
    (void) snprintf(path, sizeof path, "%s/%s", s->found, f->name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || !bytes)
        return bp_fail(err, fd < 0 ? -errno : -ENOMEM, "cannot read '%s': %s", path,
                       bp_strerror(fd < 0 ? -errno : -ENOMEM));
    for (;;) {
        ssize_t n = bp_io_posix.pread(bp_io_posix.ctx, fd, bytes, PIECE, offset);
        int r;

        if (n <= 0)
            return n < 0 ? bp_fail(err, (int) n, "cannot read '%s': %s", path, bp_strerror((int) n))
                         : 0;
        r = sink(ctx, bytes, (size_t) n);
        if (r < 0)
            return r;
        if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED))
            return -ECANCELED;
        offset += (uint64_t) n;
    }
}

const struct bp_pull_source bp_pull_folder = {
    .free = folder_free,
    .find = folder_find,
    .read = folder_read,
};

int bp_pull_folder_open(const struct bp_sync_target_opts *o, void **ret_self,
                        struct bp_error *err) {
    const char *path = o->url + strlen("file://");
    struct folder *s;

    if (*path != '/' || strlen(path) >= sizeof s->root)
        return bp_fail(err, BP_EUSAGE, "'%s': expected file:///FOLDER", o->url);
    s = calloc(1, sizeof *s);
    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) snprintf(s->root, sizeof s->root, "%s", path);
    *ret_self = s;
    return 0;
}
