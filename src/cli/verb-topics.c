#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/json.h"
#include "base/units.h"
#include "cli/live.h"
#include "record/select.h"

struct opts {
    struct bp_opt_list domains;
    bp_ns_t run;
    bool rate, verbose, json, services, hidden;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "for", 0, BP_OPT_DURATION, OPT(run), "TIME",
      "look this long; less when nothing new shows up for a second", "2s", NULL, 0, 0 },
    { "rate", 'r', BP_OPT_FLAG, OPT(rate), NULL,
      "also listen: messages and bytes per second, losses; takes all of --for", NULL, NULL, 0, 0 },
    { "verbose", 'v', BP_OPT_FLAG, OPT(verbose), NULL,
      "each writer and reader with its node, QoS, vendor and GUID", NULL, NULL, 0, 0 },
    { "services", 0, BP_OPT_FLAG, OPT(services), NULL, "services instead of topics", NULL, NULL, 0,
      0 },
    { "hidden", 0, BP_OPT_FLAG, OPT(hidden), NULL,
      "also names with a part that begins with '_', and plain DDS topics", NULL, NULL, 0, 0 },
    { "domain", 0, BP_OPT_LIST, OPT(domains), "ID[,ID…]", "ROS domains (ROS_DOMAIN_ID, else 0)",
      NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print JSON", NULL, NULL, 0, 0 },
};

enum { QUIET_MS = 1000 };

struct count {
    _Atomic uint64_t messages, bytes, lost;
    _Atomic int64_t first_ns, last_ns; /* arrival */
};

struct topics {
    struct bp_live live;
    const struct opts *o;
    char **patterns;
    int npatterns;
};

/* ---- which ---- */

static bool is_hidden(const char *name) {
    for (const char *p = name; p; p = strchr(p, '/'), p = p ? p + 1 : NULL)
        if (p[0] == '_')
            return true;
    return false;
}

/* The length of a service's name inside a topic name. */
static size_t service_length(const char *topic) {
    size_t n = strlen(topic);
    static const char *const ends[] = { "Request", "Reply" };

    for (size_t i = 0; i < BP_COUNT(ends); i++)
        if (n > strlen(ends[i]) && bp_streq(topic + n - strlen(ends[i]), ends[i]))
            return n - strlen(ends[i]);
    return n;
}

/* "/node/get_parameters" means its request topic. */
static bool service_match(const char *word, const struct bp_live_topic *t) {
    size_t n = service_length(t->topic), nword = strlen(word);
    char name[512];

    if (t->kind == BP_ENDPOINT_TOPIC || t->kind == BP_ENDPOINT_FOREIGN)
        return false;
    (void) snprintf(name, sizeof name, "%s%s%s", word[0] == '/' || word[0] == '*' ? "" : "/", word,
                    nword && word[nword - 1] == '*' ? "" : t->topic + n);
    return bp_topic_match(name, t->topic);
}

static bool shown(const struct topics *s, const struct bp_live_topic *t) {
    bool service = t->kind == BP_ENDPOINT_SERVICE_REQUEST || t->kind == BP_ENDPOINT_SERVICE_REPLY;

    if (service != s->o->services)
        return false;
    if (!s->o->hidden && s->npatterns == 0 &&
        (t->kind == BP_ENDPOINT_FOREIGN || is_hidden(t->topic)))
        return false;
    for (int i = 0; i < s->npatterns; i++)
        if (service_match(s->patterns[i], t) || bp_live_match(s->patterns[i], t))
            return true;
    return s->npatterns == 0;
}

/* ---- listening ---- */

static bool wants(void *ctx, const struct bp_live_topic *t) {
    const struct topics *s = ctx;

    return s->o->rate && !s->o->services && shown(s, t);
}

static int on_topic(void *ctx, struct bp_live_topic *t) {
    (void) ctx;
    t->user = calloc(1, sizeof(struct count));
    return t->user ? 0 : -ENOMEM;
}

static void on_sample(void *ctx, const struct bp_sample *s) {
    struct bp_live_topic *t = ctx;
    struct count *c = t->user;
    uintptr_t last = (uintptr_t) *s->writer_slot, now = (uintptr_t) s->seq;
    int64_t none = 0;

    if (s->history)
        return; /* old ones say nothing about the rate */
    if (last && now > last + 1)
        atomic_fetch_add(&c->lost, now - last - 1);
    if (now > last)
        *s->writer_slot = (void *) now; /* NOLINT(performance-no-int-to-ptr): a number */
    (void) atomic_compare_exchange_strong(&c->first_ns, &none, s->recv_ns);
    atomic_store(&c->last_ns, s->recv_ns);
    atomic_fetch_add(&c->messages, 1);
    atomic_fetch_add(&c->bytes, s->size);
}

/* Per second, over the time between the first and the last message. */
static double per_second(const struct count *c, uint64_t amount) {
    int64_t span = atomic_load(&c->last_ns) - atomic_load(&c->first_ns);
    uint64_t n = atomic_load(&c->messages);

    return n < 2 || span <= 0
               ? 0
               : (double) amount * ((double) (n - 1) / (double) n) / ((double) span / 1e9);
}

/* ---- printing ---- */

struct row {
    struct bp_live_topic *t;
    unsigned writers, readers;
    const struct bp_live_endpoint *sample; /* a writer, or a reader when there is none */
    bool mixed_qos;
};

static int by_name(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    int c = strcmp(x->t->topic, y->t->topic);

    if (c == 0)
        c = (x->t->domain > y->t->domain) - (x->t->domain < y->t->domain);
    return c ? c : strcmp(x->t->type, y->t->type);
}

static bool same_qos(const struct bp_qos *a, const struct bp_qos *b) {
    return a->reliability == b->reliability && a->durability == b->durability &&
           a->history == b->history && a->depth == b->depth;
}

static void count_endpoints(struct topics *s, struct row *r) {
    for (const struct bp_live_endpoint *e = s->live.endpoints; e; e = e->next) {
        if (e->topic != r->t || !e->e.alive)
            continue;
        if (e->e.writer)
            r->writers++;
        else
            r->readers++;
        if (r->sample && r->sample->e.writer == e->e.writer &&
            !same_qos(&r->sample->e.qos, &e->e.qos))
            r->mixed_qos = true;
        if (!r->sample || (e->e.writer && !r->sample->e.writer))
            r->sample = e;
    }
}

static struct row *make_rows(struct topics *s, size_t *ret_n) {
    struct row *rows;
    size_t n = 0;

    for (const struct bp_live_topic *t = s->live.topics; t; t = t->next)
        n++;
    rows = calloc(n + 1, sizeof *rows);
    n = 0;
    for (struct bp_live_topic *t = s->live.topics; rows && t; t = t->next) {
        struct row r = { .t = t };

        if (!shown(s, t))
            continue;
        count_endpoints(s, &r);
        if (r.writers + r.readers)
            rows[n++] = r;
    }
    if (rows)
        qsort(rows, n, sizeof *rows, by_name);
    *ret_n = n;
    return rows;
}

static const char *vendor_name(uint16_t v, char buf[static 16]) {
    static const struct {
        uint16_t id;
        const char *name;
    } table[] = { { 0x0101, "connext" }, { 0x0102, "opensplice" }, { 0x010a, "coredx" },
                  { 0x010f, "fastdds" }, { 0x0110, "cyclone" },    { 0x0112, "rustdds" },
                  { 0x0103, "opendds" } };

    for (size_t i = 0; i < BP_COUNT(table); i++)
        if (table[i].id == v)
            return table[i].name;
    (void) snprintf(buf, 16, "vendor %u.%u", v >> 8, v & 0xff);
    return buf;
}

static void guid_text(const uint8_t guid[static BP_GUID_LEN], char out[static 33]) {
    for (int i = 0; i < BP_GUID_LEN; i++)
        (void) snprintf(out + (ptrdiff_t) 2 * i, 3, "%02x", guid[i]);
}

static void print_endpoint(const struct bp_live_endpoint *e) {
    char qos[128], hex[33], vendor[16];

    guid_text(e->e.guid, hex);
    (void) printf("    %s %-28s %s%s, %s, %s\n", e->e.writer ? "writer" : "reader",
                  e->node && e->node[0] ? e->node : "(node unknown)",
                  bp_qos_text(&e->e.qos, qos, sizeof qos), e->e.keyed ? " keyed" : "",
                  vendor_name(e->e.vendor, vendor), hex);
}

static void print_rate(const struct row *r) {
    const struct count *c = r->t->user;
    char size[BP_UNITS_TEXT];
    uint64_t lost = atomic_load(&c->lost), n = atomic_load(&c->messages);

    if (n == 0)
        (void) printf("%12s%14s", "-", "-");
    else if (n == 1)
        (void) printf("%12s%14s", "1 message", "-");
    else
        (void) printf("%9.2f Hz%12s/s", per_second(c, n),
                      bp_size_format((uint64_t) per_second(c, atomic_load(&c->bytes)), size));
    if (lost)
        (void) printf("  lost %" PRIu64, lost);
}

struct widths {
    int topic, type;
    bool domain;
};

static void measure(const struct row *rows, size_t n, struct widths *w) {
    *w = (struct widths){ 5, 4, false };
    for (size_t i = 0; i < n; i++) {
        w->topic = BP_MAX(w->topic, (int) strlen(rows[i].t->topic));
        w->type = BP_MAX(w->type, (int) strlen(rows[i].t->type));
        w->domain = w->domain || rows[i].t->domain != rows[0].t->domain;
    }
    w->topic = BP_MIN(w->topic, 60);
    w->type = BP_MIN(w->type, 50);
}

static void print_table(const struct topics *s, const struct row *rows, size_t n) {
    const char *bold = bp_cli_color("\033[1m"), *plain = bp_cli_color("\033[0m");
    struct widths w;
    char qos[128];

    measure(rows, n, &w);
    if (n)
        (void) printf("%s%s%-*s  %-*s  %4s %4s%s  %s%s\n", bold, w.domain ? "DOM " : "", w.topic,
                      "TOPIC", w.type, "TYPE", "PUB", "SUB",
                      s->o->rate ? "        RATE     BANDWIDTH" : "", "QOS", plain);
    for (size_t i = 0; i < n; i++) {
        const struct row *r = &rows[i];

        if (w.domain)
            (void) printf("%3u ", r->t->domain);
        (void) printf("%-*s  %-*s  %4u %4u", w.topic, r->t->topic, w.type, r->t->type, r->writers,
                      r->readers);
        if (s->o->rate)
            print_rate(r);
        (void) printf("  %s%s\n", bp_qos_text(&r->sample->e.qos, qos, sizeof qos),
                      r->mixed_qos ? " (others differ)" : "");
        if (!s->o->verbose)
            continue;
        if (r->t->type_hash[0])
            (void) printf("    type hash %s\n", r->t->type_hash);
        for (const struct bp_live_endpoint *e = s->live.endpoints; e; e = e->next)
            if (e->topic == r->t && e->e.alive)
                print_endpoint(e);
    }
}

static void json_text(struct bp_buf *b, const char *key, const char *v) {
    bp_buf_printf(b, "\"%s\":", key);
    bp_json_put_text(b, v ? v : "", v ? strlen(v) : 0);
}

static void json_duration(struct bp_buf *b, const char *key, bp_ns_t v) {
    if (v == BP_QOS_INFINITE)
        bp_buf_printf(b, ",\"%s\":null", key);
    else
        bp_buf_printf(b, ",\"%s\":%" PRId64, key, v);
}

static void json_endpoint(struct bp_buf *b, const struct bp_live_endpoint *e) {
    static const char *const history[] = { "default", "keep_last", "keep_all", "unknown" };
    const struct bp_qos *q = &e->e.qos;
    char hex[33], vendor[16];

    guid_text(e->e.guid, hex);
    bp_buf_printf(b, "{\"guid\":\"%s\",", hex);
    json_text(b, "node", e->node);
    bp_buf_put_u8(b, ',');
    json_text(b, "vendor", vendor_name(e->e.vendor, vendor));
    bp_buf_printf(b, ",\"reliability\":\"%s\",\"durability\":\"%s\",\"history\":\"%s\"",
                  q->reliability == BP_RELIABILITY_RELIABLE ? "reliable" : "best_effort",
                  q->durability == BP_DURABILITY_TRANSIENT_LOCAL ? "transient_local" : "volatile",
                  (unsigned) q->history < BP_COUNT(history) ? history[q->history] : "unknown");
    if (q->history == BP_HISTORY_KEEP_LAST)
        bp_buf_printf(b, ",\"depth\":%u", q->depth);
    json_duration(b, "deadline_ns", q->deadline);
    json_duration(b, "lifespan_ns", q->lifespan);
    bp_buf_put_u8(b, '}');
}

static void json_row(const struct topics *s, const struct row *r, struct bp_buf *b) {
    const struct count *c = r->t->user;

    bp_buf_put_u8(b, '{');
    json_text(b, "topic", r->t->topic);
    bp_buf_put_u8(b, ',');
    json_text(b, "type", r->t->type);
    bp_buf_put_u8(b, ',');
    json_text(b, "type_hash", r->t->type_hash);
    bp_buf_printf(b, ",\"domain\":%u,\"keyed\":%s", r->t->domain, r->t->keyed ? "true" : "false");
    if (s->o->rate) {
        bp_buf_printf(b, ",\"messages\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"rate_hz\":",
                      atomic_load(&c->messages), atomic_load(&c->lost));
        bp_json_put_real(b, per_second(c, atomic_load(&c->messages)));
        bp_buf_put_str(b, ",\"bytes_per_s\":");
        bp_json_put_real(b, per_second(c, atomic_load(&c->bytes)));
    }
    for (int writers = 1; writers >= 0; writers--) {
        bool first = true;

        bp_buf_put_str(b, writers ? ",\"writers\":[" : ",\"readers\":[");
        for (const struct bp_live_endpoint *e = s->live.endpoints; e; e = e->next) {
            if (e->topic != r->t || !e->e.alive || e->e.writer != (writers == 1))
                continue;
            if (!first)
                bp_buf_put_u8(b, ',');
            first = false;
            json_endpoint(b, e);
        }
        bp_buf_put_u8(b, ']');
    }
    bp_buf_put_u8(b, '}');
}

/* ---- services: the request and the reply topic of a name together ---- */

static void service_row(const struct topics *s, const struct row *r, struct bp_buf *b) {
    int n = (int) service_length(r->t->topic);
    size_t ntype = strlen(r->t->type), tail = strlen("_Request");
    char type[256];

    (void) snprintf(type, sizeof type, "%.*s", (int) (ntype > tail ? ntype - tail : ntype),
                    r->t->type);
    if (!s->o->json) {
        (void) printf("%.*s  %s  servers %u, clients %u\n", n, r->t->topic, type, r->readers,
                      r->writers);
        for (const struct bp_live_endpoint *e = s->live.endpoints; s->o->verbose && e; e = e->next)
            if (e->topic == r->t && e->e.alive)
                (void) printf("    %s %s\n", e->e.writer ? "client" : "server",
                              e->node && e->node[0] ? e->node : "(node unknown)");
        return;
    }
    bp_buf_put_str(b, "{\"service\":");
    bp_json_put_text(b, r->t->topic, (size_t) n);
    bp_buf_put_u8(b, ',');
    json_text(b, "type", type);
    bp_buf_printf(b, ",\"domain\":%u,\"servers\":%u,\"clients\":%u}", r->t->domain, r->readers,
                  r->writers);
}

static int print(struct topics *s, struct bp_error *err) {
    BP_AUTO_BUF b = { 0 };
    BP_AUTO_FREE struct row *rows = NULL;
    size_t n, shown_rows = 0;

    rows = make_rows(s, &n);
    if (!rows)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_buf_put_u8(&b, '[');
    if (!s->o->services && !s->o->json)
        print_table(s, rows, n);
    for (size_t i = 0; i < n && (s->o->services || s->o->json); i++) {
        if (s->o->services && rows[i].t->kind != BP_ENDPOINT_SERVICE_REQUEST)
            continue;
        if (s->o->json && shown_rows++)
            bp_buf_put_str(&b, ",\n ");
        if (s->o->services)
            service_row(s, &rows[i], &b);
        else
            json_row(s, &rows[i], &b);
    }
    bp_buf_put_u8(&b, ']');
    if (s->o->json && bp_buf_cstr(&b))
        (void) puts(bp_buf_cstr(&b));
    if (n == 0 && !s->o->json)
        (void) fprintf(stderr, "nothing found; is ROS_DOMAIN_ID right, and is this machine on the "
                               "robot's network?\n");
    return n ? BP_EXIT_DONE : BP_EXIT_FINDINGS;
}

static bool quiet(struct topics *s) {
    bp_ns_t changed;

    pthread_mutex_lock(&s->live.lock);
    changed = s->live.changed_mono;
    pthread_mutex_unlock(&s->live.lock);
    return changed && bp_mono_ns() - changed > QUIET_MS * BP_MS;
}

static int topics_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    struct topics s = { .o = opts, .patterns = argv, .npatterns = argc };
    struct bp_live_opts lo = {
        .domains = &s.o->domains, .want = wants, .topic = on_topic, .sample = on_sample, .ctx = &s
    };
    bp_ns_t end = bp_mono_ns() + s.o->run;
    int rc = bp_live_open(&s.live, &lo, err);

    if (rc < 0)
        return rc;
    while (bp_mono_ns() < end && (s.o->rate || !quiet(&s)))
        if (bp_live_wait(&s.live, BP_MIN(end, bp_mono_ns() + 50 * BP_MS)))
            break;
    bp_live_stop(&s.live);
    rc = print(&s, err);
    for (struct bp_live_topic *t = s.live.topics; t; t = t->next)
        free(t->user);
    bp_live_close(&s.live);
    return rc;
}

const struct bp_verb bp_verb_topics = {
    .name = "topics",
    .args = "[TOPIC…]",
    .summary = "list the topics of a live ROS 2 graph",
    .description =
        "Looks at the graph without any ROS installation: topics with type, publishers, "
        "subscribers and QoS; with --rate also how often and how much is sent. '*' matches "
        "anything. History is not announced by Fast DDS and shown as unknown.\n\n"
        "Exit status: 0 something was found, 1 nothing.",
    .examples = "bagpipe topics                    what is there\n"
                "bagpipe topics -v '/robot1/*'     who publishes and subscribes, with QoS\n"
                "bagpipe topics --rate --for 5s    with rates over five seconds\n"
                "bagpipe topics --services         services\n"
                "bagpipe topics --json --domain 0,7",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 0,
    .max_args = -1,
    .run = topics_run,
};
