#include "sync/pull-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bag/manifest.h"
#include "base/io.h"
#include "crypt/digest.h"

enum { READ = 1 << 20, NAME_MAX_BYTES = 1024, FILES_MAX = 100000 };

#define TELL_EVERY (200 * BP_MS)

struct pulling {
    const struct bp_sync_pull *o;
    const struct bp_pull_source *source;
    void *self;
    struct bp_pull_list list;
    char dir[1200]; /* of the session */
    uint64_t done, total, fetched;
    bp_ns_t told_mono, rate_mono, moved_mono;
    uint64_t rate_bytes;
    double rate;
    unsigned unproven;
};

static void pulling_done(struct pulling *p) {
    if (p->self)
        p->source->free(p->self);
    for (size_t i = 0; i < p->list.n; i++) {
        free(p->list.v[i].name);
        free(p->list.v[i].where);
    }
    free(p->list.v);
    free(p->list.name);
}

/* ---- names from the other side ---- */

static bool is_name(const char *s) {
    if (!*s || *s == '/' || strlen(s) > NAME_MAX_BYTES)
        return false;
    for (const char *p = s; *p;) {
        size_t n = strcspn(p, "/");

        if (n == 0 || *p == '.') /* hidden ones, "." and ".." */
            return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char) p[i] < ' ' || p[i] == 0x7f || p[i] == '\\')
                return false;
        p += n + (p[n] == '/');
        if (!*p && p[-1] == '/')
            return false;
    }
    return true;
}

static bool is_folder_name(const char *s) {
    return is_name(s) && !strchr(s, '/') && strlen(s) < 256;
}

int bp_pull_add(struct bp_pull_list *l, const char *name, const char *where, uint64_t bytes,
                const char *sha256, struct bp_error *err) {
    struct bp_pull_file *grown, f = { .bytes = bytes };

    if (!is_name(name) || l->n >= FILES_MAX)
        return bp_fail(err, BP_EFORMAT, "the other side lists a file that cannot be: '%.100s'",
                       name);
    grown = realloc(l->v, (l->n + 1) * sizeof *grown);
    if (!grown)
        return bp_fail(err, -ENOMEM, "out of memory");
    l->v = grown;
    f.name = strdup(name);
    f.where = where ? strdup(where) : NULL;
    if (sha256 && strlen(sha256) == 64)
        memcpy(f.sha256, sha256, 65);
    if (!f.name || (where && !f.where)) {
        free(f.name);
        free(f.where);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    l->v[l->n++] = f;
    return 0;
}

/* ---- how far it is ---- */

static void tell(struct pulling *p, const char *file, const char *why) {
    bp_ns_t now = bp_mono_ns();

    if (!p->o->progress || now < p->told_mono + TELL_EVERY)
        return;
    if (now > p->rate_mono + BP_SEC) {
        p->rate = (double) (p->fetched - p->rate_bytes) * 1e9 / (double) (now - p->rate_mono);
        p->rate_bytes = p->fetched;
        p->rate_mono = now;
    }
    p->told_mono = now;
    p->o->progress(p->o->ctx, file, p->done, p->total, p->rate, why);
}

static bool is_canceled(const struct pulling *p) {
    return p->o->cancel && __atomic_load_n(p->o->cancel, __ATOMIC_RELAXED);
}

/* ---- one file ---- */

struct into {
    struct pulling *p;
    const struct bp_pull_file *f;
    struct bp_sha256 *sha; /* owned */
    int fd;
    uint64_t at;
    uint64_t counted; /* of it in p->done */
};

static int take(void *ctx, const void *bytes, size_t n) {
    struct into *x = ctx;
    int r;

    if (n > x->f->bytes - x->at)
        return BP_EMISMATCH; /* longer than it should be */
    r = bp_io_posix.pwrite(bp_io_posix.ctx, x->fd, bytes, n, x->at);
    if (r < 0)
        return r;
    bp_sha256_add(x->sha, bytes, n);
    x->at += n;
    x->p->done += n;
    x->counted += n;
    x->p->fetched += n;
    x->p->moved_mono = bp_mono_ns();
    tell(x->p, x->f->name, "");
    return is_canceled(x->p) ? -ECANCELED : 0;
}

/* What an earlier pull left of it. */
static int take_up(struct into *x, struct bp_error *err) {
    BP_AUTO_FREE uint8_t *bytes = malloc(READ);
    int64_t size = bp_io_posix.size(bp_io_posix.ctx, x->fd);

    if (!bytes)
        return bp_fail(err, -ENOMEM, "out of memory");
    while (size > 0 && (uint64_t) size <= x->f->bytes && x->at < (uint64_t) size) {
        ssize_t n = bp_io_posix.pread(bp_io_posix.ctx, x->fd, bytes, READ, x->at);

        if (n <= 0)
            break;
        bp_sha256_add(x->sha, bytes, (size_t) n);
        x->at += (uint64_t) n;
    }
    x->p->done += x->at;
    x->counted = x->at;
    return bp_io_posix.truncate(bp_io_posix.ctx, x->fd, x->at) < 0
               ? bp_fail(err, -EIO, "cannot write in '%s'", x->p->dir)
               : 0;
}

static int begin_again(struct into *x, struct bp_error *err) {
    uint8_t digest[BP_SHA256_LEN];

    bp_sha256_end(x->sha, digest);
    x->p->done -= x->counted;
    x->counted = x->at = 0;
    return bp_io_posix.truncate(bp_io_posix.ctx, x->fd, 0) < 0
               ? bp_fail(err, -EIO, "cannot write in '%s'", x->p->dir)
               : 0;
}

static bool may_come_back(int r) {
    switch (r) {
    case -ECONNREFUSED:
    case -EHOSTUNREACH:
    case -ETIMEDOUT:
    case -EIO:
    case -EAGAIN:
    case BP_ETRUNCATED:
        return true;
    default:
        return false;
    }
}

/* Waits before the next try, at most 30 s. @return false: no more */
static bool wait_for_link(struct pulling *p, const char *file, unsigned tries,
                          const struct bp_error *why) {
    bp_ns_t until = bp_mono_ns() + BP_MIN((bp_ns_t) 1 << BP_MIN(tries, 5U), 30) * BP_SEC / 2;

    if (bp_mono_ns() > p->moved_mono + p->o->patience)
        return false;
    while (bp_mono_ns() < until) {
        if (is_canceled(p))
            return false;
        tell(p, file, why->text);
        bp_sleep(100 * BP_MS);
    }
    return true;
}

/* The rest of a file. */
static int fetch(struct into *x, struct bp_error *err) {
    struct pulling *p = x->p;
    unsigned tries = 0;

    for (;;) {
        uint64_t before = x->at;
        struct bp_error why = { 0 };
        int r = x->at == x->f->bytes
                    ? 0
                    : p->source->read(p->self, &p->list, x->f, x->at, take, x, p->o->cancel, &why);

        if (r == 0 && x->at < x->f->bytes)
            r = bp_fail(&why, BP_ETRUNCATED, "'%s' ended early", x->f->name);
        if (r == 0)
            return 0;
        tries = x->at > before ? 0 : tries + 1;
        if (is_canceled(p))
            return bp_fail(err, -ECANCELED, "interrupted; the same command goes on from here");
        if (r == BP_EMISMATCH && !*why.text)
            return bp_fail(err, r, "'%s' is longer than it should be", x->f->name);
        if (!may_come_back(r) || !wait_for_link(p, x->f->name, tries, &why))
            return bp_fail(err, r, "%s", *why.text ? why.text : bp_strerror(r));
    }
}

static int prove(struct into *x, bool *ret_same) {
    uint8_t digest[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX];

    bp_sha256_end(x->sha, digest);
    *ret_same = !*x->f->sha256 || bp_streq(bp_sha256_hex(digest, hex), x->f->sha256);
    return 0;
}

/* Fetched, proven, and under its name. */
static int fetch_to(struct into *x, const char *part, const char *path, struct bp_error *err) {
    bool same = false;
    int r = take_up(x, err);

    for (int i = 0; r == 0 && i < 2 && !same;
         i++) { /* what an earlier pull left may be of another */
        if (i > 0)
            r = begin_again(x, err);
        if (r == 0)
            r = fetch(x, err);
        if (r == 0)
            r = prove(x, &same);
    }
    if (r == 0 && !same) {
        (void) unlink(part);
        return bp_fail(err, BP_EMISMATCH, "'%s' is not what it should be: its SHA-256 is another",
                       x->f->name);
    }
    if (r == 0 && bp_io_posix.datasync(bp_io_posix.ctx, x->fd) < 0)
        r = bp_fail(err, -EIO, "cannot write '%s'", path);
    if (r == 0 && rename(part, path) < 0)
        r = bp_fail(err, -errno, "cannot write '%s': %s", path, bp_strerror(-errno));
    return r;
}

static int make_folders_of(const char *path, size_t from, struct bp_error *err) {
    char folder[2400];

    for (const char *p = strchr(path + from, '/'); p; p = strchr(p + 1, '/')) {
        (void) snprintf(folder, sizeof folder, "%.*s", (int) (p - path), path);
        if (mkdir(folder, 0777) < 0 && errno != EEXIST)
            return bp_fail(err, -errno, "cannot make '%s': %s", folder, bp_strerror(-errno));
    }
    return 0;
}

/* Is it there already? Without a digest from over there only its size tells. */
static bool is_there(const struct bp_pull_file *f, const char *path) {
    uint64_t bytes = 0;
    char hex[65];
    struct stat st;

    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t) st.st_size != f->bytes)
        return false;
    return *f->sha256 &&
           bp_manifest_hash_file(&bp_io_posix, path, &bytes, hex, NULL, NULL, NULL) == 0 &&
           bp_streq(hex, f->sha256);
}

static int pull_file(struct pulling *p, const struct bp_pull_file *f, struct bp_error *err) {
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *sha = bp_sha256_new();
    char path[2400], part[2432];
    struct into x = { .p = p, .f = f, .sha = sha };
    const char *base = strrchr(f->name, '/');
    BP_AUTO_FD int fd = -1;
    int r;

    base = base ? base + 1 : f->name;
    (void) snprintf(path, sizeof path, "%s/%s", p->dir, f->name);
    (void) snprintf(part, sizeof part, "%s/%.*s.%s.part", p->dir, (int) (base - f->name), f->name,
                    base);
    if (is_there(f, path)) {
        p->done += f->bytes;
        return 0;
    }
    p->unproven += !*f->sha256;
    r = make_folders_of(path, strlen(p->dir) + 1, err);
    if (r < 0 || !sha)
        return r < 0 ? r : bp_fail(err, -ENOMEM, "out of memory");
    fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return bp_fail(err, -errno, "cannot make '%s': %s", part, bp_strerror(-errno));
    x.fd = fd;
    return fetch_to(&x, part, path, err);
}

/* ---- a session ---- */

/* Segments as the manifest says, whoever sent them. */
static int check_manifest(struct pulling *p, struct bp_error *err) {
    BP_AUTO_MANIFEST m = { 0 };
    int r = bp_manifest_read(&bp_io_posix, p->dir, &m, NULL);

    for (size_t i = 0; r == 0 && i < m.nsegments; i++) {
        struct bp_pull_file f = { .bytes = m.segments[i].bytes };
        bool known = false;
        char path[2400];

        memcpy(f.sha256, m.segments[i].sha256, sizeof f.sha256);
        for (size_t k = 0; k < p->list.n; k++)
            known |= bp_streq(p->list.v[k].name, m.segments[i].file) &&
                     (!*f.sha256 || bp_streq(p->list.v[k].sha256, f.sha256));
        (void) snprintf(path, sizeof path, "%s/%s", p->dir, m.segments[i].file);
        if (!known && !is_there(&f, path))
            return bp_fail(err, BP_EMISMATCH,
                           "'%s' is missing, or not what the session's manifest says",
                           m.segments[i].file);
        if (!known && p->unproven)
            p->unproven--;
    }
    return 0;
}

/* A folder of that name is this session's, or there is none. */
static int claim_folder(struct pulling *p, struct bp_error *err) {
    BP_AUTO_MANIFEST m = { 0 };

    if (!p->list.name || !is_folder_name(p->list.name))
        return bp_fail(err, BP_EFORMAT, "the session's name over there is none for a folder");
    (void) snprintf(p->dir, sizeof p->dir, "%s/%s", p->o->dir, p->list.name);
    if (bp_manifest_read(&bp_io_posix, p->dir, &m, NULL) == 0 && *p->list.id &&
        !bp_streq(m.id, p->list.id))
        return bp_fail(err, -EEXIST, "'%s' is another session's folder", p->dir);
    if (mkdir(p->o->dir, 0777) < 0 && errno != EEXIST)
        return bp_fail(err, -errno, "cannot make '%s': %s", p->o->dir, bp_strerror(-errno));
    if (mkdir(p->dir, 0777) < 0 && errno != EEXIST)
        return bp_fail(err, -errno, "cannot make '%s': %s", p->dir, bp_strerror(-errno));
    return 0;
}

static int pull_all(struct pulling *p, struct bp_error *err) {
    int r = 0;

    for (size_t i = 0; i < p->list.n; i++)
        p->total += p->list.v[i].bytes;
    for (int last = 0; r == 0 && last < 2; last++)
        for (size_t i = 0; r == 0 && i < p->list.n; i++)
            if (bp_streq(p->list.v[i].name, BP_MANIFEST_FILE) == (last == 1))
                r = pull_file(p, &p->list.v[i], err);
    if (r == 0)
        r = bp_io_posix.sync_dir(bp_io_posix.ctx, p->dir) < 0
                ? bp_fail(err, -EIO, "cannot sync '%s'", p->dir)
                : check_manifest(p, err);
    return r;
}

static int open_source(struct pulling *p, struct bp_error *err) {
    static const struct {
        const char *scheme;
        const struct bp_pull_source *source;
        int (*open)(const struct bp_sync_target_opts *o, void **ret_self, struct bp_error *err);
    } kinds[] = {
        { "http://", &bp_pull_server, bp_pull_server_open },
        { "https://", &bp_pull_server, bp_pull_server_open },
        { "unix:", &bp_pull_server, bp_pull_server_open },
        { "s3://", &bp_pull_s3, bp_pull_s3_open },
        { "file://", &bp_pull_folder, bp_pull_folder_open },
    };

    for (size_t i = 0; i < BP_COUNT(kinds); i++)
        if (bp_starts_with(p->o->from.url, kinds[i].scheme)) {
            p->source = kinds[i].source;
            return kinds[i].open(&p->o->from, &p->self, err);
        }
    return bp_fail(err, BP_EUSAGE, "'%s': expected http(s)://, s3:// or file://", p->o->from.url);
}

/* Also this waits for a link that is away. */
static int find(struct pulling *p, struct bp_error *err) {
    unsigned tries = 0;

    for (;;) {
        struct bp_error why = { 0 };
        int r = p->source->find(p->self, p->o->session, &p->list, &why);

        if (r == 0)
            return 0;
        if (!may_come_back(r) || p->list.n || !wait_for_link(p, p->o->session, ++tries, &why))
            return bp_fail(err, r, "%s", why.text);
    }
}

int bp_sync_pull(const struct bp_sync_pull *o, struct bp_sync_pulled *ret, struct bp_error *err) {
    BP_CLEANUP(pulling_done) struct pulling p = { .o = o, .moved_mono = bp_mono_ns() };
    int r = open_source(&p, err);

    p.rate_mono = p.moved_mono;
    if (r == 0)
        r = find(&p, err);
    if (r == 0)
        r = claim_folder(&p, err);
    if (r == 0)
        r = pull_all(&p, err);
    if (r < 0)
        return r;
    *ret = (struct bp_sync_pulled){
        .files = (unsigned) p.list.n, .bytes = p.total, .fetched = p.fetched, .unproven = p.unproven
    };
    memcpy(ret->id, p.list.id, sizeof ret->id);
    (void) snprintf(ret->dir, sizeof ret->dir, "%s", p.dir);
    return 0;
}
