#include "bag/filewriter.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/random.h>

#include "bag/defs.h"
#include "bag/segment.h"
#include "base/crc.h"

/* The producer fills the records of one buffer; a full one goes to a worker; finished groups leave
 * in the order they were filled, written by whoever finished the one that is next. With all buffers
 * in use the producer takes a waiting one and builds it itself, so no core stands idle. */

enum { MAX_WORKERS = 16, CHANNELS = 4096, SPARE_BUFFERS = 3, BIG = 256 << 10 };

enum state { FREE, FILLING, FULL, BUSY, DONE };

struct chunk {
    enum state state;  /* [lock] */
    uint64_t no;       /* [lock] its turn */
    uint8_t *in, *out; /* owned, block-aligned; records at in + 49 */
    uint64_t in_cap, out_cap;
    uint64_t raw, index_room; /* [owner] bytes of records; what their index will need */
    uint32_t nmsg;
    unsigned nch;
    struct bp_group_channel *ch; /* owned, CHANNELS */
    struct bp_group g;
};

struct channel {
    uint64_t chunk_key; /* no + 1 of the chunk it was last put into */
    uint32_t entry;
    uint32_t skip, left; /* chunks to store before the next try; how many of them are left */
};

struct bp_filewriter {
    struct bp_filewriter_opts o;
    const struct bp_io *io;
    char *path;
    int fd;
    bool direct;
    uint8_t session[16];
    struct bp_defs defs;
    struct bp_defined defined;
    struct bp_index index;
    struct channel *channels;                    /* by id, 65,536 */
    struct bp_builder builders[MAX_WORKERS + 1]; /* one per worker, the last is the producer's */
    struct chunk *chunks;
    unsigned nchunks;
    struct chunk *filling;
    uint64_t next_no, off;
    uint64_t next_out; /* [lock] */
    bool writing;      /* [lock] somebody writes the group that was next */
    bool stop;         /* [lock] */
    int failed;        /* [lock] */
    pthread_mutex_t lock;
    pthread_cond_t work, room;
    pthread_t threads[MAX_WORKERS];
    unsigned nthreads;
};

struct worker_arg {
    struct bp_filewriter *w;
    unsigned i;
};

/* ---- groups out, in order ---- */

static int write_bytes(struct bp_filewriter *w, const void *p, size_t n) {
    int r = w->o.memory ? 0 : w->io->pwrite(w->io->ctx, w->fd, p, n, w->off);

    if (r >= 0)
        w->off += n;
    return r;
}

static int write_definitions(struct bp_filewriter *w, bool head) {
    static const struct bp_head_info info = { .name = "" };
    BP_AUTO_BUF b = { 0 };
    BP_AUTO_FREE void *aligned = NULL;
    int r = bp_defs_group(&w->defs, &w->defined, head ? &info : NULL, w->session, w->off, &b,
                          &w->index);

    if (r < 0)
        return r;
    if (b.failed || posix_memalign(&aligned, BP_BLOCK, b.n))
        return -ENOMEM;
    memcpy(aligned, b.p, b.n);
    return write_bytes(w, aligned, b.n);
}

static int write_group(struct bp_filewriter *w, struct chunk *c) {
    int r;

    bp_group_commit(&c->g, w->session, w->off, BP_LANE_MAIN, c->no, c->no);
    bp_index_add_group(&w->index, &c->g, w->off);
    r = write_bytes(w, c->g.buf, c->g.len);
    return r < 0 ? r : w->index.failed ? -ENOMEM : 0;
}

static struct chunk *find_locked(const struct bp_filewriter *w, enum state s, uint64_t no) {
    for (unsigned i = 0; i < w->nchunks; i++)
        if (w->chunks[i].state == s && (no == UINT64_MAX || w->chunks[i].no == no))
            return &w->chunks[i];

    return NULL;
}

/* Writes finished groups as long as the next one is there. */
static void write_done_locked(struct bp_filewriter *w) {
    struct chunk *c;

    while (!w->writing && (c = find_locked(w, DONE, w->next_out))) {
        int r;

        w->writing = true;
        (void) pthread_mutex_unlock(&w->lock);
        r = w->failed ? 0 : write_group(w, c);
        (void) pthread_mutex_lock(&w->lock);
        w->writing = false;
        if (r < 0 && !w->failed)
            w->failed = r;
        c->state = FREE;
        w->next_out++;
        (void) pthread_cond_broadcast(&w->room);
    }
}

/* ---- building ---- */

/* Does the channel that fills most of the chunk compress at all? A chunk that saves less than 3 %
 * makes the next 1, 2, 4 … 32 of that channel stored. */
static struct channel *main_channel(const struct bp_filewriter *w, const struct chunk *c) {
    unsigned best = 0;

    for (unsigned i = 1; i < c->nch; i++)
        if (c->ch[i].bytes > c->ch[best].bytes)
            best = i;
    return &w->channels[c->ch[best].id];
}

static bool skip_locked(struct bp_filewriter *w, const struct chunk *c) {
    struct channel *m = main_channel(w, c);

    if (m->left == 0)
        return false;
    m->left--;
    return true;
}

static void learn_locked(struct bp_filewriter *w, const struct chunk *c, bool stored) {
    struct channel *m = main_channel(w, c);

    if (stored || w->o.codec == BP_CODEC_NONE)
        return;
    if (c->g.stored < c->g.raw - c->g.raw / 32)
        m->skip = 0;
    else
        m->left = m->skip = m->skip ? BP_MIN(m->skip * 2, 32u) : 1;
}

static int out_buffer(struct chunk *c) {
    uint64_t want = bp_group_bound(c->raw, c->nmsg, c->nch, 0, 0);
    void *p;

    if (c->out_cap >= want)
        return 0;
    if (posix_memalign(&p, BP_BLOCK, want))
        return -ENOMEM;
    free(c->out);
    c->out = p;
    c->out_cap = want;
    return 0;
}

static int build(struct bp_filewriter *w, struct chunk *c, struct bp_builder *b, bool store) {
    struct bp_group_in in = {
        .records = c->in + BP_CHUNK_HEAD,
        .raw = c->raw,
        .nmsg = c->nmsg,
        .ch = c->ch,
        .nch = c->nch,
    };
    int r = 0;

    store = store || w->o.codec == BP_CODEC_NONE;
    if (!store)
        r = out_buffer(c);
    return r < 0 ? r : bp_group_build(b, &in, store, store ? c->in : c->out, 0, &c->g);
}

/* One FULL chunk, the oldest. False when there was none. */
static bool build_one_locked(struct bp_filewriter *w, struct bp_builder *b) {
    struct chunk *c = NULL;
    bool store;
    int r;

    for (unsigned i = 0; i < w->nchunks; i++)
        if (w->chunks[i].state == FULL && (!c || w->chunks[i].no < c->no))
            c = &w->chunks[i];
    if (!c)
        return false;

    c->state = BUSY;
    store = skip_locked(w, c);
    (void) pthread_mutex_unlock(&w->lock);
    r = build(w, c, b, store);
    (void) pthread_mutex_lock(&w->lock);
    if (r < 0 && !w->failed)
        w->failed = r;
    if (r >= 0)
        learn_locked(w, c, store);
    c->state = DONE;
    write_done_locked(w);
    return true;
}

static void *work(void *arg) {
    struct worker_arg a = *(struct worker_arg *) arg;
    struct bp_filewriter *w = a.w;

    free(arg);
    (void) pthread_setname_np(pthread_self(), "mcap-worker");
    (void) pthread_mutex_lock(&w->lock);
    for (;;) {
        if (build_one_locked(w, &w->builders[a.i]))
            continue;
        if (w->stop)
            break;
        (void) pthread_cond_wait(&w->work, &w->lock);
    }
    (void) pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- the producer ---- */

static void hand_over(struct bp_filewriter *w) {
    struct chunk *c = w->filling;

    w->filling = NULL;
    if (!c)
        return;
    (void) pthread_mutex_lock(&w->lock);
    c->state = FULL;
    if (w->nthreads)
        (void) pthread_cond_signal(&w->work);
    else
        (void) build_one_locked(w, &w->builders[MAX_WORKERS]);
    (void) pthread_mutex_unlock(&w->lock);
}

static int take_chunk(struct bp_filewriter *w, uint64_t need) {
    struct chunk *c;
    void *p;
    int r;

    (void) pthread_mutex_lock(&w->lock);
    while (!(c = find_locked(w, FREE, UINT64_MAX)))
        if (!build_one_locked(w, &w->builders[MAX_WORKERS]))
            (void) pthread_cond_wait(&w->room, &w->lock);
    c->state = FILLING;
    r = w->failed;
    (void) pthread_mutex_unlock(&w->lock);
    if (r < 0)
        return r;

    if (c->in_cap < need) {
        if (posix_memalign(&p, BP_BLOCK, need))
            return -ENOMEM;
        free(c->in);
        c->in = p;
        c->in_cap = need;
    }
    c->no = w->next_no++;
    c->raw = c->index_room = 0;
    c->nmsg = c->nch = 0;
    w->filling = c;
    return 0;
}

/* ---- large messages, stored: from the caller's memory, without a copy ---- */

/* Everything that was appended before is written. */
static int drain(struct bp_filewriter *w) {
    int r;

    hand_over(w);
    (void) pthread_mutex_lock(&w->lock);
    while (w->next_out < w->next_no)
        if (!build_one_locked(w, &w->builders[MAX_WORKERS]))
            (void) pthread_cond_wait(&w->room, &w->lock);
    r = w->failed;
    (void) pthread_mutex_unlock(&w->lock);
    return r;
}

/* What stands behind the payload: index of the one message, commit block, zeros to the boundary. */
static size_t put_big_tail(struct bp_filewriter *w, uint8_t *tail, uint64_t at, uint16_t channel,
                           uint64_t log_ns, uint32_t crc) {
    uint64_t end = at + BP_INDEX_HEAD + BP_INDEX_ENTRY;
    uint64_t len = BP_ALIGN(end + BP_COMMIT_BYTES, (uint64_t) BP_BLOCK);
    struct bp_commit c = { .start = w->off,
                           .len = end,
                           .first = w->next_no,
                           .last = w->next_no,
                           .lane = BP_LANE_MAIN,
                           .runs_crc = bp_crc32c(0, NULL, 0) };
    uint8_t *p = tail;

    p = bp_put_rec(p, BP_MCAP_MESSAGE_INDEX, len - at - BP_REC_HEAD);
    p = bp_put32(bp_put16(p, channel), BP_INDEX_ENTRY);
    p = bp_put64(bp_put64(p, log_ns), 0);
    c.crc = bp_crc32c(crc, tail, (size_t) (p - tail));
    memcpy(c.session, w->session, sizeof c.session);
    bp_commit_encode(p, &c);
    memset(p + BP_COMMIT_BYTES, 0, (size_t) (len - end - BP_COMMIT_BYTES));
    return (size_t) (len - at);
}

static int append_big(struct bp_filewriter *w, uint16_t channel, uint32_t sequence, uint64_t log_ns,
                      uint64_t publish_ns, const void *data, size_t n) {
    uint8_t head[BP_CHUNK_HEAD + BP_MESSAGE_HEAD], tail[2 * BP_BLOCK], *p;
    uint64_t raw = BP_MESSAGE_HEAD + (uint64_t) n, at = BP_CHUNK_HEAD + raw, start;
    struct bp_group_channel ch = { .id = channel, .count = 1, .bytes = n, .index_at = at };
    uint32_t crc;
    size_t tail_n;
    int r = drain(w);

    if (r < 0)
        return r;

    p = bp_put_rec(head + BP_CHUNK_HEAD, BP_MCAP_MESSAGE, raw - BP_REC_HEAD);
    p = bp_put32(bp_put16(p, channel), sequence);
    (void) bp_put64(bp_put64(p, log_ns), publish_ns);
    crc = bp_crc32(bp_crc32(0, head + BP_CHUNK_HEAD, BP_MESSAGE_HEAD), data, n);
    p = bp_put_rec(head, BP_MCAP_CHUNK, at - BP_REC_HEAD);
    p = bp_put32(bp_put64(bp_put64(bp_put64(p, log_ns), log_ns), raw), crc);
    (void) bp_put64(bp_put32(p, 0), raw);
    start = w->off;
    tail_n = put_big_tail(w, tail, at, channel, log_ns,
                          bp_crc32c(bp_crc32c(0, head, sizeof head), data, n));
    r = write_bytes(w, head, sizeof head);
    if (r >= 0)
        r = write_bytes(w, data, n);
    if (r >= 0)
        r = write_bytes(w, tail, tail_n);
    if (r < 0)
        return w->failed = r;

    bp_index_add_group(&w->index,
                       &(struct bp_group){ .chunk_len = at,
                                           .index_len = tail_n,
                                           .stored = raw,
                                           .raw = raw,
                                           .t_first = log_ns,
                                           .t_last = log_ns,
                                           .ch = &ch,
                                           .nch = 1 },
                       start);
    w->next_out = ++w->next_no;
    return w->index.failed ? -ENOMEM : 0;
}

/* What was defined since the last time; the first time with the file's head. Definitions lie
 * between groups, so what is being filled goes out first. */
static int define(struct bp_filewriter *w) {
    int r = drain(w); /* afterwards no worker touches what follows */
    bool known;

    if (r < 0)
        return r;
    known = w->off > 0 && w->defined.schemas == w->defs.nschemas &&
            w->defined.channels == w->defs.nchannels;
    return known ? 0 : write_definitions(w, w->off == 0);
}

static uint64_t room_for(uint64_t raw, uint64_t index) {
    return BP_ALIGN(BP_CHUNK_HEAD + raw + index + BP_COMMIT_BYTES + BP_BLOCK, (uint64_t) BP_BLOCK);
}

int bp_filewriter_append(struct bp_filewriter *w, uint16_t channel, uint32_t sequence,
                         uint64_t log_ns, uint64_t publish_ns, const void *data, size_t n) {
    enum { INDEX = BP_INDEX_ENTRY + BP_INDEX_HEAD };
    uint64_t len = BP_MESSAGE_HEAD + (uint64_t) n;
    struct chunk *c = w->filling;
    struct channel *x = &w->channels[channel];
    uint8_t *p;
    int r;

    if (channel == 0 || channel >= w->defs.nchannels)
        return -EINVAL;

    if (channel >= w->defined.channels) {
        r = define(w);
        if (r < 0)
            return r;
        c = w->filling;
    }
    if (n >= BIG && w->o.codec == BP_CODEC_NONE && !w->direct)
        return append_big(w, channel, sequence, log_ns, publish_ns, data, n);
    if (c && (c->raw + len > w->o.chunk_bytes || c->nch == CHANNELS ||
              room_for(c->raw + len, c->index_room + INDEX) > c->in_cap)) {
        hand_over(w);
        c = NULL;
    }
    if (!c) {
        r = take_chunk(w, room_for(BP_MAX(w->o.chunk_bytes, len), w->o.chunk_bytes / 2 + INDEX));
        if (r < 0)
            return r;
        c = w->filling;
    }

    p = c->in + BP_CHUNK_HEAD + c->raw;
    p = bp_put_rec(p, BP_MCAP_MESSAGE, len - BP_REC_HEAD);
    p = bp_put32(bp_put16(p, channel), sequence);
    p = bp_put64(bp_put64(p, log_ns), publish_ns);
    if (n)
        memcpy(p, data, n);
    c->raw += len;
    c->index_room += BP_INDEX_ENTRY;
    c->nmsg++;
    if (x->chunk_key != c->no + 1) {
        x->chunk_key = c->no + 1;
        x->entry = c->nch;
        c->ch[c->nch++] = (struct bp_group_channel){ .id = channel };
        c->index_room += BP_INDEX_HEAD;
    }
    c->ch[x->entry].count++;
    c->ch[x->entry].bytes += n;
    return 0;
}

/* ---- definitions ---- */

int bp_filewriter_schema(struct bp_filewriter *w, const char *name, const char *encoding,
                         struct bp_str data) {
    uint32_t id = w->defs.nschemas ? w->defs.nschemas : 1;
    BP_AUTO_BUF b = { 0 };
    size_t at;
    int r;

    if (id > UINT16_MAX)
        return -ENOSPC;
    at = bp_rec_begin(&b, BP_MCAP_SCHEMA);
    bp_buf_put_le16(&b, (uint16_t) id);
    bp_put_cstr(&b, name);
    bp_put_cstr(&b, encoding);
    bp_put_text(&b, data.p, data.n);
    bp_rec_end(&b, at);
    r = b.failed ? -ENOMEM : bp_defs_put_schema(&w->defs, b.p, b.n);
    return r < 0 ? r : (int) id;
}

int bp_filewriter_channel(struct bp_filewriter *w, uint16_t schema, const char *topic,
                          const char *message_encoding, const char *const *metadata) {
    uint32_t id = w->defs.nchannels ? w->defs.nchannels : 1;
    BP_AUTO_BUF b = { 0 };
    size_t at, map;
    int r;

    if (id > UINT16_MAX)
        return -ENOSPC;
    at = bp_rec_begin(&b, BP_MCAP_CHANNEL);
    bp_buf_put_le16(&b, (uint16_t) id);
    bp_buf_put_le16(&b, schema);
    bp_put_cstr(&b, topic);
    bp_put_cstr(&b, message_encoding);
    map = bp_map_begin(&b);
    for (; metadata && metadata[0]; metadata += 2) {
        bp_put_cstr(&b, metadata[0]);
        bp_put_cstr(&b, metadata[1]);
    }
    bp_map_end(&b, map);
    bp_rec_end(&b, at);
    r = b.failed ? -ENOMEM : bp_defs_put_channel(&w->defs, b.p, b.n);
    return r < 0 ? r : (int) id;
}

/* ---- open and close ---- */

static void free_all(struct bp_filewriter *w) {
    (void) pthread_mutex_lock(&w->lock);
    w->stop = true;
    (void) pthread_cond_broadcast(&w->work);
    (void) pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->nthreads; i++)
        (void) pthread_join(w->threads[i], NULL);

    for (unsigned i = 0; w->chunks && i < w->nchunks; i++) {
        free(w->chunks[i].in);
        free(w->chunks[i].out);
        free(w->chunks[i].ch);
    }
    for (unsigned i = 0; i < BP_COUNT(w->builders); i++)
        bp_builder_done(&w->builders[i]);
    free(w->chunks);
    free(w->channels);
    bp_defs_done(&w->defs);
    bp_index_done(&w->index);
    if (w->fd >= 0)
        (void) w->io->close(w->io->ctx, w->fd);
    (void) pthread_cond_destroy(&w->work);
    (void) pthread_cond_destroy(&w->room);
    (void) pthread_mutex_destroy(&w->lock);
    free(w->path);
    free(w);
}

void bp_filewriter_abort(struct bp_filewriter *w) {
    if (!w)
        return;

    if (w->path && w->fd >= 0)
        (void) w->io->unlink(w->io->ctx, w->path);
    free_all(w);
}

static int open_out(struct bp_filewriter *w, const char *path) {
    char dir[4096];

    if (w->o.memory)
        return 0;
    bp_io_dirname(path, dir, sizeof dir);
    w->direct = bp_segment_can_direct(w->io, dir);
    w->fd = w->io->open(w->io->ctx, path, O_RDWR | O_CREAT | O_TRUNC | (w->direct ? O_DIRECT : 0),
                        0644);
    return w->fd < 0 ? w->fd : 0;
}

static int allocate(struct bp_filewriter *w) {
    w->nchunks = w->o.workers + SPARE_BUFFERS;
    w->chunks = calloc(w->nchunks, sizeof *w->chunks);
    w->channels = calloc(UINT16_MAX + 1, sizeof *w->channels);
    if (!w->chunks || !w->channels)
        return -ENOMEM;
    for (unsigned i = 0; i < w->nchunks; i++) {
        w->chunks[i].ch = calloc(CHANNELS, sizeof *w->chunks[i].ch);
        if (!w->chunks[i].ch)
            return -ENOMEM;
    }
    for (unsigned i = 0; i < w->o.workers; i++)
        if (bp_builder_init(&w->builders[i], w->o.codec, w->o.level, w->o.fast) < 0)
            return -ENOMEM;
    return bp_builder_init(&w->builders[MAX_WORKERS], w->o.codec, w->o.level, w->o.fast);
}

static int start_workers(struct bp_filewriter *w) {
    for (unsigned i = 0; i < w->o.workers; i++) {
        struct worker_arg *a = malloc(sizeof *a);
        int r;

        if (!a)
            return -ENOMEM;
        *a = (struct worker_arg){ w, i };
        r = pthread_create(&w->threads[i], NULL, work, a);
        if (r) {
            free(a);
            return -r;
        }
        w->nthreads++;
    }
    return 0;
}

int bp_filewriter_open(const char *path, const struct bp_filewriter_opts *o,
                       struct bp_filewriter **ret, struct bp_error *err) {
    BP_CLEANUP(bp_filewriter_abortp) struct bp_filewriter *w = calloc(1, sizeof *w);
    int r;

    if (!w)
        return bp_fail(err, -ENOMEM, "no memory to write '%s'", path);

    w->o = *o;
    w->io = o->io ? o->io : &bp_io_posix;
    w->fd = -1;
    w->o.workers = BP_MIN(o->workers, (unsigned) MAX_WORKERS);
    if (!w->o.chunk_bytes)
        w->o.chunk_bytes = 1 << 20;
    (void) pthread_mutex_init(&w->lock, NULL);
    (void) pthread_cond_init(&w->work, NULL);
    (void) pthread_cond_init(&w->room, NULL);
    if (getrandom(w->session, sizeof w->session, 0) != (ssize_t) sizeof w->session)
        return bp_fail(err, -errno, "no random numbers: %s", bp_strerror(-errno));

    r = open_out(w, path);
    if (r < 0)
        return bp_fail(err, r, "cannot write '%s': %s", path, bp_strerror(r));

    w->path = strdup(path);
    r = w->path ? allocate(w) : -ENOMEM;
    if (r >= 0)
        r = start_workers(w);
    if (r < 0)
        return bp_fail(err, r, "cannot write '%s': %s", path, bp_strerror(r));

    *ret = BP_TAKE_PTR(w);
    return 0;
}

/* The end is not aligned to a block: written without O_DIRECT. */
static int write_end(struct bp_filewriter *w) {
    BP_AUTO_BUF b = { 0 };
    int r = bp_index_summary(&w->index, w->off, &b);

    if (r < 0)
        return r;
    if (w->o.memory) {
        w->off += b.n;
        return 0;
    }
    if (w->direct && fcntl(w->fd, F_SETFL, O_RDWR) < 0)
        return -errno;
    r = write_bytes(w, b.p, b.n);
    if (r >= 0 && w->o.sync)
        r = w->io->sync(w->io->ctx, w->fd);
    return r;
}

int bp_filewriter_close(struct bp_filewriter *w, uint64_t *ret_bytes, struct bp_error *err) {
    int r;

    if (!w)
        return 0;

    r = define(w);
    if (r >= 0)
        r = write_end(w);
    if (ret_bytes)
        *ret_bytes = w->off;
    if (r < 0) {
        (void) bp_fail(err, r, "cannot write '%s': %s", w->path, bp_strerror(r));
        bp_filewriter_abort(w);
        return r;
    }
    free_all(w);
    return 0;
}
