/* Lines gather in one of two buffers under a lock; a thread swaps them every 10 ms and writes the
 * full one with the lock released. So a sender never waits for the disk, and a line is in the file
 * at most two rounds after it was put. */
#include "play/sendlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "base/mutex.h"
#include "base/thread.h"

enum { FLUSH_MS = 10, LINE_MAX_BYTES = 64 };

struct bp_sendlog {
    struct bp_mutex lock;  /* leaf */
    struct bp_buf filling; /* [lock] */
    struct bp_buf writing; /* [flusher] */
    int fd;                /* [flusher] */
    int failed;            /* [flusher] first negative errno */
    atomic_bool stop;
    pthread_t thread;
    char *path;
};

static int write_all(int fd, const uint8_t *p, size_t n) {
    while (n > 0) {
        ssize_t k = write(fd, p, n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        p += k;
        n -= (size_t) k;
    }
    return 0;
}

static void flush(struct bp_sendlog *l) {
    struct bp_buf full;
    int r;

    bp_mutex_lock(&l->lock);
    full = l->filling;
    l->filling = l->writing;
    bp_mutex_unlock(&l->lock);

    l->writing = full;
    r = full.failed ? -ENOMEM : write_all(l->fd, full.p, full.n);
    if (r < 0 && l->failed == 0)
        l->failed = r;
    bp_buf_clear(&l->writing);
}

static void *flusher(void *arg) {
    struct bp_sendlog *l = arg;
    bp_ns_t due = bp_mono_ns();

    while (!atomic_load(&l->stop)) {
        due += FLUSH_MS * BP_MS;
        bp_sleep_until(due);
        due = BP_MAX(due, bp_mono_ns() - FLUSH_MS * BP_MS);
        flush(l);
    }
    return NULL;
}

static void sendlog_free(struct bp_sendlog *l) {
    if (!l)
        return;
    bp_closep(&l->fd);
    bp_buf_done(&l->filling);
    bp_buf_done(&l->writing);
    bp_mutex_done(&l->lock);
    free(l->path);
    free(l);
}
BP_DEFINE_CLEANUP(struct bp_sendlog, sendlog_free)

int bp_sendlog_open(const char *path, struct bp_sendlog **ret, struct bp_error *err) {
    BP_CLEANUP(sendlog_freep) struct bp_sendlog *l = calloc(1, sizeof *l);
    int r;

    if (!l)
        return bp_fail(err, -ENOMEM, "out of memory");
    l->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (l->fd < 0)
        return bp_fail(err, -errno, "cannot write '%s': %s", path, bp_strerror(-errno));
    bp_mutex_init(&l->lock);
    l->path = strdup(path);
    if (!l->path || !bp_buf_reserve(&l->filling, 1 << 16) || !bp_buf_reserve(&l->writing, 1 << 16))
        return bp_fail(err, -ENOMEM, "out of memory");

    r = bp_thread_start("sendlog", flusher, l, &l->thread);
    if (r < 0)
        return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));

    *ret = BP_TAKE_PTR(l);
    return 0;
}

/* Decimal digits of v in front of `end`; returns where they start. */
static char *digits(char *end, uint64_t v) {
    do {
        *--end = (char) ('0' + v % 10);
        v /= 10;
    } while (v);
    return end;
}

void bp_sendlog_put(struct bp_sendlog *l, bp_ns_t mono_ns, bp_ns_t wall_ns, struct bp_str key,
                    uint64_t sequence, uint64_t size) {
    char head[LINE_MAX_BYTES], tail[LINE_MAX_BYTES];
    char *h = head + sizeof head, *t = tail + sizeof tail;

    h = digits(h, (uint64_t) wall_ns);
    *--h = ' ';
    h = digits(h, (uint64_t) mono_ns);
    *--t = '\n';
    t = digits(t, size);
    *--t = ' ';
    t = digits(t, sequence);

    bp_mutex_lock(&l->lock);
    bp_buf_put(&l->filling, h, (size_t) (head + sizeof head - h));
    bp_buf_put(&l->filling, key.p, key.n);
    bp_buf_put(&l->filling, t, (size_t) (tail + sizeof tail - t));
    bp_mutex_unlock(&l->lock);
}

char *bp_sendlog_key(const char *topic, const uint8_t guid[static 16]) {
    struct bp_buf b = { 0 };

    bp_buf_printf(&b, " %s ", topic);
    for (size_t i = 0; i < 16; i++)
        bp_buf_printf(&b, "%02x", guid[i]);
    bp_buf_put_str(&b, " ");
    return bp_buf_take_cstr(&b);
}

int bp_sendlog_close(struct bp_sendlog *l, struct bp_error *err) {
    BP_CLEANUP(sendlog_freep) struct bp_sendlog *gone = l;

    if (!l)
        return 0;
    atomic_store(&l->stop, true);
    (void) pthread_join(l->thread, NULL);
    flush(l);
    flush(l);
    if (l->failed < 0)
        return bp_fail(err, l->failed, "cannot write '%s': %s", l->path, bp_strerror(l->failed));
    return gone ? 0 : -EINVAL;
}
