#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/json-value.h"
#include "crypt/base64.h"
#include "ingest/ingest-priv.h"

/* Handlers of docs/api/uploads.md, but for parts. */

/* ---- sessions ---- */

int bp_ingest_put_session(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    BP_CLEANUP(bp_ingest_about_done) struct bp_ingest_about a = { 0 };
    struct bp_ingest_who who;
    uint32_t conflicts = 0;
    bool created = false;
    json_t *o = NULL;
    int r = bp_ingest_may(g, req, NULL, &who, err);

    if (r == 0)
        r = bp_http_json(req, &o, err);
    if (r == 0)
        r = bp_ingest_read_about(o, bp_http_param(req, "id"), &a, err);
    if (r == 0 && !who.any) {
        if (a.about.device[0] != '\0' && !bp_streq(a.about.device, who.device))
            r = bp_fail(err, -EACCES, "you are '%s', not '%.100s'", who.device, a.about.device);
        a.about.device = who.device;
    }
    if (r == 0 && !bp_ingest_has(g, &who, a.about.device))
        r = bp_fail(err, -EACCES, "'%.100s' is no device that you may see", a.about.device);
    if (r == 0)
        r = bp_archive_put_about(g->o.archive, &a.about, g->o.policy, bp_wall_ns(), &created,
                                 &conflicts, err);
    if (r >= 0)
        bp_http_reply_json(reply, created ? 201 : 200,
                           json_pack("{s:s, s:i}", "id", a.id, "conflicts", (int) conflicts));
    json_decref(o);
    return r < 0 ? r : 0;
}

/* ---- an upload as JSON ---- */

static json_t *meta_json(const char *id, const struct bp_spool_meta *m, const char *state) {
    char hex[BP_SHA256_HEX];

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s}", "id", id, "state", state, "session",
                     m->session, "file", m->file, "kind", m->kind, "bytes", bp_json_count(m->bytes),
                     "sha256", bp_sha256_hex(m->sha256, hex));
}

/* @return NULL when out of memory */
static json_t *upload_json(struct bp_ingest *g, const struct bp_spool_info *info) {
    BP_AUTO_BUF parts = { 0 };
    json_t *o =
        meta_json(info->id, &info->meta, info->finishing || info->moved ? "finishing" : "open");

    if (bp_spool_put_parts(g->spool, info->id, &parts, NULL) < 0)
        bp_buf_clear(&parts); /* it has just ended */
    if (!o || json_object_set_new(o, "part_bytes", json_integer(info->meta.part_bytes)) < 0 ||
        json_object_set_new(o, "part_count", json_integer(info->parts)) < 0 ||
        json_object_set_new(o, "parts", json_string(parts.n ? bp_buf_cstr(&parts) : "")) < 0 ||
        json_object_set_new(o, "expires_ns", bp_json_time(info->expires_wall)) < 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* ---- a new one ---- */

/* Is it here already? Then the session has it from now on. The gate is held. */
static int take_known_gated(struct bp_ingest *g, const struct bp_spool_meta *m, bool *ret_known,
                            struct bp_error *err) {
    uint64_t bytes;
    int r = bp_store_head(g->o.store, m->sha256, &bytes, err);

    *ret_known = false;
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    if (bytes != m->bytes)
        return bp_fail(err, BP_EUSAGE, "a file of this digest has %llu bytes, not %llu",
                       (unsigned long long) bytes, (unsigned long long) m->bytes);
    r = bp_ingest_arrived(g, m, err);
    *ret_known = r == 0;
    return r;
}

static int take_known(struct bp_ingest *g, const struct bp_spool_meta *m, bool *ret_known,
                      struct bp_error *err) {
    int r;

    (void) pthread_rwlock_rdlock(&g->objects);
    r = take_known_gated(g, m, ret_known, err);
    (void) pthread_rwlock_unlock(&g->objects);
    return r;
}

/* The session must have been announced, by the same device. */
static int check_session(struct bp_ingest *g, struct bp_http_req *req, struct bp_spool_meta *m,
                         struct bp_error *err) {
    BP_AUTO_ARCHIVE_SESSION s = { 0 };
    struct bp_ingest_who who;
    int r = bp_archive_get(g->o.archive, m->session, &s, err);

    if (r == 0)
        r = s.state == BP_ARCHIVE_DELETED ? -ENOENT : bp_ingest_may(g, req, s.device, &who, err);
    if (r == -ENOENT)
        return bp_fail(err, r, "session %s was not announced, or is deleted", m->session);
    if (r == 0)
        (void) snprintf(m->device, sizeof m->device, "%.128s", s.device);
    return r;
}

/* @return 0, or the status to refuse with */
static int check_limits(struct bp_ingest *g, const struct bp_spool_meta *m, struct bp_error *err) {
    if (m->bytes > g->o.file_bytes) {
        (void) bp_fail(err, BP_ELIMIT, "a file may have %llu bytes",
                       (unsigned long long) g->o.file_bytes);
        return 413;
    }
    if (g->o.device_bytes && m->device[0] != '\0' &&
        bp_spool_bytes_of(g->spool, m->device) + m->bytes > g->o.device_bytes) {
        (void) bp_fail(err, -EDQUOT, "unfinished uploads of '%s' may have %llu bytes together",
                       m->device, (unsigned long long) g->o.device_bytes);
        return 429;
    }
    return 0;
}

static int begin_upload(struct bp_ingest *g, const struct bp_spool_meta *m,
                        struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_spool_info info;
    char id[BP_SPOOL_ID];
    int r, status = 0;

    (void) bp_spool_id(m->session, m->file, m->sha256, id);
    if (bp_spool_get(g->spool, id, &info, NULL) < 0) {
        bp_spool_supersede(g->spool, m);
        status = check_limits(g, m, err);
    }
    if (status != 0) {
        bp_http_reply_problem(reply, status, err);
        if (status == 429)
            bp_http_reply_header(reply, "Retry-After", "60");
        return 0;
    }
    r = bp_spool_create(g->spool, m, &info, err);
    if (r >= 0)
        bp_http_reply_json(reply, r == 0 ? 201 : 200, upload_json(g, &info));
    return r < 0 ? r : 0;
}

int bp_ingest_post_upload(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    enum bp_archive_kind kind;
    struct bp_spool_meta m;
    char id[BP_SPOOL_ID];
    bool known = false;
    json_t *o = NULL;
    int r = bp_http_json(req, &o, err);

    if (r == 0)
        r = bp_ingest_read_upload(o, &m, &kind, err);
    json_decref(o);
    if (r == 0)
        r = check_session(g, req, &m, err);
    if (r == 0)
        r = take_known(g, &m, &known, err);
    if (r == 0 && known) {
        bp_counter_add(&bp_ingest_stats.known, 1);
        bp_counter_add(&bp_ingest_stats.known_bytes, m.bytes);
        bp_http_reply_json(reply, 200,
                           meta_json(bp_spool_id(m.session, m.file, m.sha256, id), &m, "have"));
        return 0;
    }
    if (r == 0)
        r = begin_upload(g, &m, reply, err);
    if (r < 0)
        bp_counter_add(&bp_ingest_stats.refused, 1);
    return r;
}

/* ---- one that is there ---- */

int bp_ingest_get_upload(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    const char *id = bp_http_param(req, "id");
    struct bp_spool_info info;
    struct bp_ingest_who who;
    struct bp_spool_meta m;
    int r = bp_spool_get(g->spool, id, &info, NULL);

    if (r == 0) {
        r = bp_ingest_may(g, req, info.meta.device, &who, err);
        if (r == 0)
            bp_http_reply_json(reply, 200, upload_json(g, &info));
        return r;
    }
    r = bp_ingest_find_stored(g, id, &m, err);
    if (r == 0)
        r = bp_ingest_may(g, req, m.device, &who, err);
    if (r == 0)
        bp_http_reply_json(reply, 200, meta_json(id, &m, "stored"));
    return r;
}

int bp_ingest_list_uploads(struct bp_ingest *g, struct bp_http_req *req,
                           struct bp_http_reply *reply, struct bp_error *err) {
    BP_AUTO_FREE struct bp_spool_info *list = NULL;
    struct bp_ingest_who who;
    json_t *a = json_array();
    size_t n = 0;
    int r = bp_ingest_may(g, req, NULL, &who, err);

    if (r == 0)
        r = bp_spool_list(g->spool, &list, &n);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (!bp_ingest_has(g, &who, list[i].meta.device))
            continue;
        if (json_array_append_new(a, upload_json(g, &list[i])) < 0)
            r = bp_fail(err, -ENOMEM, "out of memory");
    }
    if (r == 0)
        bp_http_reply_json(reply, 200, json_pack("{s:O}", "uploads", a));
    json_decref(a);
    return r;
}

/* Gone is gone, whoever has done it. */
int bp_ingest_delete_upload(struct bp_ingest *g, struct bp_http_req *req,
                            struct bp_http_reply *reply, struct bp_error *err) {
    const char *id = bp_http_param(req, "id");
    struct bp_spool_info info;
    struct bp_ingest_who who;
    struct bp_spool_meta m;
    int r = bp_spool_get(g->spool, id, &info, err);

    if (r == -ENOENT && bp_ingest_find_stored(g, id, &m, NULL) == 0)
        return bp_fail(err, BP_EMISMATCH, "the upload is stored already");
    if (r == 0)
        r = bp_ingest_may(g, req, info.meta.device, &who, err);
    if (r == 0)
        r = bp_spool_drop(g->spool, id, err);
    if (r == 0)
        bp_http_reply_empty(reply, 204);
    return r;
}

static int reply_stored(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                        const char *id, struct bp_error *err) {
    struct bp_ingest_who who;
    struct bp_spool_meta m;
    int r = bp_ingest_find_stored(g, id, &m, err);

    if (r == 0)
        r = bp_ingest_may(g, req, m.device, &who, err);
    if (r == 0)
        bp_http_reply_json(reply, 200, meta_json(id, &m, "stored"));
    return r;
}

int bp_ingest_complete(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                       struct bp_error *err) {
    const char *id = bp_http_param(req, "id");
    struct bp_spool_info info;
    struct bp_ingest_who who;
    int r = bp_spool_get(g->spool, id, &info, NULL);

    if (r < 0) /* stored, perhaps long ago: the same answer for ever */
        return reply_stored(g, req, reply, id, err);
    r = bp_ingest_may(g, req, info.meta.device, &who, err);
    if (r == 0)
        r = bp_ingest_finish(g, id, err);
    if (r == -EBUSY) { /* another request is at it: ask again */
        bp_http_reply_problem(reply, 503, err);
        bp_http_reply_header(reply, "Retry-After", "1");
        return 0;
    }
    if (r == -ENOENT) /* it was finished between our two looks, or its session is gone */
        return reply_stored(g, req, reply, id, NULL) == 0 ? 0 : r;
    if (r == 0)
        bp_http_reply_json(reply, 200, meta_json(id, &info.meta, "stored"));
    return r;
}

/* ---- objects ---- */

/* What never changes may be kept for ever. */
static void put_object_headers(struct bp_http_reply *reply, const uint8_t *sha256) {
    BP_AUTO_BUF b = { 0 };

    bp_buf_put_str(&b, "sha-256=:");
    bp_base64_std_put(&b, sha256, BP_SHA256_LEN);
    bp_buf_put_str(&b, ":");
    if (bp_buf_cstr(&b))
        bp_http_reply_header(reply, "Repr-Digest", bp_buf_cstr(&b));
    bp_http_reply_header(reply, "Cache-Control", "private, max-age=31536000, immutable");
}

/* An object that is no file here: HEAD tells of it, GET is sent to where it lies. */
static int reply_elsewhere(struct bp_ingest *g, struct bp_http_req *req,
                           struct bp_http_reply *reply, const uint8_t *sha256, uint64_t bytes,
                           int *ret_fd, struct bp_error *err) {
    BP_AUTO_FREE char *url = NULL;
    int r;

    if (bp_streq(bp_http_method(req), "HEAD")) { /* a file of that size: none of it is sent */
        BP_AUTO_FD int fd = memfd_create("head", MFD_CLOEXEC);

        if (fd < 0 || ftruncate(fd, (off_t) bytes) < 0)
            return bp_fail(err, -errno, "cannot answer: %s", bp_strerror(-errno));
        *ret_fd = BP_TAKE_FD(fd);
        return 0;
    }
    r = bp_store_url(g->o.store, sha256, &url, err);
    if (r == 0) {
        bp_http_reply_empty(reply, 307);
        bp_http_reply_header(reply, "Location", url);
        bp_http_reply_header(reply, "Cache-Control", "no-store");
    }
    return r;
}

struct reader {
    struct bp_ingest *g;
    const struct bp_ingest_who *who;
};

/* @return 1 when a session of this device is theirs */
static int is_theirs(void *ctx, const char *device) {
    const struct reader *x = ctx;

    return bp_ingest_has(x->g, x->who, device);
}

/* An object is for who may see a session that has it: whoever knows a digest and no more learns not
 * even whether it is here. */
static int may_read(struct bp_ingest *g, struct bp_http_req *req, const uint8_t *sha256,
                    struct bp_error *err) {
    struct bp_ingest_who who;
    struct reader x = { g, &who };
    int r = bp_ingest_may(g, req, NULL, &who, err);

    if (r < 0 || (who.any && !*who.scope))
        return r;
    r = bp_archive_each_owner(g->o.archive, sha256, is_theirs, &x, err);
    return r > 0 ? 0 : r == 0 ? bp_fail(err, -ENOENT, "there is no such object") : r;
}

int bp_ingest_get_object(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    BP_CLEANUP(bp_store_object_closep) struct bp_store_object *o = NULL;
    uint8_t sha256[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX], etag[BP_SHA256_HEX + 2];
    int fd, r = bp_ingest_read_sha256(bp_http_param(req, "sha256"), sha256, err);

    if (r == 0)
        r = may_read(g, req, sha256, err);
    if (r == 0)
        r = bp_store_get(g->o.store, sha256, &o, err);
    if (r < 0 || !o)
        return r;
    fd = bp_store_object_fd(o);
    if (fd == -EOPNOTSUPP) {
        r = reply_elsewhere(g, req, reply, sha256, o->bytes, &fd, err);
        if (r < 0 || fd < 0)
            return r;
    }
    if (fd < 0)
        return bp_fail(err, fd, "cannot open the object: %s", bp_strerror(fd));
    (void) snprintf(etag, sizeof etag, "\"%s\"", bp_sha256_hex(sha256, hex));
    bp_http_reply_file(reply, fd, o->bytes, "application/octet-stream", etag);
    put_object_headers(reply, sha256);
    return 0;
}
