#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <time.h>
#include <utlist.h>

#include "base/log.h"
#include "base/thread.h"
#include "net/http-priv.h"

/* Connections are accepted here and handed to libmicrohttpd, whose own idle timer is re-armed by
 * each byte: a client that sends one every second would hold its connection for ever. So each has a
 * deadline for its head and one for its body, and the accept thread shuts down what is past it; the
 * loop then sees the end of the connection and closes it.
 *
 * libmicrohttpd waits edge-triggered and reads once: of a client that sends half a request and
 * closes in the same moment it does not see the end until a timer runs out. So we listen for that
 * end, too, and shut down what has waited for more of its request since.
 *
 * An entry is made before libmicrohttpd knows of the connection, so that limits hold however busy
 * the loops are, and found again by its descriptor. libmicrohttpd may give up a connection in
 * between without a word (out of memory): such an entry is not `started`, its descriptor is not
 * ours any more, and it is forgotten after a while. */

enum { SWEEP_MS = 500, FULL_PAUSE_MS = 100, EVENTS = 64, AT_ONCE = 64 };

static const bp_ns_t HUNG_UP_WAIT = BP_SEC; /* for the loop to read what came before the end */

/* What an event of epoll is about: a listener's index, the wake-up, or the id of a connection. */
enum { ABOUT_WAKE = BP_HTTP_MAX_LISTENERS, ABOUT_CONNS };

static void forget_locked(struct bp_http *h, struct bp_conn *c) BP_REQUIRES(h->conns.lock);
static void forget_locked(struct bp_http *h, struct bp_conn *c) {
    DL_DELETE(h->conns.list, c);
    h->conns.n--;
    bp_gauge_add(&bp_http_stats.connections, -1);
    if (h->conns.n == 0)
        (void) pthread_cond_broadcast(&h->conns.empty);
}

static void remember_locked(struct bp_http *h, struct bp_conn *c) BP_REQUIRES(h->conns.lock);
static void remember_locked(struct bp_http *h, struct bp_conn *c) {
    DL_APPEND(h->conns.list, c);
    h->conns.n++;
    bp_gauge_add(&bp_http_stats.connections, 1);
}

static struct bp_conn *new_conn(struct bp_http *h, int fd, const struct sockaddr *peer,
                                socklen_t len) {
    struct bp_conn *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->id = __atomic_fetch_add(&h->next_id, 1, __ATOMIC_RELAXED);
    c->fd = fd;
    c->since = bp_mono_ns();
    c->deadline = c->since + h->o.head_timeout;
    c->peer_len = BP_MIN(len, (socklen_t) sizeof c->peer);
    memcpy(&c->peer, peer, c->peer_len);
    c->by_unix = peer->sa_family == AF_UNIX;
    if (c->by_unix)
        (void) snprintf(c->peer_text, sizeof c->peer_text, "unix");
    else
        (void) bp_addr_format(peer, c->peer_len, c->peer_text);
    return c;
}

/* Shuts down; the loop closes. */
static void cut_locked(struct bp_http *h, struct bp_conn *c) BP_REQUIRES(h->conns.lock);
static void cut_locked(struct bp_http *h, struct bp_conn *c) {
    (void) h;
    if (c->cut || !c->started)
        return;
    (void) shutdown(c->fd, SHUT_RDWR);
    c->cut = true;
}

/* Cuts what is past its deadline; *ret_lost are entries to be freed. @return connections there are
 */
static unsigned sweep_locked(struct bp_http *h, bp_ns_t now, struct bp_conn **ret_lost)
    BP_REQUIRES(h->conns.lock);
static unsigned sweep_locked(struct bp_http *h, bp_ns_t now, struct bp_conn **ret_lost) {
    struct bp_conn *c, *next;

    DL_FOREACH_SAFE(h->conns.list, c, next) {
        bool reads = c->phase == BP_CONN_HEAD || c->phase == BP_CONN_BODY;

        if (c->hung_up != 0 && now >= BP_MAX(c->hung_up, c->since) + HUNG_UP_WAIT && reads)
            cut_locked(h, c);
        if (c->deadline == 0 || now < c->deadline || c->cut)
            continue;
        if (!c->started) {
            forget_locked(h, c);
            DL_APPEND(*ret_lost, c);
            continue;
        }
        bp_counter_add(c->phase == BP_CONN_BODY ? &bp_http_stats.cut_body : &bp_http_stats.cut_head,
                       1);
        cut_locked(h, c);
    }
    return h->conns.n;
}

static unsigned sweep(struct bp_http *h) {
    struct bp_conn *lost = NULL, *c, *next;
    bp_ns_t now = bp_mono_ns();
    unsigned n;

    bp_mutex_lock(&h->conns.lock);
    n = h->conns.n;
    if (now >= h->next_sweep) {
        n = sweep_locked(h, now, &lost);
        h->next_sweep = now + SWEEP_MS * BP_MS;
    }
    bp_mutex_unlock(&h->conns.lock);
    DL_FOREACH_SAFE(lost, c, next) {
        free(c);
    }
    return n;
}

/* May one more come in? At the limit the one that has waited longest for a request makes room. */
static bool has_room_locked(struct bp_http *h, const struct bp_conn *want)
    BP_REQUIRES(h->conns.lock);
static bool has_room_locked(struct bp_http *h, const struct bp_conn *want) {
    const struct sockaddr *peer = (const struct sockaddr *) &want->peer;
    bool counted = h->o.limit_loopback ? !want->by_unix : !bp_addr_is_local(peer);
    unsigned same = 0, cut = 0;
    struct bp_conn *c, *idle = NULL;

    DL_FOREACH(h->conns.list, c) {
        same += counted && bp_addr_same_peer((const struct sockaddr *) &c->peer, peer);
        cut += c->cut;
        if (c->started && !c->cut && c->phase == BP_CONN_HEAD && (!idle || c->since < idle->since))
            idle = c;
    }
    if (counted && same >= h->o.max_per_peer) {
        bp_counter_add(&bp_http_stats.refused_peer, 1);
        return false;
    }
    if (h->conns.n - cut < h->o.max_connections)
        return true;
    if (!idle || h->conns.n >= h->o.max_connections + h->o.max_connections / 8) {
        bp_counter_add(&bp_http_stats.refused_full, 1);
        return false;
    }
    bp_counter_add(&bp_http_stats.cut_room, 1);
    cut_locked(h, idle);
    return true;
}

static void refuse(int fd) {
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                               "Retry-After: 2\r\nContent-Length: 0\r\n\r\n";

    (void) send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void) close(fd);
}

static void accepted(struct bp_http *h, int fd, const struct sockaddr *peer, socklen_t len) {
    struct epoll_event ev = { .events = EPOLLRDHUP | EPOLLONESHOT };
    struct bp_conn *c = new_conn(h, fd, peer, len), *old;
    bool room;

    if (!c) {
        refuse(fd);
        return;
    }
    bp_mutex_lock(&h->conns.lock);
    DL_FOREACH(h->conns.list, old) {
        if (old->fd == fd)
            break;
    }
    if (old) /* closed without a word, or the system would not give us its number again */
        forget_locked(h, old);
    room = has_room_locked(h, c);
    if (room)
        remember_locked(h, c);
    bp_mutex_unlock(&h->conns.lock);
    free(old);

    ev.data.u64 = c->id;
    if (!room) {
        refuse(fd);
        free(c);
        return;
    }
    (void) epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &ev); /* without, timers still end it */
    if (MHD_add_connection(h->mhd, fd, (const struct sockaddr *) &c->peer, c->peer_len) !=
        MHD_YES) { /* it has closed the descriptor */
        bp_mutex_lock(&h->conns.lock);
        forget_locked(h, c);
        bp_mutex_unlock(&h->conns.lock);
        free(c);
    }
}

/* Takes what waits on a listener, not so much that a flood keeps us from the rest of our work.
 * @return false when descriptors or memory ran out */
static bool accept_some(struct bp_http *h, int listener) {
    for (int i = 0; i < AT_ONCE; i++) {
        struct sockaddr_storage peer = { 0 };
        socklen_t len = sizeof peer;
        int fd = accept4(listener, (struct sockaddr *) &peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return true;
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            static struct bp_log_limit limit;
            uint64_t held;

            if (bp_log_allowed(&limit, 60 * BP_SEC, &held))
                bp_log(BP_LOG_WARNING, "cannot take a connection, waiting",
                       BP_F_TEXT("error", bp_strerror(errno)), BP_F_UINT("suppressed", held));
            return false;
        }
        if (fd >= 0)
            accepted(h, fd, (const struct sockaddr *) &peer, len);
    }
    return true;
}

/* A client has said its last word. */
static void hung_up(struct bp_http *h, uint64_t id) {
    bp_ns_t now = bp_mono_ns();
    struct bp_conn *c;

    bp_mutex_lock(&h->conns.lock);
    DL_FOREACH(h->conns.list, c) {
        if (c->id == id)
            break;
    }
    if (c)
        c->hung_up = now;
    bp_mutex_unlock(&h->conns.lock);
    if (c) /* this thread may look at where it was only */
        bp_http_stream_hung_up(h, c);
}

bool bp_http_conn_hung_up(struct bp_http *h, const struct bp_conn *c) {
    bool yes;

    if (!c)
        return false;
    bp_mutex_lock(&h->conns.lock);
    yes = c->hung_up != 0;
    bp_mutex_unlock(&h->conns.lock);
    return yes;
}

static void handle(struct bp_http *h, uint64_t about) {
    eventfd_t n;

    if (about >= ABOUT_CONNS)
        hung_up(h, about);
    else if (about == ABOUT_WAKE)
        (void) eventfd_read(h->wake_fd, &n);
    else if (!bp_http_is_draining(h) && !accept_some(h, h->listeners[about].fd))
        bp_sleep(FULL_PAUSE_MS * BP_MS);
}

static void *accept_loop(void *arg) {
    struct bp_http *h = arg;
    struct epoll_event events[EVENTS];

    while (!__atomic_load_n(&h->stop, __ATOMIC_ACQUIRE)) {
        int n = epoll_wait(h->epoll_fd, events, EVENTS, sweep(h) > 0 ? SWEEP_MS : -1);

        for (int i = 0; i < n; i++)
            handle(h, events[i].data.u64);
        for (size_t i = 0; bp_http_is_draining(h) && i < h->nlisteners; i++)
            bp_http_unlisten(&h->listeners[i]);
    }
    return NULL;
}

static int watch(struct bp_http *h, int fd, uint64_t about) {
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = about };

    return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int bp_http_accept_start(struct bp_http *h) {
    int r;

    h->next_id = ABOUT_CONNS;
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->epoll_fd < 0 || h->wake_fd < 0)
        return -errno;
    r = watch(h, h->wake_fd, ABOUT_WAKE);
    for (size_t i = 0; i < h->nlisteners && r == 0; i++)
        r = watch(h, h->listeners[i].fd, i);
    if (r == 0)
        r = bp_thread_start("http-accept", accept_loop, h, &h->acceptor);
    h->accepting = r == 0;
    return r;
}

void bp_http_accept_stop(struct bp_http *h) {
    __atomic_store_n(&h->stop, true, __ATOMIC_RELEASE);
    if (h->accepting) {
        (void) eventfd_write(h->wake_fd, 1);
        (void) pthread_join(h->acceptor, NULL);
        h->accepting = false;
    }
    for (size_t i = 0; i < h->nlisteners; i++)
        bp_http_unlisten(&h->listeners[i]);
}

/* While draining a connection that waits for a request learns that there is no more to come: what
 * has arrived is still read and answered. */
static void no_more_locked(struct bp_http *h, struct bp_conn *c) BP_REQUIRES(h->conns.lock);
static void no_more_locked(struct bp_http *h, struct bp_conn *c) {
    if (bp_http_is_draining(h) && c->started && !c->cut && c->phase == BP_CONN_HEAD)
        (void) shutdown(c->fd, SHUT_RD);
}

/* The entry of a connection libmicrohttpd begins with. */
static struct bp_conn *started(struct bp_http *h, int fd) {
    struct bp_conn *c;

    bp_mutex_lock(&h->conns.lock);
    DL_FOREACH(h->conns.list, c) {
        if (c->fd == fd && !c->started)
            break;
    }
    if (c) {
        c->started = true;
        no_more_locked(h, c);
    }
    bp_mutex_unlock(&h->conns.lock);
    return c;
}

static socklen_t length_of(const struct sockaddr *sa) {
    return sa->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
           : sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                       : sizeof(sa_family_t);
}

/* It came so late that it was forgotten. */
static struct bp_conn *forgotten(struct bp_http *h, struct MHD_Connection *mhd, int fd) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr none = { .sa_family = AF_UNSPEC };
    const struct sockaddr *peer = info && info->client_addr ? info->client_addr : &none;
    struct bp_conn *c = new_conn(h, fd, peer, length_of(peer));

    if (!c)
        return NULL;
    c->started = true;
    bp_mutex_lock(&h->conns.lock);
    remember_locked(h, c);
    bp_mutex_unlock(&h->conns.lock);
    return c;
}

/* One of its sides is done with it: libmicrohttpd, or the owner of a detached one. The last one
 * frees it. */
static void release(struct bp_http *h, struct bp_conn *c, bool forget) {
    bool last;

    bp_mutex_lock(&h->conns.lock);
    if (forget)
        forget_locked(h, c);
    last = !c->detached || c->released;
    c->released = true;
    bp_mutex_unlock(&h->conns.lock);
    if (last)
        free(c);
}

void bp_http_conn_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                         enum MHD_ConnectionNotificationCode code) {
    struct bp_http *h = cls;
    struct bp_conn *c = *socket_context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        int fd = info ? info->connect_fd : -1;

        c = started(h, fd);
        *socket_context = c ? c : forgotten(h, mhd, fd);
        return;
    }
    if (!c)
        return;
    release(h, c, !c->detached);
    *socket_context = NULL;
}

void bp_http_conn_detach(struct bp_http *h, struct bp_conn *c, int fd) {
    bp_mutex_lock(&h->conns.lock);
    c->fd = fd;
    c->detached = true;
    bp_mutex_unlock(&h->conns.lock);
}

void bp_http_conn_leave(struct bp_http *h, struct bp_conn *c) {
    int fd = c->fd;

    release(h, c, true);
    (void) close(fd);
}

void bp_http_conn_phase(struct bp_http *h, struct bp_conn *c, enum bp_conn_phase phase) {
    bp_ns_t now = bp_mono_ns();

    if (!c)
        return;
    bp_mutex_lock(&h->conns.lock);
    if (c->detached) {
        bp_mutex_unlock(&h->conns.lock);
        return;
    }
    c->phase = phase;
    c->since = now;
    /* after a reply the connection may rest before its next head */
    c->deadline = phase == BP_CONN_HEAD   ? now + h->o.idle_timeout + h->o.head_timeout
                  : phase == BP_CONN_BODY ? now + h->o.body_timeout
                                          : 0;
    no_more_locked(h, c);
    bp_mutex_unlock(&h->conns.lock);
}

void bp_http_conns_no_more(struct bp_http *h) {
    struct bp_conn *c;

    bp_mutex_lock(&h->conns.lock);
    DL_FOREACH(h->conns.list, c) {
        no_more_locked(h, c);
    }
    bp_mutex_unlock(&h->conns.lock);
}

unsigned bp_http_conns_wait(struct bp_http *h, bp_ns_t mono_until) {
    struct timespec until = { .tv_sec = mono_until / BP_SEC, .tv_nsec = mono_until % BP_SEC };
    unsigned left;

    bp_mutex_lock(&h->conns.lock);
    while (h->conns.n > 0 && bp_mono_ns() < mono_until)
        (void) pthread_cond_timedwait(&h->conns.empty, &h->conns.lock.m, &until);
    left = h->conns.n;
    bp_mutex_unlock(&h->conns.lock);
    return left;
}

unsigned bp_http_conns_cut(struct bp_http *h) {
    struct bp_conn *c;
    unsigned n;

    bp_mutex_lock(&h->conns.lock);
    DL_FOREACH(h->conns.list, c) {
        cut_locked(h, c);
    }
    n = h->conns.n;
    bp_mutex_unlock(&h->conns.lock);
    return n;
}

void bp_http_conns_done(struct bp_http *h) {
    struct bp_conn *c, *next;

    DL_FOREACH_SAFE(h->conns.list, c, next) {
        bp_gauge_add(&bp_http_stats.connections, -1);
        free(c);
    }
    h->conns.list = NULL;
    if (h->epoll_fd >= 0)
        (void) close(h->epoll_fd);
    if (h->wake_fd >= 0)
        (void) close(h->wake_fd);
}
