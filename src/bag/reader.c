/* A recording = its files, merged: channels by (topic, type, hash), messages by log time. */
#include "bag/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "bag/mcap-priv.h"
#include "bag/metadata.h"
#include "bag/paths.h"
#include "bag/remote.h"
#include "bag/source-priv.h"
#include "base/compress.h"

static const struct bp_source_ops *const kinds[] = { &bp_source_mcap, &bp_source_sqlite,
                                                     &bp_source_zstd };

struct bp_bag {
    struct bp_paths paths;
    char *given;                /* owned */
    struct bp_source **sources; /* owned; NULL for files that could not be opened */
    uint32_t **map;             /* owned: per source, its channel -> ours */
    size_t nsources;
    struct bp_bag_channel *channels; /* owned; strings borrowed from the sources */
    size_t nchannels;
    struct bp_bag_info info;
    struct bp_metadata meta; /* of the first session folder */
};

/* One file's part of the merge. A file is opened for reading when its first message could be next,
 * and let go at its end, so that a session of many segments needs the memory of few. */
struct cursor {
    struct bp_source *source;  /* borrowed */
    struct bp_source_iter *it; /* owned; NULL before the start and after the end */
    const uint32_t *map;
    struct bp_source_msg msg;
    bool *wanted; /* owned */
    bool started, have;
};

struct bp_bag_iter {
    struct bp_bag *bag;                     /* borrowed */
    struct cursor *v;                       /* owned, one per source */
    size_t n, current;                      /* current: whose message was handed out; n = none */
    struct bp_bag_filter f;                 /* its `channels` are not used after the start */
    uint64_t skipped_chunks, skipped_bytes; /* of files that ended */
    struct bp_decompressor *z;              /* owned */
    struct bp_buf plain;                    /* payload of message-wise compression */
};

void bp_bag_close(struct bp_bag *b) {
    if (!b)
        return;

    for (size_t i = 0; i < b->nsources; i++) {
        if (b->sources[i])
            b->sources[i]->ops->close(b->sources[i]);
        free(b->map[i]);
    }
    free(b->sources);
    free(b->map);
    free(b->channels);
    free(b->given);
    bp_metadata_done(&b->meta);
    bp_paths_done(&b->paths);
    free(b);
}

static int open_remote(const char *url, struct bp_source **ret, struct bp_error *err) {
    struct mcap_source *m = NULL;
    struct bp_reads reads;
    int r = bp_remote_for(url)->open(url, &reads, err);

    if (r == 0)
        r = mcap_open_reads(url, &reads, &m, err);
    if (r == 0)
        *ret = &m->s;
    return r;
}

static int open_source(const char *path, struct bp_source **ret, struct bp_error *err) {
    BP_AUTO_FD int fd = -1;
    uint8_t head[16];
    ssize_t n;

    if (bp_remote_for(path))
        return open_remote(path, ret, err);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return bp_fail(err, -errno, "cannot open '%s': %s", path, bp_strerror(-errno));
    n = pread(fd, head, sizeof head, 0);
    if (n < 0)
        return bp_fail(err, -errno, "cannot read '%s': %s", path, bp_strerror(-errno));

    for (size_t i = 0; i < BP_COUNT(kinds); i++)
        if (kinds[i]->probe(head, (size_t) n))
            return kinds[i]->open(path, ret, err);

    return bp_fail(err, BP_EFORMAT, "'%s' is %s", path,
                   n == 0 ? "empty: nothing of it reached the disk"
                          : "neither an MCAP file nor a rosbag2 database");
}

static int merge_channel(struct bp_bag *b, const struct bp_source_channel *c, uint32_t *ret) {
    struct bp_bag_channel *x, *grown;

    for (size_t i = 0; i < b->nchannels; i++) {
        x = &b->channels[i];
        if (bp_streq(x->topic, c->topic) && bp_streq(x->type, c->type) &&
            bp_streq(x->type_hash, c->type_hash) &&
            bp_streq(x->original_topic, c->original_topic) && x->keyed == c->keyed) {
            x->messages += c->messages;
            x->repeated += c->repeated;
            if (!x->schema.n && c->schema.n) { /* became known in a later segment */
                x->schema = c->schema;
                x->schema_encoding = c->schema_encoding;
            }
            *ret = (uint32_t) i;
            return 0;
        }
    }

    grown = realloc(b->channels, (b->nchannels + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    b->channels = grown;
    grown[b->nchannels] = (struct bp_bag_channel){
        .index = (uint32_t) b->nchannels,
        .topic = c->topic,
        .type = c->type,
        .message_encoding = c->message_encoding,
        .schema_encoding = c->schema_encoding,
        .schema = c->schema,
        .type_hash = c->type_hash,
        .qos_yaml = c->qos_yaml,
        .robot = c->robot,
        .original_topic = c->original_topic,
        .domain = c->domain,
        .keyed = c->keyed,
        .messages = c->messages,
        .repeated = c->repeated,
    };
    *ret = (uint32_t) b->nchannels++;
    return 0;
}

static int add_source(struct bp_bag *b, size_t i, struct bp_error *err) {
    struct bp_source *s = NULL;
    int r = open_source(b->paths.files[i], &s, err);

    if (r < 0)
        return r;

    b->sources[i] = s;
    b->map[i] = calloc(s->nchannels + 1, sizeof **b->map);
    if (!b->map[i])
        return bp_fail(err, -ENOMEM, "no memory");
    for (size_t k = 0; k < s->nchannels; k++) {
        r = merge_channel(b, &s->channels[k], &b->map[i][k]);
        if (r < 0)
            return bp_fail(err, r, "no memory");
    }
    return 0;
}

static const char *both(const char *a, const char *b) {
    return bp_streq(a, b) || !*b ? a : !*a ? b : "mixed";
}

/* Does metadata.yaml say what the files say? */
static bool agrees(const struct bp_bag *b) {
    return !b->info.metadata_version ||
           (b->meta.messages == b->info.messages && b->meta.npaths == b->nsources);
}

/* Only metadata.yaml tells that rosbag2 compressed each message, also of a file given alone. */
static void find_message_mode(struct bp_bag *b) {
    BP_AUTO_FREE char *seen = NULL;
    bool mode = false;

    for (size_t i = 0; i < b->nsources; i++) {
        BP_AUTO_METADATA m = { 0 };
        char dir[4096];

        if (b->paths.folder[i] == SIZE_MAX)
            bp_io_dirname(b->paths.files[i], dir, sizeof dir);
        else
            (void) snprintf(dir, sizeof dir, "%s", b->paths.folders[b->paths.folder[i]]);
        if (!seen || !bp_streq(seen, dir)) {
            free(seen);
            seen = strdup(dir);
            mode = bp_metadata_read(&bp_io_posix, dir, &m, NULL) >= 0 &&
                   bp_streq(m.compression_mode, "MESSAGE");
        }
        b->sources[i]->message_zstd |= mode;
    }
}

static void sum_up(struct bp_bag *b) {
    struct bp_bag_info *f = &b->info;
    bool any = false;

    f->path = b->given;
    f->storage = f->compression = f->ros_distro = "";
    f->nchannels = b->nchannels;
    f->nfiles = b->nsources;
    f->complete = true;
    for (size_t i = 0; i < b->nsources; i++) {
        const struct bp_source *s = b->sources[i];

        f->storage = both(s->ops->storage, f->storage);
        f->compression = both(s->compression, f->compression);
        f->messages += s->file.messages;
        f->repeated += s->repeated;
        f->bytes += s->file.bytes;
        f->chunk_raw_bytes += s->chunk_raw;
        f->chunk_stored_bytes += s->chunk_stored;
        f->complete = f->complete && s->file.indexed;
        if (*s->ros_distro)
            f->ros_distro = s->ros_distro;
        if (s->file.messages == 0)
            continue;
        f->start_ns = any ? BP_MIN(f->start_ns, s->file.start_ns) : s->file.start_ns;
        f->end_ns = any ? BP_MAX(f->end_ns, s->file.end_ns) : s->file.end_ns;
        any = true;
    }
    if (b->paths.nfolders == 1 &&
        bp_metadata_read(&bp_io_posix, b->paths.folders[0], &b->meta, NULL) >= 0) {
        f->metadata_version = b->meta.version;
        if (b->meta.ros_distro && *b->meta.ros_distro)
            f->ros_distro = b->meta.ros_distro;
    }
    find_message_mode(b);
    f->complete = f->complete && agrees(b);
}

int bp_bag_open(const char *const *paths, size_t n, struct bp_bag **ret, struct bp_error *err) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = calloc(1, sizeof *b);
    int r = 0;

    if (!b || !n)
        return bp_fail(err, b ? BP_EUSAGE : -ENOMEM, b ? "no path given" : "no memory");

    b->given = strdup(paths[0]);
    for (size_t i = 0; i < n; i++) {
        r = bp_paths_add(&b->paths, paths[i], err);
        if (r < 0)
            return r;
    }
    b->sources = calloc(b->paths.n + 1, sizeof(struct bp_source *));
    b->map = calloc(b->paths.n + 1, sizeof(uint32_t *));
    if (!b->given || !b->sources || !b->map)
        return bp_fail(err, -ENOMEM, "no memory");

    for (b->nsources = 0; b->nsources < b->paths.n; b->nsources++) {
        r = add_source(b, b->nsources, err);
        if (r < 0) {
            b->nsources++;
            return r;
        }
    }
    sum_up(b);
    *ret = BP_TAKE_PTR(b);
    return 0;
}

const struct bp_bag_info *bp_bag_get_info(const struct bp_bag *b) {
    return &b->info;
}

const struct bp_bag_channel *bp_bag_channel(const struct bp_bag *b, size_t i) {
    return &b->channels[i];
}

const struct bp_bag_file *bp_bag_file(const struct bp_bag *b, size_t i) {
    return &b->sources[i]->file;
}

int bp_bag_metadata(struct bp_bag *b,
                    int (*fn)(void *ctx, const char *name, struct bp_str key, struct bp_str value),
                    void *ctx, struct bp_error *err) {
    for (size_t i = 0; i < b->nsources; i++) {
        int r = b->sources[i]->ops->metadata(b->sources[i], fn, ctx, err);

        if (r)
            return r;
    }
    return 0;
}

/* ---- iteration ---- */

void bp_bag_iter_free(struct bp_bag_iter *it) {
    if (!it)
        return;

    for (size_t i = 0; i < it->n; i++) {
        if (it->v[i].it)
            it->v[i].source->ops->iter_free(it->v[i].it);
        free(it->v[i].wanted);
    }
    free(it->v);
    bp_decompressor_free(it->z);
    bp_buf_done(&it->plain);
    free(it);
}

static int init_cursor(struct bp_bag_iter *it, size_t i) {
    struct bp_source *s = it->bag->sources[i];
    struct cursor *c = &it->v[i];

    c->source = s;
    c->map = it->bag->map[i];
    c->wanted = calloc(s->nchannels + 1, sizeof *c->wanted);
    if (!c->wanted)
        return -ENOMEM;
    for (size_t k = 0; k < s->nchannels; k++)
        c->wanted[k] = !it->f.channels || it->f.channels[c->map[k]];
    return 0;
}

static void let_go(struct bp_bag_iter *it, struct cursor *c) {
    uint64_t chunks = 0, bytes = 0;

    if (c->source->ops->skipped)
        c->source->ops->skipped(c->it, &chunks, &bytes);
    it->skipped_chunks += chunks;
    it->skipped_bytes += bytes;
    c->source->ops->iter_free(BP_TAKE_PTR(c->it));
}

static int advance(struct bp_bag_iter *it, struct cursor *c, struct bp_error *err) {
    int r = c->source->ops->next(c->it, &c->msg, err);

    c->have = r > 0;
    if (r == 0)
        let_go(it, c);
    return r;
}

static int start(struct bp_bag_iter *it, struct cursor *c, struct bp_error *err) {
    const struct bp_bag_filter *f = &it->f;
    struct bp_source_filter sf = {
        .channels = c->wanted,
        .from = f->from_ns > 0 ? (uint64_t) f->from_ns : 0,
        .to = f->to_ns ? (uint64_t) f->to_ns : UINT64_MAX,
        .file_order = f->file_order,
        .lenient = f->lenient,
        .no_crc = f->no_crc,
    };
    int r;

    c->started = true;
    r = c->source->ops->iterate(c->source, &sf, &c->it, err);
    return r < 0 ? r : advance(it, c, err);
}

int bp_bag_iterate(struct bp_bag *b, const struct bp_bag_filter *f, struct bp_bag_iter **ret,
                   struct bp_error *err) {
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = calloc(1, sizeof *it);

    if (!it)
        return bp_fail(err, -ENOMEM, "no memory");

    it->bag = b;
    if (f)
        it->f = *f;
    it->v = calloc(b->nsources + 1, sizeof *it->v);
    if (!it->v)
        return bp_fail(err, -ENOMEM, "no memory");

    for (it->n = 0; it->n < b->nsources; it->n++)
        if (init_cursor(it, it->n) < 0)
            return bp_fail(err, -ENOMEM, "no memory");
    it->f.channels = NULL;
    it->current = it->n;
    *ret = BP_TAKE_PTR(it);
    return 0;
}

/* Whose message is next, or it->n at the end. Few files, so a scan; equal times keep the order of
 * the files. */
static int find_next(struct bp_bag_iter *it, struct bp_error *err) {
    size_t best = it->n;

    for (size_t i = 0; i < it->n; i++) {
        struct cursor *c = &it->v[i];

        if (!c->started && (best == it->n || c->source->file.start_ns <= it->v[best].msg.log_ns)) {
            int r = start(it, c, err);

            if (r < 0)
                return r;
        }
        if (!c->have)
            continue;
        if (best == it->n || c->msg.log_ns < it->v[best].msg.log_ns)
            best = i;
        if (it->f.file_order)
            break;
    }
    it->current = best;
    return 0;
}

static int unpack(struct bp_bag_iter *it, struct bp_bag_msg *m, struct bp_error *err) {
    int r = -ENOMEM;

    if (!it->z)
        it->z = bp_decompressor_new();
    if (it->z)
        r = bp_decompress_frame(it->z, m->data, m->size, (size_t) 1 << 30, &it->plain);
    if (r < 0)
        return bp_fail(err, r, "message of '%s': zstd: %s", m->channel->topic, bp_strerror(r));

    m->data = it->plain.p;
    m->size = it->plain.n;
    return 1;
}

int bp_bag_next(struct bp_bag_iter *it, struct bp_bag_msg *ret, struct bp_error *err) {
    struct cursor *c;
    int r;

    do {
        r = it->current < it->n ? advance(it, &it->v[it->current], err) : 0;
        if (r >= 0)
            r = find_next(it, err);
        if (r < 0)
            return r;
        if (it->current == it->n)
            return 0;
        c = &it->v[it->current];
    } while (it->f.skip_repeated && c->msg.repeated);

    *ret = (struct bp_bag_msg){
        .channel = &it->bag->channels[c->map[c->msg.channel]],
        .log_ns = c->msg.log_ns,
        .publish_ns = c->msg.publish_ns,
        .sequence = c->msg.sequence,
        .data = c->msg.data,
        .size = c->msg.size,
        .repeated = c->msg.repeated,
    };
    return c->source->message_zstd ? unpack(it, ret, err) : 1;
}

void bp_bag_skipped(const struct bp_bag_iter *it, uint64_t *chunks, uint64_t *bytes) {
    *chunks = it->skipped_chunks;
    *bytes = it->skipped_bytes;
    for (size_t i = 0; i < it->n; i++) {
        uint64_t c = 0, b = 0;

        if (it->v[i].it && it->v[i].source->ops->skipped)
            it->v[i].source->ops->skipped(it->v[i].it, &c, &b);
        *chunks += c;
        *bytes += b;
    }
}
