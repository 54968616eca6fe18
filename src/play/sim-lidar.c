/* A spinning lidar of 16 rings by 1250 steps, if not told otherwise: what its rays meet in the
 * room, seen from the robot's pose in the middle of the sweep. Horizontal distances are computed
 * once per step and shared by the rings. */
#include "play/sim-priv.h"

#include <errno.h>
#include <math.h>

#include "play/messages.h"

enum { RINGS = 16, STEPS = 1250, POINT_BYTES = 16 };

#define LIDAR_HEIGHT  0.5 /* above the floor, m */
#define LOWEST        (-15 * M_PI / 180)
#define RING_STEP     (2 * M_PI / 180)
#define RANGE_SIGMA_M 0.01
#define HZ            10.0

struct lidar {
    const struct bp_sim_robot *bot;
    struct bp_buf buf; /* owned */
    struct bp_rng rng;
    struct bp_timer timer;
    struct bp_sim_topic *points;
    struct bp_sim_frame frame;
    unsigned steps;
    double slope[RINGS], stretch[RINGS]; /* tangent and 1/cosine of each ring's angle */
};

static void lidar_free(void *p) {
    struct lidar *l = p;

    bp_buf_done(&l->buf);
    free(l);
}

static void put_f32(uint8_t *p, double v) {
    float f = (float) v;
    uint32_t bits;

    memcpy(&bits, &f, 4);
    bp_st_le32(p, bits);
}

/* How well each wall and pillar reflects, 0..255; the floor and the ceiling at the end. */
static const double albedo[] = { 200, 120, 160, 90, 230, 60, 40, 180 };
enum { FLOOR = 6, CEILING = 7 };

/* One point: ray of the given ring at a step whose walls stand `flat` metres away. */
static void put_point(struct lidar *l, uint8_t *p, int ring, double flat, int what, double c,
                      double s) {
    double height = flat * l->slope[ring];
    double noise = RANGE_SIGMA_M * bp_rng_normal(&l->rng), range, reach;

    if (height < -LIDAR_HEIGHT) {
        flat = -LIDAR_HEIGHT / l->slope[ring];
        what = FLOOR;
    } else if (height > BP_ROOM_HEIGHT - LIDAR_HEIGHT) {
        flat = (BP_ROOM_HEIGHT - LIDAR_HEIGHT) / l->slope[ring];
        what = CEILING;
    }
    range = flat * l->stretch[ring] + noise;
    reach = range / l->stretch[ring];
    put_f32(p, reach * c);
    put_f32(p + 4, reach * s);
    put_f32(p + 8, reach * l->slope[ring]);
    put_f32(p + 12, albedo[what] / (1 + 0.05 * range * range));
}

static void sweep(void *ctx, bp_ns_t due_mono) {
    struct lidar *l = ctx;
    bp_ns_t wall = bp_wall_ns();
    struct bp_motion_state m = bp_motion_at(&l->bot->motion, bp_sim_time(l->bot->sim));
    uint8_t *points;

    (void) due_mono;
    points = bp_msg_cloud(&l->buf, &(struct bp_msg_head){ wall, l->frame.text }, RINGS, l->steps);
    for (unsigned i = 0; points && i < l->steps; i++) {
        double angle = 2 * M_PI * i / l->steps - M_PI, c = cos(angle), s = sin(angle);
        struct bp_ray r = bp_room_ray(m.x, m.y, m.yaw + angle);

        for (int ring = 0; ring < RINGS; ring++)
            put_point(l, points + ((size_t) ring * l->steps + i) * POINT_BYTES, ring, r.distance,
                      r.what, c, s);
    }
    bp_msg_cloud_end(&l->buf);
    bp_sim_send_buf(l->points, &l->buf, wall);
    bp_buf_clear(&l->buf);
}

int bp_sim_add_lidar(struct bp_sim *s, const struct bp_sim_robot *r, struct bp_error *err) {
    struct lidar *l = calloc(1, sizeof *l);
    struct bp_lane *lane = bp_sim_lane_new(s, "lidar");
    struct bp_node *node;
    int k;

    if (!l)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (bp_sim_keep(s, l, lidar_free) < 0 || !lane)
        return bp_fail(err, -ENOMEM, "out of memory");
    l->bot = r;
    l->rng = bp_sim_rng(r, 1);
    l->frame = bp_sim_frame(r, "lidar_link");
    l->steps = s->opts.lidar_points ? s->opts.lidar_points / RINGS : STEPS;
    l->timer = bp_sim_timer(r, s->opts.lidar_hz > 0 ? s->opts.lidar_hz : HZ, sweep, l);
    l->timer.offset_ns = 23 * BP_MS;
    for (int i = 0; i < RINGS; i++) {
        l->slope[i] = tan(LOWEST + RING_STEP * i);
        l->stretch[i] = 1 / cos(LOWEST + RING_STEP * i);
    }
    if (bp_lane_add(lane, &l->timer) < 0)
        return bp_fail(err, -ENOMEM, "out of memory");

    k = bp_dds_node(r->dds, r->ns, "lidar_driver", &node, err);
    if (k >= 0)
        k = bp_sim_topic_new(s,
                             &(struct bp_sim_topic_def){ r->dds, node, r->ns, "lidar/points",
                                                         "sensor_msgs/msg/PointCloud2",
                                                         &r->sensor_qos, &l->timer },
                             &l->points, err);
    return k;
}
