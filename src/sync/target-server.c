/* A server of ours as a target: docs/api/uploads.md over net/fetch.h.
 *
 * The server knows best what it has. So an upload is begun by asking for it, also when it goes on:
 * the same session, file and digest give the upload that is open, with the parts that are there, or
 * say that this content is stored already. What is kept of it on our side, the token, is its id.
 *
 * Between us and the server may be things that answer in its place: proxies, captive portals. The
 * server tells of its own refusals as problem+json; any other refusal says nothing about our
 * credentials or files, and is tried again like a link that does not work.
 *
 * A server that wants to know who we are answers 401. Without a token that was given, the device
 * proves it by its key and gets one that is good for minutes; another 401 is one that the server
 * has forgotten, so one more is got, once. */

#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/buf.h"
#include "crypt/secret.h"
#include "net/device-token.h"
#include "net/fetch.h"
#include "sync/part-map.h"
#include "sync/target-net.h"
#include "sync/target.h"

enum {
    PATIENCE_RATE = 10 << 20, /* bytes a second that a slow disk digests at least */
    JSON_MAX = 8 << 20,       /* bytes of an answer */
    ADMIN_S = 30,             /* how often we look whether somebody has let us in */
};

struct server {
    struct bp_fetch *fetch;
    struct bp_fetch *patient;              /* for answers that take long: digesting a whole file */
    char *base;                            /* "http://host:port", "unix:/path.sock:"; owned */
    struct bp_secret auth;                 /* "Authorization: Bearer …", or empty */
    struct bp_device_tokens *tokens, *own; /* of the device, or NULL; own: to be closed */
    _Atomic bool proves;                   /* the server wants to know who we are */
    bp_ns_t stall;
};

static void server_free(void *self) {
    struct server *s = self;

    if (!s)
        return;
    bp_fetch_close(s->fetch);
    bp_fetch_close(s->patient);
    bp_device_tokens_close(s->own);
    bp_secret_done(&s->auth);
    free(s->base);
    free(s);
}

static void server_freep(struct server **s) {
    server_free(*s);
}

/* ---- one request ---- */

struct ask {
    const char *method, *path; /* below /api/v1 */
    const char *body;          /* JSON text, or NULL */
    const char *header;        /* one more, or NULL */
    const struct bp_sync_body *part;
    bool patient;
    bp_ns_t timeout;
};

static bool is_problem(const struct bp_fetch_reply *reply) {
    const char *type = bp_fetch_header(reply, "Content-Type");

    return type && strncasecmp(type, "application/problem+json", 24) == 0;
}

/* What the server says about it, into `ret`. */
static void detail_of(const struct bp_fetch_reply *reply, char *ret, size_t cap) {
    json_t *o =
        json_loadb((const char *) reply->body.p, reply->body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(o, "detail"));

    if (!text)
        text = json_string_value(json_object_get(o, "title"));
    (void) snprintf(ret, cap, "%s", text ? text : "");
    json_decref(o);
}

static enum bp_sync_class class_of_status(int status, bool asked_to_wait) {
    switch (status) {
    case 401:
    case 403:
        return BP_SYNC_AUTH;
    case 408:
        return BP_SYNC_NETWORK;
    case 400: /* what we said was in order: it was changed on its way. Else it is parked, in time */
        return BP_SYNC_SERVER;
    case 409:
        return BP_SYNC_CONFLICT;
    case 404:
    case 410:
        return BP_SYNC_LOST;
    case 422:
        return BP_SYNC_MISMATCH;
    case 429:
        return BP_SYNC_THROTTLED;
    case 507:
        return BP_SYNC_QUOTA;
    case 503:
        return asked_to_wait ? BP_SYNC_THROTTLED : BP_SYNC_SERVER;
    default:
        return status >= 500 ? BP_SYNC_SERVER : BP_SYNC_PERMANENT;
    }
}

/* A status from 300 on. What answers in the server's place may say anything. */
static int refused(const struct ask *a, const struct bp_fetch_reply *reply,
                   struct bp_sync_failure *f) {
    bool ours = is_problem(reply);
    char detail[300] = "";
    int r;

    if (ours)
        detail_of(reply, detail, sizeof detail);
    if (ours && *detail)
        r = bp_sync_fail(f, class_of_status(reply->status, reply->retry_after), "%s (%d)", detail,
                         reply->status);
    else if (ours)
        r = bp_sync_fail(f, class_of_status(reply->status, reply->retry_after),
                         "the server answered %d to %s", reply->status, a->method);
    else if (reply->status == 429 || (reply->status == 503 && reply->retry_after))
        r = bp_sync_fail(f, BP_SYNC_THROTTLED, "told to wait (%d)", reply->status);
    else if (reply->status >= 300 && reply->status < 400)
        r = bp_sync_fail(f, BP_SYNC_SERVER,
                         "answered %d: a redirect, which is not followed; is the URL right?",
                         reply->status);
    else
        r = bp_sync_fail(f, BP_SYNC_SERVER,
                         "answered %d to %s, and not as a bagpipe server does: something "
                         "between us, or the wrong URL?",
                         reply->status, a->method);
    if (f) {
        f->retry_after = reply->retry_after;
        f->date_ns = reply->date_ns;
    }
    return r;
}

/* Why the device has no token. */
static int unproven(struct bp_sync_failure *f, int r, const struct bp_error *err) {
    switch (r) {
    case -EPERM: /* somebody may let it in at any time */
        r = bp_sync_fail(f, BP_SYNC_AUTH, "%s", err->text);
        if (f)
            f->retry_after = ADMIN_S * BP_SEC;
        return r;
    case -EACCES:
    case -EEXIST:
        return bp_sync_fail(f, BP_SYNC_AUTH, "%s", err->text);
    case -ENOENT:
        return bp_sync_fail(f, BP_SYNC_AUTH,
                            "the server wants a token, and devices cannot prove themselves to it");
    case -EAGAIN:
        return bp_sync_fail(f, BP_SYNC_THROTTLED, "%s", err->text);
    case -EIO:
    case BP_EFORMAT:
        return bp_sync_fail(f, BP_SYNC_SERVER, "%s", err->text);
    default:
        return bp_sync_net_failed(f, r, err);
    }
}

/* @param token  of the device, or ""; @return 0 whatever the status, or as a target's functions */
static int send_once(struct server *s, const struct ask *a, const char *token,
                     struct bp_fetch_reply *reply, struct bp_sync_failure *f) {
    BP_AUTO_FREE char *url = NULL;
    char bearer[BP_DEVICE_TOKEN_MAX + 32];
    const char *headers[4] = { 0 };
    struct bp_fetch_file file;
    struct bp_error err = { 0 };
    size_t n = 0;
    int r;

    if (asprintf(&url, "%s/api/v1%s", s->base, a->path) < 0) {
        url = NULL;
        return bp_sync_fail(f, BP_SYNC_LOCAL, "out of memory");
    }
    (void) snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", token);
    if (s->auth.n || *token)
        headers[n++] = s->auth.n ? (const char *) s->auth.p : bearer;
    if (a->body)
        headers[n++] = "Content-Type: application/json";
    if (a->header)
        headers[n++] = a->header;
    if (a->part)
        file = (struct bp_fetch_file){ .fd = a->part->fd,
                                       .offset = a->part->offset,
                                       .size = a->part->size };
    r = bp_fetch(a->patient ? s->patient : s->fetch,
                 &(struct bp_fetch_request){
                     .method = a->method,
                     .url = url,
                     .headers = headers,
                     .body = bp_str_of(a->body),
                     .file = a->part ? &file : NULL,
                     .expect = a->part != NULL,
                     .pace = a->part ? a->part->pace : NULL,
                     .pace_ctx = a->part ? a->part->pace_ctx : NULL,
                     .cancel = a->part ? a->part->cancel : NULL,
                     .max_body_bytes = JSON_MAX,
                     .timeout = a->timeout,
                 },
                 reply, &err);
    bp_wipe(bearer, sizeof bearer);
    return r < 0 ? bp_sync_net_failed(f, r, &err) : 0;
}

/* @return the status (2xx), or as a target's functions; `reply` is filled also then */
static int call(struct server *s, const struct ask *a, struct bp_fetch_reply *reply,
                struct bp_sync_failure *f) {
    char token[BP_DEVICE_TOKEN_MAX] = "";
    bool renewed = false;
    int r;

    for (;;) {
        struct bp_error err = { 0 };

        if (s->tokens && atomic_load(&s->proves)) {
            r = bp_device_token(s->tokens, a->part ? a->part->cancel : NULL, token, &err);
            if (r < 0)
                return unproven(f, r, &err);
        }
        r = send_once(s, a, token, reply, f);
        if (r < 0 || reply->status != 401 || !s->tokens || renewed || !is_problem(reply))
            break;
        renewed = *token != '\0';
        if (renewed)
            bp_device_token_forget(s->tokens, token);
        atomic_store(&s->proves, true);
        bp_fetch_reply_done(reply);
    }
    bp_wipe(token, sizeof token);
    if (r < 0)
        return r;
    return reply->status < 300 ? reply->status : refused(a, reply, f);
}

/* ---- probe ---- */

/* A question for an object that nobody has: the answer is short, and not without credentials. */
static int server_probe(void *self, bp_ns_t *ret_date_ns, struct bp_sync_failure *f) {
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    struct bp_sync_failure why = { 0 };
    char path[80];
    int r;

    (void) snprintf(path, sizeof path, "/objects/%064d", 0);
    r = call(self, &(struct ask){ .method = "HEAD", .path = path }, &reply, &why);
    *ret_date_ns = reply.date_ns;
    if (r >= 0 || (reply.status == 404 && is_problem(&reply)))
        return 0;
    if (f)
        *f = why;
    return r;
}

/* ---- uploads ---- */

static void mark_there(void *ctx, uint32_t n) {
    struct bp_sync_upload *u = ctx;

    u->parts[n].there = true;
}

static json_t *request_of(const struct bp_sync_upload *u) {
    const struct bp_sync_file *x = u->file;
    json_t *o = json_pack("{s:s, s:s, s:I, s:s, s:s, s:I}", "session", x->session->id, "file",
                          x->name, "bytes", (json_int_t) x->bytes, "sha256", x->hex, "kind",
                          bp_sync_kind_name(x->kind), "part_bytes", (json_int_t) u->part_bytes);

    if (o && x->force)
        (void) json_object_set_new(o, "replace", json_true());
    return o;
}

/* Takes over what the server says about an upload. @return 1 when it has the file */
static int take_upload(const struct bp_fetch_reply *reply, struct bp_sync_upload *u,
                       struct bp_sync_failure *f) {
    json_t *o =
        json_loadb((const char *) reply->body.p, reply->body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *state = json_string_value(json_object_get(o, "state"));
    const char *id = json_string_value(json_object_get(o, "id"));
    const char *parts = json_string_value(json_object_get(o, "parts"));
    json_int_t size = json_integer_value(json_object_get(o, "part_bytes"));
    int r = -EIO;

    if (state && (bp_streq(state, "have") || bp_streq(state, "stored"))) {
        r = 1;
    } else if (!state || !id || !parts || !*id || strlen(id) >= 64 || strpbrk(id, "/?#% ") ||
               size <= 0) {
        r = bp_sync_fail(f, BP_SYNC_SERVER, "the answer is not that of a bagpipe server");
    } else if (bp_sync_upload_layout(u, (uint64_t) size) < 0) {
        r = bp_sync_fail(f, BP_SYNC_SERVER, "the server wants parts of %lld bytes: that cannot be",
                         (long long) size);
    } else {
        (void) snprintf(u->token, sizeof u->token, "%s", id);
        for (uint32_t n = 0; n < u->nparts; n++)
            u->parts[n].there = false;
        r = 0;
        if (bp_sync_part_map_read(bp_str_of(parts), u->nparts, mark_there, u) < 0)
            r = bp_sync_fail(f, BP_SYNC_SERVER, "the server's list of parts cannot be read");
    }
    json_decref(o);
    return r;
}

static void take_theirs(const struct bp_fetch_reply *reply, struct bp_sync_theirs *theirs) {
    json_t *o =
        json_loadb((const char *) reply->body.p, reply->body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *sha256 = json_string_value(json_object_get(o, "sha256"));
    const json_t *session = json_object_get(o, "session");

    if (sha256)
        (void) snprintf(theirs->sha256, sizeof theirs->sha256, "%s", sha256);
    if (json_is_object(session) && !theirs->json)
        theirs->json = json_dumps(session, JSON_COMPACT);
    json_decref(o);
}

static int server_session(void *self, const struct bp_sync_session_ref *x,
                          struct bp_sync_theirs *theirs, struct bp_sync_failure *f) {
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    char path[80];
    int r;

    (void) snprintf(path, sizeof path, "/ingest/sessions/%.26s%s", x->id,
                    x->force ? "?force=1" : "");
    r = call(self, &(struct ask){ .method = "PUT", .path = path, .body = x->json }, &reply, f);
    if (r < 0 && reply.status == 409)
        take_theirs(&reply, theirs);
    /* Nothing to merge: it is another device's, or was deleted. Or, as no digest is sent here, what
     * we say is not understood. */
    if (r < 0 && f &&
        ((reply.status == 409 && !theirs->json && f->class == BP_SYNC_CONFLICT) ||
         reply.status == 422))
        f->class = BP_SYNC_PERMANENT;
    return r < 0 ? r : 0;
}

static int server_begin(void *self, struct bp_sync_upload *u, struct bp_sync_theirs *theirs,
                        struct bp_sync_failure *f) {
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    json_t *o = request_of(u);
    BP_AUTO_FREE char *body = o ? json_dumps(o, JSON_COMPACT) : NULL;
    struct ask a = { .method = "POST", .path = "/uploads", .body = body };
    int r;

    json_decref(o);
    if (!body)
        return bp_sync_fail(f, BP_SYNC_LOCAL, "out of memory");
    r = call(self, &a, &reply, f);
    if (r < 0 && reply.status == 404 && is_problem(&reply)) { /* a server that begins anew */
        r = server_session(self, u->file->session, theirs, f);
        if (r >= 0)
            r = call(self, &a, &reply, f);
    }
    if (r < 0 && reply.status == 409)
        take_theirs(&reply, theirs);
    else if (r < 0 && reply.status == 422 && f)
        f->class = BP_SYNC_PERMANENT;
    return r < 0 ? r : take_upload(&reply, u, f);
}

static int server_put(void *self, const struct bp_sync_upload *u, uint32_t n,
                      const struct bp_sync_body *body, char *etag, struct bp_sync_failure *f) {
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    char path[128], digest[BP_SYNC_DIGEST_TEXT], header[BP_SYNC_DIGEST_TEXT + 32];
    int r;

    (void) snprintf(path, sizeof path, "/uploads/%.63s/parts/%u", u->token, n);
    (void) snprintf(header, sizeof header, "Content-Digest: %s",
                    bp_sync_digest_text(body->sha256, digest));
    r = call(self, &(struct ask){ .method = "PUT", .path = path, .header = header, .part = body },
             &reply, f);
    *etag = '\0';
    if (r < 0 && reply.status == 409 && f) /* it is closed: begin() tells what it has become */
        f->class = BP_SYNC_LOST;
    return r < 0 ? r : 0;
}

static int server_complete(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f) {
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    struct server *s = self;
    char path[100];
    int r;

    (void) snprintf(path, sizeof path, "/uploads/%.63s/complete", u->token);
    r = call(
        s,
        &(struct ask){ .method = "POST",
                       .path = path,
                       .patient = true,
                       .timeout = s->stall + (bp_ns_t) (u->file->bytes / PATIENCE_RATE) * BP_SEC },
        &reply, f);
    if (r < 0 && reply.status == 409 && f) /* parts are missing after all: begin() tells which */
        f->class = BP_SYNC_LOST;
    return r < 0 ? r : 0;
}

static int server_verify(void *self, const struct bp_sync_file *x, struct bp_sync_failure *f) {
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    struct bp_sync_failure why = { 0 };
    const char *length, *field;
    uint8_t digest[32];
    char path[100], *end;
    int r;

    (void) snprintf(path, sizeof path, "/objects/%.64s", x->hex);
    r = call(self, &(struct ask){ .method = "HEAD", .path = path }, &reply, &why);
    if (r < 0 && reply.status == 404 && is_problem(&reply))
        return 0;
    if (r < 0) {
        if (f)
            *f = why;
        return r;
    }
    length = bp_fetch_header(&reply, "Content-Length");
    field = bp_fetch_header(&reply, "Repr-Digest");
    return length && strtoull(length, &end, 10) == x->bytes && !*end && field &&
           bp_sync_digest_read(field, digest) == 0 && memcmp(digest, x->sha256, sizeof digest) == 0;
}

static int server_abort(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f) {
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    char path[100];
    int r;

    if (!*u->token)
        return 0;
    (void) snprintf(path, sizeof path, "/uploads/%.63s", u->token);
    r = call(self, &(struct ask){ .method = "DELETE", .path = path }, &reply, f);
    return r < 0 ? r : 0;
}

static const struct bp_sync_target_ops server_ops = {
    .name = "server",
    .free = server_free,
    .probe = server_probe,
    .begin = server_begin,
    .put = server_put,
    .complete = server_complete,
    .verify = server_verify,
    .abort = server_abort,
    .session = server_session,
};

/* ---- opening ---- */

static int open_tokens(struct server *s, const struct bp_sync_target_opts *o,
                       struct bp_error *err) {
    s->tokens = s->auth.n ? NULL : o->tokens;
    if (s->auth.n || o->tokens || !o->key || !o->device || !*o->device ||
        !bp_starts_with(s->base, "http"))
        return 0;
    return bp_device_tokens_open(&(struct bp_device_tokens_options){ .url = s->base,
                                                                     .device = o->device,
                                                                     .key = o->key,
                                                                     .ca_file = o->ca_file,
                                                                     .proxy = o->proxy },
                                 &s->own, err);
}

static int server_open(const struct bp_sync_target_opts *o, void **ret_self, struct bp_error *err) {
    BP_CLEANUP(server_freep) struct server *s = calloc(1, sizeof *s);
    struct bp_fetch_options fetch = { .ca_file = o->ca_file,
                                      .proxy = o->proxy,
                                      .connect_timeout = o->connect_timeout,
                                      .stall_timeout = o->stall_timeout };
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (o->settings && o->settings[0])
        return bp_fail(err, BP_EUSAGE, "a server takes no setting '%s'", o->settings[0]);
    s->stall = o->stall_timeout ? o->stall_timeout : 30 * BP_SEC;
    r = bp_sync_net_base(o->url, &s->base, err);
    if (r == 0)
        r = bp_sync_net_auth(o->token, &s->auth, err);
    if (r == 0)
        r = open_tokens(s, o, err);
    if (s->own)
        s->tokens = s->own;
    if (r == 0)
        r = bp_fetch_open(&fetch, &s->fetch, err);
    fetch.stall_timeout = 3600 * BP_SEC; /* each has a timeout of its own */
    if (r == 0)
        r = bp_fetch_open(&fetch, &s->patient, err);
    if (r < 0)
        return r;
    *ret_self = BP_TAKE_PTR(s);
    return 0;
}

const struct bp_sync_target_kind bp_sync_kind_http = { "http", &server_ops, server_open };
const struct bp_sync_target_kind bp_sync_kind_https = { "https", &server_ops, server_open };
const struct bp_sync_target_kind bp_sync_kind_unix = { "unix", &server_ops, server_open };
