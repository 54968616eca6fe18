#include "store/spool-priv.h"

#include <errno.h>
#include <utlist.h>

/* Parts as they come. Data goes to its place in the file at once; what makes it count is the order
 * of syncs at the end: data, then slot. Parts of one file that end at about the same time share
 * both syncs: the first one of them does it for all that wait.
 *
 * When a sync fails the kernel may have forgotten, with its report, pages of other parts of that
 * file that were written but not synced: all of those are refused, too (`epoch`). */

static int not_found(const char *id, struct bp_error *err) {
    return bp_fail(err, -ENOENT, "there is no upload '%.80s'", id);
}

static bool is_there_locked(const struct bp_spool_upload *u, uint32_t n) {
    return u->there[n / 8] >> (n % 8) & 1;
}

/* Older requests for the same part write no more, or have come to their end. */
static void take_over_locked(struct bp_spool *s, struct bp_spool_upload *u, uint32_t n)
    BP_REQUIRES(s->lock);
static void take_over_locked(struct bp_spool *s, struct bp_spool_upload *u, uint32_t n) {
    struct bp_spool_part *p;
    bool wait;

    do {
        wait = false;
        DL_FOREACH(u->coming, p) {
            if (p->n != n)
                continue;
            p->superseded = !p->committing;
            if (p->superseded && u->hasher == p)
                u->hasher = NULL;
            wait |= p->writing || p->committing;
        }
        if (wait)
            bp_mutex_wait(&s->lock, &s->changed);
    } while (wait);
}

/* Finds the upload, and enters the part. @return the upload with a user more, or NULL and *ret_r */
static struct bp_spool_upload *enter_locked(struct bp_spool_part *p, const char *id, uint64_t n,
                                            struct bp_error *err, int *ret_r)
    BP_REQUIRES(p->spool->lock);
static struct bp_spool_upload *enter_locked(struct bp_spool_part *p, const char *id, uint64_t n,
                                            struct bp_error *err, int *ret_r) {
    struct bp_spool *s = p->spool;
    struct bp_spool_upload *u = bp_spool_find_locked(s, id);

    *ret_r = 0;
    if (!u || u->making)
        *ret_r = not_found(id, err);
    else if (bp_spool_expired_locked(s, u, bp_mono_ns()))
        *ret_r = bp_fail(err, BP_EGONE, "the upload has expired, begin anew");
    else if (u->finishing || u->moved)
        *ret_r = bp_fail(err, -EBUSY, "the upload is being finished");
    else if (n >= u->parts)
        *ret_r = bp_fail(err, -EINVAL, "there is no part %llu, only 0 to %u",
                         (unsigned long long) n, u->parts - 1);
    else if (p->bytes != bp_spool_part_size(&u->meta, (uint32_t) n))
        *ret_r = bp_fail(err, -EINVAL, "part %llu has %llu bytes, not %llu", (unsigned long long) n,
                         (unsigned long long) bp_spool_part_size(&u->meta, (uint32_t) n),
                         (unsigned long long) p->bytes);
    if (*ret_r < 0)
        return NULL;
    p->n = (uint32_t) n;
    u->users++;
    take_over_locked(s, u, p->n);
    if (u->dropped) { /* while we waited: it is freed when we leave */
        *ret_r = not_found(id, err);
        return u;
    }
    p->known = is_there_locked(u, p->n);
    p->epoch = u->epoch;
    DL_APPEND(u->coming, p);
    return u;
}

/* A part that is there: is it the same? */
static int compare_known(struct bp_spool_part *p, struct bp_error *err) {
    const struct bp_io *io = p->spool->io;
    uint8_t slot[BP_SPOOL_SLOT], digest[BP_SHA256_LEN];
    ssize_t r = io->pread(io->ctx, p->upload->map_fd, slot, sizeof slot,
                          BP_SPOOL_HEAD + (uint64_t) p->n * BP_SPOOL_SLOT);

    if (r != sizeof slot)
        return bp_fail(err, r < 0 ? (int) r : -EIO, "cannot read the map of the upload: %s",
                       bp_strerror(r < 0 ? (int) r : -EIO));
    if (!bp_spool_map_slot_read(p->upload->head, p->n, slot, digest) ||
        memcmp(digest, p->sha256, sizeof digest) != 0)
        return bp_fail(err, BP_EMISMATCH,
                       "part %u is there with another digest; give up the upload to begin anew",
                       p->n);
    return 0;
}

/* The part with which the digest of the whole goes on takes it along. Copied under the lock: what
 * it is copied from goes when the part is superseded and its successor ends. */
static void take_whole(struct bp_spool_part *p, struct bp_spool_upload *u) {
    bp_mutex_lock(&p->spool->lock);
    if (!u->hasher && !p->known && !p->superseded &&
        (uint64_t) p->n * u->meta.part_bytes == u->hashed)
        p->whole = bp_sha256_copy(u->hash);
    if (p->whole)
        u->hasher = p;
    bp_mutex_unlock(&p->spool->lock);
}

int bp_spool_part_begin(struct bp_spool *s, const char *id, uint64_t n, uint64_t bytes,
                        const uint8_t sha256[static BP_SHA256_LEN], struct bp_spool_part **ret,
                        struct bp_error *err) {
    struct bp_spool_part *p = calloc(1, sizeof *p);
    int r = p ? 0 : -ENOMEM;

    if (p)
        p->hash = bp_sha256_new();
    if (!p || !p->hash) {
        free(p);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    p->spool = s;
    p->bytes = bytes;
    memcpy(p->sha256, sha256, BP_SHA256_LEN);
    bp_mutex_lock(&s->lock);
    p->upload = enter_locked(p, id, n, err, &r);
    bp_mutex_unlock(&s->lock);
    if (p->upload && r == 0)
        r = bp_spool_use(s, p->upload, err);
    if (p->upload && r == 0 && p->known)
        r = compare_known(p, err);
    if (r < 0 || !p->upload) {
        bp_spool_part_abort(p);
        return r;
    }
    take_whole(p, p->upload);
    *ret = p;
    return 0;
}

/* May it still be written? Then nobody else begins with this part before done_writing(). */
static int may_write(struct bp_spool_part *p, bool committing, struct bp_error *err) {
    const struct bp_spool_upload *u = p->upload;
    int r = 0;

    bp_mutex_lock(&p->spool->lock);
    if (u->dropped)
        r = bp_fail(err, -ENOENT, "the upload was given up");
    else if (p->superseded)
        r = bp_fail(err, -EBUSY, "a later request sends the same part");
    else if (p->epoch != u->epoch)
        r = bp_fail(err, -EIO, "the disk failed while the part was received, send it again");
    else if (committing)
        p->committing = true;
    else
        p->writing = true;
    bp_mutex_unlock(&p->spool->lock);
    return r;
}

static void done_writing(struct bp_spool_part *p) {
    bp_mutex_lock(&p->spool->lock);
    p->writing = false;
    (void) pthread_cond_broadcast(&p->spool->changed);
    bp_mutex_unlock(&p->spool->lock);
}

int bp_spool_part_write(struct bp_spool_part *p, const void *data, size_t n, struct bp_error *err) {
    const struct bp_io *io = p->spool->io;
    int r;

    if (n > p->bytes - p->got)
        return bp_fail(err, -EINVAL, "part %u has %llu bytes and no more", p->n,
                       (unsigned long long) p->bytes);
    if (!p->known) {
        r = may_write(p, false, err);
        if (r < 0)
            return r;
        r = io->pwrite(io->ctx, p->upload->data_fd, data, n,
                       (uint64_t) p->n * p->upload->meta.part_bytes + p->got);
        done_writing(p);
        if (r < 0)
            return bp_fail(err, r, "cannot write the part: %s", bp_strerror(r));
    }
    bp_sha256_add(p->hash, data, n);
    if (p->whole)
        bp_sha256_add(p->whole, data, n);
    p->got += n;
    return 0;
}

/* Data, then slots, of all that wait. */
static int sync_batch(struct bp_spool *s, const struct bp_spool_upload *u,
                      const struct bp_spool_part *batch) {
    const struct bp_io *io = s->io;
    int r = io->datasync(io->ctx, u->data_fd); /* a slot must never say more than is there */

    for (const struct bp_spool_part *p = batch; p && r == 0; p = p->also) {
        uint8_t slot[BP_SPOOL_SLOT];

        bp_spool_map_slot(u->head, p->n, p->sha256, slot);
        r = io->pwrite(io->ctx, u->map_fd, slot, sizeof slot,
                       BP_SPOOL_HEAD + (uint64_t) p->n * BP_SPOOL_SLOT);
    }
    return r == 0 ? io->datasync(io->ctx, u->map_fd) : r; /* acknowledged parts stay */
}

static void end_locked(struct bp_spool_upload *u, struct bp_spool_part *batch, int r) {
    for (struct bp_spool_part *p = batch; p; p = p->also) {
        p->done = true;
        p->result = r;
        if (r < 0 || is_there_locked(u, p->n))
            continue;
        u->there[p->n / 8] |= (uint8_t) (1 << (p->n % 8));
        u->there_n++;
    }
}

static void end_batch_locked(struct bp_spool_upload *u, struct bp_spool_part *batch, int r) {
    end_locked(u, batch, r);
    if (r < 0) { /* those that came meanwhile had written already */
        end_locked(u, BP_TAKE_PTR(u->waiting), r);
        u->epoch++;
    } else {
        u->touched_mono = bp_mono_ns();
    }
    u->syncing = false;
}

/* Waits for a sync that began after our last write, doing it ourselves when nobody is at it. */
static int sync_part(struct bp_spool_part *p) {
    struct bp_spool *s = p->spool;
    struct bp_spool_upload *u = p->upload;

    bp_mutex_lock(&s->lock);
    p->also = u->waiting;
    u->waiting = p;
    while (!p->done) {
        struct bp_spool_part *batch;
        int r;

        if (u->syncing) {
            bp_mutex_wait(&s->lock, &s->changed);
            continue;
        }
        u->syncing = true;
        batch = BP_TAKE_PTR(u->waiting);
        bp_mutex_unlock(&s->lock);
        r = sync_batch(s, u, batch);
        bp_mutex_lock(&s->lock);
        end_batch_locked(u, batch, r);
        (void) pthread_cond_broadcast(&s->changed);
    }
    bp_mutex_unlock(&s->lock);
    return p->result;
}

/* Is what came what was announced? */
static int check_part(struct bp_spool_part *p, struct bp_error *err) {
    uint8_t digest[BP_SHA256_LEN];

    if (p->got < p->bytes)
        return bp_fail(err, -EINVAL, "part %u has %llu bytes, only %llu came", p->n,
                       (unsigned long long) p->bytes, (unsigned long long) p->got);
    bp_sha256_end(p->hash, digest);
    if (memcmp(digest, p->sha256, sizeof digest) != 0)
        return bp_fail(err, BP_EDIGEST, "the digest of part %u is not what was announced", p->n);
    return 0;
}

/* Out of its upload; a digest of the whole that it went on with counts if it is there. */
static void end_part(struct bp_spool_part *p, bool there) {
    struct bp_spool_upload *u = p->upload;
    struct bp_sha256 *old = p->whole;

    if (u) {
        bp_mutex_lock(&p->spool->lock);
        if (u->hasher == p && there) {
            old = u->hash;
            u->hash = p->whole;
            u->hashed += p->bytes;
        }
        if (u->hasher == p)
            u->hasher = NULL;
        if (p->prev) /* utlist: the first one's is the last, so one in a list has it */
            DL_DELETE(u->coming, p);
        (void) pthread_cond_broadcast(&p->spool->changed);
        bp_mutex_unlock(&p->spool->lock);
        bp_spool_leave(p->spool, u);
    }
    bp_sha256_free(old);
    bp_sha256_free(p->hash);
    free(p);
}

int bp_spool_part_commit(struct bp_spool_part *p, struct bp_error *err) {
    int r = check_part(p, err);

    if (r == 0 && !p->known) {
        r = may_write(p, true, err);
        if (r == 0) {
            r = sync_part(p);
            if (r < 0)
                (void) bp_fail(err, r, "cannot sync the part: %s", bp_strerror(r));
        }
    }
    end_part(p, r == 0 && !p->known);
    return r;
}

void bp_spool_part_abort(struct bp_spool_part *p) {
    if (p)
        end_part(p, false);
}
