/* wp-producer DIR LOG [key=value …]: drives the write path as a recorder would, and notes outside
 * of it what was accepted when. For tests that kill it, cut its disk's power, or let the disk fail.
 *   load=low|mixed|high  threads=N  secs=S  comp=none|lz4|zstd  split=MiB  ring=MiB  ringdir=DIR
 *   seed=N  resume=1  interval=MS  minfree=MiB  full=wait|stop|rotate  mbps=N  size=BYTES
 *   sync=fast|commit|strict  sign=KEYFILE */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bag/writer.h"
#include "base/crc.h"
#include "base/io-fault.h"
#include "base/time.h"
#include "crypt/sign.h"
#include "wp-log.h"

static volatile sig_atomic_t stop;

static void on_signal(int sig) {
    (void) sig;
    stop = 1;
}

static const char *value(int argc, char **argv, const char *key, const char *def) {
    size_t n = strlen(key);

    for (int i = 3; i < argc; i++)
        if (strncmp(argv[i], key, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
    return def;
}

static long number(int argc, char **argv, const char *key, const char *def) {
    return strtol(value(argc, argv, key, def), NULL, 10);
}

struct producer {
    struct bp_writer *w;
    struct wp_source *log;
    uint32_t id, source;
    double rate; /* bytes per second */
    int mixed;
    uint32_t size;
    unsigned seed;
    double secs;
    const uint8_t *noise;
    uint64_t first_seq;
};

static const struct producer *noise_of;

static void fill(const void *ctx, uint8_t *dst) {
    const struct wp_payload *p = ctx;

    memcpy(dst, p, sizeof *p);
    memcpy(dst + sizeof *p, noise_of->noise + p->seq % 4096, p->size - sizeof *p);
}

static uint32_t pick(struct producer *p) {
    static const uint32_t sizes[] = { 100, 4096, 1 << 20, 6 << 20 };
    unsigned r = (unsigned) rand_r(&p->seed) % 1000;

    if (!p->mixed)
        return p->size;
    return sizes[r < 700 ? 0 : r < 980 ? 1 : r < 998 ? 2 : 3];
}

static int offer(struct producer *p, uint64_t seq, uint32_t size) {
    struct wp_payload pl = { .source = p->id, .size = size, .seq = seq };
    struct bp_accept m = {
        .source = p->source, .seq = seq, .size = size, .copy = fill, .ctx = &pl
    };
    int r;

    pl.crc = bp_crc32(0, p->noise + seq % 4096, size - sizeof pl);
    m.log_ns = m.publish_ns = bp_wall_ns();
    r = bp_writer_accept(p->w, &m);
    p->log->e[seq].wall_ns = bp_wall_ns();
    p->log->e[seq].mono_ns = r == 0 ? bp_mono_ns() : 0;
    __atomic_store_n(&p->log->n, seq, __ATOMIC_RELEASE);
    return r;
}

static void *produce(void *arg) {
    struct producer *p = arg;
    bp_ns_t start = bp_mono_ns(), due = start;

    for (uint64_t seq = p->first_seq; seq < WP_ENTRIES && !stop; seq++) {
        uint32_t size = pick(p);

        if ((double) (bp_mono_ns() - start) > p->secs * 1e9)
            break;
        (void) offer(p, seq, size);
        due += (bp_ns_t) (size / p->rate * 1e9);
        if (due > bp_mono_ns() + BP_MS)
            bp_sleep_until(due);
    }
    return NULL;
}

static void on_event(void *ctx, const struct bp_writer_event *e) {
    (void) ctx;
    if (e->kind > BP_WRITER_SEGMENT_CLOSED)
        (void) fprintf(stderr, "%s\n", e->text);
}

static struct wp_source *map_log(const char *path) {
    size_t bytes = WP_SOURCES * sizeof(struct wp_source);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    void *p = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t) bytes) == 0)
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    (void) close(fd);
    return p;
}

static void add(struct producer *p, struct bp_error *err) {
    char topic[32];
    struct bp_channel_def c = { .topic = topic,
                                .type = "test_msgs/msg/Blob",
                                .schema_encoding = "ros2msg",
                                .schema = BP_STR("uint8[] data\n"),
                                .type_hash = "",
                                .qos_yaml = "",
                                .priority = BP_PRIORITY_HIGH };
    struct bp_source_def s = { .guid = { (uint8_t) (p->id + 1), 9 }, .node = "/producer" };
    int r;

    (void) snprintf(topic, sizeof topic, "/t%u", p->id);
    r = bp_writer_channel(p->w, &c, err);
    s.channel = (uint16_t) r;
    if (r > 0)
        r = bp_writer_source(p->w, &s, err);
    if (r < 0) {
        (void) fprintf(stderr, "%s\n", err->text);
        exit(2);
    }
    p->source = (uint32_t) r;
}

static int print_stats(struct bp_writer *w) {
    struct bp_writer_stats st;

    bp_writer_stats(w, &st);
    return printf("{\"messages\":%llu,\"bytes\":%llu,\"ring_lost\":%llu,\"disk_lost\":%llu,"
                  "\"file_bytes\":%llu,\"ring_max\":%llu,\"segments\":%u,\"commits\":%llu,"
                  "\"journal_bytes\":%llu,\"forced\":%llu,\"rewrites\":%llu,\"commit_p50_us\":%lld,"
                  "\"commit_p99_us\":%lld,\"commit_max_us\":%lld,\"cpu_ms\":%lld}\n",
                  (unsigned long long) st.messages, (unsigned long long) st.bytes,
                  (unsigned long long) st.lost[BP_LOSS_RING],
                  (unsigned long long) st.lost[BP_LOSS_DISK], (unsigned long long) st.file_bytes,
                  (unsigned long long) st.ring_max, st.segments, (unsigned long long) st.commits,
                  (unsigned long long) st.journal_bytes, (unsigned long long) st.forced,
                  (unsigned long long) st.rewrites, (long long) st.commit_p50 / 1000,
                  (long long) st.commit_p99 / 1000, (long long) st.commit_max / 1000,
                  (long long) bp_cpu_ns() / 1000000);
}

/* Lives as long as the process. */
static const struct bp_sign_key *signer_of(const char *path) {
    static struct bp_sign_key *key;
    struct bp_error err = { 0 };

    if (path && bp_sign_key_load(path, &key, &err) < 0) {
        (void) fprintf(stderr, "%s\n", err.text);
        exit(2);
    }
    return key;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    const char *load = value(argc, argv, "load", "mixed"),
               *comp = value(argc, argv, "comp", "none");
    const char *full = value(argc, argv, "full", "wait");
    long threads = number(argc, argv, "threads", "2"),
         minfree = number(argc, argv, "minfree", "-1");
    double mbps = strtod(value(argc, argv, "mbps", "0"), NULL);
    struct bp_writer_opts o = {
        .io = bp_io_from_env(),
        .dir = argv[1],
        .ring_bytes = (uint64_t) number(argc, argv, "ring", "64") << 20,
        .ring_dir = value(argc, argv, "ringdir", NULL),
        .compression = comp[0] == 'z'   ? BP_COMPRESS_ZSTD
                       : comp[0] == 'l' ? BP_COMPRESS_LZ4
                                        : BP_COMPRESS_NONE,
        .max_segment_bytes = (uint64_t) number(argc, argv, "split", "0") << 20,
        .commit_interval = number(argc, argv, "interval", "0") * BP_MS,
        .min_free = minfree < 0 ? UINT64_MAX : (uint64_t) minfree << 20,
        .on_full = full[0] == 's'   ? BP_FULL_STOP
                   : full[0] == 'r' ? BP_FULL_ROTATE
                                    : BP_FULL_WAIT,
        .durability = value(argc, argv, "sync", "c")[0] == 'f'   ? BP_SYNC_FAST
                      : value(argc, argv, "sync", "c")[0] == 's' ? BP_SYNC_STRICT
                                                                 : BP_SYNC_COMMIT,
        .resume = number(argc, argv, "resume", "0") != 0,
        .event = on_event,
        .signer = signer_of(value(argc, argv, "sign", NULL)),
    };
    struct wp_source *log = map_log(argv[2]);
    struct producer p[WP_SOURCES];
    pthread_t t[WP_SOURCES];
    struct bp_error err = { 0 };
    uint8_t *noise = malloc((8 << 20) + 4096);
    unsigned seed = (unsigned) number(argc, argv, "seed", "1");

    for (size_t i = 0; i < (8 << 20) + 4096; i++)
        noise[i] = i % 64 < 24 ? (uint8_t) rand_r(&seed) : (uint8_t) (i % 64);
    (void) signal(SIGTERM, on_signal);
    (void) signal(SIGINT, on_signal);
    if (mbps <= 0)
        mbps = load[0] == 'l' ? 0.05 : load[0] == 'm' ? 20 : 300;
    if (bp_writer_open(&o, &p[0].w, &err) < 0) {
        (void) fprintf(stderr, "open: %s\n", err.text);
        return 2;
    }
    for (long i = 0; i < threads; i++) {
        p[i] = (struct producer){ .w = p[0].w,
                                  .log = &log[i],
                                  .id = (uint32_t) i,
                                  .rate = mbps * 1e6 / (double) threads,
                                  .mixed = load[0] != 'l',
                                  .size = (uint32_t) number(argc, argv, "size", "500"),
                                  .seed = seed + (unsigned) i,
                                  .secs = strtod(value(argc, argv, "secs", "60"), NULL),
                                  .noise = noise,
                                  .first_seq = log[i].n + 1 };
        if (number(argc, argv, "size", "0") > 0)
            p[i].mixed = 0;
        add(&p[i], &err);
    }
    noise_of = &p[0];
    for (long i = 0; i < threads; i++)
        if (pthread_create(&t[i], NULL, produce, &p[i]))
            return 2;
    for (long i = 0; i < threads; i++)
        (void) pthread_join(t[i], NULL);
    (void) print_stats(p[0].w);
    if (bp_writer_close(p[0].w, &err) < 0) {
        (void) fprintf(stderr, "close: %s\n", err.text);
        return 3;
    }
    return 0;
}
