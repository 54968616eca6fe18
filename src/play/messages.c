#include "play/messages.h"

#include <math.h>

static void put_head(struct bp_cdrw *w, const struct bp_msg_head *h) {
    bp_cdrw_time(w, h->stamp);
    bp_cdrw_str(w, h->frame);
}

static void put_yaw(struct bp_cdrw *w, double yaw) {
    double q[4] = { 0, 0, sin(yaw / 2), cos(yaw / 2) };

    bp_cdrw_f64s(w, q, 4);
}

/* n by n, the same variance for all. */
static void put_variance(struct bp_cdrw *w, size_t n, double v) {
    for (size_t i = 0; i < n * n; i++)
        bp_cdrw_f64(w, i % (n + 1) == 0 ? v : 0);
}

static void put_strings(struct bp_cdrw *w, const char *const *v, size_t n) {
    bp_cdrw_u32(w, (uint32_t) n);
    for (size_t i = 0; i < n; i++)
        bp_cdrw_str(w, v[i]);
}

static void put_f64_sequence(struct bp_cdrw *w, const double *v, size_t n) {
    bp_cdrw_u32(w, (uint32_t) n);
    bp_cdrw_f64s(w, v, n);
}

void bp_msg_imu(struct bp_buf *b, const struct bp_msg_head *h, double yaw, const double gyro[3],
                const double accel[3]) {
    struct bp_cdrw w = bp_cdrw_begin(b);

    put_head(&w, h);
    put_yaw(&w, yaw);
    put_variance(&w, 3, 1e-4);
    bp_cdrw_f64s(&w, gyro, 3);
    put_variance(&w, 3, 4e-6);
    bp_cdrw_f64s(&w, accel, 3);
    put_variance(&w, 3, 4e-4);
    bp_cdrw_end(&w);
}

void bp_msg_odometry(struct bp_buf *b, const struct bp_msg_head *h, const struct bp_msg_odom *o) {
    struct bp_cdrw w = bp_cdrw_begin(b);
    double position[3] = { o->x, o->y, 0 };
    double twist[6] = { o->speed, 0, 0, 0, 0, o->yaw_rate };

    put_head(&w, h);
    bp_cdrw_str(&w, o->child);
    bp_cdrw_f64s(&w, position, 3);
    put_yaw(&w, o->yaw);
    put_variance(&w, 6, 1e-3);
    bp_cdrw_f64s(&w, twist, 6);
    put_variance(&w, 6, 1e-3);
    bp_cdrw_end(&w);
}

void bp_msg_tf(struct bp_buf *b, bp_ns_t stamp, const struct bp_msg_transform *v, size_t n) {
    struct bp_cdrw w = bp_cdrw_begin(b);

    bp_cdrw_u32(&w, (uint32_t) n);
    for (size_t i = 0; i < n; i++) {
        put_head(&w, &(struct bp_msg_head){ stamp, v[i].frame });
        bp_cdrw_str(&w, v[i].child);
        bp_cdrw_f64s(&w, v[i].t, 3);
        bp_cdrw_f64s(&w, v[i].q, 4);
    }
    bp_cdrw_end(&w);
}

void bp_msg_joints(struct bp_buf *b, const struct bp_msg_head *h, const char *const *names,
                   const double *position, const double *velocity, const double *effort, size_t n) {
    struct bp_cdrw w = bp_cdrw_begin(b);

    put_head(&w, h);
    put_strings(&w, names, n);
    put_f64_sequence(&w, position, n);
    put_f64_sequence(&w, velocity, n);
    put_f64_sequence(&w, effort, n);
    bp_cdrw_end(&w);
}

void bp_msg_battery(struct bp_buf *b, const struct bp_msg_head *h, const struct bp_msg_battery *v) {
    enum { CHARGING = 1, DISCHARGING = 2, GOOD = 1, LION = 2 };
    struct bp_cdrw w = bp_cdrw_begin(b);

    put_head(&w, h);
    bp_cdrw_f32(&w, (float) v->voltage);
    bp_cdrw_f32(&w, (float) v->temperature);
    bp_cdrw_f32(&w, (float) v->current);
    bp_cdrw_f32(&w, (float) v->charge);
    bp_cdrw_f32(&w, (float) v->capacity);
    bp_cdrw_f32(&w, (float) v->capacity); /* as designed */
    bp_cdrw_f32(&w, (float) v->percentage);
    bp_cdrw_u8(&w, v->charging ? CHARGING : DISCHARGING);
    bp_cdrw_u8(&w, GOOD);
    bp_cdrw_u8(&w, LION);
    bp_cdrw_u8(&w, 1); /* present */
    bp_cdrw_u32(&w, v->cells);
    for (unsigned i = 0; i < v->cells; i++)
        bp_cdrw_f32(&w, (float) (v->voltage / v->cells));
    bp_cdrw_u32(&w, v->cells);
    for (unsigned i = 0; i < v->cells; i++)
        bp_cdrw_f32(&w, (float) v->temperature);
    bp_cdrw_str(&w, "bay 1");
    bp_cdrw_str(&w, "BP-0001");
    bp_cdrw_end(&w);
}

void bp_msg_diagnostics(struct bp_buf *b, bp_ns_t stamp, const struct bp_msg_status *v, size_t n) {
    struct bp_cdrw w = bp_cdrw_begin(b);

    put_head(&w, &(struct bp_msg_head){ stamp, "" });
    bp_cdrw_u32(&w, (uint32_t) n);
    for (size_t i = 0; i < n; i++) {
        size_t pairs = 0;

        bp_cdrw_u8(&w, v[i].level);
        bp_cdrw_str(&w, v[i].name);
        bp_cdrw_str(&w, v[i].message);
        bp_cdrw_str(&w, v[i].hardware);
        while (v[i].pairs[2 * pairs])
            pairs++;
        bp_cdrw_u32(&w, (uint32_t) pairs);
        for (size_t k = 0; k < 2 * pairs; k++)
            bp_cdrw_str(&w, v[i].pairs[k]);
    }
    bp_cdrw_end(&w);
}

void bp_msg_log(struct bp_buf *b, bp_ns_t stamp, const struct bp_msg_log *v) {
    struct bp_cdrw w = bp_cdrw_begin(b);

    bp_cdrw_time(&w, stamp);
    bp_cdrw_u8(&w, v->level);
    bp_cdrw_str(&w, v->name);
    bp_cdrw_str(&w, v->text);
    bp_cdrw_str(&w, v->file);
    bp_cdrw_str(&w, v->function);
    bp_cdrw_u32(&w, v->line);
    bp_cdrw_end(&w);
}

void bp_msg_fix(struct bp_buf *b, const struct bp_msg_head *h, double latitude, double longitude,
                double altitude, double variance) {
    enum { FIX = 0, SERVICE_GPS = 1, DIAGONAL_KNOWN = 2 };
    struct bp_cdrw w = bp_cdrw_begin(b);

    put_head(&w, h);
    bp_cdrw_u8(&w, FIX);
    bp_cdrw_u16(&w, SERVICE_GPS);
    bp_cdrw_f64(&w, latitude);
    bp_cdrw_f64(&w, longitude);
    bp_cdrw_f64(&w, altitude);
    put_variance(&w, 3, variance);
    bp_cdrw_u8(&w, DIAGONAL_KNOWN);
    bp_cdrw_end(&w);
}

void bp_msg_string(struct bp_buf *b, const char *text) {
    struct bp_cdrw w = bp_cdrw_begin(b);

    bp_cdrw_str(&w, text);
    bp_cdrw_end(&w);
}

void bp_msg_clock(struct bp_buf *b, bp_ns_t ns) {
    struct bp_cdrw w = bp_cdrw_begin(b);

    bp_cdrw_time(&w, ns);
    bp_cdrw_end(&w);
}

uint8_t *bp_msg_cloud(struct bp_buf *b, const struct bp_msg_head *h, uint32_t height,
                      uint32_t width) {
    enum { FLOAT32 = 7, STEP = 16 };
    static const char *const fields[] = { "x", "y", "z", "intensity" };
    struct bp_cdrw w = bp_cdrw_begin(b);

    put_head(&w, h);
    bp_cdrw_u32(&w, height);
    bp_cdrw_u32(&w, width);
    bp_cdrw_u32(&w, BP_COUNT(fields));
    for (uint32_t i = 0; i < BP_COUNT(fields); i++) {
        bp_cdrw_str(&w, fields[i]);
        bp_cdrw_u32(&w, i * 4);
        bp_cdrw_u8(&w, FLOAT32);
        bp_cdrw_u32(&w, 1);
    }
    bp_cdrw_u8(&w, 0); /* little-endian */
    bp_cdrw_u32(&w, STEP);
    bp_cdrw_u32(&w, STEP * width);
    bp_cdrw_u32(&w, STEP * width * height);
    return bp_cdrw_room(&w, (size_t) STEP * width * height);
}

void bp_msg_cloud_end(struct bp_buf *b) {
    bp_buf_put_u8(b, 1); /* dense: every point is valid */
}

uint8_t *bp_msg_image(struct bp_buf *b, const struct bp_msg_head *h, uint32_t width,
                      uint32_t height) {
    struct bp_cdrw w = bp_cdrw_begin(b);

    put_head(&w, h);
    bp_cdrw_u32(&w, height);
    bp_cdrw_u32(&w, width);
    bp_cdrw_str(&w, "rgb8");
    bp_cdrw_u8(&w, 0);
    bp_cdrw_u32(&w, 3 * width);
    bp_cdrw_u32(&w, 3 * width * height);
    return bp_cdrw_room(&w, (size_t) 3 * width * height);
}

void bp_msg_compressed(struct bp_buf *b, const struct bp_msg_head *h, const char *format,
                       const void *data, size_t n) {
    struct bp_cdrw w = bp_cdrw_begin(b);

    put_head(&w, h);
    bp_cdrw_str(&w, format);
    bp_cdrw_u32(&w, (uint32_t) n);
    bp_cdrw_raw(&w, data, n);
    bp_cdrw_end(&w);
}

void bp_msg_camera_info(struct bp_buf *b, const struct bp_msg_head *h, uint32_t width,
                        uint32_t height, double f) {
    double cx = (width - 1) / 2.0, cy = (height - 1) / 2.0;
    double d[5] = { 0 };
    double k[9] = { f, 0, cx, 0, f, cy, 0, 0, 1 };
    double r[9] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 };
    double p[12] = { f, 0, cx, 0, 0, f, cy, 0, 0, 0, 1, 0 };
    struct bp_cdrw w = bp_cdrw_begin(b);

    put_head(&w, h);
    bp_cdrw_u32(&w, height);
    bp_cdrw_u32(&w, width);
    bp_cdrw_str(&w, "plumb_bob");
    put_f64_sequence(&w, d, BP_COUNT(d));
    bp_cdrw_f64s(&w, k, BP_COUNT(k));
    bp_cdrw_f64s(&w, r, BP_COUNT(r));
    bp_cdrw_f64s(&w, p, BP_COUNT(p));
    bp_cdrw_u32(&w, 0); /* no binning, no region of interest */
    bp_cdrw_u32(&w, 0);
    for (int i = 0; i < 4; i++)
        bp_cdrw_u32(&w, 0);
    bp_cdrw_u8(&w, 0);
    bp_cdrw_end(&w);
}
