#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "agent/watch.h"
#include "base/buf.h"

static char news[2000];

static void note(void *ctx, const char *event, const json_t *alert) {
    size_t n = strlen(news);

    (void) ctx;
    (void) snprintf(news + n, sizeof news - n, "%s%s %s", n ? ", " : "", event,
                    json_string_value(json_object_get(alert, "key")));
}

struct world {
    struct bp_watch w;
    struct bp_watch_limits limits;
    struct bp_watch_facts now;
    struct bp_alerts *alerts;
    bp_ns_t mono;
};

static int set_up(void **state) {
    static struct world w;

    w = (struct world){ .limits = { .ring = 0.8, .disk_free = 1000 },
                        .now = { .disk_free = 5000, .syncs = true },
                        .mono = BP_SEC };
    w.now.sessions.running = 1;
    w.alerts = bp_alerts_new(note, NULL);
    news[0] = 0;
    *state = &w;
    return w.alerts ? 0 : -1;
}

static int tear_down(void **state) {
    struct world *w = *state;

    bp_alerts_free(w->alerts);
    return 0;
}

/* Some seconds in which everything else goes well. @return what was told in them */
static const char *pass(struct world *w, unsigned seconds) {
    news[0] = 0;
    for (unsigned i = 0; i < seconds; i++) {
        w->mono += BP_SEC;
        w->now.sessions.durable_wall_ns = w->mono;
        bp_watch_update(&w->w, w->alerts, &w->limits, &w->now, w->mono);
    }
    return news;
}

static void nothing_is_wrong(void **state) {
    struct world *w = *state;

    w->now.sessions.lost_by[BP_LOSS_RING] = 99; /* before we looked */
    w->now.udp_drops = 7;
    w->now.clock_steps = 1;
    assert_string_equal(pass(w, 100), "");
    w->now.sessions.lost_by[BP_LOSS_RING] = 0; /* its session has ended */
    w->now.sessions.lost_by[BP_LOSS_PAUSED] = 5;
    w->now.sessions.lost_by[BP_LOSS_RATE] = 5;
    w->now.sessions.lost_by[BP_LOSS_CONTROL] = 5;
    w->now.sessions.lost_by[BP_LOSS_DEGRADED] = 5; /* has an alert of its own */
    assert_string_equal(pass(w, 10), "");
}

static void full_ring(void **state) {
    struct world *w = *state;

    w->now.sessions.ring_fullest = 0.79;
    assert_string_equal(pass(w, 3), "");
    w->now.sessions.ring_fullest = 0.8;
    assert_string_equal(pass(w, 3), "raised buffer.level");
    w->now.sessions.ring_fullest = 0.65; /* not yet */
    assert_string_equal(pass(w, 3), "");
    w->now.sessions.ring_fullest = 0.63;
    assert_string_equal(pass(w, 3), "cleared buffer.level");
    w->now.sessions.ring_fullest = 1;
    w->now.sessions.running = 0;
    assert_string_equal(pass(w, 3), "");
}

static void losses(void **state) {
    struct world *w = *state;

    (void) pass(w, 1);
    w->now.sessions.lost_by[BP_LOSS_RING] += 3;
    assert_string_equal(pass(w, 5), "raised messages.lost");
    w->now.sessions.lost_by[BP_LOSS_RING] += 3; /* the same again: no news */
    assert_string_equal(pass(w, 5), "");
    w->now.sessions.lost_by[BP_LOSS_DISK]++;
    assert_string_equal(pass(w, 5), "changed messages.lost");
    assert_string_equal(pass(w, 4), "");
    assert_string_equal(pass(w, 3), "cleared messages.lost");
    assert_int_equal(bp_alerts_active(w->alerts), 0);
    w->now.sessions.lost_by[BP_LOSS_BUDGET]++;
    assert_string_equal(pass(w, 20), "raised messages.lost, cleared messages.lost");
}

static void disk(void **state) {
    struct world *w = *state;

    w->now.disk_free = 999;
    assert_string_equal(pass(w, 3), "raised disk.low");
    w->now.disk_free = 1050;
    assert_string_equal(pass(w, 3), "");
    w->now.sessions.disk_full = true;
    assert_string_equal(pass(w, 3), "raised disk.full");
    w->now.sessions.disk_full = false;
    w->now.disk_free = 1100;
    assert_string_equal(pass(w, 3), "cleared disk.low, cleared disk.full");
    w->now.disk_free = UINT64_MAX; /* not known */
    assert_string_equal(pass(w, 3), "");
}

static void host(void **state) {
    struct world *w = *state;

    (void) pass(w, 1);
    w->now.udp_drops++;
    assert_string_equal(pass(w, 3), "raised udp.drops");
    assert_string_equal(pass(w, 10), "cleared udp.drops");
    w->now.clock_steps++;
    w->now.clock_step_s = -3.25;
    assert_string_equal(pass(w, 3), "raised clock.step");
    w->now.clock_steps++;
    w->now.clock_step_s = 60;
    assert_string_equal(pass(w, 3), "changed clock.step");
    assert_string_equal(pass(w, 10), "cleared clock.step");
}

static void stalled(void **state) {
    struct world *w = *state;

    (void) pass(w, 3);
    news[0] = 0;
    for (int i = 0; i < 8; i++)
        bp_watch_update(&w->w, w->alerts, &w->limits, &w->now, w->mono += BP_SEC);
    assert_string_equal(news, "raised writer.stalled");
    assert_string_equal(pass(w, 1), "cleared writer.stalled");
    w->now.syncs = false; /* durability: fast */
    news[0] = 0;
    for (int i = 0; i < 20; i++)
        bp_watch_update(&w->w, w->alerts, &w->limits, &w->now, w->mono += BP_SEC);
    assert_string_equal(news, "");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(nothing_is_wrong), CASE(full_ring), CASE(losses), CASE(disk), CASE(host),
        CASE(stalled),
    };

    return cmocka_run_group_tests_name("agent/watch", tests, NULL, NULL);
}
