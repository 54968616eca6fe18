/* From memory to the files: a thread, every write interval. */
#include "bag/history-disk-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP  (20 * BP_MS) /* how soon the thread sees that it is to end */
#define RETRY BP_SEC       /* after a failed write */

/* ---- what a file begins with ---- */

/* Definitions that changed since `version`, and sources from `source` on. */
static int write_definitions(struct disk *d, uint64_t version, uint32_t source) {
    struct bp_history_store *h = d->h;
    struct bp_hframe f = { .kind = BP_HFRAME_DEFINITIONS, .first = d->copy.first };
    uint64_t now = atomic_load(&h->versions);
    uint32_t n;
    int r;

    bp_hdisk_begin_frame(d);
    bp_mutex_lock(&h->defs_lock);
    for (uint32_t i = 1; i < h->nchannels; i++)
        if (h->channels[i]->version > version) {
            bp_hdef_put(&d->frame, BP_HDEF_CHANNEL, i, &h->channels[i]->encoded);
            f.count++;
        }
    n = h->nsources;
    for (uint32_t i = source; i < n; i++, f.count++)
        bp_hdef_put(&d->frame, BP_HDEF_SOURCE, i, &h->sources[i]->encoded);
    bp_mutex_unlock(&h->defs_lock);
    bp_mutex_lock(&h->lock);
    f.offset = h->offset;
    bp_mutex_unlock(&h->lock);
    f.min_log = f.max_log = bp_mono_ns() + f.offset;
    r = bp_hdisk_write_frame(d, &f);
    if (r < 0)
        return r;
    d->defined = now;
    d->known_sources = n;
    return 0;
}

static int write_latched(struct disk *d) {
    struct bp_hframe f = { .kind = BP_HFRAME_LATCHED, .first = d->copy.first };
    struct kept *list = NULL, *k;
    int r = bp_history_latched(d->h, bp_mono_ns(), &list);

    if (r < 0 || !list)
        return r;
    bp_mutex_lock(&d->h->lock);
    f.offset = d->h->offset;
    bp_mutex_unlock(&d->h->lock);
    bp_hdisk_begin_frame(d);
    for (k = list; k; k = k->next, f.count++)
        bp_hentry_put(&d->frame,
                      &(struct bp_history_entry){ .kind = BP_HISTORY_MESSAGE,
                                                  .source = k->source,
                                                  .seq = k->seq,
                                                  .log_ns = k->log_ns,
                                                  .publish_ns = k->publish_ns,
                                                  .size = k->size,
                                                  .data = k->data },
                      true);
    bp_history_kept_free(list);
    return bp_hdisk_write_frame(d, &f);
}

/* ---- files come and go ---- */

static void remove_oldest(struct disk *d) {
    char path[1100];
    struct dfile f;

    bp_mutex_lock(&d->lock);
    f = d->files[0];
    memmove(d->files, d->files + 1, --d->n * sizeof *d->files);
    d->removed += f.bytes;
    bp_mutex_unlock(&d->lock);
    bp_hdisk_path(d, f.number, path, sizeof path);
    (void) d->io->unlink(d->io->ctx,
                         path); /* what stays is found, and counted, at the next start */
}

/* The end of a file is the beginning of the next one. */
static bool is_too_old(struct disk *d) {
    bp_ns_t age;

    if (!d->h->o.disk_max_ns || d->n < 2)
        return false;
    age = bp_mono_ns() -
          (d->files[1].began - bp_hdisk_offset(d, d->files[1].run, d->files[1].offset));
    return age > d->h->o.disk_max_ns;
}

static void remove_old(struct disk *d, uint64_t more) {
    for (;;) {
        uint64_t sum = more;

        for (size_t i = 0; i < d->n; i++)
            sum += d->files[i].bytes;
        if (d->n < 2 || (sum <= d->h->o.disk_max_bytes && !is_too_old(d)))
            return;
        remove_oldest(d);
    }
}

int bp_hdisk_finish_file(struct disk *d) {
    int r;

    if (d->fd < 0)
        return 0;
    (void) d->io->truncate(d->io->ctx, d->fd, d->off); /* gives back what was allocated ahead */
    r = d->io->sync(d->io->ctx, d->fd); /* from here on it is whole, whatever happens */
    (void) d->io->close(d->io->ctx, d->fd);
    d->fd = -1;
    d->unsynced = false;
    return r;
}

static int begin_file(struct disk *d) {
    struct dfile f = { .number = d->n ? d->files[d->n - 1].number + 1 : 1,
                       .run = (uint32_t) d->nruns - 1,
                       .first = d->copy.first,
                       .end = d->copy.first,
                       .sealed = d->header != NULL };
    char path[1100];
    int r;

    remove_old(d, d->file_bytes);
    bp_hdisk_path(d, f.number, path, sizeof path);
    d->fd = d->io->open(d->io->ctx, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (d->fd < 0)
        return d->fd;
    bp_mutex_lock(&d->h->lock);
    f.offset = d->h->offset;
    bp_mutex_unlock(&d->h->lock);
    f.began = bp_mono_ns() + f.offset;
    bp_mutex_lock(&d->lock);
    r = bp_hdisk_add_file(d, &f);
    bp_mutex_unlock(&d->lock);
    d->off = d->frames = d->entry_bytes = 0;
    if (r == 0 && d->header) {
        r = d->io->pwrite(d->io->ctx, d->fd, d->header, BP_SEALED_HEADER, 0);
        d->off = BP_SEALED_HEADER;
    }
    if (r == 0) {
        (void) d->io->allocate(d->io->ctx, d->fd, 0, d->file_bytes); /* not all disks can */
        r = write_definitions(d, 0, 0);
    }
    if (r == 0)
        r = write_latched(d);
    if (r == 0)
        r = d->io->sync_dir(d->io->ctx, d->dir); /* else a power cut takes the name, too */
    return r;
}

/* A file that could not be begun, or not be written to the end: what is whole in it stays. */
static void give_up_file(struct disk *d) {
    if (d->fd < 0)
        return;
    (void) d->io->close(d->io->ctx, d->fd);
    d->fd = -1;
    d->unsynced = false;
}

/* ---- from memory to the file ---- */

static void put_copy(struct disk *d, struct bp_hframe *f) {
    const struct bp_history_copy *c = &d->copy;
    uint64_t off = 0;

    bp_hdisk_begin_frame(d);
    *f = (struct bp_hframe){ .kind = BP_HFRAME_ENTRIES,
                             .first = c->first,
                             .count = c->count,
                             .offset = c->offset,
                             .min_log = INT64_MAX,
                             .max_log = INT64_MIN };
    for (uint32_t i = 0; i < c->count; i++) {
        const void *p = c->p + off;
        const struct entry *e = p;
        struct bp_history_entry out = { .kind = (enum bp_history_kind) e->kind,
                                        .source = e->source,
                                        .seq = e->seq,
                                        .last = (uint64_t) e->publish_ns,
                                        .why = (enum bp_loss) e->why,
                                        .log_ns = e->log_ns,
                                        .publish_ns = e->publish_ns,
                                        .size = e->size,
                                        .data = (const uint8_t *) (e + 1) };

        bp_hentry_put(&d->frame, &out, e->latched);
        f->min_log = BP_MIN(f->min_log, e->log_ns);
        f->max_log = BP_MAX(f->max_log, e->log_ns);
        off += history_entry_bytes(e);
    }
}

static int write_copy(struct disk *d) {
    struct bp_hframe f;
    int r = 0;

    if (d->fd >= 0 && d->entry_bytes >= d->file_bytes)
        r = bp_hdisk_finish_file(d);
    if (r == 0 && d->fd < 0)
        r = begin_file(d);
    if (r == 0 && atomic_load(&d->h->versions) != d->defined)
        r = write_definitions(d, d->defined, d->known_sources);
    if (r < 0)
        return r;
    put_copy(d, &f);
    r = bp_hdisk_write_frame(d, &f);
    if (r < 0)
        return r;
    d->entry_bytes += f.bytes;
    bp_mutex_lock(&d->lock);
    d->files[d->n - 1].end = f.first + f.count;
    bp_mutex_unlock(&d->lock);
    return 0;
}

static void tell_error(struct disk *d, int r) {
    bool news;

    bp_mutex_lock(&d->lock);
    news = (d->error == 0) != (r == 0);
    d->error = r;
    bp_mutex_unlock(&d->lock);
    if (news && d->h->o.notice) {
        char text[200];

        (void) snprintf(text, sizeof text,
                        r < 0 ? "the history's files cannot be written: %s"
                              : "the history's files are written again%s",
                        r < 0 ? bp_strerror(r) : "");
        d->h->o.notice(d->h->o.ctx, text);
    }
}

/* What could not be written waits and is tried again; memory goes on, and what it lets go meanwhile
 * is missed. A full disk first costs the history's own oldest files. */
static int keep_trying(struct disk *d) {
    int r = write_copy(d);

    if (r == 0) {
        d->waiting = false;
        tell_error(d, 0);
        return 0;
    }
    give_up_file(d);
    tell_error(d, r);
    if ((r == -ENOSPC || r == -EDQUOT) && d->n > 1)
        remove_oldest(d);
    else
        d->retry_at = bp_mono_ns() + RETRY;
    return r;
}

void bp_hdisk_write_new(struct disk *d) {
    if (d->waiting && keep_trying(d) < 0)
        return;
    for (;;) {
        uint64_t before = d->at;
        int r = bp_history_copy_out(d->h, &d->at, &d->hint_block, &d->hint, &d->copy);

        if (r <= 0)
            return;
        bp_mutex_lock(&d->lock);
        d->missed += d->copy.first - before;
        bp_mutex_unlock(&d->lock);
        d->waiting = true;
        if (keep_trying(d) < 0)
            return;
    }
}

static void sync_when_due(struct disk *d, bp_ns_t now) {
    int r;

    if (!d->unsynced || d->fd < 0 || now < d->next_sync)
        return;
    d->next_sync = now + d->h->o.sync_interval;
    r = d->io->datasync(d->io->ctx, d->fd); /* what was written by now survives a power cut */
    d->unsynced = false;
    if (r < 0) { /* what the kernel threw away cannot be told: a new file, from here on */
        give_up_file(d);
        tell_error(d, r);
    }
}

void *bp_hdisk_thread(void *arg) {
    struct disk *d = arg;
    bp_ns_t next = bp_mono_ns();

    while (!atomic_load(&d->stop)) {
        bp_ns_t now = bp_mono_ns();

        if (now >= next && now >= d->retry_at) {
            bp_hdisk_write_new(d);
            remove_old(d, 0);
            next = now + d->h->o.write_interval;
        }
        sync_when_due(d, now);
        bp_sleep(BP_MIN(STEP, d->h->o.write_interval));
    }
    return NULL;
}
