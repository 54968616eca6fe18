#include <errno.h>
#include <strings.h>

#include "net/http-priv.h"

/* What libmicrohttpd lets through and a request's handler must not have to think about. A head that
 * two programs could read in different ways (two lengths, length and chunks, folded or broken
 * header lines) is refused, so that a proxy in front cannot be made to disagree with us. Host is
 * checked against DNS rebinding: a page whose name was made to point here still sends its own name.
 * Origin is checked for what changes something: browsers send it along, pages cannot forge it. */

struct scan {
    unsigned hosts, lengths, encodings;
    bool broken;
};

static bool is_token(const char *p, size_t n) {
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < n; i++) {
        char c = p[i];

        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              (c != '\0' && strchr(others, c))))
            return false;
    }
    return n > 0;
}

static bool is_value(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (((unsigned char) p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
            return false;
    return true;
}

static enum MHD_Result scan_header(void *cls, enum MHD_ValueKind kind, const char *key, size_t nkey,
                                   const char *value, size_t nvalue) {
    struct scan *s = cls;

    (void) kind;
    s->hosts += strcasecmp(key, "Host") == 0;
    s->lengths += strcasecmp(key, "Content-Length") == 0;
    s->encodings += strcasecmp(key, "Transfer-Encoding") == 0;
    s->broken |= !is_token(key, nkey) || !is_value(value, nvalue);
    return MHD_YES;
}

bool bp_http_has_body(const struct bp_http_req *req) {
    const char *length = bp_http_header(req, "Content-Length");

    return bp_http_header(req, "Transfer-Encoding") || (length && !bp_streq(length, "0"));
}

static bool is_safe(const struct bp_http_req *req) {
    return (bp_streq(req->method, "GET") || bp_streq(req->method, "HEAD") ||
            bp_streq(req->method, "OPTIONS")) &&
           !bp_http_header(req, "Upgrade");
}

static int refuse(struct bp_http_req *req, int status, const char *why) {
    bp_http_reply_refuse(&req->reply, status, "%s", why);
    return status;
}

/* Is the length of the body beyond doubt and below the limit? */
static int check_framing(struct bp_http_req *req, const struct scan *s) {
    const char *encoding = bp_http_header(req, "Transfer-Encoding");
    const char *length = bp_http_header(req, "Content-Length");
    uint64_t n = 0, max = bp_http_body_max(&req->http->o);

    if (s->broken)
        return refuse(req, 400, "a header line is malformed");
    if (s->hosts > 1 || s->lengths > 1 || s->encodings > 1)
        return refuse(req, 400, "a header that may stand once stands twice");
    if (encoding && length)
        return refuse(req, 400, "a body has a length or comes in chunks, not both");
    if (encoding && strcasecmp(encoding, "chunked") != 0)
        return refuse(req, 501, "the only transfer coding understood is 'chunked'");
    for (const char *p = length; p && *p; p++) { /* digits, libmicrohttpd has checked */
        n = n * 10 + (unsigned char) (*p - '0');
        if (n > max) {
            bp_http_reply_refuse(&req->reply, 413, "a body may have %llu bytes",
                                 (unsigned long long) max);
            return 413;
        }
    }
    req->length = n;
    return 0;
}

static int check_host(struct bp_http_req *req) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct sockaddr_storage own = { 0 };
    socklen_t len = sizeof own;

    req->authority = req->target.authority ? req->target.authority : bp_http_header(req, "Host");
    if (!req->authority) /* HTTP/1.0: no browser */
        return 0;
    if (info)
        (void) getsockname(info->connect_fd, (struct sockaddr *) &own, &len);
    if (bp_http_host_ok(req->authority, req->http->o.hosts, (const struct sockaddr *) &own))
        return 0;
    bp_http_reply_refuse(&req->reply, 421,
                         "'%.100s' is no name of this server; names it answers to are configured",
                         req->authority);
    return 421;
}

static int check_origin(struct bp_http_req *req) {
    const char *origin = bp_http_header(req, "Origin");
    const char *site = bp_http_header(req, "Sec-Fetch-Site");

    if (is_safe(req))
        return 0;
    if (origin ? bp_http_origin_ok(origin, req->authority, req->http->o.origins)
               : !site || !bp_streq(site, "cross-site"))
        return 0;
    bp_http_reply_refuse(&req->reply, 403, "pages of '%.100s' may not change anything here",
                         origin ? origin : "another site");
    return 403;
}

int bp_http_head_check(struct bp_http_req *req, bool *ret_framed) {
    struct scan s = { 0 };
    int status;

    (void) MHD_get_connection_values_n(req->mhd, MHD_HEADER_KIND, scan_header, &s);
    status = check_framing(req, &s);
    *ret_framed = status == 0;
    if (status == 0 && req->target_code < 0) {
        status = req->target_code == -ENOMEM ? 503 : req->target_code == BP_ELIMIT ? 414 : 400;
        bp_http_reply_refuse(&req->reply, status, "%s", req->target_err.text);
    }
    if (status == 0)
        status = check_host(req);
    if (status == 0)
        status = check_origin(req);
    return status;
}

static bool method_fits(const struct bp_http_route *r, const char *method) {
    return bp_streq(r->method, method) || (bp_streq(r->method, "GET") && bp_streq(method, "HEAD"));
}

/* Adds a method to a list, once. */
static void allow(char *list, size_t size, const char *method) {
    size_t n = strlen(list), len = strlen(method);

    for (const char *p = strstr(list, method); p; p = strstr(p + 1, method))
        if ((p == list || p[-1] == ' ') && (p[len] == ',' || p[len] == '\0'))
            return;
    (void) snprintf(list + n, size - n, "%s%s", n ? ", " : "", method);
}

/* No route takes the request: the fallback does, or it is refused. */
static int no_route(struct bp_http_req *req) {
    const struct bp_http_options *o = &req->http->o;
    char list[160] = "";

    for (size_t i = 0; i < o->nroutes; i++) {
        if (!bp_streq(req->target.path, "*") &&
            !bp_http_pattern_fits(o->routes[i].pattern, &req->target))
            continue;
        allow(list, sizeof list, o->routes[i].method);
        if (bp_streq(o->routes[i].method, "GET"))
            allow(list, sizeof list, "HEAD");
    }
    if (list[0] == '\0' && o->fallback && method_fits(o->fallback, req->method) &&
        req->target.path[0] == '/') {
        req->route = o->fallback;
        return 0;
    }
    if (list[0] == '\0') {
        bp_http_reply_refuse(&req->reply, 404, "there is nothing at '%.200s'", req->target.path);
        return 404;
    }
    allow(list, sizeof list, "OPTIONS");
    if (bp_streq(req->method, "OPTIONS"))
        bp_http_reply_empty(&req->reply, 204);
    else
        bp_http_reply_refuse(&req->reply, 405, "'%.200s' does not know %.20s, only %s",
                             req->target.path, req->method, list);
    bp_http_reply_header(&req->reply, "Allow", list);
    return req->reply.status;
}

int bp_http_head_route(struct bp_http_req *req) {
    const struct bp_http_options *o = &req->http->o;

    for (size_t i = 0; i < o->nroutes && !req->route; i++)
        if (method_fits(&o->routes[i], req->method) &&
            bp_http_pattern_fits(o->routes[i].pattern, &req->target))
            req->route = &o->routes[i];
    if (!req->route)
        return no_route(req);
    req->nparams = bp_http_pattern_params(req->route->pattern, &req->target, req->params);
    return 0;
}
