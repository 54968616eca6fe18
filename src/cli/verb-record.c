#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "bag/recover.h"
#include "bag/writer.h"
#include "base/buf.h"
#include "base/io-fault.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/time.h"
#include "base/units.h"
#include "cli/record-report.h"
#include "cli/verb.h"
#include "crypt/key.h"
#include "crypt/sign.h"
#include "record/name.h"
#include "record/overrides.h"
#include "record/recorder.h"
#include "record/rules.h"
#include "record/select.h"
#include "wire/schema.h"

struct opts {
    bool all, all_topics, all_services, hidden, paused, sim_time, json, fast_zstd, no_definitions;
    bool no_recovery, no_keys, hide_names;
    struct bp_opt_list topics, services, types, not_topics, not_types, domains, custom;
    struct bp_opt_list max_rate, keep_every, priority, budget, seal_to, seal_keys;
    const char *regex, *not_regex, *out, *dir, *name, *mission, *qos_path, *ring_dir;
    const char *definitions, *sign_key;
    uint64_t max_bag, cache, chunk, min_free;
    bp_ns_t max_duration, duration, interval;
    int64_t max_topics, level, workers;
    int compression, mode, on_full, durability, profile;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "all", 'a', BP_OPT_FLAG, OPT(all), NULL, "all topics and service events (the default)", NULL,
      NULL, 0, 0 },
    { "all-topics", 0, BP_OPT_FLAG, OPT(all_topics), NULL, "all topics", NULL, NULL, 0, 0 },
    { "all-services", 0, BP_OPT_FLAG, OPT(all_services), NULL, "events of all services", NULL, NULL,
      0, 0 },
    { "topics", 0, BP_OPT_LIST, OPT(topics), "TOPIC", "these topics ('*' matches anything)", NULL,
      NULL, 0, 0 },
    { "services", 0, BP_OPT_LIST, OPT(services), "SERVICE", "events of these services", NULL, NULL,
      0, 0 },
    { "topic-types", 0, BP_OPT_LIST, OPT(types), "TYPE", "topics of these types", NULL, NULL, 0,
      0 },
    { "regex", 'e', BP_OPT_TEXT, OPT(regex), "REGEX", "topics whose name contains a match", NULL,
      NULL, 0, 0 },
    { "exclude-regex", 0, BP_OPT_TEXT, OPT(not_regex), "REGEX", "but not these", NULL, NULL, 0, 0 },
    { "exclude-topics", 0, BP_OPT_LIST, OPT(not_topics), "TOPIC", "but not these", NULL, NULL, 0,
      0 },
    { "exclude-topic-types", 0, BP_OPT_LIST, OPT(not_types), "TYPE", "but not these", NULL, NULL, 0,
      0 },
    { "include-hidden-topics", 0, BP_OPT_FLAG, OPT(hidden), NULL,
      "also topics with a name part that begins with '_'", NULL, NULL, 0, 0 },
    { "max-topics", 0, BP_OPT_INT, OPT(max_topics), "N", "refuse topics beyond N, counted", NULL,
      NULL, 1, 65535 },
    { "domain", 0, BP_OPT_LIST, OPT(domains), "ID[,ID…]", "ROS domains (ROS_DOMAIN_ID, else 0)",
      NULL, NULL, 0, 0 },
    { "qos-profile-overrides-path", 0, BP_OPT_TEXT, OPT(qos_path), "FILE",
      "YAML with QoS per topic, as ros2 bag reads it", NULL, NULL, 0, 0 },
    { "output", 'o', BP_OPT_TEXT, OPT(out), "DIR",
      "the session folder itself; an interrupted one is recovered and continued", NULL, NULL, 0,
      0 },
    { "dir", 0, BP_OPT_TEXT, OPT(dir), "DIR", "folder in which the session folder is made", ".",
      NULL, 0, 0 },
    { "name", 0, BP_OPT_TEXT, OPT(name), "TEMPLATE",
      "session name: {date} {time} {host} {robot} {domain} {mission}", "rosbag2_{date}-{time}",
      NULL, 0, 0 },
    { "mission", 0, BP_OPT_TEXT, OPT(mission), "TEXT", "what {mission} stands for", NULL, NULL, 0,
      0 },
    { "max-bag-size", 'b', BP_OPT_SIZE, OPT(max_bag), "SIZE", "new segment at this size", "1GiB",
      NULL, 0, 0 },
    { "max-bag-duration", 'd', BP_OPT_DURATION, OPT(max_duration), "TIME",
      "new segment after this time", NULL, NULL, 0, 0 },
    { "duration", 0, BP_OPT_DURATION, OPT(duration), "TIME", "stop after this time", NULL, NULL, 0,
      0 },
    { "compression-format", 0, BP_OPT_CHOICE, OPT(compression), NULL, "chunk compression", "none",
      "none|lz4|zstd", 0, 0 },
    { "compression-mode", 0, BP_OPT_CHOICE, OPT(mode), NULL,
      "accepted for ros2 bag's sake; compression is always per chunk", "none", "none|file|message",
      0, 0 },
    { "compression-level", 0, BP_OPT_INT, OPT(level), "N", "0 = the codec's fast default", "0",
      NULL, -7, 19 },
    { "fast", 0, BP_OPT_FLAG, OPT(fast_zstd), NULL,
      "zstd tuned for CDR: half the CPU, nearly the same size", NULL, NULL, 0, 0 },
    { "workers", 0, BP_OPT_INT, OPT(workers), "N", "compression threads, 0 = by cores", "0", NULL,
      0, 16 },
    { "chunk-size", 0, BP_OPT_SIZE, OPT(chunk), "SIZE",
      "of a chunk (4 MiB stored, 1 MiB compressed)", NULL, NULL, 0, 0 },
    { "max-cache-size", 0, BP_OPT_SIZE, OPT(cache), "SIZE", "ring in memory", "256MiB", NULL, 0,
      0 },
    { "ring-dir", 0, BP_OPT_TEXT, OPT(ring_dir), "DIR",
      "tmpfs folder of the ring (/dev/shm); 'none' = without", NULL, NULL, 0, 0 },
    { "commit-interval", 0, BP_OPT_DURATION, OPT(interval), "TIME",
      "at most this much is lost by a power cut", "100ms", NULL, 0, 0 },
    { "durability", 0, BP_OPT_CHOICE, OPT(durability), NULL,
      "fast: no sync; commit: sync each interval; strict: sync each batch", "commit",
      "fast|commit|strict", 0, 0 },
    { "profile", 0, BP_OPT_CHOICE, OPT(profile), NULL, "flash: fewer, larger writes for cards",
      "auto", "auto|disk|flash", 0, 0 },
    { "min-free", 0, BP_OPT_SIZE, OPT(min_free), "SIZE",
      "leave this much of the disk free (the smaller of 1 GiB and 5 %)", NULL, NULL, 0, 0 },
    { "on-full", 0, BP_OPT_CHOICE, OPT(on_full), NULL,
      "wait for space, stop, or delete the oldest own segments", "wait", "wait|stop|rotate", 0, 0 },
    { "max-rate", 0, BP_OPT_LIST, OPT(max_rate), "TOPIC=HZ", "keep at most this rate", NULL, NULL,
      0, 0 },
    { "keep-every", 0, BP_OPT_LIST, OPT(keep_every), "TOPIC=N", "keep every N-th message", NULL,
      NULL, 0, 0 },
    { "priority", 0, BP_OPT_LIST, OPT(priority), "TOPIC=low|normal|high",
      "who is refused first when the ring fills up", NULL, NULL, 0, 0 },
    { "sign-key", 0, BP_OPT_TEXT, OPT(sign_key), "FILE",
      "private key that signs the recording (openssl genpkey -algorithm ed25519)", NULL, NULL, 0,
      0 },
    { "budget", 0, BP_OPT_LIST, OPT(budget), "TOPIC=SIZE", "most of the ring a topic may hold",
      NULL, NULL, 0, 0 },
    { "seal-to", 0, BP_OPT_LIST, OPT(seal_to), "KEY",
      "encrypt for this public key (or file of keys); may be repeated", NULL, NULL, 0, 0 },
    { "seal-key-file", 0, BP_OPT_LIST, OPT(seal_keys), "FILE",
      "encrypt with this secret key or passphrase; may be repeated", NULL, NULL, 0, 0 },
    { "hide-names", 0, BP_OPT_FLAG, OPT(hide_names), NULL,
      "with sealing: topic names in no readable file", NULL, NULL, 0, 0 },
    { "start-paused", 0, BP_OPT_FLAG, OPT(paused), NULL, "wait for the space key", NULL, NULL, 0,
      0 },
    { "use-sim-time", 0, BP_OPT_FLAG, OPT(sim_time), NULL, "log time from /clock", NULL, NULL, 0,
      0 },
    { "custom-data", 0, BP_OPT_LIST, OPT(custom), "KEY=VALUE", "put into metadata.yaml", NULL, NULL,
      0, 0 },
    { "definitions", 0, BP_OPT_TEXT, OPT(definitions), "DIR",
      "folder of .msg or .idl files for types of your own", NULL, NULL, 0, 0 },
    { "no-definitions", 0, BP_OPT_FLAG, OPT(no_definitions), NULL,
      "do not ask nodes for unknown types", NULL, NULL, 0, 0 },
    { "no-recovery", 0, BP_OPT_FLAG, OPT(no_recovery), NULL,
      "leave interrupted sessions in --dir as they are", NULL, NULL, 0, 0 },
    { "disable-keyboard-controls", 0, BP_OPT_FLAG, OPT(no_keys), NULL, "do not read keys", NULL,
      NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the result as JSON", NULL, NULL, 0, 0 },
};

/* What the loop needs; one per process. */
struct run {
    const struct opts *o;
    struct bp_select *select;
    struct bp_qos_overrides *qos;
    struct bp_rules rules[4]; /* by enum bp_rule_kind */
    uint32_t domains[64];
    size_t ndomains;
    char dir[4096];
    struct bp_keyring *seal; /* owned; NULL = in the clear */
    struct bp_writer *writer;
    struct bp_recorder *recorder;
    struct bp_take *take;
    struct bp_sign_key *signer;
    struct bp_record_report report;
    bool disk_stop; /* [atomic] --on-full stop wants the end */
    bool io_error;  /* [atomic] */
};

static void run_done(struct run *r) {
    bp_take_close(r->take);
    bp_recorder_close(r->recorder);
    (void) bp_writer_close(r->writer, NULL);
    bp_sign_key_free(r->signer);
    bp_keyring_free(r->seal);
    bp_select_free(r->select);
    bp_qos_overrides_free(r->qos);
    for (size_t i = 0; i < BP_COUNT(r->rules); i++)
        bp_rules_done(&r->rules[i]);
}

static void on_event(void *ctx, const struct bp_writer_event *e) {
    struct run *r = ctx;
    enum bp_log_level level = BP_LOG_NOTICE;

    switch (e->kind) {
    case BP_WRITER_SEGMENT_OPENED:
    case BP_WRITER_SEGMENT_CLOSED:
        level = BP_LOG_DEBUG;
        break;
    case BP_WRITER_DISK_FULL:
        level = BP_LOG_WARNING;
        if (r->o->on_full == BP_FULL_STOP)
            __atomic_store_n(&r->disk_stop, true, __ATOMIC_RELEASE);
        break;
    case BP_WRITER_IO_ERROR:
        level = BP_LOG_WARNING;
        __atomic_store_n(&r->io_error, true, __ATOMIC_RELEASE);
        break;
    case BP_WRITER_DISK_BACK:
    case BP_WRITER_NOTICE:
        break;
    }
    if (level < BP_LOG_DEBUG)
        bp_record_report_clear(&r->report);
    bp_log(level, e->text, BP_F_TEXT("path", e->path ? e->path : ""));
}

static void on_notice(void *ctx, const char *text) {
    struct run *r = ctx;

    bp_record_report_clear(&r->report);
    bp_log(BP_LOG_NOTICE, text);
}

/* ---- from options to what the rooms understand ---- */

static int add_domain(struct run *r, const char *text, struct bp_error *err) {
    char *end;
    unsigned long id;

    for (const char *p = text; *p; p = *end == ',' ? end + 1 : end) {
        id = strtoul(p, &end, 10);
        if (end == p || (*end && *end != ',') || id > 232)
            return bp_fail(err, BP_EUSAGE, "--domain '%s': expected numbers from 0 to 232", text);
        if (r->ndomains == BP_COUNT(r->domains))
            return bp_fail(err, BP_EUSAGE, "--domain: at most %zu domains", r->ndomains);
        r->domains[r->ndomains++] = (uint32_t) id;
    }
    return 0;
}

static int take_domains(struct run *r, struct bp_error *err) {
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts */
    const char *env = getenv("ROS_DOMAIN_ID");

    for (size_t i = 0; i < r->o->domains.n; i++) {
        int k = add_domain(r, r->o->domains.v[i], err);

        if (k < 0)
            return k;
    }
    if (r->ndomains)
        return 0;
    return add_domain(r, env && *env ? env : "0", err);
}

static int take_selection(struct run *r, int argc, char **argv, struct bp_error *err) {
    const struct opts *o = r->o;
    struct bp_opt_list topics = o->topics;
    struct bp_select_opts s = {
        .all_services = o->all_services || o->all,
        .hidden = o->hidden,
        .services = o->services.v,
        .nservices = o->services.n,
        .types = o->types.v,
        .ntypes = o->types.n,
        .not_topics = o->not_topics.v,
        .nnot_topics = o->not_topics.n,
        .not_types = o->not_types.v,
        .nnot_types = o->not_types.n,
        .regex = o->regex,
        .not_regex = o->not_regex,
    };

    if (argc > 0) { /* topics as plain words, as before Jazzy */
        topics.n = (size_t) argc;
        if (o->topics.n)
            return bp_fail(err, BP_EUSAGE, "give topics either with --topics or as plain words");
    }
    s.topics = argc > 0 ? (const char *const *) argv : topics.v;
    s.ntopics = topics.n;
    s.all = o->all || o->all_topics ||
            (!topics.n && !o->services.n && !o->types.n && !o->regex && !o->all_services);
    return bp_select_new(&s, &r->select, err);
}

static int take_dir(struct run *r, struct bp_error *err) {
    char name[256];
    int k;

    if (r->o->out) {
        size_t n = strlen(r->o->out);

        while (n > 1 && r->o->out[n - 1] == '/')
            n--;
        if (n == 0 || n >= sizeof r->dir)
            return bp_fail(err, BP_EUSAGE, "--output: not a usable path");
        (void) snprintf(r->dir, sizeof r->dir, "%.*s", (int) n, r->o->out);
        return 0;
    }

    k = bp_record_name(r->o->name, bp_wall_ns(), r->domains[0], r->o->mission, name, sizeof name,
                       err);
    if (k < 0)
        return k;
    return bp_record_unused_dir(r->o->dir, name, r->dir, sizeof r->dir, err);
}

/* ---- the two ends ---- */

/* --seal-to, --seal-key-file and what the environment holds: any of them seals. */
static int take_keys(struct run *r, struct bp_error *err) {
    const struct opts *o = r->o;
    int k;

    r->seal = bp_keyring_new();
    if (!r->seal)
        return bp_fail(err, -ENOMEM, "out of memory");
    k = bp_keyring_add_env(r->seal, err);
    k = BP_MIN(k, 0);
    for (size_t i = 0; i < o->seal_to.n && k == 0; i++)
        k = bp_keyring_add_recipient(r->seal, o->seal_to.v[i], err);
    for (size_t i = 0; i < o->seal_keys.n && k == 0; i++)
        k = bp_keyring_add_file(r->seal, o->seal_keys.v[i], err);
    if (bp_keyring_empty(r->seal)) {
        bp_keyring_free(r->seal);
        r->seal = NULL;
    }
    return k;
}

static int start_writer(struct run *r, struct bp_error *err) {
    const struct opts *o = r->o;
    struct bp_writer_opts w = {
        .io = bp_io_from_env(),
        .dir = r->dir,
        .ring_bytes = o->cache,
        .ring_dir = o->ring_dir && bp_streq(o->ring_dir, "none") ? "" : o->ring_dir,
        .commit_interval = o->interval,
        .durability = (enum bp_durability_mode) o->durability,
        .compression = (enum bp_compression) o->compression,
        .level = (int) o->level,
        .fast_preset = o->fast_zstd,
        .workers = (unsigned) o->workers,
        .chunk_bytes = o->chunk,
        .max_segment_bytes = o->max_bag,
        .max_segment_ns = o->max_duration,
        .min_free = o->min_free ? o->min_free : UINT64_MAX,
        .on_full = (enum bp_on_full) o->on_full,
        .profile = (enum bp_profile) o->profile,
        .custom_data = o->custom.v,
        .signer = r->signer,
        .seal = r->seal,
        .hide_names = o->hide_names,
        .resume = o->out != NULL,
        .event = on_event,
        .ctx = r,
    };

    return bp_writer_open(&w, &r->writer, err);
}

static int start_recorder(struct run *r, struct bp_error *err) {
    const struct opts *o = r->o;
    struct bp_recorder_opts c = {
        .domains = r->domains,
        .ndomains = r->ndomains,
        .qos_overrides = r->qos,
        .use_sim_time = o->sim_time,
        .no_definitions = o->no_definitions,
        .notice = on_notice,
        .ctx = r,
    };
    struct bp_take_opts t = {
        .select = r->select,
        .max_rate = r->rules[0].v,
        .nmax_rate = r->rules[0].n,
        .keep_every = r->rules[1].v,
        .nkeep_every = r->rules[1].n,
        .priority = r->rules[2].v,
        .npriority = r->rules[2].n,
        .budget = r->rules[3].v,
        .nbudget = r->rules[3].n,
        .max_topics = (uint32_t) o->max_topics,
        .start_paused = o->paused,
        .writer = r->writer,
    };
    int k = bp_recorder_open(&c, &r->recorder, err);

    return k < 0 ? k : bp_take_open(r->recorder, &t, &r->take, err);
}

/* Interrupted sessions beside the new one are brought back first: whoever starts recording again
 * after a crash should not have to know that there was one. */
static void recover_neighbours(const struct run *r) {
    struct bp_error err = { 0 };
    struct bp_recovery rec = { 0 };
    char **found = NULL;
    size_t n = 0;

    if (r->o->out || r->o->no_recovery || bp_recover_find(r->o->dir, &found, &n) < 0)
        return;

    for (size_t i = 0; i < n; i++) {
        struct bp_recover_opts o = { .io = bp_io_from_env(),
                                     .keys = r->seal,
                                     .hide_names = r->o->hide_names,
                                     .ring_dir = r->o->ring_dir,
                                     .signer = r->signer };
        int k = bp_recover(found[i], &o, &rec, &err);

        if (k == BP_EBUSY) /* somebody records into it right now */
            continue;
        if (k < 0)
            bp_log(BP_LOG_WARNING, "interrupted session could not be recovered",
                   BP_F_TEXT("path", found[i]), BP_F_TEXT("why", err.text));
        else if (rec.needed)
            bp_log(BP_LOG_NOTICE, "interrupted session recovered", BP_F_TEXT("path", found[i]),
                   BP_F_UINT("messages", rec.messages_kept), BP_F_UINT("lost", rec.lost_messages));
        bp_recovery_done(&rec);
    }
    for (size_t i = 0; i < n; i++)
        free(found[i]);
    free(found);
}

static bool keyboard_on(const struct run *r, struct termios *saved) {
    struct termios t;

    if (r->o->no_keys || !isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
        tcgetattr(STDIN_FILENO, saved) < 0)
        return false;

    t = *saved;
    t.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
    t.c_cc[VMIN] = 0;
    t.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
}

static void toggle_pause(const struct run *r) {
    bool pause = !bp_take_paused(r->take);

    bp_take_pause(r->take, pause);
    bp_record_report_clear(&r->report);
    bp_log(BP_LOG_NOTICE, pause ? "paused; space goes on" : "recording");
}

/* True when it is time to end. */
static bool handle_signal(const struct run *r, int fd) {
    struct signalfd_siginfo si;

    if (read(fd, &si, sizeof si) != (ssize_t) sizeof si)
        return false;
    if (si.ssi_signo == SIGUSR1) {
        bp_writer_split(r->writer);
        return false;
    }
    return true;
}

static void handle_key(const struct run *r) {
    char c;

    if (read(STDIN_FILENO, &c, 1) == 1 && c == ' ')
        toggle_pause(r);
}

static void loop(struct run *r, int signals, bool keys) {
    bp_ns_t start = bp_mono_ns(), tick = start + BP_SEC;
    struct pollfd p[2] = { { .fd = signals, .events = POLLIN },
                           { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN } };

    for (;;) {
        bp_ns_t now = bp_mono_ns(), wait = tick - now;

        if (r->o->duration && now - start >= r->o->duration)
            break;
        if (r->o->duration)
            wait = BP_MIN(wait, start + r->o->duration - now);
        if (__atomic_load_n(&r->disk_stop, __ATOMIC_ACQUIRE))
            break;
        if (poll(p, 2, (int) BP_MAX((wait + BP_MS - 1) / BP_MS, (bp_ns_t) 0)) > 0) {
            if ((p[0].revents & POLLIN) && handle_signal(r, signals))
                break;
            if (p[1].revents & (POLLIN | POLLHUP))
                handle_key(r);
        }
        if (bp_mono_ns() >= tick) {
            bp_record_report_tick(&r->report);
            tick += BP_SEC;
        }
    }
    bp_record_report_clear(&r->report);
}

static int block_signals(void) {
    sigset_t set;

    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGINT);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGHUP);
    (void) sigaddset(&set, SIGUSR1);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return -EINVAL;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Without room for as much as its journal a session cannot begin. @return as bp_writer_open();
 *  -EINTR when a signal ended the waiting */
static int start_writer_waiting(struct run *r, int signals, struct bp_error *err) {
    struct pollfd p = { .fd = signals, .events = POLLIN };
    bool told = false;
    int k;

    for (;;) {
        k = start_writer(r, err);
        if (k != -ENOSPC || r->o->on_full != BP_FULL_WAIT)
            return k;
        if (!told)
            bp_log(BP_LOG_WARNING, "no room to begin: waiting for some", BP_F_TEXT("path", r->dir),
                   BP_F_TEXT("why", err->text));
        told = true;
        if (poll(&p, 1, 1000) > 0)
            return bp_fail(err, -EINTR, "given up before there was room: nothing was recorded");
    }
}

static int prepare(struct run *r, int argc, char **argv, struct bp_error *err) {
    static const struct {
        const char *option;
        size_t list;
    } rules[] = {
        [BP_RULE_RATE] = { "--max-rate", OPT(max_rate) },
        [BP_RULE_KEEP] = { "--keep-every", OPT(keep_every) },
        [BP_RULE_PRIORITY] = { "--priority", OPT(priority) },
        [BP_RULE_BUDGET] = { "--budget", OPT(budget) },
    };
    int k = take_domains(r, err);

    for (size_t i = 0; k >= 0 && i < BP_COUNT(rules); i++) {
        const struct bp_opt_list *l = (const void *) ((const char *) r->o + rules[i].list);

        k = bp_rules_parse((enum bp_rule_kind) i, l->v, l->n, &r->rules[i], err);
        if (k < 0)
            return bp_prefix(err, k, "%s", rules[i].option);
    }
    if (k >= 0)
        k = take_selection(r, argc, argv, err);
    if (k >= 0 && r->o->qos_path)
        k = bp_qos_overrides_load(r->o->qos_path, &r->qos, err);
    if (k >= 0 && r->o->definitions)
        k = bp_typedb_add_dir(r->o->definitions, err);
    if (k >= 0 && r->o->sign_key)
        k = bp_sign_key_load(r->o->sign_key, &r->signer, err);
    if (k >= 0)
        k = take_dir(r, err);
    if (k >= 0)
        k = take_keys(r, err);
    return k;
}

/* Leaves the graph, then the disk; the result is taken while both still answer. */
static int finish(struct run *r, struct bp_error *err) {
    struct bp_record_result res = { 0 };
    int k, status;

    bp_take_stop(r->take);
    k = bp_record_result_take(&r->report, &res);
    if (k < 0)
        return bp_fail(err, k, "no memory for the summary");

    k = bp_writer_close(BP_TAKE_PTR(r->writer), err);
    bp_record_result_files(&res, r->dir);
    bp_record_result_print(&res, r->dir, r->o->json);
    status = res.lost_total || __atomic_load_n(&r->io_error, __ATOMIC_ACQUIRE) ? BP_EXIT_LOSSES
                                                                               : BP_EXIT_DONE;
    bp_record_result_done(&res);
    return k < 0 ? k : status;
}

static int record_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    BP_CLEANUP(run_done) struct run r = { .o = opts };
    struct termios saved;
    BP_AUTO_FD int signals = -1;
    bool keys;
    int k;

    bp_memory_for_years();
    k = prepare(&r, argc, argv, err);
    if (k < 0)
        return k;

    signals = block_signals();
    if (signals < 0)
        return bp_fail(err, -errno, "cannot receive signals: %s", bp_strerror(-errno));

    recover_neighbours(&r);
    k = start_writer_waiting(&r, signals, err);
    if (k < 0)
        return k;

    r.report = (struct bp_record_report){
        .writer = r.writer,
        .dir = r.dir,
        .mono_start = bp_mono_ns(),
        .mono_last = bp_mono_ns(),
        .tty = isatty(STDERR_FILENO) && !r.o->json,
    };
    k = start_recorder(&r, err);
    if (k < 0)
        return k;

    r.report.recorder = r.recorder;
    r.report.take = r.take;
    bp_log(BP_LOG_NOTICE, r.o->paused ? "paused; space starts recording" : "recording",
           BP_F_TEXT("path", r.dir));
    keys = keyboard_on(&r, &saved);
    loop(&r, signals, keys);
    if (keys)
        (void) tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    return finish(&r, err);
}

const struct bp_verb bp_verb_record = {
    .name = "record",
    .args = "[TOPIC…]",
    .summary = "record the ROS 2 graph to disk",
    .description =
        "Joins the ROS 2 graph without any ROS installation and writes everything selected to MCAP "
        "in a folder that rosbag2, Foxglove and every MCAP tool open. Each message is accounted "
        "for: what was lost, where and why is in the file and in the summary.\n\n"
        "SIGINT and SIGTERM finish and sync, SIGUSR1 starts a new segment, the space key pauses. "
        "Exit status: 0 done, 3 done with losses, 2 wrong usage, 64-78 when it could not go on.",
    .examples = "bagpipe record                                  everything, until Ctrl-C\n"
                "bagpipe record -o run1 --duration 60s           one minute into run1/\n"
                "bagpipe record --topics /tf '/camera*'          some topics\n"
                "bagpipe record --max-rate '/camera/*=5'         thin out cameras\n"
                "bagpipe record --compression-format zstd -b 4G  compressed, 4 GB segments",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 0,
    .max_args = -1,
    .run = record_run,
};
