/* A folder against what the device has signed (proof.h). First the signature itself, because
 * nothing it says counts when it does not hold; then manifest.json; then each segment, and what is
 * there beside them. Each finding names the file, and what was done to it as far as the digests
 * tell: changed, cut, missing, added, renamed. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "bag/manifest.h"
#include "bag/proof.h"
#include "bag/verify-priv.h"

struct check {
    struct verify *v;
    const struct verify_folder *d;
    const struct bp_proof *p;
    bool broken;
};

BP_PRINTF(3, 4)
static void broken(struct check *c, const char *path, const char *fmt, ...) {
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    (void) vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->broken = true;
    verify_unproven(c->v, path, text);
}

static const char *base_of(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* The file of that name in the folder itself: metadata.yaml may name others elsewhere. */
static struct verify_file *file_of(const struct verify_folder *d, const char *name) {
    size_t n = strlen(d->path);

    for (size_t i = 0; i < d->nfiles; i++) {
        const char *path = d->files[i].path;

        if (strncmp(path, d->path, n) == 0 && path[n] == '/' && bp_streq(path + n + 1, name))
            return &d->files[i];
    }
    return NULL;
}

static bool has_digest(const struct verify_file *f, const uint8_t sha256[BP_SHA256_LEN]) {
    char hex[BP_SHA256_HEX];

    return f->sha256[0] && bp_streq(f->sha256, bp_sha256_hex(sha256, hex));
}

/* The signed segment that the file is by its content, or NULL. */
static const struct bp_proof_segment *signed_as(const struct bp_proof *p,
                                                const struct verify_file *f) {
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i].bytes == f->bytes && has_digest(f, p->v[i].sha256))
            return &p->v[i];
    return NULL;
}

/* ---- manifest.json ---- */

static const struct bp_manifest_segment *listed(const struct bp_manifest *m, const char *file) {
    for (size_t i = 0; i < m->nsegments; i++)
        if (bp_streq(m->segments[i].file, file))
            return &m->segments[i];
    return NULL;
}

static const struct bp_proof_segment *in_proof(const struct bp_proof *p, const char *file) {
    for (size_t i = 0; i < p->n; i++)
        if (bp_streq(p->v[i].file, file))
            return &p->v[i];
    return NULL;
}

/* It was edited: where? @return number of places told */
static unsigned tell_edits(struct check *c, const char *path) {
    const struct bp_manifest *m = c->d->manifest;
    unsigned told = 0;

    for (size_t i = 0; i < c->p->n; i++) {
        const struct bp_proof_segment *s = &c->p->v[i];
        const struct bp_manifest_segment *e = listed(m, s->file);
        char hex[BP_SHA256_HEX];

        if (!e)
            broken(c, path, "changed after it was signed: segment '%s' was taken out of it",
                   s->file);
        else if (e->bytes != s->bytes || !bp_streq(e->sha256, bp_sha256_hex(s->sha256, hex)))
            broken(c, path, "changed after it was signed: size or SHA-256 of segment '%s'",
                   s->file);
        else if (i >= m->nsegments || !bp_streq(m->segments[i].file, s->file))
            broken(c, path, "changed after it was signed: segment '%s' is at another place",
                   s->file);
        else
            continue;
        told++;
    }
    for (size_t i = 0; i < m->nsegments; i++)
        if (!in_proof(c->p, m->segments[i].file)) {
            broken(c, path, "changed after it was signed: segment '%s' was put into it",
                   m->segments[i].file);
            told++;
        }
    return told;
}

static void check_manifest(struct check *c) {
    BP_AUTO_FREE char *text = NULL;
    uint8_t sha256[BP_SHA256_LEN];
    struct bp_error err = { 0 };
    char path[4096];
    size_t n;

    if (!c->p->closed)
        return;
    (void) snprintf(path, sizeof path, "%s/" BP_MANIFEST_FILE, c->d->path);
    if (!c->d->has_manifest_file) {
        broken(c, path, "missing, and it was signed");
        return;
    }
    if (bp_io_read_file(&bp_io_posix, path, BP_MANIFEST_BYTES_MAX, &text, &n, &err) < 0) {
        broken(c, path, "cannot be compared with what was signed: %s", err.text);
        return;
    }
    bp_sha256_of(text, n, sha256);
    if (memcmp(sha256, c->p->manifest, sizeof sha256) == 0)
        return;
    if (!c->d->manifest)
        broken(c, path, "changed after it was signed, and it cannot be read");
    else if (tell_edits(c, path) == 0)
        broken(c, path,
               "changed after it was signed: its list of segments is as signed, something else "
               "(counts, times, recoveries) is not");
}

/* ---- segments ---- */

static void check_segment(struct check *c, size_t i) {
    const struct bp_proof_segment *s = &c->p->v[i], *other;
    struct verify_file *f = file_of(c->d, s->file);
    unsigned long long no = c->p->from + i;

    if (f)
        f->proven = true;
    if (!f) {
        for (size_t k = 0; k < c->d->nfiles; k++)
            if (!c->d->files[k].proven && !in_proof(c->p, base_of(c->d->files[k].path)) &&
                has_digest(&c->d->files[k], s->sha256)) {
                c->d->files[k].proven = true;
                broken(c, c->d->files[k].path, "was renamed: it was signed as segment %llu, '%s'",
                       no, s->file);
                return;
            }
        broken(c, c->d->path, "segment %llu, '%s', was signed and is missing", no, s->file);
        return;
    }
    if (has_digest(f, s->sha256))
        return;
    other = signed_as(c->p, f);
    if (other)
        broken(c, f->path, "exchanged: it holds what was signed as '%s'", other->file);
    else if (f->bytes < s->bytes)
        broken(c, f->path, "cut short: %llu bytes of the %llu that were signed",
               (unsigned long long) f->bytes, (unsigned long long) s->bytes);
    else if (f->bytes > s->bytes)
        broken(c, f->path, "something was appended: %llu bytes, %llu were signed",
               (unsigned long long) f->bytes, (unsigned long long) s->bytes);
    else if (!f->sha256[0])
        broken(c, f->path, "cannot be compared with what was signed");
    else
        broken(c, f->path, "changed after it was signed: another SHA-256");
}

static void check_others(struct check *c) {
    for (size_t i = 0; i < c->d->nfiles; i++) {
        const struct verify_file *f = &c->d->files[i];

        if (f->proven)
            continue;
        if (c->p->closed)
            broken(c, f->path, "added: of the segments that were signed, %zu in all, it is none",
                   c->p->n);
        else if (!c->d->interrupted)
            broken(c, f->path,
                   "not signed: the recording was interrupted and completed without the key");
        else /* it may still be written */
            verify_finding(c->v, BP_FINDING_NOTE, f->path, false, 0, "not signed yet", NULL);
    }
}

/* ---- together ---- */

static void conclude(struct verify *v, enum bp_proof_state state, const uint8_t *key) {
    char text[BP_PUBLIC_KEY_TEXT];
    bool first = v->ret->proof == BP_PROOF_NONE;

    v->ret->proof = BP_MAX(v->ret->proof, state);
    if (key && (first || bp_streq(v->ret->key, bp_public_key_text(key, text))))
        (void) snprintf(v->ret->key, sizeof v->ret->key, "%s", bp_public_key_text(key, text));
    else
        v->ret->key[0] = 0;
}

/* No manifest.sig. @return the state */
static enum bp_proof_state unsigned_folder(struct check *c) {
    const struct bp_manifest *m = c->d->manifest;

    if (m && *m->signed_by) {
        broken(c, c->d->path, BP_PROOF_FILE " is missing: the manifest says that %s signed it",
               m->signed_by);
        return BP_PROOF_BROKEN;
    }
    if (c->v->o->signed_by)
        verify_unproven(c->v, c->d->path, "unsigned: nothing tells who recorded it");
    return BP_PROOF_UNSIGNED;
}

static void check_all(struct check *c) {
    const struct bp_manifest *m = c->d->manifest;
    char path[4096];

    (void) snprintf(path, sizeof path, "%s/" BP_PROOF_FILE, c->d->path);
    if (m && !bp_streq(m->id, c->p->session)) {
        broken(c, path, "is the signature of another session (%s), this one is %s", c->p->session,
               m->id);
        return;
    }
    check_manifest(c);
    for (size_t i = 0; i < c->p->n; i++)
        check_segment(c, i);
    check_others(c);
    if (!c->p->closed && !c->d->interrupted && !c->broken)
        broken(
            c, path,
            "is from before the end: the recording was completed without the key (the manifest's "
            "recoveries may tell why)");
}

void verify_proof(struct verify *v, const struct verify_folder *d, const struct bp_proof *p, int r,
                  const char *why) {
    struct check c = { .v = v, .d = d, .p = p };
    char path[4096], is[BP_PUBLIC_KEY_TEXT], want[BP_PUBLIC_KEY_TEXT];
    const uint8_t *key = v->o->signed_by;

    if (r == -ENOENT) {
        conclude(v, unsigned_folder(&c), NULL);
        return;
    }
    (void) snprintf(path, sizeof path, "%s/" BP_PROOF_FILE, d->path);
    if (r < 0) {
        broken(&c, path, "%s", why);
        conclude(v, BP_PROOF_BROKEN, NULL);
        return;
    }
    check_all(&c);
    if (key && memcmp(key, p->key, BP_PUBLIC_KEY_LEN) != 0) {
        char text[300];

        (void) snprintf(text, sizeof text, "signed by %s, not by %s",
                        bp_public_key_text(p->key, is), bp_public_key_text(key, want));
        verify_unproven(v, path, text);
        conclude(v, c.broken ? BP_PROOF_BROKEN : BP_PROOF_OTHER, p->key);
        return;
    }
    conclude(v, c.broken ? BP_PROOF_BROKEN : BP_PROOF_SIGNED, p->key);
}
