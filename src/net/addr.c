#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>

static int parse_port(const char *text, uint16_t *ret) {
    unsigned port = 0;
    size_t n = strspn(text, "0123456789");

    if (n == 0 || n > 5 || text[n] != '\0')
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        port = port * 10 + (unsigned) (text[i] - '0');
    if (port > 65535)
        return -EINVAL;
    *ret = htons((uint16_t) port);
    return 0;
}

static int parse_unix(const char *path, struct bp_addr *a, struct bp_error *err) {
    size_t n = strlen(path);

    if (path[0] != '/')
        return bp_fail(err, -EINVAL, "'unix:%s': the path of a socket starts with '/'", path);
    if (n >= sizeof a->un.sun_path)
        return bp_fail(err, -EINVAL, "'unix:%s': the path of a socket is at most %zu bytes long",
                       path, sizeof a->un.sun_path - 1);

    a->kind = BP_ADDR_UNIX;
    a->local = true;
    a->un.sun_family = AF_UNIX;
    memcpy(a->un.sun_path, path, n + 1);
    a->len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n + 1);
    return 0;
}

/* A host of `n` bytes, then its port. */
static int parse_ip(const char *host, size_t n, const char *port, struct bp_addr *a) {
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    struct sockaddr_in in = { .sin_family = AF_INET };
    char text[INET6_ADDRSTRLEN];

    if (n == 0 || n >= sizeof text)
        return -EINVAL;
    memcpy(text, host, n);
    text[n] = '\0';
    if (text[0] != '[') {
        if (inet_pton(AF_INET, text, &in.sin_addr) != 1 || parse_port(port, &in.sin_port) < 0)
            return -EINVAL;
        memcpy(&a->ss, &in, sizeof in);
        a->len = sizeof in;
        return 0;
    }
    if (text[n - 1] != ']')
        return -EINVAL;
    text[n - 1] = '\0';
    if (inet_pton(AF_INET6, text + 1, &in6.sin6_addr) != 1 || parse_port(port, &in6.sin6_port) < 0)
        return -EINVAL;
    memcpy(&a->ss, &in6, sizeof in6);
    a->len = sizeof in6;
    return 0;
}

int bp_addr_parse(const char *text, struct bp_addr *ret, struct bp_error *err) {
    struct bp_addr a = { .fd = -1 };
    const char *colon = strrchr(text, ':');
    uint16_t number;
    int r;

    if (bp_starts_with(text, "unix:")) {
        r = parse_unix(text + 5, &a, err);
        if (r < 0)
            return r;
    } else if (bp_starts_with(text, "fd:")) {
        if (parse_port(text + 3, &number) < 0)
            return bp_fail(err, -EINVAL, "'%s' is not the number of a file descriptor", text);
        a.kind = BP_ADDR_FD;
        a.fd = ntohs(number);
    } else {
        if (!colon || parse_ip(text, (size_t) (colon - text), colon + 1, &a) < 0)
            return bp_fail(err, -EINVAL,
                           "'%s' is not an address to listen on: write 127.0.0.1:9090, [::1]:9090 "
                           "or unix:/run/name.sock",
                           text);
        a.kind = BP_ADDR_TCP;
        a.local = bp_addr_is_local(&a.sa);
    }
    *ret = a;
    return 0;
}

char *bp_addr_format(const struct sockaddr *sa, socklen_t len, char text[static BP_ADDR_TEXT]) {
    struct sockaddr_in6 in6;
    struct sockaddr_in in;
    char host[INET6_ADDRSTRLEN] = "?";

    if (sa->sa_family == AF_INET && len >= sizeof in) {
        memcpy(&in, sa, sizeof in);
        (void) inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
        (void) snprintf(text, BP_ADDR_TEXT, "%s:%u", host, ntohs(in.sin_port));
    } else if (sa->sa_family == AF_INET6 && len >= sizeof in6) {
        memcpy(&in6, sa, sizeof in6);
        (void) inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof host);
        (void) snprintf(text, BP_ADDR_TEXT, "[%s]:%u", host, ntohs(in6.sin6_port));
    } else if (sa->sa_family == AF_UNIX && len > offsetof(struct sockaddr_un, sun_path)) {
        (void) snprintf(text, BP_ADDR_TEXT, "unix:%.*s",
                        (int) (len - offsetof(struct sockaddr_un, sun_path)),
                        (const char *) sa + offsetof(struct sockaddr_un, sun_path));
    } else {
        (void) snprintf(text, BP_ADDR_TEXT, "%s", sa->sa_family == AF_UNIX ? "unix" : "unknown");
    }
    return text;
}

/* The 16 bytes of an IPv6 address, an IPv4 address mapped into them; false for other families. */
static bool ip_bytes(const struct sockaddr *sa, uint8_t ret[static 16]) {
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    struct sockaddr_in6 in6;
    struct sockaddr_in in;

    if (sa->sa_family == AF_INET6) {
        memcpy(&in6, sa, sizeof in6);
        memcpy(ret, &in6.sin6_addr, 16);
        return true;
    }
    if (sa->sa_family != AF_INET)
        return false;
    memcpy(&in, sa, sizeof in);
    memcpy(ret, mapped, sizeof mapped);
    memcpy(ret + 12, &in.sin_addr, 4);
    return true;
}

static bool is_mapped(const uint8_t ip[static 16]) {
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    return memcmp(ip, mapped, sizeof mapped) == 0;
}

bool bp_addr_is_local(const struct sockaddr *sa) {
    static const uint8_t one[16] = { [15] = 1 };
    uint8_t ip[16];

    if (!ip_bytes(sa, ip))
        return sa->sa_family == AF_UNIX;
    return is_mapped(ip) ? ip[12] == 127 : memcmp(ip, one, 16) == 0;
}

bool bp_addr_same_peer(const struct sockaddr *a, const struct sockaddr *b) {
    uint8_t x[16], y[16];
    bool ip = ip_bytes(a, x);

    if (ip != ip_bytes(b, y))
        return false;
    if (!ip)
        return a->sa_family == b->sa_family;
    return memcmp(x, y, is_mapped(x) || is_mapped(y) ? 16 : 8) == 0;
}

bool bp_addr_fd_is_local(int fd) {
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof ss;

    return getsockname(fd, (struct sockaddr *) &ss, &len) == 0 &&
           bp_addr_is_local((const struct sockaddr *) &ss);
}
