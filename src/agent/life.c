/* A sign of life means that the robot is being looked after: the main thread turns, every writer
 * comes around its loop, the door is answered. What hangs otherwise is found by nobody for years.
 */
#include <stdio.h>
#include <sys/statvfs.h>

#include "agent/agent-priv.h"
#include "base/log.h"

#define ANSWERS_WITHIN (2 * BP_SEC)

static double disk_used(const char *dir) {
    struct statvfs v;

    if (statvfs(dir, &v) < 0 || v.f_blocks == 0)
        return 0;
    return 100 * (1 - (double) v.f_bavail / (double) v.f_blocks);
}

static void tell(struct bp_agent *a, const struct bp_sessions_stats *s, bp_ns_t now) {
    const char *plural = s->running == 1 ? "" : "s";
    char text[160], what[64] = "idle", lost[64] = "", rate[64] = "";

    if (a->told_mono && now > a->told_mono && s->bytes >= a->told_bytes)
        a->rate =
            (uint64_t) ((double) (s->bytes - a->told_bytes) * 1e9 / (double) (now - a->told_mono));
    a->told_mono = now;
    a->told_bytes = s->bytes;
    if (s->running)
        (void) snprintf(what, sizeof what, "%s %u session%s",
                        s->paused == s->running ? "paused," : "recording", s->running, plural);
    if (s->running) {
        (void) snprintf(rate, sizeof rate, ", %.1f MB/s", (double) a->rate / 1e6);
        (void) snprintf(lost, sizeof lost, ", lost %llu", (unsigned long long) s->lost);
    }
    (void) snprintf(text, sizeof text, "%s%s%s, disk %.0f %%", s->disk_full ? "disk full" : what,
                    rate, lost, disk_used(a->dir));
    bp_systemd_status(&a->systemd, text, now);
}

/* A writer that rests comes around once per commit interval; one that waits for a disk may take as
 * long as the watchdog allows. */
static const char *stuck(struct bp_agent *a, const struct bp_sessions_stats *s, bp_ns_t now) {
    bp_ns_t limit = a->systemd.watchdog / 2 + a->config->record.commit_interval;
    const char *door = NULL;

    if (s->running && now - s->ticked_mono > limit)
        return "a writer";
    for (size_t i = 0; bp_http_address(a->http, i); i++)
        door = bp_http_address(a->http, i);
    return bp_systemd_http_answers(door, ANSWERS_WITHIN) ? NULL : "the HTTP server";
}

void bp_agent_life(struct bp_agent *a) {
    struct bp_sessions_stats s;
    const char *what;
    bp_ns_t now;

    if (a->systemd.fd < 0)
        return;
    bp_sessions_stats(a->sessions, &s);
    now = bp_mono_ns();
    tell(a, &s, now);
    if (!bp_systemd_due(&a->systemd, now))
        return;
    what = stuck(a, &s, now);
    if (!what)
        bp_systemd_ping(&a->systemd, bp_mono_ns());
    else
        bp_log(BP_LOG_WARNING, "no sign of life for the watchdog: something does not move",
               BP_F_TEXT("what", what));
}
