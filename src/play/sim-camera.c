/* A camera that looks ahead: one ray per column into the room of motion.h, walls with
 * stripes, pillars, floor and ceiling. The same picture goes out raw and as JPEG. Its number stands
 * in the upper left corner as black and white blocks, the lowest bit first, so that whoever looks
 * at pixels knows which picture he sees. */
#include "play/sim-priv.h"

#include <errno.h>
#include <math.h>

#include "play/jpeg.h"
#include "play/messages.h"

enum { WIDTH = 640, HEIGHT = 480, WIDTH_MAX = 4096, QUALITY = 80, BLOCK = 32, BLOCKS = 16 };

#define FOCAL_WIDTHS  0.703125 /* the focal length: 450 px of 640 */
#define CAMERA_HEIGHT 0.4      /* above the floor, m */
#define CAMERA_AHEAD  0.3      /* of the base, m */
#define HZ            15.0

struct camera {
    const struct bp_sim_robot *bot;
    struct bp_buf buf, jpeg; /* owned */
    struct bp_rng rng;
    struct bp_timer timer;
    struct bp_sim_topic *raw, *compressed, *info;
    struct bp_sim_frame frame;
    unsigned width, height; /* px */
    double focal;           /* px */
    uint16_t number;        /* of the next picture */
};

static void camera_free(void *p) {
    struct camera *c = p;

    bp_buf_done(&c->buf);
    bp_buf_done(&c->jpeg);
    free(c);
}

struct column {
    int top, bottom; /* rows of the wall, [top, bottom) */
    uint8_t rgb[3];
};

/* What stands in column x of the picture. */
static struct column look(const struct camera *cam, const struct bp_motion_state *m, double x0,
                          double y0, unsigned x) {
    static const uint8_t colors[6][3] = { { 200, 80, 70 },  { 80, 150, 90 },   { 70, 110, 200 },
                                          { 210, 180, 80 }, { 230, 230, 230 }, { 60, 60, 70 } };
    double angle = atan(((cam->width - 1) / 2.0 - x) / cam->focal);
    struct bp_ray r = bp_room_ray(x0, y0, m->yaw + angle);
    double depth = BP_MAX(r.distance * cos(angle), 0.01); /* along the axis: straight walls */
    double shade = 1 / (1 + 0.03 * r.distance * r.distance);
    double middle = (cam->height - 1) / 2.0;
    struct column c = {
        .top = (int) (middle - cam->focal * (BP_ROOM_HEIGHT - CAMERA_HEIGHT) / depth),
        .bottom = (int) (middle + cam->focal * CAMERA_HEIGHT / depth),
    };

    if ((int) floor(r.along * 2) & 1) /* stripes of half a metre */
        shade *= 0.75;
    for (int i = 0; i < 3; i++)
        c.rgb[i] = (uint8_t) (colors[r.what][i] * shade);
    c.top = BP_MAX(c.top, 0);
    c.bottom = BP_MIN(c.bottom, (int) cam->height);
    return c;
}

/* Floor below, ceiling above, lighter towards the viewer. */
static uint8_t background(const struct camera *c, unsigned row) {
    int from_middle = ((int) row - (int) c->height / 2) * HEIGHT / (int) c->height;

    return (uint8_t) (from_middle > 0 ? 50 + from_middle / 3 : 90 - from_middle / 4);
}

static void render(const struct camera *cam, uint8_t *rgb, const struct bp_motion_state *m) {
    double x0 = m->x + CAMERA_AHEAD * cos(m->yaw), y0 = m->y + CAMERA_AHEAD * sin(m->yaw);
    struct column columns[WIDTH_MAX];

    for (unsigned x = 0; x < cam->width; x++)
        columns[x] = look(cam, m, x0, y0, x);
    for (unsigned y = 0; y < cam->height; y++) {
        uint8_t grey = background(cam, y);

        for (unsigned x = 0; x < cam->width; x++, rgb += 3) {
            const struct column *c = &columns[x];

            if ((int) y >= c->top && (int) y < c->bottom)
                memcpy(rgb, c->rgb, 3);
            else
                memset(rgb, grey, 3);
        }
    }
}

/* Noise of the sensor, the same for the three colours of a pixel: -4 .. 3. No colour above comes
 * near 0 or 255. */
static void add_noise(struct camera *c, uint8_t *rgb) {
    for (unsigned i = 0; i < c->width * c->height; i += 16) {
        uint64_t bits = bp_rng_u64(&c->rng);

        for (int k = 0; k < 16; k++, bits >>= 4, rgb += 3) {
            uint8_t v = (uint8_t) ((bits & 7) - 4);

            rgb[0] = (uint8_t) (rgb[0] + v);
            rgb[1] = (uint8_t) (rgb[1] + v);
            rgb[2] = (uint8_t) (rgb[2] + v);
        }
    }
}

static void put_number(const struct camera *c, uint8_t *rgb) {
    for (int y = 0; y < BLOCK; y++)
        for (int i = 0; i < BLOCKS; i++)
            memset(rgb + ((size_t) y * c->width + (size_t) i * BLOCK) * 3,
                   c->number >> i & 1 ? 255 : 0, (size_t) BLOCK * 3);
}

static void shoot(void *ctx, bp_ns_t due_mono) {
    struct camera *c = ctx;
    bp_ns_t wall = bp_wall_ns();
    struct bp_motion_state m = bp_motion_at(&c->bot->motion, bp_sim_time(c->bot->sim));
    struct bp_msg_head head = { wall, c->frame.text };
    uint8_t *rgb = bp_msg_image(&c->buf, &head, c->width, c->height);

    (void) due_mono;
    if (rgb) {
        render(c, rgb, &m);
        add_noise(c, rgb);
        put_number(c, rgb);
        c->number++;
        bp_jpeg_encode(&c->jpeg, rgb, c->width, c->height, QUALITY);
    }
    bp_sim_send_buf(c->raw, &c->buf, wall);
    bp_buf_clear(&c->buf);

    bp_msg_compressed(&c->buf, &head, "rgb8; jpeg compressed bgr8", c->jpeg.p, c->jpeg.n);
    c->buf.failed = c->buf.failed || c->jpeg.failed || !rgb;
    bp_sim_send_buf(c->compressed, &c->buf, wall);
    bp_buf_clear(&c->buf);
    bp_buf_clear(&c->jpeg);

    bp_msg_camera_info(&c->buf, &head, c->width, c->height, c->focal);
    bp_sim_send_buf(c->info, &c->buf, wall);
    bp_buf_clear(&c->buf);
}

int bp_sim_add_camera(struct bp_sim *s, const struct bp_sim_robot *r, struct bp_error *err) {
    struct camera *c = calloc(1, sizeof *c);
    struct bp_lane *lane = bp_sim_lane_new(s, "camera");
    struct bp_node *node;
    int k;

    if (!c)
        return bp_fail(err, -ENOMEM, "out of memory");

    const struct {
        const char *name, *type;
        struct bp_sim_topic **ret;
    } rows[] = {
        { "camera/image_raw", "sensor_msgs/msg/Image", &c->raw },
        { "camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage", &c->compressed },
        { "camera/camera_info", "sensor_msgs/msg/CameraInfo", &c->info },
    };
    if (bp_sim_keep(s, c, camera_free) < 0 || !lane)
        return bp_fail(err, -ENOMEM, "out of memory");
    c->bot = r;
    c->rng = bp_sim_rng(r, 2);
    c->frame = bp_sim_frame(r, "camera_optical");
    c->width = s->opts.camera_width ? s->opts.camera_width : WIDTH;
    c->height = s->opts.camera_height ? s->opts.camera_height : HEIGHT;
    c->focal = FOCAL_WIDTHS * c->width;
    c->timer = bp_sim_timer(r, s->opts.camera_hz > 0 ? s->opts.camera_hz : HZ, shoot, c);
    c->timer.offset_ns = 31 * BP_MS;
    if (bp_lane_add(lane, &c->timer) < 0)
        return bp_fail(err, -ENOMEM, "out of memory");

    k = bp_dds_node(r->dds, r->ns, "camera_driver", &node, err);
    for (size_t i = 0; k >= 0 && i < BP_COUNT(rows); i++)
        k = bp_sim_topic_new(s,
                             &(struct bp_sim_topic_def){ r->dds, node, r->ns, rows[i].name,
                                                         rows[i].type, &r->sensor_qos, &c->timer },
                             rows[i].ret, err);
    return k;
}
