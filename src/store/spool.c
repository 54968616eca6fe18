#include "store/spool-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

/* An upload is two files: ID.data, as long as the file that comes, and ID.map. What holds:
 *   - a map is there whole or not at all (it comes by rename), and after its data file;
 *   - a slot of the map is written after the data of its part was synced, and a part is
 *     acknowledged after its slot was synced: what a slot says is there;
 *   - a data file without a map is garbage: its upload was not begun, or is gone;
 *   - a map with all of its slots and without data file was finished: the object was moved to where
 *     it stays, and only remembering that may be missing. */

enum { MAX_UPLOADS = 10000 };
static const bp_ns_t EXPIRY = BP_SEC * 7 * 24 * 3600;

char *bp_spool_id(const char *session, const char *file, const uint8_t sha256[static BP_SHA256_LEN],
                  char ret[static BP_SPOOL_ID]) {
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *s = bp_sha256_new();
    uint8_t digest[BP_SHA256_LEN] = { 0 };
    char hex[BP_SHA256_HEX];

    if (s) {
        bp_sha256_add(s, file, strlen(file) + 1);
        bp_sha256_add(s, sha256, BP_SHA256_LEN);
        bp_sha256_end(s, digest);
    }
    (void) snprintf(ret, BP_SPOOL_ID, "%.26s-%.32s", session, bp_sha256_hex(digest, hex));
    return ret;
}

void bp_spool_path(const struct bp_spool *s, const char *id, const char *suffix,
                   char ret[static BP_SPOOL_PATH]) {
    (void) snprintf(ret, BP_SPOOL_PATH, "%s/%s%s", s->dir, id, suffix);
}

struct bp_spool_upload *bp_spool_find_locked(struct bp_spool *s, const char *id) {
    struct bp_spool_upload *u;

    HASH_FIND_STR(s->uploads, id, u);
    return u;
}

void bp_spool_upload_free(struct bp_spool_upload *u) {
    if (!u)
        return;
    bp_sha256_free(u->hash);
    free(u->there);
    free(u);
}

struct bp_spool_upload *bp_spool_upload_new(const struct bp_spool_meta *meta,
                                            bp_ns_t created_wall) {
    struct bp_spool_upload *u = calloc(1, sizeof *u);

    if (!u)
        return NULL;
    u->meta = *meta;
    u->parts = bp_spool_parts_of(meta->bytes, meta->part_bytes);
    u->there = calloc((u->parts + 7) / 8, 1);
    u->hash = bp_sha256_new();
    if (!u->there || !u->hash) {
        bp_spool_upload_free(u);
        return NULL;
    }
    u->created_wall = created_wall;
    u->touched_mono = bp_mono_ns();
    u->data_fd = u->map_fd = -1;
    (void) bp_spool_id(meta->session, meta->file, meta->sha256, u->id);
    bp_spool_map_head(meta, created_wall, u->head);
    return u;
}

/* ---- its files ---- */

static int open_files(struct bp_spool *s, const char *id, int *ret_data, int *ret_map,
                      struct bp_error *err) {
    const struct bp_io *io = s->io;
    char path[BP_SPOOL_PATH];
    int data, map;

    bp_spool_path(s, id, ".data", path);
    data = io->open(io->ctx, path, O_RDWR, 0);
    if (data < 0)
        return bp_fail(err, data, "cannot open '%s': %s", path, bp_strerror(data));
    bp_spool_path(s, id, ".map", path);
    map = io->open(io->ctx, path, O_RDWR, 0);
    if (map < 0) {
        (void) io->close(io->ctx, data);
        return bp_fail(err, map, "cannot open '%s': %s", path, bp_strerror(map));
    }
    *ret_data = data;
    *ret_map = map;
    return 0;
}

int bp_spool_use(struct bp_spool *s, struct bp_spool_upload *u, struct bp_error *err) {
    int data = -1, map = -1, r = 0;
    bool mine;

    bp_mutex_lock(&s->lock);
    while (u->opening)
        bp_mutex_wait(&s->lock, &s->changed);
    mine = u->data_fd < 0;
    u->opening = mine;
    bp_mutex_unlock(&s->lock);
    if (!mine)
        return 0;

    r = open_files(s, u->id, &data, &map, err);
    bp_mutex_lock(&s->lock);
    u->opening = false;
    if (r == 0) {
        u->data_fd = data;
        u->map_fd = map;
    }
    (void) pthread_cond_broadcast(&s->changed);
    bp_mutex_unlock(&s->lock);
    return r;
}

void bp_spool_leave(struct bp_spool *s, struct bp_spool_upload *u) {
    const struct bp_io *io = s->io;
    int data = -1, map = -1;
    bool last, gone;

    bp_mutex_lock(&s->lock);
    last = --u->users == 0;
    gone = last && u->dropped;
    if (last) {
        data = BP_TAKE_FD(u->data_fd);
        map = BP_TAKE_FD(u->map_fd);
    }
    bp_mutex_unlock(&s->lock);
    if (data >= 0)
        (void) io->close(io->ctx, data);
    if (map >= 0)
        (void) io->close(io->ctx, map);
    if (gone)
        bp_spool_upload_free(u);
}

/* The data file: room for all of it now, so that a full disk says so before anything is sent. */
static int make_data(struct bp_spool *s, const struct bp_spool_upload *u, struct bp_error *err) {
    const struct bp_io *io = s->io;
    char path[BP_SPOOL_PATH];
    int fd, r;

    bp_spool_path(s, u->id, ".data", path);
    fd = io->open(io->ctx, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return bp_fail(err, fd, "cannot make '%s': %s", path, bp_strerror(fd));
    r = u->meta.bytes ? io->allocate(io->ctx, fd, 0, u->meta.bytes) : 0;
    if (r == -EOPNOTSUPP)
        r = 0;
    if (r == 0)
        r = io->truncate(io->ctx, fd, u->meta.bytes);
    if (r == 0)
        r = io->sync(io->ctx, fd); /* its size is there when the map says that the upload is */
    (void) io->close(io->ctx, fd);
    if (r < 0) {
        (void) io->unlink(io->ctx, path);
        return bp_fail(err, r, "no room for %llu bytes: %s", (unsigned long long) u->meta.bytes,
                       bp_strerror(r));
    }
    return 0;
}

static int make_files(struct bp_spool *s, const struct bp_spool_upload *u, struct bp_error *err) {
    size_t n = BP_SPOOL_HEAD + (size_t) u->parts * BP_SPOOL_SLOT;
    BP_AUTO_FREE uint8_t *map = calloc(n, 1);
    char path[BP_SPOOL_PATH];
    int r;

    if (!map)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = make_data(s, u, err);
    if (r < 0)
        return r;
    memcpy(map, u->head, BP_SPOOL_HEAD);
    bp_spool_path(s, u->id, ".map", path);
    r = bp_io_replace_file(s->io, path, map, n, err); /* syncs the folder: both names stay */
    if (r < 0) {
        (void) s->io->unlink(s->io->ctx, path);
        bp_spool_path(s, u->id, ".data", path);
        (void) s->io->unlink(s->io->ctx, path);
    }
    return r;
}

int bp_spool_forget(struct bp_spool *s, struct bp_spool_upload *u, struct bp_error *err) {
    char path[BP_SPOOL_PATH], id[BP_SPOOL_ID];
    bool idle;
    int r;

    memcpy(id, u->id, sizeof id);
    bp_spool_path(s, id, ".map", path);
    r = s->io->unlink(s->io->ctx, path); /* first: without it there is no upload */
    if (r < 0 && r != -ENOENT) {
        bp_mutex_lock(&s->lock);
        u->finishing = false;
        (void) pthread_cond_broadcast(&s->changed);
        bp_mutex_unlock(&s->lock);
        return bp_fail(err, r, "cannot remove '%s': %s", path, bp_strerror(r));
    }
    bp_spool_path(s, id, ".data", path);
    (void) s->io->unlink(s->io->ctx, path); /* what stays is removed by the next start */

    bp_mutex_lock(&s->lock);
    HASH_DEL(s->uploads, u);
    s->bytes -= u->meta.bytes;
    u->dropped = true;
    idle = u->users == 0;
    (void) pthread_cond_broadcast(&s->changed);
    bp_mutex_unlock(&s->lock);
    if (idle)
        bp_spool_upload_free(u);
    return 0;
}

/* ---- open, close ---- */

int bp_spool_open(const struct bp_spool_options *o, struct bp_spool **ret, struct bp_error *err) {
    BP_CLEANUP(bp_spool_closep) struct bp_spool *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_mutex_init(&s->lock);
    (void) pthread_cond_init(&s->changed, NULL);
    s->io = o->io;
    s->max_bytes = o->max_bytes;
    s->min_free = o->min_free;
    s->max_uploads = o->max_uploads ? o->max_uploads : MAX_UPLOADS;
    s->expiry = o->expiry ? o->expiry : EXPIRY;
    s->dir = strdup(o->dir);
    if (!s->dir)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (strlen(s->dir) > BP_SPOOL_PATH - 2 * BP_SPOOL_ID)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", s->dir);
    r = s->io->mkdir(s->io->ctx, s->dir, 0700);
    if (r < 0 && r != -EEXIST)
        return bp_fail(err, r, "cannot make folder '%s': %s", s->dir, bp_strerror(r));
    r = bp_spool_load(s, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(s);
    return 0;
}

void bp_spool_close(struct bp_spool *s) {
    struct bp_spool_upload *u, *next;

    if (!s)
        return;
    HASH_ITER(hh, s->uploads, u, next) {
        HASH_DEL(s->uploads, u);
        bp_spool_upload_free(u);
    }
    (void) pthread_cond_destroy(&s->changed);
    bp_mutex_done(&s->lock);
    free(s->dir);
    free(s);
}

/* ---- what there is ---- */

bool bp_spool_expired_locked(const struct bp_spool *s, const struct bp_spool_upload *u,
                             bp_ns_t now_mono) {
    return now_mono - u->touched_mono > s->expiry;
}

static void fill_info_locked(struct bp_spool *s, const struct bp_spool_upload *u,
                             struct bp_spool_info *ret) BP_REQUIRES(s->lock);
static void fill_info_locked(struct bp_spool *s, const struct bp_spool_upload *u,
                             struct bp_spool_info *ret) {
    *ret = (struct bp_spool_info){
        .meta = u->meta,
        .parts = u->parts,
        .parts_there = u->there_n,
        .created_wall = u->created_wall,
        .expires_wall = bp_wall_ns() + u->touched_mono + s->expiry - bp_mono_ns(),
        .finishing = u->finishing,
        .moved = u->moved,
    };
    memcpy(ret->id, u->id, sizeof ret->id);
}

int bp_spool_get(struct bp_spool *s, const char *id, struct bp_spool_info *ret,
                 struct bp_error *err) {
    struct bp_spool_upload *u;

    bp_mutex_lock(&s->lock);
    u = bp_spool_find_locked(s, id);
    if (u && !u->making)
        fill_info_locked(s, u, ret);
    else
        u = NULL;
    bp_mutex_unlock(&s->lock);
    return u ? 0 : bp_fail(err, -ENOENT, "there is no upload '%.80s'", id);
}

int bp_spool_put_parts(struct bp_spool *s, const char *id, struct bp_buf *out,
                       struct bp_error *err) {
    uint8_t there[(BP_SPOOL_PARTS_MAX + 7) / 8];
    struct bp_spool_upload *u;
    uint32_t parts = 0;

    bp_mutex_lock(&s->lock);
    u = bp_spool_find_locked(s, id);
    if (u) {
        parts = u->parts;
        memcpy(there, u->there, (parts + 7) / 8);
    }
    bp_mutex_unlock(&s->lock);
    if (!u)
        return bp_fail(err, -ENOENT, "there is no upload '%.80s'", id);
    bp_spool_ranges_put(out, there, parts);
    return 0;
}

uint64_t bp_spool_bytes_of(struct bp_spool *s, const char *device) {
    struct bp_spool_upload *u, *next;
    uint64_t sum = 0;

    bp_mutex_lock(&s->lock);
    HASH_ITER(hh, s->uploads, u, next) {
        sum += bp_streq(u->meta.device, device) ? u->meta.bytes : 0;
    }
    bp_mutex_unlock(&s->lock);
    return sum;
}

bool bp_spool_hands_on(struct bp_spool *s, const uint8_t sha256[static BP_SHA256_LEN]) {
    struct bp_spool_upload *u, *next;
    bool yes = false;

    bp_mutex_lock(&s->lock);
    HASH_ITER(hh, s->uploads, u, next) {
        yes |= (u->moved || u->finishing) && memcmp(u->meta.sha256, sha256, BP_SHA256_LEN) == 0;
    }
    bp_mutex_unlock(&s->lock);
    return yes;
}

void bp_spool_sums(struct bp_spool *s, uint64_t *ret_uploads, uint64_t *ret_bytes) {
    bp_mutex_lock(&s->lock);
    *ret_uploads = HASH_COUNT(s->uploads);
    *ret_bytes = s->bytes;
    bp_mutex_unlock(&s->lock);
}

int bp_spool_list(struct bp_spool *s, struct bp_spool_info **ret, size_t *ret_n) {
    struct bp_spool_info *list;
    struct bp_spool_upload *u, *next;
    size_t cap, n = 0;

    bp_mutex_lock(&s->lock);
    cap = HASH_COUNT(s->uploads);
    bp_mutex_unlock(&s->lock);
    list = calloc(cap + 1, sizeof *list);
    if (!list)
        return -ENOMEM;
    bp_mutex_lock(&s->lock);
    HASH_ITER(hh, s->uploads, u, next) {
        if (n < cap && !u->making)
            fill_info_locked(s, u, &list[n++]);
    }
    bp_mutex_unlock(&s->lock);
    *ret = list;
    *ret_n = n;
    return 0;
}

/* ---- a new one ---- */

static int check_room(struct bp_spool *s, uint64_t bytes, struct bp_error *err) {
    int64_t room = s->io->free_bytes(s->io->ctx, s->dir);

    if (room < 0)
        return bp_fail(err, (int) room, "cannot tell the free room of '%s': %s", s->dir,
                       bp_strerror((int) room));
    if ((uint64_t) room < s->min_free || (uint64_t) room - s->min_free < bytes)
        return bp_fail(err, -ENOSPC, "the disk has no room for %llu bytes",
                       (unsigned long long) bytes);
    return 0;
}

/* Enters a new one, which nobody touches before it is made; or finds the one that is there. */
static int enter_locked(struct bp_spool *s, struct bp_spool_upload *u, struct bp_spool_info *ret,
                        struct bp_error *err) BP_REQUIRES(s->lock);
static int enter_locked(struct bp_spool *s, struct bp_spool_upload *u, struct bp_spool_info *ret,
                        struct bp_error *err) {
    struct bp_spool_upload *old;

    while ((old = bp_spool_find_locked(s, u->id)) != NULL && old->making)
        bp_mutex_wait(&s->lock, &s->changed);
    if (old && old->meta.bytes != u->meta.bytes)
        return bp_fail(err, -EINVAL, "the same digest cannot be of %llu and of %llu bytes",
                       (unsigned long long) old->meta.bytes, (unsigned long long) u->meta.bytes);
    if (old) {
        fill_info_locked(s, old, ret);
        return 1;
    }
    if (HASH_COUNT(s->uploads) >= s->max_uploads)
        return bp_fail(err, -EDQUOT, "%u uploads are unfinished, more are not allowed",
                       s->max_uploads);
    if (s->max_bytes && (u->meta.bytes > s->max_bytes || s->bytes > s->max_bytes - u->meta.bytes))
        return bp_fail(err, -EDQUOT, "unfinished uploads may have %llu bytes together",
                       (unsigned long long) s->max_bytes);
    u->making = true;
    s->bytes += u->meta.bytes;
    HASH_ADD_STR(s->uploads, id, u);
    return 0;
}

/* Files of an upload that was entered. */
static int make(struct bp_spool *s, struct bp_spool_upload *u, struct bp_spool_info *ret,
                struct bp_error *err) {
    int r = check_room(s, u->meta.bytes, err);

    if (r == 0)
        r = make_files(s, u, err);
    bp_mutex_lock(&s->lock);
    u->making = false;
    if (r == 0) {
        fill_info_locked(s, u, ret);
    } else {
        HASH_DEL(s->uploads, u);
        s->bytes -= u->meta.bytes;
    }
    (void) pthread_cond_broadcast(&s->changed);
    bp_mutex_unlock(&s->lock);
    if (r < 0)
        bp_spool_upload_free(u);
    return r;
}

int bp_spool_create(struct bp_spool *s, const struct bp_spool_meta *meta, struct bp_spool_info *ret,
                    struct bp_error *err) {
    struct bp_spool_meta m = *meta;
    struct bp_spool_upload *u;
    int r;

    if (strlen(m.session) != BP_ULID_TEXT - 1 ||
        bp_ulid_parse(m.session, BP_ULID_TEXT - 1, NULL) < 0)
        return bp_fail(err, -EINVAL, "'%s' is no id of a session", m.session);
    if (m.part_bytes == 0)
        m.part_bytes = bp_spool_choose(m.bytes);
    if (!bp_spool_part_ok(m.bytes, m.part_bytes))
        return bp_fail(
            err, -EINVAL,
            "a file of %llu bytes cannot have parts of %u: a power of two from 64 KiB to "
            "1 GiB, and at most %d parts",
            (unsigned long long) m.bytes, m.part_bytes, BP_SPOOL_PARTS_MAX);
    u = bp_spool_upload_new(&m, bp_wall_ns());
    if (!u)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_mutex_lock(&s->lock);
    r = enter_locked(s, u, ret, err);
    bp_mutex_unlock(&s->lock);
    if (r == 0)
        return make(s, u, ret, err);
    bp_spool_upload_free(u);
    return r;
}

/* ---- the end of one ---- */

/* Claims it for dropping or finishing. */
static int claim(struct bp_spool *s, const char *id, bool whole, struct bp_spool_upload **ret,
                 struct bp_spool_info *ret_info, struct bp_error *err) {
    struct bp_spool_upload *u;
    uint32_t missing = 0;
    bool busy = false;

    bp_mutex_lock(&s->lock);
    u = bp_spool_find_locked(s, id);
    if (u && !u->making) {
        busy = u->finishing;
        missing = u->parts - u->there_n;
        if (!busy && (!whole || missing == 0)) {
            u->finishing = true;
            u->users += whole;
        }
        fill_info_locked(s, u, ret_info);
    } else {
        u = NULL;
    }
    bp_mutex_unlock(&s->lock);
    if (!u)
        return bp_fail(err, -ENOENT, "there is no upload '%.80s'", id);
    if (busy)
        return bp_fail(err, -EBUSY, "the upload is being finished");
    if (whole && missing > 0)
        return bp_fail(err, BP_EMISMATCH, "%u of %u parts are missing", missing, ret_info->parts);
    *ret = u;
    return 0;
}

int bp_spool_drop(struct bp_spool *s, const char *id, struct bp_error *err) {
    struct bp_spool_info info;
    struct bp_spool_upload *u = NULL;
    int r = claim(s, id, false, &u, &info, err);

    return r < 0 ? r : bp_spool_forget(s, u, err);
}

static bool is_former(const struct bp_spool_upload *u, const struct bp_spool_meta *m) {
    return bp_streq(u->meta.session, m->session) && bp_streq(u->meta.file, m->file) &&
           bp_streq(u->meta.device, m->device) &&
           memcmp(u->meta.sha256, m->sha256, sizeof m->sha256) != 0;
}

void bp_spool_supersede(struct bp_spool *s, const struct bp_spool_meta *meta) {
    for (;;) {
        struct bp_spool_upload *u, *next;
        char id[BP_SPOOL_ID] = "";

        bp_mutex_lock(&s->lock);
        HASH_ITER(hh, s->uploads, u, next) {
            if (u->there_n == 0 && !u->making && !u->finishing && !u->coming &&
                is_former(u, meta)) {
                memcpy(id, u->id, sizeof id);
                break;
            }
        }
        bp_mutex_unlock(&s->lock);
        if (id[0] == '\0' || bp_spool_drop(s, id, NULL) < 0)
            return;
    }
}

unsigned bp_spool_expire(struct bp_spool *s, bp_ns_t now_mono) {
    bp_ns_t grace = BP_MIN(s->expiry / 8, 3600 * BP_SEC); /* who comes now is told what happened */
    unsigned n = 0;

    for (;;) {
        struct bp_spool_upload *u, *next;
        char id[BP_SPOOL_ID] = "";

        bp_mutex_lock(&s->lock);
        HASH_ITER(hh, s->uploads, u, next) {
            if (!u->making && !u->finishing && !u->moved && !u->coming &&
                bp_spool_expired_locked(s, u, now_mono - grace)) {
                memcpy(id, u->id, sizeof id);
                break;
            }
        }
        bp_mutex_unlock(&s->lock);
        if (id[0] == '\0' || bp_spool_drop(s, id, NULL) < 0)
            return n;
        n++;
    }
}

/* Adds what of the file is not in the digest yet. */
static int hash_rest(struct bp_spool *s, struct bp_spool_upload *u, struct bp_error *err) {
    enum { BLOCK = 1 << 20 };
    BP_AUTO_FREE uint8_t *p = malloc(BLOCK);

    if (!p)
        return bp_fail(err, -ENOMEM, "out of memory");
    while (u->hashed < u->meta.bytes) { /* ours alone: see check_whole() */
        size_t n = (size_t) BP_MIN((uint64_t) BLOCK, u->meta.bytes - u->hashed);
        ssize_t r = s->io->pread(s->io->ctx, u->data_fd, p, n, u->hashed);

        if (r != (ssize_t) n)
            return bp_fail(err, r < 0 ? (int) r : -EIO, "cannot read the upload back: %s",
                           r < 0 ? bp_strerror((int) r) : "it is too short");
        bp_sha256_add(u->hash, p, n);
        u->hashed += n;
    }
    return 0;
}

/* Is it what was announced, and on the disk? */
static int check_whole(struct bp_spool *s, struct bp_spool_upload *u, struct bp_error *err) {
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *copy = NULL;
    uint8_t digest[BP_SHA256_LEN];
    int r;

    bp_mutex_lock(&s->lock);
    u->hasher = NULL; /* and there comes no other: all parts are there */
    bp_mutex_unlock(&s->lock);
    r = hash_rest(s, u, err);
    if (r < 0)
        return r;
    copy = bp_sha256_copy(u->hash);
    if (!copy)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_sha256_end(copy, digest);
    if (memcmp(digest, u->meta.sha256, sizeof digest) != 0)
        return bp_fail(err, BP_EDIGEST,
                       "the file as a whole has another digest than was announced: the upload is "
                       "forgotten, begin anew");
    r = s->io->sync(s->io->ctx, u->data_fd); /* its size and times, too: it is for good from here */
    return r < 0 ? bp_fail(err, r, "cannot sync the upload: %s", bp_strerror(r)) : 0;
}

static int check_claimed(struct bp_spool *s, struct bp_spool_upload *u, struct bp_error *err) {
    int r = bp_spool_use(s, u, err);

    return r < 0 ? r : check_whole(s, u, err);
}

static void unclaim(struct bp_spool *s, struct bp_spool_upload *u, bool moved) {
    bp_mutex_lock(&s->lock);
    u->finishing = false;
    u->moved |= moved;
    (void) pthread_cond_broadcast(&s->changed);
    bp_mutex_unlock(&s->lock);
}

static bool is_gone(struct bp_spool *s, const char *path) {
    int fd = s->io->open(s->io->ctx, path, O_RDONLY, 0);

    if (fd >= 0)
        (void) s->io->close(s->io->ctx, fd);
    return fd == -ENOENT;
}

int bp_spool_finish(struct bp_spool *s, const char *id,
                    int (*take)(void *ctx, const struct bp_spool_info *info, const char *path,
                                struct bp_error *err),
                    void *ctx, struct bp_error *err) {
    char path[BP_SPOOL_PATH];
    struct bp_spool_info info;
    struct bp_spool_upload *u = NULL;
    int r = claim(s, id, true, &u, &info, err);

    if (r < 0)
        return r;
    bp_spool_path(s, id, ".data", path);
    if (!info.moved)
        r = check_claimed(s, u, err);
    if (r == BP_EDIGEST) {
        (void) bp_spool_forget(s, u, NULL); /* what stays does so until it expires */
    } else if (r < 0) {
        unclaim(s, u, false);
    } else {
        r = take(ctx, &info, path, err);
        if (r < 0)
            unclaim(s, u, is_gone(s, path));
        else if (bp_spool_forget(s, u, NULL) < 0) /* to be finished once more, to the same end */
            unclaim(s, u, true);
    }
    bp_spool_leave(s, u);
    return r;
}
