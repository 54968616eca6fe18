#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "cli/live.h"

struct opts {
    struct bp_opt_list domains;
    int64_t window;
    bp_ns_t run;
    bool json, once;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "window", 'w', BP_OPT_INT, OPT(window), "N", "messages the figures are made of", "1000", NULL,
      2, 1000000 },
    { "for", 0, BP_OPT_DURATION, OPT(run), "TIME", "end after this time", NULL, NULL, 0, 0 },
    { "once", 0, BP_OPT_FLAG, OPT(once), NULL, "print one report per topic, then end", NULL, NULL,
      0, 0 },
    { "domain", 0, BP_OPT_LIST, OPT(domains), "ID[,ID…]", "ROS domains (ROS_DOMAIN_ID, else 0)",
      NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "one JSON object per line", NULL, NULL, 0, 0 },
};

/* Arrival times of the last messages of a topic, all its writers together. */
struct meter {
    pthread_mutex_t lock;
    struct bp_live_topic *topic;
    bp_ns_t *at;          /* [lock] ring of `window` times */
    size_t n, next;       /* [lock] */
    uint64_t messages;    /* [lock] */
    uint64_t bytes, lost; /* [lock] */
    uint64_t reported;    /* messages when last reported */
    struct meter *chain;  /* [hz.live.lock] */
};

struct hz {
    struct bp_live live;
    const struct opts *o;
    char **names;
    int nnames;
    struct meter *meters; /* [live.lock] */
};

/* Highest sequence number of a writer, kept in its slot as a number: slots are freed by nobody. */
static uint64_t gap(const struct bp_sample *s) {
    uintptr_t last = (uintptr_t) *s->writer_slot, now = (uintptr_t) s->seq, missing;

    missing = last && now > last + 1 ? now - last - 1 : 0;
    if (now > last)
        *s->writer_slot = (void *) now; /* NOLINT(performance-no-int-to-ptr): a number */
    return missing;
}

static void on_sample(void *ctx, const struct bp_sample *s) {
    struct bp_live_topic *t = ctx;
    struct meter *m = t->user;
    const struct hz *h = t->live->o.ctx;
    size_t window = (size_t) h->o->window;

    if (s->history)
        return; /* old ones say nothing about the rate */
    pthread_mutex_lock(&m->lock);
    m->at[m->next] = s->recv_ns;
    m->next = (m->next + 1) % window;
    m->n = BP_MIN(m->n + 1, window);
    m->messages++;
    m->bytes += s->size;
    m->lost += gap(s);
    pthread_mutex_unlock(&m->lock);
}

static bool wants(void *ctx, const struct bp_live_topic *t) {
    const struct hz *h = ctx;

    for (int i = 0; i < h->nnames; i++)
        if (bp_live_match(h->names[i], t))
            return true;
    return false;
}

static void meter_free(struct meter *m) {
    if (!m)
        return;
    pthread_mutex_destroy(&m->lock);
    free(m->at);
    free(m);
}

static int on_topic(void *ctx, struct bp_live_topic *t) {
    struct hz *h = ctx;
    struct meter *m;

    if (!wants(h, t))
        return 0;
    m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    pthread_mutex_init(&m->lock, NULL);
    m->topic = t;
    m->at = calloc((size_t) h->o->window, sizeof *m->at);
    if (!m->at) {
        meter_free(m);
        return -ENOMEM;
    }
    t->user = m;
    m->chain = h->meters;
    h->meters = m;
    return 0;
}

struct figures {
    double rate, min, max, stddev; /* Hz; seconds between messages */
    size_t n;
    uint64_t messages, bytes, lost;
};

static void compute(struct meter *m, size_t window, struct figures *f) {
    double sum = 0, squares = 0;
    bp_ns_t before = 0;
    size_t gaps = 0;

    *f = (struct figures){ .min = INFINITY };
    pthread_mutex_lock(&m->lock);
    f->n = m->n;
    f->messages = m->messages;
    f->bytes = m->bytes;
    f->lost = m->lost;
    for (size_t i = 0; i < m->n; i++) {
        bp_ns_t at = m->at[(m->next + window - m->n + i) % window];

        if (i > 0) {
            double d = (double) (at - before) / 1e9;

            f->min = fmin(f->min, d);
            f->max = fmax(f->max, d);
            sum += d;
            squares += d * d;
            gaps++;
        }
        before = at;
    }
    pthread_mutex_unlock(&m->lock);
    if (gaps == 0 || sum <= 0) {
        f->min = 0;
        return;
    }
    f->rate = (double) gaps / sum;
    f->stddev =
        sqrt(fmax(0, squares / (double) gaps - (sum / (double) gaps) * (sum / (double) gaps)));
}

static void print_json(const struct meter *m, const struct figures *f, bool fresh) {
    BP_AUTO_BUF b = { 0 };

    bp_buf_put_str(&b, "{\"topic\":");
    bp_json_put_text(&b, m->topic->topic, strlen(m->topic->topic));
    bp_buf_printf(&b,
                  ",\"domain\":%u,\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"lost\":%" PRIu64
                  ",\"silent\":%s,\"window\":%zu,\"rate_hz\":",
                  m->topic->domain, f->messages, f->bytes, f->lost, fresh ? "false" : "true", f->n);
    bp_json_put_real(&b, f->rate);
    bp_buf_put_str(&b, ",\"min_s\":");
    bp_json_put_real(&b, f->min);
    bp_buf_put_str(&b, ",\"max_s\":");
    bp_json_put_real(&b, f->max);
    bp_buf_put_str(&b, ",\"stddev_s\":");
    bp_json_put_real(&b, f->stddev);
    bp_buf_put_str(&b, "}");
    if (bp_buf_cstr(&b))
        (void) puts(bp_buf_cstr(&b));
}

static void report(struct hz *h, bool named) {
    pthread_mutex_lock(&h->live.lock);
    for (struct meter *m = h->meters; m; m = m->chain) {
        struct figures f;
        bool fresh;

        compute(m, (size_t) h->o->window, &f);
        fresh = f.messages != m->reported;
        m->reported = f.messages;
        if (h->o->json) {
            print_json(m, &f, fresh);
            continue;
        }
        if (named)
            (void) printf("%s: ", m->topic->topic);
        if (!fresh)
            (void) printf("no new messages\n");
        else if (f.n < 2)
            (void) printf("one message so far\n");
        else
            (void) printf("%.3f Hz, between messages: min %.4f s, max %.4f s, deviation %.5f s, "
                          "window %zu%s",
                          f.rate, f.min, f.max, f.stddev, f.n, f.lost ? "" : "\n");
        if (fresh && f.n >= 2 && f.lost)
            (void) printf(", lost %" PRIu64 "\n", f.lost);
    }
    pthread_mutex_unlock(&h->live.lock);
    (void) fflush(stdout);
}

/* How many topics have been heard at all. */
static int heard(struct hz *h, int *ret_known) {
    int n = 0;

    *ret_known = 0;
    pthread_mutex_lock(&h->live.lock);
    for (struct meter *m = h->meters; m; m = m->chain) {
        pthread_mutex_lock(&m->lock);
        n += m->messages > 0;
        pthread_mutex_unlock(&m->lock);
        ++*ret_known;
    }
    pthread_mutex_unlock(&h->live.lock);
    return n;
}

static int hz_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    struct hz h = { .o = opts, .names = argv, .nnames = argc };
    struct bp_live_opts lo = {
        .domains = &h.o->domains, .want = wants, .topic = on_topic, .sample = on_sample, .ctx = &h
    };
    bp_ns_t start = bp_mono_ns(), tick = start;
    bool told = false;
    int rc = bp_live_open(&h.live, &lo, err), known = 0, n = 0;

    if (rc < 0)
        return rc;
    for (;;) {
        bool end;

        tick += BP_SEC;
        if (h.o->run)
            tick = BP_MIN(tick, start + h.o->run);
        end = bp_live_wait(&h.live, tick) || (h.o->run && bp_mono_ns() >= start + h.o->run);
        n = heard(&h, &known);
        if (known == 0 && !told && !end) {
            (void) fprintf(stderr, "waiting for %s\n", argc == 1 ? argv[0] : "topics");
            told = true;
        }
        report(&h, known > 1 || argc > 1);
        if (end || (h.o->once && n > 0 && n == known))
            break;
    }
    n = heard(&h, &known);
    bp_live_close(&h.live);
    while (h.meters) {
        struct meter *m = h.meters;

        h.meters = m->chain;
        meter_free(m);
    }
    return known && n == known ? BP_EXIT_DONE : BP_EXIT_FINDINGS;
}

const struct bp_verb bp_verb_hz = {
    .name = "hz",
    .args = "TOPIC…",
    .summary = "measure how often messages arrive",
    .description =
        "Prints rate and regularity of one or several topics every second, by time of arrival, and "
        "what got lost on the way by the writers' sequence numbers. '*' matches anything.\n\n"
        "Exit status: 0 every topic was heard, 1 a topic was silent or is not there.",
    .examples = "bagpipe hz /scan                 until Ctrl-C\n"
                "bagpipe hz '/robot1/*' --for 5s  all of a robot",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = -1,
    .run = hz_run,
};
