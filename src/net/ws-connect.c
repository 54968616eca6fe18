/* How a WebSocket client comes to its connection. libcurl finds the host, goes through the proxy
 * and does TLS (CONNECT_ONLY); the handshake is ours. */
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <utlist.h>

#include "crypt/secret.h"
#include "net/ws-client-priv.h"
#include "net/ws-shake.h"

enum { POLL_MS = 200, BODY_MAX = 4096 };

void bp_ws_out_free(struct bp_ws_out *out) {
    if (!out)
        return;
    bp_buf_done(&out->bytes);
    free(out);
}

void bp_ws_client_free(struct bp_ws_client *c) {
    struct bp_ws_out *out, *next;

    DL_FOREACH_SAFE(c->queue, out, next) {
        DL_DELETE(c->queue, out);
        bp_ws_out_free(out);
    }
    if (c->curl)
        curl_easy_cleanup(c->curl);
    bp_ws_reader_done(&c->in);
    bp_ws_spare_done(&c->spare);
    bp_buf_done(&c->early);
    free(c->url);
    free(c->path);
    free(c->host);
    free(c->extra);
    free(c->protocol);
    free(c->ca_file);
    free(c->proxy);
    bp_mutex_done(&c->lock);
    free(c);
}

/* ---- options ---- */

static void set_defaults(struct bp_ws_client_options *o) {
    static const bp_ns_t patience = 20 * BP_SEC;

    o->connect_timeout = o->connect_timeout ? o->connect_timeout : patience;
    o->max_message_bytes = o->max_message_bytes ? o->max_message_bytes : (size_t) 1 << 20;
    o->max_fragments = o->max_fragments ? o->max_fragments : 64;
    o->max_queue_bytes = o->max_queue_bytes ? o->max_queue_bytes : (size_t) 4 << 20;
    o->ping_interval = o->ping_interval ? o->ping_interval : patience;
    o->pong_timeout = o->pong_timeout ? o->pong_timeout : patience;
    o->write_timeout = o->write_timeout ? o->write_timeout : 30 * BP_SEC;
    o->message_timeout = o->message_timeout ? o->message_timeout : 60 * BP_SEC;
    o->close_timeout = o->close_timeout ? o->close_timeout : 2 * BP_SEC;
}

/* "wss://host/x" is "https://host/x" for libcurl. */
static int set_url(struct bp_ws_client *c, const char *url, struct bp_error *err) {
    static const char *const schemes[][2] = { { "ws://", "http://" },
                                              { "wss://", "https://" },
                                              { "http://", "http://" },
                                              { "https://", "https://" } };
    BP_AUTO_BUF all = { 0 };
    const char *rest = NULL, *scheme = NULL;
    size_t host;

    for (size_t i = 0; i < BP_COUNT(schemes) && !rest; i++)
        if (strncasecmp(url, schemes[i][0], strlen(schemes[i][0])) == 0) {
            rest = url + strlen(schemes[i][0]);
            scheme = schemes[i][1];
        }
    host = rest ? strcspn(rest, "/?#") : 0;
    if (host == 0 || strpbrk(url, " \t\r\n\"<>\\") || strchr(url, '#') || memchr(rest, '@', host))
        return bp_fail(err, -EINVAL, "'%.200s': write ws://HOST:PORT/PATH or wss://HOST:PORT/PATH",
                       memchr(url, '@', strlen(url)) ? "…" : url);
    bp_buf_printf(&all, "%s%.*s/", scheme, (int) host, rest);
    c->url = bp_buf_take_cstr(&all);
    c->host = strndup(rest, host);
    if (asprintf(&c->path, "%s%s", rest[host] == '/' ? "" : "/", rest + host) < 0)
        c->path = NULL;
    return c->url && c->host && c->path ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

static int set_headers(struct bp_ws_client *c, const char *const *headers, struct bp_error *err) {
    BP_AUTO_BUF all = { 0 };

    for (size_t i = 0; headers && headers[i]; i++) {
        if (strpbrk(headers[i], "\r\n") || !strchr(headers[i], ':'))
            return bp_fail(err, -EINVAL, "a header has no name or holds a line break");
        bp_buf_printf(&all, "%s\r\n", headers[i]);
    }
    c->extra = bp_buf_take_cstr(&all);
    return c->extra ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

static const char *ca_file_of(const char *given) {
    static const char *const names[] = { "BAGPIPE_CA_FILE", "CURL_CA_BUNDLE", "SSL_CERT_FILE" };

    for (size_t i = 0; !(given && *given) && i < BP_COUNT(names); i++)
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
        given = getenv(names[i]);
    return given && *given ? given : NULL;
}

static bool is_readable(const char *path) {
    FILE *f = fopen(path, "re");

    if (f)
        (void) fclose(f);
    return f != NULL;
}

int bp_ws_client_new(const struct bp_ws_client_options *o, struct bp_ws_client **ret,
                     struct bp_error *err) {
    struct bp_ws_client *c = calloc(1, sizeof *c);
    const char *ca_file = ca_file_of(o->ca_file);
    int r;

    if (!c)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_mutex_init(&c->lock);
    c->o = *o;
    set_defaults(&c->o);
    c->protocol = o->protocol ? strdup(o->protocol) : NULL;
    c->ca_file = ca_file ? strdup(ca_file) : NULL;
    c->proxy = o->proxy ? strdup(o->proxy) : NULL;
    r = set_url(c, o->url, err);
    if (r == 0)
        r = set_headers(c, o->headers, err);
    if (r == 0 &&
        ((o->protocol && !c->protocol) || (ca_file && !c->ca_file) || (o->proxy && !c->proxy)))
        r = bp_fail(err, -ENOMEM, "out of memory");
    if (r == 0 && o->ca_file && *o->ca_file && !is_readable(o->ca_file))
        r = bp_fail(err, BP_ECONFIG, "the authorities' file '%s' cannot be read", o->ca_file);
    if (r < 0) {
        bp_ws_client_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* ---- connecting ---- */

static bool cancelled(const struct bp_ws_client *c) {
    return __atomic_load_n(&c->cancel, __ATOMIC_RELAXED);
}

static int on_progress(void *ctx, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
                       curl_off_t ulnow) {
    (void) dltotal, (void) dlnow, (void) ultotal, (void) ulnow;
    return cancelled(ctx) ? 1 : 0;
}

static void set_options(struct bp_ws_client *c, CURL *curl, char *text) {
    (void) curl_easy_setopt(curl, CURLOPT_URL, c->url);
    (void) curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    (void) curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
    (void) curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    (void) curl_easy_setopt(curl, CURLOPT_HTTPPROXYTUNNEL, 1L);
    (void) curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    (void) curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long) (c->o.connect_timeout / BP_MS));
    (void) curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) (c->o.connect_timeout / BP_MS));
    (void) curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void) curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void) curl_easy_setopt(curl, CURLOPT_XFERINFODATA, c);
    (void) curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700 /* whoever gives up does not wait for a name server */
    (void) curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
#endif
    if (c->ca_file)
        (void) curl_easy_setopt(curl, CURLOPT_CAINFO, c->ca_file);
    if (c->proxy)
        (void) curl_easy_setopt(curl, CURLOPT_PROXY, c->proxy);
}

static int code_of(CURLcode r) {
    switch (r) {
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return -EHOSTUNREACH;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_ABORTED_BY_CALLBACK:
        return -ECANCELED;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return BP_ETLS;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

/* Waits until the socket is ready. @return 0, -ETIMEDOUT, -ECANCELED */
static int wait_for(struct bp_ws_client *c, short events, bp_ns_t mono_until,
                    struct bp_error *err) {
    struct pollfd p = { .fd = c->fd.fd, .events = events };

    for (;;) {
        if (cancelled(c))
            return bp_fail(err, -ECANCELED, "given up");
        if (bp_mono_ns() > mono_until)
            return bp_fail(err, -ETIMEDOUT, "the server does not answer");
        if (poll(&p, 1, POLL_MS) > 0)
            return 0;
    }
}

static int send_all(struct bp_ws_client *c, const struct bp_buf *b, bp_ns_t mono_until,
                    struct bp_error *err) {
    for (size_t off = 0; off < b->n;) {
        size_t n = 0;
        CURLcode r = curl_easy_send(c->curl, b->p + off, b->n - off, &n);
        int w;

        if (r != CURLE_OK && r != CURLE_AGAIN)
            return bp_fail(err, -EIO, "the connection broke");
        off += n;
        w = r == CURLE_AGAIN ? wait_for(c, POLLOUT, mono_until, err) : 0;
        if (w < 0)
            return w;
    }
    return 0;
}

/* Appends what comes. @return bytes, 0 at the end, or why not */
static ssize_t recv_some(struct bp_ws_client *c, struct bp_buf *in, bp_ns_t mono_until,
                         struct bp_error *err) {
    char piece[2048];

    for (;;) {
        size_t n = 0;
        CURLcode r = curl_easy_recv(c->curl, piece, sizeof piece, &n);
        int w;

        if (r == CURLE_OK) {
            bp_buf_put(in, piece, n);
            return in->failed ? bp_fail(err, -ENOMEM, "out of memory") : (ssize_t) n;
        }
        if (r != CURLE_AGAIN)
            return bp_fail(err, -EIO, "the connection broke");
        w = wait_for(c, POLLIN, mono_until, err);
        if (w < 0)
            return w;
    }
}

/* Why it refuses, when its body is a problem of ours (RFC 9457). */
static int refused(struct bp_ws_client *c, struct bp_buf *in, size_t head,
                   const struct bp_ws_answer *a, bp_ns_t mono_until, struct bp_error *err) {
    size_t want = BP_MIN(a->body, (size_t) BODY_MAX);
    json_t *o;
    const char *detail;

    while (in->n - head < want && recv_some(c, in, mono_until, NULL) > 0)
        ;
    o = json_loadb((const char *) in->p + head, BP_MIN(in->n - head, want), 0, NULL);
    detail = json_string_value(json_object_get(o, "detail"));
    (void) bp_fail(err, -EACCES, "the server refuses with status %d%s%.200s", a->status,
                   detail ? ": " : "", detail ? detail : "");
    json_decref(o);
    c->status = a->status;
    c->retry_after = a->retry_after;
    return -EACCES;
}

static int shake(struct bp_ws_client *c, struct bp_str more, bp_ns_t mono_until,
                 struct bp_error *err) {
    BP_AUTO_BUF out = { 0 }, in = { 0 };
    struct bp_ws_answer answer = { 0 };
    char key[BP_WS_KEY_TEXT];
    ssize_t head = 0;
    int r = bp_ws_key_new(key);

    if (r < 0)
        return bp_fail(err, r, "the system has no random bytes to give");
    bp_buf_printf(&out,
                  "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"
                  "User-Agent: bagpipe/%s\r\n",
                  c->path, c->host, key, BP_VERSION);
    if (c->protocol)
        bp_buf_printf(&out, "Sec-WebSocket-Protocol: %s\r\n", c->protocol);
    bp_buf_put_str(&out, c->extra);
    bp_buf_put(&out, more.p, more.n);
    bp_buf_put_str(&out, "\r\n");
    if (out.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = send_all(c, &out, mono_until, err);
    bp_wipe(out.p, out.n); /* it has tokens */
    bp_buf_done(&out);
    while (r == 0 && head == 0) {
        ssize_t n = recv_some(c, &in, mono_until, err);

        if (n <= 0)
            return n < 0 ? (int) n : bp_fail(err, -EIO, "the server closed without an answer");
        head = bp_ws_answer_read((struct bp_str){ (const char *) in.p, in.n }, key, c->protocol,
                                 &answer, err);
    }
    if (r < 0 || head < 0)
        return r < 0 ? r : (int) head;
    if (answer.status != 101)
        return refused(c, &in, (size_t) head, &answer, mono_until, err);
    bp_buf_put(&c->early, in.p + head, in.n - (size_t) head);
    return c->early.failed ? bp_fail(err, -ENOMEM, "out of memory") : 0;
}

static void init_once(void) {
    (void) curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int connect_and_shake(struct bp_ws_client *c, struct bp_str more, struct bp_error *err) {
    bp_ns_t mono_until = bp_mono_ns() + c->o.connect_timeout;
    char text[CURL_ERROR_SIZE] = "";
    curl_socket_t fd = CURL_SOCKET_BAD;
    CURLcode r;

    c->curl = curl_easy_init();
    if (!c->curl)
        return bp_fail(err, -ENOMEM, "out of memory");
    set_options(c, c->curl, text);
    r = curl_easy_perform(c->curl);
    (void) curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, NULL);
    if (r != CURLE_OK)
        return bp_fail(err, code_of(r), "%s", *text ? text : curl_easy_strerror(r));
    if (curl_easy_getinfo(c->curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD)
        return bp_fail(err, -EIO, "the connection broke");
    c->fd.fd = fd;
    return shake(c, more, mono_until, err);
}

int bp_ws_client_connect(struct bp_ws_client *c, struct bp_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BP_AUTO_BUF more = { 0 };
    int r;

    (void) pthread_once(&once, init_once);
    r = c->o.prepare ? c->o.prepare(c->o.ctx, &c->cancel, &more, err) : 0;
    if (r == 0 && more.failed)
        r = bp_fail(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = connect_and_shake(c, (struct bp_str){ (const char *) more.p, more.n }, err);
    if (more.p)
        bp_wipe(more.p, more.n);
    return r;
}
