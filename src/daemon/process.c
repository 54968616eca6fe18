#include "daemon/process.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"

enum { OTHER_FILES = 512 };

void bp_daemon_raise_file_limit(int64_t max_connections) {
    rlim_t want = (rlim_t) max_connections * 9 / 8 + OTHER_FILES;
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == RLIM_INFINITY || l.rlim_cur >= want)
        return;
    l.rlim_cur = l.rlim_max == RLIM_INFINITY ? want : BP_MIN(want, l.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur < want)
        bp_log(BP_LOG_WARNING, "fewer files may be open than http.max_connections needs",
               BP_F_UINT("limit", l.rlim_cur), BP_F_UINT("wanted", want));
}

int bp_daemon_block_signals(void) {
    sigset_t set;
    int fd;

    (void) signal(SIGPIPE, SIG_IGN);
    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGINT);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGHUP);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return -EINVAL;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

uint32_t bp_daemon_signal(int signals) {
    struct signalfd_siginfo info;

    return read(signals, &info, sizeof info) == (ssize_t) sizeof info ? info.ssi_signo : 0;
}
