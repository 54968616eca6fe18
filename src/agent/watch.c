#include "agent/watch.h"

#include <stdio.h>

#include "bag/ledger.h"
#include "base/units.h"

#define QUIET (10 * BP_SEC) /* without a new one it is over */
#define STALLED                                                                      \
    (5 * BP_SEC) /* a commit is due every 100 ms; disks do pause for a second or two \
                  */

enum { LOSSES, UDP_DROPS, CLOCK_STEPS };

static void set(struct bp_alerts *a, bool is, const char *key, enum bp_severity severity,
                const char *text) {
    if (is)
        bp_alerts_raise(a, key, severity, text);
    else
        bp_alerts_clear(a, key);
}

/* True while the last event is not long ago. */
static bool lasts(struct bp_watch *w, int which, bool again, bp_ns_t mono) {
    if (again)
        w->quiet[which] = mono + QUIET;
    else if (mono >= w->quiet[which])
        w->quiet[which] = 0;
    return w->quiet[which] != 0;
}

/* Raised once per stretch of faults, and again only when its text gets another meaning: numbers
 * that change every second would be news every second. */
static void watch_ring(struct bp_watch *w, struct bp_alerts *a, const struct bp_watch_limits *l,
                       const struct bp_watch_facts *now) {
    char text[256];

    w->level =
        now->sessions.running && now->sessions.ring_fullest >= (w->level ? l->ring * 0.8 : l->ring);
    (void) snprintf(text, sizeof text,
                    "a ring is more than %.0f %% full: disk or processor do not keep up; low "
                    "priorities are refused first",
                    l->ring * 100);
    set(a, w->level, "buffer.level", BP_SEVERITY_WARNING, text);
}

static bool is_watched(enum bp_loss why) {
    return bp_loss_is_loss(why) && why != BP_LOSS_DEGRADED && why != BP_LOSS_TRANSPORT;
}

/* What never reached us is not in here: it is of the network, and may still come. */
static void watch_losses(struct bp_watch *w, struct bp_alerts *a, const struct bp_watch_facts *now,
                         bp_ns_t mono) {
    unsigned causes = 0;
    char text[256] = "messages are being refused:";
    bool on;

    for (int i = 0; i < BP_LOSS_N_; i++)
        if (is_watched((enum bp_loss) i) && now->sessions.lost_by[i] > w->last.sessions.lost_by[i])
            causes |= 1u << i;
    on = lasts(w, LOSSES, w->primed && causes, mono);
    w->causes = on ? w->causes | (w->primed ? causes : 0) : 0;
    for (int i = 0; i < BP_LOSS_N_; i++) {
        size_t n = strlen(text);

        if (w->causes & 1u << i)
            (void) snprintf(text + n, sizeof text - n, "%s %s", text[n - 1] == ':' ? "" : ";",
                            bp_loss_text((enum bp_loss) i));
    }
    set(a, on, "messages.lost", BP_SEVERITY_CRITICAL, text);
}

static void watch_disk(struct bp_watch *w, struct bp_alerts *a, const struct bp_watch_limits *l,
                       const struct bp_watch_facts *now) {
    char text[256], size[BP_UNITS_TEXT];
    uint64_t limit = w->low ? l->disk_free + l->disk_free / 10 : l->disk_free;

    w->low = now->disk_free != UINT64_MAX && now->disk_free < limit;
    (void) snprintf(text, sizeof text, "less than %s of the disk is free",
                    bp_size_format(l->disk_free, size));
    set(a, w->low, "disk.low", BP_SEVERITY_WARNING, text);
    set(a, now->sessions.disk_full, "disk.full", BP_SEVERITY_CRITICAL,
        "the disk is full: new messages are refused");
}

static void watch_host(struct bp_watch *w, struct bp_alerts *a, const struct bp_watch_facts *now,
                       bp_ns_t mono) {
    bool drops = w->primed && now->udp_drops > w->last.udp_drops;
    bool step = w->primed && now->clock_steps > w->last.clock_steps;
    char text[256];

    set(a, lasts(w, UDP_DROPS, drops, mono), "udp.drops", BP_SEVERITY_WARNING,
        "this host's receive buffers drop packets: raise net.core.rmem_max, or load is too high");
    if (step) {
        (void) snprintf(text, sizeof text, "the clock has been put %s by %.3f s",
                        now->clock_step_s < 0 ? "back" : "forward",
                        now->clock_step_s < 0 ? -now->clock_step_s : now->clock_step_s);
        bp_alerts_raise(a, "clock.step", BP_SEVERITY_WARNING, text);
    }
    if (!lasts(w, CLOCK_STEPS, step, mono))
        bp_alerts_clear(a, "clock.step");
}

static void watch_writer(struct bp_watch *w, struct bp_alerts *a, const struct bp_watch_facts *now,
                         bp_ns_t mono) {
    bool moved = now->sessions.durable_wall_ns != w->last.sessions.durable_wall_ns ||
                 now->sessions.running != w->last.sessions.running;

    if (moved || !w->primed || !now->sessions.running || !now->syncs)
        w->durable_mono = mono;
    set(a, mono - w->durable_mono >= STALLED, "writer.stalled", BP_SEVERITY_CRITICAL,
        "nothing has become durable for 5 s: the disk does not answer");
}

void bp_watch_update(struct bp_watch *w, struct bp_alerts *alerts,
                     const struct bp_watch_limits *limits, const struct bp_watch_facts *now,
                     bp_ns_t mono) {
    watch_ring(w, alerts, limits, now);
    watch_losses(w, alerts, now, mono);
    watch_disk(w, alerts, limits, now);
    watch_host(w, alerts, now, mono);
    watch_writer(w, alerts, now, mono);
    w->last = *now;
    w->primed = true;
}
