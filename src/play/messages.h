#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/time.h"
#include "wire/cdr.h"

/* ROS 2 messages as bytes: each function appends one whole CDR message, encapsulation header first,
 * in the field order of common_interfaces (Jazzy). Arrays named [3] are x, y, z. Orientation is yaw
 * alone. A buffer that cannot grow remembers it (`failed`). */

struct bp_msg_head {
    bp_ns_t stamp; /* wall */
    const char *frame;
};

void bp_msg_imu(struct bp_buf *b, const struct bp_msg_head *h, double yaw, const double gyro[3],
                const double accel[3]);

struct bp_msg_odom {
    const char *child;
    double x, y, yaw, speed, yaw_rate;
};
void bp_msg_odometry(struct bp_buf *b, const struct bp_msg_head *h, const struct bp_msg_odom *o);

struct bp_msg_transform {
    const char *frame, *child;
    double t[3], q[4]; /* metres; x, y, z, w */
};
void bp_msg_tf(struct bp_buf *b, bp_ns_t stamp, const struct bp_msg_transform *v, size_t n);

void bp_msg_joints(struct bp_buf *b, const struct bp_msg_head *h, const char *const *names,
                   const double *position, const double *velocity, const double *effort, size_t n);

struct bp_msg_battery {
    double voltage, temperature, current, charge, capacity, percentage; /* V, °C, A, Ah, Ah, 0..1 */
    int charging;
    unsigned cells;
};
void bp_msg_battery(struct bp_buf *b, const struct bp_msg_head *h, const struct bp_msg_battery *v);

struct bp_msg_status {
    uint8_t level; /* 0 OK, 1 WARN, 2 ERROR, 3 STALE */
    const char *name, *message, *hardware;
    const char *const *pairs; /* key, value, …, NULL */
};
void bp_msg_diagnostics(struct bp_buf *b, bp_ns_t stamp, const struct bp_msg_status *v, size_t n);

struct bp_msg_log {
    uint8_t level; /* 10 DEBUG, 20 INFO, 30 WARN, 40 ERROR, 50 FATAL */
    const char *name, *text, *file, *function;
    uint32_t line;
};
void bp_msg_log(struct bp_buf *b, bp_ns_t stamp, const struct bp_msg_log *v);

void bp_msg_fix(struct bp_buf *b, const struct bp_msg_head *h, double latitude, double longitude,
                double altitude, double variance);
void bp_msg_string(struct bp_buf *b, const char *text);
/** rosgraph_msgs/msg/Clock */
void bp_msg_clock(struct bp_buf *b, bp_ns_t ns);

/** n points of x, y, z, intensity (float32, 16 bytes each). @return where they go, or NULL */
uint8_t *bp_msg_cloud(struct bp_buf *b, const struct bp_msg_head *h, uint32_t height,
                      uint32_t width);
/** Must follow when the points are filled in. */
void bp_msg_cloud_end(struct bp_buf *b);

/** rgb8. @return where width * height * 3 bytes go, or NULL */
uint8_t *bp_msg_image(struct bp_buf *b, const struct bp_msg_head *h, uint32_t width,
                      uint32_t height);
void bp_msg_compressed(struct bp_buf *b, const struct bp_msg_head *h, const char *format,
                       const void *data, size_t n);
/** An ideal pinhole with focal length f in pixels. */
void bp_msg_camera_info(struct bp_buf *b, const struct bp_msg_head *h, uint32_t width,
                        uint32_t height, double f);
