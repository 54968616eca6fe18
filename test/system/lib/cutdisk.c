/* nbdkit plugin: a disk with a volatile write cache and a cruel power cut.
 *
 *   nbdkit cutdisk.so image=FILE cut=CONTROL [keep=PERCENT] [sector=BYTES] [delay=MS] [wait=MS]
 *       [seed=N]
 *
 * Writes go to memory; only a flush (or FUA) moves dirty sectors to the stable image. Once CONTROL
 * exists, and a write is unflushed or `wait` has passed (the cache is clean most of the time, and a
 * cut then shows nothing), every dirty sector survives with the given chance, so unflushed writes
 * arrive in any order and torn; the image is saved, `CONTROL.done` gets one line
 *
 *   <CLOCK_MONOTONIC ns of the cut> <dirty sectors> <of them kept> <writes> <flushes>
 *
 * and the process exits: a later request gets an error, as from a dead disk. `delay` stretches
 * every flush and FUA write, as slow flash does; the cut may come in the middle of one. */
#define NBDKIT_API_VERSION 2
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static char *image, *cut;
static unsigned keep = 50, sector = 512, delay_ms, wait_ms, seed = 1;
static size_t size; /* constant after start */
static unsigned char *now, *stable,
    *dirty;                              /* [lock] what reads see; what a cut leaves; per sector */
static uint64_t flushes, writes, ndirty; /* [lock] */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* leaf */

static int set_number(const char *key, const char *value, unsigned *ret) {
    return nbdkit_parse_unsigned(key, value, ret);
}

static int config(const char *key, const char *value) {
    if (strcmp(key, "image") == 0)
        return (image = nbdkit_realpath(value)) ? 0 : -1;
    if (strcmp(key, "cut") == 0)
        return (cut = nbdkit_absolute_path(value)) ? 0 : -1;
    if (strcmp(key, "keep") == 0)
        return set_number(key, value, &keep);
    if (strcmp(key, "sector") == 0)
        return set_number(key, value, &sector);
    if (strcmp(key, "delay") == 0)
        return set_number(key, value, &delay_ms);
    if (strcmp(key, "wait") == 0)
        return set_number(key, value, &wait_ms);
    if (strcmp(key, "seed") == 0)
        return set_number(key, value, &seed);
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
}

static int save(void) {
    int fd = open(image, O_WRONLY);

    if (fd < 0)
        return -1;
    for (size_t off = 0; off < size;) {
        ssize_t n = pwrite(fd, stable + off, size - off, (off_t) off);

        if (n < 0) {
            close(fd);
            return -1;
        }
        off += (size_t) n;
    }
    return close(fd);
}

static void power_off_locked(void) {
    char done[4096], tmp[4096 + 8];
    struct timespec t;
    uint64_t n = 0, kept = 0;
    FILE *f;

    clock_gettime(CLOCK_MONOTONIC, &t);
    for (size_t i = 0; i < size / sector; i++) {
        if (!dirty[i])
            continue;
        n++;
        if ((unsigned) rand_r(&seed) % 100 >= keep)
            continue;
        kept++;
        memcpy(stable + i * sector, now + i * sector, sector);
    }
    if (save() != 0)
        _exit(1);
    snprintf(done, sizeof done, "%s.done", cut);
    snprintf(tmp, sizeof tmp, "%s.tmp", done);
    f = fopen(tmp, "w");
    if (!f)
        _exit(1);
    fprintf(f, "%lld %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
            (long long) t.tv_sec * 1000000000 + t.tv_nsec, n, kept, writes, flushes);
    if (fclose(f) != 0 || rename(tmp, done) != 0)
        _exit(1);
    _exit(0);
}

static void *watch(void *arg) {
    const struct timespec pause = { .tv_nsec = 500000 }, tick = { .tv_nsec = 40000 };

    (void) arg;
    while (access(cut, F_OK) != 0)
        nanosleep(&pause, NULL);
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < wait_ms * 10 && !ndirty; i++) {
        pthread_mutex_unlock(&lock);
        nanosleep(&tick, NULL);
        pthread_mutex_lock(&lock);
    }
    power_off_locked(); /* never unlocked: nothing happens after the cut */
    return NULL;
}

static int after_fork(void) {
    struct stat st;
    pthread_t t;
    int fd = open(image, O_RDONLY);

    if (fd < 0 || fstat(fd, &st) != 0)
        return -1;
    size = (size_t) st.st_size;
    now = malloc(size);
    stable = malloc(size);
    dirty = calloc(size / sector + 1, 1);
    if (!now || !stable || !dirty)
        return -1;
    for (size_t off = 0; off < size;) {
        ssize_t n = pread(fd, now + off, size - off, (off_t) off);

        if (n <= 0)
            return -1;
        off += (size_t) n;
    }
    close(fd);
    memcpy(stable, now, size);
    return pthread_create(&t, NULL, watch, NULL) == 0 ? 0 : -1;
}

static void *disk_open(int readonly) {
    (void) readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t disk_size(void *h) {
    (void) h;
    return (int64_t) size;
}

static int yes(void *h) {
    (void) h;
    return 1;
}

static int fua(void *h) {
    (void) h;
    return NBDKIT_FUA_NATIVE;
}

static int disk_read(void *h, void *buf, uint32_t n, uint64_t off, uint32_t flags) {
    (void) h, (void) flags;
    pthread_mutex_lock(&lock);
    memcpy(buf, now + off, n);
    pthread_mutex_unlock(&lock);
    return 0;
}

static void settle_locked(size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        if (!dirty[i])
            continue;
        memcpy(stable + i * sector, now + i * sector, sector);
        dirty[i] = 0;
        ndirty--;
    }
}

static void stretch(void) {
    const struct timespec t = { .tv_sec = delay_ms / 1000, .tv_nsec = delay_ms % 1000 * 1000000L };

    if (delay_ms)
        nanosleep(&t, NULL);
}

static int disk_write(void *h, const void *buf, uint32_t n, uint64_t off, uint32_t flags) {
    size_t from = off / sector, to = (off + n + sector - 1) / sector;

    (void) h;
    pthread_mutex_lock(&lock);
    memcpy(now + off, buf, n);
    for (size_t i = from; i < to; i++) {
        ndirty += !dirty[i];
        dirty[i] = 1;
    }
    writes++;
    pthread_mutex_unlock(&lock);
    if (flags & NBDKIT_FLAG_FUA) {
        stretch();
        pthread_mutex_lock(&lock);
        settle_locked(from, to);
        pthread_mutex_unlock(&lock);
    }
    return 0;
}

static int disk_flush(void *h, uint32_t flags) {
    (void) h, (void) flags;
    stretch();
    pthread_mutex_lock(&lock);
    settle_locked(0, size / sector);
    flushes++;
    pthread_mutex_unlock(&lock);
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "cutdisk",
    .config = config,
    .after_fork = after_fork,
    .open = disk_open,
    .get_size = disk_size,
    .can_write = yes,
    .can_flush = yes,
    .can_fua = fua,
    .pread = disk_read,
    .pwrite = disk_write,
    .flush = disk_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
