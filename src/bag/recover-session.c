#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bag/recover-priv.h"

/* A folder of ours after kill -9 (ring there) or a power cut (ring gone):
 *
 *   1 closed segments tell which messages they hold; the others are walked group by group
 *   2 every message in ring or journal that is in no good group is collected
 *   3 open segments are cut behind their last good group: this frees blocks that 4 may need
 *   4 what was collected becomes a segment of its own (temporary file, sync, rename)
 *   5 the open segments get their end; those without a group are removed
 *   6 metadata.yaml and manifest.json; only then journal and ring go
 *
 * Interrupted at any point, a second run ends with the same result: up to the rename nothing but
 * torn tails has gone, after it the new segment is one that tells what it holds. */

struct open_segment {
    char path[1400];
    struct bp_segment *closed; /* as loaded, when it has its end; owned */
    struct bp_walk walk;       /* otherwise */
    bool foreign;              /* not written by us, whatever its name says */
    uint32_t number;
};

struct session {
    const struct bp_io *io;
    const struct bp_recover_opts *o;
    const char *dir;
    char name[256];
    struct open_segment *v; /* owned */
    size_t n;
    uint32_t next_number;
    struct bp_spans covered[BP_LANES];
    struct bp_defs defs;
    struct bp_collect found;
    struct bp_recovery *ret;
    bool copied; /* the folder is a copy: the ring is not its own */
};

static void session_done(struct session *s) {
    for (size_t i = 0; i < s->n; i++) {
        bp_walk_done(&s->v[i].walk);
        bp_segment_free(s->v[i].closed);
    }
    free(s->v);
    for (size_t i = 0; i < BP_LANES; i++)
        bp_spans_done(&s->covered[i]);
    bp_collect_done(&s->found);
    bp_defs_done(&s->defs);
}

static int list_segments(struct session *s, struct bp_error *err) {
    struct bp_session_files f = { 0 };
    int r = bp_session_list(s->dir, &f, err);

    if (r < 0)
        return r;
    memcpy(s->name, f.name, sizeof s->name);
    s->v = calloc(f.n + 1, sizeof *s->v);
    s->n = s->v ? f.n : 0;
    for (size_t i = 0; i < s->n; i++) {
        s->v[i].number = f.numbers[i];
        bp_segment_path(s->dir, s->name, f.numbers[i], s->v[i].path, sizeof s->v[i].path);
        s->next_number = f.numbers[i] + 1;
    }
    free(f.numbers);
    return s->v ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

static int cover(struct session *s, const struct bp_segment *seg) {
    int r = 0;

    /* Numbers start anew with each run; only those of the interrupted one matter. */
    if (s->found.have_run && memcmp(seg->session, s->found.run, 16) != 0)
        return 0;
    for (size_t lane = 0; lane < BP_LANES; lane++)
        for (size_t i = 0; i < seg->ranges[lane].n && r == 0; i++)
            r = bp_spans_add(&s->covered[lane], seg->ranges[lane].v[i].first,
                             seg->ranges[lane].v[i].last);
    return r;
}

static void count_walk(struct session *s, const struct bp_walk *w) {
    s->ret->groups += w->s->groups;
    s->ret->messages_kept += w->messages;
    s->ret->torn_bytes += w->size - BP_MIN(w->size, w->s->off);
}

static int walk_one(struct session *s, struct open_segment *x, struct bp_error *err) {
    int r = bp_walk(s->io, x->path, s->covered, &s->defs, &x->walk, err);

    if (r < 0)
        return r;
    x->foreign = x->walk.s->groups == 0 && !bp_session_file_is_ours(s->io, x->path);
    if (x->walk.s->off && !s->found.have_run) {
        memcpy(s->found.run, x->walk.s->session, 16);
        s->found.have_run = true;
    }
    count_walk(s, &x->walk);
    return cover(s, x->walk.s);
}

static int load_closed(struct session *s) {
    for (size_t i = 0; i < s->n; i++) {
        struct open_segment *x = &s->v[i];

        s->ret->segments++;
        if (bp_segment_load(s->io, x->path, &x->closed, NULL) < 0)
            continue;
        s->ret->segments_closed++;
        s->ret->messages_kept += x->closed->index.messages - x->closed->repeated;
    }
    return 0;
}

static int cover_closed(struct session *s) {
    int r = 0;

    for (size_t i = 0; i < s->n && r == 0; i++)
        if (s->v[i].closed)
            r = cover(s, s->v[i].closed);
    return r;
}

/* Newest first: where an abandoned segment was not cut yet, the later one has the same messages.
 * Without a ring the newest open segment tells which run it was, else the journal does. */
static int look_at_segments(struct session *s, struct bp_error *err) {
    size_t i = s->n;
    int r = load_closed(s);

    while (r == 0 && !s->found.have_run && i > 0)
        if (!s->v[--i].closed)
            r = walk_one(s, &s->v[i], err);
    if (r == 0)
        r = bp_collect_run(&s->found);
    if (r == 0)
        r = cover_closed(s);
    while (r == 0 && i-- > 0)
        if (!s->v[i].closed && !s->v[i].walk.s)
            r = walk_one(s, &s->v[i], err);
    return r;
}

/* @return 0; the ring is used only when it is of this boot and whole */
static int attach_ring(struct session *s, struct bp_error *err) {
    struct bp_ring_ref ref = { 0 };
    struct bp_ring *ring = &s->found.ring;
    int r = bp_ring_ref_read(s->io, s->dir, s->o->ring_dir, &ref);

    s->copied = ref.copied;
    if (r == 0)
        r = bp_ring_attach(ring, ref.path, err);
    if (r == 0 && memcmp(ring->hdr->session, ref.run, sizeof ref.run) != 0) {
        bp_ring_done(ring, false); /* a later recording's */
        r = -ESTALE;
    }
    if (r == BP_EBUSY && ref.copied) /* the original is still being recorded */
        r = -ENOENT;
    if (r == 0) {
        s->found.have_ring = s->found.have_run = true;
        memcpy(s->found.run, ring->hdr->session, 16);
        if (ref.copied)
            bp_recover_note(s->ret, "the ring '%s' stays: this folder is a copy of its session's",
                            ref.path);
        return 0;
    }
    s->ret->after_power_cut = r == -ENOENT || r == -ESTALE || r == BP_EFORMAT;
    return s->ret->after_power_cut ? 0 : r;
}

static int read_journal(struct session *s) {
    char path[1400];
    int r;

    (void) snprintf(path, sizeof path, "%s/journal", s->dir);
    r = bp_io_read_file(s->io, path, (size_t) 1 << 30, &s->found.journal, &s->found.journal_n,
                        NULL);
    return r == -ENOENT ? 0 : r;
}

/* ---- changing things ---- */

static int cut_tails(struct session *s, struct bp_error *err) {
    for (size_t i = 0; i < s->n; i++) {
        struct open_segment *x = &s->v[i];
        int fd, r;

        if (x->closed || x->walk.resumes_at || x->foreign)
            continue; /* rotten in the middle: never cut */
        fd = s->io->open(s->io->ctx, x->path, O_WRONLY, 0);
        r = fd < 0 ? fd : s->io->truncate(s->io->ctx, fd, x->walk.s->off);
        if (fd >= 0)
            (void) s->io->close(s->io->ctx, fd);
        if (r < 0)
            return bp_fail(err, r, "cannot cut '%s': %s", x->path, bp_strerror(r));
    }
    return 0;
}

static int end_segments(struct session *s, struct bp_error *err) {
    for (size_t i = 0; i < s->n; i++) {
        struct open_segment *x = &s->v[i];
        int r;

        if (x->closed)
            continue;
        if (x->foreign) {
            r = bp_recover_file(x->path, s->o, s->ret, err);
            if (r == BP_EFORMAT) {
                bp_recover_note(s->ret, "'%s' stays as it is: it is no MCAP file", x->path);
                r = 0;
            }
        } else if (x->walk.resumes_at) {
            r = bp_recover_file(x->path, s->o, s->ret, err);
        } else if (x->walk.s->groups == 0) {
            r = s->io->unlink(s->io->ctx, x->path); /* prepared, never written to */
            s->ret->segments_removed++;
            if (r < 0)
                (void) bp_fail(err, r, "cannot remove '%s': %s", x->path, bp_strerror(r));
        } else {
            r = bp_segment_finish(x->walk.s, err);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* Numbers between the lowest and highest of a lane that nobody has any more. */
static uint64_t holes(const struct bp_spans *covered, const struct bp_collect *c) {
    uint64_t lost = 0;

    for (uint32_t lane = 0; lane < BP_LANES; lane++) {
        struct bp_spans all = { 0 };

        for (size_t i = 0; i < covered[lane].n; i++)
            (void) bp_spans_add(&all, covered[lane].v[i].first, covered[lane].v[i].last);
        for (size_t i = 0; i < c->n; i++)
            if (c->v[i].lane == lane)
                (void) bp_spans_add(&all, c->v[i].rseq, c->v[i].rseq);
        if (all.n)
            lost += all.v[all.n - 1].last - bp_spans_count(&all);
        bp_spans_done(&all);
    }
    return lost;
}

/* What the ledger has no fate for: numbers between a source's first and last. */
static void note_unaccounted(struct session *s, struct bp_folder *f) {
    (void) bp_ledger_settle(&f->ledger);
    for (size_t i = 0; i < f->ledger.n; i++) {
        const struct bp_ledger_source *src = f->ledger.v[i];
        struct bp_ledger_totals t;
        uint64_t known, all;
        double seconds = 0;

        bp_ledger_source_totals(src, &t);
        known = t.received;
        for (size_t c = 0; c < BP_LOSS_N_; c++)
            known += t.lost[c];
        all = t.last ? t.last - t.first + 1 : 0;
        if (all <= known)
            continue;
        if (f->nfiles && t.received > 1)
            seconds = (double) (f->files[f->nfiles - 1].end_ns - f->files[0].start_ns) / 1e9 /
                      (double) t.received * (double) (all - known);
        bp_recover_note(s->ret, "%s: %llu messages lost, about %.1f s", src->topic,
                        (unsigned long long) (all - known), seconds);
    }
}

static int write_folder(struct session *s, struct bp_error *err) {
    struct bp_folder f = { 0 };
    struct bp_manifest_recovery rec = {
        .wall_ns = bp_wall_ns(),
        .power_cut = s->ret->after_power_cut,
        .kept = s->ret->messages_kept,
        .from_ring = s->ret->from_ring,
        .from_journal = s->ret->from_journal,
        .lost = s->ret->lost_messages,
        .torn_bytes = s->ret->torn_bytes,
    };
    int r = bp_folder_load(&f, s->io, s->dir, err);

    if (r == 0)
        note_unaccounted(s, &f);
    if (r == 0)
        r = bp_recover_sign_with(&f, s->o, s->ret, err);
    rec.report = s->ret->report ? s->ret->report : (char[]){ "" };
    if (r == 0)
        r = bp_folder_write_metadata(&f, s->io, err);
    if (r == 0 && bp_manifest_add_recovery(&f.past, &rec) < 0)
        r = bp_fail(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = bp_folder_write_manifest(&f, s->io, err);
    bp_folder_done(&f);
    return r;
}

/* Last of all: from here on the folder is a finished recording. */
static int drop_leftovers(struct session *s, struct bp_error *err) {
    char path[1400];
    int r;

    (void) snprintf(path, sizeof path, "%s/journal", s->dir);
    r = s->io->unlink(s->io->ctx, path);
    if (r == 0 || r == -ENOENT)
        r = s->io->sync_dir(s->io->ctx, s->dir);
    if (r < 0)
        return bp_fail(err, r, "cannot tidy up '%s': %s", s->dir, bp_strerror(r));
    bp_ring_done(&s->found.ring, !s->copied);
    bp_ring_ref_remove(s->io, s->dir);
    return 0;
}

static int look(struct session *s, struct bp_error *err) {
    int r = attach_ring(s, err);

    if (r == 0)
        r = list_segments(s, err);
    if (r == 0)
        r = read_journal(s);
    if (r == 0)
        r = look_at_segments(s, err);
    s->found.covered = s->covered;
    s->found.defs = &s->defs;
    if (r == 0)
        r = bp_collect(&s->found);
    if (r < 0)
        return err && err->code == r
                   ? r
                   : bp_fail(err, r, "cannot look at '%s': %s", s->dir, bp_strerror(r));
    s->ret->from_ring = s->found.n - s->found.from_journal;
    s->ret->from_journal = s->found.from_journal;
    s->ret->messages_kept += s->found.n;
    s->ret->lost_messages = holes(s->covered, &s->found);
    return 0;
}

/* What is written now belongs to the session that was interrupted. */
static void take_id(const struct session *s, char id[static 27]) {
    for (size_t i = 0; i < s->n; i++) {
        const struct bp_segment *x = s->v[i].closed ? s->v[i].closed : s->v[i].walk.s;

        if (x && x->id[0])
            memcpy(id, x->id, sizeof x->id);
    }
}

static int mend(struct session *s, struct bp_error *err) {
    struct bp_folder f = { 0 };
    int r = cut_tails(s, err);

    if (r == 0)
        r = bp_folder_init(&f, s->dir);
    take_id(s, f.id);
    if (r == 0 && (s->found.n || s->found.nruns))
        r = bp_recover_write(s->io, s->dir, s->name, f.id, s->next_number, &s->found, err);
    bp_folder_done(&f);
    if (r == 0)
        r = end_segments(s, err);
    if (r == 0)
        r = write_folder(s, err);
    if (r == 0)
        r = drop_leftovers(s, err);
    return r;
}

int bp_recover_session(const char *dir, const struct bp_recover_opts *o, struct bp_recovery *ret,
                       struct bp_error *err) {
    struct session s = { .io = o->io ? o->io : &bp_io_posix, .o = o, .dir = dir, .ret = ret };
    int r;

    s.found.ring.fd = -1;
    ret->needed = true;
    r = look(&s, err);
    if (r == 0 && !o->dry_run)
        r = mend(&s, err);
    session_done(&s);
    return r;
}
