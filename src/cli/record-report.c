#include "cli/record-report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <jansson.h>

#include "bag/ledger.h"
#include "bag/segment.h"
#include "bag/session.h"
#include "cli/verb.h"

/* Words for people and keys for machines, by enum bp_loss. */
static const struct {
    const char *key, *words;
} losses[BP_LOSS_N_] = {
    [BP_LOSS_TRANSPORT] = { "transport", "lost on the way here (sequence gaps)" },
    [BP_LOSS_RING] = { "ring", "refused: the ring was full" },
    [BP_LOSS_BUDGET] = { "budget", "refused: the topic's own budget was used up" },
    [BP_LOSS_DISK] = { "disk", "refused: no space on the disk" },
    [BP_LOSS_RATE] = { "rate", "left out as asked (--max-rate, --keep-every)" },
    [BP_LOSS_PAUSED] = { "paused", "left out while paused" },
    [BP_LOSS_BAD] = { "bad", "refused: too large to store" },
    [BP_LOSS_CONTROL] = { "control", "no messages: instances disposed of or unregistered" },
    [BP_LOSS_DEGRADED] = { "degraded", "left out by priority while the host was at a limit" },
};

static uint64_t lost_total(const uint64_t lost[static BP_LOSS_N_]) {
    uint64_t n = 0;

    for (int i = 0; i < BP_LOSS_N_; i++)
        n += bp_loss_is_loss((enum bp_loss) i) ? lost[i] : 0;
    return n;
}

void bp_record_report_clear(const struct bp_record_report *p) {
    if (p->tty)
        (void) fprintf(stderr, "\r\033[K");
}

/* Everything accepted before this moment survives a power cut; nothing with --durability fast. */
static const char *durable_text(bp_ns_t wall_ns, char *ret, size_t cap) {
    time_t sec = (time_t) (wall_ns / BP_SEC);
    struct tm tm;

    ret[0] = 0;
    if (wall_ns > 0 && gmtime_r(&sec, &tm))
        (void) snprintf(ret, cap, "  durable until %02d:%02d:%02d.%01d", tm.tm_hour, tm.tm_min,
                        tm.tm_sec, (int) (wall_ns % BP_SEC / (BP_SEC / 10)));
    return ret;
}

/* What matters most stands first: a narrow terminal shows the beginning, as wrapping is off. */
void bp_record_report_tick(struct bp_record_report *p) {
    struct bp_writer_stats w;
    struct bp_take_stats r;
    bp_ns_t now = bp_mono_ns();
    double dt = (double) (now - p->mono_last) / 1e9;
    uint64_t lost, sec;
    char durable[64];

    if (!p->tty || dt <= 0)
        return;

    bp_writer_stats(p->writer, &w);
    bp_take_stats(p->take, &r);
    lost = lost_total(w.lost);
    sec = (uint64_t) ((now - p->mono_start) / BP_SEC);
    (void) fprintf(stderr,
                   "\r\033[K\033[?7l%s%s%s %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64
                   "  %slost %" PRIu64
                   "%s  %.0f msg/s  %.1f MB/s  %u topics  ring %.0f %%  disk %.1f MB, %.1f GB free"
                   "%s\033[?7h",
                   bp_cli_color(bp_take_paused(p->take) ? "\033[33m" : "\033[31m"),
                   bp_take_paused(p->take) ? "paused"
                   : w.disk_full           ? "DISK FULL"
                                           : "rec",
                   bp_cli_color("\033[0m"), sec / 3600, sec / 60 % 60, sec % 60,
                   bp_cli_color(lost ? "\033[31m" : ""), lost, bp_cli_color("\033[0m"),
                   (double) (w.messages - p->last_messages) / dt,
                   (double) (w.bytes - p->last_bytes) / dt / 1e6, r.topics,
                   w.ring_size ? 100.0 * (double) w.ring_used / (double) w.ring_size : 0.0,
                   (double) w.file_bytes / 1e6, (double) w.disk_free / 1e9,
                   durable_text(w.durable_wall_ns, durable, sizeof durable));
    (void) fflush(stderr);
    p->mono_last = now;
    p->last_messages = w.messages;
    p->last_bytes = w.bytes;
}

static int by_topic(const void *a, const void *b) {
    const struct bp_record_row *x = a, *y = b;

    return strcmp(x->topic, y->topic);
}

int bp_record_result_take(const struct bp_record_report *p, struct bp_record_result *ret) {
    BP_AUTO_FREE struct bp_take_topic *t = NULL;
    struct bp_record_result r = { 0 };
    struct bp_recorder_stats rs;
    struct bp_take_stats ts;
    struct bp_writer_stats w;
    size_t n;

    bp_writer_stats(p->writer, &w);
    bp_recorder_stats(p->recorder, &rs);
    bp_take_stats(p->take, &ts);
    n = bp_take_topics(p->take, NULL, 0);
    t = calloc(n + 1, sizeof *t);
    r.rows = calloc(n + 1, sizeof *r.rows);
    if (!t || !r.rows) {
        free(r.rows);
        return -ENOMEM;
    }

    r.nrows = BP_MIN(n, bp_take_topics(p->take, t, n));
    for (size_t i = 0; i < r.nrows; i++) {
        r.rows[i] = (struct bp_record_row){ .topic = t[i].topic,
                                            .type = t[i].type,
                                            .robot = t[i].robot,
                                            .has_definition = t[i].has_definition };
        (void) bp_writer_channel_stats(p->writer, t[i].channel, &r.rows[i].st);
    }
    qsort(r.rows, r.nrows, sizeof *r.rows, by_topic);
    r.messages = w.messages;
    r.bytes = w.bytes;
    memcpy(r.lost, w.lost, sizeof r.lost);
    r.lost_total = lost_total(w.lost);
    r.udp_drops = rs.udp_drops;
    r.topics = ts.topics;
    r.seconds = (double) (bp_mono_ns() - p->mono_start) / 1e9;
    *ret = r;
    return 0;
}

/* Of all files of the session, also of those from before it was continued. */
void bp_record_result_files(struct bp_record_result *r, const char *dir) {
    struct bp_session_files f = { 0 };

    if (bp_session_list(dir, &f, NULL) < 0)
        return;
    for (size_t i = 0; i < f.n; i++) {
        char path[4400];
        struct stat st;

        bp_session_path(dir, &f, i, path, sizeof path);
        if (stat(path, &st) < 0)
            continue;
        r->segments++;
        r->file_bytes += (uint64_t) st.st_size;
    }
    free(f.numbers);
}

void bp_record_result_done(struct bp_record_result *r) {
    free(r->rows);
    *r = (struct bp_record_result){ 0 };
}

static json_t *lost_json(const uint64_t lost[static BP_LOSS_N_]) {
    json_t *o = json_object();

    for (int i = 0; i < BP_LOSS_N_; i++)
        (void) json_object_set_new(o, losses[i].key, json_integer((json_int_t) lost[i]));
    return o;
}

static void print_json(const struct bp_record_result *r, const char *dir) {
    json_t *rows = json_array(), *o;

    for (size_t i = 0; i < r->nrows; i++) {
        const struct bp_record_row *t = &r->rows[i];

        (void) json_array_append_new(
            rows, json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:o}", "topic", t->topic, "type",
                            t->type, "robot", t->robot, "message_count",
                            (json_int_t) t->st.messages, "bytes", (json_int_t) t->st.bytes,
                            "has_definition", t->has_definition, "lost", lost_json(t->st.lost)));
    }
    o = json_pack("{s:s, s:f, s:I, s:I, s:I, s:i, s:I, s:o, s:I, s:o}", "path", dir,
                  "duration_seconds", r->seconds, "message_count", (json_int_t) r->messages,
                  "bytes", (json_int_t) r->bytes, "file_bytes", (json_int_t) r->file_bytes,
                  "segments", (int) r->segments, "lost_total", (json_int_t) r->lost_total, "lost",
                  lost_json(r->lost), "udp_drops_on_host", (json_int_t) r->udp_drops, "topics",
                  rows);
    if (o)
        (void) json_dumpf(o, stdout, JSON_INDENT(2));
    (void) putchar('\n');
    json_decref(o);
}

static void print_losses(const struct bp_record_result *r) {
    for (int i = 0; i < BP_LOSS_N_; i++)
        if (r->lost[i])
            (void) printf("  %10" PRIu64 "  %s\n", r->lost[i], losses[i].words);
    if (r->lost[BP_LOSS_TRANSPORT] && r->udp_drops)
        (void) printf("  this host dropped %" PRIu64
                      " UDP packets for want of receive buffer; cure: sysctl -w "
                      "net.core.rmem_max=67108864\n",
                      r->udp_drops);
}

static void print_text(const struct bp_record_result *r, const char *dir) {
    int width = 5, type_width = 4;

    for (size_t i = 0; i < r->nrows; i++) {
        width = BP_MAX(width, (int) strlen(r->rows[i].topic));
        type_width = BP_MAX(type_width, (int) strlen(r->rows[i].type));
    }
    if (r->nrows)
        (void) printf("%-*s  %-*s  %10s  %9s  %10s  %8s\n", width, "topic", type_width, "type",
                      "messages", "Hz", "MB", "lost");
    for (size_t i = 0; i < r->nrows; i++) {
        const struct bp_record_row *t = &r->rows[i];

        (void) printf("%-*s  %-*s  %10" PRIu64 "  %9.1f  %10.2f  %8" PRIu64 "%s\n", width, t->topic,
                      type_width, t->type, t->st.messages,
                      r->seconds > 0 ? (double) t->st.messages / r->seconds : 0.0,
                      (double) t->st.bytes / 1e6, lost_total(t->st.lost),
                      t->has_definition ? "" : "  (type definition unknown)");
    }
    (void) printf("recorded %" PRIu64 " messages, %.1f MB in %.1f s on %u topics\n", r->messages,
                  (double) r->bytes / 1e6, r->seconds, r->topics);
    (void) printf("lost %" PRIu64 "\n", r->lost_total);
    print_losses(r);
    (void) printf("%s\n", dir);
}

void bp_record_result_print(const struct bp_record_result *r, const char *dir, bool json) {
    if (json)
        print_json(r, dir);
    else
        print_text(r, dir);
}
