#pragma once

#include <jansson.h>

#include "base/time.h"
#include "monitor/host-parse.h"

/* The machine that the agent runs on: processor, memory, disks, network, temperatures, battery,
 * clock, and the agent's own process. Looked at about once a second; what a look needs is a dozen
 * small files, and the lists of devices are read anew every 30 s. Rates are those since the look
 * before. One thread looks; what it has seen is copied to whoever asks. */
struct bp_host;

enum {
    BP_HOST_CORES = 256,
    BP_HOST_DISKS = 16,
    BP_HOST_NETS = 32,
    BP_HOST_TEMPS = 32,
    BP_HOST_BATTERIES = 4
};

struct bp_host_disk {
    struct bp_host_disk_row row;
    double read_rate, write_rate; /* bytes a second */
    double busy;                  /* share of the time with requests under way, 0 to 1 */
    bool recordings;              /* the recordings are on it */
};

struct bp_host_net {
    struct bp_host_net_row row;
    double rx_rate, tx_rate; /* bytes a second */
};

struct bp_host_temp {
    char chip[BP_HOST_NAME], label[BP_HOST_NAME]; /* "coretemp" "Core_0"; "cpu-thermal" "" */
    double celsius;
    double critical; /* where the hardware defends itself; 0 = not told */
};

struct bp_host_battery {
    char name[BP_HOST_NAME];
    double percent; /* 0 to 100, -1 = not told */
    double watts;   /* what flows in or out, -1 = not told */
    bool discharging;
};

struct bp_host_clock {
    bool known;        /* the kernel told */
    bool synchronised; /* it believes so: somebody (chrony, ntpd, PTP) steers it */
    double offset_s;   /* what it still corrects */
    double error_s;    /* at most this far off, says who steers it */
    uint64_t steps;    /* since the start, of more than 0.1 s */
    double last_step_s;
    bp_ns_t last_step_ns; /* wall, 0 = none */
};

/* Shares are 0 to 1. What could not be read is 0 or empty, told apart by `missing`. */
struct bp_host_state {
    bp_ns_t taken_ns; /* wall; 0 = nobody has looked yet */
    double cpu, iowait, steal;
    double cores[BP_HOST_CORES];
    size_t ncores;
    double load[3];
    struct bp_host_memory memory;
    struct bp_host_disk disks[BP_HOST_DISKS];
    size_t ndisks;
    uint64_t disk_size, disk_free; /* of the file system with the recordings */
    struct bp_host_net nets[BP_HOST_NETS];
    size_t nnets;
    struct bp_host_temp temps[BP_HOST_TEMPS];
    size_t ntemps;
    struct bp_host_battery batteries[BP_HOST_BATTERIES];
    size_t nbatteries;
    bool external_power; /* a mains or USB supply says that it is online */
    struct bp_host_clock clock;
    struct {
        double cpu; /* cores in use: 1 = one core */
        uint64_t rss, threads;
    } process;
    double look_s;    /* CPU time that the last look took */
    uint32_t missing; /* bit per enum bp_host_part that could not be read */
};

enum bp_host_part {
    BP_HOST_PART_CPU,
    BP_HOST_PART_MEMORY,
    BP_HOST_PART_LOAD,
    BP_HOST_PART_DISKS,
    BP_HOST_PART_NET,
    BP_HOST_PART_CLOCK,
    BP_HOST_PART_PROCESS,
    BP_HOST_PARTS_N_
};

struct bp_host_opts {
    const char *root; /* what stands before /proc and /sys, for tests; NULL = nothing */
    const char *data; /* folder of the recordings; NULL = none. Copied */
};

/** @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_host_open(const struct bp_host_opts *o, struct bp_host **ret);
/** Takes NULL. */
void bp_host_close(struct bp_host *h);
BP_DEFINE_CLEANUP(struct bp_host, bp_host_close)

/** Looks. One thread; what cannot be read is missing, never an error. */
void bp_host_look(struct bp_host *h);
/** What was seen last. Any thread. */
void bp_host_get(struct bp_host *h, struct bp_host_state *ret);

/** The hottest sensor in degrees Celsius, 0 = there is none. @param ret_name  "chip/label" or NULL
 */
double bp_host_hottest(const struct bp_host_state *s, char ret_name[static 2 * BP_HOST_NAME]);
/** The emptiest battery in percent while no external power is there; -1 = none, or it is there. */
double bp_host_battery(const struct bp_host_state *s);

/** As JSON, for the API; owned by the caller. */
json_t *bp_host_json(const struct bp_host_state *s);
/** As families of metrics. */
void bp_host_metrics(const struct bp_host_state *s, struct bp_buf *out);
