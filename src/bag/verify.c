/* Verifying a recording: each file against itself (verify-mcap.c, verify-sqlite.c), then the
 * folder: metadata.yaml, manifest.json and ledger against what the files turned out to hold. */
#include "bag/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bag/manifest.h"
#include "bag/paths.h"
#include "bag/proof.h"
#include "bag/reader.h"
#include "bag/temp.h"
#include "bag/verify-priv.h"

static const char recover[] = "`bagpipe recover` puts it right";

void verify_finding(struct verify *v, enum bp_finding_level level, const char *path, bool at_byte,
                    uint64_t offset, const char *text, const char *remedy) {
    struct bp_finding f = {
        .level = level,
        .path = path,
        .at_byte = at_byte,
        .offset = offset,
        .text = text,
        .remedy = remedy,
    };

    v->ret->findings[level]++;
    if (v->o->finding)
        v->o->finding(v->o->ctx, &f);
}

void verify_unproven(struct verify *v, const char *path, const char *text) {
    struct bp_finding f = {
        .level = BP_FINDING_DAMAGE,
        .proof = true,
        .path = path,
        .text = text,
    };

    v->ret->unproven++;
    if (v->o->finding)
        v->o->finding(v->o->ctx, &f);
}

void verify_progress(struct verify *v, uint64_t bytes) {
    v->done += bytes;
    if (v->o->progress && v->o->progress(v->o->ctx, v->done, v->total) != 0)
        atomic_store(&v->cancelled, true);
}

void verify_file_done(struct verify_file *f) {
    for (size_t i = 0; i < f->ntopics; i++) {
        free(f->topics[i].topic);
        free(f->topics[i].type);
    }
    free(f->topics);
    bp_ledger_done(&f->ledger);
    *f = (struct verify_file){ 0 };
}

int verify_file_count(struct verify_file *f, const char *topic, const char *type, uint64_t messages,
                      uint64_t repeated) {
    struct verify_topic *v, t = { .messages = messages, .repeated = repeated };

    for (size_t i = 0; i < f->ntopics; i++)
        if (bp_streq(f->topics[i].topic, topic) && bp_streq(f->topics[i].type, type)) {
            f->topics[i].messages += messages;
            f->topics[i].repeated += repeated;
            return 0;
        }
    v = reallocarray(f->topics, f->ntopics + 1, sizeof *v);
    if (!v)
        return -ENOMEM;
    f->topics = v;
    t.topic = strdup(topic);
    t.type = strdup(type);
    if (!t.topic || !t.type) {
        free(t.topic);
        free(t.type);
        return -ENOMEM;
    }
    v[f->ntopics++] = t;
    return 0;
}

/* ---- one folder ---- */

struct folder {
    struct verify *v;
    const char *path;          /* NULL: files given alone */
    struct verify_file *files; /* owned */
    size_t nfiles;
    struct bp_metadata meta;
    struct bp_manifest manifest;
    struct bp_proof proof;
    int proof_r; /* of bp_proof_read() */
    char proof_why[300];
    bool has_meta, has_manifest, has_manifest_file, damaged, interrupted;
    bool blind; /* a file in it is sealed and stays so */
};

BP_PRINTF(4, 5)
static void say(struct folder *d, enum bp_finding_level level, const char *path, const char *fmt,
                ...) {
    char text[300];
    va_list ap;

    va_start(ap, fmt);
    (void) vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    verify_finding(d->v, level, path, false, 0, text, level == BP_FINDING_NOTE ? NULL : recover);
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static struct verify_file *file_named(struct folder *d, const char *name) {
    for (size_t i = 0; i < d->nfiles; i++)
        if (bp_streq(base_name(d->files[i].path), base_name(name)))
            return &d->files[i];
    return NULL;
}

/* What the recorder leaves behind only when it could not finish. */
static void check_interrupted(struct folder *d) {
    static const char *const names[] = { "journal", "ring" };
    char path[4096];
    struct stat st;

    for (size_t i = 0; i < BP_COUNT(names); i++)
        if (snprintf(path, sizeof path, "%s/%s", d->path, names[i]) < (int) sizeof path &&
            stat(path, &st) == 0) {
            d->interrupted = true;
            say(d, BP_FINDING_DAMAGE, d->path,
                "the recording was interrupted, or is still being made: '%s' is there", names[i]);
        }
}

static void load_folder(struct folder *d) {
    struct bp_error err = { 0 };
    int r;

    check_interrupted(d);
    r = bp_metadata_read(&bp_io_posix, d->path, &d->meta, &err);
    d->has_meta = r >= 0;
    if (r == -ENOENT)
        say(d, BP_FINDING_NOTE, d->path, "there is no metadata.yaml: ros2 bag cannot open it");
    else if (r < 0)
        say(d, BP_FINDING_DAMAGE, d->path, "%s", err.text);
    r = bp_manifest_read(&bp_io_posix, d->path, &d->manifest, &err);
    d->has_manifest = r >= 0;
    d->has_manifest_file = r != -ENOENT;
    if (r < 0 && r != -ENOENT)
        say(d, BP_FINDING_DAMAGE, d->path, "%s", err.text);
    d->proof_r = bp_proof_read(&bp_io_posix, d->path, &d->proof, &err);
    if (d->proof_r < 0)
        (void) snprintf(d->proof_why, sizeof d->proof_why, "%s", err.text);
}

/* A recovery that had no key could tell neither log times nor which messages are repeated ones. */
static bool made_blind(const struct bp_manifest_segment *s) {
    return s->messages > 0 && s->first_ns == 0 && s->last_ns == 0 && s->repeated == 0;
}

/* A file's own faults were told; what is compared with it would only repeat them. */
static void check_against_manifest(struct folder *d) {
    const struct bp_manifest *m = &d->manifest;

    for (size_t i = 0; i < m->nsegments; i++) {
        const struct bp_manifest_segment *s = &m->segments[i];
        const struct verify_file *f = file_named(d, s->file);

        if (!f) {
            say(d, BP_FINDING_DAMAGE, d->path, "segment '%s' of the manifest is missing", s->file);
            continue;
        }
        if (f->bytes != s->bytes)
            say(d, BP_FINDING_DAMAGE, f->path, "the file has %llu bytes, the manifest says %llu",
                (unsigned long long) f->bytes, (unsigned long long) s->bytes);
        else if (f->sha256[0] && s->sha256[0] && !bp_streq(f->sha256, s->sha256))
            say(d, BP_FINDING_DAMAGE, f->path, "the file does not have the manifest's SHA-256");
        if (f->damaged || f->blind)
            continue;
        if (made_blind(s) && f->messages - f->repeated == s->messages)
            continue;
        if (f->messages != s->messages || f->repeated != s->repeated)
            say(d, BP_FINDING_DAMAGE, f->path,
                "the file holds %llu messages (%llu repeated), the manifest says %llu (%llu)",
                (unsigned long long) f->messages, (unsigned long long) f->repeated,
                (unsigned long long) s->messages, (unsigned long long) s->repeated);
        else if (f->messages > 0 && (f->start_ns != s->first_ns || f->end_ns != s->last_ns))
            say(d, BP_FINDING_DAMAGE, f->path,
                "first or last log time differ from what the manifest says");
    }
    for (size_t i = 0; i < d->nfiles; i++) {
        bool listed = false;

        for (size_t k = 0; k < m->nsegments; k++)
            listed |= bp_streq(base_name(d->files[i].path), m->segments[k].file);
        if (!listed)
            say(d, BP_FINDING_DAMAGE, d->files[i].path, "the manifest does not list this file");
    }
    for (size_t i = 0; i < m->nrecoveries; i++) {
        d->v->ret->recoveries++;
        d->v->ret->lost_in_recovery += m->recoveries[i].lost;
    }
}

static void check_file_entries(struct folder *d) {
    /* rosbag2 itself gets times wrong, at splits and in reindex; counts it does not */
    enum bp_finding_level times = d->has_manifest ? BP_FINDING_DAMAGE : BP_FINDING_NOTE;
    const struct bp_metadata *m = &d->meta;

    for (size_t i = 0; i < m->nfiles; i++) {
        const struct verify_file *f = file_named(d, m->files[i].path);

        for (size_t k = 0; !f && k < m->npaths; k++) { /* "x.db3" for x.db3.zstd */
            size_t n = strlen(m->files[i].path);

            if (strncmp(m->paths[k], m->files[i].path, n) == 0 && m->paths[k][n] == '.')
                f = file_named(d, m->paths[k]);
        }
        if (!f || f->damaged || f->blind)
            continue;
        if (f->messages != m->files[i].messages)
            say(d, BP_FINDING_DAMAGE, f->path,
                "the file holds %llu messages, metadata.yaml says %llu",
                (unsigned long long) f->messages, (unsigned long long) m->files[i].messages);
        else if (f->messages > 0 && (f->start_ns != m->files[i].start_ns ||
                                     f->end_ns - f->start_ns != m->files[i].duration_ns))
            say(d, times, f->path, "start or duration differ from what metadata.yaml says");
    }
}

static uint64_t messages_of(const struct folder *d, const char *topic, const char *type,
                            uint64_t *repeated) {
    uint64_t n = 0;

    *repeated = 0;
    for (size_t i = 0; i < d->nfiles; i++)
        for (size_t k = 0; k < d->files[i].ntopics; k++) {
            const struct verify_topic *t = &d->files[i].topics[k];

            if (!bp_streq(t->topic, topic) || (*t->type && !bp_streq(t->type, type)))
                continue;
            n += t->messages;
            *repeated += t->repeated;
        }
    return n;
}

static void check_against_metadata(struct folder *d) {
    const struct bp_metadata *m = &d->meta;
    bp_ns_t start = INT64_MAX, end = INT64_MIN;
    uint64_t total = 0, repeated;

    for (size_t i = 0; i < m->npaths; i++)
        if (!file_named(d, m->paths[i]))
            say(d, BP_FINDING_DAMAGE, d->path, "file '%s' of metadata.yaml is missing",
                m->paths[i]);
    check_file_entries(d);
    for (size_t i = 0; i < d->nfiles; i++) {
        total += d->files[i].messages;
        if (d->files[i].messages > 0) {
            start = BP_MIN(start, d->files[i].start_ns);
            end = BP_MAX(end, d->files[i].end_ns);
        }
    }
    if (d->damaged || d->blind)
        return;
    if (total != m->messages)
        say(d, BP_FINDING_DAMAGE, d->path, "the files hold %llu messages, metadata.yaml says %llu",
            (unsigned long long) total, (unsigned long long) m->messages);
    else if (total > 0 && (start != m->start_ns || end - start != m->duration_ns))
        say(d, d->has_manifest ? BP_FINDING_DAMAGE : BP_FINDING_NOTE, d->path,
            "start or duration of the files differ from what metadata.yaml says");
    for (size_t i = 0; i < m->ntopics; i++) {
        const struct bp_metadata_topic *t = &m->topics[i];
        uint64_t n = messages_of(d, t->name, t->type, &repeated);

        if (n != t->messages)
            say(d, BP_FINDING_DAMAGE, d->path,
                "the files hold %llu messages of '%s', metadata.yaml says %llu",
                (unsigned long long) n, t->name, (unsigned long long) t->messages);
    }
}

/* Received by the ledger = messages in the files, per topic; repeated ones were not received. */
static void check_ledger(struct folder *d) {
    struct bp_ledger all = { 0 };
    struct bp_ledger_totals sum;
    bool any = false, mended = d->manifest.nrecoveries > 0;

    for (size_t i = 0; i < d->nfiles; i++) {
        any |= d->files[i].has_ledger;
        mended |= d->files[i].recovered;
        (void) bp_ledger_merge(&all, &d->files[i].ledger);
    }
    (void) bp_ledger_settle(&all);
    bp_ledger_totals(&all, &sum);
    d->v->ret->lost += sum.lost_all;
    for (size_t i = 0; any && !d->damaged && !d->blind && i < all.n; i++) {
        uint64_t received = 0, messages = 0, repeated = 0;
        bool first = true;

        for (size_t k = 0; k < all.n; k++) {
            struct bp_ledger_totals t;

            if (!bp_streq(all.v[k]->topic, all.v[i]->topic))
                continue;
            first &= k >= i; /* once per topic */
            bp_ledger_source_totals(all.v[k], &t);
            received += t.received;
        }
        for (size_t k = 0; k < d->nfiles; k++)
            for (size_t j = 0; j < d->files[k].ntopics; j++)
                if (bp_streq(d->files[k].topics[j].topic, all.v[i]->topic)) {
                    messages += d->files[k].topics[j].messages;
                    repeated += d->files[k].topics[j].repeated;
                }
        if (first && mended && received != messages - repeated)
            say(d, BP_FINDING_NOTE, d->path ? d->path : d->files[0].path,
                "%llu messages of '%s' are there of %llu in the ledger: parts were damaged",
                (unsigned long long) (messages - repeated), all.v[i]->topic,
                (unsigned long long) received);
        else if (first && received != messages - repeated)
            say(d, BP_FINDING_DAMAGE, d->path ? d->path : d->files[0].path,
                "the ledger says %llu messages of '%s' were received, the recording holds %llu",
                (unsigned long long) received, all.v[i]->topic,
                (unsigned long long) (messages - repeated));
    }
    bp_ledger_done(&all);
}

/* ---- files ---- */

/* rosbag2's file-wise compression: what is inside is verified. */
static int verify_zstd(struct verify *v, struct verify_file *f, struct bp_error *err) {
    char dir[4000], temp[4096];
    struct bp_error why = { 0 };
    uint64_t bytes = f->bytes;
    int r = bp_temp_dir(dir, sizeof dir, err);

    if (r < 0)
        return r;
    (void) snprintf(temp, sizeof temp, "%s/plain", dir);
    r = bp_temp_unzstd(f->path, temp, &why);
    if (r == BP_ECORRUPT || r == BP_ETRUNCATED) {
        f->damaged = true;
        verify_finding(v, BP_FINDING_UNUSABLE, f->path, false, 0, why.text, NULL);
        r = 0;
    } else if (r < 0) {
        r = bp_fail(err, r, "%s", why.text);
    } else if (strstr(f->path, ".db3")) {
        r = verify_sqlite(v, temp, f, err);
    } else {
        r = verify_mcap(v, temp, false, f, err);
    }
    (void) unlink(temp);
    (void) rmdir(dir);
    f->bytes = bytes;
    return r;
}

static int verify_file(struct verify *v, const char *path, bool want_sha256, struct verify_file *f,
                       struct bp_error *err) {
    static const uint8_t zstd_magic[] = { 0x28, 0xB5, 0x2F, 0xFD };
    uint8_t head[16] = { 0 };
    struct stat st;
    FILE *in = fopen(path, "rbe");
    size_t n = in ? fread(head, 1, sizeof head, in) : 0;

    if (!in || stat(path, &st) < 0) {
        int r = -errno;

        if (in)
            (void) fclose(in);
        return bp_fail(err, r, "cannot open '%s': %s", path, bp_strerror(r));
    }
    (void) fclose(in);
    f->path = path;
    f->bytes = (uint64_t) st.st_size;
    v->ret->files++;
    v->ret->bytes += f->bytes;
    if (n >= 4 && memcmp(head, zstd_magic, 4) == 0)
        return verify_zstd(v, f, err);
    if (n == sizeof head && memcmp(head, "SQLite format 3", 16) == 0)
        return verify_sqlite(v, path, f, err);
    return verify_mcap(v, path, want_sha256, f, err);
}

/* Damage was found: is there anything to save? The reader gets past what is damaged. */
static void count_readable(struct folder *d, struct verify_file *f) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    const char *paths[] = { f->path };
    struct bp_bag_msg m;
    uint64_t n = 0;

    if (bp_bag_open(paths, 1, &b, NULL) >= 0 &&
        bp_bag_iterate(b, &(struct bp_bag_filter){ .file_order = true, .lenient = true }, &it,
                       NULL) >= 0)
        while (!verify_is_cancelled(d->v) && bp_bag_next(it, &m, NULL) > 0)
            if (n++ % 1024 == 0)
                verify_progress(d->v, 0);
    if (n == 0)
        verify_finding(d->v, BP_FINDING_UNUSABLE, f->path, false, 0, "no message can be read",
                       NULL);
    else
        say(d, BP_FINDING_NOTE, f->path, "%llu messages can be read", (unsigned long long) n);
}

static int verify_files(struct folder *d, char *const *paths, const size_t *of, size_t n,
                        size_t which, struct bp_error *err) {
    for (size_t i = 0; i < n; i++) {
        struct verify_file *f = &d->files[d->nfiles];
        bool want_sha256 = false;
        uint64_t before;
        int r;

        if (of[i] != which)
            continue;
        for (size_t k = 0; k < d->manifest.nsegments; k++)
            want_sha256 |= bp_streq(d->manifest.segments[k].file, base_name(paths[i]));
        want_sha256 |= d->proof.session[0] != 0;
        d->nfiles++;
        before = d->v->ret->findings[BP_FINDING_UNUSABLE];
        r = verify_file(d->v, paths[i], want_sha256, f, err);
        verify_progress(d->v, 0);
        if (verify_is_cancelled(d->v)) /* what was found of half a file says nothing */
            return bp_fail(err, -ECANCELED, "cancelled");
        if (r < 0)
            return r;
        d->v->ret->messages += f->messages;
        d->v->ret->repeated += f->repeated;
        d->damaged |= f->damaged;
        d->blind |= f->blind;
        if (f->damaged && !f->blind && !f->no_magic &&
            d->v->ret->findings[BP_FINDING_UNUSABLE] == before)
            count_readable(d, f);
    }
    return 0;
}

static void folder_done(struct folder *d) {
    for (size_t i = 0; i < d->nfiles; i++)
        verify_file_done(&d->files[i]);
    free(d->files);
    bp_metadata_done(&d->meta);
    bp_manifest_done(&d->manifest);
    bp_proof_done(&d->proof);
}

static void check_proof(struct folder *d) {
    struct verify_folder f = {
        .path = d->path,
        .files = d->files,
        .nfiles = d->nfiles,
        .manifest = d->has_manifest ? &d->manifest : NULL,
        .has_manifest_file = d->has_manifest_file,
        .interrupted = d->interrupted,
    };

    verify_proof(d->v, &f, &d->proof, d->proof_r, d->proof_why);
}

static int verify_folder(struct verify *v, const struct bp_paths *p, size_t which,
                         struct bp_error *err) {
    BP_CLEANUP(folder_done) struct folder d = { .v = v };
    int r;

    d.path = which == SIZE_MAX ? NULL : p->folders[which];
    d.files = calloc(p->n + 1, sizeof *d.files);
    if (!d.files)
        return bp_fail(err, -ENOMEM, "no memory");
    if (d.path)
        load_folder(&d);
    r = verify_files(&d, p->files, p->folder, p->n, which, err);
    if (r < 0)
        return r;
    if (d.has_manifest)
        check_against_manifest(&d);
    if (d.has_meta)
        check_against_metadata(&d);
    if (d.path && (d.nfiles > 0 || d.has_meta))
        check_proof(&d);
    for (size_t i = 0; !d.path && v->o->signed_by && i < d.nfiles; i++)
        verify_unproven(v, d.files[i].path,
                        "a file alone cannot be proven: name the folder that it was recorded in");
    if (d.nfiles > 0)
        check_ledger(&d);
    else if (d.path && !d.has_meta)
        verify_finding(v, BP_FINDING_UNUSABLE, d.path, false, 0, "no recording is in it", NULL);
    return 0;
}

int bp_verify(const char *const *paths, size_t n, const struct bp_verify_opts *o,
              struct bp_verify_result *ret, struct bp_error *err) {
    static const struct bp_verify_opts plain;
    BP_CLEANUP(bp_paths_done) struct bp_paths p = { 0 };
    struct verify v = { .o = o ? o : &plain, .ret = ret };
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int r = 0;

    *ret = (struct bp_verify_result){ 0 };
    v.threads = v.o->threads ? v.o->threads : (unsigned) BP_MIN(BP_MAX(cores, 1L), 16L);
    for (size_t i = 0; i < n && r >= 0; i++)
        r = bp_paths_add(&p, paths[i], err);
    for (size_t i = 0; i < p.n; i++) {
        struct stat st;

        if (stat(p.files[i], &st) == 0)
            v.total += (uint64_t) st.st_size;
    }
    for (size_t i = 0; i < p.nfolders && r >= 0; i++)
        r = verify_folder(&v, &p, i, err);
    for (size_t i = 0; i < p.n && r >= 0; i++)
        if (p.folder[i] == SIZE_MAX) {
            r = verify_folder(&v, &p, SIZE_MAX, err);
            break;
        }
    if (r < 0)
        return r;

    ret->verdict = ret->findings[BP_FINDING_UNUSABLE] ? BP_VERDICT_UNUSABLE
                   : ret->findings[BP_FINDING_DAMAGE] ? BP_VERDICT_DAMAGED
                                                      : BP_VERDICT_WHOLE;
    return 0;
}
