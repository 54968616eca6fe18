/* What comes to the link's thread from others: news of the bus, hints of the kernel. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <utlist.h>

#include "agent/link-priv.h"

void bp_link_item_free(struct bp_link_item *i) {
    if (!i)
        return;
    free(i->text);
    json_decref(i->json);
    free(i);
}

/* Progress of sync that waits already is replaced by what is newer: however long the disk holds up
 * the link's thread, one waits. */
static bool renew_sync_locked(struct bp_link *l, struct bp_link_item *i) BP_REQUIRES(l->lock);
static bool renew_sync_locked(struct bp_link *l, struct bp_link_item *i) {
    struct bp_link_item *old;

    DL_FOREACH(l->items, old) {
        if (old->kind == BP_LINK_SYNC) {
            json_t *json = old->json;

            old->json = i->json;
            i->json = json; /* goes with i */
            return true;
        }
    }
    return false;
}

void bp_link_put(struct bp_link *l, struct bp_link_item *i) {
    bool full;

    if (!i)
        return;
    bp_mutex_lock(&l->lock);
    if (i->kind == BP_LINK_SYNC && renew_sync_locked(l, i)) {
        bp_mutex_unlock(&l->lock);
        bp_link_item_free(i);
        return;
    }
    full = i->kind == BP_LINK_NEWS &&
           (l->nnews >= BP_LINK_INBOX || l->news_bytes + i->bytes > BP_LINK_INBOX_BYTES);
    if (full) {
        l->lost[i->class]++;
    } else {
        l->nnews += i->kind == BP_LINK_NEWS;
        l->news_bytes += i->kind == BP_LINK_NEWS ? i->bytes : 0;
        l->nmessages += i->kind == BP_LINK_MESSAGE;
        DL_APPEND(l->items, i);
        (void) pthread_cond_signal(&l->work);
    }
    bp_mutex_unlock(&l->lock);
    if (full)
        bp_link_item_free(i);
}

/* Is a line of the log worth telling? */
static bool is_warning(const json_t *line) {
    const char *level = json_string_value(json_object_get(line, "level"));

    return level && (bp_streq(level, "warning") || bp_streq(level, "error"));
}

/* @return the class of what is told of a topic, -1: nothing */
static int class_of(const char *topic, const json_t *payload) {
    if (bp_streq(topic, "alerts"))
        return BP_LINK_ALERTS;
    if (bp_streq(topic, "sessions"))
        return BP_LINK_SESSIONS;
    if (bp_streq(topic, "log") && is_warning(payload))
        return BP_LINK_LOG;
    return -1;
}

/* Publisher's thread. */
void bp_link_on_news(void *ctx, const char *topic, const json_t *payload) {
    struct bp_link *l = ctx;
    bool sync = bp_streq(topic, "sync");
    int class = sync ? 0 : class_of(topic, payload);
    struct bp_link_item *i = class >= 0 ? calloc(1, sizeof *i) : NULL;

    if (!i)
        return;
    i->kind = sync ? BP_LINK_SYNC : BP_LINK_NEWS;
    i->class = (enum bp_link_class) class;
    i->wall_ns = bp_wall_ns();
    if (sync)
        i->json = json_deep_copy(payload);
    else
        i->text = json_dumps(payload, JSON_COMPACT);
    i->bytes = i->text ? strlen(i->text) + sizeof *i : 0;
    if (i->text || i->json)
        bp_link_put(l, i);
    else
        bp_link_item_free(i);
}

/* ---- hints ---- */

/* Something came or went: an address or a link. What it is does not matter, a try will tell. */
static void on_netlink(struct bp_loop_fd *f, uint32_t events) {
    struct bp_link *l = BP_CONTAINER_OF(f, struct bp_link, netlink);
    char buf[8192];
    bool news = false;

    (void) events;
    for (;;) {
        ssize_t n = recv(f->fd, buf, sizeof buf, MSG_DONTWAIT);

        if (n <= 0 && !(n < 0 && errno == ENOBUFS))
            break;
        news = true;
    }
    if (!news)
        return;
    bp_mutex_lock(&l->lock);
    l->hint = true;
    (void) pthread_cond_signal(&l->work);
    bp_mutex_unlock(&l->lock);
}

static void begin(void *a, void *b) {
    struct bp_link *l = a;

    *(int *) b = bp_loop_watch(l->loop, &l->netlink, EPOLLIN);
}

static void end(void *a, void *b) {
    struct bp_link *l = a;

    (void) b;
    bp_loop_unwatch(l->loop, &l->netlink);
}

int bp_link_watch(struct bp_link *l) {
    struct sockaddr_nl a = { .nl_family = AF_NETLINK,
                             .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                          RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), r = 0;

    l->netlink = (struct bp_loop_fd){ .fd = fd, .on = on_netlink };
    if (fd < 0 || bind(fd, (struct sockaddr *) &a, sizeof a) < 0)
        r = -errno;
    if (r == 0)
        bp_loop_call(l->loop, begin, l, &r);
    l->watching = r == 0;
    return r;
}

void bp_link_unwatch(struct bp_link *l) {
    if (l->watching)
        bp_loop_call(l->loop, end, l, NULL);
    if (l->netlink.fd >= 0)
        (void) close(l->netlink.fd);
    l->netlink.fd = -1;
}
