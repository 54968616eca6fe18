/* Sessions on a server, read like files: the list of their segments, and ranges of them. What is
 * opened stays until the process ends. */
#include "cli/remote.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bag/remote.h"
#include "base/buf.h"
#include "base/mutex.h"
#include "cli/agent-client.h"
#include "crypt/secretmem.h"
#include "net/fetch.h"

enum {
    WINDOWS = 8,
    WINDOW = 256 << 10, /* small reads are of such a piece */
    SMALL = 64 << 10,
    LIST_MAX = 64 << 20,
    TOKEN_MAX = 16 << 10,
};

static const bp_ns_t PATIENCE = 120 * BP_SEC; /* without a byte */

struct file {
    char *url, *etag; /* owned */
    bp_ns_t first_ns;
    uint64_t bytes;
    struct file *next;
};

static struct window {
    const struct file *file;
    uint64_t at;
    size_t n;
    uint8_t *p; /* owned: WINDOW bytes */
} windows[WINDOWS];

static struct bp_mutex lock = BP_MUTEX_INIT; /* of the windows */
static size_t next_window;                   /* [lock] */
static struct file *files;                   /* by the thread that opens */
static struct bp_fetch *fetch;
static char header[TOKEN_MAX + 32]; /* "Authorization: …", or empty */
static bool stopped;                /* [atomic] */

void bp_cli_remote_stop(void) {
    __atomic_store_n(&stopped, true, __ATOMIC_RELAXED);
}

static bool is_stopped(void) {
    return __atomic_load_n(&stopped, __ATOMIC_RELAXED);
}

/* ---- requests ---- */

static int prepare(struct bp_error *err) {
    const char *path = getenv("BAGPIPE_TOKEN_FILE"); /* NOLINT(concurrency-mt-unsafe): no setenv */
    const char *token = bp_cli_token();
    struct bp_secret secret = { 0 };
    int r = 0;

    if (fetch)
        return 0;
    if (!token && path && *path) {
        r = bp_secret_read_file(path, TOKEN_MAX, true, &secret, err);
        token = (const char *) secret.p;
    }
    if (r == 0 && token)
        (void) snprintf(header, sizeof header, "Authorization: Bearer %s", token);
    bp_secret_done(&secret);
    return r < 0 ? r : bp_fetch_open(&(struct bp_fetch_options){ 0 }, &fetch, err);
}

/* What a status says of trying again: 0 it is well, 1 again, negative. */
static int judge(int status, const char *url, struct bp_error *err) {
    if (status == 200 || status == 206)
        return 0;
    if (status == 429 || status >= 500)
        return 1;
    return bp_fail(err,
                   status == 401 || status == 403 ? -EACCES
                   : status == 404                ? -ENOENT
                                                  : -EIO,
                   "'%s': the server answers %d%s", url, status,
                   status == 401 || status == 403 ? ": set BAGPIPE_TOKEN" : "");
}

/* Is it the link, and not the certificate or the machine? */
static bool may_pass(int r) {
    return r == -ECONNREFUSED || r == -ETIMEDOUT || r == -EHOSTUNREACH || r == -EIO ||
           r == BP_ETRUNCATED;
}

struct piece {
    const struct file *file;
    uint8_t *p;
    size_t n, got;
};

static int take(void *ctx, const void *p, size_t n) {
    struct piece *x = ctx;

    if (n > x->n - x->got)
        return -EPROTO;
    memcpy(x->p + x->got, p, n);
    x->got += n;
    return 0;
}

/* One try for what is still missing. @return 0, 1 again, negative */
static int ask(struct piece *x, uint64_t off, bp_ns_t *ret_wait, struct bp_error *err) {
    char range[80], match[128];
    const char *const headers[] = { range, match, *header ? header : NULL, NULL };
    struct bp_fetch_reply reply = { 0 };
    const struct bp_fetch_request request = { .method = "GET",
                                              .url = x->file->url,
                                              .headers = headers,
                                              .sink = take,
                                              .sink_ctx = x,
                                              .cancel = &stopped };
    int r;

    (void) snprintf(range, sizeof range, "Range: bytes=%" PRIu64 "-%" PRIu64, off + x->got,
                    off + x->n - 1);
    (void) snprintf(match, sizeof match, "If-Match: %s", x->file->etag);
    r = bp_fetch(fetch, &request, &reply, err);
    *ret_wait = reply.retry_after;
    if (r == 0 && reply.status == 206) {
        const char *etag = bp_fetch_header(&reply, "ETag");

        if (!etag || !bp_streq(etag, x->file->etag))
            r = bp_fail(err, BP_EMISMATCH, "'%s' has changed while it was read", x->file->url);
    } else if (r == 0 && reply.status == 200) {
        r = bp_fail(err, BP_EUNSUPPORTED, "'%s': what is between takes no ranges", x->file->url);
    } else if (r == 0) {
        r = judge(reply.status, x->file->url, err);
    } else if (may_pass(r) && !is_stopped()) {
        r = 1;
    }
    bp_fetch_reply_done(&reply);
    return r;
}

/* A range, however often the link breaks. */
static int get(const struct file *f, void *p, size_t n, uint64_t off, struct bp_error *err) {
    struct piece x = { .file = f, .p = p, .n = n };
    bp_ns_t until = bp_mono_ns() + PATIENCE, wait = 200 * BP_MS, asked = 0;

    while (x.got < n) {
        size_t had = x.got;
        int r = ask(&x, off, &asked, err);

        if (r < 0)
            return r;
        if (x.got > had) {
            until = bp_mono_ns() + PATIENCE;
            wait = 200 * BP_MS;
        }
        if (r == 0 && x.got > had)
            continue;
        if (is_stopped() || bp_mono_ns() > until)
            return is_stopped() ? bp_fail(err, -ECANCELED, "cancelled") : -ETIMEDOUT;
        for (bp_ns_t end = bp_mono_ns() + BP_MAX(wait, BP_MIN(asked, 60 * BP_SEC));
             bp_mono_ns() < end && !is_stopped();)
            bp_sleep(50 * BP_MS);
        wait = BP_MIN(2 * wait, 10 * BP_SEC);
    }
    return 0;
}

/* ---- reading ---- */

static int window_locked(const struct file *f, size_t n, uint64_t off, struct window **ret,
                         struct bp_error *err) {
    struct window *w;
    size_t want = (size_t) BP_MIN((uint64_t) WINDOW, f->bytes - off);
    int r;

    for (size_t i = 0; i < WINDOWS; i++) {
        w = &windows[i];
        if (w->file == f && off >= w->at && off + n <= w->at + w->n) {
            *ret = w;
            return 0;
        }
    }
    w = &windows[next_window++ % WINDOWS];
    w->file = NULL;
    if (!w->p)
        w->p = malloc(WINDOW);
    if (!w->p)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = get(f, w->p, want, off, err);
    if (r < 0)
        return r;
    w->file = f;
    w->at = off;
    w->n = want;
    *ret = w;
    return 0;
}

static ssize_t read_file(void *ctx, void *p, size_t n, uint64_t off, struct bp_error *err) {
    const struct file *f = ctx;
    struct window *w = NULL;
    int r;

    if (off >= f->bytes)
        return 0;
    n = (size_t) BP_MIN((uint64_t) n, f->bytes - off);
    if (n >= SMALL) {
        r = get(f, p, n, off, err);
    } else {
        bp_mutex_lock(&lock);
        r = window_locked(f, n, off, &w, err);
        if (r == 0)
            memcpy(p, w->p + (off - w->at), n);
        bp_mutex_unlock(&lock);
    }
    return r < 0 ? r : (ssize_t) n;
}

static int open_file(const char *url, struct bp_reads *ret, struct bp_error *err) {
    for (struct file *f = files; f; f = f->next)
        if (bp_streq(f->url, url)) {
            *ret = (struct bp_reads){ .size = f->bytes, .read = read_file, .ctx = f };
            return 0;
        }
    return bp_fail(err, -ENOENT, "'%s' is no segment of a session", url);
}

/* ---- the list ---- */

/* "http://SERVER/sessions/ID" -> "http://SERVER/api/v1/sessions/ID"; NULL when it is none. */
static char *api_url(const char *url) {
    const char *at = strstr(url, "/sessions/");
    char *text = NULL;
    size_t n;

    if (!at || strpbrk(url, "?#\r\n ") || strchr(at + 10, '/') || !at[10])
        return NULL;
    n = (size_t) (at - url);
    if (asprintf(&text, "%.*s%s%s", (int) n, url,
                 n >= 7 && strncmp(at - 7, "/api/v1", 7) == 0 ? "" : "/api/v1", at) < 0)
        return NULL;
    return text;
}

static bool is_plain(const char *name) {
    return name && *name && *name != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_.~-") == strlen(name);
}

static int add_row(const char *api, const json_t *row, struct bp_error *err) {
    const char *name = json_string_value(json_object_get(row, "name"));
    const char *sha256 = json_string_value(json_object_get(row, "sha256"));
    const char *first = json_string_value(json_object_get(row, "first_ns"));
    struct file *f, **at = &files;

    if (!json_is_true(json_object_get(row, "complete")))
        return bp_fail(err, -ENOENT, "segment '%s' has not reached the server yet",
                       name ? name : "");
    if (!is_plain(name) || !sha256 || strlen(sha256) != 64)
        return bp_fail(err, BP_EFORMAT, "'%s/segments' lists what is no segment", api);
    f = calloc(1, sizeof *f);
    if (!f || asprintf(&f->url, "%s/segments/%s", api, name) < 0 ||
        asprintf(&f->etag, "\"%s\"", sha256) < 0)
        return bp_fail(err, -ENOMEM, "out of memory");
    f->bytes = (uint64_t) json_integer_value(json_object_get(row, "bytes"));
    f->first_ns = first ? strtoll(first, NULL, 10) : 0;
    while (*at && (*at)->first_ns <= f->first_ns)
        at = &(*at)->next;
    f->next = *at;
    *at = f;
    return 0;
}

static int get_list(const char *api, json_t **ret, struct bp_error *err) {
    const char *const headers[] = { *header ? header : NULL, NULL };
    BP_AUTO_FREE char *url = NULL;
    struct bp_fetch_reply reply = { 0 };
    int r = 0;

    if (asprintf(&url, "%s/segments", api) < 0)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (int tries = 0; tries < 5; tries++) {
        if (tries > 0)
            bp_sleep(200 * BP_MS << tries);
        r = bp_fetch(fetch,
                     &(struct bp_fetch_request){ .method = "GET",
                                                 .url = url,
                                                 .headers = headers,
                                                 .max_body_bytes = LIST_MAX,
                                                 .timeout = 60 * BP_SEC },
                     &reply, err);
        if (r == 0)
            r = judge(reply.status, url, err);
        if (r == 0 || (r < 0 && !may_pass(r)) || r == -ECONNREFUSED)
            break;
    }
    if (r > 0)
        r = bp_fail(err, -EAGAIN, "'%s': the server answers %d", url, reply.status);
    if (r == 0) {
        *ret = json_loadb((const char *) reply.body.p, reply.body.n, 0, NULL);
        if (!*ret)
            r = bp_fail(err, BP_EFORMAT, "'%s' answers what is no JSON", url);
    }
    bp_fetch_reply_done(&reply);
    return r;
}

static int list(const char *url, int (*add)(void *ctx, const char *file), void *ctx,
                struct bp_error *err) {
    BP_AUTO_FREE char *api = api_url(url);
    json_t *answer = NULL;
    const json_t *row;
    size_t i, n;
    int r = api ? prepare(err)
                : bp_fail(err, BP_EUSAGE, "'%s': expected http://SERVER/sessions/NAME", url);

    if (r == 0)
        r = get_list(api, &answer, err);
    json_array_foreach(json_object_get(answer, "segments"), i, row) if (r == 0) r =
        add_row(api, row, err);
    json_decref(answer);
    n = api ? strlen(api) : 0;
    for (const struct file *f = files; r == 0 && f; f = f->next)
        if (strncmp(f->url, api, n) == 0 && f->url[n] == '/')
            r = add(ctx, f->url);
    return r;
}

void bp_cli_remote(void) {
    static const struct bp_remote_ops ops = { .list = list, .open = open_file };

    bp_remote_set(&ops);
}
