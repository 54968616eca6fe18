#include "monitor/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "base/mutex.h"

#define LIST_EVERY (30 * BP_SEC)
#define CLOCK_STEP (100 * BP_MS)

enum { TEXT_MAX = 64 << 10, PATH_MAX_ = 300, MAX_BLOCK = 64, SUPPLIES = 8 };

/* A sensor or supply: the folder in /sys and the prefix of its attributes. */
struct sensor {
    char path[PATH_MAX_]; /* up to the attribute: "/sys/class/hwmon/hwmon0/temp1_" */
    char chip[BP_HOST_NAME], label[BP_HOST_NAME];
    double critical;
    bool zone; /* of the thermal class: its attribute is "temp", not "…input" */
};

struct supply {
    char path[PATH_MAX_], name[BP_HOST_NAME];
    bool battery;
};

struct bp_host {
    char root[PATH_MAX_ / 2];
    char data[1024];
    /* all below but `lock` and `seen`: the looking thread's */
    char *text; /* owned, TEXT_MAX */
    bp_ns_t listed_mono, looked_mono;
    char blocks[MAX_BLOCK][BP_HOST_NAME]; /* whole disks */
    size_t nblocks;
    struct sensor sensors[BP_HOST_TEMPS];
    size_t nsensors;
    struct supply supplies[SUPPLIES];
    size_t nsupplies;
    struct bp_host_ticks all, cores[BP_HOST_CORES];
    struct bp_host_ticks now_cores[BP_HOST_CORES];
    struct bp_host_disk_row disk_rows[MAX_BLOCK * 4];
    struct bp_host_net_row net_rows[BP_HOST_NETS];
    uint64_t process_ticks;
    struct bp_clock_watch watch;
    struct bp_host_state last; /* what the next one is compared with */
    struct bp_mutex lock;      /* leaf */
    struct bp_host_state seen; /* [lock] */
};

/* ---- files ---- */

/* Empty when it cannot be read. Borrowed until the next one. */
static struct bp_str read_text(struct bp_host *h, const char *path) {
    char full[2 * PATH_MAX_];
    BP_AUTO_FD int fd = -1;
    size_t n = 0;
    ssize_t k;

    (void) snprintf(full, sizeof full, "%s%s", h->root, path);
    fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return (struct bp_str){ h->text, 0 };
    while (n < TEXT_MAX && (k = read(fd, h->text + n, TEXT_MAX - n)) > 0)
        n += (size_t) k;
    return (struct bp_str){ h->text, n };
}

static struct bp_str read_part(struct bp_host *h, const char *folder, const char *file) {
    char path[PATH_MAX_ + 64];

    (void) snprintf(path, sizeof path, "%s%s", folder, file);
    return read_text(h, path);
}

static bool read_value(struct bp_host *h, const char *folder, const char *file, double scale,
                       double *ret) {
    int64_t v;

    if (!bp_host_parse_number(read_part(h, folder, file), &v))
        return false;
    *ret = (double) v * scale;
    return true;
}

/* ---- lists of devices ---- */

/* Calls fn with each entry of a folder in /sys until it returns false. */
static void each_entry(struct bp_host *h, const char *folder,
                       bool (*fn)(struct bp_host *h, const char *folder, const char *name)) {
    char full[2 * PATH_MAX_];
    struct dirent *e;
    bool go_on = true;
    DIR *d;

    (void) snprintf(full, sizeof full, "%s%s", h->root, folder);
    d = opendir(full);
    while (d && go_on && (e = readdir(d))) /* NOLINT(concurrency-mt-unsafe): own stream */
        if (e->d_name[0] != '.')
            go_on = fn(h, folder, e->d_name);
    if (d)
        (void) closedir(d);
}

static bool add_block(struct bp_host *h, const char *folder, const char *name) {
    static const char *const no_disks[] = { "loop", "ram", "zram", "fd", "sr" };

    (void) folder;
    for (size_t i = 0; i < BP_COUNT(no_disks); i++)
        if (bp_starts_with(name, no_disks[i]))
            return true;
    if (h->nblocks == MAX_BLOCK)
        return false;
    (void) snprintf(h->blocks[h->nblocks++], BP_HOST_NAME, "%s", name);
    return true;
}

static bool add_zone(struct bp_host *h, const char *folder, const char *name) {
    struct sensor *s = &h->sensors[h->nsensors];

    if (h->nsensors == BP_HOST_TEMPS)
        return false;
    if (!bp_starts_with(name, "thermal_zone"))
        return true;
    *s = (struct sensor){ .zone = true };
    (void) snprintf(s->path, sizeof s->path, "%s/%s/", folder, name);
    if (bp_host_parse_name(read_part(h, s->path, "type"), s->chip))
        h->nsensors++;
    return true;
}

/* temp1_input, temp1_label, temp1_crit: numbered from 1, with holes. */
static bool add_chip(struct bp_host *h, const char *folder, const char *name) {
    char chip[BP_HOST_NAME], path[PATH_MAX_];

    (void) snprintf(path, sizeof path, "%s/%s/", folder, name);
    if (!bp_host_parse_name(read_part(h, path, "name"), chip))
        return true;
    for (unsigned i = 1; i <= 16 && h->nsensors < BP_HOST_TEMPS; i++) {
        struct sensor *s = &h->sensors[h->nsensors];
        double ignored;

        *s = (struct sensor){ .critical = 0 };
        memcpy(s->chip, chip, sizeof chip);
        (void) snprintf(s->path, sizeof s->path, "%s/%s/temp%u_", folder, name, i);
        if (!read_value(h, s->path, "input", 0.001, &ignored))
            continue;
        (void) bp_host_parse_name(read_part(h, s->path, "label"), s->label);
        (void) read_value(h, s->path, "crit", 0.001, &s->critical);
        h->nsensors++;
    }
    return h->nsensors < BP_HOST_TEMPS;
}

static bool add_supply(struct bp_host *h, const char *folder, const char *name) {
    struct supply *s = &h->supplies[h->nsupplies];
    char type[BP_HOST_NAME] = "", scope[BP_HOST_NAME] = "";

    if (h->nsupplies == SUPPLIES)
        return false;
    *s = (struct supply){ .battery = false };
    (void) snprintf(s->path, sizeof s->path, "%s/%s/", folder, name);
    (void) snprintf(s->name, sizeof s->name, "%s", name);
    (void) bp_host_parse_name(read_part(h, s->path, "type"), type);
    (void) bp_host_parse_name(read_part(h, s->path, "scope"), scope);
    s->battery = bp_streq(type, "Battery");
    /* that of a mouse is none of ours */
    if ((s->battery || bp_streq(type, "Mains") || bp_streq(type, "USB")) &&
        !bp_streq(scope, "Device"))
        h->nsupplies++;
    return true;
}

/* Thermal zones come first: where a chip of hwmon is the same sensor, the zone names the place. */
static void list_devices(struct bp_host *h) {
    h->nblocks = h->nsensors = h->nsupplies = 0;
    each_entry(h, "/sys/block", add_block);
    each_entry(h, "/sys/class/thermal", add_zone);
    each_entry(h, "/sys/class/hwmon", add_chip);
    each_entry(h, "/sys/class/power_supply", add_supply);
}

/* ---- looking ---- */

static void missing(struct bp_host_state *s, enum bp_host_part part, bool is) {
    if (is)
        s->missing |= 1u << part;
}

static double share(uint64_t now, uint64_t before, uint64_t total) {
    return total == 0 || now < before ? 0 : BP_MIN((double) (now - before) / (double) total, 1.0);
}

static double busy_share(const struct bp_host_ticks *now, const struct bp_host_ticks *before) {
    uint64_t total = now->total > before->total ? now->total - before->total : 0;
    double idle = share(now->idle, before->idle, total) + share(now->iowait, before->iowait, total);

    return total == 0 ? 0 : BP_MAX(1.0 - idle, 0.0);
}

static void look_at_cpu(struct bp_host *h, struct bp_host_state *s) {
    struct bp_host_ticks all = { 0 };
    uint64_t total;
    size_t n;

    if (!bp_host_parse_stat(read_text(h, "/proc/stat"), &all, h->now_cores, BP_HOST_CORES, &n)) {
        missing(s, BP_HOST_PART_CPU, true);
        return;
    }
    total = all.total > h->all.total ? all.total - h->all.total : 0;
    if (h->looked_mono) {
        s->cpu = busy_share(&all, &h->all);
        s->iowait = share(all.iowait, h->all.iowait, total);
        s->steal = share(all.steal, h->all.steal, total);
        for (size_t i = 0; i < n; i++)
            s->cores[i] = busy_share(&h->now_cores[i], &h->cores[i]);
    }
    s->ncores = n;
    h->all = all;
    memcpy(h->cores, h->now_cores, sizeof h->cores);
}

static bool is_block(const struct bp_host *h, const char *name) {
    for (size_t i = 0; i < h->nblocks; i++)
        if (bp_streq(h->blocks[i], name))
            return true;
    return false;
}

/* A partition has the name of its disk and a number behind it: sda1, nvme0n1p2, mmcblk0p2. */
static bool is_part_of(const char *part, const char *disk) {
    size_t n = strlen(disk);

    return strncmp(part, disk, n) == 0 &&
           (part[n] == 0 || part[n] == 'p' || (part[n] >= '0' && part[n] <= '9'));
}

static double rate(uint64_t now, uint64_t before, double unit, double seconds) {
    return seconds > 0 && now >= before ? (double) (now - before) * unit / seconds : 0;
}

static void add_disk(struct bp_host *h, struct bp_host_state *s, const struct bp_host_disk_row *row,
                     const char *mine, double seconds) {
    struct bp_host_disk *d = &s->disks[s->ndisks];

    *d = (struct bp_host_disk){ .row = *row, .recordings = *mine && is_part_of(mine, row->name) };
    for (size_t i = 0; i < h->last.ndisks; i++) {
        const struct bp_host_disk_row *old = &h->last.disks[i].row;

        if (!bp_streq(old->name, row->name))
            continue;
        d->read_rate = rate(row->read_sectors, old->read_sectors, 512, seconds);
        d->write_rate = rate(row->written_sectors, old->written_sectors, 512, seconds);
        d->busy = BP_MIN(rate(row->busy_ms, old->busy_ms, 0.001, seconds), 1.0);
    }
    s->ndisks++;
}

static void look_at_disks(struct bp_host *h, struct bp_host_state *s, double seconds) {
    size_t n = bp_host_parse_diskstats(read_text(h, "/proc/diskstats"), h->disk_rows,
                                       BP_COUNT(h->disk_rows));
    const char *mine = "";
    struct statvfs fs;
    struct stat st;

    missing(s, BP_HOST_PART_DISKS, n == 0);
    if (h->data[0] && stat(h->data, &st) == 0)
        for (size_t i = 0; i < n; i++)
            if (h->disk_rows[i].major == major(st.st_dev) &&
                h->disk_rows[i].minor == minor(st.st_dev))
                mine = h->disk_rows[i].name;
    for (size_t i = 0; i < n && s->ndisks < BP_HOST_DISKS; i++)
        if (is_block(h, h->disk_rows[i].name))
            add_disk(h, s, &h->disk_rows[i], mine, seconds);
    if (h->data[0] && statvfs(h->data, &fs) == 0) {
        s->disk_size = (uint64_t) fs.f_blocks * fs.f_frsize;
        s->disk_free = (uint64_t) fs.f_bavail * fs.f_frsize;
    }
}

static void look_at_net(struct bp_host *h, struct bp_host_state *s, double seconds) {
    s->nnets = bp_host_parse_netdev(read_text(h, "/proc/net/dev"), h->net_rows, BP_HOST_NETS);
    missing(s, BP_HOST_PART_NET, s->nnets == 0);
    for (size_t i = 0; i < s->nnets; i++) {
        struct bp_host_net *d = &s->nets[i];

        d->row = h->net_rows[i];
        for (size_t k = 0; k < h->last.nnets; k++) {
            const struct bp_host_net_row *old = &h->last.nets[k].row;

            if (!bp_streq(old->name, d->row.name))
                continue;
            d->rx_rate = rate(d->row.rx_bytes, old->rx_bytes, 1, seconds);
            d->tx_rate = rate(d->row.tx_bytes, old->tx_bytes, 1, seconds);
        }
    }
}

static void look_at_sensors(struct bp_host *h, struct bp_host_state *s) {
    for (size_t i = 0; i < h->nsensors; i++) {
        const struct sensor *x = &h->sensors[i];
        struct bp_host_temp *t = &s->temps[s->ntemps];

        *t = (struct bp_host_temp){ .critical = x->critical };
        memcpy(t->chip, x->chip, sizeof t->chip);
        memcpy(t->label, x->label, sizeof t->label);
        /* a sensor that is off says 0 K, or what its register holds */
        if (read_value(h, x->path, x->zone ? "temp" : "input", 0.001, &t->celsius) &&
            t->celsius > -100 && t->celsius < 250)
            s->ntemps++;
    }
}

/* power_now, or volts times amperes; all in millionths. */
static double watts_of(struct bp_host *h, const char *path) {
    double watts, volts, amperes;

    if (read_value(h, path, "power_now", 1e-6, &watts))
        return watts < 0 ? -watts : watts;
    if (!read_value(h, path, "voltage_now", 1e-6, &volts) ||
        !read_value(h, path, "current_now", 1e-6, &amperes))
        return -1;
    watts = volts * amperes;
    return watts < 0 ? -watts : watts;
}

static void look_at_power(struct bp_host *h, struct bp_host_state *s) {
    for (size_t i = 0; i < h->nsupplies; i++) {
        const struct supply *x = &h->supplies[i];
        struct bp_host_battery *b = &s->batteries[s->nbatteries];
        char status[BP_HOST_NAME] = "";
        double online = 0;

        if (!x->battery) {
            s->external_power |= read_value(h, x->path, "online", 1, &online) && online > 0;
            continue;
        }
        if (s->nbatteries == BP_HOST_BATTERIES)
            continue;
        *b = (struct bp_host_battery){ .percent = -1 };
        memcpy(b->name, x->name, sizeof b->name);
        if (!read_value(h, x->path, "capacity", 1, &b->percent) || b->percent < 0 ||
            b->percent > 100)
            b->percent = -1;
        (void) bp_host_parse_name(read_part(h, x->path, "status"), status);
        b->discharging = bp_streq(status, "Discharging");
        b->watts = watts_of(h, x->path);
        s->nbatteries++;
    }
}

static void look_at_clock(struct bp_host *h, struct bp_host_state *s) {
    struct bp_host_clock *c = &s->clock;
    struct timex t = { .modes = 0 };
    int state = adjtimex(&t);
    bp_ns_t step = bp_clock_watch_step(&h->watch, CLOCK_STEP);

    *c = (struct bp_host_clock){ .known = state >= 0,
                                 .steps = h->last.clock.steps + (step != 0),
                                 .last_step_s =
                                     step ? (double) step / 1e9 : h->last.clock.last_step_s,
                                 .last_step_ns = step ? bp_wall_ns() : h->last.clock.last_step_ns };
    missing(s, BP_HOST_PART_CLOCK, state < 0);
    if (state < 0)
        return;
    c->synchronised = state != TIME_ERROR && !(t.status & STA_UNSYNC);
    c->offset_s = (double) t.offset * (t.status & STA_NANO ? 1e-9 : 1e-6);
    c->error_s = (double) t.maxerror * 1e-6;
}

static void look_at_process(struct bp_host *h, struct bp_host_state *s, double seconds) {
    struct bp_host_process_row p;

    if (!bp_host_parse_process(read_text(h, "/proc/self/stat"), &p)) {
        missing(s, BP_HOST_PART_PROCESS, true);
        return;
    }
    if (h->looked_mono)
        s->process.cpu =
            rate(p.ticks, h->process_ticks, 1.0 / (double) sysconf(_SC_CLK_TCK), seconds);
    h->process_ticks = p.ticks;
    s->process.rss = p.rss_pages * (uint64_t) sysconf(_SC_PAGESIZE);
    s->process.threads = p.threads;
}

static bp_ns_t thread_cpu_ns(void) {
    struct timespec ts;

    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) < 0)
        return 0;
    return (bp_ns_t) ts.tv_sec * BP_SEC + ts.tv_nsec;
}

void bp_host_look(struct bp_host *h) {
    static const struct bp_host_state empty;
    struct bp_host_state *s = malloc(sizeof *s);
    bp_ns_t mono = bp_mono_ns(), cpu = thread_cpu_ns();
    double seconds = h->looked_mono ? (double) (mono - h->looked_mono) / 1e9 : 0;

    if (!s)
        return;
    *s = empty;
    if (!h->listed_mono || mono - h->listed_mono >= LIST_EVERY) {
        list_devices(h);
        h->listed_mono = mono;
    }
    look_at_cpu(h, s);
    missing(s, BP_HOST_PART_MEMORY,
            !bp_host_parse_meminfo(read_text(h, "/proc/meminfo"), &s->memory));
    missing(s, BP_HOST_PART_LOAD, !bp_host_parse_loadavg(read_text(h, "/proc/loadavg"), s->load));
    look_at_disks(h, s, seconds);
    look_at_net(h, s, seconds);
    look_at_sensors(h, s);
    look_at_power(h, s);
    look_at_clock(h, s);
    look_at_process(h, s, seconds);
    h->looked_mono = mono;
    s->taken_ns = bp_wall_ns();
    s->look_s = (double) (thread_cpu_ns() - cpu) / 1e9;
    h->last = *s;
    bp_mutex_lock(&h->lock);
    h->seen = *s;
    bp_mutex_unlock(&h->lock);
    free(s);
}

void bp_host_get(struct bp_host *h, struct bp_host_state *ret) {
    bp_mutex_lock(&h->lock);
    *ret = h->seen;
    bp_mutex_unlock(&h->lock);
}

/* ---- sums ---- */

double bp_host_hottest(const struct bp_host_state *s, char ret_name[static 2 * BP_HOST_NAME]) {
    const struct bp_host_temp *hottest = NULL;

    for (size_t i = 0; i < s->ntemps; i++)
        if (!hottest || s->temps[i].celsius > hottest->celsius)
            hottest = &s->temps[i];
    ret_name[0] = 0;
    if (!hottest)
        return 0;
    (void) snprintf(ret_name, (size_t) 2 * BP_HOST_NAME, "%s%s%s", hottest->chip,
                    hottest->label[0] ? "/" : "", hottest->label);
    return hottest->celsius;
}

double bp_host_battery(const struct bp_host_state *s) {
    double least = -1;

    for (size_t i = 0; i < s->nbatteries && !s->external_power; i++)
        if (s->batteries[i].percent >= 0 && (least < 0 || s->batteries[i].percent < least))
            least = s->batteries[i].percent;
    return least;
}

int bp_host_open(const struct bp_host_opts *o, struct bp_host **ret) {
    struct bp_host *h = calloc(1, sizeof *h);

    if (!h)
        return -ENOMEM;
    bp_mutex_init(&h->lock);
    h->text = malloc(TEXT_MAX);
    if (!h->text) {
        bp_host_close(h);
        return -ENOMEM;
    }
    (void) snprintf(h->root, sizeof h->root, "%s", o->root ? o->root : "");
    (void) snprintf(h->data, sizeof h->data, "%s", o->data ? o->data : "");
    *ret = h;
    return 0;
}

void bp_host_close(struct bp_host *h) {
    if (!h)
        return;
    bp_mutex_done(&h->lock);
    free(h->text);
    free(h);
}
