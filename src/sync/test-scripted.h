#pragma once

#include <pthread.h>

#include "base/mutex.h"
#include "sync/test-sync.h"

/* A clock that stands while anybody works and jumps to the next deadline when all wait; and a
 * target in memory that does what a script says. */

/* ---- time ---- */

enum { SIM_WAITERS = 80 };

struct sim {
    struct bp_sync_clock clock;
    pthread_cond_t cond;
    unsigned threads, waiting; /* under the engine's lock */
    uint64_t generation;
    bp_ns_t mono, wall_less_mono; /* [atomic] mono */
    bp_ns_t until[SIM_WAITERS];
};

static bp_ns_t sim_mono(void *ctx) {
    return __atomic_load_n(&((struct sim *) ctx)->mono, __ATOMIC_SEQ_CST);
}

static bp_ns_t sim_wall(void *ctx) {
    return sim_mono(ctx) + __atomic_load_n(&((struct sim *) ctx)->wall_less_mono, __ATOMIC_SEQ_CST);
}

static void sim_wake(void *ctx, void *cond) {
    struct sim *s = ctx;

    (void) cond;
    s->generation++;
    s->waiting = 0;
    (void) pthread_cond_broadcast(&s->cond);
}

static void sim_wait(void *ctx, struct bp_mutex *lock, void *cond, bp_ns_t until) {
    struct sim *s = ctx;
    uint64_t generation = s->generation;
    bp_ns_t first = INT64_MAX;

    if (until <= s->mono)
        return;
    s->until[s->waiting++] = until;
    if (s->waiting == s->threads) { /* nobody is left who could do something now */
        for (unsigned i = 0; i < s->waiting; i++)
            first = BP_MIN(first, s->until[i]);
        if (first != INT64_MAX) {
            __atomic_store_n(&s->mono, first, __ATOMIC_SEQ_CST);
            sim_wake(s, cond);
            return;
        }
    }
    while (generation == s->generation)
        (void) pthread_cond_wait(&s->cond, &lock->m);
}

/** @param threads  of the engine: 1 and those of its lines */
static inline void sim_init(struct sim *s, unsigned threads) {
    *s = (struct sim){ .threads = threads, .mono = 1000 * BP_SEC };
    s->wall_less_mono = 1795824000 * BP_SEC - s->mono; /* 2026-11-28 00:00:00 UTC, a Saturday */
    (void) pthread_cond_init(&s->cond, NULL);
    s->clock = (struct bp_sync_clock){
        .mono = sim_mono, .wall = sim_wall, .wait = sim_wait, .wake = sim_wake, .ctx = s
    };
}

/* ---- the target ---- */

enum { MEM_FILES = 2000, MEM_OPEN = 64, MEM_TOKEN = 24 };

struct mem_file {
    char session[27], name[128], hex[65], got_hex[65], token[MEM_TOKEN];
    uint64_t bytes, part_bytes;
    uint8_t *data;
    bool *there;
    uint32_t nparts;
    bool stored;
    unsigned order; /* in which it was stored */
};

struct mem {
    struct bp_sync_target_ops ops;
    pthread_mutex_t lock;
    struct sim *sim; /* or NULL: real time */
    struct mem_file files[MEM_FILES];
    unsigned nfiles, nstored;
    char *json; /* of the one session that tests edit */
    char finished[64][27];
    unsigned nfinished;
    uint64_t received; /* bytes of parts that arrived whole */
    unsigned probes, begins, puts, haves, sessions, aborts, ntokens;
    char open[MEM_OPEN][MEM_TOKEN]; /* uploads that were begun, and neither completed nor aborted */
    unsigned nopen;
    bool keep_no_data; /* digests are ours then */
    bp_ns_t offset;    /* what clock() said */
    /* the script; each may be NULL. Returns < 0 after filling f */
    int (*on_probe)(struct mem *m, bp_ns_t *date, struct bp_sync_failure *f);
    int (*on_put)(struct mem *m, struct mem_file *x, uint32_t n, struct bp_sync_failure *f);
    int (*on_begin)(struct mem *m, const struct bp_sync_file *file, struct bp_sync_theirs *theirs,
                    struct bp_sync_failure *f);
    int (*on_complete)(struct mem *m, struct mem_file *x, struct bp_sync_failure *f);
    int (*on_abort)(struct mem *m, const char *token, struct bp_sync_failure *f);
    int (*on_session)(struct mem *m, const struct bp_sync_session_ref *s,
                      struct bp_sync_theirs *theirs, struct bp_sync_failure *f);
    int script; /* for the script's own use */
    uint64_t rng;
};

static void mem_free(void *self) {
    struct mem *m = self;

    for (unsigned i = 0; i < m->nfiles; i++) {
        free(m->files[i].data);
        free(m->files[i].there);
    }
    free(m->json);
    m->json = NULL;
    m->nfiles = 0;
}

static int mem_probe(void *self, bp_ns_t *date, struct bp_sync_failure *f) {
    struct mem *m = self;
    int r;

    (void) pthread_mutex_lock(&m->lock);
    m->probes++;
    r = m->on_probe ? m->on_probe(m, date, f) : 0;
    (void) pthread_mutex_unlock(&m->lock);
    return r;
}

static void mem_clock(void *self, bp_ns_t offset) {
    ((struct mem *) self)->offset = offset;
}

static struct mem_file *mem_find(struct mem *m, const char *session, const char *name) {
    for (unsigned i = 0; i < m->nfiles; i++)
        if (bp_streq(m->files[i].session, session) && bp_streq(m->files[i].name, name))
            return &m->files[i];
    return NULL;
}

static int mem_have(void *self, const struct bp_sync_file *file, struct bp_sync_failure *f) {
    struct mem *m = self;
    int r = 0;

    (void) f;
    (void) pthread_mutex_lock(&m->lock);
    m->haves++;
    for (unsigned i = 0; i < m->nfiles && r == 0; i++)
        r = m->files[i].stored && bp_streq(m->files[i].hex, file->hex);
    (void) pthread_mutex_unlock(&m->lock);
    return r;
}

static void mem_open_ends(struct mem *m, const char *token) {
    for (unsigned i = 0; i < m->nopen; i++) {
        if (!bp_streq(m->open[i], token))
            continue;
        memmove(m->open[i], m->open[--m->nopen], MEM_TOKEN);
        return;
    }
}

static int mem_open(struct mem *m, struct bp_sync_upload *u) {
    struct mem_file *x = mem_find(m, u->file->session->id, u->file->name);

    if (x && !bp_streq(x->hex, u->file->hex)) { /* forced */
        free(x->data);
        free(x->there);
        x->stored = false;
        x->data = NULL;
        x->there = NULL;
    }
    if (!x) {
        assert_true(m->nfiles < MEM_FILES);
        x = &m->files[m->nfiles++];
    }
    if (!x->there) {
        (void) snprintf(x->session, sizeof x->session, "%s", u->file->session->id);
        (void) snprintf(x->name, sizeof x->name, "%s", u->file->name);
        (void) snprintf(x->hex, sizeof x->hex, "%s", u->file->hex);
        (void) snprintf(x->token, sizeof x->token, "t%u", m->ntokens++);
        x->bytes = u->file->bytes;
        x->part_bytes = u->part_bytes;
        x->nparts = u->nparts;
        x->there = calloc(u->nparts, sizeof *x->there);
        x->data = m->keep_no_data ? NULL : calloc(1, x->bytes + 1);
    }
    for (uint32_t i = 0; i < u->nparts; i++)
        u->parts[i].there = x->there[i];
    (void) snprintf(u->token, sizeof u->token, "%s", x->token);
    mem_open_ends(m, x->token);
    if (x->stored)
        return 1;
    assert_true(m->nopen < MEM_OPEN);
    memcpy(m->open[m->nopen++], x->token, MEM_TOKEN);
    return 0;
}

static int mem_begin(void *self, struct bp_sync_upload *u, struct bp_sync_theirs *theirs,
                     struct bp_sync_failure *f) {
    struct mem *m = self;
    int r;

    (void) pthread_mutex_lock(&m->lock);
    m->begins++;
    r = m->on_begin ? m->on_begin(m, u->file, theirs, f) : 0;
    if (r == 0)
        r = mem_open(m, u);
    (void) pthread_mutex_unlock(&m->lock);
    return r;
}

static int mem_put(void *self, const struct bp_sync_upload *u, uint32_t n,
                   const struct bp_sync_body *body, char *etag, struct bp_sync_failure *f) {
    struct mem *m = self;
    struct mem_file *x;
    uint8_t buf[64 << 10];
    int r;

    (void) pthread_mutex_lock(&m->lock);
    x = mem_find(m, u->file->session->id, u->file->name);
    m->puts++;
    (void) pthread_mutex_unlock(&m->lock);
    for (uint64_t at = 0; at < body->size;) {
        size_t k = (size_t) BP_MIN((uint64_t) sizeof buf, body->size - at);

        body->pace(body->pace_ctx, k);
        if (__atomic_load_n(body->cancel, __ATOMIC_RELAXED))
            return bp_sync_fail(f, BP_SYNC_CANCELED, "given up");
        if (pread(body->fd, buf, k, (off_t) (body->offset + at)) != (ssize_t) k)
            return bp_sync_fail(f, BP_SYNC_LOCAL, "short");
        if (x->data)
            memcpy(x->data + body->offset + at, buf, k);
        at += k;
    }
    (void) pthread_mutex_lock(&m->lock);
    r = m->on_put ? m->on_put(m, x, n, f) : 0;
    if (r >= 0) {
        x->there[n] = true;
        m->received += body->size;
    }
    (void) pthread_mutex_unlock(&m->lock);
    (void) snprintf(etag, BP_SYNC_ETAG, "e%u", n);
    return r;
}

static int mem_complete(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f) {
    struct mem *m = self;
    struct mem_file *x;
    uint8_t sum[32];
    int r;

    (void) pthread_mutex_lock(&m->lock);
    x = mem_find(m, u->file->session->id, u->file->name);
    r = m->on_complete ? m->on_complete(m, x, f) : 0;
    if (r >= 0) {
        for (uint32_t i = 0; i < x->nparts; i++)
            assert_true(x->there[i]);
        if (x->data)
            bp_sha256_of(x->data, x->bytes, sum);
        (void) snprintf(x->got_hex, sizeof x->got_hex, "%s", x->hex);
        if (x->data)
            bp_sha256_hex(sum, x->got_hex);
        if (!x->stored)
            x->order = ++m->nstored;
        x->stored = true;
        mem_open_ends(m, x->token);
    }
    (void) pthread_mutex_unlock(&m->lock);
    return r;
}

static int mem_verify(void *self, const struct bp_sync_file *file, struct bp_sync_failure *f) {
    struct mem *m = self;
    struct mem_file *x;
    int r;

    (void) f;
    (void) pthread_mutex_lock(&m->lock);
    x = mem_find(m, file->session->id, file->name);
    r = x && x->stored && bp_streq(x->got_hex, file->hex);
    if (x && !r) /* as a server would: nothing of it is kept */
        x->stored = false;
    if (x && !r && x->there)
        memset(x->there, 0, x->nparts);
    (void) pthread_mutex_unlock(&m->lock);
    return r;
}

static int mem_abort(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f) {
    struct mem *m = self;
    struct mem_file *x;
    int r;

    (void) pthread_mutex_lock(&m->lock);
    m->aborts++;
    r = m->on_abort ? m->on_abort(m, u->token, f) : 0;
    x = mem_find(m, u->file->session->id, u->file->name);
    if (r >= 0 && x && bp_streq(x->token, u->token) && !x->stored && x->there)
        memset(x->there, 0, x->nparts);
    if (r >= 0)
        mem_open_ends(m, u->token);
    (void) pthread_mutex_unlock(&m->lock);
    return r;
}

static int mem_session(void *self, const struct bp_sync_session_ref *s,
                       struct bp_sync_theirs *theirs, struct bp_sync_failure *f) {
    struct mem *m = self;
    int r;

    (void) pthread_mutex_lock(&m->lock);
    m->sessions++;
    r = m->on_session ? m->on_session(m, s, theirs, f) : 0;
    (void) pthread_mutex_unlock(&m->lock);
    return r;
}

static int mem_finish(void *self, const struct bp_sync_session_ref *s, struct bp_sync_failure *f) {
    struct mem *m = self;

    (void) f;
    (void) pthread_mutex_lock(&m->lock);
    if (m->nfinished < 64)
        (void) snprintf(m->finished[m->nfinished++], 27, "%s", s->id);
    (void) pthread_mutex_unlock(&m->lock);
    return 0;
}

static inline void mem_init(struct mem *m) {
    memset(m, 0, sizeof *m);
    (void) pthread_mutex_init(&m->lock, NULL);
    m->rng = 88172645463325252ULL;
    m->ops = (struct bp_sync_target_ops){ .name = "scripted",
                                          .free = mem_free,
                                          .probe = mem_probe,
                                          .clock = mem_clock,
                                          .have = mem_have,
                                          .begin = mem_begin,
                                          .put = mem_put,
                                          .complete = mem_complete,
                                          .verify = mem_verify,
                                          .abort = mem_abort,
                                          .session = mem_session,
                                          .finish = mem_finish };
}
