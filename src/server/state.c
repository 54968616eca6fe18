/* What the server knows and keeps: the archive, the log of changes, the objects. */
#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "base/metrics.h"
#include "catalog/archive.h"
#include "catalog/audit.h"
#include "server/state.h"

static int open_archive(struct bp_server *s, struct bp_error *err) {
    char path[1100];
    int r;

    (void) snprintf(path, sizeof path, "%s/archive.db", s->dir);
    r = bp_archive_open(path, &s->archive, &s->archive_renewed, err);
    if (s->archive_renewed)
        bp_alerts_raise(s->alerts, "archive.damaged", BP_SEVERITY_CRITICAL,
                        "the archive was damaged and has been set aside: 'bagpipe server reindex' "
                        "makes it anew from what is stored");
    return r;
}

static int open_audit(struct bp_server *s, struct bp_error *err) {
    bool renewed = false;
    char path[1100];
    int r;

    (void) snprintf(path, sizeof path, "%s/audit.db", s->dir);
    r = bp_audit_open(path, &s->audit, &renewed, err);
    if (renewed)
        bp_alerts_raise(s->alerts, "audit.damaged", BP_SEVERITY_CRITICAL,
                        "the log of changes was damaged and has been set aside beside it");
    return r;
}

static int state_open(struct bp_server *s, struct bp_error *err) {
    int r = open_archive(s, err);

    return r < 0 ? r : open_audit(s, err);
}

static void state_close(struct bp_server *s) {
    bp_audit_close(s->audit);
    bp_archive_close(s->archive);
}

static int state_ready(struct bp_server *s, struct bp_error *err) {
    struct statvfs v;
    uint64_t n;

    if (statvfs(s->dir, &v) < 0)
        return bp_fail(err, -EIO, "the disk at '%s' does not answer", s->dir);
    n = (uint64_t) v.f_bavail * v.f_frsize;
    if (n < s->config->storage.min_free)
        return bp_fail(err, -ENOSPC, "the disk is full: %llu MiB are free and %llu must stay so",
                       (unsigned long long) (n >> 20),
                       (unsigned long long) (s->config->storage.min_free >> 20));
    return 0;
}

static void state_tick(struct bp_server *s) {
    struct bp_error why = { 0 };

    if (state_ready(s, &why) < 0)
        bp_alerts_raise(s->alerts, "disk.full", BP_SEVERITY_CRITICAL, why.text);
    else
        bp_alerts_clear(s->alerts, "disk.full");
}

static void state_status(struct bp_server *s, json_t *to) {
    struct bp_archive_sums n;

    if (bp_archive_sums(s->archive, &n, NULL) < 0)
        return;
    (void) json_object_set_new(
        to, "sessions",
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t) n.sessions, "receiving",
                  (json_int_t) n.receiving, "damaged", (json_int_t) n.damaged, "segments",
                  (json_int_t) n.segments, "bytes", (json_int_t) n.bytes));
    (void) json_object_set_new(to, "devices", json_integer((json_int_t) n.devices));
}

static void gauge(struct bp_buf *out, const char *name, const char *help, uint64_t value) {
    bp_metrics_family(out, name, BP_METRIC_GAUGE, help);
    bp_metrics_sample(out, name, NULL, 0, (double) value);
}

static void state_metrics(struct bp_server *s, struct bp_buf *out) {
    struct bp_archive_sums n;

    if (bp_archive_sums(s->archive, &n, NULL) < 0)
        return;
    gauge(out, "bagpipe_server_sessions", "Sessions that are kept here.", n.sessions);
    gauge(out, "bagpipe_server_sessions_receiving",
          "Of them not complete yet: do robots not come to an end?", n.receiving);
    gauge(out, "bagpipe_server_sessions_damaged", "Of them damaged: which disk or line is it?",
          n.damaged);
    gauge(out, "bagpipe_server_segments", "Files of recordings in them.", n.segments);
    gauge(out, "bagpipe_server_bytes", "Bytes as recorded; the same content is stored once.",
          n.bytes);
    gauge(out, "bagpipe_server_devices", "Devices that are known.", n.devices);
}

const struct bp_server_part bp_server_part_state = {
    .name = "state",
    .open = state_open,
    .close = state_close,
    .ready = state_ready,
    .tick = state_tick,
    .status = state_status,
    .metrics = state_metrics,
};
