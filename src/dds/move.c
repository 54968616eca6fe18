#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "dds/dds-priv.h"

/* Cyclone looks at the interfaces once, when a domain object is made: one that comes up later is
 * never used. So the kernel tells us about links and addresses, and when there is an interface that
 * our path does not have, we open a second path beside the first, on all that is there now. Both
 * deliver, what comes twice is dropped by sequence number, and the old path goes when the new one
 * sees everything the old one saw. An interface that goes away and comes back as it was needs
 * nothing: the kernel joins the multicast groups again. */

#define SETTLE      (500 * BP_MS) /* after the last message of the kernel: DHCP, bonding, … */
#define LEAST_PAUSE (3 * BP_SEC)  /* between two moves */
#define OVERLAP     (1 * BP_SEC)  /* both paths deliver at least this long */
#define PATIENCE    (10 * BP_SEC) /* for endpoints that the new path does not find */
#define LEAST_SLEEP (20 * BP_MS)

int bp_move_open(struct bp_error *err) {
    struct sockaddr_nl a = { .nl_family = AF_NETLINK,
                             .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd >= 0 && bind(fd, (const struct sockaddr *) &a, sizeof a) == 0)
        return fd;
    if (fd >= 0)
        (void) close(fd);
    return bp_fail(err, -errno, "cannot watch network interfaces: %s", bp_strerror(-errno));
}

void bp_move_event(struct bp_dds *d) {
    char buf[8192];
    bool any = false;

    /* What it says does not matter; the state is read when it has settled. */
    while (recv(d->netlink_fd, buf, sizeof buf, 0) > 0 || errno == ENOBUFS)
        any = true;
    if (any)
        d->move_check = bp_mono_ns() + SETTLE;
}

static bool has(const struct bp_interfaces *set, const struct bp_interfaces *of, size_t i) {
    for (size_t k = 0; k < set->n; k++)
        if (bp_streq(set->v[k].name, of->v[i].name) && set->v[k].index == of->v[i].index &&
            set->v[k].address == of->v[i].address)
            return true;
    return false;
}

/* Names of those in `now` that `old` has not. */
static size_t newcomers(const struct bp_interfaces *old, const struct bp_interfaces *now,
                        struct bp_buf *names) {
    size_t n = 0;

    for (size_t i = 0; i < now->n; i++)
        if (!has(old, now, i))
            bp_buf_printf(names, "%s%s", n++ ? ", " : "", now->v[i].name);
    return n;
}

static void start_move(struct bp_dds *d) {
    struct bp_interfaces now;
    struct bp_path *p = NULL;
    struct bp_error err;
    BP_AUTO_BUF names = { 0 };

    d->move_check = 0;
    if (bp_interfaces_now(&now, &err) < 0) {
        bp_dds_note(d, "%s", err.text);
        return;
    }
    if (!newcomers(&d->paths->interfaces, &now, &names) || !bp_buf_cstr(&names))
        return;
    if (bp_path_open(d, &now, &p, &err) < 0) {
        bp_dds_note(d, "interface %s came up, but cannot be used: %s", bp_buf_cstr(&names),
                    err.text);
        return;
    }
    pthread_mutex_lock(&d->lock);
    bp_dds_note(d, "interface %s came up and is used now%s", bp_buf_cstr(&names),
                d->paths->pubs ? "; what we publish already stays on the interfaces it was made on"
                               : "");
    p->next = d->paths;
    d->paths = p;
    d->nodes_changed = d->nodes_changed || d->nodes;
    bp_sub_extend_locked(d, p);
    pthread_mutex_unlock(&d->lock);
    d->move_started = bp_mono_ns();
    bp_dds_wake(d);
}

/* Whether the newest path sees all that the older ones see. */
static bool caught_up_locked(const struct bp_dds *d) {
    struct bp_ep *e, *tmp;

    HASH_ITER(hh, d->eps, e, tmp)
    if (!(e->paths & 1u << d->paths->index))
        return false;
    return true;
}

static void finish_move(struct bp_dds *d, bp_ns_t now) {
    struct bp_path **at, *old = NULL;

    pthread_mutex_lock(&d->lock);
    if (now - d->move_started >= OVERLAP &&
        (now - d->move_started >= PATIENCE || caught_up_locked(d)))
        for (at = &d->paths->next; *at && !old; at = old ? at : &(*at)->next)
            if ((*at)->pubs == 0) {
                old = *at;
                *at = old->next;
                break;
            }
    pthread_mutex_unlock(&d->lock);
    if (old) {
        bp_graph_drop_path(d, old);
        bp_path_close(old);
    }
}

static bool moving(const struct bp_dds *d) {
    for (const struct bp_path *p = d->paths->next; p; p = p->next)
        if (p->pubs == 0)
            return true;
    return false;
}

int bp_move_tick(struct bp_dds *d) {
    bp_ns_t now = bp_mono_ns(), next = INT64_MAX;

    if (d->netlink_fd < 0)
        return -1;
    if (moving(d)) {
        finish_move(d, now);
        next = now + 100 * BP_MS;
    } else if (d->move_check) {
        bp_ns_t due = BP_MAX(d->move_check, d->move_started ? d->move_started + LEAST_PAUSE : 0);

        if (now >= due) {
            start_move(d);
            next = moving(d) ? now + 100 * BP_MS : next;
        } else {
            next = due;
        }
    }
    if (next == INT64_MAX)
        return -1;
    return (int) (BP_MAX(next - now, LEAST_SLEEP) / BP_MS);
}
