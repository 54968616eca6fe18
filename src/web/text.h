#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What the dashboard's files are sent as, and below which path: pure functions over what clients,
 * proxies and configurations say. */

enum bp_web_coding { BP_WEB_IDENTITY, BP_WEB_GZIP, BP_WEB_BROTLI, BP_WEB_CODINGS };

/** "identity", "gzip", "br". */
const char *bp_web_coding_text(enum bp_web_coding coding);

/**
 * The best coding by an Accept-Encoding header (RFC 9110 §12.5.3): of those with the highest weight
 * the smallest. Identity when nothing is said, or nothing we have is wanted.
 */
enum bp_web_coding bp_web_pick(const char *accept);

/** Does an Accept header name text/html? What browsers send for pages, and for nothing else. */
bool bp_web_wants_page(const char *accept);

enum { BP_WEB_PREFIX = 256, BP_WEB_ORIGIN = 128 };

/**
 * A path below which a proxy shows us, without the slash at its end; "" for the root. Letters,
 * digits and "-._~/" only, as it is written into a page; no "//" and no "..".
 *
 * @return false when it is no such path; `ret` is "" then
 */
bool bp_web_prefix(const char *text, char ret[static BP_WEB_PREFIX]);

/**
 * The origin of a URL: "wss://host:8765" of "wss://host:8765/x", as it stands in a policy.
 *
 * @return false when it is no URL of http, https, ws or wss; `ret` is "" then
 */
bool bp_web_origin(const char *url, char ret[static BP_WEB_ORIGIN]);
