#include "net/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/mutex.h"

/* One easy handle per request under way, each with the connections it has made; idle ones wait in a
 * list and are taken by origin, so that requests to one server find its connection again. (Sharing
 * connections between handles by CURLSH is not safe across threads.) */

enum {
    MAX_IDLE = 32,
    PIECE = 64 << 10,     /* of a body that is sent */
    MAX_HEAD = 64 << 10,  /* headers of an answer */
    NOT_SENT = 256 << 10, /* bytes the kernel may keep beyond what the network takes */
    ORIGIN = 300,
};

struct handle {
    CURL *curl;
    struct handle *next;
    char origin[ORIGIN]; /* scheme, host and port that it talked to last */
};

struct bp_fetch {
    struct bp_mutex lock;                   /* leaf */
    struct handle *idle;                    /* [lock] last used first */
    char *ca_file, *user_agent;             /* constant; owned; NULL for libcurl's own */
    char *proxy;                            /* constant; owned; NULL: by environment */
    bp_ns_t connect_timeout, stall_timeout; /* constant */
};

/* One request under way. */
struct transfer {
    const struct bp_fetch *f;
    const struct bp_fetch_request *rq;
    struct bp_fetch_reply *reply;
    struct bp_error *err;
    char shown[200]; /* the URL as it may be shown */
    uint64_t size;   /* of the body that is sent */
    uint64_t pos;    /* of it, next byte */
    bp_ns_t stall;   /* how long nothing may move */
    bp_ns_t moved;   /* mono: when something moved last */
    uint64_t nmoved; /* bytes by then */
    int failed;      /* why a callback ended it */
    char text[CURL_ERROR_SIZE];
};

static void init_once(void) {
    (void) curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- opening ---- */

static int set_ca(struct bp_fetch *f, const char *ca_file, struct bp_error *err) {
    static const char *const names[] = { "BAGPIPE_CA_FILE", "AWS_CA_BUNDLE", "CURL_CA_BUNDLE",
                                         "SSL_CERT_FILE" };
    BP_AUTO_FREE char *text = NULL;
    size_t n;
    int r;

    for (size_t i = 0; !ca_file && i < BP_COUNT(names); i++) {
        const char *v = getenv(names[i]); // NOLINT(concurrency-mt-unsafe): nobody sets it

        ca_file = v && v[0] ? v : NULL;
    }
    if (!ca_file)
        return 0;
    r = bp_io_read_file(&bp_io_posix, ca_file, (size_t) 16 << 20, &text, &n, err);
    if (r < 0)
        return bp_prefix(err, r == -ENOMEM ? r : BP_ECONFIG, "certificates of authorities");
    if (!strstr(text, "-----BEGIN CERTIFICATE-----") &&
        !strstr(text, "-----BEGIN TRUSTED CERTIFICATE-----"))
        return bp_fail(err, BP_ECONFIG, "'%s' holds no certificate in PEM", ca_file);
    f->ca_file = strdup(ca_file);
    return f->ca_file ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

int bp_fetch_open(const struct bp_fetch_options *options, struct bp_fetch **ret,
                  struct bp_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BP_CLEANUP(bp_fetch_closep) struct bp_fetch *f = calloc(1, sizeof *f);
    int r;

    (void) pthread_once(&once, init_once);
    if (!f)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_mutex_init(&f->lock);
    f->connect_timeout = options->connect_timeout ? options->connect_timeout : 10 * BP_SEC;
    f->stall_timeout = options->stall_timeout ? options->stall_timeout : 30 * BP_SEC;
    f->user_agent = strdup(options->user_agent ? options->user_agent : "bagpipe/" BP_VERSION);
    f->proxy = options->proxy ? strdup(options->proxy) : NULL;
    if (!f->user_agent || (options->proxy && !f->proxy))
        return bp_fail(err, -ENOMEM, "out of memory");
    r = set_ca(f, options->ca_file, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(f);
    return 0;
}

static void handle_free(struct handle *h) {
    curl_easy_cleanup(h->curl);
    free(h);
}

void bp_fetch_close(struct bp_fetch *f) {
    if (!f)
        return;
    while (f->idle) {
        struct handle *h = f->idle;

        f->idle = h->next;
        handle_free(h);
    }
    bp_mutex_done(&f->lock);
    free(f->ca_file);
    free(f->user_agent);
    if (f->proxy)
        explicit_bzero(f->proxy, strlen(f->proxy)); /* may hold a password */
    free(f->proxy);
    free(f);
}

/* ---- handles ---- */

/* The idle one that talked to `origin` last, else a new one. */
static struct handle *take_handle(struct bp_fetch *f, const char *origin) {
    struct handle *h = NULL;

    bp_mutex_lock(&f->lock);
    for (struct handle **at = &f->idle; *at; at = &(*at)->next)
        if (bp_streq((*at)->origin, origin)) {
            h = *at;
            *at = h->next;
            break;
        }
    bp_mutex_unlock(&f->lock);
    if (h)
        return h;
    h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->curl = curl_easy_init();
    if (!h->curl) {
        free(h);
        return NULL;
    }
    (void) snprintf(h->origin, sizeof h->origin, "%s", origin);
    return h;
}

static void give_handle(struct bp_fetch *f, struct handle *h) {
    struct handle *old = NULL;
    unsigned n = 0;

    bp_mutex_lock(&f->lock);
    h->next = f->idle;
    f->idle = h;
    for (struct handle **at = &f->idle; *at; at = &(*at)->next)
        if (++n > MAX_IDLE) { /* one came, so one is too many */
            old = *at;
            *at = NULL;
            break;
        }
    bp_mutex_unlock(&f->lock);
    if (old)
        handle_free(old);
}

/* ---- callbacks ---- */

static bool is_cancelled(const struct transfer *t) {
    return t->rq->cancel && __atomic_load_n(t->rq->cancel, __ATOMIC_RELAXED);
}

/* Notes why the transfer is ended by us, the first reason only. */
static void fail_code(struct transfer *t, int code) {
    if (t->failed == 0)
        t->failed = code;
}

static size_t on_read(char *p, size_t size, size_t n, void *cls) {
    struct transfer *t = cls;
    const struct bp_fetch_file *file = t->rq->file;

    n = BP_MIN(size * n, (size_t) PIECE);
    n = (size_t) BP_MIN((uint64_t) n, t->size - t->pos);
    if (n == 0)
        return 0;
    if (t->rq->pace && !is_cancelled(t)) {
        t->rq->pace(t->rq->pace_ctx, n);
        t->moved = bp_mono_ns();
    }
    if (is_cancelled(t)) {
        fail_code(t, -ECANCELED);
        return CURL_READFUNC_ABORT;
    }
    if (file) {
        const struct bp_io *io = file->io ? file->io : &bp_io_posix;
        ssize_t k = io->pread(io->ctx, file->fd, p, n, file->offset + t->pos);

        if (k <= 0) {
            t->reply->local = true;
            fail_code(t, k < 0 ? (int) k : -ENODATA);
            return CURL_READFUNC_ABORT;
        }
        n = (size_t) k;
    } else {
        memcpy(p, t->rq->body.p + t->pos, n);
    }
    t->pos += n;
    return n;
}

/* libcurl begins again: the connection it had kept was gone, or a proxy wants a password. */
static int on_seek(void *cls, curl_off_t offset, int origin) {
    struct transfer *t = cls;

    if (origin != SEEK_SET || offset < 0 || (uint64_t) offset > t->size)
        return CURL_SEEKFUNC_FAIL;
    t->pos = (uint64_t) offset;
    return CURL_SEEKFUNC_OK;
}

static int on_progress(void *cls, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
                       curl_off_t ulnow) {
    struct transfer *t = cls;
    uint64_t n = (uint64_t) dlnow + (uint64_t) ulnow + t->reply->head.n;
    bp_ns_t now = bp_mono_ns();

    (void) dltotal;
    (void) ultotal;
    if (is_cancelled(t)) {
        fail_code(t, -ECANCELED);
        return 1;
    }
    if (n != t->nmoved) {
        t->nmoved = n;
        t->moved = now;
    } else if (now - t->moved > t->stall) {
        fail_code(t, -ETIMEDOUT);
        return 1;
    }
    return 0;
}

/* One line of the head, with its line break. */
static size_t on_header(char *p, size_t size, size_t n, void *cls) {
    struct transfer *t = cls;
    struct bp_buf *head = &t->reply->head;
    const char *end = p + size * n, *colon;
    size_t total = size * n;

    while (end > p && strchr("\r\n \t", end[-1]))
        end--;
    if (total > 5 && memcmp(p, "HTTP/", 5) == 0) { /* the head of 100, of a proxy, or the last */
        const char *blank = memchr(p, ' ', (size_t) (end - p));

        bp_buf_clear(head);
        t->reply->status = blank ? (int) strtol(blank + 1, NULL, 10) : 0;
        return total;
    }
    colon = memchr(p, ':', (size_t) (end - p));
    if (!colon || memchr(p, '\0', (size_t) (end - p)))
        return total;
    bp_buf_put(head, p, (size_t) (colon - p));
    bp_buf_put_u8(head, 0);
    for (colon++; colon < end && (*colon == ' ' || *colon == '\t');)
        colon++;
    bp_buf_put(head, colon, (size_t) (end - colon));
    bp_buf_put_u8(head, 0);
    if (head->failed || head->n > MAX_HEAD) {
        fail_code(t, head->failed ? -ENOMEM : BP_ELIMIT);
        return 0;
    }
    return total;
}

static size_t on_bytes(char *p, size_t size, size_t n, void *cls) {
    struct transfer *t = cls;
    struct bp_buf *body = &t->reply->body;
    size_t max = t->rq->max_body_bytes ? t->rq->max_body_bytes : (size_t) 1 << 20;

    n *= size;
    t->reply->received += n;
    t->moved = bp_mono_ns();
    if (is_cancelled(t)) {
        fail_code(t, -ECANCELED);
        return 0;
    }
    if (t->rq->sink && t->reply->status / 100 == 2) {
        int r = t->rq->sink(t->rq->sink_ctx, p, n);

        t->moved = bp_mono_ns(); /* what the sink took is not the link's */
        if (r < 0) {
            t->reply->local = true;
            fail_code(t, r);
        }
        return r < 0 ? 0 : n;
    }
    if (n > max - BP_MIN(max, body->n)) {
        fail_code(t, BP_ELIMIT);
        return 0;
    }
    bp_buf_put(body, p, n);
    if (body->failed)
        fail_code(t, -ENOMEM);
    return body->failed ? 0 : n;
}

/* So that what libcurl counts as sent is what the network took, give or take a little; and that a
 * peer which does not acknowledge is noticed while the kernel holds bytes for it. */
static int on_socket(void *cls, curl_socket_t fd, curlsocktype purpose) {
    const struct bp_fetch *f = cls;
    int lowat = NOT_SENT;
    unsigned ms = (unsigned) (f->stall_timeout / BP_MS);

    (void) purpose;
    (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    return CURL_SOCKOPT_OK;
}

/* ---- what went wrong ---- */

static int explain_ours(const struct transfer *t, struct bp_error *err) {
    switch (t->failed) {
    case -ECANCELED:
        return bp_fail(err, -ECANCELED, "'%s': cancelled", t->shown);
    case -ETIMEDOUT:
        return bp_fail(err, -ETIMEDOUT, "'%s': nothing moved for %.3g s", t->shown,
                       (double) t->stall / 1e9);
    case BP_ELIMIT:
        return bp_fail(err, BP_ELIMIT, "'%s': the answer is longer than is allowed", t->shown);
    case -ENODATA:
        return bp_fail(err, -ENODATA, "the file that is sent to '%s' has become shorter", t->shown);
    default:
        return bp_fail(err, t->failed, "'%s': %s", t->shown, bp_strerror(t->failed));
    }
}

/* How much of the URL names the other side: what lies there is no matter when nobody is. */
static int origin(const struct transfer *t, bool local) {
    const char *host = strstr(t->shown, "://");

    return (int) (local || !host ? strlen(t->shown)
                                 : (size_t) (host + 3 - t->shown) + strcspn(host + 3, "/?"));
}

static int explain_connect(const struct transfer *t, CURL *e, struct bp_error *err) {
    bool local = bp_starts_with(t->rq->url, "unix:");
    int n = origin(t, local);
    long os = 0;

    (void) curl_easy_getinfo(e, CURLINFO_OS_ERRNO, &os);
    switch (os) {
    case EACCES:
    case EPERM:
        if (local)
            return bp_fail(err, -EACCES, "you may not use '%s': are you in the group that owns it?",
                           t->shown);
        return bp_fail(err, -EHOSTUNREACH, "'%.*s' cannot be reached: %s", n, t->shown,
                       bp_strerror(-(int) os));
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
        return bp_fail(err, -EHOSTUNREACH, "'%.*s' cannot be reached: %s", n, t->shown,
                       bp_strerror(-(int) os));
    case ETIMEDOUT:
        return bp_fail(err, -ETIMEDOUT, "'%.*s' does not answer", n, t->shown);
    default:
        return bp_fail(err, -ECONNREFUSED, "nobody listens at '%.*s'", n, t->shown);
    }
}

/* A handshake that the link cut, against one that cannot succeed. */
static int explain_tls(const struct transfer *t, struct bp_error *err) {
    static const char *const cut[] = { "SYSCALL",        "reset by peer", "Broken pipe",
                                       "unexpected eof", "timed out",     "Connection refused" };
    const char *text = t->text[0] ? t->text : "the handshake failed";

    for (size_t i = 0; i < BP_COUNT(cut); i++)
        if (strcasestr(text, cut[i]))
            return bp_fail(err, -EIO, "the connection to '%s' broke: %s", t->shown, text);
    return bp_fail(err, BP_ETLS, "'%s': no TLS that we accept: %s", t->shown, text);
}

/* libcurl repeats a proxy's URL that it does not understand, password and all. */
static const char *text_of(const struct transfer *t, CURLcode code) {
    return t->text[0] && !strchr(t->text, '@') ? t->text : curl_easy_strerror(code);
}

static int explain(const struct transfer *t, CURL *e, CURLcode code, struct bp_error *err) {
    const char *text = text_of(t, code);

    if (t->failed)
        return explain_ours(t, err);
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        return explain_connect(t, e, err);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return bp_fail(err, -EHOSTUNREACH, "'%s': %s", t->shown, text);
    case CURLE_OPERATION_TIMEDOUT:
        return bp_fail(err, -ETIMEDOUT, "'%s' did not answer in time", t->shown);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return bp_fail(err, BP_ETLS, "'%s' does not prove who it is: %s", t->shown, text);
    case CURLE_SSL_CONNECT_ERROR:
        return explain_tls(t, err);
    case CURLE_SSL_CACERT_BADFILE:
        return bp_fail(err, BP_ECONFIG, "'%s' cannot be read as certificates of authorities",
                       t->f->ca_file ? t->f->ca_file : "the system's file");
    case CURLE_UNSUPPORTED_PROTOCOL:
        if (bp_starts_with(t->rq->url, "http")) /* HTTP/0.9, says libcurl */
            return bp_fail(err, -EIO, "what answers at '%s' does not speak HTTP", t->shown);
        return bp_fail(err, -EINVAL, "'%s': write http://…, https://… or unix:/PATH:/…", t->shown);
    case CURLE_URL_MALFORMAT:
        return bp_fail(err, -EINVAL, "'%s': write http://…, https://… or unix:/PATH:/…", t->shown);
    case CURLE_PARTIAL_FILE:
        return bp_fail(err, BP_ETRUNCATED, "the answer of '%s' ended early", t->shown);
    case CURLE_OUT_OF_MEMORY:
        return bp_fail(err, -ENOMEM, "out of memory");
    default:
        return bp_fail(err, -EIO, "the connection to '%s' broke: %s", t->shown, text);
    }
}

/* ---- a request ---- */

static void slist_freep(struct curl_slist **list) {
    curl_slist_free_all(*list);
}

static int add_header(struct curl_slist **list, const char *text, struct bp_error *err) {
    const char *colon = strchr(text, ':');
    BP_AUTO_BUF empty = { 0 };
    struct curl_slist *more;

    if (!colon || colon == text || strpbrk(text, "\r\n"))
        return bp_fail(err, -EINVAL, "a header is not one line 'Name: value'");
    if (colon[1 + strspn(colon + 1, " \t")] == '\0') { /* libcurl's way to say an empty value */
        bp_buf_printf(&empty, "%.*s;", (int) (colon - text), text);
        text = bp_buf_cstr(&empty);
    }
    more = text ? curl_slist_append(*list, text) : NULL;
    if (!more)
        return bp_fail(err, -ENOMEM, "out of memory");
    *list = more;
    return 0;
}

static int make_headers(const struct transfer *t, struct curl_slist **ret, struct bp_error *err) {
    struct curl_slist *first = NULL;
    int r = 0;

    if (!t->rq->expect) {
        first = curl_slist_append(NULL, "Expect:");
        if (!first)
            return bp_fail(err, -ENOMEM, "out of memory");
        *ret = first;
    }
    for (const char *const *h = t->rq->headers; r == 0 && h && *h; h++)
        r = add_header(ret, *h, err);
    return r;
}

/* "https://user:secret@host/path?signature" may be shown as "https://host/path". */
static void show_url(const char *url, char *out, size_t size) {
    const char *host = strstr(url, "://");
    size_t scheme = host ? (size_t) (host - url) + 3 : 0, end = strcspn(url, "?#");
    size_t authority = BP_MIN(end, scheme + strcspn(url + BP_MIN(scheme, strlen(url)), "/?#"));
    const char *at = memrchr(url + BP_MIN(scheme, end), '@', authority - BP_MIN(scheme, authority));
    size_t from = at ? (size_t) (at - url) + 1 : scheme;

    (void) snprintf(out, size, "%.*s%.*s", (int) BP_MIN(scheme, 16u), url,
                    (int) (end - BP_MIN(from, end)), url + from);
}

/* Scheme, host and port, or the path of the socket. */
static void origin_of(const char *url, char out[static ORIGIN]) {
    const char *host = strstr(url, "://");
    size_t n = bp_starts_with(url, "unix:") ? 5 + strcspn(url + 5, ":")
               : host                       ? (size_t) (host - url) + 3 + strcspn(host + 3, "/?#")
                                            : strlen(url);

    (void) snprintf(out, ORIGIN, "%.*s", (int) BP_MIN(n, (size_t) ORIGIN - 1), url);
}

/* "unix:/PATH:/uri" is a socket and "http://localhost/uri". */
static int set_url(const struct transfer *t, CURL *e, struct bp_error *err) {
    const char *url = t->rq->url, *uri;
    BP_AUTO_BUF http = { 0 }, path = { 0 };

    for (const char *p = url; *p; p++)
        if ((unsigned char) *p <= ' ' || *p == 127)
            return bp_fail(err, -EINVAL, "'%s': blanks in a URL are to be encoded", t->shown);
    if (!bp_starts_with(url, "unix:")) {
        (void) curl_easy_setopt(e, CURLOPT_PROXY, t->f->proxy); /* NULL: by environment */
        return curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK
                   ? 0
                   : bp_fail(err, -ENOMEM, "out of memory");
    }
    uri = strchr(url + 5, ':');
    if (url[5] != '/' || !uri || uri[1] != '/')
        return bp_fail(err, -EINVAL, "'%s': write unix:/PATH/OF.sock:/…", t->shown);
    bp_buf_printf(&http, "http://localhost%s", uri + 1);
    bp_buf_put(&path, url + 5, (size_t) (uri - url) - 5);
    if (!bp_buf_cstr(&http) || !bp_buf_cstr(&path) ||
        curl_easy_setopt(e, CURLOPT_URL, bp_buf_cstr(&http)) != CURLE_OK ||
        curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, bp_buf_cstr(&path)) != CURLE_OK ||
        curl_easy_setopt(e, CURLOPT_PROXY, "") != CURLE_OK)
        return bp_fail(err, -ENOMEM, "out of memory");
    return 0;
}

static void set_tls(const struct bp_fetch *f, CURL *e) {
    (void) curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    (void) curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    (void) curl_easy_setopt(e, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    (void) curl_easy_setopt(e, CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
    (void) curl_easy_setopt(e, CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
    (void) curl_easy_setopt(e, CURLOPT_PROXY_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    if (!f->ca_file)
        return;
    (void) curl_easy_setopt(e, CURLOPT_CAINFO, f->ca_file);
    (void) curl_easy_setopt(e, CURLOPT_CAPATH, NULL); /* these authorities and no others */
    (void) curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, f->ca_file);
    (void) curl_easy_setopt(e, CURLOPT_PROXY_CAPATH, NULL);
}

static void set_link(struct transfer *t, CURL *e) {
    const struct bp_fetch *f = t->f;

    (void) curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    (void) curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    (void) curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    (void) curl_easy_setopt(e, CURLOPT_USERAGENT, f->user_agent);
    (void) curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    (void) curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    (void) curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long) (f->connect_timeout / BP_MS));
    (void) curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long) (t->rq->timeout / BP_MS));
    (void) curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    (void) curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, 30L);
    (void) curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, 10L);
    (void) curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 256L << 10);
    (void) curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long) PIECE);
    (void) curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket);
    (void) curl_easy_setopt(e, CURLOPT_SOCKOPTDATA, f);
    set_tls(f, e);
}

static void set_callbacks(struct transfer *t, CURL *e) {
    (void) curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->text);
    (void) curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    (void) curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    (void) curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_bytes);
    (void) curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    (void) curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    (void) curl_easy_setopt(e, CURLOPT_READDATA, t);
    (void) curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
    (void) curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
    (void) curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void) curl_easy_setopt(e, CURLOPT_XFERINFODATA, t);
    (void) curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
}

/* PUT, POST and PATCH always have a body, be it empty: "Content-Length: 0". */
static void set_method(const struct transfer *t, CURL *e) {
    const char *m = t->rq->method;
    bool body = t->size > 0 || bp_streq(m, "PUT") || bp_streq(m, "POST") || bp_streq(m, "PATCH");

    if (bp_streq(m, "HEAD")) {
        (void) curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
        return;
    }
    if (body) {
        (void) curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        (void) curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t) t->size);
    }
    (void) curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, m);
}

bp_ns_t bp_fetch_http_date(const char *text) {
    time_t at = text ? curl_getdate(text, NULL) : -1;

    return at > 0 && at < 9000000000 ? (bp_ns_t) at * BP_SEC : 0; /* what nanoseconds can hold */
}

/* Retry-After: seconds, or a date by the server's own clock. */
static bp_ns_t retry_after(const struct bp_fetch_reply *reply) {
    const char *text = bp_fetch_header(reply, "Retry-After");
    bp_ns_t now = reply->date_ns ? reply->date_ns : bp_wall_ns();
    char *end;
    long long n;
    time_t at;

    if (!text)
        return 0;
    n = strtoll(text, &end, 10);
    if (end != text && *end == '\0')
        return BP_MIN(BP_MAX(n, 0), 365LL * 86400) * BP_SEC;
    at = curl_getdate(text, NULL);
    return at > now / BP_SEC ? BP_MIN((bp_ns_t) at - now / BP_SEC, 365LL * 86400) * BP_SEC : 0;
}

static void read_reply(const struct transfer *t, CURL *e) {
    struct bp_fetch_reply *reply = t->reply;
    curl_off_t sent = 0;
    long made = 0;

    reply->date_ns = bp_fetch_http_date(bp_fetch_header(reply, "Date"));
    reply->retry_after = retry_after(reply);
    (void) curl_easy_getinfo(e, CURLINFO_SIZE_UPLOAD_T, &sent);
    (void) curl_easy_getinfo(e, CURLINFO_NUM_CONNECTS, &made);
    reply->sent = (uint64_t) BP_MAX(sent, (curl_off_t) 0);
    reply->reused = made == 0 && reply->status != 0;
}

static int perform(struct transfer *t, CURL *e, struct bp_error *err) {
    BP_CLEANUP(slist_freep) struct curl_slist *headers = NULL;
    CURLcode code;
    int r;

    curl_easy_reset(e); /* keeps connections */
    r = set_url(t, e, err);
    if (r == 0)
        r = make_headers(t, &headers, err);
    if (r < 0)
        return r;
    set_link(t, e);
    set_callbacks(t, e);
    set_method(t, e);
    (void) curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    t->moved = bp_mono_ns();
    code = curl_easy_perform(e);
    read_reply(t, e);
    r = code == CURLE_OK ? 0 : explain(t, e, code, err);
    curl_easy_reset(e); /* nothing of the caller's is kept */
    return r;
}

int bp_fetch(struct bp_fetch *f, const struct bp_fetch_request *request, struct bp_fetch_reply *ret,
             struct bp_error *err) {
    struct transfer t = { .f = f, .rq = request, .reply = ret };
    char origin[ORIGIN];
    struct handle *h;
    int r;

    bp_fetch_reply_done(ret);
    t.stall = request->stall_timeout ? request->stall_timeout : f->stall_timeout;
    t.size = request->file ? request->file->size : request->body.n;
    show_url(request->url, t.shown, sizeof t.shown);
    if (is_cancelled(&t))
        return bp_fail(err, -ECANCELED, "'%s': cancelled", t.shown);
    if (t.size > INT64_MAX || strpbrk(request->method, " \r\n"))
        return bp_fail(err, -EINVAL, "'%s': not a request", t.shown);
    origin_of(request->url, origin);
    h = take_handle(f, origin);
    if (!h)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = perform(&t, h->curl, err);
    give_handle(f, h);
    return r;
}

/* ---- the answer ---- */

void bp_fetch_reply_done(struct bp_fetch_reply *reply) {
    if (!reply)
        return;
    bp_buf_done(&reply->body);
    bp_buf_done(&reply->head);
    *reply = (struct bp_fetch_reply){ 0 };
}

const char *bp_fetch_header(const struct bp_fetch_reply *reply, const char *name) {
    const char *p = (const char *) reply->head.p, *end = p + reply->head.n;

    while (p < end) {
        const char *value = p + strlen(p) + 1;

        if (strcasecmp(p, name) == 0)
            return value;
        p = value + strlen(value) + 1;
    }
    return NULL;
}
