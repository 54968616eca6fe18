#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "bag/writer-priv.h"

enum { BTRFS_MAGIC = 0x9123683e };

#define MIB ((uint64_t) 1 << 20)

/* SD cards and eMMC wear out and flush slowly; on btrfs nothing makes a small commit cheap. */
static bool is_flash(const char *dir) {
    char link[64], target[512];
    struct statfs fs;
    struct stat st;
    ssize_t n;

    if (statfs(dir, &fs) == 0 && (uint32_t) fs.f_type == (uint32_t) BTRFS_MAGIC)
        return true;
    if (stat(dir, &st) < 0)
        return false;
    (void) snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
    n = readlink(link, target, sizeof target - 1);
    target[BP_MAX(n, 0)] = 0;
    return strstr(target, "mmcblk") != NULL;
}

/* The smaller of 1 GiB and 5 % of the disk. Where preallocated blocks are no promise (copy on
 * write), the ring must fit into what stays free. */
static uint64_t default_min_free(const char *dir, uint64_t ring) {
    uint64_t bytes = 1024 * MIB;
    struct statvfs v;
    struct statfs fs;

    if (statvfs(dir, &v) == 0)
        bytes = BP_MIN(bytes, (uint64_t) v.f_blocks * v.f_frsize / 20);
    if (statfs(dir, &fs) == 0 && (uint32_t) fs.f_type == (uint32_t) BTRFS_MAGIC)
        bytes = BP_MAX(bytes, 64 * MIB + ring);
    return bytes;
}

static void set_times(struct bp_writer *w, bool flash) {
    w->interval = w->o.commit_interval ? w->o.commit_interval : flash ? BP_SEC : 100 * BP_MS;
    w->grace = BP_MIN(30 * BP_MS, w->interval / 2);
    w->max_age = 30 * BP_SEC; /* means nothing for durability */
    w->no_sync = w->o.durability == BP_SYNC_FAST;
    if (w->no_sync)
        w->max_age = BP_SEC;
    if (w->o.durability == BP_SYNC_STRICT)
        w->interval = BP_MS; /* batch after batch, as fast as the disk syncs */
}

static void set_sizes(struct bp_writer *w, bool flash) {
    uint64_t ring;

    if (!w->o.ring_bytes)
        w->o.ring_bytes = 256 * MIB;
    ring = w->o.ring_bytes = BP_ALIGN(BP_MAX(w->o.ring_bytes, 4 * MIB), (uint64_t) BP_BLOCK);
    w->chunk = w->o.chunk_bytes ? w->o.chunk_bytes : w->codec == BP_CODEC_NONE ? 4 * MIB : MIB;
    if (!w->o.max_segment_bytes)
        w->o.max_segment_bytes = 1024 * MIB;
    w->o.max_segment_bytes = BP_MAX(w->o.max_segment_bytes, MIB);
    w->chunk = BP_MIN(w->chunk, BP_MIN(ring / 16, w->o.max_segment_bytes / 4));
    w->chunk = BP_MAX(w->chunk, (uint64_t) 64 << 10);
    w->min_chunk = BP_MIN(flash ? (uint64_t) 64 << 10 : (uint64_t) 256 << 10, w->chunk / 2);
    /* Allocated ahead: what the ring may bring, and never much more than a few segments. */
    w->ahead = ring + 4 * w->chunk + MIB;
    w->ahead = BP_MIN(w->ahead, BP_MAX(8 * w->o.max_segment_bytes, 64 * MIB));
    w->step = BP_MIN(BP_MAX(w->ahead, 16 * MIB), 256 * MIB);
    w->min_free = w->o.min_free == UINT64_MAX ? default_min_free(w->dir, ring) : w->o.min_free;
}

int bp_writer_configure(struct bp_writer *w, const struct bp_writer_opts *o, struct bp_error *err) {
    char full[4096];
    const char *name;
    bool flash;

    w->o = *o;
    w->io = o->io ? o->io : &bp_io_posix;
    if ((size_t) snprintf(w->dir, sizeof w->dir, "%s", o->dir) >= sizeof w->dir - 300)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", o->dir);
    for (size_t n = strlen(w->dir); n > 1 && w->dir[n - 1] == '/'; n--)
        w->dir[n - 1] = 0;
    if (!realpath(w->dir, full))
        return bp_fail(err, -errno, "cannot resolve '%s': %s", w->dir, bp_strerror(-errno));
    name = strrchr(full, '/') + 1;
    (void) snprintf(w->name, sizeof w->name, "%s", name[0] ? name : "session");

    w->codec = o->compression == BP_COMPRESS_ZSTD  ? BP_CODEC_ZSTD
               : o->compression == BP_COMPRESS_LZ4 ? BP_CODEC_LZ4
                                                   : BP_CODEC_NONE;
    flash = o->profile == BP_PROFILE_FLASH || (o->profile == BP_PROFILE_AUTO && is_flash(w->dir));
    set_times(w, flash);
    set_sizes(w, flash);
    w->anonymous = o->ring_dir && !o->ring_dir[0];
    w->nworkers = o->workers;
    if (!w->nworkers) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);

        w->nworkers = w->codec == BP_CODEC_NONE && !o->seal ? 1 : (unsigned) BP_MAX(cores, 1);
        w->nworkers = BP_MIN(w->nworkers, 4u);
    }
    w->nworkers = BP_MIN(w->nworkers, (unsigned) MAX_WORKERS);
    return 0;
}

int bp_writer_check_room(const struct bp_writer *w, struct bp_error *err) {
    struct statvfs v;

    if (statvfs(w->dir, &v) < 0 || w->min_free < (uint64_t) v.f_blocks * v.f_frsize)
        return 0;
    return bp_fail(
        err, BP_ECONFIG, "%.1f GB are to stay free in '%s', whose disk holds %.1f GB; ask for less",
        (double) w->min_free / 1e9, w->dir, (double) v.f_blocks * (double) v.f_frsize / 1e9);
}
