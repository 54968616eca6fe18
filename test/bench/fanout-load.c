/* Many WebSocket clients in one thread, for the bench of the fan-out.
 *
 *   fanout-load PORT PATH CLIENTS RATE SIZE SECONDS [CREDIT [STALLED]]
 *
 * Connects, has the server publish (POST /start), reads until all has come or nothing comes any
 * more, and prints one JSON object: delivered of expected, delays from the moment each message was
 * due until it was read, CPU. With CREDIT each client gives so many credits in the beginning and
 * one for each message it has. STALLED more clients connect and never read. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/time.h"

enum { READ_BYTES = 256 * 1024 };

struct client {
    int fd;
    uint8_t head[14 + 16]; /* of the frame being read: header and the 16 bytes we look at */
    size_t nhead;
    uint64_t left; /* of the frame behind them */
    uint64_t got;
    int64_t last;  /* number of the last message */
    unsigned owed; /* credits to be given */
};

static unsigned port;
static uint64_t disordered;
static uint32_t *delays; /* microseconds */
static size_t ndelays, cap;

static void die(const char *what) {
    (void) fprintf(stderr, "fanout-load: %s: %m\n", what);
    exit(1);
}

static int dial(void) {
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons((uint16_t) port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *) &a, sizeof a) < 0)
        die("connect");
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void put(int fd, const char *text) {
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t) strlen(text))
        die("send");
}

static int shake_hands(const char *path) {
    char text[512];
    size_t n = 0;
    int fd = dial();

    (void) snprintf(text, sizeof text,
                    "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
                    "websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                    "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                    path);
    put(fd, text);
    while (n < 4 || memcmp(text + n - 4, "\r\n\r\n", 4) != 0) { /* a byte each: no more is taken */
        if (n == sizeof text || recv(fd, text + n, 1, 0) != 1)
            die("handshake");
        n++;
    }
    if (n < 12 || memcmp(text, "HTTP/1.1 101", 12) != 0)
        die("handshake refused");
    return fd;
}

static void give_credit(struct client *c) {
    uint8_t m[7] = { 0x81, 0x81, 0, 0, 0, 0, 0 };

    while (c->owed > 0) {
        unsigned n = BP_MIN(c->owed, 9u);

        m[6] = (uint8_t) ('0' + n);
        if (send(c->fd, m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof m)
            return; /* later */
        c->owed -= n;
    }
}

static size_t header_of(const struct client *c) {
    unsigned len = c->head[1] & 0x7f;

    return c->nhead < 2 ? 2 : len == 127 ? 10 : len == 126 ? 4 : 2;
}

static uint64_t length_of(const struct client *c) {
    uint64_t n = c->head[1] & 0x7f;
    size_t size = header_of(c);

    if (size == 2)
        return n;
    n = 0;
    for (size_t i = 2; i < size; i++)
        n = n << 8 | c->head[i];
    return n;
}

/* The beginning of a message is there. */
static void begun(struct client *c, bp_ns_t now) {
    const uint8_t *p = c->head + header_of(c);
    int64_t number = (int64_t) bp_ld_le64(p), delay = now - (int64_t) bp_ld_le64(p + 8);

    disordered += number <= c->last;
    c->last = number;
    if (ndelays < cap)
        delays[ndelays++] = (uint32_t) BP_MIN(BP_MAX(delay / 1000, 0), (int64_t) UINT32_MAX);
}

static void eat(struct client *c, const uint8_t *p, size_t n, bp_ns_t now, bool credit) {
    while (n > 0) {
        size_t k;

        if (c->left > 0) {
            k = (size_t) BP_MIN((uint64_t) n, c->left);
            c->left -= k;
        } else {
            size_t want = c->nhead < header_of(c) ? header_of(c) : header_of(c) + 16;

            k = BP_MIN(want - c->nhead, n);
            memcpy(c->head + c->nhead, p, k);
            c->nhead += k;
            p += k;
            n -= k;
            if (c->nhead < header_of(c) || c->nhead < header_of(c) + 16)
                continue;
            begun(c, now);
            c->left = length_of(c) - 16;
            k = 0;
        }
        p += k;
        n -= k;
        if (c->left == 0) {
            c->got++;
            c->nhead = 0;
            c->owed += credit;
        }
    }
}

static int by_size(const void *a, const void *b) {
    uint32_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static double delay_at(double share) {
    return ndelays ? delays[(size_t) (share * (double) (ndelays - 1))] / 1000.0 : -1;
}

struct load {
    unsigned n, rate, size, secs, credit, stalled;
    struct client *v;
    int epoll_fd, start_fd;
    bool done; /* the server has published everything */
    bp_ns_t mono_end;
};

static bool start_answered(struct load *l) {
    uint8_t text[256];
    ssize_t n = recv(l->start_fd, text, sizeof text, MSG_DONTWAIT);

    (void) epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->start_fd, NULL);
    l->mono_end = bp_mono_ns() + 3 * BP_SEC; /* what is on its way still counts */
    return n > 12 && memcmp(text, "HTTP/1.1 200", 12) == 0;
}

/* @return messages that are whole now */
static uint64_t serve(struct load *l, struct client *c) {
    static uint8_t buf[READ_BYTES];
    ssize_t r = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);
    uint64_t had = c->got;

    if (r < 0 && errno == EAGAIN)
        return 0;
    if (r <= 0)
        die("a connection was closed");
    eat(c, buf, (size_t) r, bp_mono_ns(), l->credit > 0);
    if (c->owed > 0)
        give_credit(c);
    return c->got - had;
}

static void connect_all(struct load *l, const char *path) {
    for (unsigned i = 0; i < l->stalled; i++)
        (void) shake_hands(path);
    for (unsigned i = 0; i < l->n; i++) {
        struct epoll_event ev = { .events = EPOLLIN, .data.u32 = i };

        l->v[i].fd = shake_hands(path);
        l->v[i].last = -1;
        l->v[i].owed = l->credit;
        give_credit(&l->v[i]);
        if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->v[i].fd, &ev) < 0)
            die("epoll");
    }
}

static void start_server(struct load *l) {
    struct epoll_event ev = { .events = EPOLLIN, .data.u32 = l->n };
    char text[256];

    l->start_fd = dial();
    bp_sleep(100 * BP_MS);
    (void) snprintf(text, sizeof text,
                    "POST /start?rate=%u&size=%u&seconds=%u HTTP/1.1\r\nHost: "
                    "localhost\r\nContent-Length: 0\r\n\r\n",
                    l->rate, l->size, l->secs);
    put(l->start_fd, text);
    (void) epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->start_fd, &ev);
}

/* @return messages received, of `expected` */
static uint64_t receive(struct load *l, uint64_t expected) {
    struct epoll_event events[256];
    uint64_t got = 0;

    while (got < expected && (!l->mono_end || bp_mono_ns() < l->mono_end)) {
        int k = epoll_wait(l->epoll_fd, events, 256, 100);
        uint64_t before = got;

        for (int i = 0; i < k; i++) {
            if (events[i].data.u32 == l->n)
                l->done = start_answered(l);
            else
                got += serve(l, &l->v[events[i].data.u32]);
        }
        if (l->done && got > before)
            l->mono_end = bp_mono_ns() + (l->credit ? BP_SEC / 5 : 3 * BP_SEC);
    }
    return got;
}

static unsigned number(char *argv[], int argc, int i) {
    return i < argc ? (unsigned) strtoul(argv[i], NULL, 10) : 0;
}

int main(int argc, char *argv[]) {
    struct load l = { .n = number(argv, argc, 3),
                      .rate = number(argv, argc, 4),
                      .size = number(argv, argc, 5),
                      .secs = number(argv, argc, 6),
                      .credit = number(argv, argc, 7),
                      .stalled = number(argv, argc, 8),
                      .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
    uint64_t expected = (uint64_t) l.n * l.rate * l.secs, got;
    bp_ns_t began;

    if (argc < 7)
        return 2;
    port = number(argv, argc, 1);
    l.v = calloc(l.n, sizeof *l.v);
    cap = (size_t) BP_MIN(expected, 64u << 20);
    delays = malloc((cap + 1) * sizeof *delays);
    if (!l.v || !delays || l.epoll_fd < 0)
        die("start");
    connect_all(&l, argv[2]);
    start_server(&l);
    began = bp_mono_ns();
    got = receive(&l, expected);
    qsort(delays, ndelays, sizeof *delays, by_size);
    (void) printf(
        "{\"expected\": %llu, \"delivered\": %llu, \"disordered\": %llu, \"p50_ms\": %.3f, "
        "\"p99_ms\": %.3f, \"max_ms\": %.3f, \"client_cpu_s\": %.3f, \"wall_s\": %.3f}\n",
        (unsigned long long) expected, (unsigned long long) got, (unsigned long long) disordered,
        delay_at(0.5), delay_at(0.99), delay_at(1), (double) bp_cpu_ns() / 1e9,
        (double) (bp_mono_ns() - began) / 1e9);
    return 0;
}
