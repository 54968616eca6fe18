#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "bag/bag-ledger.h"
#include "bag/digest.h"
#include "bag/reader.h"
#include "base/units.h"
#include "cli/keys.h"
#include "cli/remote.h"
#include "cli/verb.h"

struct opts {
    bool json, digest, scan, verbose;
    struct bp_opt_list topics;
    const char *key;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "topics", 't', BP_OPT_LIST, OPT(topics), "TOPIC", "show only these", NULL, NULL, 0, 0 },
    { "scan", 's', BP_OPT_FLAG, OPT(scan), NULL, "read every message: bytes and gaps per topic",
      NULL, NULL, 0, 0 },
    { "digest", 0, BP_OPT_FLAG, OPT(digest), NULL,
      "decode every message; SHA-256 over what independent readers see too", NULL, NULL, 0, 0 },
    { "verbose", 'v', BP_OPT_FLAG, OPT(verbose), NULL, "QoS, type hashes, every writer", NULL, NULL,
      0, 0 },
    { "key", 0, BP_OPT_TEXT, OPT(key), "FILE", BP_CLI_KEY_HELP, NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print as JSON", NULL, NULL, 0, 0 },
};

struct row { /* what is known of a topic beyond the reader's channel */
    const struct bp_bag_channel *c;
    bool shown;
    uint64_t bytes, messages;       /* counted by --scan */
    bp_ns_t last, gap_max, gap_min; /* by log time */
    struct bp_ledger_totals led;    /* summed over its writers */
    unsigned writers;
};

struct view {
    const struct opts *o;
    struct bp_bag *bag;
    const struct bp_bag_info *info;
    struct row *rows; /* owned, sorted by topic */
    size_t n;
    struct bp_ledger ledger;
    bool has_ledger;
    struct bp_ledger_totals total;
    struct bp_digest *digests; /* owned, one per file */
    struct bp_digest whole;
};

static void view_done(struct view *v) {
    bp_bag_close(v->bag);
    free(v->rows);
    free(v->digests);
    bp_ledger_done(&v->ledger);
}

static bool is_shown(const struct opts *o, const char *topic) {
    for (size_t i = 0; i < o->topics.n; i++)
        if (bp_streq(o->topics.v[i], topic))
            return true;

    return o->topics.n == 0;
}

static int by_topic(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    int c = strcmp(x->c->topic, y->c->topic);

    return c ? c : strcmp(x->c->type, y->c->type);
}

static void add_totals(struct bp_ledger_totals *to, const struct bp_ledger_totals *from) {
    to->received += from->received;
    to->late += from->late;
    to->duplicates += from->duplicates;
    to->lost_all += from->lost_all;
    for (int i = 0; i < BP_LOSS_N_; i++)
        to->lost[i] += from->lost[i];
}

static int take_ledger(struct view *v, struct bp_error *err) {
    int r = bp_bag_ledger(v->bag, &v->ledger, err);

    if (r < 0)
        return r;

    v->has_ledger = r > 0;
    bp_ledger_totals(&v->ledger, &v->total);
    for (size_t i = 0; i < v->ledger.n; i++) {
        const struct bp_ledger_source *s = v->ledger.v[i];
        struct bp_ledger_totals t;

        bp_ledger_source_totals(s, &t);
        for (size_t k = 0; k < v->n; k++)
            if (bp_streq(v->rows[k].c->topic, s->topic)) {
                add_totals(&v->rows[k].led, &t);
                v->rows[k].writers++;
                break;
            }
    }
    return 0;
}

static int take_scan(struct view *v, struct bp_error *err) {
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    BP_AUTO_FREE struct row **by_index = calloc(v->n + 1, sizeof(struct row *));
    struct bp_bag_msg m;
    int r;

    if (!by_index)
        return bp_fail(err, -ENOMEM, "no memory");
    for (size_t i = 0; i < v->n; i++)
        by_index[v->rows[i].c->index] = &v->rows[i];

    r = bp_bag_iterate(v->bag, NULL, &it, err);
    while (r >= 0 && (r = bp_bag_next(it, &m, err)) > 0) {
        struct row *row = by_index[m.channel->index];
        bp_ns_t gap = m.log_ns - row->last;

        row->bytes += m.size;
        if (m.repeated)
            continue;
        if (row->messages++ > 0) {
            row->gap_max = BP_MAX(row->gap_max, gap);
            row->gap_min = row->messages == 2 ? gap : BP_MIN(row->gap_min, gap);
        }
        row->last = m.log_ns;
    }
    return r;
}

static int take_digests(struct view *v, struct bp_error *err) {
    int r;

    v->digests = calloc(v->info->nfiles + 1, sizeof *v->digests);
    if (!v->digests)
        return bp_fail(err, -ENOMEM, "no memory");
    for (size_t i = 0; i < v->info->nfiles; i++) {
        BP_CLEANUP(bp_bag_closep) struct bp_bag *one = NULL;
        const char *path = bp_bag_file(v->bag, i)->path;

        r = bp_bag_open(&path, 1, &one, err);
        if (r >= 0)
            r = bp_digest_bag(one, &v->digests[i], err);
        if (r < 0)
            return r;
    }
    return bp_digest_bag(v->bag, &v->whole, err);
}

static int gather(struct view *v, int argc, char **argv, struct bp_error *err) {
    int r = bp_bag_open((const char *const *) argv, (size_t) argc, &v->bag, err);

    if (r < 0)
        return r;

    v->info = bp_bag_get_info(v->bag);
    v->n = v->info->nchannels;
    v->rows = calloc(v->n + 1, sizeof *v->rows);
    if (!v->rows)
        return bp_fail(err, -ENOMEM, "no memory");
    for (size_t i = 0; i < v->n; i++) {
        v->rows[i].c = bp_bag_channel(v->bag, i);
        v->rows[i].shown = is_shown(v->o, v->rows[i].c->topic);
    }
    qsort(v->rows, v->n, sizeof *v->rows, by_topic);

    r = take_ledger(v, err);
    if (r >= 0 && v->o->scan)
        r = take_scan(v, err);
    if (r >= 0 && v->o->digest)
        r = take_digests(v, err);
    return r;
}

static double seconds(const struct bp_bag_info *f) {
    return (double) (f->end_ns - f->start_ns) / 1e9;
}

/* Without the latched messages that were only repeated at segment heads. */
static double rate(const struct view *v, const struct row *r) {
    uint64_t n = r->c->messages - BP_MIN(r->c->messages, r->c->repeated);
    double s = seconds(v->info);

    return s > 0 && n > 1 ? (double) n / s : 0;
}

/* ---- for machines ---- */

static json_t *lost_json(const struct bp_ledger_totals *t) {
    json_t *o = json_object();

    for (int i = 0; i < BP_LOSS_N_; i++)
        (void) json_object_set_new(o, bp_loss_name((enum bp_loss) i),
                                   json_integer((json_int_t) t->lost[i]));
    return o;
}

static json_t *text_json(const char *s) {
    json_t *o = json_string(s);

    return o ? o : json_string("(not UTF-8)");
}

static json_t *topics_json(const struct view *v) {
    json_t *a = json_array();

    for (size_t i = 0; i < v->n; i++) {
        const struct row *r = &v->rows[i];
        json_t *o;

        if (!r->shown)
            continue;
        o = json_pack("{s:o, s:o, s:o, s:o, s:i, s:I, s:I, s:f, s:o, s:b}", "topic",
                      text_json(r->c->topic), "type", text_json(r->c->type), "type_hash",
                      text_json(r->c->type_hash), "robot", text_json(r->c->robot), "domain",
                      (int) r->c->domain, "message_count", (json_int_t) r->c->messages, "repeated",
                      (json_int_t) r->c->repeated, "rate_hz", rate(v, r), "offered_qos_profiles",
                      text_json(r->c->qos_yaml), "has_definition", r->c->schema.n > 0);
        if (*r->c->original_topic)
            (void) json_object_set_new(o, "original_topic", text_json(r->c->original_topic));
        if (r->c->keyed)
            (void) json_object_set_new(o, "keyed", json_true());
        if (v->o->scan) {
            (void) json_object_set_new(o, "bytes", json_integer((json_int_t) r->bytes));
            (void) json_object_set_new(o, "gap_max_ns", json_integer(r->gap_max));
            (void) json_object_set_new(o, "gap_min_ns", json_integer(r->gap_min));
        }
        if (v->has_ledger) {
            (void) json_object_set_new(o, "lost", lost_json(&r->led));
            (void) json_object_set_new(o, "lost_total", json_integer((json_int_t) r->led.lost_all));
        }
        (void) json_array_append_new(a, o);
    }
    return a;
}

static json_t *spans_json(const struct bp_spans *s) {
    BP_AUTO_BUF b = { 0 };
    const char *text;

    bp_spans_text(s, &b);
    text = bp_buf_cstr(&b);
    return json_string(text ? text : "");
}

static json_t *writers_json(const struct view *v) {
    json_t *a = json_array();

    for (size_t i = 0; i < v->ledger.n; i++) {
        const struct bp_ledger_source *s = v->ledger.v[i];
        json_t *o, *gaps = json_object();
        struct bp_ledger_totals t;
        char guid[33];

        bp_ledger_source_totals(s, &t);
        for (size_t k = 0; k < 16; k++)
            (void) snprintf(guid + 2 * k, 3, "%02x", s->guid[k]);
        for (int k = 0; k < BP_LOSS_N_; k++)
            (void) json_object_set_new(gaps, bp_loss_name((enum bp_loss) k),
                                       spans_json(&s->lost[k]));
        o = json_pack("{s:s, s:o, s:o, s:i, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "guid", guid,
                      "topic", text_json(s->topic), "node", text_json(s->node), "vendor",
                      (int) s->vendor, "first", (json_int_t) t.first, "last", (json_int_t) t.last,
                      "received", (json_int_t) t.received, "duplicates", (json_int_t) t.duplicates,
                      "lost_total", (json_int_t) t.lost_all, "lost", lost_json(&t), "ranges", gaps,
                      "received_ranges", spans_json(&s->received));
        (void) json_array_append_new(a, o);
    }
    return a;
}

static json_t *files_json(const struct view *v) {
    json_t *a = json_array();

    for (size_t i = 0; i < v->info->nfiles; i++) {
        const struct bp_bag_file *f = bp_bag_file(v->bag, i);
        json_t *o = json_pack("{s:o, s:I, s:I, s:I, s:I, s:b}", "path", text_json(f->path), "bytes",
                              (json_int_t) f->bytes, "message_count", (json_int_t) f->messages,
                              "start_ns", (json_int_t) f->start_ns, "end_ns",
                              (json_int_t) f->end_ns, "indexed", f->indexed);

        if (v->o->digest)
            (void) json_object_set_new(o, "digest",
                                       json_pack("{s:I, s:I, s:s}", "decoded",
                                                 (json_int_t) v->digests[i].decoded, "failed",
                                                 (json_int_t) v->digests[i].failed, "sha256",
                                                 v->digests[i].hex));
        (void) json_array_append_new(a, o);
    }
    return a;
}

/* Robots in the order of their first topic. */
static json_t *robots_json(const struct view *v) {
    json_t *o = json_object();

    for (size_t i = 0; i < v->n; i++) {
        const struct bp_bag_channel *c = v->rows[i].c;
        json_t *r;

        if (!*c->robot)
            continue;
        r = json_object_get(o, c->robot);
        if (!r) {
            r = json_pack("{s:I, s:I}", "topics", (json_int_t) 0, "message_count", (json_int_t) 0);
            if (json_object_set_new(o, c->robot, r) < 0)
                continue;
        }
        (void) json_integer_set(json_object_get(r, "topics"),
                                json_integer_value(json_object_get(r, "topics")) + 1);
        (void) json_integer_set(json_object_get(r, "message_count"),
                                json_integer_value(json_object_get(r, "message_count")) +
                                    (json_int_t) c->messages);
    }
    return o;
}

static void print_json(const struct view *v) {
    const struct bp_bag_info *f = v->info;
    char start[BP_TIME_TEXT], end[BP_TIME_TEXT];
    json_t *o;

    o = json_pack(
        "{s:o, s:s, s:I, s:I, s:f, s:I, s:I, s:s, s:s, s:I, s:s, s:b, s:i, s:s, s:o, s:o, s:o}",
        "path", text_json(f->path), "storage", f->storage, "message_count",
        (json_int_t) f->messages, "repeated", (json_int_t) f->repeated, "duration_seconds",
        seconds(f), "start_ns", (json_int_t) f->start_ns, "end_ns", (json_int_t) f->end_ns, "start",
        bp_time_format(f->start_ns, start), "end", bp_time_format(f->end_ns, end), "bytes",
        (json_int_t) f->bytes, "compression", f->compression, "complete", f->complete,
        "metadata_version", f->metadata_version, "ros_distro", f->ros_distro, "files",
        files_json(v), "topics", topics_json(v), "robots", robots_json(v));
    if (f->chunk_stored_bytes)
        (void) json_object_set_new(
            o, "compression_ratio",
            json_real((double) f->chunk_raw_bytes / (double) f->chunk_stored_bytes));
    (void) json_object_set_new(o, "has_ledger", json_boolean(v->has_ledger));
    if (v->has_ledger) {
        (void) json_object_set_new(o, "lost_total", json_integer((json_int_t) v->total.lost_all));
        (void) json_object_set_new(o, "lost", lost_json(&v->total));
        (void) json_object_set_new(o, "writers", writers_json(v));
    }
    if (v->o->digest)
        (void) json_object_set_new(o, "digest",
                                   json_pack("{s:I, s:I, s:s}", "decoded",
                                             (json_int_t) v->whole.decoded, "failed",
                                             (json_int_t) v->whole.failed, "sha256", v->whole.hex));
    (void) json_dumpf(o, stdout, JSON_INDENT(2));
    (void) putchar('\n');
    json_decref(o);
}

/* ---- for people ---- */

static void print_files(const struct view *v) {
    enum { MANY = 12, EDGE = 4 };
    bool all = v->info->nfiles <= MANY || v->o->verbose;
    char size[BP_UNITS_TEXT];

    for (size_t i = 0; i < v->info->nfiles; i++) {
        const struct bp_bag_file *f = bp_bag_file(v->bag, i);

        if (!all && f->indexed && i >= EDGE && i + EDGE < v->info->nfiles) {
            if (i == EDGE)
                (void) printf("             … %zu more (-v shows them)\n",
                              v->info->nfiles - 2 * (size_t) EDGE);
            continue;
        }

        (void) printf("%s %s  %" PRIu64 " messages, %s%s\n", i ? "            " : "files       ",
                      f->path, f->messages, bp_size_format(f->bytes, size),
                      f->indexed ? "" : "  (no index: cut off, or still being written)");
    }
}

/* One line per robot, where the recording tells robots apart. */
static void print_robots(const struct view *v) {
    for (size_t i = 0; i < v->n; i++) {
        const char *robot = v->rows[i].c->robot;
        uint64_t messages = 0;
        size_t topics = 0, first = 0;

        while (!bp_streq(v->rows[first].c->robot, robot))
            first++;
        if (!*robot || first < i)
            continue;
        for (size_t k = i; k < v->n; k++)
            if (bp_streq(v->rows[k].c->robot, robot)) {
                messages += v->rows[k].c->messages;
                topics++;
            }
        (void) printf("robot        %s: %zu topics, %" PRIu64 " messages\n", robot, topics,
                      messages);
    }
}

static void print_head(const struct view *v) {
    const struct bp_bag_info *f = v->info;
    char text[BP_UNITS_TEXT], start[BP_TIME_TEXT];

    print_files(v);
    (void) printf("size         %s", bp_size_format(f->bytes, text));
    if (*f->compression && f->chunk_stored_bytes)
        (void) printf(", %s, ratio %.2f", f->compression,
                      (double) f->chunk_raw_bytes / (double) f->chunk_stored_bytes);
    (void) printf("\n");
    if (f->messages) {
        (void) printf("start        %s\n", bp_time_format(f->start_ns, start));
        (void) printf("end          %s\n", bp_time_format(f->end_ns, start));
        (void) printf("duration     %s\n", bp_duration_format(f->end_ns - f->start_ns, text));
    }
    (void) printf("messages     %" PRIu64, f->messages);
    if (f->repeated)
        (void) printf(" (%" PRIu64 " of them latched ones repeated at segment heads)", f->repeated);
    (void) printf("\n");
    if (!v->has_ledger)
        (void) printf("lost         not known: this recording keeps no ledger\n");
    else
        (void) printf("lost         %s%" PRIu64 "%s of %" PRIu64 " sent by %zu writers\n",
                      bp_cli_color(v->total.lost_all ? "\033[31m" : "\033[32m"), v->total.lost_all,
                      bp_cli_color("\033[0m"), v->total.lost_all + v->total.received, v->ledger.n);
    print_robots(v);
}

static void print_table(const struct view *v) {
    int topic = 5, type = 4;

    for (size_t i = 0; i < v->n; i++) {
        if (!v->rows[i].shown)
            continue;
        topic = BP_MAX(topic, (int) strlen(v->rows[i].c->topic));
        type = BP_MAX(type, (int) strlen(v->rows[i].c->type));
    }
    (void) printf("\n%-*s  %-*s  %10s %9s %8s", topic, "topic", type, "type", "messages", "Hz",
                  "lost");
    if (v->o->scan)
        (void) printf(" %10s %10s %10s", "MB", "gap min", "gap max");
    (void) printf("  robot\n");
    for (size_t i = 0; i < v->n; i++) {
        const struct row *r = &v->rows[i];
        char least[BP_UNITS_TEXT], most[BP_UNITS_TEXT];

        if (!r->shown)
            continue;
        (void) printf("%-*s  %-*s  %10" PRIu64 " %9.2f ", topic, r->c->topic, type, r->c->type,
                      r->c->messages, rate(v, r));
        if (v->has_ledger)
            (void) printf("%s%8" PRIu64 "%s", bp_cli_color(r->led.lost_all ? "\033[31m" : ""),
                          r->led.lost_all, bp_cli_color("\033[0m"));
        else
            (void) printf("%8s", "?");
        if (v->o->scan)
            (void) printf(" %10.2f %10s %10s", (double) r->bytes / 1e6,
                          bp_duration_format(r->gap_min, least),
                          bp_duration_format(r->gap_max, most));
        (void) printf("  %s%s\n", r->c->robot, r->c->schema.n ? "" : "  (definition unknown)");
    }
}

static void print_losses(const struct view *v) {
    bool head = false;

    for (size_t i = 0; i < v->ledger.n; i++) {
        const struct bp_ledger_source *s = v->ledger.v[i];

        if (!is_shown(v->o, s->topic))
            continue;
        for (int k = 0; k < BP_LOSS_N_; k++) {
            BP_AUTO_BUF spans = { 0 };
            uint64_t n = bp_spans_count(&s->lost[k]);

            if (!n)
                continue;
            if (!head)
                (void) printf("\nnot recorded\n");
            head = true;
            bp_spans_text(&s->lost[k], &spans);
            if (spans.n > 60 && !v->o->verbose) {
                spans.n = 57;
                bp_buf_put_str(&spans, "…");
            }
            (void) printf("  %-30s %8" PRIu64 "  %s: %s\n", s->topic, n,
                          bp_loss_text((enum bp_loss) k), bp_buf_cstr(&spans));
        }
    }
}

static void print_details(const struct view *v) {
    for (size_t i = 0; i < v->n; i++) {
        const struct bp_bag_channel *c = v->rows[i].c;

        if (v->rows[i].shown)
            (void) printf("\n%s\n  %s %s\n  domain %u\n%s", c->topic, c->type, c->type_hash,
                          c->domain, c->qos_yaml);
    }
}

static void print_digests(const struct view *v) {
    (void) printf("\n");
    for (size_t i = 0; i < v->info->nfiles; i++)
        (void) printf("%s decoded %" PRIu64 " failed %" PRIu64 " %s %.16s\n",
                      bp_bag_file(v->bag, i)->path, v->digests[i].decoded, v->digests[i].failed,
                      v->digests[i].why, v->digests[i].hex);
    if (v->info->nfiles > 1)
        (void) printf("all decoded %" PRIu64 " failed %" PRIu64 " %.16s\n", v->whole.decoded,
                      v->whole.failed, v->whole.hex);
}

static int info_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    BP_CLEANUP(view_done) struct view v = { .o = opts };
    int r = bp_cli_add_keys(v.o->key, err);

    bp_cli_remote();
    if (r >= 0)
        r = gather(&v, argc, argv, err);
    if (r < 0)
        return r;

    if (v.o->json) {
        print_json(&v);
        return BP_EXIT_DONE;
    }
    print_head(&v);
    print_table(&v);
    print_losses(&v);
    if (v.o->verbose)
        print_details(&v);
    if (v.o->digest)
        print_digests(&v);
    if (!v.info->complete)
        (void) printf("\nincomplete: `bagpipe recover %s` makes it whole\n", argv[0]);
    return BP_EXIT_DONE;
}

const struct bp_verb bp_verb_info = {
    .name = "info",
    .args = "PATH…",
    .summary = "show what a recording holds and what it lost",
    .description = "Reads our recordings, rosbag2's (MCAP and sqlite3) and foreign MCAP: files, "
                   "session folders or folders of sessions; several are shown as one.",
    .examples = "bagpipe info run1                 topics, rates, losses\n"
                "bagpipe info --json run1          the same for machines\n"
                "bagpipe info --digest run1.mcap   proof against other readers",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = -1,
    .run = info_run,
};
