#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/domains.h"
#include "cli/signals.h"
#include "cli/verb.h"
#include "play/sim.h"

enum { PROFILE_AUTO, PROFILE_NONE, PROFILE_PEER = 6 };

struct opts {
    struct bp_opt_list domains;
    int64_t robots, first, topics, seed, readers;
    int profile, load;
    double rate, hz;
    bp_ns_t duration, wait;
    uint64_t size;
    const char *qos, *log, *camera, *lidar;
    bool seq_payload, reliable_sensors, json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "robots", 'n', BP_OPT_INT, OPT(robots), "N", "so many robots, /robot1, /robot2, …", "1", NULL,
      1, 1000 },
    { "start-index", 0, BP_OPT_INT, OPT(first), "N", "number of the first robot", "1", NULL, 0,
      100000 },
    { "profile", 'p', BP_OPT_CHOICE, OPT(profile), NULL,
      "what a robot sends: telemetry (small), with a camera, a lidar, both (mixed); a load of the "
      "peer's benches; auto is small, or none when a load is asked for",
      "auto", "auto|none|small|camera|lidar|mixed|peer", 0, 0 },
    { "rate", 'r', BP_OPT_NUMBER, OPT(rate), "SCALE", "scales every frequency", "1", NULL, 0.001,
      1000 },
    { "camera", 0, BP_OPT_TEXT, OPT(camera), "WxH@HZ", "pixels and pictures a second", "640x480@15",
      NULL, 0, 0 },
    { "lidar", 0, BP_OPT_TEXT, OPT(lidar), "POINTS@HZ", "points of a sweep, and sweeps a second",
      "20000@10", NULL, 0, 0 },
    { "domain", 0, BP_OPT_LIST, OPT(domains), "ID[,ID…]",
      "ROS domains (ROS_DOMAIN_ID, else 0); robots take turns on them", NULL, NULL, 0, 0 },
    { "reliable-sensors", 0, BP_OPT_FLAG, OPT(reliable_sensors), NULL,
      "imu, lidar, camera and GPS are sent reliably instead of best effort", NULL, NULL, 0, 0 },
    { "duration", 'd', BP_OPT_DURATION, OPT(duration), "TIME", "stop after this time", NULL, NULL,
      0, 0 },
    { "load", 0, BP_OPT_CHOICE, OPT(load), NULL, "which load --profile peer makes", "6mb",
      "6mb|4x1mb|100x100b|64k", 0, 0 },
    { "topics", 0, BP_OPT_INT, OPT(topics), "N", "load: so many topics per robot", NULL, NULL, 0,
      60000 },
    { "size", 0, BP_OPT_SIZE, OPT(size), "BYTES", "load: data bytes of a message", "1KiB", NULL, 0,
      1 << 30 },
    { "hz", 0, BP_OPT_NUMBER, OPT(hz), "HZ", "load: per topic; 0 = as fast as it goes", "10", NULL,
      0, 1e6 },
    { "qos", 0, BP_OPT_TEXT, OPT(qos), "QOS", "load: reliable|best_effort[:DEPTH|:keep_all]",
      "reliable:10", NULL, 0, 0 },
    { "seq-payload", 0, BP_OPT_FLAG, OPT(seq_payload), NULL,
      "load: data that prove loss, order and content", NULL, NULL, 0, 0 },
    { "log", 0, BP_OPT_TEXT, OPT(log), "FILE",
      "one line per message sent: mono_ns wall_ns topic guid sequence size", NULL, NULL, 0, 0 },
    { "wait-for-readers", 0, BP_OPT_INT, OPT(readers), "N",
      "send nothing before each writer has N readers", "0", NULL, 0, 1000 },
    { "wait-timeout", 0, BP_OPT_DURATION, OPT(wait), "TIME", "give up waiting for readers", "60s",
      NULL, 0, 0 },
    { "seed", 0, BP_OPT_INT, OPT(seed), "N", "of the noise", "1", NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the result as JSON", NULL, NULL, 0, 0 },
};

static int parse_qos(const char *text, struct bp_qos *ret, struct bp_error *err) {
    const char *colon = strchr(text, ':');
    size_t n = colon ? (size_t) (colon - text) : strlen(text);
    struct bp_str word = { text, n };
    int64_t depth = 10;

    *ret = bp_qos_default;
    if (bp_str_eq(word, BP_STR("best_effort")))
        ret->reliability = BP_RELIABILITY_BEST_EFFORT;
    else if (!bp_str_eq(word, BP_STR("reliable")))
        return bp_fail(err, BP_EUSAGE,
                       "--qos '%s': expected reliable or best_effort, then :DEPTH or :keep_all",
                       text);
    if (colon && bp_streq(colon + 1, "keep_all"))
        ret->history = BP_HISTORY_KEEP_ALL;
    else if (colon && (bp_parse_int(colon + 1, &depth) < 0 || depth < 1 || depth > 1000000))
        return bp_fail(err, BP_EUSAGE, "--qos '%s': expected a depth from 1 or 'keep_all'", text);
    ret->depth = ret->history == BP_HISTORY_KEEP_ALL ? 0 : (uint32_t) depth;
    return 0;
}

static int bad_sensor(const char *option, const char *text, const char *like,
                      struct bp_error *err) {
    return bp_fail(err, BP_EUSAGE, "--%s '%s': expected %s", option, text, like);
}

/* A number in front of `end`, and behind that. */
static bool take_number(const char **p, char end, double least, double most, double *ret) {
    char *rest;

    *ret = strtod(*p, &rest);
    if (rest == *p || *rest != end || !(*ret >= least && *ret <= most))
        return false;
    *p = rest + (end != '\0');
    return true;
}

static bool in_16s(double v) {
    return v == 16 * floor(v / 16);
}

static int parse_sensors(const struct opts *o, struct bp_sim_opts *ret, struct bp_error *err) {
    const char *camera = o->camera, *lidar = o->lidar;
    double width, height, points;

    if (!take_number(&camera, 'x', 512, 4096, &width) || !in_16s(width) ||
        !take_number(&camera, '@', 32, 4096, &height) ||
        !take_number(&camera, '\0', 0.001, 1000, &ret->camera_hz))
        return bad_sensor("camera", o->camera,
                          "such as 1280x720@30: a width of 512 to 4096 in steps of 16, a height of "
                          "32 to 4096, up to 1000 a second",
                          err);
    if (!take_number(&lidar, '@', 16, 1600000, &points) || !in_16s(points) ||
        !take_number(&lidar, '\0', 0.001, 1000, &ret->lidar_hz))
        return bad_sensor("lidar", o->lidar,
                          "such as 100000@10: 16 to 1600000 points in steps of 16, up to 1000 "
                          "sweeps a second",
                          err);
    ret->camera_width = (unsigned) width;
    ret->camera_height = (unsigned) height;
    ret->lidar_points = (unsigned) points;
    return 0;
}

/* The loads real `ros2 bag record` was measured with. */
static const struct {
    unsigned topics;
    uint32_t size;
    double hz;
} peer_loads[] = {
    { 1, 6000000, 30 },
    { 4, 1000000, 30 },
    { 100, 100, 100 },
    { 1, 65536, 2000 },
};

static int take_opts(const struct opts *o, struct bp_sim_opts *ret, struct bp_error *err) {
    int n = bp_cli_domains(&o->domains, ret->domains, BP_SIM_DOMAINS_MAX, err);

    if (n < 0)
        return n;
    ret->ndomains = (size_t) n;
    ret->robots = (unsigned) o->robots;
    ret->first_index = (unsigned) o->first;
    ret->rate = o->rate;
    ret->seed = (uint64_t) o->seed;
    ret->duration = o->duration;
    ret->log_path = o->log;
    ret->wait_readers = (int) o->readers;
    ret->reliable_sensors = o->reliable_sensors;
    ret->load.topics = (unsigned) o->topics;
    ret->load.size_bytes = (uint32_t) o->size;
    ret->load.hz = o->hz;
    ret->load.seq_payload = o->seq_payload;
    if (o->profile == PROFILE_PEER) {
        ret->load.topics = peer_loads[o->load].topics;
        ret->load.size_bytes = peer_loads[o->load].size;
        ret->load.hz = peer_loads[o->load].hz;
    }
    if (o->profile == PROFILE_AUTO)
        ret->profile = ret->load.topics ? BP_SIM_NONE : BP_SIM_SMALL;
    else if (o->profile != PROFILE_PEER)
        ret->profile = (enum bp_sim_profile)(o->profile - PROFILE_NONE);
    if (o->seq_payload && ret->load.size_bytes < BP_SIM_SEQ_HEAD)
        return bp_fail(err, BP_EUSAGE, "--seq-payload needs a --size of at least %d bytes",
                       BP_SIM_SEQ_HEAD);
    if (parse_sensors(o, ret, err) < 0)
        return BP_EUSAGE;
    return parse_qos(o->qos, &ret->load.qos, err);
}

/* ---- while it runs ---- */

static void on_notice(void *ctx, const char *text) {
    (void) ctx;
    bp_log(BP_LOG_NOTICE, text);
}

static void show_progress(const struct bp_sim *s) {
    struct bp_sim_stats now;
    char size[BP_UNITS_TEXT], rate[BP_UNITS_TEXT], since[BP_UNITS_TEXT];
    double secs;

    bp_sim_stats(s, &now);
    secs = BP_MAX((double) now.elapsed_ns / 1e9, 0.001);
    (void) fprintf(stderr, "\r%s  %llu messages, %.0f/s  %s, %s/s%s\033[K",
                   bp_duration_format(now.elapsed_ns, since), (unsigned long long) now.messages,
                   (double) now.messages / secs, bp_size_format(now.bytes, size),
                   bp_size_format((uint64_t) ((double) now.bytes / secs), rate),
                   now.failed ? "  SENDING FAILS" : "");
}

/* @return 1 when readers are there, 0 when a signal came first, -ETIMEDOUT */
static int await_readers(struct bp_sim *s, const struct opts *o, int signals,
                         struct bp_error *err) {
    struct pollfd p = { .fd = signals, .events = POLLIN };
    bp_ns_t give_up = bp_mono_ns() + o->wait;

    while (!bp_sim_ready(s)) {
        if (bp_mono_ns() > give_up)
            return bp_fail(err, -ETIMEDOUT, "not every writer found %d readers", (int) o->readers);
        if (poll(&p, 1, 10) > 0)
            return 0;
    }
    return 1;
}

static void loop(const struct bp_sim *s, int signals, bool tty) {
    struct pollfd p = { .fd = signals, .events = POLLIN };
    bp_ns_t tick = bp_mono_ns() + BP_SEC;

    while (!bp_sim_over(s) && poll(&p, 1, 20) <= 0)
        if (tty && bp_mono_ns() >= tick) {
            show_progress(s);
            tick += BP_SEC;
        }
    if (tty)
        (void) fputs("\r\033[K", stderr);
}

/* ---- the result ---- */

static double percent(uint64_t part, uint64_t of) {
    return of ? 100.0 * (double) part / (double) of : 100;
}

static void print_text(const struct bp_sim *s, const struct bp_sim_stats *sum) {
    char size[BP_UNITS_TEXT], time[BP_UNITS_TEXT];
    double secs = BP_MAX((double) sum->elapsed_ns / 1e9, 1e-6);

    (void) printf("%-44s %10s %10s %9s %8s %6s\n", "topic", "messages", "bytes", "Hz", "% asked",
                  "late");
    for (size_t i = 0; i < bp_sim_topics(s); i++) {
        struct bp_sim_topic_stats t;

        bp_sim_topic_stats(s, i, &t);
        (void) printf("%-44s %10llu %10s %9.2f %8.2f %6llu\n", t.topic,
                      (unsigned long long) t.messages, bp_size_format(t.bytes, size),
                      (double) t.messages / secs, percent(t.messages, t.wanted),
                      (unsigned long long) t.late);
    }
    (void) printf("sent %llu messages, %s in %s, %.2f %% of what was asked; %llu late, %llu "
                  "skipped, %llu failed\n",
                  (unsigned long long) sum->messages, bp_size_format(sum->bytes, size),
                  bp_duration_format(sum->elapsed_ns, time), percent(sum->messages, sum->wanted),
                  (unsigned long long) sum->late, (unsigned long long) sum->skipped,
                  (unsigned long long) sum->failed);
}

static void put_numbers(struct bp_buf *b, const struct bp_sim_stats *n, double secs) {
    bp_buf_printf(b, "\"messages\":%llu,\"bytes\":%llu,\"wanted\":%llu,\"late\":%llu,",
                  (unsigned long long) n->messages, (unsigned long long) n->bytes,
                  (unsigned long long) n->wanted, (unsigned long long) n->late);
    bp_buf_printf(b, "\"skipped\":%llu,\"failed\":%llu,\"hz\":", (unsigned long long) n->skipped,
                  (unsigned long long) n->failed);
    bp_json_put_real(b, (double) n->messages / secs);
    bp_buf_put_str(b, ",\"percent\":");
    bp_json_put_real(b, percent(n->messages, n->wanted));
}

static int print_json(const struct bp_sim *s, const struct bp_sim_stats *sum) {
    double secs = BP_MAX((double) sum->elapsed_ns / 1e9, 1e-6);
    BP_AUTO_BUF b = { 0 };

    bp_buf_put_str(&b, "{");
    put_numbers(&b, sum, secs);
    bp_buf_printf(&b, ",\"elapsed_ns\":%lld,\"topics\":[", (long long) sum->elapsed_ns);
    for (size_t i = 0; i < bp_sim_topics(s); i++) {
        struct bp_sim_topic_stats t;
        struct bp_sim_stats n;

        bp_sim_topic_stats(s, i, &t);
        n = (struct bp_sim_stats){ t.messages, t.bytes, t.wanted, t.late, t.skipped, t.failed, 0 };
        bp_buf_put_str(&b, i ? ",{\"topic\":" : "{\"topic\":");
        bp_json_put_text(&b, t.topic, strlen(t.topic));
        bp_buf_put_str(&b, ",\"type\":");
        bp_json_put_text(&b, t.type, strlen(t.type));
        bp_buf_put_str(&b, ",");
        put_numbers(&b, &n, secs);
        bp_buf_printf(&b, ",\"worst_late_ns\":%lld,\"worst_write_ns\":%lld}",
                      (long long) t.worst_late_ns, (long long) t.worst_write_ns);
    }
    bp_buf_put_str(&b, "]}\n");
    if (b.failed)
        return -ENOMEM;
    (void) fwrite(b.p, 1, b.n, stdout);
    return 0;
}

static int sim_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    BP_CLEANUP(bp_sim_freep) struct bp_sim *s = NULL;
    struct bp_sim_opts so = { .notice = on_notice };
    struct bp_sim_stats sum;
    BP_AUTO_FD int signals = -1;
    int r = take_opts(o, &so, err);

    (void) argc, (void) argv;
    if (r < 0)
        return r;
    signals = bp_cli_signals(err);
    if (signals < 0)
        return signals;
    r = bp_sim_open(&so, &s, err);
    if (r < 0)
        return r;

    r = await_readers(s, o, signals, err);
    if (r > 0) {
        r = bp_sim_start(s, err);
        if (r < 0)
            return r;
        bp_log(BP_LOG_NOTICE, "publishing", BP_F_UINT("topics", bp_sim_topics(s)));
        loop(s, signals, isatty(STDERR_FILENO) && !o->json);
    }
    if (r < 0)
        return r;
    r = bp_sim_stop(s, err);
    if (r < 0)
        return r;

    bp_sim_stats(s, &sum);
    if (o->json)
        return print_json(s, &sum);
    print_text(s, &sum);
    return BP_EXIT_DONE;
}

const struct bp_verb bp_verb_sim = {
    .name = "sim",
    .args = "",
    .summary = "simulate robots: real DDS traffic, real ROS 2 types",
    .description =
        "Each robot drives a figure of eight through a room and sends what it measures, under "
        "/robot1, /robot2 and so on. A load for benches can be added with --topics, or be all "
        "there is.\n\n"
        "--log keeps the truth for tests: a line is written after each message was sent, within "
        "20 ms. With --seq-payload the data of load messages begin with 'BPSQ', u32 writer, u64 "
        "counter from 1, u32 size, u32 CRC-32C of all other data bytes, little-endian.",
    .examples = "bagpipe sim                                       one robot, telemetry\n"
                "bagpipe sim -n 2 --profile mixed --duration 10s   two with camera and lidar\n"
                "bagpipe sim --robots 2 --domain 0,1               each on a domain of its own\n"
                "bagpipe sim --topics 100 --size 100 --hz 100 --seq-payload --log sent.log",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .max_args = 0,
    .run = sim_run,
};
