#include "cli/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "base/macro.h"

int bp_cli_signals(struct bp_error *err) {
    sigset_t set;
    int fd = -1, r;

    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGINT);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGHUP);
    r = -pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (r == 0) {
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        r = fd < 0 ? -errno : fd;
    }
    return r < 0 ? bp_fail(err, r, "cannot receive signals: %s", bp_strerror(r)) : r;
}
