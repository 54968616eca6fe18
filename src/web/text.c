#include "web/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macro.h"

static const char *const codings[] = {
    [BP_WEB_IDENTITY] = "identity",
    [BP_WEB_GZIP] = "gzip",
    [BP_WEB_BROTLI] = "br",
};

const char *bp_web_coding_text(enum bp_web_coding coding) {
    return codings[coding];
}

/* An item of a list up to its comma, without blanks around it; moves on to the next. */
static bool next_item(const char **list, const char **item, size_t *n) {
    const char *p = *list + strspn(*list, ", \t");
    size_t len = strcspn(p, ",");

    if (len == 0)
        return false;
    *list = p + len;
    *item = p;
    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
        len--;
    *n = len;
    return true;
}

/* ";q=0.5" as thousandths; 1000 without; 0 when it cannot be read. */
static int weight_of(const char *p, size_t n) {
    const char *end = p + n, *semi = memchr(p, ';', n);
    int weight = 0, unit = 1000;

    if (!semi)
        return 1000;
    for (p = semi + 1; p < end && (*p == ' ' || *p == '\t'); p++)
        ;
    if (end - p < 3 || (*p != 'q' && *p != 'Q') || p[1] != '=' || (p[2] != '0' && p[2] != '1'))
        return 0;
    weight = (p[2] - '0') * 1000;
    p += 3;
    if (p < end && *p == '.')
        for (p++; p < end && *p >= '0' && *p <= '9' && unit > 1; p++)
            weight += (*p - '0') * (unit /= 10);
    return p == end && weight <= 1000 ? weight : 0;
}

static bool is_name(const char *p, size_t n, const char *name) {
    size_t len = strlen(name);

    if (n < len || strncasecmp(p, name, len) != 0)
        return false;
    return n == len || p[len] == ';' || p[len] == ' ' || p[len] == '\t';
}

enum bp_web_coding bp_web_pick(const char *accept) {
    enum bp_web_coding best = BP_WEB_IDENTITY;
    int weights[BP_WEB_CODINGS] = { -1, -1, -1 }, any = -1;
    const char *item;
    size_t n;

    if (!accept)
        return best;
    while (next_item(&accept, &item, &n)) {
        int weight = weight_of(item, n);

        for (size_t i = 0; i < BP_COUNT(codings); i++)
            if (is_name(item, n, codings[i]))
                weights[i] = weight;
        if (is_name(item, n, "*"))
            any = weight;
    }
    for (size_t i = BP_WEB_GZIP; i < BP_COUNT(codings); i++)
        if (weights[i] < 0)
            weights[i] = BP_MAX(any, 0);
    for (size_t i = BP_WEB_GZIP; i < BP_COUNT(codings); i++)
        if (weights[i] > 0 && weights[i] >= weights[best])
            best = (enum bp_web_coding) i;
    return best;
}

bool bp_web_wants_page(const char *accept) {
    const char *item;
    size_t n;

    while (accept && next_item(&accept, &item, &n))
        if (is_name(item, n, "text/html"))
            return weight_of(item, n) > 0;
    return false;
}

static bool is_plain(char c, const char *others) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr(others, c));
}

bool bp_web_prefix(const char *text, char ret[static BP_WEB_PREFIX]) {
    size_t n = strlen(text);

    ret[0] = '\0';
    if (n > 0 && text[n - 1] == '/')
        n--;
    if (n == 0)
        return true;
    if (n >= BP_WEB_PREFIX || text[0] != '/')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_plain(text[i], "-._~/") || (text[i] == '/' && text[i + 1] == '/') ||
            (text[i] == '.' && text[i + 1] == '.'))
            return false;
    memcpy(ret, text, n);
    ret[n] = '\0';
    return true;
}

bool bp_web_origin(const char *url, char ret[static BP_WEB_ORIGIN]) {
    static const char *const schemes[] = { "https://", "http://", "wss://", "ws://" };

    ret[0] = '\0';
    for (size_t i = 0; i < BP_COUNT(schemes); i++) {
        size_t n = strlen(schemes[i]), host = n;

        if (strncmp(url, schemes[i], n) != 0)
            continue;
        while (is_plain(url[n], "-._:[]"))
            n++;
        if (n == host || n >= BP_WEB_ORIGIN || (url[n] != '\0' && url[n] != '/'))
            return false;
        memcpy(ret, url, n);
        ret[n] = '\0';
        return true;
    }
    return false;
}
