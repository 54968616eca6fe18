/* How a request came: from whom, through a proxy or not. */
#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

#include "access/access-priv.h"
#include "base/buf.h"

/* What proxies add. Any of them makes a request one from elsewhere: the worst a client can do by
 * sending it is to be trusted less. One that adds nothing is nginx as it is without a word of
 * configuration, and that speaks HTTP/1.0, which hardly anybody else does. */
bool bp_access_forwarded(struct bp_http_req *req) {
    static const char *const names[] = { "Forwarded",         "X-Forwarded-For", "X-Forwarded-Host",
                                         "X-Forwarded-Proto", "X-Real-IP",       "Via" };

    for (size_t i = 0; i < BP_COUNT(names); i++)
        if (bp_http_header(req, names[i]))
            return true;
    return bp_streq(bp_http_version(req), "HTTP/1.0");
}

/* It decides about the Secure of a cookie only, which nobody gains by lying. */
bool bp_access_by_tls(struct bp_http_req *req) {
    const char *proto = bp_http_header(req, "X-Forwarded-Proto");

    return proto && strcasecmp(proto, "https") == 0;
}

/* "192.0.2.7:51234", "[2001:db8::1]:51234", "unix" without the port and brackets. */
static void host_of(const char *peer, char ret[static BP_THROTTLE_KEY]) {
    const char *colon = strrchr(peer, ':');
    bool bracket = peer[0] == '[';
    size_t n = colon ? (size_t) (colon - peer) : strlen(peer);

    if (bracket && n >= 2)
        (void) snprintf(ret, BP_THROTTLE_KEY, "%.*s", (int) n - 2, peer + 1);
    else
        (void) snprintf(ret, BP_THROTTLE_KEY, "%.*s", (int) n, peer);
}

/* The last of a list, which the proxy next to us has written: those before it are hearsay. */
static bool last_of(const char *list, char ret[static BP_THROTTLE_KEY]) {
    const char *comma = strrchr(list, ','), *p = comma ? comma + 1 : list;
    size_t n;

    p += strspn(p, " \t");
    n = strcspn(p, " \t");
    (void) snprintf(ret, BP_THROTTLE_KEY, "%.*s", (int) BP_MIN(n, (size_t) BP_THROTTLE_KEY), p);
    return n > 0 && n < BP_THROTTLE_KEY;
}

/* One text for all that one client may be: an IPv6 host has a whole /64, mapped IPv4 is IPv4. */
static bool normalise(char text[static BP_THROTTLE_KEY]) {
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    uint8_t ip[16];

    if (inet_pton(AF_INET, text, ip) == 1)
        return true;
    if (inet_pton(AF_INET6, text, ip) != 1)
        return false;
    if (memcmp(ip, mapped, sizeof mapped) == 0)
        return inet_ntop(AF_INET, ip + 12, text, BP_THROTTLE_KEY) != NULL;
    memset(ip + 8, 0, 8);
    return inet_ntop(AF_INET6, ip, text, BP_THROTTLE_KEY) != NULL;
}

void bp_access_client_of(const char *peer, const char *const *proxies, const char *forwarded_for,
                         char ret[static BP_THROTTLE_KEY]) {
    char said[BP_THROTTLE_KEY];

    host_of(peer, ret);
    for (; forwarded_for && *proxies; proxies++) {
        if (!bp_streq(*proxies, ret))
            continue;
        if (last_of(forwarded_for, said) && normalise(said)) {
            (void) snprintf(ret, BP_THROTTLE_KEY, "%s", said);
            return;
        }
        break;
    }
    (void) normalise(ret);
}

void bp_access_client(const struct bp_access *a, const struct bp_http_req *req,
                      char ret[static BP_THROTTLE_KEY]) {
    bp_access_client_of(bp_http_peer(req), (const char *const *) a->proxies,
                        bp_http_header(req, "X-Forwarded-For"), ret);
}

bool bp_access_by_proxy(const struct bp_access *a, const struct bp_http_req *req) {
    char host[BP_THROTTLE_KEY];

    host_of(bp_http_peer(req), host);
    for (char *const *proxy = a->proxies; *proxy; proxy++)
        if (bp_streq(*proxy, host))
            return true;
    return false;
}

void bp_access_peer(const struct bp_access *a, const struct bp_http_req *req,
                    char ret[static BP_ACCESS_PEER]) {
    bp_access_client(a, req, ret);
}
