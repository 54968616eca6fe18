#include "play/motion.h"

#include <math.h>

#include "base/macro.h"

#define LAP_S       40.0
#define DRAIN_S     480.0
#define CHARGE_S    120.0
#define BATTERY_LOW 0.2

struct bp_motion bp_motion_of(unsigned robot) {
    /* The golden angle spreads any number of robots without two meeting soon. */
    return (struct bp_motion){ .a = 4, .w = 2 * M_PI / LAP_S, .phase = 2.39996323 * robot };
}

struct bp_motion_state bp_motion_at(const struct bp_motion *m, double t) {
    double s = m->w * t + m->phase, aw = m->a * m->w;
    double vx = aw * cos(s), vy = aw * cos(2 * s);
    double ax = -aw * m->w * sin(s), ay = -2 * aw * m->w * sin(2 * s);
    double v2 = vx * vx + vy * vy, v = sqrt(v2);

    return (struct bp_motion_state){
        .x = m->a * sin(s),
        .y = m->a * sin(s) * cos(s),
        .yaw = atan2(vy, vx),
        .speed = v,
        .yaw_rate = (vx * ay - vy * ax) / v2,
        .accel_ahead = (vx * ax + vy * ay) / v,
        .accel_left = (vx * ay - vy * ax) / v,
        .s = s,
    };
}

static void wheel_speeds(const struct bp_motion *m, double t, double ret[2]) {
    struct bp_motion_state s = bp_motion_at(m, t);
    double turn = s.yaw_rate * BP_WHEEL_TRACK / 2;

    ret[0] = (s.speed - turn) / BP_WHEEL_RADIUS;
    ret[1] = (s.speed + turn) / BP_WHEEL_RADIUS;
}

void bp_wheels_roll(struct bp_wheels *w, const struct bp_motion *m, double t) {
    double a[2], mid[2];

    wheel_speeds(m, w->t, a);
    while (w->t < t) {
        double h = BP_MIN(t - w->t, 0.1); /* Simpson over at most that much */

        wheel_speeds(m, w->t + h / 2, mid);
        wheel_speeds(m, w->t + h, w->speed);
        for (int i = 0; i < 2; i++) {
            w->angle[i] += h / 6 * (a[i] + 4 * mid[i] + w->speed[i]);
            a[i] = w->speed[i];
        }
        w->t += h;
    }
}

/* ---- the room ---- */

static const struct { double x, y, radius; } pillars[] = { { 2.8, 0, 0.35 }, { -2.8, 0, 0.35 } };

static void meet_pillar(struct bp_ray *r, int i, double x, double y, double dx, double dy) {
    double px = pillars[i].x - x, py = pillars[i].y - y;
    double along = px * dx + py * dy, across = px * dy - py * dx;
    double depth = pillars[i].radius * pillars[i].radius - across * across;
    double d = depth > 0 ? along - sqrt(depth) : -1;

    if (d <= 0 || d >= r->distance)
        return;
    r->distance = d;
    r->what = 4 + i;
    r->along = atan2(y + d * dy - pillars[i].y, x + d * dx - pillars[i].x) * pillars[i].radius;
}

struct bp_ray bp_room_ray(double x, double y, double yaw) {
    double dx = cos(yaw), dy = sin(yaw);
    double to_x = dx > 0 ? (BP_ROOM_X - x) / dx : dx < 0 ? (-BP_ROOM_X - x) / dx : INFINITY;
    double to_y = dy > 0 ? (BP_ROOM_Y - y) / dy : dy < 0 ? (-BP_ROOM_Y - y) / dy : INFINITY;
    struct bp_ray r;

    if (to_x < to_y)
        r = (struct bp_ray){ to_x, dx > 0 ? 0 : 2, y + to_x * dy };
    else
        r = (struct bp_ray){ to_y, dy > 0 ? 1 : 3, x + to_y * dx };
    for (int i = 0; i < (int) BP_COUNT(pillars); i++)
        meet_pillar(&r, i, x, y, dx, dy);
    return r;
}

/* ---- battery ---- */

struct bp_battery bp_battery_at(double t) {
    double at = fmod(t, DRAIN_S + CHARGE_S);
    struct bp_battery b = { .charging = at >= DRAIN_S };

    if (b.charging) {
        b.percentage = BATTERY_LOW + (1 - BATTERY_LOW) * (at - DRAIN_S) / CHARGE_S;
        b.current = 12;
    } else {
        b.percentage = 1 - (1 - BATTERY_LOW) * at / DRAIN_S;
        b.current = -3.0 - 0.3 * sin(at / 5);
    }
    /* A straight line is near enough to a lithium cell between a fifth and full; current sags it.
     */
    b.voltage = BP_BATTERY_CELLS * (3.5 + 0.7 * b.percentage) + 0.05 * b.current;
    return b;
}
