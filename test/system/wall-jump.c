/* A wall clock that a test moves: with this in LD_PRELOAD, the seconds in the file $WALL_JUMP
 * (int64, as this machine writes it) are added to the wall clock from the next look on. Monotonic
 * clocks go on as they do. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t *jump; /* [atomic] what it points to */

__attribute__((constructor)) static void map_it(void) {
    const char *path = getenv("WALL_JUMP");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *jump, PROT_READ, MAP_SHARED, fd, 0);

    if (p != MAP_FAILED)
        jump = p;
    if (fd >= 0)
        (void) close(fd);
}

static int64_t by(void) {
    return jump ? __atomic_load_n(jump, __ATOMIC_RELAXED) : 0;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): libc's are reserved names */
int clock_gettime(clockid_t id, struct timespec *ts) {
    int r = (int) syscall(SYS_clock_gettime, id, ts);

    if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        ts->tv_sec += (time_t) by();
    return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
    struct timespec ts;

    (void) tz;
    if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
        return -1;
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *ret) {
    struct timespec ts;

    if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
        return -1;
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
