#include "bag/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/crc.h"
#include "base/time.h"

static const char ring_magic[8] = { 'B', 'P', 'R', 'I', 'N', 'G', '0', '2' };

enum {
    POPULATED = 32 << 20,
    RING_VERSION = 2,
    PENDING_RUNS = 40960,
    DEF_HEAD = 16, /* u32 bytes, u32 kind, u32 crc32c of the bytes, u32 zero */
};

void bp_boot_id(char ret[static 40]) {
    BP_AUTO_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, ret, 36);

    memset(ret + BP_MAX(n, 0), 0, (size_t) (40 - BP_MAX(n, 0)));
}

/* flock of a killed process is released only when its exit has ended; with a large mapping that
 * takes a while. */
static int lock_patiently(int fd) {
    for (int i = 0; i < 100; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        bp_sleep(30 * BP_MS);
    }
    return BP_EBUSY;
}

static void place(struct bp_ring *r, void *map, size_t bytes) {
    r->hdr = map;
    r->map_bytes = bytes;
    r->slots = (struct bp_ring_slot *) (void *) ((uint8_t *) map + BP_BLOCK);
}

static void place_areas(struct bp_ring *r) {
    r->pending = (struct bp_run *) (void *) ((uint8_t *) r->hdr + r->hdr->pending_off);
    r->data = (uint8_t *) r->hdr + r->hdr->data_off;
}

static int open_file(struct bp_ring *r, const char *path, size_t bytes, struct bp_error *err) {
    struct stat st;
    int e;

    (void) snprintf(r->path, sizeof r->path, "%s", path);
    r->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (r->fd < 0)
        return bp_fail(err, -errno, "cannot make ring '%s': %s", path, bp_strerror(-errno));
    e = lock_patiently(r->fd);
    if (e < 0)
        return bp_fail(err, e, "ring '%s' is in use: another process records into this folder",
                       path);
    if (fstat(r->fd, &st) < 0)
        return bp_fail(err, -errno, "cannot size '%s': %s", path, bp_strerror(-errno));
    if (st.st_size > 0)
        return bp_fail(err, -EEXIST, "ring '%s' of an interrupted recording is still there", path);
    e = -posix_fallocate(r->fd, 0, (off_t) bytes);
    if (e < 0)
        return bp_fail(err, e, "cannot take %zu MiB of memory for ring '%s': %s", bytes >> 20, path,
                       bp_strerror(e));
    return 0;
}

/* The file has its pages. Those at the ring's low end, which are in use again and again, are mapped
 * now, the others when a disk that hesitates lets the ring grow. */
static void prepare_pages(void *map, size_t bytes, uint64_t data_off) {
#ifdef MADV_POPULATE_WRITE /* since Linux 5.14 */
    (void) madvise(map, (size_t) BP_MIN(bytes, data_off + POPULATED), MADV_POPULATE_WRITE);
#endif
    /* where RLIMIT_MEMLOCK allows; swapping would only be slow */
    (void) mlock2(map, bytes, MLOCK_ONFAULT);
}

int bp_ring_create(struct bp_ring *r, const char *path, const uint8_t session[16],
                   uint64_t data_bytes, struct bp_error *err) {
    uint64_t pending_off = BP_BLOCK + BP_RING_SLOTS * sizeof(struct bp_ring_slot);
    uint64_t data_off =
        BP_ALIGN(pending_off + PENDING_RUNS * sizeof(struct bp_run), (uint64_t) BP_BLOCK);
    size_t bytes = (size_t) (data_off + data_bytes);
    void *map;
    int e;

    *r = (struct bp_ring){ .fd = -1 };
    if (path) {
        e = open_file(r, path, bytes, err);
        if (e < 0) {
            /* Not ours to remove when somebody else holds it or left it. */
            bp_ring_done(r, e != BP_EBUSY && e != -EEXIST);
            return e;
        }
    }
    map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
               path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, r->fd, 0);
    if (map == MAP_FAILED) {
        e = -errno;
        bp_ring_done(r, true);
        return bp_fail(err, e, "cannot map %zu MiB for the ring: %s", bytes >> 20, bp_strerror(e));
    }
    prepare_pages(map, bytes, data_off);

    place(r, map, bytes);
    r->hdr->version = RING_VERSION;
    r->hdr->nslots = BP_RING_SLOTS;
    r->hdr->data_off = data_off;
    r->hdr->data_size = data_bytes;
    r->hdr->pending_off = pending_off;
    r->hdr->pending_cap = PENDING_RUNS;
    memcpy(r->hdr->session, session, 16);
    bp_boot_id(r->hdr->boot_id);
    place_areas(r);
    /* From here on recovery may use it. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(r->hdr->magic, ring_magic, sizeof ring_magic);
    return 0;
}

static bool header_fits(const struct bp_ring_hdr *h, uint64_t size) {
    char boot[40];

    bp_boot_id(boot);
    return size >= BP_BLOCK && memcmp(h->magic, ring_magic, sizeof ring_magic) == 0 &&
           h->version == RING_VERSION && memcmp(h->boot_id, boot, sizeof boot) == 0 &&
           h->nslots == BP_RING_SLOTS && h->data_off <= size &&
           h->data_size <= size - h->data_off && h->pending_off <= h->data_off &&
           h->pending_cap <= (h->data_off - h->pending_off) / sizeof(struct bp_run) &&
           h->pending_n <= h->pending_cap && h->defs_bytes <= size - h->data_off - h->data_size &&
           h->slot_tail <= h->slot_head && h->slot_head - h->slot_tail <= BP_RING_SLOTS;
}

int bp_ring_attach(struct bp_ring *r, const char *path, struct bp_error *err) {
    struct stat st;
    void *map;
    int e;

    *r = (struct bp_ring){ .fd = -1 };
    (void) snprintf(r->path, sizeof r->path, "%s", path);
    r->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (r->fd < 0)
        return bp_fail(err, -errno, "cannot open ring '%s': %s", path, bp_strerror(-errno));
    e = lock_patiently(r->fd);
    if (e == 0 && fstat(r->fd, &st) < 0)
        e = -errno;
    if (e != 0) {
        bp_ring_done(r, false);
        return bp_fail(err, e, "ring '%s': %s", path,
                       e == BP_EBUSY ? "a recorder is using it" : bp_strerror(e));
    }
    if (st.st_size < BP_BLOCK)
        return -ESTALE;

    map = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, r->fd, 0);
    if (map == MAP_FAILED)
        return bp_fail(err, -errno, "cannot map '%s': %s", path, bp_strerror(-errno));
    place(r, map, (size_t) st.st_size);
    if (!header_fits(r->hdr, (uint64_t) st.st_size))
        return -ESTALE;
    place_areas(r);
    return 0;
}

void bp_ring_done(struct bp_ring *r, bool remove) {
    if (remove && r->path[0])
        (void) unlink(r->path);
    if (r->hdr)
        (void) munmap(r->hdr, r->map_bytes);
    if (r->fd > 0)
        (void) close(r->fd);
    *r = (struct bp_ring){ .fd = -1 };
}

int bp_ring_add_def(struct bp_ring *r, enum bp_def_kind kind, const void *p, size_t n) {
    uint64_t at = r->hdr->data_off + r->hdr->data_size + r->hdr->defs_bytes;
    uint8_t head[DEF_HEAD];

    if (r->fd < 0)
        return 0;

    (void) bp_put32(bp_put32(bp_put32(bp_put32(head, (uint32_t) n), kind), bp_crc32c(0, p, n)), 0);
    if (pwrite(r->fd, head, sizeof head, (off_t) at) != (ssize_t) sizeof head ||
        pwrite(r->fd, p, n, (off_t) (at + sizeof head)) != (ssize_t) n)
        return errno ? -errno : -EIO;

    __atomic_store_n(&r->hdr->defs_bytes, r->hdr->defs_bytes + sizeof head + n, __ATOMIC_RELEASE);
    return 0;
}

int bp_ring_each_def(const struct bp_ring *r,
                     int (*fn)(void *ctx, enum bp_def_kind kind, const uint8_t *p, size_t n),
                     void *ctx) {
    const uint8_t *p = r->data + r->hdr->data_size;
    uint64_t left = r->hdr->defs_bytes;

    while (left >= DEF_HEAD) {
        uint32_t n = bp_ld_le32(p), kind = bp_ld_le32(p + 4);
        int e;

        if (n > left - DEF_HEAD || bp_ld_le32(p + 8) != bp_crc32c(0, p + DEF_HEAD, n))
            return BP_ECORRUPT;
        e = fn(ctx, (enum bp_def_kind) kind, p + DEF_HEAD, n);
        if (e)
            return e;
        p += DEF_HEAD + n;
        left -= DEF_HEAD + n;
    }
    return 0;
}
