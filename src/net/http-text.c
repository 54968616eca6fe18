#include "net/http-text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <strings.h>

#include "base/json.h"
#include "net/addr.h"

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_utf8(const char *p, size_t n) {
    for (size_t at = 0; at < n;) {
        size_t k = bp_utf8_char(p + at, n - at);

        if (k == 0)
            return false;
        at += k;
    }
    return true;
}

/* Decodes `n` bytes to *to, which it moves behind the NUL it adds. */
static int decode(const char *p, size_t n, bool plus, char **to, struct bp_error *err) {
    char *start = *to, *out = *to;

    for (size_t i = 0; i < n; i++) {
        char c = p[i];

        if (c == '%') {
            int hi = i + 2 < n ? hex(p[i + 1]) : -1;
            int lo = hi >= 0 ? hex(p[i + 2]) : -1;

            if (lo < 0)
                return bp_fail(err, -EINVAL, "a '%%' in the address is not followed by two digits");
            c = (char) (hi << 4 | lo);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (c == '\0')
            return bp_fail(err, -EINVAL, "the address holds a NUL character");
        *out++ = c;
    }
    *out++ = '\0';
    if (!is_utf8(start, (size_t) (out - start) - 1))
        return bp_fail(err, -EINVAL, "the address is not UTF-8");
    *to = out;
    return 0;
}

/* Neither control characters nor steps up the tree, however they were written. */
static int check_segment(const char *s, struct bp_error *err) {
    for (const char *p = s; *p; p++)
        if ((unsigned char) *p < 0x20 || *p == 0x7f)
            return bp_fail(err, -EINVAL, "the path holds a control character");
    for (const char *p = s;; p++) {
        size_t n = strcspn(p, "/");

        if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return bp_fail(err, -EINVAL, "the path holds '.' or '..'");
        p += n;
        if (*p == '\0')
            return 0;
    }
}

static int parse_path(struct bp_http_target *t, const char *p, size_t n, char **to,
                      struct bp_error *err) {
    size_t at = 1; /* behind the first '/' */
    int r;

    while (at < n || (at == n && n > 1)) {
        const char *slash = memchr(p + at, '/', n - at);
        size_t len = slash ? (size_t) (slash - p) - at : n - at;

        if (t->nsegments == BP_HTTP_MAX_SEGMENTS)
            return bp_fail(err, BP_ELIMIT, "the path has more than %d parts", BP_HTTP_MAX_SEGMENTS);
        t->segments[t->nsegments++] = *to;
        r = decode(p + at, len, false, to, err);
        if (r < 0)
            return r;
        r = check_segment(t->segments[t->nsegments - 1], err);
        if (r < 0)
            return r;
        at += len + 1;
    }
    return 0;
}

static int parse_query(struct bp_http_target *t, const char *p, char **to, struct bp_error *err) {
    while (*p) {
        size_t n = strcspn(p, "&"), name = strcspn(p, "=&");
        struct bp_http_pair *pair = &t->query[t->nquery];
        int r;

        if (n > 0) {
            if (t->nquery == BP_HTTP_MAX_QUERY)
                return bp_fail(err, BP_ELIMIT, "the query has more than %d parts",
                               BP_HTTP_MAX_QUERY);
            pair->name = *to;
            r = decode(p, name, true, to, err);
            if (r < 0)
                return r;
            pair->value = name < n ? *to : "";
            r = name < n ? decode(p + name + 1, n - name - 1, true, to, err) : 0;
            if (r < 0)
                return r;
            t->nquery++;
        }
        p += n + (p[n] == '&');
    }
    return 0;
}

/* Takes "http://authority" off the front. */
static int take_authority(const char **raw, struct bp_http_target *t, char **to,
                          struct bp_error *err) {
    const char *p = *raw;
    size_t scheme, n;

    if (p[0] == '/' || bp_streq(p, "*"))
        return 0;
    scheme = strncasecmp(p, "http://", 7) == 0 ? 7 : strncasecmp(p, "https://", 8) == 0 ? 8 : 0;
    n = scheme ? strcspn(p + scheme, "/?") : 0;
    if (n == 0 || p[scheme + n] != '/')
        return bp_fail(err, -EINVAL, "the path does not start with '/'");
    t->authority = *to;
    memcpy(*to, p + scheme, n);
    (*to)[n] = '\0';
    *to += n + 1;
    *raw = p + scheme + n;
    return 0;
}

int bp_http_target_parse(const char *raw, struct bp_http_target *ret, struct bp_error *err) {
    struct bp_http_target t = { 0 };
    size_t n = strlen(raw);
    char *to;
    int r;

    if (n > SIZE_MAX / 2 - 2)
        return bp_fail(err, BP_ELIMIT, "the address is too long");
    t.text = malloc(2 * n + 3); /* the path as it is; all parts, decoded */
    if (!t.text)
        return bp_fail(err, -ENOMEM, "out of memory");

    to = t.text;
    r = take_authority(&raw, &t, &to, err);
    if (r == 0) {
        n = strcspn(raw, "?");
        t.path = memcpy(to, raw, n);
        to[n] = '\0';
        to += n + 1;
        r = raw[0] == '/' ? parse_path(&t, raw, n, &to, err) : 0;
    }
    if (r == 0 && raw[n] == '?')
        r = parse_query(&t, raw + n + 1, &to, err);
    if (r < 0) {
        bp_http_target_done(&t);
        return r;
    }
    *ret = t;
    return 0;
}

void bp_http_target_done(struct bp_http_target *t) {
    if (!t)
        return;
    free(t->text);
    *t = (struct bp_http_target){ 0 };
}

/* The next segment of a pattern; false behind the last. */
static bool next_segment(const char **pattern, struct bp_str *ret) {
    if (**pattern == '\0')
        return false;
    *ret = (struct bp_str){ *pattern + 1, strcspn(*pattern + 1, "/") };
    *pattern = ret->p + ret->n;
    return true;
}

int bp_http_pattern_check(const char *pattern, struct bp_error *err) {
    const char *p = pattern;
    struct bp_str s;
    size_t params = 0;

    if (bp_streq(pattern, "/"))
        return 0;
    if (pattern[0] != '/')
        return bp_fail(err, -EINVAL, "route '%s' does not start with '/'", pattern);
    while (next_segment(&p, &s)) {
        bool named = s.n > 0 && (s.p[0] == ':' || s.p[0] == '*');

        if (s.n == 0 || (named && s.n == 1))
            return bp_fail(err, -EINVAL, "route '%s' has an empty part", pattern);
        if (s.p[0] == '*' && *p != '\0')
            return bp_fail(err, -EINVAL, "route '%s': '*' must be the last part", pattern);
        if (named && ++params > BP_HTTP_MAX_PARAMS)
            return bp_fail(err, -EINVAL, "route '%s' has too many parameters", pattern);
    }
    return 0;
}

bool bp_http_pattern_fits(const char *pattern, const struct bp_http_target *t) {
    struct bp_str s;
    size_t i = 0;

    if (t->path[0] != '/')
        return false;
    if (bp_streq(pattern, "/"))
        return t->nsegments == 0;
    while (next_segment(&pattern, &s)) {
        if (s.p[0] == '*')
            return true;
        if (i == t->nsegments)
            return false;
        if (s.p[0] == ':' ? t->segments[i][0] == '\0' : !bp_str_eq(s, bp_str_of(t->segments[i])))
            return false;
        i++;
    }
    return i == t->nsegments;
}

size_t bp_http_pattern_params(const char *pattern, struct bp_http_target *t,
                              struct bp_http_param params[static BP_HTTP_MAX_PARAMS]) {
    struct bp_str s;
    size_t n = 0;

    for (size_t i = 0; !bp_streq(pattern, "/") && next_segment(&pattern, &s); i++) {
        if (s.p[0] != ':' && s.p[0] != '*')
            continue;
        params[n++] = (struct bp_http_param){
            .name = { s.p + 1, s.n - 1 },
            .value = i < t->nsegments ? t->segments[i] : "",
        };
        /* the segments lie one behind the other, each ended by a NUL */
        for (size_t k = i + 1; s.p[0] == '*' && k < t->nsegments; k++)
            t->text[t->segments[k] - t->text - 1] = '/';
    }
    return n;
}

/* Digits at *p into *ret, which stops at UINT64_MAX; false when there are none. */
static bool take_number(const char **p, uint64_t *ret) {
    uint64_t v = 0;
    const char *start = *p;

    for (; **p >= '0' && **p <= '9'; (*p)++) {
        unsigned digit = (unsigned) (**p - '0');

        v = v > (UINT64_MAX - digit) / 10 ? UINT64_MAX : v * 10 + digit;
    }
    *ret = v;
    return *p > start;
}

int bp_http_range_parse(const char *header, uint64_t size, uint64_t *ret_first, uint64_t *ret_n) {
    const char *p = header;
    uint64_t first, last;
    bool has_first, has_last;

    if (strncasecmp(p, "bytes=", 6) != 0)
        return 0;
    p += 6;
    has_first = take_number(&p, &first);
    if (*p++ != '-')
        return 0;
    has_last = take_number(&p, &last);
    if (*p != '\0' || (!has_first && !has_last) || (has_first && has_last && last < first))
        return 0;

    if (!has_first) { /* the last so many */
        if (last == 0 || size == 0)
            return -ERANGE;
        first = size - BP_MIN(last, size);
        last = size - 1;
    }
    if (first >= size)
        return -ERANGE;
    *ret_first = first;
    *ret_n = (has_last || !has_first ? BP_MIN(last, size - 1) : size - 1) - first + 1;
    return 1;
}

bool bp_http_etag_in(const char *list, const char *etag) {
    size_t n;

    if (bp_starts_with(etag, "W/"))
        etag += 2;
    n = strlen(etag);
    list += strspn(list, " \t");
    if (bp_streq(list, "*"))
        return true;
    while (*list) {
        size_t len;

        list += strspn(list, " \t,");
        if (bp_starts_with(list, "W/"))
            list += 2;
        len = strcspn(list, " \t,");
        if (list[0] == '"') { /* may hold commas */
            const char *end = strchr(list + 1, '"');

            len = end ? (size_t) (end - list) + 1 : strlen(list);
        }
        if (len > 0 && len == n && memcmp(list, etag, n) == 0)
            return true;
        list += len;
    }
    return false;
}

bool bp_http_authority_split(const char *text, struct bp_str *ret_host, struct bp_str *ret_port) {
    size_t host = text[0] == '[' ? strcspn(text, "]") + 1 : strcspn(text, ":"), port;

    if (host == 0 || host > strlen(text))
        return false;
    port = text[host] == ':' ? strspn(text + host + 1, "0123456789") : 0;
    if (text[host + (text[host] == ':') + port] != '\0' || port > 5)
        return false;
    *ret_host = (struct bp_str){ text, host };
    *ret_port = (struct bp_str){ text + host + (text[host] == ':'), port };
    return true;
}

static bool same_name(struct bp_str a, struct bp_str b) {
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

/* Address literals: loopback, or the very address the connection was made to. */
static bool is_own_literal(struct bp_str host, const struct sockaddr *own) {
    char text[INET6_ADDRSTRLEN + 10];
    struct bp_addr a;

    if (host.n + 3 > sizeof text)
        return false;
    memcpy(text, host.p, host.n);
    memcpy(text + host.n, ":0", 3);
    if (bp_addr_parse(text, &a, NULL) < 0 || a.kind != BP_ADDR_TCP)
        return false;
    if (a.local)
        return true;
    if (!own || own->sa_family != a.sa.sa_family)
        return false;
    if (own->sa_family == AF_INET6) {
        struct sockaddr_in6 x, y;

        memcpy(&x, own, sizeof x);
        memcpy(&y, &a.ss, sizeof y);
        return memcmp(&x.sin6_addr, &y.sin6_addr, sizeof x.sin6_addr) == 0;
    }
    return bp_addr_same_peer(own, &a.sa);
}

bool bp_http_host_ok(const char *authority, const char *const *names, const struct sockaddr *own) {
    struct bp_str host, port;

    if (!bp_http_authority_split(authority, &host, &port))
        return false;
    if (host.n > 1 && host.p[host.n - 1] == '.') /* a name with its root */
        host.n--;
    if (same_name(host, BP_STR("localhost")) || is_own_literal(host, own))
        return true;
    for (; names && *names; names++)
        if (same_name(host, bp_str_of(*names)))
            return true;
    return false;
}

bool bp_http_origin_ok(const char *origin, const char *authority, const char *const *more) {
    size_t scheme = bp_starts_with(origin, "http://")    ? 7
                    : bp_starts_with(origin, "https://") ? 8
                                                         : 0;

    if (scheme && authority && strcasecmp(origin + scheme, authority) == 0)
        return true;
    for (; more && *more; more++)
        if (strcasecmp(origin, *more) == 0)
            return true;
    return false;
}

struct bp_str bp_http_cookie_find(const char *header, const char *name) {
    size_t n = strlen(name);

    while (*header) {
        size_t len;

        header += strspn(header, " \t;");
        len = strcspn(header, ";");
        if (len > n && header[n] == '=' && memcmp(header, name, n) == 0) {
            struct bp_str v = { header + n + 1, len - n - 1 };

            while (v.n > 0 && v.p[v.n - 1] == ' ')
                v.n--;
            return v;
        }
        header += len;
    }
    return (struct bp_str){ 0 };
}
