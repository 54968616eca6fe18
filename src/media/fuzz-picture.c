#include "media/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Which type, how wide, a message. What comes out has its head and ends where that says. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_media_want w;
    BP_AUTO_BUF out = { 0 };
    struct bp_error err;

    if (n < 2)
        return 0;
    bp_media_want_init(&w);
    w.width = 16 + p[1] * 4u;
    bp_buf_put_str(&out, "before");
    if (bp_media_make(&w, p[0] & 1 ? "sensor_msgs/msg/CompressedImage" : "sensor_msgs/msg/Image",
                      p + 2, n - 2, 1, &out, &err) < 0) {
        if (out.n != 6)
            abort();
        return 0;
    }
    if (memcmp(out.p, "beforeBPM1", 10) != 0 ||
        out.n - 6 - BP_MEDIA_HEAD != bp_ld_le32(out.p + 6 + 12) + bp_ld_le16(out.p + 6 + 56) ||
        bp_ld_le32(out.p + 6 + 40) > w.width)
        abort();
    return 0;
}
