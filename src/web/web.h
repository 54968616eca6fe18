#pragma once

#include "access/access.h"
#include "base/error.h"
#include "net/http.h"

/* The dashboard as an HTTP server gives it away: files that were built into the program, and the
 * one page that starts them, written anew for each answer. Nobody has to log in to get them; what
 * they show comes by the API, which asks.
 *
 *   /assets/...            names that hold a hash of the contents: kept for a year, 404 when
 * missing /boot.js, /sw.js, ...  other files of the build: kept, asked for by ETag /config.json
 * where API and events are, when not where the page came from
 *   /, and whatever else a browser asks for as a page: index.html, with a nonce of its own
 */
struct bp_web;

/* Borrowed for the call; NULL and "" are the same. */
struct bp_web_options {
    const struct bp_access
        *access;             /* knows the proxies that are believed; borrowed until the end */
    const char *base_path;   /* path below which a proxy shows us: "/robot7" */
    const char *backend_url; /* where the API is, as browsers reach it */
    const char *ws_url;      /* where the events are, as browsers reach them */
    const char *map_tiles;   /* "https://HOST/{z}/{x}/{y}.png" */
};

/**
 * @param ret  owned by the caller, release with bp_web_close() after the servers that use it
 * @return 0, BP_ECONFIG for a path or address that cannot be used, -ENOMEM
 */
BP_MUST_CHECK int bp_web_open(const struct bp_web_options *o, struct bp_web **ret,
                              struct bp_error *err);
void bp_web_close(struct bp_web *w);
BP_DEFINE_CLEANUP(struct bp_web, bp_web_close)

/** The path below which a proxy shows us, for bp_http_options; borrowed. */
const char *bp_web_base(const struct bp_web *w);

/** Answers GET of a path that no route has. To be called by a `fallback` handler; any thread. */
int bp_web_get(struct bp_web *w, struct bp_http_req *req, struct bp_http_reply *reply,
               struct bp_error *err);
