#pragma once

#include <stddef.h>
#include <stdint.h>

#include "web/text.h"

/* The files of the dashboard as tools/web-pack.mjs wrote them into the program, by path. */
struct bp_web_asset {
    const char *path; /* "assets/index-Bx3.js" */
    const char *type; /* "text/javascript; charset=utf-8" */
    const char *etag; /* with its quotes, of the identity */
    struct {
        uint32_t at, n; /* in bp_web_blob; n = 0: not there as it would not be smaller */
    } bytes[BP_WEB_CODINGS];
};

extern const struct bp_web_asset bp_web_assets[]; /* sorted by path, in bytes */
extern const size_t bp_web_assets_count;          /* 0: built without the dashboard */
extern const char bp_web_blob[];
