#include "ingest/ingest-priv.h"

#include <errno.h>
#include <stdio.h>

#include "base/io-fault.h"

struct bp_ingest_stats bp_ingest_stats;

#define COUNTER(n, h, field) \
    { .name = (n), .help = (h), .type = BP_METRIC_COUNTER, .counter = &bp_ingest_stats.field }

const struct bp_metric bp_ingest_metrics[] = {
    COUNTER("bagpipe_upload_parts_total", "Parts that were received and acknowledged.", parts),
    COUNTER("bagpipe_upload_part_bytes_total", "Their bytes.", part_bytes),
    COUNTER("bagpipe_upload_parts_failed_total",
            "Parts that were refused at their end, or broke off.", part_failed),
    COUNTER("bagpipe_uploads_stored_total", "Files that were received whole.", stored),
    COUNTER("bagpipe_uploads_stored_bytes_total", "Their bytes.", stored_bytes),
    COUNTER("bagpipe_uploads_known_total", "Files that were here already and not sent.", known),
    COUNTER("bagpipe_uploads_known_bytes_total", "Their bytes.", known_bytes),
    COUNTER("bagpipe_uploads_refused_total", "Uploads that were refused.", refused),
    COUNTER("bagpipe_uploads_expired_total", "Uploads that were forgotten unfinished.", expired),
    COUNTER("bagpipe_ingest_verified_total", "Recordings that were looked into and are whole.",
            verified),
    COUNTER("bagpipe_ingest_damaged_total", "Recordings that were looked into and are not.",
            damaged),
    COUNTER("bagpipe_ingest_sessions_complete_total",
            "Sessions whose last missing file has arrived.", complete),
};
const size_t bp_ingest_metrics_count = BP_COUNT(bp_ingest_metrics);

static void set_defaults(struct bp_ingest_options *o) {
    o->io = o->io ? o->io : bp_io_from_env();
    o->file_bytes = o->file_bytes ? o->file_bytes : UINT64_C(8) << 40;
    o->verify_threads = o->verify_threads ? o->verify_threads : 1;
}

static int open_spool(struct bp_ingest *g, struct bp_error *err) {
    struct bp_spool_options o = {
        .io = g->o.io,
        .max_bytes = g->o.quota_bytes,
        .min_free = g->o.min_free,
        .expiry = g->o.expiry,
    };
    char path[4096];

    if (snprintf(path, sizeof path, "%s/uploads", g->o.dir) >= (int) sizeof path)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", g->o.dir);
    o.dir = path;
    return bp_spool_open(&o, &g->spool, err);
}

int bp_ingest_open(const struct bp_ingest_options *o, struct bp_ingest **ret,
                   struct bp_error *err) {
    BP_CLEANUP(bp_ingest_closep) struct bp_ingest *g = calloc(1, sizeof *g);
    int r;

    if (!g)
        return bp_fail(err, -ENOMEM, "out of memory");
    g->o = *o;
    set_defaults(&g->o);
    bp_mutex_init(&g->lock);
    for (size_t i = 0; i < BP_COUNT(g->judging); i++)
        bp_mutex_init(&g->judging[i]);
    (void) pthread_cond_init(&g->news, NULL);
    (void) pthread_rwlock_init(&g->objects, NULL);
    r = open_spool(g, err);
    if (r == 0)
        r = bp_ingest_checks_start(g, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(g);
    return 0;
}

void bp_ingest_close(struct bp_ingest *g) {
    if (!g)
        return;
    bp_ingest_checks_stop(g);
    bp_spool_close(g->spool);
    (void) pthread_rwlock_destroy(&g->objects);
    (void) pthread_cond_destroy(&g->news);
    bp_mutex_done(&g->lock);
    for (size_t i = 0; i < BP_COUNT(g->judging); i++)
        bp_mutex_done(&g->judging[i]);
    free(g->checks);
    free(g);
}

int bp_ingest_delete_object(struct bp_ingest *g, const uint8_t sha256[static BP_SHA256_LEN],
                            struct bp_error *err) {
    uint64_t wanted = 0;
    int r;

    (void) pthread_rwlock_wrlock(&g->objects);
    r = bp_archive_references(g->o.archive, sha256, &wanted, err);
    if (r >= 0 && wanted == 0)
        r = bp_store_delete(g->o.store, sha256, err);
    (void) pthread_rwlock_unlock(&g->objects);
    return r < 0 ? r : 0;
}

void bp_ingest_tick(struct bp_ingest *g) {
    bp_counter_add(&bp_ingest_stats.expired, bp_spool_expire(g->spool, bp_mono_ns()));
}

void bp_ingest_put_metrics(struct bp_ingest *g, struct bp_buf *out) {
    uint64_t uploads, bytes;

    bp_spool_sums(g->spool, &uploads, &bytes);
    bp_metrics_render(out, bp_ingest_metrics, bp_ingest_metrics_count);
    bp_metrics_family(out, "bagpipe_uploads_open", BP_METRIC_GAUGE, "Uploads that are unfinished.");
    bp_metrics_sample(out, "bagpipe_uploads_open", NULL, 0, (double) uploads);
    bp_metrics_family(out, "bagpipe_uploads_open_bytes", BP_METRIC_GAUGE,
                      "Bytes of them, whether they are here or not.");
    bp_metrics_sample(out, "bagpipe_uploads_open_bytes", NULL, 0, (double) bytes);
}

bool bp_ingest_has(struct bp_ingest *g, const struct bp_ingest_who *who, const char *device) {
    if (!who->any)
        return bp_streq(device, who->device);
    return !*who->scope || (g->o.sees && g->o.sees(g->o.ctx, who->scope, device));
}

int bp_ingest_may(struct bp_ingest *g, struct bp_http_req *req, const char *device,
                  struct bp_ingest_who *ret, struct bp_error *err) {
    const char *id = bp_http_param(req, "id"); /* as of one that is not here */
    int r = 0;

    *ret = (struct bp_ingest_who){ .any = !g->o.who };
    if (g->o.who)
        r = g->o.who(g->o.ctx, req, ret, err);
    if (r == 0 && device && !bp_ingest_has(g, ret, device))
        r = ret->any ? bp_fail(err, -ENOENT, "there is no upload '%.80s'", id ? id : "")
                     : bp_fail(err, -EACCES, "that belongs to device '%s', you are '%s'", device,
                               ret->device);
    return r;
}

void bp_ingest_tell(struct bp_ingest *g, const char *name, json_t *data) {
    if (data && g->o.event)
        g->o.event(g->o.ctx, name, data);
    json_decref(data);
}
