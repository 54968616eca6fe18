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

enum { READ_BYTES = 256 * 1024, HEAD_BYTES = 4 + 16 };

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

int main(int argc, char *argv[]) {
    unsigned n, rate, size, secs, credit, stalled;
    uint64_t expected, got = 0, before;
    struct client *v;
    static uint8_t buf[READ_BYTES];
    struct epoll_event events[256];
    char text[256];
    int ep = epoll_create1(EPOLL_CLOEXEC), start, done = 0;
    bp_ns_t mono_end = 0, began;

    if (argc < 7)
        return 2;
    port = (unsigned) strtoul(argv[1], NULL, 10);
    n = (unsigned) strtoul(argv[3], NULL, 10);
    rate = (unsigned) strtoul(argv[4], NULL, 10);
    size = (unsigned) strtoul(argv[5], NULL, 10);
    secs = (unsigned) strtoul(argv[6], NULL, 10);
    credit = argc > 7 ? (unsigned) strtoul(argv[7], NULL, 10) : 0;
    stalled = argc > 8 ? (unsigned) strtoul(argv[8], NULL, 10) : 0;
    expected = (uint64_t) n * rate * secs;
    v = calloc(n, sizeof *v);
    cap = (size_t) BP_MIN(expected, 64u << 20);
    delays = malloc((cap + 1) * sizeof *delays);
    if (!v || !delays || ep < 0)
        die("start");

    for (unsigned i = 0; i < stalled; i++)
        (void) shake_hands(argv[2]);
    for (unsigned i = 0; i < n; i++) {
        struct epoll_event ev = { .events = EPOLLIN, .data.u32 = i };

        v[i].fd = shake_hands(argv[2]);
        v[i].last = -1;
        v[i].owed = credit;
        give_credit(&v[i]);
        if (epoll_ctl(ep, EPOLL_CTL_ADD, v[i].fd, &ev) < 0)
            die("epoll");
    }
    start = dial();
    bp_sleep(100 * BP_MS);
    (void) snprintf(text, sizeof text,
                    "POST /start?rate=%u&size=%u&seconds=%u HTTP/1.1\r\nHost: "
                    "localhost\r\nContent-Length: 0\r\n\r\n",
                    rate, size, secs);
    put(start, text);
    began = bp_mono_ns();
    (void) epoll_ctl(ep, EPOLL_CTL_ADD, start,
                     &(struct epoll_event){ .events = EPOLLIN, .data.u32 = n });

    while (got < expected && (!mono_end || bp_mono_ns() < mono_end)) {
        int k = epoll_wait(ep, events, 256, 100);

        before = got;
        for (int i = 0; i < k; i++) {
            unsigned which = events[i].data.u32;
            struct client *c = &v[which];
            ssize_t r = recv(which == n ? start : c->fd, buf, sizeof buf, MSG_DONTWAIT);
            uint64_t had;

            if (which == n) { /* it has published everything: what is on its way still counts */
                done = r > 12 && memcmp(buf, "HTTP/1.1 200", 12) == 0;
                (void) epoll_ctl(ep, EPOLL_CTL_DEL, start, NULL);
                mono_end = bp_mono_ns() + 3 * BP_SEC;
                continue;
            }
            if (r < 0 && errno == EAGAIN)
                continue;
            if (r <= 0)
                die("a connection was closed");
            had = c->got;
            eat(c, buf, (size_t) r, bp_mono_ns(), credit > 0);
            got += c->got - had;
            if (c->owed > 0)
                give_credit(c);
        }
        if (done && got > before)
            mono_end = bp_mono_ns() + (credit ? BP_SEC / 5 : 3 * BP_SEC);
    }
    qsort(delays, ndelays, sizeof *delays, by_size);
    (void) printf(
        "{\"expected\": %llu, \"delivered\": %llu, \"disordered\": %llu, \"p50_ms\": %.3f, "
        "\"p99_ms\": %.3f, \"max_ms\": %.3f, \"client_cpu_s\": %.3f, \"wall_s\": %.3f}\n",
        (unsigned long long) expected, (unsigned long long) got, (unsigned long long) disordered,
        delay_at(0.5), delay_at(0.99), delay_at(1), (double) bp_cpu_ns() / 1e9,
        (double) (bp_mono_ns() - began) / 1e9);
    return 0;
}
