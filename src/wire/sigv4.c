/* A signature is an HMAC over a text, which names when and for what it is, and holds the digest of
 * the request in its one canonical form: method, path, query, headers, digest of the body. The key
 * of that HMAC is derived from the secret, the day, the region and the service. */
#include "wire/sigv4.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "crypt/hmac.h"
#include "crypt/secret.h"

enum { DAY = 8 }; /* "20130524" of "20130524T000000Z" */

char *bp_sigv4_time(bp_ns_t wall, char text[static BP_SIGV4_TIME]) {
    time_t at = (time_t) (wall / BP_SEC - (wall % BP_SEC < 0));
    struct tm tm;

    if (!gmtime_r(&at, &tm))
        memset(&tm, 0, sizeof tm);
    (void) snprintf(text, BP_SIGV4_TIME, "%04d%02d%02dT%02d%02d%02dZ", tm.tm_year + 1900,
                    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return text;
}

static bool is_plain(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void put_encoded(struct bp_buf *b, const char *p, size_t n, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char) p[i];

        if (is_plain(c) || (keep_slash && c == '/')) {
            bp_buf_put_u8(b, c);
        } else {
            char code[3] = { '%', digits[c >> 4], digits[c & 15] };

            bp_buf_put(b, code, sizeof code);
        }
    }
}

void bp_sigv4_put_path(struct bp_buf *b, const char *path, size_t n) {
    put_encoded(b, path, n, true);
}

/* ---- the query ---- */

/* Where a pair lies, encoded, in a buffer: "name", '\0', "value", '\0'. */
struct encoded {
    const char *name, *value;
};

static int by_name_then_value(const void *a, const void *b) {
    const struct encoded *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    return c ? c : strcmp(x->value, y->value);
}

int bp_sigv4_put_query(struct bp_buf *b, const struct bp_sigv4_pair *query, size_t n) {
    struct encoded e[BP_SIGV4_MAX_PAIRS];
    BP_AUTO_BUF text = { 0 };
    const char *p;

    if (n > BP_SIGV4_MAX_PAIRS)
        return BP_ELIMIT;
    for (size_t i = 0; i < n; i++) {
        put_encoded(&text, query[i].name, strlen(query[i].name), false);
        bp_buf_put_u8(&text, 0);
        put_encoded(&text, query[i].value, strlen(query[i].value), false);
        bp_buf_put_u8(&text, 0);
    }
    p = bp_buf_cstr(&text);
    if (!p) {
        b->failed = true;
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        e[i].name = p;
        e[i].value = p += strlen(p) + 1;
        p += strlen(p) + 1;
    }
    qsort(e, n, sizeof e[0], by_name_then_value);
    for (size_t i = 0; i < n; i++)
        bp_buf_printf(b, "%s%s=%s", i ? "&" : "", e[i].name, e[i].value);
    return b->failed ? -ENOMEM : 0;
}

/* ---- headers ---- */

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char) (c + 'a' - 'A') : c;
}

static int compare_names(const char *a, const char *b) {
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return (int) (unsigned char) lower(*a) - (int) (unsigned char) lower(*b);
}

/* Equal names keep their order: their values are joined. */
static int by_header(const void *a, const void *b) {
    const struct bp_sigv4_pair *x = *(const struct bp_sigv4_pair *const *) a,
                               *y = *(const struct bp_sigv4_pair *const *) b;
    int c = compare_names(x->name, y->name);

    return c ? c : (x > y) - (x < y);
}

static void put_lower(struct bp_buf *b, const char *name) {
    for (; *name; name++)
        bp_buf_put_u8(b, (uint8_t) lower(*name));
}

/* Without blanks around it, and one for several within. */
static void put_trimmed(struct bp_buf *b, const char *value) {
    bool begun = false, blank = false;

    for (; *value; value++) {
        if (*value == ' ' || *value == '\t' || *value == '\r' || *value == '\n') {
            blank = true;
            continue;
        }
        if (blank && begun)
            bp_buf_put_u8(b, ' ');
        bp_buf_put_u8(b, (uint8_t) *value);
        begun = true;
        blank = false;
    }
}

/* "name:value\n" each, and the names: "host;x-amz-date". */
static int put_headers(struct bp_buf *lines, struct bp_buf *names,
                       const struct bp_sigv4_request *rq) {
    const struct bp_sigv4_pair *order[BP_SIGV4_MAX_PAIRS];

    if (rq->nheaders > BP_SIGV4_MAX_PAIRS)
        return BP_ELIMIT;
    for (size_t i = 0; i < rq->nheaders; i++)
        order[i] = &rq->headers[i];
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are sorted */
    qsort(order, rq->nheaders, sizeof(order[0]), by_header);
    for (size_t i = 0; i < rq->nheaders; i++) {
        bool more = i > 0 && compare_names(order[i - 1]->name, order[i]->name) == 0;

        if (more) {
            bp_buf_put_u8(lines, ',');
        } else {
            bp_buf_put_str(names, i ? ";" : "");
            put_lower(names, order[i]->name);
            bp_buf_put_str(lines, i ? "\n" : "");
            put_lower(lines, order[i]->name);
            bp_buf_put_u8(lines, ':');
        }
        put_trimmed(lines, order[i]->value);
    }
    bp_buf_put_u8(lines, '\n');
    return 0;
}

/* ---- the signature ---- */

static void put_scope(struct bp_buf *b, const struct bp_sigv4_key *key, const char *time) {
    bp_buf_printf(b, "%.*s/%s/%s/aws4_request", DAY, time, key->region, key->service);
}

/* HMAC by HMAC from the secret to the signature. */
static int sign(const struct bp_sigv4_key *key, const char *time, struct bp_str text,
                char hex[static BP_SHA256_HEX]) {
    const struct bp_str steps[] = {
        { time, DAY }, bp_str_of(key->region), bp_str_of(key->service), BP_STR("aws4_request"), text
    };
    BP_AUTO_BUF secret = { 0 };
    uint8_t mac[BP_SHA256_LEN];
    int r;

    bp_buf_reserve(&secret, 4 + strlen(key->secret_key) + 1); /* so that no copy is left behind */
    bp_buf_printf(&secret, "AWS4%s", key->secret_key);
    if (secret.failed)
        return -ENOMEM;
    r = bp_hmac_sha256(secret.p, secret.n, steps[0].p, steps[0].n, mac);
    bp_wipe(secret.p, secret.n);
    for (size_t i = 1; r == 0 && i < BP_COUNT(steps); i++)
        r = bp_hmac_sha256(mac, sizeof mac, steps[i].p, steps[i].n, mac);
    if (r == 0)
        (void) bp_sha256_hex(mac, hex);
    bp_wipe(mac, sizeof mac);
    return r;
}

/* @param query  canonical; @param ret_names  the signed headers' */
static int signature_of(const struct bp_sigv4_key *key, const struct bp_sigv4_request *rq,
                        struct bp_str query, const char *payload, struct bp_buf *ret_names,
                        char hex[static BP_SHA256_HEX]) {
    BP_AUTO_BUF canonical = { 0 }, text = { 0 };
    char time[BP_SIGV4_TIME];
    uint8_t digest[BP_SHA256_LEN];
    int r;

    bp_buf_printf(&canonical, "%s\n%s\n", rq->method, rq->path);
    bp_buf_put(&canonical, query.p, query.n);
    bp_buf_put_u8(&canonical, '\n');
    r = put_headers(&canonical, ret_names, rq);
    if (r < 0)
        return r;
    bp_buf_put_u8(&canonical, '\n');
    bp_buf_put(&canonical, ret_names->p, ret_names->n);
    bp_buf_printf(&canonical, "\n%s", payload);
    if (canonical.failed || ret_names->failed)
        return -ENOMEM;
    bp_sha256_of(canonical.p, canonical.n, digest);

    (void) bp_sigv4_time(rq->wall, time);
    bp_buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n", time);
    put_scope(&text, key, time);
    bp_buf_printf(&text, "\n%s", bp_sha256_hex(digest, hex));
    if (text.failed)
        return -ENOMEM;
    return sign(key, time, (struct bp_str){ (const char *) text.p, text.n }, hex);
}

int bp_sigv4_authorize(const struct bp_sigv4_key *key, const struct bp_sigv4_request *request,
                       struct bp_buf *out) {
    BP_AUTO_BUF query = { 0 }, names = { 0 };
    char hex[BP_SHA256_HEX], time[BP_SIGV4_TIME];
    int r = bp_sigv4_put_query(&query, request->query, request->nquery);

    if (r == 0)
        r = signature_of(key, request, (struct bp_str){ (const char *) query.p, query.n },
                         request->payload, &names, hex);
    if (r < 0)
        return r;
    bp_buf_printf(out, "AWS4-HMAC-SHA256 Credential=%s/", key->access_key);
    put_scope(out, key, bp_sigv4_time(request->wall, time));
    bp_buf_printf(out, ", SignedHeaders=%.*s, Signature=%s", (int) names.n, (const char *) names.p,
                  hex);
    return out->failed ? -ENOMEM : 0;
}

int bp_sigv4_presign(const struct bp_sigv4_key *key, const struct bp_sigv4_request *request,
                     unsigned expires, struct bp_buf *out) {
    struct bp_sigv4_pair query[BP_SIGV4_MAX_PAIRS];
    BP_AUTO_BUF lines = { 0 }, names = { 0 }, credential = { 0 };
    char time[BP_SIGV4_TIME], seconds[16], hex[BP_SHA256_HEX];
    size_t n = request->nquery, at = out->n;
    int r;

    if (expires < 1 || expires > 604800)
        return -EINVAL;
    if (n + 6 > BP_SIGV4_MAX_PAIRS)
        return BP_ELIMIT;
    r = put_headers(&lines, &names, request);
    if (r < 0)
        return r;
    (void) snprintf(seconds, sizeof seconds, "%u", expires);
    bp_buf_printf(&credential, "%s/", key->access_key);
    put_scope(&credential, key, bp_sigv4_time(request->wall, time));
    if (!bp_buf_cstr(&names) || !bp_buf_cstr(&credential))
        return -ENOMEM;
    if (n > 0)
        memcpy(query, request->query, n * sizeof query[0]);
    query[n++] = (struct bp_sigv4_pair){ "X-Amz-Algorithm", "AWS4-HMAC-SHA256" };
    query[n++] = (struct bp_sigv4_pair){ "X-Amz-Credential", bp_buf_cstr(&credential) };
    query[n++] = (struct bp_sigv4_pair){ "X-Amz-Date", time };
    query[n++] = (struct bp_sigv4_pair){ "X-Amz-Expires", seconds };
    query[n++] = (struct bp_sigv4_pair){ "X-Amz-SignedHeaders", bp_buf_cstr(&names) };
    if (key->session_token)
        query[n++] = (struct bp_sigv4_pair){ "X-Amz-Security-Token", key->session_token };
    r = bp_sigv4_put_query(out, query, n);
    if (r < 0)
        return r;
    bp_buf_clear(&names);
    r = signature_of(key, request, (struct bp_str){ (const char *) out->p + at, out->n - at },
                     request->payload ? request->payload : BP_SIGV4_UNSIGNED, &names, hex);
    if (r < 0)
        return r;
    bp_buf_printf(out, "&X-Amz-Signature=%s", hex);
    return out->failed ? -ENOMEM : 0;
}
