#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "base/macro.h"
#include "play/motion.h"

static void near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.9g is not near %.9g", a, b);
}

static double turned(double from, double to) {
    return remainder(to - from, 2 * M_PI);
}

/* Everything said about the motion follows from where the robot is, by numeric differences. */
static void derivatives_agree(void **state) {
    const double h = 1e-5;

    (void) state;
    for (unsigned robot = 0; robot < 5; robot++) {
        struct bp_motion m = bp_motion_of(robot);

        for (int i = 0; i < 250; i++) {
            double t = i * 0.37;
            struct bp_motion_state a = bp_motion_at(&m, t - h), b = bp_motion_at(&m, t + h);
            struct bp_motion_state s = bp_motion_at(&m, t);
            double vx = (b.x - a.x) / (2 * h), vy = (b.y - a.y) / (2 * h);

            near(hypot(vx, vy), s.speed, 1e-6);
            near(turned(atan2(vy, vx), s.yaw), 0, 1e-6);
            near(turned(a.yaw, b.yaw) / (2 * h), s.yaw_rate, 1e-5);
            near((b.speed - a.speed) / (2 * h), s.accel_ahead, 1e-5);
            near(s.speed * s.yaw_rate, s.accel_left, 1e-9);
            assert_true(s.speed > 0.1 && s.speed < 2);
            assert_true(fabs(s.x) < BP_ROOM_X - 1 && fabs(s.y) < BP_ROOM_Y - 1);
        }
    }
}

static void wheels_measure_the_way(void **state) {
    struct bp_motion m = bp_motion_of(1);
    struct bp_wheels w = { 0 };
    double way = 0, turn = 0;
    struct bp_motion_state last = bp_motion_at(&m, 0);

    (void) state;
    for (int i = 1; i <= 60000; i++) {
        struct bp_motion_state s = bp_motion_at(&m, i / 1000.0);

        way += hypot(s.x - last.x, s.y - last.y);
        turn += turned(last.yaw, s.yaw);
        last = s;
        if (i % 777 == 0)
            bp_wheels_roll(&w, &m, i / 1000.0);
    }
    bp_wheels_roll(&w, &m, 60);
    near((w.angle[0] + w.angle[1]) / 2 * BP_WHEEL_RADIUS, way, 1e-3);
    near((w.angle[1] - w.angle[0]) / BP_WHEEL_TRACK * BP_WHEEL_RADIUS, turn, 1e-3);
}

static void rays_end_on_things(void **state) {
    static const struct {
        double x, y, yaw, distance;
        int what;
    } cases[] = {
        { 0, 0, 0, 2.45, 4 },        /* the pillar ahead */
        { 0, 0, M_PI, 2.45, 5 },     /* and behind */
        { 0, 0, M_PI_2, 4, 1 },      /* north wall */
        { 0, 0, -M_PI_2, 4, 3 },     /* south wall */
        { 4, 0, 0, 2, 0 },           /* past the pillar: east */
        { -4, 1, M_PI, 2, 2 },       /* west */
        { 5, 3, M_PI_4, M_SQRT2, 1 } /* into the corner, either wall */
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_ray r = bp_room_ray(cases[i].x, cases[i].y, cases[i].yaw);

        near(r.distance, cases[i].distance, 1e-9);
        if (i + 1 < BP_COUNT(cases))
            assert_int_equal(r.what, cases[i].what);
    }
    for (int i = -400; i < 400; i++) {
        double yaw = i / 100.0;
        struct bp_ray r = bp_room_ray(1, 2, yaw);
        double x = 1 + r.distance * cos(yaw), y = 2 + r.distance * sin(yaw);

        assert_true(r.distance > 0 && fabs(x) < BP_ROOM_X + 1e-9 && fabs(y) < BP_ROOM_Y + 1e-9);
        if (r.what < 4)
            assert_true(fabs(fabs(x) - BP_ROOM_X) < 1e-9 || fabs(fabs(y) - BP_ROOM_Y) < 1e-9);
    }
}

static void battery_drains_and_charges(void **state) {
    struct bp_battery last = bp_battery_at(0);
    int turns = 0;

    (void) state;
    near(last.percentage, 1, 1e-9);
    for (int i = 1; i < 3600; i++) {
        struct bp_battery b = bp_battery_at(i / 2.0);

        assert_true(b.percentage >= 0.2 - 1e-9 && b.percentage <= 1 + 1e-9);
        assert_true(b.charging ? b.current > 0 : b.current < 0);
        assert_true(b.voltage > 3.3 * BP_BATTERY_CELLS && b.voltage < 4.35 * BP_BATTERY_CELLS);
        near(b.percentage, last.percentage, 0.005);
        turns += b.charging != last.charging;
        last = b;
    }
    assert_int_equal(turns, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivatives_agree),
        cmocka_unit_test(wheels_measure_the_way),
        cmocka_unit_test(rays_end_on_things),
        cmocka_unit_test(battery_drains_and_charges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
