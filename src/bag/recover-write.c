#include <errno.h>
#include <stdio.h>

#include "bag/recover-priv.h"
#include "bag/sealed.h"

/* Messages that were collected become a segment of their own. Nothing is overwritten, and until the
 * rename nothing has changed. */

enum { CHUNK = 4 << 20, CHANNELS = 65536 };

struct making {
    struct bp_segment *s;
    struct bp_builder b;
    struct bp_group_channel *ch;
    uint8_t *in, *out;
    uint64_t in_cap, out_cap;
    uint8_t run[16];
};

static int room(uint8_t **p, uint64_t *cap, uint64_t need) {
    void *fresh;

    if (*cap >= need)
        return 0;
    if (posix_memalign(&fresh, BP_BLOCK, (size_t) need))
        return -ENOMEM;
    free(*p);
    *p = fresh;
    *cap = need;
    return 0;
}

/* How many of the messages from v on make one group: consecutive numbers of a lane. */
static size_t take(const struct bp_found *v, size_t n, uint64_t *ret_bytes) {
    uint64_t bytes = v[0].n;
    size_t k = 1;

    while (k < n && v[k].lane == v[0].lane && v[k].rseq == v[k - 1].rseq + 1 &&
           bytes + v[k].n <= CHUNK)
        bytes += v[k++].n;
    *ret_bytes = bytes;
    return k;
}

static int write_group(struct making *m, const struct bp_found *v, size_t n, uint64_t bytes,
                       const struct bp_run *runs, uint32_t nruns) {
    struct bp_group_in in = { .raw = bytes, .ch = m->ch, .runs = runs, .nruns = nruns };
    uint64_t at = 0, off = m->s->off;
    struct bp_group g;
    int r = room(&m->in, &m->in_cap, bytes);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        memcpy(m->in + at, v[i].record, v[i].n);
        at += v[i].n;
    }
    in.records = m->in;
    r = bp_group_count(m->in, bytes, m->ch, CHANNELS, &in.nmsg);
    if (r < 0)
        return r;
    in.nch = (unsigned) r;
    r = room(&m->out, &m->out_cap, bp_group_bound(bytes, in.nmsg, in.nch, nruns, 0));
    if (r == 0)
        r = bp_group_build(&m->b, &in, true, m->out, 0, &g);
    if (r < 0)
        return r;
    bp_group_commit(&g, m->run, off, v[0].lane, v[0].rseq, v[n - 1].rseq);
    r = bp_segment_append(m->s, m->out, g.len);
    if (r < 0)
        return r;
    bp_index_add_group(&m->s->index, &g, off);
    m->s->groups++;
    return bp_spans_add(&m->s->ranges[v[0].lane], v[0].rseq, v[n - 1].rseq);
}

static int write_all(struct making *m, const struct bp_collect *c) {
    int r = 0;

    for (size_t i = 0; i < c->n && r == 0;) {
        uint64_t bytes;
        size_t n = take(c->v + i, c->n - i, &bytes);
        /* The ledger goes with the first group. */
        r = write_group(m, c->v + i, n, bytes, i ? NULL : c->runs, i ? 0 : (uint32_t) c->nruns);
        i += n;
    }
    return r;
}

/* Only refusals were left, and no message: a Metadata group carries them. */
static int add_ledger(struct making *m, const struct bp_collect *c) {
    int r = 0;

    for (size_t i = 0; i < c->nruns && r == 0; i++) {
        r = bp_segment_add_runs(m->s, c->defs, &c->runs[i], 1);
        if (r == -ENOENT)
            r = 0;
    }
    return r;
}

static uint64_t bytes_needed(const struct bp_collect *c) {
    uint64_t n = 0;

    for (size_t i = 0; i < c->n; i++)
        n += c->v[i].n + BP_INDEX_ENTRY;
    for (uint32_t i = 0; i < c->defs->nschemas; i++)
        n += 2 * c->defs->schemas[i].n;
    for (uint32_t i = 0; i < c->defs->nchannels; i++)
        n += 2 * c->defs->channels[i].n;
    return n + n / 16 + (uint64_t) 256 * c->nruns + ((uint64_t) 1 << 20);
}

static int make(struct making *m, const struct bp_segment_opts *so, const struct bp_collect *c,
                struct bp_error *err) {
    int r = bp_segment_create(so, m->run, c->defs, &m->s, err);

    if (r < 0)
        return r;
    r = bp_builder_init(&m->b, BP_CODEC_NONE, 0, false);
    m->ch = calloc(CHANNELS, sizeof *m->ch);
    if (r == 0 && !m->ch)
        r = -ENOMEM;
    if (r == 0)
        r = write_all(m, c);
    if (r == 0)
        r = add_ledger(m, c);
    if (r == 0)
        r = so->io->sync(so->io->ctx, m->s->fd);
    if (r < 0)
        return bp_fail(err, r, "cannot write recovered messages: %s", bp_strerror(r));
    m->s->durable = m->s->off;
    return bp_segment_finish(m->s, err);
}

int bp_recover_write(const struct bp_io *io, const char *dir, const char *name, const char *id,
                     uint32_t number, bool sealed, const struct bp_collect *c,
                     struct bp_error *err) {
    char tmp[1100], path[1400];
    uint64_t need = bytes_needed(c);
    struct bp_segment_opts so = { .io = io,
                                  .dir = dir,
                                  .name = name,
                                  .id = id,
                                  .path = tmp,
                                  .number = number,
                                  .sealed = sealed,
                                  .ahead = need,
                                  .wall_ns = bp_wall_ns() };
    struct making m = { 0 };
    int64_t left = io->free_bytes(io->ctx, dir);
    int r;

    if (left >= 0 && (uint64_t) left < need)
        return bp_fail(err, -ENOSPC,
                       "no room to recover %zu messages: %llu MiB more are needed in '%s'; nothing "
                       "was changed",
                       c->n, (unsigned long long) ((need - (uint64_t) left) >> 20) + 1, dir);
    memcpy(m.run, c->run, 16);
    (void) snprintf(tmp, sizeof tmp, "%s/.recovered.tmp%s", dir, sealed ? BP_SEALED_SUFFIX : "");
    (void) io->unlink(io->ctx, tmp); /* of a recovery that was interrupted */
    bp_segment_path(dir, name, number, sealed, path, sizeof path);
    r = make(&m, &so, c, err);
    if (r == 0) {
        r = io->rename(io->ctx, tmp, path);
        if (r == 0)
            r = io->sync_dir(io->ctx, dir);
        if (r < 0)
            (void) bp_fail(err, r, "cannot rename '%s': %s", tmp, bp_strerror(r));
    }
    if (r < 0)
        (void) io->unlink(io->ctx, tmp);
    bp_segment_free(m.s);
    bp_builder_done(&m.b);
    free(m.ch);
    free(m.in);
    free(m.out);
    return r;
}
