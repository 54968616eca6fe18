#include "agent/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bag/manifest.h"
#include "bag/paths.h"
#include "bag/session.h"

#include "base/json-value.h"

/* ---- what is there ---- */

struct file {
    char *name; /* owned */
    struct stat st;
};

struct files {
    int dir_fd;
    struct file *v; /* owned, segments in their order */
    size_t n;
};

static void files_done(struct files *f) {
    for (size_t i = 0; i < f->n; i++)
        free(f->v[i].name);
    free(f->v);
    if (f->dir_fd >= 0)
        (void) close(f->dir_fd);
    *f = (struct files){ .dir_fd = -1 };
}

static bool is_plain_name(const char *name) {
    return *name && *name != '.' && !strchr(name, '/');
}

static int stat_of(int dir_fd, const char *name, struct stat *st) {
    return is_plain_name(name) && fstatat(dir_fd, name, st, AT_SYMLINK_NOFOLLOW) == 0 &&
                   S_ISREG(st->st_mode)
               ? 0
               : -ENOENT;
}

static int by_name(const void *a, const void *b) {
    return bp_natural_cmp(((const struct file *) a)->name, ((const struct file *) b)->name);
}

static int add(struct files *f, const char *name) {
    struct file *grown;
    struct stat st;

    if (stat_of(f->dir_fd, name, &st) < 0)
        return 0;
    grown = realloc(f->v, (f->n + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    f->v = grown;
    f->v[f->n] = (struct file){ .name = strdup(name), .st = st };
    if (!f->v[f->n].name)
        return -ENOMEM;
    f->n++;
    return 0;
}

static int list(const char *path, struct files *ret, struct bp_error *err) {
    BP_CLEANUP(files_done) struct files f = { .dir_fd = -1 };
    DIR *d = opendir(path);
    struct dirent *e;
    int r = 0;

    if (!d)
        return bp_fail(err, -errno, "cannot read '%s': %s", path, bp_strerror(-errno));
    f.dir_fd = fcntl(dirfd(d), F_DUPFD_CLOEXEC, 0);
    while (r == 0 && (e = readdir(d))) /* NOLINT(concurrency-mt-unsafe): own stream */
        r = add(&f, e->d_name);
    (void) closedir(d);
    if (r < 0 || f.dir_fd < 0)
        return bp_fail(err, -ENOMEM, "cannot list '%s'", path);
    if (f.n > 0)
        qsort(f.v, f.n, sizeof *f.v, by_name);
    *ret = BP_TAKE(f, ((struct files){ .dir_fd = -1 }));
    return 0;
}

/* ---- as JSON ---- */

static const struct bp_manifest_segment *known(const struct bp_manifest *m, const char *name) {
    for (size_t i = 0; i < m->nsegments; i++)
        if (bp_streq(m->segments[i].file, name))
            return &m->segments[i];
    return NULL;
}

/* Is a file of a session that runs finished? Only segments are, before the session ends. */
static bool is_complete(const char *dir, const char *name, bool live) {
    char path[1600];

    if (!live)
        return true;
    (void) snprintf(path, sizeof path, "%s/%s", dir, name);
    return bp_is_recording_name(name) && bp_session_has_footer(&bp_io_posix, path);
}

static json_t *segment_json(const char *dir, const struct file *f,
                            const struct bp_manifest_segment *m, bool live) {
    json_t *o = json_pack("{s:s, s:I, s:b}", "name", f->name, "bytes", (json_int_t) f->st.st_size,
                          "complete", (int) is_complete(dir, f->name, live));

    if (o && m)
        (void) json_object_update_new(
            o, json_pack("{s:s?, s:I, s:o, s:o}", "sha256", *m->sha256 ? m->sha256 : NULL,
                         "messages", (json_int_t) (m->messages - m->repeated), "first_ns",
                         bp_json_time(m->first_ns), "last_ns", bp_json_time(m->last_ns)));
    return o;
}

json_t *bp_files_json(const char *dir, bool live) {
    BP_CLEANUP(files_done) struct files f = { .dir_fd = -1 };
    BP_AUTO_MANIFEST m = { 0 };
    json_t *segments = json_array(), *others = json_array();
    struct bp_error err;

    if (!live && bp_manifest_read(&bp_io_posix, dir, &m, &err) < 0)
        bp_manifest_done(&m);   /* less is known then */
    (void) list(dir, &f, &err); /* a deleted one has none */
    for (size_t i = 0; i < f.n; i++) {
        const struct bp_manifest_segment *s = known(&m, f.v[i].name);

        if (s || bp_is_recording_name(f.v[i].name))
            (void) json_array_append_new(segments, segment_json(dir, &f.v[i], s, live));
        else if (!live)
            (void) json_array_append_new(others,
                                         json_pack("{s:s, s:I}", "name", f.v[i].name, "bytes",
                                                   (json_int_t) f.v[i].st.st_size));
    }
    return json_pack("{s:o, s:o}", "segments", segments, "files", others);
}

/* ---- one file ---- */

static void put_etag(const char *dir, const char *name, const struct stat *st, bool live, char *ret,
                     size_t cap) {
    const struct bp_manifest_segment *s = NULL;
    BP_AUTO_MANIFEST m = { 0 };
    struct bp_error err;

    if (!live && bp_manifest_read(&bp_io_posix, dir, &m, &err) == 0)
        s = known(&m, name);
    if (s && *s->sha256 && s->bytes == (uint64_t) st->st_size)
        (void) snprintf(ret, cap, "\"%s\"", s->sha256);
    else
        (void) snprintf(ret, cap, "\"%llx-%llx%09lx\"", (unsigned long long) st->st_size,
                        (unsigned long long) st->st_mtim.tv_sec,
                        (unsigned long) st->st_mtim.tv_nsec);
}

int bp_files_reply(struct bp_http_reply *reply, const char *dir, const char *name, bool live,
                   struct bp_error *err) {
    BP_AUTO_FD int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    BP_AUTO_FD int fd = -1;
    struct stat st;
    char etag[80];

    if (dir_fd < 0 || stat_of(dir_fd, name, &st) < 0)
        return bp_fail(err, -ENOENT, "the session has no file '%s'", name);
    if (!is_complete(dir, name, live))
        return bp_fail(err, BP_EBUSY, "'%s' is being written: split or stop the session first",
                       name);
    fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return bp_fail(err, -ENOENT, "the session has no file '%s'", name);
    put_etag(dir, name, &st, live, etag, sizeof etag);
    bp_http_reply_file(reply, BP_TAKE_FD(fd), (uint64_t) st.st_size, "application/octet-stream",
                       etag);
    return 0;
}

/* ---- all of them: a tar stream ---- */

enum { BLOCK = 512, NAME_MAX_USTAR = 100, AHEAD = 4 << 20 };

struct tar {
    struct files files;
    char *folder;       /* owned: name of the folder in the archive */
    size_t next;        /* file whose head comes next */
    int fd;             /* of the file being sent */
    uint64_t at, size;  /* of it */
    struct bp_buf head; /* bytes that come before anything else */
    size_t head_at;
    bool ended; /* the two empty blocks have been put */
};

static void tar_free(void *ctx) {
    struct tar *t = ctx;

    files_done(&t->files);
    if (t->fd >= 0)
        (void) close(t->fd);
    bp_buf_done(&t->head);
    free(t->folder);
    free(t);
}

static void put_zeros(struct bp_buf *b, size_t n) {
    static const uint8_t zeros[2 * BLOCK];

    bp_buf_put(b, zeros, n);
}

/* One block of IEEE Std 1003.1-2017, pax, "ustar Interchange Format". */
static void put_block(struct bp_buf *b, const char *name, char type, uint64_t size, int64_t mtime) {
    char h[BLOCK] = { 0 };
    unsigned sum = 0;

    (void) snprintf(h, 100, "%s", name);
    (void) snprintf(h + 100, 8, "0000644");
    (void) snprintf(h + 108, 8, "0000000");
    (void) snprintf(h + 116, 8, "0000000");
    (void) snprintf(h + 124, 12, "%011llo", (unsigned long long) (size >> 33 ? 0 : size));
    (void) snprintf(h + 136, 12, "%011llo", (unsigned long long) (mtime < 0 ? 0 : mtime));
    memset(h + 148, ' ', 8);
    h[156] = type;
    (void) snprintf(h + 257, 6, "ustar");
    h[263] = h[264] = '0';
    for (size_t i = 0; i < sizeof h; i++)
        sum += (unsigned char) h[i];
    (void) snprintf(h + 148, 8, "%06o", sum);
    bp_buf_put(b, h, sizeof h);
}

/* "LENGTH key=value\n", where the length counts itself. */
static void put_record(struct bp_buf *b, const char *key, const char *value) {
    size_t rest = strlen(key) + strlen(value) + 3, n = rest + 1;

    for (size_t digits = 1, limit = 10; n >= limit; limit *= 10)
        n = rest + ++digits;
    bp_buf_printf(b, "%zu %s=%s\n", n, key, value);
}

static void put_padding(struct bp_buf *b, uint64_t size) {
    put_zeros(b, (size_t) (BLOCK - size % BLOCK) % BLOCK);
}

static void put_head(struct tar *t, const struct file *f, uint64_t size) {
    BP_AUTO_BUF name = { 0 };
    BP_AUTO_BUF pax = { 0 };
    char number[32];

    bp_buf_printf(&name, "%s/%s", t->folder, f->name);
    if (name.n > NAME_MAX_USTAR)
        put_record(&pax, "path", bp_buf_cstr(&name));
    (void) snprintf(number, sizeof number, "%llu", (unsigned long long) size);
    if (size >> 33)
        put_record(&pax, "size", number);
    if (pax.n > 0) {
        put_block(&t->head, "pax", 'x', pax.n, f->st.st_mtime);
        bp_buf_put(&t->head, pax.p, pax.n);
        put_padding(&t->head, pax.n);
    }
    put_block(&t->head, bp_buf_cstr(&name), '0', size, f->st.st_mtime);
    if (name.failed || pax.failed)
        t->head.failed = true;
}

/* The next file, or the end. */
static int begin_next(struct tar *t) {
    const struct file *f = &t->files.v[t->next];
    struct stat st;

    bp_buf_clear(&t->head);
    t->head_at = 0;
    put_padding(&t->head, t->size);
    if (t->fd >= 0)
        (void) close(t->fd);
    t->fd = -1;
    t->at = t->size = 0;
    if (t->next == t->files.n) {
        put_zeros(&t->head, (size_t) 2 * BLOCK);
        t->ended = true;
        return t->head.failed ? -ENOMEM : 0;
    }
    t->fd = openat(t->files.dir_fd, f->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (t->fd < 0 || fstat(t->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -EIO;
    t->size = (uint64_t) st.st_size;
    t->next++;
    put_head(t, f, t->size);
    return t->head.failed ? -ENOMEM : 0;
}

/* On a loop thread: the kernel is told what is wanted next, so that reading does not wait long. */
static ssize_t read_file(struct tar *t, char *p, size_t max) {
    ssize_t r;

    if (t->at % AHEAD == 0 || t->at == 0)
        (void) posix_fadvise(t->fd, (off_t) t->at, (off_t) 2 * AHEAD, POSIX_FADV_WILLNEED);
    do
        r = pread(t->fd, p, (size_t) BP_MIN((uint64_t) max, t->size - t->at), (off_t) t->at);
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        return -EIO; /* it has been cut shorter */
    t->at += (uint64_t) r;
    return r;
}

static ssize_t tar_read(void *ctx, char *p, size_t max) {
    struct tar *t = ctx;
    size_t n;

    while (t->head_at == t->head.n && t->at == t->size) {
        int r = t->ended ? 1 : begin_next(t);

        if (r != 0)
            return r < 0 ? r : 0;
    }
    if (t->head_at == t->head.n)
        return read_file(t, p, max);
    n = BP_MIN(max, t->head.n - t->head_at);
    memcpy(p, t->head.p + t->head_at, n);
    t->head_at += n;
    return (ssize_t) n;
}

int bp_files_reply_tar(struct bp_http_reply *reply, const char *dir, struct bp_error *err) {
    static const struct bp_http_stream_ops ops = { .read = tar_read, .done = tar_free };
    const char *slash = strrchr(dir, '/');
    struct tar *t = calloc(1, sizeof *t);
    int r;

    if (!t)
        return bp_fail(err, -ENOMEM, "out of memory");
    t->fd = t->files.dir_fd = -1;
    t->folder = strdup(slash ? slash + 1 : dir);
    r = t->folder ? list(dir, &t->files, err) : bp_fail(err, -ENOMEM, "out of memory");
    if (r < 0) {
        tar_free(t);
        return r;
    }
    bp_http_reply_stream(reply, 200, "application/x-tar", &ops, t, NULL);
    return 0;
}
