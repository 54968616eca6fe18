/* Loads: topics of one size at one rate. All topics of a robot share a lane and are spread evenly
 * over the period.
 *
 * The bytes come from one pool of random numbers a little larger than a message; each message is a
 * window into it that starts elsewhere, so that neighbours differ everywhere and none is copied. */
#include "play/sim-priv.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/crc.h"
#include "play/rng.h"

enum {
    CDR_HEAD = 16, /* encapsulation, no dimensions, offset, length */
    SHIFT = 64,    /* bytes between the windows of neighbours */
    WINDOWS = 61,
    MAGIC = 0x51535042, /* "BPSQ" */
};

static const char type[] = "std_msgs/msg/UInt8MultiArray";

struct load_topic {
    struct bp_timer timer;
    struct load *load;
    struct bp_sim_topic *out;
    uint32_t number; /* of the writer */
    uint64_t sent;
};

struct load {
    uint8_t *pool; /* owned: CDR_HEAD + size + WINDOWS * SHIFT */
    uint32_t size;
    bool seq_payload;
    unsigned n;
    struct load_topic topics[];
};

static void load_free(void *p) {
    struct load *l = p;

    free(l->pool);
    free(l);
}

static void stamp(uint8_t *data, const struct load_topic *t) {
    uint32_t crc;

    bp_st_le32(data, MAGIC);
    bp_st_le32(data + 4, t->number);
    bp_st_le64(data + 8, t->sent + 1);
    bp_st_le32(data + 16, t->load->size);
    crc = bp_crc32c(0, data, 20);
    crc = bp_crc32c(crc, data + BP_SIM_SEQ_HEAD, t->load->size - BP_SIM_SEQ_HEAD);
    bp_st_le32(data + 20, crc);
}

static void fire(void *ctx, bp_ns_t due_mono) {
    struct load_topic *t = ctx;
    struct load *l = t->load;
    uint8_t *p = l->pool + (t->sent + t->number) % WINDOWS * SHIFT;

    (void) due_mono;
    memset(p, 0, CDR_HEAD);
    p[1] = 1; /* CDR_LE */
    bp_st_le32(p + 12, l->size);
    if (l->seq_payload)
        stamp(p + CDR_HEAD, t);
    t->sent += bp_sim_send(t->out, p, CDR_HEAD + l->size, bp_wall_ns());
}

static struct load *load_new(const struct bp_sim_load *o, uint64_t seed) {
    struct load *l = calloc(1, sizeof *l + o->topics * sizeof l->topics[0]);
    size_t n = (size_t) CDR_HEAD + o->size_bytes + (size_t) WINDOWS * SHIFT;
    struct bp_rng rng = bp_rng_of(seed);

    if (!l)
        return NULL;
    l->pool = malloc(n + 8);
    if (!l->pool) {
        free(l);
        return NULL;
    }
    for (size_t i = 0; i < n; i += 8)
        bp_st_le64(l->pool + i, bp_rng_u64(&rng));
    l->size = o->size_bytes;
    l->seq_payload = o->seq_payload;
    l->n = o->topics;
    return l;
}

static void set_timer(struct bp_timer *t, const struct bp_sim_opts *o, unsigned i) {
    double hz = o->load.hz * o->rate;

    t->catch_up = true;
    if (hz <= 0) {
        t->period_ns = BP_LANE_UNPACED;
        return;
    }
    t->period_ns = (bp_ns_t) ceil(1e9 / hz); /* never one more than asked for */
    t->offset_ns = t->period_ns * (bp_ns_t) i / (bp_ns_t) o->load.topics;
}

int bp_sim_add_load(struct bp_sim *s, struct bp_dds *d, const char *ns, unsigned robot,
                    struct bp_error *err) {
    const struct bp_sim_load *o = &s->opts.load;
    struct load *l = load_new(o, s->opts.seed + robot);
    struct bp_lane *lane = bp_sim_lane_new(s, "load");
    struct bp_node *node;
    int r;

    if (!l)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (bp_sim_keep(s, l, load_free) < 0 || !lane)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_dds_node(d, ns, "load", &node, err);
    for (unsigned i = 0; r >= 0 && i < o->topics; i++) {
        struct load_topic *t = &l->topics[i];
        char name[32];

        t->load = l;
        t->number = robot * o->topics + i;
        t->timer.fire = fire;
        t->timer.ctx = t;
        set_timer(&t->timer, &s->opts, i);
        (void) snprintf(name, sizeof name, "load/t%u", i);
        r = bp_sim_topic_new(
            s, &(struct bp_sim_topic_def){ d, node, ns, name, type, &o->qos, &t->timer }, &t->out,
            err);
        if (r >= 0 && bp_lane_add(lane, &t->timer) < 0)
            r = bp_fail(err, -ENOMEM, "out of memory");
    }
    return r;
}
