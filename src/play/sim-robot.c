/* The telemetry of a robot: what a small mobile base with an imu and GPS sends without camera and
 * lidar. One lane fires all of it; nothing here takes more than some microseconds. */
#include "play/sim-priv.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "play/messages.h"

#define GRAVITY       9.80665
#define FIX_LATITUDE  48.1374 /* of the room's middle */
#define FIX_LONGITUDE 11.5755
#define FIX_ALTITUDE  519.0
#define EARTH_RADIUS  6378137.0
#define CAPACITY_AH   20.0

struct telemetry {
    const struct bp_sim_robot *bot;
    struct bp_buf buf; /* owned; the message being built */
    struct bp_rng rng;
    struct bp_wheels wheels;
    int64_t corner; /* quarter of the eight it was in */
    bool was_charging;
    uint64_t logged;

    struct bp_timer drive_timer, imu_timer, slow_timer, fix_timer, once_timer;
    struct bp_sim_topic *odom, *tf, *joints, *imu, *battery, *diagnostics, *rosout, *fix;
    struct bp_sim_topic *tf_static, *description;
    struct bp_sim_frame map, world, base, imu_frame, fix_frame, lidar_frame, camera_frame;
    struct bp_sim_frame optical_frame, wheel_frames[2];
};

static void telemetry_free(void *p) {
    struct telemetry *t = p;

    bp_buf_done(&t->buf);
    free(t);
}

static void send_and_clear(struct telemetry *t, struct bp_sim_topic *to, bp_ns_t wall) {
    bp_sim_send_buf(to, &t->buf, wall);
    bp_buf_clear(&t->buf);
}

static double noise(struct telemetry *t, double sigma) {
    return sigma * bp_rng_normal(&t->rng);
}

/* ---- 50 Hz: odometry, transforms and wheels of one moment ---- */

static struct bp_msg_transform wheel_transform(const struct telemetry *t, int i) {
    double half = t->wheels.angle[i] / 2;

    return (struct bp_msg_transform){
        .frame = t->base.text,
        .child = t->wheel_frames[i].text,
        .t = { 0, (i == 0 ? 0.5 : -0.5) * BP_WHEEL_TRACK, BP_WHEEL_RADIUS },
        .q = { 0, sin(half), 0, cos(half) },
    };
}

static void send_joints(struct telemetry *t, bp_ns_t wall) {
    static const char *const names[] = { "wheel_left_joint", "wheel_right_joint" };
    double effort[2] = { 0.4 + noise(t, 0.02), 0.4 + noise(t, 0.02) };

    bp_msg_joints(&t->buf, &(struct bp_msg_head){ wall, "" }, names, t->wheels.angle,
                  t->wheels.speed, effort, 2);
    send_and_clear(t, t->joints, wall);
}

static void drive(void *ctx, bp_ns_t due_mono) {
    struct telemetry *t = ctx;
    bp_ns_t wall = bp_wall_ns();
    double now = bp_sim_time(t->bot->sim);
    struct bp_motion_state m = bp_motion_at(&t->bot->motion, now);
    struct bp_msg_odom odom = { t->base.text, m.x, m.y, m.yaw, m.speed, m.yaw_rate };
    struct bp_msg_transform tf[3] = { {
        .frame = t->world.text,
        .child = t->base.text,
        .t = { m.x, m.y, 0 },
        .q = { 0, 0, sin(m.yaw / 2), cos(m.yaw / 2) },
    } };

    (void) due_mono;
    bp_msg_odometry(&t->buf, &(struct bp_msg_head){ wall, t->world.text }, &odom);
    send_and_clear(t, t->odom, wall);

    bp_wheels_roll(&t->wheels, &t->bot->motion, now);
    tf[1] = wheel_transform(t, 0);
    tf[2] = wheel_transform(t, 1);
    bp_msg_tf(&t->buf, wall, tf, BP_COUNT(tf));
    send_and_clear(t, t->tf, wall);
    send_joints(t, wall);
}

/* ---- 100 Hz ---- */

static void sense_imu(void *ctx, bp_ns_t due_mono) {
    struct telemetry *t = ctx;
    bp_ns_t wall = bp_wall_ns();
    struct bp_motion_state m = bp_motion_at(&t->bot->motion, bp_sim_time(t->bot->sim));
    double gyro[3] = { noise(t, 0.002), noise(t, 0.002), m.yaw_rate + noise(t, 0.002) };
    double accel[3] = { m.accel_ahead + noise(t, 0.02), m.accel_left + noise(t, 0.02),
                        GRAVITY + noise(t, 0.02) };

    (void) due_mono;
    bp_msg_imu(&t->buf, &(struct bp_msg_head){ wall, t->imu_frame.text }, m.yaw, gyro, accel);
    send_and_clear(t, t->imu, wall);
}

/* ---- 5 Hz ---- */

static void sense_fix(void *ctx, bp_ns_t due_mono) {
    struct telemetry *t = ctx;
    bp_ns_t wall = bp_wall_ns();
    struct bp_motion_state m = bp_motion_at(&t->bot->motion, bp_sim_time(t->bot->sim));
    double north = m.y + noise(t, 0.02), east = m.x + noise(t, 0.02);
    double degree = EARTH_RADIUS * M_PI / 180;

    (void) due_mono;
    bp_msg_fix(&t->buf, &(struct bp_msg_head){ wall, t->fix_frame.text },
               FIX_LATITUDE + north / degree,
               FIX_LONGITUDE + east / (degree * cos(FIX_LATITUDE * M_PI / 180)),
               FIX_ALTITUDE + noise(t, 0.05), 4e-4);
    send_and_clear(t, t->fix, wall);
}

/* ---- 1 Hz: battery, diagnostics, log ---- */

static void send_battery(struct telemetry *t, const struct bp_battery *b, bp_ns_t wall) {
    struct bp_msg_battery v = {
        .voltage = b->voltage + noise(t, 0.005),
        .temperature = 31 + (b->charging ? 3 : 0) + noise(t, 0.1),
        .current = b->current + noise(t, 0.05),
        .charge = CAPACITY_AH * b->percentage,
        .capacity = CAPACITY_AH,
        .percentage = b->percentage,
        .charging = b->charging,
        .cells = BP_BATTERY_CELLS,
    };

    bp_msg_battery(&t->buf, &(struct bp_msg_head){ wall, t->base.text }, &v);
    send_and_clear(t, t->battery, wall);
}

static void send_diagnostics(struct telemetry *t, const struct bp_battery *b, double now,
                             bp_ns_t wall) {
    char charge[16], voltage[16], uptime[24], load[16], names[2][48];
    const char *battery_pairs[] = { "charge", charge, "voltage", voltage, NULL };
    const char *base_pairs[] = { "uptime", uptime, "cpu_load", load, NULL };
    bool low = b->percentage < 0.25;
    struct bp_msg_status v[2] = {
        { low && !b->charging, names[0],
          low           ? "low"
          : b->charging ? "charging"
                        : "OK",
          t->bot->name, battery_pairs },
        { 0, names[1], "OK", t->bot->name, base_pairs },
    };

    (void) snprintf(names[0], sizeof names[0], "%s: battery", t->bot->name);
    (void) snprintf(names[1], sizeof names[1], "%s: base", t->bot->name);
    (void) snprintf(charge, sizeof charge, "%.1f %%", 100 * b->percentage);
    (void) snprintf(voltage, sizeof voltage, "%.2f V", b->voltage);
    (void) snprintf(uptime, sizeof uptime, "%.0f s", now);
    (void) snprintf(load, sizeof load, "%.2f", 0.4 + noise(t, 0.05));
    bp_msg_diagnostics(&t->buf, wall, v, 2);
    send_and_clear(t, t->diagnostics, wall);
}

static void say(struct telemetry *t, uint8_t level, const char *text, uint32_t line, bp_ns_t wall) {
    char node[32];
    struct bp_msg_log v = { level, node, text, "base_driver.cpp", "run", line };

    (void) snprintf(node, sizeof node, "%s.base_driver", t->bot->name);
    bp_msg_log(&t->buf, wall, &v);
    send_and_clear(t, t->rosout, wall);
    t->logged++;
}

static void write_log(struct telemetry *t, const struct bp_battery *b, double now, bp_ns_t wall) {
    struct bp_motion_state m = bp_motion_at(&t->bot->motion, now);
    int64_t corner = (int64_t) floor(m.s / M_PI_2);
    char text[96];

    if (t->logged == 0)
        say(t, 20, "base driver is up", 41, wall);
    if (corner != t->corner) {
        (void) snprintf(text, sizeof text, "waypoint %lld passed at x=%.2f y=%.2f",
                        (long long) corner, m.x, m.y);
        say(t, 20, text, 112, wall);
        t->corner = corner;
    }
    if (b->charging != (int) t->was_charging) {
        (void) snprintf(text, sizeof text, "battery at %.0f %%, %s", 100 * b->percentage,
                        b->charging ? "charging" : "charged");
        say(t, b->charging ? 30 : 20, text, 87, wall);
        t->was_charging = b->charging;
    }
}

static void slow(void *ctx, bp_ns_t due_mono) {
    struct telemetry *t = ctx;
    bp_ns_t wall = bp_wall_ns();
    double now = bp_sim_time(t->bot->sim);
    struct bp_battery b = bp_battery_at(now);

    (void) due_mono;
    send_battery(t, &b, wall);
    send_diagnostics(t, &b, now, wall);
    write_log(t, &b, now, wall);
}

/* ---- once, latched ---- */

static const char urdf[] =
    "<?xml version=\"1.0\"?>\n"
    "<robot name=\"%s\">\n"
    "  <link name=\"base_link\"><visual><origin xyz=\"0 0 0.15\"/>"
    "<geometry><box size=\"0.6 0.4 0.2\"/></geometry></visual></link>\n"
    "  <link name=\"wheel_left\"><visual><origin rpy=\"1.5708 0 0\"/>"
    "<geometry><cylinder radius=\"0.1\" length=\"0.05\"/></geometry></visual></link>\n"
    "  <link name=\"wheel_right\"><visual><origin rpy=\"1.5708 0 0\"/>"
    "<geometry><cylinder radius=\"0.1\" length=\"0.05\"/></geometry></visual></link>\n"
    "  <link name=\"imu_link\"/><link name=\"lidar_link\"/><link name=\"camera_link\"/>\n"
    "  <joint name=\"wheel_left_joint\" type=\"continuous\"><parent link=\"base_link\"/>"
    "<child link=\"wheel_left\"/><origin xyz=\"0 0.25 0.1\"/><axis xyz=\"0 1 0\"/></joint>\n"
    "  <joint name=\"wheel_right_joint\" type=\"continuous\"><parent link=\"base_link\"/>"
    "<child link=\"wheel_right\"/><origin xyz=\"0 -0.25 0.1\"/><axis xyz=\"0 1 0\"/></joint>\n"
    "  <joint name=\"imu_joint\" type=\"fixed\"><parent link=\"base_link\"/>"
    "<child link=\"imu_link\"/><origin xyz=\"0 0 0.2\"/></joint>\n"
    "  <joint name=\"lidar_joint\" type=\"fixed\"><parent link=\"base_link\"/>"
    "<child link=\"lidar_link\"/><origin xyz=\"0 0 0.5\"/></joint>\n"
    "  <joint name=\"camera_joint\" type=\"fixed\"><parent link=\"base_link\"/>"
    "<child link=\"camera_link\"/><origin xyz=\"0.3 0 0.4\"/></joint>\n"
    "</robot>\n";

static void once(void *ctx, bp_ns_t due_mono) {
    struct telemetry *t = ctx;
    bp_ns_t wall = bp_wall_ns();
    const struct bp_msg_transform v[] = {
        { t->map.text, t->world.text, { 0, 0, 0 }, { 0, 0, 0, 1 } },
        { t->base.text, t->imu_frame.text, { 0, 0, 0.2 }, { 0, 0, 0, 1 } },
        { t->base.text, t->fix_frame.text, { 0, 0, 0.6 }, { 0, 0, 0, 1 } },
        { t->base.text, t->lidar_frame.text, { 0, 0, 0.5 }, { 0, 0, 0, 1 } },
        { t->base.text, t->camera_frame.text, { 0.3, 0, 0.4 }, { 0, 0, 0, 1 } },
        /* z ahead, x right, y down */
        { t->camera_frame.text, t->optical_frame.text, { 0, 0, 0 }, { -0.5, 0.5, -0.5, 0.5 } },
    };
    char text[sizeof urdf + 32];

    (void) due_mono;
    bp_msg_tf(&t->buf, wall, v, BP_COUNT(v));
    send_and_clear(t, t->tf_static, wall);
    (void) snprintf(text, sizeof text, urdf, t->bot->name);
    bp_msg_string(&t->buf, text);
    send_and_clear(t, t->description, wall);
}

/* ---- putting it together ---- */

static void set_up(struct telemetry *t, const struct bp_sim_robot *r) {
    struct bp_motion_state m = bp_motion_at(&r->motion, 0);

    t->bot = r;
    t->rng = bp_sim_rng(r, 0);
    t->corner = (int64_t) floor(m.s / M_PI_2);
    (void) snprintf(t->map.text, sizeof t->map.text, "map");
    t->world = bp_sim_frame(r, "odom");
    t->base = bp_sim_frame(r, "base_link");
    t->imu_frame = bp_sim_frame(r, "imu_link");
    t->fix_frame = bp_sim_frame(r, "gps_link");
    t->lidar_frame = bp_sim_frame(r, "lidar_link");
    t->camera_frame = bp_sim_frame(r, "camera_link");
    t->optical_frame = bp_sim_frame(r, "camera_optical");
    t->wheel_frames[0] = bp_sim_frame(r, "wheel_left");
    t->wheel_frames[1] = bp_sim_frame(r, "wheel_right");
    t->once_timer = bp_sim_timer(r, 0, once, t);
    t->drive_timer = bp_sim_timer(r, 50, drive, t);
    t->imu_timer = bp_sim_timer(r, 100, sense_imu, t);
    t->slow_timer = bp_sim_timer(r, 1, slow, t);
    t->fix_timer = bp_sim_timer(r, 5, sense_fix, t);
    t->imu_timer.offset_ns = 3 * BP_MS; /* not all in the same moment */
    t->fix_timer.offset_ns = 7 * BP_MS;
    t->slow_timer.offset_ns = 14 * BP_MS;
}

static struct bp_qos with_depth(const struct bp_qos *q, uint32_t depth) {
    struct bp_qos r = *q;

    r.depth = depth;
    return r;
}

static int add_topics(struct telemetry *t, struct bp_sim *s, struct bp_error *err) {
    enum { BASE, IMU, GPS, STATE, NODES };
    static const char *const names[NODES] = { "base_driver", "imu_driver", "gps_driver",
                                              "robot_state_publisher" };
    const struct bp_sim_robot *r = t->bot;
    struct bp_qos plain = bp_qos_default, tf = with_depth(&plain, 100);
    struct bp_qos imu = with_depth(&r->sensor_qos, r->sim->opts.reliable_sensors ? 100 : 5);
    struct bp_qos rosout = with_depth(&bp_sim_qos_latched, 1000);
    struct bp_node *nodes[NODES];
    const struct {
        int node;
        const char *name, *type;
        const struct bp_qos *qos;
        const struct bp_timer *timer;
        struct bp_sim_topic **ret;
    } rows[] = {
        { BASE, "odom", "nav_msgs/msg/Odometry", &plain, &t->drive_timer, &t->odom },
        { BASE, "tf", "tf2_msgs/msg/TFMessage", &tf, &t->drive_timer, &t->tf },
        { BASE, "joint_states", "sensor_msgs/msg/JointState", &plain, &t->drive_timer, &t->joints },
        { IMU, "imu", "sensor_msgs/msg/Imu", &imu, &t->imu_timer, &t->imu },
        { GPS, "fix", "sensor_msgs/msg/NavSatFix", &r->sensor_qos, &t->fix_timer, &t->fix },
        { BASE, "battery_state", "sensor_msgs/msg/BatteryState", &plain, &t->slow_timer,
          &t->battery },
        { BASE, "/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", &plain, &t->slow_timer,
          &t->diagnostics },
        { BASE, "/rosout", "rcl_interfaces/msg/Log", &rosout, NULL, &t->rosout },
        { STATE, "tf_static", "tf2_msgs/msg/TFMessage", &bp_sim_qos_latched, &t->once_timer,
          &t->tf_static },
        { STATE, "robot_description", "std_msgs/msg/String", &bp_sim_qos_latched, &t->once_timer,
          &t->description },
    };
    int k = 0;

    rosout.lifespan = 10 * BP_SEC; /* as rclcpp publishes it */
    for (int i = 0; k >= 0 && i < NODES; i++)
        k = bp_dds_node(r->dds, r->ns, names[i], &nodes[i], err);
    for (size_t i = 0; k >= 0 && i < BP_COUNT(rows); i++)
        k = bp_sim_topic_new(s,
                             &(struct bp_sim_topic_def){ r->dds, nodes[rows[i].node], r->ns,
                                                         rows[i].name, rows[i].type, rows[i].qos,
                                                         rows[i].timer },
                             rows[i].ret, err);
    return k;
}

int bp_sim_add_telemetry(struct bp_sim *s, const struct bp_sim_robot *r, struct bp_error *err) {
    struct telemetry *t = calloc(1, sizeof *t);
    struct bp_lane *lane = bp_sim_lane_new(s, "telemetry");

    if (!t)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (bp_sim_keep(s, t, telemetry_free) < 0 || !lane)
        return bp_fail(err, -ENOMEM, "out of memory");

    set_up(t, r);
    if (bp_lane_add(lane, &t->once_timer) < 0 || bp_lane_add(lane, &t->drive_timer) < 0 ||
        bp_lane_add(lane, &t->imu_timer) < 0 || bp_lane_add(lane, &t->slow_timer) < 0 ||
        bp_lane_add(lane, &t->fix_timer) < 0)
        return bp_fail(err, -ENOMEM, "out of memory");
    return add_topics(t, s, err);
}
