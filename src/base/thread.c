#include "base/thread.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

int bp_thread_start(const char *name, void *(*fn)(void *arg), void *arg, pthread_t *ret) {
    sigset_t all, old;
    char cut[16];
    int r;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &old); /* inherited by the new thread */
    r = pthread_create(ret, NULL, fn, arg);
    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return -EAGAIN;

    (void) snprintf(cut, sizeof cut, "%s", name);
    (void) pthread_setname_np(*ret, cut);
    return 0;
}

void bp_memory_for_years(void) {
    /* A threshold that was set no longer grows by itself, so what is large is mapped and goes back
     * to the system when it is freed. */
    /* NOLINTBEGIN(concurrency-mt-unsafe): before other threads start */
    (void) mallopt(M_MMAP_THRESHOLD, 128 << 10);
    (void) mallopt(M_TRIM_THRESHOLD, 256 << 10);
    (void) mallopt(M_ARENA_MAX, 2);
    /* NOLINTEND(concurrency-mt-unsafe) */
}
