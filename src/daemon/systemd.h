#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/time.h"

/* What a service manager gives a service and wants to hear of it: the notify protocol
 * (sd_notify(3)), the watchdog, sockets that were opened for it. Without one every call does
 * nothing.
 *
 * One thread, except where said otherwise. */
enum { BP_SYSTEMD_SOCKETS = 8 };

struct bp_systemd {
    int fd; /* of the socket to tell, or -1 */
    struct sockaddr_un at;
    socklen_t at_len;
    bp_ns_t watchdog;     /* without a sign of life for so long we are killed; 0 = never */
    bp_ns_t pinged, told; /* monotonic: the last sign of life, the last status */
    char status[160];     /* the last that was told */
    unsigned nsockets;
    char sockets[BP_SYSTEMD_SOCKETS][16]; /* "fd:3" */
    /* while something takes long */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    clockid_t clock; /* of the thread that works */
    bool busy, over; /* [lock] over */
};

/**
 * Reads what the environment says and takes it out, so that no child believes it was meant. Before
 * other threads start.
 *
 * @param ret  release with bp_systemd_done()
 * @return 0, -EINVAL for sockets that are none, -E2BIG for more than BP_SYSTEMD_SOCKETS, or why the
 *         manager cannot be spoken to
 */
BP_MUST_CHECK int bp_systemd_open(struct bp_systemd *ret, struct bp_error *err);
void bp_systemd_done(struct bp_systemd *s);

/** Is a socket, "fd:3", a unix one? */
bool bp_systemd_is_unix(const char *socket);

/** Sends lines such as "READY=1\nSTATUS=…". Lost when the manager does not listen. Any thread. */
void bp_systemd_tell(const struct bp_systemd *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void bp_systemd_ready(const struct bp_systemd *s);
/** Before the configuration is read again; bp_systemd_ready() afterwards. */
void bp_systemd_reloading(const struct bp_systemd *s);
void bp_systemd_stopping(const struct bp_systemd *s);

/** One line for `systemctl status`; told when it has changed, every 2 s at most. */
void bp_systemd_status(struct bp_systemd *s, const char *text, bp_ns_t mono);

/** Is a sign of life due? Three fit into the time that is allowed, so that one may fail. */
bool bp_systemd_due(const struct bp_systemd *s, bp_ns_t mono);
/** A sign of life: only after everything was seen to move. */
void bp_systemd_ping(struct bp_systemd *s, bp_ns_t mono);

/** Asks for more time, on a thread of its own, as long as the calling thread gets anywhere: it has
 *  used the processor since the last time. Until bp_systemd_swift(). */
void bp_systemd_slow(struct bp_systemd *s);
void bp_systemd_swift(struct bp_systemd *s);

/**
 * Asks an HTTP server of this process whether it is alive, as anybody would.
 *
 * @param address  as bp_http_address() tells
 * @return true when it sent a status line within `max`
 */
bool bp_systemd_http_answers(const char *address, bp_ns_t max);
