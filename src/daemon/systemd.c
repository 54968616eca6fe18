#include "daemon/systemd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/thread.h"
#include "base/units.h"
#include "net/addr.h"

/* Our own few lines instead of libsystemd: the protocol is a promise of systemd
 * (systemd.io/PORTABILITY_AND_STABILITY), and the library brings five others into a small process.
 */

enum { FIRST_SOCKET = 3 };

#define EXTEND_EVERY (5 * BP_SEC)
#define EXTEND_BY    (20 * BP_SEC)
#define WORKED       (1 * BP_MS) /* of processor time: below it nothing was done */
#define STATUS_EVERY (2 * BP_SEC)

/* ---- the environment ---- */

static const char *env(const char *name) {
    return getenv(name); /* NOLINT(concurrency-mt-unsafe): before other threads start */
}

static void forget(const char *name) {
    (void) unsetenv(name); /* NOLINT(concurrency-mt-unsafe): before other threads start */
}

static bool number(const char *text, int64_t *ret) {
    return text && bp_parse_int(text, ret) == 0 && *ret >= 0;
}

/* A path, or '@' and a name in the abstract namespace. */
static int read_address(struct bp_systemd *s, const char *text, struct bp_error *err) {
    size_t n = strlen(text);

    if ((text[0] != '/' && text[0] != '@') || n < 2 || n >= sizeof s->at.sun_path)
        return bp_fail(err, -EINVAL, "NOTIFY_SOCKET: '%s' is no address of a unix socket", text);
    s->at.sun_family = AF_UNIX;
    memcpy(s->at.sun_path, text, n);
    if (text[0] == '@')
        s->at.sun_path[0] = '\0';
    s->at_len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n + (text[0] == '/'));
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return s->fd < 0 ? bp_fail(err, -errno, "cannot make a socket: %s", bp_strerror(errno)) : 0;
}

static void read_watchdog(struct bp_systemd *s) {
    const char *pid = env("WATCHDOG_PID");
    int64_t usec, whose;

    if (!number(env("WATCHDOG_USEC"), &usec) || usec == 0 || usec > INT64_MAX / 1000)
        return;
    if (pid && (!number(pid, &whose) || whose != getpid()))
        return; /* meant for somebody else */
    s->watchdog = usec * 1000;
}

static int read_sockets(struct bp_systemd *s, struct bp_error *err) {
    int64_t n, whose;

    if (!number(env("LISTEN_FDS"), &n) || !number(env("LISTEN_PID"), &whose) || whose != getpid())
        return 0;
    if (n > BP_SYSTEMD_SOCKETS)
        return bp_fail(err, -E2BIG, "%" PRId64 " sockets were passed, at most %d are of use", n,
                       BP_SYSTEMD_SOCKETS);
    for (int i = 0; i < n; i++) {
        int fd = FIRST_SOCKET + i, listening = 0;
        socklen_t len = sizeof listening;

        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
            return bp_fail(err, -EINVAL,
                           "socket %d of those passed is none that listens for connections "
                           "(ListenStream= with Accept=no makes one)",
                           i + 1);
        (void) snprintf(s->sockets[s->nsockets++], sizeof s->sockets[0], "fd:%d", fd);
    }
    return 0;
}

int bp_systemd_open(struct bp_systemd *ret, struct bp_error *err) {
    struct bp_systemd s = { .fd = -1 };
    static const char *const names[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                         "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES" };
    const char *at = env("NOTIFY_SOCKET");
    pthread_condattr_t a;
    int r = at && *at ? read_address(&s, at, err) : 0;

    if (r == 0 && s.fd >= 0)
        read_watchdog(&s);
    if (r == 0)
        r = read_sockets(&s, err);
    for (size_t i = 0; i < BP_COUNT(names); i++)
        forget(names[i]);
    *ret = s;
    (void) pthread_mutex_init(&ret->lock, NULL);
    (void) pthread_condattr_init(&a);
    (void) pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&ret->wake, &a);
    (void) pthread_condattr_destroy(&a);
    return r;
}

void bp_systemd_done(struct bp_systemd *s) {
    bp_systemd_swift(s);
    if (s->fd >= 0)
        (void) close(s->fd);
    s->fd = -1;
    (void) pthread_cond_destroy(&s->wake);
    (void) pthread_mutex_destroy(&s->lock);
}

bool bp_systemd_is_unix(const char *socket) {
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof ss;
    struct bp_error err;
    struct bp_addr a;

    return bp_addr_parse(socket, &a, &err) == 0 && a.kind == BP_ADDR_FD &&
           getsockname(a.fd, (struct sockaddr *) &ss, &len) == 0 && ss.ss_family == AF_UNIX;
}

/* ---- telling ---- */

void bp_systemd_tell(const struct bp_systemd *s, const char *fmt, ...) {
    char text[512];
    va_list ap;
    int n;

    if (s->fd < 0)
        return;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0)
        (void) sendto(s->fd, text, BP_MIN((size_t) n, sizeof text - 1), MSG_NOSIGNAL | MSG_DONTWAIT,
                      (const struct sockaddr *) &s->at, s->at_len);
}

void bp_systemd_ready(const struct bp_systemd *s) {
    bp_systemd_tell(s, "READY=1");
}

void bp_systemd_reloading(const struct bp_systemd *s) {
    bp_systemd_tell(s, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, bp_mono_ns() / 1000);
}

void bp_systemd_stopping(const struct bp_systemd *s) {
    bp_systemd_tell(s, "STOPPING=1\nSTATUS=finishing what is being recorded");
}

void bp_systemd_status(struct bp_systemd *s, const char *text, bp_ns_t mono) {
    if (s->fd < 0 || bp_streq(text, s->status) || (s->told && mono - s->told < STATUS_EVERY))
        return;
    (void) snprintf(s->status, sizeof s->status, "%s", text);
    s->told = mono;
    bp_systemd_tell(s, "STATUS=%s", s->status);
}

bool bp_systemd_due(const struct bp_systemd *s, bp_ns_t mono) {
    return s->watchdog && (!s->pinged || mono - s->pinged >= s->watchdog / 3);
}

void bp_systemd_ping(struct bp_systemd *s, bp_ns_t mono) {
    s->pinged = mono;
    bp_systemd_tell(s, "WATCHDOG=1");
}

/* ---- more time ---- */

static bp_ns_t worked(const struct bp_systemd *s) {
    struct timespec ts = { 0 };

    (void) clock_gettime(s->clock, &ts);
    return (bp_ns_t) ts.tv_sec * BP_SEC + ts.tv_nsec;
}

/* Whoever hangs is not to be waited for: time is asked for only while there is work. The manager
 * counts what it has been asked for from the moment of asking. */
static void *asks_for_time(void *arg) {
    struct bp_systemd *s = arg;
    bp_ns_t before = -WORKED;

    (void) pthread_mutex_lock(&s->lock);
    while (!s->over) {
        bp_ns_t now = worked(s), next = bp_mono_ns() + EXTEND_EVERY;
        struct timespec ts = { .tv_sec = next / BP_SEC, .tv_nsec = next % BP_SEC };

        if (now - before >= WORKED)
            bp_systemd_tell(s, "EXTEND_TIMEOUT_USEC=%" PRId64, EXTEND_BY / 1000);
        before = now;
        (void) pthread_cond_timedwait(&s->wake, &s->lock, &ts);
    }
    (void) pthread_mutex_unlock(&s->lock);
    return NULL;
}

void bp_systemd_slow(struct bp_systemd *s) {
    if (s->fd < 0 || s->busy || pthread_getcpuclockid(pthread_self(), &s->clock) != 0)
        return;
    s->over = false;
    s->busy = bp_thread_start("systemd", asks_for_time, s, &s->thread) == 0;
}

void bp_systemd_swift(struct bp_systemd *s) {
    if (!s->busy)
        return;
    (void) pthread_mutex_lock(&s->lock);
    s->over = true;
    (void) pthread_cond_signal(&s->wake);
    (void) pthread_mutex_unlock(&s->lock);
    (void) pthread_join(s->thread, NULL);
    s->busy = false;
}

/* ---- is the door answered? ---- */

/* @return false when the deadline has passed */
static bool await(int fd, short events, bp_ns_t deadline) {
    bp_ns_t left = deadline - bp_mono_ns();
    struct pollfd p = { .fd = fd, .events = events };

    return left > 0 && poll(&p, 1, (int) (left / BP_MS) + 1) == 1;
}

/* Nobody can connect to "any address"; loopback stands for it. */
static void reachable(struct bp_addr *a) {
    if (a->sa.sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, &a->ss, sizeof in);
        if (in.sin_addr.s_addr == htonl(INADDR_ANY))
            in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        memcpy(&a->ss, &in, sizeof in);
    } else if (a->sa.sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, &a->ss, sizeof in6);
        if (IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr))
            in6.sin6_addr = in6addr_loopback;
        memcpy(&a->ss, &in6, sizeof in6);
    }
}

bool bp_systemd_http_answers(const char *address, bp_ns_t max) {
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
                                  "Connection: close\r\n\r\n";
    static const char want[] = "HTTP/1.";
    bp_ns_t deadline = bp_mono_ns() + max;
    char got[sizeof want - 1];
    struct bp_error err;
    struct bp_addr a;
    BP_AUTO_FD int fd = -1;
    size_t n = 0;

    if (!address || bp_addr_parse(address, &a, &err) < 0 || a.kind == BP_ADDR_FD)
        return false;
    reachable(&a);
    fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || (connect(fd, &a.sa, a.len) < 0 && errno != EINPROGRESS) ||
        !await(fd, POLLOUT, deadline) ||
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1)
        return false;
    while (n < sizeof got && await(fd, POLLIN, deadline)) {
        ssize_t r = recv(fd, got + n, sizeof got - n, 0);

        if (r <= 0)
            break;
        n += (size_t) r;
    }
    return n == sizeof got && memcmp(got, want, n) == 0;
}
