/* A recorder built as rosbag2 is built, to measure ours against in the same run:
 *
 *   Cyclone DDS default read cache (KEEP_LAST 10, the offered reliability) -> waitset -> take ->
 *   copy into a heap message -> double-buffered cache of 100 MB, newest dropped when full ->
 *   one writer thread -> chunks of 768 KiB without CRC -> buffered write() of an MCAP file.
 *
 * No sync, no accounting, no compression: what `ros2 bag record` does by default. It is kinder to
 * itself than rosbag2 in three points: no executor between waitset and take, it takes all there is
 * per wake-up, and it resolves no type. Messages get no schema text. DDS configuration is Cyclone's
 * default unless CYCLONEDDS_URI says otherwise.
 *
 *   peer-plain OUT.mcap DOMAIN [no-write]      until SIGINT/SIGTERM; last line: a JSON summary
 *
 * `no-write` takes and counts only: the limit of this reception path without a disk. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dds/dds.h>
#include <dds/ddsi/ddsi_serdata.h>

#include "blob.h"

enum { MAX_TOPICS = 4096, CHUNK = 768 << 10, CACHE = 100 << 20 };

/* ---- the cache: two lists, as rosbag2_cpp's MessageCache ---- */

struct message {
    struct message *next;
    uint64_t log_ns, publish_ns;
    uint32_t size;
    uint16_t channel;
    uint8_t data[];
};

struct list {
    struct message *first, **end;
    size_t bytes;
};

static struct {
    pthread_mutex_t lock; /* leaf */
    pthread_cond_t more;
    struct list list; /* [lock] */
    bool stop;        /* [lock] */
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

/* [waitset thread], read by main after it ended */
static uint64_t taken, taken_bytes, dropped, not_alive;

static void list_clear(struct list *l) {
    *l = (struct list){ .end = &l->first };
}

static void cache_push(struct message *m) {
    bool full;

    pthread_mutex_lock(&cache.lock);
    full = cache.list.bytes + m->size > CACHE;
    if (!full) {
        *cache.list.end = m;
        cache.list.end = &m->next;
        cache.list.bytes += m->size;
        pthread_cond_signal(&cache.more);
    }
    pthread_mutex_unlock(&cache.lock);
    if (full) {
        dropped++;
        free(m);
    }
}

/* ---- the file ---- */

static const uint8_t magic[8] = { 0x89, 'M', 'C', 'A', 'P', '0', '\r', '\n' };
static int out = -1;
static uint64_t written; /* [writer thread] */

struct chunk {
    uint8_t *data;
    size_t n, cap;
    uint64_t start, end;
} chunk; /* [writer thread] */

static uint8_t *put(uint8_t *p, uint64_t v, int n) {
    for (int i = 0; i < n; i++)
        *p++ = (uint8_t) (v >> (8 * i));
    return p;
}

static uint8_t *put_text(uint8_t *p, const char *s) {
    size_t n = strlen(s);

    p = put(p, n, 4);
    memcpy(p, s, n);
    return p + n;
}

static void file_write(const void *p, size_t n) {
    const char *c = p;

    while (n) {
        ssize_t r = write(out, c, n);

        if (r < 0) {
            perror("peer-plain: write");
            exit(1);
        }
        c += r;
        n -= (size_t) r;
    }
}

static uint8_t *chunk_room(size_t n) {
    if (chunk.n + n > chunk.cap) {
        chunk.cap = (chunk.n + n) * 5 / 4 + CHUNK;
        chunk.data = realloc(chunk.data, chunk.cap);
        if (!chunk.data)
            exit(1);
    }
    return chunk.data + chunk.n;
}

static void chunk_flush(void) {
    uint8_t head[64], *p = head;

    if (!chunk.n)
        return;
    *p++ = 0x06;
    p = put(p, 8 + 8 + 8 + 4 + 4 + 8 + chunk.n, 8);
    p = put(p, chunk.start, 8);
    p = put(p, chunk.end, 8);
    p = put(p, chunk.n, 8);
    p = put(p, 0, 4); /* no CRC: rosbag2's default */
    p = put(p, 0, 4); /* "" */
    p = put(p, chunk.n, 8);
    file_write(head, (size_t) (p - head));
    file_write(chunk.data, chunk.n);
    chunk.n = 0;
    chunk.start = chunk.end = 0;
}

static void file_channel(uint16_t id, const char *topic, const char *type) {
    uint8_t *b = malloc(256 + strlen(topic) + strlen(type)), *p = b;

    if (!b)
        exit(1);
    *p++ = 0x03;
    p = put(p, 2 + 4 + strlen(type) + 4 + 4, 8);
    p = put(p, id, 2);
    p = put_text(p, type);
    p = put_text(p, "");
    p = put(p, 0, 4);
    *p++ = 0x04;
    p = put(p, 2 + 2 + 4 + strlen(topic) + 4 + 3 + 4, 8);
    p = put(p, id, 2);
    p = put(p, id, 2);
    p = put_text(p, topic);
    p = put_text(p, "cdr");
    p = put(p, 0, 4);
    memcpy(chunk_room((size_t) (p - b)), b, (size_t) (p - b));
    chunk.n += (size_t) (p - b);
    free(b);
}

static char topic_names[MAX_TOPICS][256], topic_types[MAX_TOPICS][256];

static void file_message(const struct message *m) {
    static bool known[MAX_TOPICS + 1];
    static uint32_t seqs[MAX_TOPICS + 1];
    uint8_t *p;

    if (!known[m->channel]) {
        known[m->channel] = true;
        file_channel(m->channel, topic_names[m->channel - 1], topic_types[m->channel - 1]);
    }
    p = chunk_room(31u + m->size);
    *p++ = 0x05;
    p = put(p, 22u + m->size, 8);
    p = put(p, m->channel, 2);
    p = put(p, ++seqs[m->channel], 4);
    p = put(p, m->log_ns, 8);
    p = put(p, m->publish_ns, 8);
    memcpy(p, m->data, m->size);
    chunk.n += 31u + m->size;
    if (!chunk.start)
        chunk.start = m->log_ns;
    chunk.end = m->log_ns;
    written++;
    if (chunk.n >= CHUNK)
        chunk_flush();
}

static void *writer(void *arg) {
    struct list l;
    bool stop = false;

    (void) arg;
    while (!stop) {
        pthread_mutex_lock(&cache.lock);
        while (!cache.list.first && !cache.stop)
            pthread_cond_wait(&cache.more, &cache.lock);
        stop = cache.stop;
        l = cache.list;
        list_clear(&cache.list);
        pthread_mutex_unlock(&cache.lock);
        for (struct message *m = l.first, *next; m; m = next) {
            next = m->next;
            if (out >= 0)
                file_message(m);
            free(m);
        }
    }
    return NULL;
}

static void file_open(const char *path) {
    uint8_t head[64], *p = head;

    out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (out < 0) {
        perror(path);
        exit(1);
    }
    memcpy(p, magic, sizeof magic);
    p += sizeof magic;
    *p++ = 0x01;
    p = put(p, 4 + 4 + 4 + 10, 8);
    p = put_text(p, "ros2");
    p = put_text(p, "peer-plain");
    file_write(head, (size_t) (p - head));
}

static void file_close(void) {
    uint8_t tail[64], *p = tail;

    chunk_flush();
    *p++ = 0x0f; /* DataEnd without CRC */
    p = put(p, 4, 8);
    p = put(p, 0, 4);
    *p++ = 0x02; /* Footer without summary */
    p = put(p, 20, 8);
    p = put(p, 0, 8);
    p = put(p, 0, 8);
    p = put(p, 0, 4);
    memcpy(p, magic, sizeof magic);
    p += sizeof magic;
    file_write(tail, (size_t) (p - tail));
    close(out);
}

/* ---- reception ---- */

static atomic_bool ended;
static dds_entity_t readers[MAX_TOPICS];
static unsigned ntopics;

static void on_signal(int sig) {
    (void) sig;
    atomic_store(&ended, true);
}

static void add_topic(dds_entity_t pp, dds_entity_t ws, const dds_builtintopic_endpoint_t *e) {
    dds_qos_t *q = dds_create_qos();
    dds_reliability_kind_t rel = DDS_RELIABILITY_BEST_EFFORT;
    dds_durability_kind_t dur = DDS_DURABILITY_VOLATILE;
    dds_entity_t tp, rd;

    dds_qget_reliability(e->qos, &rel, NULL);
    dds_qget_durability(e->qos, &dur);
    dds_qset_reliability(q, rel, DDS_SECS(1));
    dds_qset_durability(q, dur);
    dds_qset_history(q, DDS_HISTORY_KEEP_LAST, 10);
    snprintf(topic_names[ntopics], 256, "%s", e->topic_name + 2);
    snprintf(topic_types[ntopics], 256, "%s", e->type_name);
    tp = blob_topic(pp, e->topic_name, e->type_name, (e->key.v[15] & 0x0f) == 2, NULL);
    rd = tp < 0 ? tp : dds_create_reader(pp, tp, q, NULL);
    dds_delete_qos(q);
    if (rd < 0) {
        fprintf(stderr, "peer-plain: %s: %s\n", e->topic_name, dds_strretcode(-rd));
        return;
    }
    dds_set_status_mask(rd, DDS_DATA_AVAILABLE_STATUS);
    readers[ntopics] = rd;
    dds_waitset_attach(ws, rd, (dds_attach_t) ++ntopics);
}

static void discover(dds_entity_t pp, dds_entity_t ws, dds_entity_t pub) {
    void *s[64] = { NULL };
    dds_sample_info_t si[64];
    int n;

    while ((n = dds_take(pub, s, si, 64, 64)) > 0) {
        for (int i = 0; i < n; i++) {
            const dds_builtintopic_endpoint_t *e = s[i];
            bool known = false;

            if (!si[i].valid_data || si[i].instance_state != DDS_IST_ALIVE)
                continue;
            if (strncmp(e->topic_name, "rt/", 3) != 0 || ntopics == MAX_TOPICS)
                continue;
            for (unsigned k = 0; k < ntopics && !known; k++)
                known = strcmp(topic_names[k], e->topic_name + 2) == 0;
            if (!known)
                add_topic(pp, ws, e);
        }
        dds_return_loan(pub, s, n);
    }
}

static void take(unsigned k) {
    struct ddsi_serdata *d;
    dds_sample_info_t si;

    /* one by one, as rmw_take_serialized_message does */
    while (dds_takecdr(readers[k], &d, 1, &si, DDS_ANY_STATE) > 0) {
        uint32_t size = ddsi_serdata_size(d);
        struct message *m = si.valid_data ? malloc(sizeof *m + size) : NULL;

        if (m) {
            *m = (struct message){
                .log_ns = (uint64_t) dds_time(),
                .publish_ns = (uint64_t) si.source_timestamp,
                .size = size,
                .channel = (uint16_t) (k + 1),
            };
            ddsi_serdata_to_ser(d, 0, size, m->data);
            taken++;
            taken_bytes += size;
            cache_push(m);
        } else {
            not_alive++;
        }
        ddsi_serdata_unref(d);
    }
}

static void receive(dds_entity_t pp) {
    static dds_attach_t hit[MAX_TOPICS + 1];
    dds_entity_t ws = dds_create_waitset(pp);
    dds_entity_t pub = dds_create_reader(pp, DDS_BUILTIN_TOPIC_DCPSPUBLICATION, NULL, NULL);

    dds_set_status_mask(pub, DDS_DATA_AVAILABLE_STATUS);
    dds_waitset_attach(ws, pub, 0);
    discover(pp, ws, pub);
    while (!atomic_load(&ended)) {
        int n = dds_waitset_wait(ws, hit, MAX_TOPICS + 1, DDS_MSECS(100));

        for (int i = 0; i < n && i <= MAX_TOPICS; i++) {
            if (hit[i] == 0)
                discover(pp, ws, pub);
            else
                take((unsigned) hit[i] - 1);
        }
    }
}

int main(int argc, char **argv) {
    struct sigaction sa = { .sa_handler = on_signal };
    struct rusage ru;
    pthread_t th;
    dds_entity_t pp;

    if (argc < 3) {
        fprintf(stderr, "usage: peer-plain OUT.mcap DOMAIN [no-write]\n");
        return 2;
    }
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    list_clear(&cache.list);
    if (argc < 4)
        file_open(argv[1]);
    pp = dds_create_participant((dds_domainid_t) strtoul(argv[2], NULL, 10), NULL, NULL);
    if (pp < 0) {
        fprintf(stderr, "peer-plain: participant: %s\n", dds_strretcode(-pp));
        return 1;
    }
    if (pthread_create(&th, NULL, writer, NULL) != 0)
        return 1;
    fprintf(stderr, "peer-plain: ready\n");
    receive(pp);
    pthread_mutex_lock(&cache.lock);
    cache.stop = true;
    pthread_cond_signal(&cache.more);
    pthread_mutex_unlock(&cache.lock);
    pthread_join(th, NULL);
    if (out >= 0)
        file_close();
    getrusage(RUSAGE_SELF, &ru);
    printf("{\"taken\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"dropped\": %" PRIu64
           ", \"written\": %" PRIu64 ", \"topics\": %u, \"user_s\": %ld.%06ld, "
           "\"sys_s\": %ld.%06ld, \"maxrss_kb\": %ld}\n",
           taken, taken_bytes, dropped, written, ntopics, ru.ru_utime.tv_sec, ru.ru_utime.tv_usec,
           ru.ru_stime.tv_sec, ru.ru_stime.tv_usec, ru.ru_maxrss);
    fflush(stdout);
    dds_delete(pp);
    return 0;
}
