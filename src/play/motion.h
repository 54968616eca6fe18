#pragma once

#include <stddef.h>

/* Where a simulated robot is and what its sensors could see there. Pure functions of time: every
 * sensor asks for the same motion, so odometry, tf, imu, wheels, lidar and camera agree.
 * Metres, radians, seconds; x ahead or east, y left or north, yaw counter-clockwise from x. */

/* A figure of eight (Gerono): x = A sin s, y = A sin s cos s with s = w t + phase. */
struct bp_motion {
    double a;     /* half its length, m */
    double w;     /* rad/s of s; a lap takes 2 pi / w */
    double phase; /* s at t = 0 */
};

struct bp_motion_state {
    double x, y, yaw;
    double speed;                   /* along the heading, m/s; never 0 */
    double yaw_rate;                /* derivative of yaw, rad/s */
    double accel_ahead, accel_left; /* m/s^2 in the robot's frame, without gravity */
    double s;                       /* unwrapped parameter of the curve */
};

/** The motion of robot i: the robots share a room and are spread along the curve. */
struct bp_motion bp_motion_of(unsigned robot);
struct bp_motion_state bp_motion_at(const struct bp_motion *m, double t);

/* A differential drive: wheel angles are the integral of the motion. */
struct bp_wheels {
    double t;        /* up to where it is integrated */
    double angle[2]; /* left, right; rad */
    double speed[2]; /* rad/s */
};
#define BP_WHEEL_RADIUS 0.10
#define BP_WHEEL_TRACK  0.50
/** Rolls on to time t (not back). */
void bp_wheels_roll(struct bp_wheels *w, const struct bp_motion *m, double t);

/* ---- the room ---- */

/* Rectangular, with two round pillars inside the lobes of the eight. */
#define BP_ROOM_X      6.0 /* walls at +-6 and +-4 */
#define BP_ROOM_Y      4.0
#define BP_ROOM_HEIGHT 2.5

struct bp_ray {
    double distance; /* to what it meets, m */
    int what;        /* 0..3 walls east, north, west, south; 4, 5 pillars */
    double along;    /* where on it, m, for patterns */
};

/** What a horizontal ray from (x, y) inside the room meets. */
struct bp_ray bp_room_ray(double x, double y, double yaw);

/* ---- battery ---- */

struct bp_battery {
    double percentage; /* 0..1 */
    double voltage;    /* V, of six cells */
    double current;    /* A, negative while it drains */
    int charging;
};
enum { BP_BATTERY_CELLS = 6 };
/** Eight minutes from full to a fifth, two minutes to charge, and again. */
struct bp_battery bp_battery_at(double t);
