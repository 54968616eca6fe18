#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bag/journal.h"
#include "bag/proof.h"
#include "bag/recover-priv.h"
#include "bag/sealed-walk.h"

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
    bool blind;                /* sealed, and no key opens it */
    bool headless;             /* to be sealed, but its header was not written, or is damaged */
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
    bool sealed; /* what is written is sealed */
    char journal[1400];
    bool journal_blind; /* no key opens it: it stays, for who has one */
    bool copied;        /* the folder is a copy: the ring is not its own */
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
        bp_session_path(s->dir, &f, i, s->v[i].path, sizeof s->v[i].path);
        s->next_number = f.numbers[i] + 1;
        s->sealed |= f.sealed[i];
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

/* @return 1 no key opens it, 0 plain or readable, a negative code: not even its header */
static int is_blind(const struct session *s, const char *path) {
    int fd, blind;

    if (!bp_sealed_name(path))
        return 0;
    fd = s->io->open(s->io->ctx, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    blind = bp_sealed_is_blind(s->io, fd);
    (void) s->io->close(s->io->ctx, fd);
    return blind;
}

/* Nothing in it can be opened by anybody. */
static int walk_headless(struct open_segment *x) {
    x->walk.s = calloc(1, sizeof *x->walk.s);
    if (!x->walk.s)
        return -ENOMEM;
    x->walk.s->fd = -1;
    x->headless = true;
    return 0;
}

static int walk_one(struct session *s, struct open_segment *x, struct bp_error *err) {
    int r = is_blind(s, x->path);

    if (r == BP_EFORMAT || r == BP_ETRUNCATED || r == BP_ECORRUPT)
        return walk_headless(x);
    if (r < 0)
        return bp_fail(err, r, "cannot open '%s': %s", x->path, bp_strerror(r));
    x->blind = r > 0;
    r = x->blind ? bp_sealed_walk(s->io, x->path, s->covered, &x->walk, err)
                 : bp_walk(s->io, x->path, s->covered, &s->defs, &x->walk, err);
    if (r < 0)
        return r;
    x->foreign = !x->blind && x->walk.s->groups == 0 && !bp_session_file_is_ours(s->io, x->path);
    if (x->walk.s->off && (!x->blind || x->walk.s->groups) && !s->found.have_run) {
        memcpy(s->found.run, x->walk.s->session, 16);
        s->found.have_run = true;
    }
    count_walk(s, &x->walk);
    return cover(s, x->walk.s);
}

/* What is inside may be whole to the last byte when the container was closed without its key: that
 * container is still to be ended. */
static bool is_cut(const struct session *s, const char *path) {
    BP_CLEANUP(bp_sealed_freep) struct bp_sealed *c = NULL;
    const struct bp_io *below = bp_io_below(s->io);
    bool cut = false;
    int fd = bp_sealed_name(path) ? below->open(below->ctx, path, O_RDONLY, 0) : -1;

    if (fd < 0)
        return false;
    if (bp_sealed_peek(below, fd, bp_io_keys(s->io), &c) == 0)
        cut = bp_sealed_state(c) == BP_SEALED_CUT && bp_sealed_readable(c);
    (void) below->close(below->ctx, fd);
    return cut;
}

static int load_closed(struct session *s) {
    for (size_t i = 0; i < s->n; i++) {
        struct open_segment *x = &s->v[i];

        s->ret->segments++;
        if (is_cut(s, x->path) || bp_segment_load(s->io, x->path, &x->closed, NULL) < 0)
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

/* A journal that nobody here could open lies aside until somebody can: "journal.kept-N". */
static bool kept_journal(const struct session *s, char *ret, size_t cap) {
    for (unsigned i = 1; i < 1000; i++) {
        (void) snprintf(ret, cap, "%s/journal.kept-%u", s->dir, i);
        if (access(ret, F_OK) == 0)
            return true;
    }
    return false;
}

static int read_journal(struct session *s) {
    struct bp_keyring *keys = bp_io_keys(s->io);
    bool kept = false;
    int r;

    (void) snprintf(s->journal, sizeof s->journal, "%s/journal", s->dir);
    if (access(s->journal, F_OK) < 0)
        kept = !s->found.have_ring && kept_journal(s, s->journal, sizeof s->journal);
    r = bp_io_read_file(s->io, s->journal, (size_t) 1 << 30, &s->found.journal, &s->found.journal_n,
                        NULL);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    s->sealed |= bp_sealed_probe((const uint8_t *) s->found.journal, s->found.journal_n);
    r = bp_journal_unseal(&s->found.journal, &s->found.journal_n, keys);
    if (r == BP_EKEY || r == BP_ETRUNCATED || r == BP_ECORRUPT) {
        /* with a ring there is nothing in it that the ring has not; its header may be torn */
        s->journal_blind = r == BP_EKEY && !s->found.have_ring;
        free(BP_TAKE_PTR(s->found.journal));
        s->found.journal_n = 0;
        return 0;
    }
    /* It is of a run of its own, not of the newest. */
    return r == 0 && kept ? bp_collect_run(&s->found) : r;
}

/* Definitions of what a kept journal holds are in segments that were closed since. */
static int read_definitions(struct session *s, struct bp_error *err) {
    int r = 0;

    if (!s->found.journal || !strstr(s->journal, "journal.kept-"))
        return 0;
    for (size_t i = 0; i < s->n && r == 0; i++) {
        struct bp_walk w = { 0 };

        if (!s->v[i].closed || is_blind(s, s->v[i].path) != 0 ||
            memcmp(s->v[i].closed->session, s->found.run, 16) != 0)
            continue;
        r = bp_walk(s->io, s->v[i].path, NULL, &s->defs, &w, err);
        bp_walk_done(&w);
    }
    return r;
}

/* ---- changing things ---- */

static int cut_tails(struct session *s, struct bp_error *err) {
    for (size_t i = 0; i < s->n; i++) {
        struct open_segment *x = &s->v[i];
        int fd, r;

        if (x->closed || x->blind || x->headless || x->walk.resumes_at || x->foreign)
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

/* Empty, it was just being made; else it is kept where no verb counts it. */
static int end_headless(struct session *s, struct open_segment *x, struct bp_error *err) {
    const struct bp_io *below = bp_io_below(s->io);
    int fd = below->open(below->ctx, x->path, O_RDONLY, 0);
    int64_t size = fd < 0 ? fd : below->size(below->ctx, fd);
    int r = size < 0 ? (int) size : 0;

    if (fd >= 0)
        (void) below->close(below->ctx, fd);
    if (r == 0 && size > BP_SEALED_HEADER && !s->o->discard) {
        bp_recover_note(s->ret, "'%s' has no usable header: it is kept in .damaged/", x->path);
        r = bp_recover_set_aside(s->io, x->path, err);
    }
    if (r == 0)
        r = below->unlink(below->ctx, x->path);
    s->ret->segments_removed++;
    return r < 0 && r != -ENOENT
               ? bp_fail(err, r, "cannot remove '%s': %s", x->path, bp_strerror(r))
               : 0;
}

/* Cut behind its last whole frame; damaged in the middle it stays, to be mended with the key. */
static int end_blind(struct session *s, struct open_segment *x, struct bp_error *err) {
    int r;

    if (x->walk.resumes_at) {
        bp_recover_note(s->ret, "'%s' stays as it is: it takes the key to mend it (--key FILE)",
                        x->path);
        return 0;
    }
    if (x->walk.s->groups == 0) {
        r = s->io->unlink(s->io->ctx, x->path);
        s->ret->segments_removed++;
        return r < 0 ? bp_fail(err, r, "cannot remove '%s': %s", x->path, bp_strerror(r)) : 0;
    }
    return bp_sealed_walk_close(x->walk.s, err);
}

static int end_segments(struct session *s, struct bp_error *err) {
    for (size_t i = 0; i < s->n; i++) {
        struct open_segment *x = &s->v[i];
        int r;

        if (x->closed)
            continue;
        if (x->headless) {
            r = end_headless(s, x, err);
        } else if (x->blind) {
            r = end_blind(s, x, err);
        } else if (x->foreign) {
            r = bp_recover_file(x->path, s->o, s->ret, err);
            if (r == BP_EFORMAT) {
                bp_recover_note(s->ret, "'%s' stays as it is: it is no MCAP file", x->path);
                r = 0;
            }
        } else if (x->walk.resumes_at) {
            r = bp_recover_file(x->path, s->o, s->ret, err);
        } else if (bp_segment_is_empty(x->walk.s)) {
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

/* Digests of before are those of other bytes, though there may be as many. */
static void forget_digests(const struct session *s, struct bp_folder *f) {
    for (size_t i = 0; i < s->n; i++) {
        const char *name = strrchr(s->v[i].path, '/') + 1;

        for (size_t k = 0; k < f->nfiles && !s->v[i].closed; k++)
            if (bp_streq(f->files[k].file, name)) {
                f->files[k].sha256[0] = 0;
                f->files[k].rewritten = true;
            }
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

    f.hide_names = s->sealed && s->o->hide_names;
    forget_digests(s, &f);
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

/* Out of the way of the next recorder, and of this recovery run again. */
static int keep_journal(struct session *s) {
    char to[1400];

    if (strstr(s->journal, "/journal.kept-"))
        return 0;
    bp_recover_note(s->ret, "the journal is sealed: what only it holds takes the key (--key FILE)");
    for (unsigned i = 1; i < 1000; i++) {
        (void) snprintf(to, sizeof to, "%s/journal.kept-%u", s->dir, i);
        if (access(to, F_OK) < 0)
            return s->io->rename(s->io->ctx, s->journal, to);
    }
    return -EEXIST;
}

/* Last of all: from here on the folder is a finished recording. */
static int drop_leftovers(struct session *s, struct bp_error *err) {
    int r = s->journal_blind ? keep_journal(s) : s->io->unlink(s->io->ctx, s->journal);

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
    if (r == 0)
        r = read_definitions(s, err);
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

/* What is written now belongs to the session that was interrupted. Where no segment is left, since
 * the disk took none, its first signature still tells; one over segments would be of another. */
static void take_id(const struct session *s, char id[static 27]) {
    BP_AUTO_PROOF p = { 0 };

    if (bp_proof_read(s->io, s->dir, &p, NULL) == 0 && p.n == 0 && p.from == 0)
        memcpy(id, p.session, sizeof p.session);
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
    bp_sealed_io_session(s->io, f.id);
    if (r == 0 && (s->found.n || s->found.nruns))
        r = bp_recover_write(s->io, s->dir, s->name, f.id, s->next_number, s->sealed, &s->found,
                             err);
    bp_folder_done(&f);
    if (r == 0)
        r = end_segments(s, err);
    if (r == 0)
        r = write_folder(s, err);
    if (r == 0)
        r = drop_leftovers(s, err);
    return r;
}

/* What is added is sealed for those whom the rest is sealed to. */
static int take_recipients(struct session *s, struct bp_error *err) {
    const struct bp_io *below = bp_io_below(s->io);
    struct bp_keyring *keys = bp_io_keys(s->io);
    int r = 0;

    for (size_t i = 0; i < s->n && s->sealed && r >= 0; i++) {
        BP_CLEANUP(bp_sealed_freep) struct bp_sealed *c = NULL;
        int fd =
            bp_sealed_name(s->v[i].path) ? below->open(below->ctx, s->v[i].path, O_RDONLY, 0) : -1;

        if (fd < 0)
            continue;
        if (bp_sealed_peek(below, fd, NULL, &c) == 0)
            r = bp_sealed_add_recipients(c, keys);
        (void) below->close(below->ctx, fd);
        if (r == 0)
            break;
    }
    if (r == 0 && s->sealed && bp_keyring_empty(keys) && (s->found.n || s->found.nruns))
        return bp_fail(err, BP_EKEY,
                       "'%s' is sealed with a key of its own, and %zu messages in memory are to be "
                       "added: give the key with --key FILE",
                       s->dir, s->found.n);
    return r < 0 ? bp_fail(err, r, "cannot seal for its recipients: %s", bp_strerror(r)) : 0;
}

static int recover_once(const char *dir, const struct bp_recover_opts *o, struct bp_recovery *ret,
                        bool *ret_again, struct bp_error *err) {
    struct session s = { .io = o->io, .o = o, .dir = dir, .ret = ret };
    char kept[1400];
    int r;

    s.found.ring.fd = -1;
    ret->needed = true;
    r = look(&s, err);
    if (r == 0 && !o->recipients_given)
        r = take_recipients(&s, err);
    if (r == 0 && !o->dry_run)
        r = mend(&s, err);
    *ret_again = r == 0 && !o->dry_run && !s.journal_blind && kept_journal(&s, kept, sizeof kept);
    session_done(&s);
    return r;
}

int bp_recover_session(const char *dir, const struct bp_recover_opts *o, struct bp_recovery *ret,
                       struct bp_error *err) {
    struct bp_recover_opts mine = *o;
    BP_CLEANUP(bp_keyring_freep) struct bp_keyring *keys = NULL;
    struct bp_sealed_io sealing;
    bool again = true;
    int r = 0;

    /* A copy: whom a folder names as recipients must not get what is recorded later. */
    if (!o->io || !bp_io_keys(o->io)) {
        keys = bp_keyring_copy(o->keys ? o->keys : bp_keyring_process());
        if (!keys)
            return bp_fail(err, -ENOMEM, "out of memory");
        bp_sealed_io_init(&sealing, o->io ? o->io : &bp_io_posix, keys);
        mine.io = &sealing.io;
    }
    /* once, and once more for every journal that had to wait for the key */
    while (r == 0 && again)
        r = recover_once(dir, &mine, ret, &again, err);
    return r;
}
