#include "base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static bp_ns_t read_clock(clockid_t id) {
    struct timespec ts;

    (void) clock_gettime(id, &ts);
    return (bp_ns_t) ts.tv_sec * BP_SEC + ts.tv_nsec;
}

bp_ns_t bp_mono_ns(void) {
    return read_clock(CLOCK_MONOTONIC);
}

bp_ns_t bp_wall_ns(void) {
    return read_clock(CLOCK_REALTIME);
}

bp_ns_t bp_cpu_ns(void) {
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void bp_sleep_until(bp_ns_t mono_until) {
    struct timespec ts = { .tv_sec = (time_t) (mono_until / BP_SEC),
                           .tv_nsec = (long) (mono_until % BP_SEC) };

    if (mono_until <= 0)
        return;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        ;
}

void bp_sleep(bp_ns_t duration) {
    bp_sleep_until(bp_mono_ns() + duration);
}

char *bp_time_format(bp_ns_t wall_ns, char text[static BP_TIME_TEXT]) {
    time_t sec = (time_t) (wall_ns / BP_SEC);
    int64_t ns = wall_ns % BP_SEC;
    struct tm tm;

    if (ns < 0) {
        ns += BP_SEC;
        sec--;
    }
    if (!gmtime_r(&sec, &tm) || tm.tm_year + 1900 > 9999)
        (void) snprintf(text, BP_TIME_TEXT, "out of range");
    else
        (void) snprintf(text, BP_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%09" PRId64 "Z",
                        tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                        tm.tm_sec, ns);
    return text;
}

bp_ns_t bp_clock_watch_step(struct bp_clock_watch *w, bp_ns_t tolerance) {
    bp_ns_t offset = bp_wall_ns() - bp_mono_ns();
    bp_ns_t step = w->primed ? offset - w->offset : 0;

    w->offset = offset;
    w->primed = true;
    return step > tolerance || step < -tolerance ? step : 0;
}
