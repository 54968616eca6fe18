/* Numbers about this machine, for conditions such as "disk.free < 5GiB". */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/triggers-priv.h"
#include "base/io.h"

void bp_facts_want(void *facts, const struct bp_expr_ask *ask) {
    struct facts *f = facts;

    f->wanted |= 1u << ask->source;
}

/* A short file of /proc or /sys; "" when it cannot be read. */
static void slurp(const char *path, char *ret, size_t cap) {
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(ret, 1, cap - 1, f) : 0;

    ret[n] = 0;
    if (f)
        (void) fclose(f);
}

static void look_at_cpu(struct facts *f) {
    uint64_t v[8] = { 0 }, total = 0, busy;
    char text[512], *p = text;

    slurp("/proc/stat", text, sizeof text);
    p += strcspn(p, " ");
    for (size_t i = 0; i < BP_COUNT(v); i++) {
        v[i] = strtoull(p, &p, 10);
        total += v[i];
    }
    busy = total - v[3] - v[4]; /* idle, waiting for a disk */
    if (f->total && total > f->total)
        f->v[BP_SOURCE_CPU] = (double) (busy - f->busy) / (double) (total - f->total);
    f->busy = busy;
    f->total = total;
}

static double kilobytes(const char *text, const char *key) {
    const char *at = strstr(text, key);

    return at ? strtod(at + strlen(key), NULL) : NAN;
}

static void look_at_memory(struct facts *f) {
    char text[2048];
    double total, left;

    slurp("/proc/meminfo", text, sizeof text);
    total = kilobytes(text, "MemTotal:");
    left = kilobytes(text, "MemAvailable:");
    f->v[BP_SOURCE_MEMORY] = 1 - left / total;
}

static void look_at_disk(struct facts *f, const char *dir) {
    struct statvfs v;
    bool ok = statvfs(dir, &v) == 0 && v.f_blocks > 0;

    f->v[BP_SOURCE_DISK_FREE] = ok ? (double) v.f_bavail * (double) v.f_frsize : NAN;
    f->v[BP_SOURCE_DISK_USED] = ok ? 1 - (double) v.f_bavail / (double) v.f_blocks : NAN;
}

static void look_at_temperature(struct facts *f) {
    DIR *d = opendir("/sys/class/thermal");
    double most = NAN;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): glibc's readdir() is safe for a DIR of one's own */
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        char path[400], text[32];

        if (!bp_starts_with(e->d_name, "thermal_zone"))
            continue;
        (void) snprintf(path, sizeof path, "/sys/class/thermal/%s/temp", e->d_name);
        slurp(path, text, sizeof text);
        if (*text)
            most = fmax(most, strtod(text, NULL) / 1000);
    }
    if (d)
        (void) closedir(d);
    f->v[BP_SOURCE_TEMPERATURE] = most;
}

static void look_at_load(struct facts *f) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    double load;

    f->v[BP_SOURCE_LOAD] = getloadavg(&load, 1) == 1 ? load / (double) BP_MAX(cores, 1) : NAN;
}

void bp_facts_look(struct facts *f, const char *dir) {
    if (f->wanted & 1u << BP_SOURCE_CPU)
        look_at_cpu(f);
    if (f->wanted & 1u << BP_SOURCE_MEMORY)
        look_at_memory(f);
    if (f->wanted & (1u << BP_SOURCE_DISK_FREE | 1u << BP_SOURCE_DISK_USED))
        look_at_disk(f, dir);
    if (f->wanted & 1u << BP_SOURCE_TEMPERATURE)
        look_at_temperature(f);
    if (f->wanted & 1u << BP_SOURCE_LOAD)
        look_at_load(f);
}
