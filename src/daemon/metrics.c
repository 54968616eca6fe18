/* GET /metrics: families about any process of ours, and in which format they go out. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/metrics.h"
#include "daemon/api.h"

static void put(struct bp_buf *out, const char *name, enum bp_metric_type type, const char *help,
                double value) {
    bp_metrics_family(out, name, type, help);
    bp_metrics_sample(out, name, NULL, 0, value);
}

static double resident_bytes(void) {
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long pages = 0;
    char line[128] = "";

    if (!f)
        return 0;
    if (fgets(line, sizeof line, f) &&
        sscanf(line, "%*u %llu", &pages) != 1) /* NOLINT(cert-err34-c): the kernel's own text */
        pages = 0;
    (void) fclose(f);
    return (double) pages * (double) sysconf(_SC_PAGESIZE);
}

static double open_files(void) {
    DIR *d = opendir("/proc/self/fd");
    double n = 0;

    if (!d)
        return 0;
    while (readdir(d)) /* NOLINT(concurrency-mt-unsafe): own stream */
        n++;
    (void) closedir(d);
    return n - 3; /* ".", ".." and the one that is read */
}

void bp_api_put_process(struct bp_buf *out, bp_ns_t started_wall) {
    struct rusage use = { 0 };
    struct rlimit files = { 0 };

    (void) getrusage(RUSAGE_SELF, &use);
    (void) getrlimit(RLIMIT_NOFILE, &files);
    put(out, "process_resident_memory_bytes", BP_METRIC_GAUGE,
        "Memory in use: does it grow without end?", resident_bytes());
    put(out, "process_cpu_seconds_total", BP_METRIC_COUNTER,
        "Processor time used: what does it cost the machine?",
        (double) (use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
            (double) (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    put(out, "process_open_fds", BP_METRIC_GAUGE, "Open files: do they leak?", open_files());
    put(out, "process_max_fds", BP_METRIC_GAUGE, "How many may be open: how near is the limit?",
        (double) files.rlim_cur);
    put(out, "process_start_time_seconds", BP_METRIC_GAUGE,
        "When it started, in seconds since 1970: did it restart?", (double) started_wall / 1e9);
    bp_metrics_family(out, "bagpipe_build_info", BP_METRIC_GAUGE, "Which version runs where?");
    bp_metrics_sample(out, "bagpipe_build_info", &(const struct bp_label){ "version", BP_VERSION },
                      1, 1);
}

void bp_api_put_disk(struct bp_buf *out, const char *dir) {
    struct statvfs v;

    if (statvfs(dir, &v) < 0)
        return;
    put(out, "bagpipe_disk_free_bytes", BP_METRIC_GAUGE,
        "Space left where recordings lie: how long until the disk is full?",
        (double) v.f_bavail * (double) v.f_frsize);
    put(out, "bagpipe_disk_size_bytes", BP_METRIC_GAUGE, "All of it: which share is left?",
        (double) v.f_blocks * (double) v.f_frsize);
}

void bp_api_reply_metrics(const struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_buf *page) {
    BP_AUTO_BUF out = { 0 };

    bp_http_reply_header(reply, "Vary", "Accept");
    if (!bp_metrics_wants_openmetrics(bp_http_header(req, "Accept"))) {
        bp_http_reply_buf(reply, 200, "text/plain; version=0.0.4; charset=utf-8", page);
        return;
    }
    bp_metrics_openmetrics(page, &out);
    bp_http_reply_buf(reply, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8",
                      &out);
}
