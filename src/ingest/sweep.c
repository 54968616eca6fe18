/* Objects that nobody wants: left by a crash between an object and its row, or by a deletion that
 * failed. They are looked for without holding anything up; each is judged again when it is its turn
 * to be deleted, while nobody can take it up. */
#include "ingest/sweep.h"

#include <errno.h>

#include "base/buf.h"
#include "ingest/ingest-priv.h"

enum { LIST_MAX = 500000, EVERY = 64 };

struct orphan {
    uint8_t sha256[BP_SHA256_LEN];
    uint64_t bytes;
};

struct sweep {
    struct bp_ingest *g;
    const struct bp_ingest_sweep *o;
    struct bp_ingest_swept *ret;
    struct bp_buf found; /* struct orphan */
    bp_ns_t before;      /* wall: later ones stay */
    struct bp_error why;
};

static size_t orphans(const struct sweep *x) {
    return x->found.n / sizeof(struct orphan);
}

static int note(struct sweep *x, const uint8_t *sha256, uint64_t bytes) {
    struct orphan n = { .bytes = bytes };

    if (orphans(x) == LIST_MAX) {
        x->ret->more = true;
        return 0;
    }
    memcpy(n.sha256, sha256, sizeof n.sha256);
    bp_buf_put(&x->found, &n, sizeof n);
    return x->found.failed ? bp_fail(&x->why, -ENOMEM, "no memory for a list of objects") : 0;
}

static int look(void *ctx, const uint8_t *sha256, uint64_t bytes, int64_t wall_ns) {
    struct sweep *x = ctx;
    uint64_t wanted = 0;
    int r = bp_archive_references(x->g->o.archive, sha256, &wanted, &x->why);

    if (r < 0)
        return r;
    x->ret->objects++;
    if (x->ret->objects % EVERY == 0 && x->o->progress && x->o->progress(x->o->ctx, x->ret) != 0)
        return bp_fail(&x->why, -ECANCELED, "cancelled");
    if (wanted > 0)
        return 0;
    x->ret->unwanted++;
    x->ret->unwanted_bytes += bytes;
    if (wall_ns > x->before || (wall_ns < x->o->since && !x->o->force)) {
        x->ret->young++;
        return 0;
    }
    return note(x, sha256, bytes);
}

/* An archive that has lost its rows makes orphans of everything. */
static int check_share(const struct sweep *x, struct bp_error *err) {
    if (x->o->force || 2 * orphans(x) <= x->ret->objects)
        return 0;
    return bp_fail(err, BP_EBUSY,
                   "%zu of %llu objects are wanted by no session: was the archive lost? 'bagpipe "
                   "server --reindex' makes it anew; force deletes them all the same",
                   orphans(x), (unsigned long long) x->ret->objects);
}

/* The last look at one. What an upload has handed on, and nobody could write down yet, is all that
 * is left of that upload: it is finished with it. */
static int delete_one(struct bp_ingest *g, const uint8_t *sha256, bool *ret_deleted,
                      struct bp_error *err) {
    uint64_t wanted = 0;
    int r;

    (void) pthread_rwlock_wrlock(&g->objects);
    r = bp_archive_references(g->o.archive, sha256, &wanted, err);
    *ret_deleted = r >= 0 && wanted == 0 && !bp_spool_hands_on(g->spool, sha256);
    if (*ret_deleted)
        r = bp_store_delete(g->o.store, sha256, err);
    (void) pthread_rwlock_unlock(&g->objects);
    *ret_deleted &= r >= 0;
    return r;
}

static int delete_all(struct sweep *x, struct bp_error *err) {
    const struct orphan *v = (const struct orphan *) (const void *) x->found.p;
    int r = 0;

    for (size_t i = 0; r == 0 && i < orphans(x); i++) {
        bool deleted = false;

        r = delete_one(x->g, v[i].sha256, &deleted, err);
        x->ret->deleted += deleted;
        x->ret->deleted_bytes += deleted ? v[i].bytes : 0;
        if (r == 0 && i % EVERY == 0 && x->o->progress && x->o->progress(x->o->ctx, x->ret) != 0)
            r = bp_fail(err, -ECANCELED, "cancelled");
    }
    return r;
}

int bp_ingest_sweep(struct bp_ingest *g, const struct bp_ingest_sweep *o,
                    struct bp_ingest_swept *ret, struct bp_error *err) {
    struct sweep x = { .g = g, .o = o, .ret = ret, .before = bp_wall_ns() - o->min_age };
    int r;

    *ret = (struct bp_ingest_swept){ 0 };
    r = bp_store_each(g->o.store, look, &x, err);
    if (r < 0 && *x.why.text)
        r = bp_fail(err, r, "%s", x.why.text);
    if (r == 0 && !o->dry_run)
        r = check_share(&x, err);
    if (r == 0 && !o->dry_run)
        r = delete_all(&x, err);
    bp_buf_done(&x.found);
    return r;
}
