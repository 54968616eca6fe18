/* The history's files: a thread takes from memory what is new and writes it as frames into the
 * newest of a row of files; the oldest are removed when they are too many or too old.
 *
 * What is durable when: a frame is written with one call, so it is there whole or its sum does not
 * fit. kill -9 loses what was received since the last write (write_interval); a power cut what was
 * written since the last sync (sync_interval), and nothing before it. A file is synced whole before
 * the next one begins, so only the last file of a run (one life of a process) can be torn, and only
 * at its end.
 *
 * Every file begins with all definitions and with the latched messages of that moment, so any of
 * them can be removed, and each can be read by itself. Files of an earlier run stay part of the
 * history: their sources are found again by GUID and topic, their entries have lower numbers. */
#include "bag/history-disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <utlist.h>

#include "bag/session.h"
#include "base/crc.h"
#include "base/thread.h"

enum {
    FILE_LEAST = 8 << 20,
    FILE_MOST = 64 << 20,
    FILES = 8, /* at least so many files share the space */
    DISK_LEAST = 16 << 20,
};

#define STEP  (20 * BP_MS) /* how soon the thread sees that it is to end */
#define RETRY BP_SEC       /* after a failed write */

struct dfile {
    uint32_t number, run; /* run: index into runs */
    uint64_t bytes;       /* whole frames */
    uint64_t first, end;  /* numbers of entries; end is of what was written */
    bp_ns_t began;        /* log time, of the run's clock */
    bp_ns_t offset;       /* wall minus mono when it began */
    bool torn;            /* it ended before its end: something is missing behind it */
};

struct drun {
    uint8_t id[16];
    bp_ns_t max_log;
    uint32_t *channels, *sources; /* owned: id in the run -> ours + 1; NULL for this run */
    size_t nchannels, nsources;
};

struct disk {
    struct bp_history_store *h;
    const struct bp_io *io;
    char dir[1024];
    int lock_fd;
    uint64_t file_bytes; /* constant */
    bp_ns_t started_mono;

    struct bp_mutex lock;
    struct dfile *files; /* [lock] by number; owned */
    size_t n, cap;       /* [lock] */
    struct drun *runs;   /* [lock] owned; the last is this one, constant once open */
    size_t nruns;
    uint64_t written, removed, missed; /* [lock] */
    int error;                         /* [lock] */

    int fd; /* [thread] of the newest file, -1 = none */
    uint64_t off, frames;
    uint64_t entry_bytes; /* [thread] of entries in it */
    uint64_t at, hint_block, hint;
    struct bp_history_copy copy;
    bool waiting;           /* [thread] `copy` could not be written yet */
    uint64_t defined;       /* [thread] version of definitions that the file has */
    uint32_t known_sources; /* [thread] that it has */
    bp_ns_t next_sync, retry_at;
    bool unsynced;
    struct bp_buf frame; /* [thread] owned */
    pthread_t thread;
    bool has_thread;
    _Atomic bool stop;
};

static void path_of(const struct disk *d, uint32_t number, char *ret, size_t cap) {
    (void) snprintf(ret, cap, "%s/history-%010u.bph", d->dir, number);
}

/* ---- one place where frames are written, one where they are read ---- */

/* The payload lies in d->frame behind room for the head. */
static int write_frame(struct disk *d, struct bp_hframe *f) {
    struct bp_buf *b = &d->frame;
    static const uint8_t zeros[8];
    int r;

    if (b->failed)
        return -ENOMEM;
    memcpy(f->run, d->runs[d->nruns - 1].id, sizeof f->run);
    f->number = d->frames;
    f->bytes = b->n - BP_HFRAME_HEAD;
    f->crc = bp_crc32c(0, b->p + BP_HFRAME_HEAD, (size_t) f->bytes);
    bp_hframe_encode(f, b->p);
    bp_buf_put(b, zeros, -b->n & 7);
    if (b->failed)
        return -ENOMEM;
    r = d->io->pwrite(d->io->ctx, d->fd, b->p, b->n, d->off);
    if (r < 0)
        return r;
    d->off += b->n;
    d->frames++;
    d->unsynced = true;
    bp_mutex_lock(&d->lock);
    d->files[d->n - 1].bytes = d->off;
    d->written += b->n;
    bp_mutex_unlock(&d->lock);
    return 0;
}

/* The head at `off`. @return 0, BP_ETRUNCATED at the end, BP_ECORRUPT, or an errno */
static int read_head(const struct disk *d, int fd, uint64_t off, struct bp_hframe *ret) {
    uint8_t head[BP_HFRAME_HEAD];
    ssize_t n = d->io->pread(d->io->ctx, fd, head, sizeof head, off);

    return n < 0 ? (int) n : bp_hframe_decode(head, (size_t) n, ret);
}

static int read_payload(const struct disk *d, int fd, uint64_t off, const struct bp_hframe *f,
                        uint8_t **p, size_t *cap) {
    ssize_t n;

    if (f->bytes > *cap) {
        uint8_t *grown;
        int64_t size = d->io->size(d->io->ctx, fd);

        if (size < 0 || off + BP_HFRAME_HEAD + f->bytes > (uint64_t) size)
            return BP_ETRUNCATED; /* before memory is taken for it */
        grown = realloc(*p, (size_t) f->bytes);
        if (!grown)
            return -ENOMEM;
        *p = grown;
        *cap = (size_t) f->bytes;
    }
    n = d->io->pread(d->io->ctx, fd, *p, (size_t) f->bytes, off + BP_HFRAME_HEAD);
    if (n < 0)
        return (int) n;
    if ((uint64_t) n < f->bytes)
        return BP_ETRUNCATED;
    return bp_hframe_fits(f, *p) ? 0 : BP_ECORRUPT;
}

static void begin_frame(struct disk *d) {
    bp_buf_clear(&d->frame);
    (void) bp_buf_grow(&d->frame, BP_HFRAME_HEAD);
    if (!d->frame.failed)
        memset(d->frame.p, 0, BP_HFRAME_HEAD);
}

/* ---- what a file begins with ---- */

/* Definitions that changed since `version`, and sources from `source` on. */
static int write_definitions(struct disk *d, uint64_t version, uint32_t source) {
    struct bp_history_store *h = d->h;
    struct bp_hframe f = { .kind = BP_HFRAME_DEFINITIONS, .first = d->copy.first };
    uint64_t now = atomic_load(&h->versions);
    uint32_t n;
    int r;

    begin_frame(d);
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
    r = write_frame(d, &f);
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
    begin_frame(d);
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
    return write_frame(d, &f);
}

/* ---- files come and go ---- */

static int add_file(struct disk *d, const struct dfile *f) {
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 64;
        struct dfile *v = realloc(d->files, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        d->files = v;
        d->cap = cap;
    }
    d->files[d->n++] = *f;
    return 0;
}

static void remove_oldest(struct disk *d) {
    char path[1100];
    struct dfile f;

    bp_mutex_lock(&d->lock);
    f = d->files[0];
    memmove(d->files, d->files + 1, --d->n * sizeof *d->files);
    d->removed += f.bytes;
    bp_mutex_unlock(&d->lock);
    path_of(d, f.number, path, sizeof path);
    (void) d->io->unlink(d->io->ctx,
                         path); /* what stays is found, and counted, at the next start */
}

/* wall minus mono of a run's entries: an earlier run has ended before this one began, whatever a
 * clock that was put says. */
static bp_ns_t offset_of(struct disk *d, uint32_t run, bp_ns_t offset) {
    bp_ns_t now;

    if (run == d->nruns - 1)
        return offset;
    bp_mutex_lock(&d->h->lock);
    now = d->h->offset;
    bp_mutex_unlock(&d->h->lock);
    return BP_MAX(now, d->runs[run].max_log - d->started_mono);
}

/* The end of a file is the beginning of the next one. */
static bool is_too_old(struct disk *d) {
    bp_ns_t age;

    if (!d->h->o.disk_max_ns || d->n < 2)
        return false;
    age = bp_mono_ns() - (d->files[1].began - offset_of(d, d->files[1].run, d->files[1].offset));
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

static int finish_file(struct disk *d) {
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
                       .end = d->copy.first };
    char path[1100];
    int r;

    remove_old(d, d->file_bytes);
    path_of(d, f.number, path, sizeof path);
    d->fd = d->io->open(d->io->ctx, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (d->fd < 0)
        return d->fd;
    bp_mutex_lock(&d->h->lock);
    f.offset = d->h->offset;
    bp_mutex_unlock(&d->h->lock);
    f.began = bp_mono_ns() + f.offset;
    bp_mutex_lock(&d->lock);
    r = add_file(d, &f);
    bp_mutex_unlock(&d->lock);
    d->off = d->frames = d->entry_bytes = 0;
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

    begin_frame(d);
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
        r = finish_file(d);
    if (r == 0 && d->fd < 0)
        r = begin_file(d);
    if (r == 0 && atomic_load(&d->h->versions) != d->defined)
        r = write_definitions(d, d->defined, d->known_sources);
    if (r < 0)
        return r;
    put_copy(d, &f);
    r = write_frame(d, &f);
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

static void write_new(struct disk *d) {
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

static void *disk_thread(void *arg) {
    struct disk *d = arg;
    bp_ns_t next = bp_mono_ns();

    while (!atomic_load(&d->stop)) {
        bp_ns_t now = bp_mono_ns();

        if (now >= next && now >= d->retry_at) {
            write_new(d);
            remove_old(d, 0);
            next = now + d->h->o.write_interval;
        }
        sync_when_due(d, now);
        bp_sleep(BP_MIN(STEP, d->h->o.write_interval));
    }
    return NULL;
}

/* ---- what an earlier life left ---- */

static int by_number(const void *a, const void *b) {
    const struct dfile *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static bool number_of(const char *name, uint32_t *ret) {
    char again[64], *end;
    unsigned long n;

    if (strncmp(name, "history-", 8) != 0)
        return false;
    n = strtoul(name + 8, &end, 10);
    if (n == 0 || n > UINT32_MAX - 1000000)
        return false;
    (void) snprintf(again, sizeof again, "history-%010lu.bph", n);
    *ret = (uint32_t) n;
    return bp_streq(again, name);
}

static int list_files(struct disk *d, struct bp_error *err) {
    DIR *dir = opendir(d->dir);
    struct dirent *e;
    int r = 0;

    if (!dir)
        return bp_fail(err, -errno, "cannot read '%s': %s", d->dir, bp_strerror(-errno));
    while (r == 0 && (e = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): own stream */
        struct dfile f = { 0 };

        if (number_of(e->d_name, &f.number))
            r = add_file(d, &f);
    }
    (void) closedir(dir);
    if (d->n)
        qsort(d->files, d->n, sizeof *d->files, by_number);
    return r < 0 ? bp_fail(err, r, "out of memory") : 0;
}

static int run_of(struct disk *d, const uint8_t id[static 16], uint32_t *ret) {
    struct drun *v;

    for (size_t i = 0; i < d->nruns; i++)
        if (memcmp(d->runs[i].id, id, 16) == 0) {
            *ret = (uint32_t) i;
            return 0;
        }
    v = realloc(d->runs, (d->nruns + 1) * sizeof *v);
    if (!v)
        return -ENOMEM;
    d->runs = v;
    v[d->nruns] = (struct drun){ 0 };
    memcpy(v[d->nruns].id, id, 16);
    *ret = (uint32_t) d->nruns++;
    return 0;
}

static int map_id(uint32_t **map, size_t *n, uint32_t id, uint32_t ours) {
    uint32_t *v = *map;

    if (id >= *n) {
        size_t cap = (size_t) id + 64;

        v = realloc(v, cap * sizeof *v);
        if (!v)
            return -ENOMEM;
        memset(v + *n, 0, (cap - *n) * sizeof *v);
        *map = v;
        *n = cap;
    }
    v[id] = ours + 1;
    return 0;
}

static int learn_one(struct disk *d, struct drun *run, const struct bp_hdef *def) {
    struct bp_channel_def c;
    struct bp_source_def s;
    int id;

    if (def->kind == BP_HDEF_CHANNEL) {
        if (def->id >= HISTORY_CHANNELS || bp_hchannel_decode(def->bytes, &c) < 0)
            return BP_ECORRUPT;
        id = bp_history_channel(d->h, &c, NULL);
        return id < 0 ? id : map_id(&run->channels, &run->nchannels, def->id, (uint32_t) id);
    }
    if (def->id >= HISTORY_SOURCES || bp_hsource_decode(def->bytes, &s) < 0 ||
        s.channel >= run->nchannels || !run->channels[s.channel])
        return BP_ECORRUPT;
    s.channel = (uint16_t) (run->channels[s.channel] - 1);
    id = bp_history_source(d->h, &s, NULL);
    return id < 0 ? id : map_id(&run->sources, &run->nsources, def->id, (uint32_t) id);
}

static int learn(struct disk *d, uint32_t run, const struct bp_hframe *f, const uint8_t *payload) {
    struct bp_cur c = bp_cur_of(payload, (size_t) f->bytes);
    struct bp_hdef def;
    int r;

    while ((r = bp_hdef_next(&c, &def)) > 0) {
        r = learn_one(d, &d->runs[run], &def);
        if (r < 0)
            return r;
    }
    return r;
}

struct walk { /* through one file */
    const struct bp_io *io;
    int fd;
    uint64_t off;
    uint8_t *p;
    size_t cap;
};

static void walk_done(struct walk *w) {
    if (w->fd >= 0)
        (void) w->io->close(w->io->ctx, w->fd);
    free(w->p);
}

static int next_whole(const struct disk *d, struct walk *w, struct bp_hframe *ret) {
    uint64_t off = w->off;
    int r = read_head(d, w->fd, off, ret);

    if (r < 0)
        return r;
    r = read_payload(d, w->fd, off, ret, &w->p, &w->cap);
    if (r == 0 || r == BP_ECORRUPT) /* its head tells where the next one is, all the same */
        w->off += bp_hframe_size(ret);
    return r;
}

/* All frames behind the first. A payload that a power cut has left without its bytes costs its
 * frame; a head that is none ends the file. @return what ended it */
static int walk_on(struct disk *d, struct dfile *f, struct walk *w) {
    struct bp_hframe head;

    for (;;) {
        uint64_t off = w->off;
        int r = next_whole(d, w, &head);

        if (r < 0 && w->off == off) {
            f->torn = r != BP_ETRUNCATED || d->io->size(d->io->ctx, w->fd) != (int64_t) off;
            return r;
        }
        if (memcmp(head.run, d->runs[f->run].id, sizeof head.run) != 0)
            return BP_ECORRUPT;
        if (r == 0 && head.kind == BP_HFRAME_DEFINITIONS)
            (void) learn(d, f->run, &head, w->p); /* entries of what it tells are skipped, else */
        if (r == 0 && head.kind == BP_HFRAME_ENTRIES) {
            f->end = head.first + head.count;
            d->runs[f->run].max_log = BP_MAX(d->runs[f->run].max_log, head.max_log);
        }
        if (r == 0)
            f->bytes = w->off;
    }
}

/* The first frame; for the last file of its run all others as well, up to what is torn. */
static int take_up(struct disk *d, struct dfile *f, bool whole) {
    BP_CLEANUP(walk_done) struct walk w = { .io = d->io, .fd = -1 };
    struct bp_hframe head;
    char path[1100];
    int r;

    path_of(d, f->number, path, sizeof path);
    w.fd = d->io->open(d->io->ctx, path, O_RDWR | O_CLOEXEC, 0);
    if (w.fd < 0)
        return w.fd;
    r = next_whole(d, &w, &head);
    if (r == 0 && head.kind != BP_HFRAME_DEFINITIONS)
        r = BP_ECORRUPT;
    if (r == 0)
        r = run_of(d, head.run, &f->run);
    if (r == 0)
        r = learn(d, f->run, &head, w.p);
    if (r < 0)
        return r;
    f->first = f->end = head.first;
    f->began = head.min_log;
    f->offset = head.offset;
    f->bytes = w.off;
    if (!whole) {
        int64_t size = d->io->size(d->io->ctx, w.fd);

        f->bytes = size > 0 ? (uint64_t) size : w.off;
        return 0;
    }
    r = walk_on(d, f, &w);
    if (r == 0 || r == BP_ECORRUPT || r == BP_ETRUNCATED) /* not for a disk that failed just now */
        (void) d->io->truncate(d->io->ctx, w.fd, f->bytes); /* torn, or allocated ahead */
    return 0;
}

/* Is the next file of the same run? Then this one was synced whole. */
static bool is_followed(struct disk *d, size_t i) {
    struct bp_hframe a, b;
    char path[1100];
    int fd, r = BP_ECORRUPT;

    if (i + 1 >= d->n)
        return false;
    for (size_t k = 0; k < 2; k++) {
        path_of(d, d->files[i + k].number, path, sizeof path);
        fd = d->io->open(d->io->ctx, path, O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0)
            return false;
        r = read_head(d, fd, 0, k ? &b : &a);
        (void) d->io->close(d->io->ctx, fd);
        if (r < 0)
            return false;
    }
    return memcmp(a.run, b.run, sizeof a.run) == 0;
}

static int take_up_all(struct disk *d, struct bp_error *err) {
    size_t kept = 0;

    for (size_t i = 0; i < d->n; i++) {
        struct dfile f = d->files[i];
        int r = take_up(d, &f, !is_followed(d, i));
        char path[1100];

        if (r == -ENOMEM || r == -ENOSPC)
            return bp_fail(err, r, "cannot take up the history in '%s': %s", d->dir,
                           bp_strerror(r));
        path_of(d, f.number, path, sizeof path);
        if (r == BP_ECORRUPT || r == BP_ETRUNCATED) { /* nothing in it is whole */
            (void) d->io->unlink(d->io->ctx, path);
            continue;
        }
        if (r < 0)
            return bp_fail(err, r, "cannot read '%s': %s", path, bp_strerror(r));
        if (kept && f.first < d->files[kept - 1].end) { /* no file of ours says so */
            (void) d->io->unlink(d->io->ctx, path);
            continue;
        }
        if (kept && d->files[kept - 1].run == f.run)
            d->files[kept - 1].end = f.first;
        d->files[kept++] = f;
    }
    d->n = kept;
    return 0;
}

/* The state that the earlier life had in the end goes on to be kept. */
static void keep_latched(struct disk *d) {
    struct kept *list = NULL, *k;

    if (d->n == 0 || bp_history_disk_latched(d, INT64_MAX, &list) <= 0)
        return;
    for (k = list; k; k = k->next)
        bp_history_keep(d->h, k->source,
                        &(struct bp_history_entry){ .seq = k->seq,
                                                    .log_ns = k->log_ns,
                                                    .publish_ns = k->publish_ns,
                                                    .mono_ns = k->log_ns - k->offset,
                                                    .size = k->size,
                                                    .data = k->data });
    bp_history_kept_free(list);
}

/* ---- begin and end ---- */

static int prepare(struct disk *d, struct bp_error *err) {
    uint8_t id[16];
    uint32_t run;
    int r = d->io->mkdir(d->io->ctx, d->dir, 0700);

    if (r < 0 && r != -EEXIST)
        return bp_fail(err, r, "cannot make '%s': %s", d->dir, bp_strerror(r));
    d->lock_fd = bp_session_lock(d->dir, err);
    if (d->lock_fd < 0)
        return d->lock_fd;
    r = list_files(d, err);
    if (r == 0)
        r = take_up_all(d, err);
    if (r < 0)
        return r;
    if (getrandom(id, sizeof id, 0) != sizeof id || run_of(d, id, &run) < 0)
        return bp_fail(err, -ENOMEM, "cannot begin a history in '%s'", d->dir);
    if (d->n)
        d->h->next = d->files[d->n - 1].end + d->files[d->n - 1].torn;
    d->at = d->h->next;
    keep_latched(d);
    return 0;
}

int bp_history_disk_open(struct bp_history_store *h, struct disk **ret, struct bp_error *err) {
    struct disk *d;
    int r;

    if (h->o.disk_max_bytes < DISK_LEAST)
        return bp_fail(err, -EINVAL, "files of %llu bytes for a history: 16 MiB is the least",
                       (unsigned long long) h->o.disk_max_bytes);
    if (!h->o.write_interval)
        h->o.write_interval = 100 * BP_MS;
    if (!h->o.sync_interval)
        h->o.sync_interval = BP_SEC;
    d = calloc(1, sizeof *d);
    if (!d)
        return bp_fail(err, -ENOMEM, "no memory for a history");
    d->h = h;
    d->io = h->io;
    d->fd = d->lock_fd = -1;
    d->started_mono = bp_mono_ns();
    d->file_bytes = BP_MIN(BP_MAX(h->o.disk_max_bytes / FILES, (uint64_t) FILE_LEAST),
                           BP_MIN((uint64_t) FILE_MOST, h->o.disk_max_bytes / 4));
    (void) snprintf(d->dir, sizeof d->dir, "%s", h->o.dir);
    bp_mutex_init(&d->lock);
    *ret = d; /* its close copes with what is half made */
    r = prepare(d, err);
    if (r == 0) {
        r = bp_thread_start("history", disk_thread, d, &d->thread);
        d->has_thread = r == 0;
        if (r < 0)
            return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    }
    return r;
}

void bp_history_disk_close(struct disk *d) {
    if (!d)
        return;
    if (d->has_thread) {
        atomic_store(&d->stop, true);
        (void) pthread_join(d->thread, NULL);
        bp_history_flush(d->h);
        write_new(d);
        (void) finish_file(d);
    }
    if (d->lock_fd >= 0)
        (void) close(d->lock_fd);
    for (size_t i = 0; i < d->nruns; i++) {
        free(d->runs[i].channels);
        free(d->runs[i].sources);
    }
    free(d->runs);
    free(d->files);
    free(d->copy.p);
    bp_buf_done(&d->frame);
    bp_mutex_done(&d->lock);
    free(d);
}

void bp_history_disk_stats(struct disk *d, struct bp_history_stats *st) {
    bp_mutex_lock(&d->lock);
    st->on_disk = true;
    st->disk_files = d->n;
    for (size_t i = 0; i < d->n; i++)
        st->disk_bytes += d->files[i].bytes;
    st->disk_oldest_ns = d->n ? d->files[0].began : 0;
    st->disk_written = d->written;
    st->disk_removed = d->removed;
    st->disk_missed = d->missed;
    st->disk_error = d->error;
    bp_mutex_unlock(&d->lock);
}

/* ---- reading ---- */

void bp_history_disk_cursor_done(struct disk *d, struct disk_cursor *c) {
    if (c->fd)
        (void) d->io->close(d->io->ctx, c->fd - 1);
    free(c->p);
    *c = (struct disk_cursor){ 0 };
}

/* The file that begins last before `from_mono`, else the oldest. @return false: there is none */
static bool file_at(struct disk *d, bp_ns_t from_mono, struct dfile *ret) {
    bool found;

    bp_mutex_lock(&d->lock);
    found = d->n > 0;
    for (size_t i = 0; i < d->n; i++) {
        struct dfile f = d->files[i];

        if (i > 0 && f.began - offset_of(d, f.run, f.offset) > from_mono)
            break;
        *ret = f;
    }
    bp_mutex_unlock(&d->lock);
    return found;
}

uint64_t bp_history_disk_find(struct disk *d, bp_ns_t from_mono) {
    struct dfile f;

    return file_at(d, from_mono, &f) ? f.first : 0;
}

/* The file that holds entry `at`, else the first behind it. */
static bool file_of(struct disk *d, uint64_t at, struct dfile *ret) {
    bool found = false;

    bp_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n && !found; i++)
        if (at < d->files[i].end) {
            *ret = d->files[i];
            found = true;
        }
    bp_mutex_unlock(&d->lock);
    return found;
}

static int open_file(struct disk *d, struct disk_cursor *c, const struct dfile *f) {
    char path[1100];
    int fd;

    if (c->fd)
        (void) d->io->close(d->io->ctx, c->fd - 1);
    c->fd = 0;
    c->file = 0;
    path_of(d, f->number, path, sizeof path);
    fd = d->io->open(d->io->ctx, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    c->fd = fd + 1;
    c->file = f->number;
    c->run = f->run;
    c->off = 0;
    return 0;
}

/* What is known of the cursor's file now; one that was removed is read as long as it goes on. */
static uint64_t bytes_of(struct disk *d, uint32_t number, bool *ret_is_last) {
    uint64_t bytes = UINT64_MAX;

    bp_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n; i++)
        if (d->files[i].number == number)
            bytes = d->files[i].bytes;
    *ret_is_last = d->n > 0 && d->files[d->n - 1].number == number;
    bp_mutex_unlock(&d->lock);
    return bytes;
}

static bool file_behind(struct disk *d, uint32_t number, struct dfile *ret) {
    bool found = false;

    bp_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n && !found; i++)
        if (d->files[i].number > number) {
            *ret = d->files[i];
            found = true;
        }
    bp_mutex_unlock(&d->lock);
    return found;
}

/* @return 1 and a frame with entries behind `at`; 0 at the end of the file */
static int next_in_file(struct disk *d, struct disk_cursor *c, uint64_t bytes, uint64_t at,
                        struct bp_hframe *ret) {
    while (c->off < bytes) {
        uint64_t off = c->off;
        int r = read_head(d, c->fd - 1, off, ret);

        if (r < 0) { /* nothing tells where the next one would begin */
            c->off = bytes;
            return 0;
        }
        c->off += bp_hframe_size(ret);
        if (off + BP_HFRAME_HEAD + ret->bytes > bytes)
            return 0; /* half of a write that failed: it was written again elsewhere */
        if (ret->kind != BP_HFRAME_ENTRIES || ret->first + ret->count <= at)
            continue;
        r = read_payload(d, c->fd - 1, off, ret, &c->p, &c->cap);
        return r == 0 ? 1 : r == -ENOMEM ? r : BP_ECORRUPT; /* what is behind it can be read */
    }
    return 0;
}

int bp_history_disk_next(struct disk *d, struct disk_cursor *c, uint64_t at,
                         struct bp_hframe *ret) {
    struct dfile f;
    bool is_last;

    if (!c->file && !file_of(d, at, &f))
        return 0;
    for (;;) {
        int r = c->file ? 0 : open_file(d, c, &f);

        if (r == 0) {
            r = next_in_file(d, c, bytes_of(d, c->file, &is_last), at, ret);
            if (r != 0 || is_last)
                return r;
        } else if (r == -ENOMEM || r == -EMFILE) {
            return r;
        } /* else it was removed just now, or cannot be read: the one behind it, then */
        if (!file_behind(d, c->file ? c->file : f.number, &f))
            return 0;
        c->file = 0;
    }
}

int64_t bp_history_disk_source(struct disk *d, const struct disk_cursor *c, uint32_t source) {
    const struct drun *run = &d->runs[c->run];

    if (c->run == d->nruns - 1)
        return source < atomic_load(&d->h->nsources) ? (int64_t) source : -ENOENT;
    return source < run->nsources && run->sources[source] ? (int64_t) run->sources[source] - 1
                                                          : -ENOENT;
}

bp_ns_t bp_history_disk_offset(struct disk *d, const struct disk_cursor *c,
                               const struct bp_hframe *f) {
    return offset_of(d, (uint32_t) c->run, f->offset);
}

/* ---- latched messages as files know them ---- */

static uint32_t depth_of(const struct bp_history_store *h, uint32_t source) {
    uint32_t depth = atomic_load(&h->sources[source]->channel->depth);

    return BP_MAX(BP_MIN(depth, (uint32_t) HISTORY_LATCHED_DEPTH), 1u);
}

static int replace(struct disk *d, struct kept **list, const struct bp_history_entry *e,
                   uint32_t source, bp_ns_t offset) {
    struct kept *k, *oldest = NULL, *made;
    uint32_t n = 0;

    DL_FOREACH(*list, k) {
        if (k->source != source)
            continue;
        if (k->seq == e->seq)
            return 0; /* the file's first state, and the entry itself */
        oldest = oldest ? oldest : k;
        n++;
    }
    made = malloc(sizeof *made + e->size);
    if (!made)
        return -ENOMEM;
    *made = (struct kept){ .source = source,
                           .size = e->size,
                           .seq = e->seq,
                           .log_ns = e->log_ns,
                           .publish_ns = e->publish_ns,
                           .offset = offset };
    memcpy(made->data, e->data, e->size);
    if (oldest && n >= depth_of(d->h, source)) {
        DL_DELETE(*list, oldest);
        free(oldest);
    }
    DL_APPEND(*list, made);
    return 0;
}

static int gather(struct disk *d, const struct disk_cursor *c, const struct bp_hframe *f,
                  bp_ns_t from_mono, struct kept **list) {
    struct bp_cur cur = bp_cur_of(c->p, (size_t) f->bytes);
    bp_ns_t offset = bp_history_disk_offset(d, c, f);
    struct bp_history_entry e;
    bool latched;
    int r = 0;

    while (r == 0 && bp_hentry_next(&cur, &e, &latched) > 0) {
        int64_t source = bp_history_disk_source(d, c, e.source);

        if (latched && source >= 0 &&
            (f->kind == BP_HFRAME_LATCHED || e.log_ns - offset < from_mono))
            r = replace(d, list, &e, (uint32_t) source, offset);
    }
    return r;
}

/* Frames of one file; of those behind `from_mono` only the heads. */
static int gather_file(struct disk *d, struct disk_cursor *c, const struct dfile *f,
                       bp_ns_t from_mono, struct kept **list) {
    struct bp_hframe frame;
    int r = 0;

    while (r == 0 && c->off < f->bytes && read_head(d, c->fd - 1, c->off, &frame) == 0) {
        uint64_t off = c->off;

        c->off += bp_hframe_size(&frame);
        if (frame.kind == BP_HFRAME_DEFINITIONS ||
            (frame.kind == BP_HFRAME_ENTRIES &&
             frame.min_log - bp_history_disk_offset(d, c, &frame) >= from_mono))
            continue;
        r = read_payload(d, c->fd - 1, off, &frame, &c->p, &c->cap);
        if (r == 0)
            r = gather(d, c, &frame, from_mono, list);
        else if (r != -ENOMEM)
            r = 0; /* damage costs this frame */
    }
    return r;
}

int bp_history_disk_latched(struct disk *d, bp_ns_t from_mono, struct kept **ret) {
    struct disk_cursor c = { 0 };
    struct kept *list = NULL;
    struct dfile f;
    int r;

    if (!file_at(d, from_mono, &f))
        return 0;
    r = open_file(d, &c, &f);
    if (r == 0)
        r = gather_file(d, &c, &f, from_mono, &list);
    bp_history_disk_cursor_done(d, &c);
    if (r < 0) {
        bp_history_kept_free(list);
        return r == -ENOMEM ? r : 0;
    }
    *ret = list;
    return 1;
}
