#include "media/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Which type, how many, a message. At most so many points come out, each of them somewhere. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_media_want w;
    BP_AUTO_BUF out = { 0 };
    struct bp_error err;
    uint32_t points;

    if (n < 2)
        return 0;
    bp_media_want_init(&w);
    w.points = true;
    w.max_points = 1 + p[1];
    if (bp_media_make(&w, p[0] & 1 ? "sensor_msgs/msg/LaserScan" : "sensor_msgs/msg/PointCloud2",
                      p + 2, n - 2, 1, &out, &err) < 0)
        return 0;
    points = bp_ld_le32(out.p + 40);
    if (points > w.max_points ||
        out.n - BP_MEDIA_HEAD != bp_ld_le32(out.p + 12) + bp_ld_le16(out.p + 56) ||
        bp_ld_le32(out.p + 12) < points * 12)
        abort();
    return 0;
}
