/* What an earlier life left in files. */
#include "bag/history-disk-priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
            r = bp_hdisk_add_file(d, &f);
    }
    (void) closedir(dir);
    if (d->n)
        qsort(d->files, d->n, sizeof *d->files, by_number);
    return r < 0 ? bp_fail(err, r, "out of memory") : 0;
}

int bp_hdisk_run(struct disk *d, const uint8_t id[static 16], uint32_t *ret) {
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
    struct bp_cur c = bp_cur_of(payload, (size_t) f->plain);
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
    struct bp_sealed *seal;  /* what opens it; NULL: it is in the clear, or locked */
    struct bp_sealed *owned; /* the same until its run has it */
};

static void walk_done(struct walk *w) {
    if (w->fd >= 0)
        (void) w->io->close(w->io->ctx, w->fd);
    free(w->p);
    bp_sealed_free(w->owned);
}

static int next_whole(const struct disk *d, struct walk *w, struct bp_hframe *ret) {
    uint64_t off = w->off;
    int r = bp_hdisk_read_head(d, w->fd, off, ret);

    if (r < 0)
        return r;
    r = bp_hdisk_read_payload(d, w->fd, off, ret, w->seal, &w->p, &w->cap);
    if (r == 0 || r == BP_ECORRUPT ||
        r == BP_EKEY) /* its head tells where the next one is, all the same */
        w->off += bp_hframe_size(ret);
    return r;
}

/* Of what is locked no more is known, and no more needed to keep it. */
static bool is_whole(int r) {
    return r == 0 || r == BP_EKEY;
}

/* The header of a sealed file, if it is one. @return 0, BP_ECORRUPT, -ENOMEM, an errno */
static int read_header(const struct disk *d, struct dfile *f, struct walk *w) {
    BP_AUTO_FREE uint8_t *header = malloc(BP_SEALED_HEADER);
    struct bp_sealed *seal = NULL;
    ssize_t n;
    int r;

    if (!header)
        return -ENOMEM;
    n = d->io->pread(d->io->ctx, w->fd, header, BP_SEALED_HEADER, 0);
    if (n < 0)
        return (int) n;
    f->sealed = bp_sealed_probe(header, (size_t) n);
    if (!f->sealed)
        return 0;
    r = bp_sealed_from_header(header, (size_t) n, d->h->o.seal, &seal);
    if (r < 0)
        return r == -ENOMEM ? r : BP_ECORRUPT;
    f->locked = !bp_sealed_readable(seal);
    if (f->locked)
        bp_sealed_free(seal);
    else
        w->seal = w->owned = seal;
    w->off = BP_SEALED_HEADER;
    return 0;
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
        if (is_whole(r) && head.kind == BP_HFRAME_ENTRIES) {
            f->end = head.first + head.count;
            d->runs[f->run].max_log = BP_MAX(d->runs[f->run].max_log, head.max_log);
        }
        if (is_whole(r))
            f->bytes = w->off;
    }
}

/* The first frame; for the last file of its run all others as well, up to what is torn. */
static int take_up(struct disk *d, struct dfile *f, bool whole) {
    BP_CLEANUP(walk_done) struct walk w = { .io = d->io, .fd = -1 };
    struct bp_hframe head;
    char path[1100];
    int r;

    bp_hdisk_path(d, f->number, path, sizeof path);
    w.fd = d->io->open(d->io->ctx, path, O_RDWR | O_CLOEXEC, 0);
    if (w.fd < 0)
        return w.fd;
    r = read_header(d, f, &w);
    if (r == 0)
        r = next_whole(d, &w, &head);
    if (r == BP_EKEY && f->locked)
        r = 0;
    if (r == 0 && head.kind != BP_HFRAME_DEFINITIONS)
        r = BP_ECORRUPT;
    if (r == 0)
        r = bp_hdisk_run(d, head.run, &f->run);
    if (r == 0 && !f->locked)
        r = learn(d, f->run, &head, w.p);
    if (r < 0)
        return r;
    f->first = f->end = head.first;
    f->began = head.min_log;
    f->offset = head.offset;
    f->bytes = w.off;
    if (!d->runs[f->run].seal)
        d->runs[f->run].seal = BP_TAKE_PTR(w.owned);
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
    uint8_t magic[8];
    ssize_t n;
    int fd, r = BP_ECORRUPT;

    if (i + 1 >= d->n)
        return false;
    for (size_t k = 0; k < 2; k++) {
        bp_hdisk_path(d, d->files[i + k].number, path, sizeof path);
        fd = d->io->open(d->io->ctx, path, O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0)
            return false;
        n = d->io->pread(d->io->ctx, fd, magic, sizeof magic, 0);
        r = bp_hdisk_read_head(
            d, fd, n > 0 && bp_sealed_probe(magic, (size_t) n) ? BP_SEALED_HEADER : 0, k ? &b : &a);
        (void) d->io->close(d->io->ctx, fd);
        if (r < 0)
            return false;
    }
    return memcmp(a.run, b.run, sizeof a.run) == 0;
}

int bp_hdisk_take_up(struct disk *d, struct bp_error *err) {
    size_t kept = 0;
    int listed = list_files(d, err);

    if (listed < 0)
        return listed;

    for (size_t i = 0; i < d->n; i++) {
        struct dfile f = d->files[i];
        int r = take_up(d, &f, !is_followed(d, i));
        char path[1100];

        if (r == -ENOMEM || r == -ENOSPC)
            return bp_fail(err, r, "cannot take up the history in '%s': %s", d->dir,
                           bp_strerror(r));
        bp_hdisk_path(d, f.number, path, sizeof path);
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
