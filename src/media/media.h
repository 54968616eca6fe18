#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* Pictures and clouds of points for those who look at them from afar: ROS messages, made small, as
 * the binary frames of docs/api/events.md. Pure functions of bytes; any thread. */

enum {
    BP_MEDIA_HEAD = 64,            /* bytes before the payload of a frame */
    BP_MEDIA_TOPIC = 280,          /* of a topic's name with its NUL */
    BP_MEDIA_SIDE = 16384,         /* pixels of a picture at most, either way */
    BP_MEDIA_PIXELS = 64 << 20,    /* and in all */
    BP_MEDIA_WIDTH = 4096,         /* that may be asked for */
    BP_MEDIA_POINTS = 1000 * 1000, /* likewise */
};

enum bp_media_kind { BP_MEDIA_JPEG = 1, BP_MEDIA_PNG = 2, BP_MEDIA_CLOUD = 3 };

/* What somebody wants to see. */
struct bp_media_want {
    bool points;                /* a cloud, else a picture */
    char topic[BP_MEDIA_TOPIC]; /* of the graph */
    unsigned width;             /* of a picture at most, 16 to BP_MEDIA_WIDTH */
    int quality;                /* of JPEG, 1 to 100 */
    unsigned max_points;        /* 1 to BP_MEDIA_POINTS */
};

/** Pictures of 1,280 pixels at quality 75, clouds of 20,000 points. */
void bp_media_want_init(struct bp_media_want *w);
/**
 * Reads "image:/TOPIC?width=640&quality=70" or "points:/TOPIC?max=20000".
 *
 * @return 0, BP_EUSAGE
 */
BP_MUST_CHECK int bp_media_want_parse(const char *name, struct bp_media_want *ret,
                                      struct bp_error *err);

/** Can messages of this type be shown so? "sensor_msgs/msg/Image", CompressedImage; PointCloud2,
 *  LaserScan. */
bool bp_media_shows(const char *type, bool points);

/**
 * Makes a frame of a message. Its stream and number are 0.
 *
 * @param cdr      encapsulation header first; XCDR1, either byte order
 * @param recv_ns  wall, when the message came
 * @param out      gets the frame behind what it holds; as before on failure
 * @return 0, BP_EUNSUPPORTED (type or encoding), BP_EFORMAT, BP_ELIMIT, -ENOMEM
 */
BP_MUST_CHECK int bp_media_make(const struct bp_media_want *w, const char *type, const uint8_t *cdr,
                                size_t n, bp_ns_t recv_ns, struct bp_buf *out,
                                struct bp_error *err);
/** Which stream a frame of somebody else is of; 0: it is no frame, or not whole. */
uint32_t bp_media_stream(const uint8_t *p, size_t n);
/** Says which stream a frame is of, and its number in it. */
void bp_media_number(uint8_t frame[BP_MEDIA_HEAD], uint32_t stream, uint64_t seq);
