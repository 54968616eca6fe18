/* bagpipe's own src/dds with the options of the foreign peers in test/interop/peers, so that each
 * can talk to each. As a subscriber it logs the RTPS sequence number it lifted; "ok" means that the
 * payload is whole and carries that very number. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../interop/peers/peer.h"
#include "dds/dds.h"

static atomic_bool stop;
static struct peer o;
static struct bp_dds *dds;
static struct bp_sub *subs[8];
static struct {
    char type[256];
    bool keyed;
} known[8];
static atomic_uint nsubs;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_ullong received, bad;

static void on_signal(int sig) {
    (void) sig;
    atomic_store(&stop, true);
}

static void on_sample(void *ctx, const struct bp_sample *s) {
    size_t head = *(const bool *) ctx ? 12 : 8;
    uint8_t *p = malloc(s->size);
    uint32_t n = 0;
    bool ok;

    bp_sample_copy(s, p);
    if (s->size >= head)
        memcpy(&n, p + head - 4, 4);
    ok = s->size >= head + n && peer_check(p + head, n) == s->seq && s->seq > 0;
    free(p);
    pthread_mutex_lock(&log_lock);
    peer_log(&o, s->guid, s->seq, n, ok);
    pthread_mutex_unlock(&log_lock);
    atomic_fetch_add(&received, 1);
    if (!ok)
        atomic_fetch_add(&bad, 1);
}

static void on_endpoint(void *ctx, const struct bp_endpoint *e) {
    unsigned n = atomic_load(&nsubs);

    (void) ctx;
    if (strcmp(e->dds_topic, o.topic) != 0)
        return;
    fprintf(stderr, "%s %s %s keyed=%d vendor=%04x node=%s\n", e->writer ? "writer" : "reader",
            e->alive ? "alive" : "gone", e->type, e->keyed, e->vendor, e->node);
    if (!o.sub || !e->alive || !e->writer || n == 8)
        return;
    for (unsigned i = 0; i < n; i++)
        if (known[i].keyed == e->keyed && strcmp(known[i].type, e->dds_type) == 0)
            return;
    snprintf(known[n].type, sizeof known[n].type, "%s", e->dds_type);
    known[n].keyed = e->keyed;
    struct bp_sub_opts so = { .dds_topic = e->dds_topic,
                              .dds_type = e->dds_type,
                              .keyed = e->keyed,
                              .fn = on_sample,
                              .ctx = &known[n].keyed };
    if (bp_dds_subscribe(dds, &so, &subs[n], NULL) == 0)
        atomic_store(&nsubs, n + 1);
}

static void on_notice(void *ctx, const char *text) {
    (void) ctx;
    fprintf(stderr, "notice: %s\n", text);
}

static int publish(void) {
    struct bp_pub_opts po = {
        .topic = o.topic, .type = o.type, .raw_names = true, .keyed = o.keyed, .qos = bp_qos_default
    };
    struct bp_pub *pub;
    struct bp_error err;
    uint8_t guid[16], *cdr;
    size_t head = o.keyed ? 12 : 8;
    int64_t end = peer_ns(CLOCK_MONOTONIC) + (int64_t) (o.run_s * 1e9), next;
    uint64_t sent = 0;

    po.qos.history = o.keep_all ? BP_HISTORY_KEEP_ALL : BP_HISTORY_KEEP_LAST;
    po.qos.depth = o.depth;
    if (o.best_effort)
        po.qos.reliability = BP_RELIABILITY_BEST_EFFORT;
    if (o.transient_local)
        po.qos.durability = BP_DURABILITY_TRANSIENT_LOCAL;
    if (bp_dds_advertise(dds, &po, &pub, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    bp_pub_guid(pub, guid);
    while (o.wait_for && (uint32_t) bp_pub_matched(pub) < o.wait_for && !atomic_load(&stop) &&
           peer_ns(CLOCK_MONOTONIC) < end)
        bp_sleep(5 * BP_MS);
    if (o.wait_for)
        bp_sleep(100 * BP_MS);
    cdr = calloc(1, head + o.size);
    memcpy(cdr, "\0\1\0\0", 4);
    memcpy(cdr + head - 4, &o.size, 4);
    next = peer_ns(CLOCK_MONOTONIC);
    while (!atomic_load(&stop) && (!o.count || sent < o.count) && peer_ns(CLOCK_MONOTONIC) < end) {
        int32_t id = (int32_t) (sent % o.keys);
        int64_t seq;

        if (o.keyed)
            memcpy(cdr + 4, &id, 4);
        peer_fill(cdr + head, o.size, sent + 1);
        seq = bp_pub_write(pub, cdr, head + o.size, 0);
        if (seq < 0) {
            fprintf(stderr, "write: %s\n", bp_strerror((int) seq));
            continue;
        }
        sent++;
        peer_log(&o, guid, (uint64_t) seq, o.size, (uint64_t) seq == sent);
        if (o.rate > 0) {
            next += (int64_t) (1e9 / o.rate);
            peer_sleep_until(next);
        }
    }
    bp_sleep((bp_ns_t) (o.linger_s * 1e9));
    free(cdr);
    printf("sent %llu\n", (unsigned long long) sent);
    return 0;
}

int main(int argc, char **argv) {
    int rc = peer_options(&o, argc, argv);
    struct bp_dds_events ev = { .endpoint = on_endpoint, .notice = on_notice };
    struct bp_dds_opts d;
    struct bp_dds_stats st;
    struct bp_error err;

    if (rc)
        return rc > 0 ? 0 : 2;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (bp_dds_opts_from_env(&d, &err) < 0)
        goto fail;
    d.domain = o.domain;
    d.sender_tuned = !o.sub;
    if (bp_dds_open(&d, &ev, &dds, &err) < 0)
        goto fail;
    if (o.sub) {
        int64_t end = peer_ns(CLOCK_MONOTONIC) + (int64_t) (o.run_s * 1e9);

        while (!atomic_load(&stop) && (!o.count || atomic_load(&received) < o.count) &&
               peer_ns(CLOCK_MONOTONIC) < end)
            bp_sleep(5 * BP_MS);
        if (o.count)
            bp_sleep((bp_ns_t) (o.linger_s * 1e9)); /* what comes twice comes now */
    } else {
        rc = publish();
    }
    bp_dds_stats(dds, &st);
    bp_dds_close(dds);
    if (o.sub) {
        printf("received %llu bad %llu\n", (unsigned long long) received, (unsigned long long) bad);
        printf("rcvbuf %u udp-drops %llu endpoints %u participants %u\n", st.rcvbuf_bytes,
               (unsigned long long) st.udp_drops, st.endpoints, st.participants);
        rc = atomic_load(&bad) ? 1 : 0;
    }
    if (o.log)
        fclose(o.log);
    return rc;

fail:
    fprintf(stderr, "%s\n", err.text);
    return 1;
}
