/* Slices of sessions by HTTP (daemon/data.h), out of the objects of the store. */
#include "server/api-data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/archive.h"
#include "daemon/data.h"
#include "server/scope.h"
#include "store/store.h"

/* ---- what is cut ---- */

struct segment {
    uint8_t sha256[BP_ARCHIVE_DIGEST];
    char *name; /* owned */
    bp_ns_t first_ns, last_ns;
};

struct cut {
    struct bp_store *store;
    const struct bp_data *data; /* while segments are chosen */
    struct segment *v;          /* owned */
    size_t n, cap;
    unsigned missing; /* in the time that is asked for, not here yet */
    struct bp_store_object *object;
};

static void cut_free(void *ctx) {
    struct cut *c = ctx;

    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        free(c->v[i].name);
    free(c->v);
    free(c);
}

static void cut_freep(struct cut **c) {
    cut_free(*c);
}

static int add_segment(void *ctx, const struct bp_archive_file *f) {
    struct cut *c = ctx;

    if (f->kind != BP_ARCHIVE_SEGMENT || !bp_data_reads(c->data, f->first_ns, f->last_ns))
        return 0;
    if (f->state == BP_ARCHIVE_FILE_EXPECTED) {
        c->missing += bp_data_wants(c->data, f->first_ns, f->last_ns);
        return 0;
    }
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64;
        struct segment *v = realloc(c->v, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n] =
        (struct segment){ .name = strdup(f->file), .first_ns = f->first_ns, .last_ns = f->last_ns };
    memcpy(c->v[c->n].sha256, f->sha256, sizeof f->sha256);
    return c->v[c->n++].name ? 0 : -ENOMEM;
}

static int by_time(const void *a, const void *b) {
    const struct segment *x = a, *y = b;

    return x->first_ns != y->first_ns ? x->first_ns < y->first_ns ? -1 : 1
                                      : strcmp(x->name, y->name);
}

static int choose(struct cut *c, struct bp_data *d, struct bp_archive *a, const char *id,
                  struct bp_error *err) {
    int r;

    c->data = d;
    r = bp_archive_each_file(a, id, add_segment, c, err);
    c->data = NULL;
    if (r == -ENOMEM)
        return bp_fail(err, r, "no memory for a slice");
    if (r < 0)
        return r;
    if (c->n > 1)
        qsort(c->v, c->n, sizeof *c->v, by_time);
    for (size_t i = 0; r == 0 && i < c->n; i++)
        r = bp_data_add(d, c->v[i].name, c->v[i].first_ns, c->v[i].last_ns, err);
    return r;
}

/* ---- reading ---- */

static ssize_t read_object(void *ctx, void *p, size_t n, uint64_t off, struct bp_error *err) {
    struct cut *c = ctx;

    return bp_store_object_read(c->object, p, n, off, err);
}

static int open_segment(void *ctx, size_t i, struct bp_reads *ret, struct bp_error *err) {
    struct cut *c = ctx;
    int r = bp_store_get(c->store, c->v[i].sha256, &c->object, err);

    if (r == 0)
        *ret = (struct bp_reads){ .size = c->object->bytes, .read = read_object, .ctx = c };
    return r;
}

static void close_segment(void *ctx, struct bp_reads *r) {
    struct cut *c = ctx;

    (void) r;
    bp_store_object_close(BP_TAKE_PTR(c->object));
}

static int get_data(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_CLEANUP(cut_freep) struct cut *c = calloc(1, sizeof *c);
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    BP_CLEANUP(bp_data_freep) struct bp_data *d = NULL;
    struct bp_data_source src = { .open = open_segment, .close = close_segment, .done = cut_free };
    int r = c ? bp_server_find_session(s, req, &row, err)
              : bp_fail(err, -ENOMEM, "no memory for a slice");

    if (r == 0 && !s->store)
        r = bp_fail(err, BP_EUNSUPPORTED, "this server has no store");
    if (r == 0)
        r = bp_data_new(req, row.started_ns, &d, err);
    if (r == 0)
        r = choose(c, d, s->archive, row.id, err);
    if (r < 0)
        return r;
    c->store = s->store;
    src.missing = c->missing;
    src.settled = row.state == BP_ARCHIVE_COMPLETE && row.segments_here == row.segments;
    src.ctx = BP_TAKE_PTR(c);
    return bp_data_reply(s->pumps, reply, row.name, BP_TAKE_PTR(d), &src, err);
}

/* ---- the part ---- */

static int open_data(struct bp_server *s, struct bp_error *err) {
    s->pumps = bp_pumps_new(BP_DATA_PUMPS);
    return s->pumps ? 0 : bp_fail(err, -ENOMEM, "no memory for slices");
}

static void close_data(struct bp_server *s) {
    bp_pumps_free(s->pumps);
    s->pumps = NULL;
}

static void put_metrics(struct bp_server *s, struct bp_buf *out) {
    bp_data_put_metrics(s->pumps, out);
}

static const struct bp_http_route routes[] = {
    { "GET", "/api/v1/sessions/:id/data", get_data, BP_HTTP_VIEWER,
      "Messages of a session, by topics and time: MCAP, JSON lines, CSV or frames." },
};
static const size_t nroutes = BP_COUNT(routes);

static const struct bp_api_param params[] = { BP_DATA_PARAMS };
static const struct bp_api_doc docs[] = {
    { "GET", "/api/v1/sessions/:id/data", BP_DATA_QUERY, NULL, 200, BP_DATA_TYPES, "404 503" },
};
static const struct bp_api_part data_docs = { docs, BP_COUNT(docs), params, BP_COUNT(params), NULL,
                                              0 };

const struct bp_server_part bp_server_part_data = {
    .name = "data",
    .routes = routes,
    .nroutes = &nroutes,
    .docs = &data_docs,
    .open = open_data,
    .close = close_data,
    .metrics = put_metrics,
};
