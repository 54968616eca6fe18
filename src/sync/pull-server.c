/* Sessions of a server, or of an agent: both answer under the same paths. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "net/client.h"
#include "net/fetch.h"
#include "sync/pull-priv.h"
#include "sync/target-net.h"

enum { JSON_MAX = 64 << 20 };

struct server {
    struct bp_fetch *fetch;
    char *base;            /* owned */
    struct bp_secret auth; /* a header, or empty */
};

static void server_free(void *self) {
    struct server *s = self;

    if (!s)
        return;
    bp_fetch_close(s->fetch);
    bp_secret_done(&s->auth);
    free(s->base);
    free(s);
}

static void server_freep(struct server **s) {
    server_free(*s);
}

/* ---- requests ---- */

struct ask {
    uint64_t offset; /* of what is wanted */
    int (*sink)(void *ctx, const void *p, size_t n);
    void *ctx;
    const bool *cancel;
};

static int refused(const struct bp_fetch_reply *reply, const char *path, struct bp_error *err) {
    json_t *o =
        json_loadb((const char *) reply->body.p, reply->body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(o, "detail"));
    int r;

    switch (reply->status) {
    case 401:
    case 403:
        r = bp_fail(err, -EACCES, "not let in (%d)%s%s", reply->status, text ? ": " : "",
                    text ? text : "");
        break;
    case 404:
        r = bp_fail(err, -ENOENT, "%s", text ? text : "there is no such session over there");
        break;
    case 409:
        r = bp_fail(err, BP_EBUSY, "%s", text ? text : "it is still being recorded");
        break;
    default:
        r = bp_fail(err, reply->status == 429 || reply->status >= 500 ? -EAGAIN : -EINVAL,
                    "answered %d to GET %s%s%s", reply->status, path, text ? ": " : "",
                    text ? text : "");
        break;
    }
    json_decref(o);
    return r;
}

static int get(struct server *s, const char *path, const struct ask *a,
               struct bp_fetch_reply *reply, struct bp_error *err) {
    BP_AUTO_FREE char *url = NULL;
    char range[48];
    const char *headers[3] = { 0 };
    size_t n = 0;
    int r;

    if (asprintf(&url, "%s/api/v1/sessions/%s", s->base, path) < 0) {
        url = NULL;
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    if (s->auth.n)
        headers[n++] = (const char *) s->auth.p;
    if (a->offset) {
        (void) snprintf(range, sizeof range, "Range: bytes=%llu-", (unsigned long long) a->offset);
        headers[n++] = range;
    }
    r = bp_fetch(s->fetch,
                 &(struct bp_fetch_request){ .method = "GET",
                                             .url = url,
                                             .headers = headers,
                                             .sink = a->sink,
                                             .sink_ctx = a->ctx,
                                             .cancel = a->cancel,
                                             .max_body_bytes = JSON_MAX },
                 reply, err);
    if (r < 0)
        return r;
    return reply->status < 300 ? 0 : refused(reply, path, err);
}

static int get_json(struct server *s, const char *path, json_t **ret, struct bp_error *err) {
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    int r = get(s, path, &(struct ask){ 0 }, &reply, err);

    if (r < 0)
        return r;
    *ret = json_loadb((const char *) reply.body.p, reply.body.n, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(*ret))
        return 0;
    json_decref(BP_TAKE_PTR(*ret));
    return bp_fail(err, BP_EFORMAT, "the answer is not that of a bagpipe server or agent");
}

/* ---- a session ---- */

/* @param names  whether files are called by `name` (or `file`) */
static int add_files(struct bp_pull_list *l, const json_t *list, struct bp_error *err) {
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(o, "name"));
        json_int_t bytes = json_integer_value(json_object_get(o, "bytes"));

        if (!name)
            name = json_string_value(json_object_get(o, "file"));
        if (!name || bytes < 0 || json_is_false(json_object_get(o, "complete")))
            continue;
        r = bp_pull_add(l, name, NULL, (uint64_t) bytes,
                        json_string_value(json_object_get(o, "sha256")), err);
    }
    return r;
}

static int server_find(void *self, const char *key, struct bp_pull_list *ret,
                       struct bp_error *err) {
    BP_AUTO_BUF path = { 0 };
    json_t *session = NULL, *files = NULL;
    const char *p, *id, *name;
    int r;

    bp_client_put_escaped(&path, key);
    p = bp_buf_cstr(&path);
    if (!p)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = get_json(self, p, &session, err);
    id = json_string_value(json_object_get(session, "id"));
    name = json_string_value(json_object_get(session, "name"));
    if (r == 0 && (!id || !name || strlen(id) != 26 || strpbrk(id, "/?#%")))
        r = bp_fail(err, BP_EFORMAT, "the answer is not that of a bagpipe server or agent");
    if (r == 0) {
        (void) snprintf(ret->id, sizeof ret->id, "%s", id);
        free(ret->name);
        ret->name = strdup(name);
        bp_buf_clear(&path);
        bp_buf_printf(&path, "%s/segments", id);
        p = bp_buf_cstr(&path);
        r = ret->name && p ? get_json(self, p, &files, err)
                           : bp_fail(err, -ENOMEM, "out of memory");
    }
    if (r == 0)
        r = add_files(ret, json_object_get(files, "segments"), err);
    if (r == 0)
        r = add_files(ret, json_object_get(files, "files"), err);
    json_decref(session);
    json_decref(files);
    return r;
}

static int server_read(void *self, const struct bp_pull_list *l, const struct bp_pull_file *f,
                       uint64_t offset, int (*sink)(void *ctx, const void *p, size_t n), void *ctx,
                       const bool *cancel, struct bp_error *err) {
    BP_CLEANUP(bp_fetch_reply_done) struct bp_fetch_reply reply = { 0 };
    BP_AUTO_BUF path = { 0 };
    const char *p;

    bp_buf_printf(&path, "%s/segments/", l->id);
    bp_client_put_escaped(&path, f->name);
    p = bp_buf_cstr(&path);
    return p ? get(self, p, &(struct ask){ offset, sink, ctx, cancel }, &reply, err)
             : bp_fail(err, -ENOMEM, "out of memory");
}

const struct bp_pull_source bp_pull_server = {
    .free = server_free,
    .find = server_find,
    .read = server_read,
};

int bp_pull_server_open(const struct bp_sync_target_opts *o, void **ret_self,
                        struct bp_error *err) {
    BP_CLEANUP(server_freep) struct server *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_sync_net_base(o->url, &s->base, err);
    if (r == 0)
        r = bp_sync_net_auth(o->token, &s->auth, err);
    if (r == 0)
        r = bp_fetch_open(&(struct bp_fetch_options){ .ca_file = o->ca_file,
                                                      .proxy = o->proxy,
                                                      .connect_timeout = o->connect_timeout,
                                                      .stall_timeout = o->stall_timeout },
                          &s->fetch, err);
    if (r < 0)
        return r;
    *ret_self = BP_TAKE_PTR(s);
    return 0;
}
