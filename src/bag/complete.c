/* A definition lies in a group of definitions near the head of its file, so a longer one moves all
 * that follows by whole blocks. Groups with messages are copied as they are but for the place that
 * their commit block names; then the new file is walked like any other unfinished one, which builds
 * its index and ledger anew from what is really there. */
#include "bag/complete.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bag/recover-priv.h"
#include "wire/schema.h"

struct rewriting {
    const struct bp_io *io;
    const uint8_t *p; /* the file as it is */
    uint64_t n;
    int fd;              /* the new one */
    uint64_t at;         /* its end so far */
    struct bp_defs defs; /* of the file as it is */
    uint32_t completed;
};

struct group_at {
    uint64_t start, commit_at, end;
    struct bp_commit c;
};

/* A group ends where a commit block says that it started here. */
static bool find_group(const struct rewriting *w, uint64_t start, struct group_at *ret) {
    static const char magic[8] = { 'B', 'P', 'C', 'O', 'M', 'M', 'I', 'T' };
    uint64_t from = start;

    while (from < w->n) {
        const uint8_t *hit = memmem(w->p + from, w->n - from, magic, sizeof magic);
        uint64_t at;

        if (!hit)
            return false;
        at = (uint64_t) (hit - w->p);
        if (bp_commit_decode(hit, w->n - at, &ret->c) == 0 && ret->c.start == start &&
            ret->c.len == at - start) {
            ret->start = start;
            ret->commit_at = at;
            ret->end = BP_ALIGN(at + BP_COMMIT_BYTES + ret->c.runs_bytes, (uint64_t) BP_BLOCK);
            return ret->end <= w->n;
        }
        from = at + 1;
    }
    return false;
}

static int append(struct rewriting *w, const void *p, size_t n) {
    int r = w->io->pwrite(w->io->ctx, w->fd, p, n, w->at);

    if (r >= 0)
        w->at += n;
    return r;
}

/* Is the definition at hand the one the writers announced? Without an announced hash it is
 * believed. */
static bool hash_fits(const struct rewriting *w, uint16_t schema, const char *type) {
    char hash[72];

    if (bp_typedb_hash(type, hash, NULL) < 0)
        return true;
    for (uint32_t i = 1; i < w->defs.nchannels; i++) {
        const struct bp_def_record *d = &w->defs.channels[i];
        struct bp_cur cur = bp_cur_of(d->p, d->p ? d->n : 0);
        struct bp_mcap_record rec;
        struct bp_mcap_channel c;
        struct bp_str told;

        if (bp_mcap_next(&cur, &rec) <= 0 || bp_mcap_channel(&rec, &c) < 0 || c.schema_id != schema)
            continue;
        told = bp_mcap_map_get(c.metadata, "topic_type_hash");
        if (told.n && !bp_str_eq(told, bp_str_of(hash)))
            return false;
    }
    return true;
}

/* The schema with its definition, when it has none and somebody knows it now. */
static bool put_completed(struct rewriting *w, const struct bp_mcap_record *rec, struct bp_buf *b) {
    struct bp_mcap_schema s;
    BP_AUTO_BUF text = { 0 };
    char type[300];
    size_t at;

    if (rec->op != BP_MCAP_SCHEMA || bp_mcap_schema(rec, &s) < 0 || s.data.n > 0 ||
        s.name.n >= sizeof type)
        return false;
    (void) snprintf(type, sizeof type, "%.*s", (int) s.name.n, s.name.p);
    if (!hash_fits(w, s.id, type) || bp_typedb_text(type, &text, NULL) < 0)
        return false;

    at = bp_rec_begin(b, BP_MCAP_SCHEMA);
    bp_buf_put_le16(b, s.id);
    bp_put_text(b, s.name.p, s.name.n);
    bp_put_cstr(b, "ros2msg");
    bp_put_text(b, text.p, text.n);
    bp_rec_end(b, at);
    w->completed++;
    return true;
}

/* Content of a Metadata record without what lies behind its fields. */
static size_t metadata_bytes(const struct bp_mcap_record *rec) {
    struct bp_mcap_metadata md;

    if (rec->op != BP_MCAP_METADATA || bp_mcap_metadata(rec, &md) < 0)
        return (size_t) rec->n;
    return 4 + md.name.n + 4 + (size_t) (md.map.at.end - md.map.at.p);
}

/* Rebuilds a group of definitions. @return false when nothing in it changed */
static bool rebuild(struct rewriting *w, const struct group_at *g, struct bp_buf *b) {
    uint64_t head = g->start == 0 ? BP_MCAP_MAGIC_LEN : 0;
    struct bp_cur c = bp_cur_of(w->p + g->start + head, (size_t) (g->end - g->start - head));
    uint32_t before = w->completed;
    struct bp_mcap_record rec;
    size_t last = 0;

    bp_buf_put(b, w->p + g->start, (size_t) head);
    while (c.p < w->p + g->commit_at && bp_mcap_next(&c, &rec) > 0) {
        last = b->n;
        if (put_completed(w, &rec, b))
            continue;
        (void) bp_rec_begin(b, (enum bp_mcap_op) rec.op);
        bp_buf_put(b, rec.p, metadata_bytes(&rec));
        bp_rec_end(b, last);
    }
    if (w->completed == before)
        return false;
    bp_group_seal(b, last, g->c.session, w->at, NULL, 0);
    return true;
}

static int copy_group(struct rewriting *w, const struct group_at *g) {
    uint8_t commit[BP_COMMIT_BYTES];
    BP_AUTO_BUF b = { 0 };
    struct bp_commit c = g->c;
    uint64_t from = w->at;
    int r;

    if (g->c.lane == BP_LANE_NONE && g->c.runs_bytes == 0 && rebuild(w, g, &b))
        return b.failed ? -ENOMEM : append(w, b.p, b.n);

    r = append(w, w->p + g->start, (size_t) (g->end - g->start));
    if (r < 0)
        return r;
    c.start = from;
    bp_commit_encode(commit, &c);
    return w->io->pwrite(w->io->ctx, w->fd, commit, sizeof commit, from + g->c.len);
}

static int copy_groups(struct rewriting *w) {
    struct group_at g = { 0 };

    for (uint64_t at = 0; find_group(w, at, &g); at = g.end) {
        int r = copy_group(w, &g);

        if (r < 0)
            return r;
    }
    return w->at ? w->io->sync(w->io->ctx, w->fd) : BP_EFORMAT;
}

/* Index, ledger and footer of the new file. @return messages in it, or a negative code */
static int64_t end_file(const struct bp_io *io, const char *tmp, struct bp_error *err) {
    struct bp_defs defs = { 0 };
    struct bp_walk w = { 0 };
    int64_t messages = 0;
    int r = bp_walk(io, tmp, NULL, &defs, &w, err);

    if (r >= 0 && (!w.s || w.bad_at))
        r = bp_fail(err, BP_ECORRUPT, "'%s' did not come out whole", tmp);
    if (r >= 0) {
        messages = (int64_t) w.messages;
        r = bp_segment_finish(w.s, err);
    }
    bp_walk_done(&w);
    bp_defs_done(&defs);
    return r < 0 ? r : messages;
}

static int read_definitions(struct rewriting *w, const char *path, struct bp_error *err) {
    struct bp_walk old = { 0 };
    int r = bp_walk(w->io, path, NULL, &w->defs, &old, err);

    bp_walk_done(&old);
    return r;
}

/* What swaps must hold as many messages as what is swapped out. */
static int swap_in(const struct bp_io *io, const char *path, const char *tmp, bool discard,
                   struct bp_error *err) {
    struct bp_defs defs = { 0 };
    struct bp_walk old = { 0 };
    int64_t now = end_file(io, tmp, err);
    int r = now < 0 ? (int) now : bp_walk(io, path, NULL, &defs, &old, err);

    if (r >= 0 && (uint64_t) now != old.messages)
        r = bp_fail(err, BP_ECORRUPT, "'%s': %llu messages went in, %lld came out", path,
                    (unsigned long long) old.messages, (long long) now);
    bp_walk_done(&old);
    bp_defs_done(&defs);
    if (r >= 0 && !discard)
        r = bp_recover_set_aside(io, path, err);
    if (r >= 0)
        r = io->rename(io->ctx, tmp, path);
    return r;
}

/* @return 1 when the file was changed, 0 when nothing is missing in it or nobody knows it */
static int complete_file(const char *path, const struct bp_recover_opts *o, const struct bp_io *io,
                         uint32_t *ret_types, struct bp_error *err) {
    struct rewriting w = { .io = io, .fd = -1 };
    BP_AUTO_FD int in = open(path, O_RDONLY | O_CLOEXEC);
    char tmp[4500];
    struct stat st;
    void *map;
    int r;

    if (in < 0 || fstat(in, &st) < 0)
        return bp_fail(err, -errno, "cannot open '%s': %s", path, bp_strerror(-errno));
    if (st.st_size == 0)
        return 0;
    r = read_definitions(&w, path, err);
    if (r < 0)
        return r;
    map = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, in, 0);
    if (map == MAP_FAILED) {
        bp_defs_done(&w.defs);
        return bp_fail(err, -errno, "cannot map '%s': %s", path, bp_strerror(-errno));
    }
    w.p = map;
    w.n = (uint64_t) st.st_size;

    (void) snprintf(tmp, sizeof tmp, "%s.completing", path);
    w.fd = io->open(io->ctx, tmp, O_RDWR | O_CREAT | O_TRUNC, 0644);
    r = w.fd < 0 ? w.fd : copy_groups(&w);
    if (w.fd >= 0)
        (void) io->close(io->ctx, w.fd);
    (void) munmap(map, (size_t) st.st_size);
    if (r < 0)
        (void) bp_fail(err, r, "cannot write '%s': %s", tmp, bp_strerror(r));
    else if (w.completed)
        r = swap_in(io, path, tmp, o->discard, err);
    if (r < 0 || !w.completed)
        (void) io->unlink(io->ctx, tmp);
    bp_defs_done(&w.defs);
    *ret_types += w.completed;
    return r < 0 ? r : w.completed > 0;
}

static int describe_folder(const char *dir, const struct bp_recover_opts *o,
                           struct bp_recovery *ret, struct bp_error *err) {
    const struct bp_io *io = o->io ? o->io : &bp_io_posix;
    struct bp_folder f = { 0 };
    int r = bp_folder_load(&f, io, dir, err);

    if (r >= 0)
        r = bp_recover_sign_with(&f, o, ret, err);

    if (r >= 0)
        r = bp_folder_write_metadata(&f, io, err);
    if (r >= 0)
        r = bp_folder_hash(&f, io, NULL, NULL, err);
    if (r >= 0)
        r = bp_folder_write_manifest(&f, io, err);
    bp_folder_done(&f);
    return r;
}

int bp_complete_definitions(const char *dir, const struct bp_recover_opts *o,
                            struct bp_recovery *ret, struct bp_error *err) {
    const struct bp_io *io = o->io ? o->io : &bp_io_posix;
    struct bp_session_files files = { 0 };
    uint32_t types = 0;
    int r = bp_session_list(dir, &files, err), changed = 0;

    for (size_t i = 0; r >= 0 && i < files.n; i++) {
        char path[1400];

        bp_session_path(dir, &files, i, path, sizeof path);
        r = complete_file(path, o, io, &types, err);
        changed += r > 0;
    }
    free(files.numbers);
    if (r >= 0 && changed)
        r = describe_folder(dir, o, ret, err);
    if (r < 0)
        return r;
    if (changed)
        bp_recover_note(ret, "%u definitions added in %d files", types, changed);
    return changed;
}
