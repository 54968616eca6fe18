/* A bucket as a target, over net/s3.h.
 *
 * Keys come from a layout (key-layout.h); the manifest goes last, so that its presence tells that a
 * session is whole. Every object carries its SHA-256 as metadata: HEAD tells it, and nothing counts
 * as there without it.
 *
 * What fits into one part is one PUT; what does not is a multipart upload, whose id and part size
 * are the token that the queue keeps. What has arrived of it is what we have ETags of (our own: a
 * list of parts may lag behind) and what the list names besides, whole: each part was signed with
 * its digest, so the other side has checked it. A part's checksum, where one was sent, must be told
 * again at the end; it stands behind the ETag in the queue.
 *
 * The same content is stored once: `index/sha256/ab/cdef…` names the object that has it. Another
 * file of that content is a small object `NAME.ref` in its place, or, with dedup=copy, a copy that
 * the other side makes of it. */

#include "sync/target-s3.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypt/digest.h"
#include "net/s3.h"
#include "sync/key-layout.h"
#include "sync/target-net.h"
#include "sync/target-s3-priv.h"

#define SINGLE       "put"
#define TOKEN_PREFIX "parts "

enum {
    DEDUP_MIN = 64 << 10, /* smaller ones are sent rather than looked up */
    SMALL_MAX = 1 << 20,  /* of a session's JSON, an index, a reference */
};

enum dedup { DEDUP_REFERENCE, DEDUP_COPY, DEDUP_OFF };

struct s3 {
    struct bp_fetch *fetch;
    struct bp_s3_creds *creds;
    struct bp_s3 *s3;
    char *layout; /* owned */
    enum dedup dedup;
};

static void s3_free(void *self) {
    struct s3 *s = self;

    if (!s)
        return;
    bp_s3_close(s->s3);
    bp_s3_creds_close(s->creds);
    bp_fetch_close(s->fetch);
    free(s->layout);
    free(s);
}

static void s3_freep(struct s3 **s) {
    s3_free(*s);
}

/* ---- failures ---- */

static enum bp_sync_class class_of(const struct bp_s3_failure *why, int r) {
    switch (why->class) {
    case BP_S3_NETWORK:
        return BP_SYNC_NETWORK;
    case BP_S3_THROTTLED:
        return BP_SYNC_THROTTLED;
    case BP_S3_AUTH:
        return BP_SYNC_AUTH;
    case BP_S3_QUOTA:
        return BP_SYNC_QUOTA;
    case BP_S3_CLOCK:
        return BP_SYNC_CLOCK;
    case BP_S3_MISSING:
        return BP_SYNC_LOST;
    case BP_S3_EXISTS:
        return BP_SYNC_CONFLICT;
    case BP_S3_DAMAGED:
        return BP_SYNC_MISMATCH;
    case BP_S3_LOCAL:
        return r == -ECANCELED ? BP_SYNC_CANCELED : BP_SYNC_LOCAL;
    case BP_S3_PERMANENT:
        return BP_SYNC_PERMANENT;
    default:
        return BP_SYNC_SERVER;
    }
}

static int failed(struct bp_sync_failure *f, int r, const struct bp_s3_failure *why,
                  const struct bp_error *err) {
    (void) bp_sync_fail(f, class_of(why, r), "%s", err->text);
    if (f) {
        f->retry_after = why->retry_after;
        f->date_ns = why->date_ns;
    }
    return -EIO;
}

static int no_memory(struct bp_sync_failure *f) {
    return bp_sync_fail(f, BP_SYNC_LOCAL, "out of memory");
}

/* ---- keys ---- */

static char *key_of(const struct s3 *s, const struct bp_sync_session_ref *x, const char *name) {
    BP_AUTO_BUF b = { 0 };

    bp_sync_key_put(&b, s->layout, x, name);
    return bp_buf_take_cstr(&b);
}

static void index_key(const char *hex, char ret[static 96]) {
    (void) snprintf(ret, 96, BP_SYNC_S3_INDEX "%.2s/%.62s", hex, hex + 2);
}

/* ---- small objects ---- */

static int keep(void *ctx, const void *p, size_t n) {
    struct bp_buf *b = ctx;

    if (b->n + n > SMALL_MAX)
        return BP_ELIMIT;
    bp_buf_put(b, p, n);
    return b->failed ? -ENOMEM : 0;
}

/* The JSON object at a key. @return 1; 0 = none there, or none that can be read */
static int get_json(struct s3 *s, const char *key, json_t **ret, struct bp_sync_failure *f) {
    BP_AUTO_BUF b = { 0 };
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    int r = bp_s3_get(s->s3, key, 0, 0, NULL, keep, &b, NULL, NULL, &why, &err);

    if (r == -ENOENT || r == BP_ELIMIT)
        return 0;
    if (r < 0)
        return failed(f, r, &why, &err);
    *ret = json_loadb((const char *) b.p, b.n, JSON_REJECT_DUPLICATES, NULL);
    return json_is_object(*ret) ? 1 : 0;
}

static int put_json(struct s3 *s, const char *key, const char *text, bool new_only,
                    struct bp_sync_failure *f) {
    struct bp_s3_object o;
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    uint8_t digest[32];
    int r;

    bp_sha256_of(text, strlen(text), digest);
    r = bp_s3_put(s->s3, key, &(struct bp_s3_body){ .bytes = bp_str_of(text), .sha256 = digest },
                  &(struct bp_s3_put_options){
                      .content_type = "application/json", .digest = digest, .new_only = new_only },
                  NULL, &o, &why, &err);
    return r < 0 && r != -EEXIST ? failed(f, r, &why, &err) : 0;
}

/* ---- what is there ---- */

enum there { NOT_THERE, SAME, OTHER };

/* What lies at a key, beside a file of ours. @return enum there, or a failure */
static int look(struct s3 *s, const char *key, const struct bp_sync_file *x, char *ret_theirs,
                struct bp_sync_failure *f) {
    struct bp_s3_object o = { 0 };
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    int r = bp_s3_head(s->s3, key, &o, &why, &err);

    if (r == -ENOENT)
        return NOT_THERE;
    if (r < 0)
        return failed(f, r, &why, &err);
    if (o.size == x->bytes && o.has_digest && memcmp(o.digest, x->sha256, sizeof o.digest) == 0)
        return SAME;
    if (ret_theirs && o.has_digest)
        (void) bp_sha256_hex(o.digest, ret_theirs);
    return OTHER;
}

/* The object that a JSON of ours (index or reference) names, if it has our content. @return its key
 *  in `ret`, owned; 0 = none; or a failure */
static int follow(struct s3 *s, const char *at, const struct bp_sync_file *x, char **ret,
                  struct bp_sync_failure *f) {
    json_t *o = NULL;
    int r = get_json(s, at, &o, f);
    const char *key = r > 0 ? json_string_value(json_object_get(o, "key")) : NULL;

    if (r > 0)
        r = key && *key && strlen(key) <= BP_S3_KEY_MAX ? look(s, key, x, NULL, f) : 0;
    if (r == SAME && ret) {
        *ret = strdup(key);
        if (!*ret)
            r = no_memory(f);
    }
    json_decref(o);
    return r < 0 ? r : r == SAME;
}

static int follow_reference(struct s3 *s, const char *key, const struct bp_sync_file *x,
                            struct bp_sync_failure *f) {
    BP_AUTO_FREE char *ref = NULL;

    if (asprintf(&ref, "%s" BP_SYNC_S3_REF, key) < 0) {
        ref = NULL;
        return no_memory(f);
    }
    return follow(s, ref, x, NULL, f);
}

static char *text_of_reference(const char *key, const struct bp_sync_file *x) {
    json_t *o =
        json_pack("{s:s, s:I, s:s}", "key", key, "bytes", (json_int_t) x->bytes, "sha256", x->hex);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    return text;
}

/* The content lies at another key: the file becomes a reference to it, or a copy. */
static int refer(struct s3 *s, const char *key, const char *other, const struct bp_sync_file *x,
                 struct bp_sync_failure *f) {
    BP_AUTO_FREE char *text = text_of_reference(other, x), *ref = NULL;
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    int r;

    if (s->dedup == DEDUP_COPY) {
        r = bp_s3_copy(s->s3, other, key, &why, &err);
        return r < 0 ? failed(f, r, &why, &err) : 1;
    }
    if (!text || asprintf(&ref, "%s" BP_SYNC_S3_REF, key) < 0) {
        ref = NULL;
        return no_memory(f);
    }
    r = put_json(s, ref, text, false, f);
    return r < 0 ? r : 1;
}

/* Is this content in the bucket, at another key? @return 1: the file now refers to it */
static int find_content(struct s3 *s, const char *key, const struct bp_sync_file *x,
                        struct bp_sync_failure *f) {
    BP_AUTO_FREE char *other = NULL;
    char at[96];
    int r;

    if (s->dedup == DEDUP_OFF || x->bytes < DEDUP_MIN)
        return 0;
    index_key(x->hex, at);
    r = follow(s, at, x, &other, f);
    return r <= 0 || bp_streq(other, key) ? r : refer(s, key, other, x, f);
}

/* From now on others of this content find it. What it named before is gone or another. */
static int add_to_index(struct s3 *s, const char *key, const struct bp_sync_file *x,
                        struct bp_sync_failure *f) {
    BP_AUTO_FREE char *text = NULL;
    char at[96];

    if (s->dedup == DEDUP_OFF || x->bytes < DEDUP_MIN)
        return 0;
    text = text_of_reference(key, x);
    if (!text)
        return no_memory(f);
    index_key(x->hex, at);
    return put_json(s, at, text, false, f);
}

/* ---- ETags with what belongs to them ---- */

static void put_etag(const struct bp_s3_part *p, char ret[static BP_SYNC_ETAG]) {
    char more[80] = "";
    char hex[BP_SHA256_HEX];

    if (p->has_sha256)
        (void) snprintf(more, sizeof more, " s%s", bp_sha256_hex(p->sha256, hex));
    else if (p->has_crc64)
        (void) snprintf(more, sizeof more, " c%016" PRIx64, p->crc64);
    if (strlen(p->etag) + strlen(more) >= BP_SYNC_ETAG)
        *more = '\0';
    (void) snprintf(ret, BP_SYNC_ETAG, "%.*s%s", BP_SYNC_ETAG - 1 - (int) strlen(more), p->etag,
                    more);
}

static bool hex_to_bytes(const char *hex, size_t n, uint8_t *ret) {
    for (size_t i = 0; i < n; i++) {
        char two[3] = { hex[2 * i], hex[2 * i + 1], '\0' }, *end;

        ret[i] = (uint8_t) strtoul(two, &end, 16);
        if (end != two + 2)
            return false;
    }
    return true;
}

static void get_etag(const char *text, struct bp_s3_part *p) {
    const char *more = strchr(text, ' ');
    size_t n = more ? (size_t) (more - text) : strlen(text);

    (void) snprintf(p->etag, sizeof p->etag, "%.*s", (int) n, text);
    if (!more)
        return;
    if (more[1] == 's' && strlen(more + 2) == 64)
        p->has_sha256 = hex_to_bytes(more + 2, 32, p->sha256);
    if (more[1] == 'c' && strlen(more + 2) == 16) {
        p->crc64 = strtoull(more + 2, NULL, 16);
        p->has_crc64 = true;
    }
}

/* ---- uploads ---- */

/* "parts BYTES ID" @return the id within the token, or NULL when it is no such token */
static const char *read_token(const char *token, uint64_t *ret_part_bytes) {
    char *end;

    if (!bp_starts_with(token, TOKEN_PREFIX))
        return NULL;
    *ret_part_bytes = strtoull(token + sizeof TOKEN_PREFIX - 1, &end, 10);
    return *end == ' ' && end[1] && *ret_part_bytes ? end + 1 : NULL;
}

/* Parts are of the size that the bucket takes at least, and few enough. */
static uint64_t part_bytes_of(const struct bp_sync_upload *u) {
    uint64_t size = BP_MAX(u->part_bytes, BP_S3_MIN_PART);

    while (size * BP_S3_MAX_PARTS < u->file->bytes)
        size *= 2;
    return size;
}

static int create(struct s3 *s, const char *key, struct bp_sync_upload *u,
                  struct bp_sync_failure *f) {
    BP_AUTO_FREE char *id = NULL;
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    uint64_t size = part_bytes_of(u);
    int r;

    *u->token = '\0';
    if (bp_sync_upload_layout(u, u->file->bytes <= size ? BP_MAX(u->file->bytes, 1U) : size) < 0)
        return no_memory(f);
    for (uint32_t n = 0; n < u->nparts; n++)
        u->parts[n] = (struct bp_sync_part){ 0 };
    if (u->file->bytes <= size) {
        (void) snprintf(u->token, sizeof u->token, SINGLE);
        return 0;
    }
    r = bp_s3_upload_create(s->s3, key, &(struct bp_s3_put_options){ .digest = u->file->sha256 },
                            &id, &why, &err);
    if (r < 0)
        return failed(f, r, &why, &err);
    if (strlen(id) + 40 >= sizeof u->token) {
        (void) !bp_s3_upload_abort(s->s3, key, id, NULL, NULL);
        return bp_sync_fail(f, BP_SYNC_SERVER, "the id of the upload is too long");
    }
    (void) snprintf(u->token, sizeof u->token, TOKEN_PREFIX "%" PRIu64 " %s", size, id);
    return 0;
}

/* What the other side tells of the parts, on top of what we know. */
static void take_parts(struct bp_sync_upload *u, const struct bp_s3_parts *parts) {
    for (uint32_t n = 0; n < u->nparts; n++)
        u->parts[n].there = *u->parts[n].etag != '\0';
    for (size_t i = 0; i < parts->n; i++) {
        const struct bp_s3_part *p = &parts->v[i];
        uint32_t n = p->number - 1;
        struct bp_s3_part known = { 0 };

        if (p->number < 1 || n >= u->nparts)
            continue;
        get_etag(u->parts[n].etag, &known);
        if (p->size != bp_sync_part_size(u, n) ||
            (*known.etag && *p->etag && !bp_streq(known.etag, p->etag))) {
            u->parts[n] = (struct bp_sync_part){ 0 };
        } else if (!*known.etag && *p->etag) {
            put_etag(p, u->parts[n].etag);
            u->parts[n].there = true;
        }
    }
}

/* Goes on with an upload. @return 1 done so, 0 it is gone, or a failure */
static int resume(struct s3 *s, const char *key, struct bp_sync_upload *u,
                  struct bp_sync_failure *f) {
    BP_CLEANUP(bp_s3_parts_done) struct bp_s3_parts parts = { 0 };
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    uint64_t size = 0;
    const char *id = read_token(u->token, &size);
    int r;

    if (!id)
        return 0;
    r = bp_sync_upload_layout(u, size);
    if (r == -EINVAL)
        return 0;
    if (r < 0)
        return no_memory(f);
    r = bp_s3_upload_list(s->s3, key, id, &parts, &why, &err);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return failed(f, r, &why, &err);
    take_parts(u, &parts);
    return 1;
}

static int s3_begin(void *self, struct bp_sync_upload *u, struct bp_sync_theirs *theirs,
                    struct bp_sync_failure *f) {
    struct s3 *s = self;
    const struct bp_sync_file *x = u->file;
    BP_AUTO_FREE char *key = key_of(s, x->session, x->name);
    int r;

    if (!key)
        return no_memory(f);
    r = look(s, key, x, theirs->sha256, f);
    if (r < 0)
        return r;
    if (r == SAME) {
        r = add_to_index(s, key, x, f); /* a kill may have come between */
        return r < 0 ? r : 1;
    }
    if (r == OTHER && !x->force)
        return bp_sync_fail(f, BP_SYNC_CONFLICT, "'%s' is there with another content", key);
    r = resume(s, key, u, f);
    if (r == 0)
        r = find_content(s, key, x, f);
    else if (r == 1)
        return 0;
    return r != 0 ? r : create(s, key, u, f);
}

/* Somebody was first. @return 0 when it is our content, after all */
static int judge_existing(struct s3 *s, const char *key, const struct bp_sync_file *x,
                          struct bp_sync_failure *f) {
    int r = look(s, key, x, NULL, f);

    if (r < 0 || r == SAME)
        return r < 0 ? r : 0;
    return bp_sync_fail(f, BP_SYNC_CONFLICT, "'%s' is there with another content", key);
}

static int put_whole(struct s3 *s, const char *key, const struct bp_sync_file *x,
                     const struct bp_s3_body *body, const struct bp_s3_flow *flow, char *etag,
                     struct bp_sync_failure *f) {
    struct bp_s3_object o = { 0 };
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    int r = bp_s3_put(s->s3, key, body,
                      &(struct bp_s3_put_options){ .digest = x->sha256, .new_only = !x->force },
                      flow, &o, &why, &err);

    if (r == -EEXIST)
        return judge_existing(s, key, x, f);
    if (r < 0)
        return failed(f, r, &why, &err);
    (void) snprintf(etag, BP_SYNC_ETAG, "%s", o.etag);
    return 0;
}

static int s3_put(void *self, const struct bp_sync_upload *u, uint32_t n,
                  const struct bp_sync_body *body, char *etag, struct bp_sync_failure *f) {
    struct s3 *s = self;
    BP_AUTO_FREE char *key = key_of(s, u->file->session, u->file->name);
    struct bp_fetch_file file = { .fd = body->fd, .offset = body->offset, .size = body->size };
    struct bp_s3_body b = { .file = body->size ? &file : NULL, .sha256 = body->sha256 };
    struct bp_s3_flow flow = { body->pace, body->pace_ctx, body->cancel };
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    struct bp_s3_part part = { 0 };
    uint64_t size;
    const char *id = read_token(u->token, &size);
    int r;

    *etag = '\0';
    if (!key)
        return no_memory(f);
    if (!id)
        return put_whole(s, key, u->file, &b, &flow, etag, f);
    r = bp_s3_upload_part(s->s3, key, id, n + 1, &b, &flow, &part, &why, &err);
    if (r < 0)
        return failed(f, r, &why, &err);
    put_etag(&part, etag);
    return 0;
}

static int complete_parts(struct s3 *s, const char *key, const char *id,
                          const struct bp_sync_upload *u, struct bp_sync_failure *f) {
    BP_AUTO_FREE struct bp_s3_part *parts = calloc(BP_MAX(u->nparts, 1U), sizeof *parts);
    struct bp_s3_object o = { 0 };
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    int r;

    if (!parts)
        return no_memory(f);
    for (uint32_t n = 0; n < u->nparts; n++) {
        parts[n].number = n + 1;
        parts[n].size = bp_sync_part_size(u, n);
        get_etag(u->parts[n].etag, &parts[n]);
    }
    r = bp_s3_upload_complete(s->s3, key, id, parts, u->nparts, !u->file->force, &o, &why, &err);
    if (r != -ENOENT && r != -EEXIST)
        return r < 0 ? failed(f, r, &why, &err) : 0;
    /* it may have become the object already, and the answer got lost */
    r = look(s, key, u->file, NULL, f);
    if (r < 0 || r == SAME)
        return r < 0 ? r : 0;
    if (r == OTHER) {
        (void) !bp_s3_upload_abort(s->s3, key, id, NULL, NULL);
        return bp_sync_fail(f, BP_SYNC_CONFLICT, "'%s' is there with another content", key);
    }
    return bp_sync_fail(f, BP_SYNC_LOST, "the upload of '%s' is gone over there", key);
}

static int s3_complete(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f) {
    struct s3 *s = self;
    BP_AUTO_FREE char *key = key_of(s, u->file->session, u->file->name);
    uint64_t size;
    const char *id = read_token(u->token, &size);
    int r;

    if (!key)
        return no_memory(f);
    r = id ? complete_parts(s, key, id, u, f) : 0;
    return r < 0 ? r : add_to_index(s, key, u->file, f);
}

static int s3_verify(void *self, const struct bp_sync_file *x, struct bp_sync_failure *f) {
    struct s3 *s = self;
    BP_AUTO_FREE char *key = key_of(s, x->session, x->name);
    int r;

    if (!key)
        return no_memory(f);
    r = look(s, key, x, NULL, f);
    if (r == NOT_THERE && s->dedup == DEDUP_REFERENCE && x->bytes >= DEDUP_MIN)
        return follow_reference(s, key, x, f);
    return r < 0 ? r : r == SAME;
}

static int s3_abort(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f) {
    struct s3 *s = self;
    BP_AUTO_FREE char *key = key_of(s, u->file->session, u->file->name);
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    uint64_t size;
    const char *id = read_token(u->token, &size);
    int r;

    if (!key)
        return no_memory(f);
    r = id ? bp_s3_upload_abort(s->s3, key, id, &why, &err) : 0;
    return r < 0 ? failed(f, r, &why, &err) : 0;
}

/* ---- the rest ---- */

static int s3_probe(void *self, bp_ns_t *ret_date_ns, struct bp_sync_failure *f) {
    struct s3 *s = self;
    struct bp_s3_failure why = { 0 };
    struct bp_error err = { 0 };
    int r = bp_s3_probe(s->s3, ret_date_ns, &why, &err);

    return r < 0 ? failed(f, r, &why, &err) : 0;
}

/* Has nobody counted a change of the session that we do not know of? */
static bool is_newer(const json_t *ours, const json_t *theirs) {
    const json_t *a = json_object_get(ours, "version"), *b = json_object_get(theirs, "version");
    const char *device;
    json_t *n;

    json_object_foreach((json_t *) (uintptr_t) b, device, n) {
        if (json_integer_value(json_object_get(a, device)) < json_integer_value(n))
            return false;
    }
    return true;
}

/* session.json beside the files: what people say about a session. */
static int s3_session(void *self, const struct bp_sync_session_ref *x,
                      struct bp_sync_theirs *theirs, struct bp_sync_failure *f) {
    struct s3 *s = self;
    BP_AUTO_FREE char *key = key_of(s, x, BP_SYNC_S3_SESSION);
    json_t *ours = json_loads(x->json, JSON_REJECT_DUPLICATES, NULL), *old = NULL;
    int r = key && ours ? get_json(s, key, &old, f) : no_memory(f);

    if (r == 1 && json_equal(ours, old)) {
        r = 0;
    } else if (r == 1 && !x->force && !is_newer(ours, old)) {
        theirs->json = json_dumps(old, JSON_COMPACT);
        r = bp_sync_fail(f, BP_SYNC_CONFLICT, "the session was changed over there, too");
    } else if (r >= 0) {
        r = put_json(s, key, x->json, false, f);
    }
    json_decref(ours);
    json_decref(old);
    return r < 0 ? r : 0;
}

static const struct bp_sync_target_ops s3_ops = {
    .name = "s3",
    .flags = BP_SYNC_MANIFEST_LAST,
    .free = s3_free,
    .probe = s3_probe,
    .begin = s3_begin,
    .put = s3_put,
    .complete = s3_complete,
    .verify = s3_verify,
    .abort = s3_abort,
    .session = s3_session,
};

/* ---- opening ---- */

static int open_layout(struct s3 *s, const struct bp_sync_target_opts *o, struct bp_error *err) {
    static const char *const dedups[] = { "reference", "copy", "off" };
    struct bp_sync_s3_settings x = { 0 };
    int dedup = 0, r = bp_sync_s3_settings_read(o->settings, &x, err);

    if (r == 0)
        r = bp_sync_s3_choice("dedup", x.dedup, dedups, BP_COUNT(dedups), &dedup, err);
    if (r == 0)
        r = bp_sync_key_check(x.layout ? x.layout : BP_SYNC_KEY_LAYOUT, err);
    if (r < 0)
        return r;
    s->dedup = (enum dedup) dedup;
    s->layout = strdup(x.layout ? x.layout : BP_SYNC_KEY_LAYOUT);
    return s->layout ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

static int s3_open(const struct bp_sync_target_opts *o, void **ret_self, struct bp_error *err) {
    BP_CLEANUP(s3_freep) struct s3 *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = open_layout(s, o, err);
    if (r == 0)
        r = bp_fetch_open(&(struct bp_fetch_options){ .ca_file = o->ca_file,
                                                      .proxy = o->proxy,
                                                      .connect_timeout = o->connect_timeout,
                                                      .stall_timeout = o->stall_timeout },
                          &s->fetch, err);
    if (r == 0)
        r = bp_sync_s3_client(o, s->fetch, &s->creds, &s->s3, err);
    if (r < 0)
        return r;
    *ret_self = BP_TAKE_PTR(s);
    return 0;
}

const struct bp_sync_target_kind bp_sync_kind_s3 = { "s3", &s3_ops, s3_open };

/* ---- gc ---- */

struct gc {
    bool (*wanted)(void *ctx, const char *key);
    void *ctx;
};

static bool is_wanted(void *ctx, const struct bp_s3_upload *u) {
    const struct gc *g = ctx;

    return g->wanted && g->wanted(g->ctx, u->key);
}

int bp_sync_s3_gc(const struct bp_sync_target_opts *o, bp_ns_t min_age,
                  bool (*wanted)(void *ctx, const char *key), void *ctx, bool dry, size_t *ret_n,
                  struct bp_error *err) {
    BP_CLEANUP(s3_freep) struct s3 *s = NULL;
    struct gc g = { wanted, ctx };
    void *self = NULL;
    bp_ns_t now = 0;
    int r = s3_open(o, &self, err);

    s = self;
    if (r == 0)
        r = bp_s3_probe(s->s3, &now, NULL, err);
    if (r < 0)
        return r;
    return bp_s3_uploads_clean(s->s3, "", (now ? now : bp_wall_ns()) - min_age, is_wanted, &g, dry,
                               ret_n, NULL, err);
}
