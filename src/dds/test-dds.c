/* Two domain objects in one process that meet over lo: everything a recorder and a player need. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dds/dds.h"

enum { DOMAIN = 60, WAIT_S = 10 };

static struct bp_dds_opts opts(bool sender) {
    return (struct bp_dds_opts){ .domain = DOMAIN, .localhost_only = true, .sender_tuned = sender };
}

/* ---- what the graph said ---- */

struct seen {
    pthread_mutex_t lock;
    struct bp_endpoint e; /* last one on `topic` */
    char topic[64], type[64], hash[80], node[64], dds_type[64];
    int alive, gone;
    const char *want;
};

static void on_endpoint(void *ctx, const struct bp_endpoint *e) {
    struct seen *s = ctx;

    if (strcmp(e->topic, s->want) != 0)
        return;
    pthread_mutex_lock(&s->lock);
    s->e = *e;
    (void) snprintf(s->topic, sizeof s->topic, "%s", e->topic);
    (void) snprintf(s->type, sizeof s->type, "%s", e->type);
    (void) snprintf(s->hash, sizeof s->hash, "%s", e->type_hash);
    (void) snprintf(s->node, sizeof s->node, "%s", e->node);
    (void) snprintf(s->dds_type, sizeof s->dds_type, "%s", e->dds_type);
    if (e->alive)
        s->alive++;
    else
        s->gone++;
    pthread_mutex_unlock(&s->lock);
}

/* What is known now. The pointers inside `e` are gone, the copies beside it are not. */
static struct seen known(struct seen *s) {
    struct seen copy;

    pthread_mutex_lock(&s->lock);
    copy = *s;
    pthread_mutex_unlock(&s->lock);
    return copy;
}

#define WAIT_FOR(cond)                                 \
    do {                                               \
        bp_ns_t end_ = bp_mono_ns() + WAIT_S * BP_SEC; \
        while (!(cond) && bp_mono_ns() < end_)         \
            bp_sleep(2 * BP_MS);                       \
        assert_true(cond);                             \
    } while (0)

/* ---- what a subscription heard ---- */

struct heard {
    atomic_uint n, bad, history;
    _Atomic uint64_t last_seq;
    uint8_t buf[1 << 20];
    atomic_uint size;
    _Atomic int64_t source_ns;
    int token;
    atomic_uint slot_errors;
};

static void on_sample(void *ctx, const struct bp_sample *s) {
    struct heard *h = ctx;

    if (*s->writer_slot && *s->writer_slot != &h->token)
        atomic_fetch_add(&h->slot_errors, 1);
    *s->writer_slot = &h->token;
    if (s->size > sizeof h->buf || s->seq <= atomic_load(&h->last_seq)) {
        atomic_fetch_add(&h->bad, 1);
    } else {
        bp_sample_copy(s, h->buf);
        atomic_store(&h->size, s->size);
    }
    atomic_store(&h->last_seq, s->seq);
    atomic_store(&h->source_ns, s->source_ns);
    if (s->history)
        atomic_fetch_add(&h->history, 1);
    atomic_fetch_add(&h->n, 1);
}

struct pair {
    struct bp_dds *a, *b; /* a publishes, b listens */
    struct seen seen;
};

static void pair_open(struct pair *p, const char *want) {
    struct bp_dds_opts oa = opts(true), ob = opts(false);
    struct bp_dds_events ev = { .endpoint = on_endpoint, .ctx = &p->seen };
    struct bp_error err;

    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->seen.lock, NULL);
    p->seen.want = want;
    if (bp_dds_open(&oa, NULL, &p->a, &err) < 0 || bp_dds_open(&ob, &ev, &p->b, &err) < 0)
        fail_msg("%s", err.text);
}

static void pair_close(struct pair *p) {
    bp_dds_close(p->a);
    bp_dds_close(p->b);
    pthread_mutex_destroy(&p->seen.lock);
}

static struct bp_pub *advertise(struct pair *p, const char *topic, struct bp_qos q, bool keyed,
                                struct bp_node *node) {
    struct bp_pub_opts o = { .topic = topic,
                             .type = "std_msgs/msg/String",
                             .type_hash = "RIHS01_abc",
                             .qos = q,
                             .keyed = keyed,
                             .node = node };
    struct bp_pub *pub = NULL;

    assert_int_equal(bp_dds_advertise(p->a, &o, &pub, NULL), 0);
    return pub;
}

static struct bp_sub *subscribe(struct pair *p, const char *dds_topic, bool keyed,
                                struct heard *h) {
    struct bp_sub_opts o = { .dds_topic = dds_topic,
                             .dds_type = "std_msgs::msg::dds_::String_",
                             .keyed = keyed,
                             .fn = on_sample,
                             .ctx = h };
    struct bp_sub *s = NULL;

    assert_int_equal(bp_dds_subscribe(p->b, &o, &s, NULL), 0);
    return s;
}

static void send_at(struct bp_pub *pub, size_t n, uint8_t fill, int64_t want_seq, bp_ns_t source) {
    uint8_t *cdr = malloc(n);

    assert_non_null(cdr);
    memset(cdr, fill, n);
    memcpy(cdr, "\0\1\0\0", 4);
    assert_int_equal(bp_pub_write(pub, cdr, n, source), want_seq);
    free(cdr);
}

static void send(struct bp_pub *pub, size_t n, uint8_t fill, int64_t want_seq) {
    send_at(pub, n, fill, want_seq, 0);
}

/* ---- cases ---- */

static void test_live(void **state) {
    struct heard *h = calloc(1, sizeof *h);
    struct bp_qos q = bp_qos_default;
    struct bp_node *node;
    struct bp_pub *pub;
    struct bp_sub *sub;
    uint8_t guid[BP_GUID_LEN];
    struct seen now;
    struct pair p;

    (void) state;
    pair_open(&p, "/test/live");
    assert_int_equal(bp_dds_node(p.a, "/robot1", "talker", &node, NULL), 0);
    sub = subscribe(&p, "rt/test/live", false, h);
    q.history = BP_HISTORY_KEEP_ALL; /* keep-last loses when it writes faster than we read */
    pub = advertise(&p, "/test/live", q, false, node);
    WAIT_FOR(bp_pub_matched(pub) > 0);
    for (int i = 1; i <= 50; i++)
        send_at(pub, i == 25 ? 300000 : 20, (uint8_t) i, i, 1700000000000000000 + i);
    WAIT_FOR(atomic_load(&h->n) == 50);
    assert_int_equal(atomic_load(&h->bad), 0);
    assert_int_equal(atomic_load(&h->slot_errors), 0);
    assert_int_equal(atomic_load(&h->last_seq), 50);
    assert_int_equal(atomic_load(&h->source_ns), 1700000000000000050);
    assert_int_equal(atomic_load(&h->size), 20);
    assert_memory_equal(h->buf, "\0\1\0\0\x32\x32", 6);

    WAIT_FOR(strcmp(known(&p.seen).node, "/robot1/talker") == 0);
    now = known(&p.seen);
    assert_string_equal(now.type, "std_msgs/msg/String");
    assert_string_equal(now.hash, "RIHS01_abc");
    assert_string_equal(now.dds_type, "std_msgs::msg::dds_::String_");
    assert_true(now.e.writer);
    assert_false(now.e.keyed);
    assert_int_equal(now.e.kind, BP_ENDPOINT_TOPIC);
    assert_int_equal(now.e.vendor, 0x0110);
    assert_int_equal(now.e.domain, DOMAIN);
    assert_int_equal(now.e.qos.reliability, BP_RELIABILITY_RELIABLE);
    assert_int_equal(now.e.qos.history, BP_HISTORY_KEEP_ALL);
    bp_pub_guid(pub, guid);
    assert_memory_equal(guid, now.e.guid, BP_GUID_LEN);

    bp_pub_close(pub);
    WAIT_FOR(known(&p.seen).gone > 0);
    bp_sub_close(sub);
    pair_close(&p);
    free(h);
}

/* A late joiner gets what a latched writer keeps, and live samples after it, each once. */
static void test_latched(void **state) {
    struct heard *h = calloc(1, sizeof *h);
    struct bp_qos q = bp_qos_default;
    struct bp_pub *pub;
    struct pair p;

    (void) state;
    q.durability = BP_DURABILITY_TRANSIENT_LOCAL;
    q.depth = 5;
    pair_open(&p, "/test/latched");
    pub = advertise(&p, "/test/latched", q, false, NULL);
    for (int i = 1; i <= 8; i++)
        send(pub, 64, (uint8_t) i, i);
    (void) subscribe(&p, "rt/test/latched", false, h);
    WAIT_FOR(atomic_load(&h->n) == 5);
    for (int i = 9; i <= 12; i++)
        send(pub, 64, (uint8_t) i, i);
    WAIT_FOR(atomic_load(&h->n) == 9);
    assert_int_equal(atomic_load(&h->bad), 0);
    assert_int_equal(atomic_load(&h->history), 5);
    pair_close(&p);
    free(h);
}

/* One subscription, writers of every kind: each is heard, none twice. */
static void test_mixed(void **state) {
    static const struct {
        enum bp_reliability r;
        enum bp_durability d;
    } kinds[] = {
        { BP_RELIABILITY_BEST_EFFORT, BP_DURABILITY_VOLATILE },
        { BP_RELIABILITY_RELIABLE, BP_DURABILITY_VOLATILE },
        { BP_RELIABILITY_RELIABLE, BP_DURABILITY_TRANSIENT_LOCAL },
        { BP_RELIABILITY_BEST_EFFORT, BP_DURABILITY_TRANSIENT_LOCAL },
    };
    struct heard *h = calloc(1, sizeof *h);
    struct bp_pub *pubs[BP_COUNT(kinds)];
    struct pair p;

    (void) state;
    pair_open(&p, "/test/mixed");
    (void) subscribe(&p, "rt/test/mixed", false, h);
    for (size_t i = 0; i < BP_COUNT(kinds); i++) {
        struct bp_qos q = bp_qos_default;

        q.reliability = kinds[i].r;
        q.durability = kinds[i].d;
        pubs[i] = advertise(&p, "/test/mixed", q, false, NULL);
    }
    for (size_t i = 0; i < BP_COUNT(kinds); i++)
        WAIT_FOR(bp_pub_matched(pubs[i]) >= (kinds[i].r == BP_RELIABILITY_RELIABLE ? 2 : 1));
    bp_sleep(100 * BP_MS);
    for (int n = 1; n <= 20; n++)
        for (size_t i = 0; i < BP_COUNT(kinds); i++) {
            send(pubs[i], 32, (uint8_t) n, n);
            bp_sleep(BP_MS);
        }
    WAIT_FOR(atomic_load(&h->n) >= 80);
    bp_sleep(200 * BP_MS);
    assert_int_equal(atomic_load(&h->n), 80);
    pair_close(&p);
    free(h);
}

static void test_keyed(void **state) {
    struct heard *h = calloc(1, sizeof *h), *wrong = calloc(1, sizeof *wrong);
    struct bp_pub *pub;
    struct pair p;

    (void) state;
    pair_open(&p, "/test/keyed");
    (void) subscribe(&p, "rt/test/keyed", true, h);
    (void) subscribe(&p, "rt/test/keyed", false, wrong);
    pub = advertise(&p, "/test/keyed", bp_qos_default, true, NULL);
    WAIT_FOR(bp_pub_matched(pub) > 0);
    for (int i = 1; i <= 10; i++)
        send(pub, 32, (uint8_t) i, i);
    WAIT_FOR(atomic_load(&h->n) == 10);
    WAIT_FOR(known(&p.seen).alive > 0);
    assert_true(known(&p.seen).e.keyed);
    assert_int_equal(atomic_load(&wrong->n), 0);
    pair_close(&p);
    free(h);
    free(wrong);
}

/* After close no callback runs, though the writer goes on. */
static void test_close(void **state) {
    struct heard *h = calloc(1, sizeof *h);
    struct bp_pub *pub;
    struct bp_sub *sub;
    struct pair p;
    int64_t seq = 0;
    unsigned n;

    (void) state;
    pair_open(&p, "/test/close");
    pub = advertise(&p, "/test/close", bp_qos_default, false, NULL);
    for (int round = 0; round < 5; round++) {
        sub = subscribe(&p, "rt/test/close", false, h);
        WAIT_FOR(bp_pub_matched(pub) > 0);
        for (int i = 0; i < 20; i++)
            send(pub, 32, 1, ++seq);
        bp_sub_close(sub);
        n = atomic_load(&h->n);
        for (int i = 0; i < 5; i++)
            send(pub, 32, 1, ++seq);
        assert_int_equal(atomic_load(&h->n), n);
        WAIT_FOR(bp_pub_matched(pub) == 0);
    }
    pair_close(&p);
    free(h);
}

static void test_env(void **state) {
    struct bp_dds_opts o;
    struct bp_error err;

    (void) state;
    setenv("ROS_DOMAIN_ID", "61", 1);
    setenv("ROS_LOCALHOST_ONLY", "1", 1);
    assert_int_equal(bp_dds_opts_from_env(&o, &err), 0);
    assert_int_equal(o.domain, 61);
    assert_true(o.localhost_only);
    setenv("ROS_DOMAIN_ID", "x", 1);
    assert_int_equal(bp_dds_opts_from_env(&o, &err), BP_ECONFIG);
    unsetenv("ROS_DOMAIN_ID");
    setenv("ROS_SECURITY_ENABLE", "true", 1);
    assert_int_equal(bp_dds_opts_from_env(&o, &err), BP_EUNSUPPORTED);
    unsetenv("ROS_SECURITY_ENABLE");
    setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "EVERYWHERE", 1);
    assert_int_equal(bp_dds_opts_from_env(&o, &err), BP_ECONFIG);
    unsetenv("ROS_AUTOMATIC_DISCOVERY_RANGE");
    unsetenv("ROS_LOCALHOST_ONLY");
}

static _Atomic int notes;
static char note[400];

static void on_notice(void *ctx, const char *text) {
    (void) ctx;
    if (strstr(text, "Nonsense")) {
        (void) snprintf(note, sizeof note, "%s", text);
        notes++;
    }
}

/* The user's own configuration comes after ours; what Cyclone does not know is named and left out,
 * the rest of it still counts. */
static void test_config(void **state) {
    struct bp_dds_opts o = opts(false);
    struct bp_dds_events ev = { .notice = on_notice };
    struct bp_dds *d = NULL;
    struct bp_error err;

    (void) state;
    o.config_uri = "<CycloneDDS><Domain Id='60'><General><Nonsense a='1'><B/></Nonsense>"
                   "</General></Domain></CycloneDDS>";
    if (bp_dds_open(&o, &ev, &d, &err) < 0)
        fail_msg("%s", err.text);
    WAIT_FOR(notes == 1);
    bp_dds_close(d);

    o.config_uri = "<CycloneDDS><Domain Id='60'><General><MaxMessageSize>much</MaxMessageSize>"
                   "</General></Domain></CycloneDDS>";
    assert_int_equal(bp_dds_open(&o, &ev, &d, &err), BP_EDDS);
    assert_non_null(strstr(err.text, "MaxMessageSize"));
    o.config_uri = "file:///nonexistent.xml";
    assert_int_equal(bp_dds_open(&o, &ev, &d, &err), -ENOENT);
    o.config_uri = NULL;
    o.domain = 233;
    assert_int_equal(bp_dds_open(&o, &ev, &d, &err), BP_ECONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live),   cmocka_unit_test(test_latched), cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_keyed),  cmocka_unit_test(test_close),   cmocka_unit_test(test_env),
        cmocka_unit_test(test_config),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
