/* session-writer DIR SECONDS BYTES SEGMENT_BYTES FIRST_NS: a recording of that length and size by
 * the real write path, as fast as the disk takes it, since time stamps are the caller's. Per second
 * ten messages of a camera and a hundred of an IMU; what they hold is noise. Prints the session's
 * id. */
#include <errno.h>
#include <stdio.h>

#include "bag/writer.h"
#include "base/macro.h"

enum { NOISE = 8 << 20, STEP = 4099, IMU_BYTES = 324, IMU_HZ = 100, CAMERA_EVERY = 10 };

struct message {
    const uint8_t *noise;
    uint64_t number;
    uint32_t size;
};

struct stream {
    const char *topic;
    uint32_t source, size;
    uint64_t number;
};

/* A uint8[] in CDR. */
static void copy(const void *ctx, uint8_t *dst) {
    const struct message *m = ctx;

    memcpy(dst, (const uint8_t[]){ 0, 1, 0, 0 }, 4);
    bp_st_le32(dst + 4, m->size - 8);
    memcpy(dst + 8, m->noise + m->number * STEP % NOISE, m->size - 8);
}

static uint8_t *make_noise(size_t n) {
    uint8_t *p = malloc(n);
    unsigned seed = 1;

    for (size_t i = 0; p && i < n; i++)
        p[i] = (uint8_t) (rand_r(&seed) >> 7);
    return p;
}

static int open_stream(struct bp_writer *w, struct stream *t, struct bp_error *err) {
    struct bp_source_def s = { .guid = { (uint8_t) t->topic[1], 7 }, .node = "/robot" };
    int r = bp_writer_channel(w,
                              &(struct bp_channel_def){ .topic = t->topic,
                                                        .type = "test_msgs/msg/Blob",
                                                        .schema_encoding = "ros2msg",
                                                        .schema = BP_STR("uint8[] data\n"),
                                                        .type_hash = "",
                                                        .qos_yaml = "",
                                                        .priority = BP_PRIORITY_HIGH },
                              err);

    s.channel = (uint16_t) r;
    if (r >= 0)
        r = bp_writer_source(w, &s, err);
    t->source = (uint32_t) r;
    return BP_MIN(r, 0);
}

static int put(struct bp_writer *w, struct stream *t, const uint8_t *noise, bp_ns_t at) {
    struct message m = { .noise = noise, .number = ++t->number, .size = t->size };

    return bp_writer_accept(w, &(struct bp_accept){ .source = t->source,
                                                    .seq = m.number,
                                                    .log_ns = at,
                                                    .publish_ns = at - BP_MS,
                                                    .size = m.size,
                                                    .copy = copy,
                                                    .ctx = &m });
}

/* Half the ring stays free: nothing is refused, however slow the disk is. */
static void wait_for_room(struct bp_writer *w) {
    struct bp_writer_stats st;

    for (bp_writer_stats(w, &st); st.ring_used > st.ring_size / 2; bp_writer_stats(w, &st))
        bp_sleep(BP_MS);
}

static int pump(struct bp_writer *w, struct stream *camera, struct stream *imu, uint64_t seconds,
                bp_ns_t first) {
    BP_AUTO_FREE uint8_t *noise = make_noise(NOISE + (size_t) camera->size);
    int r = noise ? 0 : -ENOMEM;

    for (uint64_t k = 0; r == 0 && k < seconds * IMU_HZ; k++) {
        bp_ns_t at = first + (bp_ns_t) k * (BP_SEC / IMU_HZ);

        if (k % CAMERA_EVERY == 0) {
            wait_for_room(w);
            r = put(w, camera, noise, at);
        }
        if (r == 0)
            r = put(w, imu, noise, at);
    }
    return r;
}

static int fail(int r, const char *text) {
    (void) fprintf(stderr, "session-writer: %s\n", *text ? text : bp_strerror(r));
    return 1;
}

int main(int argc, char **argv) {
    uint64_t seconds = argc == 6 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t bytes = argc == 6 ? strtoull(argv[3], NULL, 10) : 0;
    struct stream camera = { .topic = "/camera" }, imu = { .topic = "/imu", .size = IMU_BYTES };
    struct bp_writer_opts o = { .ring_bytes = 256 << 20, .min_free = 64 << 20 };
    char id[32];
    struct bp_error err = { 0 };
    struct bp_writer *w = NULL;
    int r;

    if (seconds == 0 || bytes / seconds < 100000 || bytes / seconds > 1000 << 20)
        return fail(-EINVAL, "DIR SECONDS BYTES SEGMENT_BYTES FIRST_NS, 0.1 to 1000 MB a second");
    camera.size =
        (uint32_t) (bytes / seconds - (uint64_t) IMU_HZ * IMU_BYTES) / (IMU_HZ / CAMERA_EVERY);
    o.dir = argv[1];
    o.max_segment_bytes = strtoull(argv[4], NULL, 10);
    r = bp_writer_open(&o, &w, &err);
    if (r < 0)
        return fail(r, err.text);
    (void) snprintf(id, sizeof id, "%s", bp_writer_id(w));
    r = open_stream(w, &camera, &err);
    if (r == 0)
        r = open_stream(w, &imu, &err);
    if (r == 0)
        r = pump(w, &camera, &imu, seconds, strtoll(argv[5], NULL, 10));
    if (bp_writer_close(w, &err) < 0 || r < 0)
        return fail(r, err.text);
    (void) printf("%s\n", id);
    return 0;
}
