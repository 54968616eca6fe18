#include <errno.h>
#include <stdio.h>

#include "bag/manifest.h"
#include "bag/metadata.h"
#include "bag/paths.h"
#include "bag/proof.h"
#include "bag/sealed-file.h"
#include "bag/session.h"

/* Sealing a session that is finished: first every new file, whole and synced; then the two files
 * that name them; last the old ones go. What is found half done is done again. */

struct change {
    const struct bp_seal_opts *o;
    struct bp_seal_opts each; /* progress over all files */
    bool seal;
    const char *dir;
    struct bp_metadata meta;
    struct bp_manifest manifest;
    bool has_meta, has_manifest;
    uint64_t done, total; /* files */
};

static bool ends_in(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);

    return n > k && memcmp(s + n - k, end, k) == 0;
}

static bool is_source(const struct change *c, const char *path) {
    return ends_in(path, c->seal ? ".mcap" : ".mcap" BP_SEALED_SUFFIX);
}

/* What a file is called afterwards. */
static void other_name(const struct change *c, const char *name, char *ret, size_t cap) {
    if (c->seal)
        (void) snprintf(ret, cap, "%s%s", name, BP_SEALED_SUFFIX);
    else
        (void) snprintf(ret, cap, "%.*s", (int) (strlen(name) - strlen(BP_SEALED_SUFFIX)), name);
}

static int on_progress(void *ctx, uint64_t done, uint64_t total) {
    struct change *c = ctx;

    return c->o->progress(c->o->ctx, 1000 * c->done + (total ? 1000 * done / total : 0),
                          1000 * c->total);
}

static int rename_text(char **text, const char *to) {
    char *copy = strdup(to);

    if (!copy)
        return -ENOMEM;
    free(*text);
    *text = copy;
    return 0;
}

/* In metadata.yaml and manifest: name, size and digest of the new file. */
static int tell(struct change *c, const char *from, const char *to, struct bp_error *err) {
    const char *was = strrchr(from, '/') + 1, *is = strrchr(to, '/') + 1;
    uint64_t bytes = 0;
    char hex[65] = "";
    int r = bp_manifest_hash_file(c->o->io, to, &bytes, hex, NULL, NULL, err);

    for (size_t i = 0; i < c->meta.npaths && r >= 0; i++)
        if (bp_streq(c->meta.paths[i], was))
            r = rename_text(&c->meta.paths[i], is);
    for (size_t i = 0; i < c->meta.nfiles && r >= 0; i++)
        if (bp_streq(c->meta.files[i].path, was))
            r = rename_text(&c->meta.files[i].path, is);
    for (size_t i = 0; i < c->manifest.nsegments && r >= 0; i++) {
        struct bp_manifest_segment *s = &c->manifest.segments[i];

        if (!bp_streq(s->file, was))
            continue;
        r = rename_text(&s->file, is);
        s->bytes = bytes;
        memcpy(s->sha256, hex, sizeof hex);
    }
    return r;
}

static int change_file(struct change *c, const char *from, struct bp_error *err) {
    char to[4200];
    int r;

    other_name(c, from, to, sizeof to);
    r = c->o->io->unlink(c->o->io->ctx, to); /* of an attempt that was interrupted */
    if (r < 0 && r != -ENOENT)
        return bp_fail(err, r, "cannot replace '%s': %s", to, bp_strerror(r));
    r = (c->seal ? bp_seal_file : bp_unseal_file)(&c->each, from, to, err);
    return r < 0 ? r : tell(c, from, to, err);
}

static int load(struct change *c, struct bp_error *err) {
    int r = bp_metadata_read(c->o->io, c->dir, &c->meta, err);

    c->has_meta = r >= 0;
    if (r < 0 && r != -ENOENT)
        return r;
    r = bp_manifest_read(c->o->io, c->dir, &c->manifest, err);
    c->has_manifest = r >= 0;
    if (r < 0 && r != -ENOENT)
        return r;
    c->each.session = c->manifest.id;
    return 0;
}

/* The device signed the files as they were. Nobody here can sign for it; what it signed is kept. */
static int set_proof_aside(struct change *c, struct bp_error *err) {
    char from[4200], to[4200];
    int r;

    (void) snprintf(from, sizeof from, "%s/%s", c->dir, BP_PROOF_FILE);
    (void) snprintf(to, sizeof to, "%s/%s.old", c->dir, BP_PROOF_FILE);
    r = c->o->io->rename(c->o->io->ctx, from, to);
    if (c->manifest.signed_by)
        c->manifest.signed_by[0] = 0;
    for (size_t i = 0; i < c->manifest.nsegments; i++)
        memset(c->manifest.segments[i].chain, 0, sizeof c->manifest.segments[i].chain);
    return r < 0 && r != -ENOENT ? bp_fail(err, r, "cannot rename '%s': %s", from, bp_strerror(r))
                                 : 0;
}

static int change_all(struct change *c, const struct bp_paths *p, struct bp_error *err) {
    const struct bp_io *io = c->o->io;
    int r = load(c, err);

    for (size_t i = 0; i < p->n && r >= 0; i++)
        if (is_source(c, p->files[i])) {
            r = change_file(c, p->files[i], err);
            c->done++;
        }
    if (r >= 0)
        r = set_proof_aside(c, err);
    if (r >= 0 && c->has_meta)
        r = bp_metadata_write(io, c->dir, &c->meta, err);
    if (r >= 0 && c->has_manifest)
        r = bp_manifest_write(io, c->dir, &c->manifest, NULL, err);
    for (size_t i = 0; i < p->n && r >= 0; i++)
        if (is_source(c, p->files[i])) {
            r = io->unlink(io->ctx, p->files[i]);
            if (r < 0)
                (void) bp_fail(err, r, "cannot remove '%s': %s", p->files[i], bp_strerror(r));
        }
    return r >= 0 ? io->sync_dir(io->ctx, c->dir) : r;
}

int bp_seal_session(const struct bp_seal_opts *o, bool seal, const char *dir,
                    struct bp_error *err) {
    BP_CLEANUP(bp_paths_done) struct bp_paths p = { 0 };
    struct change c = { .o = o, .each = *o, .seal = seal, .dir = dir };
    BP_AUTO_FD int lock = bp_session_lock(dir, err);
    int r;

    if (lock < 0)
        return lock;
    r = bp_session_state(o->io, dir, err);
    if (r == BP_SESSION_INTERRUPTED)
        r = bp_fail(err, BP_EBUSY, "'%s' was interrupted: 'bagpipe recover' first", dir);
    if (r >= 0)
        r = bp_paths_add(&p, dir, err);
    for (size_t i = 0; i < p.n && r >= 0; i++)
        c.total += is_source(&c, p.files[i]);
    if (o->progress) {
        c.each.progress = on_progress;
        c.each.ctx = &c;
    }
    if (r >= 0)
        r = change_all(&c, &p, err);
    bp_metadata_done(&c.meta);
    bp_manifest_done(&c.manifest);
    return BP_MIN(r, 0);
}
