#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "bag/reader.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/keys.h"
#include "cli/live.h"
#include "cli/remote.h"
#include "wire/field.h"
#include "wire/schema.h"

struct opts {
    struct bp_opt_list domains;
    int64_t count, max_items;
    bp_ns_t run;
    bool raw, once, json;
    const char *definitions, *field, *key;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "one JSON object per message and line", NULL, NULL,
      0, 0 },
    { "field", 'f', BP_OPT_TEXT, OPT(field), "PATH",
      "only this field, such as pose.position.x or transforms[0].header", NULL, NULL, 0, 0 },
    { "raw", 0, BP_OPT_FLAG, OPT(raw), NULL, "bytes as on the wire, in hex", NULL, NULL, 0, 0 },
    { "once", 0, BP_OPT_FLAG, OPT(once), NULL, "end after one message", NULL, NULL, 0, 0 },
    { "count", 'n', BP_OPT_INT, OPT(count), "N", "end after N messages", NULL, NULL, 1, 1e15 },
    { "for", 0, BP_OPT_DURATION, OPT(run), "TIME", "end after this time", NULL, NULL, 0, 0 },
    { "key", 0, BP_OPT_TEXT, OPT(key), "FILE", BP_CLI_KEY_HELP, NULL, NULL, 0, 0 },
    { "max-items", 0, BP_OPT_INT, OPT(max_items), "N",
      "most items of an array or letters of a text, 0 = all", "128", NULL, 0, 1e15 },
    { "definitions", 0, BP_OPT_TEXT, OPT(definitions), "DIR",
      "folder of .msg or .idl files for types of your own", NULL, NULL, 0, 0 },
    { "domain", 0, BP_OPT_LIST, OPT(domains), "ID[,ID…]", "ROS domains (ROS_DOMAIN_ID, else 0)",
      NULL, NULL, 0, 0 },
};

enum { QUEUE_BYTES = 64 << 20 };

/* A message on its way from the receive thread to the printing one. */
struct message {
    struct bp_live_topic *topic;
    struct message *next;
    bp_ns_t source_ns, recv_ns;
    uint64_t seq;
    size_t size;
    uint8_t data[];
};

struct echo {
    struct bp_live live;
    const struct opts *o;
    const char *name;
    pthread_mutex_t lock;
    struct message *first, **last; /* [lock] */
    size_t queued;                 /* [lock] bytes */
    uint64_t dropped;              /* [lock] printing was too slow */
    int wake;                      /* eventfd */
    struct bp_bag *bag;            /* a recording is shown, or NULL */
    struct bp_live_topic *topics;  /* of the recording, by index of channel */
    int failed;                    /* [printing] why it ends early; err says more */
    struct bp_error *err;
};

static bool wants(void *ctx, const struct bp_live_topic *t) {
    const struct echo *e = ctx;

    return bp_live_match(e->name, t);
}

static void on_sample(void *ctx, const struct bp_sample *s) {
    struct bp_live_topic *t = ctx;
    struct echo *e = t->live->o.ctx;
    struct message *m = malloc(sizeof *m + s->size);
    uint64_t one = 1;

    if (!m)
        return;
    m->topic = t;
    m->next = NULL;
    m->source_ns = s->source_ns;
    m->recv_ns = s->recv_ns;
    m->seq = s->seq;
    m->size = s->size;
    bp_sample_copy(s, m->data);
    pthread_mutex_lock(&e->lock);
    if (e->queued + m->size > QUEUE_BYTES) {
        e->dropped++;
        free(m);
    } else {
        e->queued += m->size;
        *e->last = m;
        e->last = &m->next;
    }
    pthread_mutex_unlock(&e->lock);
    (void) !write(e->wake, &one, sizeof one);
}

static struct message *next_message(struct echo *e) {
    struct message *m;

    pthread_mutex_lock(&e->lock);
    m = e->first;
    if (m) {
        e->first = m->next;
        e->queued -= m->size;
        if (!e->first)
            e->last = &e->first;
    }
    pthread_mutex_unlock(&e->lock);
    return m;
}

static void print_hex(const struct message *m) {
    (void) printf("%s seq %" PRIu64 ", %zu bytes\n", m->topic->topic, m->seq, m->size);
    for (size_t i = 0; i < m->size; i += 16) {
        size_t n = BP_MIN(m->size - i, (size_t) 16);

        (void) printf("%08zx ", i);
        for (size_t k = 0; k < 16; k++)
            if (k < n)
                (void) printf(" %02x", m->data[i + k]);
            else
                (void) printf("   ");
        (void) printf("  ");
        for (size_t k = 0; k < n; k++)
            (void) putchar(m->data[i + k] >= 32 && m->data[i + k] < 127 ? m->data[i + k] : '.');
        (void) putchar('\n');
    }
}

/* ---- decoding ---- */

/* What is known of a topic's type; made with its first message, kept in its `user`. */
struct decoder {
    struct bp_schema *schema; /* NULL: unknown, messages are shown as bytes */
    struct bp_field *field;   /* --field in it, or NULL */
};

static int find_definition(const struct bp_live_topic *t, struct bp_schema **ret,
                           struct bp_error *err) {
    BP_AUTO_BUF text = { 0 };
    char hash[72] = "";
    int rc = bp_typedb_text(t->type, &text, err);

    if (rc < 0)
        return bp_fail(err, rc, "the definition of '%s' is not known, give it by --definitions",
                       t->type);
    rc = bp_schema_parse(t->type, "ros2msg", (struct bp_str){ (const char *) text.p, text.n }, ret,
                         err);
    if (rc < 0)
        return rc;
    /* Both know the hash: then the robot's message must be the one that we know. */
    if (t->type_hash[0] && bp_schema_hash(*ret, hash, NULL) == 0 && !bp_streq(hash, t->type_hash)) {
        bp_schema_free(BP_TAKE_PTR(*ret));
        return bp_fail(err, BP_EMISMATCH,
                       "the robot's '%s' has another definition than ours (%.15s… is not %.15s…), "
                       "give it by --definitions",
                       t->type, t->type_hash, hash);
    }
    return 0;
}

/* Of a recording: as it says itself, else as for a live topic. */
static int recorded_definition(const struct echo *e, const struct bp_live_topic *t,
                               struct bp_schema **ret, struct bp_error *err) {
    const struct bp_bag_channel *c = bp_bag_channel(e->bag, (size_t) (t - e->topics));

    if (!bp_streq(c->message_encoding, "cdr"))
        return bp_fail(err, BP_EUNSUPPORTED, "messages are encoded as '%s', only 'cdr' is known",
                       c->message_encoding);
    if (c->schema.n && bp_schema_parse(c->type, c->schema_encoding, c->schema, ret, err) >= 0)
        return 0;
    return find_definition(t, ret, err);
}

/* Without its definition a topic is shown as bytes, but its fields cannot be: then nothing is to be
 * expected of a topic that was asked for by name, while of many some may have the field. */
static const struct decoder *decoder_of(struct echo *e, struct bp_live_topic *t) {
    struct decoder *d = t->user;
    struct bp_error err = { 0 };
    int rc;

    if (d)
        return d;
    d = t->user = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    rc =
        e->bag ? recorded_definition(e, t, &d->schema, &err) : find_definition(t, &d->schema, &err);
    if (rc == 0 && e->o->field)
        rc = bp_field_find(d->schema, e->o->field, &d->field, &err);
    if (rc < 0 && e->o->field && !strchr(e->name, '*'))
        e->failed = bp_fail(e->err, rc, "--field %s: %s", e->o->field, err.text);
    else if (rc < 0)
        bp_log(BP_LOG_WARNING, err.text, BP_F_TEXT("topic", t->topic));
    return d;
}

static int put_message_json(const struct echo *e, const struct message *m, const struct decoder *d,
                            struct bp_buf *b, struct bp_error *err) {
    if (!e->o->field) {
        bp_buf_put_str(b, ",\"message\":");
        return d && d->schema ? bp_schema_to_json(d->schema, m->data, m->size, false, b, err) : 1;
    }
    bp_buf_put_str(b, ",\"field\":");
    bp_json_put_text(b, e->o->field, strlen(e->o->field));
    bp_buf_put_str(b, ",\"value\":");
    return bp_field_to_json(d->field, m->data, m->size, false, b, err);
}

static void print_json(const struct echo *e, const struct message *m, const struct decoder *d) {
    BP_AUTO_BUF b = { 0 };
    BP_AUTO_BUF message = { 0 };
    struct bp_error err;
    int rc;

    bp_buf_put_str(&b, "{\"topic\":");
    bp_json_put_text(&b, m->topic->topic, strlen(m->topic->topic));
    bp_buf_printf(&b,
                  ",\"domain\":%u,\"sequence\":%" PRIu64 ",\"source_ns\":%" PRId64
                  ",\"received_ns\":%" PRId64 ",\"bytes\":%zu",
                  m->topic->domain, m->seq, m->source_ns, m->recv_ns, m->size);
    rc = put_message_json(e, m, d, &message, &err);
    if (rc == 0)
        bp_buf_put(&b, message.p, message.n);
    else
        bp_buf_put_str(&b, e->o->field ? ",\"value\":null" : ",\"message\":null");
    if (rc < 0)
        bp_log(BP_LOG_WARNING, err.text, BP_F_TEXT("topic", m->topic->topic));
    bp_buf_put_u8(&b, '}');
    if (bp_buf_cstr(&b))
        (void) puts(bp_buf_cstr(&b));
}

static void print_text(const struct echo *e, const struct message *m, const struct decoder *d) {
    size_t most = (size_t) e->o->max_items;
    BP_AUTO_BUF b = { 0 };
    struct bp_error err;
    int rc = d->field ? bp_field_to_text(d->field, m->data, m->size, most, &b, &err)
                      : bp_schema_to_text(d->schema, m->data, m->size, most, &b, &err);

    if (rc < 0) {
        bp_log(BP_LOG_WARNING, err.text, BP_F_TEXT("topic", m->topic->topic));
        print_hex(m);
        return;
    }
    (void) fwrite(b.p, 1, b.n, stdout);
    (void) puts(b.n && b.p[b.n - 1] == '\n' ? "---" : "\n---");
}

/* @return false when there was nothing to be shown */
static bool print_message(struct echo *e, const struct message *m) {
    const struct decoder *d = e->o->raw ? NULL : decoder_of(e, m->topic);

    if (e->o->field && (!d || !d->field))
        return false;
    if (e->o->json)
        print_json(e, m, d);
    else if (d && d->schema)
        print_text(e, m, d);
    else
        print_hex(m);
    return true;
}

/* Waits for a message, Ctrl-C or the end of the time. @return true when it is time to end */
static bool wait_more(struct echo *e, bp_ns_t end) {
    struct pollfd p[2] = { { .fd = e->live.signals, .events = POLLIN },
                           { .fd = e->wake, .events = POLLIN } };
    bp_ns_t left = end ? end - bp_mono_ns() : BP_SEC;
    uint64_t n;

    if (end && left <= 0)
        return true;
    (void) poll(p, 2, (int) BP_MIN(left / BP_MS + 1, (bp_ns_t) 1000));
    (void) !read(e->wake, &n, sizeof n);
    return (p[0].revents & POLLIN) != 0;
}

static uint64_t loop(struct echo *e) {
    uint64_t wanted = e->o->once ? 1 : (uint64_t) e->o->count, n = 0;
    bp_ns_t start = bp_mono_ns(), end = e->o->run ? start + e->o->run : 0;
    bool told = false;

    for (;;) {
        struct message *m = next_message(e);

        if (m) {
            n += print_message(e, m);
            free(m);
            if (e->failed || (wanted && n == wanted))
                return n;
            continue;
        }
        (void) fflush(stdout);
        if (wait_more(e, end))
            return n;
        if (!told && n == 0 && bp_mono_ns() - start > 2 * BP_SEC) {
            (void) fprintf(stderr, "waiting for messages on %s\n", e->name);
            told = true;
        }
    }
}

static void forget_decoder(const struct bp_live_topic *t) {
    struct decoder *d = t->user;

    if (d) {
        bp_field_free(d->field);
        bp_schema_free(d->schema);
    }
    free(d);
}

static int end_of(const struct echo *e, uint64_t n) {
    return e->failed ? e->failed : n ? BP_EXIT_DONE : BP_EXIT_FINDINGS;
}

static int echo_live(struct echo *e) {
    struct bp_live_opts lo = {
        .domains = &e->o->domains, .want = wants, .sample = on_sample, .ctx = e
    };
    uint64_t n;
    int rc;

    e->last = &e->first;
    pthread_mutex_init(&e->lock, NULL);
    e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = e->wake < 0 ? bp_fail(e->err, -errno, "eventfd: %s", bp_strerror(-errno))
                     : bp_live_open(&e->live, &lo, e->err);
    if (rc < 0) {
        pthread_mutex_destroy(&e->lock);
        if (e->wake >= 0)
            (void) close(e->wake);
        return rc;
    }
    n = loop(e);
    bp_live_stop(&e->live);
    for (struct bp_live_topic *t = e->live.topics; t; t = t->next)
        forget_decoder(t);
    bp_live_close(&e->live);
    for (struct message *m; (m = next_message(e));)
        free(m);
    if (e->dropped)
        bp_log(BP_LOG_WARNING, "printing was slower than the topic, messages were skipped",
               BP_F_UINT("messages", e->dropped));
    (void) close(e->wake);
    pthread_mutex_destroy(&e->lock);
    return end_of(e, n);
}

/* ---- of a recording ---- */

/* Its topics as if they were on a graph. @param ret_wanted  by index of channel; owned, free()
 * @return how many are wanted, or negative */
static int take_topics(struct echo *e, size_t n, bool **ret_wanted, struct bp_error *err) {
    bool *wanted = calloc(n + 1, sizeof *wanted);
    int found = 0;

    e->topics = calloc(n + 1, sizeof *e->topics);
    *ret_wanted = wanted;
    if (!wanted || !e->topics)
        return bp_fail(err, -ENOMEM, "no memory for topics");
    for (size_t i = 0; i < n; i++) {
        const struct bp_bag_channel *c = bp_bag_channel(e->bag, i);

        e->topics[i] = (struct bp_live_topic){ .topic = (char *) (uintptr_t) c->topic,
                                               .type = (char *) (uintptr_t) c->type,
                                               .type_hash = (char *) (uintptr_t) c->type_hash,
                                               .domain = c->domain };
        wanted[i] = bp_live_match(e->name, &e->topics[i]);
        found += wanted[i];
    }
    return found ? found
                 : bp_fail(err, -ENOENT,
                           "there is no topic '%s' in the recording: `bagpipe info` "
                           "lists them",
                           e->name);
}

static int print_recorded(struct echo *e, const struct bp_bag_msg *x, struct bp_error *err) {
    struct message *m = malloc(sizeof *m + x->size);
    int shown;

    if (!m)
        return bp_fail(err, -ENOMEM, "no memory for a message");
    *m = (struct message){ .topic = &e->topics[x->channel->index],
                           .source_ns = x->publish_ns,
                           .recv_ns = x->log_ns,
                           .seq = x->sequence,
                           .size = x->size };
    memcpy(m->data, x->data, x->size);
    shown = print_message(e, m);
    free(m);
    return shown;
}

static int print_all(struct echo *e, const bool *wanted, uint64_t *ret_n, struct bp_error *err) {
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    uint64_t most = e->o->once ? 1 : (uint64_t) e->o->count;
    struct bp_bag_filter f = { .channels = wanted, .skip_repeated = true };
    struct bp_bag_msg x;
    int r;

    if (e->o->run) {
        f.from_ns = bp_bag_get_info(e->bag)->start_ns;
        f.to_ns = f.from_ns + e->o->run;
    }
    r = bp_bag_iterate(e->bag, &f, &it, err);
    while (r >= 0 && !e->failed && (!most || *ret_n < most) && (r = bp_bag_next(it, &x, err)) > 0) {
        r = print_recorded(e, &x, err);
        if (r > 0)
            ++*ret_n;
    }
    return r;
}

static int echo_recorded(struct echo *e, char *const paths[], int npaths) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *bag = NULL;
    BP_AUTO_FREE bool *wanted = NULL;
    size_t channels = 0;
    uint64_t n = 0;
    int r = bp_cli_add_keys(e->o->key, e->err);

    if (r >= 0 && e->o->domains.n)
        r = bp_fail(e->err, BP_EUSAGE, "--domain is for topics of a graph, not of a recording");
    bp_cli_remote();
    if (r >= 0)
        r = bp_bag_open((const char *const *) paths, (size_t) npaths, &bag, e->err);
    if (r < 0)
        return r;
    e->bag = bag;
    channels = bp_bag_get_info(bag)->nchannels;
    r = take_topics(e, channels, &wanted, e->err);
    if (r >= 0)
        r = print_all(e, wanted, &n, e->err);
    for (size_t i = 0; e->topics && i < channels; i++)
        forget_decoder(&e->topics[i]);
    free(e->topics);
    return r < 0 ? r : end_of(e, n);
}

static int echo_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    struct echo e = { .o = opts, .name = argv[0], .err = err };
    int rc;

    if (e.o->field && e.o->raw)
        return bp_fail(err, BP_EUSAGE, "--raw shows bytes, which have no --field");
    rc = e.o->definitions ? bp_typedb_add_dir(e.o->definitions, err) : 0;
    if (rc < 0)
        return rc;
    return argc > 1 ? echo_recorded(&e, argv + 1, argc - 1) : echo_live(&e);
}

const struct bp_verb bp_verb_echo = {
    .name = "echo",
    .args = "TOPIC [PATH…]",
    .summary = "print the messages of a topic, live or of a recording",
    .description =
        "Joins the graph and prints what arrives on a topic, decoded; with a PATH what a recording "
        "has of it. '*' matches anything. "
        "Types of the common ROS 2 packages are known, others are looked for below "
        "AMENT_PREFIX_PATH and --definitions; what stays unknown is printed as bytes. With --field "
        "only the field's value is printed: a number, a text, an array or all below it; null where "
        "a message has no such item."
        "\n\n" BP_CLI_REMOTE_DESCRIPTION "\n\n"
        "Exit status: 0 at least one message came, 1 none.",
    .examples = "bagpipe echo /odom --once\n"
                "bagpipe echo '/robot1/*' --json --for 5s\n"
                "bagpipe echo /odom --field pose.pose.position\n"
                "bagpipe echo /tf -f 'transforms[0].header.stamp.sec' --json\n"
                "bagpipe echo /chatter --raw -n 3\n"
                "bagpipe echo /odom drive_7 --json                 of a recording\n"
                "bagpipe echo /odom http://site:8080/sessions/drive_7 --once",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = -1,
    .run = echo_run,
};
