#include "store/spool-priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"

/* What an earlier life left: maps with their data, data without a map (garbage), maps whose data
 * was handed on. Nothing but garbage is removed: a map that cannot be read is left alone and told.
 */

static const bp_ns_t GRACE = BP_SEC * 24 * 3600;

/* How long nothing came, by the time of its map. The clock may have jumped while we were not
 * running: whatever it says, an upload gets some time to go on. */
static bp_ns_t age_of(const struct bp_spool *s, const char *path) {
    bp_ns_t most = s->expiry - BP_MIN(GRACE, s->expiry / 2), age;
    struct stat st;

    if (stat(path, &st) < 0)
        return 0;
    age = bp_wall_ns() - (st.st_mtim.tv_sec * BP_SEC + st.st_mtim.tv_nsec);
    return BP_MAX(0, BP_MIN(age, most));
}

static void read_slots(struct bp_spool_upload *u, struct bp_str map) {
    uint8_t digest[BP_SHA256_LEN];

    for (uint32_t n = 0; n < u->parts; n++) {
        size_t at = BP_SPOOL_HEAD + (size_t) n * BP_SPOOL_SLOT;

        if (at + BP_SPOOL_SLOT > map.n ||
            !bp_spool_map_slot_read(u->head, n, (const uint8_t *) map.p + at, digest))
            continue;
        u->there[n / 8] |= (uint8_t) (1 << (n % 8));
        u->there_n++;
    }
}

static int read_map(struct bp_spool *s, const char *id, const char *path,
                    struct bp_spool_upload **ret, struct bp_error *err) {
    BP_AUTO_FREE char *p = NULL;
    struct bp_spool_meta meta;
    struct bp_spool_upload *u;
    bp_ns_t created;
    size_t n;
    int r = bp_io_read_file(s->io, path, BP_SPOOL_MAP_MAX, &p, &n, err);

    if (r < 0)
        return r;
    r = bp_spool_map_parse((struct bp_str){ p, n }, &meta, &created);
    if (r < 0)
        return bp_fail(err, r, "'%s' is no map of an upload: %s", path, bp_strerror(r));
    u = bp_spool_upload_new(&meta, created);
    if (!u)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (!bp_streq(u->id, id)) {
        bp_spool_upload_free(u);
        return bp_fail(err, BP_EFORMAT, "'%s' is the map of another upload", path);
    }
    read_slots(u, (struct bp_str){ p, n });
    u->touched_mono -= age_of(s, path);
    *ret = u;
    return 0;
}

/* Is its data there, in full length? */
static int look_at_data(struct bp_spool *s, struct bp_spool_upload *u, struct bp_error *err) {
    char path[BP_SPOOL_PATH];
    int64_t size;
    int fd;

    bp_spool_path(s, u->id, ".data", path);
    fd = s->io->open(s->io->ctx, path, O_RDWR, 0);
    if (fd == -ENOENT) {
        u->moved = u->there_n == u->parts;
        return u->moved ? 0 : 1; /* 1: it was being dropped */
    }
    if (fd < 0)
        return bp_fail(err, fd, "cannot open '%s': %s", path, bp_strerror(fd));
    size = s->io->size(s->io->ctx, fd);
    (void) s->io->close(s->io->ctx, fd);
    if (size < 0 || (uint64_t) size != u->meta.bytes)
        return bp_fail(err, size < 0 ? (int) size : BP_ECORRUPT,
                       "'%s' has another size than its map", path);
    return 0;
}

/* An upload that cannot be taken up is told of and left as it is; the rest go on. */
static int load_one(struct bp_spool *s, const char *id, struct bp_error *err) {
    struct bp_spool_upload *u = NULL;
    char path[BP_SPOOL_PATH];
    int r;

    bp_spool_path(s, id, ".map", path);
    r = read_map(s, id, path, &u, err);
    if (r == 0)
        r = look_at_data(s, u, err);
    if (r == 0) {
        bp_mutex_lock(&s->lock);
        s->bytes += u->meta.bytes;
        HASH_ADD_STR(s->uploads, id, u);
        bp_mutex_unlock(&s->lock);
        return 0;
    }
    bp_spool_upload_free(u);
    if (r == 1) {
        (void) s->io->unlink(s->io->ctx, path);
        return 0;
    }
    if (r == BP_EFORMAT || r == BP_ECORRUPT || r == -EFBIG) {
        bp_log(BP_LOG_WARNING, "an unfinished upload cannot be taken up, left as it is",
               BP_F_TEXT("path", path), BP_F_TEXT("why", err ? err->text : ""));
        return 0;
    }
    return r;
}

static bool ends_with(const char *name, const char *suffix) {
    size_t n = strlen(name), k = strlen(suffix);

    return n > k && bp_streq(name + n - k, suffix);
}

/* The folder is read twice: maps first, then what belongs to none. */
static int walk(struct bp_spool *s, const char *suffix,
                int (*fn)(struct bp_spool *s, const char *id, struct bp_error *err),
                struct bp_error *err) {
    DIR *d = opendir(s->dir);
    const struct dirent *e;
    int r = 0;

    if (!d)
        return bp_fail(err, -errno, "cannot read folder '%s': %s", s->dir, bp_strerror(-errno));
    while (r == 0 && (e = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own stream */
        char id[BP_SPOOL_ID];

        if (!ends_with(e->d_name, suffix) || strlen(e->d_name) - strlen(suffix) >= sizeof id)
            continue;
        (void) snprintf(id, sizeof id, "%.*s", (int) (strlen(e->d_name) - strlen(suffix)),
                        e->d_name);
        r = fn(s, id, err);
    }
    (void) closedir(d);
    return r;
}

static int remove_garbage(struct bp_spool *s, const char *id, struct bp_error *err) {
    char path[BP_SPOOL_PATH];
    int fd;

    (void) err;
    bp_spool_path(s, id, ".map", path);
    fd = s->io->open(s->io->ctx, path, O_RDONLY, 0);
    if (fd >= 0)
        (void) s->io->close(s->io->ctx, fd);
    if (fd != -ENOENT)
        return 0;
    bp_spool_path(s, id, ".data", path);
    (void) s->io->unlink(s->io->ctx, path);
    return 0;
}

static int remove_half(struct bp_spool *s, const char *id, struct bp_error *err) {
    char path[BP_SPOOL_PATH];

    (void) err;
    bp_spool_path(s, id, ".map.tmp", path);
    (void) s->io->unlink(s->io->ctx, path);
    return 0;
}

int bp_spool_load(struct bp_spool *s, struct bp_error *err) {
    struct bp_error why = { 0 };
    int r = walk(s, ".map", load_one, err ? err : &why);

    if (r == 0)
        r = walk(s, ".data", remove_garbage, err);
    if (r == 0)
        r = walk(s, ".map.tmp", remove_half, err);
    return r;
}
