#include <errno.h>

#include "ingest/ingest-priv.h"

/* A part on its way in: judged by its head, then written as it comes, and acknowledged when it is
 * on the disk. */
struct part {
    struct bp_ingest *g;
    struct bp_spool_part *spool; /* owned */
    uint64_t bytes;
};

/* An upload that is not there (any more) may be one that was finished. */
static int why_missing(struct bp_ingest *g, const char *id, struct bp_error *err) {
    struct bp_spool_meta m;

    if (bp_ingest_find_stored(g, id, &m, NULL) == 0)
        return bp_fail(err, BP_EMISMATCH, "the upload is stored already");
    return bp_fail(err, -ENOENT, "there is no upload '%.80s'", id);
}

int bp_ingest_part_begin(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                         void **ret_body, struct bp_error *err) {
    BP_AUTO_FREE struct part *p = calloc(1, sizeof *p);
    const char *id = bp_http_param(req, "id");
    uint8_t sha256[BP_SHA256_LEN];
    struct bp_spool_info info;
    struct bp_ingest_who who;
    uint64_t n = 0;
    int r;

    (void) reply;
    if (!p)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_ingest_read_part(bp_http_param(req, "n"), &n, err);
    if (r == 0)
        r = bp_ingest_read_digest(bp_http_header(req, "Content-Digest"), sha256, err);
    if (r == 0 && bp_spool_get(g->spool, id, &info, NULL) < 0)
        r = why_missing(g, id, err);
    if (r == 0)
        r = bp_ingest_may(g, req, info.meta.device, &who, err);
    p->g = g;
    p->bytes = bp_http_body_length(req);
    if (r == 0)
        r = bp_spool_part_begin(g->spool, id, n, p->bytes, sha256, &p->spool, err);
    if (r == -ENOENT)
        r = why_missing(g, id, err);
    if (r < 0) {
        bp_counter_add(&bp_ingest_stats.part_failed, 1);
        return r;
    }
    *ret_body = BP_TAKE_PTR(p);
    return 0;
}

int bp_ingest_part_data(void *body, const void *data, size_t n, struct bp_error *err) {
    struct part *p = body;

    return bp_spool_part_write(p->spool, data, n, err);
}

void bp_ingest_part_abort(void *body) {
    BP_AUTO_FREE struct part *p = body;

    bp_counter_add(&bp_ingest_stats.part_failed, 1);
    bp_spool_part_abort(p->spool);
}

int bp_ingest_put_part(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                       struct bp_error *err) {
    BP_AUTO_FREE struct part *p = bp_http_body_ctx(req);
    int r = bp_spool_part_commit(BP_TAKE_PTR(p->spool), err);

    (void) g;
    if (r < 0) {
        bp_counter_add(&bp_ingest_stats.part_failed, 1);
        return r;
    }
    bp_counter_add(&bp_ingest_stats.parts, 1);
    bp_counter_add(&bp_ingest_stats.part_bytes, p->bytes);
    bp_http_reply_empty(reply, 204);
    return 0;
}
