/* Who does what: sim.c owns domains, topics, lanes and the log; sim-load.c and sim-robot.c add
 * topics and timers to it; each timer's function builds one message and hands it to bp_sim_send().
 */
#include "play/sim.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "play/sim-priv.h"
#include "wire/schema.h"

enum { SETTLE_MS = 300, ACK_S = 5 };

const struct bp_qos bp_sim_qos_sensor = {
    .history = BP_HISTORY_KEEP_LAST,
    .depth = 5,
    .reliability = BP_RELIABILITY_BEST_EFFORT,
    .durability = BP_DURABILITY_VOLATILE,
    .deadline = BP_QOS_INFINITE,
    .lifespan = BP_QOS_INFINITE,
    .liveliness = BP_LIVELINESS_AUTOMATIC,
    .lease = BP_QOS_INFINITE,
};

const struct bp_qos bp_sim_qos_latched = {
    .history = BP_HISTORY_KEEP_LAST,
    .depth = 1,
    .reliability = BP_RELIABILITY_RELIABLE,
    .durability = BP_DURABILITY_TRANSIENT_LOCAL,
    .deadline = BP_QOS_INFINITE,
    .lifespan = BP_QOS_INFINITE,
    .liveliness = BP_LIVELINESS_AUTOMATIC,
    .lease = BP_QOS_INFINITE,
};

/* Room for one more pointer in a growing array of them. */
static int reserve(void *array, size_t n, size_t *cap) {
    void *old, *v;
    size_t want;

    if (n < *cap)
        return 0;
    want = *cap ? *cap * 2 : 16;
    memcpy(&old, array, sizeof old);
    v = realloc(old, want * sizeof(void *));
    if (!v)
        return -ENOMEM;
    memcpy(array, &v, sizeof v);
    *cap = want;
    return 0;
}

struct bp_lane *bp_sim_lane_new(struct bp_sim *s, const char *name) {
    struct bp_lane *l;

    if (reserve(&s->lanes, s->nlanes, &s->lanes_cap) < 0)
        return NULL;
    l = bp_lane_new(name);
    if (l)
        s->lanes[s->nlanes++] = l;
    return l;
}

int bp_sim_keep(struct bp_sim *s, void *p, void (*free_fn)(void *p)) {
    struct bp_sim_part *part = malloc(sizeof *part);

    if (!part) {
        free_fn(p);
        return -ENOMEM;
    }
    *part = (struct bp_sim_part){ p, free_fn, s->parts };
    s->parts = part;
    return 0;
}

static void topic_free(struct bp_sim_topic *t) {
    if (!t)
        return;
    bp_pub_close(t->pub);
    free(t->name);
    free(t->log_key);
    free(t);
}
BP_DEFINE_CLEANUP(struct bp_sim_topic, topic_free)

/* A load's many topics have one type, so the last hash is kept. */
static const char *hash_of(struct bp_sim *s, const char *type) {
    if (!s->hash_type || !bp_streq(s->hash_type, type)) {
        s->hash[0] = 0;
        (void) bp_typedb_hash(type, s->hash, NULL); /* all our types are in the embedded table */
        s->hash_type = type;
    }
    return s->hash;
}

int bp_sim_topic_new(struct bp_sim *s, const struct bp_sim_topic_def *def,
                     struct bp_sim_topic **ret, struct bp_error *err) {
    BP_CLEANUP(topic_freep) struct bp_sim_topic *t = calloc(1, sizeof *t);
    struct bp_pub_opts o = { .type = def->type, .qos = *def->qos, .node = def->node };
    struct bp_buf full = { 0 };
    uint8_t guid[BP_GUID_LEN];
    int r;

    if (!t || reserve(&s->topics, s->ntopics, &s->topics_cap) < 0)
        return bp_fail(err, -ENOMEM, "out of memory");
    *t = (struct bp_sim_topic){
        .sim = s,
        .timer = def->timer,
        .type = def->type,
        .reliable = def->qos->reliability != BP_RELIABILITY_BEST_EFFORT,
    };
    if (def->name[0] != '/')
        bp_buf_printf(&full, "%s/", def->ns);
    bp_buf_put_str(&full, def->name);
    t->name = bp_buf_take_cstr(&full);
    if (!t->name)
        return bp_fail(err, -ENOMEM, "out of memory");

    o.topic = t->name;
    o.type_hash = hash_of(s, def->type);
    r = bp_dds_advertise(def->dds, &o, &t->pub, err);
    if (r < 0)
        return r;

    bp_pub_guid(t->pub, guid);
    t->log_key = bp_sendlog_key(t->name, guid);
    if (!t->log_key)
        return bp_fail(err, -ENOMEM, "out of memory");
    *ret = t;
    s->topics[s->ntopics++] = BP_TAKE_PTR(t);
    return 0;
}

/* ---- sending ---- */

bool bp_sim_send(struct bp_sim_topic *t, const void *cdr, size_t n, bp_ns_t source_wall) {
    bp_ns_t before = bp_mono_ns(), after;
    int64_t seq = bp_pub_write(t->pub, cdr, n, source_wall);

    after = bp_mono_ns();
    if (after - before > atomic_load_explicit(&t->worst_write_ns, memory_order_relaxed))
        atomic_store_explicit(&t->worst_write_ns, after - before, memory_order_relaxed);
    if (seq < 0) {
        atomic_fetch_add_explicit(&t->failed, 1, memory_order_relaxed);
        return false;
    }
    if (t->sim->log)
        bp_sendlog_put(t->sim->log, after, source_wall, bp_str_of(t->log_key), (uint64_t) seq, n);
    atomic_fetch_add_explicit(&t->messages, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->bytes, n, memory_order_relaxed);
    return true;
}

void bp_sim_send_buf(struct bp_sim_topic *t, const struct bp_buf *cdr, bp_ns_t source_wall) {
    if (cdr->failed)
        atomic_fetch_add_explicit(&t->failed, 1, memory_order_relaxed);
    else
        (void) bp_sim_send(t, cdr->p, cdr->n, source_wall);
}

/* ---- life ---- */

static int join_domains(struct bp_sim *s, struct bp_error *err) {
    struct bp_dds_opts o = { 0 };
    struct bp_dds_events ev = { .notice = s->opts.notice, .ctx = s->opts.ctx };
    int r = bp_dds_opts_from_env(&o, err);

    s->domains = calloc(s->opts.ndomains, sizeof *s->domains);
    if (!s->domains)
        return bp_fail(err, -ENOMEM, "out of memory");
    o.sender_tuned = true;
    for (size_t i = 0; r >= 0 && i < s->opts.ndomains; i++) {
        s->domains[i].id = o.domain = s->opts.domains[i];
        r = bp_dds_open(&o, &ev, &s->domains[i].dds, err);
    }
    return r;
}

struct bp_sim_frame bp_sim_frame(const struct bp_sim_robot *r, const char *name) {
    struct bp_sim_frame f;

    (void) snprintf(f.text, sizeof f.text, "%s/%s", r->name, name);
    return f;
}

double bp_sim_time(const struct bp_sim *s) {
    return (double) (bp_mono_ns() - s->start_mono) / 1e9;
}

struct bp_timer bp_sim_timer(const struct bp_sim_robot *r, double hz,
                             void (*fire)(void *ctx, bp_ns_t due_mono), void *ctx) {
    return (struct bp_timer){
        .period_ns = hz > 0 ? (bp_ns_t) ceil(1e9 / (hz * r->scale)) : 0,
        .fire = fire,
        .ctx = ctx,
    };
}

struct bp_rng bp_sim_rng(const struct bp_sim_robot *r, unsigned lane) {
    return bp_rng_of(r->sim->opts.seed + ((uint64_t) r->index << 8) + lane);
}

static int add_robot(struct bp_sim *s, unsigned i, struct bp_error *err) {
    enum bp_sim_profile p = s->opts.profile;
    struct bp_sim_robot *bot = calloc(1, sizeof *bot);
    int r = 0;

    if (!bot)
        return bp_fail(err, -ENOMEM, "out of memory");
    *bot = (struct bp_sim_robot){
        .sim = s,
        .dds = s->domains[i % s->opts.ndomains].dds,
        .index = i,
        .scale = s->opts.rate,
        .motion = bp_motion_of(i),
        .sensor_qos = s->opts.reliable_sensors ? bp_qos_default : bp_sim_qos_sensor,
    };
    (void) snprintf(bot->name, sizeof bot->name, "robot%u", s->opts.first_index + i);
    (void) snprintf(bot->ns, sizeof bot->ns, "/%s", bot->name);
    if (bp_sim_keep(s, bot, free) < 0)
        return bp_fail(err, -ENOMEM, "out of memory");

    if (p != BP_SIM_NONE)
        r = bp_sim_add_telemetry(s, bot, err);
    if (r >= 0 && (p == BP_SIM_LIDAR || p == BP_SIM_MIXED))
        r = bp_sim_add_lidar(s, bot, err);
    if (r >= 0 && (p == BP_SIM_CAMERA || p == BP_SIM_MIXED))
        r = bp_sim_add_camera(s, bot, err);
    if (r >= 0 && s->opts.load.topics > 0)
        r = bp_sim_add_load(s, bot->dds, bot->ns, i, err);
    return r;
}

int bp_sim_open(const struct bp_sim_opts *o, struct bp_sim **ret, struct bp_error *err) {
    BP_CLEANUP(bp_sim_freep) struct bp_sim *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    s->opts = *o;
    if (o->log_path) {
        r = bp_sendlog_open(o->log_path, &s->log, err);
        if (r < 0)
            return r;
    }
    r = join_domains(s, err);
    for (unsigned i = 0; r >= 0 && i < o->robots; i++)
        r = add_robot(s, i, err);
    if (r < 0)
        return r;

    *ret = BP_TAKE_PTR(s);
    return 0;
}

bool bp_sim_ready(struct bp_sim *s) {
    if (s->opts.wait_readers <= 0)
        return true;
    if (!s->ready_mono) {
        for (size_t i = 0; i < s->ntopics; i++)
            if (bp_pub_matched(s->topics[i]->pub) < s->opts.wait_readers)
                return false;
        s->ready_mono = bp_mono_ns();
    }
    return bp_mono_ns() - s->ready_mono >= SETTLE_MS * BP_MS;
}

int bp_sim_start(struct bp_sim *s, struct bp_error *err) {
    s->start_mono = bp_mono_ns() + BP_MS;
    s->start_wall = bp_wall_ns() + BP_MS;
    s->end_mono = s->opts.duration ? s->start_mono + s->opts.duration : INT64_MAX;
    for (size_t i = 0; i < s->nlanes; i++) {
        int r = bp_lane_start(s->lanes[i], s->start_mono, s->end_mono);

        if (r < 0)
            return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    }
    return 0;
}

bool bp_sim_over(const struct bp_sim *s) {
    for (size_t i = 0; i < s->nlanes; i++)
        if (!bp_lane_over(s->lanes[i]))
            return false;
    return s->start_mono && bp_mono_ns() >= s->end_mono;
}

static void stop_lanes(struct bp_sim *s) {
    for (size_t i = 0; i < s->nlanes; i++)
        bp_lane_stop(s->lanes[i]);
    for (size_t i = 0; i < s->nlanes; i++)
        bp_lane_join(s->lanes[i]);
}

int bp_sim_stop(struct bp_sim *s, struct bp_error *err) {
    bp_ns_t give_up = bp_mono_ns() + ACK_S * BP_SEC;
    struct bp_sendlog *log;

    s->stop_mono = BP_MIN(bp_mono_ns(), s->end_mono);
    stop_lanes(s);
    log = BP_TAKE_PTR(s->log); /* complete while we still wait below */
    for (size_t i = 0; i < s->ntopics; i++)
        if (s->topics[i]->reliable)
            (void) bp_pub_wait_acked(s->topics[i]->pub, BP_MAX(give_up - bp_mono_ns(), BP_MS));
    return bp_sendlog_close(log, err);
}

void bp_sim_free(struct bp_sim *s) {
    if (!s)
        return;
    stop_lanes(s);
    for (size_t i = 0; i < s->ntopics; i++)
        topic_free(s->topics[i]);
    for (struct bp_sim_part *part = s->parts, *next; part; part = next) {
        next = part->next;
        part->free_fn(part->p);
        free(part);
    }
    for (size_t i = 0; i < s->nlanes; i++)
        bp_lane_free(s->lanes[i]);
    for (size_t i = 0; s->domains && i < s->opts.ndomains; i++)
        bp_dds_close(s->domains[i].dds);
    (void) bp_sendlog_close(s->log, NULL);
    free(s->lanes);
    free(s->topics);
    free(s->domains);
    free(s);
}

/* ---- numbers ---- */

size_t bp_sim_topics(const struct bp_sim *s) {
    return s->ntopics;
}

void bp_sim_topic_stats(const struct bp_sim *s, size_t i, struct bp_sim_topic_stats *ret) {
    const struct bp_sim_topic *t = s->topics[i];

    *ret = (struct bp_sim_topic_stats){
        .topic = t->name,
        .type = t->type,
        .messages = atomic_load_explicit(&t->messages, memory_order_relaxed),
        .bytes = atomic_load_explicit(&t->bytes, memory_order_relaxed),
        .failed = atomic_load_explicit(&t->failed, memory_order_relaxed),
        .worst_write_ns = atomic_load_explicit(&t->worst_write_ns, memory_order_relaxed),
    };
    if (!s->stop_mono)
        return;

    ret->wanted = ret->messages + ret->failed;
    if (t->timer) {
        ret->wanted = bp_timer_wanted(t->timer, s->start_mono, s->stop_mono);
        ret->late = t->timer->late;
        ret->skipped = t->timer->skipped;
        ret->worst_late_ns = t->timer->worst_late_ns;
    }
}

void bp_sim_stats(const struct bp_sim *s, struct bp_sim_stats *ret) {
    bp_ns_t now = bp_mono_ns();

    *ret = (struct bp_sim_stats){
        .elapsed_ns = !s->start_mono ? 0
                      : s->stop_mono ? s->stop_mono - s->start_mono
                                     : BP_MAX(now - s->start_mono, (bp_ns_t) 0),
    };
    for (size_t i = 0; i < s->ntopics; i++) {
        struct bp_sim_topic_stats t;

        bp_sim_topic_stats(s, i, &t);
        ret->messages += t.messages;
        ret->bytes += t.bytes;
        ret->wanted += t.wanted;
        ret->late += t.late;
        ret->skipped += t.skipped;
        ret->failed += t.failed;
    }
}
