/* file:///mnt/usb: a disk that carries sessions to a site, or a folder of any kind.
 *
 *   sessions/<name>.<id>/…      what has arrived whole: session folders as everybody reads them
 *   shuttle/<id>.json           what their device says of them
 *   shuttle/<device>.shuttle    what is whole, with digests, signed (shuttle.h)
 *   .bagpipe/<digests>.part     files on their way, and beside each
 *   .bagpipe/<digests>.map      which parts of it are there
 *
 * A part is durable before the map says so, the map before put() returns; so whoever pulls the plug
 * loses at most the parts in flight. A file gets its name when the whole of it was read back from
 * the disk and has its digest. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bag/manifest.h"
#include "base/io.h"
#include "base/mutex.h"
#include "base/ulid.h"
#include "sync/shuttle.h"
#include "sync/target.h"

enum { PATH = 3072, PIECE = 64 << 10, JSON_MAX = 16 << 20 };

struct disk {
    const struct bp_io *io;
    char root[1024], device[256]; /* constant; the device as a file name */
    char *device_name;            /* constant, owned */
    bool must_be_mounted;
    const struct bp_sign_key *key;
    struct bp_mutex lock;   /* leaf, but for the disk's own list */
    bool loaded;            /* [lock] */
    struct bp_shuttle list; /* [lock] what is whole */
};

/* u->ctx */
struct writing {
    struct bp_mutex lock;
    int fd, map;      /* constant */
    uint64_t map_end; /* [lock] */
};

/* ---- failures ---- */

static enum bp_sync_class class_of(int code) {
    switch (code) {
    case -ENOSPC:
    case -EDQUOT:
    case -EFBIG:
        return BP_SYNC_QUOTA;
    case -EROFS:
    case -EACCES:
    case -EPERM:
        return BP_SYNC_AUTH;
    case -ENAMETOOLONG:
    case -EINVAL:
        return BP_SYNC_PERMANENT;
    case -ENOMEM:
        return BP_SYNC_LOCAL;
    default: /* pulled out, or breaking */
        return BP_SYNC_NETWORK;
    }
}

static int fail_at(struct bp_sync_failure *f, int code, const char *what, const char *path) {
    return bp_sync_fail(f, class_of(code), "cannot %s '%s': %s", what, path, bp_strerror(code));
}

/* ---- names ---- */

/* A word as one file name on any file system. */
static void safe_name(const char *word, char *ret, size_t cap) {
    size_t n = 0;

    for (; *word && n + 1 < cap && n < 100; word++) {
        bool ok = (*word >= '0' && *word <= '9') || (*word >= 'A' && *word <= 'Z') ||
                  (*word >= 'a' && *word <= 'z') || *word == '-' || *word == '_' ||
                  (*word == '.' && n > 0);

        ret[n++] = ok ? *word : '_';
    }
    if (n == 0)
        ret[n++] = '_';
    ret[n] = 0;
}

static void session_dir(const struct bp_sync_session_ref *s, char *ret, size_t cap) {
    char name[128];

    safe_name(s->name, name, sizeof name);
    (void) snprintf(ret, cap, "%s.%s", name, s->id);
}

static int path_of(const struct disk *d, const struct bp_sync_file *file, char *ret, size_t cap,
                   struct bp_sync_failure *f) {
    char dir[192];

    session_dir(file->session, dir, sizeof dir);
    if (!bp_sync_is_inside(file->name) ||
        snprintf(ret, cap, "%s/sessions/%s/%s", d->root, dir, file->name) >= (int) cap)
        return bp_sync_fail(f, BP_SYNC_PERMANENT, "'%.200s' is no name for a file there",
                            file->name);
    return 0;
}

/* Of session and name, so that two of one content do not meet, and of the content. */
enum { PART_OF = 33, PART_NAME = 72 };

static void part_name(const struct bp_sync_file *file, char ret[static PART_NAME]) {
    char text[1400], hex[BP_SHA256_HEX];
    uint8_t sum[BP_SHA256_LEN];
    int n = snprintf(text, sizeof text, "%s/%s", file->session->id, file->name);

    bp_sha256_of(text, BP_MIN((size_t) n, sizeof text - 1), sum);
    (void) snprintf(ret, PART_NAME, "%.32s-%.32s", bp_sha256_hex(sum, hex), file->hex);
}

static void part_path(const struct disk *d, const struct bp_sync_file *file, const char *suffix,
                      char ret[static PATH]) {
    char name[PART_NAME];

    part_name(file, name);
    (void) snprintf(ret, PATH, "%s/.bagpipe/%s%s", d->root, name, suffix);
}

static int make_dir(const struct disk *d, const char *path, struct bp_sync_failure *f) {
    int r = d->io->mkdir(d->io->ctx, path, 0755);
    char parent[PATH];

    if (r == -EEXIST)
        return 0;
    if (r < 0)
        return fail_at(f, r, "make the folder", path);
    bp_io_dirname(path, parent, sizeof parent);
    r = d->io->sync_dir(d->io->ctx, parent);
    return r < 0 ? fail_at(f, r, "sync", parent) : 0;
}

static int make_below(const struct disk *d, const char *name, struct bp_sync_failure *f) {
    char path[PATH];

    (void) snprintf(path, sizeof path, "%s/%s", d->root, name);
    return make_dir(d, path, f);
}

/* Every folder of a path below the root. */
static int make_parents(const struct disk *d, const char *path, struct bp_sync_failure *f) {
    char part[PATH];
    int r = 0;

    for (const char *p = path + strlen(d->root) + 1; r >= 0 && (p = strchr(p, '/')); p++) {
        (void) snprintf(part, sizeof part, "%.*s", (int) (p - path), path);
        r = make_dir(d, part, f);
    }
    return r;
}

/* ---- is it there ---- */

/* What lies at the mount point while nothing is mounted is not the disk. */
static bool is_mounted(const char *root) {
    char parent[1100];
    struct stat a, b;

    (void) snprintf(parent, sizeof parent, "%s/..", root);
    return stat(root, &a) == 0 && stat(parent, &b) == 0 && a.st_dev != b.st_dev;
}

static int disk_probe(void *self, bp_ns_t *ret_date_ns, struct bp_sync_failure *f) {
    struct disk *d = self;
    struct stat st;

    *ret_date_ns = 0;
    if (stat(d->root, &st) < 0 || !S_ISDIR(st.st_mode))
        return bp_sync_fail(f, BP_SYNC_NETWORK, "there is no folder '%s'", d->root);
    if (d->must_be_mounted && !is_mounted(d->root))
        return bp_sync_fail(f, BP_SYNC_NETWORK, "nothing is mounted at '%s'", d->root);
    if (access(d->root, W_OK | X_OK) < 0)
        return fail_at(f, -errno, "write to", d->root);
    return 0;
}

/* ---- the list of what is whole ---- */

static void list_path(const struct disk *d, char ret[static PATH]) {
    (void) snprintf(ret, PATH, "%s/shuttle/%s.shuttle", d->root, d->device);
}

/* What was taken off the disk is listed no more. */
static int copy_present(const struct disk *d, struct bp_shuttle *from, struct bp_shuttle *to) {
    char path[PATH];

    for (size_t i = 0; i < from->n; i++) {
        struct bp_shuttle_session *x = &from->v[i], *y;
        bool there;

        (void) snprintf(path, sizeof path, "%s/sessions/%s", d->root, x->dir);
        there = access(path, F_OK) == 0;
        y = there ? bp_shuttle_add(to, x->id, x->dir) : NULL;
        if (there && !y)
            return -ENOMEM;
        if (!there)
            continue;
        memcpy(y->json_sha256, x->json_sha256, sizeof y->json_sha256);
        y->v = BP_TAKE_PTR(x->v);
        y->n = BP_TAKE(x->n, 0);
    }
    return 0;
}

/* Signed by us, or by nobody when we have no key: what others wrote is never signed again. */
static bool is_ours(const struct disk *d, const struct bp_shuttle *s) {
    if (!d->key)
        return !s->is_signed;
    return s->is_signed && memcmp(s->key, bp_sign_key_public(d->key), sizeof s->key) == 0;
}

/* A list that cannot be read is written anew: it names what this device puts there from now on. */
static int load_list(struct disk *d) {
    BP_AUTO_SHUTTLE s = { 0 };
    BP_AUTO_FREE char *text = NULL;
    char path[PATH];
    size_t n = 0;
    int r;

    if (d->loaded)
        return 0;
    d->list.device = strdup(d->device_name);
    if (!d->list.device)
        return -ENOMEM;
    list_path(d, path);
    r = bp_io_read_file(d->io, path, BP_SHUTTLE_BYTES_MAX, &text, &n, NULL);
    if (r >= 0 && bp_shuttle_parse((struct bp_str){ text, n }, &s, NULL) >= 0 && is_ours(d, &s))
        r = copy_present(d, &s, &d->list);
    if (r == -ENOMEM) {
        bp_shuttle_done(&d->list);
        return r;
    }
    d->loaded = true;
    return 0;
}

/* ---- what is there of a file ---- */

static int hash_there(const struct disk *d, const char *path, uint64_t *bytes, char hex[65],
                      struct bp_sync_failure *f) {
    int r = bp_manifest_hash_file(d->io, path, bytes, hex, NULL, NULL, NULL);

    return r == -ENOENT ? 0 : r < 0 ? fail_at(f, r, "read", path) : 1;
}

/* @return 1 when it is there as ours; 0 when there is none; BP_SYNC_CONFLICT in f otherwise */
static int look_at(const struct disk *d, const struct bp_sync_file *file, char theirs[65],
                   struct bp_sync_failure *f) {
    char path[PATH];
    uint64_t bytes = 0;
    int r = path_of(d, file, path, sizeof path, f);

    if (r >= 0)
        r = hash_there(d, path, &bytes, theirs, f);
    if (r <= 0)
        return r;
    if (bytes == file->bytes && bp_streq(theirs, file->hex))
        return 1;
    return bp_sync_fail(f, BP_SYNC_CONFLICT, "'%s' is there with another content", file->name);
}

/* ---- parts ---- */

/* A line a part: "part <n>\n" behind a head that says of what. */
static void map_head(const struct bp_sync_upload *u, char ret[static 160]) {
    (void) snprintf(ret, 160, "bagpipe.map/1 %s %" PRIu64 " %" PRIu64 "\n", u->file->hex,
                    u->file->bytes, u->part_bytes);
}

/* What the map says; the last line may be torn. @return length of what is good */
static uint64_t read_map(struct bp_sync_upload *u, const char *text, size_t n) {
    char head[160];
    size_t at;

    map_head(u, head);
    at = strlen(head);
    if (n < at || memcmp(text, head, at) != 0)
        return 0;
    while (at < n) {
        const char *end = memchr(text + at, '\n', n - at);
        unsigned long part;
        char *rest;

        if (!end || !bp_starts_with(text + at, "part "))
            break;
        part = strtoul(text + at + 5, &rest, 10);
        if (rest != end || part >= u->nparts)
            break;
        u->parts[part].there = true;
        at = (size_t) (end - text) + 1;
    }
    return at;
}

static void writing_free(const struct disk *d, struct writing *w) {
    if (!w)
        return;
    if (w->fd >= 0)
        (void) d->io->close(d->io->ctx, w->fd);
    if (w->map >= 0)
        (void) d->io->close(d->io->ctx, w->map);
    bp_mutex_done(&w->lock);
    free(w);
}

static int start_map(const struct disk *d, struct writing *w, const struct bp_sync_upload *u) {
    char head[160];
    int r;

    map_head(u, head);
    r = d->io->truncate(d->io->ctx, w->map, w->map_end);
    if (r >= 0 && w->map_end == 0) {
        r = d->io->pwrite(d->io->ctx, w->map, head, strlen(head), 0);
        w->map_end = strlen(head);
    }
    return r < 0 ? r : d->io->sync(d->io->ctx, w->map);
}

static int open_parts(const struct disk *d, struct writing *w, struct bp_sync_upload *u,
                      const char *part, const char *map) {
    BP_AUTO_FREE char *text = NULL;
    size_t n = 0;
    int r;

    for (uint32_t i = 0; i < u->nparts; i++)
        u->parts[i].there = false;
    w->fd = d->io->open(d->io->ctx, part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (w->fd < 0)
        return w->fd;
    if (bp_io_read_file(d->io, map, 4 << 20, &text, &n, NULL) >= 0 &&
        d->io->size(d->io->ctx, w->fd) > 0)
        w->map_end = read_map(u, text, n);
    w->map = d->io->open(d->io->ctx, map, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (w->map < 0)
        return w->map;
    (void) d->io->allocate(d->io->ctx, w->fd, 0, u->file->bytes); /* FAT has none: as it comes */
    r = start_map(d, w, u);
    if (r >= 0)
        r = d->io->sync(d->io->ctx, w->fd);
    return r;
}

/* Whoever sends another content of a name has given up the one before; a kill may have come before
 * that was noted. */
static void drop_former(const struct disk *d, const struct bp_sync_file *file) {
    char folder[PATH], path[2 * PATH], name[PART_NAME];
    struct dirent *e;
    DIR *dir;

    part_name(file, name);
    (void) snprintf(folder, sizeof folder, "%s/.bagpipe", d->root);
    dir = opendir(folder);
    while (dir && (e = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): our own stream */
        if (strncmp(e->d_name, name, PART_OF) != 0 || bp_starts_with(e->d_name, name))
            continue;
        (void) snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        (void) d->io->unlink(d->io->ctx, path);
    }
    if (dir)
        (void) closedir(dir);
}

static int disk_begin(void *self, struct bp_sync_upload *u, struct bp_sync_theirs *theirs,
                      struct bp_sync_failure *f) {
    struct disk *d = self;
    struct writing *w;
    char part[PATH], map[PATH], dir[PATH];
    int r = look_at(d, u->file, theirs->sha256, f);

    if (r > 0 || (r < 0 && !(f->class == BP_SYNC_CONFLICT && u->file->force)))
        return r;
    r = make_below(d, ".bagpipe", f);
    if (r < 0)
        return r;
    drop_former(d, u->file);
    w = calloc(1, sizeof *w);
    if (!w)
        return bp_sync_fail(f, BP_SYNC_LOCAL, "no memory for an upload");
    bp_mutex_init(&w->lock);
    w->fd = w->map = -1;
    part_path(d, u->file, ".part", part);
    part_path(d, u->file, ".map", map);
    r = open_parts(d, w, u, part, map);
    bp_io_dirname(part, dir, sizeof dir);
    if (r >= 0)
        r = d->io->sync_dir(d->io->ctx, dir);
    if (r < 0) {
        writing_free(d, w);
        return fail_at(f, r, "write", part);
    }
    (void) snprintf(u->token, sizeof u->token, "file");
    u->ctx = w;
    return 0;
}

/* Copies the part, and makes the digest of what was copied. */
static int copy_part(const struct disk *d, const struct writing *w, const struct bp_sync_body *body,
                     struct bp_sha256 *h, uint8_t *buf, struct bp_sync_failure *f) {
    for (uint64_t at = 0; at < body->size;) {
        size_t n = (size_t) BP_MIN((uint64_t) PIECE, body->size - at);
        ssize_t got;
        int r;

        if (body->cancel && __atomic_load_n(body->cancel, __ATOMIC_RELAXED))
            return bp_sync_fail(f, BP_SYNC_CANCELED, "given up");
        body->pace(body->pace_ctx, n);
        got = d->io->pread(d->io->ctx, body->fd, buf, n, body->offset + at);
        if (got != (ssize_t) n)
            return bp_sync_fail(f, BP_SYNC_LOCAL, "cannot read our file: %s",
                                got < 0 ? bp_strerror((int) got) : "it became shorter");
        bp_sha256_add(h, buf, n);
        r = d->io->pwrite(d->io->ctx, w->fd, buf, n, body->offset + at);
        if (r < 0)
            return fail_at(f, r, "write to", d->root);
        at += n;
    }
    return 0;
}

static int note_part(const struct disk *d, struct writing *w, uint32_t n) {
    char line[32];
    int r, len = snprintf(line, sizeof line, "part %" PRIu32 "\n", n);

    bp_mutex_lock(&w->lock); /* over a write: lines must not mix */
    r = d->io->pwrite(d->io->ctx, w->map, line, (size_t) len, w->map_end);
    if (r >= 0)
        w->map_end += (uint64_t) len;
    if (r >= 0)
        r = d->io->sync(d->io->ctx, w->map);
    bp_mutex_unlock(&w->lock);
    return r;
}

static int disk_put(void *self, const struct bp_sync_upload *u, uint32_t n,
                    const struct bp_sync_body *body,
                    char *etag, /* NOLINT(readability-non-const-parameter): the table's type */
                    struct bp_sync_failure *f) {
    struct disk *d = self;
    struct writing *w = u->ctx;
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *h = bp_sha256_new();
    BP_AUTO_FREE uint8_t *buf = malloc(PIECE);
    uint8_t sum[BP_SHA256_LEN];
    int r;

    (void) etag;
    if (!h || !buf)
        return bp_sync_fail(f, BP_SYNC_LOCAL, "no memory for a part");
    r = copy_part(d, w, body, h, buf, f);
    if (r < 0)
        return r;
    bp_sha256_end(h, sum);
    if (memcmp(sum, body->sha256, sizeof sum) != 0)
        return bp_sync_fail(f, BP_SYNC_MISMATCH, "part %" PRIu32 " changed while it was read", n);
    r = d->io->datasync(d->io->ctx, w->fd); /* the bytes before the word that they are there */
    if (r >= 0)
        r = note_part(d, w, n);
    return r < 0 ? fail_at(f, r, "write to", d->root) : 0;
}

/* ---- ends ---- */

/* The map first: without it nothing says that a part is there. */
static int forget(const struct disk *d, const struct bp_sync_file *file,
                  struct bp_sync_failure *f) {
    static const char *const suffixes[] = { ".map", ".part" };
    char path[PATH];

    for (size_t i = 0; i < BP_COUNT(suffixes); i++) {
        int r;

        part_path(d, file, suffixes[i], path);
        r = d->io->unlink(d->io->ctx, path);
        if (r < 0 && r != -ENOENT)
            return fail_at(f, r, "remove", path);
    }
    return 0;
}

/* Reads it back: from the disk and not from memory, as far as the kernel lets us. */
static int read_back(const struct disk *d, struct bp_sync_upload *u, const char *part,
                     struct bp_sync_failure *f) {
    struct writing *w = u->ctx;
    char hex[65] = "";
    uint64_t bytes = 0;
    int r = d->io->truncate(d->io->ctx, w->fd, u->file->bytes);

    if (r >= 0)
        r = d->io->sync(d->io->ctx, w->fd);
    if (r < 0)
        return fail_at(f, r, "sync", part);
    (void) posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED);
    r = bp_manifest_hash_file(d->io, part, &bytes, hex, NULL, NULL, NULL);
    if (r < 0)
        return fail_at(f, r, "read back", part);
    if (bytes != u->file->bytes || !bp_streq(hex, u->file->hex))
        return bp_sync_fail(f, BP_SYNC_MISMATCH, "what '%s' gives back is not what was written",
                            d->root);
    return 0;
}

static int disk_complete(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f) {
    struct disk *d = self;
    char part[PATH], path[PATH], dir[PATH];
    int r;

    part_path(d, u->file, ".part", part);
    r = read_back(d, u, part, f);
    if (r >= 0)
        r = path_of(d, u->file, path, sizeof path, f);
    if (r >= 0)
        r = make_parents(d, path, f);
    if (r < 0)
        return r;
    r = d->io->rename(d->io->ctx, part, path);
    bp_io_dirname(path, dir, sizeof dir);
    if (r >= 0)
        r = d->io->sync_dir(d->io->ctx, dir);
    if (r < 0)
        return fail_at(f, r, "name", path);
    (void) forget(d, u->file, NULL);
    writing_free(d, u->ctx);
    u->ctx = NULL;
    return 0;
}

/* It was read back a moment ago; what can have happened since is that it is gone. */
static int disk_verify(void *self, const struct bp_sync_file *file, struct bp_sync_failure *f) {
    struct disk *d = self;
    char path[PATH];
    struct stat st;
    int r = path_of(d, file, path, sizeof path, f);

    if (r < 0)
        return r;
    if (stat(path, &st) < 0)
        return errno == ENOENT ? 0 : fail_at(f, -errno, "look at", path);
    return (uint64_t) st.st_size == file->bytes;
}

static void disk_park(void *self, struct bp_sync_upload *u) {
    writing_free(self, u->ctx);
    u->ctx = NULL;
}

/* Nothing lies where no disk is: that is not what was asked. */
static int disk_abort(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f) {
    bp_ns_t date;
    int r;

    disk_park(self, u);
    r = disk_probe(self, &date, f);
    return r < 0 ? r : forget(self, u->file, f);
}

/* ---- sessions ---- */

static void json_path(const struct disk *d, const char *id, char ret[static PATH]) {
    (void) snprintf(ret, PATH, "%s/shuttle/%s.json", d->root, id);
}

static int disk_session(void *self, const struct bp_sync_session_ref *s,
                        struct bp_sync_theirs *theirs, struct bp_sync_failure *f) {
    struct disk *d = self;
    BP_AUTO_FREE char *text = NULL;
    char path[PATH];
    size_t n = 0;
    int r = make_below(d, "shuttle", f);

    if (r >= 0)
        r = make_below(d, "sessions", f);
    if (r < 0)
        return r;
    json_path(d, s->id, path);
    r = s->force ? -ENOENT : bp_io_read_file(d->io, path, JSON_MAX, &text, &n, NULL);
    if (r >= 0 && bp_streq(text, s->json))
        return 0;
    if (r >= 0) {
        theirs->json = BP_TAKE_PTR(text);
        return bp_sync_fail(f, BP_SYNC_CONFLICT, "session '%s' is there, told otherwise", s->name);
    }
    r = bp_io_replace_file(d->io, path, s->json, strlen(s->json), NULL);
    return r < 0 ? fail_at(f, r, "write", path) : 0;
}

/* What the queue knows, not what lies in the folder: whoever had the disk gets nothing signed. */
static int list_files(struct bp_shuttle_session *x, const struct bp_sync_session_ref *s) {
    uint8_t sum[BP_SHA256_LEN];
    int r = 0;

    bp_sha256_of(s->json, strlen(s->json), x->json_sha256);
    for (size_t i = 0; r >= 0 && i < s->nfiles; i++) {
        r = bp_key_digits(bp_str_of(s->files[i].hex), sum, sizeof sum);
        if (r >= 0)
            r = bp_shuttle_add_file(x, s->files[i].name, bp_sync_kind_name(s->files[i].kind),
                                    s->files[i].bytes, sum);
    }
    return r;
}

static int add_session(struct disk *d, const struct bp_sync_session_ref *s,
                       struct bp_sync_failure *f) {
    struct bp_shuttle_session *x;
    char dir[192];

    session_dir(s, dir, sizeof dir);
    x = load_list(d) < 0 ? NULL : bp_shuttle_add(&d->list, s->id, dir);
    if (!x || list_files(x, s) < 0)
        return bp_sync_fail(f, BP_SYNC_LOCAL, "no memory for the list of a disk");
    return 0;
}

static int disk_finish(void *self, const struct bp_sync_session_ref *s, struct bp_sync_failure *f) {
    struct disk *d = self;
    BP_AUTO_BUF out = { 0 };
    char path[PATH];
    int r;

    list_path(d, path);
    bp_mutex_lock(&d->lock); /* over files: there is one list */
    r = add_session(d, s, f);
    if (r >= 0) {
        d->list.time_ns = bp_wall_ns();
        r = bp_shuttle_format(&d->list, d->key, &out);
        if (r >= 0)
            r = bp_io_replace_file(d->io, path, out.p, out.n, NULL);
        if (r < 0)
            (void) fail_at(f, r, "write", path);
    }
    bp_mutex_unlock(&d->lock);
    return r;
}

/* ---- opening ---- */

static void disk_free(void *self) {
    struct disk *d = self;

    if (!d)
        return;
    bp_shuttle_done(&d->list);
    bp_mutex_done(&d->lock);
    free(d->device_name);
    free(d);
}

static const struct bp_sync_target_ops disk_ops = {
    .name = "file",
    .free = disk_free,
    .probe = disk_probe,
    .begin = disk_begin,
    .put = disk_put,
    .complete = disk_complete,
    .verify = disk_verify,
    .abort = disk_abort,
    .park = disk_park,
    .session = disk_session,
    .finish = disk_finish,
};

/* Where disks are mounted by people and their desktops. */
static bool is_mount_place(const char *root) {
    return bp_starts_with(root, "/mnt/") || bp_starts_with(root, "/media/") ||
           bp_starts_with(root, "/run/media/");
}

static int take_settings(struct disk *d, const char *const *settings, struct bp_error *err) {
    d->must_be_mounted = is_mount_place(d->root);
    for (size_t i = 0; settings && settings[i]; i++) {
        if (bp_streq(settings[i], "mounted=yes"))
            d->must_be_mounted = true;
        else if (bp_streq(settings[i], "mounted=no"))
            d->must_be_mounted = false;
        else if (!bp_streq(settings[i], "mounted=auto"))
            return bp_fail(err, BP_EUSAGE, "'%s' is no setting of file://: mounted=yes|no|auto is",
                           settings[i]);
    }
    return 0;
}

static int disk_open(const struct bp_sync_target_opts *o, void **ret_self, struct bp_error *err) {
    const char *path = o->url + strlen("file://");
    size_t n = strlen(path);
    struct disk *d;

    while (n > 1 && path[n - 1] == '/')
        n--;
    if (path[0] != '/' || n >= sizeof d->root)
        return bp_fail(err, BP_EUSAGE, "'%s' is no folder: file:///mnt/usb has three slashes",
                       o->url);
    d = calloc(1, sizeof *d);
    if (!d)
        return bp_fail(err, -ENOMEM, "no memory for a target");
    bp_mutex_init(&d->lock);
    d->io = &bp_io_posix;
    d->key = o->key;
    d->device_name = strdup(o->device && o->device[0] ? o->device : "device");
    (void) snprintf(d->root, sizeof d->root, "%.*s", (int) n, path);
    if (!d->device_name || take_settings(d, o->settings, err) < 0) {
        bool memory = !d->device_name;

        disk_free(d);
        return memory ? bp_fail(err, -ENOMEM, "no memory for a target") : BP_EUSAGE;
    }
    safe_name(d->device_name, d->device, sizeof d->device);
    *ret_self = d;
    return 0;
}

const struct bp_sync_target_kind bp_sync_kind_file = {
    .scheme = "file",
    .ops = &disk_ops,
    .open = disk_open,
};
