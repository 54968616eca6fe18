#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* What Linux tells about itself in /proc and /sys, as text, read without trusting it: bounded, a
 * line that is not as expected is passed over, numbers that do not fit become the largest. Pure
 * functions; texts are borrowed for the call. Formats: proc(5), Documentation/admin-guide/iostats,
 * Documentation/ABI/testing/sysfs-class-{power,hwmon,thermal}. */

enum { BP_HOST_NAME = 32 };

/* CPU time in clock ticks since boot. */
struct bp_host_ticks {
    uint64_t total, idle, iowait, steal; /* total has all of them */
};

struct bp_host_disk_row {
    char name[BP_HOST_NAME];
    unsigned major, minor;
    uint64_t read_sectors, written_sectors; /* of 512 bytes */
    uint64_t busy_ms;
};

struct bp_host_net_row {
    char name[BP_HOST_NAME];
    uint64_t rx_bytes, rx_errors, rx_dropped, tx_bytes, tx_errors, tx_dropped;
};

struct bp_host_memory {
    uint64_t total, available, swap_total, swap_free; /* bytes */
};

struct bp_host_process_row {
    uint64_t ticks; /* user and system */
    uint64_t threads;
    uint64_t rss_pages;
};

/**
 * /proc/stat.
 *
 * @param cores  by number; those that are off stay zero
 * @param ret_n  highest number seen + 1, at most cap
 * @return false when the line of all CPUs is missing
 */
bool bp_host_parse_stat(struct bp_str text, struct bp_host_ticks *ret, struct bp_host_ticks *cores,
                        size_t cap, size_t *ret_n);
/** /proc/meminfo. @return false when there is no MemTotal */
bool bp_host_parse_meminfo(struct bp_str text, struct bp_host_memory *ret);
/** /proc/loadavg: 1, 5, 15 minutes. */
bool bp_host_parse_loadavg(struct bp_str text, double ret[static 3]);
/** /proc/diskstats, partitions too. @return rows filled */
size_t bp_host_parse_diskstats(struct bp_str text, struct bp_host_disk_row *ret, size_t cap);
/** /proc/net/dev. @return rows filled */
size_t bp_host_parse_netdev(struct bp_str text, struct bp_host_net_row *ret, size_t cap);
/** /proc/PID/stat. The name of the process may hold anything. */
bool bp_host_parse_process(struct bp_str text, struct bp_host_process_row *ret);
/** A sysfs attribute that is one whole number, perhaps negative. */
bool bp_host_parse_number(struct bp_str text, int64_t *ret);
/** A sysfs attribute that is a name: its first line, what is not printable ASCII as '_'.
 *  @return false when it is empty */
bool bp_host_parse_name(struct bp_str text, char ret[static BP_HOST_NAME]);
