/* A publisher as robots run them: Cyclone DDS on its defaults, ROS 2 names, raw CDR. Keeps its own
 * log of what it sent, which is the truth the benches and tests judge by.
 *
 *   peer-pub DOMAIN LOG [topics=1] [size=100] [hz=100] [secs=5] [qos=reliable|best_effort]
 *            [depth=10, 0 = KEEP_ALL] [wait=1] [linger=2] [prefix=/peer]
 *
 * hz=0 publishes as fast as it goes, hz=-1 nothing at all. Topic i is PREFIX/t<i> of
 * std_msgs/msg/UInt8MultiArray, whose data begin with u64 sequence, u32 topic, u32 CRC-32 of the
 * rest. `wait`: until each writer has that many readers (20 s at most). Last line: a JSON summary.
 * SIGINT and SIGTERM end it early. Log lines, after the fact: mono_ns wall_ns topic guid sequence
 * size. */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include <dds/dds.h>

#include "blob.h"

enum { MAX_TOPICS = 4096, HEAD = 4 + 4 + 4 + 4 }; /* encapsulation, dims, offset, length */

struct topic {
    dds_entity_t writer;
    struct ddsi_sertype *type;
    char name[128], guid[33];
    uint64_t sent;
};

static struct topic topics[MAX_TOPICS];
static unsigned ntopics = 1;
static size_t size = 100;
static uint8_t *cdr; /* HEAD + size */
static FILE *log_file;
static uint64_t failed;
static int64_t worst_ns;
static volatile sig_atomic_t ending; /* a log without its last lines is no truth */

static void on_signal(int sig) {
    (void) sig;
    ending = 1;
}

static const char *opt(int argc, char **argv, const char *key, const char *otherwise) {
    size_t n = strlen(key);

    for (int i = 3; i < argc; i++)
        if (strncmp(argv[i], key, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
    return otherwise;
}

static int64_t clock_ns(clockid_t c) {
    struct timespec t;

    clock_gettime(c, &t);
    return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static void put32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t) (v >> (8 * i));
}

static void make_payload(void) {
    uint32_t x = 1;

    cdr = calloc(1, HEAD + size);
    if (!cdr)
        exit(1);
    cdr[1] = 1; /* CDR_LE */
    put32(cdr + 12, (uint32_t) size);
    for (size_t i = 16; i < size; i++)
        cdr[HEAD + i] = (uint8_t) ((x = x * 1664525 + 1013904223) >> 24);
    if (size >= 16)
        put32(cdr + HEAD + 12, (uint32_t) crc32(0, cdr + HEAD + 16, (uInt) (size - 16)));
}

static void open_topic(dds_entity_t pp, unsigned i, const char *prefix, bool reliable, int depth) {
    struct topic *t = &topics[i];
    char dds_name[160];
    dds_qos_t *q = dds_create_qos();
    dds_entity_t tp;
    dds_guid_t g;

    snprintf(t->name, sizeof t->name, "%s/t%u", prefix, i);
    snprintf(dds_name, sizeof dds_name, "rt%s", t->name);
    dds_qset_reliability(q, reliable ? DDS_RELIABILITY_RELIABLE : DDS_RELIABILITY_BEST_EFFORT,
                         DDS_SECS(10));
    dds_qset_history(q, depth ? DDS_HISTORY_KEEP_LAST : DDS_HISTORY_KEEP_ALL, depth);
    tp = blob_topic(pp, dds_name, "std_msgs::msg::dds_::UInt8MultiArray_", false, &t->type);
    t->writer = tp < 0 ? tp : dds_create_writer(pp, tp, q, NULL);
    dds_delete_qos(q);
    if (t->writer < 0 || dds_get_guid(t->writer, &g) < 0) {
        fprintf(stderr, "peer-pub: %s: %s\n", dds_name, dds_strretcode(-t->writer));
        exit(1);
    }
    for (int k = 0; k < 16; k++)
        snprintf(t->guid + 2 * k, 3, "%02x", g.v[k]);
}

static void wait_readers(unsigned want) {
    for (int tries = 0; tries < 2000 && !ending; tries++) {
        bool all = true;

        for (unsigned i = 0; i < ntopics && all; i++) {
            dds_publication_matched_status_t m;

            dds_get_publication_matched_status(topics[i].writer, &m);
            all = m.current_count >= want;
        }
        if (all)
            break;
        dds_sleepfor(DDS_MSECS(10));
    }
    dds_sleepfor(DDS_MSECS(300));
}

static void publish(struct topic *t, unsigned i) {
    uint64_t seq = t->sent + 1;
    int64_t before = clock_ns(CLOCK_MONOTONIC), after;

    if (size >= 12) {
        put32(cdr + HEAD, (uint32_t) seq);
        put32(cdr + HEAD + 4, (uint32_t) (seq >> 32));
        put32(cdr + HEAD + 8, i);
    }
    if (blob_write(t->writer, t->type, cdr, HEAD + size) != 0) {
        failed++;
        return;
    }
    after = clock_ns(CLOCK_MONOTONIC);
    if (after - before > worst_ns)
        worst_ns = after - before;
    t->sent = seq;
    fprintf(log_file, "%" PRId64 " %" PRId64 " %s %s %" PRIu64 " %zu\n", after,
            clock_ns(CLOCK_REALTIME), t->name, t->guid, seq, HEAD + size);
}

/* Publishes at even distances; @return seconds it took. */
static double send_all(double hz, double secs) {
    int64_t t0 = clock_ns(CLOCK_MONOTONIC), end = t0 + (int64_t) (secs * 1e9);
    uint64_t n = 0, total = (uint64_t) (hz * secs) * ntopics;

    if (hz < 0)
        dds_sleepfor(end - t0);
    while (!ending && (hz > 0 ? n < total : clock_ns(CLOCK_MONOTONIC) < end)) {
        if (hz > 0) {
            int64_t due = t0 + (int64_t) ((double) n / (hz * ntopics) * 1e9);
            int64_t wait = due - clock_ns(CLOCK_MONOTONIC);

            if (wait > 0) {
                fflush(log_file);
                dds_sleepfor(wait);
            }
        }
        publish(&topics[n % ntopics], (unsigned) (n % ntopics));
        n++;
    }
    fflush(log_file);
    return (double) (clock_ns(CLOCK_MONOTONIC) - t0) / 1e9;
}

int main(int argc, char **argv) {
    double hz, secs, took;
    uint64_t sent = 0;
    dds_entity_t pp;

    if (argc < 3) {
        fprintf(stderr, "usage: peer-pub DOMAIN LOG [key=value …]\n");
        return 2;
    }
    ntopics = (unsigned) strtoul(opt(argc, argv, "topics", "1"), NULL, 10);
    size = strtoul(opt(argc, argv, "size", "100"), NULL, 10);
    hz = strtod(opt(argc, argv, "hz", "100"), NULL);
    secs = strtod(opt(argc, argv, "secs", "5"), NULL);
    log_file = fopen(argv[2], "w");
    if (!log_file || ntopics > MAX_TOPICS) {
        perror(argv[2]);
        return 1;
    }
    (void) signal(SIGINT, on_signal);
    (void) signal(SIGTERM, on_signal);
    make_payload();
    pp = dds_create_participant((dds_domainid_t) strtoul(argv[1], NULL, 10), NULL, NULL);
    if (pp < 0)
        return 1;
    for (unsigned i = 0; i < ntopics; i++)
        open_topic(pp, i, opt(argc, argv, "prefix", "/peer"),
                   strcmp(opt(argc, argv, "qos", "reliable"), "reliable") == 0,
                   (int) strtol(opt(argc, argv, "depth", "10"), NULL, 10));
    wait_readers((unsigned) strtoul(opt(argc, argv, "wait", "1"), NULL, 10));
    took = send_all(hz, secs);
    if (!ending)
        dds_sleepfor((dds_duration_t) (strtod(opt(argc, argv, "linger", "2"), NULL) * 1e9));
    for (unsigned i = 0; i < ntopics; i++)
        sent += topics[i].sent;
    printf("{\"sent\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"wanted\": %.0f, \"secs\": %.3f, "
           "\"worst_write_ms\": %.1f}\n",
           sent, failed, hz > 0 ? (double) (uint64_t) (hz * secs) * ntopics : (double) sent, took,
           (double) worst_ns / 1e6);
    fflush(stdout);
    fclose(log_file);
    dds_delete(pp);
    free(cdr);
    return 0;
}
