/* Walking a file without a usable summary: one that was cut off, is still being written, or has
 * none. Chunks are read, checked and their definitions taken; damage is passed over to the next
 * chunk that proves itself by its checksum. */
#include "bag/mcap-priv.h"

#include <errno.h>

enum { WINDOW = 1 << 20 };

struct walk {
    struct mcap_source *m;
    struct mcap_chunk_buf chunk;
    struct bp_buf rec;
    struct mcap_unit loose; /* the run of loose messages that is open; len 0 = none */
    uint64_t repeated_at;   /* where a chunk of repeated messages would start */
    uint8_t *window;        /* owned; bytes of the file from window_at */
    uint64_t window_at, window_n;
};

/* The head of the record at `at`, through a window so that small records cost no system call. */
static int peek(struct walk *w, uint64_t at, uint8_t *p, size_t n) {
    int r;

    if (at < w->window_at || at + n > w->window_at + w->window_n) {
        w->window_n = BP_MIN((uint64_t) WINDOW, w->m->size - at);
        w->window_at = at;
        r = mcap_read(w->m, at, w->window, w->window_n);
        if (r < 0) {
            w->window_n = 0;
            return r;
        }
    }
    if (at + n > w->window_at + w->window_n)
        return BP_ETRUNCATED;
    memcpy(p, w->window + (at - w->window_at), n);
    return 0;
}

static int end_loose(struct walk *w) {
    int r = w->loose.len ? mcap_add_unit(w->m, &w->loose) : 0;

    w->loose.len = 0;
    return r;
}

static void count_message(struct mcap_source *m, uint16_t id, bool repeated) {
    int32_t ch = mcap_channel(m, id);

    m->s.file.messages++;
    m->s.repeated += repeated;
    if (ch >= 0) {
        m->s.channels[ch].messages++;
        m->s.channels[ch].repeated += repeated;
    }
}

static int loose_message(struct walk *w, uint64_t at, uint64_t len) {
    uint8_t head[BP_MCAP_HEAD + BP_MCAP_MESSAGE_HEAD];
    uint64_t t;
    int r;

    if (len < sizeof head)
        return BP_EFORMAT;
    r = peek(w, at, head, sizeof head);
    if (r < 0)
        return r;

    t = bp_ld_le64(head + BP_MCAP_HEAD + 6);
    if (mcap_channel(w->m, bp_ld_le16(head + BP_MCAP_HEAD)) < 0)
        return BP_EFORMAT;
    if (w->loose.len && (w->loose.at + w->loose.len != at || w->loose.len > BP_MCAP_LOOSE_MAX)) {
        r = end_loose(w);
        if (r < 0)
            return r;
    }
    if (!w->loose.len)
        w->loose = (struct mcap_unit){ .at = at, .start = t, .end = t };
    w->loose.len += len;
    w->loose.raw += len;
    w->loose.start = BP_MIN(w->loose.start, t);
    w->loose.end = BP_MAX(w->loose.end, t);
    count_message(w->m, bp_ld_le16(head + BP_MCAP_HEAD), false);
    return 0;
}

/* Takes definitions and times out of a chunk's records. */
static int look_into(struct walk *w, struct mcap_unit *u) {
    struct bp_cur c = bp_cur_of(w->chunk.records, (size_t) w->chunk.n);
    struct bp_mcap_record rec;
    struct bp_mcap_message msg;
    bool any = false;
    int k, r = 0;

    while ((k = bp_mcap_next(&c, &rec)) > 0 && r >= 0) {
        if (rec.op == BP_MCAP_SCHEMA)
            r = mcap_add_schema(w->m, &rec);
        else if (rec.op == BP_MCAP_CHANNEL)
            r = mcap_add_channel(w->m, &rec);
        else if (rec.op == BP_MCAP_MESSAGE) {
            r = bp_mcap_message(&rec, &msg);
            if (r < 0)
                break;
            u->start = any ? BP_MIN(u->start, msg.log_time) : msg.log_time;
            u->end = any ? BP_MAX(u->end, msg.log_time) : msg.log_time;
            any = true;
            count_message(w->m, msg.channel_id, u->repeated);
        }
    }
    return k < 0 ? k : r;
}

static int chunk_here(struct walk *w, uint64_t at) {
    struct mcap_unit u = { .at = at, .chunk = true, .repeated = at == w->repeated_at };
    struct bp_mcap_chunk c;
    int r = mcap_load_chunk(w->m, at, true, &w->chunk, &c), codec;

    if (r < 0)
        return r;

    u.len = BP_MCAP_HEAD + w->chunk.file.n;
    u.raw = w->chunk.n;
    r = look_into(w, &u);
    if (r < 0)
        return r;

    codec = bp_codec_from_name(c.compression.p, c.compression.n);
    w->m->codecs_seen |= 1u << codec;
    w->m->s.chunk_raw += c.uncompressed_size;
    w->m->s.chunk_stored += c.records_size;
    return mcap_add_unit(w->m, &u);
}

static int small_record(struct walk *w, uint64_t at) {
    struct bp_mcap_record rec;
    struct bp_mcap_metadata md;
    int r = mcap_read_record(w->m, at, &w->rec, &rec);

    if (r < 0)
        return r;

    switch (rec.op) {
    case BP_MCAP_SCHEMA:
        return mcap_add_schema(w->m, &rec);
    case BP_MCAP_CHANNEL:
        return mcap_add_channel(w->m, &rec);
    case BP_MCAP_METADATA:
        r = bp_mcap_metadata(&rec, &md);
        if (r >= 0 && bp_str_eq(md.name, BP_STR("bagpipe.repeated")))
            w->repeated_at = at + BP_MCAP_HEAD + rec.n;
        return r < 0 ? r : mcap_add_meta(w->m, at, BP_MCAP_HEAD + rec.n);
    default:
        return 0;
    }
}

static bool machine_error(int r) {
    return r < 0 && r != BP_ECORRUPT && r != BP_EFORMAT && r != BP_ETRUNCATED && r != BP_ELIMIT &&
           r != -ENOTSUP;
}

/* One record. @return its length; 0 at the end of the data section; negative: damage or error */
static int64_t step(struct walk *w, uint64_t at) {
    uint8_t head[BP_MCAP_HEAD];
    uint64_t n;
    int r;

    if (w->m->size - at < sizeof head)
        return w->m->size == at ? 0 : BP_ETRUNCATED;
    r = peek(w, at, head, sizeof head);
    if (r < 0)
        return r;

    n = bp_ld_le64(head + 1);
    if (head[0] == 0)
        return BP_EFORMAT;
    if (n > w->m->size - at - sizeof head)
        return BP_ETRUNCATED;
    if (head[0] == BP_MCAP_DATA_END || head[0] == BP_MCAP_FOOTER)
        return 0;

    if (head[0] == BP_MCAP_MESSAGE) {
        r = loose_message(w, at, sizeof head + n);
        return r < 0 ? r : (int64_t) (sizeof head + n);
    }
    r = end_loose(w);
    if (r >= 0 && head[0] == BP_MCAP_CHUNK)
        r = chunk_here(w, at);
    else if (r >= 0 && (head[0] == BP_MCAP_SCHEMA || head[0] == BP_MCAP_CHANNEL ||
                        head[0] == BP_MCAP_METADATA))
        r = small_record(w, at);
    return r < 0 ? r : (int64_t) (sizeof head + n);
}

/* Could a Chunk record start with these bytes? Cheap, and wrong once in 2^60. */
static bool like_chunk(const uint8_t *p, uint64_t left) {
    uint64_t n = bp_ld_le64(p + 1), start = bp_ld_le64(p + 9), end = bp_ld_le64(p + 17);
    uint64_t raw = bp_ld_le64(p + 25);
    uint32_t name = bp_ld_le32(p + 37);

    return p[0] == BP_MCAP_CHUNK && n >= 40 && n <= left - BP_MCAP_HEAD && start <= end &&
           raw <= BP_MCAP_RECORD_MAX && name <= 4;
}

/* From a damaged place to the next chunk that proves itself. @return 1 found, 0 none, errors */
static int resync(struct walk *w, uint64_t from, uint64_t *ret_at) {
    enum { LOOK = 48 };
    uint8_t p[LOOK];

    for (uint64_t at = from; at + LOOK <= w->m->size; at++) {
        struct mcap_chunk_buf b = { 0 };
        struct bp_mcap_chunk c;
        int r = peek(w, at, p, LOOK);

        if (r < 0)
            return machine_error(r) ? r : 0;
        if (!like_chunk(p, w->m->size - at))
            continue;
        r = mcap_load_chunk(w->m, at, true, &b, &c);
        mcap_chunk_buf_done(&b);
        if (machine_error(r))
            return r;
        if (r >= 0) {
            *ret_at = at;
            return 1;
        }
    }
    return 0;
}

static int walk(struct walk *w, struct bp_error *err) {
    uint64_t at = BP_MCAP_MAGIC_LEN, next = 0;

    for (;;) {
        int64_t n = step(w, at);
        int r;

        if (n == 0)
            return end_loose(w);
        if (n > 0) {
            at += (uint64_t) n;
            continue;
        }
        if (machine_error((int) n))
            return bp_fail(err, (int) n, "at byte %llu: %s", (unsigned long long) at,
                           bp_strerror((int) n));

        r = end_loose(w);
        w->m->damaged_places++;
        if (r >= 0)
            r = resync(w, at + 1, &next);
        if (r < 0)
            return bp_fail(err, r, "at byte %llu: %s", (unsigned long long) at, bp_strerror(r));
        w->m->damaged_bytes += (r ? next : w->m->size) - at;
        if (r == 0)
            return 0;
        at = next;
    }
}

int mcap_scan(struct mcap_source *m, struct bp_error *err) {
    struct walk w = { .m = m, .window = malloc(WINDOW) };
    int r;

    if (!w.window)
        return bp_fail(err, -ENOMEM, "no memory");

    r = walk(&w, err);
    mcap_chunk_buf_done(&w.chunk);
    bp_buf_done(&w.rec);
    free(w.window);
    return r;
}
