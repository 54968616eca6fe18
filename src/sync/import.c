/* What a shuttle disk brought: only sessions that are listed and signed by their device, of which
 * every file is there with its digest. The disk is somebody else's: nothing on it is believed, no
 * link is followed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "sync/shuttle.h"
#include "sync/sync.h"

enum { PATH = 4096, JSON_MAX = 16 << 20, PIECE = 256 << 10 };

static void refuse(const struct bp_sync_import *i, const char *what, const char *why) {
    if (i->refused)
        i->refused(i->ctx, what, why);
}

/* Opens below the root, following no link in any part of the path. @return a descriptor or -errno
 */
static int open_below(const char *root, const char *name) {
    BP_AUTO_FD int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char part[1100];

    if (dir < 0)
        return -errno;
    for (const char *p = name;;) {
        size_t n = strcspn(p, "/");
        bool last = p[n] == 0;
        int next;

        if (n >= sizeof part)
            return -ENAMETOOLONG;
        memcpy(part, p, n);
        part[n] = 0;
        next = openat(dir, part,
                      O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (last ? O_NONBLOCK : O_DIRECTORY));
        if (next < 0)
            return -errno;
        if (last)
            return next;
        (void) close(dir);
        dir = next;
        p += n + 1;
    }
}

/* @return 0 when the file has these bytes and this digest */
static int check_file(const char *root, const char *name, uint64_t bytes,
                      const uint8_t sha256[static BP_SHA256_LEN]) {
    BP_AUTO_FD int fd = open_below(root, name);
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *h = bp_sha256_new();
    BP_AUTO_FREE uint8_t *buf = malloc(PIECE);
    uint8_t sum[BP_SHA256_LEN];
    uint64_t at = 0;
    struct stat st;

    if (fd < 0)
        return fd;
    if (!h || !buf)
        return -ENOMEM;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (bytes && (uint64_t) st.st_size != bytes))
        return BP_EMISMATCH;
    for (ssize_t n; (n = bp_io_posix.pread(NULL, fd, buf, PIECE, at)) != 0; at += (uint64_t) n) {
        if (n < 0)
            return (int) n;
        bp_sha256_add(h, buf, (size_t) n);
    }
    bp_sha256_end(h, sum);
    return memcmp(sum, sha256, sizeof sum) == 0 ? 0 : BP_EMISMATCH;
}

/* Text of a file below the root; owned by the caller. */
static int read_below(const char *root, const char *name, size_t limit, char **ret, size_t *ret_n) {
    BP_AUTO_FD int fd = open_below(root, name);
    BP_AUTO_FREE char *text = NULL;
    struct stat st;
    ssize_t n;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -EINVAL;
    if ((uint64_t) st.st_size > limit)
        return -EFBIG;
    text = calloc(1, (size_t) st.st_size + 1);
    if (!text)
        return -ENOMEM;
    n = bp_io_posix.pread(NULL, fd, text, (size_t) st.st_size, 0);
    if (n < 0)
        return (int) n;
    *ret = BP_TAKE_PTR(text);
    *ret_n = (size_t) n;
    return 0;
}

/* ---- sessions ---- */

static bool is_whole(const struct bp_sync_import *i, const struct bp_shuttle_session *x) {
    char name[2200], why[200];
    int r = 0;

    for (size_t k = 0; k < x->n; k++) {
        (void) snprintf(name, sizeof name, "sessions/%s/%s", x->dir, x->v[k].name);
        r = check_file(i->root, name, x->v[k].bytes, x->v[k].sha256);
        if (r < 0) {
            (void) snprintf(why, sizeof why, "%s",
                            r == BP_EMISMATCH ? "it is not as its device signed it"
                                              : bp_strerror(r));
            refuse(i, name, why);
            return false;
        }
    }
    return x->n > 0;
}

static char *read_json(const struct bp_sync_import *i, const struct bp_shuttle_session *x) {
    char name[64], *text = NULL;
    uint8_t sum[BP_SHA256_LEN];
    size_t n = 0;
    int r;

    (void) snprintf(name, sizeof name, "shuttle/%s.json", x->id);
    r = read_below(i->root, name, JSON_MAX, &text, &n);
    if (r >= 0)
        bp_sha256_of(text, n, sum);
    if (r >= 0 && memcmp(sum, x->json_sha256, sizeof sum) == 0)
        return text;
    refuse(i, name, r < 0 ? bp_strerror(r) : "it is not as its device signed it");
    free(text);
    return NULL;
}

/* @return 1 when it was told, 0 when it was refused, < 0 to end */
static int import_session(const struct bp_sync_import *i, const char *device,
                          const struct bp_shuttle_session *x) {
    BP_AUTO_FREE char *json = NULL;
    char dir[PATH];
    int r;

    if (!is_whole(i, x))
        return 0;
    json = read_json(i, x);
    if (!json)
        return 0;
    (void) snprintf(dir, sizeof dir, "%s/sessions/%s", i->root, x->dir);
    r = i->session(i->ctx, device, x->id, dir, json);
    return r < 0 ? r : 1;
}

static int import_list(const struct bp_sync_import *i, const char *name) {
    BP_AUTO_SHUTTLE s = { 0 };
    BP_AUTO_FREE char *text = NULL;
    struct bp_error why = { 0 };
    size_t n = 0;
    int r = read_below(i->root, name, BP_SHUTTLE_BYTES_MAX, &text, &n), told = 0;

    if (r < 0)
        (void) bp_fail(&why, r, "%s", bp_strerror(r));
    else
        r = bp_shuttle_parse((struct bp_str){ text, n }, &s, &why);
    if (r >= 0 && !s.is_signed && !i->allow_unsigned)
        r = bp_fail(&why, BP_EMISMATCH, "it is not signed");
    if (r >= 0 && s.is_signed && i->trust && !i->trust(i->ctx, s.device, s.key))
        r = bp_fail(&why, BP_EMISMATCH, "device '%s' is not known with this key", s.device);
    if (r < 0) {
        refuse(i, name, why.text);
        return 0;
    }
    for (size_t k = 0; r >= 0 && k < s.n; k++) {
        r = import_session(i, s.device, &s.v[k]);
        told += r > 0;
    }
    return r < 0 ? r : told;
}

int bp_sync_import_shuttle(const struct bp_sync_import *i, struct bp_error *err) {
    char path[PATH], name[400];
    const struct dirent *e;
    int told = 0, r = 0;
    DIR *d;

    (void) snprintf(path, sizeof path, "%s/shuttle", i->root);
    d = opendir(path);
    if (!d)
        return bp_fail(err, -errno, "'%s' is no shuttle disk: %s", i->root, bp_strerror(-errno));
    while (r >= 0 && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        size_t n = strlen(e->d_name);

        if (n < 8 || e->d_name[0] == '.' || !bp_streq(e->d_name + n - 8, ".shuttle"))
            continue;
        (void) snprintf(name, sizeof name, "shuttle/%s", e->d_name);
        r = import_list(i, name);
        told += r > 0 ? r : 0;
    }
    (void) closedir(d);
    return r < 0 ? bp_fail(err, r, "importing '%s' was ended", i->root) : told;
}
