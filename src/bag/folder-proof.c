/* The folder's signature. A digest that was signed once is never made again from the file: else
 * whoever changed it between a crash and the recovery would get a signature for his change. */
#include <errno.h>
#include <inttypes.h>

#include "bag/folder-priv.h"

int bp_folder_make_proof(const struct bp_folder *f, struct bp_proof *ret) {
    BP_AUTO_PROOF p = { .time_ns = bp_wall_ns(), .from = f->gone };
    int r = 0;

    memcpy(p.session, f->id, sizeof p.session);
    memcpy(p.before, f->gone_chain, sizeof p.before);
    for (size_t i = 0; i < f->nfiles && r == 0 && f->files[i].sha256[0]; i++) {
        uint8_t sha256[BP_SHA256_LEN];

        r = bp_key_digits(bp_str_of(f->files[i].sha256), sha256, sizeof sha256);
        if (r == 0)
            r = bp_proof_add(&p, f->files[i].file, f->files[i].bytes, sha256);
    }
    if (r < 0)
        return r;
    *ret = p;
    p = (struct bp_proof){ 0 };
    return 0;
}

void bp_folder_pass(struct bp_folder *f) {
    uint8_t sha256[BP_SHA256_LEN];

    if (bp_key_digits(bp_str_of(f->files[0].sha256), sha256, sizeof sha256) < 0)
        memset(sha256, 0, sizeof sha256); /* not hashed, and nobody can check it any more */
    bp_proof_link(f->id, f->gone_chain, f->gone++, f->files[0].file, f->files[0].bytes, sha256,
                  f->gone_chain);
}

int bp_folder_prove(struct bp_folder *f, const struct bp_io *io, const uint8_t *manifest,
                    struct bp_error *err) {
    BP_AUTO_PROOF p = { 0 };
    int r;

    if (!f->signer)
        return 0;
    r = bp_folder_make_proof(f, &p);
    if (r < 0)
        return bp_fail(err, r, "cannot sign '%s': %s", f->dir, bp_strerror(r));
    p.closed = manifest != NULL;
    if (manifest)
        memcpy(p.manifest, manifest, sizeof p.manifest);
    return bp_proof_write(io, f->dir, &p, f->signer, err);
}

static struct bp_folder_file *file_named(struct bp_folder *f, const char *name) {
    for (size_t i = 0; i < f->nfiles; i++)
        if (bp_streq(f->files[i].file, name))
            return &f->files[i];
    return NULL;
}

static void take_digests(struct bp_folder *f, const struct bp_proof *p, struct bp_buf *notes) {
    char hex[BP_SHA256_HEX];

    for (size_t i = 0; i < p->n; i++) {
        const struct bp_proof_segment *s = &p->v[i];
        struct bp_folder_file *v = file_named(f, s->file);

        if (v && v->rewritten && v->bytes == s->bytes)
            continue; /* ended with its key, which takes as many bytes as without */
        if (v && v->bytes == s->bytes)
            (void) bp_sha256_hex(s->sha256, v->sha256);
        else if (v)
            bp_buf_printf(notes,
                          "segment '%s' is not as it was signed: %" PRIu64 " bytes then, %" PRIu64
                          " now, SHA-256 was %s\n",
                          s->file, s->bytes, v->bytes, bp_sha256_hex(s->sha256, hex));
        else
            bp_buf_printf(notes,
                          "segment '%s' was signed and is missing: %" PRIu64
                          " bytes, SHA-256 was %s\n",
                          s->file, s->bytes, bp_sha256_hex(s->sha256, hex));
    }
}

int bp_folder_sign_with(struct bp_folder *f, const struct bp_io *io, const struct bp_sign_key *key,
                        struct bp_buf *notes, struct bp_error *err) {
    BP_AUTO_PROOF p = { 0 };
    struct bp_error why = { 0 };
    int r;

    f->signer = NULL;
    r = key ? bp_proof_read(io, f->dir, &p, &why) : -ENOENT;
    if (r == -ENOENT)
        return 0;
    if (r == -ENOMEM)
        return bp_fail(err, r, "%s", why.text);
    if (r == 0 && f->nfiles == 0 && !f->past.id) /* nothing else tells its id */
        memcpy(f->id, p.session, sizeof f->id);
    if (r < 0)
        bp_buf_printf(notes, "not signed any more: " BP_PROOF_FILE ": %s\n", why.text);
    else if (!bp_streq(p.session, f->id))
        bp_buf_printf(notes, "not signed any more: " BP_PROOF_FILE " is of another session (%s)\n",
                      p.session);
    else if (memcmp(p.key, bp_sign_key_public(key), sizeof p.key) != 0)
        bp_buf_printf(notes, "not signed any more: it was signed with another key\n");
    else
        f->signer = key;
    if (f->signer) {
        f->gone = p.from;
        memcpy(f->gone_chain, p.before, sizeof f->gone_chain);
        for (size_t i = 0; i < f->nfiles; i++)
            f->files[i].sha256[0] = 0; /* a manifest that lies on the disk proves nothing */
        take_digests(f, &p, notes);
    }
    return notes->failed ? bp_fail(err, -ENOMEM, "out of memory") : 0;
}
