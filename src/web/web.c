#include "web/web.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "crypt/secret.h"
#include "web/assets.h"
#include "web/text.h"

struct bp_web {
    const struct bp_access *access;
    char base[BP_WEB_PREFIX];
    char policy[2 * BP_WEB_ORIGIN + BP_WEB_ORIGIN + 320]; /* with a %s for the nonce's source */
    char *config;                                         /* config.json */
};

static const char no_dashboard[] =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>bagpipe</title>"
    "<h1>bagpipe</h1><p>This program was built without the dashboard (-Dweb=false). "
    "Its API is here all the same: see api/v1/openapi.json.</p></html>\n";

/* ---- opening ---- */

static int put_url(json_t *o, const char *key, const char *name, const char *url,
                   char origin[static BP_WEB_ORIGIN], struct bp_error *err) {
    origin[0] = '\0';
    if (!url || !*url)
        return 0;
    if (!bp_web_origin(url, origin))
        return bp_fail(err, BP_ECONFIG,
                       "%s: '%.200s' is no address such as https://robots.example.com", key, url);
    return json_object_set_new(o, name, json_string(url)) < 0
               ? bp_fail(err, BP_ECONFIG, "%s: this is not UTF-8", key)
               : 0;
}

static int set_up(struct bp_web *w, const struct bp_web_options *o, json_t *config,
                  struct bp_error *err) {
    char backend[BP_WEB_ORIGIN], events[BP_WEB_ORIGIN], tiles[BP_WEB_ORIGIN];
    int r = 0;

    if (o->base_path && !bp_web_prefix(o->base_path, w->base))
        return bp_fail(err, BP_ECONFIG, "http.base_path: '%.200s' is no path such as /robot7",
                       o->base_path);
    r = put_url(config, "dashboard.backend_url", "backend_url", o->backend_url, backend, err);
    if (r == 0)
        r = put_url(config, "dashboard.ws_url", "ws_url", o->ws_url, events, err);
    if (r == 0)
        r = put_url(config, "dashboard.map_tiles", "map_tiles", o->map_tiles, tiles, err);
    if (r < 0)
        return r;
    if (!*events && bp_starts_with(backend, "http")) /* in a policy http: does not mean ws: */
        (void) snprintf(events, sizeof events, "ws%.*s", BP_WEB_ORIGIN - 3, backend + 4);
    /* a nonce for style elements only: scripts are files of ours, always */
    (void) snprintf(w->policy, sizeof w->policy,
                    "default-src 'self'; script-src 'self'; style-src 'self'%%s; "
                    "img-src 'self' data: blob:%s%s; connect-src 'self'%s%s%s%s; "
                    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
                    "form-action 'self'; frame-ancestors 'none'",
                    *tiles ? " " : "", tiles, *backend ? " " : "", backend, *events ? " " : "",
                    events);
    w->config = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
    return w->config ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

int bp_web_open(const struct bp_web_options *o, struct bp_web **ret, struct bp_error *err) {
    struct bp_web *w = calloc(1, sizeof *w);
    json_t *config = json_object();
    int r;

    if (!w || !config) {
        free(w);
        json_decref(config);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    w->access = o->access;
    r = set_up(w, o, config, err);
    json_decref(config);
    if (r < 0) {
        bp_web_close(w);
        return r;
    }
    *ret = w;
    return 0;
}

void bp_web_close(struct bp_web *w) {
    if (!w)
        return;
    free(w->config);
    free(w);
}

const char *bp_web_base(const struct bp_web *w) {
    return w->base;
}

/* ---- answering ---- */

static int by_path(const void *key, const void *asset) {
    return strcmp(key, ((const struct bp_web_asset *) asset)->path);
}

static const struct bp_web_asset *find(const char *path) {
    return bsearch(path, bp_web_assets, bp_web_assets_count, sizeof bp_web_assets[0], by_path);
}

static void reply_policy(const struct bp_web *w, struct bp_http_reply *reply, const char *nonce) {
    char source[80] = "", text[sizeof w->policy + sizeof source];
    const char *gap = strstr(w->policy, "%s");

    if (nonce)
        (void) snprintf(source, sizeof source, " 'nonce-%s'", nonce);
    (void) snprintf(text, sizeof text, "%.*s%s%s", (int) (gap - w->policy), w->policy, source,
                    gap + 2);
    bp_http_reply_header(reply, "Content-Security-Policy", text);
    bp_http_reply_header(reply, "X-Frame-Options", "DENY");
    bp_http_reply_header(reply, "Cross-Origin-Opener-Policy", "same-origin");
}

static void reply_asset(const struct bp_web *w, const struct bp_web_asset *a,
                        struct bp_http_req *req, struct bp_http_reply *reply) {
    enum bp_web_coding coding = bp_web_pick(bp_http_header(req, "Accept-Encoding"));
    bool hashed = bp_starts_with(a->path, "assets/");

    if (a->bytes[coding].n == 0) /* brotli is there whenever gzip is */
        coding = BP_WEB_IDENTITY;
    bp_http_reply_static(reply, 200, a->type, bp_web_blob + a->bytes[coding].at,
                         a->bytes[coding].n);
    if (coding != BP_WEB_IDENTITY)
        bp_http_reply_header(reply, "Content-Encoding", bp_web_coding_text(coding));
    bp_http_reply_header(reply, "Vary", "Accept-Encoding");
    if (hashed) {
        bp_http_reply_header(reply, "Cache-Control", "public, max-age=31536000, immutable");
    } else {
        char etag[40]; /* what is sent differs by coding, and so must its name */

        (void) snprintf(etag, sizeof etag, "\"%.*s-%s\"", (int) strcspn(a->etag + 1, "\""),
                        a->etag + 1, bp_web_coding_text(coding));
        bp_http_reply_header(reply, "ETag", etag);
    }
    reply_policy(w, reply, NULL);
}

/* Appends a text, each `find` in it replaced. */
static void put_filled(struct bp_buf *out, const char *p, size_t n, const char *nonce,
                       const char *base) {
    static const char hole[] = "__NONCE__", root[] = "<base href=\"/\"";
    const char *end = p + n;

    if (!p) /* never: gcc with sanitizers takes it for possible */
        return;
    while (p < end) {
        size_t left = (size_t) (end - p);
        const char *a = memmem(p, left, hole, sizeof hole - 1);
        const char *b = memmem(p, left, root, sizeof root - 1);
        const char *next = a && (!b || a < b) ? a : b;

        bp_buf_put(out, p, (size_t) ((next ? next : end) - p));
        if (!next)
            return;
        if (next == a)
            bp_buf_put_str(out, nonce);
        else
            bp_buf_printf(out, "<base href=\"%s/\"", base);
        p = next + (next == a ? sizeof hole - 1 : sizeof root - 1);
    }
}

/* Below which path the browser sees us: what a proxy says counts when it is one of ours. */
static void base_of(const struct bp_web *w, const struct bp_http_req *req,
                    char ret[static BP_WEB_PREFIX]) {
    const char *said = bp_http_header(req, "X-Forwarded-Prefix");

    if (!said || !w->access || !bp_access_by_proxy(w->access, req) || !bp_web_prefix(said, ret))
        (void) snprintf(ret, BP_WEB_PREFIX, "%s", w->base);
}

static int reply_page(const struct bp_web *w, const struct bp_http_req *req,
                      struct bp_http_reply *reply, struct bp_error *err) {
    const struct bp_web_asset *a = find("index.html");
    BP_AUTO_BUF page = { 0 };
    char nonce[33], base[BP_WEB_PREFIX];
    uint8_t random[16];

    if (!a) {
        bp_http_reply_static(reply, 200, "text/html; charset=utf-8", no_dashboard,
                             sizeof no_dashboard - 1);
        return 0;
    }
    if (bp_random(random, sizeof random) < 0)
        return bp_fail(err, -EIO, "the system has no random bytes to give");
    for (size_t i = 0; i < sizeof random; i++)
        (void) snprintf(nonce + 2 * i, 3, "%02x", random[i]);
    base_of(w, req, base);
    put_filled(&page, bp_web_blob + a->bytes[BP_WEB_IDENTITY].at, a->bytes[BP_WEB_IDENTITY].n,
               nonce, base);
    bp_http_reply_buf(reply, 200, "text/html; charset=utf-8", &page);
    bp_http_reply_header(reply, "Cache-Control", "no-store"); /* a nonce is good for one answer */
    bp_http_reply_header(reply, "Vary", "Accept");
    reply_policy(w, reply, nonce);
    return 0;
}

static void reply_config(const struct bp_web *w, struct bp_http_reply *reply) {
    BP_AUTO_BUF text = { 0 };

    bp_buf_put_str(&text, w->config);
    bp_http_reply_buf(reply, 200, "application/json", &text);
    reply_policy(w, reply, NULL);
}

/* Below these nothing is a page, whatever a browser asks for. */
static bool is_ours(const char *path) {
    static const char *const first[] = { "/api", "/metrics", "/healthz", "/readyz", "/assets" };

    for (size_t i = 0; i < BP_COUNT(first); i++) {
        size_t n = strlen(first[i]);

        if (strncmp(path, first[i], n) == 0 && (path[n] == '\0' || path[n] == '/'))
            return true;
    }
    return false;
}

int bp_web_get(struct bp_web *w, struct bp_http_req *req, struct bp_http_reply *reply,
               struct bp_error *err) {
    const char *path = bp_http_path(req);
    const struct bp_web_asset *a;
    struct bp_error why = { 0 };

    if (bp_streq(path, "/") || bp_streq(path, "/index.html"))
        return reply_page(w, req, reply, err);
    if (bp_web_assets_count > 0 && bp_streq(path, "/config.json")) {
        reply_config(w, reply);
        return 0;
    }
    a = path[0] == '/' ? find(path + 1) : NULL;
    if (a) {
        reply_asset(w, a, req, reply);
        return 0;
    }
    if (path[0] == '/' && !is_ours(path) && bp_web_assets_count > 0 &&
        bp_web_wants_page(bp_http_header(req, "Accept")))
        return reply_page(w, req, reply, err);
    (void) snprintf(why.text, sizeof why.text, "there is nothing at '%.200s'", path);
    bp_http_reply_problem(reply, 404, &why);
    return 0;
}
