/* Payload on demand: what describes a session is there, and somebody wants a part of the rest. */
#include <errno.h>
#include <fnmatch.h>

#include "bag/manifest.h"
#include "sync/engine-priv.h"

static bool has_topic(const struct bp_manifest *m, const char *const *topics) {
    if (!topics || !topics[0])
        return true;
    for (size_t i = 0; i < m->nchannels; i++)
        for (size_t k = 0; topics[k]; k++)
            if (fnmatch(topics[k], m->channels[i].topic, 0) == 0)
                return true;
    return false;
}

static bool overlaps(const struct bp_manifest_segment *x, const struct bp_sync_fetch *f) {
    if (x->messages == 0) /* has no time: goes with all of them */
        return !f->from_ns && !f->to_ns;
    return x->last_ns >= f->from_ns && (!f->to_ns || x->first_ns <= f->to_ns);
}

/* In a transaction. The session is closed with the last of its segments: then all of it goes. */
static int queue_segments(struct bp_sync *s, const char *dir, const struct bp_manifest *m,
                          const struct bp_sync_fetch *f, struct bp_sync_fetched *ret,
                          struct bp_error *err) {
    int64_t queued = 0;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < m->nsegments; i++) {
        const struct bp_manifest_segment *x = &m->segments[i];

        if (!overlaps(x, f))
            continue;
        r = bp_sync_put_file(s, dir, m->id, x->file, BP_SYNC_SEGMENT,
                             x->sha256[0] ? x->sha256 : NULL, err);
        if (r >= 0)
            r = bp_sync_queue_now_file(s->queue, m->id, x->file, err);
        ret->segments++;
        ret->bytes += x->bytes;
    }
    if (r >= 0)
        r = bp_sync_queue_segments(s->queue, m->id, &queued, err);
    return r < 0 || (uint64_t) queued < m->nsegments
               ? r
               : bp_sync_queue_close_session(s->queue, m->id, err);
}

int bp_sync_fetch(struct bp_sync *s, const struct bp_sync_fetch *f, struct bp_sync_fetched *ret,
                  struct bp_error *err) {
    BP_AUTO_MANIFEST m = { 0 };
    BP_AUTO_FREE char *dir = NULL;
    struct bp_sync_fetched got = { 0 };
    int r = bp_sync_dir_of(s, f->session, &dir, err);

    if (r >= 0)
        r = bp_manifest_read(&bp_io_posix, dir, &m, err);
    if (r < 0)
        return r;
    if (!bp_streq(m.id, f->session))
        return bp_fail(err, -ENOENT, "'%s' holds another session than '%s'", dir, f->session);
    if (has_topic(&m, f->topics)) {
        r = bp_sync_queue_begin(s->queue, err);
        if (r >= 0)
            r = bp_sync_queue_end(s->queue, queue_segments(s, dir, &m, f, &got, err), err);
    }
    if (r < 0)
        return r;
    *ret = got;
    if (got.segments)
        bp_sync_revive(s, NULL, true);
    return 0;
}
