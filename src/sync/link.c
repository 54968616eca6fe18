/* What the machine says of its links, and how to stay out of the way of recording. */
#include "sync/engine-priv.h"

#include <errno.h>
#include <fnmatch.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* linux/ioprio.h; the lowest of the best-effort class: the idle class would never send while a
 * busy recorder writes. */
enum { IOPRIO_WHO_PROCESS_ = 1, IOPRIO_BEST_EFFORT_LOWEST = 2 << 13 | 7, NICE = 15 };

void bp_sync_low_priority(void) {
    (void) syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS_, 0, IOPRIO_BEST_EFFORT_LOWEST);
    (void) setpriority(PRIO_PROCESS, (id_t) syscall(SYS_gettid), NICE); /* of this thread */
}

/* ---- which interface ---- */

/* The n-th word of a line, from 0. */
static const char *word_at(const char *line, unsigned n) {
    static const char blanks[] = " \t\n";

    line += strspn(line, blanks);
    while (n--) {
        line += strcspn(line, blanks);
        line += strspn(line, blanks);
    }
    return line;
}

/* /proc/net/route: "eth0 00000000 0102A8C0 0003 0 0 100 00000000 …": of the default routes the one
 * with the least metric. */
static bool default_interface(char *ret, size_t cap) {
    FILE *f = fopen("/proc/net/route", "re");
    unsigned long metric, best = ~0ul;
    char line[256];

    if (!f)
        return false;
    if (!fgets(line, sizeof line, f)) /* the heading */
        line[0] = 0;
    while (fgets(line, sizeof line, f)) {
        metric = strtoul(word_at(line, 6), NULL, 10);
        if (strtoul(word_at(line, 1), NULL, 16) != 0 || strtoul(word_at(line, 7), NULL, 16) != 0 ||
            !(strtoul(word_at(line, 3), NULL, 16) & 1) || metric >= best)
            continue;
        best = metric;
        (void) snprintf(ret, cap, "%.*s", (int) strcspn(line, " \t"), line);
    }
    (void) fclose(f);
    return best != ~0ul;
}

bool bp_sync_link_is_metered(const struct bp_sync_words *patterns) {
    static char *const usual[] = { (char *) (uintptr_t) "wwan*", (char *) (uintptr_t) "ppp*",
                                   (char *) (uintptr_t) "rmnet*", (char *) (uintptr_t) "wwp*",
                                   NULL };
    char *const *v = patterns->v ? patterns->v : usual;
    char name[64];

    if (!default_interface(name, sizeof name))
        return false;
    for (size_t i = 0; v[i]; i++)
        if (fnmatch(v[i], name, 0) == 0)
            return true;
    return false;
}

/* ---- hints ---- */

static int open_netlink(void) {
    struct sockaddr_nl a = { .nl_family = AF_NETLINK,
                             .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                          RTMGRP_IPV4_ROUTE };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd >= 0 && bind(fd, (const struct sockaddr *) &a, sizeof a) < 0) {
        (void) close(fd);
        return -1;
    }
    return fd;
}

/* Which change it was does not matter: whether a target can be reached only a probe can tell. */
static void drain(int fd) {
    char buf[8192];

    while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0 || errno == ENOBUFS || errno == EINTR) {
    }
}

void *bp_sync_listen(void *arg) {
    struct bp_sync *s = arg;
    BP_AUTO_FD int fd = open_netlink();
    struct pollfd p[] = { { .fd = s->stop_fd, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

    for (;;) {
        if (poll(p, BP_COUNT(p), -1) < 0 && errno != EINTR)
            return NULL;
        if (p[0].revents)
            return NULL;
        if (p[1].revents & POLLIN) {
            (void) poll(p, 1, 200); /* an address comes as several messages */
            drain(fd);
            bp_sync_hint(s);
        } else if (p[1].revents) {
            p[1].fd = -1;
        }
    }
}
