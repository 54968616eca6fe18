#include <errno.h>
#include <stdio.h>

#include "bag/manifest.h"
#include "bag/proof.h"
#include "crypt/sign.h"
#include "ingest/ingest-priv.h"

/* A file that has become an object. Manifest and signature say something of their session, so they
 * are read at once: a session is complete when its manifest is here and every segment that it
 * lists. All of it may happen twice, after a crash or because it was asked for twice, to the same
 * end. */

/* ---- manifest and signature ---- */

/* The whole object, at most `max` bytes. */
static int read_object(struct bp_ingest *g, const uint8_t *sha256, size_t max, struct bp_buf *ret,
                       struct bp_error *err) {
    BP_CLEANUP(bp_store_object_closep) struct bp_store_object *o = NULL;
    uint8_t *p;
    ssize_t n;
    int r = bp_store_get(g->o.store, sha256, &o, err);

    if (r < 0)
        return r;
    if (o->bytes > max)
        return bp_fail(err, BP_EFORMAT, "it is longer than %zu bytes", max);
    p = bp_buf_grow(ret, (size_t) o->bytes);
    if (!p)
        return bp_fail(err, -ENOMEM, "out of memory");
    n = bp_store_object_read(o, p, ret->n, 0, err);
    if (n != (ssize_t) ret->n)
        return n < 0 ? (int) n : bp_fail(err, -EIO, "an object is shorter than it was");
    return 0;
}

static int get_file(struct bp_ingest *g, const char *session, const char *file,
                    struct bp_archive_file *ret, struct bp_error *err) {
    int r = bp_archive_get_file(g->o.archive, session, file, ret, err);

    if (r == 0 && ret->state == BP_ARCHIVE_FILE_EXPECTED)
        r = -ENOENT;
    return r;
}

/* Is a signature that of the session's device? What nobody can tell is not claimed. */
static bool is_by_device(struct bp_ingest *g, const char *session, const uint8_t *key,
                         bool *ret_known) {
    BP_AUTO_ARCHIVE_SESSION s = { 0 };
    BP_AUTO_ARCHIVE_DEVICE d = { 0 };
    uint8_t own[BP_PUBLIC_KEY_LEN];

    *ret_known = bp_archive_get(g->o.archive, session, &s, NULL) == 0 &&
                 bp_archive_get_device(g->o.archive, s.device, &d, NULL) == 0 &&
                 bp_public_key_parse(bp_str_of(d.public_key), own) == 0;
    return *ret_known && memcmp(own, key, sizeof own) == 0;
}

/* Does every link and the signature hold, and is it over this manifest? */
static bool proof_holds(const struct bp_proof *p, struct bp_str text, const uint8_t *manifest) {
    uint8_t before[BP_SHA256_LEN], link[BP_SHA256_LEN];

    memcpy(before, p->before, sizeof before);
    for (size_t i = 0; i < p->n; i++) {
        bp_proof_link(p->session, before, p->from + i, p->v[i].file, p->v[i].bytes, p->v[i].sha256,
                      link);
        if (memcmp(link, p->v[i].chain, sizeof link) != 0)
            return false;
        memcpy(before, link, sizeof before);
    }
    return p->closed && memcmp(p->manifest, manifest, BP_SHA256_LEN) == 0 &&
           bp_sign_check(p->key, text.p, p->signed_bytes, p->sig) == 0;
}

/* What the signature beside a manifest says of it. */
static int judge_signature(struct bp_ingest *g, const char *session, const uint8_t *manifest,
                           enum bp_archive_signed *ret, struct bp_error *err) {
    BP_AUTO_ARCHIVE_FILE f = { 0 };
    BP_AUTO_PROOF p = { 0 };
    BP_AUTO_BUF text = { 0 };
    struct bp_str view;
    bool known;
    int r = get_file(g, session, BP_PROOF_FILE, &f, err);

    *ret = BP_ARCHIVE_UNSIGNED;
    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = read_object(g, f.sha256, BP_PROOF_BYTES_MAX, &text, err);
    if (r < 0 && r != BP_EFORMAT)
        return r;
    view = (struct bp_str){ (const char *) text.p, text.n };
    if (r == 0)
        r = bp_proof_parse(view, &p, NULL);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || !bp_streq(p.session, session) || !proof_holds(&p, view, manifest))
        *ret = BP_ARCHIVE_SIGNED_BAD;
    else if (is_by_device(g, session, p.key, &known))
        *ret = BP_ARCHIVE_SIGNED;
    else
        *ret = known ? BP_ARCHIVE_SIGNED_BAD : BP_ARCHIVE_UNSIGNED;
    return 0;
}

/* The rows of a manifest for the archive; borrows from it. */
static int fill_rows(const struct bp_manifest *m, struct bp_archive_file *files,
                     struct bp_archive_topic *topics, struct bp_error *err) {
    for (size_t i = 0; i < m->nsegments; i++) {
        const struct bp_manifest_segment *s = &m->segments[i];

        files[i] = (struct bp_archive_file){ .file = s->file,
                                             .kind = BP_ARCHIVE_SEGMENT,
                                             .bytes = s->bytes,
                                             .messages = s->messages,
                                             .repeated = s->repeated,
                                             .first_ns = s->first_ns,
                                             .last_ns = s->last_ns };
        if (bp_ingest_read_sha256(s->sha256, files[i].sha256, NULL) < 0 ||
            bp_ingest_check_name(s->file, NULL) < 0)
            return bp_fail(err, BP_EFORMAT, "segment %zu of the manifest has no name or digest", i);
    }
    for (size_t i = 0; i < m->nchannels; i++) {
        const struct bp_manifest_channel *c = &m->channels[i];

        topics[i] = (struct bp_archive_topic){
            .topic = c->topic, .type = c->type, .robot = c->robot, .domain = c->domain
        };
        topics[i].messages = c->received;
        for (size_t k = 0; k < BP_LOSS_N_; k++)
            topics[i].lost += c->lost[k];
    }
    return 0;
}

static int put_manifest(struct bp_ingest *g, const char *session, const struct bp_manifest *m,
                        enum bp_archive_signed signature, bool *ret_complete,
                        struct bp_error *err) {
    BP_AUTO_FREE struct bp_archive_file *files = calloc(m->nsegments + 1, sizeof *files);
    BP_AUTO_FREE struct bp_archive_topic *topics = calloc(m->nchannels + 1, sizeof *topics);
    struct bp_archive_manifest row = {
        .id = m->id,
        .name = m->name,
        .signature = signature,
        .created_ns = m->created_ns,
        .segments = files,
        .nsegments = m->nsegments,
        .topics = topics,
        .ntopics = m->nchannels,
        .outages = (uint32_t) m->nrecoveries,
    };
    int r;

    if (!files || !topics)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = fill_rows(m, files, topics, err);
    if (r < 0)
        return r;
    return bp_archive_put_manifest(g->o.archive, session, &row, bp_wall_ns(), ret_complete, err);
}

/* A recorder that does not hash leaves digests out of its manifest: they are those of the segments
 * that were received under those names, each proven at its upload. @return 1 when one is not here
 */
static int bind_digests(struct bp_ingest *g, const char *session, struct bp_manifest *m,
                        struct bp_error *err) {
    for (size_t i = 0; i < m->nsegments; i++) {
        struct bp_manifest_segment *s = &m->segments[i];
        BP_AUTO_ARCHIVE_FILE f = { 0 };
        int r;

        if (s->sha256[0] || !s->file)
            continue;
        r = get_file(g, session, s->file, &f, err);
        if (r < 0)
            return r == -ENOENT ? 1 : r;
        if (s->bytes && f.bytes != s->bytes)
            return bp_fail(err, BP_EFORMAT, "'%s' is not as long as the manifest says", s->file);
        (void) bp_sha256_hex(f.sha256, s->sha256);
    }
    return 0;
}

/* The manifest that is here, with the signature that is here, if any. @return 0 also when there is
 * no manifest yet */
static int judge_session(struct bp_ingest *g, const char *session, bool *ret_complete,
                         struct bp_error *err) {
    enum bp_archive_signed signature;
    BP_AUTO_ARCHIVE_FILE f = { 0 };
    BP_AUTO_MANIFEST m = { 0 };
    BP_AUTO_BUF text = { 0 };
    int r = get_file(g, session, BP_MANIFEST_FILE, &f, err);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    r = read_object(g, f.sha256, BP_MANIFEST_BYTES_MAX, &text, err);
    if (r == 0)
        r = bp_manifest_parse((struct bp_str){ (const char *) text.p, text.n }, BP_MANIFEST_FILE,
                              &m, err);
    if (r == 0)
        r = bind_digests(g, session, &m, err);
    if (r > 0) /* the segment that brings the last of them comes by here, too */
        return 0;
    if (r == 0)
        r = judge_signature(g, session, f.sha256, &signature, err);
    return r == 0 ? put_manifest(g, session, &m, signature, ret_complete, err) : r;
}

static int read_session(struct bp_ingest *g, const char *session, bool *ret_complete,
                        struct bp_error *err) {
    size_t n = strlen(session);
    struct bp_mutex *turn = &g->judging[n ? (uint8_t) session[n - 1] % BP_INGEST_JUDGES : 0];
    int r;

    bp_mutex_lock(turn);
    r = judge_session(g, session, ret_complete, err);
    bp_mutex_unlock(turn);
    return r;
}

/* It came as it was sent, but it is not what it is called: that is told, and sending it again would
 * not help. */
static int put_damaged(struct bp_ingest *g, const struct bp_spool_meta *meta, const char *why,
                       struct bp_error *err) {
    int r = bp_archive_set_verified(g->o.archive, meta->sha256, BP_ARCHIVE_FILE_DAMAGED, why,
                                    bp_wall_ns(), err);

    bp_counter_add(&bp_ingest_stats.damaged, 1);
    bp_ingest_tell(g, "segment_damaged",
                   json_pack("{s:s, s:s, s:s, s:s}", "session", meta->session, "device",
                             meta->device, "file", meta->file, "text", why));
    return r < 0 ? r : 0;
}

/* ---- any file ---- */

static int put_row(struct bp_ingest *g, const struct bp_spool_meta *meta, enum bp_archive_kind kind,
                   bool *ret_complete, struct bp_error *err) {
    char name[BP_SPOOL_NAME_MAX + 1];
    struct bp_archive_file f = { .file = name,
                                 .kind = kind,
                                 .state = BP_ARCHIVE_FILE_RECEIVED,
                                 .bytes = meta->bytes,
                                 .stored_ns = bp_wall_ns() };
    int r;

    (void) snprintf(name, sizeof name, "%s", meta->file);
    memcpy(f.sha256, meta->sha256, sizeof f.sha256);
    r = bp_archive_put_file(g->o.archive, meta->session, &f, g->o.policy, bp_wall_ns(),
                            ret_complete, err);
    return r < 0 ? r : 0;
}

/* A segment of which no manifest has said anything: one without digests may have waited for it. */
static bool is_unexpected(struct bp_ingest *g, const struct bp_spool_meta *meta) {
    BP_AUTO_ARCHIVE_FILE f = { 0 };

    return bp_archive_get_file(g->o.archive, meta->session, meta->file, &f, NULL) == -ENOENT;
}

int bp_ingest_arrived(struct bp_ingest *g, const struct bp_spool_meta *meta, struct bp_error *err) {
    int kind = bp_archive_kind_from_name(meta->kind), r;
    bool complete = false, unexpected = kind == BP_ARCHIVE_SEGMENT && is_unexpected(g, meta);

    r = put_row(g, meta, kind < 0 ? BP_ARCHIVE_OTHER : (enum bp_archive_kind) kind, &complete, err);
    if (r == 0 && (kind == BP_ARCHIVE_MANIFEST || kind == BP_ARCHIVE_SIGNATURE)) {
        struct bp_error why = { 0 };

        r = read_session(g, meta->session, &complete, &why);
        if (r == BP_EFORMAT || r == BP_EUNSUPPORTED || r == -EINVAL)
            r = put_damaged(g, meta, why.text, err);
        else if (r < 0)
            return bp_fail(err, r, "%s", why.text);
    }
    if (r == 0 && unexpected) {
        r = read_session(g, meta->session, &complete, err);
        if (r == BP_EFORMAT || r == BP_EUNSUPPORTED || r == -EINVAL) /* not for this file */
            r = 0;
    }
    if (r == 0 && complete) {
        bp_counter_add(&bp_ingest_stats.complete, 1);
        bp_ingest_tell(g, "session_complete",
                       json_pack("{s:s, s:s}", "session", meta->session, "device", meta->device));
    }
    if (r == 0 && kind == BP_ARCHIVE_SEGMENT)
        bp_ingest_checks_wake(g);
    return r;
}

/* ---- finishing an upload ---- */

struct taking {
    struct bp_ingest *g;
    int refused; /* nothing that trying again would help */
    bool fresh;  /* the object was not there before */
    struct bp_error why;
};

/* Into the store, then into the archive. A file that cannot be put is never "refused": its upload
 * stays. But one that was handed on in an earlier life, and whose object is gone since, was deleted
 * with its session. */
static int put_and_tell(struct taking *t, const struct bp_spool_info *info, const char *path) {
    int r = bp_store_put(t->g->o.store, info->meta.sha256, path, info->meta.bytes, &t->why);

    if (r < 0)
        return (r == -ENOENT || r == -EEXIST) && !info->moved ? -EIO : r;
    t->fresh = r == 0;
    return bp_ingest_arrived(t->g, &info->meta, &t->why);
}

static int take(void *ctx, const struct bp_spool_info *info, const char *path,
                struct bp_error *err) {
    struct taking *t = ctx;
    int r;

    (void) pthread_rwlock_rdlock(&t->g->objects);
    r = put_and_tell(t, info, path);
    (void) pthread_rwlock_unlock(&t->g->objects);
    if (r == -EEXIST || r == -ENOENT) {
        t->refused = r; /* the upload is over, and what it brought belongs to nobody */
        if (t->fresh && bp_ingest_delete_object(t->g, info->meta.sha256, NULL) < 0)
            return 0; /* it stays, and does no harm */
        return 0;
    }
    if (r < 0)
        return bp_fail(err, r, "%s", t->why.text);
    bp_counter_add(&bp_ingest_stats.stored, 1);
    bp_counter_add(&bp_ingest_stats.stored_bytes, info->meta.bytes);
    bp_ingest_tell(t->g, "upload_stored",
                   json_pack("{s:s, s:s, s:s, s:I}", "session", info->meta.session, "file",
                             info->meta.file, "device", info->meta.device, "bytes",
                             (json_int_t) info->meta.bytes));
    return 0;
}

int bp_ingest_finish(struct bp_ingest *g, const char *id, struct bp_error *err) {
    struct taking t = { .g = g };
    int r = bp_spool_finish(g->spool, id, take, &t, err);

    if (r == 0 && t.refused < 0)
        return bp_fail(err, t.refused, "%s", t.why.text);
    return r;
}

/* ---- what was stored once ---- */

struct search {
    const char *id;
    struct bp_spool_meta *meta;
};

/* The name as it was sent: two contents of one name may lie as "NAME.EXT" and "NAME~DEVICE.EXT". */
static bool sent_as(const char *stored, char ret[static BP_SPOOL_NAME_MAX + 1]) {
    const char *tilde = strrchr(stored, '~'), *dot = strrchr(stored, '.');

    if (!tilde)
        return false;
    (void) snprintf(ret, BP_SPOOL_NAME_MAX + 1, "%.*s%s", (int) (tilde - stored), stored,
                    dot && dot > tilde ? dot : "");
    return true;
}

static int match(void *ctx, const struct bp_archive_file *f) {
    const struct search *s = ctx;
    char id[BP_SPOOL_ID], name[BP_SPOOL_NAME_MAX + 1];
    bool same;

    if (f->state == BP_ARCHIVE_FILE_EXPECTED)
        return 0;
    same = bp_streq(bp_spool_id(s->meta->session, f->file, f->sha256, id), s->id);
    if (!same && sent_as(f->file, name))
        same = bp_streq(bp_spool_id(s->meta->session, name, f->sha256, id), s->id);
    if (!same)
        return 0;
    (void) snprintf(s->meta->file, sizeof s->meta->file, "%s", f->file);
    (void) snprintf(s->meta->kind, sizeof s->meta->kind, "%s", bp_archive_kind_name(f->kind));
    memcpy(s->meta->sha256, f->sha256, BP_SHA256_LEN);
    s->meta->bytes = f->bytes;
    return 1;
}

int bp_ingest_find_stored(struct bp_ingest *g, const char *id, struct bp_spool_meta *ret,
                          struct bp_error *err) {
    struct bp_spool_meta m = { 0 };
    struct search s = { id, &m };
    BP_AUTO_ARCHIVE_SESSION session = { 0 };
    int r;

    if (strlen(id) != BP_SPOOL_ID - 1 || bp_ulid_parse(id, BP_ULID_TEXT - 1, NULL) < 0)
        return bp_fail(err, -ENOENT, "there is no upload '%.80s'", id);
    (void) snprintf(m.session, sizeof m.session, "%.26s", id);
    r = bp_archive_get(g->o.archive, m.session, &session, err);
    if (r == 0)
        r = bp_archive_each_file(g->o.archive, m.session, match, &s, err);
    if (r == 0 || r == -ENOENT)
        return bp_fail(err, -ENOENT, "there is no upload '%.80s'", id);
    if (r < 0)
        return r;
    (void) snprintf(m.device, sizeof m.device, "%s", session.device);
    *ret = m;
    return 0;
}
