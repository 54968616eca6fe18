#pragma once

/* Inside play/ only: what sim.c, sim-load.c, sim-robot.c, sim-lidar.c and sim-camera.c share. */

#include <stdatomic.h>

#include "base/buf.h"
#include "dds/dds.h"
#include "play/lane.h"
#include "play/motion.h"
#include "play/rng.h"
#include "play/sendlog.h"
#include "play/sim.h"

/* One writer. Its counters are written by its lane's thread and read by anybody. */
struct bp_sim_topic {
    struct bp_sim *sim;
    struct bp_pub *pub;
    const struct bp_timer *timer; /* what makes it send, or NULL when events do */
    const char *type;             /* constant */
    char *name;                   /* owned */
    char *log_key;                /* owned, or NULL without a log */
    bool reliable;
    _Atomic uint64_t messages, bytes, failed;
    _Atomic bp_ns_t worst_write_ns;
};

struct bp_sim_domain {
    uint32_t id;
    struct bp_dds *dds; /* owned */
};

/* A block that lanes work on; freed by its function after they have ended. */
struct bp_sim_part {
    void *p;
    void (*free_fn)(void *p);
    struct bp_sim_part *next;
};

struct bp_sim {
    struct bp_sim_opts opts;
    struct bp_sendlog *log; /* owned, or NULL */
    struct bp_sim_domain *domains;
    struct bp_sim_topic **topics; /* owned */
    size_t ntopics, topics_cap;
    struct bp_lane **lanes; /* owned */
    size_t nlanes, lanes_cap;
    struct bp_sim_part *parts;
    const char *hash_type; /* whose hash the next field holds, or NULL */
    char hash[72];
    bp_ns_t ready_mono; /* when the readers were first complete, 0 = not yet */
    bp_ns_t start_mono, end_mono, stop_mono;
    bp_ns_t start_wall;
};

extern const struct bp_qos bp_sim_qos_sensor;  /* best effort, keep last 5 */
extern const struct bp_qos bp_sim_qos_latched; /* reliable, transient local, keep last 1 */

/* A writer to be made. */
struct bp_sim_topic_def {
    struct bp_dds *dds;
    struct bp_node *node;
    const char *ns, *name, *type; /* of `<ns>/<name>`, or of `name` when it begins with a slash */
    const struct bp_qos *qos;
    const struct bp_timer *timer; /* borrowed, see bp_sim_topic */
};
/** @param ret  owned by the sim; @return 0, BP_EDDS, -ENOMEM */
BP_MUST_CHECK int bp_sim_topic_new(struct bp_sim *s, const struct bp_sim_topic_def *def,
                                   struct bp_sim_topic **ret, struct bp_error *err);
/** A lane owned by the sim, started with it. NULL: no memory. */
struct bp_lane *bp_sim_lane_new(struct bp_sim *s, const char *name);
/** Keeps `p` until the lanes have ended; frees it at once when there is no memory for that. */
BP_MUST_CHECK int bp_sim_keep(struct bp_sim *s, void *p, void (*free_fn)(void *p));

/** Sends and accounts for it. Threads: one per topic. @return whether it was sent */
bool bp_sim_send(struct bp_sim_topic *t, const void *cdr, size_t n, bp_ns_t source_wall);
/** The same for a built message; a message that ran out of memory counts as failed. */
void bp_sim_send_buf(struct bp_sim_topic *t, const struct bp_buf *cdr, bp_ns_t source_wall);

/** Adds the load topics of robot i (from 0). */
BP_MUST_CHECK int bp_sim_add_load(struct bp_sim *s, struct bp_dds *d, const char *ns, unsigned i,
                                  struct bp_error *err);

/* ---- robots ---- */

/* What all lanes of a robot share; constant after it was made. */
struct bp_sim_robot {
    struct bp_sim *sim;
    struct bp_dds *dds;
    unsigned index; /* from 0 */
    char name[16];  /* "robot1": in frames */
    char ns[16];    /* "/robot1" */
    double scale;   /* of frequencies */
    struct bp_motion motion;
    struct bp_qos sensor_qos; /* of imu, lidar, camera, GPS */
};

/* "robot1/base_link" */
struct bp_sim_frame {
    char text[48];
};
struct bp_sim_frame bp_sim_frame(const struct bp_sim_robot *r, const char *name);
/** Seconds since the start, by the monotonic clock: the time of the motion. */
double bp_sim_time(const struct bp_sim *s);
/** A timer of hz, scaled. */
struct bp_timer bp_sim_timer(const struct bp_sim_robot *r, double hz,
                             void (*fire)(void *ctx, bp_ns_t due_mono), void *ctx);
/** A generator of its own for each lane. */
struct bp_rng bp_sim_rng(const struct bp_sim_robot *r, unsigned lane);

BP_MUST_CHECK int bp_sim_add_telemetry(struct bp_sim *s, const struct bp_sim_robot *r,
                                       struct bp_error *err);
BP_MUST_CHECK int bp_sim_add_lidar(struct bp_sim *s, const struct bp_sim_robot *r,
                                   struct bp_error *err);
BP_MUST_CHECK int bp_sim_add_camera(struct bp_sim *s, const struct bp_sim_robot *r,
                                    struct bp_error *err);
