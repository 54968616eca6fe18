#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <termios.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/domains.h"
#include "cli/keys.h"
#include "cli/remote.h"
#include "cli/signals.h"
#include "cli/verb.h"
#include "play/player.h"
#include "record/overrides.h"
#include "record/select.h"

struct opts {
    struct bp_opt_list topics, not_topics, types, remaps, prefixes, waits, domains;
    const char *key, *regex, *not_regex, *qos_path;
    double rate, clock;
    bp_ns_t start, until, duration, delay, wait_timeout;
    int64_t burst;
    uint64_t read_ahead;
    bool loop, paused, keep_stamps, align, dry_run, no_keys, json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "key", 0, BP_OPT_TEXT, OPT(key), "FILE", BP_CLI_KEY_HELP, NULL, NULL, 0, 0 },
    { "rate", 'r', BP_OPT_NUMBER, OPT(rate), "FACTOR", "speed", "1", NULL, 0.01, 1000 },
    { "start-offset", 0, BP_OPT_DURATION, OPT(start), "TIME",
      "begin that long after the recording's start; what was latched by then goes first", NULL,
      NULL, 0, 0 },
    { "until", 0, BP_OPT_DURATION, OPT(until), "TIME", "end that long after the recording's start",
      NULL, NULL, 0, 0 },
    { "duration", 'd', BP_OPT_DURATION, OPT(duration), "TIME", "play so much of it", NULL, NULL, 0,
      0 },
    { "loop", 'l', BP_OPT_FLAG, OPT(loop), NULL, "begin again at the end", NULL, NULL, 0, 0 },
    { "topics", 0, BP_OPT_LIST, OPT(topics), "TOPIC", "these topics ('*' matches anything)", NULL,
      NULL, 0, 0 },
    { "exclude-topics", 'x', BP_OPT_LIST, OPT(not_topics), "TOPIC", "but not these", NULL, NULL, 0,
      0 },
    { "topic-types", 0, BP_OPT_LIST, OPT(types), "TYPE", "topics of these types", NULL, NULL, 0,
      0 },
    { "regex", 'e', BP_OPT_TEXT, OPT(regex), "REGEX", "topics whose name contains a match", NULL,
      NULL, 0, 0 },
    { "exclude-regex", 0, BP_OPT_TEXT, OPT(not_regex), "REGEX", "but not these", NULL, NULL, 0, 0 },
    { "remap", 'm', BP_OPT_LIST, OPT(remaps), "OLD:=NEW", "publish under another name", NULL, NULL,
      0, 0 },
    { "prefix", 0, BP_OPT_LIST, OPT(prefixes), "NAMESPACE|ROBOT=NAMESPACE",
      "put in front of all topics (several: one per PATH, in order), or of those of a robot", NULL,
      NULL, 0, 0 },
    { "align", 0, BP_OPT_FLAG, OPT(align), NULL,
      "several PATHs begin together, instead of at the time they were recorded", NULL, NULL, 0, 0 },
    { "clock", 0, BP_OPT_NUMBER, OPT(clock), "HZ", "publish the recorded time on /clock", NULL,
      NULL, 0.1, 10000 },
    { "delay", 0, BP_OPT_DURATION, OPT(delay), "TIME",
      "from announcing the topics to the first message, so that readers find them", "500ms", NULL,
      0, 0 },
    { "wait-for-readers", 0, BP_OPT_LIST, OPT(waits), "TIME|TOPIC=N",
      "until each topic has a reader, but go on after TIME; or until a topic has N readers", NULL,
      NULL, 0, 0 },
    { "wait-timeout", 0, BP_OPT_DURATION, OPT(wait_timeout), "TIME", "give up waiting for TOPIC=N",
      "60s", NULL, 0, 0 },
    { "start-paused", 'p', BP_OPT_FLAG, OPT(paused), NULL, "wait for the space key", NULL, NULL, 0,
      0 },
    { "burst", 0, BP_OPT_INT, OPT(burst), "N",
      "N messages as fast as readers take them, then end; 0 = all of them (default: in their time)",
      "-1", NULL, -1, 1e15 },
    { "keep-stamps", 0, BP_OPT_FLAG, OPT(keep_stamps), NULL,
      "stamp samples with the recorded publish time instead of now", NULL, NULL, 0, 0 },
    { "qos-profile-overrides-path", 0, BP_OPT_TEXT, OPT(qos_path), "FILE",
      "YAML with QoS per topic, as ros2 bag reads it", NULL, NULL, 0, 0 },
    { "read-ahead", 0, BP_OPT_SIZE, OPT(read_ahead), "SIZE", "read so far ahead", "64MiB", NULL, 0,
      0 },
    { "domain", 0, BP_OPT_LIST, OPT(domains), "ID", "ROS domain (ROS_DOMAIN_ID, else 0)", NULL,
      NULL, 0, 0 },
    { "dry-run", 0, BP_OPT_FLAG, OPT(dry_run), NULL, "show what would be published, and end", NULL,
      NULL, 0, 0 },
    { "disable-keyboard-controls", 0, BP_OPT_FLAG, OPT(no_keys), NULL, "do not read keys", NULL,
      NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the result as JSON", NULL, NULL, 0, 0 },
};

struct run {
    const struct opts *o;
    struct bp_player *player;
    struct bp_select *select;
    struct bp_qos_overrides *qos;
    struct bp_play_remap *remaps, *robots; /* their texts are halves of `words` */
    const char **prefixes;                 /* one for all or per path; borrowed words */
    struct bp_play_wait *waits;
    char **words; /* owned copies */
    size_t nwords, nwaits, nrobots, nprefixes;
    bp_ns_t wait_at_most; /* --wait-for-readers TIME; 0 = none */
    uint32_t domain;
    int signals;
    bool keys, tty;
    struct termios saved;
};

static void run_done(struct run *r) {
    if (r->keys)
        (void) tcsetattr(STDIN_FILENO, TCSANOW, &r->saved);
    bp_player_free(r->player);
    bp_select_free(r->select);
    bp_qos_overrides_free(r->qos);
    bp_closep(&r->signals);
    for (size_t i = 0; i < r->nwords; i++)
        free(r->words[i]);
    free(r->words);
    free(r->remaps);
    free(r->robots);
    free(r->prefixes);
    free(r->waits);
}

static void clear_line(const struct run *r) {
    if (r->tty)
        (void) fputs("\r\033[K", stderr);
}

static void on_notice(void *ctx, const char *text) {
    clear_line(ctx);
    bp_log(BP_LOG_NOTICE, text);
}

static bool want(void *ctx, const char *topic, const char *type) {
    const struct run *r = ctx;

    return bp_select_topic(r->select, topic, type);
}

static const struct bp_qos *qos_for(void *ctx, const char *topic) {
    const struct run *r = ctx;

    return bp_qos_override(r->qos, topic);
}

/* ---- from options to what the player understands ---- */

static int take_selection(struct run *r, struct bp_error *err) {
    const struct opts *o = r->o;
    struct bp_select_opts s = {
        .all = !o->topics.n && !o->types.n && !o->regex,
        .hidden = true,
        .topics = o->topics.v,
        .ntopics = o->topics.n,
        .types = o->types.v,
        .ntypes = o->types.n,
        .not_topics = o->not_topics.v,
        .nnot_topics = o->not_topics.n,
        .regex = o->regex,
        .not_regex = o->not_regex,
    };

    return bp_select_new(&s, &r->select, err);
}

/* A copy of `word` cut in two at `mark`. @return its second half, or NULL */
static char *split(struct run *r, const char *word, const char *mark, const char **ret_first) {
    char *copy = strdup(word), *at = copy ? strstr(copy, mark) : NULL;

    if (copy)
        r->words[r->nwords++] = copy;
    if (!at || at == copy || !at[strlen(mark)])
        return NULL;
    *at = 0;
    *ret_first = copy;
    return at + strlen(mark);
}

static int take_wait(struct run *r, const char *word, struct bp_error *err) {
    struct bp_play_wait *w = &r->waits[r->nwaits];
    const char *number = strchr(word, '=') ? split(r, word, "=", &w->topic) : NULL;
    int64_t n;

    if (!number) {
        if (bp_parse_duration(word, &r->wait_at_most) < 0 || r->wait_at_most < 0)
            return bp_fail(err, BP_EUSAGE, "--wait-for-readers '%s': expected TIME or TOPIC=N",
                           word);
        return 0;
    }
    if (bp_parse_int(number, &n) < 0 || n < 1 || n > 10000)
        return bp_fail(err, BP_EUSAGE, "--wait-for-readers '%s': expected TOPIC=N", word);
    w->readers = (int) n;
    r->nwaits++;
    return 0;
}

static int take_prefix(struct run *r, const char *word, struct bp_error *err) {
    struct bp_play_remap *p = &r->robots[r->nrobots];

    if (!strchr(word, '=')) {
        r->prefixes[r->nprefixes++] = word;
        return 0;
    }
    p->to = split(r, word, "=", &p->from);
    if (!p->to)
        return bp_fail(err, BP_EUSAGE, "--prefix '%s': expected ROBOT=NAMESPACE", word);
    r->nrobots++;
    return 0;
}

static int take_words(struct run *r, struct bp_error *err) {
    const struct opts *o = r->o;
    int k = 0;

    r->words = calloc(o->remaps.n + o->waits.n + o->prefixes.n + 1, sizeof *r->words);
    r->robots = calloc(o->prefixes.n + 1, sizeof *r->robots);
    r->prefixes = calloc(o->prefixes.n + 1, sizeof *r->prefixes);
    r->remaps = calloc(o->remaps.n + 1, sizeof *r->remaps);
    r->waits = calloc(o->waits.n + 1, sizeof *r->waits);
    if (!r->words || !r->remaps || !r->waits || !r->robots || !r->prefixes)
        return bp_fail(err, -ENOMEM, "out of memory");

    for (size_t i = 0; i < o->remaps.n; i++) {
        r->remaps[i].to = split(r, o->remaps.v[i], ":=", &r->remaps[i].from);
        if (!r->remaps[i].to)
            return bp_fail(err, BP_EUSAGE, "--remap '%s': expected OLD:=NEW", o->remaps.v[i]);
    }
    for (size_t i = 0; k >= 0 && i < o->prefixes.n; i++)
        k = take_prefix(r, o->prefixes.v[i], err);
    for (size_t i = 0; k >= 0 && i < o->waits.n; i++)
        k = take_wait(r, o->waits.v[i], err);
    return k;
}

static int open_player(struct run *r, char **paths, int npaths, struct bp_error *err) {
    const struct opts *o = r->o;
    struct bp_play_opts p = {
        .paths = (const char *const *) paths,
        .npaths = (size_t) npaths,
        .prefixes = r->prefixes,
        .nprefixes = r->nprefixes,
        .robot_prefixes = r->robots,
        .nrobot_prefixes = r->nrobots,
        .align = o->align,
        .domain = r->domain,
        .rate = o->rate,
        .start_offset = o->start,
        .until = o->until,
        .duration = o->duration,
        .loop = o->loop,
        .paused = o->paused,
        .keep_stamps = o->keep_stamps,
        .burst = o->burst,
        .clock_hz = o->clock,
        .read_ahead_bytes = BP_MAX(o->read_ahead, (uint64_t) 1 << 16),
        .remaps = r->remaps,
        .nremaps = o->remaps.n,
        .want = want,
        .qos = qos_for,
        .notice = on_notice,
        .ctx = r,
    };

    return bp_player_open(&p, &r->player, err);
}

static int prepare(struct run *r, int argc, char **argv, struct bp_error *err) {
    uint32_t domains[1];
    int k = bp_cli_domains(&r->o->domains, domains, 1, err);

    if (k >= 0)
        k = bp_cli_add_keys(r->o->key, err);
    if (k < 0)
        return k;
    r->domain = domains[0];
    k = take_selection(r, err);
    if (k >= 0)
        k = take_words(r, err);
    if (k >= 0 && r->o->qos_path)
        k = bp_qos_overrides_load(r->o->qos_path, &r->qos, err);
    return k < 0 ? k : open_player(r, argv, argc, err);
}

/* ---- what is shown ---- */

static void print_plan(const struct run *r) {
    struct bp_player_stats s;
    char text[160], time[BP_UNITS_TEXT];

    bp_player_stats(r->player, &s);
    (void) printf("%-44s %-36s %10s  %s\n", "topic", "type", "messages", "QoS");
    for (size_t i = 0; i < bp_player_topics(r->player); i++) {
        struct bp_player_topic t;

        bp_player_topic(r->player, i, &t);
        (void) printf("%-44s %-36s %10llu  %s%s\n", t.topic, t.type,
                      (unsigned long long) t.messages, bp_qos_text(t.qos, text, sizeof text),
                      t.keyed ? " keyed" : "");
    }
    (void) printf("%zu topics, %s of recorded time\n", bp_player_topics(r->player),
                  bp_duration_format(s.end_ns - s.start_ns, time));
}

static void print_text(const struct bp_player_stats *s, bp_ns_t took) {
    char size[BP_UNITS_TEXT], time[BP_UNITS_TEXT];

    (void) printf("published %llu messages, %s in %s", (unsigned long long) s->messages,
                  bp_size_format(s->bytes, size), bp_duration_format(took, time));
    if (s->rounds)
        (void) printf(", %llu whole rounds", (unsigned long long) s->rounds);
    if (s->timed)
        (void) printf("; behind their time: half within %.2f ms, 99 %% within %.2f ms, worst %.2f "
                      "ms",
                      (double) s->late_p50 / 1e6, (double) s->late_p99 / 1e6,
                      (double) s->late_max / 1e6);
    (void) printf("\n");
    if (s->failed)
        (void) printf("%llu messages could not be sent\n", (unsigned long long) s->failed);
}

static void put_topics(const struct run *r, struct bp_buf *b) {
    char qos[160];

    bp_buf_put_str(b, "\"topics\":[");
    for (size_t i = 0; i < bp_player_topics(r->player); i++) {
        struct bp_player_topic t;

        bp_player_topic(r->player, i, &t);
        bp_buf_put_str(b, i ? ",{\"topic\":" : "{\"topic\":");
        bp_json_put_text(b, t.topic, strlen(t.topic));
        bp_buf_put_str(b, ",\"type\":");
        bp_json_put_text(b, t.type, strlen(t.type));
        bp_buf_put_str(b, ",\"type_hash\":");
        bp_json_put_text(b, t.type_hash, strlen(t.type_hash));
        (void) bp_qos_text(t.qos, qos, sizeof qos);
        bp_buf_put_str(b, ",\"qos\":");
        bp_json_put_text(b, qos, strlen(qos));
        if (t.keyed)
            bp_buf_put_str(b, ",\"keyed\":true");
        bp_buf_printf(b, ",\"messages\":%llu,\"published\":%llu,\"failed\":%llu,\"readers\":%d}",
                      (unsigned long long) t.messages, (unsigned long long) t.published,
                      (unsigned long long) t.failed, t.readers);
    }
    bp_buf_put_str(b, "]");
}

static int print_json(const struct run *r, const struct bp_player_stats *s, bp_ns_t took) {
    BP_AUTO_BUF b = { 0 };

    bp_buf_printf(&b, "{\"messages\":%llu,\"bytes\":%llu,\"failed\":%llu,\"rounds\":%llu,",
                  (unsigned long long) s->messages, (unsigned long long) s->bytes,
                  (unsigned long long) s->failed, (unsigned long long) s->rounds);
    bp_buf_printf(&b, "\"start_ns\":%lld,\"end_ns\":%lld,\"elapsed_ns\":%lld,",
                  (long long) s->start_ns, (long long) s->end_ns, (long long) took);
    bp_buf_printf(&b, "\"skipped_repeated\":%llu,\"all_acknowledged\":%s,\"timed\":%llu,",
                  (unsigned long long) s->skipped_repeated, s->all_acknowledged ? "true" : "false",
                  (unsigned long long) s->timed);
    bp_buf_printf(&b, "\"late_p50_ns\":%lld,\"late_p99_ns\":%lld,\"late_max_ns\":%lld,",
                  (long long) s->late_p50, (long long) s->late_p99, (long long) s->late_max);
    put_topics(r, &b);
    bp_buf_put_str(&b, "}\n");
    if (b.failed)
        return -ENOMEM;
    (void) fwrite(b.p, 1, b.n, stdout);
    return 0;
}

static void show_progress(const struct run *r) {
    struct bp_player_stats s;

    if (!r->tty)
        return;
    bp_player_stats(r->player, &s);
    (void) fprintf(stderr, "\r%s  %.2f / %.2f s  speed %.2f  %llu messages\033[K",
                   bp_player_paused(r->player) ? "paused " : "playing",
                   (double) (s.now_ns - s.start_ns) / 1e9, (double) (s.end_ns - s.start_ns) / 1e9,
                   bp_player_rate(r->player), (unsigned long long) s.messages);
    if (s.rounds)
        (void) fprintf(stderr, "  round %llu", (unsigned long long) s.rounds + 1);
}

/* ---- keys ---- */

static bool keyboard_on(struct run *r) {
    struct termios t;

    if (r->o->no_keys || !isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
        tcgetattr(STDIN_FILENO, &r->saved) < 0)
        return false;
    t = r->saved;
    t.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
    t.c_cc[VMIN] = 0;
    t.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
}

/* Arrow keys arrive as ESC [ A..D. */
static void handle_keys(struct run *r) {
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof keys);

    for (ssize_t i = 0; i < n; i++) {
        char c = keys[i];
        bool arrow = c == 27 && i + 2 < n && keys[i + 1] == '[';

        if (arrow)
            c = keys[i += 2];
        if (c == ' ' && !arrow)
            bp_player_pause(r->player, !bp_player_paused(r->player));
        else if (arrow ? c == 'C' : c == 's')
            bp_player_step(r->player);
        else if (arrow && (c == 'A' || c == 'B'))
            bp_player_set_rate(r->player, bp_player_rate(r->player) * (c == 'A' ? 1.1 : 1 / 1.1));
    }
}

/* ---- life ---- */

/* Waits for a signal or a key at most until `until`. @return true when it is time to end */
static bool pause_until(struct run *r, bp_ns_t until) {
    struct pollfd p[2] = { { .fd = r->signals, .events = POLLIN },
                           { .fd = r->keys ? STDIN_FILENO : -1, .events = POLLIN } };
    bp_ns_t left = until - bp_mono_ns();

    if (poll(p, 2, left > 0 ? (int) ((left + BP_MS - 1) / BP_MS) : 0) > 0) {
        if (p[0].revents & POLLIN)
            return true;
        if (p[1].revents & (POLLERR | POLLNVAL))
            r->keys = false;
        else if (p[1].revents & (POLLIN | POLLHUP))
            handle_keys(r);
    }
    return false;
}

/* @return 1 to go on, 0 when a signal came first, -ETIMEDOUT */
static int await_readers(struct run *r, struct bp_error *err) {
    bp_ns_t now = bp_mono_ns(), ready = now + r->o->delay;
    bp_ns_t soft = now + r->wait_at_most, hard = now + r->o->wait_timeout;

    for (;;) {
        now = bp_mono_ns();
        if (r->wait_at_most && now < soft && !bp_player_ready(r->player, NULL, 0))
            ready = BP_MAX(ready, now + BP_MIN(r->o->delay, 100 * BP_MS));
        if (r->nwaits && !bp_player_ready(r->player, r->waits, r->nwaits)) {
            if (now > hard)
                return bp_fail(err, -ETIMEDOUT, "not every topic found its readers");
            ready = BP_MAX(ready, now + BP_MIN(r->o->delay, 100 * BP_MS));
        }
        if (now >= ready)
            return 1;
        if (pause_until(r, BP_MIN(ready, now + 10 * BP_MS)))
            return 0;
    }
}

static int play(struct run *r, struct bp_error *err) {
    bp_ns_t tick = bp_mono_ns();
    int k = await_readers(r, err);

    if (k <= 0)
        return k;
    k = bp_player_start(r->player, err);
    while (k >= 0 && !bp_player_over(r->player)) {
        if (bp_mono_ns() >= tick) {
            show_progress(r);
            tick = bp_mono_ns() + 100 * BP_MS;
        }
        if (pause_until(r, BP_MIN(tick, bp_mono_ns() + 20 * BP_MS)))
            break;
    }
    return k;
}

static int play_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    BP_CLEANUP(run_done) struct run r = { .o = opts, .signals = -1 };
    struct bp_player_stats s;
    bp_ns_t start;
    int k;

    bp_cli_remote();
    k = prepare(&r, argc, argv, err);
    if (k < 0)
        return k;
    if (r.o->dry_run) {
        bp_player_stats(r.player, &s);
        if (r.o->json)
            return print_json(&r, &s, 0);
        print_plan(&r);
        return BP_EXIT_DONE;
    }

    r.signals = bp_cli_signals(err);
    if (r.signals < 0)
        return r.signals;
    k = bp_player_join(r.player, err);
    if (k < 0)
        return k;
    r.tty = isatty(STDERR_FILENO) && !r.o->json;
    r.keys = keyboard_on(&r);
    bp_log(BP_LOG_NOTICE, r.o->paused ? "paused; space starts playing" : "playing",
           BP_F_UINT("topics", bp_player_topics(r.player)));
    start = bp_mono_ns();
    k = play(&r, err);
    clear_line(&r);
    if (k < 0)
        return k;

    if (!bp_player_over(r.player))
        bp_cli_remote_stop();
    k = bp_player_stop(r.player, err);
    bp_player_stats(r.player, &s);
    if (r.o->json)
        (void) print_json(&r, &s, bp_mono_ns() - start);
    else
        print_text(&s, bp_mono_ns() - start);
    if (k < 0)
        return k;
    return s.failed ? BP_EXIT_LOSSES : BP_EXIT_DONE;
}

const struct bp_verb bp_verb_play = {
    .name = "play",
    .args = "PATH…",
    .summary = "publish recordings into a ROS 2 graph again",
    .description =
        "Each PATH is a file, a session folder or a folder of sessions; several are merged by the "
        "time they were recorded. Topics are offered with the recorded QoS: latched ones stay "
        "latched, where writers differed the strongest offer is made. Reliable writers keep at "
        "least a second of messages for readers that missed one. Services are never played.\n\n" BP_CLI_REMOTE_DESCRIPTION
        "\n\n"
        "Keys: space pauses, s or right arrow publishes one message while paused, up and down "
        "change the speed by a tenth.",
    .examples = "bagpipe play run1                                     as it was\n"
                "bagpipe play run1 -r 0.5 --start-offset 30s --clock 100\n"
                "bagpipe play run1 --topics '/robot1/*' --remap /robot1/tf:=/tf\n"
                "bagpipe play run1 run2 --prefix /a /b --align         side by side\n"
                "bagpipe play run1 --burst 0                           as fast as readers take it",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = -1,
    .run = play_run,
};
