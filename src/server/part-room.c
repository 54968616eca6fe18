/* Is there room for more? Robots had better wait when there is none. */
#include <errno.h>
#include <sys/statvfs.h>

#include "server/parts.h"

static int room_ready(struct bp_server *s, struct bp_error *err) {
    struct statvfs v;
    uint64_t n;

    if (statvfs(s->dir, &v) < 0)
        return bp_fail(err, -errno, "the disk at '%s' does not answer: %s", s->dir,
                       bp_strerror(-errno));
    n = (uint64_t) v.f_bavail * v.f_frsize;
    if (n < s->config->storage.min_free)
        return bp_fail(err, -ENOSPC, "the disk is full: %llu MiB are free and %llu must stay so",
                       (unsigned long long) (n >> 20),
                       (unsigned long long) (s->config->storage.min_free >> 20));
    return 0;
}

static void room_tick(struct bp_server *s) {
    struct bp_error why = { 0 };

    if (room_ready(s, &why) < 0)
        bp_alerts_raise(s->alerts, "disk.full", BP_SEVERITY_CRITICAL, why.text);
    else
        bp_alerts_clear(s->alerts, "disk.full");
}

const struct bp_server_part bp_server_part_room = {
    .name = "room",
    .ready = room_ready,
    .tick = room_tick,
};
