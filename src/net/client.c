#include "net/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>

#include "crypt/secret.h"
#include "net/addr.h"

enum { MAX_LINE = 1 << 20 };

struct bp_client {
    CURL *curl;
    char *url;    /* as given, for errors */
    char *base;   /* "http://robot:9090" */
    char *socket; /* path of a unix socket, or NULL */
    char *token;  /* the header, or NULL */
    char **more;  /* other headers, up to a NULL; or NULL */
    const char *who;
    bp_ns_t timeout;
    size_t max_body_bytes;
    char text[CURL_ERROR_SIZE];
};

/* What comes in. */
struct sink {
    struct bp_client *c;
    struct bp_buf *body; /* whole, or the line that is being read */
    size_t max;
    bool over;
    int (*line)(void *ctx, const char *text, size_t n); /* or NULL */
    void *ctx;
    int ended; /* what `line` returned */
};

static void init_once(void) {
    (void) curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int set_url(struct bp_client *c, const char *url, struct bp_error *err) {
    BP_AUTO_BUF base = { 0 };
    struct bp_addr a;
    size_t n = strlen(url);

    while (n > 0 && url[n - 1] == '/')
        n--;
    c->url = strdup(url);
    if (bp_starts_with(url, "unix:")) {
        int r = bp_addr_parse(url, &a, err);

        if (r < 0)
            return r;
        c->socket = strdup(url + 5);
        bp_buf_put_str(&base, "http://localhost");
    } else if (strstr(url, "://") && !bp_starts_with(url, "http://") &&
               !bp_starts_with(url, "https://")) {
        return bp_fail(err, -EINVAL, "'%s': write http://HOST:PORT or unix:/PATH", url);
    } else {
        bp_buf_put_str(&base, strstr(url, "://") ? "" : "http://");
        bp_buf_put(&base, url, n);
    }
    c->base = bp_buf_take_cstr(&base);
    if (!c->url || !c->base || (bp_starts_with(url, "unix:") && !c->socket))
        return bp_fail(err, -ENOMEM, "out of memory");
    return 0;
}

static int set_more(struct bp_client *c, const char *const *headers, struct bp_error *err) {
    size_t n = 0;

    while (headers && headers[n])
        n++;
    c->more = calloc(n + 1, sizeof *c->more);
    for (size_t i = 0; c->more && i < n; i++) {
        if (strpbrk(headers[i], "\r\n"))
            return bp_fail(err, -EINVAL, "a header holds a line break");
        c->more[i] = strdup(headers[i]);
        if (!c->more[i])
            return bp_fail(err, -ENOMEM, "out of memory");
    }
    return c->more ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

/* What may hold a secret. */
static void wipe_text(char *text) {
    if (text)
        bp_wipe(text, strlen(text));
    free(text);
}

int bp_client_open(const struct bp_client_options *options, struct bp_client **ret,
                   struct bp_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BP_CLEANUP(bp_client_closep) struct bp_client *c = calloc(1, sizeof *c);
    BP_AUTO_BUF token = { 0 };
    int r;

    (void) pthread_once(&once, init_once);
    if (!c)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = set_url(c, options->url, err);
    if (r == 0)
        r = set_more(c, options->headers, err);
    if (r < 0)
        return r;
    if (options->token) {
        if (strpbrk(options->token, "\r\n"))
            return bp_fail(err, -EINVAL, "the token holds a line break");
        bp_buf_printf(&token, "Authorization: Bearer %s", options->token);
        c->token = bp_buf_take_cstr(&token);
    }
    c->who = options->who ? options->who : "agent";
    c->timeout = options->timeout ? options->timeout : 10 * BP_SEC;
    c->max_body_bytes = options->max_body_bytes ? options->max_body_bytes : (size_t) 64 << 20;
    c->curl = curl_easy_init();
    if (!c->curl || (options->token && !c->token))
        return bp_fail(err, -ENOMEM, "out of memory");
    *ret = BP_TAKE_PTR(c);
    return 0;
}

void bp_client_close(struct bp_client *c) {
    if (!c)
        return;
    if (c->curl)
        curl_easy_cleanup(c->curl);
    wipe_text(c->url);
    wipe_text(c->base);
    free(c->socket);
    wipe_text(c->token);
    for (char **h = c->more; h && *h; h++)
        wipe_text(*h);
    free(c->more);
    free(c);
}

void bp_client_reply_done(struct bp_client_reply *reply) {
    if (!reply)
        return;
    bp_buf_done(&reply->body);
    *reply = (struct bp_client_reply){ 0 };
}

static long status_of(const struct bp_client *c) {
    long status = 0;

    (void) curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Gives whole lines on; the rest stays. */
static bool give_lines(struct sink *s) {
    char *p = (char *) s->body->p, *nl;
    size_t left = s->body->n;

    while (s->ended == 0 && (nl = memchr(p, '\n', left)) != NULL) {
        size_t n = (size_t) (nl - p);

        s->ended = s->line(s->ctx, p, n > 0 && p[n - 1] == '\r' ? n - 1 : n);
        left -= n + 1;
        p = nl + 1;
    }
    memmove(s->body->p, p, left);
    s->body->n = left;
    return s->ended == 0;
}

static size_t on_bytes(char *p, size_t size, size_t n, void *cls) {
    struct sink *s = cls;
    bool lines = s->line && status_of(s->c) < 400;

    n *= size;
    if (n == 0)
        return 0;
    bp_buf_put(s->body, p, n);
    if (s->body->failed)
        return 0;
    if (lines && !give_lines(s))
        return 0;
    s->over = s->body->n > s->max;
    return s->over ? 0 : n;
}

/* What libcurl says, as one of our codes and a sentence that helps. */
static int explain(const struct bp_client *c, CURLcode code, const struct sink *s,
                   struct bp_error *err) {
    long os = 0;

    (void) curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &os);
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        if (os == EACCES || os == EPERM)
            return bp_fail(err, -EACCES, "you may not use '%s': are you in the group that owns it?",
                           c->url);
        return bp_fail(err, -ECONNREFUSED, "no %s answers at '%s': is it running?", c->who, c->url);
    case CURLE_COULDNT_RESOLVE_HOST:
        return bp_fail(err, -ENOENT, "no machine is called as in '%s'", c->url);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return bp_fail(err, -EINVAL, "'%s': write http://HOST:PORT or unix:/PATH", c->url);
    case CURLE_OPERATION_TIMEDOUT:
        return bp_fail(err, -ETIMEDOUT, "the %s at '%s' did not answer within %.3g s", c->who,
                       c->url, (double) c->timeout / 1e9);
    case CURLE_OUT_OF_MEMORY:
        return bp_fail(err, -ENOMEM, "out of memory");
    case CURLE_WRITE_ERROR:
        if (s->body->failed)
            return bp_fail(err, -ENOMEM, "out of memory");
        if (s->over)
            return bp_fail(err, BP_ELIMIT, "the answer of '%s' has more than %zu bytes", c->url,
                           s->max);
        break;
    default:
        break;
    }
    return bp_fail(err, -EIO, "the connection to '%s' broke: %s", c->url,
                   c->text[0] ? c->text : curl_easy_strerror(code));
}

static bool add_header(struct curl_slist **list, const char *text) {
    struct curl_slist *more = curl_slist_append(*list, text);

    if (more)
        *list = more;
    return more != NULL;
}

static void slist_freep(struct curl_slist **list) {
    curl_slist_free_all(*list);
}

static void set_options(struct bp_client *c, const char *method, const char *url, const char *body,
                        const struct curl_slist *headers, struct sink *s) {
    CURL *e = c->curl;

    curl_easy_reset(e); /* keeps the connection */
    c->text[0] = '\0';
    (void) curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->text);
    (void) curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(e, CURLOPT_PROXY, ""); /* robots are near */
    (void) curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    (void) curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, c->socket);
    (void) curl_easy_setopt(e, CURLOPT_URL, url);
    (void) curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    (void) curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    (void) curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long) (c->timeout / BP_MS));
    (void) curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, s->line ? 0L : (long) (c->timeout / BP_MS));
    (void) curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    (void) curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_bytes);
    (void) curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
    (void) curl_easy_setopt(e, CURLOPT_USERAGENT, "bagpipe/" BP_VERSION);
    if (body)
        (void) curl_easy_setopt(e, CURLOPT_POSTFIELDS, body);
    if (bp_streq(method, "HEAD"))
        (void) curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    else
        (void) curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);
}

/* One request. @return 0 and the status, or why there is none */
static int perform(struct bp_client *c, const char *method, const char *path, const json_t *body,
                   struct sink *s, int *ret_status, struct bp_error *err) {
    BP_CLEANUP(slist_freep) struct curl_slist *headers = NULL;
    BP_AUTO_FREE char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    BP_AUTO_BUF url = { 0 };
    bool ok = !body || text;
    CURLcode code;

    bp_buf_printf(&url, "%s%s", c->base, path);
    ok &= bp_buf_cstr(&url) != NULL;
    ok &= add_header(&headers, "Expect:"); /* our bodies are short: no question beforehand */
    ok &= !body || add_header(&headers, "Content-Type: application/json");
    ok &= !c->token || add_header(&headers, c->token);
    for (char **h = c->more; *h; h++)
        ok &= add_header(&headers, *h);
    if (!ok)
        return bp_fail(err, -ENOMEM, "out of memory");

    set_options(c, method, bp_buf_cstr(&url), text, headers, s);
    code = curl_easy_perform(c->curl);
    *ret_status = (int) status_of(c);
    if (code == CURLE_WRITE_ERROR && s->ended != 0)
        return 0;
    return code == CURLE_OK ? 0 : explain(c, code, s, err);
}

int bp_client_call(struct bp_client *c, const char *method, const char *path, const json_t *body,
                   struct bp_client_reply *ret, struct bp_error *err) {
    BP_AUTO_BUF in = { 0 };
    struct sink s = { .c = c, .body = &in, .max = c->max_body_bytes };
    char *type = NULL;
    int r, status;

    r = perform(c, method, path, body, &s, &status, err);
    if (r < 0)
        return r;
    (void) curl_easy_getinfo(c->curl, CURLINFO_CONTENT_TYPE, &type);
    bp_buf_done(&ret->body);
    ret->status = status;
    (void) snprintf(ret->type, sizeof ret->type, "%s", type ? type : "");
    ret->body = in;
    in = (struct bp_buf){ 0 };
    return 0;
}

/* A status from 400 on as error, with the detail of the problem if one was sent. */
static int check_status(const struct bp_client *c, int status, const struct bp_buf *body,
                        struct bp_error *err) {
    const char *detail = NULL;
    json_t *j;
    int code;

    if (status < 400)
        return 0;
    code = status == 404                    ? -ENOENT
           : status == 401 || status == 403 ? -EACCES
           : status == 409                  ? BP_EMISMATCH
           : status == 503                  ? -EAGAIN
           : status < 500                   ? -EINVAL
                                            : -EIO;
    j = body->n > 0 ? json_loadb((const char *) body->p, body->n, 0, NULL) : NULL;
    (void) json_unpack(j, "{s:s}", "detail", &detail);
    if (detail)
        (void) bp_fail(err, code, "%s", detail);
    else
        (void) bp_fail(err, code, "the %s at '%s' answers %d", c->who, c->url, status);
    json_decref(j);
    return code;
}

int bp_client_json(struct bp_client *c, const char *method, const char *path, const json_t *body,
                   json_t **ret, struct bp_error *err) {
    BP_CLEANUP(bp_client_reply_done) struct bp_client_reply reply = { 0 };
    json_error_t e;
    json_t *j = NULL;
    int r;

    r = bp_client_call(c, method, path, body, &reply, err);
    if (r < 0)
        return r;
    r = check_status(c, reply.status, &reply.body, err);
    if (r < 0)
        return r;
    if (reply.body.n > 0) {
        j = json_loadb((const char *) reply.body.p, reply.body.n, JSON_DECODE_ANY, &e);
        if (!j)
            return bp_fail(err, BP_EFORMAT, "the answer of '%s' is not JSON: line %d: %s", c->url,
                           e.line, e.text);
    }
    if (ret)
        *ret = j;
    else
        json_decref(j);
    return 0;
}

int bp_client_lines(struct bp_client *c, const char *path,
                    int (*line)(void *ctx, const char *text, size_t n), void *ctx,
                    struct bp_error *err) {
    BP_AUTO_BUF in = { 0 };
    struct sink s = { .c = c, .body = &in, .max = MAX_LINE, .line = line, .ctx = ctx };
    int r, status;

    r = perform(c, "GET", path, NULL, &s, &status, err);
    if (r < 0)
        return r;
    r = check_status(c, status, &in, err);
    if (r < 0)
        return r;
    if (s.ended == 0 && in.n > 0) /* a last line without its break */
        s.ended = line(ctx, (const char *) in.p, in.n);
    return s.ended;
}

void bp_client_put_escaped(struct bp_buf *b, const char *text) {
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    for (; *text; text++) {
        if (strchr(plain, *text))
            bp_buf_put_u8(b, (uint8_t) *text);
        else
            bp_buf_printf(b, "%%%02X", (unsigned char) *text);
    }
}
