#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "net/http-priv.h"

/* A unix socket outlives a program that was killed. Whether one is stale is found out by connecting
 * to it; between that and our own bind a second program could do the same, so both happen under a
 * lock of the folder. */

static int lock_folder(const char *path) {
    size_t n = (size_t) (strrchr(path, '/') - path); /* bp_addr_parse() wants one in front */
    char folder[sizeof((struct sockaddr_un *) 0)->sun_path + 1];
    BP_AUTO_FD int fd = -1;

    (void) snprintf(folder, sizeof folder, "%.*s/", (int) n, path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return -errno;
    return BP_TAKE_FD(fd);
}

/* Removes a socket nobody listens on. */
static int remove_stale(const struct bp_addr *a, struct bp_error *err) {
    const char *path = a->un.sun_path;
    BP_AUTO_FD int probe = -1;
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT
                   ? 0
                   : bp_fail(err, -errno, "cannot look at '%s': %s", path, bp_strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return bp_fail(err, -EEXIST, "'%s' is there and is not a socket", path);

    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return bp_fail(err, -errno, "cannot make a socket: %s", bp_strerror(errno));
    if (connect(probe, &a->sa, a->len) == 0 || errno == EAGAIN)
        return bp_fail(err, BP_EBUSY, "another program listens on '%s'", path);
    if (errno != ECONNREFUSED && errno != ENOENT)
        return bp_fail(err, -errno, "cannot tell whether '%s' is in use: %s", path,
                       bp_strerror(errno));
    if (unlink(path) < 0 && errno != ENOENT)
        return bp_fail(err, -errno, "cannot remove the stale socket '%s': %s", path,
                       bp_strerror(errno));
    return 0;
}

static int bind_unix(struct bp_http_listener *l, struct bp_error *err) {
    const char *path = l->addr.un.sun_path;
    BP_AUTO_FD int lock = lock_folder(path);
    struct stat st;
    int r;

    if (lock < 0)
        return bp_fail(err, lock, "cannot make a socket in the folder of '%s': %s", path,
                       bp_strerror(lock));
    r = remove_stale(&l->addr, err);
    if (r < 0)
        return r;
    /* before and after: never more open than it is to be, whatever the umask */
    if (fchmod(l->fd, 0660) < 0 || bind(l->fd, &l->addr.sa, l->addr.len) < 0 ||
        chmod(path, 0660) < 0 || listen(l->fd, SOMAXCONN) < 0 || lstat(path, &st) < 0)
        return bp_fail(err, -errno, "cannot listen on '%s': %s", path, bp_strerror(errno));
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return 0;
}

static int bind_tcp(struct bp_http_listener *l, const char *text, struct bp_error *err) {
    const int on = 1;

    (void) setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (l->addr.sa.sa_family == AF_INET6)
        (void) setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(l->fd, &l->addr.sa, l->addr.len) == 0 && listen(l->fd, SOMAXCONN) == 0)
        return 0;
    if (errno == EADDRINUSE)
        return bp_fail(err, -EADDRINUSE, "another program listens on '%s'", text);
    return bp_fail(err, -errno, "cannot listen on '%s': %s", text, bp_strerror(errno));
}

static int check_inherited(int fd, struct bp_error *err) {
    int listening = 0;
    socklen_t len = sizeof listening;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
        return bp_fail(err, -EINVAL, "file descriptor %d is no listening socket", fd);
    (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        return bp_fail(err, -errno, "cannot use file descriptor %d: %s", fd, bp_strerror(errno));
    return 0;
}

int bp_http_listen(const char *text, struct bp_http_listener *ret, struct bp_error *err) {
    struct bp_http_listener l = { .fd = -1 };
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    int r;

    r = bp_addr_parse(text, &l.addr, err);
    if (r < 0)
        return r;

    l.fd = l.addr.kind == BP_ADDR_FD
               ? l.addr.fd
               : socket(l.addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l.fd < 0)
        return bp_fail(err, -errno, "cannot make a socket for '%s': %s", text, bp_strerror(errno));
    r = l.addr.kind == BP_ADDR_UNIX  ? bind_unix(&l, err)
        : l.addr.kind == BP_ADDR_TCP ? bind_tcp(&l, text, err)
                                     : check_inherited(l.fd, err);
    if (r == 0 && getsockname(l.fd, (struct sockaddr *) &ss, &len) < 0)
        r = bp_fail(err, -errno, "cannot tell the address of '%s': %s", text, bp_strerror(errno));
    if (r < 0) {
        bp_http_unlisten(&l);
        return r;
    }
    (void) bp_addr_format((const struct sockaddr *) &ss, len, l.text);
    *ret = l;
    return 0;
}

void bp_http_unlisten(struct bp_http_listener *l) {
    struct stat st;

    if (l->fd < 0)
        return;
    if (l->ino != 0 && lstat(l->addr.un.sun_path, &st) == 0 && st.st_dev == l->dev &&
        st.st_ino == l->ino)
        (void) unlink(l->addr.un.sun_path);
    (void) close(l->fd);
    l->fd = -1;
}
