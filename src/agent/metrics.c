/* GET /metrics: families about the agent as a whole, and in which format they go out. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/agent-priv.h"
#include "bag/bag-metrics.h"
#include "base/metrics.h"

static void put(struct bp_buf *out, const char *name, enum bp_metric_type type, const char *help,
                double value) {
    bp_metrics_family(out, name, type, help);
    bp_metrics_sample(out, name, NULL, 0, value);
}

/* ---- the process ---- */

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

static void put_process(const struct bp_agent *a, struct bp_buf *out) {
    struct rusage use = { 0 };
    struct rlimit files = { 0 };

    (void) getrusage(RUSAGE_SELF, &use);
    (void) getrlimit(RLIMIT_NOFILE, &files);
    put(out, "process_resident_memory_bytes", BP_METRIC_GAUGE,
        "Memory in use: does it grow without end?", resident_bytes());
    put(out, "process_cpu_seconds_total", BP_METRIC_COUNTER,
        "Processor time used: what does recording cost the robot?",
        (double) (use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
            (double) (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    put(out, "process_open_fds", BP_METRIC_GAUGE, "Open files: do they leak?", open_files());
    put(out, "process_max_fds", BP_METRIC_GAUGE, "How many may be open: how near is the limit?",
        (double) files.rlim_cur);
    put(out, "process_start_time_seconds", BP_METRIC_GAUGE,
        "When it started, in seconds since 1970: did it restart?", (double) a->started_ns / 1e9);
    bp_metrics_family(out, "bagpipe_build_info", BP_METRIC_GAUGE, "Which version runs where?");
    bp_metrics_sample(out, "bagpipe_build_info", &(const struct bp_label){ "version", BP_VERSION },
                      1, 1);
}

/* ---- sums ---- */

static void put_disk(const struct bp_agent *a, struct bp_buf *out) {
    struct statvfs v;

    if (statvfs(a->dir, &v) < 0)
        return;
    put(out, "bagpipe_disk_free_bytes", BP_METRIC_GAUGE,
        "Space left where recordings lie: how long until the disk is full?",
        (double) v.f_bavail * (double) v.f_frsize);
    put(out, "bagpipe_disk_size_bytes", BP_METRIC_GAUGE, "All of it: which share is left?",
        (double) v.f_blocks * (double) v.f_frsize);
}

void bp_agent_put_metrics(struct bp_agent *a, struct bp_buf *out) {
    struct bp_sessions_stats s;

    bp_sessions_stats(a->sessions, &s);
    put(out, "bagpipe_sessions_running", BP_METRIC_GAUGE,
        "Sessions being recorded, paused ones too: is anything recorded?", s.running);
    put(out, "bagpipe_sessions_paused", BP_METRIC_GAUGE,
        "Those of them that are paused: did somebody forget to go on?", s.paused);
    put(out, "bagpipe_ring_used_bytes", BP_METRIC_GAUGE,
        "Accepted and not yet safe on the disk, all rings: how near are we to refusing messages?",
        (double) s.ring_used);
    put(out, "bagpipe_ring_size_bytes", BP_METRIC_GAUGE, "Room in all rings: which share is used?",
        (double) s.ring_size);
    put(out, "bagpipe_jobs", BP_METRIC_GAUGE, "Jobs that wait or run: does work pile up?",
        (double) bp_jobs_live(a->jobs));
    put_disk(a, out);
    bp_sessions_totals(a->sessions, out);
    bp_metrics_render(out, bp_bag_metrics, bp_bag_metrics_count);
    put_process(a, out);
}

void bp_agent_reply_metrics(const struct bp_http_req *req, struct bp_http_reply *reply,
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
