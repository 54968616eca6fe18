#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/error.h"

/* Where to listen, as people write it: "127.0.0.1:9090", "[::1]:9090", "0.0.0.0:80",
 * "unix:/run/bagpipe/agent.sock", "fd:3" for a socket that is already listening. */
struct bp_addr {
    enum bp_addr_kind { BP_ADDR_TCP, BP_ADDR_UNIX, BP_ADDR_FD } kind;
    bool local; /* only this machine reaches it: a loopback address or a unix socket; fd: false */
    int fd;     /* BP_ADDR_FD */
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_un un;
        struct sockaddr_storage ss;
    };
};

/* "[ffff:…]:65535", or "unix:" with a path as long as one may be. */
enum { BP_ADDR_TEXT = sizeof(struct sockaddr_un) + 8 };

/** Reads an address; port 0 lets the system choose. @return 0, -EINVAL */
BP_MUST_CHECK int bp_addr_parse(const char *text, struct bp_addr *ret, struct bp_error *err);

/** Writes a socket's address as bp_addr_parse() reads it; "unix" for a peer without a path. */
char *bp_addr_format(const struct sockaddr *sa, socklen_t len, char text[static BP_ADDR_TEXT]);

/** True for 127.0.0.0/8, ::1 (mapped IPv4 too) and unix sockets. */
bool bp_addr_is_local(const struct sockaddr *sa);

/** The same of a socket's own address. */
bool bp_addr_fd_is_local(int fd);

/** True when both are the same machine as far as limits per peer go: equal IPv4 address, equal /64
 *  of IPv6; ports do not matter; any two unix sockets. */
bool bp_addr_same_peer(const struct sockaddr *a, const struct sockaddr *b);
