#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"
#include "wire/qos.h"

/* Simulated robots: real DDS traffic with real ROS 2 types, whose values make sense on a plot, and
 * loads for benches. One owner thread for everything here; publishing happens in lanes (lane.h). */
struct bp_sim;

enum bp_sim_profile {
    BP_SIM_NONE,   /* nothing but the load */
    BP_SIM_SMALL,  /* telemetry: imu, odometry, tf, joints, battery, diagnostics, log, GPS */
    BP_SIM_CAMERA, /* telemetry and a camera, raw and JPEG */
    BP_SIM_LIDAR,  /* telemetry and a lidar of 20,000 points */
    BP_SIM_MIXED,  /* telemetry, camera and lidar */
};

enum { BP_SIM_DOMAINS_MAX = 64, BP_SIM_SEQ_HEAD = 24 };

/* Topics of std_msgs/msg/UInt8MultiArray with `size` data bytes. */
struct bp_sim_load {
    unsigned topics; /* per robot; 0 = no load */
    uint32_t size_bytes;
    double hz; /* per topic; 0 = as fast as it goes */
    struct bp_qos qos;
    /* The data begin with: "BPSQ", u32 number of the writer (from 0, over all robots), u64 counter
     * from 1, u32 size, u32 CRC-32C of all other data bytes; little-endian. */
    bool seq_payload;
};

struct bp_sim_opts {
    uint32_t domains[BP_SIM_DOMAINS_MAX]; /* robot i lives on domain i mod ndomains */
    size_t ndomains;
    unsigned robots, first_index; /* /robot<first_index>, … */
    enum bp_sim_profile profile;
    double rate; /* scales every frequency; > 0 */
    uint64_t seed;
    /* Pixels, 512..4096 by 32..4096, the width in 16s; points of a sweep, 16..1,600,000 in 16s;
     * pictures and sweeps a second. 0: 640 by 480, 15 Hz; 20,000, 10 Hz. */
    unsigned camera_width, camera_height, lidar_points;
    double camera_hz, lidar_hz;
    bool reliable_sensors; /* imu, lidar, camera, GPS; otherwise best effort, as ROS 2 drivers */
    struct bp_sim_load load;
    const char *log_path; /* see sendlog.h; or NULL */
    int wait_readers;     /* each writer has that many before anything is sent */
    bp_ns_t duration;     /* 0 = until bp_sim_stop() */
    void (*notice)(void *ctx, const char *text); /* other threads; may be NULL */
    void *ctx;
};

/**
 * Joins the domains and announces nodes and topics; sends nothing yet.
 *
 * @return 0; BP_EDDS, -ENOMEM, or the errno of the log file
 */
BP_MUST_CHECK int bp_sim_open(const struct bp_sim_opts *o, struct bp_sim **ret,
                              struct bp_error *err);

/** True when `wait_readers` is met (and 300 ms have passed since, so that readers know us too). */
bool bp_sim_ready(struct bp_sim *s);
/** Begins to send. @return 0 or -EAGAIN */
BP_MUST_CHECK int bp_sim_start(struct bp_sim *s, struct bp_error *err);
/** True when the duration is over. */
bool bp_sim_over(const struct bp_sim *s);

/**
 * Ends sending, waits up to 5 s until reliable readers have acknowledged, completes the log.
 *
 * @return 0 or the error that kept lines from the log
 */
int bp_sim_stop(struct bp_sim *s, struct bp_error *err);

struct bp_sim_topic_stats {
    const char *topic, *type; /* borrowed until bp_sim_free() */
    uint64_t messages, bytes; /* sent; bytes of CDR with encapsulation header */
    uint64_t wanted;          /* deadlines there were; 0 before bp_sim_stop() */
    uint64_t late;            /* begun more than 1 ms behind their deadline */
    uint64_t skipped;         /* deadlines missed by more than a period */
    uint64_t failed;          /* refused by DDS or timed out */
    bp_ns_t worst_late_ns, worst_write_ns;
};

size_t bp_sim_topics(const struct bp_sim *s);
void bp_sim_topic_stats(const struct bp_sim *s, size_t i, struct bp_sim_topic_stats *ret);

struct bp_sim_stats {
    uint64_t messages, bytes, wanted, late, skipped, failed;
    bp_ns_t elapsed_ns; /* since the start, at most until the stop */
};
/** Sums over all topics; at any time. */
void bp_sim_stats(const struct bp_sim *s, struct bp_sim_stats *ret);

/** Takes NULL. */
void bp_sim_free(struct bp_sim *s);
BP_DEFINE_CLEANUP(struct bp_sim, bp_sim_free)
